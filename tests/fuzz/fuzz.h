/* SPDX-License-Identifier: MIT
 *
 * fuzz.h: what the libFuzzer targets share.
 *
 * Each target is tests/fuzz/fuzz-NAME.c with LLVMFuzzerTestOneInput(). A broken promise is an
 * abort() here, and everything else (overruns, undefined behaviour, hangs) is found by the
 * sanitizers. Called with --seeds FOLDER, a target writes its first inputs there and exits: the
 * corpus is made by code, from what weir itself writes.
 */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Writes one seed. */
void fuzz_seed(const char *folder, const char *name, const void *data, size_t size);
/* The target's: writes all of its seeds. */
void fuzz_seeds(const char *folder);

/* Gives the process a /dev/shm of its own; exits with 77 where that is not possible. */
void fuzz_isolate(void);

#define HOLD(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Takes an input apart from its front; zeros when it is used up. */
struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

static inline void fuzz_take(struct fuzz_input *input, void *out, size_t size)
{
    size_t some = size < input->left ? size : input->left;

    memset(out, 0, size);
    memcpy(out, input->at, some);
    input->at += some;
    input->left -= some;
}

static inline uint64_t fuzz_number(struct fuzz_input *input, size_t size)
{
    uint64_t number = 0;

    fuzz_take(input, &number, size);
    return number;
}

#define FUZZ_CHANGE_MAX 255 /* bytes */

/* The next change to a thing of `whole` bytes: which bytes come to which place. Returns how many,
 * none beyond the thing's end. */
static inline size_t fuzz_change(struct fuzz_input *input, unsigned char bytes[FUZZ_CHANGE_MAX],
                                 size_t whole, uint64_t *place)
{
    size_t length;

    *place = fuzz_number(input, 4) % whole;
    length = fuzz_number(input, 1);
    fuzz_take(input, bytes, length);
    return length < whole - *place ? length : whole - *place;
}

#endif
