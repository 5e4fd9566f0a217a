/* SPDX-License-Identifier: Apache-2.0 */
/* See html.h. */
#include "cli/report/html.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static const char *const as_names[] = {"count", "bytes", "percent", "decibel", "milliseconds", "times", "real"};

static bool reserve(nw_html *page, size_t more)
{
    if (page->failed)
        return false;
    if (page->capacity - page->size > more)
        return true;
    const size_t capacity = 2 * page->capacity + more + 4096;
    char *text = realloc(page->text, capacity);
    if (!text) {
        page->failed = true;
        return false;
    }
    page->text = text;
    page->capacity = capacity;
    return true;
}

static void put_arguments(nw_html *page, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    const int n = vsnprintf(NULL, 0, format, arguments);
    if (n >= 0 && reserve(page, (size_t)n + 1)) {
        vsnprintf(page->text + page->size, (size_t)n + 1, format, again);
        page->size += (size_t)n;
    }
    va_end(again);
}

void nw_html_put(nw_html *page, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_arguments(page, format, arguments);
    va_end(arguments);
}

void nw_html_text(nw_html *page, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '&')
            nw_html_put(page, "&amp;");
        else if (*c == '<')
            nw_html_put(page, "&lt;");
        else if (*c == '>')
            nw_html_put(page, "&gt;");
        else if (*c == '"')
            nw_html_put(page, "&quot;");
        else if (*c == '\'')
            nw_html_put(page, "&#39;");
        else
            nw_html_put(page, "%c", (unsigned char)*c < ' ' ? ' ' : *c);
    }
}

static void put_count(nw_html *page, double value)
{
    char digits[32];
    const int n = snprintf(digits, sizeof(digits), "%.0f", value);
    for (int i = 0; i < n; i++)
        nw_html_put(page, i && (n - i) % 3 == 0 && digits[i - 1] != '-' ? ",%c" : "%c", digits[i]);
}

/** Three digits, never an exponent. */
static void put_three(nw_html *page, double value)
{
    const double size = fabs(value);
    nw_html_put(page, size >= 99.95 ? "%.0f" : size >= 9.995 ? "%.1f" : size >= 0.9995 ? "%.2f" : "%.3f", value);
}

static void put_bytes(nw_html *page, double value)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB"};
    int i = 0;
    for (; value >= 999.5 && i < 3; i++)
        value /= 1000.0;
    if (i)
        put_three(page, value);
    else
        nw_html_put(page, "%.0f", value);
    nw_html_put(page, "\xc2\xa0%s", units[i]);
}

void nw_html_number(nw_html *page, nw_as as, double value)
{
    if (isnan(value)) {
        nw_html_put(page, "not measured");
        return;
    }
    if (isinf(value)) {
        nw_html_put(page, "no error");
        return;
    }
    switch (as) {
    case NW_AS_COUNT:
        put_count(page, value);
        break;
    case NW_AS_BYTES:
        put_bytes(page, value);
        break;
    case NW_AS_PERCENT:
        nw_html_put(page, "%.1f\xc2\xa0%%", 100.0 * value);
        break;
    case NW_AS_DECIBEL:
        nw_html_put(page, "%.1f\xc2\xa0" "dB", value);
        break;
    case NW_AS_MILLISECONDS:
        put_three(page, value < 0.1 ? 1e3 * value : value);
        nw_html_put(page, value < 0.1 ? "\xc2\xa0\xc2\xb5s" : "\xc2\xa0ms");
        break;
    case NW_AS_TIMES:
        nw_html_put(page, "%.2f\xc3\x97", value);
        break;
    case NW_AS_REAL:
        nw_html_put(page, "%.4g", value);
        break;
    }
}

void nw_html_figure(nw_html *page, nw_as as, double value, const char *key, ...)
{
    va_list arguments;
    nw_html_put(page, "<span data-as=\"%s\" data-key=\"", as_names[as]);
    va_start(arguments, key);
    put_arguments(page, key, arguments);
    va_end(arguments);
    nw_html_put(page, "\">");
    nw_html_number(page, as, value);
    nw_html_put(page, "</span>");
}

nw_status nw_html_write(nw_html *page, const char *path, nw_error *error)
{
    const nw_piece piece = {page->text, page->size};
    const nw_status status =
        page->failed ? nw_fail_memory(error, "writing the page") : nw_file_write(path, &piece, 1, error);
    free(page->text);
    *page = (nw_html){0};
    return status;
}
