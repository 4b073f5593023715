/* SPDX-License-Identifier: MIT
 *
 * main.c: the program `weir`, which shows what there is of weir on this machine.
 *
 * Data go to stdout and talk to stderr. A command that reads only is no participant: it takes no
 * lock, maps nothing of another program's, and writes to no file and no process.
 *
 * Failure modes. A reader of stdout that has gone ends the program by SIGPIPE, as any Unix tool.
 * What could not be written (a full disk) is reported at the end, with status 2.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/tool/heap.h"
#include "pool/tool/text.h"
#include "pool/tool/tool.h"
#include "shm/weir-shm.h"

static const struct tool_command *const commands[] = {
    &tool_ls, &tool_show, &tool_top, &tool_trace, &tool_sweep, &tool_doctor, &tool_run, NULL,
};

static void write_help(FILE *to)
{
    fputs("usage: weir COMMAND [OPTION]...\n\n", to);
    for (const struct tool_command *const *command = commands; *command != NULL; command++)
        fprintf(to, "  %-8s %s\n", (*command)->name, (*command)->summary);
    fputs("\n  weir COMMAND --help   about one of them\n"
          "  weir --version\n",
          to);
}

/* The streams are open, so that no file that a command opens gets the number of one: what is closed
 * becomes a descriptor that cannot be used. */
static void keep_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            _exit(TOOL_FAILED);
    }
}

static int run_command(struct tool_heap *heap, int argc, char **argv)
{
    if (argc < 2) {
        write_help(stderr);
        return TOOL_FAILED;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        write_help(stdout);
        return TOOL_DONE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("weir %s\n", weir_version());
        return TOOL_DONE;
    }
    for (const struct tool_command *const *command = commands; *command != NULL; command++) {
        if (strcmp(argv[1], (*command)->name) == 0)
            return (*command)->run(heap, argc - 1, argv + 1, *command);
    }
    tool_say("there is no %s \"%s\"", argv[1][0] == '-' ? "option" : "command",
             tool_escape(heap, argv[1]));
    write_help(stderr);
    return TOOL_FAILED;
}

int main(int argc, char **argv)
{
    struct tool_heap heap = {0};
    int status;

    keep_streams();
    status = run_command(&heap, argc, argv);
    tool_heap_free(&heap);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        tool_say("cannot write to stdout: %s", strerror(errno));
        return TOOL_FAILED;
    }
    return status;
}
