/* SPDX-License-Identifier: MIT
 *
 * test-damaged-list.c: lists that another process has damaged, by accident or on purpose.
 *
 * The list lies in private memory that ends at a page that cannot be touched, so an access beyond
 * the block is a crash of the test. What is called may fail with -EBADMSG or give a wrong value; it
 * must not reach outside, and must not change anything outside of the element that it sets.
 */
#include "leak.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/list/list.h"
#include <time.h>

/* A list waits for a writer that was interrupted; here there is none. */
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
    (void)time;
    (void)rest;
    return 0;
}

enum { COUNT = 6, PAGE = 4096, WATCHED = 512 };

static unsigned char *page;       /* the block ends where the next, forbidden page begins */
static unsigned char *block;      /* not always aligned to a page, but to 8 */
static unsigned char sound[PAGE]; /* what was in it */
static size_t block_size;
static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static int make_block(void **state)
{
    const weir_value values[COUNT] = {weir_int(7),     weir_str("a str longer than eight"),
                                      weir_float(2.5), weir_bytes("\0\1\2", 3),
                                      weir_bool(true), weir_none()};

    const struct weir__list_spec spec = {values, COUNT, NULL};
    unsigned flags = 0;

    (void)state;
    page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || mprotect(page + PAGE, PAGE, PROT_NONE) < 0)
        return -1;
    block_size = (size_t)weir__list_kind.size(&spec, &flags);
    memset(sound, 0, sizeof sound);
    weir__list_kind.fill(sound, block_size, &spec);
    return 0;
}

static int free_block(void **state)
{
    (void)state;
    return munmap(page, 2 * PAGE);
}

/* A fresh block of `size` bytes whose last byte is the last that may be touched. A list is a
 * multiple of 8 plus its codes, so this moves it to the last place that is aligned; what is beyond
 * the block but among the last WATCHED bytes of the page is checked to stay. */
static struct weir_shm fresh(size_t size)
{
    struct weir_shm shm = {.size = size, .name = "damaged"};

    memset(page + PAGE - WATCHED, 0xa5, WATCHED);
    block = page + PAGE - (size + 7) / 8 * 8;
    memcpy(block, sound, size);
    shm.buf = block;
    return shm;
}

static void assert_nothing_outside_changed(size_t size)
{
    for (unsigned char *at = page + PAGE - WATCHED; at < page + PAGE; at++)
        if ((at < block || at >= block + size) && *at != 0xa5)
            fail_msg("the byte %td bytes from the block's begin was changed", at - block);
}

static bool harmless(int64_t result)
{
    return result >= 0 || result == -EBADMSG || result == -EINVAL || result == -E2BIG ||
           result == -ENOENT || result == -EOVERFLOW || result == -ERANGE;
}

static unsigned sum; /* so that reading cannot be left out */

static void read_all_of(const weir_value *value)
{
    if (value->type == WEIR_STR || value->type == WEIR_BYTES)
        for (size_t i = 0; i < value->size; i++)
            sum += (unsigned char)value->data[i];
}

/* Every function on every element. */
static void use_list(weir_list *list)
{
    const weir_value values[] = {weir_int(1), weir_str("text"),        weir_float(1),
                                 weir_none(), weir_bytes("\0\0\0", 3), weir_bool(false)};
    int64_t count = weir_list_len(list) < 10 ? weir_list_len(list) : 10;
    char text[40], *shown = weir_list_repr(list, 10);

    assert_true(shown != NULL || weir_last_error()->code == -EBADMSG);
    free(shown);
    assert_true(harmless(weir_list_format(list, text, sizeof text)));
    for (size_t i = 0; i < 6; i++) {
        assert_true(harmless(weir_list_index(list, values[i])));
        assert_true(harmless(weir_list_count(list, values[i])));
    }
    for (int64_t i = -1; i < count; i++) {
        weir_value value;
        int result = weir_list_get(list, i, &value);

        assert_true(harmless(result));
        if (result == 0)
            read_all_of(&value);
        assert_true(harmless(weir_list_get_data(list, i, text, sizeof text)));
        assert_true(harmless(weir_list_add(list, i, 1, NULL)));
        for (size_t j = 0; j < 6; j++) {
            result = weir_list_set(list, i, values[j]);
            assert_true(harmless(result));
            if (result == 0)
                assert_int_equal(weir_list_get(list, i, &value), 0);
        }
    }
}

/* True if the damage was found when the list was opened. */
static bool try_block(struct weir_shm *shm)
{
    struct weir_list list;
    int result = weir__list_kind.bind(&list, shm, NULL);

    if (result == 0)
        use_list(&list);
    else
        assert_int_equal(result, -EBADMSG);
    assert_nothing_outside_changed(shm->size);
    return result < 0;
}

static void a_sound_block_is_opened(void **state)
{
    struct weir_shm shm = fresh(block_size);

    (void)state;
    assert_false(try_block(&shm));
}

