/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: what the quantizer decides, as a JSON document that a person can read, edit and feed back. Rows override
 * what the options of quantize.h say for all; nw_quantize stores the plan it followed, every layer and tensor a row, in
 * the network it makes.
 *
 *     {"version": 1, "weight_storage": "coded",
 *      "layers": [
 *       {"node": "layer1.0.conv1", "bits": 4, "method": "refine", "why": {"damage": 0.013}},
 *       {"match": "layer3\\..*", "bits": 3}],
 *      "tensors": [
 *       {"tensor": "relu_4", "bits": 5},
 *       {"tensor": "relu_5", "bits": 3, "scheme": "dqa", "extra_bits": 3, "share": 0.4}]}
 *
 *     nw_plan *plan;
 *     NW_TRY(nw_plan_read(&plan, "plan.json", error));
 *     options.plan = plan;
 *     ...
 *     nw_plan_free(plan);
 *
 * A row names one node or tensor ("node", "tensor") or all that a POSIX extended regular expression matches from their
 * first to their last letter ("match"). What a row leaves out stays as it is. A row that names beats expressions; among
 * expressions the last one that matches wins. Two rows that name the same thing, and rows that match nothing, are
 * errors.
 */
#ifndef NARROW_QUANT_PLAN_H
#define NARROW_QUANT_PLAN_H

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "quant/refine.h"

#define NW_PLAN_UNSAID (-1)    /* of a choice that a row leaves out */
#define NW_PLAN_EXPRESSION 256 /* most letters of an expression */

/** Whom a row speaks of. */
typedef struct nw_plan_key {
    char *name;         /* owned; a name, or an expression */
    bool is_expression;
    regex_t expression; /* owned, compiled and anchored; valid if is_expression */
} nw_plan_key;

/** A linear layer. */
typedef struct nw_plan_layer {
    nw_plan_key key; /* of the node */
    int32_t bits;    /* of the weights: 1 to 8, or NW_PLAN_UNSAID */
    int32_t method;  /* nw_rounding, or NW_PLAN_UNSAID */
    int32_t book;    /* nw_book_kind, or NW_PLAN_UNSAID */
    int32_t accumulator; /* nw_accumulator, or NW_PLAN_UNSAID */
    int32_t extra_points; /* weight vectors beyond one per output channel, in all: 0 to 3 per channel (multipoint.h),
                             given to the channels whose output errs most; or NW_PLAN_UNSAID */
    char *why;       /* owned JSON object for people, or NULL */
} nw_plan_layer;

/** How the channels of a tensor become codes. */
typedef enum nw_activation_kind {
    NW_ACTIVATION_DIRECT, /* all alike */
    NW_ACTIVATION_NOISY,  /* an offset per channel before rounding, taken out of the readers' biases (NoisyQuant) */
    NW_ACTIVATION_DQA,    /* important channels hold extra bits (Hu et al. 2024) */
    NW_ACTIVATION_NOISY_SCALAR /* NoisyQuant with one offset for the whole tensor, as in its authors' code */
} nw_activation_kind;

/** Whether something is added before rounding and taken out of the readers' biases. */
static inline bool nw_activation_is_noisy(nw_activation_kind kind)
{
    return kind == NW_ACTIVATION_NOISY || kind == NW_ACTIVATION_NOISY_SCALAR;
}

/** A tensor of codes. Tensors that share a grid (Concat, pools) share bits, scheme, extra bits and share. */
typedef struct nw_plan_tensor {
    nw_plan_key key;
    int32_t bits;       /* 1 to 8, or NW_PLAN_UNSAID; under DQA those of an ordinary channel */
    int32_t scheme;     /* nw_activation_kind, or NW_PLAN_UNSAID */
    int32_t extra_bits; /* of important channels, 1 to 7, or NW_PLAN_UNSAID */
    double share;       /* of channels that are important, 0 to 1, or NW_PLAN_UNSAID */
    int32_t *channels;  /* [n_channels] owned: which ones are important, whatever the share; or NULL */
    int32_t n_channels;
    char *why;          /* owned JSON object for people, or NULL */
} nw_plan_tensor;

