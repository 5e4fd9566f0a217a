/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a table need not tell apart. A function such as SiLU hardly changes below some input, so a tensor that only such
 * functions read may end there: its codes are spent where they matter, and a large negative value that means the same
 * as a small one does not coarsen the grid. Between groups.c and equalize.c.
 */
#include <math.h>

#include "quant/scheme.h"

#define NEARLY (1.0 / 512.0) /* of functions between 0 and 1: half a code */

/** Outside [*lo, *hi] the function stays within NEARLY of its value at the end. */
static void ends_of(const nw_node *node, double *lo, double *hi)
{
    const double alpha = (double)node->alpha, beta = (double)node->beta;
    *lo = -INFINITY;
    *hi = INFINITY;
    switch (node->op) {
    case NW_OP_RELU:
        *lo = 0.0;
        break;
    case NW_OP_CLIP:
        *lo = (double)node->lo;
        *hi = (double)node->hi;
        break;
    case NW_OP_SIGMOID:
        *hi = log(1.0 / NEARLY - 1.0);
        *lo = -*hi;
        break;
    case NW_OP_TANH:
        *hi = 0.5 * log(2.0 / NEARLY - 1.0);
        *lo = -*hi;
        break;
    case NW_OP_EXP:
        *lo = log(NEARLY);
        break;
    case NW_OP_HARD_SIGMOID:
        if (alpha > 0.0) {
            *lo = -beta / alpha;
            *hi = (1.0 - beta) / alpha;
        }
        break;
    case NW_OP_HARD_SWISH:
        *lo = -3.0;
        break;
    case NW_OP_SILU: /* -8.33 * sigmoid(-8.33) = -1 / 499 */
        *lo = -8.33;
        break;
    default:
        break;
    }
}

double nw_scheme_useful(const nw_tensor_scheme *tensor, double x)
{
    return fmin(fmax(x, tensor->useful_lo), tensor->useful_hi);
}

void nw_scheme_saturation(nw_scheme *scheme)
{
    const nw_model *model = scheme->model;
    for (int32_t t = 0; t < model->n_tensors; t++) {
        nw_tensor_scheme *tensor = &scheme->tensors[t];
        tensor->only_tables = nw_scheme_is_source(scheme, t) && !tensor->real;
        tensor->useful_lo = tensor->useful_hi = 0.0;
    }
    for (int32_t i = 0; i < model->n_nodes; i++) {
        const nw_node *node = &model->nodes[i];
        double lo = -INFINITY, hi = INFINITY;
        if (scheme->nodes[i].mode == NW_MODE_TABLE)
            ends_of(node, &lo, &hi);
        for (int32_t j = 0; j < node->n_inputs && scheme->nodes[i].mode != NW_MODE_DEAD; j++) {
            if (node->inputs[j] == NW_NONE)
                continue;
            nw_tensor_scheme *tensor = &scheme->tensors[node->inputs[j]];
            tensor->only_tables = tensor->only_tables && scheme->nodes[i].mode == NW_MODE_TABLE;
            tensor->useful_lo = fmin(tensor->useful_lo, lo);
            tensor->useful_hi = fmax(tensor->useful_hi, hi);
        }
    }
    for (int32_t t = 0; t < model->n_tensors; t++)
        if (!scheme->tensors[t].only_tables) {
            scheme->tensors[t].useful_lo = -INFINITY;
            scheme->tensors[t].useful_hi = INFINITY;
        }
}
