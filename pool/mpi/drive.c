/* SPDX-License-Identifier: MIT
 *
 * drive.c: a call on a real node: its port, its pool, its clock.
 *
 * The calling thread does all of it: it takes messages, has blocks run by the pool's asynchronous
 * calls, a few at a time so that workers roll from one into the next, and sleeps in between. It
 * polls the port, as MPI has nothing to wait for beside other descriptors: at once for 50 us unless
 * blocks run, then each millisecond, or each five if a block waits besides those that run, since
 * the answer that it could get is for later. The pool's descriptor wakes it at once.
 */
#include "pool/mpi/drive.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pool/mpi/last_error.h"
#include "pool/mpi/request.h"
#include "pool/mpi/show.h"
#include "pool/mpi/verdict.h"
#include "shm/clock.h"

#define SLOTS       16 /* blocks that run at a time, at most */
#define SPIN_NS     INT64_C(50000)
#define SLEEP_NS    INT64_C(1000000)
#define SLEEP_ALONE INT64_C(50000000) /* no other node: only the pool can say something */
#define LEAVE_NS    INT64_C(1000000000)

struct slot {
    weir_future *future; /* NULL: free */
    int64_t block;
    bool done;
};

struct drive {
    struct weir_cluster *cluster;
    const struct weir__work *work;
    struct weir__collective call;
    struct weir__show show;
    struct slot slots[SLOTS];
    int slots_count;
    int fd; /* the pool's, readable when something has ended; or a negative error */
    bool begun, cancelled;
};

void weir__wait_more(struct weir__wait *wait, int fd, int64_t most_ns)
{
    const int64_t now_ns = weir__now_ns();
    struct pollfd set = {.fd = fd, .events = POLLIN};

    if (wait->since_ns == 0) {
        wait->since_ns = now_ns;
        wait->sleep_ns = SPIN_NS;
    }
    if (now_ns - wait->since_ns < SPIN_NS)
        return;
    if (wait->sleep_ns > most_ns)
        wait->sleep_ns = most_ns;
    ppoll(&set, fd >= 0, &(struct timespec){.tv_nsec = wait->sleep_ns}, NULL);
    wait->sleep_ns *= 2;
}

/* ---- blocks ---- */

/* NULL: nothing is exchanged. */
static struct weir__exchanger *exchanger_of(const struct drive *drive)
{
    return drive->work != NULL ? drive->work->exchanger : NULL;
}

static weir_job_options block_options(const struct weir__cut *cut, const weir_job_options *options,
                                      int64_t block)
{
    weir_job_options own = weir__request_own(options);

    own.grain = cut->by_grain;
    own.chunks = cut->by_grain > 0 ? 0 : weir__cut_chunks_of(cut, block);
    own.first_chunk = weir__cut_first_of(cut, block);
    return own;
}

static weir_future *run_block(const struct drive *drive, int64_t block)
{
    const struct weir__cut *cut = &drive->call.spec->cut;
    const struct weir__work *work = drive->work;
    const weir_job_options options = block_options(cut, work->options, block);
    const weir_range items = weir__cut_items_of(cut, block);
    weir_pool *pool = drive->cluster->pool;

    if (work->exchanger != NULL)
        return weir__exchanger_run(work->exchanger, items, &options);
    return work->reduction != NULL
               ? weir_pool_reduce_async(pool, items, work->reduction, work->arg, &options)
               : weir_pool_for_async(pool, items, work->function, work->arg, &options);
}

static void note_end(weir_future *future, void *arg)
{
    struct slot *slot = arg;

    (void)future;
    slot->done = true;
}

/* Starts blocks while there are some and slots are free; true if it has. */
static bool start_blocks(struct drive *drive)
{
    bool started = false;

    for (int i = 0; i < drive->slots_count; i++) {
        struct slot *slot = &drive->slots[i];

        if (slot->future != NULL)
            continue;
        slot->block = weir__collective_take_block(&drive->call);
        if (slot->block < 0)
            break;
        started = true;
        slot->done = false;
        slot->future = run_block(drive, slot->block);
        if (slot->future != NULL && weir_future_then(slot->future, note_end, slot) == 0)
            continue;
        weir__collective_block_failed(&drive->call, slot->block, weir_last_error());
        weir_future_free(slot->future);
        slot->future = NULL;
    }
    return started;
}

