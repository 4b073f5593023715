/* SPDX-License-Identifier: MIT
 *
 * test-arena.c: memory for linked structures, taken by several processes at once, some of them
 * killed.
 */
#include "scoped.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host.h"
#include "manager/space/address_space.h"

enum { CHILDREN = 4, NODES = 20000 };

/* A list that processes put nodes in front of. */
struct node {
    struct node *next;
    uint64_t owner, number;
    uint64_t check[5]; /* all alike; two pieces that overlap would differ in some */
};

struct root {
    struct node *_Atomic first;
    _Atomic uint64_t done[CHILDREN];
};

static bool is_zero(const void *at, size_t size)
{
    const unsigned char *bytes = at;

    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

static bool push(weir_arena *arena, struct root *root, uint64_t owner, uint64_t number)
{
    struct node *node =
        arena ? weir_arena_alloc(arena, sizeof *node) : weir_scope_alloc(scope, sizeof *node);

    if (!node || !is_zero(node, sizeof *node))
        return false;
    node->owner = owner;
    node->number = number;
    for (int i = 0; i < 5; i++)
        node->check[i] = owner << 32 | number;
    node->next = atomic_load(&root->first);
    while (!atomic_compare_exchange_weak(&root->first, &node->next, node))
        ;
    return true;
}

/* How many nodes there are, each whole; counts[owner] of each. */
static uint64_t count_nodes(struct root *root, uint64_t *counts)
{
    uint64_t n = 0;

    for (const struct node *node = atomic_load(&root->first); node; node = node->next, n++) {
        assert_true(node->owner < CHILDREN);
        for (int i = 0; i < 5; i++)
            assert_int_equal(node->check[i], node->owner << 32 | node->number);
        counts[node->owner]++;
    }
    return n;
}

static void join(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    if (status)
        fail_msg("a child ended with status 0x%x", (unsigned)status);
}

/* The arena's file; in an anonymous scope, that of all. */
static struct stat file_of(const weir_arena *arena)
{
    char path[300];
    uint64_t offset;
    struct stat status;

    assert_int_equal(weir_shm_path(arena->shm, path, sizeof path, &offset), 0);
    assert_int_equal(stat(path, &status), 0);
    return status;
}

/* ---- one process ---------------------------------------------------------------------------- */

static void pieces_are_zero_and_apart__when_taken(void **state)
{
    static const size_t sizes[] = {1, 15, 16, 17, 100, 4096, 70000, 3000000, 8};
    weir_arena *arena = weir_scope_arena(scope, 0);
    unsigned char *pieces[9];
    size_t sum = 0;

    (void)state;
    assert_non_null(arena);
    assert_int_equal(weir_arena_size(arena), 0);
    assert_true(file_of(arena).st_size >= 1 << 20);
    assert_true(file_of(arena).st_blocks * 512 <= 65536); /* address space alone */
    for (int i = 0; i < 9; i++) {
        pieces[i] = weir_arena_alloc(arena, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        assert_true(is_zero(pieces[i], sizes[i]));
        memset(pieces[i], i + 1, sizes[i]);
        sum += (sizes[i] + 15) / 16 * 16;
        assert_int_equal(weir_arena_size(arena), sum);
    }
    for (int i = 0; i < 9; i++)
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(pieces[i][j], i + 1);
    /* It has its memory, and not much more. */
    assert_in_range(file_of(arena).st_blocks * 512, sum, 2 * sum + 65536);
}

static void memory_comes_back__when_an_arena_is_freed(void **state)
{
    weir_arena *arena = weir_scope_arena(scope, 1 << 20);
    const int files = shm_files();
    unsigned long before;

    (void)state;
    before = scope_pages(scope);
    for (int i = 0; i < 40; i++)
        assert_non_null(weir_arena_alloc(arena, 100000));
    assert_int_equal(weir_arena_size(arena), 4000000);
    assert_int_equal(shm_files(), if_named(files + 3)); /* ten pieces fit into each block */
    assert_non_null(weir_arena_alloc(arena, 5 << 20));  /* larger than a block */
    assert_int_equal(shm_files(), if_named(files + 4));
    weir_arena_free(arena);
    weir_arena_free(NULL);
    assert_int_equal(shm_files(), if_named(files - 1));
    assert_true(scope_pages(scope) <= before);
}

static void taking_is_refused__when_it_makes_no_sense(void **state)
{
    weir_scope *other = weir_scope_begin(NULL);
    weir_arena *arena = weir_scope_arena(scope, 0);

    (void)state;
    assert_null(weir_arena_alloc(arena, 0));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_arena_alloc(arena, SIZE_MAX));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_arena_alloc(NULL, 1));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_arena_alloc(arena, (size_t)1 << 50));
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_int_equal(weir_arena_size(arena), 0);
    assert_int_equal(weir_arena_size(NULL), 0);
    assert_null(weir_scope_arena(scope, SIZE_MAX));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_alloc(scope, 0));
    assert_non_null(weir_arena_alloc(arena, 1));
    assert_int_equal(weir_scope_end(other), 0);
    assert_null(weir_scope_alloc(other, 1));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_arena(other, 0));
}

