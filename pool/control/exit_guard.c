/* SPDX-License-Identifier: MIT
 *
 * exit_guard.c: exit() in a process of a pool.
 *
 * A forked process has copies of what the program registered to be run at its exit (atexit(),
 * on_exit(), at_quick_exit(), destructors of C++ objects and of libraries), and of the output that
 * it has buffered. None of that is the forked process's: it would remove the program's lock file,
 * or write a line of its log once more.
 *
 * Handlers are run last in, first out. So one more is registered right before the fork: whatever is
 * run before it was registered by the forked process itself, and it ends the process before those
 * of the program. The host registers it because only the host can: atexit() takes a lock of libc's,
 * which another thread can hold at the moment of the fork, and it may allocate. The host takes it
 * back after the fork; __cxa_finalize() calls it then, and in the host it does nothing. That is
 * also why no handler is left if a library with weir in it is unloaded.
 *
 * Buffered output is dropped by the forked process when it begins; so whatever is pending at its
 * end is its own. The same is done with the counters of gcov, which a destructor writes that is not
 * run here: they are cleared when the process begins, and added to the files when it ends.
 *
 * In musl nothing can be taken back: each pool and process leaves a handler that does nothing.
 *
 * Failure modes. A handler that another thread of the program registers between the registration
 * here and the fork is taken for one of the forked process. Destructors of the thread_local objects
 * of the thread that made the pool are run by exit(), before any handler; weir__process_end() does
 * not run them. A thread of the program that is registering a handler at the very moment of the
 * fork leaves libc's lock taken: exit() then waits for ever in the forked process, until that is
 * killed.
 */
#include "pool/control/exit_guard.h"

#include <stddef.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <unistd.h>

#include "pool/control/no_malloc.h"

/* Of libc: the first and the last by the ABI of C++, the others of glibc. */
int __cxa_atexit(void (*handler)(void *), void *arg, void *handle);
int __cxa_at_quick_exit(void (*handler)(void *), void *handle) __attribute__((weak));
void __cxa_finalize(void *handle);
void __gcov_reset(void) __attribute__((weak)); /* of libgcov, if the program was linked so */
void __gcov_dump(void) __attribute__((weak));
FILE *_IO_iter_begin(void) __attribute__((weak));
FILE *_IO_iter_end(void) __attribute__((weak));
FILE *_IO_iter_next(FILE *at) __attribute__((weak));
FILE *_IO_iter_file(FILE *at) __attribute__((weak));

/* Set in the forked process and never again, so in all processes that it forks too. */
static struct {
    bool armed;
    bool ending; /* weir__process_end() was called, with ... */
    int status;
} guard;

/* `visit` each stream of stdio that has output pending. */
static void visit_pending(void (*visit)(FILE *stream))
{
    FILE *standard[] = {stdout, stderr};

    if (_IO_iter_begin == NULL || _IO_iter_end == NULL || _IO_iter_next == NULL ||
        _IO_iter_file == NULL) {
        for (int i = 0; i < 2; i++) {
            if (__fpending(standard[i]) > 0)
                visit(standard[i]);
        }
        return;
    }
    for (FILE *at = _IO_iter_begin(); at != _IO_iter_end(); at = _IO_iter_next(at)) {
        if (__fpending(_IO_iter_file(at)) > 0)
            visit(_IO_iter_file(at));
    }
}

/* Not fflush(NULL): that would wait for a stream that a thread of this process holds, in a read
 * from a terminal, say. */
static void flush_stream(FILE *stream)
{
    if (ftrylockfile(stream) != 0)
        return;
    fflush_unlocked(stream);
    funlockfile(stream);
}

static void drop_stream(FILE *stream)
{
    __fpurge(stream);
}

_Noreturn static void end_here(int status)
{
    visit_pending(flush_stream);
    if (__gcov_reset != NULL && __gcov_dump != NULL)
        __gcov_dump();
    _exit(guard.ending ? guard.status : status);
}

/* glibc calls each handler with the status, whatever it was registered by; other libraries tell it
 * to none. */
#ifdef __GLIBC__
static void on_exit_of_copy(void *handle, int status)
{
    (void)handle;
    if (guard.armed)
        end_here(status);
}
#else
static void on_exit_of_copy(void *handle)
{
    (void)handle;
    if (guard.armed)
        end_here(EXIT_FAILURE);
}
#endif

/* quick_exit() flushes nothing. */
#ifdef __GLIBC__
static void on_quick_exit_of_copy(void *handle, int status)
{
    (void)handle;
    if (guard.armed)
        _exit(status);
}
#endif

bool weir__exit_guard_set(void *handle)
{
    if (__cxa_atexit((void (*)(void *))(void (*)(void))on_exit_of_copy, NULL, handle) != 0)
        return false;
#ifdef __GLIBC__
    if (__cxa_at_quick_exit != NULL &&
        __cxa_at_quick_exit((void (*)(void *))(void (*)(void))on_quick_exit_of_copy, handle) != 0) {
        weir__exit_guard_lift(handle);
        return false;
    }
#endif
    return true;
}

void weir__exit_guard_lift(void *handle)
{
    __cxa_finalize(handle);
}

void weir__exit_guard_arm(void)
{
    guard.armed = true;
    visit_pending(drop_stream);
    if (__gcov_reset != NULL && __gcov_dump != NULL)
        __gcov_reset();
}

_Noreturn void weir__process_end(int status)
{
    guard.ending = true;
    guard.status = status;
#ifdef __GLIBC__
    __cxa_finalize(NULL); /* all that was registered, down to the handler above */
#else
    exit(status); /* the same; musl's __cxa_finalize() runs nothing */
#endif
    end_here(status);
}
