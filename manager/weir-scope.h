/* SPDX-License-Identifier: MIT
 *
 * weir-scope.h: the scope. An object made in a scope is unlinked when the scope ends, whoever dies.
 *
 * weir_scope_begin() starts a small manager process that owns the scope's names and outlives the
 * program just long enough to unlink them. Objects of a scope have the same address in every
 * process that belongs to it (workers, and processes started with weir_process_start), whether that
 * process was forked before or after the object was made, so a plain pointer to an object can be
 * handed around.
 *
 * Which process may do what:
 *
 *  - Only the process that called weir_scope_begin() ends the scope. In a child that the program
 *    forked itself, weir_scope_end() only forgets the mappings, and the child may use the objects
 *    until then.
 *  - Objects can be made, used, unlinked and closed in every process of the scope, by any thread.
 *  - If the program is killed, calls exec, or exits without weir_scope_end(), the manager unlinks
 *    everything. If the manager is killed, the program or its pool's supervisor does it. If all of
 *    them are killed at once, the next weir_scope_begin() of any program of the same user does.
 *
 * A scope, a pool, a process and a connection each keep some descriptors open. A program that
 * closes them (as daemons do with all from 3 on, and closefrom()) gives them up: to the manager
 * that looks as if the program had ended, so the names go and the workers end, while the program's
 * own mappings stay. Calls that need what is closed return -EBADF or WEIR_EDIED; files of the
 * program's own that have got the numbers are neither written to nor closed. Close before
 * weir_scope_begin(), or only what is the program's own.
 *
 * The manager, and the supervisor of each pool and process, are no children of the program, so that
 * no wait() of the program's meets them: when they have ended, init (the system's process 1) reaps
 * them. In a container whose first process is the program itself, or if the program is a child
 * subreaper (prctl(PR_SET_CHILD_SUBREAPER)), weir reaps them. If the first process is another one
 * that does not reap, one zombie stays of each scope, pool and weir_process, and no more: what else
 * there is has a parent of weir's that reaps it. `docker run --init`, or PR_SET_CHILD_SUBREAPER in
 * the program, leaves none.
 */
#ifndef WEIR_SCOPE_H
#define WEIR_SCOPE_H

#include <weir-shm.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- begin and end -------------------------------------------------------------------------- */

/* A scope, with its manager process. */
typedef struct weir_scope weir_scope;

/* How a scope is begun. Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_scope_options {
    /* Bytes of address space kept for the scope's objects, which it cannot pass; no memory is used
     * by it. 0: a share of the process's, by how many scopes it has already: 4 TiB for the first,
     * 80 GiB for the hundredth, 8 GiB for the thousandth (of 2 ** 47 bytes in all); or as much of
     * it as the system grants. So 1,000 scopes take 2/5 of all addresses. */
    size_t address_space;
    /* Longest wait for the manager to start or to end, after which the program acts by itself; 0:
     * 5000. */
    int timeout_ms;
    /* Where other programs of this user may weir_scope_connect(): the absolute path of a Unix
     * socket to be made, at most 107 bytes, in a folder of mode 0700 that is the user's own. A
     * folder that does not exist is made so, and stays. NULL: nobody connects. */
    const char *address;
    /* A key that connecting programs have to know, `authkey_size` bytes from 1 to 1024; only with
     * an address. NULL: they need none. */
    const void *authkey;
    size_t authkey_size;
    bool anonymous;    /* blocks without names, see below; not with an address */
    bool dump_objects; /* objects are in core dumps, see below */
    uint64_t reserved[4];
} weir_scope_options;

/* An anonymous scope has no file in /dev/shm, not even for itself: its memory belongs to its
 * processes alone (one memfd that they inherit). When all of them are killed at once there is
 * nothing left to sweep. All objects, the pool, one address everywhere and closing early work as in
 * a scope with names.
 *
 * Calls that need a name are refused with ENOTSUP: weir_scope_shm_named() and the other _named()
 * ones, weir_scope_track(), JSON (weir_shm_to_json() and so on). Attaching by weir_shm_name() finds
 * nothing, so neither does Python's SharedMemory. weir_shm_path() tells where other programs of the
 * user find an object's memory.
 *
 * The memory is limited by the memory cgroup and the machine (ENOMEM) and not by the size of
 * /dev/shm; RLIMIT_FSIZE counts for all objects together (EFBIG). All of it is freed when the
 * scope's last process is gone or has ended the scope, an object's when it is unlinked and closed.
 * Memory of an object that a process was making when it was killed stays in use until then, or
 * until another process lacks memory. */

