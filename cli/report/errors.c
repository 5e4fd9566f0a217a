/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The integer network beside the float one, tensor by tensor (facts.h: nw_facts_measure). Two rounds over the samples:
 *
 *     1. both networks run; every tensor of codes against the float tensor of the same name: the accumulated error. It
 *        also yields each channel's factor (equalization)
 *     2. the float network runs, and each layer alone in integers on its tensors times those factors: the isolated
 *        error
 *
 * With the float values f and the integer ones g of a channel, over all samples, the factor that fits best and what is
 * left of the error, in units of f:
 *
 *     a = sum f g / sum f f          noise = sum (g / a - f)^2 = sum g g / a^2 - sum f f
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "cli/report/facts.h"
#include "cli/report/isolate.h"
#include "ops/ops.h"

typedef struct sums {
    double ff, fg, gg;
} sums;

/** A node's output beside the float tensor of its name. */
typedef struct pair {
    int32_t floats;      /* tensor of the float network, or NW_NONE */
    sums *channels;      /* [C] owned; accumulated */
    sums *alone;         /* [C] owned; isolated; linear nodes */
    nw_tensor_facts *facts; /* borrowed; NULL: its codes are not counted */
    nw_engine *engine;   /* owned; the layer alone, or NULL */
} pair;

typedef struct bench {
    nw_network *network, *floats;
    const nw_model *model;
    const nw_dataset *data;
    pair *pairs;    /* [n_nodes] owned */
    float **values; /* [n tensors of the float model] owned: of the sample at hand; NULL: not wanted */
    float *scratch; /* [largest tensor] owned */
    float *inputs[2], *result; /* [largest tensor] owned */
    float *sample;
} bench;

/** Whether b is a, or a with ".codes" behind it: quantize names borders of the graph so. */
static bool same_name(const char *a, const char *b)
{
    const size_t n = strlen(a);
    return strncmp(a, b, n) == 0 && (!b[n] || strcmp(b + n, ".codes") == 0);
}

static int32_t float_tensor(const nw_model *floats, const nw_tensor *like)
{
    for (int32_t t = 0; t < floats->n_tensors; t++) {
        const nw_tensor *f = &floats->tensors[t];
        if (!f->data && same_name(f->name, like->name) && nw_tensor_elements(f) == nw_tensor_elements(like) &&
            nw_tensor_channels(f) == nw_tensor_channels(like))
            return t;
    }
    return NW_NONE;
}

static bool alloc_pair(bench *b, int32_t n)
{
    const nw_tensor *t = &b->model->tensors[b->model->nodes[n].output];
    const size_t channels = (size_t)nw_tensor_channels(t);
    pair *p = &b->pairs[n];
    p->channels = calloc(channels, sizeof(sums));
    p->alone = calloc(channels, sizeof(sums));
    p->floats = b->floats ? float_tensor(b->floats->model, t) : NW_NONE;
    bool done = p->channels && p->alone;
    if (p->floats != NW_NONE && !b->values[p->floats]) {
        b->values[p->floats] = malloc(nw_tensor_elements(t) * sizeof(float));
        done = done && b->values[p->floats];
    }
    return done;
}

static nw_status alloc(bench *b, nw_error *error)
{
    const nw_model *model = b->model;
    size_t largest = 1;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        const size_t n = nw_tensor_elements(&model->tensors[t]);
        largest = n > largest ? n : largest;
    }
    b->pairs = calloc((size_t)model->n_nodes, sizeof(*b->pairs));
    b->values = calloc(b->floats ? (size_t)b->floats->model->n_tensors : 1, sizeof(*b->values));
    b->scratch = malloc(largest * sizeof(float));
    b->result = malloc(largest * sizeof(float));
    b->inputs[0] = malloc(largest * sizeof(float));
    b->inputs[1] = malloc(largest * sizeof(float));
    bool done = b->pairs && b->values && b->scratch && b->result && b->inputs[0] && b->inputs[1];
    for (int32_t n = 0; done && n < model->n_nodes; n++)
        done = alloc_pair(b, n);
    return done ? NW_OK : nw_fail_memory(error, "measuring errors");
}

static void release(bench *b)
{
    for (int32_t n = 0; b->pairs && n < b->model->n_nodes; n++) {
        free(b->pairs[n].channels);
        free(b->pairs[n].alone);
        nw_engine_free(b->pairs[n].engine);
    }
    for (int32_t t = 0; b->values && b->floats && t < b->floats->model->n_tensors; t++)
        free(b->values[t]);
    free(b->pairs);
    free(b->values);
    free(b->scratch);
    free(b->result);
    free(b->inputs[0]);
    free(b->inputs[1]);
}

