/* SPDX-License-Identifier: MIT
 *
 * objects.c: making, unlinking and closing a scope's objects.
 *
 * An object is made in this order: an entry of the table (its address), an unnamed file mapped
 * there and filled, its record in the scope file, its name, and then the table says LIVE. Unlinking
 * takes the name away and leaves the record (a name with another inode is never touched); closing
 * an unlinked one retires the entry, gives the memory back, and blanks the record. What weir itself
 * throws away is retired first, so that no process misses it.
 *
 * Failure modes. Killed in between, the record may name a file that is not there (harmless), or a
 * file that no process uses (unlinked at the scope's end). The record is never missing.
 */
#include "manager/objects/objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/host/blocks.h"
#include "manager/host/member.h"
#include "manager/host/registry.h"
#include "manager/objects/store.h"
#include "manager/scope_file/scope_file.h"
#include "shm/array/array.h"
#include "shm/dict/block.h"
#include "shm/error.h"
#include "shm/list/list.h"

static void close_object(struct weir_shm *shm);
static int unlink_object(struct weir_shm *shm);
static bool make_room_for(struct weir_shm *shm);

static const struct weir__shm_owner owner = {
    .close = close_object, .unlink = unlink_object, .make_room = make_room_for};
static const struct weir__shm_owner stored_owner = {.close = close_object,
                                                    .unlink = unlink_object,
                                                    .path = weir__store_path,
                                                    .file = weir__store_file,
                                                    .make_room = make_room_for};

/* ---- making --------------------------------------------------------------------------------- */

/* A new object: of what kind, made from what, and its block. */
struct plan {
    const struct weir__object_kind *kind;
    const void *spec;
    const char *name; /* the user's; NULL: one of the scope's own */
    size_t size;
    unsigned flags; /* WEIR_SHM_LAZY */
    bool stored;    /* in the scope's memfd, without a name */
};

/* The record lock belongs to the whole process: the first of its threads takes it, the last one
 * gives it back. */
static int begin_creation(struct weir_scope *scope)
{
    int error = 0;

    weir__private_lock(&scope->space.lock);
    if (scope->creators_pid != getpid()) {
        scope->creators_pid = getpid();
        scope->creators = 0;
    }
    /* Each thread reads the header: the lock alone does not say that the scope is open. */
    error = weir__scope_file_creation_begin(scope->file.fd);
    if (!error)
        scope->creators++;
    else if (scope->creators == 0)
        weir__scope_file_creation_end(scope->file.fd);
    weir__private_unlock(&scope->space.lock);
    return error;
}

static void end_creation(struct weir_scope *scope)
{
    weir__private_lock(&scope->space.lock);
    if (--scope->creators == 0)
        weir__scope_file_creation_end(scope->file.fd);
    weir__private_unlock(&scope->space.lock);
}

static int note_block(struct weir_scope *scope, const struct weir__entry *entry,
                      const struct plan *plan)
{
    struct weir__block_record record = {
        .ino = entry->shm.ino, .size = plan->size, .pid = (int)getpid()};

    snprintf(record.name, sizeof(record.name), "%s", entry->shm.name);
    snprintf(record.kind, sizeof(record.kind), "%s", plan->kind->name);
    return weir__scope_file_note(scope->file.fd, weir__space_index(&scope->space, entry), &record);
}

/* Record, then name, unless it has none. */
static int name_in_scope(struct weir_scope *scope, struct weir__entry *entry,
                         const struct weir__block *block, const struct plan *plan)
{
    int error;

    if (plan->stored) {
        /* There is no name that a cleaner could miss, so no cleaner needs to wait for this; and in
         * a scope with names nothing to be recorded. */
        error = weir__scope_file_check_open(scope->file.fd);
        return error || !weir__scope_is_anonymous(scope) ? error : note_block(scope, entry, plan);
    }
    error = begin_creation(scope);
    if (error)
        return error;
    error = note_block(scope, entry, plan);
    if (!error) {
        /* Killed here: the record names nothing yet. */
        error = weir__block_link(block, entry->shm.name);
        /* Killed here: the record names this block, and the scope's end unlinks it. */
        if (error)
            weir__scope_file_blank(scope->file.fd, weir__space_index(&scope->space, entry));
    }
    end_creation(scope);
    return error;
}

static void set_entry_handle(struct weir_scope *scope, struct weir__entry *entry,
                             const struct weir__block *block, const struct plan *plan)
{
    char name[WEIR__BLOCK_NAME_SIZE];
    /* relaxed: only has to be different each time. */
    uint64_t serial =
        atomic_fetch_add_explicit(&scope->space.table->next_serial, 1, memory_order_relaxed);

    weir__scope_file_block_name(name, scope->id, serial + 1);
    snprintf(entry->shm.name, sizeof(entry->shm.name), "%s", plan->name ? plan->name : name);
    entry->shm.buf = block->addr;
    entry->shm.size = block->size;
    entry->shm.ino = block->ino;
    entry->shm.owner = plan->stored ? &stored_owner : &owner;
    atomic_store_explicit(&entry->unlinked, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->keeper, 0, memory_order_relaxed);
}

