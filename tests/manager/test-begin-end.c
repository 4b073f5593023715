/* SPDX-License-Identifier: MIT
 *
 * Beginning and ending scopes: what is refused, what the program notices, what is left (nothing).
 */
#include "leak.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "manager/host/state.h"
#include "manager/internal.h"
#include "sanitizer.h"

/* The manager's; the sanitizer's own memory is not its fault. */
#define RESIDENT_MAX_KB (ADDRESS_SANITIZER ? 32768 : 4096)

/* A process that is dead, but that init has not reaped yet, is not alive. */
static bool alive(pid_t pid)
{
    char path[64], state = 'Z';
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return false;
    if (fscanf(file, "%*d %*s %c", &state) != 1)
        state = 'Z';
    fclose(file);
    return state != 'Z' && state != 'X';
}

/* "Name:\tvalue" of /proc/PID/status, as a number in the given base. */
static unsigned long long status_of(pid_t pid, const char *key, int base)
{
    char path[64], line[256];
    unsigned long long value = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtoull(line + strlen(key), NULL, base);
    }
    fclose(file);
    return value;
}

/* The first so many numbers are all the same, as on machines that go on from one snapshot. */
static int same_numbers;

ssize_t getrandom(void *buffer, size_t size, unsigned flags)
{
    if (same_numbers == 0)
        return syscall(SYS_getrandom, buffer, size, flags);
    same_numbers--;
    memset(buffer, 0x5a, size);
    return (ssize_t)size;
}

static void another_id_is_taken__when_a_scope_has_the_first_one(void **state)
{
    weir_scope *first, *second;

    (void)state;
    ONLY_WITH_NAMES();
    weir_clear_error();
    same_numbers = 3;
    first = weir_scope_begin(NULL);
    assert_int_equal(same_numbers, 2);
    second = weir_scope_begin(NULL);
    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal(weir_last_error()->code, 0);
    same_numbers = 0;
    assert_int_equal(shm_files(), 2);
    assert_non_null(weir_scope_shm(first, 1));
    assert_non_null(weir_scope_shm(second, 1));
    assert_int_equal(weir_scope_end(second), 0);
    assert_int_equal(shm_files(), 2);
    assert_int_equal(weir_scope_end(first), 0);
    assert_int_equal(shm_files(), 0);

    /* It does not try for ever. */
    same_numbers = 1;
    first = weir_scope_begin(NULL);
    same_numbers = 1000;
    assert_null(weir_scope_begin(NULL));
    assert_int_equal(weir_last_error()->code, -EEXIST);
    same_numbers = 0;
    assert_int_equal(weir_scope_end(first), 0);
}

static void nothing_is_left__when_a_scope_ends(void **state)
{
    pid_t manager;

    (void)state;
    for (int i = 0; i < 20; i++) {
        weir_scope *scope = weir_scope_begin(NULL);

        assert_non_null(scope);
        assert_int_equal(shm_files(), if_named(1));
        manager = weir_scope_manager_pid(scope);
        assert_true(alive(manager));
        assert_non_null(weir_scope_shm(scope, 100000));
        assert_int_equal(shm_files(), if_named(2));
        assert_int_equal(weir_scope_end(scope), 0);
        assert_int_equal(shm_files(), 0);
        assert_false(alive(manager)); /* here and now, not later */
    }
}

static void error_is_untouched__when_calls_succeed(void **state)
{
    weir_scope *scope;

    (void)state;
    assert_null(weir_shm_attach("no such block"));
    assert_int_equal(weir_last_error()->code, -ENOENT);
    scope = weir_scope_begin(NULL);
    assert_non_null(weir_scope_shm(scope, 1));
    assert_int_equal(weir_scope_sync(scope), 0);
    assert_int_equal(weir_scope_end(scope), 0);
    assert_int_equal(weir_last_error()->code, -ENOENT);
    assert_non_null(strstr(weir_last_error()->message, "no such block"));
}

