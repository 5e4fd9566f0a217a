/* SPDX-License-Identifier: Apache-2.0 */
/* See state.h. */
#include "plan/state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/json.h"

#define MAX_BYTES (64u << 20)
#define MAX_ROWS 100000
#define DEPTH 8
#define START 0xcbf29ce484222325u /* of FNV-1a */
#define MEASURES 4 /* goes up when the same words mean other figures */

/* writing */

/** A list of the figures of the widths in `widths` (bit b), choices from `first` on. */
static bool add_choices(cJSON *item, const char *key, const nw_measured *row, int32_t first, uint32_t widths)
{
    cJSON *list = cJSON_AddArrayToObject(item, key);
    for (int32_t bits = NW_LEAST_BITS; list && bits <= NW_MOST_BITS; bits++) {
        const nw_damage *at = &row->at[first + bits];
        if (!(widths >> bits & 1u))
            continue;
        cJSON *one = cJSON_CreateObject();
        if (!one || !cJSON_AddItemToArray(list, one) || !cJSON_AddNumberToObject(one, "bits", bits) ||
            !cJSON_AddNumberToObject(one, "noise", at->noise) ||
            !cJSON_AddNumberToObject(one, "divergence", at->divergence) ||
            !cJSON_AddNumberToObject(one, "changed", at->changed) ||
            (!row->tensor && !cJSON_AddNumberToObject(one, "coded_bytes", row->coded[first + bits])))
            return false;
    }
    return list != NULL;
}

static bool add_row(cJSON *rows, const nw_measured *row)
{
    cJSON *item = cJSON_CreateObject();
    if (!item || !cJSON_AddItemToArray(rows, item) ||
        !cJSON_AddStringToObject(item, row->tensor ? "tensor" : "node", row->name))
        return false;
    if (row->done && !add_choices(item, "by_bits", row, 0, ~0u))
        return false;
    if (row->done && row->extra_points && !cJSON_AddNumberToObject(item, "extra_points", row->extra_points))
        return false;
    if (row->done && row->extended &&
        !add_choices(item, row->tensor ? "with_scheme" : "with_points", row, nw_choice_extend(0),
                     (2u << NW_MOST_EXTENDED_BITS) - 1u))
        return false;
    if (row->narrowed && !add_choices(item, "narrowed", row, nw_choice_narrow(0), row->narrowed))
        return false;
    return !(row->drop_noise > 0.0) || cJSON_AddNumberToObject(item, "drop_noise", row->drop_noise);
}

static char *print(const nw_measurement *m)
{
    char text[20];
    snprintf(text, sizeof(text), "%016" PRIx64, m->fingerprint);
    cJSON *document = cJSON_CreateObject();
    bool done = cJSON_AddNumberToObject(document, "version", 1) &&
                cJSON_AddStringToObject(document, "fingerprint", text) &&
                cJSON_AddNumberToObject(document, "samples", m->n_samples) &&
                cJSON_AddNumberToObject(document, "classes", m->n_classes) &&
                cJSON_AddNumberToObject(document, "margin", m->margin) &&
                cJSON_AddNumberToObject(document, "signal", m->signal) &&
                cJSON_AddNumberToObject(document, "drop", m->drop) &&
                cJSON_AddBoolToObject(document, "robustness", m->robustness);
    cJSON *rows = done ? cJSON_AddArrayToObject(document, "rows") : NULL;
    done = rows != NULL;
    for (int32_t i = 0; done && i < m->n; i++)
        done = add_row(rows, &m->rows[i]);
    char *all = done ? cJSON_PrintUnformatted(document) : NULL;
    cJSON_Delete(document);
    return all;
}

nw_status nw_state_write(const nw_measurement *measurement, const char *path, nw_error *error)
{
    char *text = print(measurement);
    if (!text)
        return nw_fail_memory(error, "writing the state");
    const nw_piece pieces[] = {{text, strlen(text)}, {"\n", 1}};
    const nw_status status = nw_file_write(path, pieces, 2, error);
    cJSON_free(text);
    return status;
}

