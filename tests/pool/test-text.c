/* SPDX-License-Identifier: MIT
 *
 * Texts: files as one range, cut anywhere, each record exactly once.
 */
#include "support.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>

static char folder[64];

static const char *write_file(const char *name, const char *data, size_t size)
{
    static char path[8][128];
    static int next;
    char *to = path[next++ % 8];
    FILE *file;

    snprintf(to, sizeof path[0], "%s/%s", folder, name);
    file = fopen(to, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
    return to;
}

static weir_text *open_text(weir_scope *scope, const char *path)
{
    weir_text *text = weir_text_open(scope, path);

    if (text == NULL)
        fail_msg("weir_text_open: %s", weir_last_error()->message);
    return text;
}

/* All records, from all slices of `step` bytes, each with a '|' behind. */
static void collect(const weir_text *text, int split, const char *delimiters, int64_t step,
                    char *out)
{
    weir_range all = weir_text_range(text);

    *out = '\0';
    for (int64_t at = 0; at < all.end; at += step) {
        weir_range range = {at, at + step < all.end ? at + step : all.end};
        weir_text_cursor cursor;
        weir_text_record piece = {0};

        assert_int_equal(delimiters != NULL
                             ? weir_text_slice_at(text, range, delimiters, &cursor)
                             : weir_text_slice(text, range, (weir_text_split)split, &cursor),
                         0);
        while (weir_text_next(&cursor, &piece) == 1) {
            memcpy(out, piece.data, piece.size);
            out += piece.size;
            *out++ = '|';
        }
        assert_int_equal(weir_text_next(&cursor, &piece), 0); /* and it stays so */
    }
    *out = '\0';
}

static void assert_records(const weir_text *text, int split, const char *delimiters,
                           const char *expected)
{
    char out[1000];

    for (int64_t step = 1; step <= weir_text_range(text).end + 1; step++) {
        collect(text, split, delimiters, step, out);
        if (strcmp(out, expected) != 0)
            fail_msg("in steps of %d: \"%s\", not \"%s\"", (int)step, out, expected);
    }
}

static void each_record_comes_once__wherever_the_text_is_cut(void **state)
{
    static const struct {
        const char *text, *words, *lines, *fields;
    } cases[] = {
        {"one two  three", "one|two|three|", "one two  three|", "one two  three|"},
        {" a\nbc, d\n\n\nend\n", "a|bc|d|end|", " a|bc, d|||end|", " a\nbc| d\n\n\nend\n|"},
        {"\n", "", "|", "\n|"},
        {"x", "x|", "x|", "x|"},
        {",;,", "", ",;,|", ""},
        {"caf\xc3\xa9;un-2", "caf\xc3\xa9|un|2|", "caf\xc3\xa9;un-2|", "caf\xc3\xa9|un-2|"},
        {"a\n\nb", "a|b|", "a||b|", "a\n\nb|"},
    };
    weir_scope *scope = begin();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_text *text =
            open_text(scope, write_file("case", cases[i].text, strlen(cases[i].text)));
        char whole[64];

        assert_int_equal(weir_text_range(text).end, strlen(cases[i].text));
        assert_records(text, WEIR_TEXT_WORDS, NULL, cases[i].words);
        assert_records(text, WEIR_TEXT_LINES, NULL, cases[i].lines);
        assert_records(text, 0, ",;", cases[i].fields);
        snprintf(whole, sizeof whole, "%s|", cases[i].text);
        assert_records(text, 0, "", whole);
        weir_text_close(text);
    }
    weir_scope_end(scope);
}

/* What weir_text_next() finds eight bytes at a time, byte by byte. */
static size_t next_word(const char *data, size_t size, size_t *at)
{
    size_t begin;

    while (*at < size && !isalnum((unsigned char)data[*at]) && (data[*at] & 0x80) == 0)
        ++*at;
    begin = *at;
    while (*at < size && (isalnum((unsigned char)data[*at]) || (data[*at] & 0x80) != 0))
        ++*at;
    return *at - begin;
}

static void a_word_ends_where_it_should__whatever_byte_follows_at_whatever_place(void **state)
{
    static char data[256 * 24 * 32];
    size_t size = 0, at, length;

    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        for (int before = 0; before < 24; before++) {
            for (int i = 0; i < before; i++)
                data[size++] = "azAZ09m\xc3\xff"[(byte + i) % 9];
            data[size++] = (char)byte;
            data[size++] = (char)('A' + byte % 26);
            data[size++] = before % 2 ? ' ' : '\n';
        }
    }
    WEIR_SCOPE (scope, NULL) {
        for (size_t cut = size - 40; cut <= size; cut++) { /* the end of the file at each place */
            weir_text *text = open_text(scope, write_file("bytes", data, cut));
            weir_text_cursor cursor;
            weir_text_record piece = {0};

            assert_int_equal(weir_text_slice(text, weir_text_range(text), WEIR_TEXT_WORDS, &cursor),
                             0);
            for (at = 0; (length = next_word(data, cut, &at)) > 0;) {
                assert_int_equal(weir_text_next(&cursor, &piece), 1);
                assert_int_equal(piece.data + piece.size - cursor.data, at);
                assert_int_equal(piece.size, length);
            }
            assert_int_equal(weir_text_next(&cursor, &piece), 0);
            weir_text_close(text);
        }
    }
}

