/* SPDX-License-Identifier: MIT
 *
 * word_count: counts the words of a text file over a pool and prints the most frequent ones.
 *
 * A word is a run of the letters A-Z and a-z; case does not count. So the counts are those of
 *   LC_ALL=C tr -cs A-Za-z '\n' <FILE | LC_ALL=C tr A-Z a-z | sed '/^$/d' | sort | uniq -c
 *
 * The text lies in one shared block and is cut anywhere: a word belongs to the chunk that it begins
 * in. A worker counts a chunk in a table of its own, then makes a shared block of just the right
 * size for the result and leaves it for the host, which merges them. The results point into the
 * text: an address means the same in every process of the scope.
 *
 *   cc word_count.c $(pkg-config --cflags --libs weir) -o word_count && ./word_count FILE [TOP
 * [WORKERS]]
 */
#include <weir.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define CHUNKS 64

/* ---- counting: a hash table with open addressing, in private memory ---------------------------
 */

struct word {
    const char *text; /* in the shared text; NULL: a free place in a table */
    size_t length;
    int64_t count;
};

struct table {
    struct word *words;
    size_t size; /* a power of two, or 0 */
    size_t used;
};

/* Upper and lower case differ in one bit. */
static int is_letter(char c)
{
    return (unsigned char)((c | 0x20) - 'a') < 26;
}

/* The place of a word, or the free place that it belongs in. */
static struct word *find(const struct table *table, const char *text, size_t length)
{
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)(text[i] | 0x20)) * 1099511628211u;
    for (size_t i = hash ^ hash >> 32;; i++) {
        struct word *word = &table->words[i & (table->size - 1)];

        if (!word->text || (word->length == length && !strncasecmp(word->text, text, length)))
            return word;
    }
}

static int grow(struct table *table)
{
    struct table bigger = {.size = table->size ? 2 * table->size : 1024, .used = table->used};

    bigger.words = calloc(bigger.size, sizeof(struct word));
    if (!bigger.words)
        return -1;
    for (size_t i = 0; i < table->size; i++) {
        const struct word *word = &table->words[i];

        if (word->text)
            *find(&bigger, word->text, word->length) = *word;
    }
    free(table->words);
    *table = bigger;
    return 0;
}

static int add(struct table *table, const char *text, size_t length, int64_t count)
{
    struct word *word;

    if (4 * table->used >= 3 * table->size && grow(table) < 0)
        return -1;
    word = find(table, text, length);
    if (!word->text) {
        *word = (struct word){text, length, 0};
        table->used++;
    }
    word->count += count;
    return 0;
}

/* Moves the words to the front, so that a table can be read as an array of `used` words. */
static void compact(struct table *table)
{
    for (size_t from = 0, to = 0; from < table->size; from++)
        if (table->words[from].text)
            table->words[to++] = table->words[from];
}

/* ---- in the workers -------------------------------------------------------------------------- */

/* What the workers need to know; a copy of it goes to them. */
struct job {
    weir_manager *scope;
    const char *text;   /* a NUL ends it */
    weir_shm **results; /* one a chunk, in shared memory: its words; NULL when it has none */
};

static int count_words(const char *text, weir_range range, struct table *table)
{
    const char *at = text + range.begin, *end = text + range.end;

    if (range.begin > 0 && is_letter(at[-1])) /* in the middle of the previous chunk's last word */
        while (is_letter(*at))
            at++;
    while (at < end) {
        const char *word = at;

        while (is_letter(*at)) /* maybe beyond the end */
            at++;
        if (at == word)
            at++;
        else if (add(table, word, (size_t)(at - word), 1) < 0)
            return -1;
    }
    return 0;
}

static int count_chunk(weir_task *task, weir_range range, void *arg)
{
    const struct job *job = arg;
    struct table table = {0};
    weir_shm *result = NULL;
    int failed = 0;

    if (count_words(job->text, range, &table) < 0) {
        failed = weir_task_fail(task, ENOMEM, "out of memory");
    } else if (table.used > 0) {
        result = weir_manager_shm(job->scope, table.used * sizeof(struct word));
        if (!result) {
            failed = weir_task_fail(task, ENOMEM, "%s", weir_last_error()->message);
        } else {
            compact(&table);
            memcpy(weir_shm_buf(result), table.words, table.used * sizeof(struct word));
        }
    }
    job->results[weir_task_chunk(task)] = result;
    free(table.words);
    return failed;
}

