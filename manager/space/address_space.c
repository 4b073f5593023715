/* SPDX-License-Identifier: MIT
 *
 * address_space.c: the reserved range, the shared table, and syncing this process with it.
 *
 * Invariants
 *  - Outside of mapped blocks the range is PROT_NONE, and at least one page behind each block is.
 *  - No two entries' spans overlap, now or ever: a span is used again only by its entry, in a later
 *    incarnation, after its block was retired. An entry gets another, larger span only when all
 *    entries have been used and none with enough addresses is free; its old addresses are not used
 *    again. So a mapping that a process has not dropped yet never lies at a later object's place.
 *  - entry.word says LIVE only while all fields of that incarnation are in place.
 *  - In each process, seen[i] is the word whose mapping stands at entry i's span here: a LIVE word
 *    means that block; any other, nothing. It is BUSY while this very process makes a block there.
 *    places[i] is that span, wherever entry i's is by now.
 *  - missing has a bit for entry i only while it is LIVE and its block could not be mapped here.
 *  - A stored block of entry i lies in the store at the place of its span, and nothing else does.
 *    The process that makes it clears the place first.
 *
 * Failure modes. A process killed between take and publish, or in retire, costs its scope that
 * entry. A process may write nonsense into the table: every value read from it is checked against
 * the range and the table's bounds before it is used, so that a sync maps over nothing outside the
 * range.
 */
#include "manager/space/address_space.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "shm/block/lazy.h"
#include "shm/error.h"

#define SPACE_MIN      ((size_t)64 << 20)
#define SEEN_SIZE      (WEIR__ENTRIES * sizeof(uint64_t))
#define PLACES_SIZE    (WEIR__ENTRIES * sizeof(struct weir__place))
#define HUGE_PAGE      ((uint64_t)2 << 20)
#define STATE(word)    ((enum weir__entry_state)((word)&3))
#define NEXT(word, to) ((((word) >> 2) + 1) << 2 | (to)) /* the next incarnation, in state `to` */
#define SAME(word, to) (((word) & ~(uint64_t)3) | (to))

/* ---- opening and closing -------------------------------------------------------------------- */

/* 2 ** 47 bytes of addresses are 4 TiB for the first scope, a third less for the second, 8 GiB for
 * the thousandth. The n-th oldest scope that lives began when n - 1 older ones did at least, so
 * whatever was begun and ended in which order, n scopes have at most a sixteenth times
 * 1/2 + 1/3 + ... + 1/(n + 1) of all addresses: 2/5 for 1,000 of them, 1/2 for 6,000. */
size_t weir__space_share(size_t scopes)
{
    const char top = 0; /* the stack is at the end of a process's addresses */
    const size_t all = (size_t)1 << (64 - __builtin_clzll((uintptr_t)&top));

    return all / 16 / (scopes + 2);
}

static int reserve_range(struct weir__space *space, size_t wanted)
{
    size_t size = wanted ? wanted : weir__space_share(0);

    if (size < SPACE_MIN)
        size = SPACE_MIN;
    size = (size + space->page - 1) & ~(space->page - 1);
    for (; size >= SPACE_MIN; size = size / 2 & ~(space->page - 1)) {
        void *at = weir__map_nothing(NULL, size);

        if (at != MAP_FAILED) {
            space->base = at;
            space->size = size;
            return 0;
        }
    }
    return weir__fail(-ENOMEM, "cannot reserve %zu MiB of address space for a scope: %s%s",
                      SPACE_MIN >> 20, strerror(errno), weir__lock_hint(errno).text);
}

