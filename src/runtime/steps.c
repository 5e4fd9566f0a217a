/* SPDX-License-Identifier: Apache-2.0 */
/* See steps.h: one small function per operator turns a node into the parameters its operator in ops/ wants. */
#include "runtime/steps.h"

#include <string.h>

#include "base/arith.h"

void nw_halo_fill(const nw_halo *halo)
{
    if (!halo->rows)
        return;
    uint8_t *at = halo->buffer;
    memset(at, halo->code, halo->before);
    for (int32_t y = 0; y + 1 < halo->rows; y++)
        memset(at + halo->before + (size_t)(y + 1) * halo->row_size - halo->between, halo->code, halo->between);
    memset(at + halo->before + (size_t)halo->rows * halo->row_size - halo->between, halo->code, halo->after);
}

static const nw_tensor *tensor_of(const nw_builder *b, int32_t t)
{
    return &b->model->tensors[t];
}

/** Where a tensor lies. A constant gets a copy in the arena for every node that reads it: they are few and small. */
static nw_view view_of(const nw_builder *b, int32_t t)
{
    const nw_tensor *tensor = tensor_of(b, t);
    nw_view view = nw_layout_view(b->layout, b->model, t, b->activations);
    if (tensor->data)
        view.data = nw_arena_copy(b->arena, tensor->data, nw_tensor_elements(tensor) * sizeof(float), 0);
    return view;
}

/** Where an operand of node n lies: in the arena, or in the scratch of its strips. */
static nw_view operand_view(const nw_builder *b, int32_t n, int32_t t, const nw_strip_operand *o)
{
    nw_view view = view_of(b, t);
    if (!o->rows)
        return view;
    const ptrdiff_t pixel = nw_tensor_channels(tensor_of(b, t)) * view.element_size;
    view.strides[1] = view.element_size;
    view.strides[2] = (ptrdiff_t)o->row_size;
    view.strides[3] = pixel;
    if (b->activations)
        view.data = b->activations + b->layout->strips[n].offset + o->offset + (size_t)(o->left * pixel);
    return view;
}

/** Input i of a node that may run in strips (nw_strip_input), and its output. */
static nw_view input_view(const nw_builder *b, int32_t n, int32_t i)
{
    return operand_view(b, n, nw_strip_input(&b->model->nodes[n], i), &b->layout->strips[n].inputs[i]);
}

static nw_view output_view(const nw_builder *b, int32_t n)
{
    return operand_view(b, n, b->model->nodes[n].output, &b->layout->strips[n].output);
}

static int32_t count_parts(const nw_builder *b, int32_t t)
{
    if (!b->layout->places[t].joined)
        return 1;
    int32_t n = 0;
    const nw_node *concat = &b->model->nodes[nw_model_producer(b->model, t)];
    for (int32_t i = 0; i < concat->n_inputs; i++)
        n += count_parts(b, concat->inputs[i]);
    return n;
}

/** Appends the parts of tensor t, whose first channel is `channel` of the whole; returns the place of the next part. */
static nw_part *fill_parts(const nw_builder *b, int32_t t, int32_t channel, nw_part *parts)
{
    if (!b->layout->places[t].joined) {
        const nw_place *p = &b->layout->places[t];
        nw_part part = {.channel = channel, .form = {.slot_size = p->slot_size}};
        nw_stored_form(&part.form.stored, b->model, t, b->arena);
        if (!parts)
            return NULL;
        const nw_quant *quant = &tensor_of(b, t)->quant;
        part.form.zero_point = quant->zero_point;
        if (b->symbols && quant->code)
            part.form.codes = &b->symbols[quant->code - 1];
        if (b->symbols && quant->low_code)
            part.form.low = &b->symbols[quant->low_code - 1];
        part.rows = b->activations + p->offset;
        if (b->layout->coded) {
            part.coded = (nw_coded_row *)(void *)part.rows;
            part.rows +=
                nw_align((size_t)nw_tensor_height(tensor_of(b, t)) * sizeof(nw_coded_row), NW_ARENA_ALIGNMENT);
        }
        *parts = part;
        return parts + 1;
    }
    const nw_node *concat = &b->model->nodes[nw_model_producer(b->model, t)];
    for (int32_t i = 0; i < concat->n_inputs; i++) {
        parts = fill_parts(b, concat->inputs[i], channel, parts);
        channel += nw_tensor_channels(tensor_of(b, concat->inputs[i]));
    }
    return parts;
}

