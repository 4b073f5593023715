/* SPDX-License-Identifier: MIT
 *
 * Progress: the text of a bar and of a line, for every width.
 */
#include "support.h"

#include <string.h>

#include "pool/host/progress_text.h"

static int columns_of(const char *text)
{
    int columns = 0;

    for (; *text != '\0'; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80; /* of narrow characters */
    return columns;
}

static void no_line_is_too_wide__for_any_width_and_progress(void **state)
{
    static const char *const labels[] = {NULL, "", "sum",
                                         "r\xc3\xa9sum\xc3\xa9 of all the files there are"};
    char text[WEIR__PROGRESS_TEXT];
    size_t size;
    weir_progress progress = {.rate = 12.5, .left_ms = 3723000, .elapsed_ms = 754321};

    (void)state;
    for (size_t l = 0; l < 4; l++) {
        for (uint64_t total = 1; total < UINT64_MAX / 11; total *= 10) {
            for (int width = 1; width < 260; width++) {
                progress.label = labels[l];
                progress.total = total;
                progress.done = total / 3 * 2;
                progress.ended = width % 2;
                size = weir__progress_bar(text, &progress, width, false);
                assert_int_equal(size, strlen(text));
                assert_true(columns_of(text) < width);
                assert_true(width < 6 || strchr(text, '%') != NULL);
                size = weir__progress_line(text, &progress, width, false);
                assert_int_equal(size, strlen(text));
                assert_true(columns_of(text) < width);
            }
        }
    }
}

static void a_line_says_what_it_should__at_some_widths(void **state)
{
    char text[WEIR__PROGRESS_TEXT];
    weir_progress progress = {
        .label = "sum", .done = 430, .total = 1000, .rate = 83.2, .left_ms = 7200};

    (void)state;
    weir__progress_bar(text, &progress, 60, false);
    assert_string_equal(text, "sum  43% [=========>           ]  430/1000  83/s  0:07 left");
    weir__progress_bar(text, &progress, 40, false);
    assert_string_equal(text, "sum  43% [====>      ]  83/s  0:07 left");
    weir__progress_bar(text, &progress, 20, false);
    assert_string_equal(text, "sum  43%  0:07 left");
    weir__progress_bar(text, &progress, 6, false);
    assert_string_equal(text, " 43%");
    weir__progress_bar(text, &progress, 4, false);
    assert_string_equal(text, "");
    progress.rate = 0.25;
    progress.left_ms = -1;
    weir__progress_bar(text, &progress, 40, false);
    assert_string_equal(text, "sum  43% [====>     ]  430/1000  0.25/s");
    progress.done = 999;
    progress.ended = true;
    progress.failed = 1;
    progress.elapsed_ms = 3723000;
    progress.rate = 12345;
    weir__progress_line(text, &progress, 80, false);
    assert_string_equal(text, "sum  99%  failed after 1:02:03  999/1000  12k/s");
}

static void a_label_is_cut_between_characters__when_it_is_long(void **state)
{
    char text[WEIR__PROGRESS_TEXT];
    weir_progress progress = {.label = "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe6\x97\xa5",
                              .total = 1};

    (void)state;
    /* three of its characters, two columns each, fit into 7 columns */
    weir__progress_bar(text, &progress, 13, false);
    assert_string_equal(text, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e   0%");
    progress.label = "\xe6\x97";
    weir__progress_bar(text, &progress, 13, false);
    assert_string_equal(text, "??   0%");
    progress.label = "\xc2\x9b\xe2\x80\xae\xed\xa0\x80";
    weir__progress_bar(text, &progress, 20, false);
    assert_true(strncmp(text, "?????   0%", 10) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(no_line_is_too_wide__for_any_width_and_progress),
        UNIT(a_line_says_what_it_should__at_some_widths),
        UNIT(a_label_is_cut_between_characters__when_it_is_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
