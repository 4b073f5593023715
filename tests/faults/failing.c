/* SPDX-License-Identifier: MIT
 *
 * failing.c: the n-th allocation of a process fails, once or for ever.
 *
 * Linked into the program under test, or into the manager, with --wrap for everything that
 * allocates: what weir's archives call, and libuv's and jansson's where these are archives too.
 * Where libc allocates by itself (opendir), its function fails. $WEIR_FAIL is "ROLE N once|ever
 * FILE": in each process of that role, counted from where it became that. FILE is made when it
 * happens.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    char role[16], file[256];
    int n;
    bool ever, armed;
} point;

static const char *role;
static pid_t owner; /* whose count it is */
static _Atomic int count;

static void become(const char *name)
{
    role = name;
    owner = getpid();
    count = 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("WEIR_FAIL");
    char how[8] = "";

    become(ROLE);
    point.armed = text != NULL &&
                  sscanf(text, "%15s %d %7s %255s", point.role, &point.n, how, point.file) == 4;
    point.ever = strcmp(how, "ever") == 0;
}

/* Whether the allocation that is asked for now is the one. */
static bool fails(void)
{
    int n, fd;

    if (!point.armed)
        return false;
    if (getpid() != owner) /* forked, and not yet what it will be */
        become(strcmp(role, "host") == 0 ? "between" : role);
    if (strcmp(role, point.role) != 0)
        return false;
    n = atomic_fetch_add(&count, 1) + 1;
    if (n != point.n && !(point.ever && n > point.n))
        return false;
    fd = open(point.file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    errno = ENOMEM;
    return true;
}

#define WRAP(type, name, none, parameters, arguments)                                              \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails() ? (none) : __real_##name arguments;                                         \
    }

WRAP(void *, malloc, NULL, (size_t size), (size))
WRAP(void *, calloc, NULL, (size_t items, size_t size), (items, size))
WRAP(void *, realloc, NULL, (void *old, size_t size), (old, size))
WRAP(void *, aligned_alloc, NULL, (size_t alignment, size_t size), (alignment, size))
WRAP(char *, strdup, NULL, (const char *text), (text))
WRAP(char *, strndup, NULL, (const char *text, size_t size), (text, size))
WRAP(DIR *, opendir, NULL, (const char *path), (path))
WRAP(DIR *, fdopendir, NULL, (int fd), (fd))
WRAP(FILE *, fopen64, NULL, (const char *path, const char *mode), (path, mode))
WRAP(cpu_set_t *, __sched_cpualloc, NULL, (size_t cpus), (cpus))
WRAP(int, posix_spawn_file_actions_addopen, ENOMEM,
     (posix_spawn_file_actions_t * actions, int fd, const char *path, int flags, mode_t mode),
     (actions, fd, path, flags, mode))
WRAP(int, posix_spawn_file_actions_adddup2, ENOMEM,
     (posix_spawn_file_actions_t * actions, int fd, int as), (actions, fd, as))
WRAP(int, posix_spawn_file_actions_addclose, ENOMEM, (posix_spawn_file_actions_t * actions, int fd),
     (actions, fd))
WRAP(int, posix_spawn_file_actions_addclosefrom_np, ENOMEM,
     (posix_spawn_file_actions_t * actions, int fd), (actions, fd))

#ifdef HAS_POOL
#include "pool/control/supervision.h"

void __real_weir__supervisor_main(struct weir__control *control, weir_scope *scope, int lifeline);
void __wrap_weir__supervisor_main(struct weir__control *control, weir_scope *scope, int lifeline);
_Noreturn void __real_weir__worker_main(struct weir__control *control, weir_scope *scope,
                                        unsigned slot, struct weir__tie *tie);
_Noreturn void __wrap_weir__worker_main(struct weir__control *control, weir_scope *scope,
                                        unsigned slot, struct weir__tie *tie);

void __wrap_weir__supervisor_main(struct weir__control *control, weir_scope *scope, int lifeline)
{
    become("supervisor");
    __real_weir__supervisor_main(control, scope, lifeline);
}

void __wrap_weir__worker_main(struct weir__control *control, weir_scope *scope, unsigned slot,
                              struct weir__tie *tie)
{
    become("worker");
    __real_weir__worker_main(control, scope, slot, tie);
}
#endif