#define NW_PLAN_TENSOR_UNSAID                                                                                        \
    {                                                                                                                \
        .bits = NW_PLAN_UNSAID, .scheme = NW_PLAN_UNSAID, .extra_bits = NW_PLAN_UNSAID, .share = NW_PLAN_UNSAID      \
    }

typedef struct nw_plan {
    int32_t weight_storage;  /* nw_weight_storage, or NW_PLAN_UNSAID */
    nw_plan_layer *layers;   /* [n_layers] owned */
    nw_plan_tensor *tensors; /* [n_tensors] owned */
    int32_t n_layers, n_tensors;
} nw_plan;

/** An empty plan, or NULL without memory. */
nw_plan *nw_plan_create(void);
void nw_plan_free(nw_plan *plan);

/**
 * Appends a row that says nothing yet.
 *
 * @param row         out: valid until the next one is added
 * @param name        copied
 * @param expression  whether the name is a regular expression, of at most NW_PLAN_EXPRESSION letters
 * @return NW_ERROR_USAGE for an expression that does not compile; NW_ERROR_MEMORY
 */
nw_status nw_plan_add_layer(nw_plan_layer **row, nw_plan *plan, const char *name, bool expression, nw_error *error);
nw_status nw_plan_add_tensor(nw_plan_tensor **row, nw_plan *plan, const char *name, bool expression, nw_error *error);

/** Whether the row says what only DQA understands: extra bits, a share or channels. */
bool nw_plan_tensor_wants_dqa(const nw_plan_tensor *row);

/** Whether the row speaks of that node or tensor. */
bool nw_plan_matches(const nw_plan_key *key, const char *name);

/**
 * What all rows together say of a node: fields that none says stay as *row has them. NULL plan: nothing. The result
 * borrows: its key, channels and why are not to be freed.
 */
void nw_plan_layer_of(nw_plan_layer *row, const nw_plan *plan, const char *node);
void nw_plan_tensor_of(nw_plan_tensor *row, const nw_plan *plan, const char *tensor);

/** How methods are spelled in plans and options: "plain", "feedback", "refine"; NULL-terminated, by nw_rounding. */
extern const char *const nw_plan_methods[];

/** Schemes of tensors: "direct", "noisy", "dqa", "noisy-scalar"; NULL-terminated, by nw_activation_kind. */
extern const char *const nw_plan_schemes[];

/** Code books: "uniform", "power-of-two", "flint", "shared", "per-tensor", "auto"; NULL-terminated, by nw_book_kind. */
extern const char *const nw_plan_books[];

/** How files hold weights: "packed", "coded"; NULL-terminated, by nw_weight_storage. */
extern const char *const nw_plan_storages[];

/** How accumulators are spelled: "auto", "32", "16", "16-wrap"; NULL-terminated, by nw_accumulator. */
extern const char *const nw_plan_accumulators[];

/**
 * Reads a plan from a file, or from text (a network's nw_model.plan).
 *
 * @param what  opens the sentence of an error
 * @return NW_ERROR_DATA for what is no plan, naming the row; NW_ERROR_MEMORY
 */
nw_status nw_plan_read(nw_plan **out, const char *path, nw_error *error);
nw_status nw_plan_parse(nw_plan **out, const char *text, size_t size, const char *what, nw_error *error);

/**
 * A row's reasons as they are stored in a network: without the long list "by_bits". To be freed; NULL without memory.
 */
char *nw_plan_brief(const char *why);

/** A row's reasons (NULL: none) with those of another object, which win. To be freed; NULL without memory. */
char *nw_plan_add_reasons(const char *why, const char *more);

/** The plan as JSON text, a row a line; the caller frees it. NULL without memory. */
char *nw_plan_print(const nw_plan *plan);

#endif
