/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix product over windows of a picture: acc[i][o] = sum over segments, bytes of W[o, k] * x. Covers convolutions of
 * every kernel, stride, dilation and group, phases of transposed ones, and fully connected layers.
 *
 *     packed: | gemm_header | segments[n_segments] | weights[n_rows][k] |
 */
#include <string.h>

#include "base/arith.h"
#include "kernels/ref/ref.h"

typedef struct gemm_header {
    int32_t n_rows, k, n_channels, n_segments;
} gemm_header;

static const nw_segment *segments_of(const void *packed)
{
    return (const nw_segment *)(const void *)((const uint8_t *)packed + sizeof(gemm_header));
}

static const int8_t *weights_of(const void *packed)
{
    const gemm_header *header = packed;
    return (const int8_t *)(segments_of(packed) + header->n_segments);
}

size_t nw_gemm_pack_ref(void *packed, const nw_gemm_source *source)
{
    const size_t segments_size = (size_t)source->n_segments * sizeof(nw_segment);
    const size_t weights_size = (size_t)source->n_rows * (size_t)source->k;
    if (packed) {
        uint8_t *at = packed;
        const gemm_header header = {source->n_rows, source->k, source->n_channels, source->n_segments};
        memcpy(at, &header, sizeof(header));
        memcpy(at + sizeof(header), source->segments, segments_size);
        memcpy(at + sizeof(header) + segments_size, source->weights, weights_size);
    }
    return sizeof(gemm_header) + segments_size + weights_size;
}

static int32_t dot(const void *packed, const uint8_t *a, int32_t row)
{
    const gemm_header *header = packed;
    const nw_segment *segments = segments_of(packed);
    const int8_t *w = weights_of(packed) + (size_t)row * (size_t)header->k;
    int32_t acc = 0;
    for (int32_t s = 0; s < header->n_segments; s++)
        for (int32_t j = 0; j < segments[s].length; j++)
            acc += w[segments[s].k + j] * a[segments[s].offset + j];
    return acc;
}

void nw_gemm_run_extra_ref(const nw_gemm_call *call)
{
    const gemm_header *header = call->packed;
    const int32_t n_extra = call->requant->n_extra;
    for (int32_t i = 0; i < call->m; i++)
        for (int32_t e = 0; e < n_extra; e++)
            call->extra_sums[i * n_extra + e] = dot(call->packed, call->a[i], header->n_channels + e);
}

void nw_gemm_run_ref(const nw_gemm_call *call)
{
    for (int32_t i = 0; i < call->m; i++) {
        const int32_t *extra = call->extra_sums ? call->extra_sums + i * call->requant->n_extra : NULL;
        for (int32_t o = call->begin; o < call->end; o++)
            nw_requant_store_ref(call->requant, o, dot(call->packed, call->a[i], o), extra,
                                 call->residual ? call->residual[i][o] : 0, call->c[i]);
    }
}
