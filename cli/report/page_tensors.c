/* SPDX-License-Identifier: Apache-2.0 */
/* Activations: one place per tensor that is rounded: its range, what it held, how far its channels reach (page.h). */
#include <math.h>
#include <stdio.h>

#include "cli/report/page.h"

#define MOST_BARS 64

static void codes_chart(nw_html *page, const nw_facts *facts, const nw_tensor_facts *t)
{
    const nw_quant *q = &facts->model->tensors[t->tensor].quant;
    const int32_t n_codes = 1 << q->bits;
    const int32_t step = n_codes > MOST_BARS ? n_codes / MOST_BARS : 1;
    double bars[MOST_BARS] = {0.0};
    double top = 0.0;
    int32_t peak = 0;
    for (int32_t code = 0; code < n_codes; code++)
        bars[code / step] += (double)t->codes[code];
    const int32_t zero = q->zero_point / step; /* often far above the others: it may leave the chart */
    for (int32_t b = 0; b < n_codes / step; b++) {
        peak = bars[b] > bars[peak] ? b : peak;
        if (b != zero)
            top = fmax(top, bars[b]);
    }
    nw_html_put(page, "<figure class=\"small\"><figcaption>codes seen%s</figcaption>",
                peak == zero && top > 0.0 && bars[zero] > 1.5 * top ? ", zero cut off" : "");
    nw_page_bars(page, "codes", "codes seen", bars, n_codes / step, fmax(top, 1.0));
    nw_html_put(page, "<p class=\"ends\"><span>");
    nw_html_number(page, NW_AS_REAL, (double)q->scale * (0 - q->zero_point));
    nw_html_put(page, "</span><span>");
    nw_html_number(page, NW_AS_REAL, (double)q->scale * (n_codes - 1 - q->zero_point));
    nw_html_put(page, "</span></p></figure>");
}

static void limits_chart(nw_html *page, const nw_tensor_facts *t)
{
    double bars[MOST_BARS];
    const int32_t n = t->n_limits < MOST_BARS ? t->n_limits : MOST_BARS;
    for (int32_t b = 0; b < n; b++)
        bars[b] = t->limits[(int64_t)b * t->n_limits / n];
    nw_html_put(page,
                "<figure class=\"small\"><figcaption>limits of %d channel%s, share of the range: least, median, most"
                "</figcaption>",
                t->n_limits, t->n_limits == 1 ? "" : "s");
    nw_page_bars(page, "limits", "limits of the channels", bars, n, 1.0);
    nw_html_put(page, "<p class=\"ends\"><span>");
    nw_html_number(page, NW_AS_PERCENT, t->limits[0]);
    nw_html_put(page, "</span><span>");
    nw_html_number(page, NW_AS_PERCENT, t->limits[t->n_limits / 2]);
    nw_html_put(page, "</span><span>");
    nw_html_number(page, NW_AS_PERCENT, t->limits[t->n_limits - 1]);
    nw_html_put(page, "</span></p></figure>");
}

static void tensor(nw_html *page, const nw_facts *facts, int32_t i)
{
    const nw_tensor_facts *t = &facts->tensors[i];
    const nw_tensor *of = &facts->model->tensors[t->tensor];
    nw_html_put(page, "<article class=\"tensor\"><h3><span>");
    nw_html_text(page, of->name);
    nw_html_put(page, "</span></h3><p class=\"what\">");
    nw_html_figure(page, NW_AS_COUNT, of->quant.bits, "tensors.%d.bits", i);
    nw_html_put(page, " bits, ");
    if (t->extra_bits) {
        nw_html_figure(page, NW_AS_COUNT, t->extra_bits, "tensors.%d.extra_bits", i);
        nw_html_put(page, " of them in only ");
        nw_html_figure(page, NW_AS_COUNT, t->n_fine, "tensors.%d.important_channels", i);
        nw_html_put(page, " of %d channels (DQA), ", t->n_limits);
    }
    nw_html_put(page, "from ");
    nw_html_figure(page, NW_AS_REAL, t->lowest, "tensors.%d.lowest", i);
    nw_html_put(page, " to ");
    nw_html_figure(page, NW_AS_REAL, t->highest, "tensors.%d.highest", i);
    nw_html_put(page, " in steps of ");
    nw_html_figure(page, NW_AS_REAL, (double)of->quant.scale, "tensors.%d.scale", i);
    if (facts->data) {
        nw_html_put(page, "; ");
        nw_html_figure(page, NW_AS_PERCENT, t->at_limit_share, "tensors.%d.at_limit_share", i);
        nw_html_put(page, " at a limit");
    }
    if (!isnan(t->damage)) {
        nw_html_put(page, "; damage ");
        nw_html_figure(page, NW_AS_REAL, t->damage, "tensors.%d.damage", i);
    }
    nw_html_put(page, "</p><div class=\"pair\">");
    if (facts->data)
        codes_chart(page, facts, t);
    limits_chart(page, t);
    nw_html_put(page, "</div></article>\n");
}

void nw_page_tensors(nw_html *page, const nw_facts *facts)
{
    nw_html_put(page,
                "<section><h2>Activations</h2>\n<p>Each channel is clamped to limits of its own inside the tensor's "
                "range; the proofs that sums fit 16 bits rely on them.</p>\n<div class=\"layers\">\n");
    for (int32_t i = 0; i < facts->n_tensors; i++)
        tensor(page, facts, i);
    nw_html_put(page, "</div></section>\n");
}
