/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What part of a network runs how: shares of multiply-accumulates and of bytes per width and in float. Every report of
 * an integer network carries them.
 */
#ifndef NARROW_CLI_SHARES_H
#define NARROW_CLI_SHARES_H

#include <cjson/cJSON.h>

#include "model/model.h"
#include "runtime/engine.h"

typedef struct nw_shares {
    uint64_t macs[9];         /* by weight bits 1..8; [0]: in float */
    uint64_t weight_bytes[9]; /* as in the file; [0]: float weights */
    uint64_t total_macs, total_bytes;
} nw_shares;

void nw_shares_count(nw_shares *shares, const nw_model *model);

/** Share of the multiply-accumulates that are integer, 0 to 1. */
double nw_shares_integer(const nw_shares *shares);

/** Adds "macs", "integer_mac_share", "widths" (list of {bits, mac_share, weight_bytes}) and, with an engine, "isa" and
 *  "kernels" (list of {node, op, kernel}). */
void nw_shares_report(cJSON *report, const nw_model *model, const nw_engine *engine);

#endif
