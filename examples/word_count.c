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
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The place of a word, or the free place that it belongs in. Letters differ from lower case in one
 * bit. */
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

/* ---- in the workers ---------------------------------------------------------------------------
 */

/* What the workers need to know; a copy of it goes to them. */
struct job {
    weir_manager *scope;
    const char *text;
    int64_t size;
    weir_shm *
        *results; /* one a chunk, in shared memory: its words and counts, or NULL for no words */
};

static int count_range(const struct job *job, weir_range range, struct table *table)
{
    int64_t at = range.begin;

    if (at > 0 &&
        is_letter(job->text[at - 1])) /* in the middle of the previous chunk's last word */
        while (at < job->size && is_letter(job->text[at]))
            at++;
    while (at < range.end) {
        int64_t begin = at;

        while (at < job->size && is_letter(job->text[at]))
            at++;
        if (at == begin)
            at++;
        else if (add(table, job->text + begin, (size_t)(at - begin), 1) < 0)
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

    if (count_range(job, range, &table) < 0) {
        failed = weir_task_fail(task, ENOMEM, "out of memory");
    } else if (table.used > 0) {
        result = weir_manager_shm(job->scope, table.used * sizeof(struct word));
        if (result) {
            compact(&table);
            memcpy(weir_shm_buf(result), table.words, table.used * sizeof(struct word));
        } else {
            failed = weir_task_fail(task, 1, "%s", weir_last_error()->message);
        }
    }
    job->results[weir_task_chunk(task)] = result;
    free(table.words);
    return failed;
}

/* ---- in the host ------------------------------------------------------------------------------
 */

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "word_count: %s: %s\n", what, why);
    return 1;
}

/* Reads the file straight into a block of the scope. `*text` is NULL for an empty file. */
static int load(weir_manager *scope, const char *path, weir_shm **text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    size_t done = 0;
    ssize_t got = 1;

    *text = NULL;
    if (fd < 0 || fstat(fd, &st) < 0)
        goto failed;
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return complain(path, "not a regular file");
    }
    if (st.st_size > 0 && !(*text = weir_manager_shm(scope, (size_t)st.st_size))) {
        close(fd);
        return complain(path, weir_last_error()->message);
    }
    while (done < (size_t)st.st_size && got > 0) {
        got = read(fd, (char *)weir_shm_buf(*text) + done, (size_t)st.st_size - done);
        if (got < 0 && errno != EINTR)
            goto failed;
        done += got > 0 ? (size_t)got : 0;
        got = got < 0 ? 1 : got;
    } /* a file that shrinks meanwhile leaves zeros, which are no letters */
    close(fd);
    return 0;

failed:
    complain(path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return 1;
}

/* Most frequent first, then by the alphabet. */
static int compare(const void *left, const void *right)
{
    const struct word *a = left, *b = right;
    size_t shorter = a->length < b->length ? a->length : b->length;
    int order = strncasecmp(a->text, b->text, shorter);

    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int merge(const struct job *job, struct table *all)
{
    for (int i = 0; i < CHUNKS; i++) {
        const struct word *words = job->results[i] ? weir_shm_buf(job->results[i]) : NULL;
        size_t count = words ? weir_shm_size(job->results[i]) / sizeof(struct word) : 0;

        for (size_t k = 0; k < count; k++)
            if (add(all, words[k].text, words[k].length, words[k].count) < 0)
                return complain("merging", "out of memory");
    }
    compact(all);
    qsort(all->words, all->used, sizeof(struct word), compare);
    return 0;
}

static void print(const struct table *all, size_t top)
{
    for (size_t i = 0; i < all->used && i < top; i++) {
        const struct word *word = &all->words[i];

        printf("%7" PRId64 " ", word->count);
        for (size_t k = 0; k < word->length; k++)
            putchar(word->text[k] | 0x20);
        putchar('\n');
    }
}

static int run(weir_manager *scope, const char *path, size_t top, int workers)
{
    weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = workers});
    weir_shm *results = weir_manager_shm(scope, CHUNKS * sizeof(weir_shm *));
    struct table all = {0};
    weir_shm *text;
    struct job job;
    int failed;

    if (!pool || !results)
        return complain("no pool", weir_last_error()->message);
    if (load(scope, path, &text) != 0)
        return 1;
    if (!text)
        return 0;
    job = (struct job){
        .scope = scope,
        .text = weir_shm_buf(text),
        .size = (int64_t)weir_shm_size(text),
        .results = weir_shm_buf(results),
    };
    if (weir_pool_for(pool, (weir_range){0, job.size}, count_chunk, &job,
                      &(weir_job_options){.chunks = CHUNKS, .arg_size = sizeof job}) < 0)
        return complain(path, weir_last_error()->message);
    failed = merge(&job, &all);
    if (!failed)
        print(&all, top);
    free(all.words);
    return failed;
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
        fprintf(stderr, "usage: word_count FILE [TOP [WORKERS]]\n"
                        "TOP: how many words to print (10); WORKERS: 0 for one a CPU (0)\n");
        return 2;
    }
    WEIR_SCOPE (scope, NULL)
        status = run(scope, argv[1], (size_t)top, (int)workers);
    if (status < 0)
        status = complain("no scope", weir_last_error()->message);
    return status;
}
