/* SPDX-License-Identifier: MIT
 *
 * weir-pool.h: processes that run work over a scope's shared memory.
 *
 * A pool has a supervisor process and a number of workers, forked when the pool is made: they see
 * the program's memory as it was then, and every object of the scope wherever it was made since. A
 * worker that crashes costs at most the chunk it was on: the call reports it, or the chunk is run
 * again, and the worker is replaced.
 *
 * In a worker: SIGINT, SIGQUIT and SIGHUP are ignored (the program decides what Ctrl-C means),
 * handlers of the program are reset to the default, stdout is line buffered, and pools cannot be
 * used
 * (-EDEADLK), only scopes' objects can. Workers end with the program, whatever way that ends.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <string.h>
#include <weir-scope.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a process, as Python's Process(target=...) --------------------------------------------- */

typedef struct weir_process weir_process;

/* Starts target(arg) in a forked process that belongs to the scope; its result is the exit status
 * (0 to 255, as exit()).
 *
 * `arg` points to an object of the scope, or to memory that exists now (the child has a copy of
 * it). The process is not a child of this one: no wait() here sees it. It ends with this program or
 * with the scope at the latest; join it to have it finish. Returns: the process, to be joined with
 * weir_process_join() or released with weir_process_free(); or NULL: EINVAL (scope or target is
 * NULL, or the scope has ended), EAGAIN or ENOMEM (fork), EMFILE, EDEADLK (called in a worker). */
WEIR_API weir_process *weir_process_start(weir_scope *scope, int (*target)(void *arg), void *arg);

/* Waits until the process has ended, at most `timeout_ms` milliseconds (negative: for ever).
 * `exit_code` (may be NULL) gets 0 to 255, or as in Python minus the signal that killed it. May be
 * called again after success; it does not free.
 * Returns: 0; -ETIMEDOUT; -EINVAL (NULL); WEIR_EDIED when it cannot be known how it ended, because
 * whoever watched it was killed too. */
WEIR_API int weir_process_join(weir_process *process, int timeout_ms, int *exit_code);

/* Its process id, for messages. -EINVAL for NULL. */
WEIR_API pid_t weir_process_pid(const weir_process *process);

/* Kills the process (SIGKILL) if it still runs, and frees the handle. NULL is allowed. The scope's
 * end does this for every process that is left, and the handle is then invalid too. */
WEIR_API void weir_process_free(weir_process *process);

/* ---- the pool ------------------------------------------------------------------------------- */

typedef struct weir_pool weir_pool;

/* What a running task can ask and tell. Valid only during the call of its function. */
typedef struct weir_task weir_task;

/* Works on [range.begin, range.end). Returns 0 for success, anything else for failure. */
typedef int (*weir_task_fn)(weir_task *task, weir_range range, void *arg);

#define WEIR_WORKERS_MAX 1024

#define WEIR_RETRIES_NONE (-1) /* weir_job_options.retries: never run a chunk again */

/* Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_pool_options {
    int workers;                   /* 1 to WEIR_WORKERS_MAX; 0: weir_cpu_count() */
    int (*initializer)(void *arg); /* run once in each worker before its first task, and in each
                                      replacement; nonzero ends the worker */
    void (*finalizer)(void *arg);  /* run in each worker that ends in order */
    void *arg;                     /* for both */
    int64_t chunks_per_worker;     /* a worker is replaced by a fresh one after this many chunks; 0:
                                      never     (Python's maxtasksperchild) */
    bool pin;       /* bind worker i to the i-th CPU of the affinity mask, going round */
    bool backtrace; /* a worker that crashes (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT) writes where
                       to stderr before it dies. Names of a program's own functions are there if it
                       was linked with -rdynamic; addr2line finds the others */
    uint64_t reserved[8];
} weir_pool_options;

/* How far a job is, in items of its range; for weir_job_options.on_progress. */
typedef struct weir_progress {
    const char *label;    /* weir_job_options.progress; may be NULL */
    uint64_t done;        /* in chunks that are done */
    uint64_t failed;      /* in chunks that have failed */
    uint64_t total;       /* in all */
    int64_t elapsed_ms;   /* since the call */
    int64_t left_ms;      /* expected at this rate; -1: not known yet */
    double rate;          /* items done a second, since the call */
    bool ended;           /* this is the last time: the job has ended, well if all items are done */
    uint64_t reserved[4]; /* zero */
} weir_progress;

