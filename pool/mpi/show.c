/* SPDX-License-Identifier: MIT
 *
 * show.c: progress of a call over all nodes, on node 0.
 *
 * The launcher passes stderr on, so it is no terminal: there are lines, but no bar.
 */
#include "pool/mpi/show.h"

#include <stdio.h>

#include "pool/mpi/collective.h"

#define CALL_NS INT64_C(100000000)
#define LINE_NS INT64_C(1000000000)

void weir__show_begin(struct weir__show *show, const weir_job_options *options,
                      const struct weir__collective *call)
{
    const weir_range range = call->spec->cut.range;

    *show = (struct weir__show){.begin_ns = call->begin_ns, .shown_ns = call->begin_ns};
    if (options == NULL || call->link->port->node != 0 || call->spec->cut.blocks == 0 ||
        (options->on_progress == NULL && !options->progress_lines))
        return;
    show->options = options;
    show->total = (uint64_t)range.end - (uint64_t)range.begin;
}

static weir_progress progress_of(const struct weir__show *show, const struct weir__collective *call,
                                 int64_t now_ns)
{
    const double elapsed_ns = (double)(now_ns - show->begin_ns);
    weir_progress progress = {
        .label = show->options->progress,
        .done = weir__collective_items_done(call),
        .total = show->total,
        .elapsed_ms = (now_ns - show->begin_ns) / 1000000,
        .left_ms = -1,
    };

    if (progress.done > 0 && elapsed_ns > 0) {
        progress.rate = (double)progress.done / elapsed_ns * 1e9;
        progress.left_ms =
            (int64_t)((double)(progress.total - progress.done) / progress.rate * 1e3);
    }
    return progress;
}

static void write_line(const struct weir__show *show, const struct weir__collective *call,
                       const weir_progress *progress)
{
    const char *label = show->options->progress != NULL ? show->options->progress : "";

    fprintf(stderr, "%s%s%d%% (%llu of %llu), %d of %d nodes, %.1f s\n", label,
            label[0] != '\0' ? ": " : "",
            (int)((double)progress->done * 100 / (double)progress->total),
            (unsigned long long)progress->done, (unsigned long long)progress->total,
            call->lead.entered, call->link->port->nodes, (double)progress->elapsed_ms / 1e3);
}

void weir__show_progress(struct weir__show *show, struct weir__collective *call, int64_t now_ns)
{
    const bool calls = show->options != NULL && show->options->on_progress != NULL;
    weir_progress progress;
    int tenths;

    if (show->options == NULL || !call->shows_progress || call->ended ||
        now_ns - show->shown_ns < (calls ? CALL_NS : LINE_NS))
        return;
    call->shows_progress = false;
    progress = progress_of(show, call, now_ns);
    tenths = (int)((double)progress.done * 10 / (double)progress.total);
    if (!calls && tenths <= show->tenths)
        return;
    show->tenths = tenths;
    show->shown_ns = now_ns;
    if (calls)
        show->options->on_progress(&progress, show->options->on_progress_arg);
    else
        write_line(show, call, &progress);
}

void weir__show_end(struct weir__show *show, const struct weir__collective *call, int64_t now_ns)
{
    weir_progress progress;

    if (show->options == NULL)
        return;
    progress = progress_of(show, call, now_ns);
    progress.ended = true;
    if (show->options->on_progress != NULL)
        show->options->on_progress(&progress, show->options->on_progress_arg);
    else
        write_line(show, call, &progress);
}