/* Core dumps of the scope's processes have none of its objects, with or without names, nor a
 * pool's own memory: they stay as small as the program's own memory, and writing one makes no page
 * of shared memory. With `dump_objects` objects are treated as other shared memory is, by
 * /proc/PID/coredump_filter: those without names are dumped unless bit 1 is taken out of it, those
 * with names if bit 3 is set. Dictionaries, arenas, lazy arrays and texts are never dumped, since
 * the kernel would make all of their pages.
 *
 * A program that locks its memory (mlockall with MCL_FUTURE, before or after it begins a scope)
 * gets objects that are locked, and lazy memory, arenas, dictionaries and a pool's memory that are
 * locked page by page, as they are touched. All of them count against RLIMIT_MEMLOCK with their
 * whole size; a message about memory that cannot be had names the limit. MCL_CURRENT alone fills
 * what is mapped at that moment, also what is lazy, unless MCL_ONFAULT is given with it. */

/* Begins a scope: sweeps what dead scopes of this user left in /dev/shm, and starts the manager.
 *
 * `options`: may be NULL. Several scopes may be open at once.
 * No thread is started, no signal handler installed, and the manager is not a child of this
 * process.
 * Context: any thread.
 * Crash: nothing is left, or the manager or the next weir_scope_begin() removes it.
 * Returns: the scope, to be ended with weir_scope_end(); or NULL: EINVAL (options), ENOENT (the
 * manager program is not found; the message lists where it was looked for, and WEIR_MANAGER can
 * name it), ENOSPC, ENOMEM, EMFILE, ETIMEDOUT (the manager did not get ready), EPROTO (it is
 * another version). With an address also: EINVAL, ENAMETOOLONG (the address), EADDRINUSE (another
 * scope listens there, or it is a socket that weir did not make; one that a dead manager left is
 * swept), EEXIST (it is a file, and not a socket), EPERM (the folder is not private), ENOTSUP (a
 * key, but weir was built without libsodium). Nobody else's file is removed. */
WEIR_API WEIR_MUST_CHECK weir_scope *weir_scope_begin(const weir_scope_options *options);

/* Ends the scope: stops its pools and processes, has everything unlinked, waits until the manager
 * is gone, and unmaps. `scope` and all objects of the scope are invalid afterwards. NULL is
 * allowed.
 *
 * If the manager is dead or does not answer in time it is killed and the work done here, so this
 * never hangs. A name that the user unlinked before is no error.
 * Context: the process that began the scope; no other thread may use the scope any more. In a
 * forked child it only unmaps, and returns 0.
 * Crash: the manager unlinks the rest, or the next weir_scope_begin().
 * Returns: 0, or the first error of unlinking (the rest is unlinked all the same); -EBUSY when a
 * child that the program forked hangs in the middle of making an object (the next
 * weir_scope_begin() removes what is left then); -EBADF when all is unlinked and ended, but the
 * program had closed descriptors of the scope, its pools or processes (the message has their
 * numbers, and what has them now was left alone); -EINVAL when this scope has already been
 * ended. */
WEIR_API int weir_scope_end(weir_scope *scope);

/* WEIR_SCOPE (name, options) { ... } begins a scope called `name`, runs the block, and ends the
 * scope however the block is left: at its end, by break, return or goto out of it (not by longjmp
 * or exit, where the manager cleans up). If the scope cannot begin, the block is not run and
 * weir_last_error() says why. So the block tells what follows that it has run to its end:
 *
 *     int status = 1;
 *
 *     WEIR_SCOPE (scope, NULL) {
 *         ...
 *         status = 0;
 *     }
 *     if (status != 0)
 *         fprintf(stderr, "squares: %s\n", weir_last_error()->message);
 *     return status;
 */
