/* SPDX-License-Identifier: MIT
 *
 * weir-manager.h: the scope. What is made in a scope is unlinked when the scope ends, whoever dies.
 *
 * weir_begin() starts a small manager process that owns the scope's names and outlives the program
 * just long enough to unlink them. Objects of a scope have the same address in every process that
 * belongs to it (workers, and processes started with weir_process_start), whether that process was
 * forked before or after the object was made, so a plain pointer to one can be handed around.
 *
 * Which process may do what:
 *  - Only the process that called weir_begin() ends the scope. In a child that the program forked
 *    itself, weir_end() only forgets the mappings, and the child may use the objects until then.
 *  - Objects can be made, used, unlinked and closed in every process of the scope, by any thread.
 *  - If the program is killed, calls exec, or exits without weir_end(), the manager unlinks
 *    everything. If the manager is killed, the program (or its pool's supervisor) does it. If all of
 *    them are killed at once, the next weir_begin() of any program of the same user does.
 */
#ifndef WEIR_MANAGER_H
#define WEIR_MANAGER_H

#include <weir-shm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A scope and its manager process. */
typedef struct weir_manager weir_manager;

/* Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_options {
    size_t address_space; /* bytes of address space kept for the scope's objects; no memory is used
                             by it. 0: 4 TiB, or as much of it as the system grants */
    int timeout_ms;       /* longest wait for the manager to start or to end, then weir acts by
                             itself; 0: 5000 */
    uint64_t reserved[8];
} weir_options;

/* Begins a scope: sweeps what dead scopes of this user left in /dev/shm, and starts the manager.
 *
 * `options` may be NULL. Several scopes may be open at once. No thread is started, no signal handler
 * installed, and the manager is not a child of this process.
 * Context: any thread. Crash: nothing is left, or the manager or the next weir_begin() removes it.
 * Returns: the scope, to be ended with weir_end(); or NULL: EINVAL (options), ENOENT (the manager
 * program is not found; the message lists where it was looked for, and WEIR_MANAGER can name it),
 * ENOSPC, ENOMEM, EMFILE, ETIMEDOUT (the manager did not get ready), EPROTO (it is another version). */
WEIR_API weir_manager *weir_begin(const weir_options *options);

/* Ends the scope: stops its pools and processes, has everything unlinked, waits until the manager is
 * gone, and unmaps. `manager` and all objects of the scope are invalid afterwards. NULL is allowed.
 *
 * If the manager is dead or does not answer in time it is killed and the work done here, so this
 * never hangs. What the user unlinked before is no error.
 * Context: the process that began the scope; no other thread may use the scope any more. In a forked
 * child it only unmaps, and returns 0.
 * Returns: 0, or the first error of unlinking (the rest is unlinked all the same); -EBUSY when a child
 * that the program forked hangs in the middle of making an object (the next weir_begin() removes what
 * is left then); -EINVAL when this scope has already been ended. */
WEIR_API int weir_end(weir_manager *manager);

/* WEIR_SCOPE(name, options) { ... } begins a scope called `name`, runs the block, and ends the scope
 * however the block is left: at its end, by break, return or goto out of it (not by longjmp or exit,
 * where the manager cleans up). If the scope cannot begin, the block is not run and
 * weir_last_error()->code says why. */
#define WEIR_SCOPE(name, options)                                                                  \
    for (weir_manager *name __attribute__((__cleanup__(weir_scope_leave))) = weir_begin(options),  \
                            *name##_weir_once = name;                                              \
         name##_weir_once; name##_weir_once = NULL)

/* What WEIR_SCOPE's cleanup calls: weir_end(*manager). */
WEIR_API void weir_scope_leave(weir_manager **manager);

/* Makes an object in the scope, as weir_shm_create(), weir_list_create(),
 * weir_list_create_range(), weir_array_create() and weir_dict_create() do, under a name of the
 * scope's own ("weir-..."), and with their errors; besides: EINVAL (the scope is NULL or has
 * ended), ENOSPC (65,536 objects, or no address space left),
 * ESTALE (the scope's names have been cleaned up already, because the program that began it is gone).
 *
 * The handle belongs to the scope and is valid in all its processes until the scope ends. To give
 * memory back early, unlink the object and close it, in this order; from then on nobody may use it.
 * Context: any process of the scope, any thread.
 * Crash: nothing is left, or a recorded name that the scope's end removes. */
WEIR_API weir_shm *weir_manager_shm(weir_manager *manager, size_t size);
WEIR_API weir_list *weir_manager_list(weir_manager *manager, const weir_value *values,
                                      size_t count);
WEIR_API weir_list *weir_manager_list_range(weir_manager *manager, int64_t start, int64_t stop,
                                            int64_t step);
WEIR_API weir_array *weir_manager_array(weir_manager *manager, weir_dtype dtype, int ndim,
                                        const int64_t *shape, unsigned flags);
WEIR_API weir_dict *weir_manager_dict(weir_manager *manager, const weir_dict_options *options);

/* An arena: memory for structures that are linked by pointers (lists, trees), shared like all of a
 * scope. A pointer into it means the same in every process of the scope, also in those that ran
 * before it was allocated. An arena only grows: what is in it is released all at once, with the arena
 * or with the scope. */
typedef struct weir_arena weir_arena;

/* Makes an arena in the scope. It is one block at first, and gets further ones when that is full.
 *
 * `block_size`: bytes of address space of each block, no memory is used by it; 0: 64 GiB, or less
 * where the scope or this process may not have so much.
 * Returns: the arena, which belongs to the scope; or NULL with weir_manager_shm()'s errors. */
WEIR_API weir_arena *weir_manager_arena(weir_manager *manager, size_t block_size);

/* Takes `size` (from 1) zero bytes, aligned to 16, out of the arena, or out of one that the scope
 * itself keeps and that is made by the first such call.
 *
 * The memory is reserved, so it cannot run out later. Where a further block was needed (more than
 * 64 GiB in one arena, unless it was made with less) another process can use it after its next
 * weir_manager_sync(), as any new object.
 * Context: any process of the scope, any thread; takes no lock in shared memory.
 * Crash: the bytes are taken or not; at most they are lost until the arena is released.
 * Returns: the first byte; or NULL: EINVAL (NULL, size 0 or beyond PTRDIFF_MAX, or the scope has
 * ended), ENOSPC (/dev/shm is too full, or no address space left), ENOMEM. */
WEIR_API void *weir_arena_alloc(weir_arena *arena, size_t size);
WEIR_API void *weir_manager_alloc(weir_manager *manager, size_t size);

/* Bytes taken out of the arena so far; each piece counts as a multiple of 16. 0 for NULL. */
WEIR_API size_t weir_arena_size(const weir_arena *arena);

/* Releases the arena with everything in it; from then on no process may use either. NULL is allowed.
 * Crash: what is left of it is released with the scope. */
WEIR_API void weir_arena_free(weir_arena *arena);

/* Maps into this process what other processes of the scope have made since. Workers do this before
 * every chunk, and the program whenever a job or process has ended; it is only needed when a pointer
 * reaches a process in another way.
 * Returns: 0; -EINVAL (ended); -ENOENT when an object's name was gone before it could be mapped here
 * (the others are mapped). */
WEIR_API int weir_manager_sync(weir_manager *manager);

/* The manager's process id, for messages and tests. -EINVAL when the scope is NULL or has ended. */
WEIR_API pid_t weir_manager_pid(const weir_manager *manager);

#ifdef __cplusplus
}
#endif

#endif
