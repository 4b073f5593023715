/* SPDX-License-Identifier: MIT
 *
 * weir_dict in a damaged block: every byte of it changed, one at a time, and all calls made.
 *
 * Each call must end, with a result or an error that the header names, and stay inside the block,
 * whose neighbours cannot be touched here. tests/fuzz has the changes in between and of more than a
 * byte.
 */
#include "child.h"
#include "leak.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/dict/block.h"
#include "shm/dict/scout.h"

enum { SIZE = 1 << 16, ITEMS = 40 };

static unsigned char *block; /* between pages that cannot be touched */
static unsigned char image[SIZE];
static struct weir_shm shm;

static weir_value key_of(int i)
{
    static char text[40];

    if (i % 2)
        return weir_int(i);
    memset(text, 'k', sizeof text);
    text[i % 39 + 1] = '\0';
    text[0] = (char)('a' + i % 26);
    return weir_str(text);
}

static weir_value value_of(int i)
{
    static const char text[200] = "text";

    return i % 4 == 0   ? weir_int((int64_t)i << i)
           : i % 4 == 1 ? weir_float(i)
           : i % 4 == 2 ? weir_bytes(text, (size_t)i * 4)
                        : weir_str("some text");
}

static void fill(void)
{
    weir_dict dict;

    memset(block, 0, SIZE);
    shm = (struct weir_shm){.buf = block, .size = SIZE, .name = "damaged"};
    assert_int_equal(weir__dict_kind.fill(block, SIZE, &(struct weir__dict_spec){NULL, NULL}), 0);
    assert_int_equal(weir__dict_kind.bind(&dict, &shm, NULL), 0);
    for (int i = 0; i < ITEMS; i++)
        assert_int_equal(weir_dict_set(&dict, key_of(i), value_of(i)), 0);
    for (int i = 0; i < ITEMS; i += 5)
        assert_int_equal(weir_dict_delete(&dict, key_of(i)), 0);
}

/* False: a result that no call may have. */
static bool is_result(int64_t result)
{
    return result >= 0 || result == -EBADMSG || result == -ENOENT || result == -ENOBUFS ||
           result == -ENOSPC || result == -EINVAL || result == -EOVERFLOW;
}

static bool make_all_calls(weir_dict *dict)
{
    weir_dict_cursor cursor = {{0, 0}};
    weir_value key, value, some[3];
    char room[400], *shown;
    int64_t expected = 1;
    bool good = true;
    int result;

    for (int i = 0; i < ITEMS; i += 3) {
        weir_value texts_and_ints[] = {key_of(i), weir_int(i + 1), weir_str("none")};

        weir__dict_scout(dict, texts_and_ints, 3);
        good = good && is_result((int)weir_dict_get_many(dict, texts_and_ints, 3, some, NULL, room,
                                                         sizeof room));
    }
    for (int i = 0; i < ITEMS; i++) {
        good = good && is_result(weir_dict_get(dict, key_of(i), &value, room, sizeof room));
        good = good && is_result(weir_dict_set(dict, key_of(i), value_of(i + 1)));
    }
    for (int i = 0; i < 2 * ITEMS; i++) {
        result = weir_dict_next(dict, &cursor, &key, &value, room, sizeof room);
        good = good && is_result(result);
        if (result <= 0)
            break;
    }
    shown = weir_dict_repr(dict, 0);
    good = good && (shown != NULL || weir_last_error()->code == -EBADMSG);
    free(shown);
    good = good && is_result(weir_dict_len(dict));
    good = good && is_result(weir_dict_add(dict, weir_int(1), 1, NULL));
    good = good && is_result(weir_dict_compare_and_set(dict, weir_int(1), &expected, 1));
    for (int i = 0; i < ITEMS; i += 3)
        good = good && is_result(weir_dict_pop(dict, key_of(i), &value, room, sizeof room));
    good = good && is_result(weir_dict_setdefault(dict, weir_int(-3), weir_none(), NULL, NULL, 0));
    for (int i = 0; i < 5; i++)
        good = good && is_result(weir_dict_popitem(dict, &key, &value, room, sizeof room));
    good = good && is_result(weir_dict_update(dict, dict));
    /* more than there is, so that all free memory goes through the free map */
    for (int i = 0; i < 3; i++)
        good = good && is_result(weir_dict_set(dict, weir_int(i), weir_bytes(image, SIZE)));
    good = good && is_result(weir_dict_set(dict, weir_int(-4), weir_bytes(image, 1000)));
    return good && is_result(weir_dict_clear(dict));
}

/* In a child, so that a crash or an endless call is told with its place. Returns how many changes
 * were refused when the block was opened. */
static int change_all(size_t from, size_t to, unsigned char change, size_t *progress)
{
    weir_dict dict;
    int refused = 0;

    memcpy(image, block, SIZE);
    for (size_t at = from; at < to; at++) {
        if (image[at] == 0 && at % 8 != 0 && change == 0xff)
            continue; /* of what is empty, one byte a word does */
        *progress = at;
        memcpy(block, image, SIZE);
        block[at] ^= change;
        alarm(20);
        if (weir__dict_kind.bind(&dict, &shm, NULL) < 0)
            refused++;
        else if (!make_all_calls(&dict))
            _exit(99);
    }
    memcpy(block, image, SIZE);
    return refused;
}

