/* SPDX-License-Identifier: MIT
 *
 * rounds-words.c: the words of a text and how often each occurs, by a whole program, beside a
 * shell's `sort | uniq -c`: one round for each line on stdin.
 *
 *   rounds-words weir WORD_COUNT      runs that example
 *   rounds-words sort                 runs the shell's
 *
 * Both print all words, the most frequent first, which goes to a file. The text is the same: some
 * four million words, 100,000 of them different. Once before the first round, the numbers that both
 * find are compared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "made-text.h"
#include "now.h"
#include "run-program.h"

#define TEXT ((size_t)32 << 20)
#define KEYS 100000

static char text[] = "/dev/shm/weir-bench-text.XXXXXX",
            counts[] = "/dev/shm/weir-bench-counts.XXXXXX";

static void remove_files(void)
{
    unlink(text);
    unlink(counts);
}

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "rounds-words: %s\n", what);
    exit(1);
}

static void make_files(void)
{
    char *bytes = malloc(TEXT);
    int fd = mkstemp(text);

    must(bytes != NULL && fd >= 0, text);
    atexit(remove_files);
    make_text(bytes, TEXT, KEYS, 42);
    must(write(fd, bytes, TEXT) == (ssize_t)TEXT && close(fd) == 0, text);
    free(bytes);
    fd = mkstemp(counts);
    must(fd >= 0 && close(fd) == 0, counts);
}

/* So many words, of which the text has TEXT / 7.5 or so. */
static void check_counts(void)
{
    FILE *file = fopen(counts, "r");
    long long count, sum = 0;
    int words = 0;
    char word[32];

    must(file != NULL, counts);
    while (fscanf(file, "%lld %31s", &count, word) == 2) {
        sum += count;
        words++;
    }
    fclose(file);
    must(words == KEYS && sum > 4000000, "not all words were counted");
}

int main(int argc, char **argv)
{
    const bool weir = argc == 3 && strcmp(argv[1], "weir") == 0;
    char command[256], all[] = "0", line[64];
    char *shell[] = {"sh", "-c", command, NULL};
    char *example[] = {argv[2], text, all, NULL};

    if (!weir && !(argc == 2 && strcmp(argv[1], "sort") == 0)) {
        fprintf(stderr, "usage: rounds-words weir WORD_COUNT | sort; then a line for each round\n");
        return 2;
    }
    make_files();
    setenv("LC_ALL", "C", 1);
    snprintf(command, sizeof command,
             "tr -cs 'A-Za-z0-9' '\\n' <%s | sort --parallel=2 -S 512M | uniq -c | sort -k1,1nr",
             text);
    must(run_program(weir ? example : shell, counts), weir ? argv[2] : command);
    check_counts();
    while (fgets(line, sizeof line, stdin) != NULL) {
        const double begin = now_us();

        must(run_program(weir ? example : shell, counts), weir ? argv[2] : command);
        printf("%.1f\n", now_us() - begin);
        fflush(stdout);
    }
    return 0;
}
