/* SPDX-License-Identifier: Apache-2.0 */
/* See threads.h: a thin layer over pthreadpool. */
#define _POSIX_C_SOURCE 200809L
#include "runtime/threads.h"

#include <pthreadpool.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/fpenv.h"

struct nw_threads {
    pthreadpool_t pool;
    uint32_t flags; /* of every parallel loop */
};

int32_t nw_threads_processors(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > INT16_MAX ? INT16_MAX : (int32_t)n;
}

nw_threads *nw_threads_create(size_t n)
{
    nw_threads *threads = malloc(sizeof(*threads));
    if (!threads)
        return NULL;
    /* threads that spin while they wait take the processor from those that work, if there are more than processors */
    threads->flags = n > (size_t)nw_threads_processors() ? PTHREADPOOL_FLAG_YIELD_WORKERS : 0;
    threads->pool = pthreadpool_create(n);
    if (!threads->pool) {
        free(threads);
        return NULL;
    }
    return threads;
}

void nw_threads_free(nw_threads *threads)
{
    if (!threads)
        return;
    pthreadpool_destroy(threads->pool);
    free(threads);
}

size_t nw_threads_count(const nw_threads *threads)
{
    return threads ? pthreadpool_get_threads_count(threads->pool) : 1;
}

static void do_nothing(void *context, size_t i)
{
    (void)context;
    (void)i;
}

void nw_threads_rest(nw_threads *threads)
{
    const size_t n = nw_threads_count(threads);
    if (n > 1)
        pthreadpool_parallelize_1d(threads->pool, do_nothing, NULL, n, PTHREADPOOL_FLAG_YIELD_WORKERS);
}

static void run_range(void *context, size_t begin, size_t n)
{
    const nw_job *job = context;
    const nw_fpenv saved = nw_fpenv_enter();
    job->run(job->state, (int32_t)begin, (int32_t)(begin + n));
    nw_fpenv_leave(saved);
}

void nw_threads_run(nw_threads *threads, const nw_job *job)
{
    const size_t n_threads = nw_threads_count(threads);
    if (n_threads == 1 || job->n_tiles < 2) {
        run_range((void *)(uintptr_t)job, 0, (size_t)job->n_tiles);
        return;
    }
    const size_t n = (size_t)job->n_tiles;
    const size_t tile = n > 8 * n_threads ? n / (4 * n_threads) : 1;
    pthreadpool_parallelize_1d_tile_1d(threads->pool, run_range, (void *)(uintptr_t)job, n, tile, threads->flags);
}
