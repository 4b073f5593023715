/* SPDX-License-Identifier: MIT
 *
 * ops_stream.c: streams of calls, in the order of their input and as results come.
 */
#include "job.h"
#include "ops.h"

#define STREAMS 2
#define ITEMS   TALLY_ITEMS /* of one stream, at most: a ring of what was put */
#define FAIL_AT 7           /* every so many items one fails ... */
#define DIE_AT  31          /* ... or dies */

/* An argument. */
struct record_in {
    int64_t index;
    uint32_t size; /* of the result */
    uint32_t dies; /* may it? */
};

struct stream_place {
    weir_stream *stream; /* NULL: none here */
    struct pool_place *pool;
    bool unordered, dies;
    int retries; /* -1: none */
    int64_t put, taken;
    unsigned kills, cancels; /* that were over when the oldest item not taken was put */
    bool seen[ITEMS];
    uint16_t sizes[ITEMS];
};

static struct stream_place *place_of(struct lane *lane, unsigned number)
{
    if (lane->streams == NULL)
        lane->streams = calloc(STREAMS, sizeof *lane->streams);
    if (lane->streams == NULL)
        abort();
    return &lane->streams[number % STREAMS];
}

static bool is_failing(int64_t index)
{
    return index % FAIL_AT == FAIL_AT - 1;
}

static bool is_dying(int64_t index)
{
    return index % DIE_AT == DIE_AT - 1 && !is_failing(index);
}

static unsigned char byte_of(int64_t index, size_t i)
{
    return (unsigned char)((size_t)index * 31 + i);
}

static int work(weir_task *task, void *arg)
{
    const struct record_in *in = arg;
    unsigned char out[RESULT_MAX];

    if (is_failing(in->index))
        return weir_task_fail(task, 55, "item %lld fails", (long long)in->index);
    if (in->dies && is_dying(in->index) && weir_task_attempt(task) == 1) {
        COUNT(deaths);
        _exit(3);
    }
    for (size_t i = 0; i < in->size; i++)
        out[i] = byte_of(in->index, i);
    if (in->size > 0 && weir_task_result(task, out, in->size) < 0)
        violation_in_worker(__FILE__, __LINE__, "weir_task_result", "%u bytes", in->size);
    return 0;
}

static void make_stream(struct lane *lane, const struct op *op)
{
    struct stream_place *place = place_of(lane, op->n[0]);
    struct pool_place *pool = pool_of(op->n[1]);
    weir_job_options job = {0};
    weir_stream_options options = {.in_flight =
                                       one_in(&lane->seed, 2) ? (int)draw(&lane->seed, 9) : 0,
                                   .unordered = one_in(&lane->seed, 2)};

    if (place->stream != NULL || pool == NULL || atomic_load(&pool->supervisor_gone))
        return;
    job.retries = one_in(&lane->seed, 2) ? (int)draw(&lane->seed, 3) : 0;
    options.job = job.retries > 0 || one_in(&lane->seed, 2) ? &job : NULL;
    *place = (struct stream_place){
        .pool = pool,
        .unordered = options.unordered,
        .retries = job.retries,
        .dies = one_in(&lane->seed, 3),
    };
    say(lane, "stream %u on pool %td: %s, %d in flight, retries %d", op->n[0] % STREAMS,
        pool - world.pools, options.unordered ? "unordered" : "ordered", options.in_flight,
        job.retries);
    place->stream = weir_stream_new(pool->pool, work, &options);
    MUST(place->stream != NULL, "stream");
}

/* One result, which must be that of an item that was put and not taken. */
static void check_item(struct stream_place *place, const weir_item *item)
{
    const bool meddled = atomic_load(&place->pool->supervisor_gone) ||
                         atomic_load(&place->pool->kills.begun) != place->kills ||
                         atomic_load(&place->pool->cancels.begun) != place->cancels;
    const unsigned char *data = item->data;

    MUST(item->index >= 0 && item->index < place->put, "index %lld of %lld", (long long)item->index,
         (long long)place->put);
    MUST(!place->seen[item->index], "item %lld comes again", (long long)item->index);
    MUST(place->unordered || item->index == place->taken, "item %lld, not %lld",
         (long long)item->index, (long long)place->taken);
    place->seen[item->index] = true;
    place->taken++;
    MUST((item->error == NULL) == (item->code == 0), "code %d", item->code);
    MUST(item->error == NULL ||
             (item->error->code == item->code && item->error->message[0] != '\0'),
         "the error of code %d", item->code);
    if (item->code != 0)
        MUST(data == NULL && item->size == 0, "data of an item that has failed");
    if (meddled && (item->code == WEIR_EDIED || item->code == -ECANCELED))
        return;
    if (is_failing(item->index)) {
        MUST(item->code == WEIR_EFAILED && item->error->task_code == 55, "%d", item->code);
        return;
    }
    if (place->dies && is_dying(item->index) && place->retries == 0) {
        MUST(item->code == WEIR_EDIED && item->error->exit_status == 3, "%d", item->code);
        return;
    }
    MUST(item->code == 0, "item %lld: %d, %s", (long long)item->index, item->code,
         item->error->message);
    MUST(item->size == place->sizes[item->index], "%zu bytes", item->size);
    for (size_t i = 0; i < item->size; i++)
        MUST(data[i] == byte_of(item->index, i), "byte %zu of item %lld", i,
             (long long)item->index);
}

