/* SPDX-License-Identifier: MIT
 *
 * words.h: a text for counting words, the same for all who count: made from a seed.
 *
 * Words of 5 to 8 letters, 6.5 on average, each of `keys` ones as likely as any other, with a space
 * or a newline behind.
 */
#ifndef BENCH_WORDS_H
#define BENCH_WORDS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORDS ((size_t)27000000)

static inline double now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Word number `n` (below 26^5): five digits in base 26, which make it different from all others,
 * and up to three letters more. */
static inline size_t make_word(uint64_t n, char *out)
{
    uint64_t state = n * 2654435761u + 1;
    size_t length = 5 + n % 4, i = 0;

    for (uint64_t left = n; i < 5; left /= 26)
        out[i++] = (char)('a' + left % 26);
    while (i < length)
        out[i++] = (char)('a' + random_next(&state) % 26);
    return length;
}

static inline void make_text(const char *path, uint64_t keys)
{
    FILE *file = fopen(path, "we");
    uint64_t state = 42;

    if (file == NULL) {
        perror(path);
        exit(1);
    }
    for (size_t i = 0; i < WORDS; i++) {
        char word[16];
        size_t size = make_word(random_next(&state) % keys, word);

        word[size++] = i % 12 == 11 ? '\n' : ' ';
        if (fwrite(word, 1, size, file) != size) {
            perror(path);
            exit(1);
        }
    }
    if (fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

#endif
