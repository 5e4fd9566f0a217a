/* SPDX-License-Identifier: Apache-2.0 */
/* narrow COMMAND ...: finds the command, prints its error sentence, ends with its exit code (docs/command-line.md). */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "cli/commands.h"

#define OWN_PAGES (4 << 20) /* bytes from which on memory goes back to the system when it is freed */

static const struct command {
    const char *name;
    nw_command *run;
    const char *summary;
} commands[] = {
    {"quantize", nw_command_quantize, "float ONNX in, network of narrow integers out"},
    {"plan", nw_command_plan, "who gets how many bits, for a goal of size or accuracy"},
    {"eval", nw_command_eval, "accuracy on labelled data, agreement with the float network"},
    {"run", nw_command_run, "answer for one picture"},
    {"bench", nw_command_bench, "time per layer, beside float"},
    {"inspect", nw_command_inspect, "layers, widths, sizes"},
    {"report", nw_command_report, "one HTML page: sizes, errors, speed, and why"},
    {"verify", nw_command_verify, "check a .nw file and print the hash of every intermediate tensor"},
    {"tune", nw_command_tune, "what runs a network fastest on this machine"},
    {"cpu", nw_command_cpu, "kernel families this machine can run"},
};

static void print_usage(FILE *to)
{
    fprintf(to, "narrow COMMAND ...    a float CNN in, a network of narrow integers out\n\n");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fprintf(to, "    %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(to, "\n`narrow COMMAND --help` lists a command's options. Exit codes: 0 done, 1 goal missed, 2 usage,\n"
                "3 model not supported, 4 bad data or file, 5 out of memory or internal.\n");
}

/**
 * The float engine's OpenMP threads must not spin beside ours, and libgomp reads that wish before main: so it is set
 * and the program started once more. Where that is not possible things are only slower.
 */
static void forbid_spinning(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY") || setenv("GOMP_SPINCOUNT", "0", 1))
        return;
    execv("/proc/self/exe", argv);
}

/**
 * glibc would keep what is freed below 32 MB for the next one, and between layers of different size that fits badly.
 */
static void give_memory_back(void)
{
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, OWN_PAGES);
#endif
}

/** The exit code; a report that did not reach its reader is a failure. */
static int finish(nw_status status)
{
    if (!status && (fflush(stdout) || ferror(stdout))) {
        fprintf(stderr, "narrow: the report cannot be written to standard output\n");
        status = NW_ERROR_DATA;
    }
    return nw_status_exit_code(status);
}

int main(int argc, char **argv)
{
    forbid_spinning(argv);
    give_memory_back();
    if (argc < 2) {
        print_usage(stderr);
        return nw_status_exit_code(NW_ERROR_USAGE);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return finish(NW_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("narrow %s\n", NARROW_VERSION);
        return finish(NW_OK);
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        nw_error error = {""};
        const nw_status status = commands[i].run(argc - 1, argv + 1, &error);
        if (error.message[0])
            fprintf(stderr, "narrow: %s\n", error.message);
        return finish(status);
    }
    fprintf(stderr, "narrow: %s: no such command; see `narrow --help`\n", argv[1]);
    return nw_status_exit_code(NW_ERROR_USAGE);
}