int weir__space_open(struct weir__space *space, size_t wanted)
{
    void *table;
    int error;

    memset(space, 0, sizeof(*space));
    space->store = WEIR__DESCRIPTOR_NONE;
    space->page = (size_t)sysconf(_SC_PAGESIZE);
    error = reserve_range(space, wanted);
    if (error)
        return error;
    table = weir__map_lazily(NULL, sizeof(struct weir__table), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    error = errno;
    space->table = table == MAP_FAILED ? NULL : table;
    space->seen = weir__map_private(SEEN_SIZE);
    space->places = weir__map_private(PLACES_SIZE);
    if (!space->table || !space->seen || !space->places) {
        weir__space_close(space);
        return weir__fail(-ENOMEM, "cannot make the table of a scope's objects (%zu MiB): %s%s",
                          sizeof(struct weir__table) >> 20, strerror(ENOMEM),
                          weir__lock_hint(table == MAP_FAILED ? error : 0).text);
    }
    weir__set_dump(space->table, sizeof(*space->table), false);
    return 0;
}

int weir__space_make_store(struct weir__space *space, const char *name)
{
    int fd = weir__memory_file(name);

    if (fd >= 0)
        weir__descriptor_set(&space->store, fd);
    return fd < 0 ? fd : 0;
}

uint64_t weir__space_offset(const struct weir__space *space, uint64_t address)
{
    return address - ((uint64_t)(uintptr_t)space->base & ~(HUGE_PAGE - 1));
}

void weir__space_close(struct weir__space *space)
{
    weir__space_forget_kept(space);
    free(space->kept);
    weir__descriptor_close(&space->store);
    if (space->table)
        munmap(space->table, sizeof(*space->table));
    if (space->base)
        munmap(space->base, space->size);
    if (space->seen)
        munmap(space->seen, SEEN_SIZE);
    if (space->places)
        munmap(space->places, PLACES_SIZE);
    memset(space, 0, sizeof(*space));
    space->store = WEIR__DESCRIPTOR_NONE;
}

size_t weir__space_forget_kept(struct weir__space *space)
{
    size_t lost = 0;

    for (size_t i = 0; i < space->kept_count; i++)
        lost += weir__descriptor_close(&space->kept[i].file) >= 0;
    space->kept_count = 0;
    return lost;
}

/* ---- entries -------------------------------------------------------------------------------- */

bool weir__space_has_handle(const struct weir__space *space, const void *address)
{
    return space->table && (uintptr_t)address >= (uintptr_t)space->table &&
           (uintptr_t)address < (uintptr_t)(space->table + 1);
}

size_t weir__space_index(const struct weir__space *space, const struct weir__entry *entry)
{
    return (size_t)(entry - space->table->entries);
}

struct weir__entry *weir__space_entry(const struct weir__space *space, const struct weir_shm *shm)
{
    size_t offset;

    if (!weir__space_has_handle(space, shm) ||
        (uintptr_t)shm < (uintptr_t)&space->table->entries[0].shm)
        return NULL;
    offset = (size_t)((uintptr_t)shm - (uintptr_t)&space->table->entries[0].shm);
    if (offset % sizeof(struct weir__entry) != 0)
        return NULL;
    return &space->table->entries[offset / sizeof(struct weir__entry)];
}

static unsigned log2_floor(uint64_t n)
{
    return 63u - (unsigned)__builtin_clzll(n);
}

static unsigned log2_ceiling(uint64_t n)
{
    return log2_floor(n) + ((n & (n - 1)) != 0);
}

/* Pops an entry from a list, or NULL. The tag changes with every change of the head, so a slow
 * popper cannot mistake a list that came back to the same head. */
static struct weir__entry *pop_entry(struct weir__table *table, unsigned class)
{
    uint64_t head = atomic_load_explicit(&table->free[class], memory_order_acquire);

    for (;;) {
        uint32_t index = (uint32_t)head;
        uint64_t next;

        if (index == 0 || index > WEIR__ENTRIES)
            return NULL;
        next = atomic_load_explicit(&table->entries[index - 1].next, memory_order_relaxed);
        next |= ((head >> 32) + 1) << 32;
        /* acquire, here and above: pairs with address_space.c, push_entry, for `next` and the
         * entry. */
        if (atomic_compare_exchange_weak_explicit(&table->free[class], &head, next,
                                                  memory_order_acquire, memory_order_acquire))
            return &table->entries[index - 1];
    }
}

static void push_entry(struct weir__table *table, unsigned class, struct weir__entry *entry)
{
    uint64_t head = atomic_load_explicit(&table->free[class], memory_order_relaxed);
    uint64_t self = (uint64_t)(entry - table->entries) + 1;
    uint64_t new_head;

    do {
        atomic_store_explicit(&entry->next, (uint32_t)head, memory_order_relaxed);
        new_head = ((head >> 32) + 1) << 32 | self;
        /* release: pairs with address_space.c, pop_entry. */
    } while (!atomic_compare_exchange_weak_explicit(&table->free[class], &head, new_head,
                                                    memory_order_release, memory_order_relaxed));
}

/* Takes `amount` from a counter that must not pass `limit`, so that base + the result is a multiple
 * of `align`. -1: too little is left. */
static int64_t take_from(_Atomic uint64_t *counter, uint64_t base, uint64_t align, uint64_t amount,
                         uint64_t limit)
{
    uint64_t at = atomic_load_explicit(counter, memory_order_relaxed), begin;

    do {
        begin = ((base + at + align - 1) & ~(align - 1)) - base;
        if (at > limit || begin > limit || amount > limit - begin)
            return -1;
        /* relaxed: the counter alone decides, nothing is published by it. */
    } while (!atomic_compare_exchange_weak_explicit(counter, &at, begin + amount,
                                                    memory_order_relaxed, memory_order_relaxed));
    return (int64_t)begin;
}

/* Takes a span off the range, a large one at the begin of a huge page. -1: too little is left. */
static int64_t take_span(struct weir__space *space, uint64_t span)
{
    return take_from(&space->table->next_offset, (uint64_t)(uintptr_t)space->base,
                     span > HUGE_PAGE ? HUGE_PAGE : space->page, span, space->size);
}

static void unmap_place(struct weir__place place)
{
    /* It only fails without memory for the mapping's description; the old mapping stays then. */
    (void)!weir__map_nothing((void *)(uintptr_t)place.address, place.span);
}

/* Takes a span of a power of two pages, or, when the range is too full for that, of just enough. */
static bool take_place(struct weir__space *space, uint64_t pages, struct weir__place *place)
{
    uint64_t span = (uint64_t)space->page << log2_ceiling(pages);
    int64_t offset = take_span(space, span);

    if (offset < 0) {
        span = pages * space->page;
        offset = take_span(space, span);
    }
    *place = (struct weir__place){(uint64_t)(uintptr_t)space->base + (uint64_t)offset, span};
    return offset >= 0;
}

/* Of an entry that is the caller's alone. */
static void set_place(struct weir__entry *entry, struct weir__place place)
{
    entry->address = place.address;
    entry->span = place.span;
}

/* Gives back an entry that was popped and not used. */
static void put_back(struct weir__space *space, struct weir__entry *entry)
{
    push_entry(space->table, log2_floor(entry->span / space->page), entry);
}

/* An entry that has never been used. */
static struct weir__entry *take_fresh_entry(struct weir__space *space, uint64_t pages)
{
    _Atomic uint64_t *next = &space->table->next_entry;
    struct weir__place place;
    int64_t index;

    /* relaxed: addresses are only lost when the last entries are taken at the same time. */
    if (atomic_load_explicit(next, memory_order_relaxed) >= WEIR__ENTRIES ||
        !take_place(space, pages, &place))
        return NULL;
    index = take_from(next, 0, 1, 1, WEIR__ENTRIES);
    if (index < 0)
        return NULL;
    set_place(&space->table->entries[index], place);
    return &space->table->entries[index];
}

/* When all entries have been used: one that is free and has too small a span, with another span.
 * Entries' spans only grow this way, so all addresses that are left behind are fewer than those
 * that entries have. Killed here, the process costs its scope the entry. */
static struct weir__entry *take_bare_entry(struct weir__space *space, uint64_t pages)
{
    struct weir__entry *entry = NULL;
    struct weir__place place;
    size_t index;

    for (unsigned class = 0; !entry && class < log2_ceiling(pages); class ++)
        entry = pop_entry(space->table, class);
    if (!entry)
        return NULL;
    if (!take_place(space, pages, &place)) {
        put_back(space, entry);
        return NULL;
    }
    index = weir__space_index(space, entry);
    weir__private_lock(&space->lock);
    /* The object that had the old span may still be mapped there. */
    if (STATE(space->seen[index]) == WEIR__ENTRY_LIVE)
        unmap_place(space->places[index]);
    space->seen[index] = 0;
    set_place(entry, place);
    weir__private_unlock(&space->lock);
    return entry;
}

static bool span_is_sound(const struct weir__space *space, uint64_t address, uint64_t span)
{
    uint64_t base = (uint64_t)(uintptr_t)space->base;

    return address >= base && address - base <= space->size && span > space->page &&
           span <= space->size - (address - base) && (address | span) % space->page == 0;
}

static bool is_missing(const struct weir__space *space, size_t index)
{
    return space->missing[index / WEIR__GROUP] >> index % WEIR__GROUP & 1;
}

/* Under the lock. `by_others`: its name was not taken away by a process of the scope. */
static void set_missing(struct weir__space *space, size_t index, bool missing, bool by_others)
{
    if (is_missing(space, index) == missing)
        return;
    space->missing[index / WEIR__GROUP] ^= UINT64_C(1) << index % WEIR__GROUP;
    /* relaxed: other threads read both only to learn that there is something to look at. */
    atomic_fetch_add_explicit(&space->missing_count, missing ? 1 : UINT32_MAX,
                              memory_order_relaxed);
    if (missing && by_others)
        atomic_fetch_add_explicit(&space->found_missing, 1, memory_order_relaxed);
}

/* Makes an entry BUSY, in seen[] too: from here on, another thread's sync leaves it alone. */
static bool make_busy(struct weir__space *space, struct weir__entry *entry, uint64_t pages)
{
    uint64_t word = atomic_load_explicit(&entry->word, memory_order_relaxed);
    bool taken = false;

    if (STATE(word) != WEIR__ENTRY_FREE || !span_is_sound(space, entry->address, entry->span) ||
        entry->span / space->page < pages)
        return false;
    weir__private_lock(&space->lock);
    /* The list gave us the entry; the CAS only refuses a damaged table. release:
     * pairs with address_space.c, weir__space_next_busy, which must not see an earlier maker. */
    if (atomic_compare_exchange_strong_explicit(&entry->word, &word, NEXT(word, WEIR__ENTRY_BUSY),
                                                memory_order_release, memory_order_relaxed)) {
        space->seen[weir__space_index(space, entry)] = NEXT(word, WEIR__ENTRY_BUSY);
        space->places[weir__space_index(space, entry)] =
            (struct weir__place){entry->address, entry->span};
        set_missing(space, weir__space_index(space, entry), false, false);
        taken = true;
        /* release fence: a process that copies what the caller writes into the entry sees that the
         * word has changed; pairs with address_space.c, map_entry */
        atomic_thread_fence(memory_order_release);
    }
    weir__private_unlock(&space->lock);
    return taken;
}

static unsigned count_in_use(const struct weir__space *space)
{
    size_t end = atomic_load_explicit(&space->table->next_entry, memory_order_relaxed);
    unsigned count = 0;

    for (size_t i = 0; i < end && i < WEIR__ENTRIES; i++)
        count += STATE(atomic_load_explicit(&space->table->entries[i].word,
                                            memory_order_relaxed)) != WEIR__ENTRY_FREE;
    return count;
}

struct weir__entry *weir__space_take(struct weir__space *space, size_t size)
{
    uint64_t pages = size / space->page + (size % space->page != 0) + 1;
    struct weir__entry *entry;

    if (size < space->size) {
        unsigned fits = log2_ceiling(pages);

        for (unsigned class = fits; class < WEIR__SPAN_CLASSES; class ++) {
            while ((entry = pop_entry(space->table, class))) {
                if (make_busy(space, entry, pages))
                    return entry;
            }
            entry = class == fits ? take_fresh_entry(space, pages) : NULL;
            if (entry && make_busy(space, entry, pages))
                return entry;
        }
        entry = take_bare_entry(space, pages);
        if (entry && make_busy(space, entry, pages))
            return entry;
    }
    return weir__fail_null(-ENOSPC,
                           "no space for an object of %zu bytes in the scope: %u of %u objects are "
                           "there, %llu of %zu MiB of address space have been given out "
                           "(weir_scope_options.address_space)",
                           size, count_in_use(space), WEIR__ENTRIES,
                           (unsigned long long)(atomic_load(&space->table->next_offset) >> 20),
                           space->size >> 20);
}

/* Notifies the other processes that an entry changed. release: groups pairs with address_space.c,
 * sync_group; generation pairs with address_space.c, weir__space_sync. */
static void announce(struct weir__space *space, const struct weir__entry *entry)
{
    size_t group = weir__space_index(space, entry) / WEIR__GROUP;

    atomic_fetch_add_explicit(&space->table->groups[group], 1, memory_order_release);
    atomic_fetch_add_explicit(&space->table->generation, 1, memory_order_release);
}

void weir__space_publish(struct weir__space *space, struct weir__entry *entry)
{
    uint64_t word =
        SAME(atomic_load_explicit(&entry->word, memory_order_relaxed), WEIR__ENTRY_LIVE);

    /* relaxed, here and in weir__space_give: a later store releases it. */
    atomic_store_explicit(&entry->maker, 0, memory_order_relaxed);
    weir__private_lock(&space->lock);
    space->seen[weir__space_index(space, entry)] = word;
    /* release, after all fields of the entry:
     * pairs with address_space.c, sync_entry
     * pairs with address_space.c, is_mapped
     * pairs with address_space.c, weir__space_retire
     * pairs with address_space.c, weir__space_keep
     * pairs with objects.c, find_entry */
    atomic_store_explicit(&entry->word, word, memory_order_release);
    weir__private_unlock(&space->lock);
    announce(space, entry);
}

/* ---- mapping here --------------------------------------------------------------------------- */

/* Gives the memory of an entry's place in the store back. */
static void clear_stored(const struct weir__space *space, const struct weir__entry *entry)
{
    if (entry->stored && weir__descriptor_is_own(&space->store) &&
        span_is_sound(space, entry->address, entry->span))
        weir__block_clear(space->store.fd, weir__space_offset(space, entry->address), entry->span);
}

void weir__space_give(struct weir__space *space, struct weir__entry *entry)
{
    uint64_t word =
        SAME(atomic_load_explicit(&entry->word, memory_order_relaxed), WEIR__ENTRY_FREE);

    clear_stored(space, entry);
    atomic_store_explicit(&entry->maker, 0, memory_order_relaxed);
    weir__private_lock(&space->lock);
    unmap_place((struct weir__place){entry->address, entry->span});
    space->seen[weir__space_index(space, entry)] = word;
    set_missing(space, weir__space_index(space, entry), false, false);
    /* relaxed: push_entry releases it to the next owner. */
    atomic_store_explicit(&entry->word, word, memory_order_relaxed);
    weir__private_unlock(&space->lock);
    put_back(space, entry);
}

/* Closes the descriptors that this process keeps of blocks that are no longer LIVE. */
static void drop_stale_kept(struct weir__space *space)
{
    for (size_t i = space->kept_count; i-- > 0;) {
        const struct weir__entry *entry = &space->table->entries[space->kept[i].entry];

        if (atomic_load_explicit(&entry->word, memory_order_relaxed) != space->kept[i].word) {
            weir__descriptor_close(&space->kept[i].file);
            space->kept[i] = space->kept[--space->kept_count];
        }
    }
}

struct weir__entry *weir__space_next_busy(struct weir__space *space, size_t *index, uint64_t *word,
                                          uint64_t *maker)
{
    size_t end = atomic_load_explicit(&space->table->next_entry, memory_order_relaxed);

    for (end = end > WEIR__ENTRIES ? WEIR__ENTRIES : end; *index < end;) {
        struct weir__entry *entry = &space->table->entries[(*index)++];

        /* acquire: pairs with address_space.c, make_busy. */
        *word = atomic_load_explicit(&entry->word, memory_order_acquire);
        *maker = atomic_load_explicit(&entry->maker, memory_order_relaxed);
        if (STATE(*word) == WEIR__ENTRY_BUSY && *maker != 0)
            return entry;
    }
    return NULL;
}

bool weir__space_seize(struct weir__entry *entry, uint64_t word)
{
    /* relaxed: it only decides which process retires the entry. The last stores of a dead maker
     * were long before its lock was found free; announce() publishes an entry that was LIVE. */
    return atomic_compare_exchange_strong_explicit(&entry->word, &word,
                                                   SAME(word, WEIR__ENTRY_RETIRED),
                                                   memory_order_relaxed, memory_order_relaxed);
}

bool weir__space_retire(struct weir__space *space, struct weir__entry *entry)
{
    /* acquire: pairs with address_space.c, weir__space_publish. */
    uint64_t word = atomic_load_explicit(&entry->word, memory_order_acquire);
    size_t index = weir__space_index(space, entry);

    if (STATE(word) != WEIR__ENTRY_LIVE)
        return false;
    weir__private_lock(&space->lock);
    if (!weir__space_seize(entry, word)) {
        weir__private_unlock(&space->lock);
        return false;
    }
    /* Processes that have not synced yet keep a mapping, but of a file without memory. A stored
     * block's place is cleared by weir__space_give(). */
    if (!entry->stored && space->seen[index] == word)
        weir__remove_pages(entry->shm.buf, entry->shm.size);
    drop_stale_kept(space);
    weir__private_unlock(&space->lock);
    announce(space, entry);
    return true;
}

/* Opens the block read and write if it is the file that it should be. */
static int open_checked(const char *path, int flags, uint64_t ino, uint64_t size)
{
    struct stat st;
    int fd = open(path, flags | O_RDWR | O_NONBLOCK | O_CLOEXEC), error;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        error = -errno;
    else if (!S_ISREG(st.st_mode) || st.st_ino != ino || (uint64_t)st.st_size < size)
        error = -ENOENT;
    else if (st.st_uid != geteuid()) /* who could truncate it while it is mapped */
        error = -EPERM;
    else
        return fd;
    close(fd);
    return error;
}

static int open_named(const char *name, uint64_t ino, uint64_t size)
{
    char path[sizeof(WEIR__SHM_DIR) + 1 + WEIR_SHM_NAME_MAX];

    snprintf(path, sizeof(path), WEIR__SHM_DIR "/%s", name);
    return open_checked(path, O_NOFOLLOW, ino, size);
}

static int open_kept(uint64_t keeper, uint64_t ino, uint64_t size)
{
    char path[64];

    if (keeper == 0)
        return -ENOENT;
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)(keeper >> 32), (int)(uint32_t)keeper - 1);
    return open_checked(path, 0, ino, size);
}

