/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One place per layer: what it is, what it costs, its weights on their grid, its runs, why it is not faster
 * (page.h).
 */
#include <math.h>
#include <stdio.h>

#include "cli/report/page.h"
#include "model/levels.h"

#define MOST_BARS 64

static void open_fact(nw_html *page, const char *name)
{
    nw_html_put(page, "<div><dt>%s</dt><dd>", name);
}

static void close_fact(nw_html *page)
{
    nw_html_put(page, "</dd></div>");
}

static void figure_fact(nw_html *page, const char *name, nw_as as, double value, int32_t i, const char *key)
{
    open_fact(page, name);
    nw_html_figure(page, as, value, "layers.%d.%s", i, key);
    close_fact(page);
}

static void cost_facts(nw_html *page, const nw_facts *facts, int32_t i)
{
    const nw_layer_facts *l = &facts->layers[i];
    const double ms = nw_layer_milliseconds(facts, l);
    open_fact(page, "weights");
    nw_html_figure(page, NW_AS_COUNT, l->planned_bits, "layers.%d.planned_bits", i);
    nw_html_put(page, " bits, ");
    nw_html_figure(page, NW_AS_BYTES, (double)l->weight_bytes, "layers.%d.weight_bytes", i);
    close_fact(page);
    open_fact(page, "output");
    if (l->activation_bits <= 8) {
        nw_html_figure(page, NW_AS_COUNT, l->activation_bits, "layers.%d.activation_bits", i);
        nw_html_put(page, " bits");
        if (l->extra_bits) {
            nw_html_put(page, ", ");
            nw_html_figure(page, NW_AS_COUNT, l->extra_bits, "layers.%d.extra_bits", i);
            nw_html_put(page, " of them DQA's");
        }
    } else {
        nw_html_put(page, "reals");
    }
    close_fact(page);
    open_fact(page, "work");
    nw_html_figure(page, NW_AS_PERCENT, (double)l->macs / fmax(1.0, (double)facts->shares.total_macs),
                   "layers.%d.mac_share", i);
    nw_html_put(page, " of the MACs");
    close_fact(page);
    if (!isnan(ms)) {
        open_fact(page, "time");
        nw_html_figure(page, NW_AS_MILLISECONDS, ms, "layers.%d.milliseconds", i);
        if (ms > 0.0)
            nw_html_put(page, ", %.0f\xc2\xa0" "GMAC/s", 1e-6 * (double)l->macs / ms);
        close_fact(page);
    }
}

static void error_facts(nw_html *page, const nw_facts *facts, int32_t i)
{
    const nw_layer_facts *l = &facts->layers[i];
    if (facts->against && facts->data) {
        figure_fact(page, "SQNR alone", NW_AS_DECIBEL, l->isolated_db, i, "isolated_db");
        figure_fact(page, "SQNR accumulated", NW_AS_DECIBEL, l->accumulated_db, i, "accumulated_db");
    }
    if (!isnan(l->damage))
        figure_fact(page, "damage", NW_AS_REAL, l->damage, i, "damage");
}

/** How many values a weight can take. */
static size_t values_of(const nw_linear *l)
{
    bool allowed[256];
    size_t n = 0;
    nw_levels_allow(allowed, l->levels, l->weight_bits);
    for (int32_t i = 0; i < 256; i++)
        n += allowed[i];
    return n;
}

/** Weights by value; neighbours share a bar where there are too many. */
static void weights_chart(nw_html *page, const nw_facts *facts, const nw_layer_facts *l)
{
    const int32_t highest = l->weight_bits > 1 ? (1 << (l->weight_bits - 1)) - 1 : 1;
    int32_t reach = highest;
    while (reach > 1 && !l->weights[128 + reach] && !l->weights[128 - reach])
        reach--;
    const int32_t step = (2 * reach + 1 + MOST_BARS - 1) / MOST_BARS;
    const int32_t half = reach / step;
    double bars[MOST_BARS + 2] = {0.0};
    double top = 1.0;
    int32_t n_values = 0;
    char name[64];
    for (int32_t w = -reach; w <= reach; w++) {
        const int32_t bar = half + (int32_t)floor((double)w / step + 0.5);
        n_values += l->weights[128 + w] > 0;
        bars[bar < 0 ? 0 : bar > 2 * half ? 2 * half : bar] += (double)l->weights[128 + w];
    }
    for (int32_t b = 0; b <= 2 * half; b++)
        top = fmax(top, bars[b]);
    snprintf(name, sizeof(name), "weights from %d to %d", -reach, reach);
    nw_html_put(page, "<figure class=\"small\"><figcaption>weights: %d of %zu values", n_values,
                values_of(nw_layer_node(facts, l)->linear));
    if (l->planned_bits != l->weight_bits)
        nw_html_put(page, " on one step, %.1f bits each in the file",
                    8.0 * (double)l->weight_bytes / fmax(1.0, (double)l->n_weights));
    nw_html_put(page, "</figcaption>");
    nw_page_bars(page, "weights", name, bars, 2 * half + 1, top);
    nw_html_put(page, "<p class=\"ends\"><span>\xe2\x88\x92%d</span><span>0</span><span>%d</span></p></figure>", reach,
                reach);
}

static void runs_chart(nw_html *page, const nw_layer_facts *l, int32_t i)
{
    double shares[NW_RUN_BUCKETS];
    if (!l->has_runs)
        return;
    nw_run_buckets(shares, l);
    nw_html_put(page, "<figure class=\"small\"><figcaption>16&#8209;bit runs: steps by length, mean ");
    nw_html_figure(page, NW_AS_REAL, l->mean_run, "layers.%d.mean_run", i);
    nw_html_put(page, "</figcaption>");
    nw_page_bars(page, "runs", "steps by length of run", shares, NW_RUN_BUCKETS, 1.0);
    nw_html_put(page, "<p class=\"cells\">");
    for (int32_t b = 0; b < NW_RUN_BUCKETS; b++)
        nw_html_put(page, "<span>%s</span>", nw_run_bucket_names[b]);
    nw_html_put(page, "</p></figure>");
}

static void layer(nw_html *page, const nw_facts *facts, int32_t i)
{
    const nw_layer_facts *l = &facts->layers[i];
    const nw_node *node = nw_layer_node(facts, l);
    nw_html_put(page, "<article class=\"layer\"><h3><i>%d</i><span>", i + 1);
    nw_html_text(page, node->name);
    nw_html_put(page, "</span></h3><p class=\"what\">%s, output %s, <code>", nw_op_name(node->op), l->shape);
    nw_html_text(page, l->kernel);
    nw_html_put(page, "</code></p><dl>");
    cost_facts(page, facts, i);
    error_facts(page, facts, i);
    nw_html_put(page, "</dl><div class=\"pair\">");
    weights_chart(page, facts, l);
    runs_chart(page, l, i);
    nw_html_put(page, "</div><p class=\"why\" data-as=\"text\" data-key=\"layers.%d.why\">", i);
    nw_html_text(page, l->why);
    if (l->narrowed[0]) {
        nw_html_put(page, "</p><p class=\"why\" data-as=\"text\" data-key=\"layers.%d.narrowed\">", i);
        nw_html_text(page, l->narrowed);
    }
    nw_html_put(page, "</p></article>\n");
}

void nw_page_layers(nw_html *page, const nw_facts *facts)
{
    nw_html_put(page, "<section id=\"layers\"><h2>Layers</h2>\n<div class=\"layers\">\n");
    for (int32_t i = 0; i < facts->n_layers; i++)
        layer(page, facts, i);
    nw_html_put(page, "</div></section>\n");
}
