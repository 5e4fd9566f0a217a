/* SPDX-License-Identifier: Apache-2.0 */
/* What vpdpbusd wants of four vectors with the same channels: the four codes of a channel side by side. */
#ifndef NARROW_KERNELS_AVX512VNNI_INTERLEAVE_H
#define NARROW_KERNELS_AVX512VNNI_INTERLEAVE_H

#include "base/compiler.h"
#include "kernels/avx512/intrinsics.h"

/* Four vectors of codes to four vectors of 16 channels with four codes each. */
static NW_INLINE void interleave(__m512i v[4], __m512i t0, __m512i t1, __m512i t2, __m512i t3)
{
    const __m512i low01 = _mm512_unpacklo_epi8(t0, t1);
    const __m512i high01 = _mm512_unpackhi_epi8(t0, t1);
    const __m512i low23 = _mm512_unpacklo_epi8(t2, t3);
    const __m512i high23 = _mm512_unpackhi_epi8(t2, t3);
    v[0] = _mm512_unpacklo_epi16(low01, low23);
    v[1] = _mm512_unpackhi_epi16(low01, low23);
    v[2] = _mm512_unpacklo_epi16(high01, high23);
    v[3] = _mm512_unpackhi_epi16(high01, high23);
}

#endif