/* How a job is run. Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_job_options {
    int64_t chunks; /* pieces the range is cut into, at most its length. 0: 64 (map_reduce: 16), or
                       what `grain` says. Where items cost differently some 16 a worker share the
                       work out evenly; a piece costs a few nanoseconds */
    int64_t grain;  /* items a piece, instead of `chunks`; giving both is an error */
    size_t
        arg_size; /* copy this many bytes at `arg` to the workers; 0: pass the pointer as it is */
    int retries; /* times a chunk is run again after its *worker died*, up to 30; WEIR_RETRIES_NONE: never; 0: once
                    for map, reduce and map_reduce, whose outputs the pool commits, never for `for`
                    and submit, whose side effects it cannot undo */
    int timeout_ms;       /* the whole job, from the call on; 0: none. Then -ETIMEDOUT */
    int chunk_timeout_ms; /* each attempt at a chunk; 0: none. Then its worker is killed, and the
                             chunk is retried or fails with -ETIMEDOUT */
    bool keep_going;      /* run the remaining chunks after a failure; the first one is reported */
    bool shared;          /* weir_pool_map(): `in` and `out` lie in memory that the workers share,
                             though it is not the scope's */
    bool progress_lines;  /* with `progress`, where no bar can be drawn: a line now and then */
    const char *progress; /* draw a bar with this label ("": none); see below */
    void (*on_progress)(const weir_progress *progress, void *arg); /* draw nothing: call this */
    void *on_progress_arg;
    uint64_t reserved[5];
} weir_job_options;

/* Progress is shown by the thread that waits for the job, while it waits: in the call itself, or,
 * of a future, in weir_future_wait(), weir_future_wait_many(), weir_future_result() or
 * weir_future_table(). There is no thread and no signal handler for it. Of a map-reduce, an item
 * counts for nine tenths when it is mapped; the last tenth of all comes as tables are merged.
 *
 * With `progress`, and stderr a terminal, that is a bar in one line, drawn at most ten times a
 * second: what is done, how fast, and the time left, as much as the terminal's width has room for
 * (TIOCGWINSZ, else COLUMNS). It ends as a line of its own that says how the job went; a wait that
 * ends before the job (weir_future_wait()'s timeout) leaves an empty line to write to. No colours
 * if NO_COLOR is set. Nothing is drawn while the program is in the background, or while the
 * terminal takes nothing (Ctrl-S). Of several threads that wait with bars, one draws at a time.
 *
 * Where stderr is no terminal, or TERM is "dumb" or not set, nothing is written; with
 * progress_lines there is a line for each tenth that is done, at most one a second, one a minute if
 * a tenth takes longer, and one at the end.
 *
 * With on_progress nothing is ever written: it is called instead, in the waiting thread, as often
 * as a bar would be drawn, and once more when the wait sees the job's end. It may cancel the job,
 * but not wait for it or free it. The label is copied; control characters in it are shown as "?".
 */

/* Number of CPUs this process may use: its affinity mask, cut to its cgroups' CPU quota (rounded
 * up). At least 1. */
WEIR_API int weir_cpu_count(void);

/* Makes a pool in a scope. `options` may be NULL. Workers start while this returns; one that cannot
 * start (its initializer fails, say) is reported by the first job.
 *
 * Buffered output is flushed before forking. Context: any thread of the program; blocks for the
 * time of forking. Do it early: the workers have a copy of all memory the program has at this
 * moment. Returns: the pool, to be freed with weir_pool_free(); or NULL: EINVAL (scope is NULL or
 * has ended, or options), E2BIG (more workers than WEIR_WORKERS_MAX), EAGAIN, ENOMEM, EMFILE (fork,
 * descriptors), EDEADLK (called in a worker). */
WEIR_API weir_pool *weir_pool_new(weir_scope *scope, const weir_pool_options *options);

/* Number of workers, and the process ids of the supervisor and of worker `worker` (from 0) as they
 * are now. -EINVAL for NULL, -ERANGE for no such worker, -ESRCH for one that is being replaced. */
WEIR_API int weir_pool_workers(const weir_pool *pool);
WEIR_API pid_t weir_pool_supervisor_pid(const weir_pool *pool);
WEIR_API pid_t weir_pool_worker_pid(const weir_pool *pool, int worker);

/* Runs function over the range, in chunks, on the pool's workers, and waits for the end.
 *
 * How the range is cut depends on the range and the options only, never on the number of workers.
 * `arg` points to an object of the scope, or to memory that existed, unchanged, when the pool was
 * made; or is copied (options->arg_size). `function` must have been in the program when the pool
 * was made. A chunk is *started* once, or again after its worker died if retries allow; with
 * retries a function may thus run twice over items that a killed worker had done already. After the
 * first failure no further chunk is started, unless keep_going.
 *
 * Context: any thread of the program that made the pool, several at once; blocks. An empty range
 * succeeds at once.
 * Crash: when the program dies, the workers are killed.
 * Returns: 0; or -EINVAL (pool, function, a range with end before begin, options), -E2BIG (too many
 * chunks; the message gives the limit), -ENOMEM or -ENOSPC (memory for chunks and a copied argument
 * beyond 256 MiB comes from the scope, as weir_scope_shm()), -ETIMEDOUT (options), -EDEADLK
 * (called in a worker), WEIR_EFAILED (a task failed: weir_last_error() has its message, code, range
 * and worker), WEIR_EDIED (a worker died, or the supervisor did; weir_last_error() has range, pid,
 * signal or exit status, and attempt), the error of fork (-EAGAIN, -EMFILE, ...: the pool has been
 * without a worker for 5 s), -ECANCELED (weir_pool_cancel, weir_pool_interrupt). No chunk is
 * running any more when this returns, whatever it returns. */
