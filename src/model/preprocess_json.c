/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See preprocess.h. Preprocessing from and to JSON, and from the flags of a command line: a flag is turned into the
 * JSON value it stands for, so both go through one reader.
 */
#include "model/preprocess.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#define MAX_TEXT (1 << 20)

static const char *const INTERPOLATIONS[] = {"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"};
static const char *const ORDERS[] = {"RGB", "BGR", "Y", "L"};

const char *nw_interpolation_name(nw_interpolation interpolation)
{
    return INTERPOLATIONS[interpolation];
}

/* ---- values ---- */

/* An integer of lo to hi. */
static bool read_int(int32_t *out, const cJSON *value, int32_t lo, int32_t hi)
{
    if (!cJSON_IsNumber(value))
        return false;
    const double d = value->valuedouble;
    if (!(d >= lo && d <= hi) || d != floor(d))
        return false;
    *out = (int32_t)d;
    return true;
}

/* A number, or a list of 1 to `limit` numbers, all finite in binary32. Returns how many, 0 if it is something else. */
static int32_t read_floats(float *out, const cJSON *value, int32_t limit)
{
    const cJSON *entry = cJSON_IsArray(value) ? value->child : value;
    int32_t n = 0;
    while (entry) {
        if (n == limit || !cJSON_IsNumber(entry) || !isfinite((float)entry->valuedouble))
            return 0;
        out[n++] = (float)entry->valuedouble;
        if (entry == value)
            break;
        entry = entry->next;
    }
    return n;
}

static bool read_pair(int32_t *first, int32_t *second, const cJSON *value)
{
    return cJSON_IsArray(value) && cJSON_GetArraySize(value) == 2 &&
           read_int(first, value->child, 1, NW_PREPROCESS_MAX_SIZE) &&
           read_int(second, value->child->next, 1, NW_PREPROCESS_MAX_SIZE);
}

static int find_name(const char *const *names, size_t n, const cJSON *value)
{
    for (size_t i = 0; cJSON_IsString(value) && i < n; i++)
        if (!strcmp(value->valuestring, names[i]))
            return (int)i;
    return -1;
}

/* ---- keys: each reader returns NULL, or what it would have accepted; the struct may be half written then ---- */

static const char *read_size(nw_preprocess *p, const cJSON *value)
{
    p->height = 1;
    if (cJSON_IsArray(value) && cJSON_GetArraySize(value) == 1 && read_int(&p->width, value->child, 1, 1 << 30)) {
        p->n_size = 1;
        return NULL;
    }
    p->n_size = 2;
    return read_pair(&p->height, &p->width, value) ? NULL : "[height, width], each 1 to 16384, or [length]";
}

static const char *read_resize(nw_preprocess *p, const cJSON *value)
{
    p->resize = NW_RESIZE_NONE;
    p->resize_height = p->resize_width = p->shorter_side = p->pad_value = 0;
    if (cJSON_IsNull(value))
        return NULL;
    const cJSON *rule = cJSON_IsObject(value) && cJSON_GetArraySize(value) == 1 ? value->child : NULL;
    if (rule && !strcmp(rule->string, "exact") && read_pair(&p->resize_height, &p->resize_width, rule))
        p->resize = NW_RESIZE_EXACT;
    else if (rule && !strcmp(rule->string, "shorter_side") &&
             read_int(&p->shorter_side, rule, 1, NW_PREPROCESS_MAX_SIZE))
        p->resize = NW_RESIZE_SHORTER_SIDE;
    else if (rule && !strcmp(rule->string, "letterbox") && read_int(&p->pad_value, rule, 0, 255))
        p->resize = NW_RESIZE_LETTERBOX;
    else
        return "null, exact [height, width], shorter_side 1 to 16384 or letterbox 0 to 255";
    return NULL;
}

static const char *read_interpolation(nw_preprocess *p, const cJSON *value)
{
    const int i = find_name(INTERPOLATIONS, NW_COUNT(INTERPOLATIONS), value);
    if (i < 0)
        return "nearest, box, bilinear, hamming, bicubic or lanczos";
    p->interpolation = (nw_interpolation)i;
    return NULL;
}

