/* SPDX-License-Identifier: Apache-2.0 */
/* See tuning.h. A file is read whole and checked before a row of it counts. */
#include "runtime/tuning.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/json.h"

#define MAX_BYTES (1u << 24)
#define MOST_THREADS 256
#define MOST_SIZE (1 << 30)
#define MOST_NODES (1 << 20)
#define MOST_CHOICES (NW_ISA_COUNT * NW_ARRANGE_COUNT)
#define DEEPEST 6

const char *const nw_fusion_names[3] = {"none", "fast", "small"};

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
        mix(&hash, node->linear ? node->linear->weight_bits : 0);
        mix(&hash, node->linear ? node->linear->accumulator : 0);
        mix(&hash, y->quant.bits);
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

static bool read_name(int32_t *out, const cJSON *item, const char *(*name)(int32_t), int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (is_text(item, name(i))) {
            *out = i;
            return true;
        }
    return false;
}

static const char *isa_name(int32_t i)
{
    return nw_isa_name((nw_isa)i);
}

static const char *arrangement_name(int32_t i)
{
    return nw_arrangement_name((nw_arrangement)i);
}

static const char *fusion_name(int32_t i)
{
    return nw_fusion_names[i];
}

/** One entry of `layers`. choices: [n_nodes] or NULL: only looked at. */
static bool read_group(nw_choice *choices, int32_t n_nodes, const cJSON *object)
{
    static const char *const keys[] = {"isa", "arrangement", "nodes"};
    const cJSON *items[3];
    int32_t isa;
    int32_t arrangement;
    if (nw_json_match(items, object, keys, 3, "tuning", NULL) || !read_name(&isa, items[0], isa_name, NW_ISA_COUNT) ||
        !read_name(&arrangement, items[1], arrangement_name, NW_ARRANGE_COUNT) || nw_json_length(items[2], n_nodes) < 0)
        return false;
    const cJSON *item;
    cJSON_ArrayForEach(item, items[2])
    {
        int32_t node;
        if (!nw_json_int(&node, item, 0, n_nodes - 1))
            return false;
        if (choices)
            choices[node] = (nw_choice){(nw_isa)isa, (nw_arrangement)arrangement};
    }
    return true;
}

static bool read_layers(nw_choice *choices, int32_t n_nodes, const cJSON *groups)
{
    if (nw_json_length(groups, MOST_CHOICES) < 0)
        return false;
    const cJSON *group;
    cJSON_ArrayForEach(group, groups)
        if (!read_group(choices, n_nodes, group))
            return false;
    return true;
}

/** Everything but the choices; *layers is where they are. */
static bool read_row(nw_tuning *row, const cJSON **layers, const cJSON *object)
{
    static const char *const keys[] = {"network",        "threads", "fusion", "fusion_bytes",
                                       "fusion_scratch", "gain",    "layers"};
    const cJSON *items[7];
    int32_t fusion;
    if (nw_json_match(items, object, keys, 7, "tuning", NULL) || !read_network(&row->network, items[0]) ||
        !nw_json_int(&row->threads, items[1], 1, MOST_THREADS) || !read_name(&fusion, items[2], fusion_name, 3) ||
        !nw_json_int(&row->fusion_bytes, items[3], 0, MOST_SIZE) ||
        !nw_json_int(&row->fusion_scratch, items[4], 0, MOST_SIZE) || !cJSON_IsNumber(items[5]) ||
        !(items[5]->valuedouble > 0.0 && items[5]->valuedouble < 1e3) || !read_layers(NULL, MOST_NODES, items[6]))
        return false;
    row->n_nodes = 0;
    row->choices = NULL;
    row->fusion = (nw_fusion)fusion;
    row->gain = items[5]->valuedouble;
    *layers = items[6];
    return true;
}

/** Whether all rows are as they must be. */
static bool check_rows(const cJSON *rows)
{
    if (nw_json_length(rows, NW_TUNING_MOST_ROWS) < 0)
        return false;
    const cJSON *object;
    nw_tuning row;
    const cJSON *layers;
    cJSON_ArrayForEach(object, rows)
        if (!read_row(&row, &layers, object))
            return false;
    return true;
}