nw_picture nw_picture_of(const nw_builder *b, int32_t t)
{
    const nw_tensor *tensor = tensor_of(b, t);
    nw_picture picture = {.channels = nw_tensor_channels(tensor),
                          .height = nw_tensor_height(tensor),
                          .width = nw_tensor_width(tensor)};
    if (!b->layout->places[t].stored)
        return picture;
    picture.n_parts = count_parts(b, t);
    nw_part *parts = nw_arena_take(b->arena, (size_t)picture.n_parts * sizeof(*parts));
    fill_parts(b, t, 0, parts);
    picture.parts = parts;
    return picture;
}

static nw_codes codes_of(const nw_builder *b, int32_t t)
{
    const nw_quant *q = &tensor_of(b, t)->quant;
    return (nw_codes){q->zero_point, q->lo, q->hi, q->shift};
}

/** The halo that node n has to fill: that of its output's buffer, if n is the first to write into it. */
static nw_halo halo_of(const nw_builder *b, int32_t n)
{
    const nw_node *node = &b->model->nodes[n];
    const int32_t root = b->layout->places[node->output].root;
    const nw_place *p = &b->layout->places[root];
    const nw_tensor *host = tensor_of(b, root);
    const bool empty = !p->halo[0] && !p->halo[1] && !p->halo[2] && !p->halo[3];
    const int32_t first = b->layout->strips[n].rows ? b->layout->strips[n].first : n;
    if (empty || p->first != first || !b->activations || host->type != NW_TYPE_U8)
        return (nw_halo){0};
    const size_t pixel = (size_t)nw_tensor_channels(host);
    const size_t columns = (size_t)(p->halo[1] + nw_tensor_width(host) + p->halo[3]);
    const size_t row = columns * pixel;
    return (nw_halo){
        .buffer = b->activations + p->offset,
        .rows = nw_tensor_height(host),
        .row_size = row,
        .before = (size_t)p->halo[0] * row + (size_t)p->halo[1] * pixel,
        .between = (size_t)(p->halo[1] + p->halo[3]) * pixel,
        .after = (size_t)p->halo[3] * pixel + (size_t)p->halo[2] * row,
        .code = host->quant.zero_point,
    };
}

/** Node n as a link of its chain. */
static nw_strip_link link_of(nw_builder *b, int32_t n, const nw_job *jobs, int32_t n_jobs)
{
    const nw_node *node = &b->model->nodes[n];
    const nw_strips *strips = &b->layout->strips[n];
    nw_strip_link link = {.strips = *strips,
                          .n_jobs = n_jobs,
                          .inner = nw_strip_inner(b->layout, node),
                          .observed = n < strips->last && b->observed ? &b->observed[n] : NULL};
    for (int32_t i = 0; i < n_jobs; i++)
        link.jobs[i] = jobs[i];
    for (int32_t i = 0; i < 2; i++)
        if (strips->inputs[i].rows) {
            const int32_t t = nw_strip_input(node, i);
            link.inputs[i] = nw_picture_of(b, t);
            link.zero_point[i] = tensor_of(b, t)->quant.zero_point;
        }
    return link;
}