void weir__space_keep(struct weir__space *space, struct weir__entry *entry)
{
    /* acquire: pairs with address_space.c, weir__space_publish. */
    uint64_t word = atomic_load_explicit(&entry->word, memory_order_acquire);
    int fd = open_named(entry->shm.name, entry->shm.ino, entry->shm.size);

    if (fd < 0) /* gone already, or no descriptor left: a later sync is -ENOENT elsewhere */
        return;
    weir__private_lock(&space->lock);
    if (space->kept_count == space->kept_capacity) {
        size_t capacity = space->kept_capacity ? 2 * space->kept_capacity : 16;
        struct weir__kept *kept = realloc(space->kept, capacity * sizeof(*kept));

        if (!kept) {
            weir__private_unlock(&space->lock);
            close(fd);
            return;
        }
        space->kept = kept;
        space->kept_capacity = capacity;
    }
    space->kept[space->kept_count] =
        (struct weir__kept){.entry = (uint32_t)weir__space_index(space, entry), .word = word};
    weir__descriptor_set(&space->kept[space->kept_count++].file, fd);
    weir__private_unlock(&space->lock);
    /* release: pairs with address_space.c, open_entry_block, which looks here once the name is
     * gone. */
    atomic_store_explicit(&entry->keeper, (uint64_t)getpid() << 32 | (uint32_t)(fd + 1),
                          memory_order_release);
}

