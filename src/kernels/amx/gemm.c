/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture with AMX tiles. amx.h draws the packed weights.
 *
 * A block is 32 pixels by 32 channels: four tiles of sums, two of codes, two of weights, all eight there are. A chunk
 * of 64 k costs 4 loads of tiles and 4 tdpbusd, one load for each: 64 cycles by tdpbusd (limit: 1024 products a cycle);
 * the loads are 64 lines of the first-level cache, 32 cycles at two a cycle.
 *
 * Rows of codes lie at a constant distance while the pixels are of one output row: then a tile is loaded from the
 * picture. Where 16 pixels span the end of an output row, or are fewer, their 64 bytes are copied together first, which
 * is 16 stores a tile, hidden behind 32 cycles of tdpbusd: no tile ever reads a row of codes that is no pixel's.
 *
 * Order: weights of a panel stay in the first-level cache while all pixels pass, as long as they fit; else the codes of
 * a block stay there (rows of a window overlap) while the panels pass.
 *
 * The configuration of the tiles is state of the thread: set at the beginning of a call, released at its end.
 */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/amx/amx.h"
#include "kernels/avx512/finish.h"
#include "kernels/avx512vnni/avx512vnni.h"

#define ROWS NW_AMX_ROWS
#define K NW_AMX_K
#define BLOCK 32              /* pixels */
#define FIRST_LEVEL (32 << 10) /* bytes of weights that may stay in the first-level cache */

/* What ldtilecfg reads. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* Tiles 0-3: sums, [half of pixels][half of channels]; 4, 5: codes; 6, 7: weights. All full. */
static const tile_config config = {.palette = 1,
                                   .row_bytes = {K, K, K, K, K, K, K, K},
                                   .rows = {ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS}};

/* 16 pixels of a block: where their codes are. */
typedef struct rows {
    const uint8_t *const *a;
    int32_t n;        /* fewer than 16 at the end; 0: none */
    ptrdiff_t stride; /* from pixel to pixel if they may be loaded as they lie, else 0 */
    uint8_t *copy;    /* [16][64] */
} rows;

typedef struct panel {
    const int32_t *chunks;
    const int8_t *weights;
    int32_t n_chunks, width;
} panel;

static rows rows_of(const nw_gemm_call *call, int32_t i, uint8_t copy[ROWS * K])
{
    rows r = {.copy = copy};
    if (i >= call->m)
        return r;
    r.a = call->a + i;
    r.n = nw_min32(call->m - i, ROWS);
    if (r.n < ROWS) {
        memset(copy + K * r.n, 0, (size_t)(K * (ROWS - r.n)));
        return r;
    }
    r.stride = r.a[1] - r.a[0];
    for (int32_t p = 2; p < ROWS; p++)
        if (r.a[p] - r.a[p - 1] != r.stride)
            r.stride = 0;
    return r;
}

/* Where a chunk of the rows begins; *stride to the next row. The barrier: tile loads do not tell the compiler that they
 * read memory. */
static NW_INLINE const uint8_t *rows_at(const rows *r, ptrdiff_t offset, size_t *stride)
{
    if (r->stride) {
        *stride = (size_t)r->stride;
        return r->a[0] + offset;
    }
    for (int32_t p = 0; p < r->n; p++)
        _mm512_storeu_si512(r->copy + K * p, _mm512_loadu_si512(r->a[p] + offset));
    __asm__ volatile("" : : : "memory");
    *stride = K;
    return r->copy;
}

/*
 * sums[pixel][16 columns] = start + the product of a panel with two halves of pixels. The second half may be missing,
 * and the second column of tiles; both are constants in each caller.
 */
static NW_INLINE void multiply(const panel *p, const rows half[2], const int32_t *start, int32_t *sums, int halves,
                               int columns)
{
    const int8_t *b = p->weights;
    const size_t stride = (size_t)(ROWS * columns) * sizeof(int32_t);
    _tile_loadd(0, start, 0);
    if (columns == 2)
        _tile_loadd(1, start + ROWS, 0);
    if (halves == 2)
        _tile_loadd(2, start, 0);
    if (halves == 2 && columns == 2)
        _tile_loadd(3, start + ROWS, 0);
    for (int32_t c = 0; c < p->n_chunks; c++, b += NW_AMX_TILE * columns) {
        size_t row;
        const uint8_t *x = rows_at(&half[0], p->chunks[c], &row);
        _tile_loadd(4, x, row);
        _tile_loadd(6, b, K);
        _tile_dpbusd(0, 4, 6);
        if (columns == 2) {
            _tile_loadd(7, b + NW_AMX_TILE, K);
            _tile_dpbusd(1, 4, 7);
        }
        if (halves == 2) {
            x = rows_at(&half[1], p->chunks[c], &row);
            _tile_loadd(5, x, row);
            _tile_dpbusd(2, 5, 6);
        }
        if (halves == 2 && columns == 2)
            _tile_dpbusd(3, 5, 7);
    }
    _tile_stored(0, sums, stride);
    if (columns == 2)
        _tile_stored(1, sums + ROWS, stride);
    if (halves == 2)
        _tile_stored(2, sums + ROWS * ROWS * columns, stride);
    if (halves == 2 && columns == 2)
        _tile_stored(3, sums + ROWS * ROWS * columns + ROWS, stride);
}

