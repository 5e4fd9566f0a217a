/* SPDX-License-Identifier: Apache-2.0 */
/* Random parameters of nw_requant that keep the contract of kernels.h and reach both limits, ties and saturation. */
#include <string.h>

#include "check.h"

typedef struct channel_limits {
    int32_t lo, hi, shift;
} channel_limits;

static channel_limits random_limits(check *c, int32_t zero_point, bool shift)
{
    channel_limits limits;
    limits.shift = shift ? check_range(c, 0, 4) : 0;
    limits.lo = -(zero_point >> limits.shift);
    limits.hi = (255 - zero_point) >> limits.shift;
    if (check_one_in(c, 3)) { /* a narrower channel */
        const int32_t a = check_range(c, limits.lo, limits.hi);
        const int32_t b = check_range(c, limits.lo, limits.hi);
        limits.lo = a < b ? a : b;
        limits.hi = a < b ? b : a;
    }
    return limits;
}

static float random_multiplier(check *c, float magnitude)
{
    switch (check_range(c, 0, 9)) {
    case 0:
        return 0.0f;
    case 1:
        return 0.5f; /* many ties */
    case 2:
        return 1.0f;
    default:
        return check_float(c, -0.2f, 1.0f) * 300.0f / magnitude;
    }
}

static void random_extra(check *c, nw_requant *requant, int32_t slot, int32_t n, const check_requant_kind *kind)
{
    const size_t count = (size_t)kind->n_extra;
    int32_t *channel = check_alloc(c, slot, count * 4, 4);
    float *multiplier = check_alloc(c, slot + 1, count * 4, 4);
    int32_t *offset = check_alloc(c, slot + 2, count * 4, 4);
    for (int32_t e = 0; e < kind->n_extra; e++) {
        channel[e] = check_range(c, 0, n - 1); /* repeats: up to several points of one channel */
        multiplier[e] = random_multiplier(c, kind->magnitude);
        offset[e] = check_range(c, -30000, 30000);
    }
    requant->n_extra = kind->n_extra;
    requant->extra_channel = channel;
    requant->extra_multiplier = multiplier;
    requant->extra_offset = offset;
}

void check_requant(check *c, nw_requant *requant, int32_t slot, int32_t n, const check_requant_kind *kind)
{
    const size_t size = ((size_t)n + NW_PARAMETER_PAD) * 4;
    memset(requant, 0, sizeof(*requant));
    float *bias = check_alloc(c, slot, size, 4);
    float *multiplier = check_alloc(c, slot + 1, size, 4);
    int32_t *offset = check_alloc(c, slot + 2, size, 4);
    float *lo = check_alloc(c, slot + 3, size, 4);
    float *hi = check_alloc(c, slot + 4, size, 4);
    int32_t *shift = check_alloc(c, slot + 5, size, 4);
    float *residual = check_alloc(c, slot + 6, size, 4);
    requant->zero_point = check_one_in(c, 3) ? 0 : check_range(c, 0, 255);
    for (int32_t o = 0; o < n; o++) {
        const channel_limits limits = random_limits(c, requant->zero_point, kind->shift);
        bias[o] = check_one_in(c, 4) ? 0.0f : check_float(c, -100.0f, 100.0f);
        multiplier[o] = random_multiplier(c, kind->magnitude);
        offset[o] = check_one_in(c, 3) ? 0 : check_range(c, -100000, 100000);
        lo[o] = (float)limits.lo;
        hi[o] = (float)limits.hi;
        shift[o] = limits.shift;
        residual[o] = check_float(c, -1.5f, 1.5f);
    }
    requant->bias = bias;
    requant->multiplier = multiplier;
    requant->offset = offset;
    requant->lo = lo;
    requant->hi = hi;
    requant->shift = kind->shift ? shift : NULL;
    requant->residual_multiplier = kind->residual ? residual : NULL;
    requant->residual_zero_point = check_range(c, 0, 255);
    requant->wrap16 = kind->wrap16;
    requant->float_output = kind->float_output;
    if (!kind->shift && !kind->wrap16 && !kind->float_output && kind->n_extra == 0 && check_one_in(c, 2)) {
        uint8_t *codes = check_alloc(c, slot + 10, 2 * size, 1); /* values are far below 2^31 */
        for (int32_t o = 0; o < n; o++) {
            codes[o] = (uint8_t)(requant->zero_point + (int32_t)lo[o]);
            codes[size / 2 + (size_t)o] = (uint8_t)(requant->zero_point + (int32_t)hi[o]);
        }
        requant->lo_code = codes;
        requant->hi_code = codes + size / 2;
    }
    if (kind->n_extra > 0)
        random_extra(c, requant, slot + 7, n, kind);
}
