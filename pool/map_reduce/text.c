/* SPDX-License-Identifier: MIT
 *
 * text.c: files as one range of bytes, in every process of a scope, without a copy.
 *
 * A text is a lazy block of the scope: a table of the files, one page or more of marks, and for
 * each file as many addresses as it has bytes, without memory. When a process first needs a file,
 * it opens the file by its path, checks that it is the same one, and maps it over those addresses,
 * privately and for reading only; so the text lies at one address everywhere, and a fork, before or
 * after, changes nothing. The marks say which files are mapped: each process puts a private page
 * over them, which a forked child inherits together with the mappings.
 *
 * What cannot be mapped (files of /proc, pipes, a terminal) is read when the text is opened, and
 * its bytes lie in the block; such a file is never opened again.
 *
 * Invariants: the table never changes after weir_text_open_many(); in a process a file's mark is 1
 * only if the file is mapped there. When the block has been closed, each process replaces the whole
 * span, files included, by an empty mapping at its next sync.
 *
 * Failure modes: a file that is gone, has been replaced or has become shorter is refused. Reading a
 * file that is truncated while it is mapped raises SIGBUS, which kills a worker and so fails its
 * chunk.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <weir.h>

#include "manager/internal.h"
#include "pool/control/result.h"
#include "pool/map_reduce/read_file.h"
#include "shm/block/lazy.h"
#include "shm/block/populate.h"
#include "shm/error.h"

#define TEXT_MAGIC UINT64_C(0x7478657472696577)

/* A file's entry in the block's table. */
struct text_file {
    uint64_t begin;  /* in the range */
    uint64_t size;   /* in bytes */
    uint64_t offset; /* of its addresses in the block */
    uint64_t path;   /* offset of its path in the block */
    uint64_t dev, ino;
    uint64_t read; /* 1: its bytes are in the block */
};

/* The block's begin; what a weir_text points to. */
struct weir_text {
    uint64_t magic;
    weir_shm *block;
    uint64_t files;
    uint64_t size; /* of all files, in bytes */
    /* Offset of the marks: a byte that is 1 if they are this process's own, then one a file. */
    uint64_t marks;
    struct text_file file[];
};

/* A text that is being put together, in private memory. */
struct plan {
    struct text_file *file;
    char **path;
    struct weir__contents *contents; /* of the files that were read */
    size_t files;                    /* that there are places for */
    size_t count;                    /* that were looked at */
    uint64_t mapped_dev;             /* files of this device can be mapped, if one was seen */
    bool mapped;
    uint64_t size;       /* of the text, in bytes */
    uint64_t marks, end; /* offsets in the block */
};

static uint64_t page_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t round_up_to_page(uint64_t size)
{
    return (size + page_size() - 1) & ~(page_size() - 1);
}

/* ---- opening -------------------------------------------------------------------------------- */

/* 1 if processes can map the file, 0 if it has to be read, or a negative errno. */
static int can_map(struct plan *plan, const char *path, const struct stat *status)
{
    int result;

    if (plan->mapped && plan->mapped_dev == status->st_dev && status->st_size > 0)
        return 1;
    result = weir__can_map_file(path, status);
    if (result == 1) {
        plan->mapped = true;
        plan->mapped_dev = (uint64_t)status->st_dev;
    }
    return result;
}

/* Whether a device has an end: a terminal, and /dev/null, which is many programs' stdin. */
static bool device_ends(const char *path, const struct stat *status)
{
    int fd;
    bool ends;

    if (!S_ISCHR(status->st_mode))
        return false;
    if (status->st_rdev == makedev(1, 3))
        return true;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ends = fd >= 0 && isatty(fd);
    if (fd >= 0)
        close(fd);
    return ends;
}

static int check_kind(const char *path, const struct stat *status)
{
    const mode_t mode = status->st_mode;

    if (S_ISDIR(mode))
        return weir__fail(-EISDIR, "%s: a directory; a text is made of files", path);
    if (access(path, R_OK) < 0)
        return weir__fail(-errno, "%s: %s", path, weir_strerror(-errno));
    if (S_ISREG(mode) || S_ISFIFO(mode) || device_ends(path, status))
        return 0;
    if (S_ISSOCK(mode))
        return weir__fail(-ENXIO, "%s: a socket, which cannot be opened by a path", path);
    return weir__fail(-EINVAL, "%s: a device that may have no end", path);
}

