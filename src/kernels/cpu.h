/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which kernel families this CPU and operating system allow, and the choice of one by name.
 *
 *     nw_isa isa;
 *     NW_TRY(nw_isa_choose(&isa, getenv("NARROW_ISA"), error));
 */
#ifndef NARROW_KERNELS_CPU_H
#define NARROW_KERNELS_CPU_H

#include <stdbool.h>

#include "base/error.h"

/** Kernel families in the order of preference: a later one that is available wins. */
typedef enum nw_isa {
    NW_ISA_REF = 0,    /* plain C, any CPU */
    NW_ISA_AVX2,       /* AVX2 and FMA-free binary32 */
    NW_ISA_AVXVNNI,    /* AVX2 and 256-bit VNNI */
    NW_ISA_AVX512,     /* AVX-512 F, BW, DQ, VL */
    NW_ISA_AVX512VNNI, /* and VNNI */
    NW_ISA_AMX,        /* and AMX int8 tiles */
    NW_ISA_NEON,       /* 64-bit Arm: Armv8.0 */
    NW_ISA_DOTPROD,    /* Arm dot product: sdot */
    NW_ISA_I8MM,       /* Arm 8-bit matrix multiplication: usmmla */
    NW_ISA_COUNT
} nw_isa;

/** "ref", "avx2", "avxvnni", "avx512", ...: the same list on every machine, in the order above; NULL past the end. */
const char *nw_isa_name(nw_isa isa);

/**
 * True if the CPU has the instructions, the operating system saves the registers and the family was compiled in. For
 * NW_ISA_AMX it asks the operating system for the permission that tiles need, which stays with the process.
 */
bool nw_isa_available(nw_isa isa);

/** AVX-512 VBMI2 and BMI2, which families above AVX2 use where it is there: bytes moved together by a mask. */
bool nw_cpu_has_vbmi2(void);

/** The CPU is one of AMD's, whose cores share work among their vector ports otherwise than Intel's. */
bool nw_cpu_is_amd(void);

/** Whether an engine of family `isa` may run kernels of `other`: every CPU that has the one has the other, and no newer
 *  instructions come in. */
bool nw_isa_includes(nw_isa isa, nw_isa other);

/** The best available family. */
nw_isa nw_isa_best(void);

/**
 * The family called `name`, or the best one for NULL or "".
 * @return NW_ERROR_USAGE with the list of names, or if this machine cannot run it
 */
nw_status nw_isa_choose(nw_isa *isa, const char *name, nw_error *error);

/** Brand string of the CPU, NUL-terminated, "unknown" if it has none; for `narrow cpu` and reports. */
void nw_cpu_brand(char brand[64]);

#endif
