/* SPDX-License-Identifier: Apache-2.0 */
/* Weights into the layout of amx.h, or for avx512vnni/ where tiles would be mostly empty. */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/amx/amx.h"
#include "kernels/avx512vnni/avx512vnni.h"

/* A run of up to NW_AMX_K columns within a segment; chunk_next moves to the one behind it. */
typedef struct chunk {
    const nw_gemm_source *source;
    int32_t segment, at;
    int32_t offset, k, n; /* bytes from the pixel's base, first column, number of columns */
} chunk;

static bool chunk_next(chunk *c)
{
    for (; c->segment < c->source->n_segments; c->segment++, c->at = 0) {
        const nw_segment *s = &c->source->segments[c->segment];
        c->n = nw_min32(s->length - c->at, NW_AMX_K);
        if (c->n <= 0)
            continue;
        c->offset = s->offset + c->at;
        c->k = s->k + c->at;
        c->at += c->n;
        return true;
    }
    return false;
}

/*
 * Tiles have eight times the rate of vpdpbusd, so they pay off while an eighth of a tile's products count. Loads and
 * the fill of the pipeline cost most where little counts; asked is a quarter.
 */
static bool tiles_pay(const nw_gemm_source *source, int32_t n_chunks, int64_t n_columns)
{
    const int64_t columns = (int64_t)n_chunks * NW_AMX_K;
    const int64_t rows = nw_round_up(source->n_channels, NW_AMX_ROWS);
    return n_chunks && 4 * n_columns * source->n_channels >= columns * rows;
}

/* Tiles of a row count. */
static int32_t count_tiles(int32_t n_rows)
{
    return nw_round_up(n_rows, NW_AMX_ROWS) / NW_AMX_ROWS;
}

/* One tile: rows [row, end) up to 16 of them, the columns of a chunk; the rest is zero. */
static void pack_tile(int8_t *to, const chunk *c, int32_t row, int32_t end)
{
    memset(to, 0, NW_AMX_TILE);
    for (int32_t r = 0; r < nw_min32(end - row, NW_AMX_ROWS); r++) {
        const int8_t *w = c->source->weights + (size_t)(row + r) * (size_t)c->source->k + (size_t)c->k;
        for (int32_t j = 0; j < c->n; j++)
            to[j / 4 * NW_AMX_K + 4 * r + j % 4] = w[j];
    }
}

static void pack_rows(int8_t *to, const nw_gemm_source *source, int32_t begin, int32_t end)
{
    for (int32_t row = begin; row < end; row += NW_AMX_WIDTH) {
        chunk c = {.source = source};
        while (chunk_next(&c))
            for (int32_t t = row; t < nw_min32(end, row + NW_AMX_WIDTH); t += NW_AMX_ROWS, to += NW_AMX_TILE)
                pack_tile(to, &c, t, end);
    }
}

size_t nw_gemm_pack_amx(void *packed, const nw_gemm_source *source)
{
    assert(source->n_channels >= 1 && source->n_rows >= source->n_channels);
    nw_amx_header header = {.n_channels = source->n_channels, .n_extra = source->n_rows - source->n_channels};
    int64_t n_columns = 0;
    for (chunk c = {.source = source}; chunk_next(&c); header.n_chunks++)
        n_columns += c.n;
    header.tiles = tiles_pay(source, header.n_chunks, n_columns);
    uint8_t *base = packed;
    if (!header.tiles) {
        if (base)
            memcpy(base, &header, sizeof(header));
        return sizeof(header) + nw_gemm_pack_avx512vnni(base ? base + sizeof(header) : NULL, source);
    }
    const size_t column = (size_t)header.n_chunks * NW_AMX_TILE;
    header.chunks = sizeof(header);
    header.outputs = nw_align(header.chunks + (size_t)header.n_chunks * sizeof(int32_t), NW_ALIGNMENT);
    header.extras = header.outputs + (size_t)count_tiles(header.n_channels) * column;
    const size_t size = header.extras + (size_t)count_tiles(header.n_extra) * column;
    if (!base)
        return size;
    memset(base, 0, header.outputs);
    memcpy(base, &header, sizeof(header));
    int32_t *offset = (int32_t *)(void *)(base + header.chunks);
    for (chunk c = {.source = source}; chunk_next(&c);)
        *offset++ = c.offset;
    pack_rows((int8_t *)(base + header.outputs), source, 0, source->n_channels);
    pack_rows((int8_t *)(base + header.extras), source, source->n_channels, source->n_rows);
    return size;
}
