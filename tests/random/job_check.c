/* SPDX-License-Identifier: MIT
 *
 * job_check.c: how a job may go.
 *
 * What the headers promise decides. Without meddling there is one outcome:
 *
 *   calm, sleeps   0
 *   fails          WEIR_EFAILED
 *   dies, exits    WEIR_EDIED if the attempts are used up, else 0
 *   hangs          -ETIMEDOUT, or 0 if a later attempt gets through
 *   asks           -ETIMEDOUT: it is told of the job's deadline, and returns early with 0
 *
 * A cancel that was under way while the job was, a worker that was killed then, and a deadline that
 * has passed each add their code.
 */
#include "job.h"

#include <signal.h>

void job_begin(struct job *job)
{
    struct tally *tally = job->work.tally;

    MUST(atomic_load(&tally->after_return) == 0, "a function ran when its call had returned");
    memset(tally, 0, sizeof *tally);
    job->kills = atomic_load(&job->pool->kills.over);
    job->cancels = atomic_load(&job->pool->cancels.over);
    job->begin_ms = now_ms();
}

/* Workers that were killed while the job was; all of them with the pool or its supervisor. */
static unsigned kills_during(const struct job *job)
{
    if (atomic_load(&job->pool->supervisor_gone) || atomic_load(&job->pool->killed))
        return UINT16_MAX;
    return atomic_load(&job->pool->kills.begun) - job->kills;
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
        if ((job->work.deed == HANGS && deaths == 0) || job->work.deed == ASKS)
            return (int)kills >= job->work.attempts; /* a later attempt does not do it */
        return job->work.deed != FAILS && deaths < attempts;
    case WEIR_EFAILED:
        return job->work.deed == FAILS;
    case WEIR_EDIED:
        if (job->work.deed < HANGS && deaths >= attempts)
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
    if (code == WEIR_EDIED && kills == 0) {
        MUST(job->work.deed == DIES ? error->signal == SIGKILL : error->exit_status == 3,
             "signal %d, status %d", error->signal, error->exit_status);
        MUST(error->attempt == attempts_of(job), "attempt %d", error->attempt);
        MUST(error->pid > 0, "no process");
    }
    if (code == WEIR_EFAILED || (code == WEIR_EDIED && kills == 0))
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
    if (kills == 0 && deaths == 0 && job->work.deed < HANGS)
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
        bool is_right = out->index == i && out->value == job_image((double)i / 4);
        bool is_left = out->index == -1 && out->value == JOB_UNTOUCHED;

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

void job_abandon(struct job *job)
{
    const unsigned kills = kills_during(job);

    check_items(job, -ECANCELED, kills);
    atomic_store(&job->work.tally->over, true);
}

void job_end(struct job *job, int code)
{
    const unsigned kills = kills_during(job);

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
    if (job->form == MAP && job->out != NULL)
        check_elements(job, code);
    if (job->form == REDUCE)
        check_stretch(job, code);
}