static void no_byte_can_do_harm__whatever_its_value_before_opening(void **state)
{
    int refused = 0;

    (void)state;
    for (size_t i = 0; i < block_size; i++)
        for (int value = 0; value < 256; value++) {
            struct weir_shm shm = fresh(block_size);

            block[i] = (unsigned char)value;
            refused += try_block(&shm);
        }
    /* Nearly every change of the head is seen at once. */
    assert_true(refused > (COUNT + 2) * 8 * 200);
}

static void no_byte_can_do_harm__whatever_its_value_after_opening(void **state)
{
    int damaged = 0;

    (void)state;
    for (size_t i = 0; i < block_size; i++)
        for (int value = 0; value < 256; value++) {
            struct weir_shm shm = fresh(block_size);
            struct weir_list list;
            weir_value out;

            assert_int_equal(weir__list_kind.bind(&list, &shm, NULL), 0);
            block[i] = (unsigned char)value;
            for (int j = 0; j < COUNT; j++)
                damaged += weir_list_get(&list, j, &out) == -EBADMSG;
            use_list(&list);
            assert_nothing_outside_changed(block_size);
        }
    /* 7 offsets, 6 formats of 8 bytes: nearly every value of them is damage. */
    assert_true(damaged > (7 * 8 + 6 * 3) * 200);
}

static void no_words_can_do_harm__whatever_their_values(void **state)
{
    static const uint64_t nasty[] = {0,
                                     1,
                                     7,
                                     8,
                                     16,
                                     24,
                                     INT64_MAX,
                                     INT64_MIN,
                                     UINT64_MAX,
                                     UINT64_MAX - 7,
                                     UINT64_C(0x2000000000000000),
                                     UINT64_C(0x0a3d70a3d70a3d70),
                                     UINT32_MAX};

    (void)state;
    for (int round = 0; round < 50000; round++) {
        struct weir_shm shm = fresh(block_size);
        struct weir_list list;
        bool after = round % 2;

        if (after)
            assert_int_equal(weir__list_kind.bind(&list, &shm, NULL), 0);
        for (uint64_t i = 0; i <= next_random() % 3; i++) {
            uint64_t word = next_random() % 2 ? nasty[next_random() % 13] : next_random() % 160;

            memcpy(block + next_random() % (block_size / 8) * 8, &word, sizeof word);
        }
        if (after)
            use_list(&list);
        else
            try_block(&shm);
        assert_nothing_outside_changed(block_size);
    }
}

static void no_formats_can_do_harm__whatever_their_letters(void **state)
{
    static const char letters[] = "0123456789sx?qd";
    size_t formats = block_size - COUNT * 9, codes = block_size - COUNT;

    (void)state;
    for (int round = 0; round < 50000; round++) {
        struct weir_shm shm = fresh(block_size);
        struct weir_list list;

        assert_int_equal(weir__list_kind.bind(&list, &shm, NULL), 0);
        for (int i = 0; i < COUNT; i++) {
            size_t size = next_random() % 9;

            memset(block + formats + i * 8, 0, 8);
            for (size_t j = 0; j < size; j++)
                block[formats + i * 8 + j] =
                    (unsigned char)letters[next_random() % (sizeof letters - 1)];
            block[codes + i] = (unsigned char)(next_random() % 5);
        }
        use_list(&list);
        assert_nothing_outside_changed(block_size);
    }
}

static void a_shorter_block_is_refused__whatever_its_length(void **state)
{
    (void)state;
    for (size_t size = 1; size < block_size; size++) {
        struct weir_shm shm = fresh(size);

        assert_true(try_block(&shm));
    }
}

static void random_bytes_do_no_harm(void **state)
{
    int opened = 0;

    (void)state;
    for (int round = 0; round < 40000; round++) {
        size_t size = 1 + next_random() % 400;
        struct weir_shm shm = fresh(size);

        for (size_t i = 0; i < size; i++)
            block[i] = (unsigned char)(next_random() % 4 ? 0 : next_random());
        if (size >= 8 && round % 2)
            block[0] = (unsigned char)(next_random() % 4), memset(block + 1, 0, 7);
        opened += !try_block(&shm);
    }
    assert_true(opened > 100);
}

static void a_str_that_is_not_utf8_is_damage(void **state)
{
    struct weir_shm shm = fresh(block_size);
    struct weir_list list;
    weir_value value = weir_int(5);
    char text[64];

    (void)state;
    assert_int_equal(weir__list_kind.bind(&list, &shm, NULL), 0);
    block[(COUNT + 2) * 8 + 8 + 3] = 0xff;
    assert_int_equal(weir_list_get(&list, 1, &value), -EBADMSG);
    assert_true(value.type == WEIR_INT && value.integer == 5);
    assert_int_equal(weir_list_get_data(&list, 1, text, sizeof text), -EBADMSG);
    assert_int_equal(weir_list_get_data(&list, 1, text, 3), -EBADMSG);
    assert_int_equal(weir_list_index(&list, weir_none()), -EBADMSG);
    assert_int_equal(weir_list_index(&list, weir_int(7)), 0);
    assert_int_equal(weir_list_count(&list, weir_int(7)), -EBADMSG);
    assert_int_equal(weir_list_set(&list, 1, weir_str("sound")), 0);
    assert_int_equal(weir_list_get(&list, 1, &value), 0);
    assert_int_equal(weir_list_count(&list, weir_int(7)), 1);
}

