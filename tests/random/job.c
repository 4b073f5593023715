/* SPDX-License-Identifier: MIT
 *
 * job.c: drawing jobs, and their functions.
 */
#include "job.h"

#include <signal.h>
#include <stdio.h>

#define HANGS_MS   20000 /* at the latest: longer than any deadline */
#define CODE_FIRST 100

/* ---- in a worker ----------------------------------------------------------------------------- */

static int do_deed(weir_task *task, const struct work *work, int64_t item)
{
    const double end_ms = now_ms() + HANGS_MS;

    switch ((enum deed)work->deed) {
    case FAILS:
        return weir_task_fail(task, work->code, "item %lld fails", (long long)item);
    case DIES:
        COUNT(deaths);
        kill(getpid(), SIGKILL);
        break;
    case EXITS:
        COUNT(deaths);
        _exit(3);
    case HANGS:
        while (now_ms() < end_ms)
            sleep_us(5000);
        break;
    case ASKS: /* told so, it returns early with 0 */
        while (!weir_task_cancelled(task) && now_ms() < end_ms)
            sleep_us(300);
        break;
    case SLEEPS:
        sleep_us(1500);
        break;
    case CALM:
        break;
    }
    return 0;
}

/* `item` from 0. */
static int do_item(weir_task *task, const struct work *work, int64_t item)
{
    struct tally *tally = work->tally;
    int result = 0;

    if (item < 0 || item >= work->length) {
        atomic_fetch_add(&tally->outside, 1);
        return 0;
    }
    atomic_fetch_add(&tally->begun[item], 1);
    if (item == work->at && (work->deed == FAILS || weir_task_attempt(task) <= work->attempts))
        result = do_deed(task, work, item);
    if (result == 0)
        atomic_fetch_add(&tally->ended[item], 1);
    return result;
}

static void enter(weir_task *task, const struct work *work)
{
    if (atomic_load(&work->tally->over))
        atomic_fetch_add(&work->tally->after_return, 1);
    atomic_fetch_add(&work->tally->running, 1);
    if (weir_task_attempt(task) < 1 || weir_task_worker(task) < 0 || weir_task_chunk(task) < 0)
        violation_in_worker(__FILE__, __LINE__, "numbers", "attempt %d, worker %d",
                            weir_task_attempt(task), weir_task_worker(task));
}

static int leave(const struct work *work, int result)
{
    if (atomic_load(&work->tally->over))
        atomic_fetch_add(&work->tally->after_return, 1);
    atomic_fetch_sub(&work->tally->running, 1);
    return result;
}

int job_for(weir_task *task, weir_range range, void *arg)
{
    const struct work *work = arg;
    int result = 0;

    enter(task, work);
    for (int64_t i = range.begin; i < range.end && result == 0; i++)
        result = do_item(task, work, i - work->begin);
    return leave(work, result);
}

double job_image(double value)
{
    return value * 3 + 0.25;
}

int job_map(weir_task *task, const void *in, void *out, void *arg)
{
    const struct work *work = arg;
    const struct element *from = in;
    struct element *to = out;
    int result;

    enter(task, work);
    result = do_item(task, work, from->index);
    *to = (struct element){from->index, job_image(from->value)};
    return leave(work, result);
}

static int fold(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    struct stretch *stretch = accumulator;
    const struct work *work = arg;
    int result = 0;

    enter(task, work);
    if (stretch->count != 0)
        violation_in_worker(__FILE__, __LINE__, "zero", "an attempt begins with something");
    stretch->first = range.begin;
    for (int64_t i = range.begin; i < range.end && result == 0; i++) {
        result = do_item(task, work, i - work->begin);
        stretch->last = i;
        stretch->count++;
        stretch->sum += i * i;
    }
    return leave(work, result);
}

static void combine(void *into, const void *from, void *arg)
{
    struct stretch *left = into;
    const struct stretch *right = from;

    (void)arg;
    if (right->count == 0)
        return;
    if (left->count == 0) {
        *left = *right;
        return;
    }
    MUST(left->last + 1 == right->first, "combined out of order");
    left->last = right->last;
    left->count += right->count;
    left->sum += right->sum;
}

const weir_reduction stretches = {
    .size = sizeof(struct stretch),
    .fold = fold,
    .combine = combine,
};

static unsigned char result_byte(const struct work *work, size_t i)
{
    return (unsigned char)((size_t)work->code * 7 + i);
}

int job_call(weir_task *task, void *arg)
{
    const struct work *work = arg;
    unsigned char result[RESULT_MAX];
    int code;

    enter(task, work);
    for (size_t i = 0; i < work->result_size; i++)
        result[i] = result_byte(work, i);
    if (work->result_size > 0 && weir_task_result(task, result, work->result_size) < 0)
        violation_in_worker(__FILE__, __LINE__, "weir_task_result", "%u bytes", work->result_size);
    code = do_item(task, work, 0);
    return leave(work, code);
}

