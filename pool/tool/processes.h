/* SPDX-License-Identifier: MIT
 *
 * processes.h: which processes have which file of shared memory, as far as /proc shows it.
 *
 * Whether a scope lives is decided by the lock of its file. A lock can be tried, but a sweeper that
 * tries at the same moment would then take a dead scope for a live one. So the tool only looks: a
 * process's fdinfo says which locks its open file has, and /proc/locks has all of them. The latter
 * leaves out what other pid namespaces hold; then the absence of a lock is not certain.
 */
#ifndef WEIR_TOOL_PROCESSES_H
#define WEIR_TOOL_PROCESSES_H

#include <stdbool.h>
#include <sys/types.h>

#include "pool/tool/heap.h"

/* How a process has a file. */
enum {
    TOOL_OPEN = 1,
    TOOL_MAPPED = 2,
    TOOL_LOCKED = 4, /* its open file holds the lock (flock, exclusive) */
};

struct tool_use {
    dev_t dev;
    ino_t ino;
    pid_t pid;
    unsigned how;
    int fd; /* one of its descriptors, if TOOL_OPEN */
};

/* A scope file or a pool's status page that has no name. */
struct tool_memory_file {
    struct tool_use use; /* first, so that it sorts as uses do */
    char name[64];       /* as given to memfd_create() */
};

struct tool_lock {
    dev_t dev;
    ino_t ino;
};

struct tool_processes {
    struct tool_heap *heap;
    dev_t shm;          /* the device of /dev/shm */
    const char **names; /* in /dev/shm, sorted */
    size_t names_count, names_capacity;
    ino_t *scope_files; /* of the names that are scope files', sorted */
    size_t scope_files_count, scope_files_capacity;
    struct tool_use *uses; /* sorted by file, then by process */
    size_t uses_count, uses_capacity;
    struct tool_memory_file *files; /* the first use of each by a process that may write it */
    size_t files_count, files_capacity;
    struct tool_lock *locks;
    size_t locks_count, locks_capacity;
    bool seen;       /* /proc could be read at all */
    unsigned hidden; /* processes that could not be looked into */
    bool all_locks;  /* a lock that is not there does not exist */
};

/* For qsort() and bsearch(), of ino_t. */
int tool_compare_inodes(const void *a, const void *b);

/* Lists /dev/shm and looks through the processes; `maps`: their mappings too, which takes longer.
 * 0, or a negative errno of /dev/shm. */
int tool_processes_look(struct tool_processes *processes, struct tool_heap *heap, bool maps);

/* The same, as a status: TOOL_DONE, or TOOL_FAILED and it has been said. */
int tool_processes_require(struct tool_processes *processes, struct tool_heap *heap, bool maps);

/* Whether a process holds the file's lock. */
bool tool_processes_locked(const struct tool_processes *processes, dev_t dev, ino_t ino);
/* The file's uses, and how many there are. */
const struct tool_use *tool_processes_uses(const struct tool_processes *processes, dev_t dev,
                                           ino_t ino, size_t *count);

/* Opens the file that the process has, to read it; -1: it has another one by now, or may not be
 * looked into. */
int tool_use_open(const struct tool_use *use);

/* 0: the text is no number of a process. */
pid_t tool_process_parse(const char *text);
/* What a file /proc/PID/NAME holds, at most `capacity` - 1 bytes, with a NUL; the size or a
 * negative errno. */
int tool_process_read(pid_t pid, const char *name, char *text, size_t capacity);
/* Whether it has a handler for the signal, and, if so, which process is its parent. */
bool tool_process_catches(pid_t pid, int number, pid_t *parent);
/* Its command line, escaped, blanks between; or "[comm]"; NULL: it is gone. */
char *tool_process_command(struct tool_heap *heap, pid_t pid);

#endif
