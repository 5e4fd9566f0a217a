/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page of `narrow report`: one self-contained HTML file. It names no address and holds no script; charts are inline
 * SVG stretched to the width at hand, their words HTML, so that nothing shrinks with the window. Sections, in order:
 * page.c (head, overview), page_depth.c (over the depth of the network), page_layers.c, page_tensors.c; style.c.
 */
#ifndef NARROW_CLI_REPORT_PAGE_H
#define NARROW_CLI_REPORT_PAGE_H

#include "cli/report/facts.h"
#include "cli/report/html.h"

/** Writes the whole page. */
void nw_page(nw_html *page, const nw_facts *facts);

/* parts */
extern const char nw_page_style[];
void nw_page_front(nw_html *page, const nw_facts *facts);
void nw_page_depth(nw_html *page, const nw_facts *facts);
void nw_page_layers(nw_html *page, const nw_facts *facts);
void nw_page_tensors(nw_html *page, const nw_facts *facts);

/**
 * Bars side by side, stretched to the place they get: bar i is values[i] of `top` high (NAN, 0: none).
 *
 * @param kind  class of the figure: its height and colour
 * @param name  what it shows, for those who cannot see it
 */
void nw_page_bars(nw_html *page, const char *kind, const char *name, const double *values, int32_t n, double top);

#endif
