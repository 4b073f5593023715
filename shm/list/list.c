/* SPDX-License-Identifier: MIT
 *
 * list.c: weir_list, in the byte layout of CPython's ShareableList.
 *
 *     int64_t       count
 *     int64_t       offsets[count + 1]     where slot i begins, from the data's start
 *     unsigned char data[offsets[count]]   the slots: whole multiples of 8 bytes
 *     char          formats[count][8]      struct formats, see slot_format.c
 *     signed char   codes[count]
 *
 * Invariants. The count, the offsets and so the places of all parts never change after creation. An
 * element's other parts (slot, format, code) are changed in element.c alone. A block is filled
 * before it has a name.
 *
 * Failure modes. A block that another process wrote may hold anything: bind_list() derives
 * the places of the parts from it once, checked, and the handle's copies are used from then on.
 */
#include "shm/list/list.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "shm/error.h"
#include "shm/list/slot_format.h"
#include "shm/list/word.h"
#include "shm/value.h"

#define WORD      WEIR__WORD
#define HEAD_SIZE (2 * WORD) /* count, and the one offset more than elements */
/* Of the smallest element: offset, slot, format, code. */
#define ELEMENT_MIN (3 * WORD + 1)

/* ---- sizes ---------------------------------------------------------------------------------- */

static int fail_too_large(uint64_t count)
{
    return weir__fail(-E2BIG, "a list of %llu elements is too large to address",
                      (unsigned long long)count);
}

static int64_t values_size(const weir_value *values, size_t count)
{
    size_t size;
    int result;

    if (values == NULL && count > 0)
        return weir__fail(-EINVAL, "%zu values were announced, but they are NULL", count);
    if (count > (PTRDIFF_MAX - HEAD_SIZE) / ELEMENT_MIN)
        return fail_too_large(count);
    size = HEAD_SIZE + count * (ELEMENT_MIN - WORD);
    for (size_t i = 0; i < count; i++) {
        size_t slot;
        uint64_t format;
        signed char code;

        result = weir__value_check(&values[i]);
        if (result < 0)
            return result;
        slot = weir__slot_size(&values[i]);
        result = weir__format_encode(&values[i], slot, &format, &code);
        if (result < 0)
            return result;
        if (slot > PTRDIFF_MAX - size)
            return fail_too_large(count);
        size += slot;
    }
    return (int64_t)size;
}

/* How many ints Python's range(start, stop, step) has; up to 2^64 - 1, hence unsigned arithmetic.
 */
static uint64_t range_count(const struct weir__list_range *range)
{
    const int64_t start = range->start, stop = range->stop, step = range->step;

    if (step > 0 && start < stop)
        return ((uint64_t)stop - (uint64_t)start - 1) / (uint64_t)step + 1;
    if (step < 0 && start > stop)
        return ((uint64_t)start - (uint64_t)stop - 1) / (0 - (uint64_t)step) + 1;
    return 0;
}

static int64_t range_size(const struct weir__list_range *range)
{
    uint64_t count = range_count(range);

    if (range->step == 0)
        return weir__fail(-EINVAL, "a range cannot have a step of 0");
    if (count > (PTRDIFF_MAX - HEAD_SIZE) / ELEMENT_MIN)
        return fail_too_large(count);
    return HEAD_SIZE + (int64_t)count * ELEMENT_MIN;
}

static int64_t list_size(const void *spec, unsigned *flags)
{
    const struct weir__list_spec *list = spec;

    (void)flags;
    return list->range != NULL ? range_size(list->range) : values_size(list->values, list->count);
}

/* ---- filling a new block -------------------------------------------------------------------- */

/* No other process can see the block yet: plain stores suffice. */
static void fill_slot(void *slot, const weir_value *value)
{
    if (!weir__has_data(value))
        *(uint64_t *)slot = weir__word_of_value(value);
    else if (value->size > 0)
        memcpy(slot, value->data, value->size);
}

static void fill_values(void *buf, const weir_value *values, size_t count)
{
    int64_t *head = buf, *offsets = head + 1;
    unsigned char *data = (unsigned char *)(offsets + count + 1);
    uint64_t *formats;
    signed char *codes;
    size_t end = 0;

    head[0] = (int64_t)count;
    for (size_t i = 0; i < count; i++) {
        fill_slot(data + end, &values[i]);
        end += weir__slot_size(&values[i]);
        offsets[i + 1] = (int64_t)end;
    }
    formats = (uint64_t *)(data + end);
    codes = (signed char *)(formats + count);
    for (size_t i = 0; i < count; i++)
        weir__format_encode(&values[i], weir__slot_size(&values[i]), &formats[i], &codes[i]);
}