/* What a block of an exchange has given: NULL, or why it cannot be had. */
static const weir_error *take_block(struct drive *drive, const struct slot *slot)
{
    struct weir__exchanger *exchanger = exchanger_of(drive);

    if (exchanger == NULL || drive->call.halted ||
        exchanger->functions->take(exchanger, &drive->call, slot->block, slot->future) == 0)
        return NULL;
    return weir_last_error();
}

static void end_block(struct drive *drive, struct slot *slot)
{
    weir_future *future = slot->future;
    const weir_error *error = weir_future_error(future);

    if (error == NULL)
        error = take_block(drive, slot);
    if (error != NULL)
        weir__collective_block_failed(&drive->call, slot->block, error);
    else
        weir__collective_block_done(
            &drive->call, slot->block,
            drive->work->reduction != NULL ? weir_future_result(future, NULL) : NULL);
    slot->future = NULL;
    weir_future_free(future);
}

/* Calls note_end() for the blocks that have ended. The pool looks at many things before it finds
 * that there is none, so its descriptor is asked first. */
static void dispatch(const struct drive *drive)
{
    struct pollfd set = {.fd = drive->fd, .events = POLLIN};

    if (drive->fd < 0 || poll(&set, 1, 0) != 0)
        weir_pool_dispatch(drive->cluster->pool);
}

/* Takes over what has ended; true if something has. */
static bool end_blocks(struct drive *drive)
{
    bool ended = false;

    dispatch(drive);
    for (int i = 0; i < drive->slots_count; i++) {
        if (drive->slots[i].future == NULL || !drive->slots[i].done)
            continue;
        end_block(drive, &drive->slots[i]);
        ended = true;
    }
    return ended;
}

static bool is_running(const struct drive *drive)
{
    const struct weir__exchanger *exchanger = exchanger_of(drive);

    for (int i = 0; i < drive->slots_count; i++)
        if (drive->slots[i].future != NULL)
            return true;
    return exchanger != NULL && exchanger->future != NULL && !exchanger->future_ended;
}

/* What still runs is of no use any more, once the call has failed here. */
static void cancel_blocks(struct drive *drive)
{
    const bool failed = drive->call.halted && !drive->call.spec->keep_going;

    if (drive->cancelled || !(failed || drive->call.ended))
        return;
    drive->cancelled = true;
    for (int i = 0; i < drive->slots_count; i++)
        weir_future_cancel(drive->slots[i].future);
    if (exchanger_of(drive) != NULL)
        weir_future_cancel(exchanger_of(drive)->future);
}

/* ---- the loop ---- */

static bool receive(struct drive *drive)
{
    struct weir__port *port = drive->cluster->port;
    struct weir__port_message message;
    bool received = false;
    int result = 0;

    if (drive->cluster->link.closed)
        return false;
    while ((result = port->functions->receive(port, &message)) == 1) {
        weir__collective_receive(&drive->call, &message, weir__now_ns());
        received = true;
    }
    if (result < 0)
        weir__broke(&drive->call, result);
    return received;
}

static void look_at_cancel(struct drive *drive)
{
    weir_error error;

    if (!atomic_exchange(&drive->cluster->cancelled, false))
        return;
    error = weir__cluster_error_of(-ECANCELED, "the call was cancelled");
    weir__collective_fail(&drive->call, &error);
}

static bool is_through(struct drive *drive, int64_t *left_ns)
{
    const struct weir__link *link = &drive->cluster->link;
    const int64_t now_ns = weir__now_ns();

    if (!weir__collective_is_over(&drive->call) || is_running(drive))
        return false;
    if (link->closed || link->port->functions->unsent(link->port) == 0)
        return true;
    /* what has not left would not leave while the program does something else */
    if (*left_ns == 0)
        *left_ns = now_ns + (drive->call.outcome.error.code != 0 ? LEAVE_NS : link->silence_ns);
    return now_ns >= *left_ns;
}