static int look_at_file(struct plan *plan, const char *path)
{
    struct text_file *file = &plan->file[plan->count];
    struct stat status;
    int mappable, error;

    if (path == NULL)
        return weir__fail(-EINVAL, "the path of file %zu is NULL", plan->count);
    if (stat(path, &status) < 0)
        return weir__fail(-errno, "%s: %s", path, weir_strerror(-errno));
    error = check_kind(path, &status);
    if (error < 0)
        return error;
    mappable = can_map(plan, path, &status);
    if (mappable < 0)
        return mappable;
    /* The working directory may change. What is read is not opened again, and the path of a pipe
     * among a process's descriptors cannot be made absolute. */
    plan->path[plan->count] = mappable == 1 ? realpath(path, NULL) : strdup(path);
    if (plan->path[plan->count] == NULL)
        return weir__fail(-errno, "%s: %s", path, weir_strerror(-errno));
    if (mappable == 0 && (error = weir__read_file(path, &plan->contents[plan->count])) < 0)
        return error;
    *file = (struct text_file){
        .begin = plan->size,
        .size = mappable == 1 ? (uint64_t)status.st_size : plan->contents[plan->count].size,
        .dev = (uint64_t)status.st_dev,
        .ino = (uint64_t)status.st_ino,
        .read = mappable == 0,
    };
    plan->size += file->size;
    plan->count++;
    if (plan->size > INT64_MAX / 4)
        return weir__fail(-E2BIG, "the files have more than %lld bytes together",
                          (long long)INT64_MAX / 4);
    return 0;
}

static void lay_out_text(struct plan *plan)
{
    uint64_t at = sizeof(struct weir_text) + plan->count * sizeof(struct text_file);

    for (size_t i = 0; i < plan->count; i++) {
        plan->file[i].path = at;
        at += strlen(plan->path[i]) + 1;
    }
    plan->marks = round_up_to_page(at);
    at = plan->marks + round_up_to_page(1 + plan->count);
    for (size_t i = 0; i < plan->count; i++) {
        plan->file[i].offset = at;
        at += round_up_to_page(plan->file[i].size);
    }
    plan->end = at;
}

/* Puts what was read into the block, and lets the private copy go. */
static int put_contents(const struct plan *plan, weir_shm *block)
{
    unsigned char *memory = weir_shm_buf(block);
    int error = 0;

    for (size_t i = 0; i < plan->count && error == 0; i++) {
        const uint64_t begin = plan->file[i].offset;
        struct weir__contents *contents = &plan->contents[i];

        if (contents->size == 0)
            continue;
        error = weir__populate(block, begin, contents->size);
        if (error == 0)
            memcpy(memory + begin, contents->bytes, contents->size);
        free(contents->bytes);
        contents->bytes = NULL;
    }
    return error;
}

static weir_text *make_text(weir_scope *scope, const struct plan *plan)
{
    const uint64_t table = plan->marks + round_up_to_page(1 + plan->count);
    weir_shm *block = weir__scope_block(scope, plan->end, WEIR_SHM_LAZY);
    weir_text *text;

    if (block == NULL)
        return NULL;
    if (weir__populate(block, 0, table) < 0 || put_contents(plan, block) < 0) {
        weir__block_drop(block);
        return NULL;
    }
    text = weir_shm_buf(block);
    text->block = block;
    text->files = plan->count;
    text->size = plan->size;
    text->marks = plan->marks;
    for (size_t i = 0; i < plan->count; i++) {
        text->file[i] = plan->file[i];
        strcpy((char *)text + plan->file[i].path, plan->path[i]);
    }
    text->magic = TEXT_MAGIC;
    return text;
}

static void free_plan(struct plan *plan)
{
    for (size_t i = 0; plan->path != NULL && i < plan->files; i++)
        free(plan->path[i]);
    for (size_t i = 0; plan->contents != NULL && i < plan->files; i++)
        free(plan->contents[i].bytes);
    free(plan->contents);
    free(plan->path);
    free(plan->file);
}

