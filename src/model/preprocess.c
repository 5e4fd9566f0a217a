/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See preprocess.h. What a preprocessing may hold; preprocess_json.c reads and writes it, src/data/picture.c does it.
 */
#include "model/preprocess.h"

#include <math.h>
#include <string.h>

#define MAX_CLASS_OFFSET (1 << 20)
#define MAX_VECTOR (1 << 30)

void nw_preprocess_init(nw_preprocess *preprocess)
{
    *preprocess = (nw_preprocess){
        .resize = NW_RESIZE_NONE,
        .interpolation = NW_INTERPOLATION_BILINEAR,
        .crop = NW_CROP_NONE,
        .channel_order = NW_CHANNELS_NONE,
        .layout = NW_LAYOUT_NCHW,
        .n_mean = 1,
        .n_std = 1,
        .mean = {0.0f},
        .std = {1.0f},
    };
}

int32_t nw_preprocess_channels(const nw_preprocess *preprocess)
{
    switch (preprocess->channel_order) {
    case NW_CHANNELS_RGB:
    case NW_CHANNELS_BGR:
        return 3;
    case NW_CHANNELS_Y:
    case NW_CHANNELS_L:
        return 1;
    default:
        return 0;
    }
}

static bool is_size(int32_t n)
{
    return n >= 1 && n <= NW_PREPROCESS_MAX_SIZE;
}

static nw_status check_size(const nw_preprocess *p, nw_error *error)
{
    const bool picture = nw_preprocess_channels(p) != 0;
    if (picture && p->n_size != 2)
        return nw_fail(error, NW_ERROR_DATA,
                       "size: pictures need [height, width]; for arrays set channel_order to null");
    if (p->n_size < 0 || p->n_size > 2)
        return nw_fail(error, NW_ERROR_DATA, "size: must have one or two entries");
    if (p->n_size == 2 && !(is_size(p->height) && is_size(p->width)))
        return nw_fail(error, NW_ERROR_DATA, "size: height and width must be 1 to %d", NW_PREPROCESS_MAX_SIZE);
    if (picture && p->height > NW_PREPROCESS_MAX_PIXELS / p->width)
        return nw_fail(error, NW_ERROR_DATA, "size: is more than %d pixels", NW_PREPROCESS_MAX_PIXELS);
    if (p->n_size == 1 && !(p->width >= 1 && p->width <= MAX_VECTOR))
        return nw_fail(error, NW_ERROR_DATA, "size: must be 1 to %d", MAX_VECTOR);
    if ((p->layout != NW_LAYOUT_NCHW && p->layout != NW_LAYOUT_NC) || (picture && p->layout == NW_LAYOUT_NC))
        return nw_fail(error, NW_ERROR_DATA, "layout: must be \"NCHW\", or \"NC\" for plain vectors");
    return NW_OK;
}

static nw_status check_exact(const nw_preprocess *p, nw_error *error)
{
    if (!is_size(p->resize_height) || !is_size(p->resize_width))
        return nw_fail(error, NW_ERROR_DATA, "resize: exact must be [height, width] of 1 to %d",
                       NW_PREPROCESS_MAX_SIZE);
    if (p->crop == NW_CROP_NONE && (p->resize_height != p->height || p->resize_width != p->width))
        return nw_fail(error, NW_ERROR_DATA,
                       "resize: exact [%d, %d] differs from size [%d, %d]; set crop to \"center\"",
                       (int)p->resize_height, (int)p->resize_width, (int)p->height, (int)p->width);
    if (p->resize_height < p->height || p->resize_width < p->width)
        return nw_fail(error, NW_ERROR_DATA, "resize: exact [%d, %d] is smaller than size [%d, %d]",
                       (int)p->resize_height, (int)p->resize_width, (int)p->height, (int)p->width);
    return NW_OK;
}