/* The offset of an int is used alone; behind the data begin the formats. */
static void an_int_outside_of_the_data_is_damage(void **state)
{
    struct weir_shm shm = fresh(block_size);
    struct weir_list list;
    uint64_t size, *offsets;

    (void)state;
    assert_int_equal(weir__list_kind.bind(&list, &shm, NULL), 0);
    size = list.data_size;
    offsets = (uint64_t *)(void *)block + 1;
    const uint64_t bad[] = {size,           size + 8,       size - 4,       1,        4,
                            UINT64_MAX - 7, UINT64_MAX / 2, UINT64_MAX - 3, size * 8u};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        weir_value value;

        offsets[0] = bad[i];
        assert_int_equal(weir_list_get(&list, 0, &value), -EBADMSG);
        assert_int_equal(weir_list_set(&list, 0, weir_int(1)), -EBADMSG);
        assert_int_equal(weir_list_add(&list, 0, 1, NULL), -EBADMSG);
        offsets[0] = 0;
        assert_memory_equal(block, sound, block_size);
    }
}

/* Two processes use one list while a third writes nonsense over all of it. */
static void readers_and_writers_live__while_a_process_writes_nonsense(void **state)
{
    struct weir_shm shm = fresh(block_size);
    unsigned char *shared =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct weir_list list;
    pid_t child;

    (void)state;
    assert_ptr_not_equal(shared, MAP_FAILED);
    memcpy(shared, sound, block_size);
    shm.buf = shared;
    assert_int_equal(weir__list_kind.bind(&list, &shm, NULL), 0);
    child = fork();
    if (child == 0)
        for (;;) {
            size_t at = next_random() % block_size;

            shared[at] = next_random() % 2 ? sound[at] : (unsigned char)next_random();
        }
    for (int round = 0; round < 20000; round++) {
        struct weir_list again;

        for (int i = 0; i < COUNT; i++) {
            weir_value value;
            char text[64];

            if (weir_list_get(&list, i, &value) == 0)
                read_all_of(&value);
            assert_true(harmless(weir_list_get_data(&list, i, text, sizeof text)));
            assert_true(harmless(weir_list_set(&list, i, weir_str("nonsense"))));
            assert_true(harmless(weir_list_set(&list, i, weir_int(round))));
            assert_true(harmless(weir_list_add(&list, i, 1, NULL)));
        }
        assert_true(harmless(weir__list_kind.bind(&again, &shm, NULL)));
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    for (size_t i = block_size; i < PAGE; i++)
        assert_int_equal(shared[i], 0);
    munmap(shared, PAGE);
}

static void what_is_no_list_is_refused__on_attach(void **state)
{
    const char *name = leak_name("none");
    weir_shm *shm = weir_shm_create(name, 100, 0);

    (void)state;
    assert_non_null(shm);
    memset(weir_shm_buf(shm), 'x', 100);
    assert_null(weir_list_attach(name));
    assert_int_equal(weir_last_error()->code, -EBADMSG);
    assert_non_null(strstr(weir_last_error()->message, name));
    assert_int_equal(weir_shm_unlink(shm), 0);
    weir_shm_close(shm);
    /* 16 zero bytes are an empty list; 15 are not. */
    for (size_t size = 15; size <= 16; size++) {
        weir_list *list;

        shm = weir_shm_create(name, size, 0);
        assert_non_null(shm);
        list = weir_list_attach(name);
        assert_int_equal(list != NULL, size == 16);
        weir_list_close(list);
        assert_int_equal(weir_shm_unlink(shm), 0);
        weir_shm_close(shm);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sound_block_is_opened),
        TEST(no_byte_can_do_harm__whatever_its_value_before_opening),
        TEST(no_byte_can_do_harm__whatever_its_value_after_opening),
        TEST(no_words_can_do_harm__whatever_their_values),
        TEST(no_formats_can_do_harm__whatever_their_letters),
        TEST(a_shorter_block_is_refused__whatever_its_length),
        TEST(random_bytes_do_no_harm),
        TEST(a_str_that_is_not_utf8_is_damage),
        TEST(an_int_outside_of_the_data_is_damage),
        TEST(readers_and_writers_live__while_a_process_writes_nonsense),
        TEST(what_is_no_list_is_refused__on_attach),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, make_block, free_block);
}
