/* SPDX-License-Identifier: MIT
 *
 * crash-kills.c: kills workers, the supervisor, the host or the manager at random instants.
 */
#include "crash.h"
#include "scopes.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* ---- workers -------------------------------------------------------------------------------- */

struct killer {
    weir_pool *pool;
    unsigned seed;
    int delay_us, kills;
    _Atomic bool stop;
};

/* A pid that the pool names may be a dead process's for an instant, until the slot is emptied; the
 * supervisor reaps it in the same step, and no pid comes round again that soon. */
static void kill_one(struct killer *killer)
{
    pid_t pid = weir_pool_worker_pid(
        killer->pool, (int)(rand_r(&killer->seed) % (unsigned)weir_pool_workers(killer->pool)));

    if (pid > 0 && kill(pid, SIGKILL) == 0)
        killer->kills++;
}

static void *kill_one_later(void *arg)
{
    struct killer *killer = arg;

    sleep_us(killer->delay_us);
    kill_one(killer);
    return NULL;
}

static void *kill_one_after_the_other(void *arg)
{
    struct killer *killer = arg;

    while (!killer->stop) {
        sleep_us(killer->delay_us);
        kill_one(killer);
    }
    return NULL;
}

/* One death a job: with a retry left nothing may be lost. The time is that of the whole job. */
void crash_worker(struct sample *sample, int trials, unsigned seed)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 3});
    struct killer killer = {.pool = pool, .seed = seed};

    if (pool == NULL) {
        wrong(sample, 0, weir_last_error()->message, weir_last_error()->code);
        return;
    }
    for (int trial = 0; trial < trials; trial++) {
        pthread_t thread;
        double start;
        int result;

        board->started = 0;
        killer.kills = 0;
        killer.delay_us = (int)(rand_r(&killer.seed) % 1500);
        pthread_create(&thread, NULL, kill_one_later, &killer);
        start = now_ms();
        result = run_job(pool, 1);
        note(sample, now_ms() - start);
        pthread_join(thread, NULL);
        if (result != 0)
            wrong(sample, trial, result == 1 ? "wrong sum" : weir_last_error()->message, result);
        if (board->started < CHUNKS || board->started > CHUNKS + killer.kills)
            wrong(sample, trial, "chunks started", board->started);
    }
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* Workers die all the time: every job ends, with the exact sum or with a reported death. The
 * argument is the number of seconds here. The time is the longest without a job's end. */
void crash_storm(struct sample *sample, int seconds, unsigned seed)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 3});
    struct killer killer = {.pool = pool, .seed = seed, .delay_us = 5000};
    const double end = now_ms() + seconds * 1e3;
    int jobs = 0, failed = 0;
    pthread_t thread;

    if (pool == NULL) {
        wrong(sample, 0, weir_last_error()->message, weir_last_error()->code);
        return;
    }
    pthread_create(&thread, NULL, kill_one_after_the_other, &killer);
    while (now_ms() < end) {
        double start = now_ms();
        int result = run_job(pool, 30);

        note(sample, now_ms() - start);
        jobs++;
        failed += result == WEIR_EDIED;
        if (result != 0 && result != WEIR_EDIED)
            wrong(sample, jobs, result == 1 ? "wrong sum" : weir_last_error()->message, result);
    }
    killer.stop = true;
    pthread_join(thread, NULL);
    if (killer.kills < seconds * 50)
        wrong(sample, jobs, "too few kills to be a storm", killer.kills);
    if (failed > jobs / 100)
        wrong(sample, jobs, "too many jobs failed", failed);
    if (run_job(pool, 30) != 0)
        wrong(sample, jobs, "the pool does not work after the storm", weir_last_error()->code);
    printf("{\"case\":\"storm\",\"jobs\":%d,\"kills\":%d,\"reported\":%d}\n", jobs, killer.kills,
           failed);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

/* ---- the supervisor ------------------------------------------------------------------------- */

static void *kill_supervisor_later(void *arg)
{
    struct killer *killer = arg;

    sleep_us(killer->delay_us);
    kill(weir_pool_supervisor_pid(killer->pool), SIGKILL);
    return NULL;
}

