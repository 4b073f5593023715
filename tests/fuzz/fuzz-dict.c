/* SPDX-License-Identifier: MIT
 *
 * A dictionary that somebody has written into: operations, with any bytes of the block changed
 * between them. Each operation ends, with a result or -EBADMSG, and touches nothing outside.
 *
 * Input: steps of 12 bytes. The first byte's top bit says: a change (what and where), or an
 * operation (which, with which key and value). All begin with the same sound dictionary.
 */
#include "fuzz.h"

#include <errno.h>
#include <sys/mman.h>

#include "shm/dict/block.h"
#include "shm/dict/scout.h"

#define SIZE  WEIR__DICT_SIZE_MIN
#define STEP  12
#define STEPS 40

static char *block; /* SIZE bytes between pages that cannot be touched */
static char *image; /* the sound one */

static weir_value key_of(unsigned which, char text[80])
{
    memset(text, 'k', 79);
    text[79] = '\0';
    if (which % 3 == 0)
        return weir_int(which % 32);
    text[0] = (char)('a' + which % 7);
    if (which % 3 == 1) {
        text[1 + which % 70] = '\0';
        return weir_str(text);
    }
    return weir_bytes(text, which % 80);
}

static weir_value value_of(unsigned which, uint64_t number)
{
    static const char text[600] = "zero";

    switch (which % 6) {
    case 0:
        return weir_none();
    case 1:
        return weir_bool(number & 1);
    case 2:
        return weir_float((double)number);
    case 3:
        return weir_str("a text of some length");
    case 4:
        return weir_bytes(text, number % sizeof text);
    default:
        return weir_int((int64_t)number);
    }
}

static bool is_result(int64_t result)
{
    return result >= 0 || result == -EBADMSG || result == -ENOENT || result == -ENOBUFS ||
           result == -ENOSPC || result == -EINVAL || result == -EOVERFLOW || result == -ENOMEM;
}

static int64_t operate_on_many(weir_dict *dict, weir_value key, weir_value value)
{
    const weir_value keys[] = {weir_int(3), key, weir_str("new"), weir_int(9)};
    const weir_value values[] = {value, weir_int(5), value, weir_none()};
    weir_value out[4];
    char room[128];
    int64_t result;

    weir__dict_scout(dict, keys, 4);
    result = weir_dict_get_many(dict, keys, 4, out, NULL, room, sizeof room);
    return result < 0 ? result : weir_dict_set_many(dict, keys, values, 4, NULL);
}

static int64_t operate(weir_dict *dict, unsigned which, weir_value key, weir_value value)
{
    weir_dict_cursor cursor = {{0}};
    weir_value out, out_key;
    char room[128];
    int64_t expected = 1, result;

    switch (which) {
    case 0:
    case 1:
        return weir_dict_set(dict, key, value);
    case 2:
        return weir_dict_get(dict, key, &out, room, sizeof room);
    case 3:
        return weir_dict_delete(dict, key);
    case 4:
        return weir_dict_pop(dict, key, &out, room, sizeof room);
    case 5:
        return weir_dict_popitem(dict, &out_key, &out, room, sizeof room);
    case 6:
        return weir_dict_add(dict, key, 1, &expected);
    case 7:
        return weir_dict_compare_and_set(dict, key, &expected, 2);
    case 8:
        return weir_dict_setdefault(dict, key, value, &out, room, sizeof room);
    case 9:
        return weir_dict_len(dict);
    case 10:
        return weir_dict_clear(dict);
    case 11:
        return weir_dict_contains(dict, key);
    case 12:
        return operate_on_many(dict, key, value);
    case 13:
        free(weir_dict_repr(dict, 0));
        return 0;
    default:
        for (int i = 0; i < 5000; i++) {
            result = weir_dict_next(dict, &cursor, &out_key, &out, room, sizeof room);
            if (result <= 0)
                return result;
        }
        return 0;
    }
}

static void step(weir_dict *dict, const uint8_t *bytes)
{
    char text[80];
    uint64_t number;
    size_t at;

    memcpy(&number, bytes + 4, sizeof number);
    if (bytes[0] & 0x80) {
        size_t size = (size_t)1 << (bytes[0] & 3);

        at = (size_t)(bytes[1] | bytes[2] << 8) % SIZE;
        if (bytes[0] & 0x40) /* header and first bucket more often than by chance */
            at %= bytes[0] & 0x20 ? WEIR__DICT_BUCKETS_AT + 64 : 256;
        at -= at % size;
        memcpy(block + at, &number, size);
        return;
    }
    HOLD(is_result(
        operate(dict, bytes[0] % 14, key_of(bytes[1], text), value_of(bytes[2], number))));
}

static void fill(void)
{
    struct weir_shm shm = {.buf = block, .size = SIZE, .name = "hostile"};
    struct weir__dict_header *header = shm.buf;
    struct weir_dict dict;
    char text[80];

    HOLD(weir__dict_kind.fill(block, SIZE, &(struct weir__dict_spec){NULL, NULL}) == 0);
    header->seed[0] = 1; /* the same at each run */
    header->seed[1] = 2;
    HOLD(weir__dict_kind.bind(&dict, &shm, NULL) == 0);
    for (unsigned i = 0; i < 60; i++)
        HOLD(weir_dict_set(&dict, key_of(i, text), value_of(i, i)) == 0);
    for (unsigned i = 0; i < 60; i += 4) /* something on the free lists */
        HOLD(weir_dict_delete(&dict, key_of(i, text)) == 0);
}

static void prepare(void)
{
    block = mmap(NULL, SIZE + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOLD(block != MAP_FAILED);
    block += 4096;
    HOLD(mprotect(block, SIZE, PROT_READ | PROT_WRITE) == 0);
    fill();
    image = malloc(SIZE);
    memcpy(image, block, SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_shm shm = {.size = SIZE, .name = "hostile"};
    struct weir_dict dict;

    if (block == NULL)
        prepare();
    memcpy(block, image, SIZE);
    shm.buf = block;
    if (size > STEP && data[0] & 0x80) { /* one change before it is opened */
        dict = (struct weir_dict){.shm = &shm};
        step(&dict, data);
    }
    if (weir__dict_kind.bind(&dict, &shm, NULL) < 0)
        return 0;
    for (size_t i = 0; i + STEP <= size && i < STEP * STEPS; i += STEP)
        step(&dict, data + i);
    return 0;
}

void fuzz_seeds(const char *folder)
{
    uint8_t bytes[STEP * 26];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i % STEP == 0 ? i / STEP % 13 : i * 7);
    fuzz_seed(folder, "operations", bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i += 2 * STEP)
        bytes[i] = (uint8_t)(0x80 | i);
    fuzz_seed(folder, "changes", bytes, sizeof bytes);
}
