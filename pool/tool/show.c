/* SPDX-License-Identifier: MIT
 *
 * show.c: `weir show`: one scope with its pools, their jobs and workers, or what is in a block.
 *
 * With --stack the workers are asked where they are, by the signal that pools with `backtrace`
 * handle. Nothing else is ever sent a signal: a worker is asked only if its pool's page says that
 * it answers, it is a child of the process that has that page, and the kernel says that it has a
 * handler. All that is looked at through a descriptor of the process, so no other one can have its
 * number by then.
 *
 * Failure modes. What ends while it is looked at is left out.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pool/tool/contents.h"
#include "pool/tool/describe.h"
#include "pool/tool/pools.h"
#include "pool/tool/processes.h"
#include "pool/tool/scopes.h"
#include "pool/tool/text.h"
#include "pool/tool/tool.h"
#include "shm/block/block.h"

struct options {
    bool stack;
    struct tool_contents_options contents;
};

struct show {
    struct tool_heap *heap;
    struct options options;
    struct tool_processes processes;
    struct tool_scopes scopes;
    struct tool_pools pools;
};

/* ---- stacks --------------------------------------------------------------------------------- */

/* Opened first: what is then seen under the number is that process, or nothing, if the descriptor
 * can still be used afterwards. */
static bool ask_worker(const struct tool_pool *pool, pid_t pid)
{
    const int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool asked = false;
    pid_t parent;

    if (fd < 0)
        return false;
    if (tool_process_catches(pid, SIGQUIT, &parent) && parent == pool->supervisor)
        asked = syscall(SYS_pidfd_send_signal, fd, SIGQUIT, NULL, 0) == 0;
    close(fd);
    return asked;
}

/* Says on stderr what became of it, and returns the workers that were asked. */
static json_t *ask_for_stacks(struct show *show, const struct tool_pool *pool)
{
    json_t *asked = json_array();
    char path[64], to[PATH_MAX] = "?";

    if (!(pool->status.can & STATUS_STACKS)) {
        tool_say("pool \"%s\" shows no stacks: it was made without weir_pool_options.backtrace",
                 pool->name);
        return asked;
    }
    if (!pool->pids_are_ours) {
        tool_say("pool \"%s\" shows no stacks: it runs in another pid namespace", pool->name);
        return asked;
    }
    for (size_t i = 0; i < pool->workers_count; i++) {
        const pid_t pid = pool->workers[i].pid;
        ssize_t size;

        if (pid <= 0 || !ask_worker(pool, pid))
            continue;
        json_array_append_new(asked, json_integer(pid));
        snprintf(path, sizeof(path), "/proc/%d/fd/2", (int)pid);
        size = readlink(path, to, sizeof(to) - 1);
        if (size > 0)
            to[size] = '\0';
    }
    if (json_array_size(asked) > 0)
        tool_say("%zu workers of pool \"%s\" write their stacks to their stderr: %s",
                 json_array_size(asked), pool->name, tool_escape(show->heap, to));
    else
        tool_say("no worker of pool \"%s\" could be asked for its stack", pool->name);
    return asked;
}

/* ---- a scope -------------------------------------------------------------------------------- */

static void write_scope(const struct show *show, const struct tool_scope *scope)
{
    struct tool_heap *heap = show->heap;

    printf("scope %016" PRIx64 "%s  %s%s, since %s (%s)\n", scope->id, scope->anonymous ? "*" : "",
           tool_state_name(scope->state), scope->certain ? "" : "?", tool_time(heap, scope->began),
           tool_age(heap, time(NULL) - scope->began));
    if (scope->pid > 0)
        printf("  program    %d  %s\n", scope->pid, scope->command != NULL ? scope->command : "?");
    if (scope->members_count > 0) {
        printf("  processes ");
        for (size_t i = 0; i < scope->members_count; i++)
            printf(" %d", (int)scope->members[i]);
        putchar('\n');
    }
    if (scope->address != NULL)
        printf("  address    %s\n", scope->address);
    if (scope->state != TOOL_FOREIGN)
        printf("  blocks     %zu, %s of memory\n", scope->blocks_count,
               tool_size(heap, scope->resident, false));
}

static void write_blocks(const struct show *show, const struct tool_scope *scope)
{
    static const char *const heads[] = {"BLOCK", "KIND", "SHAPE", ">SIZE", ">MEMORY", ">MAKER"};
    struct tool_table table = {.heap = show->heap, .heads = heads, .columns = 6};

    for (size_t i = 0; i < scope->blocks_count; i++) {
        const struct tool_block *block = &scope->blocks[i];
        const char **row = tool_table_row(&table);

        row[0] = block->name;
        row[1] = block->kind;
        row[2] = tool_block_shape(show->heap, block);
        row[3] = tool_size(show->heap, block->size, false);
        row[4] =
            block->resident == UINT64_MAX ? "-" : tool_size(show->heap, block->resident, false);
        row[5] = tool_print(show->heap, "%d", block->maker);
    }
    tool_table_write(&table);
}