/* Takes an entry whose record's place is blank. A record that is not blank may stand for a name
 * that exists (a process died, or the table was damaged): its entry is never used again. */
static struct weir__entry *take_entry(struct weir_scope *scope, size_t size)
{
    for (;;) {
        struct weir__entry *entry = weir__space_take(&scope->space, size);
        int blank;

        if (!entry)
            return NULL;
        blank = weir__scope_file_is_blank(scope->file.fd, weir__space_index(&scope->space, entry));
        if (blank == 1)
            return entry;
        if (blank < 0) {
            weir__space_give(&scope->space, entry);
            return weir__fail_null(blank, "cannot read the scope file: %s", strerror(-blank));
        }
    }
}

static int check_users_name(const struct weir_scope *scope, const char *name)
{
    int error = weir__scope_file_check_name(name);

    if (!error && weir__scope_is_anonymous(scope))
        error =
            weir__fail(-ENOTSUP, "block \"%s\" cannot have a name: the scope is anonymous", name);
    return error;
}

/* The whole way to an entry that is LIVE. NULL with the last error set, and nothing left. */
static struct weir__entry *try_to_make(struct weir_scope *scope, const struct plan *plan)
{
    const unsigned flags = plan->flags | (scope->space.dumped ? WEIR__SHM_DUMP : 0);
    struct weir__block block = WEIR__BLOCK_NONE;
    /* Once, for all that is written to the scope file below. */
    struct weir__entry *entry =
        weir__scope_file_fd(scope) < 0 ? NULL : take_entry(scope, plan->size);
    int error;

    if (!entry)
        return NULL;
    entry->stored = plan->stored;
    entry->lazy = (plan->flags & WEIR_SHM_LAZY) != 0;
    error = plan->stored
                ? weir__store_reserve(scope, entry, plan->size, flags, &block)
                : weir__block_reserve(&block, plan->size, flags, (void *)(uintptr_t)entry->address);
    if (!error) {
        set_entry_handle(scope, entry, &block, plan);
        if (plan->kind->fill)
            error = plan->kind->fill(block.addr, plan->size, plan->spec);
        if (!error && plan->kind->bind)
            error = plan->kind->bind(entry->handle_bytes, &entry->shm, plan->spec);
    }
    if (!error)
        error = name_in_scope(scope, entry, &block, plan);
    /* A manager takes a program that has closed its connection for gone, and cleans up. Then that
     * is what the program is told. */
    if (error == -ESTALE && scope->beginner == getpid() && scope->channel.socket.fd >= 0)
        (void)weir__channel_check(&scope->channel);
    weir__block_close_fd(&block);
    if (error) {
        weir__space_give(&scope->space, entry);
        return NULL;
    }
    weir__space_publish(&scope->space, entry);
    return entry;
}

/* Whether memory or addresses that are lacking could be had from others: from processes that were
 * killed while they made an object in the store, and from pools of this process. */
static bool make_room(struct weir_scope *scope)
{
    bool any = weir__store_reclaim(scope);

    return weir__scope_give_back(scope) || any;
}

/* The same for an object that grows. */
static bool make_room_for(struct weir_shm *shm)
{
    struct weir_scope *scope = weir__scope_of(shm);

    return scope && make_room(scope);
}

/* Where memory is short, once more when there is room. A file may have to be shorter (RLIMIT_FSIZE)
 * than the place of the entry in the store, but not than a block with a name. */
static struct weir__entry *make_entry(weir_scope *scope, const struct plan *users_plan)
{
    struct weir_scope *live = weir__scope_live(scope);
    const weir_error before = *weir_last_error();
    struct plan plan = *users_plan;
    struct weir__entry *entry;
    weir_error shortage;

    if (!live || (plan.name && check_users_name(live, plan.name)))
        return NULL;
    plan.stored |= weir__scope_is_anonymous(live);
    entry = try_to_make(live, &plan);
    if (!entry && plan.stored && !weir__scope_is_anonymous(live) &&
        weir_last_error()->code == -EFBIG) {
        plan.stored = false;
        entry = try_to_make(live, &plan);
    }
    if (!entry && weir__is_shortage(weir_last_error()->code)) {
        shortage = *weir_last_error();
        if (make_room(live))
            entry = try_to_make(live, &plan);
        else
            weir__fail_with(&shortage);
    }
    if (entry)
        weir__fail_with(&before);
    return entry;
}

