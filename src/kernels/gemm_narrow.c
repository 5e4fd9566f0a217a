/* SPDX-License-Identifier: Apache-2.0 */
/* See gemm_narrow.h. */
#include "kernels/gemm_narrow.h"

#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/gemm_quads.h"

/* Notes the values of a row's weights that take part; returns how many are new. */
static int32_t note_values(bool seen[256], const nw_gemm_source *source, int32_t row)
{
    const int8_t *weights = source->weights + (size_t)row * (size_t)source->k;
    int32_t n = 0;
    for (int32_t s = 0; s < source->n_segments; s++)
        for (int32_t j = 0; j < source->segments[s].length; j++) {
            bool *value = &seen[weights[source->segments[s].k + j] + 128];
            n += !*value;
            *value = true;
        }
    return n;
}

/* Fills header->values with those of all rows and 0; returns how many, or more than fit if there are more. */
static int32_t find_values(nw_narrow_header *header, const nw_gemm_source *source)
{
    bool seen[256] = {[128] = true}; /* value + 128 */
    int32_t n = 1;
    for (int32_t row = 0; row < source->n_rows && n <= NW_NARROW_VALUES; row++)
        n += note_values(seen, source, row);
    if (n > NW_NARROW_VALUES)
        return n;
    int32_t at = 0;
    for (int32_t i = 0; i < 256; i++)
        if (seen[i])
            header->values[at++] = (int8_t)(i - 128);
    return n;
}

static int32_t largest(const nw_narrow_header *header)
{
    int32_t most = 0;
    for (int32_t i = 0; i < NW_NARROW_VALUES; i++)
        most = nw_max32(most, header->values[i] < 0 ? -header->values[i] : header->values[i]);
    return most;
}

/*
 * Steps whose products fit 16 bits whatever the codes: a lane holds two products of each. A saturating pair, too, is
 * exact within these bounds.
 */
static int32_t longest_run(const nw_narrow_header *header, const nw_gemm_source *source, int32_t together)
{
    int32_t hi = 0;
    for (int32_t s = 0; s < source->n_segments; s++)
        for (int32_t j = 0; j < source->segments[s].length; j++)
            hi = nw_max32(hi, source->x_hi[source->segments[s].k + j]);
    const int32_t step = 2 * hi * largest(header);
    const int32_t most = step ? nw_min32(INT16_MAX / step, NW_LONGEST_RUN) : NW_LONGEST_RUN;
    return most / together * together;
}

static size_t panel_size(const nw_narrow_header *header)
{
    return (size_t)header->n_steps * (size_t)header->nr * 4 * (size_t)header->bits / 8;
}

static uint8_t index_of(const uint8_t index[256], const nw_gemm_source *source, int32_t row, int32_t end, int32_t k)
{
    return row >= end || k < 0 ? index[128] : index[source->weights[(size_t)row * (size_t)source->k + (size_t)k] + 128];
}

/* The panel of the rows [row, end), whose bytes are 0. */
static void pack_panel(uint8_t *to, const nw_narrow_header *header, const nw_narrow_shape *shape,
                       const uint8_t index[256], const nw_gemm_source *source, int32_t row, int32_t end)
{
    const int32_t share = 8 / header->bits; /* vectors that share one */
    const int32_t per_step = shape->nr * 4 / shape->size;
    nw_quads_walk walk = nw_quads_begin(source);
    for (int32_t s = 0; s < header->n_steps; s++) {
        nw_quads_step step;
        if (!nw_quads_next(&walk, 4, &step))
            memset(step.k, -1, sizeof(step.k));
        for (int32_t v = 0; v < per_step; v++) {
            const int32_t vector = s * per_step + v;
            uint8_t *at = to + (size_t)(vector / share) * (size_t)shape->size;
            for (int32_t i = 0; i < shape->size; i++) {
                const uint8_t code = index_of(index, source, row + v * shape->size / 4 + i / 4, end, step.k[i % 4]);
                at[i] = (uint8_t)(at[i] | code << (vector % share * header->bits));
            }
        }
    }
}

static void pack_rows(uint8_t *to, const nw_narrow_header *header, const nw_narrow_shape *shape,
                      const uint8_t index[256], const nw_gemm_source *source, int32_t begin, int32_t end)
{
    for (int32_t row = begin; row < end; row += shape->nr, to += panel_size(header))
        pack_panel(to, header, shape, index, source, row, end);
}

static void pack_steps(int32_t *to, const nw_narrow_header *header, const nw_gemm_source *source)
{
    nw_quads_walk walk = nw_quads_begin(source);
    nw_quads_step step = {0};
    for (int32_t s = 0; s < header->n_steps; s++) {
        nw_quads_step next;
        if (nw_quads_next(&walk, 4, &next))
            step = next; /* else the last one again, for zero weights */
        to[s] = step.offset;
    }
}

/* Everything but the panels. False if the weights do not suit. */
static bool make_header(nw_narrow_header *header, const nw_gemm_source *source, const nw_narrow_shape *shape)
{
    const int32_t n_values = find_values(header, source);
    if (n_values > NW_NARROW_VALUES)
        return false;
    header->run = longest_run(header, source, shape->together);
    if (shape->pairs && !header->run)
        return false;
    header->n_channels = source->n_channels;
    header->n_extra = source->n_rows - source->n_channels;
    header->n_steps = nw_round_up(nw_quads_count(source, 4), shape->together);
    header->bits = n_values <= 4 ? 2 : 4;
    header->nr = shape->nr;
    header->steps = nw_align(sizeof(*header), NW_ALIGNMENT);
    header->outputs = nw_align(header->steps + (size_t)header->n_steps * sizeof(int32_t), NW_ALIGNMENT);
    header->extras =
        header->outputs + (size_t)(nw_round_up(header->n_channels, shape->nr) / shape->nr) * panel_size(header);
    return true;
}

size_t nw_narrow_pack(void *packed, const nw_gemm_source *source, const nw_narrow_shape *shape)
{
    assert(source->n_channels >= 1 && source->n_rows >= source->n_channels);
    assert(shape->together * shape->nr * 4 / shape->size % 4 == 0);
    nw_narrow_header header = {0};
    if (!make_header(&header, source, shape))
        return 0;
    const size_t size =
        header.extras + (size_t)(nw_round_up(header.n_extra, shape->nr) / shape->nr) * panel_size(&header);
    uint8_t *base = packed;
    if (!base)
        return size;
    uint8_t index[256] = {0};
    for (int32_t i = NW_NARROW_VALUES - 1; i >= 0; i--)
        index[header.values[i] + 128] = (uint8_t)i;
    memset(base, 0, size);
    memcpy(base, &header, sizeof(header));
    pack_steps((int32_t *)(void *)(base + header.steps), &header, source);
    pack_rows(base + header.outputs, &header, shape, index, source, 0, source->n_channels);
    pack_rows(base + header.extras, &header, shape, index, source, source->n_channels, source->n_rows);
    return size;
}

nw_narrow_panel nw_narrow_panel_at(const void *packed, bool extra, int32_t first)
{
    const nw_narrow_header *header = packed;
    const uint8_t *base = packed;
    const int32_t *steps = (const int32_t *)(const void *)(base + header->steps);
    const size_t before = (size_t)(first / header->nr) * panel_size(header);
    return (nw_narrow_panel){
        .steps = steps,
        .steps_end = steps + header->n_steps,
        .weights = base + (extra ? header->extras : header->outputs) + before,
        .width = nw_min32(header->nr, (extra ? header->n_extra : header->n_channels) - first)};
}
