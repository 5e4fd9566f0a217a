/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines: a command declares its options in one table, which parses them, checks them and prints --help.
 *
 *     const char *data = NULL;
 *     bool json = false;
 *     const nw_option options[] = {
 *         {"data", "PATH", NW_OPTION_TEXT, &data, "images to evaluate on"},
 *         {"json", NULL, NW_OPTION_FLAG, &json, "one JSON document on stdout"},
 *         NW_OPTIONS_END,
 *     };
 *     const nw_command_line line = {"eval", "MODEL", "accuracy on labelled data",
 *                                   "narrow eval net.nw --data test/", options};
 *     NW_TRY(nw_args_parse(&line, argc, argv, positional, 1, 1, error));
 */
#ifndef NARROW_CLI_ARGS_H
#define NARROW_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef enum nw_option_kind {
    NW_OPTION_FLAG,   /* bool: --name sets it, --no-name clears it */
    NW_OPTION_TEXT,   /* const char *: borrowed from argv */
    NW_OPTION_NUMBER, /* int64_t: decimal, >= 0 */
    NW_OPTION_REAL    /* double: finite */
} nw_option_kind;

typedef struct nw_option {
    const char *name;  /* without dashes */
    const char *value; /* its name in --help, NULL for flags */
    nw_option_kind kind;
    void *target;
    const char *help;
} nw_option;

#define NW_OPTIONS_END {NULL, NULL, NW_OPTION_FLAG, NULL, NULL}

typedef struct nw_command_line {
    const char *command;
    const char *positional; /* "MODEL IMAGE" */
    const char *summary;    /* one line */
    const char *example;
    const nw_option *options;
} nw_command_line;

/**
 * Parses argv[1..]. Options may stand anywhere, as --name value or --name=value; "--" ends them. "-o" is "--output"
 * where a command has that.
 *
 * @param positional  [most] receives the other arguments; entries not given stay NULL
 * @param help        set when --help was asked for (and printed on stdout): the caller returns NW_OK at once
 * @return NW_ERROR_USAGE with a sentence naming the argument
 */
nw_status nw_args_parse(const nw_command_line *line, int argc, char **argv, const char **positional, int least,
                        int most, bool *help, nw_error *error);

#endif