/* False: none was there in time. */
static bool take(struct stream_place *place, int limit_ms)
{
    weir_item item = {.index = -5};
    int got = weir_stream_next(place->stream, &item, limit_ms);

    if (got == 1) {
        check_item(place, &item);
        return true;
    }
    MUST(item.index == -5, "*out is changed");
    if (got == 0) {
        MUST(place->taken == place->put, "%lld of %lld taken", (long long)place->taken,
             (long long)place->put);
        place->kills = atomic_load(&place->pool->kills.over);
        place->cancels = atomic_load(&place->pool->cancels.over);
        return false;
    }
    REFUSED("weir_stream_next", got, -ETIMEDOUT);
    MUST(limit_ms >= 0, "for ever");
    return false;
}

static void put_items(struct lane *lane, const struct op *op)
{
    struct stream_place *place = place_of(lane, op->n[0]);
    unsigned count = 1 + draw(&lane->seed, one_in(&lane->seed, 4) ? 300 : 20);

    if (place->stream == NULL)
        return;
    if (place->put == place->taken) {
        place->kills = atomic_load(&place->pool->kills.over);
        place->cancels = atomic_load(&place->pool->cancels.over);
    }
    say(lane, "stream %u: puts %u items, from %lld on", op->n[0] % STREAMS, count,
        (long long)place->put);
    for (unsigned i = 0; i < count && place->put < ITEMS; i++) {
        struct record_in in = {place->put, draw(&lane->seed, 65), place->dies};
        int code;

        if (one_in(&lane->seed, 10))
            in.size = draw(&lane->seed, RESULT_MAX);
        code = weir_stream_put(place->stream, &in, sizeof in);
        if (code < 0) {
            ALLOW("weir_stream_put", code, WEIR_EDIED, -ECANCELED);
            MUST(atomic_load(&place->pool->supervisor_gone) ||
                     atomic_load(&place->pool->cancels.begun) != place->cancels,
                 "%d", code);
            return;
        }
        place->sizes[place->put++] = (uint16_t)in.size;
        if (one_in(&lane->seed, 4))
            take(place, 0);
    }
}

static void take_items(struct lane *lane, const struct op *op)
{
    struct stream_place *place = place_of(lane, op->n[0]);
    const int limit_ms = pick(op, 1, 2) == 0 ? -1 : 2;

    if (place->stream != NULL)
        while (take(place, limit_ms))
            ;
}

static void free_stream(struct lane *lane, const struct op *op)
{
    struct stream_place *place = place_of(lane, op->n[0]);

    weir_stream_free(place->stream);
    place->stream = NULL;
}

static void misuse_streams(struct lane *lane, const struct op *op)
{
    struct pool_place *pool = pool_of(op->n[0]);
    weir_stream_options bad[] = {
        {.in_flight = WEIR_IN_FLIGHT_MAX + 1}, {.in_flight = -1}, {.reserved = {1}}};
    weir_item item;

    (void)lane;
    REFUSED("weir_stream_put", weir_stream_put(NULL, NULL, 0), -EINVAL);
    REFUSED("weir_stream_next", weir_stream_next(NULL, &item, 0), -EINVAL);
    REFUSED_NULL("weir_stream_new", weir_stream_new(NULL, work, NULL), -EINVAL);
    if (pool == NULL || atomic_load(&pool->supervisor_gone))
        return;
    REFUSED_NULL("weir_stream_new", weir_stream_new(pool->pool, NULL, NULL), -EINVAL);
    for (int i = 0; i < 3; i++)
        REFUSED_NULL("weir_stream_new", weir_stream_new(pool->pool, work, &bad[i]), -EINVAL);
}

static void in_child(struct lane *lane, uint64_t *seed)
{
    for (unsigned i = 0; lane->streams != NULL && i < STREAMS; i++) {
        weir_stream *stream = lane->streams[i].stream;
        struct record_in in = {0};
        weir_item item;

        if (stream == NULL)
            continue;
        REFUSED("weir_stream_put", weir_stream_put(stream, &in, sizeof in), -EDEADLK);
        REFUSED("weir_stream_next", weir_stream_next(stream, &item, -1), -EDEADLK);
        if (one_in(seed, 2))
            weir_stream_free(stream);
    }
}

static void leave_pool(struct lane *lane, struct pool_place *pool, bool orderly)
{
    for (unsigned i = 0; lane->streams != NULL && i < STREAMS; i++) {
        struct stream_place *place = &lane->streams[i];

        if (place->stream == NULL || place->pool != pool)
            continue;
        while (orderly && take(place, -1))
            ;
        weir_stream_free(place->stream);
        place->stream = NULL;
    }
}

static void leave(struct lane *lane)
{
    free(lane->streams);
    lane->streams = NULL;
}

static const struct kind kinds[] = {
    {"make_stream", 2, false, false, make_stream},
    {"put_items", 5, false, false, put_items},
    {"take_items", 3, false, false, take_items},
    {"free_stream", 1, false, false, free_stream},
    {"misuse_streams", 1, false, false, misuse_streams},
    {0},
};

const struct family stream_family = {
    .name = "stream",
    .kinds = kinds,
    .weight = 1,
    .leave_pool = leave_pool,
    .in_child = in_child,
    .leave = leave,
};
