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

#include "pool/tool/repr.h"
#include "pool/tool/text.h"
#include "pool/tool/tool.h"
#include "shm/array/array.h"
#include "shm/block/block.h"
#include "shm/dict/block.h"
#include "shm/list/list.h"
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
    tool_repr(out, value);
    json = fclose(out) == 0 ? json_pack("{s:s}", "python", text) : NULL;
    free(text);
    return json;
}

static void put_value(const struct contents *contents, const weir_value *value)
{
    if (contents->json != NULL)
        json_array_append_new(contents->items, value_json(value));
    else
        tool_repr(stdout, value);
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

static int show_list(struct contents *contents)
{
    struct weir_list list = {0};
    int64_t shown;
    int status = TOOL_DONE;

    if (weir__list_kind.bind(&list, &contents->shm, NULL) < 0)
        return say_damaged(contents);
    shown = shown_of(contents, list.count);
    note_number(contents, "count", list.count);
    if (contents->json == NULL)
        fputs("ShareableList([", stdout);
    for (int64_t i = 0; i < shown; i++) {
        weir_value value;

        if (i > 0 && contents->json == NULL)
            fputs(", ", stdout);
        if (weir_list_get(&list, i, &value) == 0) {
            put_value(contents, &value);
            continue;
        }
        status = say_damaged(contents);
        if (contents->json == NULL)
            putchar('?');
        else
            json_array_append_new(contents->items, json_null());
    }
    if (contents->json != NULL)
        return status;
    if (shown < list.count)
        printf(", ... %" PRId64 " more", list.count - shown);
    printf("], name='%s')\n", contents->name);
    return status;
}

/* An item of an array, whose data may lie anywhere. */
static weir_value item_at(const char *at, weir_dtype dtype)
{
    union {
        int8_t i8;
        int16_t i16;
        int32_t i32;
        int64_t i64;
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        float f32;
        double f64;
    } item;

    memcpy(&item, at,
           weir_dtype_size(dtype) < sizeof(item) ? weir_dtype_size(dtype) : sizeof(item));
    switch (dtype) {
    case WEIR_BOOL8:
        return weir_bool(item.u8 != 0);
    case WEIR_INT8:
        return weir_int(item.i8);
    case WEIR_INT16:
        return weir_int(item.i16);
    case WEIR_INT32:
        return weir_int(item.i32);
    case WEIR_UINT8:
        return weir_int(item.u8);
    case WEIR_UINT16:
        return weir_int(item.u16);
    case WEIR_UINT32:
        return weir_int(item.u32);
    case WEIR_FLOAT32:
        return weir_float((double)item.f32);
    case WEIR_FLOAT64:
        return weir_float(item.f64);
    default:
        return weir_int(item.i64);
    }
}

static void put_item(const struct contents *contents, const char *at, weir_dtype dtype)
{
    const bool is_complex = dtype == WEIR_COMPLEX64 || dtype == WEIR_COMPLEX128;
    const weir_dtype part = dtype == WEIR_COMPLEX64 ? WEIR_FLOAT32 : WEIR_FLOAT64;
    weir_value value = item_at(at, is_complex ? part : dtype);
    uint64_t number;
    char text[24];

    memcpy(&number, at, weir_dtype_size(dtype) < 8 ? weir_dtype_size(dtype) : 8);
    if (is_complex) {
        const weir_value imaginary = item_at(at + weir_dtype_size(part), part);

        if (contents->json != NULL) {
            json_array_append_new(contents->items,
                                  json_pack("[oo]", value_json(&value), value_json(&imaginary)));
            return;
        }
        putchar('(');
        tool_repr(stdout, &value);
        fputs(signbit(imaginary.real) || isnan(imaginary.real) ? "" : "+", stdout);
        tool_repr(stdout, &imaginary);
        fputs("j)", stdout);
    } else if (dtype == WEIR_UINT64 && number > INT64_MAX) {
        snprintf(text, sizeof(text), "%" PRIu64, number);
        if (contents->json != NULL)
            json_array_append_new(contents->items, json_pack("{s:s}", "python", text));
        else
            fputs(text, stdout);
    } else {
        put_value(contents, &value);
    }
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
        if (i > 0 && contents->json == NULL)
            fputs(", ", stdout);
        put_item(contents, array.data + (size_t)i * size, array.dtype);
    }
    if (contents->json == NULL && shown < array.count)
        printf(", ... %" PRId64 " more", array.count - shown);
    if (contents->json == NULL)
        puts("]");
    return TOOL_DONE;
}

static void put_pair(const struct contents *contents, const weir_value *key,
                     const weir_value *value, bool first)
{
    if (contents->json != NULL) {
        json_array_append_new(contents->items,
                              json_pack("[oo]", value_json(key), value_json(value)));
        return;
    }
    fputs(first ? "" : ",\n ", stdout);
    tool_repr(stdout, key);
    fputs(": ", stdout);
    tool_repr(stdout, value);
}

/* More than a dictionary of that size can hold: a damaged one may lead round in a circle. */
static int64_t most_items(const struct contents *contents)
{
    return (int64_t)(contents->shm.size / WEIR__DICT_NODE_SIZE);
}

static int show_dict(struct contents *contents)
{
    weir_dict *dict = tool_take(contents->heap, 1, weir__dict_kind.handle_size);
    weir_dict_cursor cursor = {{0, 0}};
    size_t capacity = 4096;
    char *buffer = tool_take(contents->heap, capacity, 1);
    const int64_t most = contents->all ? most_items(contents) : FEW;
    weir_value key, value;
    int64_t shown = 0;
    int got = 1;

    if (weir__dict_kind.bind(dict, &contents->shm, NULL) < 0)
        return say_damaged(contents);
    if (contents->json == NULL)
        putchar('{');
    while (shown < most &&
           (got = weir_dict_next(dict, &cursor, &key, &value, buffer, capacity)) != 0) {
        if (got == -ENOBUFS && capacity <= contents->shm.size) {
            capacity *= 4;
            buffer = tool_take(contents->heap, capacity, 1);
            continue;
        }
        if (got < 0)
            break;
        put_pair(contents, &key, &value, shown++ == 0);
    }
    note_number(contents, "shown", shown);
    if (contents->json == NULL) {
        const int64_t count = shown == most ? weir_dict_len(dict) : shown;

        if (count > shown)
            printf(",\n ... %" PRId64 " more", count - shown);
        puts("}");
    }
    return got < 0 ? say_damaged(contents) : TOOL_DONE;
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
    status = show_open(&contents, scopes, fd, options);
    close(fd);
    if (contents.shm.buf != NULL)
        munmap(contents.shm.buf, contents.shm.size);
    return status;
}