static void a_word_ends_with_its_file__when_the_next_one_lies_right_behind(void **state)
{
    static char data[4096];
    const char *paths[2];

    (void)state;
    WEIR_SCOPE (scope, NULL) {
        for (size_t size = 1; size <= 40; size++) {
            weir_text_cursor cursor;
            weir_text_record piece = {0};
            weir_text *text;

            memset(data, ' ', sizeof data);
            memset(data + sizeof data - size, 'w', size);
            paths[0] = write_file("full", data, sizeof data);
            paths[1] = write_file("behind", "behind", 6);
            text = weir_text_open_many(scope, paths, 2);
            assert_non_null(text);
            assert_int_equal(weir_text_slice(text, weir_text_range(text), WEIR_TEXT_WORDS, &cursor),
                             0);
            assert_int_equal(weir_text_next(&cursor, &piece), 1);
            assert_int_equal(piece.size, size);
            assert_int_equal(weir_text_next(&cursor, &piece), 1);
            assert_int_equal(piece.size, 6);
            assert_int_equal(weir_text_next(&cursor, &piece), 0);
            weir_text_close(text);
        }
    }
}

static void no_record_reaches_into_the_next_file__when_there_are_several(void **state)
{
    weir_scope *scope = begin();
    const char *paths[] = {write_file("f0", "", 0), write_file("f1", "one tw", 6),
                           write_file("f2", "o\nthree", 7), write_file("f3", "", 0),
                           write_file("f4", "four\n", 5)};
    weir_text *text = weir_text_open_many(scope, paths, 5);
    const char *data;
    size_t size;

    (void)state;
    assert_non_null(text);
    assert_int_equal(weir_text_files(text), 5);
    assert_int_equal(weir_text_range(text).begin, 0);
    assert_int_equal(weir_text_range(text).end, 18);
    assert_string_equal(weir_text_path(text, 2), paths[2]);
    assert_null(weir_text_path(text, 5));
    assert_int_equal(weir_last_error()->code, -ERANGE);
    assert_records(text, WEIR_TEXT_WORDS, NULL, "one|tw|o|three|four|");
    assert_records(text, WEIR_TEXT_LINES, NULL, "one tw|o|three|four|");
    data = weir_text_data(text, 2, &size);
    assert_int_equal(size, 7);
    assert_memory_equal(data, "o\nthree", 7);
    assert_non_null(weir_text_data(text, 0, &size));
    assert_int_equal(size, 0);
    weir_text_close(text);
    weir_scope_end(scope);
}

static void the_cursor_names_the_file__when_it_goes_on(void **state)
{
    weir_scope *scope = begin();
    const char *paths[] = {write_file("f0", "a b", 3), write_file("f1", "", 0),
                           write_file("f2", "c", 1)};
    weir_text *text = weir_text_open_many(scope, paths, 3);
    weir_text_cursor cursor;
    weir_text_record piece = {0};

    (void)state;
    assert_int_equal(weir_text_slice(text, weir_text_range(text), WEIR_TEXT_WORDS, &cursor), 0);
    assert_int_equal(weir_text_next(&cursor, &piece), 1);
    assert_int_equal(weir_text_next(&cursor, &piece), 1);
    assert_int_equal(cursor.file, 0);
    assert_int_equal(piece.data - cursor.data, 2);
    assert_int_equal(weir_text_next(&cursor, &piece), 1);
    assert_int_equal(cursor.file, 2);
    assert_int_equal(piece.data - cursor.data, 0);
    assert_int_equal(weir_text_next(&cursor, &piece), 0);
    weir_text_close(text);
    weir_scope_end(scope);
}

/* ---- in workers ------------------------------------------------------------------------------ */

static int emit_words(weir_task *task, weir_range range, void *arg)
{
    weir_text_cursor cursor;
    weir_text_record word;

    if (weir_text_slice(arg, range, WEIR_TEXT_WORDS, &cursor) < 0)
        return weir_task_fail(task, weir_last_error()->code, "%s", weir_last_error()->message);
    while (weir_text_next(&cursor, &word) == 1) {
        weir_emit_int64(task, word.data, word.size, 1);
        if (word.data < (const char *)arg) /* the same address as in the program */
            return 1;
    }
    return 0;
}

