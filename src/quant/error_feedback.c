/* SPDX-License-Identifier: Apache-2.0 */
/* See error_feedback.h. Called by row.c. */
#include "quant/error_feedback.h"

#include <math.h>
#include <stdlib.h>

#include "quant/weights.h"

#define PANEL 4 /* rows of R at once */

typedef struct ranked {
    double energy;
    int32_t index;
} ranked;

static int ascending(const void *a, const void *b)
{
    const ranked *x = a;
    const ranked *y = b;
    if (x->energy != y->energy)
        return x->energy < y->energy ? -1 : 1;
    return x->index - y->index;
}

static int set_order(nw_feedback *f, const double *gram)
{
    const size_t k = (size_t)f->k;
    ranked *all = malloc(k * sizeof(*all));
    if (!all)
        return 0;
    for (size_t j = 0; j < k; j++)
        all[j] = (ranked){gram[j * k + j], (int32_t)j};
    qsort(all, k, sizeof(*all), ascending);
    for (size_t j = 0; j < k; j++)
        f->order[j] = all[j].index;
    free(all);
    return 1;
}

/** Row i of R from what is left of the matrix there. */
static void finish_row(double *r, size_t k, size_t i)
{
    double *row = r + i * k;
    const double pivot = row[i] > 1e-300 ? sqrt(row[i]) : 1e-150;
    for (size_t j = i; j < k; j++)
        row[j] /= pivot;
    row[i] = pivot;
}

/** Takes rows i .. i + n - 1 of R off row l below them, one after the other entry by entry. */
static void take_off(double *r, size_t k, size_t i, size_t n, size_t l)
{
    const double *row[PANEL];
    double share[PANEL];
    double *below = r + l * k;
    for (size_t p = 0; p < n; p++) {
        row[p] = r + (i + p) * k;
        share[p] = row[p][l];
    }
    if (n == PANEL) {
        for (size_t j = l; j < k; j++)
            below[j] =
                below[j] - share[0] * row[0][j] - share[1] * row[1][j] - share[2] * row[2][j] - share[3] * row[3][j];
        return;
    }
    for (size_t p = 0; p < n; p++)
        for (size_t j = l; j < k; j++)
            below[j] -= share[p] * row[p][j];
}

/**
 * L L' = permuted gram, L = R': row by row of R, each taken off those below; PANEL rows at once, to fetch those seldom.
 */
static void factorize(nw_feedback *f, const double *gram)
{
    const size_t k = (size_t)f->k;
    double *r = f->factor; /* while at work, R in the upper triangle: rows are contiguous */
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++)
            r[i * k + j] = j < i ? 0.0 : gram[(size_t)f->order[i] * k + (size_t)f->order[j]];
    for (size_t i = 0; i < k; i += PANEL) {
        const size_t n = k - i < PANEL ? k - i : PANEL;
        for (size_t p = 0; p < n; p++) {
            for (size_t before = 0; before < p; before++)
                take_off(r, k, i + before, 1, i + p);
            finish_row(r, k, i + p);
        }
        for (size_t l = i + n; l < k; l++)
            take_off(r, k, i, n, l);
    }
    for (size_t i = 0; i < k; i++)
        for (size_t j = i + 1; j < k; j++) {
            r[j * k + i] = r[i * k + j];
            r[i * k + j] = 0.0;
        }
}

nw_feedback *nw_feedback_create(const double *gram, int32_t k)
{
    nw_feedback *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->k = k;
    f->order = malloc((size_t)k * sizeof(*f->order));
    f->factor = malloc((size_t)k * (size_t)k * sizeof(*f->factor));
    f->work = malloc((size_t)k * sizeof(*f->work));
    if (!f->order || !f->factor || !f->work || !set_order(f, gram)) {
        nw_feedback_free(f);
        return NULL;
    }
    factorize(f, gram);
    return f;
}

void nw_feedback_free(nw_feedback *feedback)
{
    if (!feedback)
        return;
    free(feedback->order);
    free(feedback->factor);
    free(feedback->work);
    free(feedback);
}

void nw_feedback_solve(nw_feedback *feedback, double *w, const double *cross)
{
    const size_t k = (size_t)feedback->k;
    const double *l = feedback->factor;
    double *z = feedback->work;
    for (size_t i = 0; i < k; i++)
        z[i] = cross[feedback->order[i]];
    for (size_t i = 0; i < k; i++) { /* L z = cross */
        for (size_t j = 0; j < i; j++)
            z[i] -= l[i * k + j] * z[j];
        z[i] /= l[i * k + i];
    }
    for (size_t i = k; i-- > 0;) { /* L' w = z */
        z[i] /= l[i * k + i];
        for (size_t j = 0; j < i; j++)
            z[j] -= l[i * k + j] * z[i];
    }
    for (size_t i = 0; i < k; i++)
        w[feedback->order[i]] = z[i];
}

void nw_feedback_round(nw_feedback *feedback, int8_t *q, const double *w, const nw_code_book *book, double step)
{
    const size_t k = (size_t)feedback->k;
    double *moved = feedback->work; /* sum of R_jl (w_l - v_l) over the places l done */
    for (size_t i = 0; i < k; i++)
        moved[i] = 0.0;
    for (size_t i = k; i-- > 0;) {
        const double *column = feedback->factor + i * k; /* of R */
        const size_t at = (size_t)feedback->order[i];
        const double wanted = w[at] + moved[i] / column[i];
        nw_code_book_round(q + at, &wanted, 1, book, step);
        const double rest = w[at] - step * q[at];
        for (size_t j = 0; j < i; j++)
            moved[j] += column[j] * rest;
    }
}
