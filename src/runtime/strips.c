/* SPDX-License-Identifier: Apache-2.0 */
/* See strips.h: the planning half. */
#include "runtime/strips.h"

#include "base/arith.h"

#define STRIP_PIXELS 128 /* of the output in a strip, at least: a call of the matrix kernel */
#define MOST_ROWS 8      /* above those that STRIP_PIXELS ask for */
#define SLACK 8          /* the arena may be 1 / SLACK larger than with strips of single rows, which are slower */

int32_t nw_strip_input(const nw_node *node, int32_t i)
{
    if (node->op == NW_OP_CONV || node->op == NW_OP_CONV_TRANSPOSE)
        return i == 0 ? node->inputs[0] : nw_node_residual(node);
    if (node->op == NW_OP_ADD)
        return node->inputs[i];
    return i == 0 ? node->inputs[0] : NW_NONE;
}

bool nw_strips_possible(const nw_model *model, const nw_node *node)
{
    switch (node->op) {
    case NW_OP_CONV:
    case NW_OP_CONV_TRANSPOSE:
    case NW_OP_MAX_POOL:
    case NW_OP_AVERAGE_POOL:
    case NW_OP_TABLE:
    case NW_OP_QUANTIZE:
    case NW_OP_DEQUANTIZE:
        return true;
    case NW_OP_ADD:
        return model->tensors[node->output].type == NW_TYPE_U8;
    case NW_OP_SLICE:
        return model->tensors[node->output].type == NW_TYPE_U8 && model->tensors[node->output].rank == 4;
    case NW_OP_PAD: /* not along the rows: those would have no row to come from */
        return model->tensors[node->output].rank == 4 && node->pads[2] == 0 && node->pads[6] == 0;
    default:
        return false;
    }
}

int32_t nw_strip_inner(const nw_layout *layout, const nw_node *node)
{
    for (int32_t i = 0; i < 2; i++) {
        const int32_t t = nw_strip_input(node, i);
        if (t != NW_NONE && layout->places[t].inner)
            return i;
    }
    return NW_NONE;
}

static nw_row_rule rule_of(const nw_model *model, const nw_node *node, int32_t i)
{
    nw_row_rule rule = {.stride = 1, .height = nw_tensor_height(&model->tensors[nw_strip_input(node, i)])};
    const nw_window *w = &node->window;
    switch (i == 0 ? node->op : NW_OP_COUNT) {
    case NW_OP_CONV:
    case NW_OP_CONV_TRANSPOSE:
        rule.halo = true;
        rule.transposed = node->op == NW_OP_CONV_TRANSPOSE;
        /* fall through */
    case NW_OP_MAX_POOL:
    case NW_OP_AVERAGE_POOL:
        rule.stride = w->stride[0];
        rule.pad = w->pad[0];
        rule.extent = (w->kernel[0] - 1) * w->dilation[0];
        break;
    case NW_OP_SLICE:
        rule.stride = node->steps[2];
        rule.pad = -node->starts[2];
        rule.origin = node->starts[2];
        break;
    default:
        break;
    }
    return rule;
}

