/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where every activation lies in the arena: pictures as [H, W, C] with a halo of zero points as wide as their widest
 * consumer's padding, inputs of a Concat directly inside its output, buffers whose lifetimes do not meet on the same
 * bytes. Reshapes around a Transpose that only cut axes, or join them again, move nothing: depth to space is one copy.
 *
 *     nw_layout layout;
 *     NW_TRY(nw_layout_make(&layout, model, NULL, error));
 *     nw_view view = nw_layout_view(&layout, model, tensor, arena_base);
 *     nw_layout_free(&layout);
 *
 *     one picture in its buffer, halo (t, l, b, r):   row stride = (l + W + r) * pixel stride
 *
 *     | t rows of halo                      |
 *     | l pixels | W pixels of row 0 | r    |
 *     | ...                                 |
 *     | b rows of halo                      |
 *
 * With packed storage (strips.h) pictures of narrow codes have no halo: they lie in stored rows, one behind the other,
 * and the nodes around them have scratch in the arena while they run. What cannot be read or written in strips stays as
 * above, and so does what would not become smaller. With fusion, tensors inside chains of nodes have no place at all.
 */
#ifndef NARROW_RUNTIME_LAYOUT_H
#define NARROW_RUNTIME_LAYOUT_H

#include "base/arena.h"
#include "base/geometry.h"
#include "model/model.h"
#include "narrow/narrow.h"
#include "ops/coded.h"
#include "ops/stored.h"

struct nw_strips; /* strips.h */

/** Place of one tensor. Fields after `channel_offset` count only for roots. */
typedef struct nw_place {
    int32_t root;           /* tensor whose buffer holds this one (itself, mostly); NW_NONE: none (network input,
                               constant) */
    int32_t channel_offset; /* first channel inside the root */
    int32_t whole;          /* tensor of reals that this one shows under another shape, some axes cut in two, or
                               NW_NONE */
    int32_t halo[4];        /* top, left, bottom, right, in pixels */
    int32_t first, last;    /* nodes between which the buffer is alive, both included */
    size_t offset, size;    /* bytes in the arena */
    bool stored;            /* in stored rows; its own root */
    size_t slot_size;       /* coded: bytes reserved for each row (ops/coded.h) */
    bool joined;            /* besides: a CONCAT of stored tensors, which has no bytes of its own */
    bool inner;             /* inside a chain (strips.h): only rows of it exist, in scratch */
    int32_t caller;         /* index of the output of the network that goes to the caller by rows, or NW_NONE */
} nw_place;

typedef struct nw_layout {
    nw_place *places;         /* [n_tensors] owned */
    struct nw_strips *strips; /* [n_nodes] owned; how nodes run in strips */
    bool coded, words;
    size_t size;              /* bytes of the arena, over-read included */
    size_t stored_size;       /* coded: most bytes of stored tensors alive at once, which a budget limits; */
    size_t stored_full;       /* without a budget, every row in its plain form; */
    size_t stored_least;      /* without any low bits: the least budget */
} nw_layout;

#define NW_CHAIN_BYTES 300000   /* what is smaller is better written and read: it stays in cache */
#define NW_CHAIN_SCRATCH 200000 /* a chain's windows stay well inside a second-level cache */

typedef struct nw_layout_options {
    bool packed;   /* packed storage */
    bool coded;    /* besides: rows coded, in slots */
    bool words;    /* besides: in words of the model's prefix codes, where a tensor has one */
    size_t budget; /* coded: bytes of the stored tensors alive at once, 0: what they need */
    nw_fusion fusion;
    size_t fusion_bytes;   /* fast: what a tensor must exceed to be worth it; 0: NW_CHAIN_BYTES */
    size_t fusion_scratch; /* of a lane; 0: NW_CHAIN_SCRATCH */
    int32_t lanes; /* shares of every picture that may be computed at the same time, >= 1: each has scratch of its
                      own */
} nw_layout_options;

/**
 * @param options  NULL: everything in bytes
 * @return NW_ERROR_MEMORY, NW_ERROR_UNSUPPORTED if the activations would not fit into 2^31 bytes, NW_GOAL_MISSED if the
 *         budget is too small
 */
nw_status nw_layout_make(nw_layout *layout, const nw_model *model, const nw_layout_options *options, nw_error *error);
void nw_layout_free(nw_layout *layout);

/**
 * The tensor's view; with base NULL its data is NULL and only the geometry counts. Inputs of the network and constants
 * have no place, stored tensors no bytes: data NULL, row-major strides.
 */
nw_view nw_layout_view(const nw_layout *layout, const nw_model *model, int32_t tensor, uint8_t *base);

/**
 * Pixels that a convolution's windows reach outside its input along axis i (0: rows, 1: columns): before the first and
 * after the last.
 */
void nw_window_reach(const nw_model *model, const nw_node *node, int i, int32_t *before, int32_t *after);

/** The stored form of a tensor's rows; false if it is no picture of several rows, or would not become smaller. */
bool nw_stored_form(nw_stored *stored, const nw_model *model, int32_t tensor, nw_arena *arena);

/** Bytes of a tensor in stored rows; 0 if it has no such form. */
size_t nw_tensor_stored_size(const nw_model *model, int32_t tensor);

/**
 * Puts nodes into chains (strips.h) and adapts lifetimes, for nw_layout_make: who is stored and all sizes are known.
 */
nw_status nw_chains_choose(nw_layout *layout, const nw_model *model, const nw_layout_options *options, nw_error *error);

/** Plans the nodes' strips (strips.h), for nw_layout_make: who is stored, chains, lifetimes and sizes are known. */
void nw_strips_plan(nw_layout *layout, const nw_model *model, const nw_layout_options *options);

#endif
