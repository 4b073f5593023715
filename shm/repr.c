/* SPDX-License-Identifier: MIT
 *
 * repr.c: values and objects as Python's repr() writes them (CPython's float_repr_style "short",
 * unicode_repr(), bytes_repr(), ShareableList.__repr__() and dict_repr(); NumPy's array_repr()): a
 * text that is the value again when Python reads it.
 *
 * What is different: characters are printable as value.h has it, not as Unicode's categories have
 * it, and items of an array have all their digits and no padding.
 *
 * Numbers are written digit by digit, so the program's locale changes nothing.
 *
 * Failure modes: what others change meanwhile may be written half changed; what is damaged is
 * reported by the functions that read it. A stream that has no memory left keeps that to itself
 * until it is closed.
 */
#include "shm/repr.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shm/array/array.h"
#include "shm/dict/block.h"
#include "shm/error.h"
#include "shm/list/list.h"
#include "shm/value.h"

#define EDGE_ITEMS 3 /* at each end of an axis that is cut short, as in NumPy */

/* ---- values --------------------------------------------------------------------------------- */

/* The fewest digits that are this number again: "d.ddde-5". `single`: as a float. */
static void shortest(char text[40], double value, bool single)
{
    for (int digits = 0; digits < 17; digits++) {
        snprintf(text, 40, "%.*e", digits, value);
        if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            return;
    }
}

/* Of a number that is neither infinite nor none. Python writes an exponent below 1e-4 and from 1e16
 * on. */
