/* SPDX-License-Identifier: Apache-2.0 */
/* See float_graphs.h. */
#include "float_graphs.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t random_state = 1;

float random_float(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / 8388608.0f - 1.0f;
}

float *random_data(size_t n)
{
    float *data = malloc((n ? n : 1) * sizeof(*data));
    assert_non_null(data);
    for (size_t i = 0; i < n; i++)
        data[i] = random_float();
    return data;
}

int32_t add_tensor(nw_model *model, const char *name, int32_t rank, const int32_t *dims)
{
    const int32_t index = nw_model_add_tensor(model, name, NW_TYPE_F32, rank, dims);
    assert_int_not_equal(index, NW_NONE);
    return index;
}

int32_t add_constant(nw_model *model, const char *name, int32_t rank, const int32_t *dims)
{
    const int32_t index = add_tensor(model, name, rank, dims);
    model->tensors[index].data = random_data(nw_tensor_elements(&model->tensors[index]));
    return index;
}

nw_node *add_node(nw_model *model, nw_op op, const char *name, int32_t n, const int32_t *inputs, int32_t output)
{
    nw_node *node = nw_model_add_node(model, op, name, n);
    assert_non_null(node);
    memcpy(node->inputs, inputs, (size_t)n * sizeof(*inputs));
    node->output = output;
    return node;
}

void set_ends(nw_model *model, int32_t input, int32_t output)
{
    model->inputs = malloc(sizeof(*model->inputs));
    model->outputs = malloc(sizeof(*model->outputs));
    model->inputs[0] = input;
    model->outputs[0] = output;
    model->n_inputs = model->n_outputs = 1;
}

void assert_close(double got, double expected, const char *what)
{
    if (!(fabs(got - expected) <= 2e-5 * (1.0 + fabs(expected))))
        fail_msg("%s: %.9g, expected %.9g", what, got, expected);
}
