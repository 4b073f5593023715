/* SPDX-License-Identifier: MIT
 *
 * crash: kills processes of a scope at random instants, many times, and looks at what is left.
 *
 *     crash CASE [TRIALS [SEED]]
 *     crash points [COUNT]
 *
 * With WEIR_TEST_ANONYMOUS set the scopes are anonymous; what is left of one goes without a sweep.
 *
 * The second kills at the first COUNT calls of each system call, with strace. Prints one JSON
 * line: how many trials, how many were wrong, and how long it took until all was
 * clean. Exit status 1 if any trial was wrong.
 *
 * Clean means: no file in /dev/shm (the program has one of its own, see leak_isolate), and no
 * process: this program is a subreaper, so whatever a dead host leaves becomes its child, and there
 * is none left exactly when waiting says ECHILD.
 */
#include "crash.h"
#include "leak.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct board *board;

void print_files(void)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            fprintf(stderr, "left behind: /dev/shm/%s\n", entry->d_name);
    if (directory != NULL)
        closedir(directory);
}

void note(struct sample *sample, double ms)
{
    sample->ms = realloc(sample->ms, (size_t)(sample->count + 1) * sizeof *sample->ms);
    if (sample->ms == NULL)
        abort();
    sample->ms[sample->count++] = ms;
}

void wrong(struct sample *sample, int trial, const char *what, int got)
{
    fprintf(stderr, "trial %d: %s (%d)\n", trial, what, got);
    sample->wrong++;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static int report(const char *name, int trials, unsigned seed, struct sample *sample)
{
    int n = sample->count;

    if (n > 0)
        qsort(sample->ms, (size_t)n, sizeof *sample->ms, compare);
    printf("{\"case\":\"%s\",\"trials\":%d,\"seed\":%u,\"wrong\":%d", name, trials, seed,
           sample->wrong);
    if (n > 0)
        printf(",\"median_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f", sample->ms[n / 2],
               sample->ms[n * 99 / 100], sample->ms[n - 1]);
    printf("}\n");
    free(sample->ms);
    return sample->wrong > 0;
}

double wait_clean(pid_t host, int *status, int limit_ms, bool files_too)
{
    const double start = now_ms();
    bool alone = false;

    for (;;) {
        int how;
        pid_t pid = alone ? 0 : waitpid(-1, &how, WNOHANG);

        if (pid == host && pid > 0)
            *status = how;
        if (pid < 0 && errno == ECHILD)
            alone = true;
        if (alone && (!files_too || files() == 0))
            return now_ms() - start;
        if (now_ms() - start > limit_ms)
            return -1;
        if (pid <= 0)
            sleep_us(100);
    }
}

/* ---- main ----------------------------------------------------------------------------------- */

static int run(const char *self, const char *name, int trials, unsigned seed)
{
    struct sample sample = {0};

    if (strcmp(name, "worker") == 0)
        crash_worker(&sample, trials, seed);
    else if (strcmp(name, "storm") == 0)
        crash_storm(&sample, trials, seed);
    else if (strcmp(name, "supervisor") == 0)
        crash_supervisor(&sample, trials, seed);
    else if (strcmp(name, "host") == 0)
        crash_host(&sample, trials, seed, HOST);
    else if (strcmp(name, "manager") == 0)
        crash_manager(&sample, trials, seed);
    else if (strcmp(name, "host-manager") == 0)
        crash_host(&sample, trials, seed, HOST | MANAGER);
    else if (strcmp(name, "manager-host") == 0)
        crash_host(&sample, trials, seed, MANAGER_FIRST | HOST);
    else if (strcmp(name, "group") == 0)
        crash_host(&sample, trials, seed, GROUP);
    else if (strcmp(name, "all") == 0)
        crash_host(&sample, trials, seed, HOST | MANAGER | SUPERVISOR);
    else if (strcmp(name, "points") != 0)
        return 2;
    else if (crash_points(&sample, trials, self) == 77)
        return 77;
    if (wait_clean(0, &(int){0}, CLEAN_MS, true) < 0) {
        wrong(&sample, trials, "something is left at the end, files", files());
        print_files();
    }
    return report(name, trials, seed, &sample);
}

int main(int argc, char **argv)
{
    int trials = argc > 2 ? atoi(argv[2]) : 200;
    char self[4096] = "";
    unsigned seed = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : (unsigned)time(NULL);

    if (argc < 2 || trials <= 0) {
        fprintf(stderr, "crash CASE [TRIALS [SEED]]\n");
        return 2;
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 2;
    if (strcmp(argv[1], "life") == 0)
        return life();
    if (!leak_isolate() || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        printf("skipped: no mount namespace (needs root or user namespaces)\n");
        return 77;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return 2;
    return run(self, argv[1], trials, seed);
}
