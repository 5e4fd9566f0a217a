/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at protobuf bytes before protobuf-c unpacks them. protobuf-c recurses once per nested message and allocates a
 * struct for every empty one, both without a bound; a file of a few kilobytes could exhaust the stack.
 */
#ifndef NARROW_ONNX_SCAN_H
#define NARROW_ONNX_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

/**
 * True when the bytes are well-formed fields of `descriptor`'s message, nested at most 32 deep, with at most
 * 8,000,000 messages in all. What passes may still be refused by the unpacker, but cannot exhaust it.
 */
bool nw_scan_message(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t size);

#endif
