/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that grows into an HTML page. Names come from files and are escaped; every figure carries the path of its value
 * in the document of --json, so that the two can be compared.
 *
 *     nw_html page = {0};
 *     nw_html_put(&page, "<p>");
 *     nw_html_text(&page, node->name);
 *     nw_html_figure(&page, NW_AS_COUNT, 1179648.0, "layers.%d.macs", 3);
 *     status = nw_html_write(&page, "report.html", error);      frees it too
 */
#ifndef NARROW_CLI_REPORT_HTML_H
#define NARROW_CLI_REPORT_HTML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef struct nw_html {
    char *text; /* owned */
    size_t size, capacity;
    bool failed; /* no memory: everything since is lost */
} nw_html;

/** How a figure is written. NAN is "not measured", infinity "no error". */
typedef enum nw_as {
    NW_AS_COUNT,   /* 1,179,648 */
    NW_AS_BYTES,   /* 31.7 kB: powers of 1000, three digits */
    NW_AS_PERCENT, /* 12.9 % */
    NW_AS_DECIBEL, /* 31.2 dB */
    NW_AS_MILLISECONDS, /* 0.123 ms, 12.3 us below 0.1: three digits */
    NW_AS_TIMES,   /* 7.70x */
    NW_AS_REAL     /* four digits */
} nw_as;

/** Markup and words of ours. */
void nw_html_put(nw_html *page, const char *format, ...) NW_PRINTF(2, 3);

/** Foreign text, escaped. */
void nw_html_text(nw_html *page, const char *text);

/** <span data-key=KEY data-as=..>FIGURE</span>; the format and what follows it make the key. */
void nw_html_figure(nw_html *page, nw_as as, double value, const char *key, ...) NW_PRINTF(4, 5);

/** The figure alone. */
void nw_html_number(nw_html *page, nw_as as, double value);

/** Writes the page as a file, atomically, and frees it. */
nw_status nw_html_write(nw_html *page, const char *path, nw_error *error);

#endif
