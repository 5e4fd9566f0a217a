/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a picture or an array becomes the input of a network: the description alone, as it is stored in a model and
 * written by hand as JSON. src/data/picture.c carries it out; nothing here touches a pixel.
 *
 *     nw_preprocess preprocess;
 *     NW_TRY(nw_preprocess_parse(&preprocess, "{\"size\": [224, 224], \"resize\": {\"shorter_side\": 256},"
 *                                " \"crop\": \"center\", \"mean\": [127.5, 127.5, 127.5],"
 *                                " \"std\": [127.5, 127.5, 127.5], \"channel_order\": \"RGB\"}", "net.json", error));
 *     NW_TRY(nw_preprocess_set(&preprocess, "resize", "shorter_side:288", error));   a flag of the command line
 *     NW_TRY(nw_preprocess_validate(&preprocess, error));
 *
 * The steps, in this order: decode to RGB, resize, crop, channel order, x = (pixel - mean) / std in binary32.
 */
#ifndef NARROW_MODEL_PREPROCESS_H
#define NARROW_MODEL_PREPROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/** Most entries of mean and std, and most channels of an array that has more than one mean. */
#define NW_PREPROCESS_MAX_CHANNELS 64
/** Largest height and width, in pixels, of anything that is resized or cropped. */
#define NW_PREPROCESS_MAX_SIZE 16384
/** Largest height * width of a picture that a network reads. */
#define NW_PREPROCESS_MAX_PIXELS (1 << 26)

/** How the size of a picture is changed. Sizes follow Pillow-based scripts to the pixel. */
typedef enum nw_resize_rule {
    NW_RESIZE_NONE,         /* as stored */
    NW_RESIZE_EXACT,        /* to resize_height x resize_width, aspect ratio not kept */
    NW_RESIZE_SHORTER_SIDE, /* s = shorter_side / min(h, w) in binary64; to rint(h s) x rint(w s), ties to even */
    NW_RESIZE_LETTERBOX     /* r = min(height / h, width / w); to int(h r) x int(w r), top left, rest is pad_value */
} nw_resize_rule;

/** Filters of Pillow's Image.resize; see src/data/resize.h for the arithmetic. */
typedef enum nw_interpolation {
    NW_INTERPOLATION_NEAREST,
    NW_INTERPOLATION_BOX,
    NW_INTERPOLATION_BILINEAR,
    NW_INTERPOLATION_HAMMING,
    NW_INTERPOLATION_BICUBIC,
    NW_INTERPOLATION_LANCZOS,
    NW_INTERPOLATION_COUNT
} nw_interpolation;

typedef enum nw_crop {
    NW_CROP_NONE,
    NW_CROP_CENTER /* left = (W - width) / 2, top = (H - height) / 2, rounded down; the picture must be large enough */
} nw_crop;

/** Which channels of a picture the network reads. Y and L both are luma, but differ by one in half of all colours. */
typedef enum nw_channel_order {
    NW_CHANNELS_RGB,
    NW_CHANNELS_BGR,
    NW_CHANNELS_Y,    /* Y of YCbCr: Pillow's convert("YCbCr"), (19.136 R + 37.568 G + 7.296 B, each rounded) >> 6 */
    NW_CHANNELS_L,    /* luma: Pillow's convert("L"), (19595 R + 38470 G + 7471 B + 32768) >> 16 */
    NW_CHANNELS_NONE, /* not a picture: an array of any values */
    NW_CHANNELS_COUNT
} nw_channel_order;

typedef enum nw_input_layout {
    NW_LAYOUT_NCHW, /* pictures and signals: [N, C, H, W] */
    NW_LAYOUT_NC    /* plain vectors: [N, C] */
} nw_input_layout;