/** The chain that ends with node n as one job. */
static nw_job strip_job(nw_builder *b, int32_t n)
{
    const nw_node *node = &b->model->nodes[n];
    const nw_strips *strips = &b->layout->strips[n];
    const int32_t caller = b->layout->places[node->output].caller;
    const nw_strip_params params = {
        .links = b->links,
        .n_links = n - strips->first + 1,
        .height = nw_tensor_height(tensor_of(b, node->output)),
        .output = nw_picture_of(b, node->output),
        .caller = caller != NW_NONE && b->outputs ? &b->outputs[caller] : NULL,
        .kernels = b->kernels,
        .clock = b->clock,
        .scratch = b->activations ? b->activations + strips->offset : NULL,
    };
    return nw_strip_job_make(&params, b->arena);
}

static void append(nw_builder *b, int32_t n, const nw_job *job)
{
    if (b->node_jobs && !b->node_jobs[n].kernel)
        b->node_jobs[n] = *job;
    if (b->steps) {
        const bool first = b->n_steps == 0 || b->steps[b->n_steps - 1].node != n;
        b->steps[b->n_steps] =
            (nw_step){.job = *job, .halo = first ? halo_of(b, n) : (nw_halo){0}, .node = n};
    }
    b->n_steps++;
}

/** Appends all jobs of node n: as they are, or in strips, once the last node of its chain has come. */
static void append_all(nw_builder *b, int32_t n, const nw_job *jobs, int32_t n_jobs)
{
    const nw_strips *strips = &b->layout->strips[n];
    if (strips->rows) {
        b->links[n - strips->first] = link_of(b, n, jobs, n_jobs);
        if (b->node_jobs)
            b->node_jobs[n] = jobs[0];
        if (n < strips->last)
            return;
        const nw_job job = strip_job(b, n);
        append(b, n, &job);
        return;
    }
    for (int32_t i = 0; i < n_jobs; i++)
        append(b, n, &jobs[i]);
}

/* Kernels and arrangement of a linear node, by choice; *own is room for another family's kernels. */
static const nw_kernels *chosen_kernels(const nw_builder *b, int32_t n, nw_kernels *own, nw_arrangement *arrangement)
{
    const nw_choice choice = b->choices ? b->choices[n] : (nw_choice){0};
    const bool sums32 = b->model->nodes[n].linear->accumulator == NW_ACCUMULATOR_32;
    *arrangement = sums32 ? NW_ARRANGE_INT32 : choice.arrangement;
    if (choice.isa == NW_ISA_REF || choice.isa == b->kernels->isa || !nw_isa_includes(b->kernels->isa, choice.isa))
        return b->kernels;
    nw_kernels_init(own, choice.isa);
    return own;
}

static nw_status build_linear(nw_builder *b, int32_t n, nw_error *error)
{
    const nw_node *node = &b->model->nodes[n];
    const nw_linear *l = node->linear;
    const int32_t residual = node->n_inputs > 3 ? node->inputs[3] : NW_NONE;
    nw_kernels own;
    nw_arrangement arrangement;
    const nw_kernels *kernels = chosen_kernels(b, n, &own, &arrangement);
    nw_linear_params params = {
        .x = input_view(b, n, 0),
        .y = output_view(b, n),
        .has_residual = residual != NW_NONE,
        .transpose = node->op == NW_OP_CONV_TRANSPOSE,
        .wrap16 = l->accumulator == NW_ACCUMULATOR_16_WRAP,
        .arrangement = arrangement,
        .window = node->window,
        .groups = node->groups,
        .scratch = b->direct || b->layout->strips[n].rows ? NULL : &b->scratch,
        .x_codes = codes_of(b, node->inputs[0]),
        .y_codes = codes_of(b, node->output),
        .n_channels = l->n_channels,
        .n_rows = l->n_rows,
        .k = l->k,
        .weights = l->weights,
        .row_channel = l->row_channel,
        .multiplier = l->multiplier,
        .bias = l->bias,
        .residual_multiplier = l->residual_multiplier,
        .offset = l->offset,
    };
    if (residual != NW_NONE) {
        params.residual = input_view(b, n, 1);
        params.residual_zero_point = tensor_of(b, residual)->quant.zero_point;
    }
    nw_job job;
    const nw_status status = nw_linear_make(&job, &params, kernels, b->arena);
    if (status == NW_ERROR_UNSUPPORTED)
        return nw_fail(error, status, "node \"%s\": the engine does not run more than %d further points in one layer",
                       node->name, NW_MAX_EXTRA_ROWS);
    if (status)
        return nw_fail_memory(error, "packing weights");
    append_all(b, n, &job, 1);
    return NW_OK;
}