static nw_status check_resize(const nw_preprocess *p, nw_error *error)
{
    if (p->interpolation < 0 || p->interpolation >= NW_INTERPOLATION_COUNT)
        return nw_fail(error, NW_ERROR_DATA, "interpolation: no such filter");
    if (p->crop != NW_CROP_NONE && p->crop != NW_CROP_CENTER)
        return nw_fail(error, NW_ERROR_DATA, "crop: must be null or \"center\"");
    if (!nw_preprocess_channels(p) && (p->resize != NW_RESIZE_NONE || p->crop != NW_CROP_NONE))
        return nw_fail(error, NW_ERROR_DATA, "%s: needs pictures; with channel_order null arrays are taken as they are",
                       p->resize != NW_RESIZE_NONE ? "resize" : "crop");
    switch (p->resize) {
    case NW_RESIZE_NONE:
        return NW_OK;
    case NW_RESIZE_EXACT:
        return check_exact(p, error);
    case NW_RESIZE_SHORTER_SIDE:
        if (!is_size(p->shorter_side))
            return nw_fail(error, NW_ERROR_DATA, "resize: shorter_side must be 1 to %d", NW_PREPROCESS_MAX_SIZE);
        return NW_OK;
    case NW_RESIZE_LETTERBOX:
        if (p->pad_value < 0 || p->pad_value > 255)
            return nw_fail(error, NW_ERROR_DATA, "resize: letterbox must be a pad value of 0 to 255");
        if (p->crop != NW_CROP_NONE)
            return nw_fail(error, NW_ERROR_DATA, "crop: letterbox already gives the size; set crop to null");
        return NW_OK;
    default:
        return nw_fail(error, NW_ERROR_DATA, "resize: no such rule");
    }
}

/* One list of numbers; `channels` is 0 for arrays, which may bring any number. */
static nw_status check_list(const char *key, const float *values, int32_t n, int32_t channels, nw_error *error)
{
    if (n < 1 || n > NW_PREPROCESS_MAX_CHANNELS || (channels && n != 1 && n != channels))
        return nw_fail(error, NW_ERROR_DATA, "%s: has %d entries; one, or one per channel, is expected", key, (int)n);
    for (int32_t i = 0; i < n; i++)
        if (!isfinite(values[i]) || (key[0] == 's' && values[i] == 0.0f))
            return nw_fail(error, NW_ERROR_DATA, "%s: entry %d must be finite%s", key, (int)i,
                           key[0] == 's' ? " and not 0" : "");
    return NW_OK;
}

static void spread(float *values, int32_t *n, int32_t channels)
{
    if (*n != 1)
        return;
    for (int32_t i = 1; i < channels; i++)
        values[i] = values[0];
    *n = channels;
}

nw_status nw_preprocess_validate(nw_preprocess *p, nw_error *error)
{
    if (p->channel_order < 0 || p->channel_order >= NW_CHANNELS_COUNT)
        return nw_fail(error, NW_ERROR_DATA, "channel_order: no such order");
    NW_TRY(check_size(p, error));
    NW_TRY(check_resize(p, error));
    const int32_t channels = nw_preprocess_channels(p);
    NW_TRY(check_list("mean", p->mean, p->n_mean, channels, error));
    NW_TRY(check_list("std", p->std, p->n_std, channels, error));
    if (p->n_mean != 1 && p->n_std != 1 && p->n_mean != p->n_std)
        return nw_fail(error, NW_ERROR_DATA, "std: has %d entries, mean has %d", (int)p->n_std, (int)p->n_mean);
    if (p->class_offset < -MAX_CLASS_OFFSET || p->class_offset > MAX_CLASS_OFFSET)
        return nw_fail(error, NW_ERROR_DATA, "class_offset: must be -%d to %d", MAX_CLASS_OFFSET, MAX_CLASS_OFFSET);
    const int32_t n = channels ? channels : p->n_mean > p->n_std ? p->n_mean : p->n_std;
    spread(p->mean, &p->n_mean, n);
    spread(p->std, &p->n_std, n);
    return NW_OK;
}
