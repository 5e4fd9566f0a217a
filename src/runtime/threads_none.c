/* SPDX-License-Identifier: Apache-2.0 */
/* threads.h without a library of threads (NARROW_THREADS=OFF): a team is the calling thread. */
#include <stdlib.h>

#include "runtime/fpenv.h"
#include "runtime/threads.h"

struct nw_threads {
    size_t n;
};

nw_threads *nw_threads_create(size_t n)
{
    (void)n;
    nw_threads *threads = malloc(sizeof(*threads));
    if (threads)
        threads->n = 1;
    return threads;
}

void nw_threads_free(nw_threads *threads)
{
    free(threads);
}

size_t nw_threads_count(const nw_threads *threads)
{
    return threads ? threads->n : 1;
}

void nw_threads_rest(nw_threads *threads)
{
    (void)threads;
}

int32_t nw_threads_processors(void)
{
    return 1;
}

void nw_threads_run(nw_threads *threads, const nw_job *job)
{
    (void)threads;
    const nw_fpenv saved = nw_fpenv_enter();
    job->run(job->state, 0, job->n_tiles);
    nw_fpenv_leave(saved);
}
