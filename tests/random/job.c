/* SPDX-License-Identifier: MIT
 *
 * job.c: drawing jobs, their functions, and checking how they went.
 *
 * What the headers promise decides what is allowed. Without meddling there is one outcome:
 *
 *   calm, sleeps   0
 *   fails          WEIR_EFAILED
 *   dies, exits    WEIR_EDIED if the attempts are used up, else 0
 *   hangs          -ETIMEDOUT, or 0 if a later attempt gets through
 *
 * A cancel that was under way while the job was, a worker that was killed then, and a deadline that
 * has passed each add their code.
 */
#include "job.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>

#define SENTINEL   (-77.5)
#define HANGS_MS   20000 /* at the latest: longer than any deadline */
#define CODE_FIRST 100

/* ---- in a worker ------------------------------------------------------------------------------ */

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
        violation_in_worker(__FILE__, __LINE__, "attempt %d, worker %d", weir_task_attempt(task),
                            weir_task_worker(task));
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

static double image(double value)
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
    *to = (struct element){from->index, image(from->value)};
    return leave(work, result);
}

static int fold(weir_task *task, weir_range range, void *accumulator, void *arg)
{
    struct stretch *stretch = accumulator;
    const struct work *work = arg;
    int result = 0;

    enter(task, work);
    if (stretch->count != 0)
        violation_in_worker(__FILE__, __LINE__, "an attempt that does not begin with zero");
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
        violation_in_worker(__FILE__, __LINE__, "weir_task_result: %u bytes", work->result_size);
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

/* ---- drawing ---------------------------------------------------------------------------------- */

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
    if (job->work.deed != HANGS)
        return;
    if (one_in(seed, 2))
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
        job->out[i] = (struct element){-1, SENTINEL};
    }
}

