/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Winograd's convolution F(4 x 4, 3 x 3) in integers, exact: a tile of 4 x 4 outputs of a 3 x 3 layer with stride 1
 * takes 36 products a pair of channels instead of 144 (Lavin and Gray 2015, arXiv:1509.09308, has the matrices).
 * All products are of 16-bit numbers, of which an instruction takes half as many as of bytes, so twice the speed is
 * the limit; where there is no dot product of bytes, four times that of products widened to 16 bits.
 *
 * With codes x (6 x 6 of a channel), weights w (3 x 3), and per pair of channels and tile
 *
 *     V = B' x B      U = G w G'      M = sum over input channels of U * V, element by element      Y = A' M A
 *
 *          4  0 -5  0  1  0          6  0  0
 *          0 -4 -4  1  1  0         -1 -1 -1                1  4  4  1  1  0      of which a row is 24,
 *     B' = 0  4 -4 -1  1  0     G = -1  1 -1           A' = 0  2 -2  1 -1  0      12,
 *          0 -2 -1  2  1  0          1  2  4                0  1  1  1  1  0      6
 *          0  2 -1 -2  1  0          1 -2  4                0  1 -1  2 -2  1      and 6 times the sum wanted
 *          0  4  0 -5  0  1          0  0  6
 *
 * every matrix is of integers, so Y[i][j] = 9 * 2^(s[i] + s[j]) * acc with s = 3, 2, 1, 1, where acc is the sum that
 * the window's products make. What fits:
 *
 *     V   |v| <= 68 * 255 = 17340           sums of B's positive, or negative, coefficients in both directions
 *     U   |u| <= 49 * 127 = 6223
 *     M, Y  anything: they are computed modulo 2^32, in which additions and products are exact. 9 has an inverse there,
 *           954437177, so 2^(s[i] + s[j]) * acc is known modulo 2^32, and acc itself, by an arithmetic shift, if
 *           -2^25 <= acc < 2^25, which pack() proves from the real weights and the limits of the codes: elsewhere it
 *           declines.
 *
 * Nothing is rounded: outputs are those of the direct way in every bit.
 *
 * Packed, from `weights` on, for panels of nr output channels (the last one of as many sixteens as it needs), points
 * p = 6 i + j of the tile, and pairs of input channels, the last one filled up with zeros:
 *
 *     panel 0: | p 0: pair 0: u[channel 0][2] .. u[nr - 1][2] | pair 1: .. | p 1: pair 0: .. | panel 1: ..
 *
 * or, `apart`, the sixteens of a point one behind the other, each with all its pairs.
 *
 * Scratch of a call of n tiles: V as [36][n][channels, a multiple of NW_WINOGRAD_STEP], M of a panel as [n][36][nr].
 */
#ifndef NARROW_KERNELS_WINOGRAD_H
#define NARROW_KERNELS_WINOGRAD_H

#include "kernels/kernels.h"

#define NW_WINOGRAD_POINTS 36
#define NW_WINOGRAD_STEP 32          /* channels that transforms take at a time */
#define NW_WINOGRAD_LIMIT (1 << 25)  /* of acc */
#define NW_WINOGRAD_PAD 32           /* int16 between the points of V, lest they meet in one set of a cache */

typedef struct nw_winograd_header {
    int32_t channels, n_channels, nr, pairs; /* input and output channels; pairs of input channels */
    uint64_t weights;                        /* bytes from the header, a multiple of NW_ALIGNMENT */
} nw_winograd_header;

/** A panel as loops read it. */
typedef struct nw_winograd_panel {
    const int16_t *weights; /* point p at weights + p * 32 * q * pairs */
    int32_t width, q;       /* channels; sixteens of them */
} nw_winograd_panel;

/** nw_winograd.pack for panels of nr channels, a multiple of 16. */
size_t nw_winograd_pack(void *packed, const nw_winograd_source *source, int32_t nr, bool apart);

/** The panel that starts with output channel o, a multiple of nr. */
nw_winograd_panel nw_winograd_panel_at(const void *packed, int32_t o);

/** int16 from one point of V to the next. */
static inline ptrdiff_t nw_winograd_plane(int32_t channels, int32_t n_tiles)
{
    const ptrdiff_t padded = (channels + NW_WINOGRAD_STEP - 1) / NW_WINOGRAD_STEP * NW_WINOGRAD_STEP;
    return n_tiles * padded + NW_WINOGRAD_PAD;
}

#endif
