/* SPDX-License-Identifier: Apache-2.0 */
/* Plans as JSON (plan.h). Text that nobody vouches for: everything is checked before it becomes a row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/json.h"
#include "quant/plan.h"

#define MAX_BYTES (16u << 20) /* of a plan's text */
#define MAX_ROWS 100000
#define MAX_CHANNELS 1000000
#define MAX_POINTS 3000000
#define DEPTH 12

/* reading */

typedef struct reader {
    nw_plan *plan;
    const char *what;
    nw_error *error;
} reader;

/** The row's name: exactly one of items[0] (a name) and items[1] (an expression). */
static nw_status read_key(const reader *r, const cJSON *const *items, const char *label, const char **name,
                          bool *expression)
{
    const bool named = cJSON_IsString(items[0]);
    if (named == cJSON_IsString(items[1]))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: a row needs either \"%s\" or \"match\", a text", r->what, label);
    *expression = !named;
    *name = items[named ? 0 : 1]->valuestring;
    return NW_OK;
}

static nw_status read_int(const reader *r, int32_t *out, const cJSON *item, int32_t lo, int32_t hi, const char *name,
                          const char *key)
{
    if (item && !nw_json_int(out, item, lo, hi))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: \"%s\": \"%s\" must be a whole number from %d to %d", r->what,
                       name, key, lo, hi);
    return NW_OK;
}

static nw_status read_choice(const reader *r, int32_t *out, const cJSON *item, const char *const *choices,
                             const char *name, const char *key)
{
    if (!item)
        return NW_OK;
    for (int32_t i = 0; cJSON_IsString(item) && choices[i]; i++)
        if (strcmp(choices[i], item->valuestring) == 0) {
            *out = i;
            return NW_OK;
        }
    return nw_fail(r->error, NW_ERROR_DATA, "%s: \"%s\": no such \"%s\"", r->what, name, key);
}

static nw_status read_why(const reader *r, char **out, const cJSON *item, const char *name)
{
    if (!item)
        return NW_OK;
    if (!cJSON_IsObject(item))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: \"%s\": \"why\" must be an object", r->what, name);
    *out = cJSON_PrintUnformatted(item);
    return *out ? NW_OK : nw_fail_memory(r->error, "a plan");
}

static nw_status read_layer(const reader *r, const cJSON *item)
{
    static const char *const keys[] = {"node", "match", "bits", "method", "book", "accumulator", "extra_points", "why"};
    const cJSON *items[8];
    const char *name = NULL;
    bool expression = false;
    NW_TRY(nw_json_match(items, item, keys, 8, r->what, r->error));
    NW_TRY(read_key(r, items, "node", &name, &expression));
    for (int32_t i = 0; !expression && i < r->plan->n_layers; i++)
        if (!r->plan->layers[i].key.is_expression && strcmp(r->plan->layers[i].key.name, name) == 0)
            return nw_fail(r->error, NW_ERROR_DATA, "%s: two rows for node \"%s\"", r->what, name);
    nw_plan_layer *row;
    NW_TRY(nw_plan_add_layer(&row, r->plan, name, expression, r->error));
    NW_TRY(read_int(r, &row->bits, items[2], 1, 8, name, keys[2]));
    NW_TRY(read_choice(r, &row->method, items[3], nw_plan_methods, name, keys[3]));
    NW_TRY(read_choice(r, &row->book, items[4], nw_plan_books, name, keys[4]));
    NW_TRY(read_choice(r, &row->accumulator, items[5], nw_plan_accumulators, name, keys[5]));
    NW_TRY(read_int(r, &row->extra_points, items[6], 0, MAX_POINTS, name, keys[6]));
    return read_why(r, &row->why, items[7], name);
}

static nw_status read_share(const reader *r, double *out, const cJSON *item, const char *name)
{
    if (!item)
        return NW_OK;
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0.0 && item->valuedouble <= 1.0))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: \"%s\": \"share\" must be a number from 0 to 1", r->what, name);
    *out = item->valuedouble;
    return NW_OK;
}

static nw_status read_channels(const reader *r, nw_plan_tensor *row, const cJSON *item, const char *name)
{
    if (!item)
        return NW_OK;
    const int32_t n = nw_json_length(item, MAX_CHANNELS);
    row->channels = n < 0 ? NULL : malloc(((size_t)n + 1) * sizeof(*row->channels));
    if (n >= 0 && !row->channels)
        return nw_fail_memory(r->error, "a plan");
    if (n < 0 || !nw_json_ints(row->channels, item, n, 0, INT32_MAX - 1))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: \"%s\": \"channels\" must be a list of whole numbers", r->what,
                       name);
    row->n_channels = n;
    return NW_OK;
}

