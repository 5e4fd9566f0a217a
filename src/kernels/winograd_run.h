/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of a family's winograd.c (winograd.h), in a header, so that each family compiles it with its own vectors. It
 * defines NW_WINOGRAD_VECTOR, the bytes of one (16 to 64), includes this file and calls winograd_run with
 *
 *     multiply   M of some tiles by one panel at one point: NW_WINOGRAD_POINTS times for each panel
 *     finish     outputs from the sums of a row of up to four pixels
 *
 * A block of tiles, all of a call, is transformed once and then meets panel after panel: a panel's weights of one point
 * stay in L1 or L2 while all tiles pass; V and M stay in L2 if the caller chose n for it.
 *
 * Vectors are those of GCC and Clang (vector_size).
 */
#ifndef NARROW_KERNELS_WINOGRAD_RUN_H
#define NARROW_KERNELS_WINOGRAD_RUN_H

#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "base/compiler.h"
#include "kernels/winograd.h"

#define WORDS (NW_WINOGRAD_VECTOR / 2) /* of a vector: channels of V */
#define SUMS (NW_WINOGRAD_VECTOR / 4)  /* of a vector: channels of M */

typedef uint8_t wino_codes __attribute__((vector_size(NW_WINOGRAD_VECTOR / 2)));
typedef int16_t wino_words __attribute__((vector_size(NW_WINOGRAD_VECTOR)));
typedef uint32_t wino_sums __attribute__((vector_size(NW_WINOGRAD_VECTOR)));
typedef int32_t wino_signed __attribute__((vector_size(NW_WINOGRAD_VECTOR)));

/** n products of V with one point of a panel: m[tile i][..] = sum over pairs, for 16 q channels. */
typedef struct wino_product {
    const int16_t *v;        /* tile 0 */
    ptrdiff_t v_tile;        /* int16 from tile to tile */
    const int16_t *weights;
    int32_t pairs, q, n;
    int32_t *m;              /* tile 0 */
    ptrdiff_t m_tile;        /* int32 from tile to tile */
} wino_product;

typedef void wino_multiply(const wino_product *product);

/** A panel's outputs of one tile: what finish() turns into codes or reals. */
typedef struct wino_outputs {
    nw_gemm_call call;     /* of up to 16 pixels, pixel (i, j) at place 4 i + j */
    int32_t o;             /* first channel */
    int32_t width, q;
    const int32_t *start;  /* [16 q] what sums start from */
    void *family;          /* what the family keeps for a panel */
} wino_outputs;

/** Fills in start and family, before a panel. */
typedef void wino_start(wino_outputs *outputs);
/** Outputs of n pixels from place i on, from sums[n][16 q]. */
typedef void wino_finish(const wino_outputs *outputs, const int32_t *sums, int32_t i, int32_t n);

/* out = B' in */
static NW_INLINE void wino_input_line(wino_words out[6], const wino_words in[6])
{
    const wino_words c = in[4] - in[2];
    const wino_words e = (in[3] - in[1]) * 2;
    const wino_words a = in[4] - in[2] * 4;
    const wino_words b = in[3] - in[1] * 4;
    out[0] = (in[0] - in[2]) * 4 + c;
    out[1] = a + b;
    out[2] = a - b;
    out[3] = c + e;
    out[4] = c - e;
    out[5] = in[5] - in[3] - e * 2;
}

/* V of one tile: point p at v + p * plane. */
static NW_INLINE void wino_input(int16_t *v, ptrdiff_t plane, const uint8_t *const rows[6], const ptrdiff_t columns[6],
                                 int32_t channels)
{
    for (int32_t c = 0; c < channels; c += WORDS) {
        wino_words t[6][6];
        for (int j = 0; j < 6; j++) {
            wino_words in[6], out[6];
#pragma GCC unroll 6
            for (int i = 0; i < 6; i++) {
                wino_codes codes;
                memcpy(&codes, rows[i] + columns[j] + c, sizeof(codes));
                in[i] = __builtin_convertvector(codes, wino_words);
            }
            wino_input_line(out, in);
#pragma GCC unroll 6
            for (int i = 0; i < 6; i++)
                t[i][j] = out[i];
        }
        for (int i = 0; i < 6; i++) {
            wino_words out[6];
            wino_input_line(out, t[i]);
#pragma GCC unroll 6
            for (int j = 0; j < 6; j++)
                memcpy(v + (6 * i + j) * plane + c, &out[j], sizeof(out[j]));
        }
    }
}

/* out = A' in */
static NW_INLINE void wino_output_line(wino_sums out[4], const wino_sums in[6])
{
    const wino_sums p = in[1] + in[2];
    const wino_sums q = in[1] - in[2];
    const wino_sums r = in[3] + in[4];
    const wino_sums s = in[3] - in[4];
    out[0] = in[0] + p * 4 + r;
    out[1] = q * 2 + s;
    out[2] = p + r;
    out[3] = q + s * 2 + in[5];
}

#define NINTH 954437177u /* 9 * NINTH = 1 modulo 2^32 */

