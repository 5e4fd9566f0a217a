/* SPDX-License-Identifier: Apache-2.0 */
/* Why a layer is not faster, in a sentence, from what its packed weights say (facts.h). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/report/facts.h"

#define GOOD_RUN 16.0 /* steps from which on longer runs gain little */

const char *const nw_run_bucket_names[NW_RUN_BUCKETS] = {"0", "1", "2", "4", "8", "16", "32", "64", "128"};

void nw_run_buckets(double shares[NW_RUN_BUCKETS], const nw_layer_facts *layer)
{
    double all = (double)layer->runs.wide;
    for (int32_t i = 0; i < NW_RUN_BUCKETS; i++)
        shares[i] = 0.0;
    for (int32_t length = 1; length <= NW_LONGEST_RUN; length++) {
        int32_t bucket = 1;
        while (1 << (bucket - 1) < length)
            bucket++;
        shares[bucket] += (double)length * (double)layer->runs.runs[length];
        all += (double)length * (double)layer->runs.runs[length];
    }
    shares[0] = (double)layer->runs.wide;
    for (int32_t i = 0; all > 0.0 && i < NW_RUN_BUCKETS; i++)
        shares[i] /= all;
}

static void say(nw_layer_facts *layer, const char *format, ...) NW_PRINTF(2, 3);
static void say(nw_layer_facts *layer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(layer->why, sizeof(layer->why), format, arguments);
    va_end(arguments);
}

/** Whether every sum is one run: k of a step differ between the families. */
static bool is_one_run(const nw_layer_facts *layer, int32_t k, nw_isa isa)
{
    const bool arm = isa == NW_ISA_NEON || isa == NW_ISA_DOTPROD || isa == NW_ISA_I8MM;
    return layer->wide_share <= 0.0 && layer->mean_run >= (double)k / (arm ? 16.0 : 4.0);
}

static void explain_runs(nw_layer_facts *layer, int32_t k, nw_isa isa)
{
    if (layer->wide_share + layer->paired_share > 0.25)
        say(layer,
            "%.0f %% of its steps hold products of which two may exceed 16 bits, and need other pairs or 32 bits: "
            "7-bit weights or narrower limits end that.",
            100.0 * (layer->wide_share + layer->paired_share));
    else if (layer->filled_share < 0.75)
        say(layer,
            "Only %.0f %% of the multiplier's places hold a weight: the layer's channels do not fill whole steps.",
            100.0 * layer->filled_share);
    else if (is_one_run(layer, k, isa))
        say(layer, "Its sums, %.0f steps long, stay in 16 bits from end to end: narrower numbers would not be faster.",
            layer->mean_run);
    else if (layer->mean_run < 4.0)
        say(layer, "Sums fit 16 bits for only %.1f steps before they move to 32: narrower weights or activations make "
                   "longer runs.", layer->mean_run);
    else if (layer->mean_run < GOOD_RUN)
        say(layer, "Sums stay in 16 bits for %.1f steps; narrower numbers would make it faster, up to about %.0f.",
            layer->mean_run, GOOD_RUN);
    else
        say(layer,
            "Sums stay in 16 bits for %.1f steps: this kernel gets no faster, and narrower numbers would only be "
            "smaller.",
            layer->mean_run);
}

void nw_facts_explain(nw_layer_facts *layer, const nw_model *model, nw_isa isa)
{
    const nw_node *node = &model->nodes[layer->node];
    const nw_tensor *y = &model->tensors[node->output];
    const int32_t pixels = nw_tensor_height(y) * nw_tensor_width(y);
    const bool depthwise = node->groups > 1 && node->groups == node->linear->n_channels;
    if (isa == NW_ISA_REF)
        say(layer, "The reference kernel is plain C, made for checking.");
    else if (depthwise)
        say(layer,
            "Depthwise: only %d products for each value that is read, rounded and written, so width hardly matters.",
            node->linear->k);
    else if (pixels == 1)
        say(layer, "One output position: each weight is fetched for a single product, so memory sets the pace.");
    else if (layer->kernel && !strncmp(layer->kernel, "winograd", 8))
        say(layer, "Winograd's convolution: a quarter of the products, of 16 bits each, so time does not depend on the "
                   "width.");
    else if (!layer->has_runs)
        say(layer, "%s adds products of 8 bits in 32 at once: time does not depend on the width.", nw_isa_name(isa));
    else
        explain_runs(layer, node->linear->k, isa);
}
