/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed storage: tensors between layers lie in the arena at their own width (ops/stored.h), and a node that reads or
 * writes one works in strips of output rows. The input rows that a strip needs are unpacked into scratch, with their
 * halo; the node's kernels run on them as on any picture; the rows they write are packed into the arena.
 *
 *     arena:    | stored input | stored output | ... | scratch of lane 0 | scratch of lane 1 | ...
 *     a lane:   | rows of input 0, with halo | rows of input 1 | rows of the output | temporary |
 *
 * A lane is a share of the output's rows, the same for every number of threads: lane l of L computes rows H l / L to
 * H (l + 1) / L. Going down, it keeps the rows that the next strip needs again.
 *
 * Chains: nodes that follow each other, each the only reader of the one before, can run in one pass over strips. Before
 * a node makes its rows, the node before it makes those input rows that are missing; what lies between them
 * (nw_place.inner) exists only as the rows that the reader's window spans, with their halo, in a lane's scratch:
 *
 *     a lane:   | rows of input 0, if stored | window of tensor 0-1 | window of tensor 1-2 | rows of the output |
 *               temporary |
 *
 * No row is made twice but by neighbouring lanes, where a window reaches across their border.
 *
 * chains.c chooses the chains, strips.c plans (which nodes, how many rows, how much scratch: layout.c asks),
 * strip_job.c runs.
 */
#ifndef NARROW_RUNTIME_STRIPS_H
#define NARROW_RUNTIME_STRIPS_H

#include "base/arena.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "ops/ops.h"
#include "ops/coded.h"
#include "ops/stored.h"
#include "runtime/layout.h"

/** Which input rows output rows [begin, end) need; see nw_strip_reach. */
typedef struct nw_row_rule {
    int32_t stride, pad, extent; /* output row y looks at rows y * stride - pad .. + extent */
    bool transposed;             /* at (y + pad - extent .. y + pad) / stride instead */
    bool halo;                   /* rows outside the picture are rows of zero points; otherwise they are left out */
    int32_t origin;              /* picture row that the operator's view calls row 0 */
    int32_t height;              /* of the picture */
} nw_row_rule;

/** An operand in a lane's scratch. rows = 0: it is not there but in the arena, as bytes. */
typedef struct nw_strip_operand {
    int32_t rows;        /* in memory at once */
    int32_t left, right; /* halo, in pixels */
    size_t row_size;     /* bytes of a row with its halo */
    size_t offset;       /* in the lane's scratch */
    nw_row_rule rule;    /* inputs */
} nw_strip_operand;

/**
 * How a node runs. rows = 0: whole, none of its operands is stored. Nodes of a chain (first < last) share lanes,
 * scratch and temporary; what lies between two of them is the second one's input and the first one's output.
 */
typedef struct nw_strips {
    int32_t first, last; /* nodes of the chain that this one belongs to; both itself: alone */
    int32_t rows;     /* of the output, in one strip */
    int32_t lanes;
    nw_strip_operand inputs[2], output;
    size_t temporary; /* offset in the lane's scratch */
    size_t lane_size; /* bytes */
    size_t offset;    /* of lane 0 in the arena */
} nw_strips;

/** Tensor that is operand i (0 or 1) of a node that can run in strips; NW_NONE if it has none. */
int32_t nw_strip_input(const nw_node *node, int32_t i);

/** Whether the node can run in strips at all. A CONCAT is nothing to run: see nw_place.joined. */
bool nw_strips_possible(const nw_model *model, const nw_node *node);

/** Which input of a node, 0 or 1, is nw_place.inner; NW_NONE: none is. */
int32_t nw_strip_inner(const nw_layout *layout, const nw_node *node);

/**
 * Plans a chain whose inner tensors are marked as such, for strips of up to `rows` rows of the last output.
 * @param strips  [last - first + 1] their offsets are left to the caller; rows = 0 if a node alone has nothing in
 *                scratch
 */
void nw_strips_plan_chain(nw_strips *strips, const nw_layout *layout, const nw_model *model, int32_t first,
                          int32_t last, int32_t lanes, int32_t rows);

/** Bytes of the tensors that are alive while a chain runs, and of its scratch. */
size_t nw_strips_bytes(const nw_layout *layout, const nw_model *model, const nw_strips *strips);

/** Input rows [*first, *last) of output rows [begin, end); without a halo only those inside the picture. */
void nw_strip_reach(const nw_row_rule *rule, int32_t begin, int32_t end, int32_t *first, int32_t *last);

/** Channels [channel, channel + stored.channels) of a picture, stored in rows one behind the other, plain or coded. */
typedef struct nw_part {
    nw_coded form;
    nw_coded_row *coded; /* [height] what the slots hold; NULL: plain rows */
    uint8_t *rows;       /* form.stored.row_size or form.slot_size bytes apart */
    int32_t channel;
} nw_part;

/** A stored tensor: one part, or the parts that a CONCAT joins. */
typedef struct nw_picture {
    const nw_part *parts;
    int32_t n_parts;
    int32_t channels, height, width;
} nw_picture;

/** Row y to bytes, pixels together. Returns the bytes read. */
size_t nw_picture_row(const nw_picture *picture, const nw_kernels *kernels, int32_t y, uint8_t *to, uint8_t *temporary);

/** What packing and unpacking did since the engine stands; each lane counts for itself. */
typedef struct nw_coding_count {
    uint64_t nanoseconds; /* of one run, if somebody wants to know */
    uint64_t values, bytes_written, bytes_read;
    uint64_t rows, rows_dropped;
    uint64_t pad[2]; /* a cache line of its own */
} nw_coding_count;

typedef struct nw_coding_clock {
    bool on; /* measure time */
    nw_coding_count *lanes;
} nw_coding_clock;

#define NW_STRIP_JOBS 2    /* most inner jobs of a node */
#define NW_CHAIN_LINKS 8   /* most nodes of a chain */

/** One node of a chain. */
typedef struct nw_strip_link {
    nw_strips strips;
    nw_job jobs[NW_STRIP_JOBS]; /* run one after the other on each strip, on views into lane 0's scratch */
    int32_t n_jobs;
    int32_t inner;         /* input that the link before makes; NW_NONE: it is the first link */
    nw_picture inputs[2];
    uint8_t zero_point[2]; /* of the inputs, for their halo */
    uint8_t **observed;    /* inner output: where its rows go besides, [H, W, C]; NULL there: nobody looks */
} nw_strip_link;

/** What a job in strips consists of. Pointers to memory stay valid as long as the job. */
typedef struct nw_strip_params {
    const nw_strip_link *links; /* [n_links] a node alone is a chain of one */
    int32_t n_links;
    int32_t height;        /* of the last output */
    nw_picture output;     /* n_parts = 0: not stored */
    float *const *caller;  /* where the caller's array of this output is found: NULL, or the output goes there */
    const nw_kernels *kernels;
    uint8_t *scratch;      /* lane 0 */
    const nw_coding_clock *clock;
} nw_strip_params;

nw_job nw_strip_job_make(const nw_strip_params *params, nw_arena *arena);

#endif
