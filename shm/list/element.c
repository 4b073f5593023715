/* SPDX-License-Identifier: MIT
 *
 * element.c: getting, setting and finding the elements of a list.
 *
 * Any process that has the block open can write anything to it at any time. So every value that
 * matters for an access is loaded once, into a local, then checked, then used: an offset only ever
 * leads into the data, a length never out of its slot. What was loaded may be out of date at once;
 * then the caller gets a mixture of old and new, or -EBADMSG, as the header says.
 *
 * Order. weir_list_set() writes data, code, format: the format with weir__publish_word(), a release
 * store. weir__read_word() loads it with acquire, so a reader that sees the new format sees the new
 * data too. Killed between two of these stores, an element is a mixture that can be read and set,
 * and nothing else is affected. Numbers, bool and None have a slot word that is read and written in
 * one step, with acquire and release, so that an int can say "the rest is written" to other
 * processes; on x86 that costs nothing.
 *
 * CPython writes otherwise: format, code, slot, and each of them is zeroed before it is written
 * (struct.pack_into). So a reader that finds no value in an element may have come in between, and
 * looks again for a while before it calls the element damaged (look_again). Nothing can be told
 * from a slot that is zeroed: 0 is a value.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "shm/error.h"
#include "shm/list/list.h"
#include "shm/list/slot_format.h"
#include "shm/list/word.h"
#include "shm/value.h"

#define WORD WEIR__WORD

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* ---- finding an element --------------------------------------------------------------------- */

static __attribute__((cold)) int fail_null(void)
{
    return weir__fail(-EINVAL, "the list is NULL");
}

static __attribute__((cold)) int fail_null_out(void)
{
    return weir__fail(-EINVAL, "there is nowhere to put the result: it is NULL");
}

static __attribute__((cold)) int fail_index(const weir_list *list, int64_t index)
{
    return weir__fail(-ERANGE, "index %lld is outside list \"%s\" of %lld elements",
                      (long long)index, list->shm->name, (long long)list->count);
}

static __attribute__((cold)) int fail_damaged(const weir_list *list, uint64_t i, const char *what)
{
    return weir__fail(-EBADMSG, "element %llu of list \"%s\" is damaged: %s", (unsigned long long)i,
                      list->shm->name, what);
}

/* How often an element is looked at whose parts do not fit together: first at once, which is enough
 * for a writer that runs, then for as long as one may wait for a processor that was interrupted
 * there. */
enum {
    LOOKS_AT_ONCE = 50,
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    LOOKS = LOOKS_AT_ONCE,
#else
    LOOKS = LOOKS_AT_ONCE + 40, /* 20 ms */
#endif
};

/* True as long as it is worth it. */
static __attribute__((cold, noinline)) bool look_again(unsigned *looks)
{
    static const struct timespec pause = {.tv_nsec = 500000};
    int saved = errno;

    if (++*looks < LOOKS_AT_ONCE)
        return true;
    if (*looks >= LOOKS)
        return false;
    nanosleep(&pause, NULL);
    errno = saved;
    return true;
}

struct element {
    unsigned char *slot;
    size_t slot_size;
    char *format, *code;
};

/* False, with the last error set, when it is damaged. */
static bool find_element(const weir_list *list, uint64_t i, struct element *element)
{
    uint64_t begin = weir__read_offset(&list->offsets[i]),
             end = weir__read_offset(&list->offsets[i + 1]);

    if ((begin | end) % WORD != 0 || end > list->data_size || begin >= end) {
        fail_damaged(list, i, "its offsets are not in order");
        return false;
    }
    element->slot = list->data + begin;
    element->slot_size = end - begin;
    element->format = list->formats + i * WORD;
    element->code = list->codes + i;
    return true;
}