static void options_are_refused__when_they_make_no_sense(void **state)
{
    weir_scope *scope;

    (void)state;
    assert_null(weir_scope_begin(&(weir_scope_options){.timeout_ms = -1}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_begin(&(weir_scope_options){.reserved = {[3] = 1}}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    scope = weir_scope_begin(
        &(weir_scope_options){.address_space = (size_t)1 << 30, .timeout_ms = 2000});
    assert_non_null(scope);
    assert_null(weir_scope_shm(scope, (size_t)1 << 30));
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void call_is_refused__when_the_scope_has_ended(void **state)
{
    weir_scope *scope = weir_scope_begin(NULL);

    (void)state;
    assert_int_equal(weir_scope_end(scope), 0);
    assert_int_equal(weir_scope_end(scope), -EINVAL);
    assert_null(weir_scope_shm(scope, 1));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_list(scope, NULL, 0));
    assert_null(weir_scope_list_range(scope, 0, 1, 1));
    assert_int_equal(weir_scope_sync(scope), -EINVAL);
    assert_int_equal(weir_scope_manager_pid(scope), -EINVAL);
    assert_int_equal(weir__scope_check_owner(scope, "a pool"), -EINVAL);
}

static void call_is_refused__when_there_is_no_scope(void **state)
{
    (void)state;
    assert_int_equal(weir_scope_end(NULL), 0);
    assert_null(weir_scope_shm(NULL, 1));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_int_equal(weir_scope_sync(NULL), -EINVAL);
    assert_int_equal(weir_scope_manager_pid(NULL), -EINVAL);
    assert_int_equal(weir__scope_check_owner(NULL, "a pool"), -EINVAL);
}

static int leave_scope(int how)
{
    int rounds = 0;

    for (rounds = 0; rounds < 3; rounds++) {
        WEIR_SCOPE (scope, NULL) {
            if (!weir_scope_shm(scope, 10) || shm_files() != if_named(2))
                return -1;
            if (how == 0)
                break; /* leaves the block */
            if (how == 1)
                return 100;
            if (how == 2)
                goto out;
        }
    }
    return rounds;
out:
    return 200;
}

static void scope_ends__when_its_block_is_left(void **state)
{
    const int results[] = {3, 100, 200, 3};

    (void)state;
    for (int how = 0; how < 4; how++) {
        assert_int_equal(leave_scope(how), results[how]);
        assert_int_equal(shm_files(), 0);
    }
}

static void block_is_not_run__when_the_scope_cannot_begin(void **state)
{
    bool run = false;

    (void)state;
    WEIR_SCOPE (scope, (&(weir_scope_options){.timeout_ms = -1})) {
        run = scope != NULL;
    }
    assert_false(run);
    assert_int_equal(weir_last_error()->code, -EINVAL);
}

static void scopes_are_independent__when_several_are_open(void **state)
{
    weir_scope *scopes[8];
    weir_shm *blocks[8];

    (void)state;
    for (int i = 0; i < 8; i++) {
        scopes[i] = weir_scope_begin(NULL);
        blocks[i] = weir_scope_shm(scopes[i], 5000);
        assert_non_null(blocks[i]);
        memset(weir_shm_buf(blocks[i]), i, 5000);
    }
    assert_int_equal(shm_files(), if_named(16));
    for (int i = 0; i < 8; i += 2)
        assert_int_equal(weir_scope_end(scopes[i]), 0);
    assert_int_equal(shm_files(), if_named(8));
    for (int i = 1; i < 8; i += 2) {
        assert_int_equal(((char *)weir_shm_buf(blocks[i]))[4999], i);
        assert_int_equal(weir_scope_end(scopes[i]), 0);
    }
    assert_int_equal(shm_files(), 0);
}

#define MANY 60 /* more than there were places for at 4 TiB each */

static void program_keeps_its_addresses__when_many_scopes_are_open(void **state)
{
    weir_scope *scopes[MANY];
    size_t sum = 0;
    void *own;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        scopes[i] = weir_scope_begin(NULL);
        if (!scopes[i])
            fail_msg("scope %d: %s", i, weir_last_error()->message);
        sum += scopes[i]->space.size;
    }
    assert_true(sum < (size_t)32 << 40);
    own =
        mmap(NULL, (size_t)8 << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(own, MAP_FAILED);
    munmap(own, (size_t)8 << 40);
    assert_non_null(weir_scope_shm(scopes[0], 5000));
    assert_non_null(weir_scope_shm(scopes[MANY - 1], 5000));
    assert_non_null(weir_scope_alloc(scopes[MANY - 1], 100));
    for (int i = 0; i < MANY; i++)
        assert_int_equal(weir_scope_end(scopes[i]), 0);
}

/* ---- the manager program -------------------------------------------------------------------- */

static void manager_is_nobodys_child__when_it_runs(void **state)
{
    weir_scope *scope = weir_scope_begin(NULL);
    pid_t manager = weir_scope_manager_pid(scope), child;
    int status;

    (void)state;
    assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    child = fork();
    if (child == 0)
        _exit(5);
    assert_int_equal(wait(&status), child); /* its own child, and nothing else */
    assert_int_equal(WEXITSTATUS(status), 5);
    assert_int_equal(wait(&status), -1);
    assert_int_equal(getsid(manager), manager);
    assert_int_not_equal(status_of(manager, "PPid:", 10), getpid());
    assert_int_equal(weir_scope_end(scope), 0);
    assert_int_equal(wait(&status), -1);
}

static void manager_is_small_and_apart__when_it_runs(void **state)
{
    char path[64], target[64] = "";
    char *heap = malloc(256 << 20);
    weir_scope *scope;
    pid_t manager;

    (void)state;
    assert_non_null(heap);
    memset(heap, 1, 256 << 20);
    scope = weir_scope_begin(NULL);
    manager = weir_scope_manager_pid(scope);
    assert_in_range(status_of(manager, "VmRSS:", 10), 1, RESIDENT_MAX_KB);
    assert_int_equal(status_of(manager, "SigBlk:", 16), 0);
    snprintf(path, sizeof(path), "/proc/%d/cwd", (int)manager);
    assert_true(readlink(path, target, sizeof(target) - 1) > 0);
    assert_string_equal(target, "/");
    assert_int_equal(weir_scope_end(scope), 0);
    free(heap);
}

static void scope_is_served__when_the_manager_gets_signals(void **state)
{
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    weir_scope *scope = weir_scope_begin(NULL);
    pid_t manager = weir_scope_manager_pid(scope);

    (void)state;
    for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        assert_int_equal(kill(manager, signals[i]), 0);
    usleep(20000);
    assert_true(alive(manager));
    assert_non_null(weir_scope_shm(scope, 1));
    assert_int_equal(weir_scope_end(scope), 0);
}

static _Atomic int children_signalled;

static void count_child(int signal)
{
    (void)signal;
    atomic_fetch_add(&children_signalled, 1);
}

static void signals_stay_the_programs__when_a_scope_runs(void **state)
{
    struct sigaction action = {.sa_handler = count_child}, before, after;
    sigset_t mask_before, mask_after;

    (void)state;
    sigaction(SIGCHLD, &action, &before);
    sigprocmask(SIG_BLOCK, NULL, &mask_before);
    for (int i = 0; i < 10; i++) {
        weir_scope *scope = weir_scope_begin(NULL);

        assert_non_null(scope);
        if (i % 2)
            kill(weir_scope_manager_pid(scope), SIGKILL);
        assert_int_equal(weir_scope_end(scope), 0);
    }
    usleep(10000);
    assert_int_equal(atomic_load(&children_signalled), 0);
    for (int i = 1; i < 32; i++) {
        sigaction(i, NULL, &after);
        if (i == SIGCHLD)
            assert_ptr_equal(after.sa_handler, count_child);
    }
    sigprocmask(SIG_BLOCK, NULL, &mask_after);
    assert_memory_equal(&mask_before, &mask_after, 8);
    sigaction(SIGCHLD, &before, NULL);
}

static void own_children_are_untouched__when_orphans_come_back_here(void **state)
{
    int status;

    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    for (int i = 0; i < 10; i++) {
        weir_scope *scope = weir_scope_begin(NULL);
        pid_t manager = weir_scope_manager_pid(scope), child = fork();

        if (child == 0)
            _exit(i);
        assert_int_equal(status_of(manager, "PPid:", 10), getpid());
        if (i % 2)
            kill(manager, SIGKILL);
        assert_int_equal(weir_scope_end(scope), 0);
        assert_int_equal(kill(manager, 0), -1); /* not even as a zombie */
        assert_int_equal(waitpid(-1, &status, 0), child);
        assert_int_equal(WEXITSTATUS(status), i);
    }
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

static void beginning_works__when_sigchld_is_ignored(void **state)
{
    void (*before)(int) = signal(SIGCHLD, SIG_IGN);
    weir_scope *scope = weir_scope_begin(NULL);

    (void)state;
    assert_non_null(scope);
    assert_int_equal(weir_scope_end(scope), 0);
    signal(SIGCHLD, before);
}

static void descriptors_are_in_order__when_the_low_ones_are_closed(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    for (int closed = 0; closed <= 2; closed++) {
        pid = fork();
        if (pid == 0) {
            weir_scope *scope;

            child_reset();
            for (int i = closed; i <= 2; i++)
                close(i);
            scope = weir_scope_begin(NULL);
            if (!scope || !weir_scope_shm(scope, 10) || weir_scope_end(scope))
                _exit(1);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_true(shm_clean_after_ms(1000) >= 0);
    }
}

/* ---- finding it ----------------------------------------------------------------------------- */

static int begin_fails_with(const char *program, int timeout_ms)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        child_reset();
        setenv("WEIR_MANAGER", program, 1);
        if (weir_scope_begin(&(weir_scope_options){.timeout_ms = timeout_ms}))
            _exit(0);
        if (!strstr(weir_last_error()->message, "manager"))
            _exit(255);
        _exit(-weir_last_error()->code);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(shm_files(), 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void beginning_fails__when_the_program_is_wrong(void **state)
{
    (void)state;
    assert_int_equal(begin_fails_with("/nonexistent/weir-manager", 20000), ENOENT);
    assert_int_equal(begin_fails_with("/etc/passwd", 20000), ENOENT); /* not executable */
    assert_int_equal(begin_fails_with("/bin/true", 20000), EPIPE);    /* ends at once */
}

static void write_script(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0700);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, 0700), 0);
    close(fd);
}

static void beginning_fails__when_the_program_does_not_answer(void **state)
{
    const char *other =
        "#!/usr/bin/python3\nimport socket,time\n"
        "s=socket.socket(fileno=3)\n"
        "s.send(b'{\"ready\":true,\"pid\":1,\"version\":\"99.1\"}')\ntime.sleep(60)\n";
    char path[] = "/tmp/weir-test-XXXXXX";
    double start;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    write_script(path, "#!/bin/sh\nexec sleep 60\n");
    start = now_ms();
    assert_int_equal(begin_fails_with(path, 500), ETIMEDOUT);
    assert_in_range((int)(now_ms() - start), 450, 10000); /* not 60 s */
    if (access("/usr/bin/python3", X_OK) == 0) {
        write_script(path, other);
        assert_int_equal(begin_fails_with(path, 20000), EPROTO);
        write_script(path, "#!/usr/bin/python3\nimport socket,time\n"
                           "s=socket.socket(fileno=3)\ns.send(b'[1]')\ntime.sleep(60)\n");
        assert_int_equal(begin_fails_with(path, 20000), EBADMSG);
    }
    unlink(path);
}

static void places_are_listed__when_the_program_is_not_found(void **state)
{
    char self[1024], folder[] = "/tmp/weir-test-XXXXXX", copy[64], command[2048], *text;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    FILE *out;
    size_t size;

    (void)state;
    assert_true(n > 0);
    self[n] = '\0';
    assert_non_null(mkdtemp(folder));
    snprintf(copy, sizeof(copy), "%s/program", folder);
    snprintf(command, sizeof(command), "cp '%s' '%s' && env -u WEIR_MANAGER '%s' begin 2>&1", self,
             copy, copy);
    out = popen(command, "re");
    assert_non_null(out);
    text = calloc(1, 4096);
    size = fread(text, 1, 4095, out);
    pclose(out);
    unlink(copy);
    rmdir(folder);
    if (size == 0) {
        free(text);
        print_message("skipped: this build is installed, so the program is found\n");
        skip();
    }
    assert_non_null(strstr(text, "not found"));
    assert_non_null(strstr(text, folder));
    assert_non_null(strstr(text, "WEIR_MANAGER"));
    free(text);
}

/* ---- processes of a scope ------------------------------------------------------------------- */

static void scope_lives_on__when_a_users_child_leaves_it(void **state)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_shm *block = weir_scope_shm(scope, 4096);
    int status;
    pid_t pid;

    (void)state;
    pid = fork();
    if (pid == 0) {
        weir_shm *own;

        child_reset();
        strcpy(weir_shm_buf(block), "hello"); /* may use the objects meanwhile, */
        own = weir_scope_shm(scope, 10);      /* and make some */
        if (!own || weir__scope_check_owner(scope, "a pool") != -EDEADLK)
            _exit(1);
        strcpy(weir_shm_buf(own), "mine");
        if (weir_scope_end(scope) != 0 || weir_scope_end(scope) != -EINVAL)
            _exit(2);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    usleep(20000);
    assert_true(alive(weir_scope_manager_pid(scope)));
    assert_string_equal(weir_shm_buf(block), "hello");
    assert_int_equal(shm_files(), if_named(3));
    assert_int_equal(weir_scope_end(scope), 0);
    assert_int_equal(shm_files(), 0);
}

struct hook {
    struct weir__on_end on_end;
    int *order;
    int number;
};

static void run_hook(struct weir__on_end *self)
{
    struct hook *hook = (struct hook *)self;

    *hook->order = *hook->order * 10 + hook->number;
}

static void hooks_run_newest_first__when_the_scope_ends(void **state)
{
    weir_scope *scope = weir_scope_begin(NULL);
    struct hook hooks[4];
    int order = 0;

    (void)state;
    for (int i = 0; i < 4; i++) {
        hooks[i] = (struct hook){.on_end.stop = run_hook, .order = &order, .number = i + 1};
        weir__scope_on_end_add(scope, &hooks[i].on_end);
    }
    weir__scope_on_end_remove(scope, &hooks[2].on_end);
    weir__scope_on_end_remove(scope, &hooks[2].on_end); /* no longer on it: nothing */
    assert_int_equal(weir_scope_end(scope), 0);
    assert_int_equal(order, 421);
}

static void member_maps_and_makes__when_forked_by_the_pool(void **state)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_shm *late;
    int go[2], back[2], status;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(back), 0);
    weir__scope_before_fork(scope);
    pid = fork();
    if (pid == 0) {
        weir_shm *own;

        weir__scope_after_fork_child(scope);
        child_reset();
        if (read(go[0], &late, sizeof(late)) != sizeof(late) || weir_scope_sync(scope))
            _exit(1);
        if (strcmp(weir_shm_buf(late), "from the host") != 0)
            _exit(2);
        own = weir_scope_shm(scope, 20000);
        if (!own)
            _exit(3);
        strcpy(weir_shm_buf(own), "from the worker");
        if (weir__scope_synced(scope) == atomic_load(weir__scope_generation(scope)))
            _exit(4); /* its own object is news too */
        if (weir_scope_sync(scope) ||
            weir__scope_synced(scope) != atomic_load(weir__scope_generation(scope)))
            _exit(5);
        _exit(write(back[1], &own, sizeof(own)) == sizeof(own) ? 0 : 6);
    }
    weir__scope_after_fork_parent(scope);
    late = weir_scope_shm(scope, 5000);
    assert_non_null(late);
    strcpy(weir_shm_buf(late), "from the host");
    assert_int_equal(write(go[1], &late, sizeof(late)), sizeof(late));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(back[0], &late, sizeof(late)), sizeof(late));
    assert_int_equal(weir_scope_sync(scope), 0);
    assert_string_equal(weir_shm_buf(late), "from the worker");
    assert_int_equal(weir_scope_end(scope), 0);
    for (int i = 0; i < 2; i++) {
        close(go[i]);
        close(back[i]);
    }
}

