/* SPDX-License-Identifier: MIT
 *
 * weir-shm.h: errors, SharedMemory, values, ShareableList, arrays and dictionaries.
 *
 * This is the bottom layer of weir and can be used alone. It follows Python's
 * multiprocessing.shared_memory: stock CPython attaches a block made here under the same name, and
 * the other way round.
 *
 * Read this first, because it is about more than one process:
 *
 *  - A stand-alone block (weir_shm_create, weir_list_create, ...) lives until somebody unlinks it,
 *    as in POSIX. A block that is made in a scope (weir-scope.h) is unlinked with the scope.
 *  - CPython up to 3.12 registers every block that it *attaches* with its resource tracker, which
 *    unlinks the block when that Python exits. weir lives with a block whose name is gone: memory
 *    that is mapped stays mapped. In Python use track=False (3.13 and later), or map
 *    /dev/shm/NAME with mmap.
 *  - A process that truncates a mapped block kills the process that touches the block next
 *    (SIGBUS). weir never truncates a block.
 *
 * Conventions of all weir headers:
 *
 *  - A constructor returns a pointer, or NULL. Another call returns 0, a count, or a negative code.
 *    After a failure weir_last_error() describes it. Codes are negative errno values, or one of
 *    WEIR_EFAILED and WEIR_EDIED.
 *  - An object that is NULL is an error of the caller (EINVAL): a function that returns a pointer
 *    returns NULL, an int or int64_t or pid_t is -EINVAL, a size, a bool or a range is 0, false or
 *    empty. The last error is set each time. The exceptions take NULL and do nothing: what closes,
 *    frees, ends, disconnects, cancels, interrupts, resumes or kills.
 *  - A destructor cannot fail.
 *  - gcc and clang warn where the result of a call that can fail is not used, unless the program
 *    defines WEIR_NO_MUST_CHECK before it includes a header.
 *  - An iteration returns 1 with the next item, 0 after the last one, or a negative code.
 *  - "size" is in bytes, "count" in elements, and a unit stands in the name of everything else.
 *  - The lines of a function's manual: `Context:` says which processes and threads may call it (any
 *    thread of any process where the line is missing), and that it is signal-safe where it is.
 *    `Crash:` says what holds when the calling process is killed inside. `Returns:` names each
 *    error and its cause; those of a wrong argument are named once for a group of functions.
 *  - A comment covers the declarations that follow it without a blank line.
 */
#ifndef WEIR_SHM_H
#define WEIR_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the headers, for the preprocessor. weir_version() is that of the library. */
#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
#define WEIR_VERSION_PATCH 0

#if defined(__GNUC__)
#define WEIR_API __attribute__((visibility("default")))
#else
#define WEIR_API
#endif

#if defined(__GNUC__) && !defined(WEIR_NO_MUST_CHECK)
#define WEIR_MUST_CHECK __attribute__((warn_unused_result))
#else
#define WEIR_MUST_CHECK
#endif

/* The version of the library in use, for example "0.1.0". Static; never NULL. */
WEIR_API const char *weir_version(void);

/* ---- errors --------------------------------------------------------------------------------- */

/* Codes that errno does not have. They are far from errno so that no mix-up is possible. */
#define WEIR_EFAILED (-20001) /* a task reported failure */
#define WEIR_EDIED   (-20002) /* a worker or process died and its attempts are used up */

/* The half-open range [begin, end) of a job's items. */
typedef struct weir_range {
    int64_t begin;
    int64_t end;
} weir_range;

/* The range of the first `length` items: [0, length). */
static inline weir_range weir_range_of(int64_t length);

/* WEIR_EACH (i, range) { ... } runs its block for each item of a range, with `i` an int64_t:
 *
 *     static int square(weir_task *task, weir_range range, void *arg)
 *     {
 *         double *x = arg;
 *
 *         WEIR_EACH (i, range)
 *             x[i] *= x[i];
 *         return 0;
 *     }
 */
