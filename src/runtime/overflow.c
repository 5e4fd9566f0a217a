/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See overflow.h. A node falls into phases (one; stride * stride of a transposed convolution, whose output pixels with
 * the same remainder see the same taps) and its rows into panels of 16 rows of one group:
 *
 *     node -> phases -> panels: weights [n columns of the phase][16 rows], and where each run of steps ends
 */
#include "runtime/overflow.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/runs.h"

#define ROWS 16
#define STEP 4 /* columns */

/** What happens behind a step of a panel. */
enum { RUN_GOES_ON, RUN_ENDS, STEP_IN_32_BITS };

typedef struct panel {
    int32_t group, n_rows;
    int8_t *weights;       /* [n, ROWS] owned; rows past n_rows are 0 */
    uint8_t *ends;         /* [steps] owned; NULL: no sums in 16 bits */
    int32_t offset[ROWS];  /* zero-point term of the phase's columns */
} panel;

typedef struct phase {
    int32_t at[2];         /* (y + pad) mod stride of its output pixels; a convolution: 0 */
    int32_t n;             /* columns of one group */
    int32_t *column;       /* [n] owned; of k */
    int32_t *dy, *dx, *c;  /* [n] owned: input pixel it meets, less the phase's origin; channel within the group */
    panel *panels;         /* [n_panels] owned */
    int32_t n_panels;
} phase;

typedef struct layer {
    phase *phases; /* [n_phases] owned; NULL: no linear node */
    int32_t n_phases;
    uint8_t *codes; /* [n of the largest phase] owned scratch */
    nw_overflow_count count;
} layer;

struct nw_overflow {
    const nw_model *model;
    layer *layers;     /* [n_nodes] owned */
    uint8_t **tensors; /* [n_tensors] owned: codes [H, W, C] of what linear nodes read, else NULL */
};

/* preparation */

static bool phase_columns(phase *p, const nw_node *node, int32_t channels)
{
    const nw_window *w = &node->window;
    const bool transpose = node->op == NW_OP_CONV_TRANSPOSE;
    const size_t k = (size_t)node->linear->k;
    p->column = malloc((k + 1) * sizeof(*p->column));
    p->dy = malloc((k + 1) * sizeof(*p->dy));
    p->dx = malloc((k + 1) * sizeof(*p->dx));
    p->c = malloc((k + 1) * sizeof(*p->c));
    if (!p->column || !p->dy || !p->dx || !p->c)
        return false;
    for (int32_t j = 0; j < node->linear->k; j++) {
        const int32_t tap = j / channels;
        int32_t y = tap / w->kernel[1] * w->dilation[0] - p->at[0];
        int32_t x = tap % w->kernel[1] * w->dilation[1] - p->at[1];
        if (transpose && (y % w->stride[0] || x % w->stride[1]))
            continue;
        p->dy[p->n] = transpose ? -(y / w->stride[0]) : y;
        p->dx[p->n] = transpose ? -(x / w->stride[1]) : x;
        p->c[p->n] = j % channels;
        p->column[p->n++] = j;
    }
    return true;
}

/** Ranges of the lanes over one step, from the limits of the codes. */
static void step_ranges(nw_ranges *ranges, const panel *q, const phase *p, const nw_quant *quant, int32_t channels,
                        int32_t step)
{
    memset(ranges, 0, sizeof(*ranges));
    for (int32_t j = STEP * step; j < STEP * (step + 1) && j < p->n; j++) {
        int32_t lowest, highest;
        nw_quant_code_range(quant, q->group * channels + p->c[j], &lowest, &highest);
        for (int32_t r = 0; r < ROWS; r++) {
            const int32_t a = q->weights[(size_t)j * ROWS + (size_t)r] * lowest;
            const int32_t b = q->weights[(size_t)j * ROWS + (size_t)r] * highest;
            const int32_t lane = j % STEP / 2 * ROWS + r;
            ranges->high[lane] += a > b ? a : b;
            ranges->low[lane] += a > b ? b : a;
        }
    }
}