/** Plain data; copy with =. Valid after nw_preprocess_validate. */
typedef struct nw_preprocess {
    int32_t n_size;                   /* entries of `size`: 2 height, width; 1 width only; 0 whatever the array holds */
    int32_t height, width;            /* what the network reads, 1 to NW_PREPROCESS_MAX_SIZE (n_size 1: width < 2^30) */
    nw_resize_rule resize;
    int32_t resize_height, resize_width; /* NW_RESIZE_EXACT only, else 0 */
    int32_t shorter_side;             /* NW_RESIZE_SHORTER_SIDE only, else 0 */
    int32_t pad_value;                /* NW_RESIZE_LETTERBOX only, 0 to 255, all channels, else 0 */
    nw_interpolation interpolation;
    nw_crop crop;
    nw_channel_order channel_order;
    nw_input_layout layout;
    int32_t n_mean, n_std; /* 3 for RGB and BGR, 1 for Y and L; arrays: 1 (holds for all) or their channels */
    float mean[NW_PREPROCESS_MAX_CHANNELS]; /* in pixel units, in channel order; finite */
    float std[NW_PREPROCESS_MAX_CHANNELS];  /* in pixel units; finite, not 0 */
    int32_t class_offset;             /* output index = class + class_offset, |class_offset| <= 2^20 */
} nw_preprocess;

/** An array taken as it is: no size, no resize, no crop, mean 0, std 1, no channel order, NCHW, offset 0. */
void nw_preprocess_init(nw_preprocess *preprocess);

/**
 * Reads the JSON object `text`. Keys, all but `size` optional: size [h, w] or [n]; resize null, {"exact": [h, w]},
 * {"shorter_side": s} or {"letterbox": pad}; interpolation "nearest", "box", "bilinear" (default), "hamming",
 * "bicubic", "lanczos"; crop null or "center"; mean and std, one number or a list (defaults 0 and 1); layout "NCHW"
 * (default) or "NC"; channel_order "RGB" (default when size has two entries), "BGR", "Y", "L" or null; class_offset.
 *
 * The result is validated. `name` is the file or model named in the sentence of an error.
 *
 * @return NW_ERROR_DATA for text that is not JSON, an unknown or repeated key (the sentence names it), a wrong type, a
 *         value out of range; NW_ERROR_MEMORY
 */
nw_status nw_preprocess_parse(nw_preprocess *out, const char *text, const char *name, nw_error *error);

/**
 * Writes every key in the order above, so that parsing the text gives the same struct back.
 *
 * @return a string that the caller frees with free(), or NULL when memory ran out
 */
char *nw_preprocess_format(const nw_preprocess *preprocess);

/**
 * Sets one key from the short form used on a command line: size "224x224" or "640"; resize "none", "exact",
 * "exact:256x256", "shorter_side:256", "letterbox:114"; crop "none", "center"; mean and std "127.5" or
 * "123.7,116.3,103.5"; interpolation, layout, channel_order ("none" for arrays), class_offset as in JSON. Validates
 * nothing across keys: call nw_preprocess_validate after the last one.
 *
 * @return NW_ERROR_USAGE for an unknown key or a value out of range; the struct is untouched then
 */
nw_status nw_preprocess_set(nw_preprocess *preprocess, const char *key, const char *value, nw_error *error);

/**
 * Checks every range and what the keys demand of each other (without a crop, exact must equal size; three means for
 * RGB; pictures need a size), and spreads a single mean or std of a picture over its channels.
 *
 * @return NW_ERROR_DATA with a sentence that starts with the key
 */
nw_status nw_preprocess_validate(nw_preprocess *preprocess, nw_error *error);

/** Channels of a prepared picture: 3 for RGB and BGR, 1 for Y and L; 0 for arrays. */
int32_t nw_preprocess_channels(const nw_preprocess *preprocess);

/** Mean and std of a channel; for an array with a single mean that one. 0 <= channel < number of channels. */
static inline float nw_preprocess_mean(const nw_preprocess *preprocess, int32_t channel)
{
    return preprocess->mean[preprocess->n_mean == 1 ? 0 : channel];
}

static inline float nw_preprocess_std(const nw_preprocess *preprocess, int32_t channel)
{
    return preprocess->std[preprocess->n_std == 1 ? 0 : channel];
}

/** The name used in JSON, for example "bilinear". */
const char *nw_interpolation_name(nw_interpolation interpolation);

#endif
