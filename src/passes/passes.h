/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graph passes: from the nodes an exporter wrote to the nodes the engines want. They stand between onnx/ (or any other
 * maker of float models) and the float engine, calibration and quantization.
 *
 *     NW_TRY(nw_onnx_import(&model, "net.onnx", error));
 *     NW_TRY(nw_passes_run(model, error));
 *
 * Afterwards:
 * - BATCH_NORM and GEMM are gone: folded into a CONV or turned into one (a standalone BATCH_NORM is a depthwise 1 x 1
 *   CONV, a GEMM a CONV on [N, K] or, behind a flattening, a CONV with a kernel of the whole plane);
 * - RELU and CLIP behind CONV, CONV_TRANSPOSE or ADD are its lo and hi; only those behind other operators remain;
 * - products of x with a sigmoid of x, or with its straight-lined kin, are SILU or HARD_SWISH;
 * - an ADD of a convolution's result is that convolution's residual, input 3;
 * - padding by zeros is in the window of the CONV behind it;
 * - every activation has dims[0] = 1, nodes are in topological order, tensors without a user are gone.
 * ADD, SUB, MUL, DIV that remain may have a constant or a broadcast second operand.
 *
 * The function a network computes is unchanged up to binary32 rounding of folded weights (computed in binary64).
 */
#ifndef NARROW_PASSES_PASSES_H
#define NARROW_PASSES_PASSES_H

#include "base/error.h"
#include "model/model.h"

/**
 * Runs all passes, in place. Names of graph inputs and outputs stay.
 *
 * @param model  a float model; after a failure it may be half way and can only be freed
 * @return NW_ERROR_UNSUPPORTED: a tensor mixes the samples of a batch; NW_ERROR_MEMORY
 */
nw_status nw_passes_run(nw_model *model, nw_error *error);

#endif
