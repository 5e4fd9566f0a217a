/* SPDX-License-Identifier: Apache-2.0 */
/* See json.h. */
#include "model/json.h"

#include <stdlib.h>
#include <string.h>

/** Length of the UTF-8 sequence at `at`, with `left` bytes to go; 0 if there is none. */
static size_t sequence_length(const unsigned char *at, size_t left)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (at[0] < 0x80)
        return 1;
    const size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc0 || at[0] >= 0xf8 || length > left)
        return 0;
    uint32_t code = at[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3fu);
    }
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code >= smallest[length] && code <= 0x10ffff && !surrogate ? length : 0;
}

bool nw_text_is_utf8(const char *text, size_t size)
{
    const unsigned char *at = (const unsigned char *)text;
    while (size) {
        const size_t length = sequence_length(at, size);
        if (!length)
            return false;
        at += length;
        size -= length;
    }
    return true;
}

char *nw_text_copy(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

/** One pass over the text before cJSON sees it; NULL, or what is wrong. */
static const char *find_fault(const char *text, size_t size, int depth)
{
    bool quoted = false;
    int level = 0;
    if (!nw_text_is_utf8(text, size))
        return "is not UTF-8";
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if (c == '\0')
            return "holds a NUL byte";
        if (quoted && c == '\\') {
            if (size - i > 5 && memcmp(text + i + 1, "u0000", 5) == 0)
                return "holds a NUL character";
            i++; /* whatever is escaped does not end the string */
        } else if (c == '"') {
            quoted = !quoted;
        } else if (!quoted && (c == '{' || c == '[')) {
            if (++level > depth)
                return "is nested too deeply";
        } else if (!quoted && (c == '}' || c == ']')) {
            level--;
        }
    }
    return NULL;
}

nw_status nw_json_parse(cJSON **out, const char *text, size_t size, int depth, const char *what, nw_error *error)
{
    const char *fault = find_fault(text, size, depth);
    if (fault)
        return nw_fail(error, NW_ERROR_DATA, "%s: %s", what, fault);
    const char *end = text;
    cJSON *tree = cJSON_ParseWithLengthOpts(text, size, &end, 0);
    if (!tree)
        return nw_fail(error, NW_ERROR_DATA, "%s: is not JSON from its byte %zu on", what, (size_t)(end - text));
    while (end < text + size && strchr(" \t\r\n", *end))
        end++;
    if (end != text + size) {
        cJSON_Delete(tree);
        return nw_fail(error, NW_ERROR_DATA, "%s: has something behind the end of its JSON, at byte %zu", what,
                       (size_t)(end - text));
    }
    *out = tree;
    return NW_OK;
}

nw_status nw_json_match(const cJSON **items, const cJSON *object, const char *const *keys, size_t n, const char *what,
                        nw_error *error)
{
    if (!cJSON_IsObject(object))
        return nw_fail(error, NW_ERROR_DATA, "%s: must be a JSON object", what);
    for (size_t i = 0; i < n; i++)
        items[i] = NULL;
    for (const cJSON *item = object->child; item; item = item->next) {
        size_t i = 0;
        while (i < n && strcmp(keys[i], item->string))
            i++;
        if (i == n)
            return nw_fail(error, NW_ERROR_DATA, "%s: unknown key \"%.80s\"", what, item->string);
        if (items[i])
            return nw_fail(error, NW_ERROR_DATA, "%s: key \"%s\" is there twice", what, keys[i]);
        items[i] = item;
    }
    return NW_OK;
}

bool nw_json_int(int32_t *out, const cJSON *item, int32_t lo, int32_t hi)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= lo && item->valuedouble <= hi))
        return false;
    const int32_t value = (int32_t)item->valuedouble;
    if ((double)value != item->valuedouble)
        return false;
    *out = value;
    return true;
}

bool nw_json_ints(int32_t *out, const cJSON *item, int32_t n, int32_t lo, int32_t hi)
{
    if (nw_json_length(item, n) != n)
        return false;
    const cJSON *entry = item->child;
    for (int32_t i = 0; i < n; i++, entry = entry->next)
        if (!nw_json_int(&out[i], entry, lo, hi))
            return false;
    return true;
}

int32_t nw_json_length(const cJSON *item, int32_t limit)
{
    if (!cJSON_IsArray(item))
        return -1;
    int32_t n = 0;
    for (const cJSON *entry = item->child; entry; entry = entry->next)
        if (n++ == limit)
            return -1;
    return n;
}
