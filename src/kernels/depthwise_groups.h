/* SPDX-License-Identifier: Apache-2.0 */
/* How depthwise_pairs.c and depthwise_quads.c cut channels into panels for vectors of 2 or 4 lanes of 16 codes. */
#ifndef NARROW_KERNELS_DEPTHWISE_GROUPS_H
#define NARROW_KERNELS_DEPTHWISE_GROUPS_H

#include <stdint.h>

/** Groups of 16 channels in the block that starts where `left` channels remain: lanes, halved while half is enough. */
static inline int32_t nw_depthwise_groups(int32_t left, int32_t lanes, int32_t least)
{
    while (lanes > least && left <= 8 * lanes)
        lanes /= 2;
    return lanes;
}

#endif
