/* SPDX-License-Identifier: MIT
 *
 * random.c: a random tester of the whole public interface.
 *
 *   random [--seeds A..B] [--seconds N] [--ops N] [--only FAMILY,...]
 *   random --print SEED         the operations of a seed
 *   random --trace SEED         runs it, and says what it does
 *   random --shrink SEED        makes a failing sequence small
 *   random ... --keep I,J-K     of a seed's operations only these
 *
 * Each seed is a sequence of operations, made before it runs; it runs in a process of its own
 * against a model of what must come out. What a sequence checks stands at its operation. The first
 * seed that fails is printed with the command that repeats it, and the exit status is 1. The last
 * line has counts of what was exercised.
 */
#include <inttypes.h>

#include "runner.h"
#include "shrink.h"

struct arguments {
    uint64_t first, last;
    double seconds;
    size_t ops;
    const char *only, *keep;
    enum { RUN, PRINT, TRACE, SHRINK } what;
    bool go_on; /* after a failure */
};

static struct sequence sequence;

static int usage(void)
{
    fprintf(stderr, "usage: random [--seeds A..B] [--seconds N] [--ops N] [--only FAMILY,...]\n"
                    "              [--go-on] [--keep I,J-K] [--print|--trace|--shrink SEED]\n"
                    "families:");
    for (int f = 0; families[f] != NULL; f++)
        fprintf(stderr, " %s", families[f]->name);
    fprintf(stderr, "\n");
    return 2;
}

static bool parse(int argc, char **argv, struct arguments *arguments)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        char *end;

        if (strcmp(name, "--go-on") == 0) {
            arguments->go_on = true;
            continue;
        }
        i++;
        if (i == argc)
            return false;
        if (strcmp(name, "--seeds") == 0) {
            arguments->first = strtoull(value, &end, 10);
            arguments->last = end[0] == '.' ? strtoull(end + 2, NULL, 10) : arguments->first;
        } else if (strcmp(name, "--seconds") == 0) {
            arguments->seconds = atof(value);
        } else if (strcmp(name, "--ops") == 0) {
            arguments->ops = strtoull(value, NULL, 10);
        } else if (strcmp(name, "--only") == 0) {
            arguments->only = value;
        } else if (strcmp(name, "--keep") == 0) {
            arguments->keep = value;
        } else {
            arguments->what = strcmp(name, "--print") == 0    ? PRINT
                              : strcmp(name, "--trace") == 0  ? TRACE
                              : strcmp(name, "--shrink") == 0 ? SHRINK
                                                              : RUN;
            arguments->first = arguments->last = strtoull(value, NULL, 10);
            if (arguments->what == RUN)
                return false;
        }
    }
    return arguments->only == NULL || families_exist(arguments->only);
}

/* "3,5-9": all others are left out. */
static void keep_only(const char *keep)
{
    if (keep == NULL)
        return;
    for (size_t i = 0; i < sequence.count; i++)
        sequence.left_out[i] = true;
    while (*keep != '\0') {
        char *end;
        size_t from = strtoull(keep, &end, 10), to = from;

        if (*end == '-')
            to = strtoull(end + 1, &end, 10);
        for (size_t i = from; i <= to && i < sequence.count; i++)
            sequence.left_out[i] = false;
        keep = *end == ',' ? end + 1 : end + strlen(end);
    }
}

static void make(const struct arguments *arguments, uint64_t seed)
{
    sequence_make(&sequence, seed, arguments->only, arguments->ops);
    keep_only(arguments->keep);
}

/* The arguments that make the same sequence again. */
static void print_command(const struct arguments *arguments, const char *what)
{
    printf("random %s %" PRIu64, what, sequence.seed);
    if (arguments->only != NULL)
        printf(" --only %s", arguments->only);
    if (arguments->ops > 0)
        printf(" --ops %zu", arguments->ops);
    for (size_t i = 0, printed = 0; i < sequence.count; i++) {
        if (memchr(sequence.left_out, true, sizeof sequence.left_out) == NULL)
            break;
        if (!sequence.left_out[i])
            printf("%s%zu", printed++ == 0 ? " --keep " : ",", i);
    }
    printf("\n");
}

/* One line: what was exercised. */
static void print_counts(void)
{
    const struct count *count = runner_counts();
    long operations = 0;
    const struct kind *kind;

    for (unsigned k = 0; (kind = kind_at(k, NULL)) != NULL; k++)
        operations += atomic_load(&count->run[k]);
    printf("%ld sequences, %ld operations, %ld futures, %ld refusals, %ld deaths, %ld stops, "
           "%ld cancels, %ld forks",
           atomic_load(&count->sequences), operations, atomic_load(&count->futures),
           atomic_load(&count->refusals), atomic_load(&count->deaths), atomic_load(&count->stops),
           atomic_load(&count->cancels), atomic_load(&count->forks));
    for (unsigned k = 0; (kind = kind_at(k, NULL)) != NULL; k++)
        if (atomic_load(&count->run[k]) > 0)
            printf(", %s %ld", kind->name, atomic_load(&count->run[k]));
    printf("\n");
}

static int run(const struct arguments *arguments)
{
    double end_ms = now_ms() + (arguments->seconds > 0 ? arguments->seconds * 1e3 : 1e18);
    int failures = 0;

    for (uint64_t seed = arguments->first; seed <= arguments->last && now_ms() < end_ms; seed++) {
        make(arguments, seed);
        if (runner_run(&sequence, stdout, arguments->what == TRACE).failed) {
            failures++;
            printf("FAILED: seed %" PRIu64 "; ", seed);
            print_command(arguments, "--seeds");
            fflush(stdout);
            if (!arguments->go_on)
                break;
        }
        if (isatty(STDERR_FILENO) && arguments->what == RUN)
            fprintf(stderr, "\rseed %" PRIu64 ", %d failed ", seed, failures);
    }
    if (isatty(STDERR_FILENO) && arguments->what == RUN)
        fprintf(stderr, "\r                              \r");
    print_counts();
    return failures != 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.first = 1, .last = UINT64_MAX};
    int status = 0;

    if (!parse(argc, argv, &arguments))
        return usage();
    if (arguments.what == RUN && arguments.seconds <= 0 && arguments.last == UINT64_MAX)
        arguments.last = 100;
    make(&arguments, arguments.first);
    if (arguments.what == PRINT) {
        sequence_print(&sequence, stdout);
        return 0;
    }
    if (!runner_begin())
        printf("no mount namespace: files in /dev/shm are not looked at\n");
    if (arguments.what == SHRINK && !shrink(&sequence, 5)) {
        printf("seed %" PRIu64 " does not fail\n", sequence.seed);
    } else if (arguments.what == SHRINK) {
        sequence_print(&sequence, stdout);
        print_command(&arguments, "--trace");
        status = 1;
    } else {
        status = run(&arguments);
    }
    runner_end();
    return status;
}
