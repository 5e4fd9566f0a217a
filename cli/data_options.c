/* SPDX-License-Identifier: Apache-2.0 */
/* See data_options.h. */
#include "cli/data_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define PREPROCESS_LIMIT ((size_t)1 << 20)

static nw_status read_file(nw_preprocess *out, const char *path, nw_error *error)
{
    nw_bytes file = {0};
    NW_TRY(nw_bytes_read(&file, path, PREPROCESS_LIMIT, error));
    char *text = malloc(file.size + 1);
    nw_status status = NW_OK;
    if (text) {
        memcpy(text, file.data, file.size);
        text[file.size] = '\0';
        status = nw_preprocess_parse(out, text, path, error);
    } else {
        status = nw_fail_memory(error, "reading the preprocessing");
    }
    free(text);
    nw_bytes_free(&file);
    return status;
}

/** Size, layout and channels as the network's input has them. */
static void take_input_shape(nw_preprocess *p, const nw_model *model)
{
    const nw_tensor *input = &model->tensors[model->inputs[0]];
    if (input->rank != 4 || p->n_size)
        return;
    p->n_size = 2;
    p->height = input->dims[2];
    p->width = input->dims[3];
}

nw_status nw_data_options_settle(nw_preprocess *out, bool *given, const nw_data_options *options,
                                 const nw_model *model, nw_error *error)
{
    nw_preprocess p;
    nw_preprocess_init(&p);
    *given = options->preprocess || options->mean || options->std || model->has_preprocess;
    if (options->preprocess)
        NW_TRY(read_file(&p, options->preprocess, error));
    else if (model->has_preprocess)
        p = model->preprocess;
    else if (*given && model->tensors[model->inputs[0]].rank == 4 && model->tensors[model->inputs[0]].dims[1] == 3)
        p.channel_order = NW_CHANNELS_RGB;
    const char *const flags[][2] = {
        {"size", options->size},
        {"resize", options->resize},
        {"interpolation", options->interpolation},
        {"crop", options->crop},
        {"channel_order", options->channel_order},
        {"mean", options->mean},
        {"std", options->std},
        {"class_offset", options->class_offset},
    };
    for (size_t i = 0; i < NW_COUNT(flags); i++)
        if (flags[i][1])
            NW_TRY(nw_preprocess_set(&p, flags[i][0], flags[i][1], error));
    if (p.channel_order != NW_CHANNELS_NONE)
        take_input_shape(&p, model);
    NW_TRY(nw_preprocess_validate(&p, error));
    *out = p;
    return NW_OK;
}

/** Whether the data would open if the network read pictures. */
static bool holds_pictures(const char *path)
{
    nw_preprocess p;
    nw_dataset *data;
    nw_preprocess_init(&p);
    p.channel_order = NW_CHANNELS_RGB;
    p.n_size = 2;
    p.height = p.width = 1;
    if (nw_dataset_open(&data, path, NULL, &p, NULL))
        return false;
    const bool pictures = nw_dataset_has_images(data);
    nw_dataset_free(data);
    return pictures;
}

nw_status nw_data_open(nw_dataset **out, const char *path, const char *labels, const nw_preprocess *preprocess,
                       bool given, nw_error *error)
{
    const nw_status status = nw_dataset_open(out, path, labels, preprocess, error);
    if (status == NW_ERROR_DATA && !given && holds_pictures(path))
        return nw_fail(error, NW_ERROR_USAGE,
                       "%s: holds pictures, and nothing says how they are normalised; give --preprocess FILE or "
                       "--mean and --std", path);
    return status;
}
