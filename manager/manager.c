/* SPDX-License-Identifier: MIT
 *
 * manager.c: the program's side of a scope: beginning it, ending it, and taking part in it.
 *
 * Invariants
 *  - The scope file gets its name after the manager runs: a name never exists unwatched.
 *  - Only the process that began a scope ends it. Everywhere else, ending means forgetting.
 *
 * Failure modes. weir_begin() undoes in reverse what it did; killed inside, the manager or nobody's
 * lock on the scope file settles it. weir_end() never relies on the manager: dead or stuck, it is
 * killed through its pidfd and its work done here. What it cannot unlink it reports, and the next
 * sweep tries again.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "manager/locate.h"
#include "manager/protocol.h"
#include "manager/scope.h"
#include "manager/state.h"
#include "shm/error.h"

#define TIMEOUT_DEFAULT_MS 5000
#define KILL_WAIT_MS       1000 /* for a manager that was sent SIGKILL */
#define CLEAN_WAIT_MS      1000 /* for creations under way, and for a manager that has lost its host */

/* ---- waiting for the manager ---------------------------------------------------------------- */

int64_t weir__manager_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* 1: readable or hung up; 0: not in time; or a negative errno. */
static int wait_readable(int fd, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        int64_t left = deadline_ms - weir__manager_now_ms();
        int n = poll(&item, 1, left > 0 ? (int)left : 0);

        if (n >= 0)
            return n;
        if (errno != EINTR)
            return -errno;
    }
}

json_t *weir__manager_receive(const struct weir_manager *manager)
{
    int64_t limit_ms = weir__manager_now_ms() + manager->timeout_ms;
    json_t *message = NULL;
    int result;

    if (limit_ms > manager->deadline_ms)
        limit_ms = manager->deadline_ms;
    result = wait_readable(manager->socket, limit_ms);
    if (result == 1)
        result = weir__frame_receive(manager->socket, &message);
    else if (result == 0)
        result = -ETIMEDOUT;
    if (result == 1)
        return message;
    if (result == 0)
        weir__fail(-EPIPE, "the manager has died");
    else
        weir__fail(result, "no answer from the manager within %d ms: %s", manager->timeout_ms,
                   strerror(-result));
    return NULL;
}

/* Where orphans come back to this process, it reaps this one child of its own; elsewhere it has
 * none. */
static void reap(int pidfd)
{
    siginfo_t info;

    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | __WALL) < 0 && errno == EINTR)
        ;
}

/* True once the manager is gone. By its pidfd, so it can be no other process that got its number.
 */
static bool wait_gone(const struct weir_manager *manager, int timeout_ms)
{
    if (manager->manager_pidfd < 0)
        return manager->socket < 0 ||
               wait_readable(manager->socket, weir__manager_now_ms() + timeout_ms) == 1;
    if (wait_readable(manager->manager_pidfd, weir__manager_now_ms() + timeout_ms) != 1)
        return false;
    reap(manager->manager_pidfd);
    return true;
}

static void kill_manager(const struct weir_manager *manager)
{
    if (manager->manager_pidfd < 0)
        return; /* a bare pid could be anybody's by now; what it does later does no harm */
    pidfd_send_signal(manager->manager_pidfd, SIGKILL, NULL, 0);
    wait_gone(manager, KILL_WAIT_MS);
}

/* ---- beginning ------------------------------------------------------------------------------ */

static int check_options(const weir_options *options)
{
    if (!options)
        return 0;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(*options->reserved); i++) {
        if (options->reserved[i])
            return weir__fail(-EINVAL, "weir_options.reserved[%zu] is not zero", i);
    }
    if (options->anonymous && options->address)
        return weir__fail(-EINVAL,
                          "an anonymous scope has no address: others could not attach what "
                          "has no name, and the address would be one that may be left");
    if (options->timeout_ms < 0)
        return weir__fail(-EINVAL, "weir_options.timeout_ms is %d, less than 0",
                          options->timeout_ms);
    return weir__check_listen_options(options);
}

struct weir_manager *weir__manager_new(int timeout_ms)
{
    struct weir_manager *manager = calloc(1, sizeof(*manager));

