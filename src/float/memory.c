/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the activations of a float engine lie: storages that are never live at the same step share memory. Runs once,
 * after lower.c planned every node and before the first run.
 */
#include <stdlib.h>

#include "base/arith.h"
#include "base/bytes.h"
#include "float/plan.h"

#define ALIGNMENT ((size_t)64)

typedef struct entry {
    size_t size;
    int32_t storage;
} entry;

/* Largest first; equal ones in order of creation, so that the result does not depend on the library's qsort. */
static int compare_entries(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return x->storage < y->storage ? -1 : 1;
}

static bool overlap_in_time(const nw_float_storage *a, const nw_float_storage *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Lowest offset at which `s` collides with none of the `n` placed ones: try 0 and the end of each. */
static size_t lowest_offset(const nw_float_storage *storages, const entry *placed, size_t n,
                            const nw_float_storage *s)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i <= n; i++) {
        const nw_float_storage *below = i ? &storages[placed[i - 1].storage] : NULL;
        if (below && !overlap_in_time(below, s))
            continue;
        const size_t start = below ? below->offset + nw_align(below->size, ALIGNMENT) : 0;
        bool fits = start < best;
        for (size_t j = 0; fits && j < n; j++) {
            const nw_float_storage *other = &storages[placed[j].storage];
            fits = !overlap_in_time(other, s) || start + s->size <= other->offset ||
                   other->offset + other->size <= start;
        }
        best = fits ? start : best;
    }
    return best;
}

static nw_status place(nw_float_engine *engine)
{
    entry *entries = calloc((size_t)engine->n_storages + 1, sizeof(*entries));
    if (!entries)
        return NW_ERROR_MEMORY;
    size_t n = 0, end = 0;
    for (int32_t i = 0; i < engine->n_storages; i++)
        if (!engine->storages[i].fixed)
            entries[n++] = (entry){engine->storages[i].size, i};
    qsort(entries, n, sizeof(*entries), compare_entries);
    for (size_t i = 0; i < n; i++) {
        nw_float_storage *s = &engine->storages[entries[i].storage];
        s->offset = lowest_offset(engine->storages, entries, i, s);
        end = s->offset + s->size > end ? s->offset + s->size : end;
    }
    free(entries);
    engine->arena_size = nw_align(end + 1, ALIGNMENT);
    return NW_OK;
}

static nw_status bind_step(nw_float_engine *engine, nw_float_step *step)
{
    for (int32_t i = 0; i <= step->n_inputs; i++) {
        const int32_t buffer = i < step->n_inputs ? step->inputs[i] : step->output;
        float *data = buffer == NW_NONE ? NULL : nw_plan_data(engine, buffer);
        if (step->plain)
            step->views[i].data = data;
        else
            NW_TRY(nw_dnn_bind(step->op, i, data));
    }
    return NW_OK;
}

nw_status nw_memory_allocate(nw_float_engine *engine)
{
    NW_TRY(place(engine));
    engine->arena = aligned_alloc(ALIGNMENT, engine->arena_size);
    engine->scratch = aligned_alloc(ALIGNMENT, nw_align(engine->scratch_size + 1, ALIGNMENT));
    if (!engine->arena || !engine->scratch)
        return NW_ERROR_MEMORY;
    for (int32_t i = 0; i < engine->n_steps; i++)
        NW_TRY(bind_step(engine, &engine->steps[i]));
    return NW_OK;
}
