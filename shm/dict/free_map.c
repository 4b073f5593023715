/* SPDX-License-Identifier: MIT
 *
 * dict/free_map.c: which granules of a dictionary's heap are free for anything.
 *
 * One bit for each granule: 1 says that it is free. Granules that lie beside each other are one
 * piece by that alone, whatever they were before, so nothing is ever joined or split. Each call
 * swaps whole words of bits.
 *
 *     give    1. the counts grow, 2. the bits are set      (release)
 *     take    1. the bits are cleared, word by word (acquire); one that is not all free any more:
 *                those before it are set again, 2. the counts shrink
 *
 * Invariants. The call that cleared a bit is alone with the granule, as the call is that will set
 * it. The counts, one for each chunk and one for all, are never less than there are bits: what they
 * say is not free need not be looked at.
 *
 * Failure modes. Killed in between: the granules of that one piece are lost, or a count stays too
 * large, so that a chunk is looked at in vain. Bits that were damaged can make two items overlap,
 * as a damaged free list can; a reference to memory outside the heap does not come out of here.
 */
#include "shm/dict/free_map.h"

/* Words that are looked at for WEIR__MAP_NEAR. */
#define NEAR_WORDS (16 * WEIR__DICT_CHUNK_WORDS)

static _Atomic uint64_t *word_at(const weir_dict *dict, uint64_t word)
{
    return &dict->chunks[word / WEIR__DICT_CHUNK_WORDS].bits[word % WEIR__DICT_CHUNK_WORDS];
}

/* The bits of [from, end) in one of its words. */
static uint64_t bits_of(uint64_t word, uint64_t from, uint64_t end)
{
    uint64_t bits = UINT64_MAX;

    if (from > word * 64)
        bits <<= from - word * 64;
    if (end < word * 64 + 64)
        bits &= UINT64_MAX >> (word * 64 + 64 - end);
    return bits;
}

/* Adds the granules of [from, end) to the counts, or takes them away. relaxed: the bits, which are
 * released after the one and acquired before the other, keep the order. */
static void count_granules(const weir_dict *dict, uint64_t from, uint64_t end, bool more)
{
    uint64_t sign = more ? 1 : UINT64_MAX;

    atomic_fetch_add_explicit(&dict->header->free, sign * (end - from), memory_order_relaxed);
    while (from < end) {
        uint64_t chunk = from / WEIR__DICT_CHUNK, next = (chunk + 1) * WEIR__DICT_CHUNK;

        next = next < end ? next : end;
        atomic_fetch_add_explicit(&dict->chunks[chunk].free, (uint32_t)(sign * (next - from)),
                                  memory_order_relaxed);
        from = next;
    }
}

static void set_bits(const weir_dict *dict, uint64_t from, uint64_t end)
{
    for (uint64_t word = from / 64; word * 64 < end; word++)
        /* release: pairs with the acquire in clear_bits. */
        atomic_fetch_or_explicit(word_at(dict, word), bits_of(word, from, end),
                                 memory_order_release);
}

bool weir__free_map_give(const weir_dict *dict, uint32_t ref, uint64_t granules)
{
    const uint64_t end = ref + granules;

    for (uint64_t word = ref / 64; word * 64 < end; word++)
        if (atomic_load_explicit(word_at(dict, word), memory_order_relaxed) &
            bits_of(word, ref, end))
            return false;
    count_granules(dict, ref, end, true);
    /* Killed here, or below with some bits set: the rest of the piece is lost. */
    set_bits(dict, ref, end);
    return true;
}

/* False: one of them is not free any more, and none has been taken. */
static bool clear_bits(const weir_dict *dict, uint64_t from, uint64_t end)
{
    for (uint64_t word = from / 64; word * 64 < end; word++) {
        uint64_t bits = bits_of(word, from, end);
        uint64_t old = atomic_load_explicit(word_at(dict, word), memory_order_relaxed);

        do {
            if ((old & bits) != bits) {
                if (word * 64 > from)
                    set_bits(dict, from, word * 64);
                return false;
            }
            /* acquire: pairs with the release in set_bits. */
        } while (!atomic_compare_exchange_weak_explicit(
            word_at(dict, word), &old, old & ~bits, memory_order_acquire, memory_order_relaxed));
    }
    return true;
}

/* Where so many bits are set in a row in a word, or 64. */
static unsigned find_in_word(uint64_t bits, uint64_t granules)
{
    /* A bit says that so many are set from it on. */
    uint64_t known = 1;

    while (known < granules && bits != 0) {
        uint64_t more = granules - known < known ? granules - known : known;

        bits &= bits >> more;
        known += more;
    }
    return bits != 0 ? (unsigned)__builtin_ctzll(bits) : 64;
}

/* The first of so many free granules in a row, from one word to before another one; 0: none. */
static uint64_t find_run(const weir_dict *dict, uint64_t granules, uint64_t word, uint64_t end)
{
    uint64_t run = 0; /* free ones directly before this word */

    for (; word < end; word++) {
        uint64_t bits;
        unsigned at;

        if (word % WEIR__DICT_CHUNK_WORDS == 0 &&
            atomic_load_explicit(&dict->chunks[word / WEIR__DICT_CHUNK_WORDS].free,
                                 memory_order_relaxed) == 0) {
            run = 0;
            word += WEIR__DICT_CHUNK_WORDS - 1;
            continue;
        }
        /* relaxed: clear_bits looks again. */
        bits = atomic_load_explicit(word_at(dict, word), memory_order_relaxed);
        if (bits == UINT64_MAX) {
            run += 64;
            if (run >= granules)
                return (word + 1) * 64 - run;
            continue;
        }
        if (run + (unsigned)__builtin_ctzll(~bits) >= granules)
            return word * 64 - run;
        at = granules < 64 ? find_in_word(bits, granules) : 64;
        if (at < 64)
            return word * 64 + at;
        run = (unsigned)__builtin_clzll(~bits);
    }
    return 0;
}

static uint32_t take_between(const weir_dict *dict, uint64_t granules, uint64_t word, uint64_t end)
{
    for (unsigned tries = 0; tries < WEIR__DICT_TRIES; tries++) {
        uint64_t ref = find_run(dict, granules, word, end);

        if (!weir__dict_ref_is_sound(dict, ref, granules))
            return 0; /* 0 too */
        if (clear_bits(dict, ref, ref + granules)) {
            count_granules(dict, ref, ref + granules, false);
            return (uint32_t)ref;
        }
        word = ref / 64; /* another call has taken some of it */
    }
    return 0;
}

uint32_t weir__free_map_take(const weir_dict *dict, uint64_t granules, _Atomic uint64_t *rover,
                             enum weir__free_map_effort effort)
{
    /* relaxed: hints, and `reserved`, which only grows. */
    uint64_t reserved = atomic_load_explicit(&dict->header->reserved, memory_order_relaxed);
    uint64_t begin = atomic_load_explicit(rover, memory_order_relaxed), end, stop;
    uint32_t ref;

    if (atomic_load_explicit(&dict->header->free, memory_order_relaxed) < granules ||
        reserved > dict->granules)
        return 0;
    end = (reserved + 63) / 64;
    if (begin >= end)
        begin = 0;
    stop = effort == WEIR__MAP_NEAR && end - begin > NEAR_WORDS ? begin + NEAR_WORDS : end;
    ref = take_between(dict, granules, begin, stop);
    if (ref == 0 && effort == WEIR__MAP_ALL && begin > 0)
        ref = take_between(dict, granules, 0, end);
    atomic_store_explicit(rover, ref != 0 ? (ref + granules) / 64 : stop, memory_order_relaxed);
    return ref;
}