WEIR_API int weir_pool_for(weir_pool *pool, weir_range range, weir_task_fn function, void *arg,
                           const weir_job_options *options);

/* Works on one element: reads in_size bytes at `in`, writes out_size bytes at `out`. Returns 0 for
 * success. */
typedef int (*weir_map_fn)(weir_task *task, const void *in, void *out, void *arg);

/* Calls function for each of `count` elements of the arrays `in` and `out`, as Python's Pool.map.
 *
 * An array that lies in the scope (or options->shared) is used where it is, and elements are
 * written there directly. Any other array is private memory: the input is copied to the workers,
 * and the output copied back once all elements are done (with keep_going: of the chunks that are
 * done), so a failed call leaves it as it was. A size may be 0 and its pointer NULL: nothing to
 * read, or nothing to write. Returns: as weir_pool_for(); the error's range is the element for a
 * failure, the chunk for a death. */
WEIR_API int weir_pool_map(weir_pool *pool, weir_map_fn function, const void *in, size_t in_size,
                           void *out, size_t out_size, size_t count, void *arg,
                           const weir_job_options *options);

/* A reduction: every chunk folds its part of the range into an accumulator of its own, and those
 * are combined in a fixed tree over the order of the chunks. The result has the same bits for any
 * number of workers, any timing and any killed worker, as long as range and options are the same.
 */
typedef struct weir_reduction {
    size_t size; /* of an accumulator, from 1; one has the alignment of max_align_t at least */
    void (*init)(void *accumulator,
                 void *arg); /* sets it to the neutral element; NULL: zero bytes */
    int (*fold)(weir_task *task, weir_range range, void *accumulator, void *arg); /* in a worker. A
                          loop that adds up in a local variable, or by a restrict pointer, and sets
                          *accumulator at the end may be faster: the compiler then knows that what
                          it reads is not what it writes */
    void (*combine)(void *into, const void *from, void *arg); /* in the caller's process: `from`
                                                                 holds later items than `into` */
    uint64_t reserved[4];
} weir_reduction;

/* Runs the reduction over the range; `result` gets `size` bytes. An empty range gives the neutral
 * element. *result is unchanged on failure, also with keep_going.
 * Returns: as weir_pool_for(). */
WEIR_API int weir_pool_reduce(weir_pool *pool, weir_range range, const weir_reduction *reduction,
                              void *result, void *arg, const weir_job_options *options);

/* ---- keyed map-reduce ----------------------------------------------------------------------- */

/* A key and its value. In a table both stay where they are until the table is freed, in memory that
 * all processes of the scope share. A NUL follows the key's last byte, so a key that was a string
 * is one; a value is aligned to 8 bytes. */
typedef struct weir_pair {
    const char *key;
    size_t key_size;
    void *value;
    size_t value_size;
} weir_pair;

/* What a map-reduce gives: keys with their values, in shared memory of the scope. */
typedef struct weir_table weir_table;

#define WEIR_SKIP 1 /* by reduce: the key is not to be in the table */

/* A keyed map-reduce: map emits pairs, values of one key are combined, each key is reduced. `map`
 * and `value_size` and `combine` are needed, zero means the default for the rest; `reserved` must
 * be zero. */
typedef struct weir_map_reduction {
    weir_task_fn map;  /* in a worker: calls weir_emit() for its range. May be run again when its
                          worker died; what it had emitted then does not count */
    size_t value_size; /* of each value; 0: variable, then the values of a key are put one behind
                          the other, in the order of the range, up to 2 GiB a key */
    void (*combine)(void *into, const void *from, void *arg);   /* in a worker: `from` was emitted
                            after `into`. weir_sum_int64() and its like are there; NULL if
                            value_size is 0 */
    int (*reduce)(weir_task *task, weir_pair *pair, void *arg); /* in a worker, once for each key
                          at the end: may change what pair->value points to, and, where sizes are
                          variable, make value_size smaller. Returns 0, or WEIR_SKIP, or
                          anything else for failure. NULL: values stay as they are */
    size_t memory; /* most bytes of shared memory for all tables of the job, the result included,
                      and of a worker's own; 0: no limit but the system's */
    uint64_t reserved[4];
} weir_map_reduction;