#define WEIR_EACH(i, range)                                                                        \
    for (int64_t i = (range).begin, weir_end_of_##i = (range).end; i < weir_end_of_##i; i++)

#define WEIR_ERROR_MESSAGE_SIZE 768 /* bytes of weir_error.message, with the NUL */

/* A failure of a weir call. */
typedef struct weir_error {
    int code;         /* negative errno or WEIR_E...; 0: nothing failed in this thread yet */
    int worker;       /* index of the worker that was concerned, from 0; -1: none */
    pid_t pid;        /* its process; 0: none */
    int signal;       /* the signal that ended that process; 0: none */
    int exit_status;  /* its exit status if it exited; -1: it did not */
    int attempt;      /* which attempt at the range failed, from 1; 0: not about a range */
    int task_code;    /* what the task returned or gave to weir_task_fail; 0: not about a task */
    weir_range range; /* the range that failed; {0, 0}: not about a range */
    char message[WEIR_ERROR_MESSAGE_SIZE]; /* one line for a person, NUL-terminated */
} weir_error;

/* The calling thread's last failure. Like errno, a call that succeeds leaves it alone.
 * Returns: a pointer to thread-local storage, valid until this thread's next weir call; never
 * NULL. */
WEIR_API const weir_error *weir_last_error(void);

/* Forgets the calling thread's last failure: code becomes 0 and message empty. */
WEIR_API void weir_clear_error(void);

/* A short name for a code: that of strerror(3) for a negative errno, weir's own for WEIR_E....
 * Returns: a string that is valid until this thread's next call; never NULL. */
WEIR_API const char *weir_strerror(int code);

/* ---- SharedMemory --------------------------------------------------------------------------- */

/* A block of shared memory, mapped into this process.
 *
 * Blocks, and lists, arrays and dictionaries in them, are not in core dumps; a program that wants
 * one in its own calls madvise(weir_shm_buf(shm), weir_shm_size(shm), MADV_DODUMP). In a program
 * that locks its memory (mlockall with MCL_FUTURE) a block is locked when it is mapped, a lazy one
 * page by page as it is touched. */
typedef struct weir_shm weir_shm;

/* Reserve the first page only: when /dev/shm is full, touching another page is SIGBUS. */
#define WEIR_SHM_LAZY 1u

#define WEIR_SHM_NAME_MAX 255 /* longest name of a block in bytes, without the NUL */

/* Makes a block of `size` zero bytes, mapped read and write, mode 0600 whatever the umask.
 *
 * `name`: 1 to WEIR_SHM_NAME_MAX bytes, no '/', not "." or ".."; NULL lets weir choose one.
 * `size`: from 1; the block has exactly this size.
 * `flags`: 0 or WEIR_SHM_LAZY.
 * The memory is reserved before the block gets its name, so it cannot run out later, and a
 * process that attaches by name never sees a half-made block.
 * Crash: the name does not exist, or means a finished block.
 * Returns: the block, to be closed with weir_shm_close(); or NULL: EINVAL (name, size or flags),
 * ENAMETOOLONG, EEXIST (the other block is left alone), ENOSPC (/dev/shm is too full), ENOMEM
 * (more than this machine or memory cgroup has left), EFBIG (RLIMIT_FSIZE; no signal is raised),
 * EMFILE, ENOTSUP (/dev/shm is no tmpfs). */
WEIR_API WEIR_MUST_CHECK weir_shm *weir_shm_create(const char *name, size_t size, unsigned flags);

/* Maps the block of that name, read and write, at the size it has (as CPython does, whatever the
 * creator asked for).
 *
 * Only a regular file of the caller's own user is attached, and no link is followed.
 * Crash: nothing shared has changed.
 * Returns: the block; or NULL: EINVAL, ENAMETOOLONG (name), ENOENT (no such block), EPERM (another
 * user's, or not a regular file), EBADMSG (it has size 0), ENOMEM, EMFILE. */
WEIR_API WEIR_MUST_CHECK weir_shm *weir_shm_attach(const char *name);

/* The first byte, the size in bytes, and the name (without '/'). They are valid until the block is
 * closed; the name stays the same after an unlink. In an anonymous scope no file has the name. */
WEIR_API void *weir_shm_buf(const weir_shm *shm);
WEIR_API size_t weir_shm_size(const weir_shm *shm);
WEIR_API const char *weir_shm_name(const weir_shm *shm);

#define WEIR_SHM_PATH_MAX 512 /* bytes that are enough for any path, with the NUL */

/* Tells where other programs of this user find the block's memory.
 *
 * `path`: gets the path of a file; a buffer of `size` bytes.
 * `offset`: gets the byte of that file at which the block begins, a multiple of the page size.
 * A block with a name is a file of its own, and the offset is 0. A block of an anonymous scope
 * (weir_scope_options.anonymous) is a part of a file without a name, which the scope's manager
 * holds open: "/proc/<pid>/fd/<number>". That path works as long as the manager lives, and for
 * programs that see its process number. A program that opens it can reach all of the scope's
 * memory, keeps that memory from being freed, and must be told when the block is closed.
 * Returns: 0; -EINVAL (NULL), -ENAMETOOLONG (`size`), -ENOENT (the name is gone or another
 * block's), -ESTALE (the manager of an anonymous scope is gone). */
WEIR_API WEIR_MUST_CHECK int weir_shm_path(const weir_shm *shm, char *path, size_t size,
                                           uint64_t *offset);

/* Unmaps the block here and frees the handle; the block itself stays. NULL is allowed.
 *
 * A block of a scope belongs to the scope: closing one that still has its name does nothing, and
 * closing one that was unlinked gives its memory back in every process of the scope.
 * Crash: a stand-alone block stays; the memory of an unlinked block of a scope may be given back
 * only when the scope ends. */
WEIR_API void weir_shm_close(weir_shm *shm);

/* Removes the block's name. The memory stays usable wherever it is mapped, and is freed when the
 * last process has closed the block. A name that means another block by now is left alone.
 * Crash: the name is there or gone; the scope's end settles the scope's record of it.
 * Returns: 0; -ENOENT when the name is gone or means another block by now. */
WEIR_API int weir_shm_unlink(weir_shm *shm);

/* ---- values --------------------------------------------------------------------------------- */

/* The type of a value, as Python's None, bool, int (of 64 bits), float, str and bytes. */
typedef enum weir_type {
    WEIR_NONE = 0,
    WEIR_BOOL,
    WEIR_INT,
    WEIR_FLOAT,
    WEIR_STR,
    WEIR_BYTES,
} weir_type;

/* One value of the six types that a ShareableList holds. It has 16 bytes, so that calls pass it in
 * registers; a size beyond 32 bits, which no element can have, is cut to UINT32_MAX by weir_str()
 * and weir_bytes() and then refused as too long. */
typedef struct weir_value {
    weir_type type;
    uint32_t size; /* bytes at data, for WEIR_STR and WEIR_BYTES; 0 for the others */
    union {
        bool boolean;     /* WEIR_BOOL */
        int64_t integer;  /* WEIR_INT */
        double real;      /* WEIR_FLOAT */
        const char *data; /* WEIR_STR: UTF-8, WEIR_BYTES: anything; not owned */
    };
} weir_value;

/* Makes a value. weir_str() takes a NUL-terminated string; for a str with NULs inside, set data and
 * size. NULL is taken as None. Bytes and strings are not copied. */
static inline weir_value weir_none(void);
static inline weir_value weir_bool(bool boolean);
static inline weir_value weir_int(int64_t integer);
static inline weir_value weir_float(double real);
static inline weir_value weir_bytes(const void *data, size_t size);
WEIR_API weir_value weir_str(const char *string);

/* The name of a type: "none", "bool", "int", "float", "str", "bytes"; "?" for anything else. */
WEIR_API const char *weir_type_name(weir_type type);

/* ---- ShareableList -------------------------------------------------------------------------- */

/* A list of fixed length whose elements can be changed in place by every process that has it open,
 * in the byte layout of CPython 3.9 and later.
 *
 * An element can change its type. A str or bytes element has the capacity that it got when the list
 * was made: 8 * (size / 8 + 1) bytes; an element of another type has 8. A longer value is refused
 * and the old one kept.
 *
 * Concurrent use: getting, setting and adding to an *int* that stays an int is atomic among
 * processes that use weir. For any other change, processes that write the same element, or read it
 * meanwhile, must agree among themselves; without that a reader may get a mixture of the old and
 * the new value, or -EBADMSG, but never reads outside the block. Different elements are independent
 * of each other.
 *
 * CPython as a writer: `sl[i] = value` sets format, code and slot one after the other, and each of
 * them is zeroed first. So a process that reads the element meanwhile may see a value that nobody
 * stored, also where the type stays: 0 of an int, 0.0 of a float, False of a bool; of a str or
 * bytes "", a part of either value, or the other one of these two types. None stays None. What weir
 * sets or adds meanwhile may be lost. A reader that finds no value at all looks again for up to 20
 * ms before it says -EBADMSG, so a writer that runs is never taken for damage; one that was stopped
 * or killed in between is. What CPython reads while weir writes an int that stays one is the old or
 * the new value. For all else, take a lock that both know, or an element that only one process
 * writes.
 *
 * Everything read from a block is checked first: a damaged or hostile block gives -EBADMSG. */
typedef struct weir_list weir_list;

#define WEIR_LIST_VALUE_MAX 9999991 /* longest str or bytes that an element can hold, in bytes */

/* Makes a stand-alone list of `count` values in a block of its own.
 *
 * `name`: as for weir_shm_create().
 * `values`: copied. A WEIR_STR must be UTF-8.
 * `count`: from 0.
 * Crash: as weir_shm_create().
 * Returns: the list, to be closed with weir_list_close(); or NULL with weir_shm_create()'s errors
 * and: EINVAL (a value of no type, or NULL data, or a str that is not UTF-8), E2BIG (a value longer
 * than WEIR_LIST_VALUE_MAX, or a list too large to address), ENOTSUP (a value of 1,000,000 bytes or
 * more that ends in a NUL: the layout cannot keep its length). */
WEIR_API WEIR_MUST_CHECK weir_list *weir_list_create(const char *name, const weir_value *values,
                                                     size_t count);

/* Makes a stand-alone list of the ints start, start + step, ... up to but without `stop`, as
 * Python's range.
 * Crash: as weir_shm_create().
 * Returns: as weir_list_create(); EINVAL also for a step of 0. */
WEIR_API WEIR_MUST_CHECK weir_list *weir_list_create_range(const char *name, int64_t start,
                                                           int64_t stop, int64_t step);

/* Opens the list of that name, made by weir or by CPython.
 * Crash: nothing shared has changed.
 * Returns: the list, to be closed; or NULL with weir_shm_attach()'s errors and EBADMSG (not a
 * list). */
WEIR_API WEIR_MUST_CHECK weir_list *weir_list_attach(const char *name);

/* Closes the list and its block here, as weir_shm_close(). NULL is allowed.
 * Crash: as weir_shm_close(). */
WEIR_API void weir_list_close(weir_list *list);

/* The block that the list is in. It belongs to the list, so do not close it. */
WEIR_API weir_shm *weir_list_shm(const weir_list *list);

/* The number of elements; it never changes. */
WEIR_API int64_t weir_list_len(const weir_list *list);

/* Reads an element. A negative index counts from the end.
 *
 * `out`: data of a str or bytes points into the block: `size` bytes, not always followed by a NUL
 * (printf "%.*s"). The pointer is valid until the list is closed, and what it points to changes
 * when the element is set; weir_list_get_data() copies.
 * Returns: 0 and *out; or, *out unchanged: -ERANGE (no such element), -EBADMSG (damaged; or a str
 * that is not UTF-8, where CPython raises UnicodeDecodeError), -EINVAL (NULL). */
WEIR_API WEIR_MUST_CHECK int weir_list_get(const weir_list *list, int64_t index, weir_value *out);

/* Copies a str or bytes element to `buf` and ends it with a NUL, cut off where it does not fit.
 *
 * `buf`: of `size` bytes, with the NUL. It may be NULL when `size` is 0.
 * Returns: the length of the whole element in bytes, as snprintf; or -ERANGE, -EBADMSG, or -EINVAL
 * (NULL, or the element is of another type). */
WEIR_API WEIR_MUST_CHECK int64_t weir_list_get_data(const weir_list *list, int64_t index, char *buf,
                                                    size_t size);

/* Replaces an element. A negative index counts from the end.
 * Crash: an int that stays an int has the old or the new value. Any other element may be left a
 * mixture: it can be read without harm and set again; its neighbours are untouched.
 * Returns: 0; or, the element unchanged: -ERANGE (no such element), -EINVAL (NULL, a value of no
 * type, or a str that is not UTF-8), -E2BIG (longer than the element's capacity; the message gives
 * both), -ENOTSUP (as weir_list_create), -EBADMSG (damaged). */
WEIR_API WEIR_MUST_CHECK int weir_list_set(weir_list *list, int64_t index, weir_value value);

/* Adds to an int element in one atomic step, seen by all processes in one order.
 *
 * `after`: gets the sum; may be NULL.
 * Crash: the number is added or not added.
 * Returns: 0; or, the element unchanged: -ERANGE (no such element), -EINVAL (NULL, or not an int),
 * -EOVERFLOW (beyond 64 bits), -EBADMSG (damaged). */
WEIR_API WEIR_MUST_CHECK int weir_list_add(weir_list *list, int64_t index, int64_t delta,
                                           int64_t *after);

/* The first index at which the value is found, and the number of its occurrences. As in Python 1,
 * 1.0 and True are equal, a str never equals bytes, and a NaN equals nothing.
 * Returns: the index or the number; -ENOENT (weir_list_index: not in the list), -EBADMSG,
 * -EINVAL. */
WEIR_API int64_t weir_list_index(const weir_list *list, weir_value value);
WEIR_API int64_t weir_list_count(const weir_list *list, weir_value value);

/* Writes the elements' struct formats, joined, to `buf` of `size` bytes, as CPython's
 * ShareableList.format gives them. Cut off and NUL-terminated as snprintf does.
 * Returns: the length of the whole format in bytes without the NUL, or -EBADMSG, -EINVAL. */
WEIR_API int64_t weir_list_format(const weir_list *list, char *buf, size_t size);

/* ---- arrays --------------------------------------------------------------------------------- */

/* The type of an array's items. Complex numbers are two floats, the real part first, as in C and
 * NumPy. All are in the machine's byte order. */
typedef enum weir_dtype {
    WEIR_BOOL8 = 1, /* one byte, 0 or 1: C's bool and NumPy's */
    WEIR_INT8,
    WEIR_INT16,
    WEIR_INT32,
    WEIR_INT64,
    WEIR_UINT8,
    WEIR_UINT16,
    WEIR_UINT32,
    WEIR_UINT64,
    WEIR_FLOAT32,
    WEIR_FLOAT64,
    WEIR_COMPLEX64,
    WEIR_COMPLEX128,
} weir_dtype;

/* NumPy's name of a type: "bool", "int8", ..., "complex128"; "?" for anything else. */
WEIR_API const char *weir_dtype_name(weir_dtype dtype);

/* The size of one item in bytes; 0 for anything else. */
WEIR_API size_t weir_dtype_size(weir_dtype dtype);

/* An array of one type with 0 to WEIR_ARRAY_NDIM_MAX axes, in C order (the last axis is
 * contiguous), in a block of its own. Shape and type never change. The items are plain memory:
 * processes that write the same item, or read it meanwhile, must agree among themselves.
 *
 * There are two layouts. With WEIR_ARRAY_NPY the block is a .npy file: a header, padded to a
 * multiple of 64 bytes, then the items. np.load("/dev/shm/NAME", mmap_mode="r+") is the live array,
 * and no Python ever tracks or unlinks it that way. Without WEIR_ARRAY_NPY the items begin at the
 * block's first byte, as np.ndarray(shape, dtype, buffer=shm.buf) expects; type and shape are then
 * written down in the array's JSON only (weir_array_to_json), and a program that attaches the block
 * must know them. */
typedef struct weir_array weir_array;

#define WEIR_ARRAY_NDIM_MAX 16 /* dimensions that an array can have */

#define WEIR_ARRAY_LAZY WEIR_SHM_LAZY /* do not reserve the memory; see weir_array_populate() */
#define WEIR_ARRAY_NPY  2u            /* begin with a .npy header */
#define WEIR_ARRAY_HUGE 4u            /* huge pages, where the system gives any for shared memory */

/* Makes a stand-alone array of zeros.
 *
 * `name`: as for weir_shm_create().
 * `shape`: `ndim` lengths, each from 0. It may be NULL when `ndim` is 0, which is an array of one
 * item.
 * `flags`: 0 or some of WEIR_ARRAY_....
 * The items are aligned to 64 bytes, and without a header to a page. WEIR_ARRAY_HUGE is advice: the
 * block is aligned to a huge page and the system asked for them (MADV_HUGEPAGE, and MADV_COLLAPSE
 * from Linux 6.1 on, unless lazy); where it has none to give, nothing differs. Making them takes as
 * long as making the array once more or longer, since the system copies what was reserved; it is
 * worth that for a large array that is read at random many times.
 * Crash: as weir_shm_create().
 * Returns: the array, to be closed with weir_array_close(); or NULL with weir_shm_create()'s errors
 * and: EINVAL (dtype, ndim, a negative length, NULL shape, or unknown flags), E2BIG (too large to
 * address). */
WEIR_API WEIR_MUST_CHECK weir_array *weir_array_create(const char *name, weir_dtype dtype, int ndim,
                                                       const int64_t *shape, unsigned flags);

/* Opens a .npy file in /dev/shm, read and write, made with WEIR_ARRAY_NPY or by NumPy (np.save,
 * np.lib.format.open_memmap), of format version 1.0, 2.0 or 3.0.
 *
 * Its items are aligned to 64 bytes, or to 16 if a NumPy older than 1.14 wrote the file.
 * Crash: nothing shared has changed.
 * Returns: the array, to be closed; or NULL with weir_shm_attach()'s errors and: EBADMSG (not a
 * .npy file, or a damaged one), ENOTSUP (a sound one that weir has no array for: Fortran order with
 * more than one axis, objects, records, text, dates, another byte order, another size of number,
 * more axes than WEIR_ARRAY_NDIM_MAX, another version of the format). */
WEIR_API WEIR_MUST_CHECK weir_array *weir_array_attach(const char *name);

/* Opens a block whose items begin at its first byte, as an array of this type and shape.
 * Crash: nothing shared has changed.
 * Returns: the array, to be closed; or NULL with weir_shm_attach()'s errors, weir_array_create()'s
 * EINVAL and E2BIG, and EBADMSG (the block is smaller than that). */
WEIR_API WEIR_MUST_CHECK weir_array *weir_array_attach_raw(const char *name, weir_dtype dtype,
                                                           int ndim, const int64_t *shape);

/* Closes the array and its block here, as weir_shm_close(). NULL is allowed.
 * Crash: as weir_shm_close(). */
WEIR_API void weir_array_close(weir_array *array);

/* The block that the array is in. It belongs to the array, so do not close it. */
WEIR_API weir_shm *weir_array_shm(const weir_array *array);

/* The first item, the type (0 for NULL), the number of axes, their lengths (`ndim` of them), the
 * bytes from one item to the next along an axis (0 to ndim - 1), the size of an item in bytes, and
 * the number of items. They are valid until the array is closed.
 * Returns: -EINVAL for an axis that does not exist. */
WEIR_API void *weir_array_data(const weir_array *array);
WEIR_API weir_dtype weir_array_dtype(const weir_array *array);
WEIR_API int weir_array_ndim(const weir_array *array);
WEIR_API const int64_t *weir_array_shape(const weir_array *array);
WEIR_API int64_t weir_array_stride(const weir_array *array, int axis);
WEIR_API size_t weir_array_item_size(const weir_array *array);
WEIR_API int64_t weir_array_len(const weir_array *array);

/* Reserves the memory of some items of a lazy array, and maps it into this process. Memory that is
 * there already keeps its contents. When a pool's workers call this, each for its own range, a
 * large array is made ready in parallel. That is for memory that must be there before the work
 * begins: so that a full /dev/shm is an error and not a SIGBUS, or that no page is made while
 * something is timed. It is not faster than workers that write the items of a lazy array right
 * away, which makes each page where it is used first; and two workers are hardly faster than one
 * process where the system's making of pages is what takes the time, as on small virtual machines
 * (0.9 of its time; tests/bench/bench-arrays.c measures it).
 *
 * `items`: a range of items, counted in C order. Memory comes in pages, so a few items beyond the
 * range get theirs too.
 * Context: any thread of any process; several may populate at once.
 * Crash: some of the range has its memory.
 * Returns: 0; -EINVAL (NULL), -ERANGE (no such items), -ENOSPC (/dev/shm is too full; part of the
 * range may have got memory), -ENOMEM (more than this machine or memory cgroup has left). */
WEIR_API WEIR_MUST_CHECK int weir_array_populate(const weir_array *array, weir_range items);

/* Some of an array's items, without a copy: a plain value that can be copied, also to workers with
 * weir_job_options.arg_size (data of a scope's array is the same address in all its processes). It
 * is valid as long as the array is open. Change its fields only by the functions below. */
typedef struct weir_view {
    void *data; /* the item at index 0, 0, ... */
    weir_dtype dtype;
    int ndim;
    int64_t shape[WEIR_ARRAY_NDIM_MAX];
    int64_t strides[WEIR_ARRAY_NDIM_MAX]; /* in bytes; may be negative */
} weir_view;

#define WEIR_SLICE_END INT64_MIN /* an end of weir_view_slice() left out, as in Python's a[:] */

/* Views all of an array.
 * Returns: 0; -EINVAL (NULL). */
WEIR_API WEIR_MUST_CHECK int weir_array_view(const weir_array *array, weir_view *out);

/* Views the items start, start + step, ... up to but without `stop` of one axis: Python's
 * a[start:stop:step].
 *
 * `start`, `stop`: a negative number counts from the axis's end, a number beyond the axis is cut to
 * it, and either may be WEIR_SLICE_END.
 * `out`: may be `view`.
 * Returns: 0; -EINVAL (NULL, an invalid view, no such axis, a step of 0). */
WEIR_API WEIR_MUST_CHECK int weir_view_slice(const weir_view *view, int axis, int64_t start,
                                             int64_t stop, int64_t step, weir_view *out);

/* Views the sub-array at one index of an axis, with one axis less: of axis 0 of a matrix, a row. A
 * negative index counts from the end. `out` may be `view`.
 * Returns: 0; -EINVAL (NULL, an invalid view, no such axis), -ERANGE (no such index). */
WEIR_API WEIR_MUST_CHECK int weir_view_at(const weir_view *view, int axis, int64_t index,
                                          weir_view *out);

/* The number of items in a view.
 * Returns: the number; -EINVAL (NULL, an invalid view). */
WEIR_API int64_t weir_view_len(const weir_view *view);

/* The address of one item of a view.
 *
 * `index`: view->ndim numbers; negative ones count from the end.
 * Returns: the address; or NULL: EINVAL (NULL, an invalid view), ERANGE (no such index). */
WEIR_API void *weir_view_item(const weir_view *view, const int64_t *index);

/* Sets all items of a view to the item at `item`; copies all items from or to `size` bytes of
 * private memory, in C order without gaps.
 * Crash: any part of it is done.
 * Returns: 0; or, nothing changed: -EINVAL (NULL, an invalid view, or `size` is not that of the
 * items). */
WEIR_API WEIR_MUST_CHECK int weir_view_fill(const weir_view *view, const void *item);
WEIR_API WEIR_MUST_CHECK int weir_view_copy_in(const weir_view *view, const void *from,
                                               size_t size);
WEIR_API WEIR_MUST_CHECK int weir_view_copy_out(const weir_view *view, void *to, size_t size);

/* The same for all of an array.
 * Crash: any part of it is done.
 * Returns: as weir_view_fill(). */
WEIR_API WEIR_MUST_CHECK int weir_array_fill(const weir_array *array, const void *item);
WEIR_API WEIR_MUST_CHECK int weir_array_copy_in(const weir_array *array, const void *from,
                                                size_t size);
WEIR_API WEIR_MUST_CHECK int weir_array_copy_out(const weir_array *array, void *to, size_t size);

/* ---- dict ----------------------------------------------------------------------------------- */

/* A dictionary in a block of shared memory, used by any number of processes and threads at once.
 * Keys are str, bytes or int. A str and bytes of the same content are different keys, and a bool
 * cannot be a key. Values are of all six types. The dictionary follows the methods of a Python dict
 * as Manager().dict() shares it, but there is no server: every call works on the memory itself, and
 * no call waits for another process. A call makes a system call only when the dictionary needs more
 * memory.
 *
 * Every call on one key is atomic: all processes see it done at one instant or not at all, and a
 * key has the value of one call, never a mixture. weir_dict_clear(), weir_dict_update() and
 * weir_dict_copy() are a number of such calls, one after the other.
 *
 * Crash: a process killed inside a call leaves a dictionary that all other processes go on using,
 * with that call done or not done. Nothing has to be repaired and nobody waits. The memory of one
 * item, present or removed before, may be lost until the block is freed.
 *
 * The memory: a dictionary takes what its items need, in steps, up to its block's size. Memory of
 * deleted keys and replaced values is used again for others of about the same size, and once
 * max_size is reached for items of any size: after all items were removed as if it were new. A
 * value needs its memory in one piece, so while some items stay, a large one can be refused
 * although there is as much in shorter pieces; the message says how much. Memory returns to the
 * system when the block is freed.
 *
 * Results of type str and bytes are copied to the caller's buffer, where out->data then points; a
 * NUL follows them that out->size does not count. If the buffer is too small (with the NUL) the
 * call returns -ENOBUFS, out->type and out->size tell what there is, and nothing was changed.
 *
 * Everything read from a block is checked first: a damaged or hostile block gives -EBADMSG, and a
 * call that changes something may then have been done in part. */
typedef struct weir_dict weir_dict;

#define WEIR_DICT_KEY_MAX   65535     /* longest str or bytes as a key, in bytes */
#define WEIR_DICT_VALUE_MAX 134217727 /* longest str or bytes as a value, in bytes */

/* How a dictionary is made. Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_dict_options {
    /* Bytes that the dictionary can grow to: the size of its block, of which only the part in use
     * takes memory. From 64 KiB to 64 GiB; 0: 64 MiB. An eighth of it finds keys, and a 127th of
     * the rest free memory; an int with an int takes 48 bytes. */
    size_t max_size;
    uint64_t reserved[4];
} weir_dict_options;