static int32_t floor_div(int32_t a, int32_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

void nw_strip_reach(const nw_row_rule *rule, int32_t begin, int32_t end, int32_t *first, int32_t *last)
{
    if (rule->transposed) {
        *first = -floor_div(-(begin + rule->pad - rule->extent), rule->stride);
        *last = floor_div(end - 1 + rule->pad, rule->stride) + 1;
    } else {
        *first = begin * rule->stride - rule->pad;
        *last = (end - 1) * rule->stride - rule->pad + rule->extent + 1;
    }
    if (!rule->halo) {
        *first = nw_max32(*first, 0);
        *last = nw_min32(*last, rule->height);
    }
    *last = nw_max32(*first, *last);
}

/** Most input rows that `rows` output rows need, wherever they begin. */
static int32_t rows_needed(const nw_row_rule *rule, int32_t rows)
{
    const int32_t n = rule->transposed ? (rows - 1 + rule->extent) / rule->stride + 1
                                       : (rows - 1) * rule->stride + rule->extent + 1;
    return rule->halo ? n : nw_min32(n, rule->height);
}

/** All strips about equal, and one for each lane at least. */
static int32_t even_rows(int32_t height, int32_t lanes, int32_t rows)
{
    const int32_t most = nw_min32(rows, (height + lanes - 1) / lanes);
    const int32_t n = (height + most - 1) / most;
    return (height + n - 1) / n;
}

/**
 * Rows of a strip where memory is no matter: enough pixels for a matrix kernel, and enough rows that those which two
 * strips share are at most a third.
 */
static int32_t preferred_rows(const nw_model *model, const nw_node *node)
{
    const nw_tensor *y = &model->tensors[node->output];
    int32_t rows = (STRIP_PIXELS + nw_tensor_width(y) - 1) / nw_tensor_width(y);
    if (node->op == NW_OP_CONV || node->op == NW_OP_MAX_POOL || node->op == NW_OP_AVERAGE_POOL) {
        const int32_t stride = node->window.stride[0];
        const int32_t shared = nw_max32(0, (node->window.kernel[0] - 1) * node->window.dilation[0] + 1 - stride);
        rows = nw_max32(rows, nw_min32(MOST_ROWS, (2 * shared + stride - 1) / stride));
    } else if (node->op == NW_OP_CONV_TRANSPOSE) {
        rows = nw_round_up(rows, node->window.stride[0]);
    }
    return rows;
}

/** Bytes that unpacking or packing the tensor's rows needs; `apart`: it is a part of a joined tensor. */
static size_t temporary_size(const nw_layout *layout, const nw_model *model, int32_t tensor, bool apart)
{
    if (tensor == NW_NONE || !layout->places[tensor].stored)
        return 0;
    nw_arena counting = {0};
    nw_stored form;
    if (!layout->places[tensor].joined)
        return !nw_stored_form(&form, model, tensor, &counting) ? 0
               : layout->coded                                  ? nw_coded_temporary(&form, layout->words)
                                                                : nw_stored_temporary(&form, apart);
    size_t largest = 0;
    const nw_node *concat = &model->nodes[nw_model_producer(model, tensor)];
    for (int32_t i = 0; i < concat->n_inputs; i++) {
        const size_t size = temporary_size(layout, model, concat->inputs[i], true);
        largest = size > largest ? size : largest;
    }
    return largest;
}

static size_t take(size_t *used, size_t size)
{
    const size_t at = *used;
    *used = at + nw_align(size + NW_OVERREAD, NW_ARENA_ALIGNMENT);
    return at;
}

static void plan_input(nw_strips *s, size_t *used, const nw_layout *layout, const nw_model *model, const nw_node *node,
                       int32_t i)
{
    nw_strip_operand *o = &s->inputs[i];
    const int32_t tensor = nw_strip_input(node, i);
    if (tensor == NW_NONE || !(layout->places[tensor].stored || layout->places[tensor].inner))
        return;
    o->rule = rule_of(model, node, i);
    if (o->rule.halo)
        nw_window_reach(model, node, 1, &o->left, &o->right);
    o->rows = rows_needed(&o->rule, s->rows);
    o->row_size = (size_t)(o->left + nw_tensor_width(&model->tensors[tensor]) + o->right) *
                  (size_t)nw_tensor_channels(&model->tensors[tensor]);
    o->offset = take(used, (size_t)o->rows * o->row_size);
}

static void plan_output(nw_strips *s, size_t *used, const nw_layout *layout, const nw_model *model, const nw_node *node)
{
    const nw_place *p = &layout->places[node->output];
    const nw_tensor *t = &model->tensors[node->output];
    if (!p->stored && p->caller == NW_NONE)
        return;
    s->output.rows = s->rows;
    s->output.row_size = (size_t)nw_tensor_width(t) * (size_t)nw_tensor_channels(t) *
                         (t->type == NW_TYPE_F32 ? sizeof(float) : 1);
    s->output.offset = take(used, (size_t)s->rows * s->output.row_size);
}

/** Rows that the node in front makes at a time: as many as go from one strip to the next. */
static int32_t rows_in_front(const nw_strips *reader, const nw_strip_operand *window)
{
    return window->rule.transposed ? window->rows : nw_min32(window->rows, reader->rows * window->rule.stride);
}

/** Most bytes that unpacking and packing any operand of the chain needs. */
static size_t chain_temporary(const nw_layout *layout, const nw_model *model, int32_t first, int32_t last)
{
    size_t most = temporary_size(layout, model, model->nodes[last].output, false);
    for (int32_t n = first; n <= last; n++)
        for (int32_t i = 0; i < 2; i++) {
            const size_t size = temporary_size(layout, model, nw_strip_input(&model->nodes[n], i), false);
            most = size > most ? size : most;
        }
    return most;
}

void nw_strips_plan_chain(nw_strips *strips, const nw_layout *layout, const nw_model *model, int32_t first,
                          int32_t last, int32_t lanes, int32_t rows)
{
    const int32_t height = nw_tensor_height(&model->tensors[model->nodes[last].output]);
    const int32_t n_links = last - first + 1;
    size_t used = 0;
    for (int32_t i = n_links - 1; i >= 0; i--) {
        const nw_node *node = &model->nodes[first + i];
        nw_strips *s = &strips[i];
        *s = (nw_strips){.first = first, .last = last};
        if (!nw_strips_possible(model, node))
            return; /* alone: only such nodes have neighbours in a chain */
        s->lanes = nw_min32(lanes, height);
        if (i == n_links - 1) {
            s->rows = even_rows(height, s->lanes, rows);
            plan_output(s, &used, layout, model, node);
        } else {
            const int32_t inner = nw_strip_inner(layout, node + 1);
            s->output = strips[i + 1].inputs[inner];
            s->rows = rows_in_front(&strips[i + 1], &s->output);
        }
        for (int32_t j = 0; j < 2; j++)
            plan_input(s, &used, layout, model, node, j);
    }
    const size_t temporary = chain_temporary(layout, model, first, last);
    const size_t temporary_at = temporary ? take(&used, temporary) : 0;
    for (int32_t i = 0; i < n_links; i++) {
        strips[i].temporary = temporary_at;
        strips[i].lane_size = used;
    }
    if (!used)
        strips[0] = (nw_strips){.first = first, .last = last};
}

size_t nw_strips_bytes(const nw_layout *layout, const nw_model *model, const nw_strips *strips)
{
    size_t sum = (size_t)strips->lanes * strips->lane_size;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        const nw_place *p = &layout->places[t];
        if (p->size && p->first <= strips->last && strips->first <= p->last)
            sum += p->size;
    }
    return sum;
}

