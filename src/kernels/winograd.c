/* SPDX-License-Identifier: Apache-2.0 */
/* See winograd.h. */
#include "kernels/winograd.h"

#include <string.h>

#include "base/arith.h"

static const int32_t g[6][3] = {{6, 0, 0}, {-1, -1, -1}, {-1, 1, -1}, {1, 2, 4}, {1, -2, 4}, {0, 0, 6}};

/* Whether the sum of output channel o stays within +-NW_WINOGRAD_LIMIT, whatever the codes. */
static bool fits(const nw_winograd_source *source, int32_t o)
{
    const int8_t *w = source->weights + (ptrdiff_t)o * 9 * source->channels;
    int64_t above = 0;
    int64_t below = 0;
    for (int32_t tap = 0; tap < 9; tap++)
        for (int32_t c = 0; c < source->channels; c++) {
            const int32_t product[2] = {*w * source->x_lo[c], *w * source->x_hi[c]};
            above += nw_max32(product[0], product[1]);
            below += nw_min32(product[0], product[1]);
            w++;
        }
    return above < NW_WINOGRAD_LIMIT && below >= -NW_WINOGRAD_LIMIT;
}

/* u[36 points, `step` apart] = G w G' of one pair of channels; taps of w are `channels` apart. */
static void transform(int16_t *u, ptrdiff_t step, const int8_t *w, int32_t channels)
{
    int32_t rows[6][3];
    for (int32_t i = 0; i < 6; i++)
        for (int32_t x = 0; x < 3; x++) {
            rows[i][x] = 0;
            for (int32_t y = 0; y < 3; y++)
                rows[i][x] += g[i][y] * w[(ptrdiff_t)(3 * y + x) * channels];
        }
    for (int32_t i = 0; i < 6; i++)
        for (int32_t j = 0; j < 6; j++)
            u[(6 * i + j) * step] = (int16_t)(g[j][0] * rows[i][0] + g[j][1] * rows[i][1] + g[j][2] * rows[i][2]);
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
    memset(packed, 0, size);
    *(nw_winograd_header *)packed = (nw_winograd_header){.channels = source->channels, .n_channels = source->n_channels,
                                                         .nr = nr, .pairs = pairs, .apart = apart, .weights = weights};
    for (int32_t o = 0; o < source->n_channels; o++) {
        const nw_winograd_panel panel = nw_winograd_panel_at(packed, o / nr * nr);
        const ptrdiff_t step = (ptrdiff_t)32 * panel.q * pairs;
        const ptrdiff_t pair = (ptrdiff_t)32 * (apart ? 1 : panel.q);
        const ptrdiff_t first = apart ? o % nr / 16 * pairs * pair + o % 16 * 2 : o % nr * 2;
        int16_t *u = (int16_t *)(uintptr_t)panel.weights + first;
        for (int32_t c = 0; c < source->channels; c++)
            transform(u + pair * (c / 2) + c % 2, step,
                      source->weights + (ptrdiff_t)o * 9 * source->channels + c, source->channels);
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
