/* SPDX-License-Identifier: Apache-2.0 */
/* See code_book.h. Called by weights.c, multipoint.c, error_feedback.c and refine.c. */
#include "quant/code_book.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static const uint8_t POWERS[] = {0, 1, 2, 4, 8, 16, 32, 64};
static const uint8_t FLINT_4[] = {0, 1, 2, 3, 4, 6, 8, 16};
static const uint8_t FLINT_5[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32, 64};

static const uint8_t *levels_of(nw_book_kind kind, int32_t bits)
{
    if (kind == NW_BOOK_POWER_OF_TWO && (bits == 3 || bits == 4))
        return POWERS;
    if (kind == NW_BOOK_FLINT && (bits == 4 || bits == 5))
        return bits == 4 ? FLINT_4 : FLINT_5;
    return NULL;
}

bool nw_code_book_exists(nw_book_kind kind, int32_t bits)
{
    return kind == NW_BOOK_UNIFORM || (kind == NW_BOOK_SHARED && bits >= 2) || kind == NW_BOOK_PER_TENSOR ||
           kind == NW_BOOK_AUTO || levels_of(kind, bits) != NULL;
}

bool nw_code_book_shares_step(const nw_code_book *book)
{
    return book->kind == NW_BOOK_SHARED || book->kind == NW_BOOK_PER_TENSOR;
}

nw_code_book nw_code_book_make(nw_book_kind kind, int32_t bits)
{
    assert(bits >= 1 && bits <= 8);
    nw_code_book book = {.kind = kind, .bits = bits, .n_levels = 1 << (bits - 1), .levels = levels_of(kind, bits)};
    if (kind == NW_BOOK_SHARED && bits >= 2 && bits <= 7) {
        book.n_levels = 128;
        book.limit = 127;
        return book;
    }
    if (!book.levels && !(kind == NW_BOOK_PER_TENSOR && bits <= 7))
        book.kind = NW_BOOK_UNIFORM;
    book.limit = book.levels ? book.levels[book.n_levels - 1] : bits == 1 ? 1 : book.n_levels - 1;
    return book;
}

static int32_t nearest_level(const nw_code_book *book, double magnitude)
{
    int32_t i = 0;
    while (i + 1 < book->n_levels && 2.0 * magnitude >= (double)book->levels[i] + book->levels[i + 1])
        i++;
    return book->levels[i];
}

int32_t nw_code_book_nearest(const nw_code_book *book, double value)
{
    if (book->bits == 1)
        return value < 0.0 ? -1 : 1;
    if (book->levels) {
        const int32_t magnitude = nearest_level(book, fabs(value));
        return value < 0.0 ? -magnitude : magnitude;
    }
    return (int32_t)fmin(fmax(rint(value), (double)-book->limit), (double)book->limit);
}

void nw_code_book_round(int8_t *q, const double *w, int32_t k, const nw_code_book *book, double step)
{
    const double inverse = book->bits == 1 ? 1.0 : 1.0 / step;
    for (int32_t j = 0; j < k; j++)
        q[j] = (int8_t)nw_code_book_nearest(book, w[j] * inverse);
}

/** Where the code of one weight goes up to the next level as the step falls. */
typedef struct break_point {
    double at;
    int32_t index;
} break_point;

static int descending(const void *a, const void *b)
{
    const break_point *x = a;
    const break_point *y = b;
    if (x->at != y->at)
        return x->at < y->at ? 1 : -1;
    return x->index - y->index;
}

static double level_of(const nw_code_book *book, int32_t i)
{
    return book->levels ? book->levels[i] : i;
}

static void set_break_points(break_point *points, const double *w, int32_t k, const nw_code_book *book)
{
    for (int32_t j = 0; j < k; j++)
        for (int32_t i = 0; i + 1 < book->n_levels; i++)
            *points++ = (break_point){2.0 * fabs(w[j]) / (level_of(book, i) + level_of(book, i + 1)), j};
}

/** One bit: the best step for signs. */
static double sign_step(const double *w, int32_t k, const double *importance)
{
    double sum = 0.0;
    double total = 0.0;
    for (int32_t j = 0; j < k; j++) {
        const double weight = importance ? importance[j] : 1.0;
        sum += weight * fabs(w[j]);
        total += weight;
    }
    return total > 0.0 ? sum / total : 0.0;
}

double nw_code_book_step(const double *w, int32_t k, const nw_code_book *book, const double *importance)
{
    if (book->bits == 1)
        return sign_step(w, k, importance);
    const size_t n = (size_t)k * (size_t)(book->n_levels - 1);
    break_point *points = malloc((n + 1) * sizeof(*points));
    int32_t *level = calloc((size_t)k + 1, sizeof(*level));
    double best = points && level ? 0.0 : -1.0;
    double best_gain = 0.0;
    double cross = 0.0;
    double square = 0.0;
    if (best == 0.0) {
        set_break_points(points, w, k, book);
        qsort(points, n, sizeof(*points), descending);
    }
    for (size_t i = 0; best >= 0.0 && i < n && points[i].at > 0.0; i++) {
        const int32_t j = points[i].index;
        const double weight = importance ? importance[j] : 1.0;
        const double from = level_of(book, level[j]++);
        const double to = level_of(book, level[j]);
        cross += weight * fabs(w[j]) * (to - from);
        square += weight * (to * to - from * from);
        if (square > 0.0 && cross * cross / square > best_gain) {
            best_gain = cross * cross / square;
            best = cross / square;
        }
    }
    free(points);
    free(level);
    return best;
}