bool is_result_of(const struct work *work, const void *data, size_t size)
{
    const unsigned char *bytes = data;

    if (size != work->result_size || (size > 0) != (data != NULL))
        return false;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != result_byte(work, i))
            return false;
    return true;
}

/* ---- drawing --------------------------------------------------------------------------------- */

static void draw_options(struct job *job, uint64_t *seed)
{
    weir_job_options *options = &job->options;

    if (job->form != SUBMIT) {
        if (one_in(seed, 3))
            options->chunks = 1 + (int64_t)draw(seed, 200);
        else if (one_in(seed, 3))
            options->grain = 1 + (int64_t)draw(seed, 40);
    }
    options->arg_size = job->form != SUBMIT ? sizeof job->work : 0;
    options->keep_going = one_in(seed, 4);
    if (one_in(seed, 3))
        options->retries = one_in(seed, 4) ? WEIR_RETRIES_NONE : 1 + (int)draw(seed, 3);
    if (one_in(seed, 5))
        options->timeout_ms = 20000;
    if (one_in(seed, 8))
        options->chunk_timeout_ms = 20000;
    if (job->work.deed != HANGS && job->work.deed != ASKS)
        return;
    if (one_in(seed, 2) || job->work.deed == ASKS)
        options->timeout_ms = 10 + (int)draw(seed, 30);
    else
        options->chunk_timeout_ms = 10 + (int)draw(seed, 30);
}

static void draw_elements(struct job *job, struct lane *lane)
{
    size_t size = (size_t)job->work.length * sizeof(struct element);
    weir_scope *scope = job->pool->scope->scope;

    job->private_out = one_in(&lane->seed, 2) || size == 0;
    if (job->private_out) {
        job->in = malloc(size + 1);
        job->out = malloc(size + 1);
    } else {
        job->in = weir_scope_alloc(scope, size);
        job->out = weir_scope_alloc(scope, size);
    }
    MUST(job->in != NULL && job->out != NULL, "elements");
    for (int64_t i = 0; i < job->work.length; i++) {
        job->in[i] = (struct element){i, (double)i / 4};
        job->out[i] = (struct element){-1, JOB_UNTOUCHED};
    }
}

void job_draw(struct job *job, struct lane *lane, struct pool_place *pool, enum form form,
              struct tally *tally)
{
    static const int lengths[] = {0, 1, 2, 7, 64, 65, 300, TALLY_ITEMS};
    static const enum deed deeds[] = {CALM,  CALM, CALM,  CALM,  SLEEPS,
                                      FAILS, DIES, EXITS, HANGS, ASKS};
    uint64_t *seed = &lane->seed;
    int64_t length = lengths[draw(seed, 8)];

    *job = (struct job){.form = form, .pool = pool};
    job->range.begin = form == FOR || form == REDUCE ? (int64_t)draw(seed, 3000) - 1500 : 0;
    if (form == SUBMIT)
        length = 1;
    else if (length > 2)
        length -= draw(seed, 2);
    job->range.end = job->range.begin + length;
    job->work = (struct work){
        .tally = tally,
        .begin = job->range.begin,
        .length = length,
        .at = length > 0 ? draw(seed, (unsigned)length) : 0,
        .code = CODE_FIRST + (int)draw(seed, 900),
        .deed = (uint8_t)deeds[draw(seed, 10)],
        .attempts = (uint8_t)(1 + draw(seed, 3)),
        .result_size = (uint16_t)(one_in(seed, 4) ? draw(seed, RESULT_MAX) : draw(seed, 65)),
    };
    if (length == 0)
        job->work.deed = CALM;
    draw_options(job, seed);
    if (form == SUBMIT && one_in(seed, 2)) { /* of the queue */
        job->options = (weir_job_options){0};
        job->work.deed = job->work.deed >= HANGS ? CALM : job->work.deed;
    }
    if (form == MAP)
        draw_elements(job, lane);
    memset(&job->result, 0x55, sizeof job->result);
}

void job_forget(struct job *job)
{
    if (job->form == MAP && job->private_out) {
        free(job->in);
        free(job->out);
    }
    job->in = job->out = NULL;
}

void job_say(struct lane *lane, const char *call, const struct job *job)
{
    static const char *const deeds[] = {"calm",   "fails", "dies", "exits",
                                        "sleeps", "hangs", "asks"};

    say(lane,
        "%s on pool %td: %lld items, %s at %lld, %d attempts, retries %d, chunks %lld, grain "
        "%lld, timeouts %d %d%s",
        call, job->pool - world.pools, (long long)job->work.length, deeds[job->work.deed],
        (long long)job->work.at, job->work.attempts, job->options.retries,
        (long long)job->options.chunks, (long long)job->options.grain, job->options.timeout_ms,
        job->options.chunk_timeout_ms, job->options.keep_going ? ", keeps going" : "");
}
