/* SPDX-License-Identifier: MIT
 *
 * pid_lines: many processes record a line each, under their own pid, in one shared dictionary.
 *
 * What Python does with Manager().dict(), without a server: the processes write into the dictionary
 * themselves, all at once, and count in it too. One of them is killed in the middle of it, and the
 * others do not even notice.
 *
 *   cc pid_lines.c $(pkg-config --cflags --libs weir) -o pid_lines && ./pid_lines [PROCESSES]
 *
 * Prints the lines in the order of the pids, their number, and how far the processes have counted.
 */
#include <weir.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROCESSES     20
#define PROCESSES_MAX 1000
#define COUNTS        1000

struct job {
    weir_dict *dict;
    int number;
};

static int complain(const char *what)
{
    fprintf(stderr, "pid_lines: %s: %s\n", what, weir_last_error()->message);
    return 1;
}

/* The function of each process; its result is the exit status. */
static int record(void *arg)
{
    const struct job *job = arg;
    char line[100];

    for (int i = 0; i < COUNTS; i++) {
        if (weir_dict_add(job->dict, weir_str("counted"), 1, NULL) < 0)
            return complain("weir_dict_add");
    }
    if (job->number == 0) /* dies, and leaves nothing but what it has counted */
        kill(getpid(), SIGKILL);
    snprintf(line, sizeof line, "I am process %d of this run", job->number);
    if (weir_dict_set(job->dict, weir_int(getpid()), weir_str(line)) < 0)
        return complain("weir_dict_set");
    return 0;
}

/* Returns 0, or 1 with a message printed, as the functions below. */
static int run_processes(weir_scope *scope, weir_dict *dict, int count)
{
    weir_process *processes[PROCESSES_MAX];
    struct job jobs[PROCESSES_MAX];
    int failed = 0;

    for (int i = 0; i < count; i++) {
        jobs[i] = (struct job){dict, i};
        processes[i] = weir_process_start(scope, record, &jobs[i]);
        if (processes[i] == NULL)
            return complain("weir_process_start");
    }
    for (int i = 0; i < count; i++) {
        int exit_code = 0;

        if (weir_process_join(processes[i], -1, &exit_code) < 0)
            return complain("weir_process_join");
        failed |= i != 0 && exit_code != 0; /* it has said why */
        weir_process_free(processes[i]);
    }
    return failed;
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static int print(const weir_dict *dict)
{
    weir_dict_cursor cursor = {{0, 0}};
    int64_t pids[PROCESSES_MAX];
    weir_value key, value;
    int count = 0, result;
    char line[200];

    while ((result = weir_dict_next(dict, &cursor, &key, &value, line, sizeof line)) == 1) {
        if (key.type == WEIR_INT && count < PROCESSES_MAX)
            pids[count++] = key.integer;
    }
    if (result < 0)
        return complain("weir_dict_next");
    qsort(pids, (size_t)count, sizeof pids[0], compare);
    for (int i = 0; i < count; i++) {
        if (weir_dict_get(dict, weir_int(pids[i]), &value, line, sizeof line) < 0)
            return complain("weir_dict_get");
        printf("%" PRId64 ": %s\n", pids[i], value.data);
    }
    if (weir_dict_get(dict, weir_str("counted"), &value, NULL, 0) < 0)
        return complain("weir_dict_get");
    printf("%d lines, counted to %" PRId64 "\n", count, value.integer);
    return 0;
}

static int run(weir_scope *scope, int count)
{
    weir_dict *dict = weir_scope_dict(scope, NULL);

    if (dict == NULL)
        return complain("weir_scope_dict");
    if (run_processes(scope, dict, count) != 0)
        return 1;
    return print(dict);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : PROCESSES, status = -1;

    if (argc > 2 || count < 1 || count > PROCESSES_MAX) {
        fprintf(stderr, "usage: pid_lines [PROCESSES (1 to %d)]\n", PROCESSES_MAX);
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, count);
    }
    return status < 0 ? complain("weir_scope_begin") : status;
}