static const char *read_crop(nw_preprocess *p, const cJSON *value)
{
    static const char *const names[] = {"center"};
    p->crop = cJSON_IsNull(value) ? NW_CROP_NONE : NW_CROP_CENTER;
    return cJSON_IsNull(value) || find_name(names, 1, value) == 0 ? NULL : "null or center";
}

static const char *read_mean(nw_preprocess *p, const cJSON *value)
{
    p->n_mean = read_floats(p->mean, value, NW_PREPROCESS_MAX_CHANNELS);
    return p->n_mean ? NULL : "a number or a list of at most 64";
}

static const char *read_std(nw_preprocess *p, const cJSON *value)
{
    p->n_std = read_floats(p->std, value, NW_PREPROCESS_MAX_CHANNELS);
    for (int32_t i = 0; i < p->n_std; i++)
        if (p->std[i] == 0.0f)
            return "numbers that are not 0";
    return p->n_std ? NULL : "a number or a list of at most 64, not 0";
}

static const char *read_layout(nw_preprocess *p, const cJSON *value)
{
    static const char *const names[] = {"NCHW", "NC"};
    const int i = find_name(names, 2, value);
    if (i < 0)
        return "NCHW or NC";
    p->layout = i ? NW_LAYOUT_NC : NW_LAYOUT_NCHW;
    return NULL;
}

static const char *read_order(nw_preprocess *p, const cJSON *value)
{
    const int i = find_name(ORDERS, NW_COUNT(ORDERS), value);
    if (i < 0 && !cJSON_IsNull(value))
        return "RGB, BGR, Y, L or null";
    p->channel_order = i < 0 ? NW_CHANNELS_NONE : (nw_channel_order)i;
    return NULL;
}

static const char *read_offset(nw_preprocess *p, const cJSON *value)
{
    return read_int(&p->class_offset, value, -(1 << 20), 1 << 20) ? NULL : "an integer of at most 2^20 in size";
}

static const struct {
    const char *name;
    const char *(*read)(nw_preprocess *p, const cJSON *value);
} KEYS[] = {
    {"size", read_size}, {"resize", read_resize}, {"interpolation", read_interpolation},
    {"crop", read_crop}, {"mean", read_mean},     {"std", read_std},
    {"layout", read_layout}, {"channel_order", read_order}, {"class_offset", read_offset},
};
enum { KEY_SIZE, KEY_RESIZE, KEY_INTERPOLATION, KEY_CROP, KEY_MEAN, KEY_STD, KEY_LAYOUT, KEY_ORDER, KEY_OFFSET };

static int find_key(const char *name)
{
    for (size_t i = 0; i < NW_COUNT(KEYS); i++)
        if (!strcmp(name, KEYS[i].name))
            return (int)i;
    return -1;
}

/* ---- a whole object ---- */

static nw_status read_object(nw_preprocess *p, const cJSON *object, const char *name, nw_error *error)
{
    unsigned seen = 0;
    if (!cJSON_IsObject(object))
        return nw_fail(error, NW_ERROR_DATA, "%s: preprocessing must be a JSON object", name);
    for (const cJSON *value = object->child; value; value = value->next) {
        const int key = find_key(value->string);
        if (key < 0)
            return nw_fail(error, NW_ERROR_DATA, "%s: preprocessing: unknown key \"%.40s\"", name, value->string);
        if (seen & 1u << key)
            return nw_fail(error, NW_ERROR_DATA, "%s: preprocessing: key \"%s\" appears twice", name, value->string);
        seen |= 1u << key;
        const char *expected = KEYS[key].read(p, value);
        if (expected)
            return nw_fail(error, NW_ERROR_DATA, "%s: preprocessing: %s: must be %s", name, KEYS[key].name, expected);
    }
    if (!(seen & 1u << KEY_ORDER) && p->n_size == 2)
        p->channel_order = NW_CHANNELS_RGB;
    return NW_OK;
}

