/* SPDX-License-Identifier: Apache-2.0 */
/* See csv.h. */
#include "data/csv.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define MAX_FIELD 4096
#define MAX_FILE ((size_t)1 << 30)

typedef struct reader {
    const char *at, *end;
    size_t line; /* 1-based */
} reader;

/* One row: the first two fields; n counts all of them. */
typedef struct row {
    char field[2][MAX_FIELD];
    size_t length[2];
    size_t n;
} row;

static bool put(row *r, char c)
{
    if (r->n >= 2)
        return true;
    if (c == 0 || r->length[r->n] == MAX_FIELD - 1)
        return false;
    r->field[r->n][r->length[r->n]++] = c;
    return true;
}

/* A field up to its comma or the end of the line, which stay. NULL, or what is wrong with it. */
static const char *read_field(row *r, reader *in)
{
    bool quoted = in->at < in->end && *in->at == '"';
    in->at += quoted;
    while (in->at < in->end && (quoted || (*in->at != ',' && *in->at != '\n'))) {
        const char c = *in->at++;
        if (quoted && c == '"' && !(in->at < in->end && *in->at == '"'))
            quoted = false;
        else if (quoted && c == '\n')
            return "a quoted field must end on its line";
        else if (c == '\r' && (in->at == in->end || *in->at == '\n'))
            continue;
        else if (!put(r, c))
            return "a field is too long or holds a zero byte";
        else if (quoted && c == '"')
            in->at++;
    }
    return quoted ? "a quoted field does not end" : NULL;
}

/* The next row that is not empty; n = 0 at the end. */
static const char *read_row(row *r, reader *in)
{
    do {
        r->n = r->length[0] = r->length[1] = 0;
        if (in->at == in->end)
            return NULL;
        in->line++;
        for (;;) {
            const char *wrong = read_field(r, in);
            if (wrong)
                return wrong;
            r->n++;
            if (in->at == in->end || *in->at++ == '\n')
                break;
        }
    } while (r->n == 1 && r->length[0] == 0);
    for (size_t i = 0; i < 2; i++)
        r->field[i][r->length[i]] = 0;
    return NULL;
}

static bool read_class(int32_t *out, const char *text)
{
    int32_t value = 0;
    while (*text == ' ')
        text++;
    const char *start = text;
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (*text - '0');
        if (value > NW_CSV_MAX_CLASS)
            return false;
    }
    *out = value;
    return text != start && !text[strspn(text, " ")];
}

static bool is_header(const row *r)
{
    static const char *const names[] = {"file", "filename", "path", "image"};
    int32_t value;
    const char *second = r->field[1];
    if (r->n > 1) /* an integer out of range is a mistake, not a heading */
        return !read_class(&value, second) && strspn(second, "0123456789-+ ") != r->length[1];
    for (size_t i = 0; i < NW_COUNT(names); i++)
        if (!strcmp(r->field[0], names[i]))
            return true;
    return false;
}

static nw_status add_row(nw_csv *csv, size_t *capacity, const row *r, size_t line, const char *name, nw_error *error)
{
    const size_t n = csv->files.n;
    const bool has_class = r->n > 1;
    if (n && has_class != (csv->classes != NULL))
        return nw_fail(error, NW_ERROR_DATA, "%s, line %zu: either all lines have a class or none", name, line);
    if (!r->length[0])
        return nw_fail(error, NW_ERROR_DATA, "%s, line %zu: has no file name", name, line);
    if (has_class && n == *capacity) {
        const size_t larger = *capacity ? 2 * *capacity : 256;
        int32_t *classes = realloc(csv->classes, larger * sizeof(*classes));
        if (!classes)
            return nw_fail_memory(error, "reading a list");
        csv->classes = classes;
        *capacity = larger;
    }
    if (has_class && !read_class(&csv->classes[n], r->field[1]))
        return nw_fail(error, NW_ERROR_DATA, "%s, line %zu: class \"%.40s\" is not an integer of 0 to %d", name, line,
                       r->field[1], NW_CSV_MAX_CLASS);
    return nw_names_add(&csv->files, r->field[0], r->length[0], error);
}

nw_status nw_csv_parse(nw_csv *out, const char *data, size_t size, const char *name, nw_error *error)
{
    nw_csv csv = {0};
    nw_status status = NW_OK;
    size_t capacity = 0;
    reader in = {data, data + size, 0};
    if (size >= 3 && !memcmp(data, "\xef\xbb\xbf", 3)) /* byte order mark of spreadsheets */
        in.at += 3;
    row *r = malloc(sizeof(*r));
    if (!r)
        return nw_fail_memory(error, "reading a list");
    for (bool first = true;; first = false) {
        const char *wrong = read_row(r, &in);
        if (wrong) {
            status = nw_fail(error, NW_ERROR_DATA, "%s, line %zu: %s", name, in.line, wrong);
            goto cleanup;
        }
        if (!r->n)
            break;
        if (first && is_header(r))
            continue;
        status = add_row(&csv, &capacity, r, in.line, name, error);
        if (status)
            goto cleanup;
    }
    if (!csv.files.n) {
        status = nw_fail(error, NW_ERROR_DATA, "%s: lists no files", name);
        goto cleanup;
    }
    *out = csv;
    csv = (nw_csv){0};

cleanup:
    free(r);
    nw_csv_free(&csv);
    return status;
}

nw_status nw_csv_read(nw_csv *out, const char *path, nw_error *error)
{
    nw_bytes file = {0};
    NW_TRY(nw_bytes_read(&file, path, MAX_FILE, error));
    const nw_status status = nw_csv_parse(out, (const char *)file.data, file.size, path, error);
    nw_bytes_free(&file);
    return status;
}

void nw_csv_free(nw_csv *csv)
{
    nw_names_free(&csv->files);
    free(csv->classes);
    *csv = (nw_csv){0};
}
