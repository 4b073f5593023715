/* SPDX-License-Identifier: MIT
 *
 * argument.c: looking at a task's argument before and after the task (WEIR_DEBUG).
 *
 * What a task itself has written to its worker's copy is not compared any more: it was told of, and
 * the program has not changed it. A copy that cannot be read for another reason than that nothing
 * is there (a sandbox) is not compared either.
 */
#include "pool/worker/argument.h"

#include <errno.h>
#include <string.h>

#include "pool/control/argument.h"
#include "pool/control/log.h"
#include "pool/control/maps.h"

/* A number with a fraction whose upper half alone has changed, as 0.5 and 0.25 have. */
static bool could_be_double(uint64_t bits)
{
    const unsigned exponent = (unsigned)(bits >> 52) & 0x7ff;

    return bits == 0 || (exponent > 1023 - 100 && exponent < 1023 + 100);
}

/* Without a size: 4 bytes, as most variables are no shorter. The next 4 may be a neighbour's. */
static bool has_changed(const struct weir__argument *argument, uint64_t mine)
{
    const uint64_t theirs = argument->first;

    if (argument->bytes < 4)
        return (theirs & 0xff) != (mine & 0xff);
    if ((uint32_t)theirs != (uint32_t)mine)
        return true;
    return argument->bytes == 8 && theirs != mine && could_be_double(theirs) &&
           could_be_double(mine);
}

/* Whether the same shared memory is here. 0 or -EFAULT. */
static int compare_shared(const struct weir__argument *argument, const void *arg)
{
    const uintptr_t address = (uintptr_t)arg;
    struct weir__mapped mapped;

    return weir__mapped_at(address, &mapped) && mapped.shared && mapped.inode == argument->inode &&
                   mapped.offset + (address - mapped.start) == argument->place
               ? 0
               : -EFAULT;
}

/* 0; -EFAULT: nothing is here; 1: it is not what the program has. */
static int compare(const struct weir__argument *argument, const void *arg)
{
    uint64_t mine = 0;
    int result;

    if (argument->shared)
        return compare_shared(argument, arg);
    if (argument->size > 0) {
        result = weir__argument_hash(arg, argument->size, &mine);
        return result < 0 ? result : mine != argument->hash;
    }
    result = weir__argument_read(arg, &mine, argument->bytes);
    return result < 0 ? result : has_changed(argument, mine);
}

static int refuse(struct weir_task *task, int result)
{
    const struct weir__argument *argument = &task->job->argument;

    task->refused = true;
    if (argument->shared)
        return weir_task_fail(task, EINVAL,
                              "`arg` points to memory that was mapped after the pool was made: "
                              "workers do not have it. Map it before, or use the scope's memory "
                              "(weir_scope_alloc())");
    return weir_task_fail(task, EINVAL,
                          "`arg` points to %s, which %s: workers see what was there %s. Have it "
                          "copied (arg_size), or "
                          "put it into the scope (weir_scope_alloc())",
                          argument->what,
                          result == -EFAULT ? "is younger than the pool"
                                            : "has changed since the pool was made",
                          result == -EFAULT ? "before, nothing" : "then");
}

static void tell_of_write(struct weir_task *task)
{
    const struct weir__argument *argument = &task->job->argument;

    task->written = task->job->arg;
    weir_task_log(
        task,
        "weir: worker %u wrote to private memory: `arg` points to %s. The program and the "
        "other workers do not see that. Results go into the scope (weir_scope_alloc(), "
        "weir_scope_doubles()) or through weir_task_result(), weir_pool_map() or "
        "weir_pool_reduce()",
        task->slot, argument->what);
}

int weir__argument_run(struct weir_task *task, weir_range range)
{
    const struct weir__argument *argument = &task->job->argument;
    const void *arg = task->job->arg;
    uint64_t before, after;
    bool watched = false;
    int result;

    if (task->written == arg)
        return task->job->kind->run(task, range);
    result = compare(argument, arg);
    if (result == -EFAULT || result == 1)
        return refuse(task, result);
    watched = argument->watch > 0 && weir__argument_hash(arg, argument->watch, &before) == 0;
    result = task->job->kind->run(task, range);
    if (watched && weir__argument_hash(arg, argument->watch, &after) == 0 && after != before)
        tell_of_write(task);
    return result;
}
