/* SPDX-License-Identifier: MIT
 *
 * begin_end.c: beginning and ending a scope.
 *
 * Invariants
 *  - The scope file gets its name after the manager runs: a name never exists unwatched.
 *  - Only the process that began a scope ends it. Everywhere else, ending means forgetting.
 *
 * Failure modes. weir_scope_begin() undoes in reverse what it did. Killed inside, it leaves what
 * the manager cleans up, or the next sweep, which finds the scope file unlocked. weir_scope_end()
 * never relies on the manager: a manager that is stuck is killed through its pidfd, and its work is
 * done here. weir_scope_end() reports what it cannot unlink, and the next sweep tries again.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager/host/ask.h"
#include "manager/host/connect.h"
#include "manager/host/launch.h"
#include "manager/host/locate.h"
#include "manager/host/member.h"
#include "manager/host/registry.h"
#include "manager/scope_file/scope_file.h"
#include "manager/space/pidfd.h"
#include "manager/wire/protocol.h"
#include "shm/error.h"

/* Ids are random numbers, but those of a snapshot of a machine may repeat. */
#define IDS_TRIED 8

/* ---- beginning ------------------------------------------------------------------------------ */

static int check_scope_options(const weir_scope_options *options)
{
    if (!options)
        return 0;
    if (weir__check_reserved(options->reserved,
                             sizeof(options->reserved) / sizeof(*options->reserved),
                             "weir_scope_options"))
        return -EINVAL;
    if (options->anonymous && options->address)
        return weir__fail(-EINVAL,
                          "an anonymous scope cannot have an address: its blocks have no names "
                          "that clients could attach, and the socket's path could outlive it");
    if (options->timeout_ms < 0)
        return weir__fail(-EINVAL, "weir_scope_options.timeout_ms is %d, less than 0",
                          options->timeout_ms);
    return weir__scope_check_listen_options(options);
}

/* Whether there are no pidfds here: the kernel is older, or a sandbox refuses the call. */
static bool is_without_pidfds(int error)
{
    return error == ENOSYS || error == EPERM;
}

/* Where there are no pidfds (under valgrind, for example), host and manager learn of each other's
 * end by the socket alone. */
static int open_host_pidfd(struct weir_scope *scope)
{
    int pidfd = weir__above_streams(weir__pidfd_open(getpid())); /* CLOEXEC by itself */

    weir__descriptor_set_pidfd(&scope->host_pidfd, pidfd, getpid());
    if (pidfd < 0 && !is_without_pidfds(errno))
        return weir__fail(-errno, "cannot open a pidfd of this process: %s", strerror(errno));
    return 0;
}

/* The program's end is the channel's. A pool that another thread makes has neither. */
static int make_sockets(struct weir_scope *scope, struct weir__descriptor *managers)
{
    const int error =
        weir__descriptor_socket_pair(&scope->channel.socket, managers, SOCK_SEQPACKET);

    if (error == 0)
        return 0;
    return weir__fail(error, "cannot make a socket for the manager: %s", strerror(-error));
}

static int start_manager(struct weir_scope *scope)
{
    struct weir__descriptor managers = WEIR__DESCRIPTOR_NONE;
    char path[PATH_MAX];
    pid_t pid;
    int error = weir__locate_manager(path);

    if (!error)
        error = make_sockets(scope, &managers);
    if (error)
        return error;
    /* The report lies where the first object's handle will: shared, and unused until then. */
    pid = weir__spawn_manager(
        path, scope->id,
        (const int[]){managers.fd, scope->file.fd, scope->host_pidfd.fd,
                      scope->space.anonymous ? scope->space.store.fd : -1},
        (struct weir__spawn_report *)scope->space.table->entries[0].handle_bytes);
    weir__descriptor_close(&managers);
    if (pid < 0)
        return (int)pid;
    scope->channel.manager_pid = pid;
    return 0;
}

/* The pid can have been given to another process only if the manager is dead, and then its end of
 * the socket is closed: if it is open after pidfd_open, the pidfd is the manager's. */
