/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target for the ONNX reader and the graph passes: any bytes must end in a model or a status.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -Isrc -Iinclude -I<folder of onnx.pb-c.h> fuzz/fuzz_onnx.c
 *         (all of src/onnx, src/passes, src/base) src/model/{model,preprocess,preprocess_json}.c onnx.pb-c.c
 *         -lprotobuf-c -lcjson -lm -o fuzz_onnx
 *     python3 tests/unit/test_onnx_operators.py --write seeds
 *     mkdir -p corpus && ./fuzz_onnx -max_len=16384 -rss_limit_mb=4096 corpus seeds
 */
#include <stdlib.h>

#include "onnx/onnx.h"
#include "passes/passes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nw_error error;
    nw_model *model = NULL;
    char *listing = NULL;
    const nw_status status = nw_onnx_parse(&model, data, size, "fuzz.onnx", &error);
    if (status == NW_OK && nw_passes_run(model, &error) == NW_ERROR_INTERNAL)
        abort();
    if (status == NW_ERROR_UNSUPPORTED &&
        (nw_onnx_parse_problems(&listing, data, size, "fuzz.onnx", &error) || !listing[0]))
        abort(); /* what is refused has to be listed */
    if (status == NW_ERROR_INTERNAL)
        abort();
    free(listing);
    nw_model_free(model);
    return 0;
}