/* For a program that has connected: a block of its own, finished before the manager names it, and a
 * stand-alone handle. NULL with the last error set; what the manager may have named goes with the
 * scope. */
static weir_shm *make_outside(struct weir_scope *scope, const struct plan *plan)
{
    struct weir_shm *shm = malloc(sizeof(*shm));
    struct weir__block block;
    int error;

    if (!shm)
        return weir__fail_null(-ENOMEM, "no memory for the handle of a block");
    error = weir__block_reserve(&block, plan->size, plan->flags, NULL);
    if (!error && plan->kind->fill)
        error = plan->kind->fill(block.addr, plan->size, plan->spec);
    if (!error)
        error = weir__scope_name_block(scope, &block, plan->kind->name, plan->name, shm->name);
    if (error) {
        weir__block_discard(&block);
        free(shm);
        return NULL;
    }
    weir__block_close_fd(&block);
    shm->buf = block.addr;
    shm->size = block.size;
    shm->ino = block.ino;
    shm->owner = NULL;
    return shm;
}

static weir_shm *make_shm(weir_scope *scope, const struct plan *plan)
{
    struct weir_scope *outside = weir__scope_connected(scope);
    struct weir__entry *entry;

    if (plan->size == 0 && weir__scope_any(scope))
        return weir__fail_null(-EINVAL, "a block of size 0 cannot be made");
    if (outside)
        return make_outside(outside, plan);
    entry = make_entry(scope, plan);
    return entry ? &entry->shm : NULL;
}

weir_shm *weir_scope_shm(weir_scope *scope, size_t size)
{
    return make_shm(scope, &(struct plan){.kind = &weir__block_kind, .size = size});
}

weir_shm *weir__scope_block(weir_scope *scope, size_t size, unsigned flags)
{
    struct plan plan = {.kind = &weir__block_kind, .size = size, .flags = flags, .stored = true};

    return make_shm(scope, &plan);
}

weir_shm *weir_scope_shm_named(weir_scope *scope, const char *name, size_t size)
{
    if (weir__scope_file_check_name(name))
        return NULL;
    return make_shm(scope, &(struct plan){.kind = &weir__block_kind, .name = name, .size = size});
}

/* An object that is more than its block. */
static void *make_object(weir_scope *scope, const struct weir__object_kind *kind, const char *name,
                         const void *spec)
{
    struct plan plan = {.kind = kind, .spec = spec, .name = name};
    struct weir_scope *outside = weir__scope_connected(scope);
    int64_t size = kind->size(spec, &plan.flags);
    struct weir__entry *entry;

    if (size < 0)
        return NULL;
    plan.size = (size_t)size;
    if (outside)
        return weir__object_of(kind, make_outside(outside, &plan), spec);
    entry = make_entry(scope, &plan);
    return entry ? entry->handle_bytes : NULL;
}

weir_list *weir_scope_list(weir_scope *scope, const weir_value *values, size_t count)
{
    const struct weir__list_spec spec = {values, count, NULL};

    return make_object(scope, &weir__list_kind, NULL, &spec);
}

weir_list *weir_scope_list_named(weir_scope *scope, const char *name, const weir_value *values,
                                 size_t count)
{
    const struct weir__list_spec spec = {values, count, NULL};

    if (weir__scope_file_check_name(name))
        return NULL;
    return make_object(scope, &weir__list_kind, name, &spec);
}

weir_list *weir_scope_list_range(weir_scope *scope, int64_t start, int64_t stop, int64_t step)
{
    const struct weir__list_range range = {start, stop, step};
    const struct weir__list_spec spec = {.range = &range};

    return make_object(scope, &weir__list_kind, NULL, &spec);
}

weir_array *weir_scope_array(weir_scope *scope, weir_dtype dtype, int ndim, const int64_t *shape,
                             unsigned flags)
{
    const struct weir__array_spec spec = {dtype, ndim, shape, flags};

    return make_object(scope, &weir__array_kind, NULL, &spec);
}

weir_array *weir_scope_array_named(weir_scope *scope, const char *name, weir_dtype dtype, int ndim,
                                   const int64_t *shape, unsigned flags)
{
    const struct weir__array_spec spec = {dtype, ndim, shape, flags};

    if (weir__scope_file_check_name(name))
        return NULL;
    return make_object(scope, &weir__array_kind, name, &spec);
}

weir_dict *weir_scope_dict(weir_scope *scope, const weir_dict_options *options)
{
    const struct weir__dict_spec spec = {options, NULL};

    return make_object(scope, &weir__dict_kind, NULL, &spec);
}

weir_dict *weir_scope_dict_named(weir_scope *scope, const char *name,
                                 const weir_dict_options *options)
{
    const struct weir__dict_spec spec = {options, NULL};

    if (weir__scope_file_check_name(name))
        return NULL;
    return make_object(scope, &weir__dict_kind, name, &spec);
}

