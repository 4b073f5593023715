/* SPDX-License-Identifier: MIT
 *
 * report.c: what became of a job's chunks, for its caller.
 *
 * Runs in the thread that notices the job's end, after all cells are final: no worker writes any
 * more to what is read here. Nothing here can fail. A log that was overwritten gives wrong errors,
 * but no more of them than there is room for.
 */
#include "pool/host/report.h"

#include <stdlib.h>

#include "pool/control/failure.h"

void weir__report_begin(weir_job_report *report)
{
    if (report != NULL)
        *report =
            (weir_job_report){.failures = report->failures, .failures_most = report->failures_most};
}

static int by_range(const void *a, const void *b)
{
    const weir_range *one = &((const weir_error *)a)->range;
    const weir_range *other = &((const weir_error *)b)->range;

    return (one->begin > other->begin) - (one->begin < other->begin);
}

static void take_failures(weir_job_report *report, struct weir__job *job)
{
    const struct weir__failure_log *log = job->failure_log;
    const size_t before = report->failures_count;

    for (uint64_t i = 0; i < log->size && report->failures_count < report->failures_most; i++) {
        weir_error *out = &report->failures[report->failures_count];

        if (!weir__failure_log_counts(weir__job_failures(job, 0), &log->entries[i]))
            continue;
        *out = log->entries[i].error;
        out->message[sizeof(out->message) - 1] = '\0';
        report->failures_count++;
    }
    qsort(report->failures + before, report->failures_count - before, sizeof(weir_error), by_range);
}

void weir__report_add(weir_job_report *report, struct weir__job *job)
{
    const struct weir__chunk_tally tally = weir__ledger_tally(job->cells, job->count);

    report->chunks += (uint64_t)job->count;
    report->done += (uint64_t)tally.done;
    report->failed += (uint64_t)tally.failed;
    report->deaths += atomic_load(&job->deaths);
    report->retries += atomic_load(&job->retried);
    if (job->failure_log != NULL)
        take_failures(report, job);
}
