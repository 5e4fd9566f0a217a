/* SPDX-License-Identifier: Apache-2.0 */
/* See file_graph.h. */
#include "model/file_graph.h"

#include <stddef.h>
#include <stdio.h>

#include "base/bytes.h"
#include "model/validate.h"

#define WINDOWED (1u << NW_OP_CONV | 1u << NW_OP_CONV_TRANSPOSE | 1u << NW_OP_MAX_POOL | 1u << NW_OP_AVERAGE_POOL)
#define LINEAR (1u << NW_OP_CONV | 1u << NW_OP_CONV_TRANSPOSE)

const nw_attribute nw_file_attributes[NW_N_ATTRIBUTES] = {
    {"kernel", WINDOWED, 2, 1, INT32_MAX, 1, offsetof(nw_node, window.kernel)},
    {"stride", WINDOWED, 2, 1, INT32_MAX, 1, offsetof(nw_node, window.stride)},
    {"dilation", WINDOWED, 2, 1, INT32_MAX, 1, offsetof(nw_node, window.dilation)},
    {"pad", WINDOWED, 4, 0, INT32_MAX, 0, offsetof(nw_node, window.pad)},
    {"groups", LINEAR, 0, 1, INT32_MAX, 1, offsetof(nw_node, groups)},
    {"axis", 1u << NW_OP_CONCAT | 1u << NW_OP_SOFTMAX, 0, 0, NW_MAX_RANK - 1, 1, offsetof(nw_node, axis)},
    {"starts", 1u << NW_OP_SLICE, NW_PER_AXIS, 0, INT32_MAX, 0, offsetof(nw_node, starts)},
    {"steps", 1u << NW_OP_SLICE, NW_PER_AXIS, 1, INT32_MAX, 1, offsetof(nw_node, steps)},
    {"pads", 1u << NW_OP_PAD, NW_TWICE_PER_AXIS, 0, INT32_MAX, -1, offsetof(nw_node, pads)},
    {"perm", 1u << NW_OP_TRANSPOSE, NW_PER_AXIS, 0, NW_MAX_RANK - 1, -1, offsetof(nw_node, perm)},
};

const char *const nw_file_accumulators[NW_ACCUMULATOR_COUNT] = {"auto", "32", "16", "16-wrap"};
const char *const nw_file_resize_modes[2] = {"nearest", "linear"};
const char *const nw_file_coordinates[4] = {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"};

int32_t nw_attribute_count(const nw_attribute *attribute, int32_t rank)
{
    switch (attribute->length) {
    case NW_PER_AXIS:
        return rank;
    case NW_TWICE_PER_AXIS:
        return 2 * rank;
    default:
        return attribute->length ? attribute->length : 1;
    }
}

bool nw_attribute_is_usual(const nw_attribute *attribute, const int32_t *values, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (values[i] != attribute->usual)
            return false;
    return true;
}

bool nw_file_row_length(int32_t *k, const nw_node *node, const nw_tensor *x)
{
    const nw_window *window = &node->window;
    const int32_t channels = nw_tensor_channels(x);
    size_t size;
    if (channels % node->groups || !nw_size_mul(&size, (size_t)window->kernel[0], (size_t)window->kernel[1]) ||
        !nw_size_mul(&size, size, (size_t)(channels / node->groups)) || size > NW_MAX_K)
        return false;
    *k = (int32_t)size;
    return true;
}

void nw_file_name_format(nw_file_name name, char kind, int32_t index, const char *part)
{
    snprintf(name, sizeof(nw_file_name), "%c%d.%s", kind, (int)index, part);
}
