/* SPDX-License-Identifier: Apache-2.0 */
/* See gemm_quads.h. */
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/gemm_quads.h"

static bool current(const nw_quads_walk *w, int32_t *offset, int32_t *k)
{
    if (w->segment >= w->source->n_segments)
        return false;
    const nw_segment *s = &w->source->segments[w->segment];
    *offset = s->offset + w->j;
    *k = s->k + w->j;
    return true;
}

static void settle(nw_quads_walk *w)
{
    while (w->segment < w->source->n_segments && w->j >= w->source->segments[w->segment].length) {
        w->segment++;
        w->j = 0;
    }
}

nw_quads_walk nw_quads_begin(const nw_gemm_source *source)
{
    nw_quads_walk w = {source, 0, 0};
    settle(&w);
    return w;
}

bool nw_quads_next(nw_quads_walk *w, int32_t size, nw_quads_step *s)
{
    int32_t offset;
    int32_t k;
    if (!current(w, &offset, &k))
        return false;
    *s = (nw_quads_step){offset, {-1, -1, -1, -1, -1, -1, -1, -1}};
    int32_t last = -1;
    while (current(w, &offset, &k) && offset > s->offset + last && offset - s->offset < size) {
        last = offset - s->offset;
        s->k[last] = k;
        w->j++;
        settle(w);
    }
    return true;
}

int32_t nw_quads_count(const nw_gemm_source *source, int32_t size)
{
    nw_quads_walk w = nw_quads_begin(source);
    nw_quads_step s;
    int32_t n = 0;
    while (nw_quads_next(&w, size, &s))
        n++;
    return n;
}

static int8_t weight(const nw_gemm_source *source, int32_t row, int32_t k)
{
    return source->weights[(size_t)row * (size_t)source->k + (size_t)k];
}

static int8_t *pack_panel(int8_t *to, const nw_gemm_source *source, int32_t first, int32_t n)
{
    nw_quads_walk w = nw_quads_begin(source);
    nw_quads_step s;
    while (nw_quads_next(&w, 4, &s))
        for (int32_t r = 0; r < nw_round_up(n, 16); r++)
            for (int32_t t = 0; t < 4; t++)
                *to++ = r < n && s.k[t] >= 0 ? weight(source, first + r, s.k[t]) : 0;
    return to;
}

static int8_t *pack_narrow_panel(int8_t *to, const nw_gemm_source *source, int32_t first, int32_t n)
{
    nw_quads_walk w = nw_quads_begin(source);
    nw_quads_step s;
    while (nw_quads_next(&w, 8, &s))
        for (int32_t i = 0; i < 16; i++) {
            const int32_t r = i % 8 / 2 * 4 + i / 8 * 2 + i % 2;
            for (int32_t t = 0; t < 8; t++)
                *to++ = r < n && s.k[t] >= 0 ? weight(source, first + r, s.k[t]) : 0;
        }
    return to;
}

/* Bytes of a panel of `width` rows. */
static size_t panel_size(const nw_quads_header *header, int32_t width)
{
    const size_t groups = ((size_t)width + 15) / 16;
    return groups == 1 && header->n_wide ? (size_t)header->n_wide * 128 : (size_t)header->n_steps * groups * 64;
}

static size_t rows_size(const nw_quads_header *header, int32_t n)
{
    const int32_t rest = n % header->nr;
    const size_t full = (size_t)(n / header->nr) * panel_size(header, header->nr);
    return rest ? full + panel_size(header, rest) : full;
}

static void pack_rows(int8_t *to, const nw_quads_header *header, const nw_gemm_source *source, int32_t begin,
                      int32_t end)
{
    for (int32_t r = begin; r < end; r += header->nr) {
        const int32_t n = nw_min32(header->nr, end - r);
        to = n <= 16 && header->n_wide ? pack_narrow_panel(to, source, r, n) : pack_panel(to, source, r, n);
    }
}

static void pack_steps(int32_t *to, const nw_gemm_source *source, int32_t size)
{
    nw_quads_walk w = nw_quads_begin(source);
    nw_quads_step s;
    while (nw_quads_next(&w, size, &s))
        *to++ = s.offset;
}

size_t nw_quads_pack(void *packed, const nw_gemm_source *source, int32_t nr, bool wide)
{
    assert(source->n_channels >= 1 && source->n_rows >= source->n_channels && nr % 16 == 0);
    nw_quads_header header = {.n_channels = source->n_channels,
                              .n_extra = source->n_rows - source->n_channels,
                              .n_steps = nw_quads_count(source, 4),
                              .n_wide = wide ? nw_quads_count(source, 8) : 0,
                              .nr = nr};
    header.steps = sizeof(header);
    header.wide = nw_align(header.steps + (size_t)header.n_steps * sizeof(int32_t), 64);
    header.outputs = nw_align(header.wide + (size_t)header.n_wide * sizeof(int32_t), 64);
    header.extras = header.outputs + rows_size(&header, header.n_channels);
    const size_t size = header.extras + rows_size(&header, header.n_extra);
    if (!packed)
        return size;
    uint8_t *base = packed;
    memset(base, 0, header.outputs);
    memcpy(base, &header, sizeof(header));
    pack_steps((int32_t *)(void *)(base + header.steps), source, 4);
    if (wide)
        pack_steps((int32_t *)(void *)(base + header.wide), source, 8);
    pack_rows((int8_t *)(base + header.outputs), &header, source, 0, source->n_channels);
    pack_rows((int8_t *)(base + header.extras), &header, source, source->n_channels, source->n_rows);
    return size;
}

nw_quads_panel nw_quads_panel_at(const void *packed, bool extra, int32_t first)
{
    const nw_quads_header *header = packed;
    const uint8_t *base = packed;
    const int32_t width = nw_min32(header->nr, (extra ? header->n_extra : header->n_channels) - first);
    const bool wide = width <= 16 && header->n_wide;
    const int32_t *steps = (const int32_t *)(const void *)(base + (wide ? header->wide : header->steps));
    const size_t before = (size_t)(first / header->nr) * panel_size(header, header->nr);
    return (nw_quads_panel){.steps = steps,
                            .steps_end = steps + (wide ? header->n_wide : header->n_steps),
                            .weights = (const int8_t *)base + (extra ? header->extras : header->outputs) + before,
                            .width = width,
                            .q = (width + 15) / 16,
                            .wide = wide};
}