/** Runs in the order of k, each as long as it is proven. */
static bool find_runs(panel *q, const phase *p, const nw_quant *quant, int32_t channels)
{
    const int32_t n_steps = (p->n + STEP - 1) / STEP;
    nw_ranges total = {{0}, {0}};
    q->ends = calloc((size_t)n_steps + 1, 1);
    for (int32_t step = 0; q->ends && step < n_steps; step++) {
        nw_ranges ranges;
        step_ranges(&ranges, q, p, quant, channels, step);
        if (step && q->ends[step - 1] == RUN_GOES_ON && nw_ranges_join(&total, &ranges, 2 * ROWS))
            continue;
        if (step && q->ends[step - 1] == RUN_GOES_ON)
            q->ends[step - 1] = RUN_ENDS;
        total = ranges;
        q->ends[step] = nw_ranges_fit(&ranges, 2 * ROWS) ? RUN_GOES_ON : STEP_IN_32_BITS;
    }
    if (q->ends && n_steps && q->ends[n_steps - 1] == RUN_GOES_ON)
        q->ends[n_steps - 1] = RUN_ENDS;
    return q->ends != NULL;
}

/** Appends a row of the node to the last panel of its group, or to a new one. */
static bool add_row(phase *p, const nw_node *node, int32_t row, int32_t zero_point)
{
    const nw_linear *linear = node->linear;
    const int32_t group = linear->row_channel[row] / (linear->n_channels / node->groups);
    int32_t i = p->n_panels;
    while (i > 0 && (p->panels[i - 1].group != group || p->panels[i - 1].n_rows == ROWS))
        i--;
    if (!i) {
        i = ++p->n_panels;
        p->panels[i - 1] = (panel){.group = group, .weights = calloc((size_t)p->n + 1, ROWS)};
    }
    panel *q = &p->panels[i - 1];
    if (!q->weights)
        return false;
    const int32_t r = q->n_rows++;
    for (int32_t j = 0; j < p->n; j++) {
        const int8_t w = linear->weights[(size_t)row * (size_t)linear->k + (size_t)p->column[j]];
        q->weights[(size_t)j * ROWS + (size_t)r] = w;
        q->offset[r] -= zero_point * w;
    }
    return true;
}

static bool prepare_phase(phase *p, const nw_model *model, const nw_node *node)
{
    const nw_quant *quant = &model->tensors[node->inputs[0]].quant;
    const int32_t channels = nw_tensor_channels(&model->tensors[node->inputs[0]]) / node->groups;
    const bool in_runs =
        node->linear->accumulator == NW_ACCUMULATOR_AUTO || node->linear->accumulator == NW_ACCUMULATOR_16;
    bool done = phase_columns(p, node, channels);
    p->panels = calloc((size_t)node->linear->n_rows + 1, sizeof(*p->panels));
    done = done && p->panels;
    for (int32_t row = 0; done && row < node->linear->n_rows; row++)
        done = add_row(p, node, row, quant->zero_point);
    for (int32_t i = 0; done && in_runs && i < p->n_panels; i++)
        done = find_runs(&p->panels[i], p, quant, channels);
    return done;
}

static bool prepare_layer(layer *l, const nw_model *model, const nw_node *node)
{
    const int32_t *stride = node->window.stride;
    const int32_t n = node->op == NW_OP_CONV_TRANSPOSE ? stride[0] * stride[1] : 1;
    l->codes = malloc((size_t)node->linear->k + 1);
    l->phases = calloc((size_t)n, sizeof(*l->phases));
    bool done = l->codes && l->phases;
    for (int32_t i = 0; done && i < n; i++) {
        l->n_phases++;
        l->phases[i].at[0] = n > 1 ? i / stride[1] : 0;
        l->phases[i].at[1] = n > 1 ? i % stride[1] : 0;
        done = prepare_phase(&l->phases[i], model, node);
    }
    return done;
}

