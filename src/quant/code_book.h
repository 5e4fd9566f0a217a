/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values an integer weight may take, and how a row of reals gets them: w ~ step * q.
 *
 *     nw_code_book book = nw_code_book_make(NW_BOOK_UNIFORM, 4);        -7 .. 7
 *     double step = nw_code_book_step(w, k, &book, NULL);               least |w - step q| over all steps and q
 *     nw_code_book_round(q, w, k, &book, step);
 *
 * Books are symmetric. Non-uniform ones spend their codes where weights are many: powers of two (0 1 2 4 ... 64) and
 * flint, whose codes have the first one bit as exponent and fewer digits the larger they are (ANT, Guo et al. 2022).
 */
#ifndef NARROW_QUANT_CODE_BOOK_H
#define NARROW_QUANT_CODE_BOOK_H

#include <stdbool.h>
#include <stdint.h>

typedef enum nw_book_kind {
    NW_BOOK_UNIFORM,      /* 1 to 8 bits: every integer up to 2^(bits-1) - 1; one bit: -1 and 1 */
    NW_BOOK_POWER_OF_TWO, /* 3 and 4 bits */
    NW_BOOK_FLINT,        /* 4 and 5 bits */
    NW_BOOK_SHARED,       /* 2 to 7 bits: every integer up to 127, one step for all rows of a layer (shared_step.h), so
                             coarse that there is as much noise as with uniform books of `bits` bits */
    NW_BOOK_PER_TENSOR,   /* 1 to 7 bits: the uniform codes, one step for the first points of a layer (shared_step.h) */
    NW_BOOK_AUTO          /* uniform, or flint (4, 5 bits), layer by layer (reconstruct.h) */
} nw_book_kind;

typedef struct nw_code_book {
    nw_book_kind kind;
    int32_t bits;
    int32_t limit;         /* largest magnitude */
    int32_t n_levels;      /* magnitudes, 0 among them; 1 << (bits - 1), for one bit 1 */
    const uint8_t *levels; /* [n_levels] ascending from 0; NULL: every integer */
    double step;           /* what a row is given; 0: its step is searched for */
} nw_code_book;

/** Whether there is such a book; those of 8 bits that share a step are uniform. */
bool nw_code_book_exists(nw_book_kind kind, int32_t bits);

/** Whether the rows of a layer share a step (shared_step.h); further points have steps of their own in any case. */
bool nw_code_book_shares_step(const nw_code_book *book);

/** The book; where none of that kind exists the uniform one of as many bits. */
nw_code_book nw_code_book_make(nw_book_kind kind, int32_t bits);

/** The code nearest to a value; ties to even (uniform), to the larger magnitude (others); one bit: its sign, 0 is 1. */
int32_t nw_code_book_nearest(const nw_code_book *book, double value);

/** q[j] = the code nearest to w[j] / step; step > 0 (one bit: any). */
void nw_code_book_round(int8_t *q, const double *w, int32_t k, const nw_code_book *book, double step);

/**
 * The step that makes sum_j importance[j] (w_j - step q_j)^2 least over all steps > 0 and codes, exactly.
 *
 * For a fixed step the best codes are the nearest ones, and |q_j| goes from level c to the next level d while the step
 * falls past 2 |w_j| / (c + d); for fixed codes the best step is A / B and takes A^2 / B off the error, with
 * A = <|w|, |q|>, B = <q, q>. Walking all break points in descending order with A and B at hand therefore meets the
 * optimum. O(k L log(k L)) for L levels. One bit: the (weighted) mean magnitude.
 *
 * @param importance  [k] >= 0, or NULL: all alike
 * @return the step; 0 if nothing has weight, -1 without memory
 */
double nw_code_book_step(const double *w, int32_t k, const nw_code_book *book, const double *importance);

#endif
