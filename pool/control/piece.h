/* SPDX-License-Identifier: MIT
 *
 * piece.h: memory for the results of calls that are too large for their records.
 *
 * Each worker has a region of the control block, in units of 256 bytes, with a map of one bit a
 * unit: 1, it is taken. A *piece* is some units in a row; it is named by one word, which stands in
 * the slot of the worker that has taken it, then in the result's record too, then there alone:
 *
 *                begins to search, names it    the bits are set        the record names it
 *   its worker:  FREE --------------> TAKING ------------> HELD -------------> GIVEN, HELD
 *
 *   its worker:  GIVEN, HELD ----> settles the chunk ----> the slot names it no more: GIVEN
 *   its worker:  TAKING, HELD or GIVEN, and gives something else: the record names nothing, the
 *                bits are cleared, the slot names nothing
 *   supervisor:  the same for a worker that it has reaped and whose chunk is not settled, before
 *                the chunk's cell is changed. Of a chunk that is settled only the slot is cleared
 *   host:        GIVEN, of a chunk that is settled: copies it, and clears the bits
 *
 * So a piece is named by a slot or by the record of a settled chunk from before its bits are set
 * until they are cleared, and never is it cleared by two. Only the worker of a region sets bits
 * there, thus it alone decides which units to take, and it needs to look at no other process.
 * (Where threads or tasks of one process share a slot, as in here.c, the one that has set TAKING
 * decides, and one that finds a piece named gives a block.)
 *
 * The host gives memory of a region back (host/piece.c): it sets CLOSED in the slot's word, unless
 * that says TAKING. A worker waits while the region is closed, so what has no bit then has no user.
 */
#ifndef WEIR_PIECE_H
#define WEIR_PIECE_H

#include "pool/control/control.h"

#define WEIR__UNIT       256
#define WEIR__WORD_UNITS 64                /* of a map */
#define WEIR__PIECE_MAX  ((size_t)1 << 20) /* of larger results the memory is compared first */

/* slot.piece, and result.place without the flags: bit 0 is 1, 3-13 slot, 14-37 first unit, 38-61
 * units. */
#define PIECE_TAKING UINT64_C(2)
#define PIECE_CLOSED UINT64_C(4)
#define PIECE_FLAGS  (PIECE_TAKING | PIECE_CLOSED)

static inline uint64_t weir__piece_make(unsigned slot, uint32_t first, uint32_t units)
{
    return WEIR__RESULT_PIECE | (uint64_t)slot << 3 | (uint64_t)first << 14 | (uint64_t)units << 38;
}

static inline unsigned weir__piece_slot(uint64_t piece)
{
    return (unsigned)(piece >> 3) & 2047;
}

static inline uint32_t weir__piece_first(uint64_t piece)
{
    return (uint32_t)(piece >> 14) & 0xffffff;
}

static inline uint32_t weir__piece_units(uint64_t piece)
{
    return (uint32_t)(piece >> 38) & 0xffffff;
}

static inline size_t weir__piece_size(uint64_t piece)
{
    return (size_t)weir__piece_units(piece) * WEIR__UNIT;
}

static inline size_t weir__region_size(const struct weir__control *control)
{
    return (size_t)control->region_words * WEIR__WORD_UNITS * WEIR__UNIT;
}

static inline _Atomic uint64_t *weir__region_map(const struct weir__control *control, unsigned slot)
{
    return control->region_maps + (size_t)slot * control->region_words;
}

static inline unsigned char *weir__piece_memory(const struct weir__control *control, uint64_t piece)
{
    return control->regions + weir__piece_slot(piece) * weir__region_size(control) +
           (size_t)weir__piece_first(piece) * WEIR__UNIT;
}

/* Whether the word can be that of a piece: another process may have overwritten it. */
bool weir__piece_valid(const struct weir__control *control, uint64_t piece);

/* The units are free; of a piece that is valid. */
void weir__piece_clear(const struct weir__control *control, uint64_t piece);

/* Supervisor: the worker of this slot was reaped before it had settled its chunk, whose result this
 * is. */
void weir__piece_reclaim(struct weir__control *control, unsigned slot, struct weir__result *result);

/* The slot's worker has settled its chunk, or was reaped after it. */
static inline void weir__piece_let_go(struct weir__slot *slot)
{
    /* release; pairs with host/piece.c, close_region() */
    atomic_fetch_and_explicit(&slot->piece, PIECE_CLOSED, memory_order_release);
}

#endif