static void fill_range(void *buf, const struct weir__list_range *range)
{
    uint64_t count = range_count(range);
    int64_t *head = buf, *offsets = head + 1;
    uint64_t *data = (uint64_t *)(offsets + count + 1), *formats = data + count;

    head[0] = (int64_t)count;
    for (uint64_t i = 0; i < count; i++) {
        offsets[i + 1] = (int64_t)((i + 1) * WORD);
        data[i] = (uint64_t)range->start + i * (uint64_t)range->step;
    }
    for (uint64_t i = 0; i < count; i++)
        formats[i] = WEIR__FORMAT_INT;
}

static int fill_list(void *buf, size_t size, const void *spec)
{
    const struct weir__list_spec *list = spec;

    (void)size;
    if (list->range != NULL)
        fill_range(buf, list->range);
    else
        fill_values(buf, list->values, list->count);
    return 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

static int fail_no_list(const struct weir_shm *shm, const char *why)
{
    return weir__fail(-EBADMSG, "block \"%s\" is not a list: %s", shm->name, why);
}

static bool offsets_are_right(const int64_t *offsets, uint64_t count, uint64_t data_size)
{
    uint64_t begin = weir__read_offset(&offsets[0]);

    if (begin != 0)
        return false;
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t end = weir__read_offset(&offsets[i]);

        if (end % WORD != 0 || end > data_size || end < begin + WORD)
            return false;
        begin = end;
    }
    return true;
}

static int bind_list(void *handle, struct weir_shm *shm, const void *spec)
{
    struct weir_list *list = handle;
    uint64_t count, data_size, rest;
    int64_t *words = shm->buf;

    (void)spec;
    if (shm->size < HEAD_SIZE)
        return fail_no_list(shm, "it is shorter than an empty one");
    rest = shm->size - HEAD_SIZE;
    count = weir__read_word(words);
    if (count > rest / ELEMENT_MIN)
        return fail_no_list(shm, "its length is not that of any list of this size");
    rest -= count * (ELEMENT_MIN - WORD);
    data_size = weir__read_offset(&words[1 + count]);
    if (data_size > rest || data_size % WORD != 0)
        return fail_no_list(shm, "its data would reach beyond the block");
    if (!offsets_are_right(words + 1, count, data_size))
        return fail_no_list(shm, "its offsets are not in order");
    list->shm = shm;
    list->count = (int64_t)count;
    list->offsets = words + 1;
    list->data = (unsigned char *)(words + 2 + count);
    list->data_size = data_size;
    list->formats = (char *)list->data + data_size;
    list->codes = list->formats + count * WORD;
    return 0;
}

_Static_assert(offsetof(struct weir_list, shm) == 0, "a handle begins with its block");

const struct weir__object_kind weir__list_kind = {.name = "list",
                                                  .noun = "list",
                                                  .handle_size = sizeof(struct weir_list),
                                                  .size = list_size,
                                                  .fill = fill_list,
                                                  .bind = bind_list};

weir_list *weir_list_create(const char *name, const weir_value *values, size_t count)
{
    const struct weir__list_spec spec = {values, count, NULL};

    return weir__object_create(&weir__list_kind, name, &spec);
}

weir_list *weir_list_create_range(const char *name, int64_t start, int64_t stop, int64_t step)
{
    const struct weir__list_range range = {start, stop, step};
    const struct weir__list_spec spec = {.range = &range};

    return weir__object_create(&weir__list_kind, name, &spec);
}

weir_list *weir_list_attach(const char *name)
{
    return weir__object_attach(&weir__list_kind, name, NULL);
}

void weir_list_close(weir_list *list)
{
    weir__object_close(list);
}

int64_t weir_list_len(const weir_list *list)
{
    return weir__object_is_null(&weir__list_kind, list) ? -EINVAL : list->count;
}

weir_shm *weir_list_shm(const weir_list *list)
{
    return weir__object_shm(&weir__list_kind, list);
}
