/* SPDX-License-Identifier: MIT
 *
 * address_space.h: one address for an object in every process of its scope.
 *
 * A range of addresses is reserved before the first fork, and a table shared by all processes says
 * what is mapped where in it. The table lies in anonymous shared memory: it has no name, so there
 * is nothing to leak, and cleaning up never depends on it.
 */
#ifndef WEIR_MANAGER_SPACE_ADDRESS_SPACE_H
#define WEIR_MANAGER_SPACE_ADDRESS_SPACE_H

#include <stdatomic.h>

#include "manager/space/arena_handle.h"
#include "manager/space/descriptor.h"
#include "manager/space/private_lock.h"
#include "manager/space/unmapped.h"
#include "shm/array/array.h"
#include "shm/block/block.h"
#include "shm/dict/layout.h"
#include "shm/list/list.h"

#define WEIR__ENTRIES      65536u
#define WEIR__GROUP        64u
#define WEIR__GROUPS       (WEIR__ENTRIES / WEIR__GROUP)
#define WEIR__SPAN_CLASSES 64u

/* An entry's life; the low bits of entry.word. The bits above are its incarnation.
 *
 *   FREE --take--> BUSY --publish--> LIVE --retire--> RETIRED --give--> FREE
 *                    \--give (creation failed)--> FREE
 *
 * take and give: the process that popped it from a free list (or got it fresh), alone. retire: by
 * CAS, so one process alone. A process killed in BUSY or RETIRED leaves the entry so, and it is not
 * used again. The exception is an entry of an anonymous scope in BUSY whose maker is known to be
 * dead: seize, by CAS too, makes it RETIRED, and give FREE. */
enum weir__entry_state {
    WEIR__ENTRY_FREE = 0,
    WEIR__ENTRY_BUSY = 1,
    WEIR__ENTRY_LIVE = 2,
    WEIR__ENTRY_RETIRED = 3,
};

/* In shared memory. Its owner (BUSY) writes it; once LIVE, only what is marked changes. The handles
 * are what the user's pointers point to. */
struct weir__entry {
    _Atomic uint64_t word;
    uint64_t address;      /* of its span; changed by its owner alone, see take_bare_entry() */
    uint64_t span;         /* bytes of address space, with at least one guard page at the end */
    _Atomic uint32_t next; /* in a free list: index + 1 */
    /* BUSY, in an anonymous scope: the number of the process that makes it; 0: not known, as always
     * when it is not BUSY. */
    _Atomic uint64_t maker;
    _Atomic uint32_t unlinked; /* LIVE: 1 once its name is known to be gone */
    uint16_t stored;           /* its block is a part of the store, and not a file with a name */
    uint16_t lazy;             /* not all of its memory is reserved */
    /* LIVE: pid << 32 | descriptor + 1 of a process that has the block open, for mapping it after
     * its name is gone; 0: none. */
    _Atomic uint64_t keeper;
    struct weir_shm shm;
    union {
        struct weir_list list;
        struct weir_array array;
        struct weir_arena arena;
        struct weir_dict dict;
        unsigned char handle_bytes[160]; /* for the handles of other kinds of object */
    };
};

_Static_assert(sizeof(struct weir_array) <= 160, "an array's handle fits into handle_bytes");
_Static_assert(sizeof(struct weir_dict) <= 160, "a dictionary's handle fits into handle_bytes");
_Static_assert(sizeof(struct weir_arena) <= 160, "an arena's handle fits into handle_bytes");
_Static_assert(sizeof(struct weir__entry) <= 512, "an entry is at most 512 bytes");

/* In shared memory, all zero at first. */
struct weir__table {
    _Atomic uint64_t generation; /* + 1 after every change of an entry to or from LIVE */
    _Atomic uint64_t next_serial;
    _Atomic uint64_t next_offset; /* bytes of the range that are given out */
    _Atomic uint64_t next_entry;
    _Atomic uint64_t next_maker;
    _Atomic uint64_t arena; /* address of the handle that weir_scope_alloc() uses; 0: none yet */
    _Atomic uint64_t free[WEIR__SPAN_CLASSES]; /* tag << 32 | index + 1; class: log2 of pages */
    _Atomic uint64_t groups[WEIR__GROUPS];     /* as generation, of 64 entries each */
    struct weir__entry entries[WEIR__ENTRIES];
};

/* A block that this process unlinked and keeps open until it is retired. */
struct weir__kept {
    uint32_t entry;
    struct weir__descriptor file;
    uint64_t word;
};

/* Where a process has mapped an entry's object. */
struct weir__place {
    uint64_t address, span;
};