/* Makes an empty stand-alone dictionary in a block of its own.
 *
 * `name`: as for weir_shm_create().
 * `options`: may be NULL.
 * Crash: as weir_shm_create().
 * Returns: the dictionary, to be closed with weir_dict_close(); or NULL with weir_shm_create()'s
 * errors, and EINVAL (options). Kernels before Linux 5.14 reserve all of max_size at once. */
WEIR_API WEIR_MUST_CHECK weir_dict *weir_dict_create(const char *name,
                                                     const weir_dict_options *options);

/* Opens the dictionary of that name.
 * Crash: nothing shared has changed.
 * Returns: as weir_shm_attach(), and EBADMSG (not a dictionary). */
WEIR_API WEIR_MUST_CHECK weir_dict *weir_dict_attach(const char *name);

/* Closes the dictionary and its block here, as weir_shm_close(). NULL is allowed.
 * Crash: as weir_shm_close(). */
WEIR_API void weir_dict_close(weir_dict *dict);

/* The block that the dictionary is in. It belongs to the dictionary, so do not close it. */
WEIR_API weir_shm *weir_dict_shm(const weir_dict *dict);

/* In all calls below:
 *
 * Context: any thread of any process that has the dictionary open; not signal-safe.
 * Crash: the call is done or not done, unless it says otherwise.
 * Returns: besides what each of them says, -EINVAL (NULL, a key of another type, a value of no
 * type, a str that is not UTF-8), -E2BIG (longer than WEIR_DICT_KEY_MAX or WEIR_DICT_VALUE_MAX),
 * -EBADMSG.
 * Calls that store something, nothing changed: -ENOSPC (max_size is reached, or /dev/shm is full;
 * the message gives the numbers), -ENOMEM (the machine or memory cgroup has too little left). */