nw_status nw_overflow_create(nw_overflow **out, const nw_model *model, nw_error *error)
{
    nw_overflow *overflow = calloc(1, sizeof(*overflow));
    if (!overflow)
        return nw_fail_memory(error, "counting overflows");
    overflow->model = model;
    overflow->layers = calloc((size_t)model->n_nodes + 1, sizeof(*overflow->layers));
    overflow->tensors = calloc((size_t)model->n_tensors + 1, sizeof(*overflow->tensors));
    bool done = overflow->layers && overflow->tensors;
    for (int32_t n = 0; done && n < model->n_nodes; n++) {
        const nw_node *node = &model->nodes[n];
        if (!node->linear)
            continue;
        uint8_t **codes = &overflow->tensors[node->inputs[0]];
        *codes = *codes ? *codes : malloc(nw_tensor_elements(&model->tensors[node->inputs[0]]));
        done = *codes && prepare_layer(&overflow->layers[n], model, node);
    }
    if (done) {
        *out = overflow;
        return NW_OK;
    }
    nw_overflow_free(overflow);
    return nw_fail_memory(error, "counting overflows");
}

static void phase_clear(phase *p)
{
    for (int32_t i = 0; i < p->n_panels; i++) {
        free(p->panels[i].weights);
        free(p->panels[i].ends);
    }
    free(p->panels);
    free(p->column);
    free(p->dy);
    free(p->dx);
    free(p->c);
}

void nw_overflow_free(nw_overflow *overflow)
{
    if (!overflow)
        return;
    for (int32_t n = 0; overflow->layers && n < overflow->model->n_nodes; n++) {
        for (int32_t i = 0; i < overflow->layers[n].n_phases; i++)
            phase_clear(&overflow->layers[n].phases[i]);
        free(overflow->layers[n].phases);
        free(overflow->layers[n].codes);
    }
    for (int32_t t = 0; overflow->tensors && t < overflow->model->n_tensors; t++)
        free(overflow->tensors[t]);
    free(overflow->layers);
    free(overflow->tensors);
    free(overflow);
}

/* counting */

static uint32_t is_outside(int32_t sum)
{
    return (uint32_t)(sum < INT16_MIN) | (uint32_t)(sum > INT16_MAX);
}

/** Ends the panel's run: counts its lanes if they were summed in 16 bits. */
static void end_run(nw_overflow_count *count, int32_t lanes[2][ROWS], int32_t n_rows, bool in_16_bits)
{
    for (int32_t r = 0; in_16_bits && r < n_rows; r++)
        count->runs_outside += is_outside(lanes[0][r]) + is_outside(lanes[1][r]);
    count->runs += in_16_bits ? 2 * (uint64_t)n_rows : 0;
    memset(lanes, 0, 2 * sizeof(lanes[0]));
}

/** All sums of a panel at one output pixel. */
static void count_panel(nw_overflow_count *count, const panel *q, const uint8_t *codes, int32_t n)
{
    int32_t sums[ROWS] = {0};
    int32_t lanes[2][ROWS] = {{0}, {0}};
    uint32_t outside[ROWS] = {0};
    for (int32_t j = 0; j < n; j++) {
        const int8_t *w = q->weights + (size_t)j * ROWS;
        int32_t *lane = lanes[j % STEP / 2];
        for (int32_t r = 0; r < ROWS; r++) {
            const int32_t product = w[r] * codes[j];
            sums[r] += product;
            lane[r] += product;
            outside[r] += is_outside(sums[r]);
        }
        const int32_t end = q->ends && (j % STEP == STEP - 1 || j + 1 == n) ? q->ends[j / STEP] : RUN_GOES_ON;
        if (end != RUN_GOES_ON)
            end_run(count, lanes, q->n_rows, end == RUN_ENDS);
    }
    for (int32_t r = 0; r < q->n_rows; r++) {
        count->sums_outside += is_outside(sums[r]);
        count->centred_outside += is_outside(sums[r] + q->offset[r]);
        count->partial_sums_outside += outside[r];
        count->lowest = sums[r] < count->lowest || !count->sums ? sums[r] : count->lowest;
        count->highest = sums[r] > count->highest || !count->sums ? sums[r] : count->highest;
        count->sums++;
    }
    count->partial_sums += (uint64_t)n * (uint64_t)q->n_rows;
}

