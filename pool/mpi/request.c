/* SPDX-License-Identifier: MIT
 *
 * request.c: a call's arguments become a spec.
 *
 * Arguments that are not valid do not end the call at once: the other nodes have made it, perhaps
 * with valid ones, and are to be told.
 */
#include "pool/mpi/request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "shm/error.h"

struct weir__collective_spec weir__request(enum weir__collective_kind kind)
{
    return (struct weir__collective_spec){.print.value[WEIR__PRINT_KIND] = kind};
}

void weir__request_refuse(struct weir__collective_spec *spec, const char *format, ...)
{
    va_list args;

    if (spec->refused.code != 0)
        return;
    spec->refused = (weir_error){.code = -EINVAL, .worker = -1, .exit_status = -1};
    va_start(args, format);
    if (vsnprintf(spec->refused.message, sizeof spec->refused.message, format, args) < 0)
        spec->refused.message[0] = '\0';
    va_end(args);
}

static int never_run(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

/* Has the pool look at the options: a job without items. */
static int check_options(const struct weir_cluster *cluster, weir_range range, void *arg,
                         const weir_job_options *options)
{
    weir_job_options own = *options;
    weir_future *future;

    if (options->first_chunk != 0)
        return weir__fail(-EINVAL, "weir_job_options.first_chunk is not for calls on a cluster");
    if (options->report != NULL)
        return weir__fail(-EINVAL, "weir_job_options.report is not for calls on a cluster");
    own.on_progress = NULL;
    range.end = range.begin;
    future = weir_pool_for_async(cluster->pool, range, never_run, arg, &own);
    if (future == NULL)
        return weir_last_error()->code;
    weir_future_free(future);
    return 0;
}

static int check_job(const weir_cluster_job *job)
{
    return weir__check_reserved(job->reserved, sizeof job->reserved / sizeof job->reserved[0],
                                "weir_cluster_job");
}

static void note(struct weir__collective_spec *spec, const weir_job_options *options,
                 const weir_job_options *inherited, const weir_cluster_job *job)
{
    const int timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : inherited->timeout_ms;

    spec->stay = job->stay;
    spec->keep_going = options->keep_going || inherited->keep_going;
    spec->timeout_ns = timeout_ms > 0 ? (int64_t)timeout_ms * 1000000 : 0;
    weir__fingerprint_options(&spec->print, options);
    spec->print.value[WEIR__PRINT_TIMEOUT] = timeout_ms > 0 ? timeout_ms : 0;
    spec->print.value[WEIR__PRINT_KEEP_GOING] = spec->keep_going;
    spec->print.value[WEIR__PRINT_BLOCK] = job->block;
    spec->print.value[WEIR__PRINT_STAY] = job->stay;
}

const weir_job_options *weir__request_job(struct weir__collective_spec *spec,
                                          const struct weir_cluster *cluster, weir_range range,
                                          void *arg, const weir_job_options *options,
                                          const weir_cluster_job *job)
{
    static const weir_job_options no_options;
    static const weir_cluster_job no_job;

    options = options != NULL ? options : &no_options;
    job = job != NULL ? job : &no_job;
    note(spec, options, &cluster->job, job);
    spec->print.value[WEIR__PRINT_BEGIN] = range.begin;
    spec->print.value[WEIR__PRINT_END] = range.end;
    if (check_job(job) < 0 || check_options(cluster, range, arg, options) < 0 ||
        weir__cut_init(&spec->cut, range, options->chunks, options->grain, job->block,
                       cluster->port->nodes) < 0)
        spec->refused = *weir_last_error();
    return options;
}

weir_job_options weir__request_own(const weir_job_options *options)
{
    weir_job_options own = *options;

    own.chunks = own.grain = own.first_chunk = 0;
    own.timeout_ms = WEIR_TIMEOUT_NONE; /* node 0 looks at it */
    own.stall_ms = WEIR_STALL_NONE;
    own.on_stall = NULL;
    own.progress = NULL;
    own.progress_lines = false;
    own.on_progress = NULL;
    return own;
}
