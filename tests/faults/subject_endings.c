/* SPDX-License-Identifier: MIT
 *
 * subject end HOW: a program that ends in every way but weir_scope_end. It tells how many files it
 * has in /dev/shm when all is there, and ends when a line comes in.
 */
#include "subject.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* Lives on for a while after main has gone, and everything must still be there. */
static void *linger(void *arg)
{
    weir_list *list = arg;
    const int before = count_entries("/dev/shm");

    sleep_ms(150);
    MUST(count_entries("/dev/shm") == before && weir_list_set(list, 0, weir_int(1)) == 0);
    MUST(weir_scope_sync(NULL) < 0); /* the library still answers */
    _exit(0);
}

static int leave_main(weir_list *list)
{
    pthread_t thread;

    MUST(pthread_create(&thread, NULL, linger, list) == 0);
    pthread_exit(NULL);
}

static int end_by(const char *how, weir_list *list)
{
    if (strcmp(how, "exit") == 0)
        exit(0);
    if (strcmp(how, "_exit") == 0)
        _exit(0);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "segv") == 0)
        raise(SIGSEGV);
    if (strcmp(how, "term") == 0)
        raise(SIGTERM);
    if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(how, "execve") == 0)
        execl("/bin/sleep", "sleep", "0.2", (char *)NULL);
    if (strcmp(how, "child") == 0) { /* that holds copies of all descriptors */
        if (fork() == 0) {
            sleep_ms(200);
            _exit(0);
        }
        raise(SIGKILL);
    }
    if (strcmp(how, "main-thread") == 0)
        leave_main(list);
    return 3;
}

static int end(int argc, char **argv)
{
    weir_scope *scope = weir_scope_begin(NULL);
    weir_list *list = NULL;
    char line[16];

    signal(SIGSEGV, SIG_DFL);
    for (int i = 0; i < 8; i++)
        list = weir_scope_list_range(scope, 0, 1000, 1);
    MUST(argc == 1 && scope != NULL && list != NULL);
    MUST(new_pool(scope, 2) != NULL);
    printf("%d\n", count_entries("/dev/shm"));
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        return 4;
    return end_by(argv[0], list);
}

const struct mode endings[] = {{"end", end}, {NULL, NULL}};
