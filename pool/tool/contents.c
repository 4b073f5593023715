/* SPDX-License-Identifier: MIT
 *
 * contents.c: what is in a block of shared memory.
 *
 * The block is read into private memory, and the library's own code reads it there: it takes no
 * word of another process's for granted. What the block is says the record of its scope; where
 * there is none, the marks with which an array with a header and a dictionary begin. A list has no
 * mark, so without a record its bytes are shown, unless the user says that it is one.
 *
 * Failure modes. A block that others change meanwhile may be seen half changed: what is then no
 * list or dictionary is said to be damaged, and status 2 says that not all was shown.
 */
#include "pool/tool/contents.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/tool/text.h"
#include "pool/tool/tool.h"
#include "shm/array/array.h"
#include "shm/block/block.h"
#include "shm/dict/block.h"
#include "shm/list/list.h"
#include "shm/repr.h"
#include "shm/retry.h"

#define SIZE_MAX_READ ((uint64_t)1 << 30) /* bytes of one block's memory */
#define FEW           100                 /* items */
#define FEW_BYTES     256
#define LINE_BYTES    16
#define MARK_ARRAY    "\x93NUMPY" /* of a .npy file */
#define MARK_DICT     "wirdict"

/* A copy of the block, and what is written of it. */
struct contents {
    struct tool_heap *heap;
    const char *name; /* escaped */
    const char *kind;
    weir_shm shm;
    bool all;
    json_t *json;  /* NULL: text */
    json_t *items; /* of `json` */
};

static int open_block(const char *name)
{
    char path[PATH_MAX];

    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL ||
        snprintf(path, sizeof(path), "%s/%s", WEIR__SHM_DIR, name) >= (int)sizeof(path)) {
        errno = ENOENT;
        return -1;
    }
    return tool_open_to_read(AT_FDCWD, path);
}

bool tool_contents_exist(const char *name)
{
    const int fd = open_block(name);

    if (fd >= 0)
        close(fd);
    return fd >= 0 || errno != ENOENT;
}

/* ---- the copy ------------------------------------------------------------------------------- */

/* What has memory; the rest reads as zeros. */
static int copy_data(unsigned char *to, int fd, uint64_t size)
{
    uint64_t copied = 0;
    off_t at = 0;

    while ((at = lseek(fd, at, SEEK_DATA)) >= 0 && (uint64_t)at < size) {
        off_t end = lseek(fd, at, SEEK_HOLE);

        end = end < 0 || (uint64_t)end > size ? (off_t)size : end;
        while (at < end) {
            ssize_t n;

            if (copied > SIZE_MAX_READ)
                return -EFBIG;
            n = TEMP_FAILURE_RETRY(pread(fd, to + at, (size_t)(end - at), at));
            if (n < 0)
                return -errno;
            if (n == 0)
                return 0;
            at += n;
            copied += (uint64_t)n;
        }
    }
    return 0;
}

