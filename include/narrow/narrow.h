/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libnarrow: load an integer network, check it, run it. Depends on the C library, cJSON and pthreadpool.
 *
 *     nw_model *model;
 *     nw_engine *engine;
 *     if (nw_model_read(&model, "net.nw", &error) || nw_engine_create(&engine, model, NULL, &error))
 *         return fail(error.message);
 *     float logits[1000];
 *     nw_input input = {.pixels = picture};                       // [H, W, C] bytes, already resized and cropped
 *     nw_engine_run(engine, &input, (float *[]){logits}, NULL);   // allocates nothing
 *     nw_engine_free(engine);
 *     nw_model_free(model);
 *
 * The outputs depend on the model and the input alone: not on the CPU, the kernels chosen or the number of threads.
 */
#ifndef NARROW_NARROW_H
#define NARROW_NARROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "narrow/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Version of the library, e.g. "0.1.0". */
NW_API const char *nw_version(void);

/** A network; read-only once loaded, may be shared by engines. */
typedef struct nw_model nw_model;
/** A network made ready for this CPU: packed weights and one arena for its activations. One run at a time. */
typedef struct nw_engine nw_engine;
/** A team of threads; may serve several engines, one run at a time. */
typedef struct nw_threads nw_threads;

/** Reads and checks a .nw file. NW_ERROR_DATA or NW_ERROR_MEMORY; *out untouched then. */
NW_API nw_status nw_model_read(nw_model **out, const char *path, nw_error *error);

/** Frees a model; NULL is fine. The engines made from it must be freed before. */
NW_API void nw_model_free(nw_model *model);

/** A team of n threads, the caller's among them; NULL without memory. n = 0 means one per processor. */
NW_API nw_threads *nw_threads_create(size_t n);
NW_API void nw_threads_free(nw_threads *threads);
NW_API size_t nw_threads_count(const nw_threads *threads);
/** Puts idle threads to sleep at once; they spin for some milliseconds after a run otherwise. NULL is fine. */
NW_API void nw_threads_rest(nw_threads *threads);

/** How the activations between layers lie in memory. It never changes a bit of any result (but see arena_budget). */
typedef enum nw_storage {
    NW_STORAGE_BYTES, /* every code in a byte: fastest */
    NW_STORAGE_PACKED, /* pictures of codes below 8 bits at their own width: smaller, some work to pack and unpack */
    NW_STORAGE_CODED,  /* besides, rows with many zeros as a map of them and the rest: fewer bytes moved, more work */
    NW_STORAGE_HUFFMAN /* rows in words of the prefix codes that the network has for its tensors: fewest bytes, most
                          work */
} nw_storage;

/**
 * Which layers run in one pass over strips of rows, so that what lies between them never is in memory as a whole. No
 * bits change.
 */
typedef enum nw_fusion {
    NW_FUSION_NONE,  /* each by itself */
    NW_FUSION_FAST,  /* where what lies between is larger than caches */
    NW_FUSION_SMALL  /* where that makes the arena smaller */
} nw_fusion;

/** How one layer is computed, as `narrow tune` found fastest; src/runtime/choice.h. */
typedef struct nw_choice nw_choice;

/** How an engine is built; {0} is what the functions without options build. */
typedef struct nw_engine_options {
    const char *isa;    /* kernel family by name; NULL: the environment variable NARROW_ISA, or the best one */
    nw_storage storage;
    nw_fusion fusion;
    size_t fusion_bytes;   /* fast: tensors of more bytes are worth it; 0: 300000 */
    size_t fusion_scratch; /* bytes for the rows between layers, per thread, where there is a choice; 0: 200000 */
    const nw_choice *choices; /* NULL, or of every node; borrowed while the engine is built. No bits change */
    size_t threads;     /* most threads that will work at once where each needs memory of its own (3 x 3 layers, fusion,
                           storage other than bytes); more of them rest there. 0: one, four at most in 3 x 3 layers */
    bool direct;        /* 3 x 3 layers without Winograd's convolution, whose weights take eight times their bytes in
                           the engine; always so with NW_FUSION_SMALL and storage other than bytes. No bits change */
    size_t arena_budget; /* coded, huffman: bytes for stored tensors alive at once; 0: what they need. With less, rows
                            that do not fit lose the low bits of channels with more bits than others: results depend on
                            the budget,
                            and on nothing else. NW_GOAL_MISSED if even that does not fit */
} nw_engine_options;

/**
 * Bytes of the block an engine lives in.
 *
 * @param isa    kernel family by name ("ref", "avx2", ...); NULL: the environment variable NARROW_ISA, or the best one
 */
NW_API nw_status nw_engine_size(size_t *size, const nw_model *model, const char *isa, nw_error *error);

/**
 * Builds an engine inside `block` (aligned to 64 bytes, `size` as nw_engine_size said for the same isa). Nothing has to
 * be freed but the block. The model may be freed afterwards.
 */
NW_API nw_status nw_engine_init(nw_engine **out, const nw_model *model, const char *isa, void *block, size_t size,
                                nw_error *error);

/** The same with a block from the heap, to be freed with nw_engine_free. */
NW_API nw_status nw_engine_create(nw_engine **out, const nw_model *model, const char *isa, nw_error *error);
NW_API void nw_engine_free(nw_engine *engine);

/* The same three with options; NULL is {0}. An engine is initialised with the options that its size was asked for. */
NW_API nw_status nw_engine_size_with(size_t *size, const nw_model *model, const nw_engine_options *options,
                                     nw_error *error);
NW_API nw_status nw_engine_init_with(nw_engine **out, const nw_model *model, const nw_engine_options *options,
                                     void *block, size_t size, nw_error *error);
NW_API nw_status nw_engine_create_with(nw_engine **out, const nw_model *model, const nw_engine_options *options,
                                       nw_error *error);

/** One sample of one input: exactly one of the two is set. */
typedef struct nw_input {
    const float *values;   /* reals in ONNX's layout, e.g. [C, H, W] */
    const uint8_t *pixels; /* [H, W, C] pixels 0..255; only for models that carry pixel tables */
} nw_input;

/**
 * Runs one sample.
 *
 * @param inputs   [number of inputs of the network]
 * @param outputs  [number of outputs] each with room for the output's elements; filled in ONNX's layout
 * @param threads  NULL for the calling thread alone
 * @return NW_ERROR_USAGE if an input has neither values nor pixels, or pixels where the model has no table for them
 */
NW_API nw_status nw_engine_run(nw_engine *engine, const nw_input *inputs, float *const *outputs, nw_threads *threads);

#ifdef __cplusplus
}
#endif

#endif
