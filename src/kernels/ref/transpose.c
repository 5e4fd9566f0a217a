/* SPDX-License-Identifier: Apache-2.0 */
/* A matrix turned over. */
#include <string.h>

#include "kernels/ref/ref.h"

void nw_transpose_ref(const nw_transpose_call *call)
{
    for (int32_t i = 0; i < call->n; i++)
        for (int32_t j = 0; j < call->m; j++)
            memcpy(call->y + i * call->y_step + 4 * (ptrdiff_t)j, call->x + j * call->x_step + 4 * (ptrdiff_t)i, 4);
}