static void add(sums *channels, const nw_tensor *t, const float *f, const float *g)
{
    const int32_t n = nw_tensor_channels(t);
    const size_t plane = nw_tensor_elements(t) / (size_t)n;
    for (int32_t c = 0; c < n; c++)
        for (size_t i = 0; i < plane; i++, f++, g++) {
            channels[c].ff += (double)*f * *f;
            channels[c].fg += (double)*f * *g;
            channels[c].gg += (double)*g * *g;
        }
}

static double factor_of(const sums *s)
{
    return s->fg > 0.0 && s->ff > 0.0 ? s->fg / s->ff : 1.0;
}

/** SQNR in dB over all channels. Reals carry no factors. */
static double sqnr(const sums *channels, const nw_tensor *t)
{
    double signal = 0.0;
    double noise = 0.0;
    for (int32_t c = 0; c < nw_tensor_channels(t); c++) {
        const sums *s = &channels[c];
        const double a = t->type == NW_TYPE_U8 ? factor_of(s) : 1.0;
        signal += s->ff;
        noise += fmax(0.0, s->gg / (a * a) - 2.0 * s->fg / a + s->ff);
    }
    if (signal <= 0.0)
        return NAN;
    return noise > signal * 1e-15 ? 10.0 * log10(signal / noise) : INFINITY;
}

/* round 1 */

static void keep_float(void *context, int32_t tensor, const float *data, size_t n_elements)
{
    bench *b = context;
    if (b->values[tensor])
        memcpy(b->values[tensor], data, n_elements * sizeof(float));
}

/** The view's elements in row-major order, at their own size. */
static void flatten(void *to, const nw_view *view)
{
    nw_view flat = *view;
    ptrdiff_t stride = view->element_size;
    flat.data = to;
    for (int32_t i = view->rank - 1; i >= 0; i--) {
        flat.strides[i] = stride;
        stride *= view->dims[i];
    }
    nw_copy_run(&flat, view, NULL);
}

static void count_codes(nw_tensor_facts *facts, const nw_tensor *t, const uint8_t *codes)
{
    const int32_t channels = nw_tensor_channels(t);
    const size_t plane = nw_tensor_elements(t) / (size_t)channels;
    for (int32_t c = 0; c < channels; c++) {
        int32_t lowest;
        int32_t highest;
        nw_quant_code_range(&t->quant, c, &lowest, &highest);
        for (size_t i = 0; i < plane; i++, codes++) {
            facts->codes[*codes]++;
            facts->n_at_limit += *codes == highest && highest > t->quant.zero_point;
        }
    }
}

static void see_node(void *context, int32_t n, const nw_view *view)
{
    bench *b = context;
    const nw_tensor *t = &b->model->tensors[b->model->nodes[n].output];
    const size_t elements = nw_tensor_elements(t);
    pair *p = &b->pairs[n];
    if (!p->facts && p->floats == NW_NONE)
        return;
    flatten(b->scratch, view);
    if (t->type == NW_TYPE_U8) {
        const uint8_t *codes = (const uint8_t *)b->scratch;
        if (p->facts)
            count_codes(p->facts, t, codes);
        for (size_t i = elements; i-- > 0;) { /* in place, from the last on: a code is smaller than a real */
            const uint8_t code = codes[i];
            b->scratch[i] = t->quant.scale * (float)(code - t->quant.zero_point);
        }
    }
    if (p->floats != NW_NONE)
        add(p->channels, t, b->values[p->floats], b->scratch);
}

static nw_status run_float(bench *b, size_t index, nw_error *error)
{
    NW_TRY(nw_dataset_tensor(b->data, index, b->sample, error));
    return b->floats ? nw_float_run(b->floats->floats, (const float *const[]){b->sample},
                                    (float *[]){NULL}, error)
                     : NW_OK;
}

static nw_status compare_sample(bench *b, size_t index, float **outputs, nw_error *error)
{
    NW_TRY(run_float(b, index, error));
    const nw_input input = {.values = b->sample};
    const nw_run_options options = {.threads = b->network->threads, .observer = see_node, .context = b};
    return nw_engine_run_with(b->network->engine, &input, outputs, &options);
}

/* round 2 */

/** The float tensor that tensor t of the integer network stands for, times the factors its codes carry. */
static bool give_input(bench *b, float *to, int32_t t)
{
    const int32_t n = nw_model_producer(b->model, t);
    const nw_tensor *tensor = &b->model->tensors[t];
    const int32_t channels = nw_tensor_channels(tensor);
    const size_t plane = nw_tensor_elements(tensor) / (size_t)channels;
    if (n == NW_NONE || b->pairs[n].floats == NW_NONE)
        return false;
    const float *from = b->values[b->pairs[n].floats];
    for (int32_t c = 0; c < channels; c++) {
        const float factor = (float)factor_of(&b->pairs[n].channels[c]);
        for (size_t i = 0; i < plane; i++)
            *to++ = *from++ * factor;
    }
    return true;
}

