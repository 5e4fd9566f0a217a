/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How every Narrow function reports failure.
 *
 *     nw_error error;
 *     nw_model *model;
 *     nw_status status = nw_model_load(&model, "net.nw", &error);
 *     if (status) {
 *         fprintf(stderr, "%s\n", error.message);
 *         return nw_status_exit_code(status);
 *     }
 */
#ifndef NARROW_STATUS_H
#define NARROW_STATUS_H

#if defined(_WIN32)
#define NW_API
#else
#define NW_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Result of a call. The values up to 5 are also the exit codes of the command line. */
typedef enum nw_status {
    NW_OK = 0,                /* done */
    NW_GOAL_MISSED = 1,       /* ran, but accuracy, size, time or verification goal was not met */
    NW_ERROR_USAGE = 2,       /* wrong arguments */
    NW_ERROR_UNSUPPORTED = 3, /* the model holds something Narrow does not support */
    NW_ERROR_DATA = 4,        /* a file or its content is missing, damaged or contradictory */
    NW_ERROR_MEMORY = 5,      /* out of memory */
    NW_ERROR_INTERNAL = 6     /* a bug of ours; exit code 5 */
} nw_status;

/**
 * One sentence for the user, NUL-terminated, without a line break: which file, node or option, what is wrong and
 * what to do. A null pointer is accepted wherever an `nw_error *` is taken. Untouched on success.
 */
typedef struct nw_error {
    char message[512];
} nw_error;

/** Exit code of the command line for a status: 0 to 5. */
NW_API int nw_status_exit_code(nw_status status);

#ifdef __cplusplus
}
#endif

#endif
