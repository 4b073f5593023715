/* SPDX-License-Identifier: MIT
 *
 * count-words.h: the map function of a word count.
 */
#ifndef BENCH_COUNT_WORDS_H
#define BENCH_COUNT_WORDS_H

#include <weir-map-reduce.h>

/* arg: the text. */
static int count_words(weir_task *task, weir_range range, void *arg)
{
    weir_text_cursor words;
    weir_text_record word;

    if (weir_text_slice(arg, range, WEIR_TEXT_WORDS, &words) < 0)
        return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    while (weir_text_next(&words, &word) == 1)
        weir_emit_int64(task, word.data, word.size, 1);
    return 0;
}

#endif
