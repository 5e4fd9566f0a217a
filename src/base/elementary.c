/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See elementary.h. Range reduction and polynomials after the Cephes library's single precision functions (Moshier,
 * 1989): exp on [-ln2/2, ln2/2] with degree 6, log on [sqrt(1/2), sqrt(2)] with degree 9, tanh with an odd
 * polynomial below 0.625 and through exp above.
 */
#include "base/elementary.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

static uint32_t to_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

/** sum of c[i] * x^(n-1-i), Horner. */
static float polynomial(float x, const float *c, int n)
{
    float y = c[0];
    for (int i = 1; i < n; i++)
        y = y * x + c[i];
    return y;
}

float nw_exp(float x)
{
    static const float c[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                              4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
    if (x != x)
        return x;
    if (x > 88.72283f)
        return INFINITY;
    if (x < -87.33654f)
        return 0.0f;
    const float n = rintf(x * 1.44269504088896341f);
    float r = x - n * 0.693359375f; /* exact: 10 bits times at most 8 */
    r = r - n * -2.12194440e-4f;
    const float y = polynomial(r, c, 6) * (r * r) + r + 1.0f;
    const int32_t e = (int32_t)n; /* -126 .. 128: two factors, as 2^128 is not a number of its own */
    return y * from_bits((uint32_t)(127 + e / 2) << 23) * from_bits((uint32_t)(127 + e - e / 2) << 23);
}

float nw_log(float x)
{
    static const float c[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                              -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                              2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    if (x != x || x < 0.0f)
        return NAN;
    if (x < 1.17549435e-38f)
        return -INFINITY;
    if (x > 3.40282347e+38f)
        return x;
    int32_t e = (int32_t)(to_bits(x) >> 23) - 126;
    float m = from_bits((to_bits(x) & 0x007fffffu) | 0x3f000000u); /* [1/2, 1) */
    if (m < 0.707106781186547524f) {
        e--;
        m = m + m - 1.0f;
    } else {
        m = m - 1.0f;
    }
    const float z = m * m;
    float y = m * z * polynomial(m, c, 9);
    y = y + -2.12194440e-4f * (float)e;
    y = y - 0.5f * z;
    return m + y + 0.693359375f * (float)e;
}

float nw_sigmoid(float x)
{
    if (x >= 0.0f)
        return 1.0f / (1.0f + nw_exp(-x));
    const float e = nw_exp(x);
    return e / (1.0f + e);
}

float nw_tanh(float x)
{
    static const float c[] = {-5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f,
                              -3.33332819422e-1f};
    const float a = x < 0.0f ? -x : x;
    if (a < 0.625f) {
        const float z = x * x;
        return polynomial(z, c, 5) * z * x + x;
    }
    if (x != x)
        return x;
    const float y = 1.0f - 2.0f / (nw_exp(a + a) + 1.0f);
    return x < 0.0f ? -y : y;
}
