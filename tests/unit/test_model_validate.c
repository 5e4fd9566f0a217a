/* SPDX-License-Identifier: Apache-2.0 */
/* nw_model_validate: one small valid model, and everything that may not be changed about it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "models/nw_random.h"

/* tensors of the model */
enum { INPUT, CODES, FEATURES, MAPPED, SUM, MAX, MEAN, JOINED, PART, PADDED, FLAT, LOGITS, FACTOR, OUTPUT, N_TENSORS };
/* nodes */
enum { N_QUANTIZE, N_CONV, N_TABLE, N_ADD, N_MAX, N_MEAN, N_CONCAT, N_SLICE, N_PAD, N_RESHAPE, N_LINEAR, N_MUL };

static int32_t add(nw_model *m, const char *name, nw_type type, int32_t rank, int32_t c, int32_t h, int32_t w)
{
    const int32_t t = nw_model_add_tensor(m, name, type, rank, (int32_t[]){1, c, h, w});
    nw_tensor *tensor = &m->tensors[t];
    if (type == NW_TYPE_F32)
        return t;
    assert_int_equal(nw_tensor_alloc_quant(tensor), NW_OK);
    tensor->quant.bits = 8;
    tensor->quant.zero_point = 16;
    tensor->quant.scale = 0.5f;
    for (int32_t i = 0; i < c; i++) {
        tensor->quant.lo[i] = -16.0f;
        tensor->quant.hi[i] = 200.0f;
    }
    return t;
}

static nw_node *node(nw_model *m, nw_op op, int32_t n_inputs, int32_t x, int32_t y)
{
    nw_node *made = nw_model_add_node(m, op, nw_op_name(op), n_inputs);
    made->inputs[0] = x;
    made->output = y;
    return made;
}

static float *ones(int32_t n)
{
    float *values = malloc((size_t)n * sizeof(*values));
    for (int32_t i = 0; i < n; i++)
        values[i] = 0.5f;
    return values;
}

static nw_linear *linear(int32_t channels, int32_t rows, int32_t k, bool residual)
{
    nw_linear *made = nw_linear_create(channels, rows, k, residual);
    for (int32_t row = 0; row < rows; row++) {
        made->weights[row * k] = 3;
        made->offset[row] = -16 * 3;
        made->multiplier[row] = 0.25f;
    }
    for (int32_t o = 0; residual && o < channels; o++)
        made->residual_multiplier[o] = 1.0f;
    return made;
}