/* Negative indices count from the end. A NULL list is the caller's to check. */
static inline bool resolve_index(const weir_list *list, int64_t index, uint64_t *i)
{
    *i = (uint64_t)index;
    if (likely(*i < (uint64_t)list->count))
        return true;
    *i += (uint64_t)list->count;
    return index < 0 && *i < (uint64_t)list->count;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* data is not checked for UTF-8 yet. */
static int read_element(const weir_list *list, uint64_t i, weir_value *out)
{
    struct weir__content content;
    struct element element;
    weir_value value = weir_none();
    unsigned looks = 0;
    uint64_t format;

    if (!find_element(list, i, &element))
        return -EBADMSG;
    while (format = weir__read_word(element.format),
           !weir__format_decode(format, weir__read_code(element.code), element.slot_size, &content))
        if (!look_again(&looks))
            return fail_damaged(list, i, "its format is not valid");
    value.type = content.type;
    switch (content.type) {
    case WEIR_NONE:
        break;
    case WEIR_BOOL:
        value.boolean = weir__bool_of_word(weir__read_word(element.slot));
        break;
    case WEIR_INT:
        value.integer = (int64_t)weir__read_word(element.slot);
        break;
    case WEIR_FLOAT:
        value.real = weir__real_of_word(weir__read_word(element.slot));
        break;
    case WEIR_STR:
    case WEIR_BYTES:
        while (content.strip && content.size > 0 && element.slot[content.size - 1] == '\0')
            content.size--;
        value.data = (const char *)element.slot;
        value.size = (uint32_t)content.size; /* at most 8 digits */
        break;
    }
    *out = value;
    return 0;
}

static __attribute__((noinline)) int get_any_element(const weir_list *list, uint64_t i,
                                                     weir_value *out)
{
    weir_value value;
    unsigned looks = 0;

    do {
        int result = read_element(list, i, &value);

        if (result < 0)
            return result;
        if (value.type != WEIR_STR || weir__utf8_valid(value.data, value.size)) {
            *out = value;
            return 0;
        }
    } while (look_again(&looks));
    return fail_damaged(list, i, "a str that is not UTF-8");
}

/* Most elements are ints, and this is the path that is counted in nanoseconds: false if element i
 * is not an int, or damaged. Everything is found from three of the handle's fields, because loads
 * are what it costs. Turned right by three bits, an offset that is no multiple of 8 becomes larger
 * than any data, so that one comparison checks both. */
static inline bool find_int(const weir_list *list, uint64_t i, unsigned char **word)
{
    unsigned char *data = list->data;
    uint64_t count = (uint64_t)list->count, data_size = list->data_size;
    const char *formats = (const char *)data + data_size, *codes = formats + count * WORD;
    const int64_t *offsets = (const int64_t *)data - count - 1;
    uint64_t begin;

    if (unlikely(weir__read_word(formats + i * WORD) != WEIR__FORMAT_INT ||
                 weir__read_code(codes + i) != WEIR__CODE_AS_IS))
        return false;
    begin = weir__read_offset(&offsets[i]);
    /* As numbers, because the address may lie anywhere until the next line checks it. */
    *word = (unsigned char *)((uintptr_t)data + begin);
    return likely((begin >> 3 | begin << 61) < data_size / WORD);
}

static inline int get_element(const weir_list *list, uint64_t i, weir_value *out)
{
    unsigned char *word;

    if (unlikely(!find_int(list, i, &word)))
        return get_any_element(list, i, out);
    out->type = WEIR_INT;
    out->size = 0;
    out->integer = (int64_t)weir__read_word(word);
    return 0;
}

int weir_list_get(const weir_list *list, int64_t index, weir_value *out)
{
    uint64_t i;

    if (unlikely(list == NULL))
        return fail_null();
    if (unlikely(out == NULL))
        return fail_null_out();
    if (unlikely(!resolve_index(list, index, &i)))
        return fail_index(list, index);
    return get_element(list, i, out);
}

#define NOT_UTF8 INT64_MIN

/* As weir_list_get_data(), or NOT_UTF8. */
static int64_t copy_element(const weir_list *list, uint64_t i, char *buf, size_t size)
{
    weir_value value;
    int result = read_element(list, i, &value);

    if (result < 0)
        return result;
    if (value.type != WEIR_STR && value.type != WEIR_BYTES)
        return weir__fail(-EINVAL, "element %llu of list \"%s\" is of type %s, not str or bytes",
                          (unsigned long long)i, list->shm->name, weir_type_name(value.type));
    if (size > 0) {
        size_t copied = value.size < size ? value.size : size - 1;

        memcpy(buf, value.data, copied);
        buf[copied] = '\0';
        /* Another process may write at this moment: what is checked should be what is given. */
        if (copied == value.size)
            value.data = buf;
    }
    if (value.type == WEIR_STR && !weir__utf8_valid(value.data, value.size))
        return NOT_UTF8;
    return (int64_t)value.size;
}

int64_t weir_list_get_data(const weir_list *list, int64_t index, char *buf, size_t size)
{
    unsigned looks = 0;
    int64_t result;
    uint64_t i;

    if (list == NULL)
        return fail_null();
    if (buf == NULL && size > 0)
        return fail_null_out();
    if (!resolve_index(list, index, &i))
        return fail_index(list, index);
    do
        result = copy_element(list, i, buf, size);
    while (result == NOT_UTF8 && look_again(&looks));
    return result == NOT_UTF8 ? fail_damaged(list, i, "a str that is not UTF-8") : result;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void write_slot(const struct element *element, const weir_value *value, bool clear)
{
    if (!weir__has_data(value)) {
        weir__publish_word(element->slot, weir__word_of_value(value));
        return;
    }
    /* The value may be data of this very element (from weir_list_get). */
    if (value->size > 0)
        memmove(element->slot, value->data, value->size);
    if (clear)
        memset(element->slot + value->size, 0, element->slot_size - value->size);
}

static __attribute__((noinline)) int set_any_element(weir_list *list, uint64_t i,
                                                     const weir_value *value)
{
    struct element element;
    uint64_t format = 0;
    signed char code = 0;
    int result = weir__value_check(value);

    if (result < 0)
        return result;
    if (!find_element(list, i, &element))
        return -EBADMSG;
    result = weir__format_encode(value, element.slot_size, &format, &code);
    if (result < 0)
        return result;
    /* A format without an x is stripped when it is read. */
    write_slot(&element, value, memchr(&format, 'x', sizeof format) == NULL);
    weir__write_code(element.code, code);
    weir__publish_word(element.format, format);
    return 0;
}

int weir_list_set(weir_list *list, int64_t index, weir_value value)
{
    unsigned char *word;
    uint64_t i;

    if (unlikely(list == NULL))
        return fail_null();
    if (unlikely(!resolve_index(list, index, &i)))
        return fail_index(list, index);
    if (unlikely(value.type != WEIR_INT || !find_int(list, i, &word)))
        return set_any_element(list, i, &value);
    weir__publish_word(word, (uint64_t)value.integer);
    return 0;
}

/* Why an element is not one that can be added to; 0 if it is one by now. */
static __attribute__((cold)) int fail_no_int(const weir_list *list, uint64_t i)
{
    weir_value value;
    int result = read_element(list, i, &value);

    if (result < 0 || value.type == WEIR_INT)
        return result;
    return weir__fail(-EINVAL, "element %llu of list \"%s\" is of type %s, not int",
                      (unsigned long long)i, list->shm->name, weir_type_name(value.type));
}

int weir_list_add(weir_list *list, int64_t index, int64_t delta, int64_t *after)
{
    unsigned char *place;
    _Atomic int64_t *word;
    unsigned looks = 0;
    int64_t old, sum;
    uint64_t i;

    if (list == NULL)
        return fail_null();
    if (!resolve_index(list, index, &i))
        return fail_index(list, index);
    while (!find_int(list, i, &place)) {
        int result = fail_no_int(list, i);

        if (result == 0 && !look_again(&looks))
            result = fail_damaged(list, i, "its format is not valid");
        if (result < 0)
            return result;
    }
    word = (_Atomic int64_t *)place;
    old = atomic_load_explicit(word, memory_order_relaxed);
    /* Not fetch_add: a sum beyond 64 bits must leave the element as it was. Acquire and release, as
     * get and set: the process that adds last may read what the others wrote before they added. */
    do {
        if (__builtin_add_overflow(old, delta, &sum))
            return weir__fail(
                -EOVERFLOW, "element %llu of list \"%s\": %lld + %lld is beyond 64 bits",
                (unsigned long long)i, list->shm->name, (long long)old, (long long)delta);
    } while (!atomic_compare_exchange_weak_explicit(word, &old, sum, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (after != NULL)
        *after = sum;
    return 0;
}

/* ---- searching ------------------------------------------------------------------------------ */

/* Counts equal elements until `enough` are found; *last is where the last one is. */
static int64_t search_list(const weir_list *list, const weir_value *value, int64_t enough,
                           int64_t *last)
{
    int64_t found = 0;
    int result;

    if (list == NULL)
        return fail_null();
    result = weir__value_check(value);
    for (uint64_t i = 0; result == 0 && found < enough && i < (uint64_t)list->count; i++) {
        weir_value element;

        result = get_element(list, i, &element);
        if (result == 0 && weir__value_equal(&element, value)) {
            *last = (int64_t)i;
            found++;
        }
    }
    return result < 0 ? result : found;
}

int64_t weir_list_index(const weir_list *list, weir_value value)
{
    int64_t index = 0, found = search_list(list, &value, 1, &index);

    if (found < 0)
        return found;
    return found > 0 ? index
                     : weir__fail(-ENOENT, "no element of list \"%s\" equals that %s",
                                  list->shm->name, weir_type_name(value.type));
}

int64_t weir_list_count(const weir_list *list, weir_value value)
{
    int64_t last;

    return search_list(list, &value, INT64_MAX, &last);
}

/* ---- the joined formats --------------------------------------------------------------------- */

int64_t weir_list_format(const weir_list *list, char *buf, size_t size)
{
    size_t length = 0;

    if (list == NULL)
        return fail_null();
    if (buf == NULL && size > 0)
        return fail_null_out();
    for (uint64_t i = 0; i < (uint64_t)list->count; i++) {
        unsigned looks = 0;
        uint64_t format;
        size_t letters;

        while (format = weir__read_word(list->formats + i * WORD),
               !weir__format_valid(format, SIZE_MAX))
            if (!look_again(&looks))
                return fail_damaged(list, i, "its format is not valid");
        letters = strnlen((const char *)&format, sizeof format);
        if (length < size)
            memcpy(buf + length, &format, letters < size - length ? letters : size - length);
        length += letters;
    }
    if (size > 0)
        buf[length < size ? length : size - 1] = '\0';
    return (int64_t)length;
}
