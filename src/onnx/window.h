/* SPDX-License-Identifier: Apache-2.0 */
/* Reading kernel, strides, dilations and pads of a node into an nw_window. */
#ifndef NARROW_ONNX_WINDOW_H
#define NARROW_ONNX_WINDOW_H

#include "onnx/importer.h"

/**
 * Reads kernel_shape, strides, dilations, pads and auto_pad of a node over `in` = [N, C, H, W]; SAME_* becomes pads.
 *
 * @param kernel  the kernel that the weights imply, checked against kernel_shape; NULL: kernel_shape is required
 * @param ok      false after a problem was recorded
 */
nw_status nw_window_read(nw_window *window, bool *ok, nw_call *call, const nw_shape *in, const int64_t kernel[2]);

#endif
