/* SPDX-License-Identifier: MIT
 *
 * What other programs see of a pool or a process: the status page and the records behind it, in a
 * file that only the supervisor has open and that nobody else can change.
 */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "pool/control/calls.h"
#include "pool/control/control.h"
#include "pool/control/mapping.h"
#include "shm/clock.h"

/* The path of a process's descriptor of such a file; false: it has none. */
static bool find_file(pid_t pid, char path[64])
{
    char folder[32], target[64];
    const struct dirent *entry;
    bool found = false;
    DIR *dir;

    snprintf(folder, sizeof folder, "/proc/%d/fd", (int)pid);
    dir = opendir(folder);
    assert_non_null(dir);
    while (!found && (entry = readdir(dir)) != NULL) {
        ssize_t size;

        snprintf(path, 64, "%s/%.20s", folder, entry->d_name);
        size = readlink(path, target, sizeof target - 1);
        target[size > 0 ? size : 0] = '\0';
        found = strcmp(target, "/memfd:" WEIR__STATUS_FILE " (deleted)") == 0;
    }
    closedir(dir);
    return found;
}

static int open_file(pid_t pid)
{
    char path[64];
    int fd;

    assert_true(find_file(pid, path));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void read_at(int fd, void *to, size_t size, uint64_t at)
{
    assert_int_equal(pread(fd, to, size, (off_t)at), (ssize_t)size);
}

static struct weir__status read_status(int fd)
{
    struct weir__status status;

    read_at(fd, &status, sizeof status, 0);
    return status;
}

static pid_t supervisor_of(const weir_pool *pool)
{
    return weir_pool_supervisor_pid(pool);
}

/* ---- the page ------------------------------------------------------------------------------- */

static void a_page_tells_of_the_pool__when_it_is_read(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 3, .name = "a pool of three"});
    const int fd = open_file(supervisor_of(pool));
    const struct weir__status status = read_status(fd);
    const int64_t now = weir__now_ns();
    struct stat st;

    (void)state;
    assert_memory_equal(status.magic, WEIR__STATUS_MAGIC, sizeof status.magic);
    assert_int_equal(status.version, WEIR__STATUS_VERSION);
    assert_int_equal(status.size, sizeof status);
    assert_true(status.layout == weir__status_layout());
    assert_true(status.scope == weir__scope_id(scope));
    assert_int_equal(status.host_pid, getpid());
    assert_int_equal(status.supervisor_pid, supervisor_of(pool));
    assert_int_equal(status.workers, 3);
    assert_true(status.began_mono_ns <= now &&
                status.began_mono_ns > now - 60 * INT64_C(1000000000));
    assert_string_equal(status.name, "a pool of three");
    assert_int_equal(fstat(fd, &st), 0);
    assert_true((uint64_t)st.st_size == status.mapped);
    assert_int_equal(st.st_mode & 0777, 0400);
    close(fd);
    weir_pool_free(pool);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_pool_has_the_programs_name__when_it_is_given_none(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    const int fd = open_file(supervisor_of(pool));

    (void)state;
    assert_string_equal(read_status(fd).name, program_invocation_short_name);
    close(fd);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_name_is_refused__when_it_is_too_long(void **state)
{
    static const char most[] = "0123456789012345678901234567890",
                      more[] = "01234567890123456789012345678901";
    weir_scope *scope = begin();
    weir_pool *pool;

    (void)state;
    assert_null(weir_pool_new(scope, &(weir_pool_options){.workers = 1, .name = more}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_message_has(more);
    assert_message_has("31");
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1, .name = most});
    assert_non_null(pool);
    assert_int_equal(weir_pool_for(pool, weir_range_of(1), count_items, &(_Atomic int){0},
                                   OPTIONS(.name = more)),
                     -EINVAL);
    assert_message_has("weir_job_options.name");
    assert_int_equal(weir_scope_end(scope), 0);
}

static int live(void *arg)
{
    return pass(arg);
}

static void a_process_is_seen__as_a_pool_of_one_without_a_name(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = weir_shm_buf(weir_scope_shm(scope, sizeof(struct gate)));
    weir_process *process = weir_process_start(scope, live, gate);
    char path[64], text[64];
    pid_t supervisor;
    FILE *stat_file;
    int fd;

    (void)state;
    assert_non_null(process);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)weir_process_pid(process));
    stat_file = fopen(path, "r");
    assert_non_null(stat_file);
    assert_int_equal(fscanf(stat_file, "%*d (%63[^)]) %*c %d", text, &supervisor), 2);
    fclose(stat_file);
    WAIT_UNTIL(!find_file(weir_process_pid(process), path), 20000);
    fd = open_file(supervisor);
    assert_int_equal(read_status(fd).workers, 1);
    assert_string_equal(read_status(fd).name, "");
    close(fd);
    atomic_store(&gate->open, true);
    assert_int_equal(weir_process_join(process, 20000, NULL), 0);
    weir_process_free(process);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* ---- who has it, and what can be done with it ------------------------------------------------ */

