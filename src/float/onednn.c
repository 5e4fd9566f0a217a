/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oneDNN 2.6 behind plain structs: layouts, operators, threads. The one file that includes dnnl.h; longer than others
 * for that reason. Called by plan.c and lower.c when an engine is made, by engine.c when it runs.
 */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

#include "float/onednn.h"

/*
 * From the OpenMP runtime that oneDNN itself runs on. Declared here because omp.h comes with the compiler, and not
 * every compiler brings one.
 */
extern void omp_set_num_threads(int threads);
extern int omp_get_max_threads(void);
extern int omp_pause_resource_all(int kind);
enum { OMP_PAUSE_SOFT = 1 };

static_assert(sizeof(dnnl_memory_desc_t) == sizeof(nw_dnn_layout), "nw_dnn_layout must hold a dnnl_memory_desc_t");

struct nw_dnn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

/* args: one per slot, then one for the scratch memory. memories[i] belongs to args[i]. */
struct nw_dnn_op {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t *args;
    int32_t n_slots;
    size_t scratch_size;
};

static nw_status status_of(dnnl_status_t status)
{
    switch (status) {
    case dnnl_success:
        return NW_OK;
    case dnnl_out_of_memory:
        return NW_ERROR_MEMORY;
    case dnnl_unimplemented:
    case dnnl_invalid_arguments: /* also what it calls shapes it was not written for */
    case dnnl_iterator_ends:
    case dnnl_not_required:
        return NW_ERROR_UNSUPPORTED;
    default:
        return NW_ERROR_INTERNAL;
    }
}

/* ---- engine and threads ---- */

nw_status nw_dnn_create(nw_dnn **out)
{
    nw_dnn *dnn = calloc(1, sizeof(*dnn));
    if (!dnn)
        return NW_ERROR_MEMORY;
    dnnl_status_t status = dnnl_engine_create(&dnn->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&dnn->stream, dnn->engine, dnnl_stream_default_flags);
    if (status != dnnl_success) {
        nw_dnn_free(dnn);
        return status_of(status);
    }
    *out = dnn;
    return NW_OK;
}

void nw_dnn_free(nw_dnn *dnn)
{
    if (!dnn)
        return;
    dnnl_stream_destroy(dnn->stream);
    dnnl_engine_destroy(dnn->engine);
    free(dnn);
}

void nw_dnn_set_threads(int32_t threads)
{
    omp_set_num_threads(threads);
}

int32_t nw_dnn_threads(void)
{
    return omp_get_max_threads();
}

void nw_dnn_release_threads(void)
{
    omp_pause_resource_all(OMP_PAUSE_SOFT);
}

/* ---- layouts ---- */

static dnnl_memory_desc_t to_md(const nw_dnn_layout *layout)
{
    dnnl_memory_desc_t md;
    memcpy(&md, layout, sizeof(md));
    return md;
}

static void from_md(nw_dnn_layout *layout, const dnnl_memory_desc_t *md)
{
    memcpy(layout, md, sizeof(*md));
}

/* For arguments oneDNN cannot refuse: positive dimensions, known tags. */
static dnnl_memory_desc_t make_md(int rank, const dnnl_dim_t *dims, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t all = {0};
    memcpy(all, dims, (size_t)rank * sizeof(*dims));
    const dnnl_status_t status = dnnl_memory_desc_init_by_tag(&md, rank, all, dnnl_f32, tag);
    assert(status == dnnl_success);
    (void)status;
    return md;
}

void nw_dnn_layout_plain(nw_dnn_layout *layout, const int64_t dims[4])
{
    const dnnl_memory_desc_t md = make_md(4, dims, dnnl_nchw);
    from_md(layout, &md);
}

bool nw_dnn_layout_equal(const nw_dnn_layout *a, const nw_dnn_layout *b)
{
    const dnnl_memory_desc_t left = to_md(a), right = to_md(b);
    return dnnl_memory_desc_equal(&left, &right);
}