#define WEIR_SCOPE(name, ...)                                                                      \
    for (weir_scope * name                                                                         \
             __attribute__((__cleanup__(weir_scope_leave))) = weir_scope_begin(__VA_ARGS__),       \
             *name##_weir_once = name;                                                             \
         name##_weir_once; name##_weir_once = NULL)

/* What WEIR_SCOPE's cleanup calls: weir_scope_end(*scope).
 * Crash: as weir_scope_end(). */
WEIR_API void weir_scope_leave(weir_scope **scope);

/* ---- objects -------------------------------------------------------------------------------- */

#define WEIR_SCOPE_NAME_MAX 128 /* longest name of the user's choice, in bytes without the NUL */

/* Names in /dev/shm can be taken away by others (systemd's RemoveIPC at logout, a cleaner). What is
 * mapped stays; a process that has not mapped the object yet cannot do so any more. See
 * weir_scope_sync(). What weir makes for itself (results, arguments, arrays that are copied,
 * tables, texts) has no name, like an anonymous scope's objects, so it does not depend on names or
 * users, and its memory is limited like theirs, not by the size of /dev/shm.
 */

/* Makes an object in the scope, as weir_shm_create(), weir_list_create(), weir_list_create_range(),
 * weir_array_create() and weir_dict_create() do, under a name of the scope's own ("weir-...").
 *
 * The object belongs to the scope and is valid in all its processes until the scope ends. To give
 * its memory back early, unlink it and close it, in this order; from then on no process may use it.
 *
 * `name` (_named): a name of the user's choice, by which other programs can attach the object: 1 to
 * WEIR_SCOPE_NAME_MAX bytes of UTF-8 without '/', quotes, backslashes and control characters, not
 * beginning with "weir-".
 * Context: any process of the scope, any thread.
 * Crash: nothing is left, or a recorded name that the scope's end removes.
 * Returns: the object; or NULL with the errors of those functions, and: EINVAL (the scope is NULL
 * or has ended), ENOSPC (65,536 objects are there, or no address space is left), ESTALE (the
 * scope's names have been cleaned up already, because the program that began it is gone), EBADF
 * (this process has closed descriptors of the scope's). With a name also: EEXIST (the other block
 * is left alone, now and at the end of the scope), EINVAL and ENAMETOOLONG (the name), ENOTSUP (the
 * scope is anonymous). */
WEIR_API WEIR_MUST_CHECK weir_shm *weir_scope_shm(weir_scope *scope, size_t size);
WEIR_API WEIR_MUST_CHECK weir_shm *weir_scope_shm_named(weir_scope *scope, const char *name,
                                                        size_t size);
WEIR_API WEIR_MUST_CHECK weir_list *weir_scope_list(weir_scope *scope, const weir_value *values,
                                                    size_t count);
WEIR_API WEIR_MUST_CHECK weir_list *weir_scope_list_named(weir_scope *scope, const char *name,
                                                          const weir_value *values, size_t count);
WEIR_API WEIR_MUST_CHECK weir_list *weir_scope_list_range(weir_scope *scope, int64_t start,
                                                          int64_t stop, int64_t step);
WEIR_API WEIR_MUST_CHECK weir_array *weir_scope_array(weir_scope *scope, weir_dtype dtype, int ndim,
                                                      const int64_t *shape, unsigned flags);
WEIR_API WEIR_MUST_CHECK weir_array *weir_scope_array_named(weir_scope *scope, const char *name,
                                                            weir_dtype dtype, int ndim,
                                                            const int64_t *shape, unsigned flags);
WEIR_API WEIR_MUST_CHECK weir_dict *weir_scope_dict(weir_scope *scope,
                                                    const weir_dict_options *options);
WEIR_API WEIR_MUST_CHECK weir_dict *weir_scope_dict_named(weir_scope *scope, const char *name,
                                                          const weir_dict_options *options);

/* Makes an array with one axis in the scope, and gives its items, all of them zero:
 * weir_scope_array() and weir_array_data() in one call.
 *
 *     double *x = weir_scope_doubles(scope, 1000000);
 *
 * `length`: items, from 0.
 * Context: as weir_scope_array().
 * Crash: as weir_scope_array().
 * Returns: the first item, aligned to a page, valid in all processes of the scope until it ends;
 * weir_scope_array_at() gives the array that it belongs to. Or NULL with weir_scope_array()'s
 * errors. */
static inline WEIR_MUST_CHECK double *weir_scope_doubles(weir_scope *scope, size_t length);
static inline WEIR_MUST_CHECK float *weir_scope_floats(weir_scope *scope, size_t length);
static inline WEIR_MUST_CHECK int32_t *weir_scope_int32s(weir_scope *scope, size_t length);
static inline WEIR_MUST_CHECK int64_t *weir_scope_int64s(weir_scope *scope, size_t length);
static inline WEIR_MUST_CHECK unsigned char *weir_scope_bytes(weir_scope *scope, size_t length);

/* The same for any type of item.
 * Context: as weir_scope_array().
 * Crash: as weir_scope_array().
 * Returns: as weir_scope_doubles(). */
WEIR_API WEIR_MUST_CHECK void *weir_scope_items(weir_scope *scope, weir_dtype dtype, size_t length);

/* The array of the scope that has an item at this address, to be viewed, written as JSON, or
 * unlinked and closed. It looks at each object of the scope, so it is not for an inner loop.
 * Context: any process of the scope, any thread.
 * Returns: the array, which belongs to the scope; or NULL: EINVAL (NULL, or the scope has ended),
 * ENOENT (no array of the scope has an item there). */
WEIR_API weir_array *weir_scope_array_at(weir_scope *scope, const void *item);

/* ---- arenas --------------------------------------------------------------------------------- */

/* An arena: memory for structures that are linked by pointers (lists, trees), shared like all of a
 * scope. A pointer into it means the same in every process of the scope, also in a process that ran
 * before the memory was allocated. An arena only grows: its memory is released all at once, with
 * the arena or with the scope. */
typedef struct weir_arena weir_arena;

/* Makes an arena in the scope. It is one block at first, and gets further ones when that is full.
 *
 * `block_size`: bytes of address space of each block; no memory is used by it. 0: 64 GiB, or less
 * where the scope or this process may not have so much.
 * Context: any process of the scope, any thread.
 * Crash: as weir_scope_shm().
 * Returns: the arena, which belongs to the scope; or NULL with weir_scope_shm()'s errors. */
WEIR_API WEIR_MUST_CHECK weir_arena *weir_scope_arena(weir_scope *scope, size_t block_size);

/* Takes `size` (from 1) zero bytes, aligned to 16, out of the arena, or out of an arena that the
 * scope itself keeps and that the first such call makes.
 *
 * The memory is reserved, so it cannot run out later. Where a further block was needed (more than
 * 64 GiB in one arena, unless it was made with less) another process can use it after its next
 * weir_scope_sync(), as any new object.
 * Context: any process of the scope, any thread; takes no lock in shared memory.
 * Crash: the bytes are taken or not; at most they are lost until the arena is released.
 * Returns: the first byte; or NULL: EINVAL (NULL, size 0 or beyond PTRDIFF_MAX, or the scope has
 * ended), ENOSPC (/dev/shm is too full, or no address space left), ENOMEM. */
WEIR_API WEIR_MUST_CHECK void *weir_arena_alloc(weir_arena *arena, size_t size);
WEIR_API WEIR_MUST_CHECK void *weir_scope_alloc(weir_scope *scope, size_t size);

/* Bytes taken out of the arena so far; each piece counts as a multiple of 16. */
WEIR_API size_t weir_arena_size(const weir_arena *arena);

/* Releases the arena with everything in it; from then on no process may use either. NULL is
 * allowed.
 * Crash: the rest of it is released with the scope. */
WEIR_API void weir_arena_free(weir_arena *arena);

/* ---- processes of the scope ----------------------------------------------------------------- */

/* Maps into this process what other processes of the scope have made since. Workers do this before
 * every chunk, and the program whenever a job or process has ended; it is only needed when a
 * pointer reaches a process in another way.
 *
 * An object that cannot be mapped must not be used in this process: that is a SIGSEGV. Each call
 * tries again, and fails as long as one is missing; the others are mapped.
 * Context: any process of the scope, any thread.
 * Crash: nothing shared has changed.
 * Returns: 0; -EINVAL (NULL, or the scope has ended); or why an object cannot be mapped here, with
 * a message that names it: -ENOENT (its name was taken away before, by another program or by a
 * process that is gone), -EPERM (it is another user's: a process has changed its user), -EMFILE,
 * -ENFILE, -ENOMEM, -EBADMSG (its entry was overwritten). */
WEIR_API WEIR_MUST_CHECK int weir_scope_sync(weir_scope *scope);

/* The manager's process id, for messages and tests.
 * Returns: the id; -EINVAL when the scope is NULL or has ended. */
WEIR_API pid_t weir_scope_manager_pid(const weir_scope *scope);

/* ---- connecting ----------------------------------------------------------------------------- */

/* Connects to the scope that another program of the same user began with this
 * weir_scope_options.address.
 *
 * `address`: NULL means what the environment variable WEIR_ADDRESS says. `weir run` sets it for the
 * command that it runs, and so for all programs that this starts.
 * `authkey`: the scope's key, `authkey_size` bytes; NULL, with a size of 0, when it has none. Both
 * sides prove that they know the key, without telling it. If both `address` and `authkey` are NULL
 * and the environment variable WEIR_KEY_FILE is set, the key is all of what the file that it names
 * holds, a newline too. That file must be the user's, and nobody else's to open.
 *
 * A program that runs with raised privileges does not look at either variable.
 *
 * Connecting does not make the caller a process of the scope: it has no part in the common
 * addresses and the pool, and cannot end the scope. On the result work all calls that make a block,
 * list, array or dictionary (weir_scope_shm() to weir_scope_dict_named(), but no typed items and no
 * arenas, which are about common addresses), and the calls below, which attach among others.
 * Objects that they make belong to the scope and go with it, whether this program is still
 * connected or not. Their handles are stand-alone ones, to be closed here; unlinking one removes
 * its name at once.
 * Context: any thread; waits up to 4 s. Threads may share the result; a child that is forked must
 * connect itself.
 * Crash: the manager notices; nothing is left but what belongs to the scope.
 * Returns: the scope, to be given to weir_scope_disconnect(); or NULL: EINVAL (address or key; no
 * address, and WEIR_ADDRESS is not set; a key file that is empty or too long), ENAMETOOLONG, ENOENT
 * (no such socket or key file), ECONNREFUSED (nobody listens any more), EPERM (another user's
 * scope, or a key file that is another user's or that others may open), EACCES (the key is wrong,
 * only one side has one, or the key file cannot be opened), EBUSY (128 programs are connected),
 * ETIMEDOUT, EPROTO (the peer is not a manager of weir's), ENOTSUP (a key, but weir was built
 * without libsodium), ENOMEM, EMFILE. If it is about a variable of the environment, the message
 * names it. */
WEIR_API WEIR_MUST_CHECK weir_scope *weir_scope_connect(const char *address, const void *authkey,
                                                        size_t authkey_size);

/* Disconnects. Blocks and handles stay as they are. NULL is allowed; a scope that was begun here,
 * not connected to, is left alone.
 * Crash: the scope is as before. */
WEIR_API void weir_scope_disconnect(weir_scope *scope);

/* A block that belongs to a scope. */
typedef struct weir_block_info {
    char name[WEIR_SCOPE_NAME_MAX + 1];
    char kind[16]; /* "shm", "list", "array", "dict", "arena"; for a person */
    pid_t pid;     /* of the process that made it, or had it tracked */
    size_t size;   /* in bytes */
    uint64_t ino;  /* its inode number in /dev/shm */
} weir_block_info;

/* In all calls below:
 *
 * They ask the manager, so they are not for an inner loop.
 * Context: the process that began the scope, or one that has connected; any thread.
 * Crash: the call is done or not done.
 * Returns: besides what each of them says, -EINVAL (NULL, ended or disconnected, another process),
 * -ESTALE (the scope is over), -EPIPE (the manager has died, or did not answer before), -ETIMEDOUT
 * (it does not answer), -ENOMEM. */

/* Lists the scope's blocks whose names are there, also those made by its workers. Blocks that are
 * made or unlinked meanwhile may be listed or not.
 *
 * `blocks`: gets up to `capacity` of them; may be NULL when `capacity` is 0.
 * Returns: how many there are, which may be more than `capacity`. */
WEIR_API WEIR_MUST_CHECK int64_t weir_scope_blocks(weir_scope *scope, weir_block_info *blocks,
                                                   size_t capacity);

/* Finds a block of the scope by its name; below it is attached, too. `out` may be NULL.
 * Returns: 0; -ENOENT (the scope has no such block, or its name is gone). */
WEIR_API WEIR_MUST_CHECK int weir_scope_lookup(weir_scope *scope, const char *name,
                                               weir_block_info *out);

/* Attaches a block, list, array or dictionary of the scope by its name: one that any process of the
 * scope has made, or a connected program, or that is tracked.
 *
 * Other than weir_list_attach(name) and its like, which take whatever has the name in /dev/shm,
 * these take the scope's object or none: a block that has got the name since is not attached. What
 * the block holds is checked; another program of the user may write to it at any time.
 * `name`: as given to weir_scope_list_named() and its like, or weir_shm_name() of any object of a
 * scope that is not anonymous. An array needs its header (WEIR_ARRAY_NPY); of one without attach
 * the block, and weir_array_attach_as() says what is in it.
 * Returns: a stand-alone handle, to be closed here, that stays valid after the end of the scope and
 * of the connection; or NULL with weir_scope_lookup()'s errors, those of weir_list_attach() and its
 * like (EBADMSG: not an object of that kind, or damaged), or EPROTO (the manager's answer is not
 * about that name). */
WEIR_API WEIR_MUST_CHECK weir_shm *weir_scope_attach_shm(weir_scope *scope, const char *name);
WEIR_API WEIR_MUST_CHECK weir_list *weir_scope_attach_list(weir_scope *scope, const char *name);
WEIR_API WEIR_MUST_CHECK weir_array *weir_scope_attach_array(weir_scope *scope, const char *name);
WEIR_API WEIR_MUST_CHECK weir_dict *weir_scope_attach_dict(weir_scope *scope, const char *name);

/* Gives an existing block to the scope, which unlinks it at its end: any stand-alone block, list,
 * array or dict of this user, whoever made it. Tracking twice is the same as once.
 * Returns: 0; -ENOENT (no such block), -EPERM (another user's, or not a regular file), -EINVAL and
 * -ENAMETOOLONG (a name that weir_scope_shm_named() would not take), -ENOSPC (65,536 blocks are
 * tracked or of connected programs), -ENOTSUP (the scope is anonymous). */
WEIR_API WEIR_MUST_CHECK int weir_scope_track(weir_scope *scope, const char *name);

/* Unlinks a block early that is tracked or of a connected program, and forgets it.
 * Returns: 0; -ENOENT (the scope has no such block, or its name is gone), -EPERM (a process of the
 * scope made it, and unlinks it itself: weir_shm_unlink()). */
WEIR_API int weir_scope_release(weir_scope *scope, const char *name);

/* Who unlinks which block, and when. In every case memory that is mapped stays mapped, and a name
 * that another block has got meanwhile is left alone.
 *
 *   made in the scope, by its processes   the manager, when the scope ends; or the user, early
 *   made by a connected program           the same; that program's end or death changes nothing
 *   made stand-alone (weir_shm_create)    the user alone: it outlives the program
 *   made stand-alone, then tracked        the manager, when the scope ends
 *   attached (weir_shm_attach)            attaching and closing never unlink
 *   attached by Python up to 3.12         Python's resource tracker, shortly after that Python
 *                                         exits; to the scope that is a block unlinked early
 *   unlinked early by the user            the user; the scope's end finds it gone: no error
 *   released early                        the manager, at once
 */

/* ---- bodies --------------------------------------------------------------------------------- */

static inline double *weir_scope_doubles(weir_scope *scope, size_t length)
{
    return (double *)weir_scope_items(scope, WEIR_FLOAT64, length);
}

static inline float *weir_scope_floats(weir_scope *scope, size_t length)
{
    return (float *)weir_scope_items(scope, WEIR_FLOAT32, length);
}

static inline int32_t *weir_scope_int32s(weir_scope *scope, size_t length)
{
    return (int32_t *)weir_scope_items(scope, WEIR_INT32, length);
}

static inline int64_t *weir_scope_int64s(weir_scope *scope, size_t length)
{
    return (int64_t *)weir_scope_items(scope, WEIR_INT64, length);
}

static inline unsigned char *weir_scope_bytes(weir_scope *scope, size_t length)
{
    return (unsigned char *)weir_scope_items(scope, WEIR_UINT8, length);
}

#ifdef __cplusplus
}
#endif

#endif
