/* SPDX-License-Identifier: MIT
 *
 * dispatch.c: the ends of futures as callbacks, for programs that have an event loop.
 *
 * The process that settles a job with a callback sets the job's bit in `notified` and makes a
 * socket of the host's readable. The host, awake, takes the bits, ends those futures, and calls.
 * The call cannot get lost:
 *
 *   settled before the callback was set    weir_future_then() looks at the job after it has set
 *                                          WAITING_EVENT, and rings by itself
 *   a worker killed before it has rung     the supervisor rings for every open job after a death
 *   killed between `event` and the write   the supervisor writes after a death whatever `event` is
 *   the supervisor killed                  its pidfd is polled too; all futures end then
 *   ended in some other call of the host   the future is queued, and the host rings itself
 *   a worker stopped before it has rung    a timer, while callbacks are to come: all are looked at
 *                                          each TICK_MS
 *
 * A bit too many is harmless: the job's cells decide.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

#include "pool/control/bell.h"
#include "pool/control/calls.h"
#include "pool/control/mine.h"
#include "pool/host/awaited.h"
#include "pool/host/callback.h"
#include "pool/host/calls.h"
#include "pool/host/dispatch.h"
#include "pool/host/future_set.h"
#include "pool/host/hold.h"
#include "pool/host/notified.h"
#include "pool/host/spec.h"
#include "pool/host/wait.h"
#include "shm/error.h"

#define TICK_MS     1000
#define DESCRIPTORS "of a pool's event loop"

enum source {
    SOURCE_EVENT = 0,
    SOURCE_SUPERVISOR,
    SOURCE_TIMER,
    SOURCES,
};

struct weir__loop {
    uv_poll_t poll;
    weir_pool *pool;
};

int weir__dispatch_init(weir_pool *pool)
{
    struct weir__dispatch *dispatch = &pool->dispatch;
    const int error = weir__descriptor_socket_pair(&dispatch->event, &dispatch->event_end,
                                                   SOCK_STREAM | SOCK_NONBLOCK);

    if (error < 0)
        return weir__fail(error, "cannot make a pool's sockets: %s", strerror(-error));
    pool->control->event_fd = dispatch->event_end.fd;
    pool->control->event_device = dispatch->event_end.device;
    pool->control->event_inode = dispatch->event_end.inode;
    return 0;
}

/* epoll descriptors and timers have no inode of their own. But only this pool's epoll has the
 * pool's socket in it, or the supervisor's pidfd, and then the pool's timer. */
static bool has_in_epoll(const weir_pool *pool, int fd, enum source source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

    return fd >= 0 && epoll_ctl(pool->dispatch.poll_fd, EPOLL_CTL_MOD, fd, &event) == 0;
}

static bool is_poll_fd_own(const weir_pool *pool)
{
    if (pool->dispatch.poll_fd < 0)
        return false;
    return has_in_epoll(pool, weir__descriptor_fd(&pool->dispatch.event), SOURCE_EVENT) ||
           has_in_epoll(pool, weir__descriptor_fd(&pool->supervisor.pidfd), SOURCE_SUPERVISOR);
}

static bool is_timer_fd_own(const weir_pool *pool)
{
    return is_poll_fd_own(pool) && has_in_epoll(pool, pool->dispatch.timer_fd, SOURCE_TIMER);
}

