/* SPDX-License-Identifier: Apache-2.0 */
/* Charts over the depth of the network, a place per layer, and the front of sizes and damages (page.h). */
#include <math.h>

#include "cli/report/page.h"

#define GAP 0.12 /* of a layer's place, on either side of its bar */

/** Digits above or below a chart, one per layer, where there is room; else those of the ends, if wanted. */
static void layer_words(nw_html *page, const nw_facts *facts, bool bits)
{
    const int32_t n = facts->n_layers;
    const char *kind = n > 70 ? "never" : n > 45 ? "wide" : n > 24 ? "many" : "";
    nw_html_put(page, "<div class=\"words %s\">", kind);
    for (int32_t i = 0; i < n; i++)
        nw_html_put(page, "<span>%d</span>", bits ? facts->layers[i].planned_bits : i + 1);
    nw_html_put(page, "</div>");
    if (*kind && !bits)
        nw_html_put(page, "<div class=\"words few %s\"><span>1</span><span>%d</span></div>", kind, n);
}

static void open_plot(nw_html *page, const char *title, const char *words)
{
    nw_html_put(page, "<figure class=\"depth\"><figcaption><b>%s</b> %s</figcaption>", title, words);
}

static void close_plot(nw_html *page)
{
    nw_html_put(page, "</svg></div></figure>\n");
}

/** A line across the plot with its value at the left. */
static void grid_line(nw_html *page, nw_as as, double value, double share)
{
    nw_html_put(page, "<span class=\"tick\" style=\"bottom:%.2f%%\"><i>", 100.0 * share);
    nw_html_number(page, as, value);
    nw_html_put(page, "</i></span>");
}

static void open_svg(nw_html *page, const char *name, double width, double height)
{
    nw_html_put(page, "<svg viewBox=\"0 0 %g %g\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s\">", width,
                height, name);
}

/** A title that shows where the pointer rests. */
static void layer_title(nw_html *page, const nw_facts *facts, int32_t i)
{
    nw_html_put(page, "<title>%d ", i + 1);
    nw_html_text(page, nw_layer_node(facts, &facts->layers[i])->name);
}

/** A dot at the width of ordinary channels, on a ring that parts it from bars; a line up to that of important ones. */
static void width_dot(nw_html *page, int32_t i, int32_t bits, int32_t extra)
{
    static const char *const kinds[] = {"dot ring", "dot"};
    for (int k = 0; k < 2; k++) {
        if (extra)
            nw_html_put(page, "<path class=\"%s reach\" d=\"M%g %gv%d\"/>", kinds[k], i + 0.5, 8.4 - bits, extra);
        nw_html_put(page, "<path class=\"%s\" d=\"M%g %gh0\"/>", kinds[k], i + 0.5, 8.4 - bits + extra);
    }
}

static void bits_chart(nw_html *page, const nw_facts *facts)
{
    bool extra = false;
    for (int32_t i = 0; i < facts->n_layers; i++)
        extra = extra || facts->layers[i].extra_bits;
    open_plot(
        page, "Bits of the weights",
        extra ? "as bars, <span class=\"b\">of each layer's output as dots, of its important channels (DQA) up to the "
                "line's end</span>, from input to output"
              : "as bars, <span class=\"b\">of each layer's output as dots</span>, from input to output");
    layer_words(page, facts, true);
    nw_html_put(page, "<div class=\"plot\">");
    for (int32_t bits = 2; bits <= 8; bits += 2)
        grid_line(page, NW_AS_COUNT, bits, bits / 8.4);
    open_svg(page, "bits per layer", facts->n_layers, 8.4);
    for (int32_t i = 0; i < facts->n_layers; i++) {
        const nw_layer_facts *l = &facts->layers[i];
        nw_html_put(
            page,
            "<rect class=\"bar\" data-key=\"layers.%d.planned_bits\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%d\">", i,
            i + GAP, 8.4 - l->planned_bits, 1.0 - 2.0 * GAP, l->planned_bits);
        layer_title(page, facts, i);
        nw_html_put(page, ": %d bits</title></rect>", l->planned_bits);
    }
    for (int32_t i = 0; i < facts->n_layers; i++)
        if (facts->layers[i].activation_bits <= 8)
            width_dot(page, i, facts->layers[i].activation_bits, facts->layers[i].extra_bits);
    close_plot(page);
}

typedef double layer_value(const nw_facts *facts, int32_t i);

static double damage_of(const nw_facts *facts, int32_t i)
{
    return facts->layers[i].damage;
}

static double microseconds_of(const nw_facts *facts, int32_t i)
{
    return 1e3 * nw_layer_milliseconds(facts, &facts->layers[i]);
}

static double isolated_of(const nw_facts *facts, int32_t i)
{
    return facts->layers[i].isolated_db;
}

static double accumulated_of(const nw_facts *facts, int32_t i)
{
    return facts->layers[i].accumulated_db;
}

