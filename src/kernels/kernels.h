/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The function table of the integer kernels. ref/ defines what every entry computes; the folders of the instruction
 * sets hold faster functions with the same results, byte for byte (docs/numerics.md, tests/kernels).
 *
 *     nw_kernels kernels;
 *     nw_kernels_init(&kernels, nw_isa_best());
 *     size_t size = kernels.gemm.pack(NULL, &source);       // bytes; then once more with memory
 *     kernels.gemm.pack(packed, &source);
 *     kernels.gemm.run(&call);
 *
 * Kernels see plain structs and pointers, never graph nodes; they allocate nothing and return void. Arguments are
 * valid by contract: what comes from a file was checked before it got here.
 *
 * Activations lie in memory as [H, W, C] codes with strides; pixels of a row are `pixel_stride` bytes apart, rows
 * `row_stride`. Where a consumer pads, the zero point physically surrounds the picture. At least NW_OVERREAD bytes
 * behind every activation buffer are readable (their values never matter: they meet zero weights).
 */
#ifndef NARROW_KERNELS_KERNELS_H
#define NARROW_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"

#define NW_OVERREAD 64        /* readable bytes behind activations and parameter arrays */
#define NW_PARAMETER_PAD 64   /* per-channel arrays of nw_requant have at least this many readable entries past the
                                 last */
#define NW_GEMM_MAX_M 128     /* most pixels in one nw_gemm_call */
#define NW_GEMM_AHEAD 8192    /* bytes from weights that one pixel meets to those prefetched meanwhile */
#define NW_ALIGNMENT 64       /* of packed weights and of every activation buffer */

/**
 * From sums to outputs, per output channel o (arrays indexed by o, readable NW_PARAMETER_PAD entries past the end):
 *
 *     v = bias[o] + multiplier[o] * f32(acc + offset[o])
 *     v = v + extra_multiplier[e] * f32(extra_sum[e] + extra_offset[e])      for the extra rows e of o, in their order
 *     v = v + residual_multiplier[o] * f32(residual - residual_zero_point)   if there is a residual
 *     y = zero_point + (rint(min(max(v, lo[o]), hi[o])) << shift[o])         (U8 output)
 *     y = v                                                                  (F32 output)
 *
 * With wrap16 every sum (acc, extra_sum) is first reduced by nw_wrap16.
 */
typedef struct nw_requant {
    const float *bias, *multiplier;
    const int32_t *offset;
    const float *lo, *hi;
    const int32_t *shift;             /* NULL when every shift is 0 */
    /* zero_point + lo, zero_point + hi; NULL unless there are no shifts and no wrap16, outputs are codes and every |v|
       is below 2^31, so that limits may as well be met after rounding */
    const uint8_t *lo_code, *hi_code;
    const float *residual_multiplier; /* NULL without a residual */
    int32_t residual_zero_point;
    int32_t zero_point;
    bool wrap16;
    bool float_output; /* outputs are float, lo/hi/shift/zero_point unused */
    /* further points; n_extra = 0 for one point per channel */
    int32_t n_extra;
    const int32_t *extra_channel;  /* [n_extra] output channel of extra row e; ascending p */
    const float *extra_multiplier; /* [n_extra] */
    const int32_t *extra_offset;   /* [n_extra] */
} nw_requant;

/**
 * How a family that adds in 16 bits arranges a layer's products: a choice of speed, never of results, and always
 * within what pack() has proven to fit. Families that add everything in 32 bits have one way.
 */
typedef enum nw_arrangement {
    NW_ARRANGE_CHEAPEST, /* panel by panel, by the family's own figures */
    NW_ARRANGE_INT32,    /* no runs: every step goes to int32 */
    NW_ARRANGE_RUNS,     /* bytes in pairs as they lie, pairs that do not fit widened */
    NW_ARRANGE_UNITS,    /* bytes in other pairs, so that nearly all fit; matrices on AVX2 and AVX-512 without VNNI */
    NW_ARRANGE_DIRECT,   /* as cheapest, but no nw_winograd */
    NW_ARRANGE_WINOGRAD, /* fewer products, of 16 bits, wherever the family has them and they are proven
                            (nw_winograd) */
    NW_ARRANGE_COUNT
} nw_arrangement;

