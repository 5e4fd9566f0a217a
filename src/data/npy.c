/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See npy.h. The header of a .npy file is a Python dictionary in text,
 *
 *     \x93NUMPY | major | minor | length, 2 bytes (version 1) or 4 | {'descr': '<f4', 'fortran_order': False,
 *     'shape': (450, 1, 49, 10), } blanks \n | values
 */
#include "data/npy.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_blanks(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t'))
        c->at++;
}

static bool accept(cursor *c, char token)
{
    skip_blanks(c);
    if (c->at == c->end || *c->at != token)
        return false;
    c->at++;
    return true;
}

static bool accept_word(cursor *c, const char *word)
{
    const size_t n = strlen(word);
    skip_blanks(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n))
        return false;
    c->at += n;
    return true;
}

/* A quoted string of at most 15 bytes without escapes. */
static bool read_string(char out[16], cursor *c)
{
    skip_blanks(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return false;
    const char quote = *c->at++;
    size_t n = 0;
    while (c->at < c->end && *c->at != quote) {
        if (n == 15 || *c->at == '\\')
            return false;
        out[n++] = *c->at++;
    }
    out[n] = 0;
    return accept(c, quote);
}

static const char *read_type(nw_npy *array, cursor *c)
{
    char text[16];
    const uint16_t one = 1;
    uint8_t low;
    if (!read_string(text, c))
        return "holds records, not plain numbers";
    memcpy(&low, &one, 1);
    const char *code = text;
    array->big_endian = !low;
    if (*code == '<' || *code == '>' || *code == '=' || *code == '|') {
        array->big_endian = *code == '>' || (*code == '=' && !low);
        code++;
    }
    const char kind = code[0], digit = code[0] ? code[1] : 0;
    if ((kind != 'b' && kind != 'u' && kind != 'i' && kind != 'f') || !digit || !strchr("1248", digit) || code[2])
        return "holds values of a type other than bool, integer and float of up to 64 bits";
    array->item_size = (size_t)(digit - '0');
    array->kind = kind == 'b' ? NW_NPY_BOOL : kind == 'u' ? NW_NPY_UINT : kind == 'i' ? NW_NPY_INT : NW_NPY_FLOAT;
    if ((kind == 'f' && digit == '1') || (kind == 'b' && digit != '1'))
        return "holds values of a type other than bool, integer and float of up to 64 bits";
    return NULL;
}

static const char *read_shape(nw_npy *array, cursor *c)
{
    static const char *const malformed = "has a malformed shape";
    if (!accept(c, '('))
        return malformed;
    array->rank = 0;
    while (!accept(c, ')')) {
        size_t value = 0, digits = 0;
        for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++, digits++)
            if (!nw_size_mul(&value, value, 10) || !nw_size_add(&value, value, (size_t)(*c->at - '0')))
                return malformed;
        if (!digits)
            return malformed;
        if (array->rank == NW_NPY_MAX_RANK)
            return "has more than 8 dimensions";
        array->shape[array->rank++] = value;
        (void)(c->at < c->end && *c->at == 'L' && c->at++); /* as Python 2 wrote long integers */
        if (accept(c, ','))
            skip_blanks(c);
        else if (c->at == c->end || *c->at != ')')
            return malformed;
    }
    return NULL;
}

static const char *read_header(nw_npy *array, cursor *c)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    unsigned seen = 0;
    bool fortran = false;
    if (!accept(c, '{'))
        return "has a malformed header";
    while (!accept(c, '}')) {
        char key[16];
        const char *wrong = NULL;
        unsigned k = 0;
        if (!read_string(key, c) || !accept(c, ':'))
            return "has a malformed header";
        while (k < 3 && strcmp(key, keys[k]))
            k++;
        if (k == 3 || seen & 1u << k)
            return "has an unknown or repeated key in its header";
        seen |= 1u << k;
        if (k == 0)
            wrong = read_type(array, c);
        else if (k == 2)
            wrong = read_shape(array, c);
        else if (accept_word(c, "True"))
            fortran = true;
        else if (!accept_word(c, "False"))
            wrong = "has a malformed header";
        if (wrong)
            return wrong;
        if (!accept(c, ',') && (skip_blanks(c), c->at == c->end || *c->at != '}'))
            return "has a malformed header";
    }
    if (seen != 7)
        return "has an incomplete header";
    return fortran && array->rank > 1 ? "is in Fortran order; save numpy.ascontiguousarray of it" : NULL;
}

