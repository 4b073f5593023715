/* SPDX-License-Identifier: MIT
 *
 * key_hash.h: the hash of a key, as a whole and word by word.
 *
 * Most keys have up to WEIR__KEY_WORDS bytes. Such a key is two words, which are hashed without a
 * loop: the processor would mispredict the loop's end. Words are little-endian, so the hash, and
 * with it the order of a table, is the same on every machine.
 */
#ifndef WEIR_KEY_HASH_H
#define WEIR_KEY_HASH_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WEIR__KEY_WORDS 15 /* longest key of two words, with a NUL behind */
#define WEIR__HASH_SEED UINT64_C(0x9e3779b97f4a7c15)
#define WEIR__HASH_WORD UINT64_C(0xd6e8feb86659fd93)

static inline uint64_t weir__hash_mix(uint64_t a, uint64_t b)
{
    __extension__ const unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t weir__hash_begin(size_t size)
{
    return WEIR__HASH_SEED ^ (size * UINT64_C(0xa0761d6478bd642f));
}

/* A key of up to WEIR__KEY_WORDS bytes. The sum keeps both words in the hash even if a
 * factor of the product is 0. */
static inline uint64_t weir__hash_words(uint64_t first, uint64_t second, size_t size)
{
    const uint64_t seed = weir__hash_begin(size);

    return weir__hash_mix(weir__hash_mix(first ^ seed, second ^ WEIR__HASH_WORD) +
                              (first ^ (second << 32 | second >> 32)),
                          WEIR__HASH_SEED);
}

static inline uint64_t weir__hash_word(uint64_t hash, uint64_t word)
{
    return weir__hash_mix(hash ^ word, WEIR__HASH_WORD) + word;
}

static inline uint64_t weir__hash_end(uint64_t hash)
{
    return weir__hash_mix(hash, WEIR__HASH_SEED);
}

static inline uint64_t weir__load_word(const unsigned char *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof(word));
    return le64toh(word);
}

static inline uint64_t weir__load_half(const unsigned char *from)
{
    uint32_t half;

    memcpy(&half, from, sizeof(half));
    return le32toh(half);
}

/* The first `size` (below 8) bytes as a word padded with NULs. A byte that is read twice comes to
 * the same place both times. */
static inline uint64_t weir__load_tail(const unsigned char *from, size_t size)
{
    if (size >= 4)
        return weir__load_half(from) | weir__load_half(from + size - 4) << (8 * (size - 4));
    if (size == 0)
        return 0;
    return (uint64_t)from[0] | (uint64_t)from[size / 2] << (8 * (size / 2)) |
           (uint64_t)from[size - 1] << (8 * (size - 1));
}

/* A key of 8 to WEIR__KEY_WORDS bytes: the word behind the first one. */
static inline uint64_t weir__load_second(const unsigned char *from, size_t size)
{
    return weir__load_word(from + size - 8) >> 8 * (WEIR__KEY_WORDS - size) >> 8;
}

/* The hash of a key of any length. */
static inline uint64_t weir__hash(const void *key, size_t size)
{
    const unsigned char *from = key;
    uint64_t hash = weir__hash_begin(size);

    if (size < 8)
        return weir__hash_words(weir__load_tail(from, size), 0, size);
    if (size <= WEIR__KEY_WORDS)
        return weir__hash_words(weir__load_word(from), weir__load_second(from, size), size);
    for (; size >= 8; from += 8, size -= 8)
        hash = weir__hash_word(hash, weir__load_word(from));
    return weir__hash_end(weir__hash_word(hash, weir__load_tail(from, size)));
}

#endif
