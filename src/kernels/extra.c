/* SPDX-License-Identifier: Apache-2.0 */
/* See extra.h. Plain C: a few rows per pixel, each a product and a sum as nw_requant says. */
#include "kernels/extra.h"

#include "base/arith.h"

static bool belongs(const nw_extra_list *list, int32_t row)
{
    const int32_t channel = list->requant->extra_channel[row];
    return channel >= list->o && channel < list->o + list->n_channels;
}

void nw_extra_list_make(nw_extra_list *list, const nw_requant *requant, int32_t o, int32_t n_channels)
{
    list->requant = requant;
    list->o = o;
    list->n_channels = n_channels;
    list->n = 0;
    list->rest = 0;
    for (; list->rest < requant->n_extra; list->rest++) {
        if (!belongs(list, list->rest))
            continue;
        if (list->n == NW_EXTRA_LISTED)
            return;
        list->rows[list->n++] = list->rest;
    }
}

static void add_row(float *v, const nw_extra_list *list, int32_t row, const int32_t *sums)
{
    const nw_requant *requant = list->requant;
    const int32_t sum = requant->wrap16 ? nw_wrap16(sums[row]) : sums[row];
    const float term = requant->extra_multiplier[row] * (float)(sum + requant->extra_offset[row]);
    v[requant->extra_channel[row] - list->o] += term;
}

void nw_extra_add(float *v, const nw_extra_list *list, const int32_t *sums)
{
    for (int32_t i = 0; i < list->n; i++)
        add_row(v, list, list->rows[i], sums);
    for (int32_t row = list->rest; row < list->requant->n_extra; row++)
        if (belongs(list, row))
            add_row(v, list, row, sums);
}
