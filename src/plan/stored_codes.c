/* SPDX-License-Identifier: Apache-2.0 */
/* See stored_codes.h. */
#include "plan/stored_codes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pixel.h"
#include "base/prefix_code.h"
#include "runtime/engine.h"
#include "runtime/layout.h"

/** Symbols of some tensors. */
typedef struct counts {
    int32_t bits; /* of a symbol; 0: none are stored, or joined to another one */
    int32_t joined; /* index of that */
    double entropy; /* bits of all of them */
    uint64_t n[NW_PREFIX_SYMBOLS];
} counts;

typedef struct fit {
    const nw_model *model;
    counts *codes, *low; /* [n_tensors] owned */
    uint8_t *channels;   /* scratch, [channels of the widest tensor] owned: which are fine */
    double values, bits; /* seen, and what their words take */
} fit;

/** Counts the codes of some channels of a picture as symbols of `bits` bits each code. */
static void count_picture(counts *to, const nw_view *x, const uint8_t *channels, int32_t bits, int32_t shift,
                          uint8_t zero)
{
    const uint8_t mask = (uint8_t)((1u << bits) - 1u);
    const bool pairs = nw_symbol_bits(bits) > bits;
    for (int32_t y = 0; y < x->dims[2]; y++)
        for (int32_t i = 0; i < x->dims[3]; i += pairs ? 2 : 1)
            for (int32_t c = 0; c < x->dims[1]; c++) {
                if (channels && !channels[c])
                    continue;
                const uint8_t *at = x->data + c * x->strides[1] + y * x->strides[2] + i * x->strides[3];
                const unsigned first = (unsigned)*at >> shift & mask;
                const unsigned second = !pairs               ? 0
                                        : i + 1 < x->dims[3] ? (unsigned)at[x->strides[3]] >> shift & mask
                                                             : zero;
                to->n[first | second << bits]++;
            }
}

static void observe(void *context, int32_t node, const nw_view *view)
{
    fit *f = context;
    const int32_t t = f->model->nodes[node].output;
    const nw_quant *q = &f->model->tensors[t].quant;
    if (!f->codes[t].bits)
        return;
    int64_t pixel_bits;
    const int32_t channels = nw_tensor_channels(&f->model->tensors[t]);
    const int32_t shift = nw_pixel_shift(channels, q->bits, q->shift, &pixel_bits);
    count_picture(&f->codes[t], view, NULL, q->bits - shift, shift, (uint8_t)(q->zero_point >> shift));
    if (!f->low[t].bits)
        return;
    for (int32_t c = 0; c < channels; c++)
        f->channels[c] = q->shift[c] < shift;
    count_picture(&f->low[t], view, f->channels, shift, 0, 0);
}

static nw_status take_memory(fit *f, const nw_model *model, nw_error *error)
{
    int32_t widest = 1;
    *f = (fit){.model = model,
               .codes = calloc((size_t)model->n_tensors, sizeof(counts)),
               .low = calloc((size_t)model->n_tensors, sizeof(counts))};
    for (int32_t t = 0; t < model->n_tensors; t++)
        if (nw_tensor_channels(&model->tensors[t]) > widest)
            widest = nw_tensor_channels(&model->tensors[t]);
    f->channels = malloc((size_t)widest);
    if (!f->codes || !f->low || !f->channels)
        return nw_fail_memory(error, "codes for stored activations");
    for (int32_t t = 0; t < model->n_tensors; t++) {
        nw_arena counting = {0};
        nw_stored form;
        if (!nw_stored_form(&form, model, t, &counting))
            continue;
        f->codes[t].bits = nw_symbol_bits(form.bits);
        f->low[t].bits = form.n_fine ? nw_symbol_bits(form.shift) : 0;
    }
    return NW_OK;
}

/** The network on every kept sample. */
static nw_status run_samples(fit *f, const nw_calibration *calibration, size_t threads, nw_error *error)
{
    const nw_model *model = f->model;
    nw_engine *engine = NULL;
    nw_threads *team = threads > 1 ? nw_threads_create(threads) : NULL;
    nw_input *inputs = calloc((size_t)model->n_inputs, sizeof(*inputs));
    float **outputs = calloc((size_t)model->n_outputs, sizeof(*outputs));
    nw_status status = inputs && outputs ? nw_engine_create(&engine, model, NULL, error)
                                         : nw_fail_memory(error, "codes for stored activations");
    for (int32_t i = 0; !status && i < model->n_outputs; i++) {
        outputs[i] = malloc(nw_tensor_elements(&model->tensors[model->outputs[i]]) * sizeof(float));
        if (!outputs[i])
            status = nw_fail_memory(error, "codes for stored activations");
    }
    const nw_run_options options = {.threads = team, .observer = observe, .context = f};
    for (int32_t s = 0; !status && s < calibration->n_kept; s++) {
        for (int32_t i = 0; i < model->n_inputs; i++)
            inputs[i].values =
                calibration->kept[i] + (size_t)s * nw_tensor_elements(&model->tensors[model->inputs[i]]);
        status = nw_engine_run_with(engine, inputs, outputs, &options);
    }
    for (int32_t i = 0; outputs && i < model->n_outputs; i++)
        free(outputs[i]);
    free(outputs);
    free(inputs);
    nw_threads_free(team);
    nw_engine_free(engine);
    return status;
}

static double entropy_of(const uint64_t *a, const uint64_t *b)
{
    double sum = 0.0;
    double bits = 0.0;
    for (int32_t i = 0; i < NW_PREFIX_SYMBOLS; i++) {
        const double n = (double)(a[i] + (b ? b[i] : 0));
        sum += n;
        bits -= n > 0.0 ? n * log2(n) : 0.0;
    }
    return sum > 0.0 ? bits + sum * log2(sum) : 0.0;
}

