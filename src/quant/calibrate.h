/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calibration: runs a float network over samples and remembers what its tensors held. Memory does not depend on the
 * number of samples: fixed-size statistics per channel (observe.h) and a bounded number of samples kept for bias
 * correction.
 *
 *     nw_calibration *calibration;
 *     nw_calibrate_options options = NW_CALIBRATE_DEFAULTS;
 *     NW_TRY(nw_calibrate(&calibration, model, &source, &options, error));
 *     NW_TRY(nw_quantize(&integer_model, model, calibration, &quantize_options, error));
 *     nw_calibration_free(calibration);
 */
#ifndef NARROW_QUANT_CALIBRATE_H
#define NARROW_QUANT_CALIBRATE_H

#include <stdint.h>

#include "model/model.h"
#include "quant/observe.h"

typedef struct nw_calibration {
    int32_t n_tensors;
    nw_tensor_stats *tensors; /* [n_tensors] by tensor index of the float model; constants have no channels */
    int64_t n_samples;        /* samples seen */
    int32_t n_inputs;         /* graph inputs */
    int32_t n_kept;           /* samples kept, spread evenly over those seen */
    float **kept;             /* [n_inputs] owned, each [n_kept, ...] */
    int32_t n_pool;           /* samples for learn.c, spread evenly over those seen */
    float **pool;             /* [n_inputs] owned, each [n_pool, ...] */
} nw_calibration;

/** Where samples come from. */
typedef struct nw_sample_source {
    /** Writes sample `index` (0 .. n_samples-1, asked for in order): inputs[i] takes one sample of graph input i. */
    nw_status (*read)(void *context, int64_t index, float *const *inputs, nw_error *error);
    void *context;
    int64_t n_samples; /* >= 1 */
} nw_sample_source;

typedef struct nw_calibrate_options {
    int32_t batch;    /* samples per run of the float engine, >= 1; the statistics do not depend on it */
    int32_t max_kept; /* most samples to keep; 0: 8 to auto_kept, as memory for inputs and activations allows */
    int32_t auto_kept; /* >= 8 */
    int32_t max_pool; /* most samples of the pool; fewer where these would take more than 64 MiB */
    /** Called after every batch; NULL for none. */
    void (*progress)(void *context, int64_t done, int64_t total);
    void *progress_context;
} nw_calibrate_options;

/* Kept so that 100 samples take as much memory as any larger number. */
#define NW_CALIBRATE_DEFAULTS {.batch = 8, .auto_kept = 96}

/**
 * Runs every sample through the float engine and gathers statistics of all activations.
 *
 * @param model   as the passes leave it; borrowed for the call
 * @return what `read` or the float engine returned; NW_ERROR_DATA naming a tensor with a value that is not finite;
 *         NW_ERROR_USAGE without samples; NW_ERROR_MEMORY
 */
nw_status nw_calibrate(nw_calibration **out, const nw_model *model, const nw_sample_source *source,
                       const nw_calibrate_options *options, nw_error *error);

void nw_calibration_free(nw_calibration *calibration);

/** An empty calibration for the tensors of a model: what nw_calibrate starts from. NULL without memory. */
nw_calibration *nw_calibration_create(const nw_model *model);

#endif
