/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMX int8 tiles in plain C, after Intel's Software Developer's Manual (LDTILECFG, TILEZERO, TILELOADD, TILESTORED,
 * TDPBUSD, TILERELEASE), for the sources of amx/; put before them (-include), with the AVX-512 of avx512.h. The state
 * is each thread's own. What raises an exception on a CPU ends the program here, with the reason.
 */
#ifndef NARROW_TESTS_KERNELS_EMULATED_AMX_H
#define NARROW_TESTS_KERNELS_EMULATED_AMX_H

#include "avx512.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define EMULATED_TILES 8
#define EMULATED_ROWS 16
#define EMULATED_ROW_BYTES 64

typedef struct emulated_tiles {
    int configured;
    int rows[EMULATED_TILES], row_bytes[EMULATED_TILES];
    uint8_t data[EMULATED_TILES][EMULATED_ROWS][EMULATED_ROW_BYTES];
} emulated_tiles;

static _Thread_local emulated_tiles emulated_state;

static inline void emulated_demand(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "emulated AMX: %s\n", what);
    abort();
}

static inline void emulated_usable(int t)
{
    emulated_demand(emulated_state.configured, "no tile is configured (#UD)");
    emulated_demand(t >= 0 && t < EMULATED_TILES && emulated_state.rows[t] > 0, "the tile is not configured (#UD)");
}

static inline void emulate_tile_loadconfig(const void *memory)
{
    uint8_t config[64];
    memcpy(config, memory, sizeof(config));
    memset(&emulated_state, 0, sizeof(emulated_state));
    emulated_demand(config[0] <= 1, "unknown palette (#GP)");
    if (config[0] == 0)
        return;
    for (int i = 2; i < 16; i++)
        emulated_demand(config[i] == 0, "reserved bytes of the configuration are not zero (#GP)");
    for (int t = 0; t < 16; t++) {
        const int row_bytes = config[16 + 2 * t] | config[17 + 2 * t] << 8;
        const int rows = config[48 + t];
        if (t >= EMULATED_TILES) {
            emulated_demand(row_bytes == 0 && rows == 0, "there are eight tiles (#GP)");
            continue;
        }
        emulated_demand(rows <= EMULATED_ROWS && row_bytes <= EMULATED_ROW_BYTES, "the tile is too large (#GP)");
        emulated_demand((rows == 0) == (row_bytes == 0), "rows without bytes, or bytes without rows (#GP)");
        emulated_state.rows[t] = rows;
        emulated_state.row_bytes[t] = row_bytes;
    }
    emulated_state.configured = 1;
}

static inline void emulate_tile_release(void)
{
    memset(&emulated_state, 0, sizeof(emulated_state));
}

static inline void emulate_tile_zero(int t)
{
    emulated_usable(t);
    memset(emulated_state.data[t], 0, sizeof(emulated_state.data[t]));
}

/* Reads row_bytes of each configured row, nothing else; the rest of the tile becomes zero. */
static inline void emulate_tile_loadd(int t, const void *base, size_t stride)
{
    emulate_tile_zero(t);
    for (int r = 0; r < emulated_state.rows[t]; r++)
        memcpy(emulated_state.data[t][r], (const uint8_t *)base + (ptrdiff_t)stride * r,
               (size_t)emulated_state.row_bytes[t]);
}

static inline void emulate_tile_stored(int t, void *base, size_t stride)
{
    emulated_usable(t);
    for (int r = 0; r < emulated_state.rows[t]; r++)
        memcpy((uint8_t *)base + (ptrdiff_t)stride * r, emulated_state.data[t][r], (size_t)emulated_state.row_bytes[t]);
}

/*
 * c[m][n] += sum over k, i of zero_extend(a.byte[m][4 k + i]) * sign_extend(b.byte[k][4 n + i]); the products wrap as
 * int32 does. Rows and bytes of c past its configuration become zero.
 */
static inline void emulate_tile_dpbusd(int c, int a, int b)
{
    emulated_tiles *s = &emulated_state;
    emulated_usable(c);
    emulated_usable(a);
    emulated_usable(b);
    emulated_demand(c != a && c != b && a != b, "the operands are not three tiles (#UD)");
    emulated_demand(s->rows[a] == s->rows[c] && s->row_bytes[b] == s->row_bytes[c] &&
                        s->row_bytes[a] / 4 == s->rows[b] && s->row_bytes[a] % 4 == 0 && s->row_bytes[b] % 4 == 0,
                    "the shapes of the tiles do not fit (#UD)");
    for (int m = 0; m < s->rows[c]; m++)
        for (int n = 0; n < s->row_bytes[c] / 4; n++) {
            uint32_t sum;
            memcpy(&sum, &s->data[c][m][4 * n], 4);
            for (int k = 0; k < s->row_bytes[a] / 4; k++)
                for (int i = 0; i < 4; i++)
                    sum += (uint32_t)(s->data[a][m][4 * k + i] * (int8_t)s->data[b][k][4 * n + i]);
            memcpy(&s->data[c][m][4 * n], &sum, 4);
        }
}

#define _tile_loadconfig(memory) emulate_tile_loadconfig(memory)
#define _tile_release() emulate_tile_release()
#define _tile_zero(t) emulate_tile_zero(t)
#define _tile_loadd(t, base, stride) emulate_tile_loadd(t, base, stride)
#define _tile_stream_loadd(t, base, stride) emulate_tile_loadd(t, base, stride)
#define _tile_stored(t, base, stride) emulate_tile_stored(t, base, stride)
#define _tile_dpbusd(c, a, b) emulate_tile_dpbusd(c, a, b)

#endif