/* Runs the map-reduce over the range. Chunks (16 if options say nothing, at most 4,096) are mapped
 * into a table each, and these then merged in the order of the chunks, key by key, by all workers.
 * So the result, the order of its keys included, has the same bits for any number of workers, any
 * timing and any killed worker, as long as range and options are the same. More chunks share out
 * the work better (give some for each worker), fewer take less time and memory: each has a table of
 * its own, which is made, kept and merged.
 *
 * `arg` is passed to all three functions, as for weir_pool_for(). While tables are merged, the
 * range of an error is one of parts of the result (from 0, at most 64), not of items.
 * Context: as weir_pool_for(). Crash: when a worker is killed at any point, the chunk it had is run
 * again; what it had made of it is given back then, but for a block that it had just made and not
 * noted yet, which stays until the scope ends.
 * Returns: the table, to be freed with weir_table_free(); an empty one for an empty range. Or NULL:
 * weir_pool_for()'s errors, and EINVAL (the reduction), E2BIG (more than 4,096 chunks; a value of
 * more than 2 GiB), ENOMEM (reduction->memory is not enough, or a worker's memory), ENOSPC (no room
 * in the scope or in /dev/shm). Nothing of the job is left then. */
WEIR_API weir_table *weir_pool_map_reduce(weir_pool *pool, weir_range range,
                                          const weir_map_reduction *reduction, void *arg,
                                          const weir_job_options *options);

/* In a map function: gives one pair. Key (up to 1 GiB, may be empty) and value are copied; the
 * value's size must be the reduction's value_size, if that is not 0. _str: the key is a string;
 * _int64: the value is a number, for a value_size of 8. A failure makes the task fail, so what
 * these return need not be looked at, unless to stop early. Returns: 0; -EINVAL (NULL, sizes; or
 * not in a map function, which fails alone), -ENOMEM (the memory limit, or the worker's memory),
 * -E2BIG (a value of more than 2 GiB). */
WEIR_API int weir_emit(weir_task *task, const void *key, size_t key_size, const void *value,
                       size_t value_size);
WEIR_API int weir_emit_str(weir_task *task, const char *key, const void *value, size_t value_size);
WEIR_API int weir_emit_int64(weir_task *task, const void *key, size_t key_size, int64_t value);

/* The usual ways to combine: int64_t (which wraps) or double, for a value_size of 8. `arg` is not
 * used. */
WEIR_API void weir_sum_int64(void *into, const void *from, void *arg);
WEIR_API void weir_sum_double(void *into, const void *from, void *arg);

/* Number of keys. -EINVAL (NULL), -EBADMSG (the table has been overwritten). */
WEIR_API int64_t weir_table_len(const weir_table *table);

/* Looks a key up. Context: any process of the scope, any thread.
 * Returns: 0, and *pair is set; -ENOENT, without a message, when the key is not there; -EINVAL
 * (NULL), -EBADMSG (the table has been overwritten). */
WEIR_API int weir_table_get(const weir_table *table, const void *key, size_t key_size,
                            weir_pair *pair);

/* Where an iteration over a table is; {0} is before the first pair. */
typedef struct weir_table_cursor {
    uint64_t at;
} weir_table_cursor;

/* Gives the next pair and moves the cursor on. The order is the same each time, and is otherwise
 * unspecified.
 * Returns: 1, and *pair is set; 0 after the last; -EINVAL (NULL), -EBADMSG (the table has been
 * overwritten). */
WEIR_API int weir_table_next(const weir_table *table, weir_table_cursor *cursor, weir_pair *pair);

/* An array of the table's pairs, sorted: `compare` is negative when `a` comes first, as for
 * qsort(). With `most` above 0 only so many, those that come first. *count gets their number. Keys
 * and values are the table's own. Returns: the array, to be freed with free(); NULL: EINVAL (NULL),
 * ENOMEM, EBADMSG. */
WEIR_API weir_pair *weir_table_sorted(const weir_table *table,
                                      int (*compare)(const weir_pair *a, const weir_pair *b),
                                      size_t most, size_t *count);

/* Orders: by the bytes of the key, the shorter first; by the value as an int64_t or a double, the
 * largest first (and what is not a number last), then by key. */
WEIR_API int weir_pair_by_key(const weir_pair *a, const weir_pair *b);
WEIR_API int weir_pair_by_int64(const weir_pair *a, const weir_pair *b);
WEIR_API int weir_pair_by_double(const weir_pair *a, const weir_pair *b);

/* Gives the table's memory back; nobody may use it any more, in any process. NULL is allowed. The
 * scope's end does it too. */
WEIR_API void weir_table_free(weir_table *table);

/* ---- text ----------------------------------------------------------------------------------- */

/* Files as one range of bytes, one file behind the other, in all processes of the scope and at one
 * address in all of them; nothing is copied. A job runs over weir_text_range(), cut anywhere, and
 * each chunk asks for the records that *begin* in its own range: so each record comes exactly once,
 * and none reaches from one file into the next. */