/** NW_ERROR_DATA with a sentence unless all of the file is as it must be; *rows are its rows, in *document. */
static nw_status read_table(cJSON **document, cJSON **rows, const char *path, nw_isa isa, nw_error *error)
{
    static const char *const keys[] = {"version", "cpu", "isa", "library", "networks"};
    const cJSON *items[5];
    nw_bytes file = {0};
    char brand[64];
    int32_t version;
    nw_cpu_brand(brand);
    *document = NULL;
    nw_status status = nw_bytes_read(&file, path, MAX_BYTES, error);
    if (!status)
        status = nw_json_parse(document, (const char *)file.data, file.size, DEEPEST, path, error);
    if (!status && (nw_json_match(items, *document, keys, 5, path, NULL) || !nw_json_int(&version, items[0], 2, 2)))
        status = nw_fail(error, NW_ERROR_DATA, "%s: is no table of measured choices", path);
    if (!status &&
        !(is_text(items[1], brand) && is_text(items[2], nw_isa_name(isa)) && is_text(items[3], NARROW_VERSION)))
        status = nw_fail(error, NW_ERROR_DATA, "%s: was measured on another CPU, kernel family or version", path);
    if (!status && !check_rows(items[4]))
        status = nw_fail(error, NW_ERROR_DATA, "%s: has a damaged row", path);
    nw_bytes_free(&file);
    if (status) {
        cJSON_Delete(*document);
        *document = NULL;
        return status;
    }
    *rows = cJSON_GetObjectItemCaseSensitive(*document, "networks");
    return NW_OK;
}

/** Whether a verified row is for the network and threads of `wanted`. */
static bool is_row(const cJSON *object, const nw_tuning *wanted)
{
    nw_tuning row;
    const cJSON *layers;
    return read_row(&row, &layers, object) && row.network == wanted->network && row.threads == wanted->threads;
}

/** The row for this network and number of threads, else the first for the network, else NULL. */
static const cJSON *find_row(const cJSON *rows, const nw_tuning *wanted)
{
    const cJSON *other = NULL;
    const cJSON *object;
    nw_tuning row;
    const cJSON *layers;
    cJSON_ArrayForEach(object, rows)
    {
        if (is_row(object, wanted))
            return object;
        if (!other && read_row(&row, &layers, object) && row.network == wanted->network)
            other = object;
    }
    return other;
}

/** What a verified row says; one for another number of threads says no more than the layers' choices. */
static nw_status take_row(nw_tuning *out, const cJSON *object, const nw_model *model, const char *path, nw_error *error)
{
    nw_tuning row;
    const cJSON *layers;
    nw_choice *choices = calloc((size_t)model->n_nodes, sizeof(*choices));
    if (!choices)
        return nw_fail_memory(error, "reading measured choices");
    if (!read_row(&row, &layers, object) || !read_layers(choices, model->n_nodes, layers)) {
        free(choices);
        return nw_fail(error, NW_ERROR_DATA, "%s: has a damaged row", path);
    }
    if (row.threads == out->threads)
        *out = row;
    out->n_nodes = model->n_nodes;
    out->choices = choices;
    return NW_OK;
}

nw_status nw_tuning_find(nw_tuning *out, const char *path, const nw_model *model, nw_isa isa, int32_t threads,
                         nw_error *error)
{
    cJSON *document;
    cJSON *rows;
    *out = (nw_tuning){.network = nw_tuning_network(model), .threads = threads, .gain = 1.0};
    NW_TRY(read_table(&document, &rows, path, isa, error));
    const cJSON *object = find_row(rows, out);
    const nw_status status = object ? take_row(out, object, model, path, error) : NW_OK;
    cJSON_Delete(document);
    return status;
}

void nw_tuning_free(nw_tuning *tuning)
{
    free(tuning->choices);
    tuning->choices = NULL;
}

