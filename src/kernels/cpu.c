/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See cpu.h. A flag counts when the CPU and the operating system allow it: on x86 the registers must be enabled in
 * XCR0, on Arm the kernel reports both in one.
 */
#define _DEFAULT_SOURCE /* syscall */
#include "kernels/cpu.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(NW_HAVE_NEON) && defined(__linux__)
#include <sys/auxv.h>
#endif

static const char *const names[NW_ISA_COUNT] = {"ref",        "avx2", "avxvnni", "avx512",
                                                 "avx512vnni", "amx",  "neon",    "dotprod", "i8mm"};

const char *nw_isa_name(nw_isa isa)
{
    return isa < NW_ISA_COUNT ? names[isa] : NULL;
}

#if defined(__x86_64__)

typedef struct cpuid_registers {
    uint32_t eax, ebx, ecx, edx;
} cpuid_registers;

static cpuid_registers cpuid(uint32_t leaf, uint32_t subleaf)
{
    cpuid_registers r = {0, 0, 0, 0};
    __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

static bool bits_set(uint32_t value, uint32_t mask)
{
    return (value & mask) == mask;
}

static uint64_t enabled_registers(void)
{
    if (!(cpuid(1, 0).ecx & bit_OSXSAVE))
        return 0;
    uint32_t low;
    uint32_t high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

static bool has_avx2(void)
{
    return bits_set((uint32_t)enabled_registers(), 0x6) && bits_set(cpuid(7, 0).ebx, bit_AVX2);
}

static bool has_avxvnni(void)
{
    return has_avx2() && (cpuid(7, 1).eax & (1u << 4));
}

static bool has_avx512(void)
{
    const uint32_t wanted = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    return has_avx2() && bits_set((uint32_t)enabled_registers(), 0xe6) && bits_set(cpuid(7, 0).ebx, wanted);
}

static bool has_avx512vnni(void)
{
    return has_avx512() && (cpuid(7, 0).ecx & bit_AVX512VNNI);
}

bool nw_cpu_has_vbmi2(void)
{
    return has_avx512() && (cpuid(7, 0).ecx & bit_AVX512VBMI2) && (cpuid(7, 0).ebx & bit_BMI2);
}

bool nw_cpu_is_amd(void)
{
    const cpuid_registers r = cpuid(0, 0);
    return r.ebx == signature_AMD_ebx && r.ecx == signature_AMD_ecx && r.edx == signature_AMD_edx;
}

/* Linux enables the registers of tiles in XCR0, but a process must ask before it may use them. */
static bool may_use_tiles(void)
{
#if defined(__linux__)
    const long request_permission = 0x1023; /* ARCH_REQ_XCOMP_PERM */
    const long tile_data = 18;              /* XFEATURE_XTILEDATA */
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

static bool has_amx(void)
{
    const uint32_t tile_and_int8 = 3u << 24;
    return has_avx512vnni() && bits_set((uint32_t)enabled_registers(), 0x60000) &&
           bits_set(cpuid(7, 0).edx, tile_and_int8) && may_use_tiles();
}

bool nw_isa_available(nw_isa isa)
{
    switch (isa) {
    case NW_ISA_REF:
        return true;
#if defined(NW_HAVE_AVX2)
    case NW_ISA_AVX2:
        return has_avx2();
#endif
#if defined(NW_HAVE_AVXVNNI)
    case NW_ISA_AVXVNNI:
        return has_avxvnni();
#endif
#if defined(NW_HAVE_AVX512)
    case NW_ISA_AVX512:
        return has_avx512();
#endif
#if defined(NW_HAVE_AVX512VNNI)
    case NW_ISA_AVX512VNNI:
        return has_avx512vnni();
#endif
#if defined(NW_HAVE_AMX)
    case NW_ISA_AMX:
        return has_amx();
#endif
    default:
        return false;
    }
}

void nw_cpu_brand(char brand[64])
{
    memset(brand, 0, 64);
    if (cpuid(0x80000000u, 0).eax < 0x80000004u) {
        memcpy(brand, "unknown", 8);
        return;
    }
    for (uint32_t i = 0; i < 3; i++) {
        const cpuid_registers r = cpuid(0x80000002u + i, 0);
        memcpy(brand + 16 * i, &r, sizeof(r));
    }
    for (size_t n = strlen(brand); n && brand[n - 1] == ' '; n--)
        brand[n - 1] = '\0';
}

#else

bool nw_cpu_has_vbmi2(void)
{
    return false;
}

bool nw_cpu_is_amd(void)
{
    return false;
}

#if defined(NW_HAVE_NEON) && defined(__linux__)

/* Bits of the Linux kernel's hardware capabilities for aarch64; older C libraries lack some of the names. */
#define CAPABILITY_ASIMD (1ul << 1)
#define CAPABILITY_ASIMDDP (1ul << 20)
#define CAPABILITY2_I8MM (1ul << 13)

bool nw_isa_available(nw_isa isa)
{
    const bool neon = getauxval(AT_HWCAP) & CAPABILITY_ASIMD;
    const bool dotprod = neon && (getauxval(AT_HWCAP) & CAPABILITY_ASIMDDP);
    switch (isa) {
    case NW_ISA_REF:
        return true;
    case NW_ISA_NEON:
        return neon;
    case NW_ISA_DOTPROD:
        return dotprod;
    case NW_ISA_I8MM:
        return dotprod && (getauxval(AT_HWCAP2) & CAPABILITY2_I8MM);
    default:
        return false;
    }
}

#else

bool nw_isa_available(nw_isa isa)
{
    return isa == NW_ISA_REF;
}

#endif

void nw_cpu_brand(char brand[64])
{
    memset(brand, 0, 64);
    memcpy(brand, "unknown", 8);
}

#endif

bool nw_isa_includes(nw_isa isa, nw_isa other)
{
    if (other == NW_ISA_REF || other == isa)
        return true;
    if (other == NW_ISA_AVXVNNI || isa == NW_ISA_AVXVNNI) /* no part of AVX-512, where some CPUs lack it */
        return isa == NW_ISA_AVXVNNI && other == NW_ISA_AVX2;
    return other < isa && (other >= NW_ISA_NEON) == (isa >= NW_ISA_NEON);
}

nw_isa nw_isa_best(void)
{
    for (int isa = NW_ISA_COUNT - 1; isa > 0; isa--)
        if (nw_isa_available((nw_isa)isa))
            return (nw_isa)isa;
    return NW_ISA_REF;
}

nw_status nw_isa_choose(nw_isa *isa, const char *name, nw_error *error)
{
    if (!name || !*name) {
        *isa = nw_isa_best();
        return NW_OK;
    }
    for (int i = 0; i < NW_ISA_COUNT; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        if (!nw_isa_available((nw_isa)i))
            return nw_fail(error, NW_ERROR_USAGE, "NARROW_ISA=%s: this CPU cannot run it; see `narrow cpu`", name);
        *isa = (nw_isa)i;
        return NW_OK;
    }
    return nw_fail(
        error, NW_ERROR_USAGE,
        "NARROW_ISA=%s: unknown; the names are ref, avx2, avxvnni, avx512, avx512vnni, amx, neon, dotprod, i8mm", name);
}
