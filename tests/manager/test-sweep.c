/* SPDX-License-Identifier: MIT
 *
 * Creators against sweepers: no live scope is ever swept, no dead one remains.
 */
#include "leak.h"

#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "manager/scope_file/scope_file.h"
#include "shm/block/block.h"

#define PAIRS    8
#define DURATION 3000 /* ms */

struct counts {
    _Atomic unsigned scopes, wrongly_swept, failed, sweeps, abandoned;
};

static struct counts *counts;

static bool none(uint64_t id)
{
    (void)id;
    return false;
}

/* Makes scopes with a block each. Every other one ends in order, the others by the death of a child
 * that holds the lock. While it holds the lock, both names must be there. */
static void one_scope(unsigned round)
{
    char name[WEIR__BLOCK_NAME_SIZE], path[300];
    struct weir__block_record record = {.kind = "shm", .size = 4096, .pid = (int)getpid()};
    struct weir__block block;
    uint64_t id;
    int fd = weir__scope_file_make(&id);

    weir__scope_file_block_name(name, id, round);
    strcpy(record.name, name);
    if (fd < 0 || weir__scope_file_link(fd, id) || weir__block_reserve(&block, 4096, 0, NULL)) {
        atomic_fetch_add(&counts->failed, 1);
        return;
    }
    record.ino = block.ino;
    if (weir__scope_file_note(fd, 0, &record) || weir__block_link(&block, name)) {
        atomic_fetch_add(&counts->failed, 1);
        return;
    }
    atomic_fetch_add(&counts->scopes, 1);
    if (round % 4 == 0)
        usleep(100);
    else
        sched_yield();
    /* Gone already here: somebody swept what is alive. */
    snprintf(path, sizeof(path), "/dev/shm/%s", name);
    if (weir__scope_file_is_clean(fd) || access(path, F_OK)) {
        atomic_fetch_add(&counts->wrongly_swept, 1);
    } else if (round % 2) {
        struct weir__cleaning cleaning;

        if (weir__scope_file_unlink_all(fd, id, 0, &cleaning) || cleaning.unlinked != 1)
            atomic_fetch_add(&counts->failed, 1);
    } else {
        atomic_fetch_add(&counts->abandoned, 1);
    }
    weir__block_discard(&block);
    close(fd); /* from here on it is dead */
}

static void run_creator(double until)
{
    for (unsigned i = 0; now_ms() < until; i++)
        one_scope(i);
    _exit(0);
}

static void run_sweeper(double until)
{
    while (now_ms() < until) {
        weir__scope_file_sweep(none);
        atomic_fetch_add(&counts->sweeps, 1);
    }
    _exit(0);
}

static void live_scopes_stay_and_dead_ones_go__when_sweepers_race(void **state)
{
    const double until = now_ms() + DURATION;
    int status;

    (void)state;
    counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(counts, MAP_FAILED);
    for (int i = 0; i < 2 * PAIRS; i++) {
        if (fork() == 0) {
            child_reset();
            if (i % 2)
                run_creator(until);
            else
                run_sweeper(until);
        }
    }
    for (int i = 0; i < 2 * PAIRS; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    print_message("%u scopes (%u abandoned), %u sweeps: %u wrongly swept, %u failed\n",
                  counts->scopes, counts->abandoned, counts->sweeps, counts->wrongly_swept,
                  counts->failed);
    assert_true(counts->scopes > 100 && counts->abandoned > 50);
    assert_int_equal(counts->wrongly_swept, 0);
    assert_int_equal(counts->failed, 0);
    weir__scope_file_sweep(none);
    assert_int_equal(shm_files(), 0);
    munmap(counts, sizeof(*counts));
}

/* The same with whole programs, killed at random, each of which sweeps as it begins. */
static void live_scopes_stay__when_programs_begin_and_die(void **state)
{
    const double until = now_ms() + 2000;
    unsigned killed = 0;

    (void)state;
    srand(5);
    while (now_ms() < until) {
        weir_scope *scope = weir_scope_begin(NULL);
        weir_shm *shm = weir_scope_shm(scope, 100);
        pid_t pids[4];

        assert_non_null(shm);
        for (int i = 0; i < 4; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                weir_scope *own;

                child_reset();
                own = weir_scope_begin(NULL);
                if (!weir_scope_shm(own, 100))
                    _exit(1);
                if (i % 2)
                    kill(weir_scope_manager_pid(own), SIGKILL);
                usleep(1000);
                kill(getpid(), SIGKILL);
            }
        }
        for (int i = 0; i < 4; i++, killed++)
            assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
        assert_int_equal(weir_shm_unlink(shm), 0); /* it was there all the time */
        weir_shm_close(shm);
        assert_int_equal(weir_scope_end(scope), 0);
    }
    /* On a busy machine a manager that was killed may hold its scope's lock for a moment yet. */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(weir_scope_end(weir_scope_begin(NULL)), 0);
        if (shm_clean_after_ms(50) >= 0)
            break;
    }
    assert_int_equal(shm_files(), 0);
    print_message("%u programs killed\n", killed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(live_scopes_stay_and_dead_ones_go__when_sweepers_race),
        TEST(live_scopes_stay__when_programs_begin_and_die),
    };

    if (!leak_isolate()) {
        fputs("skipped: a /dev/shm of its own needs root or user namespaces\n", stderr);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