static void repr_finite(FILE *out, double value, bool single)
{
    char text[40], digits[24];
    int exponent, count = 0;

    shortest(text, value, single);
    exponent = atoi(strchr(text, 'e') + 1);
    for (const char *at = text; *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9')
            digits[count++] = *at;
    }
    digits[count] = '\0';
    if (signbit(value))
        putc('-', out);
    if (exponent < -4 || exponent >= 16) {
        fprintf(out, "%c%s%se%c%02d", digits[0], count > 1 ? "." : "", digits + 1,
                exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        fprintf(out, "0.%.*s%s", -exponent - 1, "0000", digits);
    } else if (exponent + 1 >= count) {
        fprintf(out, "%s%.*s.0", digits, exponent + 1 - count, "0000000000000000");
    } else {
        fprintf(out, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
    }
}

static void repr_float(FILE *out, double value, bool single)
{
    if (isnan(value))
        fputs("nan", out);
    else if (isinf(value))
        fputs(value < 0 ? "-inf" : "inf", out);
    else
        repr_finite(out, value, single);
}

/* Python prefers '. */
static char quote_of(const char *text, size_t size)
{
    return memchr(text, '\'', size) != NULL && memchr(text, '"', size) == NULL ? '"' : '\'';
}

/* True: the byte has an escape of its own, which was written. */
static bool put_escaped(FILE *out, char byte, char quote)
{
    static const char from[] = "\\\t\n\r", to[] = "\\tnr";
    const char *at = byte != '\0' ? strchr(from, byte) : NULL;

    if (at == NULL && byte != quote)
        return false;
    putc('\\', out);
    putc(at != NULL ? to[at - from] : quote, out);
    return true;
}

static void repr_bytes(FILE *out, const char *bytes, size_t size)
{
    const char quote = quote_of(bytes, size);

    fprintf(out, "b%c", quote);
    for (size_t i = 0; i < size; i++) {
        if (put_escaped(out, bytes[i], quote))
            continue;
        if (bytes[i] >= ' ' && bytes[i] < 127)
            putc(bytes[i], out);
        else
            fprintf(out, "\\x%02x", (unsigned char)bytes[i]);
    }
    putc(quote, out);
}

static void put_code(FILE *out, uint32_t code)
{
    fprintf(out, code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
}

void weir__repr_str(FILE *out, const char *text, size_t size)
{
    const char quote = quote_of(text, size);

    putc(quote, out);
    for (size_t i = 0, length; i < size; i += length) {
        uint32_t code;

        length = weir__utf8_decode(text + i, size - i, &code);
        if (length == 0) {
            fprintf(out, "\\x%02x", (unsigned char)text[i]);
            length = 1;
        } else if (length > 1 || !put_escaped(out, text[i], quote)) {
            if (weir__is_printable(code))
                fwrite(text + i, 1, length, out);
            else
                put_code(out, code);
        }
    }
    putc(quote, out);
}

void weir__repr_value(FILE *out, const weir_value *value)
{
    switch (value->type) {
    case WEIR_BOOL:
        fputs(value->boolean ? "True" : "False", out);
        break;
    case WEIR_INT:
        fprintf(out, "%" PRId64, value->integer);
        break;
    case WEIR_FLOAT:
        repr_float(out, value->real, false);
        break;
    case WEIR_STR:
        weir__repr_str(out, value->data, value->size);
        break;
    case WEIR_BYTES:
        repr_bytes(out, value->data, value->size);
        break;
    default:
        fputs("None", out);
    }
}

/* ---- lists and dictionaries ----------------------------------------------------------------- */

/* The value with its bytes in private memory, where nobody changes them between two looks. */
static int privatize(weir_value *value, char **buffer, size_t *capacity)
{
    char *larger;

    if (!weir__has_data(value))
        return 0;
    if (value->size > *capacity) {
        larger = realloc(*buffer, value->size);
        if (larger == NULL)
            return weir__fail(-ENOMEM, "no memory for a list's element");
        *buffer = larger;
        *capacity = value->size;
    }
    if (value->size > 0)
        memcpy(*buffer, value->data, value->size);
    value->data = *buffer != NULL ? *buffer : "";
    return 0;
}

int weir__repr_list(FILE *out, const weir_list *list, int64_t most, bool go_on)
{
    const char *name = weir_shm_name(list->shm);
    const int64_t shown = list->count < most ? list->count : most;
    char *buffer = NULL;
    size_t capacity = 0;
    int result = 0;

    fputs("ShareableList([", out);
    for (int64_t i = 0; i < shown && (result == 0 || go_on); i++) {
        weir_value value;
        int got = weir_list_get(list, i, &value);

        fputs(i > 0 ? ", " : "", out);
        if (got == 0)
            got = privatize(&value, &buffer, &capacity);
        if (got == 0)
            weir__repr_value(out, &value);
        else
            putc('?', out);
        result = got != 0 ? got : result;
    }
    free(buffer);
    if (shown < list->count)
        fprintf(out, ", ... %" PRId64 " more", list->count - shown);
    fputs("], name=", out);
    weir__repr_str(out, name, strnlen(name, WEIR_SHM_NAME_MAX));
    putc(')', out);
    return result;
}

/* The next item, in a buffer that grows as it must. As weir_dict_next(), or -ENOMEM. */
static int next_item(const weir_dict *dict, weir_dict_cursor *cursor, weir_value *key,
                     weir_value *value, char **buffer, size_t *capacity)
{
    int got;

    while ((got = weir_dict_next(dict, cursor, key, value, *buffer, *capacity)) == -ENOBUFS) {
        char *larger;

        if (*capacity / 2 > weir_shm_size(weir_dict_shm(dict))) /* key and value, each in it */
            return weir__fail(-EBADMSG, "the dictionary is damaged: an item is larger than all");
        larger = realloc(*buffer, *capacity * 4);
        if (larger == NULL)
            return weir__fail(-ENOMEM, "no memory for a dictionary's item");
        *buffer = larger;
        *capacity *= 4;
    }
    return got;
}

/* More than a dictionary of that size can hold: a damaged one may lead round in a circle. */
static int64_t most_items(const weir_dict *dict)
{
    return (int64_t)(weir_shm_size(weir_dict_shm(dict)) / WEIR__DICT_NODE_SIZE);
}

int weir__repr_dict(FILE *out, const weir_dict *dict, int64_t most, const char *separator)
{
    const int64_t bound = most_items(dict);
    weir_dict_cursor cursor = {{0, 0}};
    size_t capacity = 4096;
    char *buffer = malloc(capacity);
    weir_value key, value;
    int64_t shown = 0;
    int got = 1;

    if (buffer == NULL)
        return weir__fail(-ENOMEM, "no memory for a dictionary's item");
    putc('{', out);
    while (shown < most && shown < bound &&
           (got = next_item(dict, &cursor, &key, &value, &buffer, &capacity)) > 0) {
        fputs(shown++ > 0 ? separator : "", out);
        weir__repr_value(out, &key);
        fputs(": ", out);
        weir__repr_value(out, &value);
    }
    if (got > 0 && weir_dict_len(dict) > shown)
        fprintf(out, "%s... %" PRId64 " more", shown > 0 ? separator : "",
                weir_dict_len(dict) - shown);
    putc('}', out);
    free(buffer);
    return got < 0 ? got : 0;
}

/* ---- arrays --------------------------------------------------------------------------------- */

weir_value weir__item_value(const char *at, weir_dtype dtype)
{
    size_t size = weir_dtype_size(dtype);
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

    if (dtype == WEIR_COMPLEX64 || dtype == WEIR_COMPLEX128)
        size /= 2;
    memcpy(&item, at, size);
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
    case WEIR_COMPLEX64:
        return weir_float((double)item.f32);
    case WEIR_FLOAT64:
    case WEIR_COMPLEX128:
        return weir_float(item.f64);
    default:
        return weir_int(item.i64);
    }
}

static bool is_complex(weir_dtype dtype)
{
    return dtype == WEIR_COMPLEX64 || dtype == WEIR_COMPLEX128;
}

void weir__repr_item(FILE *out, const char *at, weir_dtype dtype)
{
    const weir_value value = weir__item_value(at, dtype);
    const bool single = dtype == WEIR_FLOAT32 || dtype == WEIR_COMPLEX64;
    weir_value imaginary;
    uint64_t number;

    if (dtype == WEIR_UINT64) {
        memcpy(&number, at, sizeof(number));
        fprintf(out, "%" PRIu64, number);
    } else if (is_complex(dtype)) {
        imaginary = weir__item_value(at + weir_dtype_size(dtype) / 2, dtype);
        putc('(', out);
        repr_float(out, value.real, single);
        fputs(signbit(imaginary.real) && !isnan(imaginary.real) ? "" : "+", out);
        repr_float(out, imaginary.real, single);
        fputs("j)", out);
    } else if (value.type == WEIR_FLOAT) {
        repr_float(out, value.real, single);
    } else {
        weir__repr_value(out, &value);
    }
}

/* Between two items of an axis: those of the last one stand on a line. */
static void put_separator(FILE *out, const weir_array *array, int axis)
{
    const int lines = array->ndim - 1 - axis;

    if (lines == 0) {
        fputs(", ", out);
        return;
    }
    putc(',', out);
    for (int i = 0; i < lines; i++)
        putc('\n', out);
    fprintf(out, "%*s", (int)strlen("array(") + axis + 1, "");
}

/* What lies at `at`, which is the item of the axes before this one. */
static void repr_axis(FILE *out, const weir_array *array, int axis, const char *at, bool cut)
{
    const int64_t length = axis < array->ndim ? array->shape[axis] : 0;
    const int64_t stride = axis < array->ndim ? weir__array_axis_stride(array, axis) : 0;

    if (axis == array->ndim) {
        weir__repr_item(out, at, array->dtype);
        return;
    }
    putc('[', out);
    for (int64_t i = 0; i < length; i++) {
        if (i > 0)
            put_separator(out, array, axis);
        if (cut && i == EDGE_ITEMS && length > 2 * EDGE_ITEMS) {
            fputs("...", out);
            i = length - EDGE_ITEMS - 1;
            continue;
        }
        repr_axis(out, array, axis + 1, at + i * stride, cut);
    }
    putc(']', out);
}

/* NumPy makes such an array of Python's numbers without being told. */
static bool is_implied(const weir_array *array)
{
    return array->count > 0 && (array->dtype == WEIR_BOOL8 || array->dtype == WEIR_INT64 ||
                                array->dtype == WEIR_FLOAT64 || array->dtype == WEIR_COMPLEX128);
}

void weir__repr_array(FILE *out, const weir_array *array, int64_t most)
{
    fputs("array(", out);
    if (array->count > 0 || array->ndim == 1) {
        repr_axis(out, array, 0, array->data, array->count > most);
    } else {
        fputs("[], shape=(", out);
        for (int i = 0; i < array->ndim; i++)
            fprintf(out, "%s%" PRId64, i > 0 ? ", " : "", array->shape[i]);
        putc(')', out);
    }
    if (!is_implied(array))
        fprintf(out, ", dtype=%s", weir_dtype_name(array->dtype));
    putc(')', out);
}

/* ---- as texts ------------------------------------------------------------------------------- */

/* A stream that becomes a text. */
struct text {
    char *bytes;
    size_t size;
    FILE *out;
};

static bool begin_text(struct text *text)
{
    *text = (struct text){0};
    text->out = open_memstream(&text->bytes, &text->size);
    if (text->out == NULL)
        weir__fail(-ENOMEM, "no memory for the text of an object");
    return text->out != NULL;
}

/* The text; NULL after an error, with the last error set. */
static char *end_text(struct text *text, int error)
{
    const bool failed = ferror(text->out) != 0;

    if (fclose(text->out) == 0 && !failed && error == 0)
        return text->bytes;
    free(text->bytes);
    return error < 0 ? NULL : weir__fail_null(-ENOMEM, "no memory for the text of an object");
}

static int64_t most_of(size_t items_most)
{
    return items_most > 0 && items_most < INT64_MAX ? (int64_t)items_most : INT64_MAX;
}

char *weir_list_repr(const weir_list *list, size_t items_most)
{
    struct text text;

    if (weir__object_is_null(&weir__list_kind, list) || !begin_text(&text))
        return NULL;
    return end_text(&text, weir__repr_list(text.out, list, most_of(items_most), false));
}

char *weir_array_repr(const weir_array *array, size_t items_most)
{
    struct text text;

    if (weir__object_is_null(&weir__array_kind, array) || !begin_text(&text))
        return NULL;
    weir__repr_array(text.out, array, most_of(items_most));
    return end_text(&text, 0);
}

char *weir_dict_repr(const weir_dict *dict, size_t items_most)
{
    struct text text;

    if (weir__object_is_null(&weir__dict_kind, dict) || !begin_text(&text))
        return NULL;
    return end_text(&text, weir__repr_dict(text.out, dict, most_of(items_most), ", "));
}
