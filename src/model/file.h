/* SPDX-License-Identifier: Apache-2.0 */
/*
 * .nw files: an integer nw_model to bytes and back. docs/file-format.md is the format, safetensors.h its container.
 * Stands between quant/ (which makes the model) and runtime/ (which runs it).
 *
 *     NW_TRY(nw_model_write(model, "net.nw", error));
 *     nw_model *model = NULL;
 *     NW_TRY(nw_model_read(&model, "net.nw", error));
 *     nw_model_free(model);
 */
#ifndef NARROW_MODEL_FILE_H
#define NARROW_MODEL_FILE_H

#include "base/bytes.h"
#include "model/model.h"

/** The value of "narrow.version" that is written, and the only one that is read. */
#define NW_FILE_VERSION 1

/**
 * Validates an integer model and lays it out as a .nw file. The same model gives the same bytes, and a model that was
 * read gives the bytes of the file that nw_model_serialize made.
 *
 * @param out  heap block that the caller frees with nw_bytes_free
 * @return NW_ERROR_DATA (nw_model_validate's sentence, or the plan is no JSON object, or too large), NW_ERROR_MEMORY
 */
nw_status nw_model_serialize(nw_bytes *out, const nw_model *model, nw_error *error);

/** nw_model_serialize into the file `path`, which appears whole or not at all. */
nw_status nw_model_write(const nw_model *model, const char *path, nw_error *error);

/**
 * Makes a model from the bytes of a .nw file, which nobody needs to vouch for: afterwards nw_model_validate holds.
 *
 * @param name  the file as sentences call it
 * @return NW_ERROR_DATA for anything damaged or contradictory, NW_ERROR_UNSUPPORTED for another version,
 *         NW_ERROR_MEMORY
 */
nw_status nw_model_parse(nw_model **out, const uint8_t *data, size_t size, const char *name, nw_error *error);

/** nw_model_parse of the file `path`, which is read whole and let go afterwards. */
NW_API nw_status nw_model_read(nw_model **out, const char *path, nw_error *error);

#endif
