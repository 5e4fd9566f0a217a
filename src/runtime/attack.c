/* SPDX-License-Identifier: Apache-2.0 */
/* See attack.h. narrow verify calls it for every linear node and family. */
#include "runtime/attack.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/arith.h"
#include "ops/ops.h"
#include "runtime/fpenv.h"

#define BLOCK 64   /* rows packed together: whole panels of every family */
#define PREFIXES 3 /* for each row and direction, besides the whole of k */
#define INPUTS (2 * (1 + PREFIXES))

/* bounds */

/** Codes that can meet column j of a row. */
static void codes_of(const nw_model *model, const nw_node *node, int32_t row, int32_t j, int32_t *lowest,
                     int32_t *highest)
{
    const nw_tensor *x = &model->tensors[node->inputs[0]];
    const int32_t inputs = nw_tensor_channels(x) / node->groups;
    const int32_t outputs = node->linear->n_channels / node->groups;
    const int32_t c = node->linear->row_channel[row] / outputs * inputs + j % inputs;
    const int32_t step = 1 << x->quant.shift[c];
    *lowest = x->quant.zero_point + (int32_t)x->quant.lo[c] * step;
    *highest = x->quant.zero_point + (int32_t)x->quant.hi[c] * step;
}

nw_status nw_attack_bounds(const nw_model *model, int32_t index, nw_error *error)
{
    const nw_node *node = &model->nodes[index];
    const nw_linear *linear = node->linear;
    const int64_t zero = model->tensors[node->inputs[0]].quant.zero_point;
    for (int32_t row = 0; row < linear->n_rows; row++) {
        int64_t above = 0, below = 0, weights = 0; /* of partial sums in any order; padding included */
        for (int32_t j = 0; j < linear->k; j++) {
            const int64_t w = linear->weights[(size_t)row * (size_t)linear->k + (size_t)j];
            int32_t lowest, highest;
            codes_of(model, node, row, j, &lowest, &highest);
            above += w > 0 ? w * highest : w * lowest < 0 ? 0 : w * lowest;
            below += w < 0 ? w * highest : 0;
            weights += w;
        }
        const int32_t channel = linear->row_channel[row];
        if (linear->offset[row] != -zero * weights)
            return nw_fail(
                error, NW_GOAL_MISSED,
                "node \"%s\", channel %d: its zero-point term is %d, but weights and zero point give %" PRId64,
                node->name, channel, linear->offset[row], -zero * weights);
        const int64_t z = linear->offset[row];
        if (above > INT32_MAX || below < -INT32_MAX || above + z > INT32_MAX || below + z < -INT32_MAX)
            return nw_fail(error, NW_GOAL_MISSED, "node \"%s\", channel %d: its sums reach from %" PRId64 " to %" PRId64
                           ", which 32 bits do not hold", node->name, channel, below, above);
    }
    return NW_OK;
}

/* attack */

/** A block of rows of one group, as a fully connected layer over as many pixels as there are inputs to try. */
typedef struct block {
    const nw_model *model;
    const nw_node *node;
    int32_t first, n_rows; /* rows of the node */
    int32_t n_inputs;      /* channels of the picture: k, or the block's rows of a depthwise layer */
    int32_t height, width; /* of the window */
    bool depthwise;
    int32_t n;             /* pixels */
    int32_t step;          /* outputs from the one of a pixel to that of the next: 1, or every window's (Winograd) */
    uint8_t *picture;      /* [height, n * width, n_inputs] */
    float *sums;           /* [step * n, n_rows] */
    nw_view x, y;
    float *ones, *zeros, *lo, *hi;
    uint8_t *shift;
    int32_t *row_channel, *offset;
} block;

static bool is_depthwise(const nw_model *model, const nw_node *node)
{
    const int32_t channels = nw_tensor_channels(&model->tensors[node->inputs[0]]);
    return node->op == NW_OP_CONV && node->groups > 1 && node->groups == channels &&
           node->groups == node->linear->n_channels && node->linear->n_rows == node->linear->n_channels;
}