static nw_status build_quantize(nw_builder *b, int32_t n, nw_error *error)
{
    const nw_node *node = &b->model->nodes[n];
    int32_t input = NW_NONE;
    for (int32_t i = 0; i < b->model->n_inputs; i++)
        if (b->model->inputs[i] == node->inputs[0])
            input = i;
    if (input == NW_NONE)
        return nw_fail(error, NW_ERROR_UNSUPPORTED, "node \"%s\": only inputs of the network can be quantized",
                       node->name);
    const nw_quantize_params params = {
        .slot = b->slots ? &b->slots[input] : NULL,
        .y = output_view(b, n),
        .inverse_scale = 1.0f / tensor_of(b, node->output)->quant.scale,
        .y_codes = codes_of(b, node->output),
        .pixel_tables = node->table,
    };
    const nw_job job = nw_quantize_make(&params, b->kernels, b->arena);
    append_all(b, n, &job, 1);
    return NW_OK;
}

static nw_job add_job(nw_builder *b, int32_t n)
{
    const nw_node *node = &b->model->nodes[n];
    const nw_view y = output_view(b, n);
    const nw_view a = input_view(b, n, 0);
    const nw_view v = input_view(b, n, 1);
    if (tensor_of(b, node->output)->type == NW_TYPE_F32)
        return nw_float_make(NW_FLOAT_ADD, &y, &a, &v, b->kernels, b->arena);
    const nw_add_params params = {
        .a = a,
        .b = v,
        .y = y,
        .zero_a = tensor_of(b, node->inputs[0])->quant.zero_point,
        .zero_b = tensor_of(b, node->inputs[1])->quant.zero_point,
        .y_codes = codes_of(b, node->output),
        .multiplier_a = node->multipliers[0],
        .multiplier_b = node->multipliers[1],
    };
    return nw_add_make(&params, b->kernels, b->arena);
}

static nw_job multiply_job(nw_builder *b, const nw_node *node)
{
    const nw_view y = view_of(b, node->output);
    const nw_view a = view_of(b, node->inputs[0]);
    const nw_view v = view_of(b, node->inputs[1]);
    if (tensor_of(b, node->output)->type == NW_TYPE_F32)
        return nw_float_make(NW_FLOAT_MUL, &y, &a, &v, b->kernels, b->arena);
    const nw_multiply_params params = {
        .a = a,
        .b = v,
        .y = y,
        .zero_a = tensor_of(b, node->inputs[0])->quant.zero_point,
        .zero_b = tensor_of(b, node->inputs[1])->quant.zero_point,
        .y_codes = codes_of(b, node->output),
        .multiplier = node->multipliers[0],
    };
    return nw_multiply_make(&params, b->kernels, b->arena);
}

static nw_job pool_job(nw_builder *b, int32_t n)
{
    const nw_node *node = &b->model->nodes[n];
    const nw_pool_params params = {
        .x = input_view(b, n, 0),
        .y = output_view(b, n),
        .window = node->window,
        .average = node->op == NW_OP_AVERAGE_POOL,
        .count_include_pad = node->count_include_pad,
        .zero_x = tensor_of(b, node->inputs[0])->quant.zero_point,
        .y_codes = codes_of(b, node->output),
        .multiplier = node->multipliers[0],
    };
    return nw_pool_make(&params, b->kernels, b->arena);
}

