/* SPDX-License-Identifier: MIT
 *
 * run-program.h: a program as one round of a benchmark.
 */
#ifndef BENCH_RUN_PROGRAM_H
#define BENCH_RUN_PROGRAM_H

#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Runs it to its end, with its output to `path`. False: it could not be started, or its status is
 * not 0. */
static inline bool run_program(char *const words[], const char *path)
{
    posix_spawn_file_actions_t actions;
    int status;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, path, O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    status = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    return status == 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

#endif
