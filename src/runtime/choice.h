/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the ways that give the same bytes computes a layer: measured (tuning.h), asked for (nw_engine_options). */
#ifndef NARROW_RUNTIME_CHOICE_H
#define NARROW_RUNTIME_CHOICE_H

#include "kernels/kernels.h"
#include "narrow/narrow.h"

/**
 * Of a linear node; others have none. {0}: as without a choice. Every family's pack() proves by itself what it adds
 * in 16 bits, so no choice can be wrong; a family that the engine's own does not include (nw_isa_includes) is left
 * aside, and layers that are to sum in 32 bits do so whatever `arrangement` says.
 */
struct nw_choice {
    nw_isa isa; /* NW_ISA_REF: the engine's own */
    nw_arrangement arrangement;
};

#endif
