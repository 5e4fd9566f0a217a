/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options by which commands are told how pictures become inputs, and how that is settled: --preprocess FILE or the
 * flags beside it win over what the model carries; without either, the size comes from the network and arrays are taken
 * as they are, but pictures are refused, because a wrong mean costs accuracy silently.
 */
#ifndef NARROW_CLI_DATA_OPTIONS_H
#define NARROW_CLI_DATA_OPTIONS_H

#include "cli/args.h"
#include "data/dataset.h"
#include "model/model.h"

typedef struct nw_data_options {
    const char *preprocess; /* JSON file */
    const char *size, *resize, *interpolation, *crop, *mean, *std, *channel_order, *class_offset;
} nw_data_options;

/** Table entries for a command's options. */
#define NW_DATA_OPTIONS(o)                                                                                           \
    {"preprocess", "FILE", NW_OPTION_TEXT, &(o)->preprocess, "JSON with size, resize, crop, mean, std, ..."},        \
    {"size", "HxW", NW_OPTION_TEXT, &(o)->size, "what the network reads (default: its input)"},                      \
    {"resize", "RULE", NW_OPTION_TEXT, &(o)->resize, "none, exact, shorter_side:N, letterbox:PAD"},                  \
    {"interpolation", "NAME", NW_OPTION_TEXT, &(o)->interpolation, "bilinear, bicubic, box, lanczos, nearest"},      \
    {"crop", "RULE", NW_OPTION_TEXT, &(o)->crop, "none or center"},                                                  \
    {"mean", "LIST", NW_OPTION_TEXT, &(o)->mean, "x = (pixel - mean) / std, pixel 0..255, per channel"},             \
    {"std", "LIST", NW_OPTION_TEXT, &(o)->std, "see --mean"},                                                        \
    {"channel-order", "NAME", NW_OPTION_TEXT, &(o)->channel_order, "RGB, BGR, Y, L or none"},                        \
    {"class-offset", "N", NW_OPTION_TEXT, &(o)->class_offset, "output index = class + N"}

/**
 * Settles the preprocessing of a network.
 *
 * @param model  whose input says the size; model->preprocess is the default if it carries one
 * @param given  set if any option or the model said how pictures are normalised
 */
nw_status nw_data_options_settle(nw_preprocess *out, bool *given, const nw_data_options *options,
                                 const nw_model *model, nw_error *error);

/** Opens data for a network; refuses pictures when `given` is false. */
nw_status nw_data_open(nw_dataset **out, const char *path, const char *labels, const nw_preprocess *preprocess,
                       bool given, nw_error *error);

#endif