/* Reads the value of a key into *out; str and bytes go to `buf` of `size` bytes.
 * Returns: 0; -ENOENT (no such key), -ENOBUFS. Other failures than -ENOBUFS leave *out
 * unchanged. */
WEIR_API WEIR_MUST_CHECK int weir_dict_get(const weir_dict *dict, weir_value key, weir_value *out,
                                           void *buf, size_t size);

/* Tells whether the key is there.
 * Returns: 1; 0 when it is not. */
WEIR_API int weir_dict_contains(const weir_dict *dict, weir_value key);

/* Stores the value under the key, new or not. Both are copied.
 * Returns: 0. */
WEIR_API WEIR_MUST_CHECK int weir_dict_set(weir_dict *dict, weir_value key, weir_value value);

/* Stores the value if the key is new; otherwise reads the value that is there, as weir_dict_get().
 * `out` may be NULL.
 * Returns: 1 (stored; *out is `value` itself), 0 (it was there), -ENOBUFS. */
WEIR_API WEIR_MUST_CHECK int weir_dict_setdefault(weir_dict *dict, weir_value key, weir_value value,
                                                  weir_value *out, void *buf, size_t size);

/* Adds to an int; a key that is not there counts as 0 and is made.
 *
 * `after`: gets the sum; may be NULL.
 * Returns: 0; or, nothing changed: -EINVAL (the value is not an int), -EOVERFLOW (beyond 64
 * bits). */