    if (!manager) {
        weir__fail(-ENOMEM, "no memory for a scope");
        return NULL;
    }
    manager->beginner = getpid();
    manager->socket = manager->scope_fd = manager->host_pidfd = manager->manager_pidfd = -1;
    manager->space.store = -1;
    manager->timeout_ms = timeout_ms ? timeout_ms : TIMEOUT_DEFAULT_MS;
    manager->deadline_ms = INT64_MAX;
    return manager;
}

int weir__above_streams(int fd)
{
    int above, error;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    error = errno;
    close(fd);
    errno = error;
    return above;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Forgets the scope in this process. */
void weir__manager_release(struct weir_manager *manager)
{
    close_fd(&manager->socket);
    close_fd(&manager->host_pidfd);
    close_fd(&manager->manager_pidfd);
    weir__space_close(&manager->space);
    close_fd(&manager->scope_fd); /* nobody left: the lock ends here */
    weir__manager_bury(manager);
}

/* Where there are no pidfds (under valgrind, say), only the socket tells one that the other is
 * gone. */
static int open_host_pidfd(struct weir_manager *manager)
{
    manager->host_pidfd = weir__above_streams(pidfd_open(getpid(), 0)); /* CLOEXEC by itself */
    if (manager->host_pidfd < 0 && errno != ENOSYS)
        return weir__fail(-errno, "cannot open a pidfd of this process: %s", strerror(errno));
    return 0;
}

static int start_manager(struct weir_manager *manager)
{
    char path[PATH_MAX];
    int sockets[2];
    pid_t pid;
    int error = weir__locate_manager(path);

    if (error)
        return error;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return weir__fail(-errno, "cannot make a socket for the manager: %s", strerror(errno));
    manager->socket = weir__above_streams(sockets[0]);
    if (manager->socket < 0) {
        error = weir__fail(-errno, "cannot make a socket for the manager: %s", strerror(errno));
        close(sockets[1]);
        return error;
    }
    /* The report lies where the first object's handle will: shared, and unused until then. */
    pid = weir__spawn_manager(
        path, manager->id,
        (const int[]){sockets[1], manager->scope_fd, manager->host_pidfd, manager->space.store},
        (struct weir__spawn_report *)manager->space.table->entries[0].room);
    close(sockets[1]);
    if (pid < 0)
        return (int)pid;
    manager->manager_pid = pid;
    return 0;
}

/* The pid can have been given to another process only if the manager is dead, and then its end of
 * the socket is closed: if it is open after pidfd_open, the pidfd is the manager's. */
static int open_manager_pidfd(struct weir_manager *manager)
{
    struct pollfd item = {.fd = manager->socket, .events = 0};
    int pidfd = weir__above_streams(pidfd_open(manager->manager_pid, 0));

    if (pidfd < 0 && errno == ENOSYS)
        return 0;
    if (pidfd < 0)
        return weir__fail(-errno, "cannot open a pidfd of the manager (process %d): %s",
                          (int)manager->manager_pid, strerror(errno));
    if (poll(&item, 1, 0) != 0) {
        close(pidfd);
        return weir__fail(-EPIPE, "the manager (process %d) died while it was starting",
                          (int)manager->manager_pid);
    }
    manager->manager_pidfd = pidfd;
    return 0;
}

static int await_ready(struct weir_manager *manager)
{
    json_t *message = weir__manager_receive(manager);
    const char *version = json_string_value(json_object_get(message, "version"));
    int error = 0;

    if (!message)
        return weir_last_error()->code;
    if (!json_is_true(json_object_get(message, "ready")) || !version)
        error = weir__fail(-EPROTO, "the manager program does not speak weir's protocol");
    else if (strcmp(version, weir_version()) != 0)
        error = weir__fail(-EPROTO, "the manager program is of weir %.20s, this library of %s",
                           version, weir_version());
    json_decref(message);
    return error;
}

/* Of an anonymous scope both files are memfds, which go with the last process that has them. */
static int make_scope_files(struct weir_manager *manager, bool anonymous)
{
    char name[WEIR__SCOPE_NAME_SIZE];
    int error;

    manager->scope_fd =
        anonymous ? weir__scope_make_anonymous(&manager->id) : weir__scope_make(&manager->id);
    if (manager->scope_fd < 0)
        return manager->scope_fd;
    manager->scope_fd = weir__above_streams(manager->scope_fd);
    if (manager->scope_fd < 0)
        return weir__fail(-errno, "cannot keep the scope file open: %s", strerror(errno));
    if (!anonymous)
        return 0;
    snprintf(name, sizeof(name), "weir-%016" PRIx64, manager->id);
    error = weir__space_make_anonymous(&manager->space, name);
    if (error)
        return error;
    manager->space.store = weir__above_streams(manager->space.store);
    return manager->space.store >= 0
               ? 0
               : weir__fail(-errno, "cannot keep a scope's memory open: %s", strerror(errno));
}

static int open_scope(struct weir_manager *manager, const weir_options *options)
{
    const bool anonymous = options && options->anonymous;
    int error = weir__space_open(&manager->space, options ? options->address_space : 0);

    if (!error)
        error = make_scope_files(manager, anonymous);
    if (error)
        return error;
    error = open_host_pidfd(manager);
    if (!error)
        error = start_manager(manager);
    /* From here on there is a manager that cleans up, so now the file may have a name. */
    if (!error && !anonymous)
        error = weir__scope_link(manager->scope_fd, manager->id);
    if (!error)
        error = await_ready(manager);
    if (!error)
        error = open_manager_pidfd(manager);
    if (!error && options && options->address)
        error = weir__manager_listen(manager, options);
    return error;
}

/* A manager that got started ends when it sees the end of the socket. One that hangs cannot be
 * killed for certain without a pidfd, so a pidfd is tried first. */
static void abandon(struct weir_manager *manager)
{
    const weir_error why = *weir_last_error();

    if (manager->manager_pid > 0 && manager->manager_pidfd < 0)
        open_manager_pidfd(manager);
    kill_manager(manager);
    if (manager->scope_fd >= 0)
        weir__scope_unlink_all(manager->scope_fd, manager->id, 0, NULL);
    weir__manager_release(manager);
    weir__fail_with(&why);
}

weir_manager *weir_begin(const weir_options *options)
{
    const weir_error before = *weir_last_error();
    struct weir_manager *manager;

    if (check_options(options))
        return NULL;
    manager = weir__manager_new(options ? options->timeout_ms : 0);
    if (!manager)
        return NULL;
    weir__scope_sweep(weir__manager_is_own);
    if (weir_last_error()->code != before.code)
        weir__fail_with(&before); /* the sweep's troubles are its own */
    if (open_scope(manager, options)) {
        abandon(manager);
        return NULL;
    }
    weir__manager_register(manager);
    return manager;
}

/* ---- ending --------------------------------------------------------------------------------- */

static void run_on_end(struct weir_manager *manager)
{
    struct weir__on_end *on_end;

    while ((on_end = manager->on_end)) {
        weir__manager_on_end_remove(manager, on_end);
        on_end->stop(on_end);
    }
}

/* Tells the manager to unlink everything. 0 when it has; its error; or an error of asking it. */
static int ask_manager(struct weir_manager *manager)
{
    json_t *message;
    json_int_t error;
    int result = weir__frame_send(manager->socket, json_pack("{s:b}", "end", 1));

    if (result)
        return weir__fail(result, "the manager (process %d) cannot be told to end: %s",
                          (int)manager->manager_pid, strerror(-result));
    message = weir__manager_receive(manager);
    if (!message)
        return weir_last_error()->code;
    error = json_integer_value(json_object_get(message, "error"));
    if (!json_is_true(json_object_get(message, "ended")))
        result = weir__fail(-EPROTO, "the manager's answer makes no sense");
    else if (error)
        result = weir__fail(error < 0 && error > -4096 ? (int)error : -EPROTO, "%.500s",
                            json_string_value(json_object_get(message, "message"))
                                ? json_string_value(json_object_get(message, "message"))
                                : "the manager could not unlink everything");
    json_decref(message);
    return result;
}

/* Whatever the manager did or did not: afterwards it is gone and all is unlinked, or an error. */
static int end_names(struct weir_manager *manager)
{
    const weir_error before = *weir_last_error();
    struct weir__tally tally = {0};
    int error = ask_manager(manager);

    if (error || !wait_gone(manager, manager->timeout_ms))
        kill_manager(manager);
    if (weir__scope_is_clean(manager->scope_fd)) {
        weir__fail_with(&before);
        return 0;
    }
    error = weir__scope_unlink_all(manager->scope_fd, manager->id, CLEAN_WAIT_MS, &tally);
    if (!error && !tally.complete)
        error =
            weir__fail(-EBUSY, "a process that this program forked is in the middle of making an "
                               "object; the next weir_begin() removes the rest of the scope");
    if (!error)
        weir__fail_with(&before);
    return error;
}

int weir_end(weir_manager *manager)
{
    int error = 0;

    if (!manager)
        return 0;
    if (!weir__manager_live(manager))
        return -EINVAL;
    if (manager->beginner == getpid())
        run_on_end(manager);
    if (!weir__manager_unregister(manager))
        return weir__fail(-EINVAL, "the scope has ended");
    if (manager->beginner == getpid())
        error = end_names(manager);
    weir__manager_release(manager);
    return error;
}

void weir_scope_leave(weir_manager **manager)
{
    weir_end(*manager);
}

pid_t weir_manager_pid(const weir_manager *manager)
{
    const struct weir_manager *live = weir__manager_live(manager);

    return live ? live->manager_pid : -EINVAL;
}

/* ---- for the pool --------------------------------------------------------------------------- */

void weir__manager_on_end_add(weir_manager *manager, struct weir__on_end *on_end)
{
    weir__private_lock(&manager->space.lock);
    on_end->next = manager->on_end;
    on_end->link = &manager->on_end;
    if (on_end->next)
        on_end->next->link = &on_end->next;
    manager->on_end = on_end;
    weir__private_unlock(&manager->space.lock);
}

void weir__manager_on_end_remove(weir_manager *manager, struct weir__on_end *on_end)
{
    weir__private_lock(&manager->space.lock);
    if (on_end->link) {
        *on_end->link = on_end->next;
        if (on_end->next)
            on_end->next->link = on_end->link;
        on_end->next = NULL;
        on_end->link = NULL;
    }
    weir__private_unlock(&manager->space.lock);
}

int weir__manager_check_owner(const weir_manager *manager, const char *what)
{
    const struct weir_manager *live = weir__manager_live(manager);

    if (!live)
        return -EINVAL;
    if (live->beginner != getpid())
        return weir__fail(-EDEADLK, "%s can only be made by process %d, which began the scope",
                          what, (int)live->beginner);
    return 0;
}

void weir__manager_before_fork(weir_manager *manager)
{
    weir__private_lock(&manager->space.lock);
}

void weir__manager_after_fork_parent(weir_manager *manager)
{
    weir__private_unlock(&manager->space.lock);
}

void weir__manager_after_fork_child(weir_manager *manager)
{
    close_fd(&manager->socket);
    manager->on_end = NULL;
    weir__space_forget_kept(&manager->space);
    weir__private_unlock(&manager->space.lock);
}

const _Atomic uint64_t *weir__manager_generation(const weir_manager *manager)
{
    return &manager->space.table->generation;
}

uint64_t weir__manager_synced(const weir_manager *manager)
{
    /* relaxed: this process's own mappings, made by whoever stored it under the lock. */
    return atomic_load_explicit(&manager->space.synced, memory_order_relaxed);
}

bool weir__manager_has_address(const weir_manager *manager, const void *address, size_t size)
{
    const char *base = manager->space.base, *first = address;

    return first >= base && first < base + manager->space.size &&
           size <= (size_t)(base + manager->space.size - first);
}

int weir__manager_host_pidfd(const weir_manager *manager)
{
    return manager->host_pidfd;
}

void weir__manager_clean_after_host(weir_manager *manager)
{
    const bool manager_gone = wait_gone(manager, CLEAN_WAIT_MS);

    if (manager_gone && weir__scope_is_clean(manager->scope_fd))
        return;
    /* A manager that lives on has a host that does: it was only the lifeline that ended. */
    if (!manager_gone && manager->host_pidfd >= 0 &&
        wait_readable(manager->host_pidfd, weir__manager_now_ms()) == 0)
        return;
    weir__scope_unlink_all(manager->scope_fd, manager->id, CLEAN_WAIT_MS, NULL);
}
