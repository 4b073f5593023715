/* SPDX-License-Identifier: MIT
 *
 * piece.c: memory for the results of calls that are too large for their records.
 *
 * Nothing here fails. What another process has overwritten is found by weir__piece_valid(), and a
 * piece that is not valid stays as it is.
 */
#include "pool/control/piece.h"

#include "pool/control/no_malloc.h"

bool weir__piece_valid(const struct weir__control *control, uint64_t piece)
{
    const uint32_t units = weir__piece_units(piece);

    return (piece & WEIR__RESULT_PIECE) && !(piece & PIECE_FLAGS) && units > 0 &&
           weir__piece_slot(piece) < (unsigned)control->workers &&
           weir__piece_first(piece) + units <= control->region_words * WEIR__WORD_UNITS;
}

void weir__piece_clear(const struct weir__control *control, uint64_t piece)
{
    _Atomic uint64_t *map = weir__region_map(control, weir__piece_slot(piece));
    uint32_t at = weir__piece_first(piece);
    const uint32_t end = at + weir__piece_units(piece);

    while (at < end) {
        const uint32_t word = at / WEIR__WORD_UNITS, bit = at % WEIR__WORD_UNITS;
        const uint32_t left = end - at, room = WEIR__WORD_UNITS - bit;
        const uint32_t count = left < room ? left : room;
        const uint64_t mask = ~UINT64_C(0) >> (WEIR__WORD_UNITS - count) << bit;

        /* release; pairs with worker/piece.c, load_word(): what was read there was read before
         * another result is written over it */
        atomic_fetch_and_explicit(&map[word], ~mask, memory_order_release);
        at += count;
    }
}

void weir__piece_reclaim(struct weir__control *control, unsigned slot, struct weir__result *result)
{
    const uint64_t piece = atomic_load(&control->slots[slot].piece) & ~PIECE_FLAGS;

    if (!weir__piece_valid(control, piece) || weir__piece_slot(piece) != slot)
        return;
    if (atomic_load(&result->place) & WEIR__RESULT_PIECE)
        atomic_store(&result->place, 0);
    weir__piece_clear(control, piece);
    weir__piece_let_go(&control->slots[slot]);
}
