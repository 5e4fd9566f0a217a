/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs an ONNX file in the float engine, for compare_ort.py:
 *
 *     float_dump MODEL.onnx BATCH INPUT.f32 OUTPUT.f32 [--passes] [--time RUNS]
 *
 * INPUT.f32 holds the binary32 values of all inputs one after the other, each dense [BATCH, ...]; OUTPUT.f32 receives
 * the outputs in the same way. --passes optimises the graph first. --time prints the milliseconds of the fastest of
 * RUNS runs on one thread, and which implementation runs each node.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "float/engine.h"
#include "onnx/onnx.h"
#if NW_HAVE_PASSES
#include "passes/passes.h"
#endif

static double now_ms(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Pointers to the tensors `ids`, one after the other from `data`; returns the number of values. */
static size_t slice_up(const nw_model *model, const int32_t *ids, int32_t n, int32_t batch, float *data, float **out)
{
    size_t offset = 0;
    for (int32_t i = 0; i < n; i++) {
        out[i] = data ? data + offset : NULL;
        offset += nw_tensor_elements(&model->tensors[ids[i]]) * (size_t)batch;
    }
    return offset;
}

static nw_status time_runs(nw_float_engine *engine, const nw_model *model, float **inputs, float **outputs, int runs,
                           nw_error *error)
{
    double best = 1e30;
    for (int i = 0; i < runs; i++) {
        const double start = now_ms();
        NW_TRY(nw_float_run(engine, (const float *const *)inputs, outputs, error));
        const double elapsed = now_ms() - start;
        best = elapsed < best ? elapsed : best;
    }
    printf("%.4f\n", best);
    printf("memory %.1f MB\n", (double)nw_float_memory(engine) / 1e6);
    for (int32_t i = 0; i < model->n_nodes; i++)
        printf("%s %s %s\n", nw_op_name(model->nodes[i].op), nw_float_implementation(engine, i), model->nodes[i].name);
    return NW_OK;
}

static nw_status dump(const nw_model *model, int32_t batch, char *const *paths, int runs, nw_error *error)
{
    nw_float_engine *engine = NULL;
    nw_bytes input = {0};
    float *output = NULL;
    float **inputs = calloc((size_t)model->n_inputs + 1, sizeof(*inputs));
    float **outputs = calloc((size_t)model->n_outputs + 1, sizeof(*outputs));
    nw_status status = inputs && outputs ? NW_OK : nw_fail_memory(error, "running");
    if (!status)
        status = nw_bytes_read(&input, paths[0], NW_BYTES_LIMIT, error);
    if (status)
        goto cleanup;
    const size_t n = slice_up(model, model->inputs, model->n_inputs, batch, (float *)(void *)input.data, inputs);
    const size_t m = slice_up(model, model->outputs, model->n_outputs, batch, NULL, outputs);
    output = calloc(m + 1, sizeof(*output));
    if (input.size != n * sizeof(float) || !output) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: expected %zu values", paths[0], n);
        goto cleanup;
    }
    slice_up(model, model->outputs, model->n_outputs, batch, output, outputs);
    status = nw_float_create(&engine, model, batch, error);
    if (!status)
        status = nw_float_run(engine, (const float *const *)inputs, outputs, error);
    if (!status && runs)
        status = time_runs(engine, model, inputs, outputs, runs, error);
    if (!status)
        status = nw_file_write(paths[1], &(nw_piece){output, m * sizeof(float)}, 1, error);

cleanup:
    nw_float_free(engine);
    nw_bytes_free(&input);
    free(output);
    free(inputs);
    free(outputs);
    return status;
}

int main(int argc, char **argv)
{
    nw_error error = {""};
    nw_model *model = NULL;
    int runs = 0;
    bool passes = false;
    if (argc < 5)
        return 2;
    for (int i = 5; i < argc; i++) {
        passes = passes || !strcmp(argv[i], "--passes");
        if (!strcmp(argv[i], "--time") && i + 1 < argc)
            runs = atoi(argv[i + 1]);
    }
    nw_float_set_threads(1);
    nw_status status = nw_onnx_import(&model, argv[1], &error);
#if NW_HAVE_PASSES
    if (!status && passes)
        status = nw_passes_run(model, &error);
#else
    if (!status && passes)
        status = nw_fail(&error, NW_ERROR_USAGE, "built without passes");
#endif
    if (!status)
        status = dump(model, atoi(argv[2]), argv + 3, runs, &error);
    if (status)
        fprintf(stderr, "%s\n", error.message);
    nw_model_free(model);
    return nw_status_exit_code(status);
}
