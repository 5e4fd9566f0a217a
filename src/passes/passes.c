/* SPDX-License-Identifier: Apache-2.0 */
/* See passes.h. The order matters: each pass sees what those before it left. */
#include "passes/passes.h"

#include "passes/graph.h"

typedef nw_status pass(nw_graph *graph);

static pass *const passes[] = {
    nw_pass_noop,     /* Flatten of a vector and the like; Reshape behind Reshape */
    nw_pass_view,     /* channel shuffles become slices */
    nw_pass_noop,     /* and a view that turned out to be everything */
    nw_pass_activation, /* x * sigmoid(x) and its like into one node; before affine, which would take them apart */
    nw_pass_affine,   /* normalisation and constant factors into weights */
    nw_pass_gemm,     /* fully connected layers become convolutions */
    nw_pass_clamp,    /* Relu and Clip into lo and hi */
    nw_pass_pad,      /* Pad into windows */
    nw_pass_residual, /* Add into convolutions; after clamp, so that the sum's clamp goes along */
};

/** Runs the passes in order; a node that lost its last user leaves before the next one looks. */
nw_status nw_passes_run(nw_model *model, nw_error *error)
{
    nw_graph graph;
    nw_status status = nw_graph_init(&graph, model, error);
    if (!status)
        nw_graph_remove_dead(&graph);
    for (size_t i = 0; i < NW_COUNT(passes) && !status; i++) {
        status = passes[i](&graph);
        nw_graph_remove_dead(&graph);
    }
    if (!status)
        status = nw_graph_compact(&graph);
    nw_graph_free(&graph);
    return status;
}
