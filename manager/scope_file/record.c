/* SPDX-License-Identifier: MIT
 *
 * record.c: the text of a scope file's record, taken apart without any memory.
 *
 * A cleaner may have run out of memory, and a record that it cannot read is a block that stays for
 * ever. So there is no JSON library here, but only the syntax that weir__scope_file_note() writes.
 *
 * Invariant: reads nothing outside of the record, whatever stands in it.
 */
#include "manager/scope_file/record.h"

#include <stddef.h>
#include <string.h>

#include "shm/value.h"

struct text {
    const char *at, *end;
};

static void skip_blanks(struct text *text)
{
    while (text->at < text->end && strchr(" \t\r\n", *text->at) && *text->at != '\0')
        text->at++;
}

/* After blanks; false when something else stands there. */
static bool take_char(struct text *text, char what)
{
    skip_blanks(text);
    if (text->at == text->end || *text->at != what)
        return false;
    text->at++;
    return true;
}

/* Without escapes: names in records do not need them. */
static bool take_quoted(struct text *text, char out[WEIR__RECORD_SIZE])
{
    size_t size = 0;

    if (!take_char(text, '"'))
        return false;
    while (text->at < text->end && *text->at != '"') {
        if ((unsigned char)*text->at < ' ' || *text->at == '\\')
            return false;
        out[size++] = *text->at++;
    }
    out[size] = '\0';
    return take_char(text, '"') && weir__utf8_valid(out, size);
}

static bool take_int64(struct text *text, int64_t *out)
{
    bool negative = take_char(text, '-');
    const char *first = text->at;
    int64_t value = 0;

    while (text->at < text->end && *text->at >= '0' && *text->at <= '9') {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *text->at - '0', &value))
            return false;
        text->at++;
    }
    *out = negative ? -value : value;
    return text->at > first && (*first != '0' || text->at == first + 1);
}

/* One member; `seen` has a bit for each key that is known. */
static bool take_member(struct text *text, struct weir__record_fields *fields, unsigned *seen)
{
    const struct {
        const char *key;
        char *string;
        int64_t *integer;
    } known[] = {{"name", fields->name, NULL},       {"kind", fields->kind, NULL},
                 {"address", fields->address, NULL}, {"ino", NULL, &fields->ino},
                 {"size", NULL, &fields->size},      {"pid", NULL, &fields->pid},
                 {"named", NULL, &fields->named}};
    char key[WEIR__RECORD_SIZE], string[WEIR__RECORD_SIZE];
    int64_t integer;

    if (!take_quoted(text, key) || !take_char(text, ':'))
        return false;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (strcmp(key, known[i].key) != 0)
            continue;
        if (*seen & 1U << i)
            return false;
        *seen |= 1U << i;
        return known[i].string ? take_quoted(text, known[i].string)
                               : take_int64(text, known[i].integer);
    }
    skip_blanks(text);
    return text->at < text->end && *text->at == '"' ? take_quoted(text, string)
                                                    : take_int64(text, &integer);
}

bool weir__scope_file_parse_record(const char record[WEIR__RECORD_SIZE],
                                   struct weir__record_fields *fields)
{
    struct text text = {record, record + WEIR__RECORD_SIZE};
    unsigned seen = 0;

    memset(fields, 0, sizeof(*fields));
    if (!take_char(&text, '{'))
        return false;
    do {
        if (!take_member(&text, fields, &seen))
            return false;
    } while (take_char(&text, ','));
    if (!take_char(&text, '}'))
        return false;
    skip_blanks(&text);
    return text.at == text.end;
}

bool weir__scope_file_is_plain(const char *string)
{
    bool plain = weir__utf8_valid(string, strlen(string));

    for (; *string; string++)
        plain = plain && (unsigned char)*string >= ' ' && !strchr("\"\\\x7f", *string);
    return plain;
}
