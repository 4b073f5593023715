/* SPDX-License-Identifier: MIT
 *
 * shrink.c: delta debugging. A part of the operations is left out; if the rest still fails, it
 * stays left out. Parts are halved when none of that size can go. Threads and processes make a run
 * uncertain, so a candidate counts as sound only after some runs without the failure.
 */
#include "shrink.h"

#include <string.h>

#include "runner.h"

static bool fails_as(const struct sequence *sequence, const char *key, int repeats)
{
    for (int i = 0; i < repeats; i++) {
        struct outcome outcome = runner_run(sequence, NULL, false);

        if (outcome.failed && strcmp(outcome.key, key) == 0)
            return true;
    }
    return false;
}

/* Leaves out up to `size` of the operations that are there, from the `begin`th on. Returns how many
 * it has left out. */
static size_t leave_out(struct sequence *sequence, size_t begin, size_t size)
{
    size_t seen = 0, gone = 0;

    for (size_t i = 0; i < sequence->count && gone < size; i++) {
        if (sequence->left_out[i] || seen++ < begin)
            continue;
        sequence->left_out[i] = true;
        gone++;
    }
    return gone;
}

/* Tries to do without each part of `size`. Returns how many operations are left. */
static size_t try_parts(struct sequence *sequence, size_t left, size_t size, const char *key,
                        int repeats)
{
    static bool before[OPS_MAX];
    size_t begin = 0;

    while (begin < left) {
        size_t gone;

        memcpy(before, sequence->left_out, sizeof before);
        gone = leave_out(sequence, begin, size);
        if (gone > 0 && fails_as(sequence, key, repeats)) {
            left -= gone;
        } else {
            memcpy(sequence->left_out, before, sizeof before);
            begin += size;
        }
        fprintf(stderr, "\r%zu operations left, parts of %zu   ", left, size);
    }
    return left;
}

bool shrink(struct sequence *sequence, int repeats)
{
    struct outcome outcome = {0};
    size_t left = sequence->count;

    for (int i = 0; i < 5 * repeats && !outcome.failed; i++)
        outcome = runner_run(sequence, NULL, false);
    if (!outcome.failed)
        return false;
    for (size_t size = left / 2; size > 0; size /= 2)
        left = try_parts(sequence, left, size, outcome.key, repeats);
    fprintf(stderr, "\n%s\n", outcome.key);
    return true;
}
