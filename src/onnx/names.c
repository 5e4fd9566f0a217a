/* SPDX-License-Identifier: Apache-2.0 */
/* The names of a graph and what they stand for: a hash table with open addressing. See importer.h. */
#include <stdlib.h>
#include <string.h>

#include "onnx/importer.h"

static size_t hash_name(const char *name)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 1099511628211u;
    return (size_t)(hash ^ (hash >> 32));
}

static nw_entry *find_slot(nw_entry *entries, size_t capacity, const char *name)
{
    size_t i = hash_name(name) & (capacity - 1);
    while (entries[i].name && strcmp(entries[i].name, name) != 0)
        i = (i + 1) & (capacity - 1);
    return &entries[i];
}

static bool grow(nw_importer *im)
{
    const size_t capacity = im->entry_capacity ? im->entry_capacity * 2 : 64;
    nw_entry *entries = calloc(capacity, sizeof(*entries));
    if (!entries)
        return false;
    for (size_t i = 0; i < im->entry_capacity; i++)
        if (im->entries[i].name)
            *find_slot(entries, capacity, im->entries[i].name) = im->entries[i];
    free(im->entries);
    im->entries = entries;
    im->entry_capacity = capacity;
    return true;
}

nw_value *nw_lookup(nw_importer *im, const char *name)
{
    if (!im->entry_capacity)
        return NULL;
    nw_entry *entry = find_slot(im->entries, im->entry_capacity, name);
    return entry->name ? &entry->value : NULL;
}

nw_status nw_define(nw_importer *im, const char *name, const nw_value *value)
{
    if ((im->n_entries + 1) * 2 > im->entry_capacity && !grow(im))
        return nw_fail_memory(im->error, "importing a network");
    nw_entry *entry = find_slot(im->entries, im->entry_capacity, name);
    if (entry->name)
        return nw_fail(im->error, NW_ERROR_DATA, "%s: the name \"%s\" is defined twice", im->file, name);
    entry->name = name;
    entry->value = *value;
    im->n_entries++;
    return NW_OK;
}