/* reading */

static bool number(double *out, const cJSON *item)
{
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble) || item->valuedouble < 0.0)
        return false;
    *out = item->valuedouble;
    return true;
}

/** @param first  choice that a width of 0 would be @param most  greatest width */
static nw_status read_width(nw_measured *row, const cJSON *item, int32_t first, int32_t most, const char *what,
                            nw_error *error)
{
    static const char *const keys[] = {"bits", "noise", "divergence", "changed", "coded_bytes"};
    const cJSON *items[5];
    int32_t bits;
    NW_TRY(nw_json_match(items, item, keys, 5, what, error));
    const bool known = nw_json_int(&bits, items[0], NW_LEAST_BITS, most);
    const int32_t choice = known ? first + bits : 0;
    nw_damage *at = &row->at[choice];
    if (!known || at->n || !number(&at->noise, items[1]) || !number(&at->divergence, items[2]) ||
        !number(&at->changed, items[3]) || (items[4] == NULL) != row->tensor ||
        (items[4] && !number(&row->coded[choice], items[4])))
        return nw_fail(error, NW_ERROR_DATA, "%s: \"%s\": a width's figures are wrong", what, row->name);
    at->n = 1;
    return NW_OK;
}

static nw_status read_widths(nw_measured *row, const cJSON *list, bool extended, const char *what, nw_error *error)
{
    const int32_t first = extended ? nw_choice_extend(0) : 0;
    const int32_t most = extended ? NW_MOST_EXTENDED_BITS : NW_MOST_BITS;
    const cJSON *width;
    if (nw_json_length(list, most) != most - NW_LEAST_BITS + 1)
        return nw_fail(error, NW_ERROR_DATA, "%s: \"%s\": \"%s\" must list %d to %d bits", what, row->name,
                       !extended ? "by_bits" : row->tensor ? "with_scheme" : "with_points", NW_LEAST_BITS, most);
    cJSON_ArrayForEach(width, list)
        NW_TRY(read_width(row, width, first, most, what, error));
    return NW_OK;
}

/** Any widths. */
static nw_status read_narrowed(nw_measured *row, const cJSON *list, const char *what, nw_error *error)
{
    const cJSON *width;
    if (row->tensor || !row->done || nw_json_length(list, NW_MOST_BITS) < 1)
        return nw_fail(error, NW_ERROR_DATA, "%s: \"%s\": \"narrowed\" is a list, of a measured layer", what,
                       row->name);
    cJSON_ArrayForEach(width, list)
        NW_TRY(read_width(row, width, nw_choice_narrow(0), NW_MOST_BITS, what, error));
    for (int32_t bits = NW_LEAST_BITS; bits <= NW_MOST_BITS; bits++)
        row->narrowed |= (uint32_t)(row->at[nw_choice_narrow(bits)].n > 0) << bits;
    return NW_OK;
}

