/* SPDX-License-Identifier: MIT
 *
 * usage.c: what every command of `weir` says of itself and of a wrong argument.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "pool/tool/heap.h"
#include "pool/tool/text.h"
#include "pool/tool/tool.h"

void tool_say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("weir: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static void write_command_help(const struct tool_command *command, FILE *to)
{
    fprintf(to, "usage: weir %s%s%s\n%s", command->name, *command->usage ? " " : "", command->usage,
            command->help);
}

static int write_whole_help(const struct tool_command *command)
{
    printf("weir %s: %s\n", command->name, command->summary);
    write_command_help(command, stdout);
    return TOOL_DONE;
}

bool tool_parse_seconds(const char *text, double least, double most, int64_t *ns)
{
    char *end;
    const double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !(seconds >= least) || seconds > most)
        return false;
    *ns = (int64_t)(seconds * 1e9);
    return true;
}

int tool_usage(const struct tool_command *command, const char *wrong)
{
    struct tool_heap heap = {0};

    if (wrong != NULL)
        fprintf(stderr, "weir %s: what is \"%s\"?\n", command->name, tool_escape(&heap, wrong));
    write_command_help(command, stderr);
    tool_heap_free(&heap);
    return TOOL_FAILED;
}

int tool_next_option(int argc, char **argv, const char *letters, const struct option *known,
                     const struct tool_command *command, int *status)
{
    int option;

    opterr = 0;
    option = getopt_long(argc, argv, letters, known, NULL);
    if (option == 'h')
        *status = write_whole_help(command);
    else if (option == '?')
        *status = tool_usage(command, optind > 1 ? argv[optind - 1] : "?");
    else if (option == -1 && optind < argc && !command->operands)
        *status = tool_usage(command, argv[optind]);
    else
        return option != -1 ? option : 0;
    return -1;
}
