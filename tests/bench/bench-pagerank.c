/* SPDX-License-Identifier: MIT
 *
 * bench-pagerank.c: the rank of each page, by the links between them.
 *
 * Each of STEPS steps reads ranks at random and writes new ones in order, and adds up how much they
 * have changed. weir does a step by a reduction over one pool, OpenMP by a parallel loop; both use
 * the same loop over the same links, so the ranks are the same to the last bit.
 */
#include "kernel.h"

#define STEPS   10
#define LINKS   8 /* to a page, on average */
#define DAMPING 0.85

struct pages {
    int64_t *first; /* of each page's links in `from`; one more than there are pages */
    int32_t *from;  /* the page that has the link */
    int32_t *links; /* how many it has */
    double *ranks[2], *shares[2]; /* a share is a rank by the number of links */
    int64_t count;
    uint64_t seed;
    int side; /* of the two, that which is read */
};

static struct pages weir_pages, openmp_pages;

SHARED_LOOP double step(const struct pages *pages, int64_t begin, int64_t end)
{
    const int64_t *restrict first = pages->first;
    const int32_t *restrict from = pages->from;
    const double *restrict shares = pages->shares[pages->side];
    const double *restrict old = pages->ranks[pages->side];
    double *restrict ranks = pages->ranks[1 - pages->side];
    double *restrict next = pages->shares[1 - pages->side];
    double change = 0;

    for (int64_t i = begin; i < end; i++) {
        double sum = 0;

        for (int64_t k = first[i]; k < first[i + 1]; k++)
            sum += shares[from[k]];
        ranks[i] = (1 - DAMPING) / (double)pages->count + DAMPING * sum;
        next[i] = ranks[i] / pages->links[i];
        change += ranks[i] > old[i] ? ranks[i] - old[i] : old[i] - ranks[i];
    }
    return change;
}

static void begin_steps(struct pages *pages)
{
    pages->side = 0;
    for (int64_t i = 0; i < pages->count; i++) {
        pages->ranks[0][i] = 1 / (double)pages->count;
        pages->shares[0][i] = pages->ranks[0][i] / pages->links[i];
    }
}

/* ---- weir ----------------------------------------------------------------------------------- */

static int fold(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    (void)task;
    *(double *)accumulator += step(arg, range.begin, range.end);
    return 0;
}

static void by_weir(const struct bench *bench)
{
    static const weir_reduction summing = {
        .size = sizeof(double), .fold = fold, .combine = weir_sum_double};
    double change = 0;

    begin_steps(&weir_pages);
    for (int i = 0; i < STEPS; i++, weir_pages.side = 1 - weir_pages.side)
        must(weir_pool_reduce(bench->pool, (weir_range){0, weir_pages.count}, &summing, &change,
                              &weir_pages, &(weir_job_options){.arg_size = sizeof weir_pages}) == 0,
             "weir_pool_reduce");
    must(change < 1, "the ranks move less and less");
}

/* ---- OpenMP --------------------------------------------------------------------------------- */

#define BLOCK 4096 /* pages; a step of one page costs more in the call of its loop */

static void by_openmp(const struct bench *bench)
{
    const int64_t count = openmp_pages.count;
    double change = 0;

    begin_steps(&openmp_pages);
    for (int i = 0; i < STEPS; i++, openmp_pages.side = 1 - openmp_pages.side) {
        change = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(bench->workers) reduction(+ : change)
        for (int64_t from = 0; from < count; from += BLOCK)
            change += step(&openmp_pages, from, from + BLOCK < count ? from + BLOCK : count);
    }
    must(change < 1, "the ranks move less and less");
}

/* ---- both ----------------------------------------------------------------------------------- */

/* Pages with a low number are linked more often. */
static int fill(weir_task *task, weir_range range, void *arg)
{
    const struct pages *pages = arg;

    (void)task;
    for (int64_t i = range.begin; i < range.end; i++) {
        for (int64_t k = pages->first[i]; k < pages->first[i + 1]; k++)
            pages->from[k] =
                (int32_t)(random_of(pages->seed + 1, (uint64_t)k) % (uint64_t)pages->count);
        pages->links[i] = 0;
    }
    return 0;
}

static void *make(const struct bench *bench, int64_t count, size_t size)
{
    weir_shm *block = weir_scope_shm(bench->scope, (size_t)count * size);

    must(block != NULL, "weir_scope_shm");
    return weir_shm_buf(block);
}

static void prepare(const struct bench *bench)
{
    const int64_t a_page = 8 + LINKS * 4 + 4 + 8 * 8;
    const int64_t count = bench->bytes / a_page;
    struct pages pages = {.count = count, .seed = bench->seed};

    pages.first = make(bench, count + 1, sizeof *pages.first);
    for (int64_t i = 0, at = 0; i <= count; i++) {
        const double popular = 2 * (1 - (double)i / (double)count) * LINKS;

        pages.first[i] = at;
        at += (int64_t)(popular * 2 * random_real(bench->seed, (uint64_t)i));
    }
    pages.from = make(bench, pages.first[count] + 1, sizeof *pages.from);
    pages.links = make(bench, count, sizeof *pages.links);
    must(weir_pool_for(bench->pool, (weir_range){0, count}, fill, &pages,
                       &(weir_job_options){.arg_size = sizeof pages}) == 0,
         "weir_pool_for");
    for (int64_t k = 0; k < pages.first[count]; k++)
        pages.links[pages.from[k]]++;
    for (int64_t i = 0; i < count; i++)
        pages.links[i] += pages.links[i] == 0; /* to nowhere */
    weir_pages = openmp_pages = pages;
    for (int i = 0; i < 2; i++) {
        weir_pages.ranks[i] = make(bench, count, sizeof(double));
        weir_pages.shares[i] = make(bench, count, sizeof(double));
        openmp_pages.ranks[i] = make(bench, count, sizeof(double));
        openmp_pages.shares[i] = make(bench, count, sizeof(double));
    }
}

/* The part of the ranks that differ. */
static double difference(void)
{
    int64_t different = 0;

    for (int64_t i = 0; i < weir_pages.count; i++)
        different += !(weir_pages.ranks[STEPS % 2][i] == openmp_pages.ranks[STEPS % 2][i]);
    return (double)different / (double)weir_pages.count;
}

int main(int argc, char **argv)
{
    static const struct kernel kernel = {
        .name = "pagerank",
        .target = 1.05,
        .mib = 200, /* 1.9 million pages */
        .rounds = 7,
        .prepare = prepare,
        .ways = {{"weir", by_weir, NULL}, {"openmp", by_openmp, difference}},
    };

    return kernel_main(argc, argv, &kernel, 1);
}