static nw_status read_row(nw_measurement *m, const cJSON *item, const char *what, nw_error *error)
{
    static const char *const keys[] = {"node",         "tensor",      "by_bits",     "drop_noise",
                                       "extra_points", "with_points", "with_scheme", "narrowed"};
    const cJSON *items[8];
    NW_TRY(nw_json_match(items, item, keys, 8, what, error));
    const cJSON *name = items[0] ? items[0] : items[1];
    if (!cJSON_IsString(name) || (items[0] && items[1]))
        return nw_fail(error, NW_ERROR_DATA, "%s: a row needs either \"node\" or \"tensor\", a text", what);
    nw_measured *row = &m->rows[m->n];
    *row = (nw_measured){.tensor = items[0] == NULL, .index = NW_NONE, .node = NW_NONE};
    row->name = nw_text_copy(name->valuestring);
    if (!row->name)
        return nw_fail_memory(error, "reading the state");
    m->n++;
    if (items[3] && !number(&row->drop_noise, items[3]))
        return nw_fail(error, NW_ERROR_DATA, "%s: \"%s\": \"drop_noise\" must be a number >= 0", what, row->name);
    if (items[4] && (row->tensor || !nw_json_int(&row->extra_points, items[4], 1, INT32_MAX)))
        return nw_fail(error, NW_ERROR_DATA, "%s: \"%s\": \"extra_points\" must be a whole number, of a layer", what,
                       row->name);
    if (items[6] && (!row->tensor || !items[2]))
        return nw_fail(error, NW_ERROR_DATA, "%s: \"%s\": \"with_scheme\" is for measured tensors", what, row->name);
    if ((items[4] && !items[2]) || (items[4] == NULL) != (items[5] == NULL))
        return nw_fail(error, NW_ERROR_DATA, "%s: \"%s\": \"extra_points\" needs \"by_bits\" and \"with_points\"", what,
                       row->name);
    if (items[2])
        NW_TRY(read_widths(row, items[2], false, what, error));
    row->extended = items[5] || items[6];
    if (row->extended)
        NW_TRY(read_widths(row, items[5] ? items[5] : items[6], true, what, error));
    row->done = items[2] != NULL;
    return items[7] ? read_narrowed(row, items[7], what, error) : NW_OK;
}

static nw_status read_head(nw_measurement *m, const cJSON *const *items, const char *what, nw_error *error)
{
    int32_t version;
    const char *text = cJSON_IsString(items[1]) ? items[1]->valuestring : "";
    const bool hex = strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16;
    m->fingerprint = hex ? strtoull(text, NULL, 16) : 0;
    if (!nw_json_int(&version, items[0], 1, 1) || !hex || !nw_json_int(&m->n_samples, items[2], 0, INT32_MAX) ||
        !nw_json_int(&m->n_classes, items[3], 0, INT32_MAX) || !number(&m->margin, items[4]) ||
        !number(&m->signal, items[5]) || !number(&m->drop, items[6]) || !cJSON_IsBool(items[7]))
        return nw_fail(error, NW_ERROR_DATA, "%s: is no state of `narrow plan`", what);
    m->robustness = cJSON_IsTrue(items[7]);
    return NW_OK;
}

static nw_status read_all(nw_measurement *m, const cJSON *document, const char *what, nw_error *error)
{
    static const char *const keys[] = {"version", "fingerprint", "samples",    "classes", "margin",
                                       "signal",  "drop",        "robustness", "rows"};
    const cJSON *items[9];
    NW_TRY(nw_json_match(items, document, keys, 9, what, error));
    NW_TRY(read_head(m, items, what, error));
    const int32_t n = nw_json_length(items[8], MAX_ROWS);
    if (n < 0)
        return nw_fail(error, NW_ERROR_DATA, "%s: \"rows\" must be a list of at most %d rows", what, MAX_ROWS);
    m->rows = calloc((size_t)n + 1, sizeof(*m->rows));
    if (!m->rows)
        return nw_fail_memory(error, "reading the state");
    const cJSON *row;
    cJSON_ArrayForEach(row, items[8])
        NW_TRY(read_row(m, row, what, error));
    return NW_OK;
}

nw_status nw_state_read(nw_measurement **out, const char *path, nw_error *error)
{
    nw_bytes file = {0};
    cJSON *document = NULL;
    nw_measurement *m = NULL;
    nw_status status = nw_bytes_read(&file, path, MAX_BYTES, error);
    if (!status)
        status = nw_json_parse(&document, (const char *)file.data, file.size, DEPTH, path, error);
    if (!status) {
        m = calloc(1, sizeof(*m));
        status = m ? read_all(m, document, path, error) : nw_fail_memory(error, "reading the state");
    }
    cJSON_Delete(document);
    nw_bytes_free(&file);
    if (status)
        nw_measurement_free(m);
    else
        *out = m;
    return status;
}

/* putting together */

static const nw_measured *find(const nw_measurement *m, const nw_measured *row, int32_t hint)
{
    for (int32_t i = 0; i < m->n; i++) {
        const nw_measured *other = &m->rows[(i + hint) % m->n];
        if (other->tensor == row->tensor && strcmp(other->name, row->name) == 0)
            return other;
    }
    return NULL;
}

