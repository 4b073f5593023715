/* SPDX-License-Identifier: MIT
 *
 * npy.c: the types of arrays, and the header of a .npy file.
 *
 *     6 bytes   "\x93NUMPY"
 *     2 bytes   version: 1.0, 2.0 or 3.0
 *     2 bytes   length of the rest, little endian (4 bytes from version 2.0 on)
 *     text      a Python dict, padded with spaces so that the items begin at a multiple of 64 bytes
 *               (16 before NumPy 1.14), and ended with a newline
 *
 * The dict has exactly the keys descr, fortran_order and shape. weir writes what NumPy writes. What
 * is read may come from anybody: the reader is a cursor that never passes its end, each step of it
 * says whether it matched, and only a text that is all matched counts.
 *
 * Failure modes. A text that is no such dict is damage (-EBADMSG); a dict that NumPy could have
 * written, about items that weir has no arrays of, is -ENOTSUP with what it says.
 */
#include "shm/array/npy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shm/error.h"

#define NPY_MAGIC      "\x93NUMPY"
#define NPY_MAGIC_SIZE 6
#define ALIGNMENT      64

/* Types larger than a byte have a mark for their byte order in front. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE '<'
#else
#define NATIVE '>'
#endif

/* ---- types ---------------------------------------------------------------------------------- */

static const struct {
    const char *name; /* NumPy's */
    char code[4];     /* in a header, behind the byte order */
    size_t size;
} types[] = {
    [WEIR_BOOL8] = {"bool", "b1", 1},
    [WEIR_INT8] = {"int8", "i1", 1},
    [WEIR_INT16] = {"int16", "i2", 2},
    [WEIR_INT32] = {"int32", "i4", 4},
    [WEIR_INT64] = {"int64", "i8", 8},
    [WEIR_UINT8] = {"uint8", "u1", 1},
    [WEIR_UINT16] = {"uint16", "u2", 2},
    [WEIR_UINT32] = {"uint32", "u4", 4},
    [WEIR_UINT64] = {"uint64", "u8", 8},
    [WEIR_FLOAT32] = {"float32", "f4", 4},
    [WEIR_FLOAT64] = {"float64", "f8", 8},
    [WEIR_COMPLEX64] = {"complex64", "c8", 8},
    [WEIR_COMPLEX128] = {"complex128", "c16", 16},
};

#define TYPES (sizeof types / sizeof *types)

_Static_assert(TYPES == WEIR_COMPLEX128 + 1, "every type has its line");

static bool is_type(weir_dtype dtype)
{
    return (unsigned)dtype >= WEIR_BOOL8 && (unsigned)dtype < TYPES;
}

const char *weir_dtype_name(weir_dtype dtype)
{
    return is_type(dtype) ? types[dtype].name : "?";
}

size_t weir_dtype_size(weir_dtype dtype)
{
    return is_type(dtype) ? types[dtype].size : 0;
}

weir_dtype weir__dtype_of_name(const char *name)
{
    for (unsigned i = WEIR_BOOL8; i < TYPES; i++)
        if (strcmp(name, types[i].name) == 0)
            return (weir_dtype)i;
    return (weir_dtype)0;
}

/* ---- writing -------------------------------------------------------------------------------- */

size_t weir__npy_write(char header[WEIR__NPY_WRITTEN_MAX], weir_dtype dtype, int ndim,
                       const int64_t *shape)
{
    char *const text = header + NPY_MAGIC_SIZE + 4;
    const size_t capacity = WEIR__NPY_WRITTEN_MAX - NPY_MAGIC_SIZE - 4;
    size_t size, end;

    size = (size_t)snprintf(text, capacity, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                            types[dtype].size > 1 ? NATIVE : '|', types[dtype].code);
    for (int i = 0; i < ndim; i++)
        size += (size_t)snprintf(text + size, capacity - size, i == 0 ? "%lld" : ", %lld",
                                 (long long)shape[i]);
    /* Python's tuple of one has a comma. */
    size += (size_t)snprintf(text + size, capacity - size, ndim == 1 ? ",), }" : "), }");
    end = (NPY_MAGIC_SIZE + 4 + size + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memset(text + size, ' ', end - NPY_MAGIC_SIZE - 4 - size);
    header[end - 1] = '\n';
    memcpy(header, NPY_MAGIC "\1", NPY_MAGIC_SIZE + 2); /* the NUL is the minor version */
    header[NPY_MAGIC_SIZE + 2] = (char)((end - NPY_MAGIC_SIZE - 4) & 0xff);
    header[NPY_MAGIC_SIZE + 3] = (char)((end - NPY_MAGIC_SIZE - 4) >> 8);
    return end;
}

/* ---- reading -------------------------------------------------------------------------------- */

struct cursor {
    const char *at, *end;
};

/* As Python's, between tokens. */
static void skip_space(struct cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\n' ||
                                        *cursor->at == '\t' || *cursor->at == '\r'))
        cursor->at++;
}