WEIR_API WEIR_MUST_CHECK int weir_dict_add(weir_dict *dict, weir_value key, int64_t delta,
                                           int64_t *after);

/* Sets an int to `desired` if it is *expected, otherwise reads it into *expected.
 * Returns: 1 (set), 0 (it has another value); -ENOENT (no such key), -EINVAL (not an int). */
WEIR_API WEIR_MUST_CHECK int weir_dict_compare_and_set(weir_dict *dict, weir_value key,
                                                       int64_t *expected, int64_t desired);

/* The same for `count` keys, one after the other: weir_dict_get(), weir_dict_set() and
 * weir_dict_add() of keys[0] and out[0], values[0] or deltas[0], and so on.
 *
 * They are for dictionaries that are larger than the processor's caches: there most of a call is
 * waiting for memory, and these ask for the memory of 32 keys at once. With a million ints the time
 * for each is a third of a single call's, or less; with a thousand there is nothing to gain.
 *
 * `found`: tells which keys are there; may be NULL. out[i] is None for one that is not.
 * `buf`: gets the str and bytes of all results, one behind the other.
 * `done`: gets the number of keys that were done, also when a call fails; may be NULL.
 *
 * Crash: each key's call is done or not done by itself, and those before it are done.
 * Returns: 0, or of weir_dict_get_many() the number of keys that were found; or the error of the
 * first key that fails, with those before it done and it and those behind it not. A key that is not
 * there is no error. */