static void block_clear(block *b)
{
    free(b->picture);
    free(b->sums);
    free(b->ones);
    free(b->zeros);
    free(b->lo);
    free(b->hi);
    free(b->shift);
    free(b->row_channel);
    free(b->offset);
}

static bool block_init(block *b)
{
    const size_t pixels = (size_t)b->height * (size_t)b->width * (size_t)b->n;
    const size_t size = pixels * (size_t)b->n_inputs;
    const size_t rows = (size_t)b->n_rows;
    const size_t channels = (size_t)b->n_inputs;
    b->picture = malloc(size + NW_OVERREAD);
    b->sums = malloc((size_t)b->n * (size_t)b->step * rows * sizeof(float));
    b->ones = malloc(rows * sizeof(float));
    b->zeros = calloc(rows, sizeof(float));
    b->lo = malloc(channels * sizeof(float));
    b->hi = malloc(channels * sizeof(float));
    b->shift = calloc(channels, 1);
    b->row_channel = malloc(rows * sizeof(int32_t));
    b->offset = calloc(rows, sizeof(int32_t));
    if (!b->picture || !b->sums || !b->ones || !b->zeros || !b->lo || !b->hi || !b->shift || !b->row_channel ||
        !b->offset)
        return false;
    memset(b->picture + size, 0, NW_OVERREAD);
    for (int32_t r = 0; r < b->n_rows; r++) {
        b->ones[r] = 1.0f;
        b->row_channel[r] = r;
    }
    const ptrdiff_t c = b->n_inputs;
    const ptrdiff_t row = c * b->width * b->n;
    const ptrdiff_t out = (ptrdiff_t)rows * 4;
    b->x = (nw_view){.data = b->picture,
                     .rank = 4,
                     .element_size = 1,
                     .dims = {1, b->n_inputs, b->height, b->width * b->n},
                     .strides = {row * b->height, 1, row, c}};
    const int32_t columns = b->step * (b->n - 1) + 1;
    b->y = (nw_view){.data = (uint8_t *)b->sums, .rank = 4, .element_size = 4, .dims = {1, b->n_rows, 1, columns},
                     .strides = {out * columns, 4, out * columns, out}};
    return true;
}

/** Limits around code 0: what the layer's input may hold. */
static void set_limits(block *b)
{
    for (int32_t c = 0; c < b->n_inputs; c++) {
        int32_t lowest, highest;
        codes_of(b->model, b->node, b->depthwise ? b->first + c : b->first, c, &lowest, &highest);
        b->lo[c] = (float)lowest;
        b->hi[c] = (float)highest;
    }
}

/** Byte of the picture that column j of the block's row r meets in pixel p. */
static size_t place(const block *b, int32_t r, int32_t j, int32_t p)
{
    const int32_t per_tap = b->depthwise ? 1 : b->n_inputs;
    const int32_t tap = j / per_tap;
    const int32_t c = b->depthwise ? r : j % per_tap;
    const size_t y = (size_t)(tap / b->width);
    const size_t x = (size_t)p * (size_t)b->width + (size_t)(tap % b->width);
    return (y * (size_t)b->width * (size_t)b->n + x) * (size_t)b->n_inputs + (size_t)c;
}

/** Input i of a row: which of its columns, [0, end), go the one way; the others go the other way. */
static int32_t turning_point(int32_t i, int32_t k)
{
    const int32_t which = i / 2;
    return which == 0 ? k : (int32_t)((int64_t)k * which / (PREFIXES + 1));
}