void job_draw(struct job *job, struct lane *lane, struct pool_place *pool, enum form form,
              struct tally *tally)
{
    static const int lengths[] = {0, 1, 2, 7, 64, 65, 300, TALLY_ITEMS};
    static const enum deed deeds[] = {CALM,   CALM,  CALM, CALM,  CALM,
                                      SLEEPS, FAILS, DIES, EXITS, HANGS};
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
        job->work.deed = job->work.deed == HANGS ? CALM : job->work.deed;
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

/* ---- checking --------------------------------------------------------------------------------- */

void job_begin(struct job *job)
{
    struct tally *tally = job->work.tally;

    MUST(atomic_load(&tally->after_return) == 0, "a function ran when its call had returned");
    memset(tally, 0, sizeof *tally);
    job->kills = atomic_load(&job->pool->kills.over);
    job->cancels = atomic_load(&job->pool->cancels.over);
    job->begin_ms = now_ms();
}

static int attempts_of(const struct job *job)
{
    int retries = job->options.retries;

    if (retries == 0)
        retries = job->form == MAP || job->form == REDUCE;
    return (retries == WEIR_RETRIES_NONE ? 0 : retries) + 1;
}

/* Attempts that die by what the work does. */
static int own_deaths(const struct job *job)
{
    enum deed deed = job->work.deed;

    if (deed == DIES || deed == EXITS || (deed == HANGS && job->options.chunk_timeout_ms > 0))
        return job->work.attempts;
    return 0;
}

static bool is_allowed(const struct job *job, int code, unsigned kills)
{
    const unsigned cancels = atomic_load(&job->pool->cancels.begun) - job->cancels;
    const int attempts = attempts_of(job), deaths = own_deaths(job);
    const double elapsed_ms = now_ms() - job->begin_ms;
    const weir_job_options *options = &job->options;

    switch (code) {
    case 0:
        return job->work.deed != FAILS && deaths < attempts &&
               (job->work.deed != HANGS || deaths > 0);
    case WEIR_EFAILED:
        return job->work.deed == FAILS;
    case WEIR_EDIED:
        if (atomic_load(&job->pool->supervisor_gone))
            return true;
        if (job->work.deed != HANGS && deaths >= attempts)
            return true;
        return kills > 0 && (int)kills + deaths >= attempts;
    case -ETIMEDOUT:
        return (options->timeout_ms > 0 && elapsed_ms >= options->timeout_ms) ||
               (options->chunk_timeout_ms > 0 && elapsed_ms >= options->chunk_timeout_ms);
    case -ECANCELED:
        return job->cancelled || cancels > 0;
    default:
        return false;
    }
}

/* The fields and the message of the last error. */
static void check_error(const struct job *job, int code, unsigned kills)
{
    const weir_error *error = weir_last_error();
    const int64_t at = job->work.begin + job->work.at;
    char text[64];

    MUST(error->code == code, "returned %d", code);
    MUST(error->message[0] != '\0' && strchr(error->message, '\n') == NULL, "a line as message");
    if (code == WEIR_EFAILED) {
        snprintf(text, sizeof text, "item %lld fails", (long long)job->work.at);
        MUST(message_has(text), "the task's message, %s", text);
        MUST(error->task_code == job->work.code, "code %d", error->task_code);
        MUST(error->worker >= 0 && error->worker < job->pool->workers, "worker %d", error->worker);
        MUST(error->pid > 0 && error->attempt >= 1, "pid %d, attempt %d", (int)error->pid,
             error->attempt);
    }
    if (code == WEIR_EDIED && kills == 0 && !atomic_load(&job->pool->supervisor_gone)) {
        MUST(job->work.deed == DIES ? error->signal == SIGKILL : error->exit_status == 3,
             "signal %d, status %d", error->signal, error->exit_status);
        MUST(error->attempt == attempts_of(job), "attempt %d", error->attempt);
        MUST(error->pid > 0, "no process");
    }
    if (code == WEIR_EFAILED ||
        (code == WEIR_EDIED && kills == 0 && !atomic_load(&job->pool->supervisor_gone)))
        MUST(at >= error->range.begin && at < error->range.end, "item %lld is not in [%lld, %lld)",
             (long long)at, (long long)error->range.begin, (long long)error->range.end);
    if (code == WEIR_EFAILED && job->form == MAP)
        MUST(error->range.begin + 1 == error->range.end, "the range is not the element");
}

static void check_items(const struct job *job, int code, unsigned kills)
{
    struct tally *tally = job->work.tally;
    const int deaths = own_deaths(job);

    MUST(atomic_load(&tally->outside) == 0, "items outside of the range");
    if (kills == 0 && deaths == 0 && !atomic_load(&job->pool->supervisor_gone) &&
        code != -ETIMEDOUT)
        MUST(atomic_load(&tally->running) == 0, "%d functions still run",
             atomic_load(&tally->running));
    for (int64_t i = 0; i < job->work.length; i++) {
        int begun = atomic_load(&tally->begun[i]), ended = atomic_load(&tally->ended[i]);

        MUST(begun <= attempts_of(job), "item %d was begun %d times", (int)i, begun);
        if (kills == 0 && deaths == 0)
            MUST(begun <= 1, "item %d was begun %d times", (int)i, begun);
        if (code == 0)
            MUST(ended >= 1, "item %d was not done", (int)i);
        if (code == WEIR_EFAILED && kills == 0 && job->options.keep_going &&
            job->options.grain == 1)
            MUST(ended == (i != job->work.at), "item %d was done %d times", (int)i, ended);
    }
}

static void check_elements(const struct job *job, int code)
{
    for (int64_t i = 0; i < job->work.length; i++) {
        const struct element *out = &job->out[i];
        bool is_right = out->index == i && out->value == image((double)i / 4);
        bool is_left = out->index == -1 && out->value == SENTINEL;

        if (code == 0)
            MUST(is_right, "element %d", (int)i);
        else if (!job->private_out)
            MUST(is_right || is_left || i == job->work.at, "element %d", (int)i);
        else
            MUST(is_left || (is_right && job->options.keep_going), "element %d", (int)i);
    }
}

static void check_stretch(const struct job *job, int code)
{
    struct stretch wanted = {0};

    if (code != 0) {
        memset(&wanted, 0x55, sizeof wanted);
    } else if (job->work.length > 0) {
        wanted.first = job->range.begin;
        wanted.last = job->range.end - 1;
        wanted.count = job->work.length;
        for (int64_t i = job->range.begin; i < job->range.end; i++)
            wanted.sum += i * i;
    }
    MUST(memcmp(&wanted, &job->result, sizeof wanted) == 0, "the reduction's result: %lld items",
         (long long)job->result.count);
}

void job_end(struct job *job, int code)
{
    const unsigned kills = atomic_load(&job->pool->kills.begun) - job->kills;

    MUST(is_allowed(job, code, kills),
         "%d (form %d, deed %d at %lld, attempts %d; %.1f ms, timeout %d, of a chunk %d, retries "
         "%d; "
         "kills: %u)",
         code, job->form, job->work.deed, (long long)job->work.at, job->work.attempts,
         now_ms() - job->begin_ms, job->options.timeout_ms, job->options.chunk_timeout_ms,
         job->options.retries, kills);
    if (code < 0)
        check_error(job, code, kills);
    check_items(job, code, kills);
    atomic_store(&job->work.tally->over, true);
    if (job->form == MAP)
        check_elements(job, code);
    if (job->form == REDUCE)
        check_stretch(job, code);
}