/* ---- several processes ---------------------------------------------------------------------- */

static void structure_is_whole__when_processes_build_it_at_once(void **state)
{
    weir_arena *arena = weir_scope_arena(scope, 0);
    struct root *root = weir_arena_alloc(arena, sizeof *root);
    uint64_t counts[CHILDREN] = {0};
    pid_t children[CHILDREN];

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            child_reset();
            for (uint64_t n = 0; n < NODES; n++)
                if (!push(arena, root, (uint64_t)i, n))
                    _exit(1);
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++)
        join(children[i]);
    assert_int_equal(count_nodes(root, counts), CHILDREN * NODES);
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(counts[i], NODES);
    assert_int_equal(weir_arena_size(arena), CHILDREN * NODES * 64 + (sizeof *root + 15) / 16 * 16);
}

/* Lets children that spin begin in the same instant. */
struct gate {
    struct root root;
    _Atomic int ready, open;
};

static void pass(struct gate *gate)
{
    atomic_fetch_add(&gate->ready, 1);
    while (!atomic_load(&gate->open))
        sched_yield();
}

static void open_when_all_are_there(struct gate *gate, int children)
{
    while (atomic_load(&gate->ready) < children)
        sched_yield();
    atomic_store(&gate->open, 1);
}

/* The children are there before the scope has an arena: each of them may be the one to make it. */
static void race_for_the_first_piece(void)
{
    struct gate *gate = weir_shm_buf(weir_scope_shm(scope, sizeof *gate));
    const int files = shm_files();
    uint64_t counts[CHILDREN] = {0};
    pid_t children[CHILDREN];

    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            child_reset();
            pass(gate);
            for (uint64_t n = 0; n < 100; n++)
                if (!push(NULL, &gate->root, (uint64_t)i, n))
                    _exit(2);
            _exit(0);
        }
    }
    open_when_all_are_there(gate, CHILDREN);
    for (int i = 0; i < CHILDREN; i++)
        join(children[i]);
    assert_int_equal(shm_files(), if_named(files + 1));
    assert_int_equal(weir_scope_sync(scope), 0);
    assert_int_equal(count_nodes(&gate->root, counts), CHILDREN * 100);
    /* This process allocates out of the same one. */
    assert_true(push(NULL, &gate->root, 0, 100));
    assert_int_equal(shm_files(), if_named(files + 1));
}

static void scope_has_one_arena__when_processes_race_for_the_first_piece(void **state)
{
    weir_scope *outer = scope;

    (void)state;
    for (int round = 0; round < 30; round++) {
        scope = weir_scope_begin(NULL);
        assert_non_null(scope);
        race_for_the_first_piece();
        assert_int_equal(weir_scope_end(scope), 0);
    }
    scope = outer;
}

static void no_block_is_lost__when_processes_race_for_the_next_one(void **state)
{
    weir_arena *arena = weir_scope_arena(scope, 8192);
    struct gate *gate = weir_arena_alloc(arena, sizeof *gate);
    const int files = shm_files();
    pid_t children[CHILDREN];
    int blocks = 0;

    (void)state;
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            child_reset();
            pass(gate);
            for (int n = 0; n < 500; n++)
                if (!weir_arena_alloc(arena, 4000))
                    _exit(1);
            _exit(0);
        }
    }
    open_when_all_are_there(gate, CHILDREN);
    for (int i = 0; i < CHILDREN; i++)
        join(children[i]);
    for (const weir_arena *block = atomic_load(&arena->newest); block->older; block = block->older)
        blocks++;
    assert_in_range(blocks, CHILDREN * 250 - 1, CHILDREN * 250);
    assert_int_equal(shm_files(), if_named(files + blocks));
}

static void pieces_are_good__when_a_child_made_the_block(void **state)
{
    weir_arena *arena = weir_scope_arena(scope, 1 << 20);
    struct root *root = weir_arena_alloc(arena, sizeof *root);
    const size_t each = 400 * sizeof(struct node);
    uint64_t counts[CHILDREN] = {0};
    int ask[2], answer[2];
    char byte = 0;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(ask) + pipe(answer), 0);
    child = fork();
    if (child == 0) {
        child_reset();
        close(ask[1]); /* should the parent fail, this process ends */
        close(answer[0]);
        /* Blocks that this process makes, and then blocks that the parent made. */
        for (uint64_t n = 0; n < 40000; n++) {
            if (!push(arena, root, 1, n))
                _exit(1);
            if (n == 20000 && (write(answer[1], &byte, 1) != 1 || read(ask[0], &byte, 1) != 1))
                _exit(2);
        }
        _exit(0);
    }
    close(ask[0]);
    close(answer[1]);
    assert_int_equal(read(answer[0], &byte, 1), 1);
    for (uint64_t n = 0; n < 40000; n++)
        assert_true(push(arena, root, 0, n));
    assert_int_equal(write(ask[1], &byte, 1), 1);
    join(child);
    assert_int_equal(weir_scope_sync(scope), 0);
    assert_int_equal(count_nodes(root, counts), 80000);
    assert_int_equal(weir_arena_size(arena), 200 * each + (sizeof *root + 15) / 16 * 16);
    close(ask[1]);
    close(answer[0]);
}

