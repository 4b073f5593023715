/* SPDX-License-Identifier: MIT
 *
 * repr.c: values as Python's repr() writes them (CPython's float_repr_style "short", unicode_repr()
 * and bytes_repr()): a text that is the value again when Python reads it.
 *
 * One thing is different: characters are printable as text.h has it, not as Unicode's categories
 * have it.
 */
#include "pool/tool/repr.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pool/tool/text.h"
#include "shm/value.h"

/* The fewest digits that are this number again: "d.ddde-5". */
static void shortest(char text[40], double value)
{
    for (int digits = 0; digits < 17; digits++) {
        snprintf(text, 40, "%.*e", digits, value);
        if (strtod(text, NULL) == value)
            return;
    }
}

/* Of a number that is neither infinite nor none. Python writes an exponent below 1e-4 and from 1e16
 * on. */
static void repr_finite(FILE *out, double value)
{
    char text[40], digits[24];
    int exponent, count = 0;

    shortest(text, value);
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

void tool_repr_float(FILE *out, double value)
{
    if (isnan(value))
        fputs("nan", out);
    else if (isinf(value))
        fputs(value < 0 ? "-inf" : "inf", out);
    else
        repr_finite(out, value);
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

void tool_repr_bytes(FILE *out, const char *bytes, size_t size)
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

void tool_repr_str(FILE *out, const char *text, size_t size)
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
            if (tool_is_printable(code))
                fwrite(text + i, 1, length, out);
            else
                put_code(out, code);
        }
    }
    putc(quote, out);
}

void tool_repr(FILE *out, const weir_value *value)
{
    switch (value->type) {
    case WEIR_BOOL:
        fputs(value->boolean ? "True" : "False", out);
        break;
    case WEIR_INT:
        fprintf(out, "%" PRId64, value->integer);
        break;
    case WEIR_FLOAT:
        tool_repr_float(out, value->real);
        break;
    case WEIR_STR:
        tool_repr_str(out, value->data, value->size);
        break;
    case WEIR_BYTES:
        tool_repr_bytes(out, value->data, value->size);
        break;
    default:
        fputs("None", out);
    }
}
