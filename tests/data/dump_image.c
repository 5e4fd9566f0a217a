/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of pictures as a server for compare_pillow.py. One request per line on stdin, fields separated by tabs:
 *
 *     decode FILE | map FILE | resize FILE HEIGHT WIDTH FILTER | prepare FILE JSON | tensor FILE JSON
 *     open PATH LABELS JSON | sample I | label-map I | label I
 *
 * The answer is "ok BYTES A B C\n" and that many bytes (A, B, C: height, width, channels, or the shape, or the label),
 * or "error STATUS sentence\n". LABELS may be empty.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "data/picture.h"
#include "data/resize.h"

#define MAX_FIELDS 6

static nw_dataset *data;

static void answer(const void *bytes, size_t size, size_t a, size_t b, size_t c)
{
    printf("ok %zu %zu %zu %zu\n", size, a, b, c);
    fwrite(bytes, 1, size, stdout);
}

static void answer_image(const nw_image *image)
{
    answer(image->pixels, image->height * image->width * image->channels, image->height, image->width, image->channels);
}

static nw_status resize(nw_image *image, char **field, nw_error *error)
{
    nw_image out = {0};
    for (int i = 0; i < NW_INTERPOLATION_COUNT; i++)
        if (!strcmp(field[4], nw_interpolation_name((nw_interpolation)i))) {
            NW_TRY(nw_image_resize(&out, image, strtoul(field[2], NULL, 10), strtoul(field[3], NULL, 10),
                                   (nw_interpolation)i, error));
            nw_image_free(image);
            *image = out;
            return NW_OK;
        }
    return nw_fail(error, NW_ERROR_USAGE, "no such filter");
}

static nw_status prepare(nw_image *image, char **field, nw_error *error)
{
    nw_preprocess p;
    NW_TRY(nw_preprocess_parse(&p, field[2], "request", error));
    NW_TRY(nw_picture_prepare(image, &p, field[1], error));
    if (strcmp(field[0], "tensor"))
        return NW_OK;
    const size_t n = image->height * image->width * image->channels;
    float *values = malloc(n * sizeof(*values));
    if (!values)
        return nw_fail_memory(error, "normalising");
    nw_picture_normalize(values, image, &p);
    answer(values, n * sizeof(*values), image->channels, image->height, image->width);
    free(values);
    nw_image_free(image);
    return NW_OK;
}

static nw_status on_picture(char **field, nw_error *error)
{
    nw_image image = {0};
    nw_status status = strcmp(field[0], "map") ? nw_image_read(&image, field[1], error)
                                               : nw_image_read_map(&image, field[1], error);
    if (!status && !strcmp(field[0], "resize"))
        status = resize(&image, field, error);
    else if (!status && (!strcmp(field[0], "prepare") || !strcmp(field[0], "tensor")))
        status = prepare(&image, field, error);
    if (!status && image.pixels)
        answer_image(&image);
    nw_image_free(&image);
    return status;
}

static nw_status open_data(char **field, nw_error *error)
{
    nw_preprocess p;
    nw_dataset_free(data);
    data = NULL;
    NW_TRY(nw_preprocess_parse(&p, field[3], "request", error));
    NW_TRY(nw_dataset_open(&data, field[1], *field[2] ? field[2] : NULL, &p, error));
    answer("", 0, nw_dataset_count(data), nw_dataset_n_classes(data), nw_dataset_sample_size(data));
    return NW_OK;
}

static nw_status on_data(char **field, nw_error *error)
{
    const size_t i = strtoul(field[1], NULL, 10), n = nw_dataset_sample_size(data);
    const char *name = nw_dataset_name(data, i);
    float *values = malloc(n * sizeof(*values));
    nw_status status = NW_OK;
    if (!values)
        return nw_fail_memory(error, "reading");
    if (!strcmp(field[0], "sample")) {
        status = nw_dataset_tensor(data, i, values, error);
        if (!status)
            answer(values, n * sizeof(*values), n, 0, 0);
    } else if (!strcmp(field[0], "label-map")) {
        size_t shape[NW_NPY_MAX_RANK];
        nw_dataset_shape(data, shape);
        status = nw_dataset_map(data, i, (uint8_t *)values, error);
        if (!status)
            answer(values, shape[1] * shape[2], shape[1], shape[2], 0);
    } else {
        answer(name ? name : "", name ? strlen(name) : 0, (size_t)(nw_dataset_label(data, i) + 1), 0, 0);
    }
    free(values);
    return status;
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        char *field[MAX_FIELDS] = {0}, *at = line;
        nw_error error = {""};
        size_t n = 0;
        line[strcspn(line, "\n")] = 0;
        while (n < MAX_FIELDS && at) {
            field[n++] = at;
            at = strchr(at, '\t');
            if (at)
                *at++ = 0;
        }
        nw_status status = NW_ERROR_USAGE;
        if (!strcmp(field[0], "open") && n == 4)
            status = open_data(field, &error);
        else if (data && n == 2 && (!strcmp(field[0], "sample") || !strncmp(field[0], "label", 5)))
            status = on_data(field, &error);
        else if (n >= 2)
            status = on_picture(field, &error);
        if (status)
            printf("error %d %s\n", (int)status, error.message);
        fflush(stdout);
    }
    nw_dataset_free(data);
    free(line);
    return 0;
}
