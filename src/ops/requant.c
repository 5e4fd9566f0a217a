/* SPDX-License-Identifier: Apache-2.0 */
/* Per-channel parameters on their way from the model into the arena, padded so that kernels may load whole vectors. */
#include "ops/ops.h"

static const void *copy_channels(const void *array, int32_t n, size_t size, nw_arena *arena)
{
    return array ? nw_arena_copy(arena, array, (size_t)n * size, NW_PARAMETER_PAD * size) : NULL;
}

void nw_requant_copy(nw_requant *to, const nw_requant *from, int32_t n_channels, nw_arena *arena)
{
    nw_requant copy = *from;
    copy.bias = copy_channels(from->bias, n_channels, sizeof(float), arena);
    copy.multiplier = copy_channels(from->multiplier, n_channels, sizeof(float), arena);
    copy.offset = copy_channels(from->offset, n_channels, sizeof(int32_t), arena);
    copy.lo = copy_channels(from->lo, n_channels, sizeof(float), arena);
    copy.hi = copy_channels(from->hi, n_channels, sizeof(float), arena);
    copy.residual_multiplier = copy_channels(from->residual_multiplier, n_channels, sizeof(float), arena);
    copy.extra_channel = copy_channels(from->extra_channel, from->n_extra, sizeof(int32_t), arena);
    copy.extra_multiplier = copy_channels(from->extra_multiplier, from->n_extra, sizeof(float), arena);
    copy.extra_offset = copy_channels(from->extra_offset, from->n_extra, sizeof(int32_t), arena);
    *to = copy;
}

const int32_t *nw_shift_copy(const uint8_t *shift, int32_t n_channels, nw_arena *arena)
{
    uint8_t any = 0;
    for (int32_t c = 0; c < n_channels; c++)
        any |= shift[c];
    if (!any)
        return NULL;
    int32_t *copy = nw_arena_take(arena, ((size_t)n_channels + NW_PARAMETER_PAD) * sizeof(*copy));
    if (!copy)
        return NULL;
    for (int32_t c = 0; c < n_channels + NW_PARAMETER_PAD; c++)
        copy[c] = c < n_channels ? shift[c] : 0;
    return copy;
}
