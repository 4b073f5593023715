/* SPDX-License-Identifier: MIT
 *
 * host.h: programs with a scope, as children of a test.
 *
 * A test that wants a scope's program to die runs it as a forked child. The child never asserts:
 * what it finds wrong it says by its exit status.
 */
#ifndef TEST_MANAGER_HOST_H
#define TEST_MANAGER_HOST_H

#include <stdbool.h>
#include <sys/types.h>
#include <weir-scope.h>

#include "child.h"
#include "now.h"
#include "scopes.h"

struct host {
    pid_t pid;
    pid_t manager;
    int manager_pidfd;
    int commands; /* closing it lets the child go on to `then` */
};

/* Starts a child that begins a scope, makes `objects` objects in it, and waits for host_release();
 * then it runs then(scope) and, if that returns, exits with what it returned. False if the child
 * failed. */
bool host_start(struct host *host, int objects, int (*then)(weir_scope *scope));
void host_release(struct host *host);
/* Waits for the child; returns its wait status. Closes what host_start() opened. */
int host_wait(struct host *host);

/* The number of files in /dev/shm (all of them a test's: see leak_isolate), and the milliseconds
 * until there are none; -1 when there still are after `limit_ms`. */
int shm_files(void);
double shm_clean_after_ms(int limit_ms);
/* As many as so many names are: none with anonymous scopes. */
int if_named(int files);
/* Pages of memory that files in /dev/shm (all of them this test's) or the anonymous scope have. */
unsigned long scope_pages(weir_scope *scope);

bool pidfd_gone(int pidfd, int timeout_ms);

/* In a test that makes no sense with anonymous scopes. */
#define ONLY_WITH_NAMES()                                                                          \
    do {                                                                                           \
        if (scopes_are_anonymous()) {                                                              \
            print_message("skipped: it is about names, and anonymous scopes have none\n");         \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

#endif