nw_status nw_preprocess_parse(nw_preprocess *out, const char *text, const char *name, nw_error *error)
{
    nw_preprocess p;
    nw_error inner;
    nw_status status = NW_ERROR_DATA;
    nw_preprocess_init(&p);
    cJSON *object = strlen(text) <= MAX_TEXT ? cJSON_ParseWithOpts(text, NULL, 1) : NULL;
    if (!object)
        return nw_fail(error, NW_ERROR_DATA, "%s: preprocessing is not JSON", name);
    status = read_object(&p, object, name, error);
    if (status)
        goto cleanup;
    status = nw_preprocess_validate(&p, &inner);
    if (status) {
        nw_fail(error, status, "%s: preprocessing: %s", name, inner.message);
        goto cleanup;
    }
    *out = p;

cleanup:
    cJSON_Delete(object);
    return status;
}

/* ---- writing ---- */

/* The shortest decimal that reads back as the same binary32, so that 123.675 stays 123.675. */
static double shortest(float value)
{
    char text[32];
    for (int digits = 6; digits < 9; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, (double)value);
        const double d = strtod(text, NULL);
        if ((float)d == value)
            return d;
    }
    return (double)value;
}

static cJSON *float_list(const float *values, int32_t n)
{
    cJSON *list = cJSON_CreateArray();
    for (int32_t i = 0; list && i < n; i++) {
        cJSON *number = cJSON_CreateNumber(shortest(values[i]));
        if (!number || !cJSON_AddItemToArray(list, number)) {
            cJSON_Delete(number);
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

static cJSON *format_size(const nw_preprocess *p)
{
    const int pair[2] = {(int)p->height, (int)p->width};
    return p->n_size == 2 ? cJSON_CreateIntArray(pair, 2) : cJSON_CreateIntArray(pair + 1, 1);
}

static cJSON *format_resize(const nw_preprocess *p)
{
    const int pair[2] = {(int)p->resize_height, (int)p->resize_width};
    if (p->resize == NW_RESIZE_NONE)
        return cJSON_CreateNull();
    const bool exact = p->resize == NW_RESIZE_EXACT;
    const bool shorter_side = p->resize == NW_RESIZE_SHORTER_SIDE;
    cJSON *rule = cJSON_CreateObject();
    cJSON *value = exact ? cJSON_CreateIntArray(pair, 2)
                         : cJSON_CreateNumber(shorter_side ? p->shorter_side : p->pad_value);
    const char *name = exact ? "exact" : shorter_side ? "shorter_side" : "letterbox";
    if (!rule || !value || !cJSON_AddItemToObject(rule, name, value)) {
        cJSON_Delete(value);
        cJSON_Delete(rule);
        return NULL;
    }
    return rule;
}

char *nw_preprocess_format(const nw_preprocess *p)
{
    cJSON *items[NW_COUNT(KEYS)] = {0};
    char *text = NULL;
    bool complete = true;
    cJSON *object = cJSON_CreateObject();
    if (!object)
        return NULL;
    items[KEY_SIZE] = p->n_size ? format_size(p) : NULL;
    items[KEY_RESIZE] = format_resize(p);
    items[KEY_INTERPOLATION] = cJSON_CreateString(INTERPOLATIONS[p->interpolation]);
    items[KEY_CROP] = p->crop == NW_CROP_CENTER ? cJSON_CreateString("center") : cJSON_CreateNull();
    items[KEY_MEAN] = float_list(p->mean, p->n_mean);
    items[KEY_STD] = float_list(p->std, p->n_std);
    items[KEY_LAYOUT] = cJSON_CreateString(p->layout == NW_LAYOUT_NC ? "NC" : "NCHW");
    items[KEY_ORDER] = p->channel_order == NW_CHANNELS_NONE ? cJSON_CreateNull()
                                                            : cJSON_CreateString(ORDERS[p->channel_order]);
    items[KEY_OFFSET] = cJSON_CreateNumber(p->class_offset);
    for (size_t i = 0; i < NW_COUNT(KEYS); i++) {
        complete = complete && (items[i] || (i == KEY_SIZE && !p->n_size));
        if (items[i] && !cJSON_AddItemToObject(object, KEYS[i].name, items[i])) {
            cJSON_Delete(items[i]);
            complete = false;
        }
    }
    if (complete)
        text = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    return text;
}

/* ---- flags ---- */

/* strtod for decimal numbers only: no "0x3", "nan" or "inf". *end == at if there is none. */
static double read_decimal(const char *at, char **end)
{
    const char *digits = at + (*at == '-' || *at == '+');
    const bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    *end = (char *)(uintptr_t)at;
    return !hex && (*digits == '.' || (*digits >= '0' && *digits <= '9')) ? strtod(at, end) : 0.0;
}

/* "224x224" or "1.5,2" to a list; NULL when an entry is not a number. */
static cJSON *list_of(const char *text, char separator)
{
    cJSON *list = cJSON_CreateArray();
    const char *at = text;
    while (list) {
        char *end;
        const double value = read_decimal(at, &end);
        if (end == at || (*end && *end != separator)) {
            cJSON_Delete(list);
            return NULL;
        }
        cJSON_AddItemToArray(list, cJSON_CreateNumber(value));
        if (!*end)
            break;
        at = end + 1;
    }
    return list;
}

/* "none", "exact", "exact:256x256", "shorter_side:256", "letterbox:114" */
static cJSON *resize_of(const nw_preprocess *p, const char *text)
{
    const int pair[2] = {(int)p->height, (int)p->width};
    cJSON *argument = NULL, *rule;
    const char *colon = strchr(text, ':');
    char name[16];
    const size_t length = colon ? (size_t)(colon - text) : strlen(text);
    if (!strcmp(text, "none"))
        return cJSON_CreateNull();
    if (length >= sizeof(name))
        return NULL;
    memcpy(name, text, length);
    name[length] = 0;
    if (!strcmp(name, "exact")) {
        argument = colon ? list_of(colon + 1, 'x') : p->n_size == 2 ? cJSON_CreateIntArray(pair, 2) : NULL;
    } else if (colon) {
        char *end;
        const double value = read_decimal(colon + 1, &end);
        argument = end != colon + 1 && !*end ? cJSON_CreateNumber(value) : NULL;
    }
    if (!argument)
        return NULL;
    rule = cJSON_CreateObject();
    if (!rule || !cJSON_AddItemToObject(rule, name, argument)) {
        cJSON_Delete(argument);
        cJSON_Delete(rule);
        return NULL;
    }
    return rule;
}

static cJSON *flag_value(const nw_preprocess *p, int key, const char *value)
{
    switch (key) {
    case KEY_SIZE:
        return list_of(value, 'x');
    case KEY_RESIZE:
        return resize_of(p, value);
    case KEY_MEAN:
    case KEY_STD:
        return list_of(value, ',');
    case KEY_OFFSET: {
        char *end;
        const double number = read_decimal(value, &end);
        return end != value && !*end ? cJSON_CreateNumber(number) : NULL;
    }
    case KEY_CROP:
    case KEY_ORDER:
        return strcmp(value, "none") ? cJSON_CreateString(value) : cJSON_CreateNull();
    default:
        return cJSON_CreateString(value);
    }
}

nw_status nw_preprocess_set(nw_preprocess *preprocess, const char *key, const char *value, nw_error *error)
{
    nw_preprocess p = *preprocess;
    const int k = find_key(key);
    if (k < 0)
        return nw_fail(error, NW_ERROR_USAGE, "preprocessing: unknown key \"%.40s\"", key);
    cJSON *item = flag_value(&p, k, value);
    const char *expected = KEYS[k].read(&p, item);
    cJSON_Delete(item);
    if (expected)
        return nw_fail(error, NW_ERROR_USAGE, "preprocessing: %s: \"%.60s\" must be %s", key, value, expected);
    *preprocess = p;
    return NW_OK;
}
