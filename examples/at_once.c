/* SPDX-License-Identifier: MIT
 *
 * at_once: what throws of two dice look like, asked in several ways at once.
 *
 * Each kind of call can be a future: the program goes on, and the workers take chunks of all that
 * is there. Here the throws of a shared array are counted by their sum (map-reduce), averaged
 * (reduce) and made into letters (map), and the longest run of doubles is looked for (submit), all
 * at the same time; the program waits for all of them together, with bars on a terminal.
 *
 *   cc at_once.c $(pkg-config --cflags --libs weir) -o at_once && ./at_once [THROWS [WORKERS]]
 *
 * Prints how often each sum was thrown, the mean, the letters of the first throws, and how many
 * doubles came in a row at most.
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct toss {
    int8_t first, second;
};

static int8_t face(uint64_t number)
{
    number = (number + 1) * 0x9e3779b97f4a7c15;
    number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9;
    number = (number ^ number >> 27) * 0x94d049bb133111eb;
    return (int8_t)(1 + (number >> 32) % 6);
}

static int throw_dice(weir_task *task, weir_range range, void *arg)
{
    struct toss *throws = arg;

    (void)task;
    WEIR_EACH (i, range)
        throws[i] = (struct toss){face(2 * (uint64_t)i), face(2 * (uint64_t)i + 1)};
    return 0;
}

/* ---- the questions, each in a worker --------------------------------------------------------- */

static int emit_sums(weir_task *task, weir_range range, void *arg)
{
    const struct toss *throws = arg;

    WEIR_EACH (i, range) {
        char sum = (char)(throws[i].first + throws[i].second);

        weir_emit_int64(task, &sum, 1, 1);
    }
    return 0;
}

static int add_throws(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    const struct toss *throws = arg;

    (void)task;
    WEIR_EACH (i, range)
        *(double *)accumulator += throws[i].first + throws[i].second;
    return 0;
}

static int to_letter(weir_task *task, const void *in, void *out, void *arg)
{
    const struct toss *one = in;

    (void)task;
    (void)arg;
    *(char *)out = (char)('A' - 2 + one->first + one->second);
    return 0;
}

struct all {
    const struct toss *throws;
    int64_t count;
};

static int find_run(weir_task *task, void *arg)
{
    const struct all *all = arg;
    int64_t run = 0, longest = 0;

    for (int64_t i = 0; i < all->count; i++) {
        run = all->throws[i].first == all->throws[i].second ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return weir_task_result(task, &longest, sizeof(longest));
}

/* ---- here ------------------------------------------------------------------------------------ */

/* Returns 0, or -1 with the last error set. */
static int print_answers(weir_future *const *futures, const char *letters, double count)
{
    weir_table *table = weir_future_table(futures[0]);
    const double *sum = weir_future_result(futures[1], NULL);
    const int64_t *doubles = weir_future_result(futures[3], NULL);
    weir_pair *pairs;
    size_t keys;

    if (table == NULL || sum == NULL || doubles == NULL)
        return -1;
    pairs = weir_table_sorted(table, weir_pair_by_key, 0, &keys);
    if (pairs == NULL)
        return -1;
    for (size_t i = 0; i < keys; i++)
        printf("%2d %8" PRId64 "\n", pairs[i].key[0], *(const int64_t *)pairs[i].value);
    free(pairs);
    weir_table_free(table);
    printf("mean %.9g\n", *sum / count);
    printf("first %.40s\n", letters);
    printf("doubles in a row %" PRId64 "\n", *doubles);
    return 0;
}

/* Returns 0, or -1 with the last error set. */
static int ask_all(weir_pool *pool, struct toss *throws, char *letters, int64_t count)
{
    const weir_map_reduction sums = {
        .map = emit_sums, .value_size = sizeof(int64_t), .combine = weir_sum_int64};
    const weir_reduction mean = {
        .size = sizeof(double), .fold = add_throws, .combine = weir_sum_double};
    const struct all all = {throws, count};
    const weir_range range = weir_range_of(count);
    weir_future *futures[] = {
        weir_pool_map_reduce_async(pool, range, &sums, throws,
                                   &(weir_job_options){.progress = "sums"}),
        weir_pool_reduce_async(pool, range, &mean, throws, NULL),
        weir_pool_map_async(pool, to_letter, throws, sizeof(*throws), letters, 1, (size_t)count,
                            NULL, &(weir_job_options){.progress = "letters"}),
        WEIR_SUBMIT(pool, find_run, all, NULL),
    };
    int result = 0;

    for (int i = 0; i < 4; i++) {
        if (futures[i] == NULL)
            result = -1;
    }
    /* 4: all have ended, and none has failed */
    if (result == 0 && weir_future_wait_many(futures, 4, WEIR_WHEN_FIRST_ERROR, -1) != 4)
        result = -1;
    if (result == 0)
        result = print_answers(futures, letters, (double)count);
    for (int i = 0; i < 4; i++)
        weir_future_free(futures[i]); /* cancels a job that has not ended */
    return result;
}

/* Returns 0, or 1 with the last error set. */
static int run(weir_scope *scope, int64_t count, int workers)
{
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    if (pool == NULL)
        return 1;
    weir_shm *dice = weir_scope_shm(scope, (size_t)count * sizeof(struct toss));
    if (dice == NULL)
        return 1;
    weir_shm *letters = weir_scope_shm(scope, (size_t)count + 1); /* a NUL follows the last one */
    if (letters == NULL)
        return 1;

    if (weir_pool_for(pool, weir_range_of(count), throw_dice, weir_shm_buf(dice), NULL) < 0)
        return 1;
    return ask_all(pool, weir_shm_buf(dice), weir_shm_buf(letters), count) < 0;
}

/* A decimal number from 1 to max, or -1. */
static int64_t parse(const char *text, int64_t max)
{
    char *end;
    long long number = strtoll(text, &end, 10);

    return *end || number < 1 || number > max ? -1 : number;
}

int main(int argc, char **argv)
{
    int64_t count = argc > 1 ? parse(argv[1], INT64_C(1) << 32) : 2000000;
    int64_t workers = argc > 2 ? parse(argv[2], WEIR_WORKERS_MAX) : weir_cpu_count();
    int status = 1;

    if (count < 0 || workers < 0 || argc > 3) {
        fprintf(stderr, "usage: at_once [THROWS (1 to 2^32) [WORKERS (1 to %d)]]\n",
                WEIR_WORKERS_MAX);
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, count, (int)workers);
    }
    if (status != 0)
        fprintf(stderr, "at_once: %s\n", weir_last_error()->message);
    return status;
}
