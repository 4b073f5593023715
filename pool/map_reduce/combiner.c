/* SPDX-License-Identifier: MIT
 *
 * combiner.c: the private hash table of a worker.
 *
 * A word count spends nearly all its time waiting for memory: the slot, then the record. A pair is
 * therefore not looked up when it comes. It is put into a short queue and its slot is fetched into
 * the cache; a group of pairs later its slot is read and its record fetched; one group after that
 * both are in the cache. Pairs are taken in whole groups because the processor overlaps the waiting
 * of the pairs in one loop. The queue is first in, first out, so the order of the pairs, and with
 * it every bit of the result, is that in which they came. A key or a value that is too long for the
 * queue is added when the queue has been emptied.
 *
 * Keys of up to WEIR__KEY_WORDS bytes are two words in the queue. They are compared without a loop,
 * as they are hashed (see key_hash.h).
 *
 * Invariants: the log's records are complete; `index` leads to each exactly once; bytes[] is the
 * memory that publishing needs. After an error nothing more is added.
 *
 * Failure modes: there is no memory, of the system or within the limit (-ENOMEM), a value becomes
 * too long (-E2BIG), or the user's function writes past a value (-EOVERFLOW); the combiner then
 * keeps the error until it begins anew.
 */
#include "pool/map_reduce/combiner.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <weir.h>

#include "pool/map_reduce/key_hash.h"
#include "shm/block/lazy.h"

#define DEPTH        32 /* of the queue; a power of two, and at least three groups */
#define GROUP        8
#define KEY_SHORT    31
#define VALUE_SHORT  16
#define SLOTS_FIRST  ((size_t)1 << 12)
#define SLOTS_UNUSED 16 /* an index with so many slots a key is too large */
#define LOG_FIRST    ((size_t)1 << 18)
#define LOG_MAX      ((size_t)8 * (WEIR__SLOT_RECORD - 1))
#define HUGE_PAGE    ((size_t)2 << 20)

struct pending {
    uint64_t hash;
    uint64_t found; /* the slot that seems to be the key's; 0: there was none */
    size_t slot;    /* no slot before this one is the key's, ... */
    size_t slots;   /* ... if the index still has so many; else the search begins at the hash */
    uint32_t key_size, value_size;
    const void *value;
    const unsigned char *key; /* padded with NULs to 8 bytes, at least one */
    uint64_t own_value[VALUE_SHORT / 8];
    /* The key's words; those of a record's key only if it has up to WEIR__KEY_WORDS bytes. */
    uint64_t own_key[(KEY_SHORT + 1) / 8];
};

struct weir__combiner {
    uint64_t *index;
    size_t slots, used;
    unsigned char *log;
    size_t log_used, log_capacity; /* the first 8 bytes are not used, so that no offset is 0 */
    struct weir__combine_rule rule;
    bool sums; /* the rule is to add up int64_t */
    size_t limit;
    int error;
    /* Of the queue; they run on and wrap: from `first` the records are fetched, from `fetched` only
     * the slots. */
    unsigned first, fetched, next;
    struct pending queue[DEPTH];
    uint64_t bytes[WEIR__GROUPS_MAX];
};

/* ---- memory --------------------------------------------------------------------------------- */

/* Large memory begins at a huge page and consists of huge pages, if the system has them: with small
 * pages address translation would take most of the time. */
