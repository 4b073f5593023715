/* SPDX-License-Identifier: MIT
 *
 * An element's format and code. What is accepted must be within its slot, and what weir writes must
 * be read as what it was.
 *
 * Input: 8 bytes of format, 1 of code, 4 of slot size.
 */
#include "fuzz.h"

#include <errno.h>

#include "shm/list/slot_format.h"

static void read_any(uint64_t format, signed char code, size_t slot)
{
    struct weir__content content = {.type = WEIR_NONE};

    if (!weir__format_decode(format, code, slot, &content))
        return;
    HOLD(weir__format_valid(format, slot) && weir__format_valid(format, SIZE_MAX));
    if (content.type == WEIR_STR || content.type == WEIR_BYTES)
        HOLD(content.size <= slot);
}

static void write_and_read(weir_type type, uint32_t length, size_t slot, bool ends_in_nul)
{
    static char text[10100001]; /* its contents do not matter, but for the last byte */
    struct weir__content content;
    weir_value value = {.type = type, .data = text, .size = length};
    uint64_t format = 0;
    signed char code = 0;
    int result;

    if (length > 0)
        text[length - 1] = ends_in_nul ? '\0' : 'x';
    result = weir__format_encode(&value, slot, &format, &code);
    HOLD(result == 0 || result == -E2BIG || (result == -ENOTSUP && ends_in_nul));
    /* refused: too long, or of the lengths that the layout has no digits for */
    HOLD(result == 0 || length > slot || (length >= 1000000 && (ends_in_nul || slot > 9999999)));
    if (result == 0) {
        HOLD(weir__format_decode(format, code, slot, &content));
        HOLD(content.type == type && length <= slot);
        HOLD(content.strip ? content.size >= length : content.size == length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint64_t format = fuzz_number(&input, 8);
    signed char code = (signed char)fuzz_number(&input, 1);
    size_t slot = 8 + 8 * (fuzz_number(&input, 4) % 1300000); /* no list has one of 0 */

    read_any(format, code, slot);
    read_any(format, code, 8 + slot % 128);
    if (code >= 0)
        write_and_read(code & 1 ? WEIR_STR : WEIR_BYTES,
                       (uint32_t)(format % 10100000 >> (code / 4)), slot, code & 2);
    return 0;
}

static void seed(const char *folder, const char *format, char code, uint32_t words)
{
    char bytes[13] = {0};

    memcpy(bytes, format, strnlen(format, 8));
    bytes[8] = code;
    memcpy(bytes + 9, &words, 4);
    fuzz_seed(folder, format, bytes, sizeof bytes);
}

void fuzz_seeds(const char *folder)
{
    seed(folder, "q", 0, 1);
    seed(folder, "d", 0, 1);
    seed(folder, "xxxxxxx?", 0, 1);
    seed(folder, "xxxxxx?x", 3, 1);
    seed(folder, "5s3x", 1, 1);
    seed(folder, "8s", 1, 1);
    seed(folder, "8s0x", 0, 1);
    seed(folder, "100000sx", 0, 12501);
    seed(folder, "9999992s", 2, 1249999);
}