bool nw_dnn_layout_is_plain(const nw_dnn_layout *layout)
{
    const dnnl_memory_desc_t md = to_md(layout);
    if (md.format_kind != dnnl_blocked)
        return false;
    size_t elements = 1;
    dnnl_dim_t stride = 1;
    for (int i = 0; i < md.format_desc.blocking.inner_nblks; i++)
        if (md.dims[md.format_desc.blocking.inner_idxs[i]] != md.padded_dims[md.format_desc.blocking.inner_idxs[i]])
            return false;
    for (int i = 0; i < md.ndims; i++)
        elements *= (size_t)md.dims[i];
    if (dnnl_memory_desc_get_size(&md) != elements * sizeof(float))
        return false;
    if (md.format_desc.blocking.inner_nblks > 0) {
        /* blocks of channels of single pixels: [N, C / b, 1, 1, b] is [N, C] */
        const dnnl_blocking_desc_t *blocking = &md.format_desc.blocking;
        return md.ndims == 4 && blocking->inner_nblks == 1 && blocking->inner_idxs[0] == 1 && md.dims[2] == 1 &&
               md.dims[3] == 1 && (md.dims[0] == 1 || blocking->strides[0] == md.dims[1]) &&
               (md.dims[1] == blocking->inner_blks[0] || blocking->strides[1] == blocking->inner_blks[0]);
    }
    for (int i = md.ndims - 1; i >= 0; i--) {
        if (md.dims[i] > 1 && md.format_desc.blocking.strides[i] != stride)
            return false;
        stride *= md.dims[i];
    }
    return true;
}

size_t nw_dnn_layout_size(const nw_dnn_layout *layout)
{
    const dnnl_memory_desc_t md = to_md(layout);
    return dnnl_memory_desc_get_size(&md);
}

bool nw_dnn_layout_reshape(nw_dnn_layout *out, const nw_dnn_layout *in, const int64_t dims[4])
{
    if (nw_dnn_layout_is_plain(in)) {
        nw_dnn_layout_plain(out, dims);
        return true;
    }
    const dnnl_memory_desc_t md = to_md(in);
    dnnl_memory_desc_t reshaped;
    const dnnl_dims_t all = {dims[0], dims[1], dims[2], dims[3]};
    if (dnnl_memory_desc_reshape(&reshaped, &md, 4, all) != dnnl_success)
        return false;
    from_md(out, &reshaped);
    return true;
}

/* The tag of a dense layout that keeps height and width together, or dnnl_format_tag_undef. */
static dnnl_format_tag_t plane_tag(const dnnl_memory_desc_t *md)
{
    static const dnnl_format_tag_t tags[] = {dnnl_nchw, dnnl_nChw8c, dnnl_nChw16c, dnnl_nChw4c, dnnl_nhwc};
    for (size_t i = 0; i < NW_COUNT(tags); i++) {
        const dnnl_memory_desc_t candidate = make_md(4, md->dims, tags[i]);
        if (dnnl_memory_desc_equal(&candidate, md))
            return tags[i];
    }
    return dnnl_format_tag_undef;
}

bool nw_dnn_layout_planes(const nw_dnn_layout *layout, size_t *outer, size_t *inner)
{
    const dnnl_memory_desc_t md = to_md(layout);
    const dnnl_format_tag_t tag = md.ndims == 4 ? plane_tag(&md) : dnnl_format_tag_undef;
    if (tag == dnnl_format_tag_undef)
        return false;
    *inner = tag == dnnl_nchw   ? 1
             : tag == dnnl_nhwc ? (size_t)md.dims[1]
                                : (size_t)md.format_desc.blocking.inner_blks[0];
    *outer = (size_t)md.padded_dims[0] * ((size_t)md.padded_dims[1] / *inner);
    return true;
}

bool nw_dnn_layout_resize(nw_dnn_layout *out, const nw_dnn_layout *in, int64_t height, int64_t width)
{
    const dnnl_memory_desc_t md = to_md(in);
    const dnnl_format_tag_t tag = md.ndims == 4 ? plane_tag(&md) : dnnl_format_tag_undef;
    if (tag == dnnl_format_tag_undef)
        return false;
    const dnnl_dim_t dims[4] = {md.dims[0], md.dims[1], height, width};
    const dnnl_memory_desc_t resized = make_md(4, dims, tag);
    from_md(out, &resized);
    return true;
}