weir_text *weir_text_open_many(weir_scope *scope, const char *const *paths, size_t count)
{
    __attribute__((cleanup(free_plan))) struct plan plan = {0};

    if (paths == NULL || count == 0)
        return weir__fail_null(-EINVAL, "there is no file to open");
    if (count > PTRDIFF_MAX / sizeof(*plan.file))
        return weir__fail_null(-EINVAL, "count is %zu, which no memory can hold", count);
    plan.file = calloc(count, sizeof(*plan.file));
    plan.path = calloc(count, sizeof(*plan.path));
    plan.contents = calloc(count, sizeof(*plan.contents));
    plan.files = count;
    if (plan.file == NULL || plan.path == NULL || plan.contents == NULL)
        return weir__fail_null(-ENOMEM, "no memory for the table of %zu files", count);
    while (plan.count < count) {
        if (look_at_file(&plan, paths[plan.count]) < 0)
            return NULL;
    }
    lay_out_text(&plan);
    return make_text(scope, &plan);
}

weir_text *weir_text_open(weir_scope *scope, const char *path)
{
    return weir_text_open_many(scope, &path, 1);
}

static int check_text(const weir_text *text)
{
    if (text == NULL)
        return weir__fail(-EINVAL, "the text is NULL");
    if (text->magic != TEXT_MAGIC)
        return weir__fail(-EBADMSG, "the text at %p is damaged", (const void *)text);
    return 0;
}

void weir_text_close(weir_text *text)
{
    if (text == NULL || check_text(text) < 0)
        return;
    text->magic = 0;
    weir__block_drop(text->block);
}

weir_range weir_text_range(const weir_text *text)
{
    return (weir_range){0, check_text(text) < 0 ? 0 : (int64_t)text->size};
}

size_t weir_text_files(const weir_text *text)
{
    return check_text(text) < 0 ? 0 : text->files;
}

const char *weir_text_path(const weir_text *text, size_t file)
{
    if (check_text(text) < 0)
        return NULL;
    if (file >= text->files)
        return weir__fail_null(-ERANGE, "the text has no file %zu; its files are 0 to %llu", file,
                               (unsigned long long)text->files - 1);
    return (const char *)text + text->file[file].path;
}

/* ---- mapping -------------------------------------------------------------------------------- */

static char *data_of(const weir_text *text, size_t i)
{
    return (char *)(uintptr_t)text + text->file[i].offset;
}

