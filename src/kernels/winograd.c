/* SPDX-License-Identifier: Apache-2.0 */
/* See winograd.h. */
#include "kernels/winograd.h"

#include <string.h>

#include "base/arith.h"

static const int32_t g[6][3] = {{6, 0, 0}, {-1, -1, -1}, {-1, 1, -1}, {1, 2, 4}, {1, -2, 4}, {0, 0, 6}};

#define LANES 32 /* weights that are transformed together: of 16 output channels and a pair of input channels */

/* Whether the sum of output channel o stays within +-NW_WINOGRAD_LIMIT, whatever the codes. */
static bool fits(const nw_winograd_source *source, int32_t o)
{
    const int8_t *w = source->weights + (ptrdiff_t)o * 9 * source->channels;
    int64_t above = 0;
    int64_t below = 0;
    for (int32_t first = 0; first < source->channels; first += 4096)
        for (int32_t tap = 0; tap < 9; tap++) {
            int32_t high = 0; /* of at most 4096 products of bytes */
            int32_t low = 0;
            for (int32_t c = first; c < nw_min32(first + 4096, source->channels); c++) {
                const int32_t product[2] = {w[tap * source->channels + c] * source->x_lo[c],
                                            w[tap * source->channels + c] * source->x_hi[c]};
                high += nw_max32(product[0], product[1]);
                low += nw_min32(product[0], product[1]);
            }
            above += high;
            below += low;
        }
    return above < NW_WINOGRAD_LIMIT && below >= -NW_WINOGRAD_LIMIT;
}

/* w[tap][2 i + j] of output channel o + i and input channel c + j; 0 past the last ones. */
static void gather(int16_t w[9][LANES], const nw_winograd_source *source, int32_t o, int32_t c)
{
    const int32_t n = nw_min32(LANES / 2, source->n_channels - o);
    const int32_t pair = nw_min32(2, source->channels - c);
    memset(w, 0, 9 * sizeof(*w));
    for (int32_t i = 0; i < n; i++)
        for (int32_t tap = 0; tap < 9; tap++)
            for (int32_t j = 0; j < pair; j++)
                w[tap][2 * i + j] = source->weights[((ptrdiff_t)(o + i) * 9 + tap) * source->channels + c + j];
}

/* out = G in, of three numbers that lie `step` rows apart in `in`, as do the six in `out`. */
static void transform_line(int16_t (*out)[LANES], int32_t out_step, int16_t (*in)[LANES], int32_t in_step)
{
    for (int32_t i = 0; i < 6; i++)
        for (int32_t lane = 0; lane < LANES; lane++)
            out[i * out_step][lane] = (int16_t)(g[i][0] * in[0][lane] + g[i][1] * in[in_step][lane] +
                                                g[i][2] * in[2 * in_step][lane]);
}

/* u[6 i + j] = G w G' of every lane. */
static void transform(int16_t u[NW_WINOGRAD_POINTS][LANES], int16_t w[9][LANES])
{
    int16_t rows[18][LANES]; /* G w: [6][3] */
    for (int32_t x = 0; x < 3; x++)
        transform_line(rows + x, 3, w + x, 3);
    for (int32_t i = 0; i < 6; i++)
        transform_line(u + 6 * i, 1, rows + 3 * i, 1);
}

static size_t panel_size(int32_t q, int32_t pairs)
{
    return (size_t)NW_WINOGRAD_POINTS * 32 * (size_t)q * (size_t)pairs * sizeof(int16_t);
}

size_t nw_winograd_pack(void *packed, const nw_winograd_source *source, int32_t nr, bool apart)
{
    const int32_t pairs = (source->channels + 1) / 2;
    const int32_t groups = (source->n_channels + 15) / 16;
    const size_t weights = nw_align(sizeof(nw_winograd_header), NW_ALIGNMENT);
    const size_t size = weights + panel_size(groups, pairs);
    for (int32_t o = 0; o < source->n_channels; o++)
        if (!fits(source, o))
            return 0;
    if (!packed)
        return size;
    memset(packed, 0, weights);
    *(nw_winograd_header *)packed = (nw_winograd_header){.channels = source->channels, .n_channels = source->n_channels,
                                                         .nr = nr, .pairs = pairs, .weights = weights};
    for (int32_t o = 0; o < source->n_channels; o += LANES / 2) {
        const nw_winograd_panel panel = nw_winograd_panel_at(packed, o / nr * nr);
        const ptrdiff_t point = (ptrdiff_t)LANES * panel.q * pairs;
        const ptrdiff_t pair = (ptrdiff_t)LANES * (apart ? 1 : panel.q);
        int16_t *to = (int16_t *)(uintptr_t)panel.weights + (ptrdiff_t)LANES * (o % nr / 16) * (apart ? pairs : 1);
        for (int32_t c = 0; c < pairs; c++) {
            int16_t w[9][LANES], u[NW_WINOGRAD_POINTS][LANES];
            gather(w, source, o, 2 * c);
            transform(u, w);
            for (int32_t p = 0; p < NW_WINOGRAD_POINTS; p++)
                memcpy(to + p * point + c * pair, u[p], sizeof(u[p]));
        }
    }
    return size;
}

nw_winograd_panel nw_winograd_panel_at(const void *packed, int32_t o)
{
    const nw_winograd_header *header = packed;
    const int32_t width = nw_min32(header->nr, header->n_channels - o);
    const uint8_t *weights = (const uint8_t *)packed + header->weights + panel_size(o / 16, header->pairs);
    return (nw_winograd_panel){(const int16_t *)(const void *)weights, width, (width + 15) / 16};
}

size_t nw_winograd_scratch(int32_t channels, int32_t n_tiles, int32_t nr)
{
    const size_t v = (size_t)NW_WINOGRAD_POINTS * (size_t)nw_winograd_plane(channels, n_tiles) * sizeof(int16_t);
    const size_t m = (size_t)n_tiles * NW_WINOGRAD_POINTS * (size_t)nr * sizeof(int32_t);
    return nw_align(v, NW_ALIGNMENT) + m;
}