bool nw_dnn_layout_concat(nw_dnn_layout *out, const nw_dnn_layout *sources, int32_t n_sources)
{
    dnnl_dim_t dims[4] = {0};
    dnnl_format_tag_t common = dnnl_format_tag_undef;
    for (int32_t i = 0; i < n_sources; i++) {
        const dnnl_memory_desc_t md = to_md(&sources[i]);
        const dnnl_format_tag_t tag = md.ndims == 4 ? plane_tag(&md) : dnnl_format_tag_undef;
        if (tag == dnnl_format_tag_undef || tag == dnnl_nhwc || (i && tag != common) || md.dims[1] != md.padded_dims[1])
            return false;
        common = tag;
        dims[0] = md.dims[0];
        dims[1] += md.dims[1];
        dims[2] = md.dims[2];
        dims[3] = md.dims[3];
    }
    const dnnl_memory_desc_t joined = make_md(4, dims, common);
    from_md(out, &joined);
    return true;
}

/* ---- life of an operator ---- */

/* Adds the memory object of argument `id`; it is bound later. */
static dnnl_status_t add_arg(nw_dnn *dnn, nw_dnn_op *op, int32_t index, int id, const dnnl_memory_desc_t *md)
{
    op->args[index].arg = id;
    return dnnl_memory_create(&op->args[index].memory, md, dnn->engine, DNNL_MEMORY_NONE);
}

/**
 * Makes the operator of a primitive descriptor, which it consumes.
 * @param ids, mds  [n_slots] argument and layout of each slot
 */
static nw_status finish_op(nw_dnn *dnn, nw_dnn_op **out, dnnl_primitive_desc_t pd, int32_t n_slots, const int *ids,
                           const dnnl_memory_desc_t *mds)
{
    dnnl_status_t status = dnnl_out_of_memory;
    nw_dnn_op *op = calloc(1, sizeof(*op));
    if (op)
        op->args = calloc((size_t)n_slots + 1, sizeof(*op->args));
    if (!op || !op->args)
        goto cleanup;
    op->n_slots = n_slots;
    status = dnnl_primitive_create(&op->primitive, pd);
    for (int32_t i = 0; i < n_slots && status == dnnl_success; i++)
        status = add_arg(dnn, op, i, ids[i], &mds[i]);
    if (status != dnnl_success)
        goto cleanup;
    const dnnl_memory_desc_t *scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    dnnl_memory_desc_t empty;
    memset(&empty, 0, sizeof(empty));
    op->scratch_size = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
    status = add_arg(dnn, op, n_slots, DNNL_ARG_SCRATCHPAD, op->scratch_size ? scratch : &empty);

cleanup:
    dnnl_primitive_desc_destroy(pd);
    if (status != dnnl_success) {
        nw_dnn_op_free(op);
        return status_of(status);
    }
    *out = op;
    return NW_OK;
}

nw_status nw_dnn_multiply(float *c, size_t stride, size_t m, size_t n, size_t k, const nw_dnn_matrix *a,
                          const nw_dnn_matrix *b, float beta)
{
    return status_of(dnnl_sgemm(a->transposed ? 'T' : 'N', b->transposed ? 'T' : 'N', (dnnl_dim_t)m, (dnnl_dim_t)n,
                                (dnnl_dim_t)k, 1.0f, a->data, (dnnl_dim_t)a->stride, b->data, (dnnl_dim_t)b->stride,
                                beta, c, (dnnl_dim_t)stride));
}

void nw_dnn_op_free(nw_dnn_op *op)
{
    if (!op)
        return;
    for (int32_t i = 0; op->args && i <= op->n_slots; i++)
        dnnl_memory_destroy(op->args[i].memory);
    dnnl_primitive_destroy(op->primitive);
    free(op->args);
    free(op);
}

const char *nw_dnn_op_implementation(const nw_dnn_op *op)
{
    const_dnnl_primitive_desc_t pd;
    const char *name = "";
    if (dnnl_primitive_get_primitive_desc(op->primitive, &pd) == dnnl_success)
        dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return name;
}

size_t nw_dnn_op_scratch_size(const nw_dnn_op *op)
{
    return op->scratch_size;
}

nw_status nw_dnn_bind(nw_dnn_op *op, int32_t slot, void *data)
{
    assert(slot >= 0 && slot < op->n_slots);
    return status_of(dnnl_memory_set_data_handle(op->args[slot].memory, data));
}

