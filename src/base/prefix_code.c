/* SPDX-License-Identifier: Apache-2.0 */
/* See prefix_code.h. */
#include "base/prefix_code.h"

#include <stdlib.h>
#include <string.h>

bool nw_prefix_code_complete(const uint8_t *lengths, size_t n)
{
    uint32_t sum = 0; /* in units of the longest word; 256 * 2^10 at most */
    for (size_t i = 0; i < n; i++) {
        if (lengths[i] < 1 || lengths[i] > NW_PREFIX_LONGEST)
            return false;
        sum += 1u << (NW_PREFIX_LONGEST - lengths[i]);
    }
    return sum == 1u << NW_PREFIX_LONGEST;
}

typedef struct leaf {
    uint64_t weight;
    size_t symbol;
} leaf;

/** By weight, then by symbol: there is one answer. */
static int compare_leaves(const void *a, const void *b)
{
    const leaf *x = a;
    const leaf *y = b;
    if (x->weight != y->weight)
        return x->weight < y->weight ? -1 : 1;
    return x->symbol < y->symbol ? -1 : x->symbol > y->symbol;
}

/** A level of package-merge: leaves and pairs of the level below, by weight. */
typedef struct level {
    size_t n;
    uint64_t weight[2 * NW_PREFIX_SYMBOLS];
    bool is_leaf[2 * NW_PREFIX_SYMBOLS];
} level;

static void merge(level *out, const leaf *leaves, size_t n, const level *below)
{
    const size_t n_pairs = below ? below->n / 2 : 0;
    size_t l = 0;
    size_t p = 0;
    for (out->n = 0; l < n || p < n_pairs; out->n++) {
        const uint64_t pair = p < n_pairs ? below->weight[2 * p] + below->weight[2 * p + 1] : UINT64_MAX;
        out->is_leaf[out->n] = l < n && leaves[l].weight <= pair;
        out->weight[out->n] = out->is_leaf[out->n] ? leaves[l++].weight : pair;
        p += !out->is_leaf[out->n];
    }
}

void nw_prefix_code_make(uint8_t *lengths, const uint64_t *counts, size_t n)
{
    leaf leaves[NW_PREFIX_SYMBOLS];
    level levels[NW_PREFIX_LONGEST];
    for (size_t i = 0; i < n; i++)
        leaves[i] = (leaf){counts[i] ? counts[i] : 1, i};
    qsort(leaves, n, sizeof(*leaves), compare_leaves);
    for (int i = 0; i < NW_PREFIX_LONGEST; i++)
        merge(&levels[i], leaves, n, i ? &levels[i - 1] : NULL);
    memset(lengths, 0, n);
    size_t taken = 2 * n - 2; /* of the last level; every leaf among them is one bit of its symbol */
    for (int i = NW_PREFIX_LONGEST - 1; i >= 0; i--) {
        size_t n_leaves = 0;
        for (size_t j = 0; j < taken; j++)
            n_leaves += levels[i].is_leaf[j];
        for (size_t j = 0; j < n_leaves; j++)
            lengths[leaves[j].symbol]++;
        taken = 2 * (taken - n_leaves);
    }
}

static uint16_t reversed(uint32_t word, int length)
{
    uint32_t r = 0;
    for (int i = 0; i < length; i++)
        r |= (word >> i & 1) << (length - 1 - i);
    return (uint16_t)r;
}

void nw_prefix_code_words(uint16_t *words, const uint8_t *lengths, size_t n)
{
    uint32_t word = 0;
    for (int length = 1; length <= NW_PREFIX_LONGEST; length++, word <<= 1)
        for (size_t i = 0; i < n; i++)
            if (lengths[i] == length)
                words[i] = reversed(word++, length);
}