static const weir_map_reduction counting = {
    .map = emit_words, .value_size = sizeof(int64_t), .combine = weir_sum_int64};

static int64_t count_of(weir_pool *pool, weir_text *text, const char *word)
{
    weir_table *table = weir_pool_map_reduce(pool, weir_text_range(text), &counting, text,
                                             &(weir_job_options){.chunks = 50});
    int64_t count = 0;
    weir_pair pair;

    if (table == NULL)
        fail_msg("%s", weir_last_error()->message);
    if (weir_table_get(table, word, strlen(word), &pair) == 0)
        count = *(const int64_t *)pair.value;
    weir_table_free(table);
    return count;
}

static char *many_words(size_t *size)
{
    char *data = malloc(200000);
    size_t at = 0;

    for (int i = 0; i < 10000; i++)
        at += (size_t)sprintf(data + at, "word%d nothing\n", i % 10);
    *size = at;
    return data;
}

static void workers_read_a_text__made_before_or_after_the_pool(void **state)
{
    weir_scope *scope = begin();
    size_t size;
    char *data = many_words(&size);
    const char *path = write_file("many", data, size);
    weir_text *before = open_text(scope, path), *after, *again;
    weir_pool *pool;

    (void)state;
    assert_non_null(weir_text_data(before, 0, NULL)); /* mapped here, then forked */
    pool = new_pool(scope, 2);
    after = open_text(scope, path);
    assert_int_equal(count_of(pool, before, "word3"), 1000);
    assert_int_equal(count_of(pool, after, "nothing"), 10000);
    /* Its addresses are used again; no worker may see the old file there. */
    weir_text_close(after);
    memset(data, 'z', size);
    again = open_text(scope, write_file("other", data, size));
    assert_int_equal(count_of(pool, again, "nothing"), 0);
    assert_int_equal(count_of(pool, before, "word4"), 1000);
    assert_memory_equal(weir_text_data(again, 0, NULL), data, size);
    free(data);
    weir_text_close(again);
    weir_text_close(before);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void the_file_is_not_written__when_a_text_of_it_is_closed(void **state)
{
    weir_scope *scope = begin();
    size_t size;
    char *data = many_words(&size), *found = malloc(size);
    const char *path = write_file("kept", data, size);
    weir_text *text = open_text(scope, path);
    FILE *file;

    (void)state;
    assert_non_null(weir_text_data(text, 0, NULL));
    weir_text_close(text);
    weir_scope_end(scope);
    file = fopen(path, "re");
    assert_int_equal(fread(found, 1, size, file), size);
    assert_memory_equal(found, data, size);
    fclose(file);
    free(data);
    free(found);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void a_text_is_refused__when_it_cannot_be_one(void **state)
{
    weir_scope *scope = begin();
    const char *paths[] = {write_file("good", "abc", 3), "/nowhere/at/all"};
    weir_text *text;
    weir_text_cursor cursor;

    (void)state;
    assert_null(weir_text_open(scope, "/nowhere/at/all"));
    assert_int_equal(weir_last_error()->code, -ENOENT);
    assert_message_has("/nowhere/at/all");
    assert_null(weir_text_open_many(scope, paths, 2));
    assert_int_equal(weir_last_error()->code, -ENOENT);
    assert_null(weir_text_open(scope, folder));
    assert_int_equal(weir_last_error()->code, -EISDIR);
    assert_message_has("a directory");
    assert_null(weir_text_open(scope, "/dev/zero"));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_text_open(scope, NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_text_open_many(scope, paths, 0));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_text_open_many(scope, paths, SIZE_MAX));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_text_open(NULL, paths[0]));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    text = open_text(scope, paths[0]);
    assert_int_equal(weir_text_slice(text, (weir_range){0, 4}, WEIR_TEXT_WORDS, &cursor), -ERANGE);
    assert_int_equal(weir_text_slice(text, (weir_range){-1, 2}, WEIR_TEXT_WORDS, &cursor), -ERANGE);
    assert_int_equal(weir_text_slice(text, (weir_range){2, 1}, WEIR_TEXT_WORDS, &cursor), -ERANGE);
    assert_int_equal(weir_text_slice(text, (weir_range){0, 3}, (weir_text_split)9, &cursor),
                     -EINVAL);
    assert_int_equal(weir_text_slice(text, (weir_range){0, 3}, WEIR_TEXT_LINES, NULL), -EINVAL);
    assert_int_equal(weir_text_slice_at(text, (weir_range){0, 3}, NULL, &cursor), -EINVAL);
    assert_int_equal(weir_text_slice(NULL, (weir_range){0, 3}, WEIR_TEXT_LINES, &cursor), -EINVAL);
    assert_int_equal(weir_text_range(NULL).end, 0);
    weir_text_close(NULL);
    weir_text_close(text);
    text = open_text(scope, "/dev/null");
    assert_int_equal(weir_text_range(text).end, 0);
    weir_text_close(text);
    weir_scope_end(scope);
}