/* The time is from the kill until the call has returned and the pool is freed. */
void crash_supervisor(struct sample *sample, int trials, unsigned seed)
{
    weir_scope *scope = weir_scope_begin(NULL);
    struct killer killer = {.seed = seed};

    for (int trial = 0; trial < trials; trial++) {
        double start = now_ms();
        pthread_t thread;
        int result = 0;

        killer.pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
        if (killer.pool == NULL) {
            wrong(sample, trial, weir_last_error()->message, weir_last_error()->code);
            break;
        }
        killer.delay_us = (int)(rand_r(&killer.seed) % 2000);
        start = now_ms() + killer.delay_us / 1e3;
        pthread_create(&thread, NULL, kill_supervisor_later, &killer);
        while (result == 0)
            result = run_job(killer.pool, 30);
        pthread_join(thread, NULL);
        if (result != WEIR_EDIED || strstr(weir_last_error()->message, "supervisor") == NULL)
            wrong(sample, trial, weir_last_error()->message, result);
        weir_pool_free(killer.pool);
        note(sample, now_ms() - start);
    }
    if (weir_scope_end(scope) != 0)
        wrong(sample, trials, weir_last_error()->message, weir_last_error()->code);
}

/* ---- hosts ---------------------------------------------------------------------------------- */

/* From its very start to well into its work. */
static void let_it_live(unsigned *seed)
{
    sleep_us((int)(rand_r(seed) % 15000));
}

static void kill_pid(pid_t pid)
{
    if (pid > 0)
        kill(pid, SIGKILL);
}

void crash_host(struct sample *sample, int trials, unsigned seed, int victims)
{
    for (int trial = 0; trial < trials; trial++) {
        pid_t host = start_host(0);
        int status = -1;
        bool all;
        double ms;

        let_it_live(&seed);
        if (victims & MANAGER_FIRST)
            kill_pid(board->manager);
        if (victims & GROUP && kill(-host, SIGKILL) < 0)
            kill_pid(host); /* not yet a group */
        if (victims & HOST)
            kill_pid(host);
        if (victims & MANAGER)
            kill_pid(board->manager);
        if (victims & SUPERVISOR)
            kill_pid(board->supervisor);
        /* Without a pool there is no third process that would clean. */
        all = !scopes_are_anonymous() &&
              (victims & SUPERVISOR || (victims & (MANAGER | MANAGER_FIRST) && board->phase < 3));
        if (scopes_are_anonymous() && files() > 0)
            wrong(sample, trial, "an anonymous scope has files", files());
        ms = wait_clean(host, &status, all ? HANG_MS : CLEAN_MS, !all);
        if (all && ms >= 0 && files() > 0) {
            /* All are dead, and nobody is left who could: the next scope of anybody does it. */
            double start = now_ms();
            weir_scope *scope = weir_scope_begin(NULL);

            ms = now_ms() - start;
            if (scope == NULL || weir_scope_end(scope) != 0)
                wrong(sample, trial, weir_last_error()->message, weir_last_error()->code);
            if (wait_clean(host, &status, CLEAN_MS, true) < 0)
                ms = -1;
        }
        if (ms < 0) {
            wrong(sample, trial, "not clean; the host was in phase", board->phase);
            print_files();
            wait_clean(host, &status, HANG_MS, true);
        } else {
            note(sample, ms);
        }
    }
}

/* The host lives on, ends in order, and has the exact result; the time is that of its end. */
void crash_manager(struct sample *sample, int trials, unsigned seed)
{
    for (int trial = 0; trial < trials; trial++) {
        pid_t host = start_host(20);
        int status = -1;
        bool killed;
        double ms;

        while (board->manager == 0)
            sleep_us(20);
        sleep_us((int)(rand_r(&seed) % 8000));
        killed = kill(board->manager, SIGKILL) == 0;
        ms = wait_clean(host, &status, HANG_MS, true);
        if (ms < 0)
            wrong(sample, trial, "not clean; the host was in phase", board->phase);
        else
            note(sample, ms);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            wrong(sample, trial, killed ? "the host ended with" : "the host failed unharmed",
                  status);
    }
}
