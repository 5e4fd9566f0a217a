/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operators of the integer engine, one file each: shape rules, packing, loop over tiles. They see plain structs and
 * pointers, never graph nodes, so exported C may use them too. A `make` function puts everything a run needs into the
 * arena (or counts it: arena.h) and returns the job; what it is given must stay valid only during the call, apart from
 * the pictures' memory itself.
 */
#ifndef NARROW_OPS_OPS_H
#define NARROW_OPS_OPS_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/geometry.h"
#include "kernels/kernels.h"
#include "ops/job.h"

/** Codes of one U8 picture: zero point, and per channel limits and shift (see docs/numerics.md). */
typedef struct nw_codes {
    int32_t zero_point;
    const float *lo, *hi;   /* [C] */
    const uint8_t *shift;   /* [C] */
} nw_codes;

/** The windows that Winograd's convolution knows: 3 x 3, stride and dilation 1. */
static inline bool nw_window_suits_winograd(const nw_window *w)
{
    return w->kernel[0] == 3 && w->kernel[1] == 3 && w->stride[0] == 1 && w->stride[1] == 1 && w->dilation[0] == 1 &&
           w->dilation[1] == 1;
}

/** Memory that jobs use while they run, one job at a time. */
typedef struct nw_scratch {
    uint8_t *base; /* aligned to NW_ALIGNMENT; NULL while counting */
    size_t needed; /* bytes: the most that any job asked for */
    int32_t lanes; /* shares of a job that may run at the same time, >= 1 */
} nw_scratch;

/** Where a job's `size` bytes lie; NULL while counting. */
static inline uint8_t *nw_scratch_ask(nw_scratch *scratch, size_t size)
{
    if (size > scratch->needed)
        scratch->needed = size;
    return scratch->base;
}

/** Everything of a linear layer. CONV when !transpose; fully connected layers are 1 x 1. */
typedef struct nw_linear_params {
    nw_view x, y, residual; /* residual.data and has_residual say whether there is one */
    bool has_residual, transpose;
    bool wrap16;                /* sums modulo 2^16 */
    nw_arrangement arrangement; /* of the products */
    nw_window window;
    int32_t groups;
    nw_scratch *scratch; /* NULL: there is none, and kernels that need it take no part; nor may they for run_rows */
    /* what decides between kernels where this is a part of a layer: its pixels and weights; 0: its own */
    int32_t whole_pixels;
    int64_t whole_weights;
    nw_codes x_codes, y_codes; /* y_codes unused when y holds floats */
    int32_t residual_zero_point;
    /* the arrays of nw_linear in model.h */
    int32_t n_channels, n_rows, k;
    const int8_t *weights;
    const int32_t *row_channel;
    const float *multiplier, *bias, *residual_multiplier;
    const int32_t *offset;
} nw_linear_params;

#define NW_MAX_EXTRA_ROWS 8192 /* further points of one layer */

/**
 * The linear layer; picks depthwise, grouped or dense kernels. NW_ERROR_MEMORY if scratch for packing is missing,
 * NW_ERROR_UNSUPPORTED above NW_MAX_EXTRA_ROWS.
 */
nw_status nw_linear_make(nw_job *job, const nw_linear_params *params, const nw_kernels *kernels, nw_arena *arena);

typedef struct nw_add_params {
    nw_view a, b, y;
    int32_t zero_a, zero_b;
    nw_codes y_codes;
    const float *multiplier_a, *multiplier_b; /* [C] */
} nw_add_params;

nw_job nw_add_make(const nw_add_params *params, const nw_kernels *kernels, nw_arena *arena);

typedef struct nw_multiply_params {
    nw_view a, b, y; /* b: as a, or one pixel, which then meets all of a's */
    int32_t zero_a, zero_b;
    nw_codes y_codes;
    const float *multiplier; /* [C] */
} nw_multiply_params;

nw_job nw_multiply_make(const nw_multiply_params *params, const nw_kernels *kernels, nw_arena *arena);

