/* SPDX-License-Identifier: MIT
 *
 * array: a matrix that a pool of workers fills, that NumPy changes, and that the pool adds up.
 *
 * The matrix is made in a scope with a .npy header in front, so NumPy opens it as a file, without a
 * copy: what array.py writes is what the workers read afterwards. Its memory is reserved by the
 * workers, each for the rows that it fills.
 *
 *   cc array.c $(pkg-config --cflags --libs weir) -o array && ./array python3 array.py
 *
 * The arguments are a command; the array's path is added to it. Without a command the matrix stays
 * as the workers have filled it. Prints the sum of the matrix.
 */
#include <weir.h>

#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define ROWS    1000
#define COLUMNS 1000
#define CHUNKS  16
#define WORDS   15 /* of the command, at most */

/* What the workers share. It is copied to them; the pointers are good everywhere. */
struct job {
    weir_array *matrix;
    double *parts; /* one a chunk */
};

/* Row i is i * COLUMNS, i * COLUMNS + 1, ... */
static int fill(weir_task *task, weir_range rows, void *arg)
{
    const struct job *job = arg;
    double *items = weir_array_data(job->matrix);

    const weir_range range = {rows.begin * COLUMNS, rows.end * COLUMNS};

    if (weir_array_populate(job->matrix, range) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    WEIR_EACH (i, range)
        items[i] = (double)i;
    return 0;
}

static int add_up(weir_task *task, weir_range rows, void *arg)
{
    const struct job *job = arg;
    const double *items = weir_array_data(job->matrix);
    double sum = 0;

    for (int64_t i = rows.begin * COLUMNS; i < rows.end * COLUMNS; i++)
        sum += items[i];
    job->parts[weir_task_chunk(task)] = sum;
    return 0;
}

/* Runs the command with the path of the array as its last argument. Returns 0, or 1 with a message
 * printed. */
static int run_command(char **command, int words, const weir_array *array)
{
    extern char **environ;
    char path[300], *arguments[WORDS + 2] = {NULL};
    int status;
    pid_t pid;

    if (words == 0)
        return 0;
    snprintf(path, sizeof path, "/dev/shm/%s", weir_shm_name(weir_array_shm(array)));
    memcpy(arguments, command, (size_t)words * sizeof *command);
    arguments[words] = path;
    fflush(stdout);
    if (posix_spawnp(&pid, arguments[0], NULL, NULL, arguments, environ) != 0) {
        fprintf(stderr, "array: cannot run %s\n", arguments[0]);
        return 1;
    }
    if (waitpid(pid, &status, 0) == pid && status == 0)
        return 0;
    fprintf(stderr, "array: %s failed\n", arguments[0]);
    return 1;
}

/* Returns 0, 1 if the command failed, or -1 if weir did. */
static int run(weir_scope *scope, char **command, int words)
{
    const int64_t shape[] = {ROWS, COLUMNS};
    const weir_range rows = weir_range_of(ROWS);
    const weir_job_options options = {.chunks = CHUNKS, .arg_size = sizeof(struct job)};
    const unsigned flags = WEIR_ARRAY_NPY | WEIR_ARRAY_LAZY;
    struct job job;
    double sum = 0;

    weir_pool *pool = weir_pool_new(scope, NULL);
    if (pool == NULL)
        return -1;
    job.matrix = weir_scope_array(scope, WEIR_FLOAT64, 2, shape, flags);
    if (job.matrix == NULL)
        return -1;
    job.parts = weir_scope_alloc(scope, CHUNKS * sizeof(double));
    if (job.parts == NULL)
        return -1;

    if (weir_pool_for(pool, rows, fill, &job, &options) < 0)
        return -1;
    if (run_command(command, words, job.matrix) != 0)
        return 1;
    if (weir_pool_for(pool, rows, add_up, &job, &options) < 0)
        return -1;
    for (int i = 0; i < CHUNKS; i++)
        sum += job.parts[i];
    printf("sum %.0f\n", sum);
    return 0;
}

int main(int argc, char **argv)
{
    int status = -1;

    if (argc - 1 > WORDS) {
        fprintf(stderr, "usage: array [COMMAND [ARGUMENT...]]\n");
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, argv + 1, argc - 1);
    }
    if (status < 0)
        fprintf(stderr, "array: %s\n", weir_last_error()->message);
    return status != 0;
}
