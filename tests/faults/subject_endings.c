/* SPDX-License-Identifier: MIT
 *
 * subject end HOW: a program that ends in every way but weir_scope_end. It tells how many files it
 * has in /dev/shm when all is there, and ends when a line comes in.
 *
 * subject closed SEED: a program that closes some of the descriptors that weir has, and goes on.
 */
#include "subject.h"
#include "taken.h"

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

/* ---- descriptors that the program closes ----------------------------------------------------- */

static int set_item(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    for (int64_t i = range.begin; i < range.end; i++)
        ((char *)arg)[i] = 1;
    return 0;
}

static int wait_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return 0;
}

/* Closes some of what is open from 3 on, each with one of `of` chances, and gives the numbers to
 * files of its own. */
static int close_some(struct taken *taken, unsigned *seed, int of)
{
    bool open[TAKEN_MAX];
    int count = 0;

    open_numbers(open);
    for (int fd = 3; fd < TAKEN_MAX; fd++) {
        if (open[fd] && rand_r(seed) % of == 0)
            taken[count++] = (struct taken){.fd = fd, .kind = rand_r(seed) % TAKEN_KINDS};
    }
    /* Those that stay closed come last, or another file would get the number. */
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < count; i++) {
            if ((taken[i].kind == TAKEN_NOT) == (pass == 1))
                MUST(take_over(&taken[i], taken[i].fd, taken[i].kind));
        }
    }
    return count;
}

static int closed(int argc, char **argv)
{
    unsigned seed = argc > 0 ? (unsigned)strtoul(argv[0], NULL, 10) : 1;
    const weir_scope_options options = {.anonymous = rand_r(&seed) % 2, .timeout_ms = 1000};
    weir_scope *scope = weir_scope_begin(&options);
    weir_shm *block = weir_scope_shm(scope, 8000);
    weir_pool *pool = new_pool(scope, 2);
    weir_process *process = weir_process_start(scope, wait_for_ever, NULL);
    struct taken taken[TAKEN_MAX];
    weir_future *future;
    int count, code;

    MUST(block != NULL && pool != NULL && process != NULL && weir_pool_fd(pool) >= 0);
    count = close_some(taken, &seed, 1 + rand_r(&seed) % 4);
    (void)!weir_scope_shm(scope, 8000);
    code = weir_pool_for(pool, (weir_range){0, 1000}, set_item, weir_shm_buf(block), NULL);
    MUST(code == 0 || code == WEIR_EDIED);
    future = weir_pool_for_async(pool, (weir_range){0, 1000}, set_item, weir_shm_buf(block),
                                 &(weir_job_options){.timeout_ms = 5000});
    if (future != NULL) {
        code = weir_future_wait(future, 10000);
        MUST(code == 0 || code == WEIR_EDIED);
        (void)!weir_pool_dispatch(pool);
        weir_future_free(future);
    }
    (void)!weir_process_join(process, 0, NULL);
    if (rand_r(&seed) % 2)
        weir_process_free(process);
    if (rand_r(&seed) % 2)
        weir_pool_kill(pool);
    code = weir_scope_end(scope);
    MUST(code == (count > 0 ? -EBADF : 0));
    for (int i = 0; i < count; i++)
        MUST(look_at_taken(&taken[i]) == NULL);
    return 0;
}

const struct mode endings[] = {{"end", end}, {"closed", closed}, {NULL, NULL}};
