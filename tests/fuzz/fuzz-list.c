/* SPDX-License-Identifier: MIT
 *
 * A list in a block whose every byte the input decides, and all operations on it, while other bytes
 * change under it as another process could change them.
 *
 * Input: 1 byte how many bytes of it are operations, in units of 10; the block; the operations. The
 * block is exactly as large as the allocation that it is in, so ASan sees a byte too far.
 */
#include "fuzz.h"

#include <errno.h>
#include <weir-shm.h>

#include "shm/list/list.h"

#define OPERATION 10

static bool is_result(int64_t result)
{
    return result >= 0 || result == -EBADMSG || result == -ERANGE || result == -EINVAL ||
           result == -E2BIG || result == -ENOENT || result == -ENOTSUP || result == -EOVERFLOW ||
           result == -ENOBUFS;
}

static weir_value value_of(unsigned kind, uint64_t number, char text[64])
{
    double real;

    memcpy(&real, &number, sizeof real);
    memset(text, 'a' + (int)(number % 26), 63);
    text[63] = '\0';
    switch (kind % 6) {
    case 0:
        return weir_none();
    case 1:
        return weir_bool(number & 1);
    case 2:
        return weir_int((int64_t)number);
    case 3:
        return weir_float(real);
    case 4:
        text[number % 63] = '\0';
        return weir_str(text);
    default:
        return weir_bytes(text, number % 64);
    }
}

static void look_at(const weir_list *list, int64_t index)
{
    weir_value value = weir_none();
    char sum = 0;
    int result = weir_list_get(list, index, &value);

    HOLD(is_result(result));
    if (result == 0 && (value.type == WEIR_STR || value.type == WEIR_BYTES))
        for (int64_t i = 0; i < (int64_t)value.size; i++)
            sum ^= ((const char *)value.data)[i];
    HOLD(sum == sum || value.type != 0);
}

static void operate(weir_list *list, const uint8_t *bytes)
{
    int64_t index = (int8_t)bytes[1], after = 0;
    char text[64];
    weir_value value;
    uint64_t number;
    int64_t result = 0;
    size_t at, size;

    memcpy(&number, bytes + 2, sizeof number);
    value = value_of(bytes[0] >> 4, number, text);
    switch (bytes[0] & 7) {
    case 0:
        result = weir_list_set(list, index, value);
        if (result == 0) {
            weir_value got;

            HOLD(weir_list_get(list, index, &got) == 0 && got.type == value.type);
        }
        break;
    case 1:
        result = weir_list_add(list, index, (int64_t)number, &after);
        break;
    case 2:
        result = weir_list_index(list, value);
        break;
    case 3:
        result = weir_list_count(list, value);
        break;
    case 4:
        result = weir_list_format(list, text, number % sizeof text);
        break;
    case 5: /* another process writes a word, or a byte */
        at = (bytes[1] | (size_t)(bytes[0] & 8) << 5) * 8 % list->shm->size;
        size = list->shm->size - at < 8 || bytes[0] & 16 ? 1 : 8;
        memcpy((char *)list->shm->buf + at, &number, size);
        break;
    default:
        look_at(list, index);
    }
    HOLD(is_result(result));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t operations = size > 0 ? (size_t)(data[0] % 16) * OPERATION : 0;
    struct weir_shm shm = {.name = "hostile"};
    struct weir_list list;

    if (size < 2 + operations)
        return 0;
    shm.size = size - 1 - operations;
    shm.buf = malloc(shm.size);
    memcpy(shm.buf, data + 1, shm.size);
    if (weir__list_kind.bind(&list, &shm, NULL) == 0) {
        int64_t count = weir_list_len(&list);

        HOLD(count >= 0 && (uint64_t)count <= shm.size / 8);
        for (int64_t i = -count - 1; i <= count; i++)
            look_at(&list, i);
        for (size_t i = 0; i < operations; i += OPERATION)
            operate(&list, data + size - operations + i);
        for (int64_t i = 0; i < count; i++)
            look_at(&list, i);
    }
    free(shm.buf);
    return 0;
}

static void seed(const char *folder, const char *name, const weir_value *values, size_t count)
{
    const struct weir__list_spec spec = {values, count, NULL};
    unsigned flags = 0;
    int64_t size = weir__list_kind.size(&spec, &flags);
    uint8_t *bytes = calloc(1, (size_t)size + 1 + 15 * OPERATION), *list = calloc(1, (size_t)size);

    bytes[0] = 15;
    weir__list_kind.fill(list, (size_t)size, &spec);
    memcpy(bytes + 1, list, (size_t)size);
    for (int i = 0; i < 15 * OPERATION; i++)
        bytes[1 + size + i] = (uint8_t)(i * 37);
    fuzz_seed(folder, name, bytes, (size_t)size + 1 + 15 * OPERATION);
    free(bytes);
    free(list);
}

void fuzz_seeds(const char *folder)
{
    const weir_value all[] = {weir_str("howdy"),
                              weir_bytes("HoWdY", 5),
                              weir_float(-273.154),
                              weir_int(100),
                              weir_none(),
                              weir_bool(true),
                              weir_str("encod\xc3\xa9s"),
                              weir_bytes("a\0b\0", 4)};

    seed(folder, "empty", all, 0);
    seed(folder, "one", all + 3, 1);
    seed(folder, "all", all, 8);
}
