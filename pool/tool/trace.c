/* SPDX-License-Identifier: MIT
 *
 * trace.c: `weir trace`: what the workers of a pool did, as text, picture or JSON.
 *
 * An output file is written beside its place and renamed, so there is never half of it. What is no
 * regular file, such as /dev/null or a pipe, is written to as it stands.
 *
 * Failure modes. Killed while it writes, it leaves a file NAME.XXXXXX behind.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/control/control.h"
#include "pool/tool/text.h"
#include "pool/tool/timeline.h"
#include "pool/tool/tool.h"

#define SECONDS_MAX 3600

enum format { FORMAT_NONE, FORMAT_SUMMARY, FORMAT_HTML, FORMAT_JSON, FORMAT_SVG };

struct options {
    const char *file;   /* the trace; NULL: of a pool that runs */
    const char *pool;   /* which one, */
    int64_t for_ns;     /* and for how long */
    const char *output; /* NULL or "-": stdout */
    enum format format;
    struct tool_what_if what_if;
};

/* ---- arguments ------------------------------------------------------------------------------- */

static enum format format_of(const char *name)
{
    static const struct {
        const char *name;
        enum format format;
    } formats[] = {{"summary", FORMAT_SUMMARY}, {"txt", FORMAT_SUMMARY}, {"html", FORMAT_HTML},
                   {"htm", FORMAT_HTML},        {"json", FORMAT_JSON},   {"svg", FORMAT_SVG}};

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (strcmp(name, formats[i].name) == 0)
            return formats[i].format;
    }
    return FORMAT_NONE;
}

static enum format format_of_file(const char *path)
{
    const char *name = strrchr(path, '/'), *suffix;

    name = name != NULL ? name + 1 : path;
    suffix = strrchr(name, '.');
    return suffix != NULL ? format_of(suffix + 1) : FORMAT_NONE;
}

static bool parse_number(const char **text, int64_t max, int64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoll(*text, &end, 10);
    if (end == *text || errno != 0 || *number < 1 || *number > max || (*end != '\0' && *end != ','))
        return false;
    *text = end + (*end == ',');
    return true;
}

/* "chunks=N,workers=M", or one of them. */
static bool parse_what_if(const char *text, struct tool_what_if *what_if)
{
    int64_t number;

    if (*text == '\0')
        return false;
    while (*text != '\0') {
        if (strncmp(text, "chunks=", 7) == 0) {
            text += 7;
            if (!parse_number(&text, WEIR__CHUNKS_MAX, &what_if->chunks))
                return false;
        } else if (strncmp(text, "workers=", 8) == 0) {
            text += 8;
            if (!parse_number(&text, WEIR_WORKERS_MAX, &number))
                return false;
            what_if->workers = (unsigned)number;
        } else {
            return false;
        }
    }
    return true;
}

/* False: the argument is wrong. */
static bool take_option(struct options *options, int option)
{
    switch (option) {
    case 'o':
        options->output = optarg;
        return true;
    case 'f':
        options->format = format_of(optarg);
        return options->format != FORMAT_NONE;
    case 'p':
        options->pool = optarg;
        return true;
    case 'd':
        return tool_parse_seconds(optarg, 0.01, SECONDS_MAX, &options->for_ns);
    case 'w':
        return parse_what_if(optarg, &options->what_if);
    default:
        return true;
    }
}

/* What follows from the others. False: *wrong says why. */
static bool complete(struct tool_heap *heap, struct options *options, const char **wrong)
{
    const bool what_if = options->what_if.chunks > 0 || options->what_if.workers > 0;

    if (options->output != NULL && strcmp(options->output, "-") == 0)
        options->output = NULL;
    if (options->format == FORMAT_NONE)
        options->format =
            options->output != NULL ? format_of_file(options->output) : FORMAT_SUMMARY;
    *wrong = NULL;
    if (options->format == FORMAT_NONE)
        *wrong = tool_print(heap,
                            "the name \"%s\" does not say the format (.html, .json, .svg or .txt); "
                            "--format does",
                            tool_escape(heap, options->output));
    else if (what_if && options->format != FORMAT_SUMMARY)
        *wrong = "--what-if is for the summary alone";
    return *wrong == NULL;
}

/* ---- output ---------------------------------------------------------------------------------- */

static bool write_to(struct tool_heap *heap, const struct tool_trace *trace,
                     const struct options *options, FILE *to)
{
    switch (options->format) {
    case FORMAT_HTML:
        tool_trace_html(heap, trace, to);
        return true;
    case FORMAT_JSON:
        tool_trace_json(heap, trace, to);
        return true;
    case FORMAT_SVG:
        tool_trace_svg(heap, trace, to);
        return true;
    default:
        return tool_trace_summary(heap, trace, options->what_if, to);
    }
}

static int cannot_write(struct tool_heap *heap, const char *path, int error)
{
    tool_say("cannot write to \"%s\": %s", tool_escape(heap, path), strerror(error));
    return TOOL_FAILED;
}

static int output_status(bool answered)
{
    if (!answered)
        tool_say("there is no job for which that could be computed: it needs jobs over a range, "
                 "all of whose chunks are in the trace");
    return answered ? TOOL_DONE : TOOL_NO;
}