WEIR_API WEIR_MUST_CHECK int64_t weir_dict_get_many(const weir_dict *dict, const weir_value *keys,
                                                    size_t count, weir_value *out, bool *found,
                                                    void *buf, size_t size);
WEIR_API WEIR_MUST_CHECK int weir_dict_set_many(weir_dict *dict, const weir_value *keys,
                                                const weir_value *values, size_t count,
                                                size_t *done);
WEIR_API WEIR_MUST_CHECK int weir_dict_add_many(weir_dict *dict, const weir_value *keys,
                                                const int64_t *deltas, size_t count, size_t *done);

/* Removes the key.
 * Returns: 0; -ENOENT (no such key). */
WEIR_API int weir_dict_delete(weir_dict *dict, weir_value key);

/* Removes the key and gives the value that it had, as weir_dict_get(). If several processes pop one
 * key, one of them gets it.
 * Returns: 0; -ENOENT, -ENOBUFS (the key stays). */
WEIR_API WEIR_MUST_CHECK int weir_dict_pop(weir_dict *dict, weir_value key, weir_value *out,
                                           void *buf, size_t size);

/* Removes any one item (Python: the newest) and gives it; its key and then its value go to `buf`.
 * Returns: 0; -ENOENT (it is empty), -ENOBUFS (the item stays). */