/** Writes input i of row r into a pixel and returns the exact sum. */
static int64_t write_input(block *b, int32_t r, int32_t i, int32_t p)
{
    const nw_linear *linear = b->node->linear;
    const int32_t row = b->first + r;
    const int8_t *w = linear->weights + (size_t)row * (size_t)linear->k;
    const int32_t end = turning_point(i, linear->k);
    int64_t sum = 0;
    for (int32_t j = 0; j < linear->k; j++) {
        int32_t lowest, highest;
        codes_of(b->model, b->node, row, j, &lowest, &highest);
        const bool up = (i % 2 == 0) == (j < end);
        const int32_t code = (w[j] > 0) == up ? highest : lowest;
        b->picture[place(b, r, j, p)] = (uint8_t)code;
        sum += (int64_t)w[j] * code;
    }
    return sum;
}

/**
 * The layer as it is packed: bias 0, multipliers 1, no zero point, sums as reals. scratch: for Winograd's convolution.
 */
static nw_status make_job(nw_job *job, const block *b, const nw_kernels *kernels, nw_scratch *scratch, nw_arena *arena)
{
    const nw_linear *linear = b->node->linear;
    const nw_tensor *y = &b->model->tensors[b->node->output];
    const nw_linear_params params = {
        .x = b->x,
        .y = b->y,
        .wrap16 = linear->accumulator == NW_ACCUMULATOR_16_WRAP,
        .arrangement = scratch                                      ? NW_ARRANGE_WINOGRAD
                       : linear->accumulator == NW_ACCUMULATOR_32 ? NW_ARRANGE_INT32
                                                                  : NW_ARRANGE_CHEAPEST,
        .scratch = scratch,
        .window = {.kernel = {b->height, b->width}, .stride = {b->height, b->width / b->step}, .dilation = {1, 1}},
        .groups = b->depthwise ? b->n_rows : 1,
        .whole_pixels = nw_tensor_height(y) * nw_tensor_width(y),
        .whole_weights = (int64_t)linear->n_rows * linear->k,
        .x_codes = {.zero_point = 0, .lo = b->lo, .hi = b->hi, .shift = b->shift},
        .n_channels = b->n_rows,
        .n_rows = b->n_rows,
        .k = linear->k,
        .weights = linear->weights + (size_t)b->first * (size_t)linear->k,
        .row_channel = b->row_channel,
        .multiplier = b->ones,
        .bias = b->zeros,
        .offset = b->offset,
    };
    return nw_linear_make(job, &params, kernels, arena);
}

static nw_status compare(const block *b, int32_t r, int32_t p, int64_t exact, nw_error *error)
{
    const bool wraps = b->node->linear->accumulator == NW_ACCUMULATOR_16_WRAP;
    const int64_t wanted = wraps ? (exact + 32768) - (((exact + 32768) >> 16) * 65536) - 32768 : exact;
    const float sum = b->sums[(size_t)p * (size_t)b->step * (size_t)b->n_rows + (size_t)r];
    if (sum >= (float)wanted && sum <= (float)wanted)
        return NW_OK;
    return nw_fail(error, NW_GOAL_MISSED,
                   "node \"%s\", channel %d: a worst input sums to %" PRId64 ", the kernel says %.0f", b->node->name,
                   b->node->linear->row_channel[b->first + r], wanted, (double)sum);
}

/** What a block runs with: the job, and the memory behind it. */
typedef struct packed_block {
    nw_job job;
    uint8_t *memory; /* owned, with the scratch of Winograd's convolution behind what is packed */
} packed_block;

static nw_status pack_block(packed_block *out, const block *b, const nw_kernels *kernels, nw_error *error)
{
    nw_scratch scratch = {.lanes = 1};
    nw_scratch *const used = b->step > 1 ? &scratch : NULL;
    nw_arena count = {0};
    *out = (packed_block){.memory = NULL};
    nw_status status = make_job(&out->job, b, kernels, used, &count);
    const size_t size = nw_align(count.used + 1, NW_ARENA_ALIGNMENT);
    if (!status)
        out->memory = aligned_alloc(NW_ARENA_ALIGNMENT, size + nw_align(scratch.needed, NW_ARENA_ALIGNMENT));
    if (!out->memory)
        return nw_fail_memory(error, "attacking the sums");
    nw_arena arena = {.base = out->memory};
    scratch.base = out->memory + size;
    status = make_job(&out->job, b, kernels, used, &arena);
    return status ? nw_fail_memory(error, "attacking the sums") : NW_OK;
}

