/* SPDX-License-Identifier: Apache-2.0 */
/* narrow cpu: which kernel families this machine can run, and which one NARROW_ISA or the default picks. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/report.h"
#include "kernels/cpu.h"

nw_status nw_command_cpu(int argc, char **argv, nw_error *error)
{
    bool json = false;
    bool help;
    const nw_option options[] = {NW_OPTION_JSON(&json), NW_OPTIONS_END};
    const nw_command_line line = {"cpu", "", "Lists the kernel families and what this machine can run.", "narrow cpu",
                                  options};
    NW_TRY(nw_args_parse(&line, argc, argv, NULL, 0, 0, &help, error));
    if (help)
        return NW_OK;
    nw_isa chosen;
    NW_TRY(nw_isa_choose(&chosen, getenv("NARROW_ISA"), error));
    char brand[64];
    nw_cpu_brand(brand);
    cJSON *report = cJSON_CreateObject();
    cJSON *families = cJSON_AddArrayToObject(report, "families");
    cJSON_AddStringToObject(report, "cpu", brand);
    cJSON_AddStringToObject(report, "isa", nw_isa_name(chosen));
    for (int i = 0; i < NW_ISA_COUNT; i++) {
        cJSON *family = cJSON_CreateObject();
        cJSON_AddStringToObject(family, "name", nw_isa_name((nw_isa)i));
        cJSON_AddBoolToObject(family, "available", nw_isa_available((nw_isa)i));
        cJSON_AddItemToArray(families, family);
    }
    if (json)
        return nw_report_print(report, error);
    cJSON_Delete(report);
    printf("%s\n", brand);
    for (int i = 0; i < NW_ISA_COUNT; i++)
        printf("    %-12s %s%s\n", nw_isa_name((nw_isa)i), nw_isa_available((nw_isa)i) ? "available" : "not here",
               (nw_isa)i == chosen ? ", chosen (NARROW_ISA overrides)" : "");
    return NW_OK;
}
