/* SPDX-License-Identifier: MIT
 *
 * launch.c: starting the manager program as nobody's child.
 *
 * The program's own wait(NULL) must not see the manager, and its SIGCHLD handler must not run. So
 * an intermediate process (intermediate.c) spawns the manager and ends; the manager then belongs to
 * init (or to a subreaper).
 *
 * Invariants
 *  - The intermediate touches its own stack, the report, and what posix_spawn touches; all signals
 *    are blocked in it, so no handler of the program runs there.
 *  - Its result is read from shared memory, so it does not matter if it is a copy of the process.
 *
 * Failure modes. Killed here, the manager may have been started: it sees the end of the socket and
 * finds nothing to unlink.
 */
#include "manager/host/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "manager/host/intermediate.h"
#include "manager/space/descriptor.h"
#include "manager/wire/protocol.h"
#include "shm/error.h"

#define STACK_SIZE ((size_t)256 * 1024)
#define FIRST      WEIR__MANAGER_FIRST
#define BEYOND     (WEIR__MANAGER_FIRST + WEIR__MANAGER_COUNT)

_Static_assert(WEIR__MANAGER_SOCKET == FIRST && WEIR__MANAGER_SCOPE == FIRST + 1 &&
                   WEIR__MANAGER_HOST == FIRST + 2 && WEIR__MANAGER_STORE == FIRST + 3,
               "the descriptors are given in the order of their numbers");

struct spawn {
    const char *path;
    char *argv[3];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    struct weir__spawn_report *report;
};

/* Where libc cannot have posix_spawn() close what the program has open beyond the manager's
 * descriptors, the intermediate has it closed by exec: its descriptors are its own. */
static void close_beyond_by_exec(void)
{
#if !WEIR_HAS_CLOSEFROM
    weir__close_numbers(BEYOND, INT_MAX, true);
#endif
}

/* Not instrumented: the sanitizer does not know the stack that this runs on. */
__attribute__((no_sanitize("address", "undefined"))) static void intermediate(void *arg,
                                                                              bool is_copy)
{
    struct spawn *spawn = arg;
    pid_t pid = 0;
    int error;

    (void)is_copy;
    close_beyond_by_exec();
    error =
        posix_spawn(&pid, spawn->path, &spawn->actions, &spawn->attributes, spawn->argv, environ);

    /* relaxed: the parent reads them after it has waited for this process. */
    atomic_store_explicit(&spawn->report->pid, pid, memory_order_relaxed);
    atomic_store_explicit(&spawn->report->error, error, memory_order_relaxed);
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t all;
    int error = posix_spawnattr_init(attributes);

    if (error)
        return error;
    sigfillset(&all);
    /* These cannot fail: the attributes are plain memory, and the flags are known. */
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setsigmask(attributes, &all); /* until main() ignores what it must */
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETSIGMASK);
}

/* What the manager has as its standard streams where there is no /dev/null: a file of memory, which
 * takes no more than the manager would write. */
static int open_nowhere(void)
{
    int fd = memfd_create("weir-null", MFD_CLOEXEC), raised;

    if (fd < 0 || fd >= BEYOND)
        return fd;
    raised = fcntl(fd, F_DUPFD_CLOEXEC, BEYOND);
    close(fd);
    return raised;
}

/* The sources must lie above the targets, or one dup2 would overwrite the next one's source.
 * `nowhere`: for the standard streams; -1: /dev/null. */
static int set_actions(posix_spawn_file_actions_t *actions, const int *sources, int nowhere)
{
    int error = posix_spawn_file_actions_init(actions);

    if (error)
        return error;
    if (nowhere < 0)
        error = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDWR, 0);
    else
        error = posix_spawn_file_actions_adddup2(actions, nowhere, 0);
    for (int i = 1; i <= 2 && !error; i++)
        error = posix_spawn_file_actions_adddup2(actions, 0, i);
    for (int i = 0; i < WEIR__MANAGER_COUNT && !error; i++)
        error = sources[i] >= 0 ? posix_spawn_file_actions_adddup2(actions, sources[i], FIRST + i)
                                : posix_spawn_file_actions_addclose(actions, FIRST + i);
#if WEIR_HAS_CLOSEFROM
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(actions, BEYOND);
#endif
    if (error)
        posix_spawn_file_actions_destroy(actions);
    return error;
}

static void close_all(struct weir__descriptor *raised)
{
    for (int i = 0; i < WEIR__MANAGER_COUNT; i++)
        weir__descriptor_close(&raised[i]);
}

/* Copies of the descriptors with numbers above all targets; none for those that are not there. */
static int raise_descriptors(struct weir__descriptor *raised, const int *given)
{
    int error = 0;

    weir__descriptors_lock();
    for (int i = 0; i < WEIR__MANAGER_COUNT; i++) {
        raised[i] = WEIR__DESCRIPTOR_NONE;
        if (given[i] < 0 || error)
            continue;
        int fd = fcntl(given[i], F_DUPFD_CLOEXEC, BEYOND);

        if (fd < 0)
            error = errno;
        weir__descriptor_set(&raised[i], fd);
        weir__descriptor_list(&raised[i]);
    }
    weir__descriptors_unlock();
    if (error)
        close_all(raised);
    return error;
}

/* Clones the intermediate and waits until it is gone. 0 or an errno. */
static int clone_intermediate(struct spawn *spawn)
{
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    sigset_t all, before;
    int error;

    if (stack == MAP_FAILED)
        return errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = weir__run_intermediate(
        &(struct weir__intermediate){intermediate, spawn, stack + STACK_SIZE, _Fork});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK_SIZE);
    return error;
}

static int spawn_with(struct spawn *spawn, const int *sources, int nowhere)
{
    int error = set_attributes(&spawn->attributes);

    if (error)
        return error;
    error = set_actions(&spawn->actions, sources, nowhere);
    if (!error) {
        error = clone_intermediate(spawn);
        posix_spawn_file_actions_destroy(&spawn->actions);
    }
    posix_spawnattr_destroy(&spawn->attributes);
    return error;
}

pid_t weir__spawn_manager(const char *path, uint64_t id, const int given[WEIR__MANAGER_COUNT],
                          struct weir__spawn_report *report)
{
    char argument[20], program[] = "weir-manager";
    struct spawn spawn = {.path = path, .argv = {program, argument, NULL}, .report = report};
    struct weir__descriptor raised[WEIR__MANAGER_COUNT];
    int sources[WEIR__MANAGER_COUNT], nowhere = -1, error;
    pid_t pid;

    snprintf(argument, sizeof(argument), "%016" PRIx64, id);
    atomic_store_explicit(&report->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&report->error, EAGAIN, memory_order_relaxed);
    error = raise_descriptors(raised, given);
    if (error)
        return weir__fail(-error, "no descriptors left to start the manager with: %s",
                          strerror(error));
    for (int i = 0; i < WEIR__MANAGER_COUNT; i++)
        sources[i] = raised[i].fd;
    if (access("/dev/null", R_OK | W_OK) < 0)
        nowhere = open_nowhere();
    error = spawn_with(&spawn, sources, nowhere);
    close_all(raised);
    if (nowhere >= 0)
        close(nowhere);
    if (!error)
        error = atomic_load_explicit(&report->error, memory_order_relaxed);
    pid = atomic_load_explicit(&report->pid, memory_order_relaxed);
    if (error || pid <= 0)
        return weir__fail(error ? -error : -EAGAIN, "cannot start the manager program %.300s: %s",
                          path, strerror(error ? error : EAGAIN));
    return pid;
}