static bool npy_take(struct cursor *cursor, char c)
{
    skip_space(cursor);
    if (cursor->at == cursor->end || *cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

static bool npy_take_word(struct cursor *cursor, const char *word)
{
    size_t size = strlen(word);

    skip_space(cursor);
    if ((size_t)(cursor->end - cursor->at) < size || memcmp(cursor->at, word, size) != 0)
        return false;
    cursor->at += size;
    return true;
}

/* A string without escapes, in quotes of either kind. */
static bool npy_take_string(struct cursor *cursor, char *string, size_t capacity)
{
    const char *close;
    char quote;

    skip_space(cursor);
    if (cursor->at == cursor->end || (*cursor->at != '\'' && *cursor->at != '"'))
        return false;
    quote = *cursor->at++;
    close = memchr(cursor->at, quote, (size_t)(cursor->end - cursor->at));
    if (close == NULL || (size_t)(close - cursor->at) >= capacity ||
        memchr(cursor->at, '\\', (size_t)(close - cursor->at)) != NULL)
        return false;
    memcpy(string, cursor->at, (size_t)(close - cursor->at));
    string[close - cursor->at] = '\0';
    cursor->at = close + 1;
    return true;
}

/* A decimal number that fits; Python 2 put an L behind long ones. */
static bool npy_take_length(struct cursor *cursor, int64_t *length)
{
    int64_t number = 0;
    const char *begin;

    skip_space(cursor);
    begin = cursor->at;
    for (; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *cursor->at - '0', &number))
            return false;
    if (cursor->at == begin || (*begin == '0' && cursor->at > begin + 1))
        return false;
    if (cursor->at < cursor->end && *cursor->at == 'L')
        cursor->at++;
    *length = number;
    return true;
}

/* A tuple of lengths. One with too many axes is read to its end; ndim says how many it has. */
static bool npy_take_shape(struct cursor *cursor, struct weir__npy *npy)
{
    bool comma = true;

    npy->ndim = 0;
    if (!npy_take(cursor, '('))
        return false;
    while (!npy_take(cursor, ')')) {
        int64_t length;

        if (!comma || !npy_take_length(cursor, &length))
            return false;
        comma = npy_take(cursor, ',');
        if (npy->ndim < WEIR_ARRAY_NDIM_MAX)
            npy->shape[npy->ndim] = length;
        npy->ndim++;
    }
    return npy->ndim != 1 || comma; /* "(3)" is no tuple */
}

struct fields {
    bool has_descr, has_order, has_shape;
    bool is_record; /* descr is a list */
    bool fortran;
    char descr[64];
};

/* The value of a key that is there once. */
static bool npy_take_field(struct cursor *cursor, struct fields *fields, struct weir__npy *npy)
{
    char key[16];

    if (!npy_take_string(cursor, key, sizeof key) || !npy_take(cursor, ':'))
        return false;
    if (strcmp(key, "descr") == 0 && !fields->has_descr) {
        fields->has_descr = true;
        fields->is_record = npy_take(cursor, '[') || npy_take(cursor, '(');
        return fields->is_record || npy_take_string(cursor, fields->descr, sizeof fields->descr);
    }
    if (strcmp(key, "fortran_order") == 0 && !fields->has_order) {
        fields->has_order = true;
        fields->fortran = npy_take_word(cursor, "True");
        return fields->fortran || npy_take_word(cursor, "False");
    }
    if (strcmp(key, "shape") == 0 && !fields->has_shape) {
        fields->has_shape = true;
        return npy_take_shape(cursor, npy);
    }
    return false;
}

/* All of the dict, and nothing behind it. One that describes records is not read on. */
static bool npy_take_dict(struct cursor *cursor, struct fields *fields, struct weir__npy *npy)
{
    bool comma = true;

    if (!npy_take(cursor, '{'))
        return false;
    while (!npy_take(cursor, '}')) {
        if (!comma || !npy_take_field(cursor, fields, npy))
            return false;
        if (fields->is_record)
            return true;
        comma = npy_take(cursor, ',');
    }
    skip_space(cursor);
    return cursor->at == cursor->end && fields->has_descr && fields->has_order && fields->has_shape;
}

static int read_descr(const char *descr, weir_dtype *dtype, const char *name)
{
    for (unsigned i = WEIR_BOOL8; i < TYPES; i++) {
        if (descr[0] == '\0' || strcmp(descr + 1, types[i].code) != 0)
            continue;
        *dtype = (weir_dtype)i;
        /* A byte has no order; NumPy writes '|' and reads any. */
        if (descr[0] == NATIVE || descr[0] == '=' ||
            (types[i].size == 1 && strchr("|<>", descr[0]) != NULL))
            return 0;
        if (descr[0] == '<' || descr[0] == '>')
            return weir__fail(-ENOTSUP,
                              "block \"%s\" has items of type '%s', which is not this machine's "
                              "byte order",
                              name, descr);
    }
    if (strcmp(descr, "|O") == 0 || strcmp(descr, "O") == 0)
        return weir__fail(-ENOTSUP, "block \"%s\" holds Python objects ('|O')", name);
    return weir__fail(-ENOTSUP,
                      "block \"%s\" has items of type '%s', which weir's arrays cannot be "
                      "of",
                      name, descr);
}

/* Where the dict begins, and how long it is said to be. */
static size_t text_begin(const unsigned char *bytes)
{
    return bytes[6] == 1 ? NPY_MAGIC_SIZE + 4 : NPY_MAGIC_SIZE + 6;
}

static size_t text_length(const unsigned char *bytes)
{
    size_t length = bytes[8] | (size_t)bytes[9] << 8;

    return bytes[6] == 1 ? length : length | (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
}

size_t weir__npy_header_size(const char *bytes, size_t size)
{
    const unsigned char *b = (const unsigned char *)bytes;
    size_t end;

    if (size <= NPY_MAGIC_SIZE + 6)
        return size;
    end = text_begin(b) + text_length(b);
    return end < NPY_MAGIC_SIZE + 6 ? NPY_MAGIC_SIZE + 6 : end < size ? end : size;
}

/* Where the dict lies: 0, or an error. */
static int find_text(const char *bytes, size_t size, struct cursor *text, const char *name)
{
    const unsigned char *b = (const unsigned char *)bytes;
    size_t begin, length;

    if (size < NPY_MAGIC_SIZE + 4 || memcmp(bytes, NPY_MAGIC, NPY_MAGIC_SIZE) != 0)
        return weir__fail(-EBADMSG, "block \"%s\" is no .npy file: it does not begin like one",
                          name);
    if (b[6] < 1 || b[6] > 3 || b[7] != 0)
        return weir__fail(-ENOTSUP, "block \"%s\" is a .npy file of version %d.%d", name, b[6],
                          b[7]);
    begin = text_begin(b);
    if (size < begin)
        return weir__fail(-EBADMSG, "the .npy header of block \"%s\" is cut off", name);
    length = text_length(b);
    if (length > WEIR__NPY_HEADER_MAX)
        return weir__fail(-ENOTSUP, "the .npy header of block \"%s\" has %zu bytes, more than %d",
                          name, length, WEIR__NPY_HEADER_MAX);
    if (length > size - begin)
        return weir__fail(-EBADMSG, "the .npy header of block \"%s\" is cut off", name);
    *text = (struct cursor){bytes + begin, bytes + begin + length};
    return 0;
}

int weir__npy_read(const char *bytes, size_t size, struct weir__npy *npy, const char *name)
{
    struct fields fields = {0};
    struct cursor text = {0};
    int result = find_text(bytes, size, &text, name);

    if (result < 0)
        return result;
    npy->offset = (size_t)(text.end - bytes);
    if (!npy_take_dict(&text, &fields, npy))
        return weir__fail(-EBADMSG, "the .npy header of block \"%s\" is damaged", name);
    if (fields.is_record)
        return weir__fail(-ENOTSUP, "block \"%s\" holds records, not plain numbers", name);
    result = read_descr(fields.descr, &npy->dtype, name);
    if (result < 0)
        return result;
    if (npy->ndim > WEIR_ARRAY_NDIM_MAX)
        return weir__fail(-ENOTSUP, "block \"%s\" has %d axes, more than %d", name, npy->ndim,
                          WEIR_ARRAY_NDIM_MAX);
    if (fields.fortran && npy->ndim > 1)
        return weir__fail(-ENOTSUP, "block \"%s\" is in Fortran order", name);
    if (npy->offset % 16 != 0)
        return weir__fail(-ENOTSUP,
                          "the items of block \"%s\" begin at byte %zu, which is not "
                          "aligned",
                          name, npy->offset);
    return 0;
}