/** "cheapest", "int32", "runs", "units", "direct", "winograd"; NULL past the end. */
const char *nw_arrangement_name(nw_arrangement arrangement);

/**
 * `length` bytes of the picture that lie together, at `offset` bytes from a pixel's base, times W[.., k .. k+length).
 */
typedef struct nw_segment {
    int32_t offset, length, k;
} nw_segment;

/** What pack() reads. A matrix of rows = output channels first, then extra points. */
typedef struct nw_gemm_source {
    const int8_t *weights;      /* [n_rows, k], row stride k; every |w| <= 127 */
    int32_t n_rows, k;
    int32_t n_channels;         /* rows [0, n_channels) are outputs, [n_channels, n_rows) extra points */
    const nw_segment *segments; /* in ascending k, disjoint; columns outside every segment take no part */
    int32_t n_segments;
    const uint8_t *x_lo, *x_hi; /* [k]: lowest and highest code (padding included) that can meet column k */
    bool one_pixel;             /* a run takes one pixel only: weights are read once. A hint */
    nw_arrangement arrangement;
} nw_gemm_source;

/** One call: m pixels by the output channels [begin, end). */
typedef struct nw_gemm_call {
    const void *packed;
    const nw_requant *requant;
    const uint8_t *const *a;        /* [m] base of each pixel's window; segments' offsets are relative to it */
    const uint8_t *const *residual; /* [m] base of each pixel's residual, channel 0; NULL without */
    void *const *c;                 /* [m] base of each output pixel, channel 0: uint8_t or float */
    int32_t m;                      /* 1 .. NW_GEMM_MAX_M */
    int32_t begin, end;             /* output channels; begin is a multiple of nr, end too unless it is n_channels */
    int32_t *extra_sums;            /* [m, n_extra] scratch, row stride n_extra; filled by run_extra, read by run */
} nw_gemm_call;

#define NW_LONGEST_RUN 128 /* steps */

/**
 * How the sums of packed weights are formed, for reports. A step is what one multiply instruction of the family takes
 * of a panel: some neighbouring k by some channels. A run is a number of steps added in 16 bits and folded into 32 at
 * the end.
 */
typedef struct nw_run_counts {
    int64_t runs[NW_LONGEST_RUN + 1]; /* runs of 1, 2, ... steps */
    int64_t paired;                   /* steps in these runs whose bytes had to be brought into other pairs to fit */
    int64_t wide;                     /* steps in no run, because 16 bits are not proven to hold their products */
    int64_t places;                   /* products that all steps have room for; those behind the edges are idle */
} nw_run_counts;

typedef struct nw_gemm {
    const char *name; /* "gemm_u8w8_4x16c4_avx2": shown by bench */
    /**
     * Packs into `packed` (NW_ALIGNMENT-aligned) and returns the bytes used; with NULL only counts. Same answer both
     * times.
     */
    size_t (*pack)(void *packed, const nw_gemm_source *source);
    /** Computes all sums of the extra rows into call->extra_sums (raw int32, before wrap16). begin, end unused. */
    void (*run_extra)(const nw_gemm_call *call);
    /** Computes outputs c[i][begin..end), exactly as nw_requant says; writes nothing else. */
    void (*run)(const nw_gemm_call *call);
    int32_t mr, nr, kr; /* tile: pixels, channels, consecutive k */
    int32_t least;      /* gemm_narrow: weights from which it pays; fewer lie in caches, where bytes are faster */
    /** Adds what `packed` holds to *counts; NULL: the family adds every product in 32 bits. */
    void (*count_runs)(nw_run_counts *counts, const void *packed);
} nw_gemm;

#define NW_WINOGRAD_TILES 56 /* most tiles in one nw_winograd_call */

/** What nw_winograd.pack reads: a layer of 3 x 3 taps, stride and dilation 1, one group, one point per channel. */
typedef struct nw_winograd_source {
    const int8_t *weights;          /* [n_channels, 3, 3, channels] */
    int32_t n_channels, channels;   /* outputs and inputs */
    const uint8_t *x_lo, *x_hi;     /* [channels]: lowest and highest code, padding included */
} nw_winograd_source;

