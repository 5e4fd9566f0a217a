/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling of one output row: per pixel the box of taps inside the picture, per box all channels. */
#include "kernels/avx512vnni/requant.h"

#include "base/arith.h"

/* The taps of one output pixel that lie inside the picture, as a box of n_y x n_x. */
typedef struct box {
    const uint8_t *x; /* its first tap, channel 0 */
    ptrdiff_t step_y, step_x;
    int32_t n_y, n_x;
} box;

/* Taps first + t * dilation, 0 <= t < kernel, that lie in [0, size): *begin is the first such t; returns how many. */
static int32_t clip(int32_t first, int32_t kernel, int32_t dilation, int32_t size, int32_t *begin)
{
    const int32_t from = first < 0 ? (-first + dilation - 1) / dilation : 0;
    const int32_t to = first >= size ? 0 : (size - 1 - first) / dilation + 1;
    *begin = nw_min32(from, kernel);
    return nw_max32(nw_min32(to, kernel) - *begin, 0);
}

static box find_box(const nw_pool_call *call, int32_t i)
{
    const int32_t ix = call->ix + i * call->stride_w;
    int32_t y;
    int32_t x;
    box b = {.x = call->x,
             .n_y = clip(call->iy, call->kernel_h, call->dilation_h, call->height, &y),
             .n_x = clip(ix, call->kernel_w, call->dilation_w, call->width, &x),
             .step_y = (ptrdiff_t)call->dilation_h * call->x_row_stride,
             .step_x = (ptrdiff_t)call->dilation_w * call->x_pixel_stride};
    if (b.n_y > 0 && b.n_x > 0)
        b.x = call->x + (ptrdiff_t)(call->iy + y * call->dilation_h) * call->x_row_stride +
              (ptrdiff_t)(ix + x * call->dilation_w) * call->x_pixel_stride;
    else
        b.n_y = b.n_x = 0;
    return b;
}

static NW_INLINE __m512i largest(const box *b, int32_t c)
{
    __m512i best = _mm512_setzero_si512();
    const uint8_t *row = b->x + c;
    for (int32_t ky = 0; ky < b->n_y; ky++, row += b->step_y) {
        const uint8_t *x = row;
        for (int32_t kx = 0; kx < b->n_x; kx++, x += b->step_x)
            best = _mm512_max_epu8(best, _mm512_loadu_si512(x));
    }
    return best;
}

void nw_max_pool_avx512vnni(const nw_pool_call *call)
{
    for (int32_t i = 0; i < call->n; i++) {
        const box b = find_box(call, i);
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_pixel_stride;
        for (int32_t c = 0; c < call->channels; c += 64)
            store_codes(y + c, largest(&b, c), call->channels - c);
    }
}

static NW_INLINE __m512i sum_of(const box *b, int32_t c)
{
    __m512i sum = _mm512_setzero_si512();
    const uint8_t *row = b->x + c;
    for (int32_t ky = 0; ky < b->n_y; ky++, row += b->step_y) {
        const uint8_t *x = row;
        for (int32_t kx = 0; kx < b->n_x; kx++, x += b->step_x)
            sum = _mm512_add_epi32(sum, _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)x)));
    }
    return sum;
}

void nw_average_pool_avx512vnni(const nw_pool_call *call)
{
    const nw_requant *requant = call->requant;
    const __m512i zero_point = _mm512_set1_epi32(requant->zero_point);
    for (int32_t i = 0; i < call->n; i++) {
        const box b = find_box(call, i);
        const int32_t n_valid = b.n_y * b.n_x;
        const int32_t count = call->count_include_pad ? call->kernel_h * call->kernel_w : n_valid;
        const __m512 divisor = _mm512_set1_ps((float)count);
        const __m512i zero_sum = _mm512_set1_epi32(n_valid * call->zero_x);
        uint8_t *y = call->y + (ptrdiff_t)i * call->y_pixel_stride;
        for (int32_t c = 0; c < call->channels; c += 16) {
            const __m512 m = _mm512_div_ps(_mm512_loadu_ps(call->multiplier + c), divisor);
            const __m512 v = _mm512_mul_ps(m, _mm512_cvtepi32_ps(_mm512_sub_epi32(sum_of(&b, c), zero_sum)));
            const __m512i codes = clamp_round(v, _mm512_loadu_ps(requant->lo + c), _mm512_loadu_ps(requant->hi + c),
                                              load_shift(requant, c), zero_point);
            const int32_t left = nw_min32(16, call->channels - c);
            _mm_mask_storeu_epi8(y + c, (__mmask16)low_bits(left), _mm512_cvtepi32_epi8(codes));
        }
    }
}
