/* SPDX-License-Identifier: Apache-2.0 */
/* See check.h. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
    uint8_t *map;
    size_t capacity; /* readable bytes, whole pages; the page behind them is not */
} slots[CHECK_SLOTS];

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void check_init(check *c, uint64_t seed, const char *filter)
{
    memset(c, 0, sizeof(*c));
    c->seed = seed;
    c->filter = filter;
    c->level = "";
    c->entry = "";
}

bool check_entry(check *c, const char *entry)
{
    c->entry = entry;
    c->index = 0;
    return !c->filter || strstr(entry, c->filter);
}

void check_case(check *c)
{
    uint64_t hash = c->seed;
    for (const char *p = c->entry; *p; p++)
        hash = mix(hash ^ (uint64_t)*p);
    c->state = mix(hash ^ (uint64_t)c->index);
    c->index++;
    c->n_cases++;
    c->what[0] = '\0';
}

void check_describe(check *c, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(c->what, sizeof(c->what), format, list);
    va_end(list);
}

static void fail(check *c, const char *of, const char *how)
{
    c->n_failed++;
    if (c->quiet || c->n_shown++ >= 10)
        return;
    printf("FAIL %s %s case %lld (seed %llu): %s %s; %s\n", c->level, c->entry, (long long)c->index - 1,
           (unsigned long long)c->seed, of, how, c->what);
    fflush(stdout);
}

void check_equal(check *c, const char *of, const void *want, const void *got, size_t size)
{
    if (size == 0 || memcmp(want, got, size) == 0)
        return;
    const uint8_t *w = want;
    const uint8_t *g = got;
    size_t first = 0;
    size_t n = 0;
    for (size_t i = size; i-- > 0;)
        if (w[i] != g[i]) {
            first = i;
            n++;
        }
    char how[128];
    snprintf(how, sizeof(how), "differs in %zu of %zu bytes, first at %zu: %d, not %d", n, size, first, g[first],
             w[first]);
    fail(c, of, how);
}

void check_true(check *c, const char *of, bool ok)
{
    if (!ok)
        fail(c, of, "does not hold");
}

uint64_t check_random(check *c)
{
    c->state += 0x9e3779b97f4a7c15u;
    return mix(c->state);
}

int32_t check_range(check *c, int32_t lo, int32_t hi)
{
    const uint64_t span = (uint64_t)((int64_t)hi - lo) + 1u;
    return (int32_t)(lo + (int64_t)(check_random(c) % span));
}

float check_float(check *c, float lo, float hi)
{
    return lo + (hi - lo) * (float)(check_random(c) >> 40) * 0x1p-24f;
}

bool check_one_in(check *c, int32_t n)
{
    return check_range(c, 1, n) == 1;
}

void *check_alloc(check *c, int32_t slot, size_t size, size_t align)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t rounded = (size + align - 1) / align * align;
    if (!slots[slot].map || slots[slot].capacity < rounded) {
        if (slots[slot].map)
            munmap(slots[slot].map, slots[slot].capacity + page);
        const size_t capacity = (rounded * 2 / page + 1) * page;
        uint8_t *map = mmap(NULL, capacity + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED || mprotect(map + capacity, page, PROT_NONE)) {
            perror("kernelcheck: no memory");
            exit(5);
        }
        slots[slot].map = map;
        slots[slot].capacity = capacity;
    }
    uint8_t *memory = slots[slot].map + slots[slot].capacity - rounded;
    for (size_t i = 0; i < rounded; i++)
        memory[i] = (uint8_t)((i & 7) ? memory[i - 1] * 13u + 101u : check_random(c));
    return memory;
}
