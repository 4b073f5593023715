/* SPDX-License-Identifier: MIT
 *
 * piece.c: giving the memory of results back; control/piece.h has the states.
 *
 * The lowest sixteenth of a region is kept, as making a page again takes longer than copying it.
 * What is freed above it goes back to the system when as much has come together. So a region that
 * is not used any more has an eighth of its memory at most. Any thread may give back, and two at
 * once: the second one finds the region closed, and leaves it to the first.
 */
#include "pool/host/piece.h"

#include "pool/control/mapping.h"

/* Words of the map whose memory is kept: 64 KiB at least. */
static uint32_t kept_words(const struct weir__control *control)
{
    return control->region_words > 64 ? control->region_words / 16 : 4;
}

/* False: the worker is taking a piece, or another thread has closed it. */
static bool close_region(struct weir__slot *slot)
{
    uint64_t seen = atomic_load_explicit(&slot->piece, memory_order_relaxed);

    while (!(seen & PIECE_FLAGS)) {
        /* acquire; pairs with worker/piece.c, weir__piece_take(); pairs with control/piece.h,
         * weir__piece_let_go() */
        if (atomic_compare_exchange_weak_explicit(&slot->piece, &seen, seen | PIECE_CLOSED,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    }
    return false;
}

static void open_region(struct weir__slot *slot)
{
    /* release; pairs with worker/piece.c, begin_taking() */
    atomic_fetch_and_explicit(&slot->piece, ~PIECE_CLOSED, memory_order_release);
}

/* Of a closed region: gives back what is free above the part that is kept. */
static void give_back(struct weir__control *control, unsigned slot)
{
    const _Atomic uint64_t *map = weir__region_map(control, slot);
    const size_t word_size = (size_t)WEIR__WORD_UNITS * WEIR__UNIT;
    unsigned char *region = control->regions + slot * weir__region_size(control);
    uint32_t high = atomic_load_explicit(&control->slots[slot].high, memory_order_relaxed);
    uint32_t from = kept_words(control), used = from;

    if (high > control->region_words)
        high = control->region_words;
    for (uint32_t word = from; word <= high; word++) {
        if (word < high && atomic_load_explicit(&map[word], memory_order_relaxed) == 0)
            continue;
        if (word > from)
            weir__give_back_pages(region + from * word_size, (word - from) * word_size);
        from = word + 1;
        used = word < high ? word + 1 : used;
    }
    atomic_store_explicit(&control->slots[slot].high, used, memory_order_relaxed);
}

void weir__piece_free(struct weir__control *control, uint64_t piece)
{
    const uint32_t kept = kept_words(control) * WEIR__WORD_UNITS;
    const uint32_t units = weir__piece_units(piece);
    struct weir__slot *slot = &control->slots[weir__piece_slot(piece)];

    weir__piece_clear(control, piece);
    if (weir__piece_first(piece) + units > kept)
        atomic_fetch_add_explicit(&slot->freed, units, memory_order_relaxed);
    if (atomic_load_explicit(&slot->freed, memory_order_relaxed) < kept || !close_region(slot))
        return;
    atomic_store_explicit(&slot->freed, 0, memory_order_relaxed);
    give_back(control, weir__piece_slot(piece));
    open_region(slot);
}
