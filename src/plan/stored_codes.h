/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prefix codes for stored rows (ops/symbols.h), fitted to what an integer network's tensors hold on calibration
 * samples. They say nothing about results: a network with them gives the same bytes as without.
 */
#ifndef NARROW_PLAN_STORED_CODES_H
#define NARROW_PLAN_STORED_CODES_H

#include "quant/calibrate.h"

#define NW_STORED_CODES 8 /* most codes, of codes and of low bits each: 4.6 kB of an engine's memory for each of them */

/** What codes were fitted to, per value of the tensors that packed storage holds, on the samples. */
typedef struct nw_stored_codes {
    double entropy; /* bits: of each tensor's symbols, and of its low bits; what codes of its own might come near */
    double bits;    /* of the words */
} nw_stored_codes;

/**
 * Gives every picture of an integer network that packed storage would hold below 8 bits a code, and its low bits
 * another one if they have any and it saves 2 % of them. Tensors share codes: those are joined first that lose least by
 * it.
 *
 * @param calibration  whose kept samples the network runs on
 * @param threads      that run it; the codes do not depend on it
 * @return NW_ERROR_MEMORY; NW_ERROR_USAGE if no sample was kept
 */
nw_status nw_stored_codes_fit(nw_stored_codes *about, nw_model *model, const nw_calibration *calibration,
                              size_t threads, nw_error *error);

#endif