/* ---- threads -------------------------------------------------------------------------------- */

static void *make_many(void *arg)
{
    weir_scope *scope = arg;
    intptr_t wrong = 0;

    for (int i = 0; i < 500; i++) {
        weir_shm *shm = weir_scope_shm(scope, (size_t)(1 + i % 3 * 5000));

        if (!shm || weir_scope_sync(scope)) {
            wrong++;
            continue;
        }
        *(int *)weir_shm_buf(shm) = i;
        sched_yield();
        wrong += *(int *)weir_shm_buf(shm) != i;
        if (i % 2) {
            wrong += weir_shm_unlink(shm) != 0;
            weir_shm_close(shm);
        }
    }
    return (void *)wrong;
}

static void objects_are_right__when_threads_make_them(void **state)
{
    weir_scope *scope = weir_scope_begin(NULL);
    pthread_t threads[4];
    void *wrong;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_many, scope), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_int_equal(shm_files(), if_named(1 + 4 * 250));
    assert_int_equal(weir_scope_end(scope), 0);
    assert_int_equal(shm_files(), 0);
}

static void *begin_and_end(void *arg)
{
    intptr_t wrong = 0;

    (void)arg;
    for (int i = 0; i < 15; i++) {
        weir_scope *scope = weir_scope_begin(NULL);

        wrong += !scope || !weir_scope_shm(scope, 100) || weir_scope_end(scope) != 0;
    }
    return (void *)wrong;
}