static nw_status isolate_layer(bench *b, int32_t n, nw_error *error)
{
    pair *p = &b->pairs[n];
    const nw_node *node = &b->model->nodes[n];
    const int32_t residual = nw_node_residual(node);
    if (p->floats == NW_NONE || !give_input(b, b->inputs[0], node->inputs[0]) ||
        (residual != NW_NONE && !give_input(b, b->inputs[1], residual)))
        return NW_OK;
    if (!p->engine)
        NW_TRY(nw_isolate(&p->engine, b->model, n, nw_isa_name(nw_engine_isa(b->network->engine)), error));
    const nw_input inputs[2] = {{.values = b->inputs[0]}, {.values = b->inputs[1]}};
    NW_TRY(nw_engine_run(p->engine, inputs, (float *[]){b->result}, b->network->threads));
    add(p->alone, &b->model->tensors[node->output], b->values[p->floats], b->result);
    return NW_OK;
}

static nw_status isolate_sample(bench *b, size_t index, nw_error *error)
{
    NW_TRY(run_float(b, index, error));
    for (int32_t n = 0; n < b->model->n_nodes; n++)
        if (b->model->nodes[n].linear)
            NW_TRY(isolate_layer(b, n, error));
    return NW_OK;
}

static nw_status run_all(bench *b, size_t n_samples, nw_error *error)
{
    const size_t count = nw_dataset_count(b->data);
    nw_progress progress = {.phase = "measuring errors"};
    float **outputs = calloc((size_t)b->model->n_outputs, sizeof(*outputs));
    nw_status status = outputs ? NW_OK : nw_fail_memory(error, "measuring errors");
    for (int32_t i = 0; !status && i < b->model->n_outputs; i++) {
        outputs[i] = malloc(nw_tensor_elements(&b->model->tensors[b->model->outputs[i]]) * sizeof(float));
        status = outputs[i] ? NW_OK : nw_fail_memory(error, "measuring errors");
    }
    for (size_t i = 0; !status && i < n_samples; i++) {
        status = compare_sample(b, i * count / n_samples, outputs, error);
        nw_progress_show(&progress, (int64_t)i, 2 * (int64_t)n_samples);
    }
    for (size_t i = 0; !status && b->floats && i < n_samples; i++) {
        status = isolate_sample(b, i * count / n_samples, error);
        nw_progress_show(&progress, (int64_t)(n_samples + i), 2 * (int64_t)n_samples);
    }
    nw_progress_show(&progress, 1, 1);
    for (int32_t i = 0; outputs && i < b->model->n_outputs; i++)
        free(outputs[i]);
    free(outputs);
    return status;
}

static void conclude(nw_facts *facts, const bench *b)
{
    for (int32_t i = 0; i < facts->n_tensors; i++) {
        nw_tensor_facts *t = &facts->tensors[i];
        for (int32_t code = 0; code < 256; code++)
            t->n_codes += t->codes[code];
        t->at_limit_share = t->n_codes ? (double)t->n_at_limit / (double)t->n_codes : NAN;
        if (b->pairs[t->node].floats != NW_NONE)
            t->accumulated_db = sqnr(b->pairs[t->node].channels, &b->model->tensors[t->tensor]);
    }
    for (int32_t i = 0; i < facts->n_layers; i++) {
        nw_layer_facts *l = &facts->layers[i];
        const pair *p = &b->pairs[l->node];
        const nw_tensor *y = &b->model->tensors[b->model->nodes[l->node].output];
        if (p->floats == NW_NONE)
            continue;
        l->accumulated_db = sqnr(p->channels, y);
        if (p->engine)
            l->isolated_db = sqnr(p->alone, y);
    }
}

nw_status nw_facts_measure(nw_facts *facts, nw_network *network, nw_network *floats, const nw_dataset *data,
                           size_t n_samples, nw_error *error)
{
    bench b = {.network = network, .floats = floats, .model = network->model, .data = data, .sample = network->input};
    nw_status status = alloc(&b, error);
    for (int32_t i = 0; !status && i < facts->n_tensors; i++)
        b.pairs[facts->tensors[i].node].facts = &facts->tensors[i];
    if (!status && floats)
        nw_float_observe(floats->floats, keep_float, &b);
    if (!status)
        status = run_all(&b, n_samples, error);
    if (floats)
        nw_float_observe(floats->floats, NULL, NULL);
    if (!status) {
        conclude(facts, &b);
        facts->error_samples = n_samples;
    }
    release(&b);
    return status;
}
