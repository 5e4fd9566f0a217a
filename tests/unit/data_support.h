/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures, arrays and folders made up for the tests of src/data. */
#ifndef NARROW_TESTS_DATA_SUPPORT_H
#define NARROW_TESTS_DATA_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/error.h"

/** assert_int_equal with the error's sentence when it is not. */
#define assert_ok(call, error)                               \
    do {                                                     \
        if ((call) != NW_OK)                                 \
            fail_msg("%s: %s", #call, (error).message);      \
    } while (0)

/** The call fails as bad data, with a sentence that holds `text`. */
#define assert_refused(call, error, text)                                             \
    do {                                                                              \
        (error).message[0] = 0;                                                       \
        assert_int_equal(call, NW_ERROR_DATA);                                        \
        if (!strstr((error).message, text))                                           \
            fail_msg("%s: \"%s\" says nothing of \"%s\"", #call, (error).message, text); \
    } while (0)

/** The pattern of compare_pillow.py. */
uint8_t pattern_at(size_t y, size_t x, size_t c, uint32_t seed);

/** A PNG of any colour type and depth; `rows` as PNG stores them, without filter bytes. The caller frees. */
nw_bytes make_png(int color_type, int depth, size_t height, size_t width, const uint8_t *rows, size_t row_bytes,
                  const uint8_t *palette, int n_palette);

/** A JPEG of [height, width, channels], quality 90; 4 channels are CMYK. The caller frees. */
nw_bytes make_jpeg(const uint8_t *pixels, size_t height, size_t width, int channels, int progressive);

/** A version 1 .npy. `descr` and `shape` as they stand in the header: "<f4", "(2, 3)". The caller frees. */
nw_bytes make_npy(const char *descr, const char *shape, const void *values, size_t size);

/** A zip of the given files, `deflated` or stored. The caller frees. */
nw_bytes make_zip(const char *const *names, const nw_bytes *files, size_t n, int deflated);

/** Makes an empty folder of its own for a test; its path lives until the next call. */
const char *scratch_folder(void);

/** scratch folder + "/" + name, in one of a few static buffers that are used in turn. */
const char *scratch_path(const char *name);

/** Writes scratch/name, making folders on the way; takes the bytes over. Text: scratch_text. */
void scratch_file(const char *name, nw_bytes take);
void scratch_text(const char *name, const char *text);
void scratch_make_folder(const char *name);

/** Removes what scratch_folder made. */
void scratch_remove(void);

#endif
