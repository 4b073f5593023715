/* SPDX-License-Identifier: MIT
 *
 * word-count-openmp.c: counting words as one would write it by hand with OpenMP.
 *
 * Each thread has a part of the mapped file and a table of its own. The tables are then merged in
 * parallel, each thread taking the words of its share of the hashes.
 */
#include "words.h"

#include <fcntl.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS_MAX 64

static struct word_table shares[THREADS_MAX];
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
    struct word_table parts[THREADS_MAX];

    if (threads > THREADS_MAX)
        abort();
    map_text(path);
    shares_count = threads;
#pragma omp parallel num_threads(threads)
    {
        const size_t me = (size_t)omp_get_thread_num(), all = (size_t)threads;

        parts[me] = word_table_new(1 << 12);
        word_table_count(&parts[me], text, text_size / all * me,
                         me == all - 1 ? text_size : text_size / all * (me + 1), text_size);
#pragma omp barrier
        shares[me] = word_table_new(1 << 12);
        for (size_t p = 0; p < all; p++)
            for (size_t i = 0; i < parts[p].size; i++) {
                const struct word *word = &parts[p].words[i];

                if (word->text != NULL && (word->hash >> 24) * all >> 8 == me)
                    word_table_add(&shares[me], word->text, word->length, word->hash, word->count);
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
