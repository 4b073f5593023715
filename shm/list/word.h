/* SPDX-License-Identifier: MIT
 *
 * word.h: the words and codes of a list's block, each read or written in one step.
 *
 * Other processes may write to the block at any time, so what matters for an access is loaded once,
 * into a local, then checked, then used.
 */
#ifndef WEIR_SHM_LIST_WORD_H
#define WEIR_SHM_LIST_WORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "shm/value.h"

#define WEIR__WORD 8

_Static_assert(sizeof(_Atomic uint64_t) == WEIR__WORD, "an atomic word is the word itself");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "words are shared between processes");

/* Pairs with weir__publish_word(). */
static inline uint64_t weir__read_word(const void *at)
{
    return atomic_load_explicit((const _Atomic uint64_t *)at, memory_order_acquire);
}

/* Offsets are written before the block has a name, so nothing needs to be ordered after them. */
static inline uint64_t weir__read_offset(const int64_t *at)
{
    return atomic_load_explicit((const _Atomic uint64_t *)at, memory_order_relaxed);
}

/* Pairs with weir__read_word(). */
static inline void weir__publish_word(void *at, uint64_t word)
{
    atomic_store_explicit((_Atomic uint64_t *)at, word, memory_order_release);
}

/* Codes are bytes; what they mean is decided together with the format, whose load or store orders
 * them. */
static inline signed char weir__read_code(const char *at)
{
    return (signed char)atomic_load_explicit((const _Atomic char *)at, memory_order_relaxed);
}

static inline void weir__write_code(char *at, signed char code)
{
    atomic_store_explicit((_Atomic char *)at, (char)code, memory_order_relaxed);
}

/* A bool is the last byte of its word, as it lies in memory. */
static inline uint64_t weir__word_of_bool(bool boolean)
{
    unsigned char bytes[WEIR__WORD] = {[WEIR__WORD - 1] = boolean};
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return word;
}

/* The slot of a value without data. */
static inline uint64_t weir__word_of_value(const weir_value *value)
{
    switch (value->type) {
    case WEIR_INT:
        return (uint64_t)value->integer;
    case WEIR_FLOAT:
        return weir__word_of_real(value->real);
    case WEIR_BOOL:
        return weir__word_of_bool(value->boolean);
    default:
        return 0;
    }
}

static inline bool weir__bool_of_word(uint64_t word)
{
    unsigned char bytes[WEIR__WORD];

    memcpy(bytes, &word, sizeof bytes);
    return bytes[WEIR__WORD - 1] != 0;
}

#endif