/** Largest finite value; 0 if there is none. */
static double largest(const nw_facts *facts, layer_value *value)
{
    double top = 0.0;
    for (int32_t i = 0; i < facts->n_layers; i++)
        if (isfinite(value(facts, i)))
            top = fmax(top, value(facts, i));
    return top;
}

/** 1, 2 or 5 times a power of ten: the largest that stands at least twice below the top. */
static double round_step(double top)
{
    const double unit = pow(10.0, floor(log10(top / 2.0)));
    const double most = top / 2.0 / unit;
    return unit * (most >= 5.0 ? 5.0 : most >= 2.0 ? 2.0 : 1.0);
}

static void value_chart(nw_html *page, const nw_facts *facts, layer_value *value, nw_as as, const char *title,
                        const char *words)
{
    const double top = largest(facts, value);
    if (!(top > 0.0))
        return;
    open_plot(page, title, words);
    nw_html_put(page, "<div class=\"plot\">");
    const double step = round_step(top);
    for (double v = step; v <= top; v += step)
        grid_line(page, NW_AS_REAL, v, v / (1.05 * top));
    open_svg(page, title, facts->n_layers, 1.05);
    for (int32_t i = 0; i < facts->n_layers; i++) {
        const double v = value(facts, i);
        if (!(v > 0.0))
            continue;
        nw_html_put(page, "<rect class=\"value\" x=\"%g\" y=\"%.4f\" width=\"%g\" height=\"%.4f\">", i + GAP,
                    1.05 - v / top, 1.0 - 2.0 * GAP, v / top);
        layer_title(page, facts, i);
        nw_html_put(page, ": ");
        nw_html_number(page, as, v);
        nw_html_put(page, "</title></rect>");
    }
    close_plot(page);
}

/** A line through the values, with dots; breaks where nothing was measured. */
static void draw_line(nw_html *page, const nw_facts *facts, layer_value *value, const char *kind, double top)
{
    bool drawing = false;
    nw_html_put(page, "<path class=\"line %s\" d=\"", kind);
    for (int32_t i = 0; i < facts->n_layers; i++) {
        const double v = fmin(fmax(value(facts, i), 0.0), top);
        if (!isnan(value(facts, i)))
            nw_html_put(page, "%s%g %.3f", drawing ? "L" : "M", i + 0.5, top - v);
        drawing = !isnan(value(facts, i));
    }
    nw_html_put(page, "\"/><path class=\"dot %s\" d=\"", kind);
    for (int32_t i = 0; i < facts->n_layers; i++)
        if (!isnan(value(facts, i)))
            nw_html_put(page, "M%g %.3fh0", i + 0.5, top - fmin(fmax(value(facts, i), 0.0), top));
    nw_html_put(page, "\"/>");
}

static void error_chart(nw_html *page, const nw_facts *facts)
{
    const double most = fmax(largest(facts, isolated_of), largest(facts, accumulated_of));
    const double top = fmax(20.0, 10.0 * ceil((most + 2.0) / 10.0));
    if (!(most > 0.0))
        return;
    open_plot(page, "Signal to noise of the layers' outputs, dB",
              "<span class=\"a\">\xe2\x97\x8f with this layer alone in integers</span>, "
              "<span class=\"b\">\xe2\x97\x8f with the whole network: what has accumulated</span>; higher is better");
    nw_html_put(page, "<div class=\"plot\">");
    for (double db = 0.0; db < top; db += top > 40.0 ? 20.0 : 10.0)
        grid_line(page, NW_AS_COUNT, db, db / top);
    open_svg(page, "signal to noise per layer", facts->n_layers, top);
    draw_line(page, facts, isolated_of, "a", top);
    draw_line(page, facts, accumulated_of, "b", top);
    close_plot(page);
}

void nw_page_depth(nw_html *page, const nw_facts *facts)
{
    nw_html_put(page, "<section><h2>Over the depth of the network</h2>\n");
    bits_chart(page, facts);
    value_chart(page, facts, damage_of, NW_AS_REAL, "Damage",
                "that each layer's width does to the answer, measured alone");
    error_chart(page, facts);
    value_chart(page, facts, microseconds_of, NW_AS_COUNT, "Time", "of each layer, \xc2\xb5s");
    nw_html_put(page, "<div class=\"depth axis\">");
    layer_words(page, facts, false);
    nw_html_put(page, "</div><p class=\"note\">Numbers at the foot are those of the layers below.");
    if (facts->damage_measure[0] && !facts->n_front)
        nw_html_put(page, " The network keeps the damage of the widths it has; <code>--plan</code> with what "
                          "<code>narrow plan</code> wrote adds that of all others, and sizes.");
    nw_html_put(page, "</p>\n</section>\n");
}

/* the front */

typedef struct plane {
    double left, right, bottom, top; /* bytes; damage, or its logarithm */
    bool logarithm;
} plane;

