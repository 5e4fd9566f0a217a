/* SPDX-License-Identifier: Apache-2.0 */
/* From nodes to jobs: what engine.c runs. */
#ifndef NARROW_RUNTIME_STEPS_H
#define NARROW_RUNTIME_STEPS_H

#include "base/arena.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "ops/ops.h"
#include "runtime/choice.h"
#include "runtime/layout.h"
#include "runtime/strips.h"

/** The halo of a buffer: filled with `code` when its first producer is about to run. rows = 0: nothing to do. */
typedef struct nw_halo {
    uint8_t *buffer; /* first byte of the buffer */
    int32_t rows;    /* of the picture itself */
    size_t row_size; /* bytes of one padded row */
    size_t before, between, after; /* bytes before the first pixel, between two rows, behind the last pixel */
    uint8_t code;
} nw_halo;

typedef struct nw_step {
    nw_job job;
    nw_halo halo;
    int32_t node;
} nw_step;

/** What building steps needs; `steps` and `n_steps` are filled in (steps NULL: only counted, as is the arena). */
typedef struct nw_builder {
    const nw_model *model;
    const nw_layout *layout;
    const nw_kernels *kernels;
    const nw_choice *choices; /* [n_nodes] or NULL */
    nw_arena *arena;
    uint8_t *activations;
    const nw_input_slot *slots; /* [n_inputs] */
    float *const *outputs;      /* [n_outputs] the caller's arrays of a run */
    const nw_coding_clock *clock;
    const nw_symbols *symbols;  /* [n_symbol_codes of the model] or NULL: rows are not in words */
    uint8_t **observed; /* [n_nodes] where outputs inside chains go besides (nw_strip_link), filled in for a run */
    bool direct;        /* no layer by Winograd's convolution */
    nw_scratch scratch; /* of jobs that run whole; `needed` is filled in */
    nw_job *node_jobs;  /* [n_nodes] NULL or: filled in, a node's first job by itself; kernel NULL: it has none */
    nw_strip_link *links; /* [NW_CHAIN_LINKS] of the chain that is being built */
    nw_step *steps;
    int32_t n_steps;
} nw_builder;

/** Appends the steps of every node. NW_ERROR_UNSUPPORTED with a sentence for what the engine cannot run. */
nw_status nw_steps_build(nw_builder *builder, nw_error *error);

/** The stored form of a tensor with its place; n_parts = 0 if it is not stored. */
nw_picture nw_picture_of(const nw_builder *builder, int32_t tensor);

void nw_halo_fill(const nw_halo *halo);

#endif
