/* SPDX-License-Identifier: Apache-2.0 */
/* See adam.h. */
#include "quant/adam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clones.h"

#define DECAY_FIRST 0.9f
#define DECAY_SECOND 0.999f
#define TINY 1e-12f

nw_status nw_adam_init(nw_adam *adam, size_t n)
{
    adam->n = n;
    adam->value = calloc(n + 1, sizeof(*adam->value));
    adam->unit = calloc(n + 1, sizeof(*adam->unit));
    adam->first = calloc(n + 1, sizeof(*adam->first));
    adam->second = calloc(n + 1, sizeof(*adam->second));
    adam->kept = calloc(n + 1, sizeof(*adam->kept));
    return adam->value && adam->unit && adam->first && adam->second && adam->kept ? NW_OK : NW_ERROR_MEMORY;
}

void nw_adam_clear(nw_adam *adam)
{
    free(adam->value);
    free(adam->unit);
    free(adam->first);
    free(adam->second);
    free(adam->kept);
    *adam = (nw_adam){0};
}

NW_CLONES static void update(nw_adam *adam, const float *restrict gradient, float rate, float of_first, float of_second)
{
    const float *restrict unit = adam->unit;
    float *restrict value = adam->value;
    float *restrict first = adam->first;
    float *restrict second = adam->second;
    for (size_t i = 0; i < adam->n; i++) {
        const float g = gradient[i] * unit[i];
        first[i] = DECAY_FIRST * first[i] + (1.0f - DECAY_FIRST) * g;
        second[i] = DECAY_SECOND * second[i] + (1.0f - DECAY_SECOND) * g * g;
        value[i] -= rate * unit[i] * (first[i] * of_first) / (sqrtf(second[i] * of_second) + TINY);
    }
}

void nw_adam_update(nw_adam *adam, const float *gradient, float rate, int32_t number)
{
    const float of_first = 1.0f / (1.0f - powf(DECAY_FIRST, (float)number));
    const float of_second = 1.0f / (1.0f - powf(DECAY_SECOND, (float)number));
    update(adam, gradient, rate, of_first, of_second);
}

void nw_adam_keep(nw_adam *adam)
{
    if (adam->n)
        memcpy(adam->kept, adam->value, adam->n * sizeof(*adam->kept));
}

void nw_adam_restore(nw_adam *adam)
{
    if (adam->n)
        memcpy(adam->value, adam->kept, adam->n * sizeof(*adam->value));
}
