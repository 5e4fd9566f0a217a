/* SPDX-License-Identifier: Apache-2.0 */
/* See adam.h. */
#include "quant/adam.h"

#include <math.h>
#include <stdlib.h>

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
    return adam->value && adam->unit && adam->first && adam->second ? NW_OK : NW_ERROR_MEMORY;
}

void nw_adam_clear(nw_adam *adam)
{
    free(adam->value);
    free(adam->unit);
    free(adam->first);
    free(adam->second);
    *adam = (nw_adam){0};
}

void nw_adam_update(nw_adam *adam, const float *gradient, float rate, int32_t update)
{
    const float of_first = 1.0f / (1.0f - powf(DECAY_FIRST, (float)update));
    const float of_second = 1.0f / (1.0f - powf(DECAY_SECOND, (float)update));
    for (size_t i = 0; i < adam->n; i++) {
        const float g = gradient[i] * adam->unit[i];
        adam->first[i] = DECAY_FIRST * adam->first[i] + (1.0f - DECAY_FIRST) * g;
        adam->second[i] = DECAY_SECOND * adam->second[i] + (1.0f - DECAY_SECOND) * g * g;
        adam->value[i] -=
            rate * adam->unit[i] * (adam->first[i] * of_first) / (sqrtf(adam->second[i] * of_second) + TINY);
    }
}