typedef struct weir_text weir_text;

/* Opens regular files for reading; a file may be empty.
 *
 * Each process maps a file when it first slices it. Until then the file must stay where it is;
 * renaming one makes that fail, appending to it changes nothing, and cutting it short kills
 * (SIGBUS) whoever reads what is gone. Context: the process that began the scope, or any other of
 * the scope. Blocks while it looks at the files. Crash: as weir_scope_array(). Returns: the text,
 * to be closed with weir_text_close(), or by the scope's end; or NULL: ENOENT, EACCES and so on
 * (the message names the file), EINVAL (no path, not a regular file), and weir_scope_array()'s
 * errors: it needs as much address space as the files have bytes. */
WEIR_API weir_text *weir_text_open(weir_scope *scope, const char *path);
WEIR_API weir_text *weir_text_open_many(weir_scope *scope, const char *const *paths, size_t count);

/* Nobody may use the text, or what points into it, any more, in any process. NULL is allowed. */
WEIR_API void weir_text_close(weir_text *text);

/* All bytes: [0, their number). Number of files; the path of one (from 0). Empty, 0 or NULL with
 * the last error set when the text is NULL (EINVAL), damaged (EBADMSG), or has no such file
 * (ERANGE). */
WEIR_API weir_range weir_text_range(const weir_text *text);
WEIR_API size_t weir_text_files(const weir_text *text);
WEIR_API const char *weir_text_path(const weir_text *text, size_t file);

/* The bytes of one file; *size (may be NULL) gets their number. No NUL follows. Context: any
 * process of the scope. Returns: NULL with weir_text_slice()'s errors. */
WEIR_API const char *weir_text_data(const weir_text *text, size_t file, size_t *size);

typedef enum weir_text_split {
    WEIR_TEXT_WORDS = 0, /* runs of ASCII letters, digits, and bytes from 0x80 (so of UTF-8) */
    WEIR_TEXT_LINES,     /* lines without their newline, empty ones too; a last one may lack it */
} weir_text_split;

/* A record: it lies in the text, and no NUL follows. */
typedef struct weir_text_record {
    const char *data;
    size_t size;
} weir_text_record;

/* Where one is in a text. Besides weir_text_next() only `file` and `data` are to be used. */
typedef struct weir_text_cursor {
    const char *data; /* the first byte of ... */
    size_t file;      /* ... the file that the last record was in */
    const char *at, *stop, *end;
    const weir_text *text;
    weir_range left;
    bool lines;
    unsigned char inside[256];
    bool words; /* inside[] is that of WEIR_TEXT_WORDS */
    uint64_t reserved[4];
} weir_text_cursor;

/* Begins to go through the records that begin in a part of the text's range. _at: records are runs
 * of bytes that are none of `delimiters` (a string), which may be empty: then a file is one record.
 * Context: any process of the scope, any thread; reads no more than the range and its last record.
 * Returns: 0; -EINVAL (NULL, `split`), -ERANGE (not in the text's range), -EBADMSG (the text was
 * overwritten), -ESTALE (a file is another one now, or shorter), -ENOENT and other errors of
 * opening a file, -ENOMEM. */
WEIR_API int weir_text_slice(const weir_text *text, weir_range range, weir_text_split split,
                             weir_text_cursor *cursor);
WEIR_API int weir_text_slice_at(const weir_text *text, weir_range range, const char *delimiters,
                                weir_text_cursor *cursor);

/* For weir_text_next(): goes on to the next file. 1; 0: there is none. */
WEIR_API int weir_text_next_file(weir_text_cursor *cursor);

/* For weir_text_next(): of eight bytes of a text, the highest bit of each that is of no word. */
static inline uint64_t weir_text_outside(const char *at)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t bytes, low, small, letter, digit;

    memcpy(&bytes, at, sizeof(bytes));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    bytes = __builtin_bswap64(bytes);
#endif
    /* With the highest bits out of the way, no sum reaches into the next byte. */
    low = bytes & ones * 0x7f;
    small = low | ones * 0x20;
    letter = (small + ones * (0x80 - 'a')) & ~(small + ones * (0x7f - 'z'));
    digit = (low + ones * (0x80 - '0')) & ~(low + ones * (0x7f - '9'));
    return ~(letter | digit | bytes) & ones * 0x80;
}

/* For weir_text_next(): how many bytes from `begin` on are inside[]. Of words 16 bytes are looked
 * at together: a loop whose length differs from word to word costs more than the words. */
static inline size_t weir_text_run(const weir_text_cursor *cursor, const char *begin)
{
    const char *at = begin, *end = cursor->end;

    while (cursor->words && end - at >= 16) {
        const uint64_t first = weir_text_outside(at), second = weir_text_outside(at + 8);
        const uint64_t outside = first != 0 ? first : second;

        if (outside != 0)
            return (size_t)(at - begin) + (first != 0 ? 0 : 8) +
                   (size_t)__builtin_ctzll(outside) / 8;
        at += 16;
    }
    while (at < end && cursor->inside[(unsigned char)*at])
        at++;
    return (size_t)(at - begin);
}