/* This process's marks. NULL with the last error set. */
static _Atomic unsigned char *own_marks(const weir_text *text)
{
    unsigned char *marks = (unsigned char *)(uintptr_t)text + text->marks;
    _Atomic unsigned char *own = (_Atomic unsigned char *)marks;

    /* pairs with the release below, in another thread of this process */
    if (atomic_load_explicit(own, memory_order_acquire) != 0)
        return own;
    /* If another thread does so too, a file is mapped once more, at the same address. */
    if (mmap(marks, round_up_to_page(1 + text->files), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        return weir__fail_null(-ENOMEM, "no memory for the marks of %llu files",
                               (unsigned long long)text->files);
    /* pairs with the acquire above, in other threads of this process */
    atomic_store_explicit(own, 1, memory_order_release);
    return own;
}

static int open_same(const weir_text *text, size_t i)
{
    const struct text_file *file = &text->file[i];
    const char *path = (const char *)text + file->path;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;

    if (fd < 0)
        return weir__fail(-errno, "%s: %s", path, weir_strerror(-errno));
    if (fstat(fd, &status) == 0 && (uint64_t)status.st_dev == file->dev &&
        (uint64_t)status.st_ino == file->ino && (uint64_t)status.st_size >= file->size)
        return fd;
    close(fd);
    return weir__fail(
        -ESTALE, "%s: the file has been replaced or truncated since the text was opened", path);
}

static int map_file(const weir_text *text, size_t i)
{
    _Atomic unsigned char *marks = own_marks(text);
    const struct text_file *file = &text->file[i];
    void *at;
    int fd;

    if (marks == NULL)
        return weir_last_error()->code;
    /* pairs with the release below, in another thread of this process */
    if (file->size == 0 || file->read ||
        atomic_load_explicit(&marks[1 + i], memory_order_acquire) != 0)
        return 0;
    fd = open_same(text, i);
    if (fd < 0)
        return fd;
    at = weir__map_lazily(data_of(text, i), file->size, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return weir__fail(-ENOMEM, "cannot map %s", (const char *)text + file->path);
    /* pairs with the acquire above, in other threads of this process */
    atomic_store_explicit(&marks[1 + i], 1, memory_order_release);
    return 0;
}

const char *weir_text_data(const weir_text *text, size_t file, size_t *size)
{
    if (size != NULL)
        *size = 0;
    if (weir_text_path(text, file) == NULL || map_file(text, file) < 0)
        return NULL;
    if (size != NULL)
        *size = text->file[file].size;
    return data_of(text, file);
}

/* ---- cursors -------------------------------------------------------------------------------- */

/* The first file that ends behind this place of the range. */
static size_t find_file(const weir_text *text, uint64_t place)
{
    size_t low = 0, high = text->files;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (text->file[middle].begin + text->file[middle].size > place)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Skips the rest of a record that began before the cursor's range. */
static void skip_begun(weir_text_cursor *cursor)
{
    const char *newline;

    if (cursor->at == cursor->data)
        return;
    if (cursor->lines) {
        if (cursor->at[-1] == '\n')
            return;
        newline = memchr(cursor->at, '\n', (size_t)(cursor->end - cursor->at));
        cursor->at = newline != NULL ? newline + 1 : cursor->end;
    } else if (cursor->inside[(unsigned char)cursor->at[-1]]) {
        while (cursor->at < cursor->end && cursor->inside[(unsigned char)*cursor->at])
            cursor->at++;
    }
}

int weir_text_next_file(weir_text_cursor *cursor)
{
    const weir_text *text = cursor->text;
    const struct text_file *file;
    uint64_t end;

    if (cursor->left.begin >= cursor->left.end)
        return 0;
    cursor->file = find_file(text, (uint64_t)cursor->left.begin);
    file = &text->file[cursor->file];
    end = file->begin + file->size;
    if (end > (uint64_t)cursor->left.end)
        end = (uint64_t)cursor->left.end;
    cursor->data = data_of(text, cursor->file);
    cursor->at = cursor->data + ((uint64_t)cursor->left.begin - file->begin);
    cursor->stop = cursor->data + (end - file->begin);
    cursor->end = cursor->data + file->size;
    cursor->left.begin = (int64_t)end;
    skip_begun(cursor);
    return 1;
}

static int map_range(const weir_text *text, weir_range range)
{
    int error = 0;

    for (size_t i = find_file(text, (uint64_t)range.begin);
         i < text->files && text->file[i].begin < (uint64_t)range.end && error == 0; i++)
        error = map_file(text, i);
    return error;
}

static int begin_cursor(const weir_text *text, weir_range range, weir_text_cursor *cursor)
{
    int error = check_text(text);

    if (error < 0)
        return error;
    if (cursor == NULL)
        return weir__fail(-EINVAL, "the cursor is NULL");
    memset(cursor, 0, sizeof(*cursor));
    if (range.begin < 0 || range.end < range.begin || (uint64_t)range.end > text->size)
        return weir__fail(-ERANGE, "the range [%lld, %lld) is not one of the text's [0, %llu)",
                          (long long)range.begin, (long long)range.end,
                          (unsigned long long)text->size);
    cursor->text = text;
    return map_range(text, range);
}

/* Letters and digits, and all bytes of characters that are not ASCII. */
static bool is_word(unsigned c)
{
    return c - '0' < 10 || (c | 0x20) - 'a' < 26 || c >= 0x80;
}

int weir_text_slice(const weir_text *text, weir_range range, weir_text_split split,
                    weir_text_cursor *cursor)
{
    int error = begin_cursor(text, range, cursor);

    if (error < 0)
        return error;
    if (split != WEIR_TEXT_WORDS && split != WEIR_TEXT_LINES)
        return weir__fail(-EINVAL, "weir_text_split is %d; it must be %d or %d", (int)split,
                          WEIR_TEXT_WORDS, WEIR_TEXT_LINES);
    cursor->lines = split == WEIR_TEXT_LINES;
    cursor->words = split == WEIR_TEXT_WORDS;
    for (unsigned c = 0; c < 256; c++)
        cursor->inside[c] = is_word(c);
    cursor->left = range;
    return 0;
}

int weir_text_slice_at(const weir_text *text, weir_range range, const char *delimiters,
                       weir_text_cursor *cursor)
{
    int error = begin_cursor(text, range, cursor);

    if (error < 0)
        return error;
    if (delimiters == NULL)
        return weir__fail(-EINVAL, "the delimiters are NULL");
    memset(cursor->inside, 1, sizeof(cursor->inside));
    for (; *delimiters != '\0'; delimiters++)
        cursor->inside[(unsigned char)*delimiters] = 0;
    cursor->left = range;
    return 0;
}