nw_status nw_dnn_execute(nw_dnn *dnn, nw_dnn_op *op, void *scratch)
{
    if (op->scratch_size) {
        const dnnl_status_t status = dnnl_memory_set_data_handle(op->args[op->n_slots].memory, scratch);
        if (status != dnnl_success)
            return status_of(status);
    }
    dnnl_status_t status = dnnl_primitive_execute(op->primitive, dnn->stream, op->n_slots + 1, op->args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(dnn->stream);
    return status == dnnl_success || status == dnnl_out_of_memory ? status_of(status) : NW_ERROR_INTERNAL;
}

/* ---- attributes ---- */

static dnnl_status_t append_clamp(dnnl_post_ops_t ops, float lo, float hi)
{
    if (lo == -INFINITY && hi == INFINITY)
        return dnnl_success;
    if (lo == 0.0f && hi == INFINITY)
        return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
    return dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_clip, fmaxf(lo, -FLT_MAX), fminf(hi, FLT_MAX));
}

/* result = clamp(op(...) [+ result], lo, hi); scratch memory is ours. */
static dnnl_status_t make_attr(dnnl_primitive_attr_t *out, bool sum, float lo, float hi)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success && sum)
        status = dnnl_post_ops_append_sum(ops, 1.0f);
    if (status == dnnl_success)
        status = append_clamp(ops, lo, hi);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attr, ops);
    dnnl_post_ops_destroy(ops);
    if (status != dnnl_success) {
        dnnl_primitive_attr_destroy(attr);
        return status;
    }
    *out = attr;
    return dnnl_success;
}

/* The primitive descriptor of an operation descriptor under make_attr's attributes. */
static dnnl_status_t make_pd(nw_dnn *dnn, dnnl_primitive_desc_t *out, const void *desc, bool sum, float lo, float hi)
{
    dnnl_primitive_attr_t attr;
    dnnl_status_t status = make_attr(&attr, sum, lo, hi);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_desc_create(out, desc, attr, dnn->engine, NULL);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

/* ---- linear operators ---- */

static dnnl_memory_desc_t any4(const int64_t dims[4])
{
    return make_md(4, dims, dnnl_format_tag_any);
}

/* Weights [groups][O, C, kh, kw] (per group) as oneDNN counts them; groups == 1 leaves the first dimension away. */
static int weight_dims(dnnl_dim_t dims[5], const nw_dnn_linear_shape *shape)
{
    const int first = shape->groups > 1 ? 1 : 0;
    dims[0] = shape->groups;
    dims[first + 0] = shape->result[1] / shape->groups;
    dims[first + 1] = shape->source[1] / shape->groups;
    dims[first + 2] = shape->window.kernel[0];
    dims[first + 3] = shape->window.kernel[1];
    return first + 4;
}

static nw_status finish_linear(nw_dnn *dnn, dnnl_primitive_desc_t pd, nw_dnn_linear *out)
{
    const int ids[4] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST};
    const dnnl_memory_desc_t mds[4] = {
        *dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0),
        *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0),
        *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 1),
        *dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0),
    };
    NW_TRY(finish_op(dnn, &out->op, pd, 4, ids, mds));
    from_md(&out->source, &mds[0]);
    from_md(&out->weights, &mds[1]);
    from_md(&out->bias, &mds[2]);
    from_md(&out->result, &mds[3]);
    return NW_OK;
}

/* Strides, dilations (0 means dense) and pads as oneDNN wants them; the far pads follow from the result's size. */
typedef struct window_dims {
    dnnl_dims_t stride, dilation, kernel, near, far;
} window_dims;

static window_dims convolution_window(const nw_window *window, const int64_t *source, const int64_t *result)
{
    window_dims w;
    memset(&w, 0, sizeof(w));
    for (int i = 0; i < 2; i++) {
        const dnnl_dim_t reach = (dnnl_dim_t)(window->kernel[i] - 1) * window->dilation[i] + 1;
        w.kernel[i] = window->kernel[i];
        w.stride[i] = window->stride[i];
        w.dilation[i] = window->dilation[i] - 1;
        w.near[i] = window->pad[i];
        w.far[i] = (result[i + 2] - 1) * w.stride[i] + reach - source[i + 2] - w.near[i];
    }
    return w;
}

