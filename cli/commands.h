/* SPDX-License-Identifier: Apache-2.0 */
/* The commands: each parses its own arguments, prints its report and returns a status (its exit code). */
#ifndef NARROW_CLI_COMMANDS_H
#define NARROW_CLI_COMMANDS_H

#include "base/error.h"

typedef nw_status nw_command(int argc, char **argv, nw_error *error);

nw_command nw_command_quantize, nw_command_plan, nw_command_eval, nw_command_run, nw_command_bench, nw_command_inspect,
    nw_command_report, nw_command_verify, nw_command_tune, nw_command_cpu;

#endif