/* Opens a block by its name, or the descriptor that its keeper has open. */
static int open_entry_block(const struct weir__entry *entry, const char *name, uint64_t ino,
                            uint64_t size)
{
    int fd = open_named(name, ino, size);

    if (fd != -ENOENT)
        return fd;
    /* acquire: pairs with address_space.c, weir__space_keep. */
    return open_kept(atomic_load_explicit(&entry->keeper, memory_order_acquire), ino, size);
}

/* An error that stays until a name, an owner or the table is changed: trying again at once is in
 * vain. The others are about what this process may have. */
static bool is_lasting(int error)
{
    return error == -ENOENT || error == -EPERM || error == -EBADMSG;
}

/* What is to be mapped, copied from an entry. */
struct wanted {
    uint64_t address, span, ino, size;
    bool stored, lazy;
};

static int map_at(const struct weir__space *space, const struct wanted *wanted, int fd,
                  uint64_t offset)
{
    const int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED;
    void *at = (void *)(uintptr_t)wanted->address;

    at = wanted->lazy ? weir__map_lazily(at, wanted->size, protection, flags, fd, (off_t)offset)
                      : mmap(at, wanted->size, protection, flags, fd, (off_t)offset);
    if (at == MAP_FAILED)
        return -ENOMEM;
    if (wanted->lazy || !space->dumped)
        weir__set_dump(at, wanted->size, false);
    return 0;
}