/* ---- in the host ----------------------------------------------------------------------------- */

/* Reads a file into a block of the scope, with a NUL behind it. NULL on error. */
static weir_shm *load(weir_manager *scope, const char *path)
{
    FILE *file = fopen(path, "rb");
    weir_shm *text = NULL;
    struct stat st;

    if (!file || fstat(fileno(file), &st) < 0) {
        fprintf(stderr, "word_count: %s: %s\n", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        fprintf(stderr, "word_count: %s: not a regular file\n", path);
    } else if (!(text = weir_manager_shm(scope, (size_t)st.st_size + 1))) {
        fprintf(stderr, "word_count: %s: %s\n", path, weir_last_error()->message);
    } else if (fread(weir_shm_buf(text), 1, (size_t)st.st_size, file) < (size_t)st.st_size) {
        fprintf(stderr, "word_count: %s: cannot read all of it\n", path);
        text = NULL;
    }
    if (file)
        fclose(file);
    return text;
}

static int merge(weir_shm *const *results, struct table *all)
{
    for (int i = 0; i < CHUNKS; i++) {
        const struct word *words = results[i] ? weir_shm_buf(results[i]) : NULL;
        size_t count = results[i] ? weir_shm_size(results[i]) / sizeof(struct word) : 0;

        for (size_t k = 0; k < count; k++)
            if (add(all, words[k].text, words[k].length, words[k].count) < 0)
                return -1;
    }
    return 0;
}

/* Most frequent first, then by the alphabet. */
static int compare(const void *left, const void *right)
{
    const struct word *a = left, *b = right;
    int order = strncasecmp(a->text, b->text, a->length < b->length ? a->length : b->length);

    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

static void print(struct table *all, size_t top)
{
    compact(all);
    if (all->used > 0)
        qsort(all->words, all->used, sizeof(struct word), compare);
    for (size_t i = 0; i < all->used && i < top; i++) {
        const struct word *word = &all->words[i];

        printf("%7" PRId64 " ", word->count);
        for (size_t k = 0; k < word->length; k++)
            putchar(word->text[k] | 0x20);
        putchar('\n');
    }
}

static int complain(const char *what)
{
    fprintf(stderr, "word_count: %s\n", what);
    return 1;
}

/* Returns the program's exit status. */
static int run(weir_manager *scope, const char *path, size_t top, int workers)
{
    const weir_job_options options = {.chunks = CHUNKS, .arg_size = sizeof(struct job)};
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    weir_shm *results = weir_manager_shm(scope, CHUNKS * sizeof(weir_shm *));
    weir_shm *text;
    struct table all = {0};
    struct job job;
    int status = 0;

    if (!pool || !results)
        return complain(weir_last_error()->message);
    text = load(scope, path);
    if (!text)
        return 1;
    job = (struct job){scope, weir_shm_buf(text), weir_shm_buf(results)};
    if (weir_pool_for(pool, (weir_range){0, (int64_t)weir_shm_size(text)}, count_chunk, &job,
                      &options) < 0)
        return complain(weir_last_error()->message);
    if (merge(job.results, &all) == 0)
        print(&all, top);
    else
        status = complain("out of memory");
    free(all.words);
    return status;
}

/* A decimal number from 0 to max, or -1. */
static long parse(const char *text, long max)
{
    char *end;
    long number = strtol(text, &end, 10);

    return end == text || *end || number < 0 || number > max ? -1 : number;
}

int main(int argc, char **argv)
{
    long top = argc > 2 ? parse(argv[2], INT32_MAX) : 10;
    long workers = argc > 3 ? parse(argv[3], WEIR_WORKERS_MAX) : 0;
    int status = -1;

    if (argc < 2 || argc > 4 || top < 0 || workers < 0) {
        fprintf(stderr, "usage: word_count FILE [TOP (10) [WORKERS (0: one a CPU)]]\n");
        return 2;
    }
    WEIR_SCOPE (scope, NULL)
        status = run(scope, argv[1], (size_t)top, (int)workers);
    if (status < 0)
        status = complain(weir_last_error()->message);
    return status;
}
