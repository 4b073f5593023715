/* SPDX-License-Identifier: MIT
 *
 * weir-map-reduce.h: keyed map-reduce, its tables, and texts to run it over.
 */
#ifndef WEIR_MAP_REDUCE_H
#define WEIR_MAP_REDUCE_H

#include <string.h>
#include <weir-future.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- map-reduce ----------------------------------------------------------------------------- */

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

#define WEIR_SKIP 1 /* what reduce returns for a key that is not to be in the table */

/* A keyed map-reduce: map emits pairs, values of one key are combined, each key is reduced. `map`
 * and `value_size` and `combine` are needed, zero means the default for the rest; `reserved` must
 * be zero. */
typedef struct weir_map_reduction {
    /* In a worker: calls weir_emit() for its range. It may be run again when its worker died; what
     * it had emitted then does not count. */
    weir_task_fn map;
    /* Of each value, in bytes; 0: variable, then the values of a key are put one behind the other,
     * in the order of the range, up to 2 GiB a key. */
    size_t value_size;
    /* In a worker: adds `from`, which was emitted later, to `into`. weir_sum_int64() and its like
     * are there; NULL if value_size is 0. If it writes more than value_size bytes, the task
     * fails. */
    void (*combine)(void *into, const void *from, void *arg);
    /* In a worker, once for each key at the end: may change what pair->value points to, and, where
     * sizes are variable, make value_size smaller. If it writes more than value_size bytes, the
     * task fails, and no other key has changed. Returns 0, or WEIR_SKIP, or anything else for
     * failure. NULL: values stay as they are. */
    int (*reduce)(weir_task *task, weir_pair *pair, void *arg);
    /* Most bytes of shared memory for all tables of the job, the result included, and of a worker's
     * own; 0: no limit but the system's. */
    size_t memory;
    /* combine gives the same bits in any order and grouping: sums of integers, minima, sets of
     * bits; not sums of doubles. On a cluster a node then merges what its chunks have emitted
     * before it sends it to others, which is a fraction of it where chunks have keys in common. On
     * by itself for weir_sum_int64(). Makes no difference on one machine. */
    bool any_order;
    uint64_t reserved[3];
} weir_map_reduction;

/* Runs the map-reduce over the range.
 *
 * Chunks (16 if options say nothing, at most 4,096) are mapped into a table each, and these then
 * merged in the order of the chunks, key by key, by all workers. So the result, the order of its
 * keys included, has the same bits for any number of workers, any timing and any killed worker, as
 * long as range and options are the same. More chunks share out the work better (give some for each
 * worker), fewer take less time and memory: each has a table of its own, which is made, kept and
 * merged.
 *
 * `arg`: passed to all three functions, as by weir_pool_for().
 * While tables are merged, the range of an error is one of parts of the result (from 0, at most
 * 64), not of items.
 * Context: as weir_pool_for().
 * Crash: when a worker is killed at any point, its chunk is run again, and the memory that it had
 * made of it is given back then. A block that it had just made and not noted yet stays until the
 * scope ends.
 * Returns: the table, to be freed with weir_table_free(); an empty one for an empty range. Or NULL:
 * weir_pool_for()'s errors, and EINVAL (the reduction), E2BIG (more than 4,096 chunks; a value of
 * more than 2 GiB), ENOMEM (reduction->memory is not enough, or a worker's memory), ENOSPC (the
 * scope is full). Nothing of the job is left then. */
WEIR_API WEIR_MUST_CHECK weir_table *weir_pool_map_reduce(weir_pool *pool, weir_range range,
                                                          const weir_map_reduction *reduction,
                                                          void *arg,
                                                          const weir_job_options *options);

/* Runs the map-reduce without waiting. The tables of the chunks are merged from when a call on the
 * future (any but weir_future_cancel()) notices that all are there.
 * Context: as weir_pool_submit().
 * Crash: as weir_pool_map_reduce().
 * Returns: as weir_pool_submit(). */
WEIR_API WEIR_MUST_CHECK weir_future *
weir_pool_map_reduce_async(weir_pool *pool, weir_range range, const weir_map_reduction *reduction,
                           void *arg, const weir_job_options *options);