static void only_the_supervisor_has_the_file_open__in_any_pool(void **state)
{
    weir_scope *scope = begin();
    weir_pool *one = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    weir_pool *two =
        weir_pool_new(scope, &(weir_pool_options){.workers = 2, .close_descriptors = true});
    char path[64];

    (void)state;
    assert_false(find_file(getpid(), path));
    for (int i = 0; i < 2; i++) {
        WAIT_UNTIL(!find_file(weir_pool_worker_pid(one, i), path), 20000);
        WAIT_UNTIL(!find_file(weir_pool_worker_pid(two, i), path), 20000);
    }
    close(open_file(supervisor_of(one)));
    close(open_file(supervisor_of(two)));
    assert_int_equal(weir_scope_end(scope), 0);
}

static void nobody_can_change_the_file__whoever_opens_it(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    _Atomic int *items = weir_shm_buf(weir_scope_shm(scope, 100 * sizeof(int)));
    char path[64];
    int fd;

    (void)state;
    assert_true(find_file(supervisor_of(pool), path));
    fd = open(path, O_RDWR); /* as root, whatever its mode */
    if (fd < 0)
        fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    assert_int_equal(fallocate(fd, 0, 0, 1 << 30), -1);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    assert_int_equal(weir_pool_for(pool, weir_range_of(100), count_items, items, NULL), 0);
    assert_int_equal(atomic_load(&items[99]), 1);
    close(fd);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_pool_works_and_is_not_seen__when_files_may_not_be_so_large(void **state)
{
    weir_scope *scope = begin();
    _Atomic int *items = weir_shm_buf(weir_scope_shm(scope, 100 * sizeof(int)));
    struct rlimit before, limit;
    weir_pool *pool;
    char path[64];

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_non_null(pool);
    assert_false(find_file(supervisor_of(pool), path));
    assert_int_equal(weir_pool_for(pool, weir_range_of(100), count_items, items, NULL), 0);
    assert_int_equal(atomic_load(&items[99]), 1);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* ---- jobs and chunks ------------------------------------------------------------------------- */

static struct weir__slot read_slot(int fd, int worker)
{
    struct weir__slot slot;

    read_at(fd, &slot, sizeof slot,
            offsetof(struct weir__control, slots) + (size_t)worker * sizeof slot);
    return slot;
}

static void read_job(int fd, uint32_t index, struct weir__job *job)
{
    struct weir__control control;

    read_at(fd, &control, sizeof control, 0);
    read_at(fd, job, sizeof *job,
            (uintptr_t)control.jobs - control.status.base + index * sizeof *job);
}

static void a_worker_shows_its_job_and_chunk__while_it_runs_one(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = weir_shm_buf(weir_scope_shm(scope, sizeof(struct gate)));
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    const int fd = open_file(supervisor_of(pool));
    const int64_t before = weir__now_coarse_ns();
    static struct weir__job job;
    struct weir__slot slot;
    weir_future *future = weir_pool_for_async(
        pool, (weir_range){100, 200}, wait_at_gate, &gate,
        OPTIONS(.chunks = 4, .name = "a job that is held", .arg_size = sizeof gate));

    (void)state;
    assert_non_null(future);
    WAIT_UNTIL(atomic_load(&gate->waiting) == 1, 20000);
    slot = read_slot(fd, 0);
    assert_int_equal(slot.pid, weir_pool_worker_pid(pool, 0));
    assert_int_equal(slot.state, SLOT_READY);
    assert_int_equal(slot.chunk, 0);
    assert_true(slot.started_ns >= before && slot.started_ns <= weir__now_ns());
    assert_true(slot.job > 1);
    read_job(fd, slot.job - 1, &job);
    assert_int_equal(job.state, JOB_OPEN);
    assert_int_equal(job.does, DOES_FOR);
    assert_true(job.named);
    assert_string_equal(job.name, "a job that is held");
    assert_int_equal(job.count, 4);
    assert_true(job.range.begin == 100 && job.range.end == 200);
    assert_true(job.opened_ns >= before && job.opened_ns <= weir__now_ns());
    atomic_store(&gate->open, true);
    assert_int_equal(weir_future_wait(future, 20000), 0);
    weir_future_free(future);
    close(fd);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_job_is_named_after_its_bar__when_it_is_given_no_name(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = weir_shm_buf(weir_scope_shm(scope, sizeof(struct gate)));
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    const int fd = open_file(supervisor_of(pool));
    static struct weir__job job;
    weir_future *future = weir_pool_for_async(
        pool, weir_range_of(1), wait_at_gate, &gate,
        OPTIONS(.arg_size = sizeof gate, .progress = "a label of more bytes than a name can have"));

    (void)state;
    assert_non_null(future);
    WAIT_UNTIL(atomic_load(&gate->waiting) == 1, 20000);
    read_job(fd, read_slot(fd, 0).job - 1, &job);
    assert_string_equal(job.name, "a label of more bytes than a na");
    atomic_store(&gate->open, true);
    assert_int_equal(weir_future_wait(future, 20000), 0);
    weir_future_free(future);
    close(fd);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_worker_shows_the_queue__while_it_runs_a_queued_call(void **state)
{
    weir_scope *scope = begin();
    struct gate *gate = weir_shm_buf(weir_scope_shm(scope, sizeof(struct gate)));
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 1});
    const int fd = open_file(supervisor_of(pool));
    weir_future *future = weir_pool_submit(pool, call_at_gate, &gate, sizeof gate, NULL);
    static struct weir__job job;
    struct weir__slot slot;

    (void)state;
    assert_non_null(future);
    WAIT_UNTIL(atomic_load(&gate->waiting) == 1, 20000);
    slot = read_slot(fd, 0);
    assert_int_equal(slot.job, WEIR__QUEUE_JOB + 1);
    read_job(fd, WEIR__QUEUE_JOB, &job);
    assert_int_equal(job.does, DOES_CALL);
    assert_int_equal(slot.chunk, 0);
    atomic_store(&gate->open, true);
    assert_int_equal(weir_future_wait(future, 20000), 0);
    weir_future_free(future);
    close(fd);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* ---- counters -------------------------------------------------------------------------------- */

static int die_once(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    if (weir_task_attempt(task) == 1)
        raise(SIGKILL);
    return 0;
}

static int sleep_long(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return sleep(60) == 0;
}

static void a_page_counts_what_became_of_workers_and_chunks__whatever_became(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
    const int fd = open_file(supervisor_of(pool));
    struct weir__status status;

    (void)state;
    assert_int_equal(
        weir_pool_for(pool, weir_range_of(3), die_once, NULL, OPTIONS(.chunks = 3, .retries = 1)),
        0);
    assert_int_equal(
        weir_pool_for(pool, weir_range_of(1), sleep_long, NULL, OPTIONS(.chunk_timeout_ms = 20)),
        -ETIMEDOUT);
    WAIT_UNTIL(read_status(fd).workers_started == 6, 20000);
    status = read_status(fd);
    assert_int_equal(status.workers_died, 4);
    assert_int_equal(status.chunks_retried, 3);
    assert_int_equal(status.chunks_timed_out, 1);
    assert_int_equal(status.starts_failed, 0);
    close(fd);
    assert_int_equal(weir_scope_end(scope), 0);
}

static int fail_at_start(void *arg)
{
    (void)arg;
    return 1;
}

static void a_page_counts_starts_that_fail__until_the_pool_is_broken(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool =
        weir_pool_new(scope, &(weir_pool_options){.workers = 1, .initializer = fail_at_start});
    const int fd = open_file(supervisor_of(pool));

    (void)state;
    assert_int_equal(weir_pool_for(pool, weir_range_of(1), sleep_long, NULL, NULL), WEIR_EDIED);
    assert_int_equal(read_status(fd).starts_failed, 3);
    close(fd);
    assert_int_equal(weir_scope_end(scope), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_page_tells_of_the_pool__when_it_is_read),
        UNIT(a_pool_has_the_programs_name__when_it_is_given_none),
        UNIT(a_name_is_refused__when_it_is_too_long),
        UNIT(a_process_is_seen__as_a_pool_of_one_without_a_name),
        UNIT(only_the_supervisor_has_the_file_open__in_any_pool),
        UNIT(nobody_can_change_the_file__whoever_opens_it),
        UNIT(a_pool_works_and_is_not_seen__when_files_may_not_be_so_large),
        UNIT(a_worker_shows_its_job_and_chunk__while_it_runs_one),
        UNIT(a_job_is_named_after_its_bar__when_it_is_given_no_name),
        UNIT(a_worker_shows_the_queue__while_it_runs_a_queued_call),
        UNIT(a_page_counts_what_became_of_workers_and_chunks__whatever_became),
        UNIT(a_page_counts_starts_that_fail__until_the_pool_is_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