/** Every operator that has rules of its own; FEATURES has two points in channels 0 and 2, three in channel 2. */
static nw_model *make_model(void)
{
    nw_model *m = nw_model_create();
    add(m, "input", NW_TYPE_F32, 4, 4, 6, 6);
    add(m, "codes", NW_TYPE_U8, 4, 4, 6, 6);
    add(m, "features", NW_TYPE_U8, 4, 4, 6, 6);
    add(m, "mapped", NW_TYPE_U8, 4, 4, 6, 6);
    add(m, "sum", NW_TYPE_U8, 4, 4, 6, 6);
    add(m, "max", NW_TYPE_U8, 4, 4, 3, 3);
    add(m, "mean", NW_TYPE_U8, 4, 4, 3, 3);
    add(m, "joined", NW_TYPE_U8, 4, 8, 3, 3);
    add(m, "part", NW_TYPE_U8, 4, 3, 2, 3);
    add(m, "padded", NW_TYPE_U8, 4, 3, 3, 4);
    add(m, "flat", NW_TYPE_U8, 2, 36, 1, 1);
    add(m, "logits", NW_TYPE_F32, 2, 5, 1, 1);
    add(m, "factor", NW_TYPE_F32, 2, 5, 1, 1);
    add(m, "output", NW_TYPE_F32, 2, 5, 1, 1);
    m->tensors[FACTOR].data = ones(5);
    node(m, NW_OP_QUANTIZE, 1, INPUT, CODES);
    nw_node *n = node(m, NW_OP_CONV, 4, CODES, FEATURES);
    n->inputs[3] = CODES;
    n->window = (nw_window){{3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}};
    n->linear = linear(4, 7, 36, true);
    n->linear->row_channel[4] = 0;
    n->linear->row_channel[5] = 2;
    n->linear->row_channel[6] = 2;
    n = node(m, NW_OP_TABLE, 1, FEATURES, MAPPED);
    n->table = malloc(256);
    n->n_tables = 1;
    memset(n->table, 16, 256);
    n = node(m, NW_OP_ADD, 2, FEATURES, SUM);
    n->inputs[1] = MAPPED;
    n->multipliers[0] = ones(4);
    n->multipliers[1] = ones(4);
    n = node(m, NW_OP_MAX_POOL, 1, SUM, MAX);
    n->window = (nw_window){{2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}};
    n = node(m, NW_OP_AVERAGE_POOL, 1, SUM, MEAN);
    n->window = (nw_window){{3, 3}, {2, 2}, {1, 1}, {1, 1, 0, 0}};
    n->multipliers[0] = ones(4);
    n = node(m, NW_OP_CONCAT, 2, MAX, JOINED);
    n->inputs[1] = MEAN;
    n->axis = 1;
    n = node(m, NW_OP_SLICE, 1, JOINED, PART);
    memcpy(n->starts, (int32_t[]){0, 1, 1, 0}, 16);
    memcpy(n->steps, (int32_t[]){1, 3, 1, 1}, 16);
    n = node(m, NW_OP_PAD, 1, PART, PADDED);
    memcpy(n->pads, (int32_t[]){0, 0, 1, 0, 0, 0, 0, 1}, 32);
    node(m, NW_OP_RESHAPE, 1, PADDED, FLAT);
    n = node(m, NW_OP_CONV, 1, FLAT, LOGITS);
    n->linear = linear(5, 5, 36, false);
    n = node(m, NW_OP_MUL, 2, LOGITS, OUTPUT);
    n->inputs[1] = FACTOR;
    m->inputs = malloc(sizeof(int32_t));
    m->outputs = malloc(sizeof(int32_t));
    m->inputs[0] = INPUT;
    m->outputs[0] = OUTPUT;
    m->n_inputs = m->n_outputs = 1;
    return m;
}

/** `change` spoils a valid model; the sentence must hold `part`. */
static void check_refusal(const char *change, nw_model *m, const char *part)
{
    nw_error error = {{0}};
    const nw_status status = nw_model_validate(m, &error);
    nw_model_free(m);
    if (status != NW_ERROR_DATA || !strstr(error.message, part))
        fail_msg("%s: status %d, \"%s\", wanted \"%s\"", change, status, error.message, part);
}

