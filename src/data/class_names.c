/* SPDX-License-Identifier: Apache-2.0 */
/* See names.h: names of classes from a text file. Used to print answers, never to compute them. */
#include "data/names.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define MAX_CLASS ((size_t)1 << 20)
#define MAX_FILE ((size_t)1 << 26)

typedef struct span {
    const char *at;
    size_t size;
} span;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == ',';
}

/* Takes the next line off `rest`, without blanks at its ends. */
static bool next_line(span *line, span *rest)
{
    if (!rest->size)
        return false;
    const char *end = memchr(rest->at, '\n', rest->size);
    const size_t size = end ? (size_t)(end - rest->at) : rest->size;
    *line = (span){rest->at, size};
    rest->at += end ? size + 1 : size;
    rest->size -= end ? size + 1 : size;
    while (line->size && is_blank(line->at[line->size - 1]))
        line->size--;
    while (line->size && is_blank(*line->at))
        line->at++, line->size--;
    return true;
}

static span next_word(span *line)
{
    span word = {line->at, 0};
    while (word.size < line->size && !is_blank(word.at[word.size]))
        word.size++;
    line->at += word.size;
    line->size -= word.size;
    while (line->size && is_blank(*line->at))
        line->at++, line->size--;
    return word;
}

static bool read_index(size_t *out, span word)
{
    size_t value = 0;
    for (size_t i = 0; i < word.size; i++) {
        if (word.at[i] < '0' || word.at[i] > '9' || value > MAX_CLASS)
            return false;
        value = value * 10 + (size_t)(word.at[i] - '0');
    }
    *out = value;
    return word.size > 0;
}

/* Which word of every line is its class: 0, 1, or -1 if lines are plain names. *n: how many classes that may be. */
static int index_column(size_t *n, const char *data, size_t size)
{
    bool is_index[2] = {true, true};
    size_t lines = 0, largest[2] = {0, 0};
    span rest = {data, size}, line;
    while (next_line(&line, &rest)) {
        if (!line.size)
            continue;
        lines++;
        for (int i = 0; i < 2; i++) {
            size_t value;
            const span word = next_word(&line);
            is_index[i] = is_index[i] && line.size && read_index(&value, word);
            if (is_index[i] && value > largest[i])
                largest[i] = value;
        }
    }
    const int column = !lines ? -1 : is_index[1] ? 1 : is_index[0] ? 0 : -1;
    *n = column < 0 ? lines : largest[column] + 1;
    return column;
}

static nw_status collect(span *names, int column, const char *data, size_t size, const char *name, nw_error *error)
{
    span rest = {data, size}, line;
    size_t next = 0;
    while (next_line(&line, &rest)) {
        size_t class = next;
        if (!line.size)
            continue;
        if (column == 1)
            next_word(&line);
        if (column >= 0)
            read_index(&class, next_word(&line));
        if (names[class].at)
            return nw_fail(error, NW_ERROR_DATA, "%s: names class %zu twice", name, class);
        names[class] = line;
        next = class + 1;
    }
    return NW_OK;
}

nw_status nw_class_names_parse(nw_names *out, const char *data, size_t size, const char *name, nw_error *error)
{
    nw_names names = {0};
    size_t n = 0;
    nw_status status = NW_OK;
    if (size && memchr(data, 0, size))
        return nw_fail(error, NW_ERROR_DATA, "%s: is not a text file", name);
    const int column = index_column(&n, data, size);
    if (!n)
        return nw_fail(error, NW_ERROR_DATA, "%s: holds no names of classes", name);
    if (n > MAX_CLASS)
        return nw_fail(error, NW_ERROR_DATA, "%s: class %zu is larger than any network has", name, n - 1);
    span *spans = calloc(n, sizeof(*spans));
    if (!spans)
        return nw_fail_memory(error, "reading names of classes");
    status = collect(spans, column, data, size, name, error);
    for (size_t i = 0; !status && i < n; i++)
        status = nw_names_add(&names, spans[i].at ? spans[i].at : "", spans[i].size, error);
    free(spans);
    if (!status)
        *out = names;
    else
        nw_names_free(&names);
    return status;
}

nw_status nw_class_names_read(nw_names *out, const char *path, nw_error *error)
{
    nw_bytes file = {0};
    NW_TRY(nw_bytes_read(&file, path, MAX_FILE, error));
    const nw_status status = nw_class_names_parse(out, (const char *)file.data, file.size, path, error);
    nw_bytes_free(&file);
    return status;
}