static int open_manager_pidfd(struct weir_scope *scope)
{
    struct pollfd item = {.fd = scope->channel.socket.fd, .events = 0};
    int pidfd = weir__above_streams(weir__pidfd_open(scope->channel.manager_pid));

    if (pidfd < 0 && is_without_pidfds(errno))
        return 0;
    if (pidfd < 0)
        return weir__fail(-errno, "cannot open a pidfd of the manager (process %d): %s",
                          (int)scope->channel.manager_pid, strerror(errno));
    if (poll(&item, 1, 0) != 0) {
        close(pidfd);
        return weir__fail(-EPIPE, "the manager (process %d) died while it was starting",
                          (int)scope->channel.manager_pid);
    }
    weir__descriptor_set_pidfd(&scope->channel.manager_pidfd, pidfd, scope->channel.manager_pid);
    return 0;
}

/* The manager has said that it cannot start, and why. */
static int fail_start(int error)
{
    struct rlimit limit;

    if (error >= 0)
        error = -EPROTO;
    if (error == -EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
        return weir__fail(error,
                          "the manager program has not enough descriptors: a process may have %llu "
                          "(RLIMIT_NOFILE, ulimit -n)",
                          (unsigned long long)limit.rlim_cur);
    return weir__fail(error, "the manager program cannot start: %s", strerror(-error));
}

static int await_ready(struct weir_scope *scope)
{
    json_t *message = weir__channel_receive(&scope->channel);
    const char *version = json_string_value(json_object_get(message, "version"));
    int error = 0;

    if (!message)
        return weir_last_error()->code;
    if (json_is_integer(json_object_get(message, "error")))
        error = fail_start((int)json_integer_value(json_object_get(message, "error")));
    else if (!json_is_true(json_object_get(message, "ready")) || !version)
        error = weir__fail(-EPROTO, "the manager program does not speak weir's protocol");
    else if (strcmp(version, weir_version()) != 0)
        error =
            weir__fail(-EPROTO, "the manager program is of weir %.20s, but this library is of %s",
                       version, weir_version());
    json_decref(message);
    return error;
}

/* Of an anonymous scope both files are memfds, which go with the last process that has them. */
static int make_scope_files(struct weir_scope *scope, bool anonymous)
{
    char name[WEIR__SCOPE_FILE_NAME_SIZE];
    int error, fd;

    fd =
        anonymous ? weir__scope_file_make_anonymous(&scope->id) : weir__scope_file_make(&scope->id);
    if (fd < 0)
        return fd;
    fd = weir__above_streams(fd);
    weir__descriptor_set(&scope->file, fd);
    if (fd < 0)
        return weir__fail(-errno, "cannot keep the scope file open: %s", strerror(errno));
    /* Also of a scope with names: what weir makes for itself lies there. */
    snprintf(name, sizeof(name), "weir-%016" PRIx64, scope->id);
    error = weir__space_make_store(&scope->space, name);
    if (error)
        return error;
    scope->space.anonymous = anonymous;
    fd = weir__above_streams(scope->space.store.fd);
    weir__descriptor_set(&scope->space.store, fd);
    return fd >= 0 ? 0
                   : weir__fail(-errno, "cannot keep a scope's memory open: %s", strerror(errno));
}

/* *taken: it failed because there is a scope file of that id already. */
static int open_scope(struct weir_scope *scope, const weir_scope_options *options, bool *taken)
{
    const bool anonymous = options && options->anonymous;
    const size_t wanted = options ? options->address_space : 0;
    int error =
        weir__space_open(&scope->space, wanted ? wanted : weir__space_share(weir__scope_count()));

    scope->space.dumped = options && options->dump_objects;
    if (!error)
        error = make_scope_files(scope, anonymous);
    if (error)
        return error;
    error = open_host_pidfd(scope);
    if (!error)
        error = start_manager(scope);
    /* From here on there is a manager that cleans up, so now the file may have a name. */
    if (!error && !anonymous)
        error = weir__scope_file_link(scope->file.fd, scope->id);
    *taken = error == -EEXIST;
    if (!error)
        error = await_ready(scope);
    if (!error)
        error = open_manager_pidfd(scope);
    if (!error && options && options->address)
        error = weir__scope_listen(scope, options);
    return error;
}

/* A manager that got started ends when it sees the end of the socket. One that hangs cannot be
 * killed for certain without a pidfd, so a pidfd is tried first. */
static void abandon(struct weir_scope *scope)
{
    const weir_error why = *weir_last_error();

    if (scope->channel.manager_pid > 0 && scope->channel.manager_pidfd.fd < 0)
        open_manager_pidfd(scope);
    weir__channel_kill_manager(&scope->channel);
    if (scope->file.fd >= 0)
        weir__scope_file_unlink_all(scope->file.fd, scope->id, 0, NULL);
    weir__scope_forget(scope);
    weir__fail_with(&why);
}

/* With an id of its own. NULL with the last error set. */
static struct weir_scope *try_to_begin(const weir_scope_options *options, bool *taken)
{
    struct weir_scope *scope = weir__scope_new(options ? options->timeout_ms : 0);

    *taken = false;
    if (!scope)
        return NULL;
    if (open_scope(scope, options, taken)) {
        abandon(scope);
        return NULL;
    }
    return scope;
}

weir_scope *weir_scope_begin(const weir_scope_options *options)
{
    const weir_error before = *weir_last_error();
    struct weir_scope *scope = NULL;
    bool taken = true;

    if (check_scope_options(options))
        return NULL;
    weir__scope_file_sweep(weir__scope_is_own);
    for (int i = 0; i < IDS_TRIED && !scope && taken; i++)
        scope = try_to_begin(options, &taken);
    if (!scope)
        return NULL;
    weir__fail_with(&before); /* the sweep's errors, and a taken id, are none of this call */
    weir__scope_register(scope);
    return scope;
}

/* ---- ending --------------------------------------------------------------------------------- */

static void run_on_end(struct weir_scope *scope)
{
    struct weir__on_end *on_end;

    while ((on_end = scope->on_end)) {
        weir__scope_on_end_remove(scope, on_end);
        on_end->stop(on_end);
    }
}

/* Asks the manager to unlink everything. False when it has not done that, for whatever reason. */
static bool ask_to_end(struct weir_scope *scope)
{
    json_t *reply = weir__scope_ask(scope, json_pack("{s:b}", "end", 1), -1);
    bool ended = json_is_true(json_object_get(reply, "ended"));

    json_decref(reply);
    return ended;
}

/* A manager whose connection the program has closed is ending by itself, as if the program had
 * ended. */
static void end_manager(struct weir_scope *scope)
{
    const bool ends = !weir__descriptor_is_own(&scope->channel.socket) || ask_to_end(scope);

    if (!ends || !weir__channel_wait_gone(&scope->channel, scope->channel.timeout_ms))
        weir__channel_kill_manager(&scope->channel);
}

static int unlink_all(struct weir_scope *scope, int fd)
{
    struct weir__cleaning cleaning = {0};
    int error = 0;

    if (weir__scope_file_is_clean(fd))
        return 0;
    error = weir__scope_file_unlink_all(fd, scope->id, WEIR__CLEAN_WAIT_MS, &cleaning);
    if (!error && !cleaning.complete)
        error =
            weir__fail(-EBUSY, "a process that this program forked is in the middle of making an "
                               "object; the next weir_scope_begin() removes the rest of the scope");
    return error;
}

/* The program has closed the scope file, which it may still find by its name. Without a name all is
 * unlinked. */
static int unlink_all_by_name(struct weir_scope *scope)
{
    int fd = weir__scope_file_reopen(scope->id, scope->file.device, scope->file.inode), error;

    if (fd < 0)
        return fd == -ENOENT
                   ? 0
                   : weir__fail(fd, "cannot open the scope file again: %s", strerror(-fd));
    error = unlink_all(scope, fd);
    close(fd);
    return error;
}

/* Whatever the manager has done: it is gone afterwards, and all is unlinked, or it is an error. */
static int end_names(struct weir_scope *scope)
{
    const weir_error before = *weir_last_error();
    int error;

    end_manager(scope);
    error = weir__descriptor_is_own(&scope->file) ? unlink_all(scope, scope->file.fd)
                                                  : unlink_all_by_name(scope);
    if (!error)
        weir__fail_with(&before);
    return error;
}

int weir_scope_end(weir_scope *scope)
{
    int error = 0;

    if (!scope)
        return 0;
    if (!weir__scope_live(scope))
        return -EINVAL;
    if (scope->beginner == getpid())
        run_on_end(scope);
    if (!weir__scope_unregister(scope))
        return weir__fail(-EINVAL, "the scope has ended");
    if (scope->beginner == getpid()) {
        error = end_names(scope);
        weir__scope_close_descriptors(scope);
        if (!error)
            error = weir__scope_report_lost(scope);
    }
    weir__scope_forget(scope);
    return error;
}

void weir_scope_leave(weir_scope **scope)
{
    weir_scope_end(*scope);
}
