/* SPDX-License-Identifier: Apache-2.0 */
/* See page.h: head, overview, what runs in float. */
#include "cli/report/page.h"

#include <math.h>
#include <string.h>

void nw_page_bars(nw_html *page, const char *kind, const char *name, const double *values, int32_t n, double top)
{
    nw_html_put(page,
                "<svg class=\"%s\" viewBox=\"0 0 %d 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"",
                kind, n);
    nw_html_text(page, name);
    nw_html_put(page, "\">");
    for (int32_t i = 0; i < n; i++) {
        if (!(values[i] > 0.0))
            continue;
        const double height = fmax(1.0, fmin(100.0, 100.0 * values[i] / top)); /* what is there can be seen */
        nw_html_put(page, "<rect x=\"%d\" y=\"%.2f\" width=\"1\" height=\"%.2f\"/>", i, 100.0 - height, height);
    }
    nw_html_put(page, "</svg>");
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void open_tile(nw_html *page, const char *title)
{
    nw_html_put(page, "<div class=\"tile\"><dt>%s</dt><dd>", title);
}

static void close_tile(nw_html *page)
{
    nw_html_put(page, "</small></dd></div>\n");
}

static void size_tiles(nw_html *page, const nw_facts *facts)
{
    open_tile(page, "Weights");
    nw_html_figure(page, NW_AS_BYTES, (double)facts->shares.total_bytes, "weight_bytes");
    nw_html_put(page, "<small>instead of ");
    nw_html_figure(page, NW_AS_BYTES, (double)facts->float_weight_bytes, "float_weight_bytes");
    nw_html_put(page, " in float: %.1f times smaller",
                (double)facts->float_weight_bytes / fmax(1.0, (double)facts->shares.total_bytes));
    close_tile(page);
    open_tile(page, "File");
    nw_html_figure(page, NW_AS_BYTES, (double)facts->file_bytes, "file_bytes");
    nw_html_put(page, "<small>");
    if (facts->against) {
        nw_html_put(page, "instead of ");
        nw_html_figure(page, NW_AS_BYTES, (double)facts->against_bytes, "against_bytes");
    } else {
        nw_html_put(page, "with scales, limits, tables and the plan");
    }
    close_tile(page);
    open_tile(page, "Memory for activations");
    nw_html_figure(page, NW_AS_BYTES, (double)facts->activation_bytes, "activation_bytes");
    nw_html_put(page, "<small>");
    if (facts->packed_activation_bytes < facts->activation_bytes) {
        nw_html_put(page, "packed ");
        nw_html_figure(page, NW_AS_BYTES, (double)facts->packed_activation_bytes, "packed_activation_bytes");
        nw_html_put(page, "; ");
    }
    nw_html_put(page, "engine with weights ");
    nw_html_figure(page, NW_AS_BYTES, (double)facts->engine_bytes, "engine_bytes");
    close_tile(page);
}

static void time_tile(nw_html *page, const nw_facts *facts)
{
    if (!facts->timing)
        return;
    open_tile(page, "Time of a run");
    nw_html_figure(page, NW_AS_MILLISECONDS, 1e3 * facts->timing->seconds, "milliseconds");
    nw_html_put(page, "<small>");
    if (facts->against) {
        nw_html_put(page, "instead of ");
        nw_html_figure(page, NW_AS_MILLISECONDS, 1e3 * facts->timing->rival_seconds[0], "float_milliseconds");
        nw_html_put(page, " in float: ");
        nw_html_figure(page, NW_AS_TIMES, facts->timing->rival_seconds[0] / facts->timing->seconds, "ratio");
        nw_html_put(page, "; ");
    }
    nw_html_put(page, "%s kernels, %lld thread%s, median of %lld runs", facts->isa, (long long)facts->threads,
                facts->threads == 1 ? "" : "s", (long long)facts->runs);
    close_tile(page);
}

static void score_tiles(nw_html *page, const nw_facts *facts)
{
    if (!isnan(facts->top1)) {
        open_tile(page, "Top-1 accuracy");
        nw_html_figure(page, NW_AS_PERCENT, facts->top1, "top1");
        nw_html_put(page, "<small>");
        if (!isnan(facts->float_top1)) {
            nw_html_put(page, "float ");
            nw_html_figure(page, NW_AS_PERCENT, facts->float_top1, "float_top1");
            nw_html_put(page, "; ");
        }
        nw_html_put(page, "standard error ");
        nw_html_figure(page, NW_AS_PERCENT, facts->top1_standard_error, "top1_standard_error");
        nw_html_put(page, ", ");
        nw_html_figure(page, NW_AS_COUNT, (double)facts->samples, "samples");
        nw_html_put(page, " samples");
        close_tile(page);
    }
    if (isnan(facts->agreement))
        return;
    open_tile(page, "Agreement with float");
    nw_html_figure(page, NW_AS_PERCENT, facts->agreement, "agreement");
    nw_html_put(page, "<small>of the answers; outputs at ");
    nw_html_figure(page, NW_AS_DECIBEL, facts->sqnr_db, "sqnr_db");
    nw_html_put(page, " signal to noise");
    close_tile(page);
}

/** A row per width: share of multiply-accumulates and of bytes as bars with their figures. */
static void share_rows(nw_html *page, const nw_facts *facts)
{
    int32_t row = 0;
    nw_html_put(
        page, "<table class=\"shares\"><thead><tr><th scope=\"col\">Values</th><th scope=\"col\">"
              "Share of the multiply-accumulates</th><th scope=\"col\">Share of the bytes</th></tr></thead><tbody>\n");
    for (int32_t bits = 1; bits <= 9; bits++) {
        const nw_shares *s = &facts->shares;
        const int32_t at = bits % 9; /* float last in the table, first in the document */
        if (!s->macs[at])
            continue;
        const double macs = (double)s->macs[at] / (double)s->total_macs;
        const double bytes = (double)s->weight_bytes[at] / (double)s->total_bytes;
        const int32_t index = at ? row++ + (s->macs[0] != 0) : 0;
        nw_html_put(page, at ? "<tr><th scope=\"row\">%d bits</th>" : "<tr><th scope=\"row\">float</th>", at);
        nw_html_put(page, "<td><i style=\"width:%.1f%%\"></i>", 60.0 * macs);
        nw_html_figure(page, NW_AS_PERCENT, macs, "widths.%d.mac_share", index);
        nw_html_put(page, "</td><td><i style=\"width:%.1f%%\"></i>", 60.0 * bytes);
        nw_html_number(page, NW_AS_PERCENT, bytes);
        nw_html_put(page, " <small>");
        nw_html_figure(page, NW_AS_BYTES, (double)s->weight_bytes[at], "widths.%d.weight_bytes", index);
        nw_html_put(page, "</small></td></tr>\n");
    }
    nw_html_put(page, "</tbody></table>\n");
    for (int32_t i = 0; i < facts->n_layers; i++)
        if (facts->layers[i].planned_bits != facts->layers[i].weight_bits) {
            nw_html_put(
                page,
                "<p class=\"note\">Weights on one step for a whole layer take values of more bits than were planned "
                "for it (below), and fewer bytes once they are coded.</p>\n");
            break;
        }
}

static void overview(nw_html *page, const nw_facts *facts)
{
    nw_html_put(page, "<header><p class=\"kicker\">Narrow report</p><h1>");
    nw_html_text(page, file_name(facts->path));
    nw_html_put(page, "</h1><p class=\"lead\">%d layers, ", facts->n_layers);
    nw_html_figure(page, NW_AS_COUNT, (double)facts->shares.total_macs, "macs");
    nw_html_put(page, " multiply-accumulates per run, ");
    nw_html_figure(page, NW_AS_PERCENT, nw_shares_integer(&facts->shares), "integer_mac_share");
    nw_html_put(page, " of them in integers.");
    if (facts->against) {
        nw_html_put(page, " Compared with ");
        nw_html_text(page, file_name(facts->against));
        nw_html_put(page, ".");
    }
    nw_html_put(page, "</p></header>\n<dl class=\"tiles\">\n");
    size_tiles(page, facts);
    score_tiles(page, facts);
    time_tile(page, facts);
    nw_html_put(page, "</dl>\n");
    share_rows(page, facts);
}

static void in_float(nw_html *page, const nw_facts *facts)
{
    nw_html_put(page, "<section><h2>What runs in float</h2>\n");
    if (!facts->n_floats) {
        nw_html_put(page,
                    "<p>Nothing: the last layer writes its exact integer sums as reals, and that is the answer.</p>\n");
    } else {
        nw_html_put(page, "<ul class=\"plain\">\n");
        for (int32_t i = 0; i < facts->n_floats; i++) {
            const nw_node *node = &facts->model->nodes[facts->floats[i].node];
            nw_html_put(page, "<li class=\"float\"><b>");
            nw_html_text(page, node->name);
            nw_html_put(page, "</b> <small>%s</small> %s</li>\n", nw_op_name(node->op), facts->floats[i].why);
        }
        nw_html_put(page, "</ul>\n");
    }
    nw_html_put(page, "</section>\n");
}

void nw_page(nw_html *page, const nw_facts *facts)
{
    nw_html_put(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    nw_html_text(page, file_name(facts->path));
    nw_html_put(page, " \xe2\x80\x93 Narrow report</title>\n<style>\n%s</style>\n</head>\n<body>\n", nw_page_style);
    overview(page, facts);
    nw_page_front(page, facts);
    nw_page_depth(page, facts);
    nw_page_layers(page, facts);
    nw_page_tensors(page, facts);
    in_float(page, facts);
    nw_html_put(page, "<footer><p>Written by <code>narrow report</code>; <code>--json</code> gives the same figures.");
    if (facts->data) {
        nw_html_put(page, " Codes and errors: ");
        nw_html_figure(page, NW_AS_COUNT, (double)facts->error_samples, "error_samples");
        nw_html_put(page, " samples of ");
        nw_html_text(page, facts->data);
        nw_html_put(page, ".");
    }
    nw_html_put(page, "</p></footer>\n</body>\n</html>\n");
}
