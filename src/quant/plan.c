/* SPDX-License-Identifier: Apache-2.0 */
/* See plan.h: rows and whom they speak of. plan_json.c reads and writes them; quantize.c follows them. */
#include "quant/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const nw_plan_methods[] = {"plain", "feedback", "refine", NULL};
const char *const nw_plan_books[] = {"uniform", "power-of-two", "flint", "shared", "per-tensor", "auto", NULL};
const char *const nw_plan_accumulators[] = {"auto", "32", "16", "16-wrap", NULL};

const char *const nw_plan_schemes[] = {"direct", "noisy", "dqa", "noisy-scalar", NULL};

const char *const nw_plan_storages[] = {"packed", "coded", NULL};

nw_plan *nw_plan_create(void)
{
    nw_plan *plan = calloc(1, sizeof(nw_plan));
    if (plan)
        plan->weight_storage = NW_PLAN_UNSAID;
    return plan;
}

static void clear_key(nw_plan_key *key)
{
    if (key->is_expression)
        regfree(&key->expression);
    free(key->name);
}

void nw_plan_free(nw_plan *plan)
{
    if (!plan)
        return;
    for (int32_t i = 0; i < plan->n_layers; i++) {
        clear_key(&plan->layers[i].key);
        free(plan->layers[i].why);
    }
    for (int32_t i = 0; i < plan->n_tensors; i++) {
        clear_key(&plan->tensors[i].key);
        free(plan->tensors[i].channels);
        free(plan->tensors[i].why);
    }
    free(plan->layers);
    free(plan->tensors);
    free(plan);
}

static char *copy_of(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/** Compiles the expression so that it matches whole names only. */
static nw_status compile(nw_plan_key *key, const char *text, nw_error *error)
{
    char anchored[NW_PLAN_EXPRESSION + 8];
    if (strlen(text) > NW_PLAN_EXPRESSION)
        return nw_fail(error, NW_ERROR_USAGE, "a plan's expression has more than %d letters", NW_PLAN_EXPRESSION);
    snprintf(anchored, sizeof(anchored), "^(%s)$", text);
    const int code = regcomp(&key->expression, anchored, REG_EXTENDED | REG_NOSUB);
    if (code) {
        char reason[128];
        regerror(code, &key->expression, reason, sizeof(reason));
        return nw_fail(error, NW_ERROR_USAGE, "\"%s\" is no regular expression: %s", text, reason);
    }
    key->is_expression = true;
    return NW_OK;
}

static nw_status set_key(nw_plan_key *key, const char *name, bool expression, nw_error *error)
{
    key->is_expression = false;
    key->name = copy_of(name);
    if (!key->name)
        return nw_fail_memory(error, "a plan");
    const nw_status status = expression ? compile(key, name, error) : NW_OK;
    if (status)
        free(key->name);
    return status;
}

nw_status nw_plan_add_layer(nw_plan_layer **row, nw_plan *plan, const char *name, bool expression, nw_error *error)
{
    nw_plan_layer *rows = realloc(plan->layers, ((size_t)plan->n_layers + 1) * sizeof(*rows));
    if (!rows)
        return nw_fail_memory(error, "a plan");
    plan->layers = rows;
    *row = &rows[plan->n_layers];
    **row = (nw_plan_layer){.bits = NW_PLAN_UNSAID, .method = NW_PLAN_UNSAID, .book = NW_PLAN_UNSAID,
                             .accumulator = NW_PLAN_UNSAID, .extra_points = NW_PLAN_UNSAID};
    NW_TRY(set_key(&(*row)->key, name, expression, error));
    plan->n_layers++;
    return NW_OK;
}

nw_status nw_plan_add_tensor(nw_plan_tensor **row, nw_plan *plan, const char *name, bool expression, nw_error *error)
{
    nw_plan_tensor *rows = realloc(plan->tensors, ((size_t)plan->n_tensors + 1) * sizeof(*rows));
    if (!rows)
        return nw_fail_memory(error, "a plan");
    plan->tensors = rows;
    *row = &rows[plan->n_tensors];
    **row = (nw_plan_tensor)NW_PLAN_TENSOR_UNSAID;
    NW_TRY(set_key(&(*row)->key, name, expression, error));
    plan->n_tensors++;
    return NW_OK;
}

bool nw_plan_tensor_wants_dqa(const nw_plan_tensor *row)
{
    return row->extra_bits != NW_PLAN_UNSAID || row->share >= 0.0 || row->channels;
}

bool nw_plan_matches(const nw_plan_key *key, const char *name)
{
    return key->is_expression ? regexec(&key->expression, name, 0, NULL, 0) == 0 : strcmp(key->name, name) == 0;
}

/** Takes over what `said` says. */
static void overlay_layer(nw_plan_layer *row, const nw_plan_layer *said)
{
    if (said->bits != NW_PLAN_UNSAID)
        row->bits = said->bits;
    if (said->method != NW_PLAN_UNSAID)
        row->method = said->method;
    if (said->book != NW_PLAN_UNSAID)
        row->book = said->book;
    if (said->accumulator != NW_PLAN_UNSAID)
        row->accumulator = said->accumulator;
    if (said->extra_points != NW_PLAN_UNSAID)
        row->extra_points = said->extra_points;
    if (said->why)
        row->why = said->why;
}

static void overlay_tensor(nw_plan_tensor *row, const nw_plan_tensor *said)
{
    if (said->bits != NW_PLAN_UNSAID)
        row->bits = said->bits;
    if (said->scheme != NW_PLAN_UNSAID)
        row->scheme = said->scheme;
    if (said->extra_bits != NW_PLAN_UNSAID)
        row->extra_bits = said->extra_bits;
    if (said->share >= 0.0)
        row->share = said->share;
    if (said->channels) {
        row->channels = said->channels;
        row->n_channels = said->n_channels;
    }
    if (said->why)
        row->why = said->why;
}

void nw_plan_layer_of(nw_plan_layer *row, const nw_plan *plan, const char *node)
{
    for (int names = 0; plan && names < 2; names++)
        for (int32_t i = 0; i < plan->n_layers; i++)
            if (plan->layers[i].key.is_expression == (names == 0) && nw_plan_matches(&plan->layers[i].key, node))
                overlay_layer(row, &plan->layers[i]);
}

void nw_plan_tensor_of(nw_plan_tensor *row, const nw_plan *plan, const char *tensor)
{
    for (int names = 0; plan && names < 2; names++)
        for (int32_t i = 0; i < plan->n_tensors; i++)
            if (plan->tensors[i].key.is_expression == (names == 0) && nw_plan_matches(&plan->tensors[i].key, tensor))
                overlay_tensor(row, &plan->tensors[i]);
}
