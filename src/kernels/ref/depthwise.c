/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depthwise convolution along one output row: acc[i][c] = sum_t W[c, t] * x[i * a_step + tap_offset[t] + c].
 *
 *     packed: | depthwise_header | tap_offset[n_taps] | weights[C][n_taps] |
 */
#include <string.h>

#include "kernels/ref/ref.h"

typedef struct depthwise_header {
    int32_t n_channels, n_taps;
} depthwise_header;

size_t nw_depthwise_pack_ref(void *packed, const nw_depthwise_source *source)
{
    const size_t taps_size = (size_t)source->n_taps * sizeof(int32_t);
    const size_t weights_size = (size_t)source->n_channels * (size_t)source->n_taps;
    if (packed) {
        uint8_t *at = packed;
        const depthwise_header header = {source->n_channels, source->n_taps};
        memcpy(at, &header, sizeof(header));
        memcpy(at + sizeof(header), source->tap_offset, taps_size);
        memcpy(at + sizeof(header) + taps_size, source->weights, weights_size);
    }
    return sizeof(depthwise_header) + taps_size + weights_size;
}

void nw_depthwise_run_ref(const nw_depthwise_call *call)
{
    const depthwise_header *header = call->packed;
    const int32_t *tap = (const int32_t *)(const void *)((const uint8_t *)call->packed + sizeof(*header));
    const int8_t *weights = (const int8_t *)(tap + header->n_taps);
    for (int32_t i = 0; i < call->n; i++) {
        const uint8_t *a = call->a + (ptrdiff_t)i * call->a_step;
        const uint8_t *residual = call->residual ? call->residual + (ptrdiff_t)i * call->residual_step : NULL;
        for (int32_t c = 0; c < header->n_channels; c++) {
            int32_t acc = 0;
            for (int32_t t = 0; t < header->n_taps; t++)
                acc += weights[c * header->n_taps + t] * a[tap[t] + c];
            nw_requant_store_ref(call->requant, c, acc, NULL, residual ? residual[c] : 0,
                                 (uint8_t *)call->c + (ptrdiff_t)i * call->c_step);
        }
    }
}
