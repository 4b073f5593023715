/* SPDX-License-Identifier: MIT
 *
 * tool.h: what the files of the program `weir` share: its commands and their statuses.
 */
#ifndef WEIR_TOOL_TOOL_H
#define WEIR_TOOL_TOOL_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

struct tool_heap;

/* Exit statuses; `weir run` has those of its command besides. */
enum {
    TOOL_DONE = 0,
    TOOL_NO = 1,     /* the answer is no: nothing matches, a warning, something could not be done */
    TOOL_FAILED = 2, /* usage, or a failure */
};

struct tool_command {
    const char *name;
    const char *summary; /* a line */
    const char *usage;   /* what stands behind "weir NAME" */
    const char *help;    /* the options, a line each */
    bool operands;       /* it has some behind the options, from optind on */
    /* Gets its own arguments, from the command's name on, and a heap that is freed after it, in
     * whichever way it returns. Returns the exit status. */
    int (*run)(struct tool_heap *heap, int argc, char **argv, const struct tool_command *command);
};

extern const struct tool_command tool_doctor, tool_ls, tool_run, tool_show, tool_sweep, tool_top,
    tool_trace;

/* On stderr: "weir: ...". Texts of others are to be escaped before (text.h). */
void tool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The next option of a command, by getopt_long(); each has -h. 0: there are no more, and nothing
 * else is left either, but for a command with operands. -1: the command is to end with *status, as
 * it was asked for help, or something was wrong, which has been said. */
int tool_next_option(int argc, char **argv, const char *letters, const struct option *known,
                     const struct tool_command *command, int *status);

/* A number of seconds, with a fraction or without. False: it is none, or not between these. */
bool tool_parse_seconds(const char *text, double least, double most, int64_t *ns);

/* For an argument that is wrong: says so (NULL: that has been said) and what exists.
 * TOOL_FAILED. */
int tool_usage(const struct tool_command *command, const char *wrong);

#endif