nw_status nw_dnn_convolution(nw_dnn *dnn, const nw_dnn_linear_shape *shape, nw_dnn_linear *out)
{
    dnnl_dim_t dims[5];
    const int rank = weight_dims(dims, shape);
    const dnnl_memory_desc_t source = any4(shape->source), result = any4(shape->result);
    const dnnl_memory_desc_t weights = make_md(rank, dims, dnnl_format_tag_any);
    const dnnl_memory_desc_t bias = make_md(1, &shape->result[1], dnnl_a);
    const dnnl_memory_desc_t model = make_md(rank, dims, rank == 5 ? dnnl_goihw : dnnl_oihw);
    const window_dims w = convolution_window(&shape->window, shape->source, shape->result);
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &desc, dnnl_forward_inference, dnnl_convolution_direct, &source, &weights, &bias, &result, w.stride, w.dilation,
        w.near, w.far);
    if (status == dnnl_success)
        status = make_pd(dnn, &pd, &desc, shape->add_to_result, shape->lo, shape->hi);
    if (status != dnnl_success)
        return status_of(status);
    from_md(&out->model_weights, &model);
    return finish_linear(dnn, pd, out);
}

nw_status nw_dnn_deconvolution(nw_dnn *dnn, const nw_dnn_linear_shape *shape, nw_dnn_linear *out)
{
    dnnl_dims_t dims = {0}, strides = {0};
    const int rank = weight_dims(dims, shape);
    /* The model has C before O: [groups * C, O, kh, kw] with C and O of one group. */
    const dnnl_dim_t taps = dims[rank - 2] * dims[rank - 1], o = dims[rank - 4], c = dims[rank - 3];
    strides[0] = c * o * taps; /* of a group; without groups the next line replaces it */
    strides[rank - 4] = taps;
    strides[rank - 3] = o * taps;
    strides[rank - 2] = dims[rank - 1];
    strides[rank - 1] = 1;
    const dnnl_memory_desc_t source = any4(shape->source), result = any4(shape->result);
    const dnnl_memory_desc_t weights = make_md(rank, dims, dnnl_format_tag_any);
    const dnnl_memory_desc_t bias = make_md(1, &shape->result[1], dnnl_a);
    /* A transposed convolution is the gradient of one from result to source: sizes swap their places. */
    const window_dims w = convolution_window(&shape->window, shape->result, shape->source);
    dnnl_memory_desc_t model;
    dnnl_deconvolution_desc_t desc;
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = dnnl_memory_desc_init_by_strides(&model, rank, dims, dnnl_f32, strides);
    if (status == dnnl_success)
        status = dnnl_dilated_deconvolution_forward_desc_init(&desc, dnnl_forward_inference, dnnl_deconvolution_direct,
                                                              &source, &weights, &bias, &result, w.stride, w.dilation,
                                                              w.near, w.far);
    if (status == dnnl_success)
        status = make_pd(dnn, &pd, &desc, shape->add_to_result, shape->lo, shape->hi);
    if (status != dnnl_success)
        return status_of(status);
    from_md(&out->model_weights, &model);
    return finish_linear(dnn, pd, out);
}

nw_status nw_dnn_inner_product(nw_dnn *dnn, const nw_dnn_linear_shape *shape, nw_dnn_linear *out)
{
    assert(shape->source[2] == 1 && shape->source[3] == 1 && shape->groups == 1);
    const dnnl_dim_t dims[4] = {shape->result[1], shape->source[1], 1, 1};
    const dnnl_memory_desc_t source = any4(shape->source), weights = any4(dims);
    const dnnl_memory_desc_t bias = make_md(1, &dims[0], dnnl_a), result = make_md(2, shape->result, dnnl_ab);
    const dnnl_memory_desc_t model = make_md(4, dims, dnnl_oihw);
    dnnl_inner_product_desc_t desc;
    dnnl_primitive_desc_t pd;
    dnnl_status_t status =
        dnnl_inner_product_forward_desc_init(&desc, dnnl_forward_inference, &source, &weights, &bias, &result);
    if (status == dnnl_success)
        status = make_pd(dnn, &pd, &desc, shape->add_to_result, shape->lo, shape->hi);
    if (status != dnnl_success)
        return status_of(status);
    from_md(&out->model_weights, &model);
    NW_TRY(finish_linear(dnn, pd, out));
    nw_dnn_layout_plain(&out->result, shape->result);
    return NW_OK;
}

/* ---- the rest ---- */

/* The layout of the result a primitive descriptor settled on. */
static dnnl_memory_desc_t chosen_result(dnnl_primitive_desc_t pd)
{
    return *dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0);
}

