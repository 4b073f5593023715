/* SPDX-License-Identifier: MIT
 *
 * do_work: two processes share a list and each works on half of it.
 *
 * It is the example of Python's SharedMemoryManager, twice: once with two processes that are
 * started and joined by hand, once with a pool that cuts the range by itself.
 *
 *   cc do_work.c $(pkg-config --cflags --libs weir) -o do_work && ./do_work
 *
 * Prints the total that each of them comes to, which must be the same.
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>

#define COUNT 2000

/* The work: an element becomes its square. Returns 0, or -1 with the last error set. */
static int square(weir_list *list, weir_range range)
{
    WEIR_EACH (i, range) {
        weir_value value;

        if (weir_list_get(list, i, &value) < 0 ||
            weir_list_set(list, i, weir_int(value.integer * value.integer)) < 0)
            return -1;
    }
    return 0;
}

/* The partial results lie in the list; here they are put together. -1 with the last error set. */
static int64_t sum(const weir_list *list)
{
    int64_t total = 0;

    for (int64_t i = 0; i < weir_list_len(list); i++) {
        weir_value value;

        if (weir_list_get(list, i, &value) < 0)
            return -1;
        total += value.integer;
    }
    return total;
}

static int complain(const char *what)
{
    fprintf(stderr, "do_work: %s: %s\n", what, weir_last_error()->message);
    return -1;
}

/* ---- with processes: Process(target=do_work, args=(list, 0, 1000)) --------------------------- */

struct half {
    weir_list *list;
    weir_range range;
};

/* Its result is the exit status of the process. */
static int do_half(void *arg)
{
    const struct half *half = arg;

    if (square(half->list, half->range) < 0) {
        complain("a half");
        return 1;
    }
    return 0;
}

/* Returns the total, or -1 with a message printed. */
static int64_t with_processes(weir_scope *scope)
{
    weir_list *list = weir_scope_list_range(scope, 0, COUNT, 1);
    struct half halves[2] = {
        {list, {0, COUNT / 2}},
        {list, {COUNT / 2, COUNT}},
    };
    weir_process *process[2];
    int64_t total;

    if (list == NULL)
        return complain("no list");
    for (int i = 0; i < 2; i++) {
        process[i] = weir_process_start(scope, do_half, &halves[i]);
        if (process[i] == NULL)
            return complain("no process"); /* the scope's end kills the other one */
    }
    for (int i = 0; i < 2; i++) {
        int exit_code;

        if (weir_process_join(process[i], -1, &exit_code) < 0)
            return complain("a process that cannot be joined");
        weir_process_free(process[i]);
        if (exit_code != 0) {
            fprintf(stderr, "do_work: process %d ended with exit code %d\n", i, exit_code);
            return -1;
        }
    }
    total = sum(list);
    return total < 0 ? complain("no sum") : total;
}

/* ---- with a pool ----------------------------------------------------------------------------- */

static int do_work(weir_task *task, weir_range range, void *arg)
{
    if (square(arg, range) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    return 0;
}

/* Returns the total, or -1 with a message printed. */
static int64_t with_pool(weir_scope *scope)
{
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    weir_list *list;
    int64_t total;

    if (pool == NULL)
        return complain("no pool");
    list = weir_scope_list_range(scope, 0, COUNT, 1); /* younger than the workers */
    if (list == NULL)
        return complain("no list");
    if (weir_pool_for(pool, weir_range_of(COUNT), do_work, list, NULL) < 0)
        return complain("the job failed");
    total = sum(list);
    return total < 0 ? complain("no sum") : total;
}

int main(void)
{
    int64_t by_processes = -1, by_pool = -1;
    bool begun = false;

    WEIR_SCOPE (scope, NULL) {
        begun = true;
        by_processes = with_processes(scope);
        by_pool = with_pool(scope);
    } /* whatever was made in the scope is unlinked here */

    if (!begun)
        complain("no scope");
    if (by_processes < 0 || by_pool < 0)
        return 1;
    printf("two processes: %" PRId64 "\n", by_processes);
    printf("a pool of two: %" PRId64 "\n", by_pool);
    return by_processes == by_pool ? 0 : 1;
}