/** Copies every input that does not already live inside the output. Stored parts are joined when they are read. */
static void build_concat(nw_builder *b, int32_t n)
{
    const nw_node *node = &b->model->nodes[n];
    const nw_place *whole = &b->layout->places[node->output];
    if (whole->joined)
        return;
    nw_view part = view_of(b, node->output);
    int32_t channel = whole->channel_offset;
    for (int32_t i = 0; i < node->n_inputs; i++) {
        const nw_view x = view_of(b, node->inputs[i]);
        part.dims[node->axis] = x.dims[node->axis];
        const nw_place *p = &b->layout->places[node->inputs[i]];
        /* in the same buffer, but elsewhere in it: joined twice, or a part of a concat inside this one */
        const bool inside = node->axis == 1 && p->root == whole->root && p->channel_offset == channel;
        channel += x.dims[node->axis];
        if (!inside) {
            const nw_job job = nw_copy_make(&part, &x, b->kernels, b->arena);
            append(b, n, &job);
        }
        if (part.data)
            part.data += x.dims[node->axis] * part.strides[node->axis];
    }
}

static nw_job slice_job(nw_builder *b, int32_t n)
{
    const nw_node *node = &b->model->nodes[n];
    const nw_view y = output_view(b, n);
    nw_view x = input_view(b, n, 0);
    const bool stored = b->layout->strips[n].inputs[0].rows > 0;
    for (int32_t i = 0; i < x.rank; i++) {
        if (x.data && !(stored && i == 2)) /* a strip begins with its first row: nw_row_rule.origin */
            x.data += node->starts[i] * x.strides[i];
        x.strides[i] *= node->steps[i];
    }
    return nw_copy_make(&y, &x, b->kernels, b->arena);
}

static void build_pad(nw_builder *b, int32_t n)
{
    const nw_node *node = &b->model->nodes[n];
    const nw_tensor *t = tensor_of(b, node->output);
    nw_view y = output_view(b, n);
    const nw_view x = input_view(b, n, 0);
    const void *element = t->type == NW_TYPE_F32 ? (const void *)&node->alpha : (const void *)&t->quant.zero_point;
    nw_job jobs[2] = {nw_fill_make(&y, element, b->arena)};
    for (int32_t i = 0; i < y.rank; i++) {
        if (y.data)
            y.data += node->pads[i] * y.strides[i];
        y.dims[i] = x.dims[i];
    }
    jobs[1] = nw_copy_make(&y, &x, b->kernels, b->arena);
    append_all(b, n, jobs, 2);
}

static nw_job transpose_job(nw_builder *b, const nw_node *node)
{
    const nw_view y = view_of(b, node->output);
    const nw_view x = view_of(b, node->inputs[0]);
    nw_view permuted = y;
    permuted.data = x.data;
    for (int32_t i = 0; i < y.rank; i++)
        permuted.strides[i] = x.strides[node->perm[i]];
    return nw_copy_make(&y, &permuted, b->kernels, b->arena);
}

static void build_reshape(nw_builder *b, int32_t n)
{
    const nw_node *node = &b->model->nodes[n];
    const nw_place *to = &b->layout->places[node->output];
    const nw_place *from = &b->layout->places[node->inputs[0]];
    if (to->root == from->root && to->channel_offset == from->channel_offset) /* else both are parts of one concat */
        return;
    const nw_view y = view_of(b, node->output);
    const nw_view x = view_of(b, node->inputs[0]);
    const nw_job job = nw_reshape_make(&y, &x, b->kernels, b->arena);
    append(b, n, &job);
}

static nw_job table_job(nw_builder *b, int32_t n)
{
    const nw_node *node = &b->model->nodes[n];
    const nw_table_params params = {input_view(b, n, 0), output_view(b, n), node->table, node->n_tables};
    return nw_table_make(&params, b->kernels, b->arena);
}

static nw_job float_job(nw_builder *b, const nw_node *node, nw_float_function function)
{
    const nw_view y = view_of(b, node->output);
    const nw_view a = view_of(b, node->inputs[0]);
    if (node->n_inputs < 2)
        return nw_float_make(function, &y, &a, NULL, b->kernels, b->arena);
    const nw_view v = view_of(b, node->inputs[1]);
    return nw_float_make(function, &y, &a, &v, b->kernels, b->arena);
}

