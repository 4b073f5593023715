/* SPDX-License-Identifier: MIT
 *
 * share COMMAND...: makes a list and two arrays under names, runs the command, and prints what it
 * has left in them.
 *
 *   cc share.c $(pkg-config --cflags --libs weir) -o share && ./share python3 share.py
 */
#include <weir.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Returns 0, or 1. */
static int run_command(char **command)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    return pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
}

/* Returns 0, 1 if the command failed, or -1 if weir did. */
static int run(weir_scope *scope, char **command)
{
    const weir_value values[] = {weir_int(1), weir_int(2), weir_int(3)};
    const int64_t shape[] = {3, 4};
    weir_array *matrix, *plain;
    weir_list *numbers;
    char text[8];

    numbers = weir_scope_list_named(scope, "numbers", values, 3);
    matrix = weir_scope_array_named(scope, "matrix", WEIR_FLOAT64, 2, shape, WEIR_ARRAY_NPY);
    plain = weir_scope_array_named(scope, "plain", WEIR_FLOAT64, 2, shape, 0);
    if (numbers == NULL || matrix == NULL || plain == NULL)
        return -1;
    if (run_command(command) != 0)
        return 1;
    if (weir_list_get_data(numbers, 0, text, sizeof(text)) < 0)
        return -1;
    printf("%s %g %g\n", text, ((double *)weir_array_data(matrix))[0],
           ((double *)weir_array_data(plain))[11]);
    return 0;
}

int main(int argc, char **argv)
{
    int status = -1;

    if (argc < 2) {
        fprintf(stderr, "usage: share COMMAND...\n");
        return 2;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, argv + 1);
    }
    if (status < 0)
        fprintf(stderr, "share: %s\n", weir_last_error()->message);
    return status != 0;
}