WEIR_API WEIR_MUST_CHECK int weir_dict_popitem(weir_dict *dict, weir_value *key, weir_value *value,
                                               void *buf, size_t size);

/* The place of an iteration; {{0, 0}} is before the first item. A cursor never expires, and means
 * the same in every process. */
typedef struct weir_dict_cursor {
    uint64_t at[2];
} weir_dict_cursor;

/* Gives the next item and moves the cursor on. The order is unspecified. `key` and `value` may be
 * NULL; their bytes go to `buf`, first the key's.
 *
 * Keys that are there from the first call to the last are given exactly once, whatever else happens
 * meanwhile; keys that come or go may be given or not. (Two keys of more than 8 bytes whose hashes
 * of 126 bits are equal count as one here, and here only.)
 * Returns: 1; 0 after the last item; -ENOBUFS (the cursor stays). */
WEIR_API WEIR_MUST_CHECK int weir_dict_next(const weir_dict *dict, weir_dict_cursor *cursor,
                                            weir_value *key, weir_value *value, void *buf,
                                            size_t size);

/* Counts the items, one after the other: some 50 ns each while all of them are in the processor's
 * caches, 0.5 us each in a dictionary of some 100,000 and 1 us in one of ten million. While other
 * processes change the dictionary, keys that come or go may be counted or not. A program that asks
 * often counts for itself, say with weir_dict_add().
 * Returns: the number of items. */
WEIR_API int64_t weir_dict_len(const weir_dict *dict);

/* Removes all items, one after the other; items that other processes store meanwhile may stay.
 * Crash: some are removed.
 * Returns: 0. */
WEIR_API WEIR_MUST_CHECK int weir_dict_clear(weir_dict *dict);

/* Stores all items of `source`, one after the other.
 * Crash: some are stored.
 * Returns: 0; after an error some are stored. */
WEIR_API WEIR_MUST_CHECK int weir_dict_update(weir_dict *dict, const weir_dict *source);

/* Makes a stand-alone dictionary with the items of `source` and its max_size.
 * Crash: as weir_shm_create(): the whole copy exists or nothing.
 * Returns: as weir_dict_create(). */
