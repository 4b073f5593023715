/* SPDX-License-Identifier: MIT
 *
 * hand_made [WAY]: a pool by fork() and mmap() that adds up numbers, and ways in which it breaks.
 *
 *   cc hand_made.c -o hand_made && ./hand_made
 *
 * WAY is one of: killed, locked, parent, full, exit, interrupt, later, order. from_fork.c does the
 * same with weir.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 2
#define CHUNKS  64
#define SIZE    32768L /* numbers in a chunk: 16 MiB in all */

struct shared {
    atomic_long next, done;
    pthread_mutex_t lock;
    double sum;
    double *_Atomic later; /* what the program makes when the workers are there */
    double x[CHUNKS * SIZE];
};

static const char *way = "";
static pid_t program;
static volatile sig_atomic_t stopping;

static int is(const char *name)
{
    return strcmp(way, name) == 0;
}

/* What goes wrong in a worker at this place. */
static void mishap(struct shared *shared, long chunk, const char *place)
{
    if (is(place) && chunk == CHUNKS / 2)
        kill(getpid(), SIGKILL); /* as the system does when memory is short */
    if (is("parent"))
        pause(); /* long work */
    if (is("interrupt")) {
        usleep(25000);
        if (chunk == CHUNKS / 2)
            kill(-program, SIGINT); /* Ctrl-C: to the program's process group */
        usleep(25000);
    }
    if (is("order") && chunk == 0)
        sleep(3); /* another program had the CPU */
    if (is("later")) {
        while (shared->later == NULL)
            usleep(1000);
        shared->later[0] += 1;
    }
}

static void work(struct shared *shared)
{
    long chunk;

    while (!stopping && (chunk = atomic_fetch_add(&shared->next, 1)) < CHUNKS) {
        double sum = 0;

        for (long i = chunk * SIZE; i < (chunk + 1) * SIZE; i++)
            sum += shared->x[i];
        mishap(shared, chunk, "killed");
        pthread_mutex_lock(&shared->lock);
        mishap(shared, chunk, "locked");
        shared->sum += sum;
        pthread_mutex_unlock(&shared->lock);
        atomic_fetch_add(&shared->done, 1);
    }
}

/* ---- the pool --------------------------------------------------------------------------------*/

static struct shared *share(void)
{
    int fd = shm_open("/hand_made", O_CREAT | O_EXCL | O_RDWR, 0600);

    if (fd < 0 || ftruncate(fd, sizeof(struct shared)) < 0)
        return NULL;
    void *memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

static void start(struct shared *shared, pid_t *workers)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&shared->lock, &attributes);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = fork();
        if (workers[i] == 0) {
            work(shared);
            is("exit") ? exit(0) : _exit(0);
        }
    }
}

static void finish(struct shared *shared)
{
    while (atomic_load(&shared->done) < (stopping ? atomic_load(&shared->next) : CHUNKS))
        usleep(1000);
    for (int i = 0; i < WORKERS; i++)
        wait(NULL);
    shm_unlink("/hand_made");
}

/* ---- the program that uses it ----------------------------------------------------------------*/

static void stop(int signal)
{
    (void)signal;
    stopping = 1;
}

static void goodbye(void)
{
    puts("goodbye");
}

int main(int argc, char **argv)
{
    pid_t workers[WORKERS];

    way = argc > 1 ? argv[1] : "";
    program = getpid();
    if (is("interrupt"))
        setpgid(0, 0); /* as an interactive shell does with each command */
    struct shared *shared = share();
    if (shared == NULL) {
        perror("hand_made");
        return 1;
    }
    for (long i = 0; i < CHUNKS * SIZE; i++)
        shared->x[i] = 1.0 / (double)(i + 7);
    if (is("exit")) {
        atexit(goodbye);
        printf("%ld numbers\n", CHUNKS * SIZE);
    }
    start(shared, workers);
    if (is("interrupt"))
        signal(SIGINT, stop); /* let the chunks that run end, then stop */
    if (is("later"))
        shared->later = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (is("parent")) {
        printf("%d %d\n", (int)workers[0], (int)workers[1]);
        fflush(stdout);
        kill(getpid(), SIGKILL);
    }
    finish(shared);
    printf("%.17g\n", shared->sum);
    return 0;
}
