/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See resize.h. The arithmetic is that of Pillow's libImaging/Resample.c and Geometry.c (ImagingScaleAffine); the order
 * of every floating-point operation matters here. Called by picture.c.
 */
#define _DEFAULT_SOURCE /* M_PI */
#include "data/resize.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "data/image_codec.h"

#define PRECISION_BITS (32 - 8 - 2)

/* ---- filters ---- */

static double box_filter(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear_filter(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming_filter(double x)
{
    x = fabs(x);
    if (x == 0.0)
        return 1.0;
    if (x >= 1.0)
        return 0.0;
    x = x * M_PI;
    return sin(x) / x * ((double)0.54f + (double)0.46f * cos(x)); /* Pillow's constants are binary32 */
}

static double bicubic_filter(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x = x * M_PI;
    return sin(x) / x;
}

static double lanczos_filter(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static const struct filter {
    double (*value)(double x);
    double support;
} FILTERS[NW_INTERPOLATION_COUNT] = {
    [NW_INTERPOLATION_BOX] = {box_filter, 0.5},         [NW_INTERPOLATION_BILINEAR] = {bilinear_filter, 1.0},
    [NW_INTERPOLATION_HAMMING] = {hamming_filter, 1.0}, [NW_INTERPOLATION_BICUBIC] = {bicubic_filter, 2.0},
    [NW_INTERPOLATION_LANCZOS] = {lanczos_filter, 3.0},
};

/* ---- weights ---- */

/* Output i is the sum over k < n[i] of weights[i * reach + k] * in[first[i] + k]. */
typedef struct taps {
    size_t reach;
    size_t *first, *n;
    int32_t *weights;
} taps;

static void taps_free(taps *t)
{
    free(t->first);
    free(t->n);
    free(t->weights);
    *t = (taps){0};
}

static int32_t to_fixed(double w)
{
    const double scaled = w * (1 << PRECISION_BITS);
    return (int32_t)(w < 0 ? -0.5 + scaled : 0.5 + scaled);
}

/* The weights of output i; `w` is scratch of t->reach entries. */
static void fill_taps(taps *t, size_t i, size_t in, double scale, double filter_scale, const struct filter *f,
                      double *w)
{
    const double support = f->support * filter_scale, inverse = 1.0 / filter_scale;
    const double center = ((double)i + 0.5) * scale;
    double sum = 0.0;
    const double low = center - support + 0.5, high = center + support + 0.5;
    const size_t first = low < 0.0 ? 0 : (size_t)low;
    const size_t end = (size_t)high > in ? in : (size_t)high;
    const size_t n = end - first;
    assert(n <= t->reach);
    for (size_t k = 0; k < n; k++) {
        w[k] = f->value(((double)(k + first) - center + 0.5) * inverse);
        sum += w[k];
    }
    for (size_t k = 0; k < n; k++)
        t->weights[i * t->reach + k] = to_fixed(sum != 0.0 ? w[k] / sum : w[k]);
    t->first[i] = first;
    t->n[i] = n;
}

static bool taps_create(taps *t, size_t in, size_t out, const struct filter *f)
{
    const double scale = (double)in / (double)out;
    const double filter_scale = scale < 1.0 ? 1.0 : scale;
    size_t n_weights;
    t->reach = (size_t)ceil(f->support * filter_scale) * 2 + 1;
    double *scratch = malloc(t->reach * sizeof(*scratch));
    if (nw_size_mul(&n_weights, out, t->reach)) {
        t->first = malloc(out * sizeof(*t->first));
        t->n = malloc(out * sizeof(*t->n));
        t->weights = calloc(n_weights, sizeof(*t->weights));
    }
    if (!scratch || !t->first || !t->n || !t->weights) {
        free(scratch);
        taps_free(t);
        return false;
    }
    for (size_t i = 0; i < out; i++)
        fill_taps(t, i, in, scale, filter_scale, f, scratch);
    free(scratch);
    return true;
}

/* ---- passes ---- */

/*
 * |sum| stays below 2^31: the weights of an output add up to 2^22, the negative ones to more than -0.29 * 2^22
 * (lanczos, 4 to 5 pixels; bicubic -0.14), so the largest sum is 255 * 1.29 * 2^22.
 */
static uint8_t to_pixel(int32_t sum)
{
    const int32_t value = sum >> PRECISION_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void pass_row_3(uint8_t *out, const uint8_t *in, size_t out_width, const taps *t)
{
    for (size_t x = 0; x < out_width; x++, out += 3) {
        const int32_t *w = t->weights + x * t->reach;
        const uint8_t *p = in + t->first[x] * 3;
        int32_t sum[3] = {1 << (PRECISION_BITS - 1), 1 << (PRECISION_BITS - 1), 1 << (PRECISION_BITS - 1)};
        for (size_t k = 0; k < t->n[x]; k++, p += 3) {
            sum[0] += w[k] * p[0];
            sum[1] += w[k] * p[1];
            sum[2] += w[k] * p[2];
        }
        for (size_t c = 0; c < 3; c++)
            out[c] = to_pixel(sum[c]);
    }
}

static void pass_row_1(uint8_t *out, const uint8_t *in, size_t out_width, const taps *t)
{
    for (size_t x = 0; x < out_width; x++) {
        const int32_t *w = t->weights + x * t->reach;
        const uint8_t *p = in + t->first[x];
        int32_t sum = 1 << (PRECISION_BITS - 1);
        for (size_t k = 0; k < t->n[x]; k++)
            sum += w[k] * p[k];
        out[x] = to_pixel(sum);
    }
}

/* A row of `stride` bytes at a time: `sums` holds one sum per byte. */
static void pass_columns(uint8_t *out, const uint8_t *in, size_t out_height, size_t stride, const taps *t,
                         int32_t *sums)
{
    for (size_t y = 0; y < out_height; y++, out += stride) {
        const int32_t *w = t->weights + y * t->reach;
        for (size_t i = 0; i < stride; i++)
            sums[i] = 1 << (PRECISION_BITS - 1);
        for (size_t k = 0; k < t->n[y]; k++) {
            const uint8_t *p = in + (t->first[y] + k) * stride;
            for (size_t i = 0; i < stride; i++)
                sums[i] += w[k] * p[i];
        }
        for (size_t i = 0; i < stride; i++)
            out[i] = to_pixel(sums[i]);
    }
}

static nw_status resize_rows(nw_image *out, const nw_image *in, size_t width, const struct filter *f, nw_error *error)
{
    taps t = {0};
    if (!taps_create(&t, in->width, width, f))
        return nw_fail_memory(error, "resizing a picture");
    const nw_status status = nw_image_create(out, in->height, width, in->channels, error);
    for (size_t y = 0; !status && y < in->height; y++) {
        uint8_t *to = out->pixels + y * width * in->channels;
        const uint8_t *from = in->pixels + y * in->width * in->channels;
        if (in->channels == 3)
            pass_row_3(to, from, width, &t);
        else
            pass_row_1(to, from, width, &t);
    }
    taps_free(&t);
    return status;
}

static nw_status resize_columns(nw_image *out, const nw_image *in, size_t height, const struct filter *f,
                                nw_error *error)
{
    nw_status status = NW_OK;
    taps t = {0};
    const size_t stride = in->width * in->channels;
    int32_t *sums = malloc(stride * sizeof(*sums));
    if (!sums || !taps_create(&t, in->height, height, f))
        status = nw_fail_memory(error, "resizing a picture");
    else
        status = nw_image_create(out, height, in->width, in->channels, error);
    if (!status)
        pass_columns(out->pixels, in->pixels, height, stride, &t, sums);
    taps_free(&t);
    free(sums);
    return status;
}

/* ---- nearest ---- */

static void nearest_positions(size_t *positions, size_t in, size_t out)
{
    const double step = (double)(float)in / (double)out; /* Pillow's box is binary32 */
    double at = step * 0.5;
    for (size_t i = 0; i < out; i++, at += step)
        positions[i] = (size_t)at < in ? (size_t)at : in - 1;
}

static nw_status resize_nearest(nw_image *out, const nw_image *in, size_t height, size_t width, nw_error *error)
{
    nw_status status = NW_OK;
    const size_t n = in->channels;
    size_t *columns = malloc(width * sizeof(*columns)), *rows = malloc(height * sizeof(*rows));
    if (!columns || !rows)
        status = nw_fail_memory(error, "resizing a picture");
    else
        status = nw_image_create(out, height, width, n, error);
    if (status)
        goto cleanup;
    nearest_positions(columns, in->width, width);
    nearest_positions(rows, in->height, height);
    uint8_t *target = out->pixels;
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++, target += n)
            memcpy(target, in->pixels + (rows[y] * in->width + columns[x]) * n, n);

cleanup:
    free(columns);
    free(rows);
    return status;
}

static nw_status copy(nw_image *out, const nw_image *in, nw_error *error)
{
    NW_TRY(nw_image_create(out, in->height, in->width, in->channels, error));
    memcpy(out->pixels, in->pixels, in->height * in->width * in->channels);
    return NW_OK;
}

nw_status nw_image_resize(nw_image *out, const nw_image *in, size_t height, size_t width,
                          nw_interpolation interpolation, nw_error *error)
{
    nw_image wide = {0};
    assert((in->channels == 1 || in->channels == 3) && interpolation >= 0 && interpolation < NW_INTERPOLATION_COUNT);
    NW_TRY(nw_image_check_size(height, width, "resized picture", error));
    NW_TRY(nw_image_check_size(in->height, width, "resized picture", error)); /* between the passes */
    if (height == in->height && width == in->width)
        return copy(out, in, error);
    if (interpolation == NW_INTERPOLATION_NEAREST)
        return resize_nearest(out, in, height, width, error);
    const struct filter *f = &FILTERS[interpolation];
    if (height == in->height)
        return resize_rows(out, in, width, f, error);
    if (width == in->width)
        return resize_columns(out, in, height, f, error);
    NW_TRY(resize_rows(&wide, in, width, f, error));
    const nw_status status = resize_columns(out, &wide, height, f, error);
    nw_image_free(&wide);
    return status;
}
