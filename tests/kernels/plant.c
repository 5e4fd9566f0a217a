/* SPDX-License-Identifier: Apache-2.0 */
/* See plant.h. Each error is small: one output of a call, and only sometimes where the kernel is large. */
#include "plant.h"

static nw_kernels real;

static void gemm_last_pixel(const nw_gemm_call *call)
{
    real.gemm.run(call);
    uint8_t *last = call->c[call->m - 1];
    last[call->end - 1] ^= 1u;
}

static void gemm_writes_behind(const nw_gemm_call *call)
{
    real.gemm.run(call);
    if (!call->requant->float_output)
        ((uint8_t *)call->c[0])[call->end] ^= 0x80u;
}

static void narrow_last_pixel(const nw_gemm_call *call)
{
    real.gemm_narrow.run(call);
    ((uint8_t *)call->c[call->m - 1])[call->begin] ^= 1u;
}

static void winograd_last_tile(const nw_winograd_call *call)
{
    real.winograd.run(call);
    const int32_t across = (call->width + 3) / 4;
    const int32_t tile = call->first + call->n - 1;
    call->y[4 * (tile / across) * call->y_row + 4 * (tile % across) * call->y_pixel] ^= 1u;
}

static void gemm_extra(const nw_gemm_call *call)
{
    real.gemm.run_extra(call);
    call->extra_sums[call->m * call->requant->n_extra - 1] += 1;
}

static void depthwise_last_pixel(const nw_depthwise_call *call)
{
    real.depthwise.run(call);
    ((uint8_t *)call->c)[(ptrdiff_t)(call->n - 1) * call->c_step] ^= 1u;
}

static void depthwise_last_row(const nw_depthwise_call *call)
{
    real.depthwise.run_rows(call);
    if (call->rows > 1)
        ((uint8_t *)call->c)[(call->rows - 1) * call->c_row] ^= 1u;
}

static void add_first(const nw_add_call *call)
{
    real.add(call);
    call->y[0] ^= 1u;
}

static void multiply_first(const nw_multiply_call *call)
{
    real.multiply(call);
    call->y[0] ^= 1u;
}

static void float_line_last(const nw_float_call *call)
{
    real.float_line(call);
    ((uint8_t *)(call->y + call->n - 1))[0] ^= 1u;
}

static void max_pool_first(const nw_pool_call *call)
{
    real.max_pool(call);
    call->y[0] ^= 1u;
}

static void average_pool_first(const nw_pool_call *call)
{
    real.average_pool(call);
    call->y[0] ^= 1u;
}

static void resize_codes_last_pixel(const nw_resize_call *call)
{
    real.resize_codes(call);
    call->y[(ptrdiff_t)(call->n - 1) * call->y_step] ^= 1u;
}

static void resize_reals_first(const nw_resize_call *call)
{
    real.resize_reals(call);
    call->y[0] ^= 1u;
}

static void table_behind(uint8_t *y, const uint8_t *x, size_t n, const uint8_t table[256])
{
    real.table(y, x, n, table);
    y[n] ^= 1u;
}

static void tables_last(const nw_tables_call *call)
{
    real.tables(call);
    call->y[(call->height - 1) * call->y_row + (call->width - 1) * call->y_step + call->channels - 1] ^= 1u;
}

static void transpose_last(const nw_transpose_call *call)
{
    real.transpose(call);
    call->y[(call->n - 1) * call->y_step + 4 * call->m - 1] ^= 1u;
}

static void unpack_last(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift)
{
    real.unpack(to, from, n, bits, shift);
    to[n - 1] ^= 1u;
}

static void pack_behind(uint8_t *to, const uint8_t *from, size_t n, int32_t bits, int32_t shift)
{
    real.pack(to, from, n, bits, shift);
    to[(n * (size_t)bits + 7) / 8] ^= 1u;
}

static void quantize_last(const nw_quantize_call *call)
{
    real.quantize(call);
    call->y[(ptrdiff_t)(call->n - 1) * call->y_step] ^= 1u;
}

static void dequantize_last(float *y, const uint8_t *x, size_t n, float scale, int32_t zero_point)
{
    real.dequantize(y, x, n, scale, zero_point);
    y[n - 1] += scale;
}

static size_t squeeze_first(uint8_t *to, uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    const size_t count = real.squeeze(to, map, from, n, zero);
    to[0] ^= 1u;
    return count;
}

static void expand_last(uint8_t *to, const uint8_t *map, const uint8_t *from, size_t n, uint8_t zero)
{
    real.expand(to, map, from, n, zero);
    to[n - 1] ^= 1u;
}

#define NARROW 20
#define WINOGRAD 21

static const char *const names[PLANT_COUNT] = {
    "gemm: last channel of the last pixel", "gemm: one byte behind the panel", "gemm: last extra sum",
    "depthwise: first channel of the last pixel", "add: first output", "max_pool: first output",
    "average_pool: first output", "table: one byte behind the end",
    "unpack: last code", "pack: one byte behind the row",
    "resize_codes: last pixel", "resize_reals: first output",
    "quantize: last pixel", "dequantize: last real", "multiply: first output",
    "float_line: last real",
    "squeeze: first code", "expand: last code",
    "tables: last channel of the last pixel", "transpose: last element",
    "gemm_narrow: first channel of the last pixel", "winograd: first output of the last tile",
};

const char *plant_name(int32_t i)
{
    return names[i];
}

bool plant_applies(const nw_kernels *kernels, int32_t i)
{
    return i == NARROW ? kernels->gemm_narrow.run != NULL : i != WINOGRAD || kernels->winograd.run;
}

nw_kernels plant_error(const nw_kernels *kernels, int32_t i)
{
    real = *kernels;
    nw_kernels planted = *kernels;
    switch (i) {
    case 0:
        planted.gemm.run = gemm_last_pixel;
        break;
    case 1:
        planted.gemm.run = gemm_writes_behind;
        break;
    case 2:
        planted.gemm.run_extra = gemm_extra;
        break;
    case 3:
        planted.depthwise.run = depthwise_last_pixel;
        if (planted.depthwise.run_rows)
            planted.depthwise.run_rows = depthwise_last_row;
        break;
    case 4:
        planted.add = add_first;
        break;
    case 5:
        planted.max_pool = max_pool_first;
        break;
    case 6:
        planted.average_pool = average_pool_first;
        break;
    case 8:
        planted.unpack = unpack_last;
        break;
    case 9:
        planted.pack = pack_behind;
        break;
    case 10:
        planted.resize_codes = resize_codes_last_pixel;
        break;
    case 11:
        planted.resize_reals = resize_reals_first;
        break;
    case 12:
        planted.quantize = quantize_last;
        break;
    case 13:
        planted.dequantize = dequantize_last;
        break;
    case 14:
        planted.multiply = multiply_first;
        break;
    case 15:
        planted.float_line = float_line_last;
        break;
    case 16:
        planted.squeeze = squeeze_first;
        break;
    case 17:
        planted.expand = expand_last;
        break;
    case 18:
        planted.tables = tables_last;
        break;
    case 19:
        planted.transpose = transpose_last;
        break;
    case NARROW:
        planted.gemm_narrow.run = narrow_last_pixel;
        break;
    case WINOGRAD:
        planted.winograd.run = winograd_last_tile;
        break;
    default:
        planted.table = table_behind;
    }
    return planted;
}