nw_status nw_dnn_pool(nw_dnn *dnn, const nw_node *node, const nw_dnn_layout *source, const int64_t result[4],
                      nw_dnn_op **out, nw_dnn_layout *result_layout)
{
    const dnnl_alg_kind_t kind = node->op == NW_OP_MAX_POOL ? dnnl_pooling_max
                                 : node->count_include_pad ? dnnl_pooling_avg_include_padding
                                                           : dnnl_pooling_avg_exclude_padding;
    const dnnl_memory_desc_t src = to_md(source), any = any4(result);
    const window_dims w = convolution_window(&node->window, src.dims, result);
    /* A last window that hangs over the bottom pad (ceil mode): its divisor is not oneDNN's. */
    if (kind == dnnl_pooling_avg_include_padding && (w.far[0] > node->window.pad[2] || w.far[1] > node->window.pad[3]))
        return NW_ERROR_UNSUPPORTED;
    dnnl_pooling_v2_desc_t desc;
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = dnnl_pooling_v2_forward_desc_init(&desc, dnnl_forward_inference, kind, &src, &any, w.stride,
                                                             w.kernel, w.dilation, w.near, w.far);
    if (status == dnnl_success)
        status = make_pd(dnn, &pd, &desc, false, -INFINITY, INFINITY);
    if (status != dnnl_success)
        return status_of(status);
    const int ids[2] = {DNNL_ARG_SRC, DNNL_ARG_DST};
    const dnnl_memory_desc_t mds[2] = {src, chosen_result(pd)};
    from_md(result_layout, &mds[1]);
    return finish_op(dnn, out, pd, 2, ids, mds);
}

nw_status nw_dnn_binary(nw_dnn *dnn, const nw_node *node, const nw_dnn_layout *a, const nw_dnn_layout *b,
                        nw_dnn_op **out)
{
    const dnnl_alg_kind_t kind = node->op == NW_OP_ADD   ? dnnl_binary_add
                                 : node->op == NW_OP_SUB ? dnnl_binary_sub
                                 : node->op == NW_OP_MUL ? dnnl_binary_mul
                                                         : dnnl_binary_div;
    const int ids[3] = {DNNL_ARG_SRC_0, DNNL_ARG_SRC_1, DNNL_ARG_DST};
    const dnnl_memory_desc_t mds[3] = {to_md(a), to_md(b), to_md(a)};
    dnnl_binary_desc_t desc;
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = dnnl_binary_desc_init(&desc, kind, &mds[0], &mds[1], &mds[2]);
    if (status == dnnl_success)
        status = make_pd(dnn, &pd, &desc, false, node->lo, node->hi);
    return status == dnnl_success ? finish_op(dnn, out, pd, 3, ids, mds) : status_of(status);
}

/* Algorithm and parameters of an elementwise node; false if oneDNN has none. */
static bool eltwise_kind(const nw_node *node, dnnl_alg_kind_t *kind, float *alpha, float *beta)
{
    *alpha = *beta = 0.0f;
    switch (node->op) {
    case NW_OP_RELU:
        *kind = dnnl_eltwise_relu;
        return true;
    case NW_OP_LEAKY_RELU:
        *kind = dnnl_eltwise_relu;
        *alpha = node->alpha;
        return true;
    case NW_OP_CLIP:
        *kind = dnnl_eltwise_clip;
        *alpha = fmaxf(node->lo, -FLT_MAX);
        *beta = fminf(node->hi, FLT_MAX);
        return true;
    case NW_OP_SIGMOID:
        *kind = dnnl_eltwise_logistic;
        return true;
    case NW_OP_TANH:
        *kind = dnnl_eltwise_tanh;
        return true;
    case NW_OP_EXP:
        *kind = dnnl_eltwise_exp;
        return true;
    case NW_OP_HARD_SWISH:
        *kind = dnnl_eltwise_hardswish;
        return true;
    case NW_OP_SILU:
        *kind = dnnl_eltwise_swish;
        *alpha = 1.0f;
        return true;
    case NW_OP_HARD_SIGMOID: /* the clamp to [0, 1] is a post-op */
        *kind = dnnl_eltwise_linear;
        *alpha = node->alpha;
        *beta = node->beta;
        return true;
    default:
        return false;
    }
}

