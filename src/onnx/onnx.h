/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX import: the bytes of a float32 network in, an nw_model of float nodes out. First station of the path
 * model.onnx --onnx/--> nw_model --passes/--> nw_model; src/passes/passes.h goes on from here.
 *
 *     nw_model *model = NULL;
 *     nw_status status = nw_onnx_import(&model, "net.onnx", &error);
 *     if (status == NW_ERROR_UNSUPPORTED) {
 *         char *listing = NULL;
 *         if (!nw_onnx_problems(&listing, "net.onnx", NULL))
 *             fputs(listing, stderr);            every unsupported node, one line each
 *         free(listing);
 *     }
 *
 * What comes out: nodes in topological order with static shapes for one sample (a symbolic batch becomes 1), every
 * constant subgraph evaluated, weights as constant tensors in ONNX's layouts, one IR node per ONNX node or a few.
 * A file is untrusted: damaged bytes, sizes that do not match and wrong shapes end in NW_ERROR_DATA.
 */
#ifndef NARROW_ONNX_ONNX_H
#define NARROW_ONNX_ONNX_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/model.h"

/**
 * Imports the file `path`.
 *
 * @param out  the model, owned by the caller; untouched on failure
 * @return NW_ERROR_UNSUPPORTED: operators, attributes or shapes Narrow does not support; the sentence names the first
 *         few, nw_onnx_problems lists all. NW_ERROR_DATA: missing, damaged or contradictory. NW_ERROR_MEMORY.
 */
nw_status nw_onnx_import(nw_model **out, const char *path, nw_error *error);

/** The same from memory. `name` stands for the file in messages. The bytes are borrowed for the call. */
nw_status nw_onnx_parse(nw_model **out, const uint8_t *data, size_t size, const char *name, nw_error *error);

/**
 * Lists everything in the file that the import refuses: one line per problem, "node "x" (Op, opset 13): reason".
 *
 * @param listing  owned by the caller (free); "" when there is nothing to refuse
 * @return NW_OK also for an unsupported model; NW_ERROR_DATA or NW_ERROR_MEMORY when it cannot be read
 */
nw_status nw_onnx_problems(char **listing, const char *path, nw_error *error);

/** nw_onnx_problems from memory. */
nw_status nw_onnx_parse_problems(char **listing, const uint8_t *data, size_t size, const char *name, nw_error *error);

#endif
