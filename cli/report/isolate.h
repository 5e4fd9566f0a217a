/* SPDX-License-Identifier: Apache-2.0 */
/* One linear layer as a network of its own: reals in, rounded to the codes the layer reads, reals out. */
#ifndef NARROW_CLI_REPORT_ISOLATE_H
#define NARROW_CLI_REPORT_ISOLATE_H

#include "model/model.h"
#include "narrow/narrow.h"

/**
 * An engine that computes node n alone. Its inputs are the node's picture and, if it has one, its residual, as reals in
 * the units of their codes' steps; its output the node's, as reals.
 *
 * @param isa  kernel family, or NULL
 * @return what nw_engine_create returns
 */
nw_status nw_isolate(nw_engine **out, const nw_model *model, int32_t n, const char *isa, nw_error *error);

#endif