static void scopes_are_right__when_threads_begin_them(void **state)
{
    pthread_t threads[4];
    void *wrong;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, begin_and_end, NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_int_equal(shm_files(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, leak_setup, leak_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(another_id_is_taken__when_a_scope_has_the_first_one),
        TEST(nothing_is_left__when_a_scope_ends),
        TEST(error_is_untouched__when_calls_succeed),
        TEST(options_are_refused__when_they_make_no_sense),
        TEST(call_is_refused__when_the_scope_has_ended),
        TEST(call_is_refused__when_there_is_no_scope),
        TEST(scope_ends__when_its_block_is_left),
        TEST(block_is_not_run__when_the_scope_cannot_begin),
        TEST(scopes_are_independent__when_several_are_open),
        TEST(program_keeps_its_addresses__when_many_scopes_are_open),
        TEST(manager_is_nobodys_child__when_it_runs),
        TEST(manager_is_small_and_apart__when_it_runs),
        TEST(scope_is_served__when_the_manager_gets_signals),
        TEST(signals_stay_the_programs__when_a_scope_runs),
        TEST(own_children_are_untouched__when_orphans_come_back_here),
        TEST(beginning_works__when_sigchld_is_ignored),
        TEST(descriptors_are_in_order__when_the_low_ones_are_closed),
        TEST(beginning_fails__when_the_program_is_wrong),
        TEST(beginning_fails__when_the_program_does_not_answer),
        TEST(places_are_listed__when_the_program_is_not_found),
        TEST(scope_lives_on__when_a_users_child_leaves_it),
        TEST(hooks_run_newest_first__when_the_scope_ends),
        TEST(member_maps_and_makes__when_forked_by_the_pool),
        TEST(objects_are_right__when_threads_make_them),
        TEST(scopes_are_right__when_threads_begin_them),
    };

    if (argc == 2 && strcmp(argv[1], "begin") == 0) { /* a copy of this program, elsewhere */
        if (!weir_scope_begin(NULL))
            puts(weir_last_error()->message);
        return 0;
    }
    if (!leak_isolate()) {
        fputs("skipped: a /dev/shm of its own needs root or user namespaces\n", stderr);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