/* Private to each process; copied by fork. */
struct weir__space {
    char *base;
    size_t size, page;
    /* The memfd in which blocks lie that have no names; none while it is not made. */
    struct weir__descriptor store;
    bool anonymous;            /* all blocks of the scope lie there */
    bool dumped;               /* blocks that are not lazy are in core dumps */
    _Atomic size_t uncompared; /* bytes of blocks made since memory was last asked for */
    struct weir__table *table;
    struct weir__private_lock lock; /* guards all below, and this process's mappings in the range */
    _Atomic uint64_t synced;        /* written under the lock */
    uint64_t *seen;                 /* WEIR__ENTRIES words: what this process has acted on */
    struct weir__place *places;     /* of each entry, as seen[] says: valid while that is LIVE */
    uint64_t groups_seen[WEIR__GROUPS];
    uint64_t missing[WEIR__GROUPS]; /* a bit for each entry whose LIVE object is not mapped here */
    _Atomic uint32_t missing_count; /* of these bits; written under the lock */
    _Atomic uint32_t found_missing; /* how often one was set; written under the lock */
    struct weir__kept *kept;
    size_t kept_count, kept_capacity;
};

/* Addresses for the next scope of a program that has `scopes` live ones. */
size_t weir__space_share(size_t scopes);
/* Reserves `wanted` bytes of addresses, or as much as the system grants, and makes the table. */
int weir__space_open(struct weir__space *space, size_t wanted);
/* Makes the memfd in which blocks without names lie. Before the first entry is taken, and before
 * the first fork: every process of the scope inherits the descriptor. */
int weir__space_make_store(struct weir__space *space, const char *name);
/* Where in that memfd an address of the range lies: the same in every process, and at the same
 * place of a huge page. */
uint64_t weir__space_offset(const struct weir__space *space, uint64_t address);
/* Unmaps everything of this process. */
void weir__space_close(struct weir__space *space);
/* In a forked child: no entry refers to its copies of the kept descriptors. Returns how many the
 * program had closed. */
size_t weir__space_forget_kept(struct weir__space *space);

/* True when `address` lies in the table. */
bool weir__space_has_handle(const struct weir__space *space, const void *address);
/* The entry whose handle `shm` is, or NULL. */
struct weir__entry *weir__space_entry(const struct weir__space *space, const struct weir_shm *shm);

/* Takes an entry whose span holds `size` bytes (and a guard page) and makes it BUSY. NULL: none is
 * left, last error set. */
struct weir__entry *weir__space_take(struct weir__space *space, size_t size);
/* Makes a filled-in BUSY entry, mapped here, LIVE. */
void weir__space_publish(struct weir__space *space, struct weir__entry *entry);
/* Gives a BUSY or RETIRED entry back, with its mapping here and its memory in a store. */
void weir__space_give(struct weir__space *space, struct weir__entry *entry);
/* The next entry from *index on that is BUSY with a maker, and its word; NULL: there is none. */
struct weir__entry *weir__space_next_busy(struct weir__space *space, size_t *index, uint64_t *word,
                                          uint64_t *maker);
/* BUSY -> RETIRED, if it is still that word. For an entry whose maker is dead. weir__space_retire()
 * takes the same step from LIVE. */
bool weir__space_seize(struct weir__entry *entry, uint64_t word);
/* LIVE -> RETIRED; gives the memory of a named block back in every process. False when it was not
 * LIVE. */
bool weir__space_retire(struct weir__space *space, struct weir__entry *entry);
/* Keeps a descriptor of the named block open for those that have not mapped it yet. */
void weir__space_keep(struct weir__space *space, struct weir__entry *entry);

/* True when the object of a LIVE entry is mapped in this process. */
bool weir__space_is_mapped(struct weir__space *space, const struct weir__entry *entry);

size_t weir__space_index(const struct weir__space *space, const struct weir__entry *entry);

/* Maps what is LIVE and not mapped here, unmaps what is no longer LIVE. 0, or the error of an
 * object that cannot be mapped, with a message that names it; each call tries again. *first (may be
 * NULL): that object. */
int weir__space_sync(struct weir__space *space, struct weir__unmapped *first);

/* Maps the object of a LIVE entry here if it is not. 0, or -EINVAL, or why it cannot be, with a
 * message that begins with `what`. */
int weir__space_require(struct weir__space *space, const struct weir__entry *entry,
                        const char *what);

/* Writes which object it is, and why it is not mapped in the process that found that out. */
void weir__space_describe(const struct weir__space *space, struct weir__unmapped unmapped,
                          char *text, size_t size);

#endif