static int64_t sleep_most(const struct drive *drive)
{
    const struct weir__port *port = drive->cluster->port;

    if (port->nodes == 1)
        return SLEEP_ALONE;
    if (drive->call.transfers.first != NULL || port->functions->unsent(port) > 0)
        return SPIN_NS;
    return weir__collective_has_block(&drive->call) ? 5 * SLEEP_NS : SLEEP_NS;
}

/* While blocks run there is nothing that this thread could make faster by looking often. */
static void wait_more(struct drive *drive, struct weir__wait *wait)
{
    if (wait->since_ns == 0 && is_running(drive))
        *wait = (struct weir__wait){.since_ns = weir__now_ns() - SPIN_NS, .sleep_ns = SLEEP_NS};
    weir__wait_more(wait, drive->fd, sleep_most(drive));
}

static bool exchange(struct drive *drive)
{
    return exchanger_of(drive) != NULL && weir__exchanger_step(exchanger_of(drive), &drive->call);
}

static void loop(struct drive *drive)
{
    struct weir__wait wait = {0};
    int64_t left_ns = 0;

    for (;;) {
        bool moved = receive(drive);

        look_at_cancel(drive);
        moved |= end_blocks(drive);
        moved |= start_blocks(drive);
        moved |= exchange(drive);
        weir__collective_tick(&drive->call, weir__now_ns());
        cancel_blocks(drive);
        if (is_through(drive, &left_ns))
            return;
        weir__show_progress(&drive->show, &drive->call, weir__now_ns());
        if (moved) {
            wait.since_ns = 0;
            continue;
        }
        if (drive->cluster->watch != NULL)
            drive->cluster->watch(drive->cluster);
        wait_more(drive, &wait);
    }
}

/* ---- a call ---- */

/* So many blocks that their chunks are work for all workers, twice. */
static int count_slots(const struct drive *drive, const struct weir__cut *cut)
{
    const int64_t workers = weir_pool_workers(drive->cluster->pool);
    const int64_t count = cut->block > 0 ? 1 + (2 * workers + cut->block - 1) / cut->block : 2;

    return count < 2 ? 2 : count > SLOTS ? SLOTS : (int)count;
}

/* Also where combine, or on_progress, has left it by an exception: the others are told then. */
static void leave(struct drive *drive)
{
    weir_error error;

    if (!drive->call.ended) {
        error = weir__cluster_error_of(-ECANCELED, "a function of the program left the call");
        weir__give_up(&drive->call, &error);
    }
    for (int i = 0; i < drive->slots_count; i++)
        weir_future_free(drive->slots[i].future);
    if (exchanger_of(drive) != NULL)
        weir__exchanger_end(exchanger_of(drive));
    weir__collective_free(&drive->call);
    atomic_store(&drive->cluster->calling, false);
    drive->cluster->in_call = false;
}

static void begin(struct drive *drive, const struct weir__collective_spec *spec)
{
    atomic_store(&drive->cluster->cancelled, false);
    atomic_store(&drive->cluster->calling, true);
    drive->cluster->in_call = true;
    drive->slots_count = count_slots(drive, &spec->cut);
    weir__collective_begin(&drive->call, &drive->cluster->link, spec, weir__now_ns());
    weir__show_begin(&drive->show, drive->work != NULL ? drive->work->options : NULL, &drive->call);
}

int weir__drive(struct weir_cluster *cluster, const struct weir__collective_spec *spec,
                const struct weir__work *work, void *result)
{
    __attribute__((cleanup(leave))) struct drive drive = {
        .cluster = cluster, .work = work, .fd = weir_pool_fd(cluster->pool)};

    begin(&drive, spec);
    loop(&drive);
    weir__show_end(&drive.show, &drive.call, weir__now_ns());
    if (drive.call.outcome.error.code != 0)
        return weir__cluster_fail_with(&drive.call.outcome);
    if (result != NULL && drive.call.result.total > 0)
        memcpy(result, drive.call.result.data, drive.call.result.total);
    return 0;
}
