/* SPDX-License-Identifier: Apache-2.0 */
/* See tuning.h. A file is read whole and checked before a row of it counts. */
#include "runtime/tuning.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/json.h"

#define MAX_BYTES (1u << 20)
#define MOST_THREADS 256
#define MOST_SIZE (1 << 30)

const char *const nw_fusion_names[3] = {"none", "fast", "small"};

typedef struct table {
    nw_tuning rows[NW_TUNING_MOST_ROWS];
    int32_t n_rows;
} table;

static void mix(uint64_t *hash, int64_t value)
{
    for (int i = 0; i < 8; i++)
        *hash = (*hash ^ (uint8_t)((uint64_t)value >> (8 * i))) * 1099511628211u; /* FNV-1a */
}

uint64_t nw_tuning_network(const nw_model *model)
{
    uint64_t hash = 14695981039346656037u;
    for (int32_t n = 0; n < model->n_nodes; n++) {
        const nw_node *node = &model->nodes[n];
        const nw_tensor *y = &model->tensors[node->output];
        mix(&hash, node->op);
        mix(&hash, node->n_inputs);
        mix(&hash, node->groups);
        for (int32_t i = 0; i < y->rank; i++)
            mix(&hash, y->dims[i]);
        for (int32_t i = 0; i < 2; i++) {
            mix(&hash, node->window.kernel[i]);
            mix(&hash, node->window.stride[i]);
            mix(&hash, node->window.dilation[i]);
        }
    }
    return hash;
}

void nw_tuning_key(char key[128], nw_isa isa)
{
    char brand[64];
    nw_cpu_brand(brand);
    snprintf(key, 128, "%s, %s, %s", brand, nw_isa_name(isa), NARROW_VERSION);
}

static bool is_text(const cJSON *item, const char *text)
{
    return cJSON_IsString(item) && strcmp(item->valuestring, text) == 0;
}

static bool read_network(uint64_t *out, const cJSON *item)
{
    if (!cJSON_IsString(item) || strlen(item->valuestring) != 16 ||
        strspn(item->valuestring, "0123456789abcdef") != 16)
        return false;
    *out = strtoull(item->valuestring, NULL, 16);
    return true;
}

static bool read_row(nw_tuning *row, const cJSON *object)
{
    static const char *const keys[] = {"network", "threads", "fusion", "fusion_bytes", "fusion_scratch", "gain"};
    const cJSON *items[6];
    if (nw_json_match(items, object, keys, 6, "tuning", NULL) || !read_network(&row->network, items[0]) ||
        !nw_json_int(&row->threads, items[1], 1, MOST_THREADS) ||
        !nw_json_int(&row->fusion_bytes, items[3], 0, MOST_SIZE) ||
        !nw_json_int(&row->fusion_scratch, items[4], 0, MOST_SIZE) || !cJSON_IsNumber(items[5]) ||
        !(items[5]->valuedouble > 0.0 && items[5]->valuedouble < 1e3))
        return false;
    row->gain = items[5]->valuedouble;
    for (int i = 0; i < 3; i++)
        if (is_text(items[2], nw_fusion_names[i])) {
            row->fusion = (nw_fusion)i;
            return true;
        }
    return false;
}

static bool read_rows(table *t, const cJSON *rows)
{
    if (nw_json_length(rows, NW_TUNING_MOST_ROWS) < 0)
        return false;
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
        if (!read_row(&t->rows[t->n_rows++], row))
            return false;
    return true;
}

/** NW_ERROR_DATA with a sentence unless all of the file is as it must be. */
static nw_status read_table(table *t, const char *path, nw_isa isa, nw_error *error)
{
    static const char *const keys[] = {"version", "cpu", "isa", "library", "networks"};
    const cJSON *items[5];
    nw_bytes file = {0};
    cJSON *document = NULL;
    char brand[64];
    int32_t version;
    nw_cpu_brand(brand);
    t->n_rows = 0;
    nw_status status = nw_bytes_read(&file, path, MAX_BYTES, error);
    if (!status)
        status = nw_json_parse(&document, (const char *)file.data, file.size, 4, path, error);
    if (!status && (nw_json_match(items, document, keys, 5, path, NULL) || !nw_json_int(&version, items[0], 1, 1)))
        status = nw_fail(error, NW_ERROR_DATA, "%s: is no table of measured choices", path);
    if (!status && !(is_text(items[1], brand) && is_text(items[2], nw_isa_name(isa)) && is_text(items[3], NARROW_VERSION)))
        status = nw_fail(error, NW_ERROR_DATA, "%s: was measured on another CPU, kernel family or version", path);
    if (!status && !read_rows(t, items[4]))
        status = nw_fail(error, NW_ERROR_DATA, "%s: has a damaged row", path);
    cJSON_Delete(document);
    nw_bytes_free(&file);
    if (status)
        t->n_rows = 0;
    return status;
}

