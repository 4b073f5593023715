/* SPDX-License-Identifier: MIT
 *
 * timeline.c: the file of a traced pool, and the records of its jobs.
 *
 * The file is opened here, where an error reaches the program, and by the program's own rights and
 * folder. Only the supervisor keeps it, and writes it.
 *
 * Killed while a record is written: it is not counted, so it is not there.
 */
#include "pool/host/timeline.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/control/ring.h"
#include "shm/clock.h"
#include "shm/error.h"

/* Pools of this process to whose file the environment has given a name; in a forked child too, as
 * that has the same environment. */
static _Atomic unsigned named;

/* The name that the environment gives, with the program's number for each %p, and .2 and so on
 * behind it for a pool that is not the first. NULL: none, or no memory. */
static char *name_file(const char *said)
{
    const unsigned number = atomic_fetch_add(&named, 1) + 1;
    char *name = NULL;
    size_t size;
    FILE *out = open_memstream(&name, &size);

    if (out == NULL)
        return NULL;
    for (const char *at = said; *at != '\0'; at++) {
        if (at[0] == '%' && at[1] == 'p')
            fprintf(out, "%d", (int)getpid()), at++;
        else
            fputc(*at, out);
    }
    if (number > 1)
        fprintf(out, ".%u", number);
    if (fclose(out) == 0)
        return name;
    free(name);
    return NULL;
}

/* O_NONBLOCK: a FIFO is refused, not waited for. */
static int open_file(const char *name, struct weir__descriptor *out)
{
    struct stat st = {0};
    int fd, error;

    weir__descriptors_lock();
    fd = weir__above_streams(
        open(name, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666));
    error = fd < 0 || fstat(fd, &st) < 0 ? errno : 0;
    if (error == 0 && !S_ISREG(st.st_mode))
        error = EINVAL;
    if (error == 0 && ftruncate(fd, 0) < 0)
        error = errno;
    if (error == 0) {
        weir__descriptor_set(out, fd);
        weir__descriptor_list(out);
    } else if (fd >= 0) {
        close(fd);
    }
    weir__descriptors_unlock();
    return -error;
}

int weir__timeline_open(weir_pool *pool, const char *asked)
{
    const char *said = asked == NULL ? secure_getenv("WEIR_TRACE") : NULL;
    struct weir__control *control = pool->control;
    int error;

    if (asked == NULL && (said == NULL || said[0] == '\0'))
        return 0;
    pool->trace_path = asked != NULL ? strdup(asked) : name_file(said);
    if (pool->trace_path == NULL)
        return weir__fail(-ENOMEM, "no memory for the name of the pool's trace");
    if (control->rings == NULL)
        return weir__fail(-ENOMEM,
                          "the pool cannot be traced to \"%s\": there is no address space for its "
                          "events, or no file may become so large (RLIMIT_FSIZE)",
                          pool->trace_path);
    error = open_file(pool->trace_path, &pool->trace);
    if (error < 0)
        return weir__fail(error, "the pool's trace cannot be written to \"%s\": %s",
                          pool->trace_path,
                          error == -EINVAL ? "it is no regular file" : strerror(-error));
    control->trace_path = pool->trace_path;
    control->trace_fd = pool->trace.fd;
    control->trace_device = pool->trace.device;
    control->trace_inode = pool->trace.inode;
    control->traced_ns = weir__now_ns();
    atomic_store_explicit(&control->tracing, 1, memory_order_relaxed);
    return 0;
}

void weir__timeline_forget(weir_pool *pool)
{
    weir__descriptor_close(&pool->trace);
    free(pool->trace_path);
    pool->trace_path = NULL;
}

void weir__timeline_note_job(weir_pool *pool, unsigned index)
{
    struct weir__control *control = pool->control;
    uint64_t noted;

    if (!weir__is_traced(control))
        return;
    noted = atomic_load_explicit(&control->jobs_noted, memory_order_relaxed);
    weir__job_record_fill(&control->job_records[noted & (WEIR__JOB_RECORDS - 1)],
                          &control->jobs[index], weir__now_ns());
    /* release; pairs with supervisor/timeline.c, count_jobs(): the record is there */
    atomic_store_explicit(&control->jobs_noted, noted + 1, memory_order_release);
}