/** Outputs in tiles of 4 x 4, which lie in row-major order over the picture; those at its edge may be cut. */
typedef struct nw_winograd_call {
    const void *packed;
    const nw_requant *requant; /* n_extra = 0 */
    const uint8_t *x;          /* what tap (0, 0) of output (0, 0) meets, channel 0; height + 2 rows, width + 2
                                  columns */
    const uint8_t *residual;   /* of output (0, 0), channel 0; NULL without */
    uint8_t *y;                /* of output (0, 0), channel 0: codes, or reals */
    ptrdiff_t x_row, x_pixel, residual_row, residual_pixel, y_row, y_pixel; /* bytes */
    int32_t height, width;     /* of the output */
    int32_t first, n;          /* tiles [first, first + n), n <= NW_WINOGRAD_TILES */
    int32_t begin, end;        /* output channels; begin is a multiple of nr, end too unless it is n_channels */
    void *scratch;             /* nw_winograd_scratch(channels, n, nr) bytes, aligned to NW_ALIGNMENT */
} nw_winograd_call;

/** 3 x 3 layers with a quarter of the products (winograd.h). Same outputs as nw_gemm, byte for byte. */
typedef struct nw_winograd {
    const char *name;
    /** As nw_gemm.pack; 0: sums of this layer are not proven to be known from what is computed modulo 2^32. */
    size_t (*pack)(void *packed, const nw_winograd_source *source);
    void (*run)(const nw_winograd_call *call);
    int32_t nr;
    /* What decides between this and nw_gemm, measured; in products of nw_gemm: a product here, what a tile costs
       besides for each channel of its input and its output, and each byte of weights that a block of tiles reads */
    float product, input, output, byte;
} nw_winograd;

/** Bytes that a call of n tiles needs. */
size_t nw_winograd_scratch(int32_t channels, int32_t n_tiles, int32_t nr);

/** Depthwise: every channel has its own taps. Weights [C, n_taps] (row of channel c = its kernel in kh, kw order). */
typedef struct nw_depthwise_source {
    const int8_t *weights;
    int32_t n_channels, n_taps;
    const int32_t *tap_offset;  /* [n_taps] bytes from the pixel's base, channel 0 */
    const uint8_t *x_lo, *x_hi; /* [C] code range of each input channel, padding included */
    nw_arrangement arrangement; /* INT32, or runs */
} nw_depthwise_source;

typedef struct nw_depthwise_call {
    const void *packed;
    const nw_requant *requant; /* n_extra = 0 */
    const uint8_t *a;          /* window base of the first pixel, channel 0 */
    const uint8_t *residual;   /* of the first pixel, or NULL */
    void *c;                   /* of the first pixel: uint8_t or float */
    int32_t a_step, residual_step, c_step; /* bytes from one output pixel to the next */
    int32_t n;                 /* pixels, >= 1 */
    /* of run_rows alone */
    int32_t rows;
    ptrdiff_t a_row, residual_row, c_row; /* bytes from one output row to the next */
} nw_depthwise_call;

typedef struct nw_depthwise {
    const char *name;
    size_t (*pack)(void *packed, const nw_depthwise_source *source); /* as nw_gemm.pack */
    void (*run)(const nw_depthwise_call *call); /* one row */
    void (*run_rows)(const nw_depthwise_call *call); /* several; NULL: the family has nothing to gain from knowing */
    void (*count_runs)(nw_run_counts *counts, const void *packed); /* as nw_gemm.count_runs */
} nw_depthwise;

/**
 * Elementwise sum of two pictures with requantization, over n pixels of c channels:
 *     v = multiplier_a[c] * f32(a - zero_a) + multiplier_b[c] * f32(b - zero_b);  y as in nw_requant
 */
typedef struct nw_add_call {
    const uint8_t *a, *b;
    uint8_t *y;
    int32_t a_step, b_step, y_step; /* bytes per pixel */
    int32_t n, channels;
    const float *multiplier_a, *multiplier_b; /* [channels], padded like nw_requant's arrays */
    int32_t zero_a, zero_b;
    const nw_requant *requant; /* lo, hi, shift, zero_point */
} nw_add_call;

/**
 * Elementwise product of two pictures with requantization, over n pixels of c channels:
 *     v = multiplier[c] * f32((a - zero_a) * (b - zero_b));  y as in nw_requant
 */
