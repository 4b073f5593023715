/* SPDX-License-Identifier: MIT
 *
 * crash-programs.c: the programs that crash kills: a job with a known result, a host, and a whole
 * life.
 */
#include "child.h"
#include "crash.h"

#include <stdio.h>
#include <unistd.h>

#define ITEMS 2000

/* ---- a job with a known result -------------------------------------------------------------- */

static int sum_squares(weir_task *task, weir_range range, void *arg)
{
    struct board *results = *(struct board **)arg;
    int64_t sum = 0;

    results->started++;
    for (int64_t i = range.begin; i < range.end; i++) {
        sum += i * i;
        for (int spin = 0; spin < 1500; spin++)
            __asm__ __volatile__("");
    }
    results->sums[weir_task_chunk(task)] = sum;
    return 0;
}

int run_job(weir_pool *pool, int retries)
{
    int64_t sum = 0, expected = 0;
    int result;

    for (int c = 0; c < CHUNKS; c++)
        board->sums[c] = -1;
    result = weir_pool_for(pool, (weir_range){0, ITEMS}, sum_squares, &board,
                           &(weir_job_options){.chunks = CHUNKS,
                                               .retries = retries,
                                               .arg_size = sizeof(struct board *)});
    if (result != 0)
        return result;
    for (int c = 0; c < CHUNKS; c++)
        sum += board->sums[c];
    for (int64_t i = 0; i < ITEMS; i++)
        expected += i * i;
    return sum == expected ? 0 : 1;
}

/* ---- hosts ---------------------------------------------------------------------------------- */

static int round_of_work(weir_scope *scope, weir_pool *pool)
{
    weir_list *list = weir_scope_list_range(scope, 0, 100, 1);
    weir_shm *block = weir_scope_shm(scope, 30000);

    if (list == NULL || block == NULL)
        return weir_last_error()->code;
    return run_job(pool, 5);
}

static void host_main(int rounds)
{
    weir_scope *scope;
    weir_pool *pool;
    int result = 0;

    child_reset();
    setpgid(0, 0);
    board->phase = 1;
    scope = weir_scope_begin(NULL);
    if (scope == NULL)
        _exit(11);
    board->manager = weir_scope_manager_pid(scope);
    board->phase = 2;
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    if (pool == NULL)
        _exit(12);
    board->supervisor = weir_pool_supervisor_pid(pool);
    board->phase = 3;
    for (int i = 0; (rounds == 0 || i < rounds) && result == 0; i++)
        result = round_of_work(scope, pool);
    if (result != 0) {
        fprintf(stderr, "host: %d %s\n", result, weir_last_error()->message);
        _exit(13);
    }
    board->phase = 4;
    weir_pool_free(pool);
    board->phase = 5;
    if (weir_scope_end(scope) != 0) {
        fprintf(stderr, "host: weir_scope_end: %s\n", weir_last_error()->message);
        _exit(15);
    }
    _exit(0);
}

pid_t start_host(int rounds)
{
    pid_t host;

    board->manager = board->supervisor = 0;
    board->phase = 0;
    host = fork();
    if (host == 0)
        host_main(rounds);
    return host;
}

/* ---- a whole life --------------------------------------------------------------------------- */

static int return_7(void *arg)
{
    (void)arg;
    return 7;
}

int life(void)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_process *process;
    weir_pool *pool;
    int code = 7, result;

    if (scope == NULL)
        return 11;
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    process = weir_process_start(scope, return_7, NULL);
    if (process != NULL && weir_process_join(process, -1, &code) == 0 && code != 7 && code > 0)
        return 41;
    weir_process_free(process);
    result = pool != NULL ? round_of_work(scope, pool) : 0;
    if (result == 1)
        return 42;
    weir_pool_free(pool);
    return weir_scope_end(scope) != 0 ? 43 : result != 0 ? 13 : 0;
}