/* Gives the next record. Returns: 1; 0 when there is none. */
static inline int weir_text_next(weir_text_cursor *cursor, weir_text_record *record)
{
    do {
        const char *at = cursor->at, *begin, *end = cursor->end;

        if (cursor->lines && at < cursor->stop) {
            begin = (const char *)memchr(at, '\n', (size_t)(end - at));
            cursor->at = begin != NULL ? begin + 1 : end;
            record->data = at;
            record->size = (size_t)((begin != NULL ? begin : end) - at);
            return 1;
        }
        while (at < cursor->stop && !cursor->inside[(unsigned char)*at])
            at++;
        if (at < cursor->stop) {
            record->data = at;
            record->size = weir_text_run(cursor, at);
            cursor->at = at + record->size;
            return 1;
        }
        cursor->at = cursor->stop;
    } while (weir_text_next_file(cursor) == 1);
    return 0;
}

/* ---- futures -------------------------------------------------------------------------------- */

/* A job that runs while the program goes on. A future is used by one thread at a time; different
 * ones by different threads at once. What its function, arg and arrays point to must stay until it
 * has ended. */
typedef struct weir_future weir_future;

/* Any function of the program, called once, in a worker. `arg` points to a copy of what was
 * submitted. Returns 0 for success; weir_task_result() passes a result on. */
typedef int (*weir_call_fn)(weir_task *task, void *arg);

/* Submits one call. `arg_size` bytes at `arg` are copied; with arg_size 0 the pointer is passed as
 * it is. options->chunks and grain do not apply. Calls with at most 64 bytes of argument and
 * without retries, deadlines and progress share a queue, at a tenth of a microsecond each; others
 * are jobs of their own. When 4,096 of the one or the other kind are in flight, this waits for a
 * place. Returns: the future, to be freed with weir_future_free(); or NULL with weir_pool_for()'s
 * errors of bad arguments, ENOMEM, EDEADLK; WEIR_EDIED when the supervisor is gone. */
WEIR_API weir_future *weir_pool_submit(weir_pool *pool, weir_call_fn function, const void *arg,
                                       size_t arg_size, const weir_job_options *options);

/* The calls of the same name, without waiting. weir_pool_map_async() copies a private `out` back
 * when the end is noticed, in whatever call on the future notices it. The result of
 * weir_pool_reduce_async() is had with weir_future_result(). */
WEIR_API weir_future *weir_pool_for_async(weir_pool *pool, weir_range range, weir_task_fn function,
                                          void *arg, const weir_job_options *options);
WEIR_API weir_future *weir_pool_map_async(weir_pool *pool, weir_map_fn function, const void *in,
                                          size_t in_size, void *out, size_t out_size, size_t count,
                                          void *arg, const weir_job_options *options);
WEIR_API weir_future *weir_pool_reduce_async(weir_pool *pool, weir_range range,
                                             const weir_reduction *reduction, void *arg,
                                             const weir_job_options *options);

/* weir_pool_map_reduce() without waiting. The tables of the chunks are merged from when a call on
 * the future (any but weir_future_cancel()) notices that all are there. */
WEIR_API weir_future *weir_pool_map_reduce_async(weir_pool *pool, weir_range range,
                                                 const weir_map_reduction *reduction, void *arg,
                                                 const weir_job_options *options);

/* The table of a map-reduce; waits for the end. It is the caller's from then on, to be freed with
 * weir_table_free(); one that nobody asked for is freed with the future.
 * Returns: the table, the same each time; NULL: the job's error, or EINVAL (NULL, another job's
 * future). */
WEIR_API weir_table *weir_future_table(weir_future *future);

/* Waits until the job has ended, at most `timeout_ms` milliseconds (negative: for ever).
 * Returns: the job's result: 0, or its error as weir_pool_for() returns it (with the last error
 * set, at each call); or -ETIMEDOUT when it has not ended, which weir_future_done() tells from a
 * job that timed out; -EINVAL (NULL). */
WEIR_API int weir_future_wait(weir_future *future, int timeout_ms);

/* True when the job has ended. Does not block. */
WEIR_API bool weir_future_done(weir_future *future);

/* What the job gave: valid until the future is freed, and then no longer. `size` (may be NULL) gets
 * its size in bytes. Waits for the end. Returns: the result, aligned as malloc's; NULL when the job
 * failed or gave nothing (*size is 0 then). */
WEIR_API const void *weir_future_result(weir_future *future, size_t *size);

/* The failure, or NULL when the job succeeded or has not ended. Valid until the future is freed. */
WEIR_API const weir_error *weir_future_error(weir_future *future);

