/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loops of plain_linear.c, for the table in plain.c. Each is an nw_plain_fn; inputs in the order of model.h, the
 * bias always present.
 */
#ifndef NARROW_FLOAT_PLAIN_WINDOW_H
#define NARROW_FLOAT_PLAIN_WINDOW_H

#include "float/plain.h"

nw_plain_fn nw_plain_conv, nw_plain_conv_transpose, nw_plain_gemm, nw_plain_pool;

#endif