static void close_descriptor(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_checked(weir_pool *pool, int *fd, bool own)
{
    if (own)
        close(*fd);
    else if (*fd >= 0)
        weir__scope_note_lost(pool->scope, DESCRIPTORS, *fd);
    *fd = -1;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void leave_loop(weir_pool *pool)
{
    if (pool->dispatch.loop == NULL)
        return;
    uv_close((uv_handle_t *)&pool->dispatch.loop->poll, on_closed);
    pool->dispatch.loop = NULL;
    pool->callbacks.changed = NULL;
}

void weir__dispatch_close(weir_pool *pool)
{
    struct weir__dispatch *dispatch = &pool->dispatch;
    const bool timer = is_timer_fd_own(pool), poll = is_poll_fd_own(pool);

    leave_loop(pool);
    close_checked(pool, &dispatch->timer_fd, timer);
    close_checked(pool, &dispatch->poll_fd, poll);
}

void weir__dispatch_free(weir_pool *pool)
{
    weir__dispatch_close(pool);
    weir__scope_close_own(pool->scope, &pool->dispatch.event, DESCRIPTORS);
    weir__scope_close_own(pool->scope, &pool->dispatch.event_end, DESCRIPTORS);
}

/* ---- the descriptor ------------------------------------------------------------------------- */

static int poll_for(weir_pool *pool, int fd, enum source source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

    return epoll_ctl(pool->dispatch.poll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* With pool->lock. Starts or stops the tick. */
static void set_ticks(weir_pool *pool, bool on)
{
    struct itimerspec period = {.it_interval.tv_sec = on ? TICK_MS / 1000 : 0,
                                .it_value.tv_sec = on ? TICK_MS / 1000 : 0};

    if (pool->dispatch.timer_fd < 0 || pool->dispatch.ticks == on || !is_timer_fd_own(pool))
        return;
    timerfd_settime(pool->dispatch.timer_fd, 0, &period, NULL);
    pool->dispatch.ticks = on;
}

static int open_descriptor(weir_pool *pool)
{
    pool->dispatch.poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (pool->dispatch.poll_fd >= 0)
        pool->dispatch.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (pool->dispatch.timer_fd < 0 || poll_for(pool, pool->dispatch.event.fd, SOURCE_EVENT) < 0 ||
        (!pool->here &&
         poll_for(pool, weir__detached_pidfd(&pool->supervisor), SOURCE_SUPERVISOR) < 0) ||
        poll_for(pool, pool->dispatch.timer_fd, SOURCE_TIMER) < 0) {
        int error = errno;

        close_descriptor(&pool->dispatch.poll_fd);
        close_descriptor(&pool->dispatch.timer_fd);
        return weir__fail(-error, "cannot make a descriptor to poll a pool: %s", strerror(error));
    }
    set_ticks(pool, pool->callbacks.count > 0);
    return 0;
}

int weir_pool_fd(weir_pool *pool)
{
    int result = weir__pool_enter(pool);

    if (result < 0)
        return result;
    pthread_mutex_lock(&pool->lock);
    if (!weir__descriptor_is_own(&pool->dispatch.event) ||
        (pool->dispatch.poll_fd >= 0 && !is_timer_fd_own(pool)))
        result = weir__fail(-EBADF, "the program has closed a descriptor of the pool's event loop");
    else if (pool->dispatch.poll_fd < 0)
        result = open_descriptor(pool);
    if (result == 0)
        result = pool->dispatch.poll_fd;
    weir__pool_leave_locked(pool);
    pthread_mutex_unlock(&pool->lock);
    return result;
}

/* ---- callbacks ------------------------------------------------------------------------------ */

/* The loop runs on while callbacks are to come. */
static void hold_loop(weir_pool *pool)
{
    if (pool->dispatch.loop != NULL)
        (pool->callbacks.count > 0 ? uv_ref : uv_unref)((uv_handle_t *)&pool->dispatch.loop->poll);
}

static int report_no_pool(void)
{
    return weir__fail(-EINVAL, "the future's pool has ended: nothing calls back any more");
}

int weir_future_then(weir_future *future, weir_then_fn callback, void *arg)
{
    weir_pool *pool;
    int result;

    if (future == NULL)
        return weir__refuse_null("future");
    if (callback == NULL)
        return weir__fail(-EINVAL, "the callback is NULL");
    result = weir__check_mine(future->set->mine, "a future");
    if (result < 0)
        return result;
    pool = atomic_load(&future->set->pool);
    if (pool == NULL)
        return report_no_pool();
    if (pool->nested)
        return weir__fail(-EDEADLK, "a task's futures have no callbacks: no loop of the worker's "
                                    "would call them");
    pthread_mutex_lock(&pool->lock);
    if (pool->ended) {
        result = report_no_pool();
    } else if (future->callback != NULL) {
        result = weir__fail(-EBUSY, weir__is_awaited(future) ? "a waiter has the future"
                                                             : "the future has a callback already");
    } else {
        weir__callback_set(pool, future, callback, arg);
        set_ticks(pool, true);
        if (future->pool != NULL)
            future->kind->watch(pool, future);
        else if (weir__callback_queue(pool, future))
            weir__event_ring(pool->control);
    }
    pthread_mutex_unlock(&pool->lock);
    if (result == 0)
        hold_loop(pool);
    return result;
}

/* However the calls end. A callback may have ended the pool, of which only the record is there
 * then. */
static void after_calls(weir_pool *const *pool)
{
    if (!atomic_load(&(*pool)->ended))
        hold_loop(*pool);
}

/* Calls those that are queued. */
static int call_all(weir_pool *pool)
{
    weir_pool *const called __attribute__((cleanup(after_calls))) = pool;
    weir_future *future;
    int count = 0;

    while (!atomic_load(&pool->ended) && (future = weir__callback_take(pool)) != NULL) {
        future->callback(future, future->callback_arg);
        count++;
    }
    (void)called;
    return count;
}

void weir__dispatch_finish(weir_pool *pool)
{
    call_all(pool);
}

/* ---- dispatch ------------------------------------------------------------------------------- */

/* Reads what is readable. Returns whether every job is to be looked at. */
static bool drain(weir_pool *pool)
{
    struct epoll_event events[SOURCES];
    int count = epoll_wait(pool->dispatch.poll_fd, events, SOURCES, 0);
    bool all = false;
    uint64_t number;
    char rings[256];

    for (int i = 0; i < count; i++) {
        enum source source = (enum source)events[i].data.u32;

        if (source == SOURCE_SUPERVISOR) {
            weir__look_after_supervisor(pool);
            epoll_ctl(pool->dispatch.poll_fd, EPOLL_CTL_DEL, pool->supervisor.pidfd.fd, NULL);
            all = true;
        } else if (source == SOURCE_EVENT) {
            (void)!recv(pool->dispatch.event.fd, rings, sizeof(rings), MSG_DONTWAIT);
        } else if (read(pool->dispatch.timer_fd, &number, sizeof(number)) > 0) {
            weir__look_after_supervisor(pool);
            all = true;
        }
    }
    /* seq_cst; pairs with bell.c, weir__event_ring(): after the read, before the bits are taken */
    atomic_exchange(&pool->control->event, 0);
    return all;
}

/* What is queued meanwhile is called after it: the lock sees to that. */
static void set_collecting(weir_pool *pool, bool on)
{
    pthread_mutex_lock(&pool->lock);
    pool->callbacks.collects = on;
    set_ticks(pool, pool->callbacks.count > 0);
    pthread_mutex_unlock(&pool->lock);
}

/* A cleanup: combine was left by an exception or pthread_exit(), so notes that were taken may not
 * have been looked at. */
static void on_collecting_left(weir_pool *const *left)
{
    weir_pool *pool = *left;

    if (pool == NULL)
        return;
    set_collecting(pool, false);
    atomic_store(&pool->control->notified_all, 1);
    weir__event_ring(pool->control);
    weir__pool_leave(pool);
}

static void end_notified(weir_pool *pool)
{
    weir_pool *left __attribute__((cleanup(on_collecting_left))) = pool;
    const bool all = drain(pool);

    set_collecting(pool, true);
    weir__notified_end(pool, all);
    set_collecting(pool, false);
    left = NULL;
}

int weir_pool_dispatch(weir_pool *pool)
{
    int result = weir_pool_fd(pool);

    if (result >= 0)
        result = weir__pool_enter(pool);
    if (result < 0)
        return result;
    end_notified(pool);
    weir__pool_leave(pool); /* before the callbacks, which may end it */
    return call_all(pool);
}

/* ---- libuv ---------------------------------------------------------------------------------- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    weir_pool_dispatch(((struct weir__loop *)poll->data)->pool);
}

int weir_pool_use_loop(weir_pool *pool, struct uv_loop_s *loop)
{
    int fd = weir_pool_fd(pool), error;
    struct weir__loop *own;

    if (fd < 0)
        return fd;
    if (loop == NULL) {
        leave_loop(pool);
        return 0;
    }
    if (pool->dispatch.loop != NULL)
        return weir__fail(-EBUSY, "the pool uses a loop already");
    own = malloc(sizeof(*own));
    if (own == NULL)
        return weir__fail(-ENOMEM, "no memory to use a loop");
    own->pool = pool;
    error = uv_poll_init(loop, &own->poll, fd);
    if (error != 0) {
        free(own);
        return weir__fail(error, "cannot use the loop: %s", uv_strerror(error));
    }
    own->poll.data = own;
    uv_poll_start(&own->poll, UV_READABLE, on_readable);
    pool->dispatch.loop = own;
    pool->callbacks.changed = hold_loop;
    hold_loop(pool);
    return 0;
}
