/* SPDX-License-Identifier: MIT
 *
 * tool.h: what the files of the program `weir` share: its commands and their statuses.
 */
#ifndef WEIR_TOOL_TOOL_H
#define WEIR_TOOL_TOOL_H

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
    /* Gets its own arguments, from the command's name on. Returns the exit status. */
    int (*run)(int argc, char **argv, const struct tool_command *command);
};

extern const struct tool_command tool_doctor, tool_ls, tool_sweep;

/* On stderr: "weir: ...". Texts of others are to be escaped before (text.h). */
void tool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For an option that getopt_long() did not take, or an operand too many: says so and what exists.
 * TOOL_FAILED. */
int tool_usage(const struct tool_command *command, const char *wrong);
/* The argument at which getopt_long() has just stopped. */
const char *tool_wrong_option(char *const *argv);

/* What getopt_long() returned for -h, which every command has. */
int tool_help(const struct tool_command *command);

#endif
