/* SPDX-License-Identifier: MIT
 *
 * record.c: the text of a scope file's record, taken apart without any memory.
 *
 * Whoever cleans up may have run out of memory, and a record that it cannot read is a block that
 * stays for ever: so no JSON library here, but the little that records are made of. See
 * weir__scope_file_note().
 *
 * Invariant: reads nothing outside of the record, whatever stands in it.
 */
#include "record.h"

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
static bool take(struct text *text, char what)
{
    skip_blanks(text);
    if (text->at == text->end || *text->at != what)
        return false;
    text->at++;
    return true;
}

/* Without escapes: what is recorded has no need of them. */
static bool take_string(struct text *text, char out[WEIR__RECORD_SIZE])
{
    size_t size = 0;

    if (!take(text, '"'))
        return false;
    while (text->at < text->end && *text->at != '"') {
        if ((unsigned char)*text->at < ' ' || *text->at == '\\')
            return false;
        out[size++] = *text->at++;
    }
    out[size] = '\0';
    return take(text, '"') && weir__utf8_valid(out, size);
}

static bool take_integer(struct text *text, int64_t *out)
{
    bool negative = take(text, '-');
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
static bool take_member(struct text *text, struct weir__fields *fields, unsigned *seen)
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

    if (!take_string(text, key) || !take(text, ':'))
        return false;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (strcmp(key, known[i].key) != 0)
            continue;
        if (*seen & 1U << i)
            return false;
        *seen |= 1U << i;
        return known[i].string ? take_string(text, known[i].string)
                               : take_integer(text, known[i].integer);
    }
    skip_blanks(text);
    return text->at < text->end && *text->at == '"' ? take_string(text, string)
                                                    : take_integer(text, &integer);
}

bool weir__record_parse(const char record[WEIR__RECORD_SIZE], struct weir__fields *fields)
{
    struct text text = {record, record + WEIR__RECORD_SIZE};
    unsigned seen = 0;

    memset(fields, 0, sizeof(*fields));
    if (!take(&text, '{'))
        return false;
    do {
        if (!take_member(&text, fields, &seen))
            return false;
    } while (take(&text, ','));
    if (!take(&text, '}'))
        return false;
    skip_blanks(&text);
    return text.at == text.end;
}
