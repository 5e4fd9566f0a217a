/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: bytes as a .npy, an .npz, a list of samples and a list of class names. */
#include <stdint.h>
#include <stdlib.h>

#include "data/csv.h"
#include "data/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_array(const uint8_t *data, size_t size)
{
    nw_npy array;
    nw_error error;
    if (nw_npy_parse(&array, data, size, size, "fuzz", &error) || array.n_values > size)
        return;
    float *values = malloc((array.n_values + 1) * sizeof(*values));
    int32_t *integers = malloc((array.n_values + 1) * sizeof(*integers));
    if (values && integers) {
        nw_npy_to_float(values, data + array.data_offset, array.n_values, &array);
        nw_npy_to_int(integers, data + array.data_offset, array.n_values, &array);
    }
    free(values);
    free(integers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nw_bytes array = {0};
    nw_csv csv = {0};
    nw_names names = {0};
    nw_error error;
    read_array(data, size);
    if (nw_npz_read(&array, data, size, NULL, "fuzz", &error) == NW_OK && array.data)
        read_array(array.data, array.size);
    nw_bytes_free(&array);
    if (nw_csv_parse(&csv, (const char *)data, size, "fuzz", &error) == NW_OK)
        nw_names_sort(&csv.files);
    nw_csv_free(&csv);
    if (nw_class_names_parse(&names, (const char *)data, size, "fuzz", &error) == NW_OK)
        nw_names_free(&names);
    return 0;
}
