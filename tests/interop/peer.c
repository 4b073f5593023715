/* SPDX-License-Identifier: MIT
 *
 * peer.c: weir's side of the interop tests: commands on stdin, one a line, each answered with one
 * line.
 *
 * An answer is a number (negative: an error code) or a value; a value is a letter and its data: n,
 * b 0, i -5, f (the double's 8 bytes in hex), s and y (bytes in hex). One list and one block are
 * open at a time. Bad commands end the program: the script is wrong then.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "now.h"
#include "shm/value.h"

static weir_list *list;
static weir_shm *shm;

static _Noreturn void give_up(const char *why)
{
    fprintf(stderr, "peer: %s\n", why);
    exit(2);
}

/* ---- values as text ------------------------------------------------------------------------- */

static void print_hex(const void *data, size_t size)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++) {
        putchar_unlocked("0123456789abcdef"[bytes[i] >> 4]);
        putchar_unlocked("0123456789abcdef"[bytes[i] & 15]);
    }
}

static int hex_digit(char digit)
{
    const char *digits = "0123456789abcdef", *found = strchr(digits, digit);

    if (found == NULL || digit == '\0')
        give_up("no hex");
    return (int)(found - digits);
}

/* In place: the text becomes the bytes. Returns their number. */
static size_t parse_hex(char *text)
{
    size_t size = strlen(text) / 2;

    for (size_t i = 0; i < size; i++)
        text[i] = (char)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return size;
}

static void print_value(const weir_value *value)
{
    switch (value->type) {
    case WEIR_NONE:
        putchar('n');
        break;
    case WEIR_BOOL:
        printf("b %d", value->boolean);
        break;
    case WEIR_INT:
        printf("i %" PRId64, value->integer);
        break;
    case WEIR_FLOAT:
        printf("f ");
        print_hex(&value->real, sizeof value->real);
        break;
    case WEIR_STR:
    case WEIR_BYTES:
        printf(value->type == WEIR_STR ? "s " : "y ");
        print_hex(value->data, value->size);
        break;
    }
    putchar('\n');
}

/* "s 414243" and the like; str and bytes point into the text. */
static weir_value parse_value(char *text)
{
    char *data = text[0] != '\0' && text[1] == ' ' ? text + 2 : text + strlen(text);
    weir_value value = weir_none();

    switch (text[0]) {
    case 'n':
        break;
    case 'b':
        value = weir_bool(*data == '1');
        break;
    case 'i':
        value = weir_int(strtoll(data, NULL, 10));
        break;
    case 'f':
        if (parse_hex(data) != sizeof value.real)
            give_up("no double");
        value = weir_float(0);
        memcpy(&value.real, data, sizeof value.real);
        break;
    case 's':
    case 'y':
        value = weir_bytes(data, parse_hex(data));
        value.type = text[0] == 's' ? WEIR_STR : WEIR_BYTES;
        break;
    default:
        give_up("no value");
    }
    return value;
}

/* ---- commands ------------------------------------------------------------------------------- */

static char *line;
static size_t line_size;

static char *read_line(void)
{
    ssize_t size = getline(&line, &line_size, stdin);

    if (size <= 0) {
        weir_list_close(list);
        weir_shm_close(shm);
        free(line);
        exit(0);
    }
    line[size - 1] = '\0';
    return line;
}

static int64_t opened(const void *object)
{
    return object != NULL ? 0 : weir_last_error()->code;
}

static int64_t create_list(const char *name, size_t count)
{
    weir_value *values = calloc(count + 1, sizeof *values);
    char **texts = calloc(count + 1, sizeof *texts);
    int64_t result;

    if (values == NULL || texts == NULL)
        give_up("no memory");
    for (size_t i = 0; i < count; i++) {
        texts[i] = strdup(read_line());
        if (texts[i] == NULL)
            give_up("no memory");
        values[i] = parse_value(texts[i]);
    }
    weir_list_close(list);
    list = weir_list_create(name, values, count);
    result = opened(list);
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
    free(values);
    return result;
}

/* Answers with the value, or the error. */
static void get(int64_t index)
{
    weir_value value;
    int result = weir_list_get(list, index, &value);

    if (result < 0)
        printf("%d\n", result);
    else
        print_value(&value);
}

/* The value that an element has when CPython has zeroed its slot and not yet written it. */
static bool is_zero(const weir_value *value)
{
    return weir__has_data(value) ? value->size == 0 : value->integer == 0;
}

static bool is_same(const weir_value *a, const weir_value *b)
{
    if (a->type != b->type || a->size != b->size)
        return false;
    return weir__has_data(a) ? memcmp(a->data, b->data, a->size) == 0 : a->integer == b->integer;
}

/* watch INDEX MS, then two values that a Python process sets meanwhile: makes all calls that read,
 * and answers with how many there were, how many failed, and how often there was a zero, and
 * something else than either value. */
static void watch(int64_t index, double ms)
{
    char *first = strdup(read_line()), *second = strdup(read_line());
    int64_t calls = 0, failed = 0, zeros = 0, others = 0, after;
    double end = now_us() + ms * 1000;
    weir_value values[2], found;
    char text[1000];

    if (first == NULL || second == NULL)
        give_up("no memory");
    values[0] = parse_value(first);
    values[1] = parse_value(second);
    for (; now_us() < end; calls++) {
        if (weir_list_get(list, index, &found) < 0) {
            failed++;
            fprintf(stderr, "peer: %s\n", weir_last_error()->message);
        } else if (!is_same(&found, &values[0]) && !is_same(&found, &values[1])) {
            zeros += is_zero(&found);
            others += !is_zero(&found);
        }
        failed += weir_list_count(list, weir_none()) < 0;
        failed += weir_list_format(list, text, sizeof text) < 0;
        if (values[0].type == WEIR_INT)
            failed += weir_list_add(list, index, 0, &after) < 0;
        if (weir__has_data(&values[0]))
            failed += weir_list_get_data(list, index, text, sizeof text) < 0;
    }
    printf("%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", calls, failed, zeros, others);
    free(first);
    free(second);
}