/** Rows of a strip to begin with: a chain gains from more, as long as all of its windows stay in cache. */
static int32_t most_rows(const nw_model *model, const nw_strips *strips)
{
    const nw_node *last = &model->nodes[strips->last];
    return strips->first < strips->last ? nw_tensor_height(&model->tensors[last->output]) : preferred_rows(model, last);
}

void nw_strips_plan(nw_layout *layout, const nw_model *model, const nw_layout_options *options)
{
    const size_t scratch = options->fusion_scratch ? options->fusion_scratch : NW_CHAIN_SCRATCH;
    size_t most = 0; /* bytes that no choice of strips can avoid */
    for (int32_t n = 0; n < model->n_nodes; n = layout->strips[n].last + 1) {
        nw_strips *s = &layout->strips[n];
        nw_strips_plan_chain(s, layout, model, s->first, s->last, options->lanes, 1);
        const size_t size = nw_strips_bytes(layout, model, s);
        most = size > most ? size : most;
    }
    most += most / SLACK;
    for (int32_t n = 0; n < model->n_nodes; n = layout->strips[n].last + 1) {
        nw_strips *s = &layout->strips[n];
        const bool chain = s->first < s->last;
        if (!s->rows)
            continue;
        for (int32_t rows = most_rows(model, s); rows >= 1; rows--) {
            nw_strips_plan_chain(s, layout, model, s->first, s->last, options->lanes, rows);
            if ((!chain || s->lane_size <= scratch) &&
                ((chain && options->fusion == NW_FUSION_FAST) || nw_strips_bytes(layout, model, s) <= most))
                break;
        }
    }
}