nw_status nw_dnn_eltwise(nw_dnn *dnn, const nw_node *node, const nw_dnn_layout *source, nw_dnn_op **out)
{
    dnnl_alg_kind_t kind;
    float alpha, beta;
    if (!eltwise_kind(node, &kind, &alpha, &beta))
        return NW_ERROR_UNSUPPORTED;
    const bool clamp = node->op == NW_OP_HARD_SIGMOID;
    const int ids[2] = {DNNL_ARG_SRC, DNNL_ARG_DST};
    const dnnl_memory_desc_t mds[2] = {to_md(source), to_md(source)};
    dnnl_eltwise_desc_t desc;
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = dnnl_eltwise_forward_desc_init(&desc, dnnl_forward_inference, kind, &mds[0], alpha, beta);
    if (status == dnnl_success)
        status = make_pd(dnn, &pd, &desc, false, clamp ? 0.0f : -INFINITY, clamp ? 1.0f : INFINITY);
    return status == dnnl_success ? finish_op(dnn, out, pd, 2, ids, mds) : status_of(status);
}

nw_status nw_dnn_batch_norm(nw_dnn *dnn, float epsilon, const nw_dnn_layout *source, nw_dnn_op **out)
{
    const int ids[6] = {DNNL_ARG_SRC,   DNNL_ARG_MEAN,  DNNL_ARG_VARIANCE,
                        DNNL_ARG_SCALE, DNNL_ARG_SHIFT, DNNL_ARG_DST};
    const dnnl_memory_desc_t src = to_md(source);
    const dnnl_memory_desc_t channel = make_md(1, &src.dims[1], dnnl_a);
    const dnnl_memory_desc_t mds[6] = {src, channel, channel, channel, channel, src};
    dnnl_batch_normalization_desc_t desc;
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = dnnl_batch_normalization_forward_desc_init(
        &desc, dnnl_forward_inference, &src, epsilon, dnnl_use_global_stats | dnnl_use_scale | dnnl_use_shift);
    if (status == dnnl_success)
        status = make_pd(dnn, &pd, &desc, false, -INFINITY, INFINITY);
    return status == dnnl_success ? finish_op(dnn, out, pd, 6, ids, mds) : status_of(status);
}

nw_status nw_dnn_concat(nw_dnn *dnn, int32_t axis, const nw_dnn_layout *sources, int32_t n_sources, nw_dnn_op **out,
                        nw_dnn_layout *result_layout)
{
    const size_t n = (size_t)n_sources;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd;
    nw_status result = NW_ERROR_MEMORY;
    dnnl_memory_desc_t *mds = calloc(n + 1, sizeof(*mds));
    int *ids = calloc(n + 1, sizeof(*ids));
    if (!mds || !ids)
        goto cleanup;
    for (size_t i = 0; i < n; i++) {
        mds[i] = to_md(&sources[i]);
        ids[i] = DNNL_ARG_MULTIPLE_SRC + (int)i;
    }
    ids[n] = DNNL_ARG_DST;
    dnnl_status_t status = make_attr(&attr, false, -INFINITY, INFINITY);
    if (status == dnnl_success)
        status = dnnl_concat_primitive_desc_create(&pd, NULL, n_sources, axis, mds, attr, dnn->engine);
    result = status_of(status);
    if (result)
        goto cleanup;
    mds[n] = chosen_result(pd);
    from_md(result_layout, &mds[n]);
    result = finish_op(dnn, out, pd, n_sources + 1, ids, mds);

cleanup:
    dnnl_primitive_attr_destroy(attr);
    free(ids);
    free(mds);
    return result;
}

nw_status nw_dnn_reorder(nw_dnn *dnn, const nw_dnn_layout *source, const nw_dnn_layout *result, nw_dnn_op **out)
{
    const int ids[2] = {DNNL_ARG_FROM, DNNL_ARG_TO};
    const dnnl_memory_desc_t mds[2] = {to_md(source), to_md(result)};
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = make_attr(&attr, false, -INFINITY, INFINITY);
    if (status != dnnl_success)
        return status_of(status);
    status = dnnl_reorder_primitive_desc_create(&pd, &mds[0], dnn->engine, &mds[1], dnn->engine, attr);
    dnnl_primitive_attr_destroy(attr);
    return status == dnnl_success ? finish_op(dnn, out, pd, 2, ids, mds) : status_of(status);
}
