/* SPDX-License-Identifier: MIT
 *
 * gather.c: the private hash table of a worker.
 *
 * Nearly all the time of a word count is waiting for memory: the slot, then the record. So a pair
 * is not looked up when it comes. It is put into a short queue and its slot is fetched into the
 * cache; a group of pairs later its slot is read and its record fetched; and one group after that
 * both are there. Whole groups, as a loop over some pairs overlaps what is left of the waiting. The
 * queue is first in, first out, so the order of the pairs, and with it every bit of the result, is
 * that in which they came. Keys and values that are too long for the queue wait until it is empty.
 *
 * Keys of up to WEIR__KEY_WORDS bytes are two words in the queue, compared without a loop, as they
 * are hashed (see key_hash.h).
 *
 * Invariants: the log's records are complete; `index` leads to each exactly once; bytes[] is what
 * publishing needs. After an error nothing more is added.
 */
#include "pool/map_reduce/combiner.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <weir-pool.h>

#include "pool/map_reduce/key_hash.h"

#define DEPTH       32 /* of the queue; a power of two, and at least three groups */
#define GROUP       8
#define KEY_SHORT   31
#define VALUE_SHORT 16
#define SLOTS_FIRST ((size_t)1 << 12)
#define LOG_FIRST   ((size_t)1 << 18)
#define LOG_MAX     ((size_t)8 * (WEIR__SLOT_RECORD - 1))
#define HUGE_PAGE   ((size_t)2 << 20)

struct pending {
    uint64_t hash;
    uint64_t found; /* the slot that was the key's, as it seems; 0: there was none */
    size_t slot;    /* no slot before this one is the key's, ... */
    size_t slots;   /* ... if the index still has so many; else the search begins at the hash */
    uint32_t key_size, value_size;
    const void *value;
    const unsigned char *key; /* padded with NULs to 8 bytes, at least one */
    uint64_t own_value[VALUE_SHORT / 8];
    uint64_t
        own_key[(KEY_SHORT + 1) / 8]; /* of up to WEIR__KEY_WORDS bytes also that of a record */
};

struct weir__gather {
    uint64_t *index;
    size_t slots, used;
    unsigned char *log;
    size_t log_used, log_room; /* the first 8 bytes are not used, so that no offset is 0 */
    struct weir__rule rule;
    bool sums; /* the rule is to add up int64_t */
    size_t limit;
    int error;
    unsigned first, fetched, next; /* of the queue; they run on and wrap: from `first` the records
                                      are fetched, from `fetched` only the slots */
    uint64_t bytes[WEIR__PARTITIONS];
    struct pending queue[DEPTH];
};

/* ---- memory --------------------------------------------------------------------------------- */

/* Large memory begins at a huge page and consists of such, if the system has them: with small pages
 * most of the waiting would be for translations. */
