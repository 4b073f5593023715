/* SPDX-License-Identifier: MIT
 *
 * What of shared memory is in a core dump, and what a dump does to it.
 */
#include "support.h"

#include "sanitizer.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "pool/host/state.h"

#define BLOCK ((size_t)32 << 20)

/* Whether this process's mapping at the address is kept out of dumps. -1: there is none. */
static int is_left_out(const void *address)
{
    char line[1024];
    int left_out = -1;
    bool here = false;
    FILE *file = fopen("/proc/self/smaps", "re");

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        unsigned long long first, last;

        if (sscanf(line, "%llx-%llx ", &first, &last) == 2)
            here = (uintptr_t)address >= first && (uintptr_t)address < last;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            left_out = strstr(line, " dd") != NULL;
    }
    if (file != NULL)
        fclose(file);
    return left_out;
}

struct places {
    const void *full, *lazy, *arena, *dict, *stored;
};

static int check_places(const struct places *places, int full)
{
    if (is_left_out(places->full) != full || is_left_out(places->stored) != full)
        return 1;
    return is_left_out(places->lazy) != 1 || is_left_out(places->arena) != 1 ||
                   is_left_out(places->dict) != 1
               ? 2
               : 0;
}

static int check_in_worker(weir_task *task, void *arg)
{
    const struct places *places = arg;

    (void)task;
    return check_places(places, 1);
}

static int check_dumped_in_worker(weir_task *task, void *arg)
{
    const struct places *places = arg;

    (void)task;
    return check_places(places, 0);
}

static void check_scope(const weir_scope_options *options)
{
    const int64_t shape = (int64_t)1 << 30;
    weir_scope *scope = weir_scope_begin(options);
    weir_pool *pool = new_pool(scope, 1);
    weir_shm *stored = weir__scope_block(scope, 5000, 0);
    weir_array *lazy = weir_scope_array(scope, WEIR_UINT8, 1, &shape, WEIR_ARRAY_LAZY);
    const struct places places = {
        .full = weir_shm_buf(weir_scope_shm(scope, 5000)),
        .stored = weir_shm_buf(stored),
        .lazy = weir_array_data(lazy),
        .arena = weir_scope_alloc(scope, 100),
        .dict = weir_shm_buf(weir_dict_shm(weir_scope_dict(scope, NULL))),
    };
    weir_future *future;

    assert_int_equal(check_places(&places, !options->dump_objects), 0);
    assert_int_equal(is_left_out(pool->control), 1);
    assert_int_equal(is_left_out(pool->control->heap + ((size_t)1 << 20)), 1);
    future =
        weir_pool_submit(pool, options->dump_objects ? check_dumped_in_worker : check_in_worker,
                         &places, sizeof places, NULL);
    if (weir_future_wait(future, -1) != 0)
        fail_msg("%s", weir_last_error()->message);
    weir_future_free(future);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void shared_memory_is_left_out__with_and_without_names(void **state)
{
    (void)state;
    check_scope(&(weir_scope_options){.anonymous = false});
    check_scope(&(weir_scope_options){.anonymous = true});
}

static void objects_but_lazy_ones_are_dumped__when_the_scope_says_so(void **state)
{
    (void)state;
    check_scope(&(weir_scope_options){.dump_objects = true});
    check_scope(&(weir_scope_options){.dump_objects = true, .anonymous = true});
}

static void lone_blocks_are_left_out__when_made_and_when_attached(void **state)
{
    const char *name = leak_name("lone");
    weir_shm *made = weir_shm_create(name, 5000, 0), *attached = weir_shm_attach(name);

    (void)state;
    assert_int_equal(is_left_out(weir_shm_buf(made)), 1);
    assert_int_equal(is_left_out(weir_shm_buf(attached)), 1);
    weir_shm_unlink(made);
    weir_shm_close(made);
    weir_shm_close(attached);
}

/* ---- a real one ------------------------------------------------------------------------------ */

static int crash(weir_task *task, void *arg)
{
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

    (void)task;
    (void)arg;
    setrlimit(RLIMIT_CORE, &all);
    raise(SIGSEGV);
    return 0;
}

static size_t resident_pages(void *memory, size_t size)
{
    const size_t pages = size / (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *there = malloc(pages);
    size_t count = 0;

    assert_int_equal(mincore(memory, pages * (size_t)sysconf(_SC_PAGESIZE), there), 0);
    for (size_t i = 0; i < pages; i++)
        count += there[i] & 1;
    free(there);
    return count;
}

/* The kernel writes "core" or "core.PID" into the working directory. */
static bool dumps_here(void)
{
    char pattern[128] = "";
    FILE *file = fopen("/proc/sys/kernel/core_pattern", "re");
    bool here;

    here = file != NULL && fgets(pattern, sizeof pattern, file) != NULL &&
           strncmp(pattern, "core", 4) == 0 && strchr(pattern, '/') == NULL;
    if (file != NULL)
        fclose(file);
    return here;
}

static int64_t take_core(const char *folder)
{
    char command[400];
    long long size = -1;
    FILE *found;

    snprintf(command, sizeof command, "stat -c %%s %s/core* 2>/dev/null; rm -rf %s", folder,
             folder);
    found = popen(command, "re");
    if (found == NULL || fscanf(found, "%lld", &size) != 1)
        size = -1;
    if (found != NULL)
        pclose(found);
    return size;
}

static void check_core(bool anonymous)
{
    char folder[] = "/tmp/weirtest-XXXXXX", before[400];
    weir_scope *scope;
    weir_future *future;
    weir_pool *pool;
    size_t pages;
    int64_t size;

    assert_non_null(mkdtemp(folder));
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    scope = weir_scope_begin(&(weir_scope_options){.anonymous = anonymous});
    assert_non_null(weir_scope_shm(scope, BLOCK));
    assert_non_null(weir_scope_alloc(scope, 100));
    pool = new_pool(scope, 1);
    assert_int_equal(chdir(before), 0);
    pages = resident_pages(pool->control, pool->control->size);
    future = weir_pool_submit(pool, crash, NULL, 0, NULL);
    assert_int_equal(weir_future_wait(future, -1), WEIR_EDIED);
    assert_int_equal(weir_last_error()->signal, SIGSEGV);
    weir_future_free(future);
    assert_true(resident_pages(pool->control, pool->control->size) < pages + 100);
    assert_int_equal(weir_scope_end(scope), 0);
    size = take_core(folder);
    if (size < 0) {
        print_message("skipped: no core was written\n");
        skip();
    }
    if (size > (int64_t)16 << 20)
        fail_msg("the core has %lld bytes", (long long)size);
}

static void core_is_small_and_nothing_grows__when_a_worker_crashes(void **state)
{
    (void)state;
    if (ADDRESS_SANITIZER || !dumps_here()) {
        print_message("skipped: no core is written into the working directory here\n");
        skip();
    }
    check_core(false);
    check_core(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(shared_memory_is_left_out__with_and_without_names),
        UNIT(objects_but_lazy_ones_are_dumped__when_the_scope_says_so),
        UNIT(lone_blocks_are_left_out__when_made_and_when_attached),
        UNIT(core_is_small_and_nothing_grows__when_a_worker_crashes),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
