/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tiles of the matrix products with 512-bit vectors: mr rows by q vectors of 16 channels, 24 sums at most, and ten
 * rows, whose pointers fill the general registers. Whoever includes this file has defined tile_fn and TILE(mr, q),
 * which defines the function tile_<mr>_<q>; what comes of it is tiles[q - 1][mr - 1].
 */
#ifndef NARROW_KERNELS_AVX512_TILES_H
#define NARROW_KERNELS_AVX512_TILES_H

#include <stdint.h>

TILE(1, 1)
TILE(2, 1) TILE(3, 1) TILE(4, 1) TILE(5, 1) TILE(6, 1) TILE(7, 1) TILE(8, 1) TILE(9, 1) TILE(10, 1) TILE(1, 2)
    TILE(2, 2) TILE(3, 2) TILE(4, 2) TILE(5, 2) TILE(6, 2) TILE(7, 2) TILE(8, 2) TILE(9, 2) TILE(10, 2) TILE(1, 3)
        TILE(2, 3) TILE(3, 3) TILE(4, 3) TILE(5, 3) TILE(6, 3) TILE(7, 3) TILE(8, 3) TILE(1, 4) TILE(2, 4) TILE(3, 4)
            TILE(4, 4) TILE(5, 4) TILE(6, 4)

    /* [q - 1][mr - 1] */
    static tile_fn *const tiles[4][10] = {
        {tile_1_1, tile_2_1, tile_3_1, tile_4_1, tile_5_1, tile_6_1, tile_7_1, tile_8_1, tile_9_1, tile_10_1},
        {tile_1_2, tile_2_2, tile_3_2, tile_4_2, tile_5_2, tile_6_2, tile_7_2, tile_8_2, tile_9_2, tile_10_2},
        {tile_1_3, tile_2_3, tile_3_3, tile_4_3, tile_5_3, tile_6_3, tile_7_3, tile_8_3},
        {tile_1_4, tile_2_4, tile_3_4, tile_4_4, tile_5_4, tile_6_4},
};
static const int32_t max_mr[4] = {10, 10, 8, 6};

/* m rows in n tiles: equal shares rather than full tiles and a small rest. The first `larger` take one more. */
typedef struct shares {
    int32_t n, rows, larger;
} shares;

static shares share(int32_t m, int32_t q)
{
    const int32_t n = (m + max_mr[q - 1] - 1) / max_mr[q - 1];
    return (shares){n, m / n, m % n};
}

#endif