/* The table of a map-reduce; waits for the end. It is the caller's from then on, to be freed with
 * weir_table_free(); one that nobody asked for is freed with the future.
 * Context: the thread that uses the future.
 * Crash: when the program dies, the workers are killed.
 * Returns: the table, the same each time; NULL: the job's error, or EINVAL (NULL, another job's
 * future, or the scope has ended and the table with it). */
WEIR_API weir_table *weir_future_table(weir_future *future);

/* In a map function: gives one pair. Key (up to 1 GiB, may be empty) and value are copied; the
 * value's size must be the reduction's value_size, if that is not 0. _str: the key is a string;
 * _int64: the value is a number, for a value_size of 8.
 *
 * A failure makes the task fail, so the result need not be looked at, unless to stop early.
 * Context: the map function that was given the task.
 * Crash: what was emitted does not count; the chunk is run again.
 * Returns: 0; -EINVAL (NULL, sizes; not in a map function; combine wrote past a value), -ENOMEM
 * (the memory limit, or the worker's memory), -E2BIG (a value of more than 2 GiB). */
WEIR_API int weir_emit(weir_task *task, const void *key, size_t key_size, const void *value,
                       size_t value_size);
WEIR_API int weir_emit_str(weir_task *task, const char *key, const void *value, size_t value_size);
WEIR_API int weir_emit_int64(weir_task *task, const void *key, size_t key_size, int64_t value);

/* The usual ways to combine, for a value_size of 8: sums of int64_t (which wrap) or of double.
 * `arg` is not used. */
WEIR_API void weir_sum_int64(void *into, const void *from, void *arg);
WEIR_API void weir_sum_double(void *into, const void *from, void *arg);

/* ---- tables --------------------------------------------------------------------------------- */

/* In all calls below:
 *
 * Context: any process of the scope, any thread.
 * Crash: nothing shared has changed.
 * Returns: besides what each of them says, -EINVAL (NULL), -EBADMSG (the table has been
 * overwritten). */

/* The number of keys. */
WEIR_API int64_t weir_table_len(const weir_table *table);

/* Looks a key up.
 * Returns: 0, and *pair is set; -ENOENT, without a message, when the key is not there. */
WEIR_API WEIR_MUST_CHECK int weir_table_get(const weir_table *table, const void *key,
                                            size_t key_size, weir_pair *pair);

/* The place of an iteration over a table; {0} is before the first pair. */
typedef struct weir_table_cursor {
    uint64_t at;
} weir_table_cursor;

/* Gives the next pair and moves the cursor on. The order depends on the table's keys alone.
 * Returns: 1, and *pair is set; 0 after the last pair. */
WEIR_API WEIR_MUST_CHECK int weir_table_next(const weir_table *table, weir_table_cursor *cursor,
                                             weir_pair *pair);

/* Makes an array of the table's pairs, sorted. Keys and values are the table's own.
 *
 * `compare`: negative when `a` comes first, as for qsort().
 * `most`: above 0, the array has only so many pairs, those that come first.
 * `count`: gets their number.
 * Returns: the array, to be freed with free(); or NULL: EINVAL (NULL), ENOMEM, EBADMSG. */
WEIR_API WEIR_MUST_CHECK weir_pair *
weir_table_sorted(const weir_table *table, int (*compare)(const weir_pair *a, const weir_pair *b),
                  size_t most, size_t *count);

/* Orders: by the bytes of the key, the shorter first; by the value as an int64_t or a double, the
 * largest first (and what is not a number last), then by key. */
WEIR_API int weir_pair_by_key(const weir_pair *a, const weir_pair *b);
WEIR_API int weir_pair_by_int64(const weir_pair *a, const weir_pair *b);
WEIR_API int weir_pair_by_double(const weir_pair *a, const weir_pair *b);

/* Gives the table's memory back; no process may use it any more. NULL is allowed. The scope's end
 * does it too.
 * Crash: the rest of it is given back with the scope. */
WEIR_API void weir_table_free(weir_table *table);

/* ---- text ----------------------------------------------------------------------------------- */

/* Files as one range of bytes, one file behind the other, in all processes of the scope and at one
 * address in all of them; regular files are not copied. A job runs over weir_text_range(), cut
 * anywhere, and each chunk asks for the records that *begin* in its own range: so each record comes
 * exactly once, and none reaches from one file into the next. */
typedef struct weir_text weir_text;