/* The file's bytes in private memory, which is unmapped at the end of the program. */
static int copy_block(struct contents *contents, int fd, const struct stat *st)
{
    void *memory;

    contents->shm.size = (size_t)st->st_size;
    contents->shm.ino = st->st_ino;
    if (st->st_size == 0)
        return 0;
    memory = mmap(NULL, contents->shm.size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    contents->shm.buf = memory;
    return copy_data(memory, fd, contents->shm.size);
}

static bool begins_with(const struct contents *contents, const char *mark)
{
    const size_t size = strlen(mark);

    return contents->shm.buf != NULL && contents->shm.size >= size &&
           memcmp(contents->shm.buf, mark, size) == 0;
}

static const char *kind_of(const struct contents *contents, const struct tool_scopes *scopes)
{
    const weir_shm *shm = &contents->shm;

    for (size_t i = 0; i < scopes->count; i++) {
        const struct tool_scope *scope = &scopes->items[i];

        for (size_t block = 0; block < scope->blocks_count && !scope->anonymous; block++) {
            if (scope->blocks[block].ino == shm->ino &&
                strcmp(scope->blocks[block].name, contents->name) == 0)
                return strcmp(scope->blocks[block].kind, "shm") == 0 ? "bytes"
                                                                     : scope->blocks[block].kind;
        }
    }
    if (begins_with(contents, MARK_ARRAY))
        return "array";
    if (begins_with(contents, MARK_DICT))
        return "dict";
    return "bytes";
}

/* ---- items ---------------------------------------------------------------------------------- */

static json_t *value_json(const weir_value *value)
{
    char *text = NULL;
    size_t size = 0;
    json_t *json;
    FILE *out;

    switch (value->type) {
    case WEIR_NONE:
        return json_null();
    case WEIR_BOOL:
        return json_boolean(value->boolean);
    case WEIR_INT:
        return json_integer(value->integer);
    case WEIR_FLOAT:
        if (isfinite(value->real))
            return json_real(value->real);
        break;
    case WEIR_STR:
        json = json_stringn(value->data, value->size);
        if (json != NULL)
            return json;
        break;
    default:
        break;
    }
    /* what JSON does not have, as Python writes it */
    out = open_memstream(&text, &size);
    if (out == NULL)
        return NULL;
    weir__repr_value(out, value);
    json = fclose(out) == 0 ? json_pack("{s:s}", "python", text) : NULL;
    free(text);
    return json;
}

static int64_t shown_of(const struct contents *contents, int64_t count)
{
    return contents->all || count <= FEW ? count : FEW;
}

static void note_number(const struct contents *contents, const char *name, int64_t number)
{
    if (contents->json != NULL)
        json_object_set_new(contents->json, name, json_integer(number));
}

static int say_damaged(const struct contents *contents)
{
    tool_say("\"%s\": %s", contents->name, weir_last_error()->message);
    return TOOL_FAILED;
}

static int list_json(struct contents *contents, const weir_list *list)
{
    const int64_t shown = shown_of(contents, list->count);
    int status = TOOL_DONE;

    note_number(contents, "count", list->count);
    for (int64_t i = 0; i < shown; i++) {
        weir_value value;

        if (weir_list_get(list, i, &value) == 0) {
            json_array_append_new(contents->items, value_json(&value));
            continue;
        }
        status = say_damaged(contents);
        json_array_append_new(contents->items, json_null());
    }
    return status;
}

static int show_list(struct contents *contents)
{
    struct weir_list list = {0};
    int result;

    if (weir__list_kind.bind(&list, &contents->shm, NULL) < 0)
        return say_damaged(contents);
    if (contents->json != NULL)
        return list_json(contents, &list);
    result = weir__repr_list(stdout, &list, shown_of(contents, list.count), true);
    putchar('\n');
    return result < 0 ? say_damaged(contents) : TOOL_DONE;
}

/* What JSON does not have is as Python writes it. */
static json_t *item_json(const char *at, weir_dtype dtype)
{
    const size_t half = weir_dtype_size(dtype) / 2;
    weir_value value = weir__item_value(at, dtype), imaginary;
    uint64_t number = 0;

    if (dtype == WEIR_COMPLEX64 || dtype == WEIR_COMPLEX128) {
        imaginary = weir__item_value(at + half, dtype);
        return json_pack("[oo]", value_json(&value), value_json(&imaginary));
    }
    memcpy(&number, at, weir_dtype_size(dtype) < 8 ? weir_dtype_size(dtype) : 8);
    if (dtype == WEIR_UINT64 && number > INT64_MAX) {
        char text[24];

        snprintf(text, sizeof(text), "%" PRIu64, number);
        return json_pack("{s:s}", "python", text);
    }
    return value_json(&value);
}

static int show_array(struct contents *contents)
{
    struct weir_array array = {0};
    int64_t shown;
    size_t size;

    if (weir__array_kind.bind(&array, &contents->shm, NULL) < 0)
        return say_damaged(contents);
    shown = shown_of(contents, array.count);
    size = weir_dtype_size(array.dtype);
    note_number(contents, "count", array.count);
    if (contents->json != NULL) {
        json_t *shape = json_array();

        for (int i = 0; i < array.ndim; i++)
            json_array_append_new(shape, json_integer(array.shape[i]));
        json_object_set_new(contents->json, "dtype", json_string(weir_dtype_name(array.dtype)));
        json_object_set_new(contents->json, "shape", shape);
    } else {
        printf("%s[", weir_dtype_name(array.dtype));
        for (int i = 0; i < array.ndim; i++)
            printf("%s%" PRId64, i > 0 ? "," : "", array.shape[i]);
        fputs("]\n[", stdout);
    }
    for (int64_t i = 0; i < shown; i++) {
        const char *at = array.data + (size_t)i * size;

        if (contents->json != NULL) {
            json_array_append_new(contents->items, item_json(at, array.dtype));
            continue;
        }
        fputs(i > 0 ? ", " : "", stdout);
        weir__repr_item(stdout, at, array.dtype);
    }
    if (contents->json == NULL && shown < array.count)
        printf(", ... %" PRId64 " more", array.count - shown);
    if (contents->json == NULL)
        puts("]");
    return TOOL_DONE;
}

/* More than a dictionary of that size can hold: a damaged one may lead round in a circle. */
static int64_t most_items(const struct contents *contents)
{
    return contents->all ? (int64_t)(contents->shm.size / WEIR__DICT_NODE_SIZE) : FEW;
}

static int dict_json(struct contents *contents, const weir_dict *dict)
{
    weir_dict_cursor cursor = {{0, 0}};
    size_t capacity = 4096;
    char *buffer = tool_take(contents->heap, capacity, 1);
    const int64_t most = most_items(contents);
    weir_value key, value;
    int64_t shown = 0;
    int got = 1;

    while (shown < most &&
           (got = weir_dict_next(dict, &cursor, &key, &value, buffer, capacity)) != 0) {
        if (got == -ENOBUFS && capacity <= contents->shm.size) {
            capacity *= 4;
            buffer = tool_take(contents->heap, capacity, 1);
            continue;
        }
        if (got < 0)
            break;
        json_array_append_new(contents->items,
                              json_pack("[oo]", value_json(&key), value_json(&value)));
        shown++;
    }
    note_number(contents, "shown", shown);
    return got < 0 ? say_damaged(contents) : TOOL_DONE;
}

static int show_dict(struct contents *contents)
{
    weir_dict *dict = tool_take(contents->heap, 1, weir__dict_kind.handle_size);
    int result;

    if (weir__dict_kind.bind(dict, &contents->shm, NULL) < 0)
        return say_damaged(contents);
    if (contents->json != NULL)
        return dict_json(contents, dict);
    result = weir__repr_dict(stdout, dict, most_items(contents), ",\n ");
    putchar('\n');
    return result < 0 ? say_damaged(contents) : TOOL_DONE;
}

static void put_line(const unsigned char *bytes, size_t at, size_t count)
{
    printf("%08zx ", at);
    for (size_t i = 0; i < LINE_BYTES; i++) {
        fputs(i % 8 == 0 ? " " : "", stdout);
        if (i < count)
            printf("%02x ", bytes[at + i]);
        else
            fputs("   ", stdout);
    }
    fputs(" |", stdout);
    for (size_t i = 0; i < count; i++)
        putchar(bytes[at + i] >= ' ' && bytes[at + i] < 127 ? bytes[at + i] : '.');
    fputs("|\n", stdout);
}

/* As hexdump -C does. */
static int show_bytes(struct contents *contents)
{
    const size_t size = contents->shm.size;
    const size_t shown = contents->all || size <= FEW_BYTES ? size : FEW_BYTES;
    const unsigned char *bytes = contents->shm.buf;

    if (contents->json != NULL) {
        char *text = tool_take(contents->heap, shown * 2 + 1, 1);

        for (size_t i = 0; i < shown; i++)
            snprintf(text + 2 * i, 3, "%02x", bytes[i]);
        json_object_set_new(contents->json, "hex", json_string(text));
        return TOOL_DONE;
    }
    for (size_t at = 0; at < shown; at += LINE_BYTES)
        put_line(bytes, at, shown - at < LINE_BYTES ? shown - at : LINE_BYTES);
    if (shown < size)
        printf("... %zu more bytes\n", size - shown);
    return TOOL_DONE;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int show_copy(struct contents *contents)
{
    if (strcmp(contents->kind, "list") == 0)
        return show_list(contents);
    if (strcmp(contents->kind, "dict") == 0)
        return show_dict(contents);
    if (strcmp(contents->kind, "array") == 0 && begins_with(contents, MARK_ARRAY))
        return show_array(contents);
    return show_bytes(contents);
}

static int show_open(struct contents *contents, const struct tool_scopes *scopes, int fd,
                     const struct tool_contents_options *options)
{
    struct stat st;
    int result = fstat(fd, &st) < 0 ? -errno : !S_ISREG(st.st_mode) ? -EINVAL : 0;

    if (result == 0)
        result = copy_block(contents, fd, &st);
    if (result < 0) {
        tool_say("cannot read \"%s\": %s", contents->name,
                 result == -EINVAL  ? "it is no regular file"
                 : result == -EFBIG ? "it has more than 1 GiB of memory"
                                    : strerror(-result));
        return TOOL_FAILED;
    }
    contents->kind = options->kind != NULL ? options->kind : kind_of(contents, scopes);
    if (options->json) {
        contents->items = json_array();
        contents->json = json_pack("{s:i, s:s, s:s, s:o, s:o}", "schema", 1, "name", contents->name,
                                   "kind", contents->kind, "size",
                                   tool_json_number(contents->shm.size), "items", contents->items);
    }
    result = show_copy(contents);
    if (options->json)
        tool_json_write(contents->json);
    return result;
}

bool tool_contents_kind(const char *kind)
{
    static const char *const kinds[] = {"list", "array", "dict", "bytes"};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    }
    return false;
}

int tool_contents_show(struct tool_heap *heap, const struct tool_scopes *scopes, const char *name,
                       const struct tool_contents_options *options)
{
    struct contents contents = {.heap = heap, .name = tool_escape(heap, name), .all = options->all};
    const int fd = open_block(name);
    int status;

    if (fd < 0) {
        tool_say("cannot read \"%s\": %s", contents.name, strerror(errno));
        return TOOL_FAILED;
    }
    snprintf(contents.shm.name, sizeof(contents.shm.name), "%s", name);
    status = show_open(&contents, scopes, fd, options);
    close(fd);
    if (contents.shm.buf != NULL)
        munmap(contents.shm.buf, contents.shm.size);
    return status;
}