/* Cancels the job: chunks that have not been started are not. It ends, with -ECANCELED unless all
 * was done, once the running ones are through. Context: signal-safe while no other call uses the
 * future. */
WEIR_API void weir_future_cancel(weir_future *future);

/* Frees the future. One that has not ended is cancelled, and its running chunks are waited for:
 * nothing of it runs any more when this returns. NULL is allowed. Futures may be freed after their
 * pool. */
WEIR_API void weir_future_free(weir_future *future);

typedef enum weir_when {
    WEIR_WHEN_ANY = 0,     /* one has ended */
    WEIR_WHEN_ALL,         /* all have ended */
    WEIR_WHEN_FIRST_ERROR, /* one has failed, or all have ended */
} weir_when;

/* Waits for several futures of one pool, as Python's concurrent.futures.wait(). NULLs among them
 * are passed over. `timeout_ms` as for weir_future_wait(). Returns: the index of the one that has
 * ended (ANY) or failed (FIRST_ERROR), the lowest if several; `count` when all have ended (ALL), or
 * none has failed, or there is none; -ETIMEDOUT; -EINVAL (NULL, an unknown `when`, futures of
 * several pools). */
WEIR_API int64_t weir_future_wait_many(weir_future *const *futures, size_t count, weir_when when,
                                       int timeout_ms);

/* ---- streams -------------------------------------------------------------------------------- */

/* Calls for input of unknown length, as Python's Pool.imap and imap_unordered: put what there is,
 * take results as they come.
 *
 *     while (read_one(&record)) {
 *         weir_stream_put(stream, &record, sizeof record);
 *         while (weir_stream_next(stream, &item, 0) == 1)
 *             use(&item);
 *     }
 *     while (weir_stream_next(stream, &item, -1) == 1)
 *         use(&item);
 *
 * A stream is used by one thread at a time, and freed before its pool. */
typedef struct weir_stream weir_stream;

#define WEIR_IN_FLIGHT_MAX 1024

/* Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_stream_options {
    int in_flight;  /* calls that are out at a time, up to WEIR_IN_FLIGHT_MAX; 0: four a worker */
    bool unordered; /* results as they come, not in the order of the input */
    const weir_job_options *job; /* for each call, as weir_pool_submit(); no progress. Copied */
    uint64_t reserved[4];
} weir_stream_options;

/* A result. */
typedef struct weir_item {
    int64_t index;    /* of the input, counted from 0 */
    int code;         /* 0, or the call's error as weir_future_wait() returns it */
    const void *data; /* what weir_task_result() gave, aligned as malloc's; NULL: nothing */
    size_t size;
    const weir_error *error; /* NULL when code is 0 */
    uint64_t reserved[2];
} weir_item;

/* Returns: the stream, to be freed with weir_stream_free(); or NULL: weir_pool_submit()'s errors of
 * bad arguments, EINVAL (options), ENOMEM. */
WEIR_API weir_stream *weir_stream_new(weir_pool *pool, weir_call_fn function,
                                      const weir_stream_options *options);

/* Submits one call, as weir_pool_submit(). While in_flight calls have not ended it waits until one
 * has. Results that have come and are not taken do not count: they wait in this process's memory.
 * Crash: a worker that dies costs the item it was on, unless options.job says that it is retried.
 * Returns: 0; or weir_pool_submit()'s errors, and nothing is put. */
WEIR_API int weir_stream_put(weir_stream *stream, const void *arg, size_t arg_size);

/* Takes the next result: of the oldest input not taken, or, unordered, of any that has ended. What
 * it points to is valid until the next call of this, or the end of the stream. A failed item is an
 * item as well: its code says so, and the others go on. `timeout_ms` as for weir_future_wait().
 * Returns: 1; 0 when all that was put has been taken (*out is unchanged); -ETIMEDOUT; -EINVAL
 * (NULL). */
WEIR_API int weir_stream_next(weir_stream *stream, weir_item *out, int timeout_ms);

/* Cancels what is in flight, waits for the running calls, and frees. NULL is allowed. */
WEIR_API void weir_stream_free(weir_stream *stream);

/* ---- futures in a program with an event loop ------------------------------------------------ */

/* Told that a future has ended. The future is this function's to free, or to keep. */
typedef void (*weir_then_fn)(weir_future *future, void *arg);

/* Has callback(future, arg) called once, when the future has ended, in weir_pool_dispatch(): on the
 * loop that the pool is attached to, or where the program calls it. Never from within this call. A
 * future that has ended already gets its call too.
 *
 * From then on the future is used only in the thread that dispatches. Freed before its callback was
 * called, it is cancelled and waited for, and there is no call. Callbacks that are left when the
 * pool ends are called from within weir_pool_free(), weir_pool_kill() or weir_scope_end(), after the end
 * of their futures; nothing can be submitted to the pool then (-ECANCELED).
 * Context: the thread that dispatches, when the pool is attached to a loop; else any thread. Does
 * not block. Crash: a worker that is killed cannot take the call with it, nor can the supervisor.
 * Returns: 0; -EINVAL (NULL, or the future's pool has ended), -EBUSY (it has a callback). */
