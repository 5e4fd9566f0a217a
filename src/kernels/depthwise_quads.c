/* SPDX-License-Identifier: Apache-2.0 */
/* See depthwise_quads.h. */
#include <assert.h>
#include <string.h>

#include "base/arith.h"
#include "kernels/depthwise_quads.h"

/* Distance between the taps of a row if the kernel is three wide and evenly spaced, else 0. */
static int32_t find_column(const nw_depthwise_source *source)
{
    const int32_t *tap = source->tap_offset;
    if (source->n_taps < 3 || source->n_taps % 3 != 0)
        return 0;
    const int32_t column = tap[1] - tap[0];
    for (int32_t t = 0; t < source->n_taps; t += 3)
        if (tap[t + 1] - tap[t] != column || tap[t + 2] - tap[t + 1] != column)
            return 0;
    return column;
}

/* The tap at place i of all groups, or -1 where a group has no more. */
static int32_t tap_at(const nw_depthwise_source *source, int32_t per_group, int32_t i)
{
    const int32_t t = i / 4 * per_group + i % 4;
    return i % 4 < per_group && t < source->n_taps ? t : -1;
}

/* Groups of 16 q channels from `first` on, as depthwise_quads.h draws them; taps moved up by `shift` places. */
static void pack_block(int8_t *to, const nw_depthwise_source *source, int32_t lanes, int32_t per_group,
                       int32_t n_groups, int32_t shift, int32_t first, int32_t q)
{
    for (int32_t i = 0; i < n_groups * 16 * lanes; i++)
        for (int32_t t = 0; t < 4; t++) {
            const int32_t j = i / (4 * lanes) % 4;
            const int32_t lane = i / 4 % lanes;
            const int32_t channel = first + lane % q * 16 + j * 4 + i % 4;
            const int32_t tap = t >= shift ? tap_at(source, per_group, i / (16 * lanes) * 4 + t - shift) : -1;
            const bool some = tap >= 0 && channel < source->n_channels;
            *to++ = some ? source->weights[(size_t)channel * (size_t)source->n_taps + (size_t)tap] : 0;
        }
}

static void pack_taps(int32_t *to, const nw_depthwise_source *source, int32_t per_group, int32_t n_groups)
{
    int32_t offset = 0;
    for (int32_t i = 0; i < 4 * n_groups; i++) {
        const int32_t tap = tap_at(source, per_group, i);
        offset = tap >= 0 ? source->tap_offset[tap] : offset;
        to[i] = offset;
    }
}

size_t nw_depthwise_quads_pack(void *packed, const nw_depthwise_source *source, int32_t lanes, int32_t least)
{
    assert(source->n_channels >= 1 && source->n_taps >= 1);
    nw_depthwise_quads header = {.n_channels = source->n_channels, .column = find_column(source)};
    const int32_t per_group = header.column ? 3 : 4;
    header.n_groups = (source->n_taps + per_group - 1) / per_group;
    const size_t groups = (size_t)header.n_groups;
    header.taps = sizeof(header);
    header.blocks = nw_align(header.taps + groups * 4 * sizeof(int32_t), 64);
    header.shifted = groups * 64 * (size_t)lanes;
    header.block_size = header.shifted * (header.column ? 2 : 1);
    uint8_t *base = packed;
    size_t size = header.blocks;
    if (base) {
        memset(base, 0, header.blocks);
        memcpy(base, &header, sizeof(header));
        pack_taps((int32_t *)(void *)(base + header.taps), source, per_group, header.n_groups);
    }
    for (int32_t c = 0, q; c < source->n_channels; c += 16 * q, size += header.block_size) {
        q = nw_depthwise_groups(source->n_channels - c, lanes, least);
        if (!base)
            continue;
        int8_t *block = (int8_t *)(base + size);
        pack_block(block, source, lanes, per_group, header.n_groups, 0, c, q);
        if (header.column)
            pack_block(block + header.shifted, source, lanes, per_group, header.n_groups, 1, c, q);
    }
    return size;
}
