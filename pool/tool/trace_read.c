/* SPDX-License-Identifier: MIT
 *
 * trace_read.c: a trace file.
 *
 * It is read whole, and no number of it is used as a size or a place before it was compared with
 * the size of the file. What its events say is looked at by trace_build.c.
 *
 * Failure modes. A file that its writer has not completed has no magic yet, and is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/tool/timeline.h"

#define SIZE_LIMIT (INT64_C(8) << 30)

struct file {
    struct tool_heap *heap;
    const unsigned char *bytes;
    uint64_t size, at; /* how much of it was taken */
};

static bool read_all(struct file *file, int fd, const char **why)
{
    unsigned char *bytes;
    struct stat st;
    uint64_t done = 0;

    if (fstat(fd, &st) < 0) {
        *why = strerror(errno);
        return false;
    }
    *why = S_ISDIR(st.st_mode)       ? "it is a folder"
           : !S_ISREG(st.st_mode)    ? "it is not a regular file"
           : st.st_size == 0         ? "it is empty: it is still being written, or its writer was "
                                       "killed"
           : st.st_size > SIZE_LIMIT ? "it is larger than 8 GiB"
                                     : NULL;
    if (*why != NULL)
        return false;
    bytes = tool_take(file->heap, (size_t)st.st_size, 1);
    while (done < (uint64_t)st.st_size) {
        const ssize_t some = read(fd, bytes + done, (size_t)st.st_size - done);

        if (some < 0 && errno == EINTR)
            continue;
        if (some < 0)
            *why = strerror(errno);
        if (some < 0)
            return false;
        if (some == 0)
            break; /* it has become shorter */
        done += (uint64_t)some;
    }
    *file = (struct file){.heap = file->heap, .bytes = bytes, .size = done};
    return true;
}

/* The next so many things of a size; NULL: the file has not so many. */
static const void *take(struct file *file, uint64_t count, size_t size)
{
    const unsigned char *taken = file->bytes + file->at;

    if (count > (file->size - file->at) / size)
        return NULL;
    file->at += count * size;
    return taken;
}

static bool has_prefix(const struct file *file, const char *bytes, size_t size)
{
    return memcmp(file->bytes, bytes, file->size < size ? file->size : size) == 0;
}

static const char *cut_short(const struct file *file, uint64_t expected)
{
    return tool_print(file->heap,
                      "it is cut short: it has %" PRIu64 " bytes, and a trace of %" PRIu64
                      " was begun",
                      file->size, expected);
}

/* Why it is no whole trace of this version; NULL: it is one. */
static const char *look_at_head(struct file *file, struct weir__trace_head *head)
{
    static const char none[sizeof(head->magic)];
    const void *taken;

    if (has_prefix(file, none, sizeof(none)))
        return "it is not complete: it is still being written, or its writer was killed";
    if (!has_prefix(file, WEIR__TRACE_MAGIC, sizeof(head->magic)))
        return "it is not a trace";
    taken = take(file, 1, sizeof(*head));
    if (taken == NULL)
        return cut_short(file, sizeof(*head));
    memcpy(head, taken, sizeof(*head));
    if (head->version != WEIR__TRACE_VERSION)
        return tool_print(file->heap,
                          "it is a trace of version %" PRIu32 ", and this weir reads version %d",
                          head->version, WEIR__TRACE_VERSION);
    if (head->size != sizeof(*head))
        return "it is damaged: its head has another size";
    if (head->file_size > file->size)
        return cut_short(file, head->file_size);
    if (head->file_size < file->size)
        return tool_print(file->heap, "it is damaged: it has %" PRIu64 " bytes behind its end",
                          file->size - head->file_size);
    return head->workers == 0 || head->workers > WEIR_WORKERS_MAX
               ? "it is damaged: no pool has so many workers"
               : NULL;
}

static bool take_rings(struct file *file, struct tool_ring *rings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const void *head = take(file, 1, sizeof(rings[i].head));

        if (head == NULL)
            return false;
        memcpy(&rings[i].head, head, sizeof(rings[i].head));
        rings[i].events = take(file, rings[i].head.events, sizeof(*rings[i].events));
        if (rings[i].events == NULL)
            return false;
    }
    return true;
}

static const char *take_apart(struct file *file, struct tool_trace_source *source)
{
    const char *why = look_at_head(file, &source->head);
    struct tool_ring *rings;

    if (why != NULL)
        return why;
    source->jobs_count = (size_t)source->head.jobs;
    source->jobs = take(file, source->head.jobs, sizeof(*source->jobs));
    if (source->jobs == NULL)
        return "it is damaged: it has not so many jobs as its head says";
    rings = tool_take(file->heap, source->head.workers + (size_t)1, sizeof(*rings));
    source->rings = rings;
    if (!take_rings(file, rings, source->head.workers + (size_t)1))
        return "it is damaged: it has not so many events as it says";
    return NULL;
}

bool tool_trace_read(struct tool_trace *trace, struct tool_heap *heap, const char *path,
                     const char **why)
{
    /* a FIFO would be waited for */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct tool_trace_source source = {0};
    struct file file = {.heap = heap};
    bool read;

    if (fd < 0) {
        *why = strerror(errno);
        return false;
    }
    read = read_all(&file, fd, why);
    close(fd);
    if (!read)
        return false;
    *why = take_apart(&file, &source);
    return *why == NULL && tool_trace_build(trace, heap, &source, why);
}