static void arena_goes_on__when_processes_are_killed_in_it(void **state)
{
    weir_arena *arena = weir_scope_arena(scope, 4 << 20);
    struct root *root = weir_arena_alloc(arena, sizeof *root);
    uint64_t counts[CHILDREN] = {0}, done = 0;

    (void)state;
    srandom(1);
    for (int round = 0; round < 100; round++) {
        pid_t children[2];

        for (int i = 0; i < 2; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                child_reset();
                for (uint64_t n = 0;; n++) {
                    if (!push(arena, root, (uint64_t)i, n))
                        _exit(1);
                    atomic_fetch_add(&root->done[i], 1);
                }
            }
        }
        nanosleep(&(struct timespec){.tv_nsec = random() % 3000000}, NULL);
        for (int i = 0; i < 2; i++) {
            int status;

            kill(children[i], SIGKILL);
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
        assert_true(push(arena, root, 2, (uint64_t)round));
    }
    if (weir_scope_sync(scope) < 0)
        fail_msg("%s", weir_last_error()->message);
    done = root->done[0] + root->done[1] + 100;
    assert_true(done > 1000);
    /* A killed process may have put in a node that it has not counted. */
    assert_in_range(count_nodes(root, counts), done, done + 200);
    assert_int_equal(counts[2], 100);
}

static void taking_fails__when_the_block_is_gone_before_it_is_mapped(void **state)
{
    int ask[2];
    char byte = 0;
    weir_arena *arena, **shared;
    pid_t child;

    (void)state;
    ONLY_WITH_NAMES();
    shared = weir_shm_buf(weir_scope_shm(scope, 4096));
    assert_int_equal(pipe(ask), 0);
    child = fork();
    if (child == 0) {
        child_reset();
        close(ask[1]);
        if (read(ask[0], &byte, 1) != 1)
            _exit(1);
        for (int i = 0; i < 2; i++) /* also when the rest has been synced */
            if (weir_arena_alloc(*shared, 100) || weir_last_error()->code != -ENOENT)
                _exit(2);
        _exit(0);
    }
    arena = *shared = weir_scope_arena(scope, 1 << 20);
    {
        char path[300];

        snprintf(path, sizeof path, "/dev/shm/%s", weir_shm_name(arena->shm));
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(write(ask[1], &byte, 1), 1);
    join(child);
    assert_non_null(weir_arena_alloc(arena, 100)); /* here it is mapped */
    close(ask[0]);
    close(ask[1]);
}

/* The last test: /dev/shm stays small. */
static void taking_fails__when_shm_is_full(void **state)
{
    weir_arena *arena;
    size_t size;

    (void)state;
    ONLY_WITH_NAMES();
    assert_true(leak_limit_shm(8 << 20));
    arena = weir_scope_arena(scope, 0);
    assert_non_null(arena);
    assert_non_null(weir_arena_alloc(arena, 1 << 20));
    size = weir_arena_size(arena);
    assert_null(weir_arena_alloc(arena, 16 << 20));
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_int_equal(weir_arena_size(arena), size);
    while (weir_arena_alloc(arena, 100000))
        ;
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_in_range(weir_arena_size(arena), 5 << 20, 8 << 20);
    weir_arena_free(arena);
    arena = weir_scope_arena(scope, 0);
    assert_non_null(weir_arena_alloc(arena, 5 << 20));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(pieces_are_zero_and_apart__when_taken),
        CASE(memory_comes_back__when_an_arena_is_freed),
        CASE(taking_is_refused__when_it_makes_no_sense),
        CASE(structure_is_whole__when_processes_build_it_at_once),
        CASE(scope_has_one_arena__when_processes_race_for_the_first_piece),
        CASE(no_block_is_lost__when_processes_race_for_the_next_one),
        CASE(pieces_are_good__when_a_child_made_the_block),
        CASE(arena_goes_on__when_processes_are_killed_in_it),
        CASE(taking_fails__when_the_block_is_gone_before_it_is_mapped),
        CASE(taking_fails__when_shm_is_full),
    };

    if (!leak_isolate()) {
        fputs("skipped: a /dev/shm of its own needs root or user namespaces\n", stderr);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
