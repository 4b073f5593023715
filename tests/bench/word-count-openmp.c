/* SPDX-License-Identifier: MIT
 *
 * word-count-openmp.c: counting words as one would write it by hand with OpenMP.
 *
 * Each thread has a part of the mapped file and a table of its own: open addressing, a hash beside
 * each word, words left where they are in the text. The tables are then merged in parallel, each
 * thread taking the words of its share of the hashes.
 */
#include "words.h"

#include <fcntl.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS_MAX 64

struct table {
    struct word *words;
    size_t size, used;
};

static struct table new_table(size_t size)
{
    struct table table = {calloc(size, sizeof(struct word)), size, 0};

    if (table.words == NULL)
        abort();
    return table;
}

static void grow(struct table *table)
{
    struct table bigger = new_table(table->size * 2);

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

static void add(struct table *table, const char *text, uint32_t length, uint32_t hash,
                int64_t count)
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
        grow(table);
}

static int is_letter(char c)
{
    return (unsigned char)(c - 'a') < 26;
}

static void count_part(struct table *table, const char *text, size_t begin, size_t end, size_t size)
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
        add(table, text + from, (uint32_t)(at - from), hash ^ hash >> 15, 1);
    }
}

static struct table shares[THREADS_MAX];
static int shares_count;
static const char *text;
static size_t text_size;

static void map_text(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *mapped = MAP_FAILED;

    if (file >= 0 && fstat(file, &st) == 0)
        mapped = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (mapped == MAP_FAILED) {
        perror(path);
        exit(1);
    }
    close(file);
    text = mapped;
    text_size = (size_t)st.st_size;
}

void openmp_count(const char *path, int threads)
{
    struct table parts[THREADS_MAX];

    if (threads > THREADS_MAX)
        abort();
    map_text(path);
    shares_count = threads;
#pragma omp parallel num_threads(threads)
    {
        const size_t me = (size_t)omp_get_thread_num(), all = (size_t)threads;

        parts[me] = new_table(1 << 12);
        count_part(&parts[me], text, text_size / all * me,
                   me == all - 1 ? text_size : text_size / all * (me + 1), text_size);
#pragma omp barrier
        shares[me] = new_table(1 << 12);
        for (size_t p = 0; p < all; p++)
            for (size_t i = 0; i < parts[p].size; i++) {
                const struct word *word = &parts[p].words[i];

                if (word->text != NULL && (word->hash >> 24) * all >> 8 == me)
                    add(&shares[me], word->text, word->length, word->hash, word->count);
            }
#pragma omp barrier
        free(parts[me].words);
    }
}

const struct word *openmp_next(size_t *at)
{
    size_t i = *at;

    for (int share = 0; share < shares_count; i -= shares[share++].size) {
        while (i < shares[share].size) {
            const struct word *word = &shares[share].words[i++];

            ++*at;
            if (word->text != NULL)
                return word;
        }
    }
    return NULL;
}

void openmp_clear(void)
{
    for (int share = 0; share < shares_count; share++)
        free(shares[share].words);
    munmap((void *)text, text_size);
}