static bool is_at(const nw_tuning *row, int32_t n, int32_t isa, int32_t arrangement)
{
    return (int32_t)row->choices[n].isa == isa && (int32_t)row->choices[n].arrangement == arrangement;
}

/** The nodes of one choice; nothing if there are none. */
static bool add_group(cJSON *groups, const nw_tuning *row, int32_t isa, int32_t arrangement)
{
    cJSON *nodes = NULL;
    for (int32_t n = 0; n < row->n_nodes; n++) {
        if (!is_at(row, n, isa, arrangement))
            continue;
        if (!nodes) {
            cJSON *group = cJSON_CreateObject();
            if (!group || !cJSON_AddItemToArray(groups, group) ||
                !cJSON_AddStringToObject(group, "isa", isa_name(isa)) ||
                !cJSON_AddStringToObject(group, "arrangement", arrangement_name(arrangement)))
                return false;
            nodes = cJSON_AddArrayToObject(group, "nodes");
        }
        cJSON *number = cJSON_CreateNumber(n);
        if (!nodes || !number || !cJSON_AddItemToArray(nodes, number)) {
            cJSON_Delete(number);
            return false;
        }
    }
    return true;
}

static bool add_layers(cJSON *object, const nw_tuning *row)
{
    cJSON *groups = cJSON_AddArrayToObject(object, "layers");
    bool done = groups != NULL;
    for (int32_t isa = 0; done && row->choices && isa < NW_ISA_COUNT; isa++)
        for (int32_t arrangement = 0; done && arrangement < NW_ARRANGE_COUNT; arrangement++)
            if (isa || arrangement) /* not what is no choice */
                done = add_group(groups, row, isa, arrangement);
    return done;
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
           cJSON_AddNumberToObject(object, "gain", row->gain) && add_layers(object, row);
}

static bool start_table(cJSON **document, cJSON **rows, nw_isa isa)
{
    char brand[64];
    nw_cpu_brand(brand);
    *document = cJSON_CreateObject();
    const bool done = cJSON_AddNumberToObject(*document, "version", 2) &&
                      cJSON_AddStringToObject(*document, "cpu", brand) &&
                      cJSON_AddStringToObject(*document, "isa", nw_isa_name(isa)) &&
                      cJSON_AddStringToObject(*document, "library", NARROW_VERSION);
    *rows = done ? cJSON_AddArrayToObject(*document, "networks") : NULL;
    return *rows != NULL;
}

/** Without the row for the same network and threads, and with room for one more. */
static void drop_rows(cJSON *rows, const nw_tuning *row)
{
    for (int32_t i = cJSON_GetArraySize(rows) - 1; i >= 0; i--)
        if (is_row(cJSON_GetArrayItem(rows, i), row))
            cJSON_DeleteItemFromArray(rows, i);
    while (cJSON_GetArraySize(rows) >= NW_TUNING_MOST_ROWS)
        cJSON_DeleteItemFromArray(rows, 0);
}

nw_status nw_tuning_keep(const nw_tuning *row, const char *path, nw_isa isa, nw_error *error)
{
    cJSON *document;
    cJSON *rows;
    bool done = true;
    if (read_table(&document, &rows, path, isa, NULL))
        done = start_table(&document, &rows, isa);
    if (done) {
        drop_rows(rows, row);
        done = add_row(rows, row);
    }
    char *text = done ? cJSON_PrintUnformatted(document) : NULL;
    cJSON_Delete(document);
    if (!text)
        return nw_fail_memory(error, "writing measured choices");
    const nw_piece pieces[] = {{text, strlen(text)}, {"\n", 1}};
    const nw_status status = nw_file_write(path, pieces, 2, error);
    cJSON_free(text);
    return status;
}

void nw_tuning_apply(nw_engine_options *options, const nw_tuning *tuning)
{
    options->fusion = tuning->fusion;
    options->fusion_bytes = (size_t)tuning->fusion_bytes;
    options->fusion_scratch = (size_t)tuning->fusion_scratch;
    options->choices = tuning->choices;
}
