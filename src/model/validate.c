/* SPDX-License-Identifier: Apache-2.0 */
/* nw_model_validate: the walk over the graph. See validate.h for the other parts. */
#include "model/validate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pixel.h"
#include "model/json.h"

nw_status nw_check_fail(const nw_check *check, const char *format, ...)
{
    char what[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    return nw_fail(check->error, NW_ERROR_DATA, "node \"%.80s\" (%s): %s", check->node->name,
                   nw_op_name(check->node->op), what);
}

/** Types that an operator takes and gives. */
typedef enum role {
    ROLE_NONE = 0,   /* not an operator of an integer model */
    ROLE_LINEAR,     /* U8 -> U8 or F32 */
    ROLE_QUANTIZE,   /* F32 -> U8 */
    ROLE_DEQUANTIZE, /* U8 -> F32 */
    ROLE_CODES,      /* U8 -> U8 */
    ROLE_REALS,      /* F32 -> F32 */
    ROLE_EITHER      /* all U8 or all F32 */
} role;

static const struct {
    uint8_t role, least, most; /* inputs; most 0: any number */
} rules[NW_OP_COUNT] = {
    [NW_OP_CONV] = {ROLE_LINEAR, 1, 4},        [NW_OP_CONV_TRANSPOSE] = {ROLE_LINEAR, 1, 4},
    [NW_OP_QUANTIZE] = {ROLE_QUANTIZE, 1, 1},  [NW_OP_DEQUANTIZE] = {ROLE_DEQUANTIZE, 1, 1},
    [NW_OP_ADD] = {ROLE_EITHER, 2, 2},         [NW_OP_MAX_POOL] = {ROLE_CODES, 1, 1},
    [NW_OP_AVERAGE_POOL] = {ROLE_CODES, 1, 1}, [NW_OP_CONCAT] = {ROLE_EITHER, 1, 0},
    [NW_OP_SLICE] = {ROLE_EITHER, 1, 1},       [NW_OP_PAD] = {ROLE_CODES, 1, 1},
    [NW_OP_RESHAPE] = {ROLE_EITHER, 1, 1},     [NW_OP_TRANSPOSE] = {ROLE_EITHER, 1, 1},
    [NW_OP_TABLE] = {ROLE_CODES, 1, 1},        [NW_OP_SUB] = {ROLE_REALS, 2, 2},
    [NW_OP_MUL] = {ROLE_EITHER, 2, 2},         [NW_OP_DIV] = {ROLE_REALS, 2, 2},
    [NW_OP_SIGMOID] = {ROLE_REALS, 1, 1},      [NW_OP_EXP] = {ROLE_REALS, 1, 1},
    [NW_OP_SOFTMAX] = {ROLE_REALS, 1, 1},      [NW_OP_RESIZE] = {ROLE_EITHER, 1, 1},
};

static bool is_linear(nw_op op)
{
    return op == NW_OP_CONV || op == NW_OP_CONV_TRANSPOSE;
}

/** A linear node has its residual at inputs[3]; where the float network had weights and bias there is nothing. */
static nw_status check_linear_inputs(const nw_check *check)
{
    const nw_node *node = check->node;
    for (int32_t i = 1; i < node->n_inputs && i < 3; i++)
        if (node->inputs[i] != NW_NONE)
            return nw_check_fail(check, "input %d must be absent, weights are not a tensor", (int)i);
    const int32_t residual = nw_node_residual(node);
    if (!node->linear)
        return nw_check_fail(check, "has no integer weights");
    if ((residual != NW_NONE) != (node->linear->residual_multiplier != NULL))
        return nw_check_fail(check, "a residual and its multipliers come together or not at all");
    if (residual != NW_NONE && check->model->tensors[residual].type != NW_TYPE_U8)
        return nw_check_fail(check, "the residual must be u8");
    return NW_OK;
}

static nw_status check_types(const nw_check *check)
{
    const nw_node *node = check->node;
    const nw_type x = check->x->type, y = check->y->type;
    bool good = true;
    switch ((role)rules[node->op].role) {
    case ROLE_NONE: /* refused by check_links */
        break;
    case ROLE_LINEAR:
        good = x == NW_TYPE_U8;
        break;
    case ROLE_QUANTIZE:
        good = x == NW_TYPE_F32 && y == NW_TYPE_U8;
        break;
    case ROLE_DEQUANTIZE:
        good = x == NW_TYPE_U8 && y == NW_TYPE_F32;
        break;
    case ROLE_CODES:
        good = x == NW_TYPE_U8 && y == NW_TYPE_U8;
        break;
    case ROLE_REALS:
        good = x == NW_TYPE_F32 && y == NW_TYPE_F32;
        break;
    case ROLE_EITHER:
        good = x == y;
        break;
    }
    for (int32_t i = 1; good && i < node->n_inputs && !is_linear(node->op); i++)
        good = check->model->tensors[node->inputs[i]].type == x;
    if (!good)
        return nw_check_fail(check, "the types of its inputs and output do not fit");
    if (y == NW_TYPE_F32 && !(node->lo == -INFINITY && node->hi == INFINITY))
        return nw_check_fail(check, "a clamp on an f32 output is not possible");
    return is_linear(node->op) ? check_linear_inputs(check) : NW_OK;
}

/** What stands in a tensor when the walk reaches a node. */
enum { NOTHING = 0, VALUE, INPUT /* of the network */ };

/** Indices of one node: its inputs have values, its output gets one. Inputs of the network go into QUANTIZE only. */
static nw_status check_links(const nw_check *check, uint8_t *ready, uint8_t *used)
{
    const nw_node *node = check->node;
    const int32_t n = check->model->n_tensors;
    const int32_t most = rules[node->op].most ? rules[node->op].most : NW_MAX_ITEMS;
    if (!rules[node->op].role)
        return nw_check_fail(check, "is no operator of an integer model");
    if (node->n_inputs < rules[node->op].least || node->n_inputs > most)
        return nw_check_fail(check, "has %d inputs", (int)node->n_inputs);
    for (int32_t i = 0; i < node->n_inputs; i++) {
        const int32_t input = node->inputs[i];
        if (input == NW_NONE && i > 0 && is_linear(node->op))
            continue;
        if (input < 0 || input >= n)
            return nw_check_fail(check, "input %d is absent or no tensor", (int)i);
        if (!ready[input])
            return nw_check_fail(check, "input \"%.80s\" is not computed before it", check->model->tensors[input].name);
        if ((ready[input] == INPUT) != (node->op == NW_OP_QUANTIZE))
            return nw_check_fail(check, "inputs of the network must be quantized, and nothing else can be");
        used[input] = 1;
    }
    if (node->output < 0 || node->output >= n)
        return nw_check_fail(check, "has no output");
    if (ready[node->output])
        return nw_check_fail(check, "output \"%.80s\" already has a value", check->model->tensors[node->output].name);
    ready[node->output] = VALUE;
    return NW_OK;
}

static nw_status fail_tensor(const nw_tensor *tensor, nw_error *error, const char *what)
{
    return nw_fail(error, NW_ERROR_DATA, "tensor \"%.80s\": %s", tensor->name, what);
}

/** The code 1 + *index of the model must be there and be one of symbols of codes of `bits` bits. */
static bool code_fits(const nw_model *model, uint16_t index, int32_t bits)
{
    if (!index)
        return true;
    return index <= model->n_symbol_codes && bits >= 1 && bits <= 7 &&
           model->symbol_codes[index - 1].bits == nw_symbol_bits(bits);
}

static nw_status check_codes(const nw_model *model, nw_error *error)
{
    if (model->n_symbol_codes < 0 || model->n_symbol_codes > NW_MAX_SYMBOL_CODES)
        return nw_fail(error, NW_ERROR_DATA, "the model has more than %d codes", NW_MAX_SYMBOL_CODES);
    for (int32_t i = 0; i < model->n_symbol_codes; i++) {
        const nw_symbol_code *code = &model->symbol_codes[i];
        if (code->bits < 1 || code->bits > 8 || !nw_prefix_code_complete(code->lengths, (size_t)1 << code->bits))
            return nw_fail(error, NW_ERROR_DATA, "code %d: its words must have 1 to %d bits and leave none out", (int)i,
                           NW_PREFIX_LONGEST);
    }
    return NW_OK;
}

/** The codes of a tensor, which are those of the model. */
static nw_status check_code_of(const nw_model *model, const nw_tensor *tensor, nw_error *error)
{
    const nw_quant *quant = &tensor->quant;
    int64_t pixel_bits;
    const int32_t channels = nw_tensor_channels(tensor);
    const int32_t shift = nw_pixel_shift(channels, quant->bits, quant->shift, &pixel_bits);
    const int32_t low = nw_pixel_fine(channels, quant->shift, shift) ? shift : 0;
    if ((quant->low_code && !quant->code) || !code_fits(model, quant->code, quant->bits - shift) ||
        !code_fits(model, quant->low_code, low))
        return fail_tensor(tensor, error, "its codes are not there, or of symbols that it does not have");
    return NW_OK;
}

static nw_status check_quant(const nw_tensor *tensor, nw_error *error)
{
    const nw_quant *quant = &tensor->quant;
    if ((tensor->rank != 2 && tensor->rank != 4) || tensor->data)
        return fail_tensor(tensor, error, "u8 needs 2 or 4 axes and no data");
    if (quant->bits < 1 || quant->bits > 8 || quant->zero_point >= 1 << quant->bits)
        return fail_tensor(tensor, error, "bits must be 1 to 8 and the zero point a code of that width");
    if (!(quant->scale >= 0x1p-100f && quant->scale <= 0x1p100f))
        return fail_tensor(tensor, error, "the scale must be 2^-100 to 2^100");
    if (!quant->lo || !quant->hi || !quant->shift)
        return fail_tensor(tensor, error, "has no limits");
    for (int32_t c = 0; c < nw_tensor_channels(tensor); c++) {
        const float lo = quant->lo[c], hi = quant->hi[c];
        if (!(lo >= -255.0f && lo <= 0.0f && hi >= 0.0f && hi <= 255.0f) || lo != rintf(lo) || hi != rintf(hi))
            return fail_tensor(tensor, error, "limits must be integers with -255 <= lo <= 0 <= hi <= 255");
        if (quant->shift[c] > 7 || quant->zero_point % (1 << quant->shift[c]))
            return fail_tensor(tensor, error, "a shift is above 7 or the zero point no multiple of 1 << shift");
        int32_t lowest, highest;
        nw_quant_code_range(quant, c, &lowest, &highest);
        if (lowest < 0 || highest >= 1 << quant->bits)
            return fail_tensor(tensor, error, "limits leave the codes of its width");
    }
    return NW_OK;
}

static nw_status check_tensor(const nw_model *model, const nw_tensor *tensor, nw_error *error)
{
    int64_t n = 1;
    if (!tensor->name[0] || !nw_text_is_utf8(tensor->name, strlen(tensor->name)))
        return fail_tensor(tensor, error, "its name must be UTF-8 and not empty");
    if (tensor->rank > NW_MAX_RANK || (tensor->rank == 0 && !tensor->data))
        return fail_tensor(tensor, error, "has too many axes or none");
    for (int32_t i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] < 1 || (n *= tensor->dims[i]) > NW_MAX_ELEMENTS)
            return fail_tensor(tensor, error, "dims must be above 0 and their product at most 2^30");
    }
    if (tensor->type == NW_TYPE_U8) {
        NW_TRY(check_quant(tensor, error));
        NW_TRY(check_code_of(model, tensor, error));
    } else if (tensor->type != NW_TYPE_F32) {
        return fail_tensor(tensor, error, "has an unknown type");
    }
    if (!tensor->data)
        return tensor->dims[0] == 1 ? NW_OK : fail_tensor(tensor, error, "the first axis is the batch and must be 1");
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(tensor->data[i]))
            return fail_tensor(tensor, error, "a constant must be finite");
    return NW_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static nw_status check_tensors(const nw_model *model, nw_error *error)
{
    for (int32_t i = 0; i < model->n_tensors; i++)
        NW_TRY(check_tensor(model, &model->tensors[i], error));
    const char **names = malloc((size_t)model->n_tensors * sizeof(*names));
    if (!names)
        return nw_fail_memory(error, "checking a model");
    for (int32_t i = 0; i < model->n_tensors; i++)
        names[i] = model->tensors[i].name;
    qsort(names, (size_t)model->n_tensors, sizeof(*names), compare_names);
    nw_status status = NW_OK;
    for (int32_t i = 1; !status && i < model->n_tensors; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = nw_fail(error, NW_ERROR_DATA, "tensor \"%.80s\": the name is there twice", names[i]);
    free(names);
    return status;
}

static nw_status check_node(const nw_model *model, int32_t index, uint8_t *ready, uint8_t *used, nw_error *error)
{
    const nw_node *node = &model->nodes[index];
    nw_check check = {.model = model, .node = node, .error = error};
    if ((unsigned)node->op >= NW_OP_COUNT)
        return nw_fail(error, NW_ERROR_DATA, "node %d: unknown operator", (int)index);
    if (!nw_text_is_utf8(node->name, strlen(node->name)))
        return nw_fail(error, NW_ERROR_DATA, "node %d: its name is not UTF-8", (int)index);
    if ((node->linear != NULL) != is_linear(node->op))
        return nw_check_fail(&check, node->linear ? "has weights that it does not use" : "has no integer weights");
    NW_TRY(check_links(&check, ready, used));
    check.x = &model->tensors[node->inputs[0]];
    check.y = &model->tensors[node->output];
    NW_TRY(check_types(&check));
    NW_TRY(nw_check_shapes(&check));
    return nw_check_numbers(&check);
}

/** What stands before the first node has a value: the inputs and the constants. */
static nw_status check_inputs(const nw_model *model, uint8_t *ready, nw_error *error)
{
    for (int32_t i = 0; i < model->n_tensors; i++)
        ready[i] = model->tensors[i].data ? VALUE : NOTHING;
    for (int32_t i = 0; i < model->n_inputs; i++) {
        const int32_t input = model->inputs[i];
        if (input < 0 || input >= model->n_tensors || model->tensors[input].type != NW_TYPE_F32)
            return nw_fail(error, NW_ERROR_DATA, "input %d of the model must be an f32 tensor", (int)i);
        if (ready[input])
            return nw_fail(error, NW_ERROR_DATA, "input \"%.80s\" of the model is there twice or a constant",
                           model->tensors[input].name);
        ready[input] = INPUT;
    }
    return NW_OK;
}

static nw_status check_outputs(const nw_model *model, const uint8_t *ready, uint8_t *used, nw_error *error)
{
    for (int32_t i = 0; i < model->n_outputs; i++) {
        const int32_t output = model->outputs[i];
        if (output < 0 || output >= model->n_tensors || ready[output] != VALUE || model->tensors[output].data ||
            model->tensors[output].type != NW_TYPE_F32)
            return nw_fail(error, NW_ERROR_DATA, "output %d of the model is no f32 tensor that a node computes",
                           (int)i);
        if (used[output] & 2)
            return nw_fail(error, NW_ERROR_DATA, "output \"%.80s\" of the model is there twice",
                           model->tensors[output].name);
        used[output] |= 2;
    }
    for (int32_t i = 0; i < model->n_tensors; i++)
        if (!ready[i] || !used[i])
            return fail_tensor(&model->tensors[i], error, ready[i] ? "is used by nothing" : "is computed by nothing");
    return NW_OK;
}

nw_status nw_model_validate(const nw_model *model, nw_error *error)
{
    if (model->n_tensors < 1 || model->n_nodes < 1 || model->n_inputs < 1 || model->n_outputs < 1)
        return nw_fail(error, NW_ERROR_DATA, "the model needs tensors, nodes, inputs and outputs");
    if (model->n_tensors > NW_MAX_ITEMS || model->n_nodes > NW_MAX_ITEMS)
        return nw_fail(error, NW_ERROR_DATA, "the model has more than %d tensors or nodes", NW_MAX_ITEMS);
    if (model->has_preprocess) {
        nw_preprocess preprocess = model->preprocess;
        NW_TRY(nw_preprocess_validate(&preprocess, error));
    }
    NW_TRY(check_codes(model, error));
    NW_TRY(check_tensors(model, error));
    uint8_t *ready = calloc((size_t)model->n_tensors, 1);
    uint8_t *used = calloc((size_t)model->n_tensors, 1);
    nw_status status = ready && used ? check_inputs(model, ready, error) : nw_fail_memory(error, "checking a model");
    for (int32_t i = 0; !status && i < model->n_nodes; i++)
        status = check_node(model, i, ready, used, error);
    if (!status)
        status = check_outputs(model, ready, used, error);
    free(ready);
    free(used);
    return status;
}
