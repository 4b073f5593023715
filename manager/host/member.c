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
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    scope->file = scope->host_pidfd = scope->space.store = WEIR__DESCRIPTOR_NONE;
    weir__channel_init(&scope->channel, timeout_ms ? timeout_ms : TIMEOUT_DEFAULT_MS);
    return scope;
}

int weir__scope_file_fd(const struct weir_scope *scope)
{
    int fd = weir__descriptor_fd(&scope->file);

    return fd >= 0 ? fd
                   : weir__fail(-EBADF, "the program has closed descriptor %d, the scope file",
                                scope->file.fd);
}

void weir__scope_note_lost(weir_scope *scope, const char *what, int fd)
{
    const size_t used = strlen(scope->lost);

    snprintf(scope->lost + used, sizeof(scope->lost) - used, "%s%d (%s)", used > 0 ? ", " : "", fd,
             what);
}

void weir__scope_close_own(weir_scope *scope, struct weir__descriptor *own, const char *what)
{
    const int lost = weir__descriptor_close(own);

    if (lost >= 0)
        weir__scope_note_lost(scope, what, lost);
}

void weir__scope_close_descriptors(struct weir_scope *scope)
{
    const int kept = scope->space.kept_count > 0 ? scope->space.kept[0].file.fd : -1;

    weir__scope_close_own(scope, &scope->channel.socket, "the connection to the manager");
    weir__scope_close_own(scope, &scope->host_pidfd, "the program's pidfd");
    weir__scope_close_own(scope, &scope->channel.manager_pidfd, "the manager's pidfd");
    if (weir__space_forget_kept(&scope->space) > 0)
        weir__scope_note_lost(scope, "unlinked objects, from here on", kept);
    weir__scope_close_own(scope, &scope->space.store, "the scope's memory");
    /* the last process gives the lock up here */
    weir__scope_close_own(scope, &scope->file, "the scope file");
}

int weir__scope_report_lost(const struct weir_scope *scope)
{
    if (scope->lost[0] == '\0')
        return 0;
    return weir__fail(
        -EBADF,
        "the program has closed descriptors of weir's: %s; what has these numbers now "
        "was left alone, and everything has ended",
        scope->lost);
}

void weir__scope_forget(struct weir_scope *scope)
{
    weir__scope_close_descriptors(scope);
    weir__space_close(&scope->space);
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

uint64_t weir__scope_id(const weir_scope *scope)
{
    return scope->id;
}

bool weir__scope_lives(uint64_t id)
{
    return weir__scope_is_own(id);
}

static bool is_closed(const struct weir__descriptor *own)
{
    return own->fd >= 0 && !weir__descriptor_is_own(own);
}

int weir__scope_check_owner(const weir_scope *scope, const char *what)
{
    const struct weir_scope *live = weir__scope_live(scope);

    if (!live)
        return -EINVAL;
    if (live->beginner != getpid())
        return weir__fail(-EDEADLK, "%s can only be made by process %d, which began the scope",
                          what, (int)live->beginner);
    if (!weir__descriptor_is_own(&live->file) || is_closed(&live->host_pidfd) ||
        is_closed(&live->space.store))
        return weir__fail(-EBADF,
                          "%s cannot be made: the program has closed a descriptor of the "
                          "scope's (%d, %d or %d)",
                          what, live->file.fd, live->host_pidfd.fd, live->space.store.fd);
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
    weir__descriptor_close(&scope->channel.socket);
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

int weir__scope_next_descriptor(const weir_scope *scope, int from)
{
    const int own[] = {scope->file.fd, scope->host_pidfd.fd, scope->channel.manager_pidfd.fd,
                       scope->channel.socket.fd, scope->space.store.fd};
    int next = INT_MAX;

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        next = own[i] >= from && own[i] < next ? own[i] : next;
    return next;
}

int weir__scope_host_pidfd(const weir_scope *scope)
{
    return scope->host_pidfd.fd;
}

void weir__scope_clean_after_host(weir_scope *scope)
{
    const bool manager_gone = weir__channel_wait_gone(&scope->channel, WEIR__CLEAN_WAIT_MS);

    if (manager_gone && weir__scope_file_is_clean(scope->file.fd))
        return;
    /* A manager that lives on has a host that lives: only the supervisor's socket to it has
     * ended. */
    if (!manager_gone && scope->host_pidfd.fd >= 0 &&
        weir__wait_readable(scope->host_pidfd.fd, weir__now_ms()) == 0)
        return;
    weir__scope_file_unlink_all(scope->file.fd, scope->id, WEIR__CLEAN_WAIT_MS, NULL);
}