static int32_t row_of(const table *t, uint64_t network, int32_t threads)
{
    for (int32_t i = 0; i < t->n_rows; i++)
        if (t->rows[i].network == network && t->rows[i].threads == threads)
            return i;
    return -1;
}

nw_status nw_tuning_find(nw_tuning *out, const char *path, const nw_model *model, nw_isa isa, int32_t threads,
                         nw_error *error)
{
    *out = (nw_tuning){.network = nw_tuning_network(model), .threads = threads, .gain = 1.0};
    table *t = malloc(sizeof(*t));
    if (!t)
        return nw_fail_memory(error, "reading measured choices");
    const nw_status status = read_table(t, path, isa, error);
    const int32_t i = row_of(t, out->network, threads);
    if (i >= 0)
        *out = t->rows[i];
    free(t);
    return status;
}

static bool add_row(cJSON *rows, const nw_tuning *row)
{
    char network[17];
    snprintf(network, sizeof(network), "%016" PRIx64, row->network);
    cJSON *object = cJSON_CreateObject();
    return object && cJSON_AddItemToArray(rows, object) && cJSON_AddStringToObject(object, "network", network) &&
           cJSON_AddNumberToObject(object, "threads", row->threads) &&
           cJSON_AddStringToObject(object, "fusion", nw_fusion_names[row->fusion]) &&
           cJSON_AddNumberToObject(object, "fusion_bytes", row->fusion_bytes) &&
           cJSON_AddNumberToObject(object, "fusion_scratch", row->fusion_scratch) &&
           cJSON_AddNumberToObject(object, "gain", row->gain);
}

static nw_status write_table(const table *t, const char *path, nw_isa isa, nw_error *error)
{
    char brand[64];
    nw_cpu_brand(brand);
    cJSON *document = cJSON_CreateObject();
    bool done = cJSON_AddNumberToObject(document, "version", 1) && cJSON_AddStringToObject(document, "cpu", brand) &&
                cJSON_AddStringToObject(document, "isa", nw_isa_name(isa)) &&
                cJSON_AddStringToObject(document, "library", NARROW_VERSION);
    cJSON *rows = done ? cJSON_AddArrayToObject(document, "networks") : NULL;
    done = rows != NULL;
    for (int32_t i = 0; done && i < t->n_rows; i++)
        done = add_row(rows, &t->rows[i]);
    char *text = done ? cJSON_Print(document) : NULL;
    cJSON_Delete(document);
    if (!text)
        return nw_fail_memory(error, "writing measured choices");
    const nw_piece pieces[] = {{text, strlen(text)}, {"\n", 1}};
    const nw_status status = nw_file_write(path, pieces, 2, error);
    cJSON_free(text);
    return status;
}

nw_status nw_tuning_keep(const nw_tuning *row, const char *path, nw_isa isa, nw_error *error)
{
    table *t = malloc(sizeof(*t));
    if (!t)
        return nw_fail_memory(error, "writing measured choices");
    (void)read_table(t, path, isa, NULL);
    int32_t i = row_of(t, row->network, row->threads);
    if (i < 0 && t->n_rows == NW_TUNING_MOST_ROWS)
        memmove(t->rows, t->rows + 1, (size_t)--t->n_rows * sizeof(t->rows[0]));
    t->rows[i < 0 ? t->n_rows++ : i] = *row;
    const nw_status status = write_table(t, path, isa, error);
    free(t);
    return status;
}

void nw_tuning_apply(nw_engine_options *options, const nw_tuning *tuning)
{
    options->fusion = tuning->fusion;
    options->fusion_bytes = (size_t)tuning->fusion_bytes;
    options->fusion_scratch = (size_t)tuning->fusion_scratch;
}
