/* SPDX-License-Identifier: MIT
 *
 * host.c: programs with a scope, as children of a test. See host.h.
 */
#include "host.h"

#include "entries.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

int shm_files(void)
{
    return count_entries("/dev/shm");
}

double shm_clean_after_ms(int limit_ms)
{
    const double start = now_ms();

    while (shm_files() > 0) {
        if (now_ms() - start > limit_ms)
            return -1;
        usleep(200);
    }
    return now_ms() - start;
}

int if_named(int files)
{
    return scopes_are_anonymous() ? 0 : files;
}

unsigned long scope_pages(weir_scope *scope)
{
    struct statvfs fs;
    struct stat file;
    char path[64];

    if (!scopes_are_anonymous())
        return statvfs("/dev/shm", &fs) == 0 ? fs.f_blocks - fs.f_bfree : 0;
    /* its memory is the manager's descriptor 6 */
    snprintf(path, sizeof(path), "/proc/%d/fd/6", (int)weir_scope_manager_pid(scope));
    return stat(path, &file) == 0 ? (unsigned long)file.st_blocks / 8 : 0;
}

bool pidfd_gone(int pidfd, int timeout_ms)
{
    struct pollfd item = {.fd = pidfd, .events = POLLIN};

    return poll(&item, 1, timeout_ms) == 1;
}

static void run_host(int objects, int report, int commands, int (*then)(weir_scope *))
{
    weir_scope *scope = weir_scope_begin(NULL);
    pid_t manager = weir_scope_manager_pid(scope);
    char byte;

    if (!scope) {
        fprintf(stderr, "host: %s\n", weir_last_error()->message);
        _exit(101);
    }
    for (int i = 0; i < objects; i++) {
        if (!(i % 2 ? (void *)weir_scope_shm(scope, 5000)
                    : (void *)weir_scope_list_range(scope, 0, 10, 1)))
            _exit(102);
    }
    if (write(report, &manager, sizeof(manager)) != sizeof(manager))
        _exit(103);
    while (read(commands, &byte, 1) > 0)
        ;
    _exit(then(scope));
}

bool host_start(struct host *host, int objects, int (*then)(weir_scope *scope))
{
    int report[2], commands[2];

    if (pipe(report) < 0 || pipe(commands) < 0)
        return false;
    host->pid = fork();
    if (host->pid == 0) {
        child_reset();
        close(report[0]);
        close(commands[1]);
        run_host(objects, report[1], commands[0], then);
    }
    close(report[1]);
    close(commands[0]);
    host->commands = commands[1];
    host->manager = -1;
    host->manager_pidfd = -1;
    if (read(report[0], &host->manager, sizeof(host->manager)) == sizeof(host->manager))
        host->manager_pidfd = pidfd_open(host->manager, 0);
    close(report[0]);
    return host->manager_pidfd >= 0;
}

void host_release(struct host *host)
{
    close(host->commands);
    host->commands = -1;
}

int host_wait(struct host *host)
{
    int status = -1;

    if (host->commands >= 0)
        host_release(host);
    waitpid(host->pid, &status, 0);
    if (host->manager_pidfd >= 0)
        close(host->manager_pidfd);
    return status;
}