static int add_lines(weir_task *task, weir_range range, void *sum, void *arg)
{
    const weir_text *text = arg;
    weir_text_cursor cursor;
    weir_text_record line = {0};
    int result = weir_text_slice(text, range, WEIR_TEXT_LINES, &cursor);

    (void)task;
    while (result == 0 && weir_text_next(&cursor, &line) == 1)
        ++*(int64_t *)sum;
    return result;
}

static void add(void *into, const void *from, void *arg)
{
    (void)arg;
    *(int64_t *)into += *(const int64_t *)from;
}

static int64_t lines_of(weir_pool *pool, weir_text *text)
{
    int64_t lines = -1;
    const weir_reduction sum = {.size = sizeof(lines), .fold = add_lines, .combine = add};

    assert_int_equal(weir_pool_reduce(pool, weir_text_range(text), &sum, &lines, text, NULL), 0);
    return lines;
}

static void a_file_of_proc_is_read__when_its_size_is_said_to_be_0(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    const char *paths[] = {write_file("before", "a\nb\n", 4), "/proc/self/limits",
                           write_file("behind", "c\n", 2)};
    weir_text *text = weir_text_open_many(scope, paths, 3);
    char here[8192];
    FILE *file = fopen("/proc/self/limits", "re");
    const size_t size = fread(here, 1, sizeof(here), file);
    int64_t lines = 0;
    size_t found;

    (void)state;
    fclose(file);
    assert_non_null(text);
    assert_true(size > 0);
    assert_int_equal(weir_text_range(text).end, 4 + (int64_t)size + 2);
    assert_memory_equal(weir_text_data(text, 1, &found), here, size);
    assert_int_equal(found, size);
    for (size_t i = 0; i < size; i++)
        lines += here[i] == '\n';
    assert_int_equal(lines_of(pool, text), lines + 3);
    weir_text_close(text);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void a_pipe_is_read_to_its_end__when_it_is_opened_as_a_text(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    FILE *seq = popen("seq 1 100000", "re"); /* more than a pipe holds */
    char path[64];
    weir_text *text;

    (void)state;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(seq));
    assert_int_equal(fcntl(fileno(seq), F_SETFL, O_NONBLOCK), 0); /* as an event loop does */
    text = open_text(scope, path);
    pclose(seq);
    assert_int_equal(weir_text_range(text).end, 588895);
    assert_int_equal(lines_of(pool, text), 100000);
    weir_text_close(text);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void the_task_fails__when_the_file_is_another_one_by_now(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool = new_pool(scope, 2);
    const char *path = write_file("shifty", "some words are here", 19);
    weir_text *text = open_text(scope, path);

    (void)state;
    assert_int_equal(unlink(path), 0);
    write_file("new", "x", 1);
    write_file("shifty", "other words are here", 20);
    assert_null(weir_pool_map_reduce(pool, weir_text_range(text), &counting, text, NULL));
    assert_int_equal(weir_last_error()->code, WEIR_EFAILED);
    assert_int_equal(weir_last_error()->task_code, -ESTALE);
    assert_message_has("shifty");
    weir_text_close(text);
    path = write_file("short", "some words are here", 19);
    text = open_text(scope, path);
    assert_int_equal(truncate(path, 5), 0);
    assert_null(weir_text_data(text, 0, NULL));
    assert_int_equal(weir_last_error()->code, -ESTALE);
    weir_text_close(text);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void remove_folder(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(each_record_comes_once__wherever_the_text_is_cut),
        UNIT(a_word_ends_where_it_should__whatever_byte_follows_at_whatever_place),
        UNIT(a_word_ends_with_its_file__when_the_next_one_lies_right_behind),
        UNIT(no_record_reaches_into_the_next_file__when_there_are_several),
        UNIT(the_cursor_names_the_file__when_it_goes_on),
        UNIT(workers_read_a_text__made_before_or_after_the_pool),
        UNIT(the_file_is_not_written__when_a_text_of_it_is_closed),
        UNIT(a_file_of_proc_is_read__when_its_size_is_said_to_be_0),
        UNIT(a_pipe_is_read_to_its_end__when_it_is_opened_as_a_text),
        UNIT(a_text_is_refused__when_it_cannot_be_one),
        UNIT(the_task_fails__when_the_file_is_another_one_by_now),
    };
    int failed;

    leak_isolate();
    strcpy(folder, "/tmp/weir-test-text.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_folder();
    return failed;
}