/* ---- a pool --------------------------------------------------------------------------------- */

static void write_page(const struct show *show, const struct tool_pool *pool)
{
    const struct weir__status *status = &pool->status;

    if (pool->name[0] != '\0')
        printf("pool \"%s\"", pool->name);
    else
        printf("process");
    printf("  supervisor %d, since %s%s%s\n", (int)pool->supervisor,
           tool_time(show->heap, status->began_real_ns / 1000000000),
           pool->broken ? ", broken: no worker can be started" : "",
           pool->draining ? ", ending" : "");
    printf("  workers    %u, %" PRIu64 " started, %" PRIu64 " died, %" PRIu64
           " died at the start\n",
           status->workers, status->workers_started, status->workers_died, status->starts_failed);
    printf("  chunks     %" PRIu64 " retried, %" PRIu64 " took too long\n", status->chunks_retried,
           status->chunks_timed_out);
    if (pool->why != NULL)
        printf("  no more is known: %s\n", pool->why);
    else if (!pool->pids_are_ours)
        printf("  its processes are numbered as in another pid namespace\n");
}

static void write_jobs(const struct show *show, const struct tool_pool *pool)
{
    static const char *const heads[] = {"JOB",   "KIND",     ">DONE", ">OF",       ">RUN",  ">WAIT",
                                        ">DIED", ">RETRIED", ">FOR",  ">DEADLINE", "REMARK"};
    struct tool_table table = {.heap = show->heap, .heads = heads, .columns = 11};

    for (size_t i = 0; i < pool->jobs_count; i++) {
        const struct tool_job *job = &pool->jobs[i];
        const char **row;

        if (job->queue && job->total == 0)
            continue; /* there was never a call */
        row = tool_table_row(&table);
        row[0] = tool_job_label(show->heap, job);
        row[1] = job->kind;
        row[2] = tool_number(show->heap, job->done);
        row[3] = tool_number(show->heap, job->total);
        row[4] = tool_number(show->heap, job->running);
        row[5] = tool_number(show->heap, job->waiting);
        row[6] = job->queue ? "-" : tool_number(show->heap, job->deaths);
        row[7] = job->queue ? "-" : tool_number(show->heap, job->retried);
        row[8] = tool_duration(show->heap, job->for_ns);
        row[9] = tool_duration(show->heap, job->left_ns > 0 ? job->left_ns : -1);
        row[10] = job->queue      ? ""
                  : job->stopping ? "stopping"
                  : job->failed   ? "a chunk failed"
                  : job->chunk_timeout_ns > 0
                      ? tool_print(show->heap, "%s a chunk at most",
                                   tool_duration(show->heap, job->chunk_timeout_ns))
                      : "";
    }
    tool_table_write(&table);
    for (size_t i = 0; i < pool->jobs_count; i++) {
        if (pool->jobs[i].failure != NULL)
            tool_line(show->heap, "%s: %s", tool_job_label(show->heap, &pool->jobs[i]),
                      pool->jobs[i].failure);
    }
}

static void write_workers(const struct show *show, const struct tool_pool *pool)
{
    static const char *const heads[] = {">WORKER", ">PID",  ">LIFE", "STATE", "JOB",
                                        ">CHUNK",  "RANGE", ">TRY",  ">FOR"};
    struct tool_table table = {.heap = show->heap, .heads = heads, .columns = 9};

    for (size_t i = 0; i < pool->workers_count; i++) {
        const struct tool_worker *worker = &pool->workers[i];
        const struct tool_job *job = worker->job >= 0 ? &pool->jobs[worker->job] : NULL;
        const char **row = tool_table_row(&table);

        row[0] = tool_number(show->heap, (int64_t)i);
        row[1] = worker->pid > 0 ? tool_number(show->heap, worker->pid) : "-";
        row[2] = tool_number(show->heap, worker->life);
        row[3] = tool_work_name(worker->work);
        if (job == NULL || worker->work == TOOL_IDLE)
            continue;
        row[4] = tool_job_label(show->heap, job);
        if (job->queue)
            continue;
        row[5] = tool_number(show->heap, worker->chunk);
        row[6] = tool_range(show->heap, worker->range);
        row[7] = worker->attempt > 0 ? tool_number(show->heap, worker->attempt) : "-";
        row[8] = tool_duration(show->heap, worker->for_ns);
    }
    tool_table_write(&table);
}

