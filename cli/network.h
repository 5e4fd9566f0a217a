/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network of either kind behind one interface: float ONNX on the float engine, .nw on the integer engine.
 *
 *     nw_network network;
 *     NW_TRY(nw_network_open(&network, "net.nw", 2, 16, error));
 *     NW_TRY(nw_network_run(&network, data, first, n, outputs, error));
 *     nw_network_close(&network);
 */
#ifndef NARROW_CLI_NETWORK_H
#define NARROW_CLI_NETWORK_H

#include "data/dataset.h"
#include "float/engine.h"
#include "model/model.h"
#include "narrow/narrow.h"
#include "runtime/engine.h"
#include "runtime/tuning.h"

typedef struct nw_network {
    nw_model *model;
    bool integer;
    int32_t batch;           /* samples of one nw_network_run at most */
    nw_float_engine *floats; /* float networks */
    nw_engine *engine;       /* integer networks */
    nw_fusion fusion;        /* of the engine */
    int32_t n_tuned;         /* layers that are computed as `narrow tune` chose, not as without it */
    nw_threads *threads;
    nw_engine_observer *observer; /* integer networks: NULL, or what looks at every tensor of every run ... */
    void *context;           /* ... with this */
    float *input;            /* [batch, sample] scratch */
    uint8_t *pixels;         /* [sample] scratch */
} nw_network;

/** True if the file is a float network by its name (.onnx). */
bool nw_path_is_onnx(const char *path);

/** Imports an ONNX file and runs the graph passes; an unsupported one has everything it lacks listed on stderr. */
nw_status nw_float_model_read(nw_model **out, const char *path, nw_error *error);

/** What the options below say; {0}: bytes. */
typedef struct nw_storage_options {
    const char *name, *fuse, *table;
    bool tuned, direct;
    int64_t budget;
} nw_storage_options;

/** Table entries for the commands that run integer networks. */
#define NW_STORAGE_OPTIONS(o)                                                                   \
    {"activation-storage", "KIND", NW_OPTION_TEXT, &(o)->name,                                  \
     "bytes, packed (own width: smaller, same answers), coded or huffman (fewer bytes still)"}, \
    {"arena-budget", "BYTES", NW_OPTION_NUMBER, &(o)->budget,                                   \
     "coded, huffman: bytes for stored activations alive at once"},                             \
    {"fuse", "HOW", NW_OPTION_TEXT, &(o)->fuse,                                                 \
     "layers in one pass over strips of rows, same answers: none, fast, small (least memory)"}, \
    {"direct", NULL, NW_OPTION_FLAG, &(o)->direct,                                              \
     "3 x 3 layers without Winograd's convolution: less memory, same answers"},                 \
    NW_TUNED_OPTIONS(o)

#define NW_TUNED_OPTIONS(o)                                                                                            \
    {"tuned", NULL, NW_OPTION_FLAG, &(o)->tuned,                                                                       \
     "kernels and fusion as `narrow tune` measured them here, same answers (--fuse has the last word)"},               \
    {"table", "FILE", NW_OPTION_TEXT, &(o)->table, "--tuned: the table, as `narrow tune --table` keeps it"}

/**
 * Fills in storage, arena_budget and fusion. NW_ERROR_USAGE for unknown names, and a budget with bytes or packed
 * storage.
 */
nw_status nw_storage_settle(nw_engine_options *out, const nw_storage_options *options, nw_error *error);

/**
 * After nw_storage_settle: fills in what `--tuned` says of this network (cli/tuned.h); a fusion that was asked for
 * stays.
 *
 * @param tuning  holds what *out points to; to be freed when the engine is built, whatever is returned
 */
nw_status nw_storage_tune(nw_engine_options *out, nw_tuning *tuning, const nw_storage_options *options,
                          const nw_model *model, nw_error *error);

/** Bits that a code of the stored tensors took, over all runs; 8 if none is stored. */
double nw_traffic_bits_per_value(const nw_traffic *traffic);

/** nw_network_open, integer networks with that storage. */
nw_status nw_network_open_stored(nw_network *network, const char *path, int64_t threads, int32_t batch,
                                 const nw_storage_options *storage, nw_error *error);

/** Opens .onnx or .nw. `threads` 0: OMP_NUM_THREADS or all processors. {0} is safe to close after a failure. */
nw_status nw_network_open(nw_network *network, const char *path, int64_t threads, int32_t batch, nw_error *error);
void nw_network_close(nw_network *network);

/** Memory for one sample's outputs, each as large as it is; NULL without memory. */
float **nw_network_outputs(const nw_model *model);
void nw_network_outputs_free(float **outputs, const nw_model *model);

/** Floats of the input for one sample. */
size_t nw_network_input_size(const nw_network *network);

/** Floats of output 0 for one sample. */
size_t nw_network_output_size(const nw_network *network);

/**
 * Runs samples first .. first+n-1 (n <= batch) of the data.
 * @param outputs  [n, output size] of output 0
 */
nw_status nw_network_run(nw_network *network, const nw_dataset *data, size_t first, size_t n, float *outputs,
                         nw_error *error);

/** Most threads a command accepts. */
#define NW_MAX_THREADS 256

/** NW_ERROR_USAGE unless 0 <= n <= NW_MAX_THREADS. */
nw_status nw_thread_count_check(int64_t n, nw_error *error);

/** Threads for a request of n: n, or OMP_NUM_THREADS, or one per processor; at most NW_MAX_THREADS. */
size_t nw_thread_count(int64_t n);

#endif
