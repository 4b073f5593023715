/* SPDX-License-Identifier: MIT
 *
 * word-table.h: a table of words as one would write it by hand, for the peers of weir.
 *
 * Open addressing, a hash beside each word; words are left where they are in the text.
 */
#ifndef BENCH_WORD_TABLE_H
#define BENCH_WORD_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct word {
    const char *text; /* in the mapped file; NULL: free */
    uint32_t length;
    uint32_t hash;
    int64_t count;
};

struct word_table {
    struct word *words;
    size_t size, used;
};

static inline struct word_table word_table_new(size_t size)
{
    struct word_table table = {calloc(size, sizeof(struct word)), size, 0};

    if (table.words == NULL)
        abort();
    return table;
}

static inline void word_table_grow(struct word_table *table)
{
    struct word_table bigger = word_table_new(table->size * 2);

    for (size_t i = 0; i < table->size; i++) {
        const struct word *word = &table->words[i];
        size_t k = word->hash;

        if (word->text == NULL)
            continue;
        while (bigger.words[k & (bigger.size - 1)].text != NULL)
            k++;
        bigger.words[k & (bigger.size - 1)] = *word;
    }
    free(table->words);
    bigger.used = table->used;
    *table = bigger;
}

static inline void word_table_add(struct word_table *table, const char *text, uint32_t length,
                                  uint32_t hash, int64_t count)
{
    struct word *word;

    for (size_t k = hash;; k++) {
        word = &table->words[k & (table->size - 1)];
        if (word->text == NULL)
            break;
        if (word->hash == hash && word->length == length && memcmp(word->text, text, length) == 0) {
            word->count += count;
            return;
        }
    }
    *word = (struct word){text, length, hash, count};
    if (++table->used * 2 > table->size)
        word_table_grow(table);
}

static inline int is_letter(char c)
{
    return (unsigned char)(c - 'a') < 26;
}

/* Counts the words that begin in [begin, end) of a text of `size` bytes. */
static inline void word_table_count(struct word_table *table, const char *text, size_t begin,
                                    size_t end, size_t size)
{
    size_t at = begin;

    if (begin > 0 && is_letter(text[begin - 1]))
        while (at < size && is_letter(text[at]))
            at++;
    while (at < end) {
        size_t from;
        uint32_t hash = 2166136261u;

        while (at < end && !is_letter(text[at]))
            at++;
        if (at == end)
            break;
        for (from = at; at < size && is_letter(text[at]); at++)
            hash = (hash ^ (unsigned char)text[at]) * 16777619u;
        word_table_add(table, text + from, (uint32_t)(at - from), hash ^ hash >> 15, 1);
    }
}

#endif