nw_status nw_npy_parse(nw_npy *out, const uint8_t *data, size_t size, uintmax_t file_size, const char *name,
                       nw_error *error)
{
    nw_npy array = {0};
    if (size < 10 || memcmp(data, "\x93NUMPY", 6))
        return nw_fail(error, NW_ERROR_DATA, "%s: is not a NumPy array", name);
    const unsigned version = data[6];
    if (version < 1 || version > 3)
        return nw_fail(error, NW_ERROR_DATA, "%s: is a NumPy array of unknown version %u", name, version);
    const size_t start = version == 1 ? 10 : 12;
    size_t length = (size_t)data[8] | (size_t)data[9] << 8;
    if (version > 1 && size >= start)
        length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (size < start || length > size - start)
        return nw_fail(error, NW_ERROR_DATA, "%s: is truncated in the header, or its header is larger than %zu bytes",
                       name, NW_NPY_MAX_HEADER);
    cursor c = {(const char *)data + start, (const char *)data + start + length};
    const char *wrong = read_header(&array, &c);
    if (wrong)
        return nw_fail(error, NW_ERROR_DATA, "%s: %s", name, wrong);
    size_t bytes = 0;
    array.n_values = 1;
    array.data_offset = start + length;
    bool fits = true;
    for (size_t i = 0; i < array.rank; i++)
        fits = fits && nw_size_mul(&array.n_values, array.n_values, array.shape[i]);
    fits = fits && nw_size_mul(&bytes, array.n_values, array.item_size);
    if (!fits || bytes > file_size || file_size - bytes < array.data_offset)
        return nw_fail(error, NW_ERROR_DATA, "%s: is truncated: its header promises more values than it holds", name);
    *out = array;
    return NW_OK;
}

static uint64_t load(const uint8_t *data, size_t item_size, bool big_endian)
{
    uint64_t value = 0;
    for (size_t i = 0; i < item_size; i++)
        value |= (uint64_t)data[big_endian ? item_size - 1 - i : i] << (8 * i);
    return value;
}

static int64_t load_int(uint64_t bits, size_t item_size)
{
    const unsigned unused = (unsigned)(64 - 8 * item_size);
    const uint64_t sign = (uint64_t)1 << (8 * item_size - 1);
    const uint64_t extended = unused && bits & sign ? bits | ~(uint64_t)0 << (64 - unused) : bits;
    int64_t value;
    memcpy(&value, &extended, sizeof(value));
    return value;
}

static float half_to_float(unsigned bits)
{
    const float sign = bits & 0x8000 ? -1.0f : 1.0f;
    const int exponent = (int)(bits >> 10 & 31), mantissa = (int)(bits & 1023);
    if (exponent == 31)
        return mantissa ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexpf((float)(mantissa + 1024), exponent - 25) : ldexpf((float)mantissa, -24));
}

static float load_float(uint64_t bits, size_t item_size)
{
    if (item_size == 2)
        return half_to_float((unsigned)bits);
    if (item_size == 4) {
        const uint32_t word = (uint32_t)bits;
        float value;
        memcpy(&value, &word, sizeof(value));
        return value;
    }
    double value;
    memcpy(&value, &bits, sizeof(value));
    return (float)value;
}

void nw_npy_to_float(float *out, const uint8_t *data, size_t n, const nw_npy *array)
{
    const size_t size = array->item_size;
    for (size_t i = 0; i < n; i++) {
        const uint64_t bits = load(data + i * size, size, array->big_endian);
        switch (array->kind) {
        case NW_NPY_FLOAT:
            out[i] = load_float(bits, size);
            break;
        case NW_NPY_INT:
            out[i] = (float)load_int(bits, size);
            break;
        case NW_NPY_BOOL:
            out[i] = bits ? 1.0f : 0.0f;
            break;
        case NW_NPY_UINT:
            out[i] = (float)bits;
            break;
        }
    }
}

bool nw_npy_to_int(int32_t *out, const uint8_t *data, size_t n, const nw_npy *array)
{
    const size_t size = array->item_size;
    if (array->kind == NW_NPY_FLOAT)
        return false;
    for (size_t i = 0; i < n; i++) {
        const uint64_t bits = load(data + i * size, size, array->big_endian);
        const int64_t value = load_int(bits, array->kind == NW_NPY_INT ? size : 8);
        if (value < INT32_MIN || value > INT32_MAX)
            return false;
        out[i] = (int32_t)value;
    }
    return true;
}
