/* SPDX-License-Identifier: MIT
 *
 * support.h: what the tests of the pool share.
 */
#ifndef TEST_POOL_SUPPORT_H
#define TEST_POOL_SUPPORT_H

#include "leak.h"
#include "now.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <weir.h>

#define UNIT(test) cmocka_unit_test_setup_teardown(test, leak_setup, leak_teardown)

#define OPTIONS(...) (&(weir_job_options){__VA_ARGS__})

/* Zeroed memory that a pool made later shares. */
static inline void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static inline weir_scope *begin(void)
{
    weir_scope *scope = weir_scope_begin(NULL);

    if (scope == NULL)
        fail_msg("weir_scope_begin: %s", weir_last_error()->message);
    return scope;
}

static inline weir_pool *new_pool(weir_scope *scope, int workers)
{
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});

    if (pool == NULL)
        fail_msg("weir_pool_new: %s", weir_last_error()->message);
    return pool;
}

static inline void assert_message_has(const char *part)
{
    if (strstr(weir_last_error()->message, part) == NULL)
        fail_msg("the message does not have \"%s\": %s", part, weir_last_error()->message);
}

/* The supervisor of a weir_process is its parent. */
static inline pid_t parent_of(pid_t pid)
{
    char path[64];
    FILE *file;
    int parent = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d (%*[^)]) %*c %d", &parent), 1);
    fclose(file);
    return parent;
}

/* False for a process that has ended but was not waited for, too: orphans of a container, say. */
static inline bool is_alive(pid_t pid)
{
    char path[64], state = 'Z';
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    fclose(file);
    return state != 'Z' && state != 'X';
}

/* Of this process, not counting what has ended. */
static inline int count_children(void)
{
    char path[64];
    int count = 0, pid;
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    file = fopen(path, "re");
    assert_non_null(file);
    while (fscanf(file, "%d", &pid) == 1)
        count++;
    fclose(file);
    return count;
}

/* A thread that kills one worker after the other. */
struct killer {
    weir_pool *pool;
    unsigned pause_us; /* between two kills, up to four times as long */
    _Atomic int over;
    pthread_t thread;
};

static inline void *kill_one_by_one(void *arg)
{
    struct killer *killer = arg;
    const int workers = weir_pool_workers(killer->pool);

    for (unsigned i = 0; atomic_load(&killer->over) == 0; i++) {
        pid_t pid = weir_pool_worker_pid(killer->pool, (int)i % workers);

        if (pid > 0)
            kill(pid, SIGKILL);
        usleep(killer->pause_us + i * 37 % (3 * killer->pause_us));
    }
    return NULL;
}

static inline void start_killer(struct killer *killer)
{
    assert_int_equal(pthread_create(&killer->thread, NULL, kill_one_by_one, killer), 0);
}

static inline void stop_killer(struct killer *killer)
{
    atomic_store(&killer->over, 1);
    pthread_join(killer->thread, NULL);
}

/* Adds one to each item of its range: for memory of shared_memory(). */
static inline int count_items(weir_task *task, weir_range range, void *arg)
{
    _Atomic int *items = arg;

    (void)task;
    for (int64_t i = range.begin; i < range.end; i++)
        items[i]++;
    return 0;
}

/* Where tasks wait until the test lets them go: no test has to guess how long something takes on a
 * machine that is busy. In memory of shared_memory(). A gate that nobody opens fails its tasks. */
struct gate {
    _Atomic int waiting; /* tasks that have come to it */
    _Atomic bool open;
};

#define GATE_S 60

static inline int pass(struct gate *gate)
{
    const double until = now_ms() + GATE_S * 1000.0;

    atomic_fetch_add(&gate->waiting, 1);
    while (!atomic_load(&gate->open) && now_ms() < until)
        usleep(200);
    return atomic_load(&gate->open) ? 0 : 1;
}

/* Of a job and of a submitted call, the argument being the gate's address. */
static inline int wait_at_gate(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    return pass(*(struct gate *const *)arg);
}

static inline int call_at_gate(weir_task *task, void *arg)
{
    return wait_at_gate(task, (weir_range){0, 1}, arg);
}

/* What tasks that wait until they are cancelled have in shared_memory(). */
struct slow {
    _Atomic int started, cancelled;
};

static inline int until_cancelled(weir_task *task, weir_range range, void *arg)
{
    struct slow *slow = arg;

    (void)range;
    slow->started++;
    for (int i = 0; i < 100000 && !weir_task_cancelled(task); i++)
        usleep(100);
    slow->cancelled += weir_task_cancelled(task);
    return 0;
}

/* Waits at most `timeout_ms` until the condition holds. */
#define WAIT_UNTIL(condition, timeout_ms)                                                          \
    do {                                                                                           \
        double until_ = now_ms() + at_most(timeout_ms);                                            \
        while (!(condition) && now_ms() < until_)                                                  \
            usleep(200);                                                                           \
        assert_true(condition);                                                                    \
    } while (0)

#endif