/* A block: its sums, [pixel][16 or 32]. */
static NW_NOINLINE void block_sums(const panel *p, const rows half[2], const int32_t *start, int32_t *sums)
{
    const bool both = half[1].n > 0;
    if (p->width > ROWS && both)
        multiply(p, half, start, sums, 2, 2);
    else if (p->width > ROWS)
        multiply(p, half, start, sums, 1, 2);
    else if (both)
        multiply(p, half, start, sums, 2, 1);
    else
        multiply(p, half, start, sums, 1, 1);
}

/* The panel of outputs (or of extra rows) that starts with row `first`, a multiple of NW_AMX_WIDTH. */
static panel panel_at(const nw_amx_header *header, bool extra, int32_t first)
{
    const uint8_t *base = (const uint8_t *)header;
    const int8_t *rows = (const int8_t *)base + (extra ? header->extras : header->outputs);
    const size_t before = (size_t)(first / ROWS) * (size_t)header->n_chunks * NW_AMX_TILE;
    return (panel){.chunks = (const int32_t *)(const void *)(base + header->chunks),
                   .weights = rows + before,
                   .n_chunks = header->n_chunks,
                   .width = nw_min32((extra ? header->n_extra : header->n_channels) - first, NW_AMX_WIDTH)};
}

/* The same call for avx512vnni/, whose packed matrix lies behind the header. */
static nw_gemm_call without_tiles(const nw_gemm_call *call)
{
    nw_gemm_call inner = *call;
    inner.packed = (const uint8_t *)call->packed + sizeof(nw_amx_header);
    return inner;
}

/* The pixels [i, end) by the channels [o, o_end), panel by panel. */
static void run_panels(const nw_gemm_call *call, int32_t i_begin, int32_t i_end, int32_t o_begin, int32_t o_end)
{
    _Alignas(64) int32_t sums[BLOCK * NW_AMX_WIDTH];
    _Alignas(64) uint8_t copies[2][ROWS * K];
    for (int32_t o = o_begin; o < o_end; o += NW_AMX_WIDTH) {
        const panel p = panel_at(call->packed, false, o);
        nw_finish finish;
        nw_finish_init_avx512(&finish, call, o, p.width);
        for (int32_t i = i_begin; i < i_end; i += BLOCK) {
            const rows half[2] = {rows_of(call, i, copies[0]), rows_of(call, i + ROWS, copies[1])};
            block_sums(&p, half, finish.start, sums);
            nw_finish_run_avx512(&finish, sums, i, nw_min32(call->m - i, BLOCK));
        }
    }
}

void nw_gemm_run_amx(const nw_gemm_call *call)
{
    const nw_amx_header *header = call->packed;
    assert(call->m >= 1 && call->m <= NW_GEMM_MAX_M);
    if (!header->tiles) {
        const nw_gemm_call inner = without_tiles(call);
        nw_gemm_run_avx512vnni(&inner);
        return;
    }
    assert(call->begin % NW_AMX_WIDTH == 0 && call->begin < call->end && call->end <= header->n_channels);
    const bool weights_stay = (int64_t)header->n_chunks * NW_AMX_TILE * 2 <= FIRST_LEVEL;
    const int32_t step = weights_stay ? call->m : BLOCK;
    _tile_loadconfig(&config);
    for (int32_t i = 0; i < call->m; i += step)
        run_panels(call, i, nw_min32(i + step, call->m), call->begin, call->end);
    _tile_release();
}

void nw_gemm_run_extra_amx(const nw_gemm_call *call)
{
    const nw_amx_header *header = call->packed;
    if (!header->tiles) {
        const nw_gemm_call inner = without_tiles(call);
        nw_gemm_run_extra_avx512vnni(&inner);
        return;
    }
    _Alignas(64) int32_t sums[BLOCK * NW_AMX_WIDTH];
    _Alignas(64) uint8_t copies[2][ROWS * K];
    _tile_loadconfig(&config);
    for (int32_t e = 0; e < header->n_extra; e += NW_AMX_WIDTH) {
        const panel p = panel_at(header, true, e);
        const int32_t stride = nw_round_up(p.width, ROWS);
        for (int32_t i = 0; i < call->m; i += BLOCK) {
            const rows half[2] = {rows_of(call, i, copies[0]), rows_of(call, i + ROWS, copies[1])};
            block_sums(&p, half, nw_finish_zeros_avx512, sums);
            for (int32_t r = 0; r < nw_min32(call->m - i, BLOCK); r++)
                memcpy(call->extra_sums + (ptrdiff_t)(i + r) * header->n_extra + e, sums + stride * r,
                       (size_t)p.width * sizeof(int32_t));
        }
    }
    _tile_release();
}
