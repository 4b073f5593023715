/* SPDX-License-Identifier: MIT
 *
 * A kernel with large pages: memory that is given back is given back in whole pages of those.
 *
 * This program's sysconf() and madvise() behave as such a kernel's, with pages of 64 KiB or of
 * WEIR_TEST_PAGE bytes. As the pages are 4 KiB in fact, all else goes on working.
 */
#include "support.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "pool/host/control_heap.h"

#define THREADS 4
#define JOBS    6
#define ITEMS   300000

static size_t large_page(void)
{
    const char *text = getenv("WEIR_TEST_PAGE");

    return text != NULL ? strtoul(text, NULL, 10) : 65536;
}

long sysconf(int name)
{
    long (*real)(int);

    *(void **)&real = dlsym(RTLD_NEXT, "sysconf");
    return name == _SC_PAGESIZE ? (long)large_page() : real(name);
}

static _Atomic int removals;

/* mm/madvise.c: the begin must be that of a page, the length is rounded up to whole pages. */
int madvise(void *memory, size_t size, int advice)
{
    const size_t page = large_page();

    if (advice == MADV_REMOVE) {
        if ((uintptr_t)memory % page != 0) {
            errno = EINVAL;
            return -1;
        }
        size = (size + page - 1) / page * page;
        removals++;
    }
    return (int)syscall(SYS_madvise, memory, size, advice);
}

struct large {
    _Atomic int *items;
    int mark;
    int fill[];
};

static int count_items_of_large(weir_task *task, weir_range range, void *arg)
{
    const struct large *large = arg;

    WEIR_EACH (i, range) {
        if (large->fill[i % 1000] != large->mark)
            return weir_task_fail(task, 1, "the argument is another job's");
        large->items[i]++;
    }
    return 0;
}

struct caller {
    weir_pool *pool;
    _Atomic int *items;
    int number;
    unsigned seed;
    int wrong;
};

static int call_once(struct caller *caller, int mark)
{
    const int64_t length = 131072 + rand_r(&caller->seed) % (ITEMS - 131072);
    const size_t more = (size_t)(rand_r(&caller->seed) % 500000);
    const size_t size = sizeof(struct large) + (1000 + more) * sizeof(int);
    struct large *large = malloc(size);
    int wrong;

    if (large == NULL)
        return 1;
    large->items = caller->items;
    large->mark = mark;
    for (size_t i = 0; i < 1000 + more; i++)
        large->fill[i] = mark;
    for (int64_t i = 0; i < ITEMS; i++)
        caller->items[i] = 0;
    wrong = weir_pool_for(caller->pool, weir_range_of(length), count_items_of_large, large,
                          OPTIONS(.grain = 1, .arg_size = size)) != 0;
    for (int64_t i = 0; i < ITEMS; i++)
        wrong += caller->items[i] != (i < length);
    free(large);
    return wrong;
}

static void *call_often(void *arg)
{
    struct caller *caller = arg;

    for (int job = 0; job < JOBS; job++)
        caller->wrong += call_once(caller, job * THREADS + caller->number);
    return NULL;
}

static void each_item_is_run_once__when_pages_are_large(void **state)
{
    weir_scope *scope = begin();
    struct caller callers[THREADS];
    pthread_t threads[THREADS];
    _Atomic int *items = shared_memory(THREADS * ITEMS * sizeof(int));
    weir_pool *pool = new_pool(scope, 2);

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){pool, items + i * ITEMS, i, (unsigned)i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    assert_true(removals > 0); /* or nothing was tried */
    weir_pool_free(pool);
    weir_scope_end(scope);
    munmap(items, THREADS * ITEMS * sizeof(int));
}

/* A piece that ends in the middle of a page, and its neighbour. */
static void the_neighbour_is_whole__when_a_piece_is_given_back(void **state)
{
    const size_t size = (size_t)8 << 20, first_size = ((size_t)2 << 20) + 4096, second_size = 8192;
    unsigned char *memory = shared_memory(size), *first, *second;
    const uintptr_t page = large_page();
    unsigned char *base = (unsigned char *)(((uintptr_t)memory + page - 1) & ~(page - 1));
    const int before = removals;
    struct weir__control_heap heap;

    (void)state;
    assert_int_equal(weir__control_heap_init(&heap, base, size - page), 0);
    first = weir__control_heap_alloc(&heap, first_size);
    second = weir__control_heap_alloc(&heap, second_size);
    assert_ptr_equal(first, base);
    assert_ptr_equal(second, first + first_size);
    memset(second, 1, second_size);
    weir__control_heap_free(&heap, first, first_size);
    assert_int_equal(removals, before + 1);
    for (size_t i = 0; i < second_size; i++)
        assert_int_equal(second[i], 1);
    weir__control_heap_destroy(&heap);
    munmap(memory, size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(the_neighbour_is_whole__when_a_piece_is_given_back),
        UNIT(each_item_is_run_once__when_pages_are_large),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