typedef struct nw_multiply_call {
    const uint8_t *a, *b;
    uint8_t *y;
    int32_t a_step, b_step, y_step; /* bytes per pixel; b_step 0: one pixel for all */
    int32_t n, channels;
    int32_t zero_a, zero_b;
    const nw_requant *requant; /* multiplier, lo, hi, shift, zero_point */
} nw_multiply_call;

/**
 * One output row of a pooling window. Taps outside the picture take no part: for output pixel i only the taps
 * tap_begin..tap_end of each axis lie inside; the caller passes the valid box per pixel.
 */
typedef struct nw_pool_call {
    const uint8_t *x;                 /* picture, row 0, pixel 0, channel 0 */
    int32_t x_row_stride, x_pixel_stride;
    int32_t height, width, channels;  /* of the input */
    uint8_t *y;                       /* output row, pixel 0, channel 0 */
    int32_t y_pixel_stride;
    int32_t n;                        /* output pixels in the row */
    int32_t iy;                       /* input row of the window's first tap (may be negative) */
    int32_t ix;                       /* input column of the first window's first tap (may be negative) */
    int32_t kernel_h, kernel_w, stride_w, dilation_h, dilation_w;
    /* average only: v = (multiplier[c] / f32(count)) * f32(sum - n_valid * zero_x); count = n_valid, or kernel_h *
       kernel_w with count_include_pad; y as in nw_requant */
    bool count_include_pad;
    int32_t zero_x;
    const float *multiplier;          /* [channels], padded like nw_requant's arrays */
    const nw_requant *requant;        /* bias unused; NULL for max pooling */
    int32_t *scratch;                 /* average: [channels + NW_PARAMETER_PAD] */
} nw_pool_call;

/** A matrix of 4-byte elements turned over: y[i][j] = x[j][i] for i < n, j < m. Nothing else is read or written. */
typedef struct nw_transpose_call {
    uint8_t *y;
    const uint8_t *x;
    ptrdiff_t y_step, x_step; /* bytes from row to row */
    int32_t n, m;             /* rows and columns of y */
} nw_transpose_call;

#define NW_TAP_BITS 11
#define NW_TAP_ONE (1 << NW_TAP_BITS)

/** The two input rows or columns that an output row or column of a linear Resize lies between. */
typedef struct nw_tap {
    int32_t low, high; /* bytes from the first row or column */
    int32_t weight;    /* of `high`, 0 to NW_TAP_ONE; that of `low` is the rest: for codes */
    float fraction;    /* of `high`, 0 to 1: for reals */
} nw_tap;

/**
 * One output row of a linear Resize. With the weight w of `down`, u of the column's tap, z = zero_point, s = shift[c]:
 *
 *     codes:  sum = ((1 - w) (1 - u) top_low + (1 - w) u top_high + w (1 - u) bottom_low + w u bottom_high) * 2^22
 *             y = z + (floor((sum - z * 2^22 + 2^(21 + s)) / 2^(22 + s)) << s)
 *     reals:  left = top_low + (bottom_low - top_low) * w,  right likewise,  y = left + (right - left) * u
 *
 * Reals whose bottom is NULL lie in `top` as left and right.
 */
typedef struct nw_resize_call {
    const uint8_t *top, *bottom; /* input rows, pixel 0, channel 0 */
    nw_tap down;                 /* their weights; low and high unused */
    const nw_tap *taps;          /* [n] of the columns */
    uint8_t *y;                  /* output row, pixel 0, channel 0 */
    int32_t y_step;              /* bytes per pixel */
    int32_t n, channels;
    int32_t zero_point;          /* codes */
    const int32_t *shift;        /* [channels], NULL when all are 0; codes */
} nw_resize_call;

/** y = tables[c][x] for channel c of every pixel of a picture. y may be x, pixel on pixel. */
typedef struct nw_tables_call {
    const uint8_t *x;
    uint8_t *y;
    ptrdiff_t x_step, y_step; /* bytes from pixel to pixel */
    ptrdiff_t x_row, y_row;   /* bytes from row to row */
    int32_t width, height, channels;
    const uint8_t *tables;    /* [channels, 256] */
} nw_tables_call;