static void *map_memory(size_t size)
{
    const size_t more = size >= HUGE_PAGE ? HUGE_PAGE : 0;
    unsigned char *memory = weir__map_lazily(NULL, size + more, PROT_READ | PROT_WRITE,
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
    madvise(memory + before, size, MADV_HUGEPAGE); /* it may fail */
    return memory + before;
}

struct weir__combiner *weir__combiner_new(void)
{
    struct weir__combiner *combiner = calloc(1, sizeof(*combiner));

    if (combiner == NULL)
        return NULL;
    combiner->slots = SLOTS_FIRST;
    combiner->log_capacity = LOG_FIRST;
    combiner->index = map_memory(combiner->slots * sizeof(*combiner->index));
    combiner->log = map_memory(combiner->log_capacity);
    if (combiner->index != NULL && combiner->log != NULL)
        return combiner;
    weir__combiner_free(combiner);
    return NULL;
}

void weir__combiner_free(struct weir__combiner *combiner)
{
    if (combiner == NULL)
        return;
    if (combiner->index != NULL)
        munmap(combiner->index, combiner->slots * sizeof(*combiner->index));
    if (combiner->log != NULL)
        munmap(combiner->log, combiner->log_capacity);
    free(combiner);
}

/* An index that was much too large for what it had, as an earlier chunk had more, gives way to a
 * small one: to clear it each time would cost a chunk of few keys as much as one of many. */
static void clear_index(struct weir__combiner *combiner)
{
    uint64_t *small = NULL;

    if (combiner->used == 0)
        return;
    if (combiner->slots > SLOTS_FIRST && combiner->used < combiner->slots / SLOTS_UNUSED)
        small = map_memory(SLOTS_FIRST * sizeof(*small));
    if (small == NULL) {
        memset(combiner->index, 0, combiner->slots * sizeof(*combiner->index));
        return;
    }
    munmap(combiner->index, combiner->slots * sizeof(*combiner->index));
    combiner->index = small;
    combiner->slots = SLOTS_FIRST;
}

void weir__combiner_begin(struct weir__combiner *combiner, const struct weir__combine_rule *rule,
                          size_t limit)
{
    clear_index(combiner);
    memset(combiner->bytes, 0, sizeof(*combiner->bytes) << rule->group_bits);
    combiner->used = 0;
    combiner->log_used = 8;
    combiner->rule = *rule;
    combiner->limit = limit;
    combiner->sums = rule->value_size == sizeof(int64_t) && rule->combine == weir_sum_int64;
    combiner->error = 0;
    combiner->first = combiner->fetched = combiner->next = 0;
}

/* Makes the log's capacity enough for `size` bytes more. False: there is no memory, or the log
 * would pass the limit. */
static bool reserve_log(struct weir__combiner *combiner, size_t size)
{
    size_t capacity = combiner->log_capacity;
    void *log;

    if (size > LOG_MAX || combiner->log_used > LOG_MAX - size ||
        combiner->log_used - 8 + size > combiner->limit)
        return false;
    while (capacity < combiner->log_used + size)
        capacity *= 2;
    if (capacity == combiner->log_capacity)
        return true;
    log = map_memory(capacity);
    if (log == NULL)
        return false;
    memcpy(log, combiner->log, combiner->log_used);
    munmap(combiner->log, combiner->log_capacity);
    combiner->log = log;
    combiner->log_capacity = capacity;
    return true;
}

static bool grow_index(struct weir__combiner *combiner)
{
    size_t slots = combiner->slots * 2;
    uint64_t *index = map_memory(slots * sizeof(*index));
    const struct weir__pair_record *record;
    uint64_t offset = 0;

    if (index == NULL)
        return false;
    while ((record = weir__combiner_next(combiner, &offset)) != NULL)
        weir__index_add(index, slots, record->hash,
                        (uint64_t)((const unsigned char *)record - combiner->log));
    munmap(combiner->index, combiner->slots * sizeof(*combiner->index));
    combiner->index = index;
    combiner->slots = slots;
    return true;
}

/* ---- values of variable size ---------------------------------------------------------------- */

/* The value of a record of variable size: a list of value links. */
struct value_chain {
    uint64_t first, last; /* offsets in the log; 0: none */
    uint64_t size;        /* of the whole value, in bytes */
};

/* A piece of a value, in the log behind the record whose value it belongs to. A walk over the log
 * tells it from a record by its mark, which lies where a record has the size of its key and is a
 * size that no key has. */
struct value_link {
    uint64_t next;
    uint32_t mark; /* VALUE_LINK */
    uint32_t size;
};

#define VALUE_LINK UINT32_MAX

_Static_assert(sizeof(struct value_link) == sizeof(struct weir__pair_record) &&
                   offsetof(struct value_link, mark) ==
                       offsetof(struct weir__pair_record, key_size),
               "links and records are told apart by one field");

static int append_value(struct weir__combiner *combiner, uint64_t at, const void *value,
                        size_t size)
{
    struct weir__pair_record *record;
    struct value_chain *chain;
    struct value_link *link;
    uint64_t before, offset;

    if (size == 0)
        return 0;
    if (!reserve_log(combiner, sizeof(*link) + weir__padded(size)))
        return -ENOMEM;
    record = (struct weir__pair_record *)(combiner->log + at);
    chain = (struct value_chain *)weir__pair_record_value(record);
    if (chain->size + size > WEIR__PAIR_VALUE_MAX)
        return -E2BIG;
    offset = combiner->log_used;
    link = (struct value_link *)(combiner->log + offset);
    *link = (struct value_link){0, VALUE_LINK, (uint32_t)size};
    memcpy(link + 1, value, size);
    combiner->log_used += sizeof(*link) + weir__padded(size);
    if (chain->first == 0)
        chain->first = offset;
    else
        ((struct value_link *)(combiner->log + chain->last))->next = offset;
    chain->last = offset;
    before = chain->size;
    chain->size += size;
    combiner->bytes[weir__hash_group_of(record->hash, combiner->rule.group_bits)] +=
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

static void copy_padded(unsigned char *to, const unsigned char *from, size_t size)
{
    for (size_t i = 0; i < size; i += 8)
        memcpy(to + i, from + i, 8);
}

static int insert_pair(struct weir__combiner *combiner, const struct pending *pair, size_t slot)
{
    const size_t fixed = combiner->rule.value_size;
    const size_t value_size = fixed > 0 ? fixed : sizeof(struct value_chain);
    const size_t size = weir__pair_record_size(pair->key_size, value_size);
    struct weir__pair_record *record;
    uint64_t offset;

    if (!reserve_log(combiner, size))
        return -ENOMEM;
    offset = combiner->log_used;
    record = (struct weir__pair_record *)(combiner->log + offset);
    *record = (struct weir__pair_record){pair->hash, pair->key_size, (uint32_t)value_size};
    if (fixed == 8) {
        memcpy(record + 1, pair->value, 8);
    } else {
        memset(weir__pair_record_value(record), 0, weir__padded(value_size));
        if (fixed > 0)
            memcpy(record + 1, pair->value, fixed);
    }
    copy_padded(weir__pair_record_key(record), pair->key, weir__padded((size_t)pair->key_size + 1));
    combiner->log_used += size;
    combiner->bytes[weir__hash_group_of(pair->hash, combiner->rule.group_bits)] +=
        fixed > 0 ? size : weir__pair_record_size(pair->key_size, 0);
    combiner->index[slot] = weir__slot(pair->hash, offset);
    combiner->used++;
    if (combiner->used > combiner->slots / 4 * 3 && !grow_index(combiner))
        return -ENOMEM;
    return fixed > 0 ? 0 : append_value(combiner, offset, pair->value, pair->value_size);
}

/* Behind the value is the record's key, and then the next record. One that has been written to is
 * found here, before anything reads what is behind it. */
static inline int call_combine(const struct weir__combiner *combiner, unsigned char *into,
                               const void *from)
{
    const unsigned char *behind = into + weir__padded(combiner->rule.value_size);
    uint64_t before, after;

    memcpy(&before, behind, sizeof(before));
    combiner->rule.combine(into, from, combiner->rule.arg);
    memcpy(&after, behind, sizeof(after));
    return __builtin_expect(before == after, 1) ? 0 : -EOVERFLOW;
}

static inline int combine_pair(struct weir__combiner *combiner, uint64_t offset,
                               const struct pending *pair)
{
    unsigned char *value = combiner->log + offset + sizeof(struct weir__pair_record);
    uint64_t into, from; /* unsigned: a sum wraps */

    if (combiner->sums) {
        memcpy(&into, value, sizeof(into));
        memcpy(&from, pair->value, sizeof(from));
        into += from;
        memcpy(value, &into, sizeof(into));
        return 0;
    }
    if (combiner->rule.value_size == 0)
        return append_value(combiner, offset, pair->value, pair->value_size);
    return call_combine(combiner, value, pair->value);
}

static int search_pair(struct weir__combiner *combiner, const struct pending *pair)
{
    const size_t mask = combiner->slots - 1;
    size_t i = pair->slots == combiner->slots ? pair->slot : pair->hash & mask;

    for (;; i = (i + 1) & mask) {
        const uint64_t slot = combiner->index[i];
        const struct weir__pair_record *record;

        if (slot == 0)
            return insert_pair(combiner, pair, i);
        if ((slot ^ pair->hash) >> 32 != 0)
            continue;
        record = (const struct weir__pair_record *)(combiner->log + weir__slot_offset(slot));
        if (record->hash == pair->hash && record->key_size == pair->key_size &&
            same_key(weir__pair_record_key(record), pair))
            return combine_pair(combiner, weir__slot_offset(slot), pair);
    }
}

/* Records are never moved within the log: if the slot that was found was the key's, it still leads
 * to the key's record. */
static inline int place_pair(struct weir__combiner *combiner, const struct pending *pair)
{
    const uint64_t offset = weir__slot_offset(pair->found);
    const struct weir__pair_record *record =
        (const struct weir__pair_record *)(combiner->log + offset);

    if (__builtin_expect(pair->found != 0 && record->key_size == pair->key_size, 1) &&
        same_key(weir__pair_record_key(record), pair))
        return combine_pair(combiner, offset, pair);
    return search_pair(combiner, pair);
}

/* ---- the queue ------------------------------------------------------------------------------ */

/* Places the pairs up to `end`, whose records have been fetched. */
static void place_up_to(struct weir__combiner *combiner, unsigned end)
{
    for (unsigned i = combiner->first; i != end && combiner->error == 0; i++)
        combiner->error = place_pair(combiner, &combiner->queue[i % DEPTH]);
    combiner->first = end;
}

/* Finds the slots that seem to be those of the pairs up to `end`, and fetches their records. The
 * slots stay valid because nothing is ever taken out of the index. */
static void fetch_up_to(struct weir__combiner *combiner, unsigned end)
{
    const size_t mask = combiner->slots - 1;
    const uint64_t *index = combiner->index;

    for (; combiner->fetched != end; combiner->fetched++) {
        struct pending *pair = &combiner->queue[combiner->fetched % DEPTH];
        size_t i = pair->hash & mask;
        uint64_t slot;

        while ((slot = index[i]) != 0 && (slot ^ pair->hash) >> 32 != 0)
            i = (i + 1) & mask;
        pair->found = slot;
        pair->slot = i;
        pair->slots = combiner->slots;
        if (slot != 0) {
            const unsigned char *record = combiner->log + weir__slot_offset(slot);

            __builtin_prefetch(record, 1);
            __builtin_prefetch(record + 31, 1); /* a record may lie on two lines */
        }
    }
}

/* The queue's next entry. The caller fills it and then calls queue_pending(). */
static struct pending *next_pending(struct weir__combiner *combiner)
{
    return &combiner->queue[combiner->next % DEPTH];
}

static inline void queue_pending(struct weir__combiner *combiner, const struct pending *pair)
{
    __builtin_prefetch(&combiner->index[pair->hash & (combiner->slots - 1)], 0);
    if (++combiner->next % GROUP != 0)
        return;
    place_up_to(combiner, combiner->fetched);
    fetch_up_to(combiner, combiner->next - GROUP);
}

int weir__combiner_end(struct weir__combiner *combiner)
{
    place_up_to(combiner, combiner->fetched);
    fetch_up_to(combiner, combiner->next);
    place_up_to(combiner, combiner->next);
    /* Groups begin at multiples of GROUP. */
    combiner->first = combiner->fetched = combiner->next = 0;
    return combiner->error;
}

/* A pair that does not fit into the queue. */
static int add_long(struct weir__combiner *combiner, const void *key, size_t key_size,
                    const void *value, size_t value_size)
{
    struct pending pair = {
        .hash = weir__hash(key, key_size),
        .key_size = (uint32_t)key_size,
        .value_size = (uint32_t)value_size,
        .value = value,
    };
    unsigned char *padded;

    if (weir__combiner_end(combiner) != 0)
        return combiner->error;
    padded = calloc(1, weir__padded(key_size + 1));
    if (padded == NULL)
        return combiner->error = -ENOMEM;
    memcpy(padded, key, key_size);
    pair.key = padded;
    memcpy(pair.own_key, padded, key_size <= WEIR__KEY_WORDS ? weir__padded(key_size + 1) : 0);
    combiner->error = search_pair(combiner, &pair);
    free(padded);
    return combiner->error;
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

int weir__combiner_add(struct weir__combiner *combiner, const void *key, size_t key_size,
                       const void *value, size_t value_size)
{
    struct pending *pair;

    if (key_size > KEY_SHORT || value_size > VALUE_SHORT)
        return add_long(combiner, key, key_size, value, value_size);
    pair = next_pending(combiner);
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
    queue_pending(combiner, pair);
    return combiner->error;
}

int weir__combiner_add_record(struct weir__combiner *combiner, const void *record,
                              const struct weir__pair_record *head)
{
    struct pending *pair = next_pending(combiner);

    pair->hash = head->hash;
    pair->key_size = head->key_size;
    pair->value_size = head->value_size;
    pair->value = weir__pair_record_value(record);
    pair->key = weir__key_behind(record, head->value_size);
    if (pair->key_size <= WEIR__KEY_WORDS) {
        const size_t last = pair->key_size / 8;

        memcpy(&pair->own_key[0], pair->key, 8);
        memcpy(&pair->own_key[last], pair->key + 8 * last, 8);
    }
    queue_pending(combiner, pair);
    return combiner->error;
}

/* ---- after the end -------------------------------------------------------------------------- */

size_t weir__combiner_count(const struct weir__combiner *combiner)
{
    return combiner->used;
}

unsigned weir__combiner_group_bits(const struct weir__combiner *combiner)
{
    return combiner->rule.group_bits;
}

const uint64_t *weir__combiner_bytes(const struct weir__combiner *combiner)
{
    return combiner->bytes;
}

const struct weir__pair_record *weir__combiner_next(const struct weir__combiner *combiner,
                                                    uint64_t *offset)
{
    uint64_t at = *offset == 0 ? 8 : *offset;

    while (at < combiner->log_used) {
        const struct weir__pair_record *record =
            (const struct weir__pair_record *)(combiner->log + at);

        if (record->key_size == VALUE_LINK) {
            at +=
                sizeof(struct value_link) + weir__padded(((const struct value_link *)record)->size);
            continue;
        }
        *offset = at + weir__pair_record_size(record->key_size, record->value_size);
        return record;
    }
    return NULL;
}

static const struct value_chain *chain_of(const struct weir__pair_record *record)
{
    return (const struct value_chain *)weir__pair_record_value(record);
}

size_t weir__combiner_value_size(const struct weir__combiner *combiner,
                                 const struct weir__pair_record *record)
{
    return combiner->rule.value_size > 0 ? record->value_size : chain_of(record)->size;
}

size_t weir__combiner_published_size(const struct weir__combiner *combiner,
                                     const struct weir__pair_record *record)
{
    return weir__pair_record_size(record->key_size, weir__combiner_value_size(combiner, record));
}

void weir__combiner_write(const struct weir__combiner *combiner,
                          const struct weir__pair_record *record, unsigned char *to)
{
    struct weir__pair_record *written = (struct weir__pair_record *)to;
    const struct value_chain *chain = chain_of(record);
    const struct value_link *link;
    unsigned char *value;

    if (combiner->rule.value_size > 0) {
        copy_padded(to, (const unsigned char *)record,
                    weir__pair_record_size(record->key_size, record->value_size));
        return;
    }
    *written = (struct weir__pair_record){record->hash, record->key_size, (uint32_t)chain->size};
    value = weir__pair_record_value(written);
    if (chain->size % 8 != 0)
        memset(value + (chain->size & ~(uint64_t)7), 0, 8);
    for (uint64_t at = chain->first; at != 0; at = link->next) {
        link = (const struct value_link *)(combiner->log + at);
        memcpy(value, link + 1, link->size);
        value += link->size;
    }
    copy_padded(weir__key_behind(written, chain->size), weir__pair_record_key(record),
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