/* False: errno says why. */
static bool finish_file(FILE *file)
{
    const bool failed = fflush(file) != 0 || ferror(file);
    const int error = errno;
    const bool unclosed = fclose(file) != 0;

    if (failed)
        errno = error;
    return !failed && !unclosed;
}

/* To what is there and is no regular file. */
static int write_in_place(struct tool_heap *heap, const struct tool_trace *trace,
                          const struct options *options)
{
    FILE *file = fopen(options->output, "we");
    bool answered;

    if (file == NULL)
        return cannot_write(heap, options->output, errno);
    answered = write_to(heap, trace, options, file);
    if (!finish_file(file))
        return cannot_write(heap, options->output, errno);
    return output_status(answered);
}

/* The mode of a file as any program makes it. */
static mode_t usual_mode(void)
{
    const mode_t mask = umask(0);

    umask(mask);
    return 0666 & ~mask;
}

static int write_and_rename(struct tool_heap *heap, const struct tool_trace *trace,
                            const struct options *options, const char *path)
{
    char *beside = tool_print(heap, "%s.XXXXXX", path);
    const int fd = mkstemp(beside);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool answered;

    if (file == NULL) {
        const int error = errno;

        if (fd >= 0) {
            close(fd);
            unlink(beside);
        }
        return cannot_write(heap, options->output, error);
    }
    fchmod(fd, usual_mode());
    answered = write_to(heap, trace, options, file);
    if (!finish_file(file) || rename(beside, path) < 0) {
        const int error = errno;

        unlink(beside);
        return cannot_write(heap, options->output, error);
    }
    return output_status(answered);
}

static int write_output(struct tool_heap *heap, const struct tool_trace *trace,
                        const struct options *options)
{
    char target[PATH_MAX];
    struct stat st;

    if (options->output == NULL)
        return output_status(write_to(heap, trace, options, stdout));
    if (stat(options->output, &st) < 0)
        return write_and_rename(heap, trace, options, options->output);
    if (!S_ISREG(st.st_mode))
        return write_in_place(heap, trace, options);
    /* where a link leads to */
    if (realpath(options->output, target) == NULL)
        return cannot_write(heap, options->output, errno);
    return write_and_rename(heap, trace, options, target);
}

/* ---- the command ----------------------------------------------------------------------------- */

/* Where the trace comes from. */
static int get_trace(struct tool_heap *heap, const struct options *options,
                     struct tool_trace *trace)
{
    const char *why;

    if (options->pool != NULL)
        return tool_trace_live(trace, heap, options->pool, options->for_ns);
    if (tool_trace_read(trace, heap, options->file, &why))
        return TOOL_DONE;
    tool_say("cannot read the trace \"%s\": %s", tool_escape(heap, options->file), why);
    return TOOL_FAILED;
}

static int run(struct tool_heap *heap, int argc, char **argv, const struct tool_command *command)
{
    static const struct option known[] = {
        {"output", required_argument, NULL, 'o'},
        {"format", required_argument, NULL, 'f'},
        {"what-if", required_argument, NULL, 'w'},
        {"pool", required_argument, NULL, 'p'},
        {"duration", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct options options = {.for_ns = INT64_C(10000000000)};
    struct tool_trace trace;
    const char *wrong;
    int option, status;

    while ((option = tool_next_option(argc, argv, "o:f:w:p:d:h", known, command, &status)) > 0) {
        if (!take_option(&options, option))
            return tool_usage(command, optarg);
    }
    if (option < 0)
        return status;
    if (optind + (options.pool == NULL) != argc)
        return tool_usage(command, optind < argc ? argv[argc - 1] : NULL);
    options.file = argv[optind];
    if (!complete(heap, &options, &wrong)) {
        tool_say("%s", wrong);
        return TOOL_FAILED;
    }
    status = get_trace(heap, &options, &trace);
    return status == TOOL_DONE ? write_output(heap, &trace, &options) : status;
}

const struct tool_command tool_trace = {
    .name = "trace",
    .summary = "what the workers of a traced pool did, as text, picture or JSON",
    .usage = "[-o OUTPUT] [-f FORMAT] [-w chunks=N,workers=M] FILE | -p POOL [-d SECONDS]",
    .help =
        "  FILE                 a trace, as a pool has written it\n"
        "  -p, --pool POOL      not from a file: of a pool that runs, named by its supervisor, or "
        "by its\n"
        "                       scope or a process of it if that has one pool\n"
        "  -d, --duration SECONDS  for so long, 0.01 to 3600; 10 by default, Ctrl-C ends it\n"
        "  -o, --output OUTPUT  to this file, and not to stdout; its suffix says the format\n"
        "  -f, --format FORMAT  html (a page to look at), svg (its picture), json (for "
        "Perfetto and\n"
        "                       speedscope), or summary, which is the default\n"
        "  -w, --what-if WHAT   how long jobs would have taken with so many chunks or workers:\n"
        "                       chunks=N, workers=M, or both with a comma between them\n"
        "  -h, --help           this\n",
    .operands = true,
    .run = run,
};