/** From n pixels of planar reals to codes: y as in nw_requant with v = x * multiplier[c]; reals need not be finite. */
typedef struct nw_quantize_call {
    const float *x;    /* channel 0 of the first pixel; pixels lie together */
    ptrdiff_t x_plane; /* reals from one channel to the next */
    uint8_t *y;
    int32_t y_step;    /* bytes per pixel */
    int32_t n, channels;
    const nw_requant *requant; /* multiplier, lo, hi, shift, zero_point */
} nw_quantize_call;

/** Elementwise operators of a network's float tail; exp, sigmoid and tanh are those of base/elementary.h. */
typedef enum nw_float_function {
    NW_FLOAT_SIGMOID,
    NW_FLOAT_TANH,
    NW_FLOAT_EXP,
    NW_FLOAT_RELU,
    NW_FLOAT_ADD, /* two operands, b as in nw_float_call */
    NW_FLOAT_SUB,
    NW_FLOAT_MUL,
    NW_FLOAT_DIV
} nw_float_function;

/** y[i] = function(a[i * a_step], b[i * b_step]) over n reals; a NaN is stored as 0x7fc00000. y may be a or b. */
typedef struct nw_float_call {
    nw_float_function function;
    float *y;
    const float *a, *b;     /* b NULL for functions of one operand */
    int32_t a_step, b_step; /* 1, or 0: one number for all */
    int32_t n;
} nw_float_call;

typedef struct nw_kernels {
    nw_isa isa;
    nw_gemm gemm;
    /** The same for weights of few values, kept packed and unpacked in registers; pack returns 0 for weights that do
        not suit. For few pixels, up to its mr: there reading weights takes the time. pack is NULL where there is
        none. */
    nw_gemm gemm_narrow;
    nw_winograd winograd; /* run is NULL where there is none */
    nw_depthwise depthwise;
    void (*add)(const nw_add_call *call);
    void (*multiply)(const nw_multiply_call *call);
    void (*max_pool)(const nw_pool_call *call);
    void (*average_pool)(const nw_pool_call *call);
    void (*float_line)(const nw_float_call *call);
    void (*resize_codes)(const nw_resize_call *call);
    void (*resize_reals)(const nw_resize_call *call);
    /** y[i] = table[x[i]] over n bytes. */
    void (*table)(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256]);
    void (*tables)(const nw_tables_call *call);
    void (*transpose)(const nw_transpose_call *call);
    /**
     * A row of n codes of `bits` (1 to 7) bits, in the order of base/bits.h, to bytes: to[i] = code i << shift, where
     * bits + shift <= 8. Reads ceil(n * bits / 8) bytes.
     */
    void (*unpack)(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift);
    /** The way back: the low `bits` bits of from[i] >> shift; the bits behind the last code are 0. */
    void (*pack)(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift);
    /**
     * The codes of a row that are not `zero`, in order, to `to`, which has room for n + 8 bytes; for every code a bit
     * in map[ceil(n / 8)], bit i % 8 of byte i / 8, the bits behind the last one 0. Returns how many there are.
     */
    size_t (*squeeze)(uint8_t *to, uint8_t *map, const uint8_t *from, size_t n, uint8_t zero);
    /** The way back. 8 bytes behind the last code of `from` are readable. */
    void (*expand)(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero);
    void (*quantize)(const nw_quantize_call *call);
    /** y[i] = scale * f32(x[i] - zero_point) over n codes. */
    void (*dequantize)(float *y, const uint8_t *x, size_t n, float scale, int32_t zero_point);
} nw_kernels;

/** Fills every entry with the best function that `isa` may use; ref fills what nothing improves. */
void nw_kernels_init(nw_kernels *kernels, nw_isa isa);

/* one per folder; each overwrites the entries it improves */
void nw_kernels_init_ref(nw_kernels *kernels);
void nw_kernels_init_avx2(nw_kernels *kernels);
void nw_kernels_init_avxvnni(nw_kernels *kernels);
void nw_kernels_init_avx512(nw_kernels *kernels);
void nw_kernels_init_avx512vnni(nw_kernels *kernels);
void nw_kernels_init_amx(nw_kernels *kernels);
void nw_kernels_init_neon(nw_kernels *kernels);
void nw_kernels_init_dotprod(nw_kernels *kernels);
void nw_kernels_init_i8mm(nw_kernels *kernels);

#endif
