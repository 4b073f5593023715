/* SPDX-License-Identifier: MIT
 *
 * main.c: the manager program: weir-manager <scope id>. It is started by weir_scope_begin() alone.
 *
 * It leads a session of its own and ignores the signals that a terminal or a service manager sends
 * to everybody: a scope ends when its program ends it or is gone, not before. A limit of file sizes
 * (SIGXFSZ) is an error to report, not a reason to die.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/program/server.h"
#include "manager/wire/protocol.h"

static void settle_signals(void)
{
    const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ};
    sigset_t none;

    for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    /* weir_scope_begin() starts this program with all signals blocked. */
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A task of another program's pool may have run this one's program: what descends from such a task
 * is killed with its worker, by this mark (pool/supervisor/strays.c). But this program sees its own
 * program's end and cleans up after it. */
static void take_off_mark(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_LOCKS, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_LOCKS, &limit);
    }
}

static bool started_by_weir(void)
{
    struct stat socket, scope;

    return fstat(WEIR__MANAGER_SOCKET, &socket) == 0 && S_ISSOCK(socket.st_mode) &&
           fstat(WEIR__MANAGER_SCOPE, &scope) == 0 && S_ISREG(scope.st_mode);
}

int main(int argc, char **argv)
{
    char *rest = NULL;
    uint64_t id;

    errno = 0;
    id = argc == 2 ? strtoull(argv[1], &rest, 16) : 0;
    if (argc != 2 || errno || *rest || strlen(argv[1]) != 16 || !started_by_weir()) {
        fputs("weir-manager: started by the weir library when a scope begins; not to be run by "
              "hand\n",
              stderr);
        return 2;
    }
    settle_signals();
    take_off_mark();
    if (chdir("/") < 0) /* keeps a file system busy, no more */
        errno = 0;
    _exit(weir__server_run(id));
}
