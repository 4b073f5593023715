/* SPDX-License-Identifier: MIT
 *
 * piece.c: how a worker takes memory for the result of its chunk; control/piece.h has the states.
 *
 * The lowest units are taken that are free, so that little memory is used, and is used again while
 * it is in the cache. What fits into one word of the map does not cross words, and what does not
 * takes whole words: so a piece is found by looking at each word once.
 *
 * Killed anywhere: the slot names the piece from before its bits are set until the chunk is
 * settled, and the supervisor gives it back.
 */
#include "pool/worker/piece.h"

#include "pool/control/park.h"

#define CLOSED_LOOKS 20000 /* about a millisecond; the host may be stopped there */

/* The first bit of `count` ones in a row; -1: there are not so many. */
static int find_ones(uint64_t ones, uint32_t count)
{
    uint32_t have = 1;

    while (have < count && ones != 0) {
        const uint32_t step = have < count - have ? have : count - have;

        ones &= ones >> step;
        have += step;
    }
    return ones != 0 ? __builtin_ctzll(ones) : -1;
}

static uint64_t load_word(const _Atomic uint64_t *map, uint32_t word)
{
    /* acquire; pairs with control/piece.c, weir__piece_clear() */
    return atomic_load_explicit(&map[word], memory_order_acquire);
}

/* The first of so many free units, at most a word of them; -1: there are none. */
static int64_t find_in_word(const _Atomic uint64_t *map, uint32_t words, uint32_t units)
{
    for (uint32_t word = 0; word < words; word++) {
        const int bit = find_ones(~load_word(map, word), units);

        if (bit >= 0)
            return (int64_t)word * WEIR__WORD_UNITS + bit;
    }
    return -1;
}

static int64_t find_words(const _Atomic uint64_t *map, uint32_t words, uint32_t count)
{
    uint32_t vacant = 0;

    for (uint32_t word = 0; word < words; word++) {
        vacant = load_word(map, word) == 0 ? vacant + 1 : 0;
        if (vacant == count)
            return (int64_t)(word + 1 - count) * WEIR__WORD_UNITS;
    }
    return -1;
}

/* From here on no other thread takes a piece for this slot, and the host does not close the region.
 * Waits while it is closed, but not for long. False: it stays closed, or the slot names a piece: a
 * task that another one runs in the same process has none (here.c). */
static bool begin_taking(struct weir__slot *slot)
{
    uint64_t seen = 0;

    for (int i = 0; i < CLOSED_LOOKS; i++) {
        /* acquire; pairs with host/piece.c, open_region() */
        if (atomic_compare_exchange_strong_explicit(&slot->piece, &seen, PIECE_TAKING,
                                                    memory_order_acquire, memory_order_relaxed))
            return true;
        if (seen != PIECE_CLOSED)
            return false;
        weir__pause();
        seen = 0;
    }
    return false;
}

static void set_bits(_Atomic uint64_t *map, uint32_t first, uint32_t units)
{
    const uint32_t word = first / WEIR__WORD_UNITS;

    if (units <= WEIR__WORD_UNITS) {
        atomic_fetch_or_explicit(
            &map[word], ~UINT64_C(0) >> (WEIR__WORD_UNITS - units) << first % WEIR__WORD_UNITS,
            memory_order_relaxed);
        return;
    }
    for (uint32_t i = 0; i < units / WEIR__WORD_UNITS; i++)
        atomic_store_explicit(&map[word + i], ~UINT64_C(0), memory_order_relaxed);
}

/* Negative: none is free. Rounds the units up to those that are taken. */
static int64_t find_units(const struct weir__control *control, unsigned slot, uint32_t *units)
{
    const _Atomic uint64_t *map = weir__region_map(control, slot);

    if (*units <= WEIR__WORD_UNITS)
        return find_in_word(map, control->region_words, *units);
    *units = (*units + WEIR__WORD_UNITS - 1) / WEIR__WORD_UNITS * WEIR__WORD_UNITS;
    return find_words(map, control->region_words, *units / WEIR__WORD_UNITS);
}

uint64_t weir__piece_take(struct weir__control *control, unsigned slot, size_t size)
{
    struct weir__slot *own = &control->slots[slot];
    uint32_t units = (uint32_t)((size + WEIR__UNIT - 1) / WEIR__UNIT), end;
    uint64_t piece = 0;
    int64_t first;

    if (size >= WEIR__PIECE_MAX || !begin_taking(own))
        return 0;
    first = find_units(control, slot, &units);
    if (first >= 0) {
        piece = weir__piece_make(slot, (uint32_t)first, units);
        /* release: named before its bits are set, for the supervisor */
        atomic_store_explicit(&own->piece, piece | PIECE_TAKING, memory_order_release);
        end = ((uint32_t)first + units + WEIR__WORD_UNITS - 1) / WEIR__WORD_UNITS;
        if (end > atomic_load_explicit(&own->high, memory_order_relaxed))
            atomic_store_explicit(&own->high, end, memory_order_relaxed);
        set_bits(weir__region_map(control, slot), (uint32_t)first, units);
    }
    /* release; pairs with host/piece.c, close_region() */
    atomic_store_explicit(&own->piece, piece, memory_order_release);
    return piece;
}

void weir__piece_drop(struct weir__control *control, unsigned slot)
{
    struct weir__slot *own = &control->slots[slot];
    const uint64_t piece = atomic_load_explicit(&own->piece, memory_order_relaxed) & ~PIECE_FLAGS;

    if (weir__piece_valid(control, piece))
        weir__piece_clear(control, piece);
    weir__piece_let_go(own);
}