/* ---- a block of an arena -------------------------------------------------------------------- */

struct arena_spec {
    uint64_t size, block_size;
    struct weir_arena *older;
};

static int bind_arena(void *handle, struct weir_shm *shm, const void *arena_spec)
{
    const struct arena_spec *spec = arena_spec;
    struct weir_arena *block = handle;

    block->shm = shm;
    block->size = spec->size;
    block->block_size = spec->block_size;
    block->older = spec->older;
    /* relaxed: the entry is published when all of it is in place. */
    atomic_store_explicit(&block->used, 0, memory_order_relaxed);
    atomic_store_explicit(&block->reserved, 0, memory_order_relaxed);
    atomic_store_explicit(&block->newest, block, memory_order_relaxed);
    return 0;
}

static const struct weir__object_kind arena_kind = {.name = "arena", .bind = bind_arena};

struct weir_arena *weir__make_arena_block(weir_scope *scope, uint64_t size, uint64_t block_size,
                                          struct weir_arena *older)
{
    const struct arena_spec spec = {size, block_size, older};
    const struct plan plan = {
        .kind = &arena_kind, .spec = &spec, .size = size, .flags = WEIR_SHM_LAZY};
    struct weir__entry *entry = make_entry(scope, &plan);

    return entry ? &entry->arena : NULL;
}

/* ---- unlinking and closing ------------------------------------------------------------------ */

/* The entry behind a handle, if both its scope and the object are live. */
static struct weir__entry *find_entry(struct weir_shm *shm, struct weir_scope **scope)
{
    struct weir__entry *entry;

    *scope = weir__scope_of(shm);
    entry = *scope ? weir__space_entry(&(*scope)->space, shm) : NULL;
    /* acquire: pairs with address_space.c, weir__space_publish. */
    if (!entry ||
        (atomic_load_explicit(&entry->word, memory_order_acquire) & 3) != WEIR__ENTRY_LIVE)
        return NULL;
    return entry;
}

/* What is stored in a scope with names has none. A program that has closed the scope file keeps its
 * records: names that are gone by then. */
static void blank_record(const struct weir_scope *scope, const struct weir__entry *entry)
{
    if ((!entry->stored || weir__scope_is_anonymous(scope)) &&
        weir__descriptor_is_own(&scope->file))
        weir__scope_file_blank(scope->file.fd, weir__space_index(&scope->space, entry));
}

static int unlink_object(struct weir_shm *shm)
{
    struct weir_scope *scope;
    struct weir__entry *entry = find_entry(shm, &scope);
    int error;

    if (!entry)
        return weir__fail(-EINVAL, "the object has been closed, or its scope has ended");
    if (atomic_load_explicit(&entry->unlinked, memory_order_relaxed))
        return weir__fail(-ENOENT, "%s has been unlinked already", shm->name);
    if (entry->stored) {
        blank_record(scope, entry);
        atomic_store_explicit(&entry->unlinked, 1, memory_order_relaxed);
        return 0;
    }
    weir__space_keep(&scope->space, entry);
    error = weir__block_unlink(shm->name, shm->ino);
    if (error && error != -ENOENT)
        return error;
    /* relaxed: the program orders unlinking before closing. */
    atomic_store_explicit(&entry->unlinked, 1, memory_order_relaxed);
    if (error)
        return weir__fail(-ENOENT, "%s is gone, or another file has its name", shm->name);
    return 0;
}

/* Of a retired object. */
static void give_back(struct weir_scope *scope, struct weir__entry *entry)
{
    /* Killed here: the entry stays RETIRED and its record names nothing. The blank comes before the
     * entry is given back, so that its next owner alone writes there. */
    blank_record(scope, entry);
    weir__space_give(&scope->space, entry);
}

static void close_object(struct weir_shm *shm)
{
    struct weir_scope *scope;
    struct weir__entry *entry = find_entry(shm, &scope);

    if (!entry || !atomic_load_explicit(&entry->unlinked, memory_order_relaxed))
        return; /* with its name it belongs to the scope */
    weir__space_sync(&scope->space, NULL);
    if (weir__space_retire(&scope->space, entry))
        give_back(scope, entry);
}

void weir__scope_discard(weir_shm *shm)
{
    struct weir_scope *scope;
    struct weir__entry *entry = find_entry(shm, &scope);
    int error = 0;

    if (!entry)
        return;
    weir__space_sync(&scope->space, NULL);
    if (!weir__space_retire(&scope->space, entry))
        return;
    if (!entry->stored)
        error = weir__block_unlink(shm->name, shm->ino);
    /* Killed before, or not unlinked: the record stays, and the name, without memory, goes with the
     * scope. */
    if (!error || error == -ENOENT)
        give_back(scope, entry);
}
