/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 3 x 3 layers with stride 1 by Winograd's convolution (kernels/winograd.h), where that is faster: a share of the work
 * for each lane, because every share needs scratch of its own. Shares are bands of tiles, or of output channels where
 * the weights are many and the tiles few.
 */
#include <stdlib.h>

#include "base/arith.h"
#include "ops/linear.h"

#define CACHE (1 << 19)       /* bytes of L2 that scratch and weights of a panel may fill */
#define MANY_WEIGHTS (1 << 20) /* bytes from which weights come from behind L2 */
#define LEAST_TILES 12         /* of a block */
#define ONE_READ 0.3f          /* of few weights in a run, much of it hidden behind the products */
#define MOST_CHANNELS 4096

typedef struct winograd_state {
    nw_winograd_call call; /* all but tiles, channels and scratch */
    nw_requant requant;
    void (*run)(const nw_winograd_call *call);
    uint8_t *scratch;
    size_t scratch_size;   /* of a lane */
    int32_t lanes, block;  /* most tiles of a call */
    int32_t n_tiles, n_channels, nr;
    bool by_channels;
} winograd_state;

static int32_t share_begin(int32_t n, int32_t lane, int32_t lanes)
{
    return (int32_t)((int64_t)n * lane / lanes);
}

/** Lanes [begin, end), one thread's part, as one: in the scratch of the first. */
static void run(const void *state, int32_t begin, int32_t end)
{
    const winograd_state *s = state;
    nw_winograd_call call = s->call;
    int32_t first = 0;
    int32_t last = s->n_tiles;
    call.requant = &s->requant;
    call.scratch = s->scratch + (size_t)begin * s->scratch_size;
    call.end = s->n_channels;
    if (s->by_channels) {
        const int32_t panels = (s->n_channels + s->nr - 1) / s->nr;
        call.begin = share_begin(panels, begin, s->lanes) * s->nr;
        call.end = nw_min32(share_begin(panels, end, s->lanes) * s->nr, s->n_channels);
    } else {
        first = share_begin(s->n_tiles, begin, s->lanes);
        last = share_begin(s->n_tiles, end, s->lanes);
    }
    const int32_t blocks = (last - first + s->block - 1) / s->block;
    for (int32_t i = 0; i < blocks; i++) {
        call.first = first + share_begin(last - first, i, blocks);
        call.n = first + share_begin(last - first, i + 1, blocks) - call.first;
        s->run(&call);
    }
}

static int32_t count_tiles(const nw_linear_params *params)
{
    return (nw_view_height(&params->y) + 3) / 4 * ((nw_view_width(&params->y) + 3) / 4);
}

static int64_t weight_bytes(const nw_linear_params *params)
{
    return (int64_t)sizeof(int16_t) * 4 * params->k * params->n_channels; /* 36 points for 9 taps */
}

/** Tiles of a block: as many as keep scratch in L2; more where weights do not fit there and are read for each block. */
static int32_t choose_block(const nw_linear_params *params, int32_t nr)
{
    const int32_t channels = params->k / 9;
    const int64_t tile = (int64_t)nw_winograd_scratch(channels, 2, nr) - (int64_t)nw_winograd_scratch(channels, 1, nr);
    if (weight_bytes(params) > MANY_WEIGHTS)
        return NW_WINOGRAD_TILES;
    return nw_max32(LEAST_TILES, nw_min32((int32_t)(CACHE / tile), NW_WINOGRAD_TILES));
}

/** Lanes of tiles, each with enough work to be worth a thread. */
static int32_t useful_lanes(const nw_linear_params *params)
{
    const int64_t tile = (int64_t)4 * params->k * params->n_channels;
    return nw_max32(1, (int32_t)(count_tiles(params) * tile / (4 * NW_TILE_GRAIN)));
}

static bool has_shape(const nw_linear_params *params)
{
    return !params->transpose && params->groups == 1 && params->n_rows == params->n_channels && params->scratch &&
           nw_window_suits_winograd(&params->window);
}