nw_status nw_state_absorb(nw_measurement *to, const nw_measurement *from, const char *what, nw_error *error)
{
    if (to->fingerprint != from->fingerprint)
        return nw_fail(error, NW_ERROR_DATA,
                       "%s: was measured on another network, on other samples or with other options", what);
    for (int32_t i = 0; i < to->n; i++) {
        nw_measured *row = &to->rows[i];
        const nw_measured *other = find(from, row, i);
        if (!other)
            continue;
        if (other->done && !row->done && other->extended == row->extended && other->extra_points == row->extra_points) {
            memcpy(row->at, other->at, sizeof(row->at));
            memcpy(row->coded, other->coded, sizeof(row->coded));
            row->narrowed = other->narrowed;
            row->done = true;
        }
        if (other->drop_noise > 0.0 && from->drop == to->drop)
            row->drop_noise = other->drop_noise;
    }
    if (from->n_samples) {
        to->n_samples = from->n_samples;
        to->n_classes = from->n_classes;
        to->margin = from->margin;
        to->signal = from->signal;
    }
    return NW_OK;
}

char *nw_state_missing(const nw_measurement *measurement)
{
    size_t size = 1;
    for (int32_t i = 0; i < measurement->n; i++)
        size += strlen(measurement->rows[i].name) + 2;
    char *text = calloc(size, 1);
    bool any = false;
    for (int32_t i = 0; text && i < measurement->n; i++)
        if (!nw_measurement_has(measurement, i)) {
            strcat(text, any ? ", " : "");
            strcat(text, measurement->rows[i].name);
            any = true;
        }
    if (any)
        return text;
    free(text);
    return NULL;
}

/* fingerprint */

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t n)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t hash_int(uint64_t hash, int64_t value)
{
    return hash_bytes(hash, &value, sizeof(value));
}

uint64_t nw_state_hash_text(const char *text)
{
    return hash_bytes(START, text, strlen(text));
}

uint64_t nw_state_fingerprint(const nw_model *model, const float *const *samples, int32_t n,
                              const nw_quantize_options *options)
{
    uint64_t hash = START;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        hash = hash_bytes(hash, model->tensors[t].dims, model->tensors[t].rank * sizeof(int32_t));
        if (model->tensors[t].data)
            hash = hash_bytes(hash, model->tensors[t].data, nw_tensor_elements(&model->tensors[t]) * sizeof(float));
    }
    for (int32_t i = 0; i < model->n_nodes; i++) {
        hash = hash_int(hash, (int64_t)model->nodes[i].op);
        hash = hash_bytes(hash, model->nodes[i].inputs, (size_t)model->nodes[i].n_inputs * sizeof(int32_t));
        hash = hash_bytes(hash, model->nodes[i].name, strlen(model->nodes[i].name));
    }
    for (int32_t i = 0; i < model->n_inputs; i++)
        hash = hash_bytes(hash, samples[i],
                          (size_t)n * nw_tensor_elements(&model->tensors[model->inputs[i]]) * sizeof(float));
    hash = hash_int(hash, MEASURES);
    hash = hash_int(hash, (int64_t)options->rounding);
    hash = hash_int(hash, (int64_t)options->weight_range);
    hash = hash_int(hash, (int64_t)options->activation_range);
    hash = hash_int(hash, (int64_t)options->bias_correction);
    hash = hash_int(hash, (int64_t)options->book);
    hash = hash_int(hash, (int64_t)options->activation_kind);
    if (options->activation_kind == NW_ACTIVATION_DQA)
        hash = hash_int(hash_int(hash, options->extra_bits), (int64_t)(1e6 * options->share));
    hash = hash_int(hash, (int64_t)options->equalize * 2 + (int64_t)options->limits);
    if (options->point_budget > 0.0)
        hash = hash_int(hash, (int64_t)(1e6 * options->point_budget));
    return hash;
}
