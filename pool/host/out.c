/* SPDX-License-Identifier: MIT
 *
 * out.c: calls whose thread is out in functions of the program, and may not come back.
 *
 * A call can run on_progress or combine while it holds the pool, or has claimed a future. If such a
 * function is left by an exception or by pthread_exit(), the call's cleanups give that back
 * (job_future.c). But longjmp() runs none. So each such call has a record in the pool, and the end
 * of the pool takes back what the call holds if its thread
 *
 *   - is the one that ends the pool: it is out of the call, or within a function that must not end
 *     the pool;
 *   - is gone;
 *   - has not come back WEIR__LATE_NS after the call's job has ended. Such a thread may be reading
 *     what the job has in the pool, so then the memory is left to it.
 *
 *   FREE (0) --begin--> the thread's id --end--> FREE          the call
 *                              '--take back--> LOST (-1)       the thread that ends the pool
 *
 * A call that comes back and finds LOST touches nothing of the pool. The records go with the record
 * of the pool, which stays for a while after its end (hold.c).
 *
 * Failure modes. More than WEIR__OUT_MAX calls at once: what those without a record hold is not
 * taken back; they are late like any call (pool.c, give_up_late()). The id of a thread that is gone
 * may be another one's by then: that counts as late.
 */
#include "pool/host/out.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool/control/mine.h"
#include "pool/host/job.h"
#include "shm/clock.h"

#define LOST (-1)

/* Its id, kept, and asked for again in a forked process. */
static int32_t own_thread(void)
{
    static __thread int32_t thread;
    static __thread uint32_t of;
    const uint32_t mine = weir__mine();

    if (of != mine || mine == 0) {
        thread = (int32_t)syscall(SYS_gettid);
        of = mine;
    }
    return thread;
}

struct weir__out *weir__out_begin(weir_pool *pool, weir_future *future, uint64_t position)
{
    const int32_t own = own_thread();

    for (size_t i = 0; i < WEIR__OUT_MAX; i++) {
        struct weir__out *out = &pool->out[i];
        int32_t nobody = 0;

        /* relaxed: only a place; the thread that ends the pool looks with the lock */
        if (atomic_load_explicit(&out->thread, memory_order_relaxed) != 0)
            continue;
        pthread_mutex_lock(&pool->lock);
        if (atomic_compare_exchange_strong(&out->thread, &nobody, own)) {
            out->future = future;
            out->position = position;
            out->late_ns = 0;
            out->frame = (uintptr_t)__builtin_frame_address(0);
            pthread_mutex_unlock(&pool->lock);
            return out;
        }
        pthread_mutex_unlock(&pool->lock);
    }
    return NULL;
}

void weir__out_move(struct weir__out *out, uint64_t position)
{
    if (out != NULL)
        out->position = position;
}

bool weir__out_end(struct weir__out *out)
{
    int32_t own = out != NULL ? atomic_load(&out->thread) : 0;

    /* seq_cst; pairs with out.c, take_back(): one of them has the call */
    return out == NULL || (own > 0 && atomic_compare_exchange_strong(&out->thread, &own, 0));
}

static bool is_gone(int32_t thread)
{
    return syscall(SYS_tgkill, getpid(), thread, 0) != 0 && errno == ESRCH;
}

/* With the lock. Whether the job has ended WEIR__LATE_NS ago. */
static bool is_late(weir_pool *pool, struct weir__out *out)
{
    const int index =
        out->future != NULL ? out->future->index : (int)(out->position % WEIR__JOBS_MAX);
    const int64_t now = weir__now_ns();

    if (!atomic_load(&pool->supervisor_gone) && index >= 0 && !weir__job_seen_settled(pool, index))
        return false;
    if (out->late_ns == 0)
        out->late_ns = now + WEIR__LATE_NS;
    return now >= out->late_ns;
}

/* With the lock. */
static void take_back(weir_pool *pool, struct weir__out *out, int32_t thread)
{
    weir_future *future = out->future;
    const uint64_t position = out->position;

    /* seq_cst; pairs with out.c, weir__out_end() */
    if (!atomic_compare_exchange_strong(&out->thread, &thread, LOST))
        return;
    if (future == NULL) {
        weir__job_cancel(pool, position); /* no thread waits for it */
        pool->in_use--;
    } else {
        future->users = 0;
        future->finishing = false;
    }
}

void weir__out_take_back_left(weir_pool *pool, weir_future *future)
{
    const int32_t own = own_thread();

    /* A call from within the first one's function lies below that on the stack. */
    for (size_t i = 0; i < WEIR__OUT_MAX; i++) {
        struct weir__out *out = &pool->out[i];

        if (atomic_load(&out->thread) == own && out->future == future &&
            out->frame <= (uintptr_t)__builtin_frame_address(0)) {
            take_back(pool, out, own);
            atomic_store(&out->thread, 0); /* that call does not come back */
        }
    }
}

void weir__out_take_back(weir_pool *pool)
{
    const int32_t own = own_thread();

    for (size_t i = 0; i < WEIR__OUT_MAX; i++) {
        struct weir__out *out = &pool->out[i];
        const int32_t thread = atomic_load(&out->thread);

        if (thread <= 0)
            continue;
        if (thread == own || is_gone(thread)) {
            take_back(pool, out, thread);
        } else if (is_late(pool, out)) {
            pool->left = true;
            take_back(pool, out, thread);
        }
    }
}
