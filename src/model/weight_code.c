/* SPDX-License-Identifier: Apache-2.0 */
/* See weight_code.h. Called by file_write.c and file_read.c. */
#include "model/weight_code.h"

#include "base/compiler.h"

#define LONGEST 7         /* bits of a magnitude */
#define CLASSES 12        /* of the running mean */
#define LEAST (1u << 24)  /* of the range: below it eight bits are settled */

/* ---- the range coder ---- */

/** Probability of a one in 2^-16, fast and slow to adapt. */
typedef struct counter {
    uint16_t fast, slow;
} counter;

/**
 * One way or the other. Writing: [low, low + range) in units of 2^-32, bytes that a carry may still change held back.
 */
typedef struct coder {
    uint8_t *to;         /* NULL: counts only */
    const uint8_t *from; /* reading */
    size_t at, size;     /* bytes written or read (those beyond `size` count and are 0) */
    uint64_t low;
    uint32_t range, code;
    uint64_t held; /* bytes held back: one, then 255s */
    uint8_t first; /* of them */
} coder;

static void put(coder *c, uint8_t byte)
{
    if (c->to)
        c->to[c->at] = byte;
    c->at++;
}

/** Moves the top byte of low out. No carry reaches beyond the very first one: low + range is at most 2^32 there. */
static void shift_low(coder *c)
{
    if (!c->held || c->low < 0xff000000u || c->low >> 32) {
        const uint8_t carry = (uint8_t)(c->low >> 32);
        for (uint64_t i = 0; i < c->held; i++)
            put(c, (uint8_t)((i ? 0xff : c->first) + carry));
        c->held = 0;
        c->first = (uint8_t)(c->low >> 24);
    }
    c->held++;
    c->low = (c->low & 0x00ffffffu) << 8;
}

static uint8_t get(coder *c)
{
    const size_t at = c->at++;
    return at < c->size ? c->from[at] : 0;
}

/** A bit whose probability of being 1 is one / 2^16: writes `bit`, or reads and returns it. */
static NW_INLINE unsigned code_bit(coder *c, bool reading, unsigned bit, uint32_t one)
{
    const uint32_t bound = (c->range >> 16) * one;
    if (reading)
        bit = c->code < bound;
    if (bit) {
        c->range = bound;
    } else {
        c->range -= bound;
        if (reading)
            c->code -= bound;
        else
            c->low += bound;
    }
    while (c->range < LEAST) {
        c->range <<= 8;
        if (reading)
            c->code = c->code << 8 | get(c);
        else
            shift_low(c);
    }
    return bit;
}

static NW_INLINE unsigned code_counted(coder *c, bool reading, unsigned bit, counter *n)
{
    bit = code_bit(c, reading, bit, ((uint32_t)n->fast + n->slow) >> 1);
    if (bit) {
        n->fast = (uint16_t)(n->fast + ((65535 - n->fast) >> 4));
        n->slow = (uint16_t)(n->slow + ((65535 - n->slow) >> 7));
    } else {
        n->fast = (uint16_t)(n->fast - (n->fast >> 4));
        n->slow = (uint16_t)(n->slow - (n->slow >> 7));
    }
    return bit;
}

static coder begin_writing(uint8_t *to)
{
    return (coder){.to = to, .range = 0xffffffffu};
}

static size_t end_writing(coder *c)
{
    for (int i = 0; i < 5; i++)
        shift_low(c);
    return c->at;
}

static coder begin_reading(const uint8_t *from, size_t size)
{
    coder c = {.from = from, .size = size, .range = 0xffffffffu};
    for (int i = 0; i < 4; i++)
        c.code = c.code << 8 | get(&c);
    return c;
}

/* ---- what is known about the next weight ---- */

typedef struct model {
    counter length[3][CLASSES][LONGEST];
    counter digits[LONGEST + 1][4]; /* by length and the digits so far, a one in front */
    uint32_t mean; /* running, of magnitudes, in 1/16 */
} model;

static model begin_model(void)
{
    model m = {.mean = 16};
    counter *all = &m.length[0][0][0];
    for (size_t i = 0; i < sizeof(m.length) / sizeof(counter); i++)
        all[i] = (counter){1u << 15, 1u << 15};
    all = &m.digits[0][0];
    for (size_t i = 0; i < sizeof(m.digits) / sizeof(counter); i++)
        all[i] = (counter){1u << 15, 1u << 15};
    return m;
}

static unsigned class_of(uint32_t mean)
{
    static const uint8_t classes[16] = {0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7};
    const uint32_t twice = (2 * mean + 8) >> 4;
    return twice < 16 ? classes[twice] : twice < 24 ? 8 : twice < 40 ? 9 : twice < 72 ? 10 : 11;
}

static NW_INLINE unsigned magnitude(int8_t weight)
{
    return (unsigned)(weight < 0 ? -weight : weight);
}

/** The weight at w[j] of a row: writes `weight`, or reads and returns it. `above`: the row before, or NULL. */
static NW_INLINE int8_t code_weight(coder *c, model *m, bool reading, const int8_t *w, const int8_t *above, size_t j,
                                    size_t period, int8_t weight)
{
    const unsigned near = (above ? magnitude(above[j]) : 0) + (period && j >= period ? magnitude(w[j - period]) : 0);
    counter *length = m->length[near < 3 ? (near + 1) / 2 : 2][class_of(m->mean)];
    unsigned value = reading ? 0 : magnitude(weight);
    unsigned e = 0;
    while (e < LONGEST && code_counted(c, reading, value >> e != 0, &length[e]))
        e++;
    unsigned known = 1;
    for (unsigned left = e; left > 1; left--) {
        const unsigned bit = value >> (left - 2) & 1;
        known = known << 1 | (known < 4 ? code_counted(c, reading, bit, &m->digits[e][known])
                                        : code_bit(c, reading, bit, 1u << 15));
    }
    if (reading)
        value = e ? known : 0;
    m->mean = (15 * m->mean + 16 * value + 8) >> 4;
    if (value == 0)
        return 0;
    return code_bit(c, reading, weight < 0, 1u << 15) ? (int8_t)-(int)value : (int8_t)value;
}

size_t nw_weight_code_encode(uint8_t *to, const int8_t *weights, size_t n_rows, size_t k, size_t period)
{
    coder c = begin_writing(to);
    model m = begin_model();
    for (size_t r = 0; r < n_rows; r++) {
        const int8_t *w = weights + r * k;
        for (size_t j = 0; j < k; j++)
            code_weight(&c, &m, false, w, r ? w - k : NULL, j, period, w[j]);
    }
    return end_writing(&c);
}

bool nw_weight_code_decode(int8_t *weights, size_t n_rows, size_t k, size_t period, const uint8_t *from, size_t size)
{
    coder c = begin_reading(from, size);
    model m = begin_model();
    for (size_t r = 0; r < n_rows; r++) {
        int8_t *w = weights + r * k;
        for (size_t j = 0; j < k; j++)
            w[j] = code_weight(&c, &m, true, w, r ? w - k : NULL, j, period, 0);
        if (c.at > size) /* not after every weight: what is read beyond the end is 0 */
            return false;
    }
    return c.at == size;
}