static nw_status read_tensor(const reader *r, const cJSON *item)
{
    static const char *const keys[] = {"tensor", "match", "bits", "scheme", "extra_bits", "share", "channels", "why"};
    const cJSON *items[8];
    const char *name = NULL;
    bool expression = false;
    NW_TRY(nw_json_match(items, item, keys, 8, r->what, r->error));
    NW_TRY(read_key(r, items, "tensor", &name, &expression));
    for (int32_t i = 0; !expression && i < r->plan->n_tensors; i++)
        if (!r->plan->tensors[i].key.is_expression && strcmp(r->plan->tensors[i].key.name, name) == 0)
            return nw_fail(r->error, NW_ERROR_DATA, "%s: two rows for tensor \"%s\"", r->what, name);
    nw_plan_tensor *row;
    NW_TRY(nw_plan_add_tensor(&row, r->plan, name, expression, r->error));
    NW_TRY(read_int(r, &row->bits, items[2], 1, 8, name, keys[2]));
    NW_TRY(read_choice(r, &row->scheme, items[3], nw_plan_schemes, name, keys[3]));
    NW_TRY(read_int(r, &row->extra_bits, items[4], 1, 7, name, keys[4]));
    NW_TRY(read_share(r, &row->share, items[5], name));
    NW_TRY(read_channels(r, row, items[6], name));
    if (row->scheme != NW_PLAN_UNSAID && row->scheme != NW_ACTIVATION_DQA && nw_plan_tensor_wants_dqa(row))
        return nw_fail(r->error, NW_ERROR_DATA,
                       "%s: \"%s\": \"extra_bits\", \"share\" and \"channels\" are for the scheme "
                       "\"dqa\", not \"%s\"",
                       r->what, name, nw_plan_schemes[row->scheme]);
    return read_why(r, &row->why, items[7], name);
}

static nw_status read_rows(const reader *r, const cJSON *rows, const char *label,
                           nw_status (*read)(const reader *, const cJSON *))
{
    if (rows && nw_json_length(rows, MAX_ROWS) < 0)
        return nw_fail(r->error, NW_ERROR_DATA, "%s: \"%s\" must be a list of at most %d rows", r->what, label,
                       MAX_ROWS);
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
        NW_TRY(read(r, row));
    return NW_OK;
}

static nw_status read_all(const reader *r, const cJSON *document)
{
    static const char *const keys[] = {"version", "layers", "tensors", "about", "weight_storage"};
    const cJSON *items[5];
    int32_t version;
    NW_TRY(nw_json_match(items, document, keys, 5, r->what, r->error));
    if (!nw_json_int(&version, items[0], 1, 1))
        return nw_fail(r->error, NW_ERROR_DATA, "%s: needs \"version\": 1", r->what);
    NW_TRY(read_choice(r, &r->plan->weight_storage, items[4], nw_plan_storages, "plan", keys[4]));
    NW_TRY(read_rows(r, items[1], keys[1], read_layer));
    return read_rows(r, items[2], keys[2], read_tensor);
}

nw_status nw_plan_parse(nw_plan **out, const char *text, size_t size, const char *what, nw_error *error)
{
    cJSON *document = NULL;
    const reader r = {nw_plan_create(), what, error};
    nw_status status = r.plan ? NW_OK : nw_fail_memory(r.error, "a plan");
    if (!status && size > MAX_BYTES)
        status = nw_fail(r.error, NW_ERROR_DATA, "%s: a plan has at most %u bytes", what, MAX_BYTES);
    if (!status)
        status = nw_json_parse(&document, text, size, DEPTH, what, r.error);
    if (!status)
        status = read_all(&r, document);
    cJSON_Delete(document);
    if (status)
        nw_plan_free(r.plan);
    else
        *out = r.plan;
    return status;
}

nw_status nw_plan_read(nw_plan **out, const char *path, nw_error *error)
{
    nw_bytes file = {0};
    NW_TRY(nw_bytes_read(&file, path, MAX_BYTES, error));
    const nw_status status = nw_plan_parse(out, (const char *)file.data, file.size, path, error);
    nw_bytes_free(&file);
    return status;
}

/* writing */

char *nw_plan_brief(const char *why)
{
    cJSON *item = cJSON_Parse(why);
    if (item)
        cJSON_DeleteItemFromObjectCaseSensitive(item, "by_bits");
    if (item) {
        cJSON_DeleteItemFromObjectCaseSensitive(item, "with_points");
        cJSON_DeleteItemFromObjectCaseSensitive(item, "with_scheme");
        cJSON_DeleteItemFromObjectCaseSensitive(item, "narrowed");
    }
    char *text = item ? cJSON_PrintUnformatted(item) : NULL;
    cJSON_Delete(item);
    return text;
}