static void assert_harmless(size_t from, size_t to, unsigned char change, int refused_min)
{
    size_t *progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid;
    int status;

    assert_true(progress != MAP_FAILED);
    pid = fork();
    if (pid == 0) {
        child_reset();
        _exit(change_all(from, to, change, progress) < refused_min ? 98 : 0);
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    if (status != 0)
        fail_msg("byte %zu ^ 0x%02x: status 0x%x", *progress, change, (unsigned)status);
    munmap(progress, 4096);
}

static void setup_block(void)
{
    unsigned char *room = mmap(NULL, SIZE + 8192, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(room != MAP_FAILED);
    block = room + 4096;
    assert_int_equal(mprotect(block, SIZE, PROT_READ | PROT_WRITE), 0);
    fill();
}

static void drop_block(void)
{
    munmap(block - 4096, SIZE + 8192);
}

/* Which part of the block is what, as layout.h has it. */
static size_t heap_at(void)
{
    weir_dict dict;

    assert_int_equal(weir__dict_kind.bind(&dict, &shm, NULL), 0);
    return (size_t)(dict.heap - block);
}

static void call_ends__when_a_byte_of_the_header_is_changed(void **state)
{
    (void)state;
    setup_block();
    assert_harmless(0, sizeof(struct weir__dict_header), 0xff, 10);
    assert_harmless(0, 512, 0x01, 16);
    assert_harmless(0, 512, 0x80, 16);
    drop_block();
}

static void call_ends__when_a_byte_of_a_bucket_is_changed(void **state)
{
    (void)state;
    setup_block();
    assert_harmless(WEIR__DICT_BUCKETS_AT, WEIR__DICT_BUCKETS_AT + 4096, 0xff, 0);
    assert_harmless(WEIR__DICT_BUCKETS_AT, WEIR__DICT_BUCKETS_AT + 512, 0x02, 0);
    drop_block();
}

static void call_ends__when_a_byte_of_the_free_map_is_changed(void **state)
{
    static const unsigned char changes[] = {0xff, 0x01, 0x80};
    size_t heap;

    (void)state;
    setup_block();
    heap = heap_at();
    for (size_t i = 0; i < sizeof changes; i++)
        assert_harmless(heap - sizeof(struct weir__dict_chunk), heap, changes[i], 0);
    drop_block();
}

static void call_ends__when_a_byte_of_an_item_is_changed(void **state)
{
    static const unsigned char changes[] = {0xff, 0x01, 0x02, 0x10, 0x80};
    size_t heap;

    (void)state;
    setup_block();
    heap = heap_at();
    for (size_t i = 0; i < sizeof changes; i++)
        assert_harmless(heap, heap + 4096, changes[i], 0);
    drop_block();
}

static void damage_is_told__when_a_key_is_read_through_it(void **state)
{
    struct weir__dict_node *node;
    weir_value value;
    weir_dict dict;
    char room[400];

    (void)state;
    setup_block();
    assert_int_equal(weir__dict_kind.bind(&dict, &shm, NULL), 0);
    for (uint32_t ref = 1; ref < 200; ref++) {
        node = weir__dict_at(&dict, ref);
        if ((atomic_load(&node->tie) ^ dict.seed[2]) == 1 && (atomic_load(&node->order) & 3) == 1)
            break;
    }
    assert_true((atomic_load(&node->tie) ^ dict.seed[2]) == 1);
    assert_int_equal(weir_dict_get(&dict, weir_int(1), &value, room, sizeof room), 0);
    atomic_store(&node->value, 15);
    assert_int_equal(weir_dict_get(&dict, weir_int(1), &value, room, sizeof room), -EBADMSG);
    assert_non_null(strstr(weir_last_error()->message, "damaged"));
    assert_int_equal(weir_dict_set(&dict, weir_int(1), weir_int(1)), -EBADMSG);
    atomic_store(&node->value, (uint64_t)UINT32_MAX << 32 | 0x14);
    assert_int_equal(weir_dict_get(&dict, weir_int(1), &value, room, sizeof room), -EBADMSG);
    atomic_store(&node->value, weir__word_inline(WEIR__WORD_INT, 77, 5));
    assert_int_equal(weir_dict_get(&dict, weir_int(1), &value, room, sizeof room), -EBADMSG);
    atomic_store(&node->next, UINT32_MAX | WEIR__LINK_TAG_ONE);
    assert_int_equal(weir_dict_len(&dict), -EBADMSG);
    atomic_store(&node->next,
                 (uint32_t)((unsigned char *)node - dict.heap) / 16 | WEIR__LINK_TAG_ONE);
    assert_int_equal(weir_dict_len(&dict), -EBADMSG); /* a circle */
    drop_block();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(call_ends__when_a_byte_of_the_header_is_changed, leak_setup,
                                        leak_teardown),
        cmocka_unit_test_setup_teardown(call_ends__when_a_byte_of_a_bucket_is_changed, leak_setup,
                                        leak_teardown),
        cmocka_unit_test_setup_teardown(call_ends__when_a_byte_of_the_free_map_is_changed,
                                        leak_setup, leak_teardown),
        cmocka_unit_test_setup_teardown(call_ends__when_a_byte_of_an_item_is_changed, leak_setup,
                                        leak_teardown),
        cmocka_unit_test_setup_teardown(damage_is_told__when_a_key_is_read_through_it, leak_setup,
                                        leak_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