WEIR_API int weir_future_then(weir_future *future, weir_then_fn callback, void *arg);

/* A descriptor that poll(), epoll or a loop of any make finds readable when weir_pool_dispatch()
 * has something to do. It is the pool's: only wait on it. The same at each call. Returns: the
 * descriptor; or -EMFILE, -ENFILE, -ENOMEM, and weir_pool_workers()'s errors. */
WEIR_API int weir_pool_fd(weir_pool *pool);

/* Calls the callbacks of the futures that have ended; returns at once if there is none. A callback
 * may do anything: submit, free its future, call this, end the pool.
 * Context: one thread at a time. Returns: how many it called; or weir_pool_fd()'s errors. */
WEIR_API int weir_pool_dispatch(weir_pool *pool);

struct uv_loop_s;

/* Dispatches on a libuv loop (a uv_loop_t *), as uv_queue_work() does, but the work is done in
 * processes. While callbacks are to come the pool keeps uv_run() from returning.
 *
 * The program must use the libuv that weir uses, not a static copy of another version. A pool uses
 * one loop at a time, and ends there (weir_pool_free()) or leaves it before (`loop` NULL, which is
 * allowed at any time). As after
 * any uv_close(), run the loop once more before uv_loop_close().
 * Context: the loop's thread, both. Returns: 0; -EBUSY (it uses a loop already),
 * libuv's codes, which are negative errno values; weir_pool_fd()'s errors. */
WEIR_API int weir_pool_use_loop(weir_pool *pool, struct uv_loop_s *loop);

/* ---- ending --------------------------------------------------------------------------------- */

/* Cancels all calls on the pool that have begun and not ended, jobs of futures among them, and
 * those that still wait for a place: chunks that have not been started are not, and the calls
 * return -ECANCELED once the running ones are done. Calls that begin later run as usual; so a
 * cancel that comes between two calls does not keep the second one from running. Context: any
 * thread of the program; signal-safe. NULL is allowed. */
WEIR_API void weir_pool_cancel(weir_pool *pool);

/* The same for good: calls that begin later are cancelled too, before any chunk is started, until
 * weir_pool_resume(). This is for a handler of SIGINT, which cannot know whether it comes within a
 * call or between two, and needs no flag that is looked at before each:
 *
 *     static void on_interrupt(int signal) { weir_pool_interrupt(pool); }
 *     ...
 *     while (!converged)
 *         if (weir_pool_reduce(pool, range, &step, &result, NULL, NULL) == -ECANCELED)
 *             break;
 *
 * Context: any thread of the program; signal-safe, both. NULL is allowed. */
WEIR_API void weir_pool_interrupt(weir_pool *pool);
WEIR_API void weir_pool_resume(weir_pool *pool);

/* Ends the pool when the jobs in flight are done, those of futures included: workers run the
 * finalizer and exit. A worker that does not end within 5 s of having no more work is killed. NULL
 * is allowed. Context: the program that made the pool; no other thread may use the pool any more.
 */
WEIR_API void weir_pool_free(weir_pool *pool);

/* The same at once: kills the workers. Jobs that other threads wait for return WEIR_EDIED first. */
WEIR_API void weir_pool_kill(weir_pool *pool);

/* ---- in a task ------------------------------------------------------------------------------ */

/* Makes the task fail with `code` (nonzero; 0 is taken as 1) and a message for
 * weir_last_error()->message, printf-style, cut to 255 bytes. The last call counts.
 * Returns: code, so that a task can `return weir_task_fail(task, 7, "no such row: %d", row)`. The
 * task fails even if it then returns 0. */
WEIR_API int weir_task_fail(weir_task *task, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Gives the result of a submitted call: `size` bytes at `data` are copied (the last call counts).
 * Returns: 0; -EINVAL (the task is not of weir_pool_submit(); NULL data); or, for more than 64
 * bytes, the errors of weir_scope_shm(). */
WEIR_API int weir_task_result(weir_task *task, const void *data, size_t size);

/* Index of the worker that runs the task (from 0), which attempt at this chunk it is (from 1), and
 * the chunk's number (from 0). */
WEIR_API int weir_task_worker(const weir_task *task);
WEIR_API int weir_task_attempt(const weir_task *task);
WEIR_API int64_t weir_task_chunk(const weir_task *task);

/* True once the job has been cancelled or has failed: a long task may return early. */
WEIR_API bool weir_task_cancelled(const weir_task *task);

#ifdef __cplusplus
}
#endif

#endif