/* Opens files for reading; a file may be empty.
 *
 * Each process maps a file when it first slices it. Until then the file must stay where it is:
 * renaming it makes that fail, appending to it changes nothing, and cutting it short kills (SIGBUS)
 * the process that reads the part that is gone.
 *
 * What cannot be mapped is read to its end at once, into shared memory, and held twice meanwhile:
 * files of /proc and /sys, pipes (also "/dev/stdin"), terminals, and /dev/null.
 * Context: any process of the scope, any thread. Blocks while it looks at the files, and until a
 * pipe or terminal is at its end.
 * Crash: as weir_scope_array().
 * Returns: the text, to be closed with weir_text_close(), or by the scope's end; or NULL: ENOENT,
 * EACCES and so on (the message names the file), EINVAL (no path, another device), EISDIR, ENXIO (a
 * socket), and weir_scope_array()'s errors: it needs as much address space as the files have bytes,
 * and memory for what is read. */
WEIR_API WEIR_MUST_CHECK weir_text *weir_text_open(weir_scope *scope, const char *path);
WEIR_API WEIR_MUST_CHECK weir_text *weir_text_open_many(weir_scope *scope, const char *const *paths,
                                                        size_t count);

/* Closes the text. No process may use it, or what points into it, any more. NULL is allowed.
 * Crash: the rest of it is given back with the scope. */
WEIR_API void weir_text_close(weir_text *text);

/* In all calls below:
 *
 * Context: any process of the scope, any thread.
 * Crash: nothing shared has changed. */

/* All bytes: [0, their number). The number of files. The path of one file (from 0).
 * Returns: empty, 0 or NULL with the last error set when the text is NULL (EINVAL), damaged
 * (EBADMSG), or has no such file (ERANGE). */
WEIR_API weir_range weir_text_range(const weir_text *text);
WEIR_API size_t weir_text_files(const weir_text *text);
WEIR_API const char *weir_text_path(const weir_text *text, size_t file);

/* The bytes of one file; no NUL follows.
 *
 * `size`: gets their number; may be NULL.
 * Returns: the first byte; or NULL with weir_text_slice()'s errors. */
WEIR_API const char *weir_text_data(const weir_text *text, size_t file, size_t *size);

/* What a text is split into. */
typedef enum weir_text_split {
    WEIR_TEXT_WORDS = 0, /* runs of ASCII letters, digits, and bytes from 0x80 (so of UTF-8) */
    WEIR_TEXT_LINES,     /* lines without their newline, empty ones too; a last one may lack it */
} weir_text_split;

/* A record: it lies in the text, and no NUL follows. */
typedef struct weir_text_record {
    const char *data;
    size_t size;
} weir_text_record;

/* The place of an iteration over the records of a text. Besides weir_text_next() only `file` and
 * `data` are to be used. */
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

/* Begins to go through the records that begin in a part of the text's range. It reads no more than
 * the range and its last record.
 *
 * `delimiters` (_at): records are runs of bytes that are not in this string. It may be empty: then
 * a file is one record.
 * Returns: 0; -EINVAL (NULL, `split`), -ERANGE (not in the text's range), -EBADMSG (the text was
 * overwritten), -ESTALE (a file is another one now, or shorter), -ENOENT and other errors of
 * opening a file, -ENOMEM. */
WEIR_API WEIR_MUST_CHECK int weir_text_slice(const weir_text *text, weir_range range,
                                             weir_text_split split, weir_text_cursor *cursor);
WEIR_API WEIR_MUST_CHECK int weir_text_slice_at(const weir_text *text, weir_range range,
                                                const char *delimiters, weir_text_cursor *cursor);

/* Gives the next record and moves the cursor on.
 * Returns: 1, and *record is set; 0 after the last record. */
static inline WEIR_MUST_CHECK int weir_text_next(weir_text_cursor *cursor,
                                                 weir_text_record *record);

/* What weir_text_next() calls to go on to the next file.
 * Returns: 1; 0 after the last file. */
WEIR_API int weir_text_next_file(weir_text_cursor *cursor);

/* ---- bodies --------------------------------------------------------------------------------- */

/* Of eight bytes of a text: the highest bit of each byte that is not part of a word. */
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

/* The number of bytes from `begin` on that are inside[]. Of words 16 bytes are looked at together:
 * a loop whose length differs from word to word costs more than the words. */
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

#ifdef __cplusplus
}
#endif

#endif
