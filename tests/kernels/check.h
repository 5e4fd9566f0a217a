/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel checks share: random numbers that a seed repeats, memory with unreadable ends, the report of a
 * difference. A check compares one entry of two function tables, the reference's and a faster one's, byte for byte:
 *
 *     check c;
 *     check_init(&c, seed, filter);
 *     check_gemm(&c, &ref, &opt);     // any two tables: real kernels, emulated ones, planted errors
 *     ... c.n_failed
 *
 * kernelcheck.c walks the levels; main.c makes the levels of this machine.
 */
#ifndef NARROW_TESTS_KERNELS_CHECK_H
#define NARROW_TESTS_KERNELS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

/** One kernel family to check: a table made by any means, or the reason why it cannot run here. */
typedef struct check_level {
    const char *name;
    nw_kernels kernels;
    const char *skip; /* NULL if it can run */
} check_level;

typedef struct check {
    uint64_t seed;
    const char *filter; /* part of an entry's name, or NULL for all */
    const char *level;  /* for messages */
    bool quiet;         /* count failures, print nothing */
    uint64_t state;     /* of the random numbers */
    const char *entry;
    int64_t index;      /* of the case within the entry */
    int64_t n_cases, n_failed;
    int32_t n_shown;
    char what[256];     /* the case, in words */
} check;

void check_init(check *c, uint64_t seed, const char *filter);

/** False if the filter leaves the entry out. */
bool check_entry(check *c, const char *entry);
/** Starts the next case of the entry: the same seed, entry and index give the same numbers. */
void check_case(check *c);
/** Puts the case in words, for the message of a failure. */
NW_PRINTF(2, 3) void check_describe(check *c, const char *format, ...);
/** Reports a failure unless the bytes agree. */
void check_equal(check *c, const char *of, const void *want, const void *got, size_t size);
/** Reports a failure unless `ok`. */
void check_true(check *c, const char *of, bool ok);

uint64_t check_random(check *c);
/** Uniform in [lo, hi]. */
int32_t check_range(check *c, int32_t lo, int32_t hi);
/** Uniform in [lo, hi). */
float check_float(check *c, float lo, float hi);
/** True once in n. */
bool check_one_in(check *c, int32_t n);

/**
 * `size` bytes that end at an unreadable page (up to `align` - 1 spare bytes), so a read past the end is a crash;
 * filled with random bytes. Slots keep their memory until the next call for the same slot; ownership stays here.
 */
#define CHECK_SLOTS 40
void *check_alloc(check *c, int32_t slot, size_t size, size_t align);

void check_gemm(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_gemm_narrow(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_winograd(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_depthwise(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_add(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_multiply(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_max_pool(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_average_pool(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_float_line(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_resize_codes(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_resize_reals(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_table(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_tables(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_transpose(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_unpack(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_squeeze(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_expand(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_pack(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_quantize(check *c, const nw_kernels *ref, const nw_kernels *opt);
void check_dequantize(check *c, const nw_kernels *ref, const nw_kernels *opt);

/** Which parts of nw_requant a case exercises. */
typedef struct check_requant_kind {
    bool shift, residual, wrap16, float_output;
    int32_t n_extra;
    float magnitude; /* about how large |acc| gets */
} check_requant_kind;

/** A random, valid nw_requant over n channels in guarded slots [slot, slot + 11). */
void check_requant(check *c, nw_requant *requant, int32_t slot, int32_t n, const check_requant_kind *kind);

/** The options of the program, without printing of help: see kernelcheck.c. Returns the exit code. */
int kernelcheck(int argc, char **argv, const nw_kernels *ref, const check_level *levels, size_t n_levels);

#endif
