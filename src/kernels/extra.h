/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extra rows (further points) of a group of neighbouring channels, for the epilogues of the matrix products:
 *
 *     nw_extra_list list;
 *     nw_extra_list_make(&list, requant, o, n);     // once per group [o, o + n)
 *     nw_extra_add(v, &list, sums);                 // v[0 .. n), sums of one pixel
 */
#ifndef NARROW_KERNELS_EXTRA_H
#define NARROW_KERNELS_EXTRA_H

#include "kernels/kernels.h"

#define NW_EXTRA_LISTED 128 /* rows of a group that are listed; further ones are found by search */

typedef struct nw_extra_list {
    const nw_requant *requant;
    int32_t o, n_channels;
    int32_t rows[NW_EXTRA_LISTED]; /* in ascending order */
    int32_t n, rest;               /* those from `rest` on were not looked at */
} nw_extra_list;

/** Lists the extra rows whose channel is in [o, o + n_channels); list->n is 0 if there is none. */
void nw_extra_list_make(nw_extra_list *list, const nw_requant *requant, int32_t o, int32_t n_channels);

/** v[channel - o] += multiplier * f32(sum + offset) for every listed row, in order; sums: [n_extra] of a pixel. */
void nw_extra_add(float *v, const nw_extra_list *list, const int32_t *sums);

#endif