#define REFUSE(part, change)             \
    do {                                 \
        nw_model *m = make_model();      \
        change;                          \
        check_refusal(#change, m, part); \
    } while (0)

#define T(t) m->tensors[t]
#define Q(t) m->tensors[t].quant
#define N(n) m->nodes[n]
#define L(n) m->nodes[n].linear

static void test_valid(void **state)
{
    (void)state;
    nw_model *m = make_model();
    nw_error error = {{0}};
    const nw_status status = nw_model_validate(m, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, NW_OK);
    assert_int_equal(m->n_tensors, N_TENSORS);
    nw_model_free(m);
}

static void test_tensors(void **state)
{
    (void)state;
    REFUSE("bits must be", Q(CODES).bits = 0);
    REFUSE("bits must be", Q(CODES).bits = 9);
    REFUSE("bits must be", Q(CODES).bits = 4);
    REFUSE("limits leave", Q(CODES).bits = 7);
    REFUSE("scale must", Q(CODES).scale = 0.0f);
    REFUSE("scale must", Q(CODES).scale = NAN);
    REFUSE("scale must", Q(CODES).scale = INFINITY);
    REFUSE("scale must", Q(CODES).scale = 1e-40f);
    REFUSE("limits must", Q(CODES).lo[1] = 1.0f);
    REFUSE("limits must", Q(CODES).hi[1] = -1.0f);
    REFUSE("limits must", Q(CODES).hi[1] = 7.5f);
    REFUSE("limits must", Q(CODES).hi[1] = NAN);
    REFUSE("limits leave", Q(CODES).lo[1] = -17.0f);
    REFUSE("limits leave", Q(CODES).hi[1] = 240.0f);
    REFUSE("shift is above", Q(CODES).shift[1] = 5);
    REFUSE("shift is above", Q(CODES).shift[1] = 8);
    REFUSE("limits leave", Q(CODES).shift[1] = 1);
    REFUSE("batch", T(INPUT).dims[0] = 2);
    REFUSE("dims must", T(INPUT).dims[2] = 0);
    REFUSE("dims must", (T(INPUT).dims[2] = 1 << 20, T(INPUT).dims[3] = 1 << 20));
    REFUSE("2 or 4 axes", T(CODES).rank = 3);
    REFUSE("there twice", strcpy(T(CODES).name, "input"));
    REFUSE("UTF-8", T(CODES).name[0] = '\xff');
    REFUSE("must be finite", T(FACTOR).data[4] = NAN);
}

static void test_graph(void **state)
{
    (void)state;
    REFUSE("not computed before", N(N_CONV).inputs[0] = MAPPED);
    REFUSE("no tensor", N(N_ADD).inputs[1] = NW_NONE);
    REFUSE("no tensor", N(N_ADD).inputs[1] = N_TENSORS);
    REFUSE("already has a value", N(N_TABLE).output = CODES);
    REFUSE("has no output", N(N_TABLE).output = NW_NONE);
    REFUSE("already has a value", N(N_TABLE).output = FACTOR);
    REFUSE("used by nothing", N(N_ADD).inputs[1] = FEATURES);
    REFUSE("must be quantized", (N(N_QUANTIZE).op = NW_OP_SIGMOID));
    REFUSE("no operator of an integer model", N(N_TABLE).op = NW_OP_RELU);
    REFUSE("no operator of an integer model", N(N_MAX).op = NW_OP_LEAKY_RELU);
    REFUSE("types", N(N_MAX).op = NW_OP_DEQUANTIZE);
    REFUSE("types", (N(N_TABLE).op = NW_OP_SIGMOID));
    REFUSE("f32 tensor", m->outputs[0] = FLAT);
    REFUSE("f32 tensor", m->outputs[0] = FACTOR);
    REFUSE("f32 tensor", m->outputs[0] = INPUT);
    REFUSE("must be an f32 tensor", m->inputs[0] = CODES);
    REFUSE("a constant", m->inputs[0] = FACTOR);
    REFUSE("needs tensors", m->n_outputs = 0);
    REFUSE("must be absent", N(N_CONV).inputs[1] = CODES);
    REFUSE("residual", N(N_CONV).inputs[3] = NW_NONE);
    REFUSE("clamp", N(N_LINEAR).lo = 0.0f);
    REFUSE("weights", (nw_linear_free(L(N_CONV)), L(N_CONV) = NULL));
}

static void test_shapes(void **state)
{
    (void)state;
    REFUSE("height", N(N_CONV).window.pad[0] = 0);
    REFUSE("pads must be", N(N_CONV).window.pad[0] = -1);
    REFUSE("must be 1 to", N(N_CONV).window.stride[1] = 0);
    REFUSE("must be 1 to", N(N_CONV).window.kernel[1] = INT32_MAX);
    REFUSE("groups", N(N_CONV).groups = 3);
    REFUSE("groups", N(N_CONV).groups = 0);
    REFUSE("weights are", N(N_CONV).groups = 2);
    REFUSE("height", N(N_MAX).window.kernel[0] = 7);
    REFUSE("altogether", memcpy(N(N_MAX).window.pad, (int32_t[]){2, 0, 0, 0}, 16); T(MAX).dims[2] = 4);
    REFUSE("joined axis", N(N_CONCAT).inputs[1] = MAX; N(N_CONCAT).n_inputs = 1);
    REFUSE("axis", N(N_CONCAT).axis = 2);
    REFUSE("outside the input", N(N_SLICE).starts[1] = 2);
    REFUSE("outside the input", N(N_SLICE).starts[2] = -1);
    REFUSE("padded input", N(N_PAD).pads[3] = 1);
    REFUSE("only zero", N(N_PAD).alpha = 1.0f);
    REFUSE("as many elements", T(FLAT).dims[1] = 35);
    REFUSE("four axes", (N(N_RESHAPE).op = NW_OP_RESIZE));
    REFUSE("four axes", (N(N_PAD).op = NW_OP_RESIZE, T(PADDED).dims[1] = 2));
    REFUSE("unknown mode", (N(N_MAX).op = NW_OP_RESIZE, N(N_MAX).resize_mode = (nw_resize_mode)2));
    REFUSE("unknown mode", (N(N_MAX).op = NW_OP_RESIZE, N(N_MAX).resize_coordinates = (nw_resize_coordinates)4));
    REFUSE("shapes", T(LOGITS).dims[1] = 4);
    REFUSE("shapes of inputs", T(FACTOR).dims[1] = 2);
}

static void test_numbers(void **state)
{
    (void)state;
    REFUSE("not one of 2 bits", L(N_CONV)->weight_bits = 2);
    REFUSE("not one of 1 bits", (L(N_CONV)->weight_bits = 1, L(N_CONV)->weights[0] = 1));
    REFUSE("1 to 8 bits", L(N_CONV)->weight_bits = 9);
    REFUSE("not one of 8 bits", L(N_CONV)->weights[5] = -128);
    REFUSE("offset of row 3", L(N_CONV)->offset[3] += 1);
    REFUSE("offset of row 6", L(N_CONV)->weights[6 * 36 + 35] = 1);
    REFUSE("multiplier 0", L(N_CONV)->multiplier[0] = -1.0f);
    REFUSE("multiplier 6", L(N_CONV)->multiplier[6] = NAN);
    REFUSE("multiplier 6", L(N_CONV)->multiplier[6] = 0x1p21f);
    REFUSE("multiplier 6", L(N_CONV)->multiplier[6] = 0x1p-41f);
    REFUSE("multiplier 1", L(N_CONV)->residual_multiplier[1] = INFINITY);
    REFUSE("bias 2", L(N_CONV)->bias[2] = 0x1.000002p30f);
    REFUSE("bias 2", L(N_CONV)->bias[2] = NAN);
    REFUSE("bias 2", L(N_LINEAR)->bias[2] = -0x1p61f);
    REFUSE("row 1 ", L(N_CONV)->row_channel[1] = 0);
    REFUSE("out of order", L(N_CONV)->row_channel[6] = 1);
    REFUSE("out of order", (L(N_CONV)->row_channel[4] = 2, L(N_CONV)->row_channel[5] = 0));
    REFUSE("out of order", L(N_CONV)->row_channel[4] = -1);
    REFUSE("out of order", L(N_CONV)->row_channel[4] = 4);
    REFUSE("out of order", L(N_CONV)->row_channel[5] = 0);
    REFUSE("multiplier 3", N(N_ADD).multipliers[1][3] = 0.0f);
    REFUSE("multiplier 3", N(N_MEAN).multipliers[0][3] = 0.0f);
    REFUSE("gives 15 for 216", (Q(MAPPED).lo[0] = 0.0f, N(N_TABLE).table[216] = 15));
    REFUSE("gives 217 for 0", N(N_TABLE).table[0] = 217);
    REFUSE("gives 17 for 0",
           (Q(MAPPED).shift[0] = 1, Q(MAPPED).lo[0] = -8, Q(MAPPED).hi[0] = 90, N(N_TABLE).table[0] = 17));
    REFUSE("differ in bits", Q(MAX).scale = 0.25f);
    REFUSE("differ in bits", (Q(MEAN).zero_point = 17, Q(MEAN).hi[0] = 0));
    REFUSE("cannot hold", Q(MAX).hi[2] = 199.0f);
    REFUSE("no multipliers", (N(N_ADD).op = NW_OP_MUL, free(N(N_ADD).multipliers[0]), N(N_ADD).multipliers[0] = NULL));
    REFUSE("multiplier 2", (N(N_ADD).op = NW_OP_MUL, N(N_ADD).multipliers[0][2] = 0.0f));
    REFUSE("shape of the output", (N(N_CONCAT).op = NW_OP_MUL));
    REFUSE("differ in bits", (N(N_MAX).op = NW_OP_RESIZE, Q(MAX).scale = 0.25f));
    REFUSE("cannot hold", (N(N_MAX).op = NW_OP_RESIZE, Q(MAX).hi[2] = 199.0f));
    REFUSE("cannot hold", Q(JOINED).lo[7] = -15.0f);
    REFUSE("cannot hold", Q(PART).hi[2] = 100.0f);
    REFUSE("cannot hold", Q(PADDED).hi[2] = 100.0f);
    REFUSE("cannot hold", Q(FLAT).hi[35] = 199.0f);
    REFUSE("cannot hold", (Q(FLAT).shift[35] = 1, Q(FLAT).lo[35] = -8, Q(FLAT).hi[35] = 100));
}

/** What must stay allowed although it looks odd. */
static void test_allowed(void **state)
{
    (void)state;
    nw_model *m = make_model();
    nw_error error = {{0}};
    N(N_TABLE).table[217] = 255; /* a code that never comes */
    L(N_CONV)->multiplier[5] = 0.0f;
    L(N_CONV)->bias[0] = 0x1p30f;
    Q(CODES).lo[0] = Q(CODES).hi[0] = 0.0f;
    N(N_MAX).op = NW_OP_RESIZE;
    N(N_MAX).resize_mode = NW_RESIZE_LINEAR;
    Q(SUM).hi[2] = 10.0f; /* consumers' limits may be wider */
    assert_int_equal(nw_model_validate(m, &error), NW_OK);
    nw_model_free(m);
}

/** Sums of rows against 2^31, at the edge. */
static void test_sums(void **state)
{
    (void)state;
    const int32_t k = 66312; /* 127 * 255 * 66312 = 2^31 + 30472 */
    for (int less = 0; less <= 1; less++) {
        nw_model *m = nw_model_create();
        add(m, "input", NW_TYPE_F32, 2, k, 1, 1);
        add(m, "codes", NW_TYPE_U8, 2, k, 1, 1);
        add(m, "output", NW_TYPE_F32, 2, 1, 1, 1);
        Q(1).zero_point = 0;
        node(m, NW_OP_QUANTIZE, 1, 0, 1);
        node(m, NW_OP_CONV, 1, 1, 2)->linear = nw_linear_create(1, 1, k, false);
        for (int32_t i = 0; i < k; i++) {
            Q(1).lo[i] = 0.0f;
            Q(1).hi[i] = 255.0f;
            L(1)->weights[i] = 127;
        }
        if (less)
            Q(1).hi[7] = 10.0f; /* 127 * 245 less: the limit of one channel makes it safe */
        m->inputs = malloc(sizeof(int32_t));
        m->outputs = malloc(sizeof(int32_t));
        m->inputs[0] = 0;
        m->outputs[0] = 2;
        m->n_inputs = m->n_outputs = 1;
        nw_error error = {{0}};
        assert_int_equal(nw_model_validate(m, &error), less ? NW_OK : NW_ERROR_DATA);
        if (!less)
            assert_non_null(strstr(error.message, "can leave 32 bits"));
        nw_model_free(m);
    }
}

static void test_random_models(void **state)
{
    (void)state;
    for (uint64_t seed = 1000; seed < 2000; seed++) {
        nw_model *m = nw_random_model(seed, (int32_t)(seed % 9));
        nw_error error = {{0}};
        if (!m || nw_model_validate(m, &error))
            fail_msg("seed %d: %s", (int)seed, error.message);
        nw_model_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),  cmocka_unit_test(test_tensors),       cmocka_unit_test(test_graph),
        cmocka_unit_test(test_shapes), cmocka_unit_test(test_numbers),       cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_sums),   cmocka_unit_test(test_random_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