/** Whether Winograd's convolution is the faster one, in products of the direct one. */
static bool pays(const nw_linear_params *params, const nw_winograd *winograd)
{
    const float tiles = (float)count_tiles(params);
    const float channels = (float)(params->k / 9);
    const float outputs = (float)params->n_channels;
    const float pixels = (float)(nw_view_height(&params->y) * nw_view_width(&params->y));
    const float blocks = ceilf(tiles / (float)choose_block(params, winograd->nr));
    const float reads = weight_bytes(params) > MANY_WEIGHTS ? blocks : ONE_READ;
    const float bytes = reads * (float)weight_bytes(params);
    const float cost = tiles * (36.0f * winograd->product * channels * outputs + winograd->input * channels +
                                winograd->output * outputs) + winograd->byte * bytes;
    return cost < 9.0f * pixels * channels * outputs;
}

bool nw_winograd_make(nw_job *job, const nw_linear_params *params, const nw_requant *requant, const nw_kernels *kernels,
                      nw_arena *arena)
{
    const nw_winograd *winograd = &kernels->winograd;
    const bool asked = params->arrangement == NW_ARRANGE_WINOGRAD;
    if (!winograd->run || !has_shape(params) ||
        !(asked || (params->arrangement == NW_ARRANGE_CHEAPEST && pays(params, winograd))))
        return false;
    const int32_t channels = params->k / 9;
    uint8_t limits[2][MOST_CHANNELS];
    if (channels > MOST_CHANNELS)
        return false;
    for (int32_t c = 0; c < channels; c++)
        nw_linear_input_range(params, c, &limits[0][c], &limits[1][c]);
    const nw_winograd_source source = {params->weights, params->n_channels, channels, limits[0], limits[1]};
    const size_t size = winograd->pack(NULL, &source);
    if (!size)
        return false;
    const nw_view *x = &params->x, *y = &params->y, *r = &params->residual;
    const nw_window *w = &params->window;
    winograd_state s = {
        .requant = *requant,
        .run = winograd->run,
        .block = choose_block(params, winograd->nr),
        .n_tiles = count_tiles(params),
        .n_channels = params->n_channels,
        .nr = winograd->nr,
    };
    const int32_t panels = (params->n_channels + winograd->nr - 1) / winograd->nr;
    const int32_t lanes = params->scratch->lanes;
    s.by_channels = weight_bytes(params) > MANY_WEIGHTS && panels % lanes == 0;
    s.lanes = nw_min32(lanes, s.by_channels ? panels : nw_min32(useful_lanes(params), s.n_tiles));
    s.scratch_size = nw_align(nw_winograd_scratch(channels, nw_min32(s.block, s.n_tiles), winograd->nr), NW_ALIGNMENT);
    s.scratch = nw_scratch_ask(params->scratch, s.scratch_size * (size_t)s.lanes);
    winograd_state *state = nw_arena_take(arena, sizeof(s));
    s.call.packed = nw_arena_next(arena);
    winograd->pack(nw_arena_take(arena, size), &source);
    *job = (nw_job){.run = run, .state = state, .kernel = winograd->name, .n_tiles = s.lanes};
    if (!state)
        return true;
    const ptrdiff_t x_row = nw_view_row_stride(x);
    const ptrdiff_t x_pixel = nw_view_pixel_stride(x);
    s.call.x = x->data - w->pad[0] * x_row - w->pad[1] * x_pixel;
    s.call.x_row = x_row;
    s.call.x_pixel = x_pixel;
    s.call.y = y->data;
    s.call.y_row = nw_view_row_stride(y);
    s.call.y_pixel = nw_view_pixel_stride(y);
    s.call.height = nw_view_height(y);
    s.call.width = nw_view_width(y);
    if (params->has_residual) {
        s.call.residual = r->data;
        s.call.residual_row = nw_view_row_stride(r);
        s.call.residual_pixel = nw_view_pixel_stride(r);
    }
    *state = s;
    return true;
}
