/* SPDX-License-Identifier: Apache-2.0 */
/* See args.h. */
#include "cli/args.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_help(const nw_command_line *line)
{
    printf("narrow %s %s\n\n%s\n\n", line->command, line->positional, line->summary);
    printf("example:\n    %s\n\noptions:\n", line->example);
    for (const nw_option *o = line->options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("    %-28s %s\n", left, o->help);
    }
    printf("    %-28s %s\n", "--help", "this text");
}

static nw_status set_value(const nw_option *o, const char *value, nw_error *error)
{
    char *end;
    errno = 0;
    if (o->kind == NW_OPTION_TEXT) {
        *(const char **)o->target = value;
        return NW_OK;
    }
    if (o->kind == NW_OPTION_NUMBER) {
        const long long number = strtoll(value, &end, 10);
        if (errno || end == value || *end || number < 0)
            return nw_fail(error, NW_ERROR_USAGE, "--%s %s: not a whole number", o->name, value);
        *(int64_t *)o->target = number;
        return NW_OK;
    }
    const double real = strtod(value, &end);
    if (errno || end == value || *end || !isfinite(real))
        return nw_fail(error, NW_ERROR_USAGE, "--%s %s: not a number", o->name, value);
    *(double *)o->target = real;
    return NW_OK;
}

static const nw_option *find(const nw_option *options, const char *name, size_t length)
{
    for (const nw_option *o = options; o->name; o++)
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
            return o;
    return NULL;
}

/** Handles one option; *i advances over a value that stands in an argument of its own. */
static nw_status parse_option(const nw_command_line *line, int argc, char **argv, int *i, nw_error *error)
{
    const char *name = argv[*i] + 2;
    const char *equals = strchr(name, '=');
    const size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const nw_option *o = find(line->options, name, length);
    if (!o && !equals && strncmp(name, "no-", 3) == 0) {
        o = find(line->options, name + 3, length - 3);
        if (o && o->kind == NW_OPTION_FLAG) {
            *(bool *)o->target = false;
            return NW_OK;
        }
        o = NULL;
    }
    if (!o)
        return nw_fail(error, NW_ERROR_USAGE, "--%.*s: no such option; see `narrow %s --help`", (int)length, name,
                       line->command);
    if (o->kind == NW_OPTION_FLAG) {
        if (equals)
            return nw_fail(error, NW_ERROR_USAGE, "--%s takes no value", o->name);
        *(bool *)o->target = true;
        return NW_OK;
    }
    if (!equals && *i + 1 >= argc)
        return nw_fail(error, NW_ERROR_USAGE, "--%s needs a value", o->name);
    return set_value(o, equals ? equals + 1 : argv[++*i], error);
}

nw_status nw_args_parse(const nw_command_line *line, int argc, char **argv, const char **positional, int least,
                        int most, bool *help, nw_error *error)
{
    int n = 0;
    bool options_ended = false;
    *help = false;
    for (int i = 1; i < argc; i++) {
        if (!options_ended && strcmp(argv[i], "--help") == 0) {
            print_help(line);
            *help = true;
            return NW_OK;
        }
        if (!options_ended && strcmp(argv[i], "--") == 0) {
            options_ended = true;
        } else if (!options_ended && strcmp(argv[i], "-o") == 0 && find(line->options, "output", 6)) {
            if (i + 1 >= argc)
                return nw_fail(error, NW_ERROR_USAGE, "-o needs a value");
            NW_TRY(set_value(find(line->options, "output", 6), argv[++i], error));
        } else if (!options_ended && strncmp(argv[i], "--", 2) == 0) {
            NW_TRY(parse_option(line, argc, argv, &i, error));
        } else if (n < most) {
            positional[n++] = argv[i];
        } else {
            return nw_fail(error, NW_ERROR_USAGE, "%s: one argument too many; see `narrow %s --help`", argv[i],
                           line->command);
        }
    }
    if (n < least)
        return nw_fail(error, NW_ERROR_USAGE, "`narrow %s` needs %s; see `narrow %s --help`", line->command,
                       line->positional, line->command);
    return NW_OK;
}
