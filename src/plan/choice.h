/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a layer's weights or a tensor may be given, as one number: 1 to 8, a width; 8 + b, width b extended: a layer's
 * with further points (multipoint.h), a tensor's with DQA's extra bits, where it is else direct; 16 + b, width b
 * narrowed: a layer's with rows narrowed for 16-bit sums (quant/sums.c).
 */
#ifndef NARROW_PLAN_CHOICE_H
#define NARROW_PLAN_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

#define NW_LEAST_BITS 2 /* widths that are measured: 2 to 8, */
#define NW_MOST_BITS 8
#define NW_MOST_EXTENDED_BITS 6 /* ... extended 2 to 6 */
#define NW_CHOICES 25

static inline int32_t nw_choice_extend(int32_t bits)
{
    return NW_MOST_BITS + bits;
}

static inline int32_t nw_choice_narrow(int32_t bits)
{
    return 2 * NW_MOST_BITS + bits;
}

static inline bool nw_choice_is_extended(int32_t choice)
{
    return choice > NW_MOST_BITS && choice <= 2 * NW_MOST_BITS;
}

static inline bool nw_choice_is_narrowed(int32_t choice)
{
    return choice > 2 * NW_MOST_BITS;
}

static inline int32_t nw_choice_bits(int32_t choice)
{
    return (choice - 1) % NW_MOST_BITS + 1;
}

#endif