static double height_of(const plane *p, double damage)
{
    const double v = p->logarithm ? log10(fmax(damage, 1e-30)) : damage;
    return fmin(1.0, fmax(0.0, (v - p->bottom) / (p->top - p->bottom)));
}

static double place_of(const plane *p, double bytes)
{
    return fmin(1.0, fmax(0.0, (bytes - p->left) / (p->right - p->left)));
}

static plane plane_of(const nw_facts *facts)
{
    const int32_t n = facts->n_front;
    double least = facts->chosen_damage;
    double most = facts->chosen_damage;
    plane p = {.left = fmin(facts->front_bytes[0], facts->chosen_bytes),
               .right = fmax(facts->front_bytes[n - 1], facts->chosen_bytes)};
    for (int32_t i = 0; i < n; i++) {
        least = fmin(least, facts->front_damage[i]);
        most = fmax(most, facts->front_damage[i]);
    }
    p.logarithm = least > 0.0 && most > 20.0 * least;
    p.bottom = p.logarithm ? log10(least) : fmin(least, 0.0);
    p.top = p.logarithm ? log10(most) : most;
    if (!(p.top > p.bottom))
        p.top = p.bottom + 1.0;
    if (!(p.right > p.left))
        p.right = p.left + 1.0;
    return p;
}

/** Words beside a point, to its right where there is room for `rem` of them. */
static void front_word(nw_html *page, const plane *p, double bytes, double damage, const char *kind, int32_t rem)
{
    nw_html_put(page, "<span class=\"point %s\" style=\"left:min(%.1f%%,calc(100%% - %drem));bottom:%.1f%%\">%s", kind,
                100.0 * place_of(p, bytes), rem, 100.0 * height_of(p, damage), *kind == 'b' ? "this network: " : "");
    nw_html_number(page, NW_AS_BYTES, bytes);
    nw_html_put(page, ", ");
    nw_html_number(page, NW_AS_REAL, damage);
    nw_html_put(page, "</span>");
}

/** Whether a point of the front lies so near to the network's that their words would overlap. */
static bool is_near(const plane *p, const nw_facts *facts, int32_t i)
{
    return fabs(place_of(p, facts->front_bytes[i]) - place_of(p, facts->chosen_bytes)) < 0.3 &&
           fabs(height_of(p, facts->front_damage[i]) - height_of(p, facts->chosen_damage)) < 0.15;
}

void nw_page_front(nw_html *page, const nw_facts *facts)
{
    const int32_t n = facts->n_front;
    if (!n)
        return;
    const plane p = plane_of(facts);
    nw_html_put(page,
                "<section><h2>Size and damage</h2>\n<p>What the best choice of widths costs the answer at every size: "
                "the sum of the layers' damages (");
    nw_html_text(page, facts->damage_measure);
    nw_html_put(page, "%s), each measured alone. This network: ", p.logarithm ? ", logarithmic" : "");
    nw_html_figure(page, NW_AS_BYTES, facts->chosen_bytes, "chosen.bytes");
    nw_html_put(page, ", ");
    nw_html_figure(page, NW_AS_REAL, facts->chosen_damage, "chosen.damage");
    nw_html_put(page, ".</p>\n<figure class=\"front\"><div class=\"plot\">");
    open_svg(page, "size and damage", 1.0, 1.0);
    nw_html_put(page, "<path class=\"line a\" d=\"");
    for (int32_t i = 0; i < n; i++)
        nw_html_put(page, "%s%.4f %.4f", i ? "L" : "M", place_of(&p, facts->front_bytes[i]),
                    1.0 - height_of(&p, facts->front_damage[i]));
    nw_html_put(page, "\"/>");
    for (int32_t i = 0; i < n; i++) {
        nw_html_put(page, "<path class=\"dot a\" d=\"M%.4f %.4fh0\"><title>", place_of(&p, facts->front_bytes[i]),
                    1.0 - height_of(&p, facts->front_damage[i]));
        nw_html_number(page, NW_AS_BYTES, facts->front_bytes[i]);
        nw_html_put(page, ": ");
        nw_html_number(page, NW_AS_REAL, facts->front_damage[i]);
        nw_html_put(page, "</title></path>");
    }
    nw_html_put(page, "<path class=\"dot b big\" d=\"M%.4f %.4fh0\"/></svg>", place_of(&p, facts->chosen_bytes),
                1.0 - height_of(&p, facts->chosen_damage));
    if (!is_near(&p, facts, 0))
        front_word(page, &p, facts->front_bytes[0], facts->front_damage[0], "first", 10);
    if (!is_near(&p, facts, n - 1))
        front_word(page, &p, facts->front_bytes[n - 1], facts->front_damage[n - 1], "last", 10);
    front_word(page, &p, facts->chosen_bytes, facts->chosen_damage, "b", 17);
    nw_html_put(
        page,
        "</div><figcaption><span>smaller</span><span>bytes \xe2\x86\x92</span></figcaption></figure>\n</section>\n");
}