WEIR_API WEIR_MUST_CHECK weir_dict *weir_dict_copy(const char *name, const weir_dict *source);

/* ---- objects as text ------------------------------------------------------------------------ */

/* Writes what is in an object for a person, as Python's repr() does: a list as CPython's
 * ShareableList, a dictionary as a dict, an array in NumPy's form:
 *
 *     ShareableList([1, 'a', None], name='psm_5f21')
 *     {'eggs': -3, 'spam': 0.5}
 *     array([[0.0, 0.5, 1.0],
 *            [1.5, 2.0, 2.5]], dtype=float32)
 *
 * Python reads the text as the same values: a number has all the digits that it needs, and none
 * more, in any locale. Unlike NumPy, items of an array are not padded, rounded or wrapped, and a
 * dictionary's items are in no order. What is not UTF-8 in a str, or would command a terminal, is
 * escaped; so the text is UTF-8 without control characters but for the line ends of an array.
 *
 * `items_most`: of a list or a dictionary with more items than that the first ones are written and
 * "... 150 more"; of an array with more, three items at each end of every axis that has more than
 * six, with "..." between. 0: all of them.
 * What other processes change meanwhile may be written in part.
 * Returns: the text, NUL-terminated, to be given to free(3); or NULL: EINVAL (NULL), ENOMEM,
 * EBADMSG (the list or dictionary is damaged). */
WEIR_API WEIR_MUST_CHECK char *weir_list_repr(const weir_list *list, size_t items_most);
WEIR_API WEIR_MUST_CHECK char *weir_array_repr(const weir_array *array, size_t items_most);
WEIR_API WEIR_MUST_CHECK char *weir_dict_repr(const weir_dict *dict, size_t items_most);

/* ---- objects as JSON ------------------------------------------------------------------------ */

/* An object as one line of JSON, to be given to another process (by a pipe, a file, an argument),
 * and back: what pickling does in Python. The members, all required, in any order:
 *
 *   weir     1, the version of this form
 *   kind     "shm", "list", "array" or "dict"
 *   name     the block's, in /dev/shm
 *   ino      its inode number: the same name on another block is not the object
 *   size     of the block in bytes
 *   count    list: number of elements
 *   dtype    array: NumPy's name of the type
 *   shape    array: lengths
 *   offset   array: where the items begin (0, or behind a .npy header)
 *
 * For example, on one line:
 *
 *     {"weir":1,"kind":"array","name":"weir_5f...","ino":4711,"size":128,"dtype":"float64",
 *      "shape":[4,4],"offset":0}
 *
 * The JSON does not keep the object alive. What weir_..._from_json() gives is attached: a
 * stand-alone object in private memory, to be closed, also when the block is of a scope, and in a
 * process of that scope. There the object's own pointer is better: it is valid in all processes. */

#define WEIR_JSON_MAX 4096 /* longest text that is taken, in bytes without the NUL */

/* Writes the object as JSON.
 * Returns: the text, NUL-terminated, to be given to free(3); or NULL: EINVAL (NULL, or a name that
 * is not UTF-8), ENOMEM, ENOTSUP (the object is of an anonymous scope: it has no name; see
 * weir_shm_path). */
WEIR_API WEIR_MUST_CHECK char *weir_shm_to_json(const weir_shm *shm);
WEIR_API WEIR_MUST_CHECK char *weir_list_to_json(const weir_list *list);
WEIR_API WEIR_MUST_CHECK char *weir_array_to_json(const weir_array *array);
WEIR_API WEIR_MUST_CHECK char *weir_dict_to_json(const weir_dict *dict);

/* Attaches the object that the JSON describes. The text may come from anybody: it must be exactly
 * of the form above, and the block must be what it says.
 * Crash: nothing shared has changed.
 * Returns: the object, to be closed; or NULL with weir_shm_attach()'s errors and: ENOENT (the
 * object is dead: its name is gone, or is another block's by now), EINVAL (NULL, or not JSON of
 * this kind; the message says where), E2BIG (longer than WEIR_JSON_MAX), EBADMSG (the block is not,
 * or no longer, what the JSON says). */
WEIR_API WEIR_MUST_CHECK weir_shm *weir_shm_from_json(const char *json);
WEIR_API WEIR_MUST_CHECK weir_list *weir_list_from_json(const char *json);
WEIR_API WEIR_MUST_CHECK weir_array *weir_array_from_json(const char *json);
WEIR_API WEIR_MUST_CHECK weir_dict *weir_dict_from_json(const char *json);

/* ---- bodies --------------------------------------------------------------------------------- */

static inline weir_range weir_range_of(int64_t length)
{
    weir_range range;

    range.begin = 0;
    range.end = length;
    return range;
}

static inline weir_value weir_none(void)
{
    weir_value value;

    value.type = WEIR_NONE;
    value.size = 0;
    value.integer = 0;
    return value;
}

static inline weir_value weir_bool(bool boolean)
{
    weir_value value = weir_none();

    value.type = WEIR_BOOL;
    value.boolean = boolean;
    return value;
}

static inline weir_value weir_int(int64_t integer)
{
    weir_value value;

    value.type = WEIR_INT;
    value.integer = integer;
    value.size = 0;
    return value;
}

static inline weir_value weir_float(double real)
{
    weir_value value;

    value.type = WEIR_FLOAT;
    value.real = real;
    value.size = 0;
    return value;
}

static inline weir_value weir_bytes(const void *data, size_t size)
{
    weir_value value;

    value.type = WEIR_BYTES;
    value.size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    value.data = (const char *)data;
    return value;
}

#ifdef __cplusplus
}
#endif

#endif