char *nw_plan_add_reasons(const char *why, const char *more)
{
    cJSON *to = why ? cJSON_Parse(why) : cJSON_CreateObject();
    cJSON *from = cJSON_Parse(more);
    for (cJSON *item = from ? from->child : NULL; to && item;) {
        cJSON *next = item->next;
        cJSON_DeleteItemFromObjectCaseSensitive(to, item->string);
        cJSON_AddItemToObject(to, item->string, cJSON_DetachItemViaPointer(from, item));
        item = next;
    }
    char *text = to && from ? cJSON_PrintUnformatted(to) : NULL;
    cJSON_Delete(from);
    cJSON_Delete(to);
    return text;
}

static bool add_int(cJSON *row, const char *key, int32_t value)
{
    return value == NW_PLAN_UNSAID || cJSON_AddNumberToObject(row, key, value);
}

static bool add_choice(cJSON *row, const char *key, int32_t value, const char *const *choices)
{
    return value == NW_PLAN_UNSAID || cJSON_AddStringToObject(row, key, choices[value]);
}

static cJSON *start_row(const nw_plan_key *key, const char *label)
{
    cJSON *row = cJSON_CreateObject();
    if (row && cJSON_AddStringToObject(row, key->is_expression ? "match" : label, key->name))
        return row;
    cJSON_Delete(row);
    return NULL;
}

/** The row as one line of text; deletes it. NULL if `done` is false or without memory. */
static char *finish_row(cJSON *row, bool done, const char *why)
{
    if (done && why)
        done = cJSON_AddRawToObject(row, "why", why) != NULL;
    char *text = done ? cJSON_PrintUnformatted(row) : NULL;
    cJSON_Delete(row);
    return text;
}

static char *layer_text(const nw_plan_layer *row)
{
    cJSON *item = start_row(&row->key, "node");
    const bool done = item && add_int(item, "bits", row->bits) &&
                      add_choice(item, "method", row->method, nw_plan_methods) &&
                      add_choice(item, "book", row->book, nw_plan_books) &&
                      add_choice(item, "accumulator", row->accumulator, nw_plan_accumulators) &&
                      add_int(item, "extra_points", row->extra_points);
    return finish_row(item, done, row->why);
}

static bool add_share(cJSON *row, double share)
{
    return share < 0.0 || cJSON_AddNumberToObject(row, "share", share);
}

static bool add_channels(cJSON *row, const nw_plan_tensor *tensor)
{
    if (!tensor->channels)
        return true;
    cJSON *list = cJSON_CreateIntArray(tensor->channels, tensor->n_channels);
    if (list && cJSON_AddItemToObject(row, "channels", list))
        return true;
    cJSON_Delete(list);
    return false;
}

static char *tensor_text(const nw_plan_tensor *row)
{
    cJSON *item = start_row(&row->key, "tensor");
    const bool done = item && add_int(item, "bits", row->bits) &&
                      add_choice(item, "scheme", row->scheme, nw_plan_schemes) &&
                      add_int(item, "extra_bits", row->extra_bits) && add_share(item, row->share) &&
                      add_channels(item, row);
    return finish_row(item, done, row->why);
}

typedef struct text {
    char *data; /* owned */
    size_t size;
    bool failed;
} text;

static void append(text *to, const char *part)
{
    const size_t n = part ? strlen(part) : 0;
    char *data = part && !to->failed ? realloc(to->data, to->size + n + 1) : NULL;
    to->failed = !data;
    if (!data)
        return;
    memcpy(data + to->size, part, n + 1);
    to->data = data;
    to->size += n;
}

static void append_row(text *to, char *row, bool last)
{
    append(to, "\n  ");
    append(to, row);
    append(to, last ? "" : ",");
    free(row);
}

char *nw_plan_print(const nw_plan *plan)
{
    text all = {0};
    append(&all, "{\"version\": 1,");
    if (plan->weight_storage != NW_PLAN_UNSAID) {
        append(&all, "\n \"weight_storage\": \"");
        append(&all, nw_plan_storages[plan->weight_storage]);
        append(&all, "\",");
    }
    append(&all, "\n \"layers\": [");
    for (int32_t i = 0; i < plan->n_layers; i++)
        append_row(&all, layer_text(&plan->layers[i]), i + 1 == plan->n_layers);
    append(&all, "],\n \"tensors\": [");
    for (int32_t i = 0; i < plan->n_tensors; i++)
        append_row(&all, tensor_text(&plan->tensors[i]), i + 1 == plan->n_tensors);
    append(&all, "]}\n");
    if (all.failed) {
        free(all.data);
        return NULL;
    }
    return all.data;
}