static void print_format(void)
{
    int64_t size = weir_list_format(list, NULL, 0);
    char *text = size < 0 ? NULL : malloc((size_t)size + 1);

    if (text != NULL)
        size = weir_list_format(list, text, (size_t)size + 1);
    if (text == NULL || size < 0)
        printf("%" PRId64 "\n", size);
    else
        puts(text);
    free(text);
}

static bool list_command(const char *verb, char *rest, int64_t *result)
{
    int64_t after = 0;
    char *next;

    if (strcmp(verb, "list") == 0) { /* list NAME COUNT, then the values */
        next = strchr(rest, ' ');
        *next++ = '\0';
        char *name = strdup(rest);
        *result = create_list(name, strtoull(next, NULL, 10));
        free(name);
    } else if (strcmp(verb, "range") == 0) { /* range NAME START STOP STEP */
        int64_t start, stop, step;
        char name[256];

        if (sscanf(rest, "%255s %" SCNd64 " %" SCNd64 " %" SCNd64, name, &start, &stop, &step) != 4)
            give_up("no range");
        weir_list_close(list);
        list = weir_list_create_range(name, start, stop, step);
        *result = opened(list);
    } else if (strcmp(verb, "attach") == 0) {
        weir_list_close(list);
        list = weir_list_attach(rest);
        *result = opened(list);
    } else if (strcmp(verb, "len") == 0) {
        *result = weir_list_len(list);
    } else if (strcmp(verb, "set") == 0) { /* set INDEX VALUE */
        int64_t index = strtoll(rest, &next, 10);

        *result = weir_list_set(list, index, parse_value(next + 1));
    } else if (strcmp(verb, "add") == 0) { /* add INDEX DELTA */
        int64_t index = strtoll(rest, &next, 10);

        *result = weir_list_add(list, index, strtoll(next, NULL, 10), &after);
    } else if (strcmp(verb, "index") == 0) {
        *result = weir_list_index(list, parse_value(rest));
    } else if (strcmp(verb, "count") == 0) {
        *result = weir_list_count(list, parse_value(rest));
    } else if (strcmp(verb, "unlink") == 0) {
        *result = weir_shm_unlink(weir_list_shm(list));
    } else if (strcmp(verb, "close") == 0) {
        weir_list_close(list);
        list = NULL;
        *result = 0;
    } else {
        return false;
    }
    return true;
}

static bool block_command(const char *verb, char *rest, int64_t *result)
{
    char *next;

    if (strcmp(verb, "shm") == 0) { /* shm NAME SIZE */
        next = strchr(rest, ' ');
        *next++ = '\0';
        weir_shm_close(shm);
        shm = weir_shm_create(rest, strtoull(next, NULL, 10), 0);
        *result = opened(shm);
    } else if (strcmp(verb, "shm-attach") == 0) {
        weir_shm_close(shm);
        shm = weir_shm_attach(rest);
        *result = opened(shm);
    } else if (strcmp(verb, "shm-size") == 0) {
        *result = (int64_t)weir_shm_size(shm);
    } else if (strcmp(verb, "shm-write") == 0) { /* shm-write OFFSET HEX */
        size_t offset = strtoull(rest, &next, 10), size = parse_hex(++next);

        memcpy((char *)weir_shm_buf(shm) + offset, next, size);
        *result = (int64_t)size;
    } else if (strcmp(verb, "shm-unlink") == 0) {
        *result = weir_shm_unlink(shm);
    } else if (strcmp(verb, "shm-close") == 0) {
        weir_shm_close(shm);
        shm = NULL;
        *result = 0;
    } else {
        return false;
    }
    return true;
}

static bool printing_command(const char *verb, char *rest)
{
    char *next;

    if (strcmp(verb, "get") == 0) {
        get(strtoll(rest, NULL, 10));
    } else if (strcmp(verb, "all") == 0) {
        for (int64_t i = 0; i < weir_list_len(list); i++)
            get(i);
    } else if (strcmp(verb, "watch") == 0) {
        int64_t index = strtoll(rest, &next, 10);

        watch(index, strtod(next, NULL));
    } else if (strcmp(verb, "format") == 0) {
        print_format();
    } else if (strcmp(verb, "repr") == 0) { /* repr MOST */
        char *text = weir_list_repr(list, strtoull(rest, NULL, 10));

        printf("%s\n", text != NULL ? text : "none");
        free(text);
    } else if (strcmp(verb, "shm-read") == 0) { /* shm-read OFFSET SIZE */
        size_t offset = strtoull(rest, &next, 10);

        print_hex((char *)weir_shm_buf(shm) + offset, strtoull(next, NULL, 10));
        putchar('\n');
    } else {
        return false;
    }
    return true;
}

int main(void)
{
    for (;;) {
        char *verb = read_line(), *rest = verb + strcspn(verb, " ");
        int64_t result;

        if (*rest != '\0')
            *rest++ = '\0';
        if (list_command(verb, rest, &result) || block_command(verb, rest, &result))
            printf("%" PRId64 "\n", result);
        else if (!printing_command(verb, rest))
            give_up("no such command");
        fflush(stdout);
    }
}
