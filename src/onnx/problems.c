/* SPDX-License-Identifier: Apache-2.0 */
/* The listing of what the import does not support, and its sentences. See importer.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/importer.h"

#define LINE_SIZE 640

static nw_status record(nw_importer *im, const char *line)
{
    if (im->n_problems == NW_MAX_PROBLEMS) {
        im->truncated = true;
        return NW_OK;
    }
    if (im->n_problems == im->problem_capacity) {
        const int32_t capacity = im->problem_capacity ? im->problem_capacity * 2 : 16;
        char **problems = realloc(im->problems, (size_t)capacity * sizeof(*problems));
        if (!problems)
            return nw_fail_memory(im->error, "importing a network");
        im->problems = problems;
        im->problem_capacity = capacity;
    }
    const size_t size = strlen(line) + 1;
    char *copy = malloc(size);
    if (!copy)
        return nw_fail_memory(im->error, "importing a network");
    memcpy(copy, line, size);
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    im->problems[im->n_problems++] = copy;
    return NW_OK;
}

nw_status nw_refuse(nw_call *call, const char *format, ...)
{
    char reason[320], line[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    snprintf(line, sizeof(line), "node \"%.120s\" (%.60s, opset %lld): %s", call->name, call->op,
             (long long)call->im->opset, reason);
    return record(call->im, line);
}

nw_status nw_refuse_graph(nw_importer *im, const char *format, ...)
{
    char line[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    return record(im, line);
}

nw_status nw_damaged(nw_call *call, const char *format, ...)
{
    char reason[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    return nw_fail(call->im->error, NW_ERROR_DATA, "%s: node \"%.120s\" (%.60s): %s", call->im->file, call->name,
                   call->op, reason);
}

char *nw_problems_text(const nw_importer *im)
{
    static const char more[] = "... and more\n";
    size_t size = sizeof(more);
    for (int32_t i = 0; i < im->n_problems; i++)
        size += strlen(im->problems[i]) + 1;
    char *text = malloc(size);
    if (!text)
        return NULL;
    char *end = text;
    for (int32_t i = 0; i < im->n_problems; i++) {
        const size_t length = strlen(im->problems[i]);
        memcpy(end, im->problems[i], length);
        end[length] = '\n';
        end += length + 1;
    }
    *end = '\0';
    if (im->truncated)
        memcpy(end, more, sizeof(more));
    return text;
}

void nw_problems_free(nw_importer *im)
{
    for (int32_t i = 0; i < im->n_problems; i++)
        free(im->problems[i]);
    free(im->problems);
    im->problems = NULL;
    im->n_problems = im->problem_capacity = 0;
}