/* sums[16][16 q] = start + acc of the 4 x 4 outputs of one tile, from m[36][16 q]. */
static NW_INLINE void wino_output(int32_t *sums, const int32_t *m, const int32_t *start, int32_t q)
{
    static const int32_t shift[4] = {3, 2, 1, 1};
    const int32_t n = 16 * q;
    for (int32_t c = 0; c < n; c += SUMS) {
        wino_sums t[4][6];
#pragma GCC unroll 6
        for (int j = 0; j < 6; j++) {
            wino_sums in[6], out[4];
#pragma GCC unroll 6
            for (int i = 0; i < 6; i++)
                memcpy(&in[i], m + (6 * i + j) * n + c, sizeof(in[i]));
            wino_output_line(out, in);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                t[i][j] = out[i];
        }
        wino_signed first;
        memcpy(&first, start + c, sizeof(first));
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            wino_sums out[4];
            wino_output_line(out, t[i]);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) {
                const wino_signed acc = (wino_signed)(out[j] * NINTH) >> (shift[i] + shift[j]);
                const wino_signed sum = acc + first;
                memcpy(sums + (4 * i + j) * n + c, &sum, sizeof(sum));
            }
        }
    }
}

/* Where tile t lies: its first output row and column. */
typedef struct wino_place {
    int32_t y, x;
} wino_place;

static NW_INLINE wino_place wino_place_of(const nw_winograd_call *call, int32_t t)
{
    const int32_t across = (call->width + 3) / 4;
    return (wino_place){4 * (t / across), 4 * (t % across)};
}

/* Rows and columns past the picture's last ones are read there: what is computed from them is no output. */
static NW_INLINE void wino_transform(const nw_winograd_call *call, int16_t *v, ptrdiff_t plane, int32_t channels)
{
    const int32_t padded = nw_round_up(channels, NW_WINOGRAD_STEP);
    for (int32_t i = 0; i < call->n; i++) {
        const wino_place at = wino_place_of(call, call->first + i);
        const uint8_t *rows[6];
        ptrdiff_t columns[6];
        for (int32_t j = 0; j < 6; j++) {
            rows[j] = call->x + nw_min32(at.y + j, call->height + 1) * call->x_row;
            columns[j] = nw_min32(at.x + j, call->width + 1) * call->x_pixel;
        }
        wino_input(v + (ptrdiff_t)i * padded, plane, rows, columns, nw_round_up(channels, WORDS));
    }
}

/* Outputs of tile t from its sums, row by row. */
static NW_INLINE void wino_store(const nw_winograd_call *call, const wino_outputs *outputs, const uint8_t **residual,
                                 void **c, const int32_t *sums, int32_t t, wino_finish *finish)
{
    const wino_place at = wino_place_of(call, t);
    const int32_t rows = nw_min32(4, call->height - at.y);
    const int32_t columns = nw_min32(4, call->width - at.x);
    for (int32_t i = 0; i < rows; i++)
        for (int32_t j = 0; j < columns; j++) {
            c[4 * i + j] = call->y + (at.y + i) * call->y_row + (at.x + j) * call->y_pixel;
            if (call->residual)
                residual[4 * i + j] =
                    call->residual + (at.y + i) * call->residual_row + (at.x + j) * call->residual_pixel;
        }
    const ptrdiff_t row = (ptrdiff_t)4 * 16 * outputs->q;
    if (rows == 4 && columns == 4)
        finish(outputs, sums, 0, 16);
    else
        for (int32_t i = 0; i < rows; i++)
            finish(outputs, sums + i * row, 4 * i, columns);
}

/** nw_winograd.run. The functions are constants of each caller. */
static NW_INLINE void winograd_run(const nw_winograd_call *call, wino_multiply *multiply, wino_start *start,
                                   wino_finish *finish, void *family)
{
    const nw_winograd_header *header = call->packed;
    const ptrdiff_t plane = nw_winograd_plane(header->channels, call->n);
    const ptrdiff_t v_tile = nw_round_up(header->channels, NW_WINOGRAD_STEP);
    int16_t *v = call->scratch;
    int32_t *m = (int32_t *)(void *)((uint8_t *)call->scratch +
                                     nw_align((size_t)(NW_WINOGRAD_POINTS * plane) * sizeof(int16_t), NW_ALIGNMENT));
    _Alignas(64) int32_t sums[16 * 64];
    const uint8_t *residual[16];
    void *c[16];
    wino_outputs outputs = {.call = {.requant = call->requant, .residual = call->residual ? residual : NULL, .c = c,
                                     .m = 16},
                            .family = family};
    assert(call->n >= 1 && call->n <= NW_WINOGRAD_TILES && header->nr <= 64);
    assert(call->begin % header->nr == 0 && call->begin < call->end && call->end <= header->n_channels);
    wino_transform(call, v, plane, header->channels);
    for (int32_t o = call->begin; o < call->end; o += header->nr) {
        const nw_winograd_panel panel = nw_winograd_panel_at(call->packed, o);
        const ptrdiff_t m_tile = (ptrdiff_t)NW_WINOGRAD_POINTS * 16 * panel.q;
        for (int32_t p = 0; p < NW_WINOGRAD_POINTS; p++) {
            const wino_product product = {
                .v = v + p * plane,
                .v_tile = v_tile,
                .weights = panel.weights + (ptrdiff_t)p * 32 * panel.q * header->pairs,
                .pairs = header->pairs,
                .q = panel.q,
                .n = call->n,
                .m = m + (ptrdiff_t)p * 16 * panel.q,
                .m_tile = m_tile,
            };
            multiply(&product);
        }
        outputs.o = o;
        outputs.width = panel.width;
        outputs.q = panel.q;
        start(&outputs);
        for (int32_t i = 0; i < call->n; i++) {
            wino_output(sums, m + i * m_tile, outputs.start, panel.q);
            wino_store(call, &outputs, residual, c, sums, call->first + i, finish);
        }
    }
}

#undef WORDS
#undef SUMS

#endif
