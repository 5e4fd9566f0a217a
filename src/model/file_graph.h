/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the writer and the reader of .nw files must agree on: the keys of the graph's JSON and the names of the tensors.
 * Private to file_write.c and file_read*.c.
 */
#ifndef NARROW_MODEL_FILE_GRAPH_H
#define NARROW_MODEL_FILE_GRAPH_H

#include <stdint.h>

#include "model/model.h"

#define NW_FILE_KEY_VERSION "narrow.version"
#define NW_FILE_KEY_GRAPH "narrow.graph"
#define NW_FILE_KEY_PLAN "narrow.plan"
#define NW_FILE_KEY_PREPROCESS "narrow.preprocess"

/** Length of an attribute that has one entry per axis of the node's output, or a begin and an end per axis. */
#define NW_PER_AXIS (-1)
#define NW_TWICE_PER_AXIS (-2)

/** A list of integers in an nw_node, and the operators that have it. */
typedef struct nw_attribute {
    const char *key;
    uint32_t operators; /* bit 1 << op */
    int32_t length;     /* entries; 0: a single integer, not a list */
    int32_t lo, hi;     /* range that the reader accepts */
    int32_t usual;      /* with every entry this the key is left out; -1: never */
    size_t offset;      /* of the int32_t in nw_node */
} nw_attribute;

#define NW_N_ATTRIBUTES 10
extern const nw_attribute nw_file_attributes[NW_N_ATTRIBUTES];

/** Entries of the attribute for a node whose output has `rank` axes; 1 for a single integer. */
int32_t nw_attribute_count(const nw_attribute *attribute, int32_t rank);

/** Whether all values are the usual one, so that the key is left out. */
bool nw_attribute_is_usual(const nw_attribute *attribute, const int32_t *values, int32_t n);

/** Whether a node has the attribute. */
static inline bool nw_attribute_applies(const nw_attribute *attribute, nw_op op)
{
    return attribute->operators >> op & 1u;
}

/** "auto", "32", "16", "16-wrap", by nw_accumulator. */
extern const char *const nw_file_accumulators[NW_ACCUMULATOR_COUNT];
/** "nearest", "linear", by nw_resize_mode; "half_pixel", ..., by nw_resize_coordinates. */
extern const char *const nw_file_resize_modes[2];
extern const char *const nw_file_coordinates[4];

/**
 * Weights of a row: kh kw C_in / groups, for a u8 input with channels; false if that is no whole number of at most
 * 2^23.
 */
bool nw_file_row_length(int32_t *k, const nw_node *node, const nw_tensor *x);

/** Room for the name of a tensor of the file: "n2147483647.weights". */
typedef char nw_file_name[48];

/** "t5.data" for kind 't' (tensors), "n12.weights" for kind 'n' (nodes). */
void nw_file_name_format(nw_file_name name, char kind, int32_t index, const char *part);

#endif