typedef struct nw_pool_params {
    nw_view x, y;
    nw_window window;
    bool average, count_include_pad;
    int32_t zero_x;
    nw_codes y_codes;
    const float *multiplier; /* [C], average only */
} nw_pool_params;

nw_job nw_pool_make(const nw_pool_params *params, const nw_kernels *kernels, nw_arena *arena);

typedef struct nw_resize_params {
    nw_view x, y; /* codes or reals */
    nw_resize_mode mode;
    nw_resize_coordinates coordinates; /* linear */
    nw_codes y_codes;                  /* codes; x has the same zero point */
    /* y lies in the caller's array, planes of reals one after the other: where that is found during a run. y.data is
       NULL and channels are at most NW_RESIZE_MOST_PLANES */
    bool to_caller;
    float *const *caller; /* NULL while counting */
} nw_resize_params;

#define NW_RESIZE_MOST_PLANES 1024

nw_job nw_resize_make(const nw_resize_params *params, const nw_kernels *kernels, nw_arena *arena);

typedef struct nw_table_params {
    nw_view x, y;
    const uint8_t *tables; /* [n_tables, 256] */
    int32_t n_tables;      /* 1, or one per channel */
} nw_table_params;

nw_job nw_table_make(const nw_table_params *params, const nw_kernels *kernels, nw_arena *arena);

/** Data movement: y[i] = x[i] for every index of y's shape, with the views' strides (slice, concat, pad, transpose). */
nw_job nw_copy_make(const nw_view *y, const nw_view *x, const nw_kernels *kernels, nw_arena *arena);

/** The same, at once; kernels NULL: in plain C. */
void nw_copy_run(const nw_view *y, const nw_view *x, const nw_kernels *kernels);

/** y = x in logical (row-major N, C, H, W) order, for shapes of equal size. */
nw_job nw_reshape_make(const nw_view *y, const nw_view *x, const nw_kernels *kernels, nw_arena *arena);

/** Sets every element of y to one code or float, given by its bytes. */
nw_job nw_fill_make(const nw_view *y, const void *element, nw_arena *arena);

/** Where the caller's input of this run is found: filled in by the engine before each run. */
typedef struct nw_input_slot {
    const float *values;   /* [C, H, W] reals, or NULL */
    const uint8_t *pixels; /* [H, W, C] pixels, or NULL */
} nw_input_slot;

typedef struct nw_quantize_params {
    const nw_input_slot *slot;
    nw_view y;
    float inverse_scale; /* 1 / scale, rounded once */
    nw_codes y_codes;
    const uint8_t *pixel_tables; /* [C, 256] or NULL */
} nw_quantize_params;

nw_job nw_quantize_make(const nw_quantize_params *params, const nw_kernels *kernels, nw_arena *arena);

/** Reals of codes: y = scale * f32(x - zero_point). */
nw_job nw_dequantize_make(const nw_view *y, const nw_view *x, float scale, int32_t zero_point,
                          const nw_kernels *kernels, nw_arena *arena);

/** b is NULL for functions of one operand; otherwise a view whose missing or 1-sized axes repeat. */
nw_job nw_float_make(nw_float_function function, const nw_view *y, const nw_view *a, const nw_view *b,
                     const nw_kernels *kernels, nw_arena *arena);

/** y = exp(x - max) / sum over `axis`, sum in index order. */
nw_job nw_softmax_make(const nw_view *y, const nw_view *x, int32_t axis, const nw_kernels *kernels, nw_arena *arena);

/** Copies per-channel parameters into the arena, padded as nw_requant asks. Parts that are NULL stay NULL. */
void nw_requant_copy(nw_requant *to, const nw_requant *from, int32_t n_channels, nw_arena *arena);

/** [C] shifts as the kernels want them (int32, padded), or NULL when all are 0 or while counting. */
const int32_t *nw_shift_copy(const uint8_t *shift, int32_t n_channels, nw_arena *arena);

#endif