static int show_scope(struct show *show, const struct tool_scope *scope)
{
    json_t *pools = json_array(), *stacks = json_array();

    if (!show->options.contents.json) {
        write_scope(show, scope);
        write_blocks(show, scope);
    }
    for (size_t i = 0; i < show->pools.count; i++) {
        const struct tool_pool *pool = &show->pools.items[i];

        if (!tool_pool_is_of(pool, scope))
            continue;
        if (show->options.contents.json) {
            json_array_append_new(pools, tool_pool_json(show->heap, pool));
        } else {
            write_page(show, pool);
            write_jobs(show, pool);
            write_workers(show, pool);
        }
        if (show->options.stack) {
            json_t *asked = ask_for_stacks(show, pool);

            json_array_extend(stacks, asked);
            json_decref(asked);
        }
    }
    if (show->options.contents.json) {
        json_t *object = json_pack("{s:i, s:o, s:O}", "schema", 1, "scope",
                                   tool_scope_json(show->heap, scope), "pools", pools);

        if (object != NULL && show->options.stack)
            json_object_set(object, "asked", stacks);
        tool_json_write(object);
    }
    json_decref(pools);
    json_decref(stacks);
    return TOOL_DONE;
}

/* ---- what is meant -------------------------------------------------------------------------- */

/* A process that has no scope: why. */
static int refuse_process(const struct show *show, pid_t pid)
{
    const char *command = tool_process_command(show->heap, pid);
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    if (command == NULL) {
        tool_say("there is no process %d", (int)pid);
        return TOOL_NO;
    }
    if (access(path, R_OK) < 0) {
        tool_say("process %d (%s) may not be looked into: %s", (int)pid, command, strerror(errno));
        return TOOL_FAILED;
    }
    tool_say("process %d (%s) has no scope", (int)pid, command);
    return TOOL_NO;
}

static int show_it(struct show *show, const char *what)
{
    const pid_t pid = tool_process_parse(what);
    const struct tool_scope *scope = tool_scope_find(&show->scopes, what);

    if (scope != NULL)
        return show_scope(show, scope);
    if (tool_contents_exist(what))
        return tool_contents_show(show->heap, &show->scopes, what, &show->options.contents);
    if (pid > 0)
        return refuse_process(show, pid);
    tool_say("there is no scope \"%s\", and no such file in " WEIR__SHM_DIR,
             tool_escape(show->heap, what));
    return TOOL_NO;
}

/* ---- the command ---------------------------------------------------------------------------- */

static int run(struct tool_heap *heap, int argc, char **argv, const struct tool_command *command)
{
    static const struct option known[] = {
        {"stack", no_argument, NULL, 's'},      {"all", no_argument, NULL, 'a'},
        {"kind", required_argument, NULL, 'k'}, {"json", no_argument, NULL, 'J'},
        {"help", no_argument, NULL, 'h'},       {0},
    };
    struct show show = {.heap = heap};
    int option, status;

    while ((option = tool_next_option(argc, argv, "sak:Jh", known, command, &status)) > 0) {
        show.options.stack |= option == 's';
        show.options.contents.all |= option == 'a';
        show.options.contents.json |= option == 'J';
        if (option == 'k' && !tool_contents_kind(optarg))
            return tool_usage(command, optarg);
        if (option == 'k')
            show.options.contents.kind = optarg;
    }
    if (option < 0)
        return status;
    if (optind + 1 != argc)
        return tool_usage(command, optind < argc ? argv[optind + 1] : NULL);
    if (tool_processes_require(&show.processes, heap, true) != TOOL_DONE)
        return TOOL_FAILED;
    tool_scopes_read(&show.scopes, &show.processes);
    tool_pools_read(&show.pools, &show.processes, true);
    return show_it(&show, argv[optind]);
}

const struct tool_command tool_show = {
    .name = "show",
    .summary = "show a scope with its pools, jobs and workers, or what is in a block",
    .usage = "[-s] [-a] [-k KIND] [-J] SCOPE|PID|NAME",
    .help = "  SCOPE             a scope's 16 digits, as weir ls has them\n"
            "  PID               a process of the scope\n"
            "  NAME              a block in /dev/shm: a list, an array, a dictionary, or bytes\n"
            "  -s, --stack       ask each worker of a pool with a backtrace for its stack, on its "
            "stderr\n"
            "  -a, --all         all items of a block, and not the first 100\n"
            "  -k, --kind KIND   what a block is that no scope knows: list, array, dict or bytes\n"
            "  -J, --json        one JSON object\n"
            "  -h, --help        this\n",
    .operands = true,
    .run = run,
};