static nw_job resize_job(nw_builder *b, const nw_node *node)
{
    const int32_t caller = b->layout->places[node->output].caller;
    const nw_resize_params params = {
        .x = view_of(b, node->inputs[0]),
        .y = view_of(b, node->output),
        .mode = node->resize_mode,
        .coordinates = node->resize_coordinates,
        .y_codes = codes_of(b, node->output),
        .to_caller = caller != NW_NONE,
        .caller = caller != NW_NONE && b->outputs ? &b->outputs[caller] : NULL,
    };
    return nw_resize_make(&params, b->kernels, b->arena);
}

static nw_job dequantize_job(nw_builder *b, int32_t n)
{
    const nw_quant *q = &tensor_of(b, b->model->nodes[n].inputs[0])->quant;
    const nw_view y = output_view(b, n);
    const nw_view x = input_view(b, n, 0);
    return nw_dequantize_make(&y, &x, q->scale, q->zero_point, b->kernels, b->arena);
}

static nw_job softmax_job(nw_builder *b, const nw_node *node)
{
    const nw_view y = view_of(b, node->output);
    const nw_view x = view_of(b, node->inputs[0]);
    return nw_softmax_make(&y, &x, node->axis, b->kernels, b->arena);
}

static nw_status build_node(nw_builder *b, int32_t n, nw_error *error)
{
    const nw_node *node = &b->model->nodes[n];
    nw_job job;
    switch (node->op) {
    case NW_OP_CONV:
    case NW_OP_CONV_TRANSPOSE:
        return build_linear(b, n, error);
    case NW_OP_QUANTIZE:
        return build_quantize(b, n, error);
    case NW_OP_CONCAT:
        build_concat(b, n);
        return NW_OK;
    case NW_OP_PAD:
        build_pad(b, n);
        return NW_OK;
    case NW_OP_RESHAPE:
        build_reshape(b, n);
        return NW_OK;
    case NW_OP_ADD:
        job = add_job(b, n);
        break;
    case NW_OP_MAX_POOL:
    case NW_OP_AVERAGE_POOL:
        job = pool_job(b, n);
        break;
    case NW_OP_SLICE:
        job = slice_job(b, n);
        break;
    case NW_OP_TRANSPOSE:
        job = transpose_job(b, node);
        break;
    case NW_OP_RESIZE:
        job = resize_job(b, node);
        break;
    case NW_OP_TABLE:
        job = table_job(b, n);
        break;
    case NW_OP_DEQUANTIZE:
        job = dequantize_job(b, n);
        break;
    case NW_OP_SOFTMAX:
        job = softmax_job(b, node);
        break;
    case NW_OP_SIGMOID:
        job = float_job(b, node, NW_FLOAT_SIGMOID);
        break;
    case NW_OP_TANH:
        job = float_job(b, node, NW_FLOAT_TANH);
        break;
    case NW_OP_EXP:
        job = float_job(b, node, NW_FLOAT_EXP);
        break;
    case NW_OP_RELU:
        job = float_job(b, node, NW_FLOAT_RELU);
        break;
    case NW_OP_SUB:
        job = float_job(b, node, NW_FLOAT_SUB);
        break;
    case NW_OP_MUL:
        job = multiply_job(b, node);
        break;
    case NW_OP_DIV:
        job = float_job(b, node, NW_FLOAT_DIV);
        break;
    default:
        return nw_fail(error, NW_ERROR_UNSUPPORTED, "node \"%s\": the engine does not run %s", node->name,
                       nw_op_name(node->op));
    }
    append_all(b, n, &job, 1);
    return NW_OK;
}

nw_status nw_steps_build(nw_builder *builder, nw_error *error)
{
    nw_strip_link links[NW_CHAIN_LINKS];
    nw_status status = NW_OK;
    builder->links = links;
    for (int32_t n = 0; !status && n < builder->model->n_nodes; n++)
        status = build_node(builder, n, error);
    builder->links = NULL;
    return status;
}
