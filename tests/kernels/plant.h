/* SPDX-License-Identifier: Apache-2.0 */
/* Errors planted behind a real kernel, to see the check catch them. */
#ifndef NARROW_TESTS_KERNELS_PLANT_H
#define NARROW_TESTS_KERNELS_PLANT_H

#include "kernels/kernels.h"

#define PLANT_COUNT 22

/** Name of planted error `i`: the entry and what is wrong. */
const char *plant_name(int32_t i);

/** Whether the entry of error `i` exists in the family. */
bool plant_applies(const nw_kernels *kernels, int32_t i);

/** `kernels` with error `i` in one entry; the rest stays. Uses static memory: one planted table at a time. */
nw_kernels plant_error(const nw_kernels *kernels, int32_t i);

#endif