/** The two that lose least by sharing a code; false if there are no two. */
static bool closest(const counts *c, int32_t n, double *loss, int32_t *a, int32_t *b)
{
    double least = INFINITY;
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = i + 1; j < n; j++)
            if (c[i].bits && c[i].bits == c[j].bits && loss[(size_t)i * (size_t)n + (size_t)j] < least) {
                least = loss[(size_t)i * (size_t)n + (size_t)j];
                *a = i;
                *b = j;
            }
    return least < INFINITY;
}

static void measure_losses(const counts *c, int32_t n, int32_t i, double *loss)
{
    for (int32_t j = 0; j < n; j++)
        if (j != i && c[i].bits && c[j].bits == c[i].bits)
            loss[(size_t)(i < j ? i : j) * (size_t)n + (size_t)(i < j ? j : i)] =
                entropy_of(c[i].n, c[j].n) - c[i].entropy - c[j].entropy;
}

/** Joins counts until at most NW_STORED_CODES are left, or none have the same symbols. False without memory. */
static bool join(counts *c, int32_t n)
{
    double *loss = malloc((size_t)n * (size_t)n * sizeof(*loss));
    int32_t left = 0;
    int32_t a = 0;
    int32_t b = 0;
    if (!loss)
        return false;
    for (int32_t i = 0; i < n; i++) {
        c[i].joined = i;
        c[i].entropy = entropy_of(c[i].n, NULL);
        left += c[i].bits > 0;
    }
    for (int32_t i = 0; i < n; i++)
        measure_losses(c, n, i, loss);
    for (; left > NW_STORED_CODES && closest(c, n, loss, &a, &b); left--) {
        for (int32_t s = 0; s < NW_PREFIX_SYMBOLS; s++)
            c[a].n[s] += c[b].n[s];
        c[a].entropy = entropy_of(c[a].n, NULL);
        c[b].bits = 0;
        c[b].joined = a;
        measure_losses(c, n, a, loss);
    }
    free(loss);
    return true;
}

/** Appends a code for what was counted, and sets *index, 1 + its place, unless it saves less than `gain`. */
static bool add_code(nw_model *model, const counts *c, double gain, uint16_t *index, double *total)
{
    const size_t n = (size_t)1 << c->bits;
    nw_symbol_code code = {.bits = (uint8_t)c->bits};
    double bits = 0.0;
    double plain = 0.0;
    nw_prefix_code_make(code.lengths, c->n, n);
    for (size_t s = 0; s < n; s++) {
        bits += (double)c->n[s] * code.lengths[s];
        plain += (double)c->n[s] * c->bits;
    }
    *index = 0;
    *total += bits > (1.0 - gain) * plain ? plain : bits;
    if (bits > (1.0 - gain) * plain)
        return true;
    nw_symbol_code *grown = realloc(model->symbol_codes, (size_t)(model->n_symbol_codes + 1) * sizeof(*grown));
    if (!grown)
        return false;
    grown[model->n_symbol_codes++] = code;
    model->symbol_codes = grown;
    *index = (uint16_t)model->n_symbol_codes;
    return true;
}

/** Codes for all that was counted, as indices by tensor. */
static bool add_codes(nw_model *model, counts *c, double gain, uint16_t *index, double *total)
{
    if (!join(c, model->n_tensors))
        return false;
    for (int32_t t = 0; t < model->n_tensors; t++)
        if (c[t].bits && !add_code(model, &c[t], gain, &index[t], total))
            return false;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        int32_t whose = t;
        while (c[whose].joined != whose)
            whose = c[whose].joined;
        index[t] = index[whose];
    }
    return true;
}

static void measure(nw_stored_codes *about, fit *f, int32_t n_samples)
{
    double entropy = 0.0;
    for (int32_t t = 0; t < f->model->n_tensors; t++) {
        entropy += entropy_of(f->codes[t].n, NULL) + entropy_of(f->low[t].n, NULL);
        f->values += f->codes[t].bits ? (double)n_samples * (double)nw_tensor_elements(&f->model->tensors[t]) : 0.0;
    }
    f->values = f->values > 0.0 ? f->values : 1.0;
    about->entropy = entropy / f->values;
}

static bool settle(nw_model *model, fit *f)
{
    uint16_t *codes = calloc((size_t)model->n_tensors, sizeof(*codes));
    uint16_t *low = calloc((size_t)model->n_tensors, sizeof(*low));
    const bool done = codes && low && add_codes(model, f->codes, 0.0, codes, &f->bits) &&
                      add_codes(model, f->low, 0.02, low, &f->bits);
    for (int32_t t = 0; done && t < model->n_tensors; t++) {
        model->tensors[t].quant.code = codes[t];
        model->tensors[t].quant.low_code = codes[t] ? low[t] : 0;
    }
    free(codes);
    free(low);
    return done;
}

nw_status nw_stored_codes_fit(nw_stored_codes *about, nw_model *model, const nw_calibration *calibration,
                              size_t threads, nw_error *error)
{
    fit f;
    if (!calibration->n_kept)
        return nw_fail(error, NW_ERROR_USAGE, "no calibration sample was kept that codes could be fitted to");
    nw_status status = take_memory(&f, model, error);
    if (!status)
        status = run_samples(&f, calibration, threads, error);
    if (!status)
        measure(about, &f, calibration->n_kept);
    if (!status && !settle(model, &f))
        status = nw_fail_memory(error, "codes for stored activations");
    if (!status)
        about->bits = f.bits / f.values;
    free(f.codes);
    free(f.low);
    free(f.channels);
    return status;
}
