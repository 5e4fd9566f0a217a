/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every network of the test bed imports and passes; parameters and multiply-accumulates are those of its tables.
 * Reaches it through NARROW_TESTBED (default ../shared/testbed); without it the test is skipped.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "onnx/onnx.h"
#include "onnx_graphs.h"
#include "passes/passes.h"

typedef struct network {
    const char *name;
    size_t parameters;   /* as the test bed counts them */
    size_t not_imported; /* values it counts that are no operand of a node: bounds of Clip, scales of Resize */
    uint64_t macs;
    int32_t n_nodes;     /* after the passes */
} network;

static const network networks[] = {
    {"resnet8-cifar10", 78666, 0, 12501632, 12},
    {"resnet20-cifar10", 269034, 0, 40551040, 25},
    {"resnet32-cifar10", 466426, 0, 68862592, 37},
    {"resnet56-cifar10", 850986, 0, 125485696, 61},
    {"mobilenetv1-0.25-imagenet", 467595, 2, 41030528, 30},
    {"mobilenetv2-imagenet", 3489099, 2, 300775552, 54},
    {"mobilenetv2-cifar10", 719034, 0, 27969024, 54},
    {"unet-camvid", 1941275, 0, 1961287680, 31},
    {"kws-dscnn", 24908, 0, 2656768, 12},
    {"vww-mobilenetv1-96", 221794, 0, 7489664, 30},
    {"ad-autoencoder", 269992, 0, 264192, 10},
    {"deeplabv3-mnv2-voc", 688367, 10, 725849344, 59},
    {"fastestdet-coco", 240305, 4, 121491744, 122},
    {"face-rfb320", 281100 + 3 * 8840 + 4, 0, 100418560, 90}, /* its Constant nodes are operands too */
    {"yolox-nano-coco", 904467, 4, 522553408, 365 - 104}, /* 104 products x sigmoid(x) become one node each */
    {"subpixel-superres", 59657, 0, 2984869888, 7},
};

static uint64_t total_macs(const nw_model *model)
{
    uint64_t macs = 0;
    for (int32_t i = 0; i < model->n_nodes; i++)
        macs += nw_node_macs(model, &model->nodes[i]);
    return macs;
}

static size_t total_parameters(const nw_model *model)
{
    size_t n = 0;
    for (int32_t i = 0; i < model->n_tensors; i++)
        n += model->tensors[i].data ? nw_tensor_elements(&model->tensors[i]) : 0;
    return n;
}

static const char *testbed(void)
{
    const char *folder = getenv("NARROW_TESTBED");
    return folder && folder[0] ? folder : "../shared/testbed";
}

static void test_network(void **state)
{
    const network *expected = *state;
    char path[1024];
    snprintf(path, sizeof(path), "%s/models/%s.onnx", testbed(), expected->name);
    nw_model *model = NULL;
    nw_error error = {{0}};
    if (nw_onnx_import(&model, path, &error))
        fail_msg("%s", error.message);
    assert_int_equal(total_macs(model), expected->macs);
    assert_int_equal(total_parameters(model), expected->parameters - expected->not_imported);
    if (nw_passes_run(model, &error))
        fail_msg("%s: %s", expected->name, error.message);
    assert_int_equal(total_macs(model), expected->macs);
    assert_int_equal(model->n_nodes, expected->n_nodes);
    const nw_op gone[] = {NW_OP_BATCH_NORM, NW_OP_GEMM, NW_OP_RELU, NW_OP_CLIP};
    for (size_t i = 0; i < NW_COUNT(gone); i++)
        assert_int_equal(count_nodes(model, gone[i]), 0);
    nw_model_free(model);
}

int main(void)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/models.json", testbed());
    FILE *file = fopen(path, "rb");
    if (!file) {
        printf("SKIP: %s is not there; set NARROW_TESTBED\n", path);
        return 77;
    }
    fclose(file);
    struct CMUnitTest tests[NW_COUNT(networks)];
    for (size_t i = 0; i < NW_COUNT(networks); i++)
        tests[i] = (struct CMUnitTest){
            .name = networks[i].name, .test_func = test_network, .initial_state = (void *)(uintptr_t)&networks[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
