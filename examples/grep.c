/* SPDX-License-Identifier: MIT
 *
 * grep: the lines of files that contain a string, searched for by all workers at once.
 *
 *   cc grep.c $(pkg-config --cflags --libs weir) -o grep && ./grep STRING FILE...
 *
 * Prints FILE:LINE as `grep -F STRING FILE... /dev/null` does, in the order of the files. Exit
 * status: 0 if a line was found, 1 if not, 2 for an error.
 *
 * Each worker emits the lines it finds, with the number of the file as the key. Values of variable
 * size are put one behind the other in the order of the range, whichever worker found them: so the
 * value of a key is a file's lines in their order.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem() */
#endif
#include <weir.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct search {
    const weir_text *text;
    size_t size;
    char string[256];
};

static int search(weir_task *task, weir_range range, void *arg)
{
    const struct search *wanted = arg;
    weir_text_cursor lines;
    weir_text_record line;

    if (weir_text_slice(wanted->text, range, WEIR_TEXT_LINES, &lines) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    while (weir_text_next(&lines, &line) == 1) {
        if (memmem(line.data, line.size, wanted->string, wanted->size) != NULL)
            weir_emit(task, &lines.file, sizeof lines.file, &line, sizeof line);
    }
    return 0;
}

/* The lines of a file. What was emitted are places in the text, which has the same address here. */
static void print(const char *path, const weir_pair *pair)
{
    const weir_text_record *lines = pair->value;

    for (size_t i = 0; i < pair->value_size / sizeof *lines; i++)
        printf("%s:%.*s\n", path, (int)lines[i].size, lines[i].data);
}

/* Returns 0 if a line was found, 1 if not, or -1 with the last error set. */
static int run(weir_scope *scope, struct search *wanted, char **paths, size_t count)
{
    const weir_map_reduction searching = {.map = search};
    const weir_job_options options = {.arg_size = sizeof *wanted};
    int status = 1;

    weir_pool *pool = weir_pool_new(scope, NULL);
    if (pool == NULL)
        return -1;
    weir_text *text = weir_text_open_many(scope, (const char *const *)paths, count);
    if (text == NULL)
        return -1;
    wanted->text = text;
    weir_table *table =
        weir_pool_map_reduce(pool, weir_text_range(text), &searching, wanted, &options);
    if (table == NULL)
        return -1;

    for (size_t file = 0; file < count; file++) {
        weir_pair pair;
        int result = weir_table_get(table, &file, sizeof file, &pair);

        if (result == -ENOENT)
            continue; /* no line of this file */
        if (result < 0 || weir_text_data(text, file, NULL) == NULL)
            return -1;
        print(paths[file], &pair);
        status = 0;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct search wanted = {.size = argc > 1 ? strlen(argv[1]) : 0};
    int status = -1;

    if (argc < 3 || wanted.size >= sizeof wanted.string) {
        fprintf(stderr, "usage: grep STRING FILE... (a string of at most 255 bytes)\n");
        return 2;
    }
    strcpy(wanted.string, argv[1]);
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, &wanted, &argv[2], (size_t)argc - 2);
    }
    if (status < 0) {
        fprintf(stderr, "grep: %s\n", weir_last_error()->message);
        status = 2;
    }
    return status;
}
