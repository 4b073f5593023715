/* SPDX-License-Identifier: MIT
 *
 * member.c: what every process of a scope has of it: the handle, its copy after a fork, syncing.
 *
 * Invariants
 *  - Only the process that began a scope speaks to its manager and owns its pools: a process that a
 *    pool forks closes its copy of the socket, and has nothing to stop when the scope ends.
 *  - The handle is freed some time after it has been forgotten, so that a late use of it finds it
 *    not registered, and not another one at the same address.
 *
 * Failure modes. Without memory for the handle nothing has happened. Syncing may lack memory for a
 * mapping, and then the next call tries again. A process that is killed leaves nothing here that
 * another one needs.
 */
#include "manager/host/member.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "manager/host/registry.h"
#include "manager/scope_file/scope_file.h"
#include "shm/error.h"

#define GIVERS_MAX 64 /* of the pools that are asked when memory is short */

#define TIMEOUT_DEFAULT_MS 5000

/* ---- the handle ----------------------------------------------------------------------------- */

struct weir_scope *weir__scope_new(int timeout_ms)
{
    struct weir_scope *scope = calloc(1, sizeof(*scope));

    if (!scope)
        return weir__fail_null(-ENOMEM, "no memory for a scope");
    scope->beginner = getpid();
    scope->scope_fd = scope->host_pidfd = -1;
    scope->space.store = -1;
    weir__channel_init(&scope->channel, timeout_ms ? timeout_ms : TIMEOUT_DEFAULT_MS);
    return scope;
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

void weir__scope_forget(struct weir_scope *scope)
{
    close_fd(&scope->channel.socket);
    close_fd(&scope->host_pidfd);
    close_fd(&scope->channel.manager_pidfd);
    weir__space_close(&scope->space);
    close_fd(&scope->scope_fd); /* the last process gives the lock up here */
    weir__scope_free_later(scope);
}

pid_t weir_scope_manager_pid(const weir_scope *scope)
{
    const struct weir_scope *live = weir__scope_live(scope);

    return live ? live->channel.manager_pid : -EINVAL;
}

int weir_scope_sync(weir_scope *scope)
{
    struct weir_scope *live = weir__scope_live(scope);

    return live ? weir__space_sync(&live->space, NULL) : -EINVAL;
}

/* ---- for the pool --------------------------------------------------------------------------- */

void weir__scope_on_end_add(weir_scope *scope, struct weir__on_end *on_end)
{
    weir__private_lock(&scope->space.lock);
    on_end->next = scope->on_end;
    on_end->link = &scope->on_end;
    if (on_end->next)
        on_end->next->link = &on_end->next;
    scope->on_end = on_end;
    weir__private_unlock(&scope->space.lock);
}

void weir__scope_on_end_remove(weir_scope *scope, struct weir__on_end *on_end)
{
    weir__private_lock(&scope->space.lock);
    if (on_end->link) {
        *on_end->link = on_end->next;
        if (on_end->next)
            on_end->next->link = on_end->link;
        on_end->next = NULL;
        on_end->link = NULL;
    }
    weir__private_unlock(&scope->space.lock);
}

bool weir__scope_give_back(weir_scope *scope)
{
    static _Thread_local bool gives; /* it may need memory itself */
    struct weir__on_end *held[GIVERS_MAX];
    size_t count = 0;
    bool any = false;

    if (gives)
        return false;
    weir__private_lock(&scope->space.lock);
    for (struct weir__on_end *at = scope->on_end; at && count < GIVERS_MAX; at = at->next) {
        if (at->hold && at->hold(at))
            held[count++] = at;
    }
    weir__private_unlock(&scope->space.lock);
    gives = true;
    for (size_t i = 0; i < count; i++)
        any |= held[i]->give_back(held[i]);
    gives = false;
    return any;
}

int weir__scope_check_owner(const weir_scope *scope, const char *what)
{
    const struct weir_scope *live = weir__scope_live(scope);

    if (!live)
        return -EINVAL;
    if (live->beginner != getpid())
        return weir__fail(-EDEADLK, "%s can only be made by process %d, which began the scope",
                          what, (int)live->beginner);
    return 0;
}

void weir__scope_before_fork(weir_scope *scope)
{
    weir__private_lock(&scope->space.lock);
}

void weir__scope_after_fork_parent(weir_scope *scope)
{
    weir__private_unlock(&scope->space.lock);
}

void weir__scope_after_fork_child(weir_scope *scope)
{
    close_fd(&scope->channel.socket);
    scope->on_end = NULL;
    weir__space_forget_kept(&scope->space);
    weir__private_unlock(&scope->space.lock);
}

const _Atomic uint64_t *weir__scope_generation(const weir_scope *scope)
{
    return &scope->space.table->generation;
}

uint64_t weir__scope_synced(const weir_scope *scope)
{
    /* relaxed: this process's own mappings, made by the thread that stored it under the lock. */
    return atomic_load_explicit(&scope->space.synced, memory_order_relaxed);
}

int weir__scope_sync(weir_scope *scope, struct weir__unmapped *first)
{
    return weir__space_sync(&scope->space, first);
}

const _Atomic uint32_t *weir__scope_found_missing(const weir_scope *scope)
{
    return &scope->space.found_missing;
}

int weir__scope_require(weir_scope *scope, const weir_shm *block, const char *what)
{
    const struct weir__entry *entry = weir__space_entry(&scope->space, block);

    if (entry == NULL)
        return weir__fail(-EBADMSG, "%s is said to be at %p, where no object is", what,
                          (const void *)block);
    return weir__space_require(&scope->space, entry, what);
}

void weir__scope_describe(const weir_scope *scope, struct weir__unmapped unmapped, char *text,
                          size_t size)
{
    weir__space_describe(&scope->space, unmapped, text, size);
}

bool weir__scope_has_address(const weir_scope *scope, const void *address, size_t size)
{
    const char *base = scope->space.base, *first = address;

    return first >= base && first < base + scope->space.size &&
           size <= (size_t)(base + scope->space.size - first);
}

int weir__scope_host_pidfd(const weir_scope *scope)
{
    return scope->host_pidfd;
}

void weir__scope_clean_after_host(weir_scope *scope)
{
    const bool manager_gone = weir__channel_wait_gone(&scope->channel, WEIR__CLEAN_WAIT_MS);

    if (manager_gone && weir__scope_file_is_clean(scope->scope_fd))
        return;
    /* A manager that lives on has a host that lives: only the supervisor's socket to it has
     * ended. */
    if (!manager_gone && scope->host_pidfd >= 0 &&
        weir__wait_readable(scope->host_pidfd, weir__now_ms()) == 0)
        return;
    weir__scope_file_unlink_all(scope->scope_fd, scope->id, WEIR__CLEAN_WAIT_MS, NULL);
}