/* The block's part of the store, unless the store ends before it: access would be a SIGBUS. */
static int map_stored(const struct weir__space *space, const struct wanted *wanted)
{
    uint64_t offset = weir__space_offset(space, wanted->address);
    struct stat st;

    if (fstat(space->store.fd, &st) < 0)
        return -errno;
    if (st.st_dev != space->store.device || st.st_ino != space->store.inode)
        return -EBADF;
    return (uint64_t)st.st_size < offset + wanted->size
               ? -ENOENT
               : map_at(space, wanted, space->store.fd, offset);
}

/* Maps the block of a LIVE entry at its span, *place. 1: the entry changed meanwhile, nothing was
 * done. */
static int map_entry(struct weir__entry *entry, const struct weir__space *space, uint64_t word,
                     struct weir__place *place)
{
    char name[WEIR_SHM_NAME_MAX + 1];
    const struct wanted wanted = {
        .address = entry->address,
        .span = entry->span,
        .ino = entry->shm.ino,
        .size = entry->shm.size,
        .stored = entry->stored,
        .lazy = entry->lazy,
    };
    int fd, error;

    memcpy(name, entry->shm.name, sizeof(name));
    /* acquire fence: the copies above are of this incarnation if the word is still the same;
     * pairs with address_space.c, make_busy. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&entry->word, memory_order_relaxed) != word)
        return 1;
    name[WEIR_SHM_NAME_MAX] = '\0';
    if (!span_is_sound(space, wanted.address, wanted.span) || wanted.size == 0 ||
        wanted.size > wanted.span - space->page || strchr(name, '/'))
        return -EBADMSG;
    if (wanted.stored) {
        error = space->store.fd >= 0 ? map_stored(space, &wanted) : -EBADMSG;
    } else {
        fd = open_entry_block(entry, name, wanted.ino, wanted.size);
        if (fd < 0 && atomic_load_explicit(&entry->word, memory_order_acquire) != word)
            return 1;
        if (fd < 0)
            return fd == -EACCES || fd == -ELOOP || fd == -ENXIO ? -EPERM : fd;
        error = map_at(space, &wanted, fd, 0);
        close(fd);
    }
    if (!error)
        *place = (struct weir__place){wanted.address, wanted.span};
    return error;
}

/* Under the lock. Acts on what the entry says by now; an object that could not be mapped is tried
 * again. */
static int sync_entry(struct weir__space *space, size_t index)
{
    struct weir__entry *entry = &space->table->entries[index];
    /* acquire: pairs with address_space.c, weir__space_publish. */
    uint64_t word = atomic_load_explicit(&entry->word, memory_order_acquire);
    uint64_t *seen = &space->seen[index];
    struct weir__place place = {0}; /* nowhere */
    int error = 0;

    if (STATE(word) == WEIR__ENTRY_BUSY || (word == *seen && !is_missing(space, index)))
        return 0;
    if (STATE(word) == WEIR__ENTRY_LIVE) {
        error = map_entry(entry, space, word, &place);
        if (error == 1)
            return 0; /* it is announced again, in a later generation than the one noted here */
    }
    /* What was there before; over the same place the new object is mapped by now. */
    if (STATE(*seen) == WEIR__ENTRY_LIVE && space->places[index].address != place.address)
        unmap_place(space->places[index]);
    space->places[index] = place;
    *seen = error ? SAME(word, WEIR__ENTRY_RETIRED) : word;
    set_missing(space, index, error != 0,
                !atomic_load_explicit(&entry->unlinked, memory_order_relaxed));
    return error;
}

/* With the lock. */
static bool is_mapped(const struct weir__space *space, const struct weir__entry *entry)
{
    /* acquire: pairs with address_space.c, weir__space_publish. */
    const uint64_t word = atomic_load_explicit(&entry->word, memory_order_acquire);

    return STATE(word) == WEIR__ENTRY_LIVE && space->seen[weir__space_index(space, entry)] == word;
}

bool weir__space_is_mapped(struct weir__space *space, const struct weir__entry *entry)
{
    bool mapped;

    weir__private_lock(&space->lock);
    mapped = is_mapped(space, entry);
    weir__private_unlock(&space->lock);
    return mapped;
}

/* The first error that passes, or the first one. */
static void note_unmapped(struct weir__unmapped *first, int error, size_t index)
{
    if (error && (!first->error || (is_lasting(first->error) && !is_lasting(error))))
        *first = (struct weir__unmapped){.error = error, .entry = (uint32_t)index};
}

static void sync_group(struct weir__space *space, size_t group, struct weir__unmapped *first)
{
    /* acquire: pairs with address_space.c, announce. */
    uint64_t now = atomic_load_explicit(&space->table->groups[group], memory_order_acquire);

    if (now == space->groups_seen[group] && space->missing[group] == 0)
        return;
    for (size_t i = group * WEIR__GROUP; i < (group + 1) * WEIR__GROUP; i++)
        note_unmapped(first, sync_entry(space, i), i);
    space->groups_seen[group] = now;
}

/* ---- what is missing ------------------------------------------------------------------------ */

static void describe_reason(const struct weir__entry *entry, int error, char *text, size_t size)
{
    struct rlimit limit = {0};

    if (error == -ENOENT && entry->stored)
        snprintf(text, size, "its place in the scope's memory is gone");
    else if (error == -ENOENT && atomic_load_explicit(&entry->unlinked, memory_order_relaxed))
        snprintf(text, size, "it was unlinked, and the process that unlinked it is gone");
    else if (error == -ENOENT)
        snprintf(text, size, "its name in /dev/shm is gone, or another file has it");
    else if (error == -EPERM)
        snprintf(text, size, "it is another user's, or the process's user may not open it");
    else if (error == -EBADMSG)
        snprintf(text, size, "its entry in the scope's table is damaged");
    else if (error == -EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
        snprintf(text, size, "all %llu descriptors of the process are in use (RLIMIT_NOFILE)",
                 (unsigned long long)limit.rlim_cur);
    else if (error == -ENOMEM)
        snprintf(text, size, "no memory for a mapping, or more than vm.max_map_count%s",
                 weir__lock_hint(ENOMEM).text);
    else
        snprintf(text, size, "%s", weir_strerror(error));
}

void weir__space_describe(const struct weir__space *space, struct weir__unmapped unmapped,
                          char *text, size_t size)
{
    const struct weir__entry *entry = &space->table->entries[unmapped.entry % WEIR__ENTRIES];
    char name[WEIR_SHM_NAME_MAX + 1], reason[200];

    memcpy(name, entry->shm.name, sizeof(name));
    name[WEIR_SHM_NAME_MAX] = '\0';
    describe_reason(entry, unmapped.error, reason, sizeof(reason));
    snprintf(text, size, "object \"%.130s\": %s", name, reason);
}

static int fail_unmapped(const struct weir__space *space, struct weir__unmapped unmapped,
                         const char *what)
{
    /* relaxed: a number for a message. */
    uint32_t count = atomic_load_explicit(&space->missing_count, memory_order_relaxed);
    char why[400], more[64] = "";

    weir__space_describe(space, unmapped, why, sizeof(why));
    if (count > 1)
        snprintf(more, sizeof(more), " (%u objects of the scope are not)", count);
    return weir__fail(unmapped.error, "%s is not mapped in process %d: %s%s", what, (int)getpid(),
                      why, more);
}

int weir__space_require(struct weir__space *space, const struct weir__entry *entry,
                        const char *what)
{
    struct weir__unmapped unmapped = {.entry = (uint32_t)weir__space_index(space, entry)};
    bool mapped;

    weir__private_lock(&space->lock);
    mapped = is_mapped(space, entry);
    if (!mapped) {
        unmapped.error = sync_entry(space, unmapped.entry);
        mapped = is_mapped(space, entry);
    }
    weir__private_unlock(&space->lock);
    if (mapped)
        return 0;
    return unmapped.error ? fail_unmapped(space, unmapped, what)
                          : weir__fail(-EINVAL, "%s has been closed", what);
}

int weir__space_sync(struct weir__space *space, struct weir__unmapped *first)
{
    /* acquire: pairs with address_space.c, announce: earlier announcements are seen below. */
    uint64_t now = atomic_load_explicit(&space->table->generation, memory_order_acquire);
    struct weir__unmapped unmapped = {0};
    size_t groups;

    /* relaxed: this process's own numbers; one that is out of date is so of a sync under way. */
    if (now != atomic_load_explicit(&space->synced, memory_order_relaxed) ||
        atomic_load_explicit(&space->missing_count, memory_order_relaxed) != 0) {
        weir__private_lock(&space->lock);
        now = atomic_load_explicit(&space->table->generation, memory_order_acquire);
        groups = atomic_load_explicit(&space->table->next_entry, memory_order_relaxed);
        groups = groups > WEIR__ENTRIES ? WEIR__GROUPS : (groups + WEIR__GROUP - 1) / WEIR__GROUP;
        for (size_t i = 0; i < groups; i++)
            sync_group(space, i, &unmapped);
        if (space->kept_count)
            drop_stale_kept(space);
        if (is_lasting(unmapped.error) || !unmapped.error)
            atomic_store_explicit(&space->synced, now, memory_order_relaxed);
        weir__private_unlock(&space->lock);
    }
    if (first)
        *first = unmapped;
    return unmapped.error ? fail_unmapped(space, unmapped, "an object of the scope") : 0;
}