static void *map_memory(size_t size)
{
    const size_t more = size >= HUGE_PAGE ? HUGE_PAGE : 0;
    unsigned char *memory = mmap(NULL, size + more, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t before;

    if (memory == MAP_FAILED)
        return NULL;
    if (more == 0)
        return memory;
    before = (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
    if (before > 0)
        munmap(memory, before);
    munmap(memory + before + size, more - before);
    madvise(memory + before, size, MADV_HUGEPAGE); /* a wish */
    return memory + before;
}

struct weir__gather *weir__gather_new(void)
{
    struct weir__gather *gather = calloc(1, sizeof(*gather));

    if (gather == NULL)
        return NULL;
    gather->slots = SLOTS_FIRST;
    gather->log_room = LOG_FIRST;
    gather->index = map_memory(gather->slots * sizeof(*gather->index));
    gather->log = map_memory(gather->log_room);
    if (gather->index != NULL && gather->log != NULL)
        return gather;
    weir__gather_free(gather);
    return NULL;
}

void weir__gather_free(struct weir__gather *gather)
{
    if (gather == NULL)
        return;
    if (gather->index != NULL)
        munmap(gather->index, gather->slots * sizeof(*gather->index));
    if (gather->log != NULL)
        munmap(gather->log, gather->log_room);
    free(gather);
}

void weir__gather_begin(struct weir__gather *gather, const struct weir__rule *rule, size_t limit)
{
    if (gather->used > 0)
        memset(gather->index, 0, gather->slots * sizeof(*gather->index));
    memset(gather->bytes, 0, sizeof(gather->bytes));
    gather->used = 0;
    gather->log_used = 8;
    gather->rule = *rule;
    gather->limit = limit;
    gather->sums = rule->value_size == sizeof(int64_t) && rule->combine == weir_sum_int64;
    gather->error = 0;
    gather->first = gather->fetched = gather->next = 0;
}

/* Makes room for `size` bytes more in the log. */
static bool reserve_log(struct weir__gather *gather, size_t size)
{
    size_t room = gather->log_room;
    void *log;

    if (size > LOG_MAX || gather->log_used > LOG_MAX - size ||
        gather->log_used - 8 + size > gather->limit)
        return false;
    while (room < gather->log_used + size)
        room *= 2;
    if (room == gather->log_room)
        return true;
    log = map_memory(room);
    if (log == NULL)
        return false;
    memcpy(log, gather->log, gather->log_used);
    munmap(gather->log, gather->log_room);
    gather->log = log;
    gather->log_room = room;
    return true;
}

size_t weir__slots_for(size_t count)
{
    size_t slots = 8;

    while (slots / 4 * 3 < count)
        slots *= 2;
    return slots;
}

static void index_add(uint64_t *index, size_t slots, uint64_t hash, uint64_t offset)
{
    size_t i = hash & (slots - 1);

    while (index[i] != 0)
        i = (i + 1) & (slots - 1);
    index[i] = weir__slot(hash, offset);
}

static bool grow_index(struct weir__gather *gather)
{
    size_t slots = gather->slots * 2;
    uint64_t *index = map_memory(slots * sizeof(*index));
    const struct weir__record *record;
    uint64_t offset = 0;

    if (index == NULL)
        return false;
    while ((record = weir__gather_next(gather, &offset)) != NULL)
        index_add(index, slots, record->hash,
                  (uint64_t)((const unsigned char *)record - gather->log));
    munmap(gather->index, gather->slots * sizeof(*gather->index));
    gather->index = index;
    gather->slots = slots;
    return true;
}

/* ---- values of variable size ---------------------------------------------------------------- */

/* In the log, behind a chain's record: a piece of its value. To tell it from a record when the log
 * is walked, its head looks like that of one with a key that no record has. */
struct link {
    uint64_t next;
    uint32_t mark; /* LINK */
    uint32_t size;
};

#define LINK UINT32_MAX

_Static_assert(sizeof(struct link) == sizeof(struct weir__record) &&
                   offsetof(struct link, mark) == offsetof(struct weir__record, key_size),
               "links and records are told apart by one field");

static int append_value(struct weir__gather *gather, uint64_t at, const void *value, size_t size)
{
    struct weir__record *record;
    struct weir__chain *chain;
    struct link *link;
    uint64_t before, offset;

    if (size == 0)
        return 0;
    if (!reserve_log(gather, sizeof(*link) + weir__padded(size)))
        return -ENOMEM;
    record = (struct weir__record *)(gather->log + at);
    chain = (struct weir__chain *)weir__record_value(record);
    if (chain->size + size > WEIR__VALUE_MAX)
        return -E2BIG;
    offset = gather->log_used;
    link = (struct link *)(gather->log + offset);
    *link = (struct link){0, LINK, (uint32_t)size};
    memcpy(link + 1, value, size);
    gather->log_used += sizeof(*link) + weir__padded(size);
    if (chain->first == 0)
        chain->first = offset;
    else
        ((struct link *)(gather->log + chain->last))->next = offset;
    chain->last = offset;
    before = chain->size;
    chain->size += size;
    gather->bytes[weir__partition_of(record->hash)] +=
        weir__padded(chain->size) - weir__padded(before);
    return 0;
}

/* ---- one pair ------------------------------------------------------------------------------- */

/* The key at `key`, of the pair's size, is the pair's. */
static inline bool same_key(const unsigned char *key, const struct pending *pair)
{
    uint64_t x, y, different = 0;

    if (pair->key_size <= WEIR__KEY_WORDS) {
        const size_t last = pair->key_size / 8; /* of its one or two words */

        memcpy(&x, key, 8);
        memcpy(&y, key + 8 * last, 8);
        return ((x ^ pair->own_key[0]) | (y ^ pair->own_key[last])) == 0;
    }
    for (size_t i = 0; i <= pair->key_size; i += 8) {
        memcpy(&x, key + i, 8);
        memcpy(&y, pair->key + i, 8);
        different |= x ^ y;
    }
    return different == 0;
}

static void copy_words(unsigned char *to, const unsigned char *from, size_t size)
{
    for (size_t i = 0; i < size; i += 8)
        memcpy(to + i, from + i, 8);
}

static int insert(struct weir__gather *gather, const struct pending *pair, size_t slot)
{
    const size_t fixed = gather->rule.value_size;
    const size_t value_size = fixed > 0 ? fixed : sizeof(struct weir__chain);
    const size_t size = weir__record_size(pair->key_size, value_size);
    struct weir__record *record;
    uint64_t offset;

    if (!reserve_log(gather, size))
        return -ENOMEM;
    offset = gather->log_used;
    record = (struct weir__record *)(gather->log + offset);
    *record = (struct weir__record){pair->hash, pair->key_size, (uint32_t)value_size};
    if (fixed == 8) {
        memcpy(record + 1, pair->value, 8);
    } else {
        memset(weir__record_value(record), 0, weir__padded(value_size));
        if (fixed > 0)
            memcpy(record + 1, pair->value, fixed);
    }
    copy_words(weir__record_key(record), pair->key, weir__padded((size_t)pair->key_size + 1));
    gather->log_used += size;
    gather->bytes[weir__partition_of(pair->hash)] +=
        fixed > 0 ? size : weir__record_size(pair->key_size, 0);
    gather->index[slot] = weir__slot(pair->hash, offset);
    gather->used++;
    if (gather->used > gather->slots / 4 * 3 && !grow_index(gather))
        return -ENOMEM;
    return fixed > 0 ? 0 : append_value(gather, offset, pair->value, pair->value_size);
}

static inline int merge(struct weir__gather *gather, uint64_t offset, const struct pending *pair)
{
    unsigned char *value = gather->log + offset + sizeof(struct weir__record);
    uint64_t into, from; /* unsigned: a sum wraps */

    if (gather->sums) {
        memcpy(&into, value, sizeof(into));
        memcpy(&from, pair->value, sizeof(from));
        into += from;
        memcpy(value, &into, sizeof(into));
        return 0;
    }
    if (gather->rule.value_size == 0)
        return append_value(gather, offset, pair->value, pair->value_size);
    gather->rule.combine(value, pair->value, gather->rule.arg);
    return 0;
}

static int search(struct weir__gather *gather, const struct pending *pair)
{
    const size_t mask = gather->slots - 1;
    size_t i = pair->slots == gather->slots ? pair->slot : pair->hash & mask;

    for (;; i = (i + 1) & mask) {
        const uint64_t slot = gather->index[i];
        const struct weir__record *record;

        if (slot == 0)
            return insert(gather, pair, i);
        if ((slot ^ pair->hash) >> 32 != 0)
            continue;
        record = (const struct weir__record *)(gather->log + weir__slot_offset(slot));
        if (record->hash == pair->hash && record->key_size == pair->key_size &&
            same_key(weir__record_key(record), pair))
            return merge(gather, weir__slot_offset(slot), pair);
    }
}

/* Records stay where they are: a key that is at a slot that was found once is there. */
static inline int place(struct weir__gather *gather, const struct pending *pair)
{
    const uint64_t offset = weir__slot_offset(pair->found);
    const struct weir__record *record = (const struct weir__record *)(gather->log + offset);

    if (__builtin_expect(pair->found != 0 && record->key_size == pair->key_size, 1) &&
        same_key(weir__record_key(record), pair))
        return merge(gather, offset, pair);
    return search(gather, pair);
}

/* ---- the queue ------------------------------------------------------------------------------ */

/* Places the pairs up to `end`, whose records have been fetched. */
static void place_up_to(struct weir__gather *gather, unsigned end)
{
    for (unsigned i = gather->first; i != end && gather->error == 0; i++)
        gather->error = place(gather, &gather->queue[i % DEPTH]);
    gather->first = end;
}

/* For the pairs up to `end`: finds the slot that seems to be the key's, which the index has kept
 * for it if it is there, as nothing is ever taken out. */
static void fetch_up_to(struct weir__gather *gather, unsigned end)
{
    const size_t mask = gather->slots - 1;
    const uint64_t *index = gather->index;

    for (; gather->fetched != end; gather->fetched++) {
        struct pending *pair = &gather->queue[gather->fetched % DEPTH];
        size_t i = pair->hash & mask;
        uint64_t slot;

        while ((slot = index[i]) != 0 && (slot ^ pair->hash) >> 32 != 0)
            i = (i + 1) & mask;
        pair->found = slot;
        pair->slot = i;
        pair->slots = gather->slots;
        if (slot != 0) {
            const unsigned char *record = gather->log + weir__slot_offset(slot);

            __builtin_prefetch(record, 1);
            __builtin_prefetch(record + 31, 1); /* it may lie on two lines */
        }
    }
}

/* The place for one more pair, which is the queue's last after pushed(). */
static struct pending *push(struct weir__gather *gather)
{
    return &gather->queue[gather->next % DEPTH];
}

static inline void pushed(struct weir__gather *gather, const struct pending *pair)
{
    __builtin_prefetch(&gather->index[pair->hash & (gather->slots - 1)], 0);
    if (++gather->next % GROUP != 0)
        return;
    place_up_to(gather, gather->fetched);
    fetch_up_to(gather, gather->next - GROUP);
}

int weir__gather_end(struct weir__gather *gather)
{
    place_up_to(gather, gather->fetched);
    fetch_up_to(gather, gather->next);
    place_up_to(gather, gather->next);
    gather->first = gather->fetched = gather->next = 0; /* groups begin at multiples of GROUP */
    return gather->error;
}

/* A pair that does not fit into the queue. */
static int add_long(struct weir__gather *gather, const void *key, size_t key_size,
                    const void *value, size_t value_size)
{
    struct pending pair = {
        .hash = weir__hash(key, key_size),
        .key_size = (uint32_t)key_size,
        .value_size = (uint32_t)value_size,
        .value = value,
    };
    unsigned char *padded;

    if (weir__gather_end(gather) != 0)
        return gather->error;
    padded = calloc(1, weir__padded(key_size + 1));
    if (padded == NULL)
        return gather->error = -ENOMEM;
    memcpy(padded, key, key_size);
    pair.key = padded;
    memcpy(pair.own_key, padded, key_size <= WEIR__KEY_WORDS ? weir__padded(key_size + 1) : 0);
    gather->error = search(gather, &pair);
    free(padded);
    return gather->error;
}

/* The words of a key of more than WEIR__KEY_WORDS bytes; its hash. */
static uint64_t load_key(uint64_t *words, const unsigned char *key, size_t size)
{
    uint64_t hash = weir__hash_begin(size);
    size_t i, left;

    for (i = 0, left = size; left >= 8; i++, left -= 8, key += 8) {
        const uint64_t word = weir__load_word(key);

        hash = weir__hash_word(hash, word);
        words[i] = htole64(word);
    }
    words[i] = htole64(weir__load_tail(key, left));
    return weir__hash_end(weir__hash_word(hash, le64toh(words[i])));
}

int weir__gather_add(struct weir__gather *gather, const void *key, size_t key_size,
                     const void *value, size_t value_size)
{
    struct pending *pair;

    if (key_size > KEY_SHORT || value_size > VALUE_SHORT)
        return add_long(gather, key, key_size, value, value_size);
    pair = push(gather);
    if (key_size <= WEIR__KEY_WORDS) {
        const uint64_t first = key_size < 8 ? weir__load_tail(key, key_size) : weir__load_word(key);
        const uint64_t second = key_size < 8 ? 0 : weir__load_second(key, key_size);

        pair->own_key[0] = htole64(first);
        pair->own_key[1] = htole64(second);
        pair->hash = weir__hash_words(first, second, key_size);
    } else {
        pair->hash = load_key(pair->own_key, key, key_size);
    }
    pair->key_size = (uint32_t)key_size;
    pair->value_size = (uint32_t)value_size;
    if (value_size == 8)
        memcpy(pair->own_value, value, 8);
    else if (value_size > 0)
        memcpy(pair->own_value, value, value_size);
    pair->key = (const unsigned char *)pair->own_key;
    pair->value = pair->own_value;
    pushed(gather, pair);
    return gather->error;
}

int weir__gather_add_record(struct weir__gather *gather, const struct weir__record *record)
{
    struct pending *pair = push(gather);

    pair->hash = record->hash;
    pair->key_size = record->key_size;
    pair->value_size = record->value_size;
    pair->value = weir__record_value(record);
    pair->key = weir__record_key(record);
    if (pair->key_size <= WEIR__KEY_WORDS) {
        const size_t last = pair->key_size / 8;

        memcpy(&pair->own_key[0], pair->key, 8);
        memcpy(&pair->own_key[last], pair->key + 8 * last, 8);
    }
    pushed(gather, pair);
    return gather->error;
}

/* ---- after the end -------------------------------------------------------------------------- */

size_t weir__gather_count(const struct weir__gather *gather)
{
    return gather->used;
}

const uint64_t *weir__gather_bytes(const struct weir__gather *gather)
{
    return gather->bytes;
}

const struct weir__record *weir__gather_next(const struct weir__gather *gather, uint64_t *offset)
{
    uint64_t at = *offset == 0 ? 8 : *offset;

    while (at < gather->log_used) {
        const struct weir__record *record = (const struct weir__record *)(gather->log + at);

        if (record->key_size == LINK) {
            at += sizeof(struct link) + weir__padded(((const struct link *)record)->size);
            continue;
        }
        *offset = at + weir__record_size(record->key_size, record->value_size);
        return record;
    }
    return NULL;
}

static const struct weir__chain *chain_of(const struct weir__record *record)
{
    return (const struct weir__chain *)weir__record_value(record);
}

size_t weir__gather_size_of(const struct weir__gather *gather, const struct weir__record *record)
{
    return weir__record_size(record->key_size, gather->rule.value_size > 0
                                                   ? record->value_size
                                                   : chain_of(record)->size);
}

void weir__gather_write(const struct weir__gather *gather, const struct weir__record *record,
                        unsigned char *to)
{
    struct weir__record *written = (struct weir__record *)to;
    const struct weir__chain *chain = chain_of(record);
    const struct link *link;
    unsigned char *value;

    if (gather->rule.value_size > 0) {
        copy_words(to, (const unsigned char *)record,
                   weir__record_size(record->key_size, record->value_size));
        return;
    }
    *written = (struct weir__record){record->hash, record->key_size, (uint32_t)chain->size};
    value = weir__record_value(written);
    if (chain->size % 8 != 0)
        memset(value + (chain->size & ~(uint64_t)7), 0, 8);
    for (uint64_t at = chain->first; at != 0; at = link->next) {
        link = (const struct link *)(gather->log + at);
        memcpy(value, link + 1, link->size);
        value += link->size;
    }
    copy_words(weir__record_key(written), weir__record_key(record),
               weir__padded((size_t)record->key_size + 1));
}

/* ---- the usual ways to combine -------------------------------------------------------------- */

void weir_sum_int64(void *into, const void *from, void *arg)
{
    uint64_t sum, more; /* unsigned: it wraps */

    (void)arg;
    memcpy(&sum, into, sizeof(sum));
    memcpy(&more, from, sizeof(more));
    sum += more;
    memcpy(into, &sum, sizeof(sum));
}

void weir_sum_double(void *into, const void *from, void *arg)
{
    double sum, more;

    (void)arg;
    memcpy(&sum, into, sizeof(sum));
    memcpy(&more, from, sizeof(more));
    sum += more;
    memcpy(into, &sum, sizeof(sum));
}
