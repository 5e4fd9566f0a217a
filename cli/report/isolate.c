/* SPDX-License-Identifier: Apache-2.0 */
/* See isolate.h. The small network borrows everything from the large one, and is gone when its engine is built. */
#include "cli/report/isolate.h"

#define MOST_TENSORS 6
#define MOST_NODES 4

typedef struct parts {
    nw_tensor tensors[MOST_TENSORS];
    nw_node nodes[MOST_NODES];
    int32_t node_inputs[MOST_NODES][4];
    int32_t inputs[2], output;
    nw_model model;
} parts;

static int32_t add_tensor(parts *p, const nw_tensor *like, nw_type type)
{
    nw_tensor *t = &p->tensors[p->model.n_tensors];
    *t = *like;
    t->type = type;
    return p->model.n_tensors++;
}

static void add_border(parts *p, nw_op op, const char *name, int32_t from, int32_t to)
{
    const int32_t i = p->model.n_nodes++;
    p->node_inputs[i][0] = from;
    p->nodes[i] = (nw_node){.op = op, .name = (char *)(uintptr_t)name, .n_inputs = 1, .inputs = p->node_inputs[i],
                            .output = to, .groups = 1};
}

/** Reals that become the codes of `tensor`: the next input of the network. */
static int32_t add_input(parts *p, const nw_tensor *tensor)
{
    const int32_t reals = add_tensor(p, tensor, NW_TYPE_F32);
    const int32_t codes = add_tensor(p, tensor, NW_TYPE_U8);
    p->inputs[p->model.n_inputs++] = reals;
    add_border(p, NW_OP_QUANTIZE, tensor->name, reals, codes);
    return codes;
}

nw_status nw_isolate(nw_engine **out, const nw_model *model, int32_t n, const char *isa, nw_error *error)
{
    const nw_node *node = &model->nodes[n];
    const nw_tensor *y = &model->tensors[node->output];
    const int32_t residual = nw_node_residual(node);
    parts p = {.model = {.tensors = p.tensors, .nodes = p.nodes, .inputs = p.inputs, .outputs = &p.output,
                         .n_outputs = 1}};
    const int32_t x = add_input(&p, &model->tensors[node->inputs[0]]);
    const int32_t r = residual == NW_NONE ? NW_NONE : add_input(&p, &model->tensors[residual]);
    const int32_t i = p.model.n_nodes++;
    p.nodes[i] = *node;
    p.nodes[i].inputs = p.node_inputs[i];
    for (int32_t j = 0; j < 4; j++)
        p.node_inputs[i][j] = NW_NONE;
    p.node_inputs[i][0] = x;
    p.node_inputs[i][3] = r;
    p.nodes[i].n_inputs = residual == NW_NONE ? node->n_inputs : 4;
    p.output = p.nodes[i].output = add_tensor(&p, y, y->type);
    if (y->type == NW_TYPE_U8) {
        p.output = add_tensor(&p, y, NW_TYPE_F32);
        add_border(&p, NW_OP_DEQUANTIZE, y->name, p.nodes[i].output, p.output);
    }
    return nw_engine_create(out, &p.model, isa, error);
}