static nw_status run_block(block *b, const nw_kernels *kernels, nw_error *error)
{
    packed_block packed;
    nw_status status = pack_block(&packed, b, kernels, error);
    int64_t *exact = malloc((size_t)b->n * sizeof(*exact));
    if (!status && !exact)
        status = nw_fail_memory(error, "attacking the sums");
    if (!status) {
        memset(b->picture, 0, (size_t)b->height * (size_t)b->width * (size_t)b->n * (size_t)b->n_inputs);
        for (int32_t p = 0; p < b->n; p++)
            exact[p] = write_input(b, p / INPUTS, p % INPUTS, p);
        const nw_fpenv saved = nw_fpenv_enter();
        packed.job.run(packed.job.state, 0, packed.job.n_tiles);
        nw_fpenv_leave(saved);
    }
    for (int32_t p = 0; !status && p < b->n; p++)
        status = compare(b, p / INPUTS, p, exact[p], error);
    free(packed.memory);
    free(exact);
    return status;
}

/** As a fully connected layer; `between`: as a convolution that also sums what lies between the windows. */
static nw_status attack_rows(const nw_model *model, const nw_node *node, int32_t first, int32_t n_rows, bool between,
                             const nw_kernels *kernels, nw_error *error)
{
    const bool transpose = node->op == NW_OP_CONV_TRANSPOSE;
    block b = {.model = model, .node = node, .first = first, .n_rows = n_rows, .depthwise = is_depthwise(model, node),
               .n = n_rows * INPUTS};
    b.height = transpose ? 1 : node->window.kernel[0];
    b.width = node->linear->k / (nw_tensor_channels(&model->tensors[node->inputs[0]]) / node->groups) / b.height;
    b.step = between ? b.width : 1;
    b.n_inputs = b.depthwise ? n_rows : nw_tensor_channels(&model->tensors[node->inputs[0]]) / node->groups;
    nw_status status = block_init(&b) ? NW_OK : nw_fail_memory(error, "attacking the sums");
    if (!status) {
        set_limits(&b);
        status = run_block(&b, kernels, error);
    }
    block_clear(&b);
    return status;
}

/** End of the rows that follow each other in one group and one point, at most a block. */
static int32_t block_end(const nw_model *model, const nw_node *node, int32_t first)
{
    const nw_linear *linear = node->linear;
    const int32_t outputs = linear->n_channels / node->groups;
    const bool depthwise = is_depthwise(model, node);
    int32_t end = first + 1;
    while (end < linear->n_rows && end < first + BLOCK && (end < linear->n_channels) == (first < linear->n_channels) &&
           (depthwise || linear->row_channel[end] / outputs == linear->row_channel[first] / outputs))
        end++;
    return end;
}

/** Whether an engine may compute the node by Winograd's convolution, which has to prove itself too. */
static bool may_be_winograd(const nw_node *node)
{
    return node->op == NW_OP_CONV && node->groups == 1 && node->linear->n_rows == node->linear->n_channels &&
           nw_window_suits_winograd(&node->window);
}

nw_status nw_attack_node(const nw_model *model, int32_t index, const nw_kernels *kernels, nw_error *error)
{
    const nw_node *node = &model->nodes[index];
    const bool winograd = kernels->winograd.run && may_be_winograd(node);
    for (int32_t first = 0; first < node->linear->n_rows;) {
        const int32_t end = block_end(model, node, first);
        NW_TRY(attack_rows(model, node, first, end - first, false, kernels, error));
        if (winograd)
            NW_TRY(attack_rows(model, node, first, end - first, true, kernels, error));
        first = end;
    }
    return NW_OK;
}