/** Codes that the columns of group g meet at the input pixel [y, x]; outside of the picture the zero point. */
static void gather(uint8_t *codes, const phase *p, const nw_tensor *x_tensor, const uint8_t *picture, int32_t g,
                   int32_t groups, int32_t y, int32_t x)
{
    const int32_t height = nw_tensor_height(x_tensor);
    const int32_t width = nw_tensor_width(x_tensor);
    const int32_t channels = nw_tensor_channels(x_tensor);
    for (int32_t j = 0; j < p->n; j++) {
        const int32_t iy = y + p->dy[j];
        const int32_t ix = x + p->dx[j];
        const bool inside = iy >= 0 && iy < height && ix >= 0 && ix < width;
        const size_t pixel = inside ? (size_t)iy * (size_t)width + (size_t)ix : 0;
        codes[j] = inside ? picture[pixel * (size_t)channels + (size_t)(g * (channels / groups) + p->c[j])]
                          : x_tensor->quant.zero_point;
    }
}

/** Origin in the input of an output coordinate along axis i; false: another phase's. */
static bool meets(int32_t *origin, const nw_node *node, const phase *p, int32_t i, int32_t out)
{
    const nw_window *w = &node->window;
    if (node->op == NW_OP_CONV) {
        *origin = out * w->stride[i] - w->pad[i];
        return true;
    }
    *origin = (out + w->pad[i]) / w->stride[i];
    return (out + w->pad[i]) % w->stride[i] == p->at[i];
}

static void count_phase(layer *l, const phase *p, const nw_model *model, const nw_node *node, const uint8_t *picture)
{
    const nw_tensor *y_tensor = &model->tensors[node->output];
    for (int32_t oy = 0; oy < nw_tensor_height(y_tensor); oy++)
        for (int32_t ox = 0; ox < nw_tensor_width(y_tensor); ox++) {
            int32_t y, x;
            if (!meets(&y, node, p, 0, oy) || !meets(&x, node, p, 1, ox))
                continue;
            int32_t gathered = NW_NONE;
            for (int32_t i = 0; i < p->n_panels; i++) {
                if (p->panels[i].group != gathered)
                    gather(l->codes, p, &model->tensors[node->inputs[0]], picture, p->panels[i].group, node->groups, y,
                           x);
                gathered = p->panels[i].group;
                count_panel(&l->count, &p->panels[i], l->codes, p->n);
            }
        }
}

/** The codes of a view as [H, W, C]. */
static void keep(uint8_t *to, const nw_view *view)
{
    const ptrdiff_t channel = view->rank > 1 ? view->strides[1] : 0;
    for (int32_t y = 0; y < nw_view_height(view); y++)
        for (int32_t x = 0; x < nw_view_width(view); x++) {
            const uint8_t *at = view->data + y * nw_view_row_stride(view) + x * nw_view_pixel_stride(view);
            for (int32_t c = 0; c < nw_view_channels(view); c++)
                *to++ = at[c * channel];
        }
}

void nw_overflow_observe(void *context, int32_t n, const nw_view *view)
{
    nw_overflow *overflow = context;
    const nw_node *node = &overflow->model->nodes[n];
    layer *l = &overflow->layers[n];
    for (int32_t i = 0; i < l->n_phases; i++)
        count_phase(l, &l->phases[i], overflow->model, node, overflow->tensors[node->inputs[0]]);
    if (overflow->tensors[node->output])
        keep(overflow->tensors[node->output], view);
}

const nw_overflow_count *nw_overflow_counts(const nw_overflow *overflow, int32_t node)
{
    return overflow->layers[node].n_phases ? &overflow->layers[node].count : NULL;
}
