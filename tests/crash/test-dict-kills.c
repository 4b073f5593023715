/* SPDX-License-Identifier: MIT
 *
 * test-dict-kills TRIALS: writers of a dictionary killed at random instants, so many times.
 *
 * Each trial starts some writers, lets them work for a random time and kills one after the other
 * with SIGKILL. Every writer notes in memory of its own what it is about to do and what it has
 * done, so afterwards it is known for each of its keys: this value, or, of the one call that it was
 * in, the value before or after. Counters that all add to must be exact within one call a writer.
 * After each trial the dictionary is read and written in full by this process, and used on by the
 * next writers, so damage would add up.
 *
 * And the same with dictionaries that are full all the time, so that memory changes its size
 * without end, and a call may be refused; and with dictionaries that begin empty and grow, in
 * buckets and in memory, while those who fill them are killed.
 */
#include "child.h"
#include "leak.h"
#include "random.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/dict/layout.h"

enum { WRITERS = 3, KEYS = 64, COUNTERS = 4, ABSENT = -1 };

/* A value is told by a number: odd, an int; even, a str of some bytes that all say whose it is. */
struct journal {
    _Atomic int64_t value[KEYS];
    _Atomic int64_t begun_key, begun_value; /* key -1: in no call */
    _Atomic int64_t added[COUNTERS];        /* done */
    _Atomic int64_t adding;                 /* counter + 1; 0: none */
    _Atomic int64_t failed;                 /* a call went wrong: its line */
    _Atomic int64_t calls;
};

static struct journal *journals;
static weir_dict *dict;
static weir_dict *sources[WRITERS]; /* what each writer updates from: its own */
static int trials = 300;
static bool full; /* a call may be refused, and nothing has changed then */

static weir_value key_of(int who, int i)
{
    static char text[32];

    if (i % 3 != 0)
        return weir_int(who * 1000 + i);
    snprintf(text, sizeof text, "writer %d's key %d", who, i);
    return weir_str(text);
}

static weir_value value_of(int64_t number, char *room)
{
    size_t size = (size_t)(number / 2 % 300);
    weir_value value;

    if (number % 2)
        return weir_int(number);
    memset(room, 'a' + (int)(number / 2 % 26), size);
    value = weir_bytes(room, size);
    value.type = WEIR_STR;
    return value;
}

/* ---- a writer ------------------------------------------------------------------------------- */

/* The same as set, by way of a dictionary in which the writer before may have been killed. */
static int set_by_update(int who, weir_value key, weir_value value)
{
    int result = weir_dict_clear(sources[who]);

    if (result == 0)
        result = weir_dict_set(sources[who], key, value);
    return result == 0 ? weir_dict_update(dict, sources[who]) : result;
}

static void own_call(struct journal *journal, int who, uint64_t random)
{
    int i = (int)(random % KEYS);
    int64_t before = journal->value[i], after;
    weir_value key = key_of(who, i), out;
    char room[400];
    int result;

    after = random / KEYS % 3 == 0 ? ABSENT : (int64_t)(random / KEYS);
    journal->begun_value = after;
    journal->begun_key = i;
    if (after == ABSENT)
        result = random & 1 << 20 ? weir_dict_delete(dict, key)
                                  : weir_dict_pop(dict, key, &out, room, sizeof room);
    else
        result = random & 1 << 21 ? set_by_update(who, key, value_of(after, room))
                                  : weir_dict_set(dict, key, value_of(after, room));
    if (result == -ENOSPC && full)
        after = before;
    else if (result != 0 && !(result == -ENOENT && after == ABSENT && before == ABSENT))
        journal->failed = result;
    journal->value[i] = after;
    journal->begun_key = -1;
}

/* Keys that all writers insert, delete and replace. */
static void shared_call(struct journal *journal, uint64_t random)
{
    weir_value key = weir_int(-100 - (int64_t)(random % 8)), out, item;
    weir_dict_cursor cursor = {{random << 33, 0}};
    char room[800];
    int result = 0;

    switch (random / 8 % 6) {
    case 5:
        result = weir_dict_contains(dict, key);
        break;
    case 0:
        result = weir_dict_delete(dict, key);
        break;
    case 1:
        result = weir_dict_setdefault(dict, key, value_of((int64_t)random, room), NULL, NULL, 0);
        break;
    case 2:
        result = weir_dict_next(dict, &cursor, &item, &out, room, sizeof room);
        break;
    case 3:
        result = weir_dict_get(dict, key, &out, room, sizeof room);
        break;
    default:
        result = weir_dict_set(dict, key, value_of((int64_t)random, room));
    }
    if (result < 0 && result != -ENOENT && !(result == -ENOSPC && full))
        journal->failed = result;
}

/* The same as adding 1. */
static int swap_until_added(weir_value key)
{
    int64_t expected = 0;
    int result = weir_dict_setdefault(dict, key, weir_int(0), NULL, NULL, 0);

    while (result >= 0 &&
           (result = weir_dict_compare_and_set(dict, key, &expected, expected + 1)) == 0)
        ;
    return result < 0 ? result : 0;
}

static void add_call(struct journal *journal, uint64_t random)
{
    int which = (int)(random % COUNTERS), result;

    journal->adding = which + 1;
    result = random & 1 << 20 ? swap_until_added(weir_int(-1 - which))
                              : weir_dict_add(dict, weir_int(-1 - which), 1, NULL);
    if (result == 0)
        journal->added[which]++;
    else if (result != -ENOSPC || !full)
        journal->failed = result;
    journal->adding = 0;
}

static void write_without_end(int who, uint64_t seed)
{
    struct journal *journal = &journals[who];

    child_reset();
    for (;;) {
        own_call(journal, who, next_random(&seed));
        shared_call(journal, next_random(&seed));
        add_call(journal, next_random(&seed));
        journal->calls++;
    }
}

/* ---- after a kill --------------------------------------------------------------------------- */

static bool is_value(const weir_dict *from, weir_value key, int64_t number)
{
    char room[400], wanted[400];
    weir_value value, sought;
    int result = weir_dict_get(from, key, &value, room, sizeof room);

    if (number == ABSENT || result != 0)
        return number == ABSENT && result == -ENOENT;
    sought = value_of(number, wanted);
    if (value.type != sought.type || value.size != sought.size)
        return false;
    return number % 2 ? value.integer == number : memcmp(room, wanted, value.size) == 0;
}

/* What the writer was in when it was killed is settled now: done or not done. */
static void settle(int who)
{
    struct journal *journal = &journals[who];
    int64_t begun = journal->begun_key;

    assert_int_equal(journal->failed, 0);
    for (int i = 0; i < KEYS; i++) {
        if (begun == i && is_value(dict, key_of(who, i), journal->begun_value))
            journal->value[i] = journal->begun_value;
        if (!is_value(dict, key_of(who, i), journal->value[i]))
            fail_msg("writer %d, key %d: neither the old value nor the new one%s", who, i,
                     begun == i ? "" : " (and it was not in a call on it)");
    }
    journal->begun_key = -1;
}

static void check_counters(void)
{
    for (int i = 0; i < COUNTERS; i++) {
        int64_t sum = 0, open = 0;
        weir_value value = weir_int(0);

        for (int who = 0; who < WRITERS; who++) {
            sum += journals[who].added[i];
            open += journals[who].adding == i + 1;
        }
        if (weir_dict_get(dict, weir_int(-1 - i), &value, NULL, 0) < 0)
            assert_int_equal(sum, 0);
        if (value.integer < sum || value.integer > sum + open)
            fail_msg("counter %d is %lld, not %lld to %lld", i, (long long)value.integer,
                     (long long)sum, (long long)(sum + open));
        /* exact from now on */
        journals[0].added[i] += value.integer - sum;
    }
    for (int who = 0; who < WRITERS; who++)
        journals[who].adding = 0;
}

/* Whole and readable, and each item once. */
static void check_all(void)
{
    weir_dict_cursor cursor = {{0, 0}};
    weir_value key, value;
    int64_t count = 0, known = 0;
    char room[800];
    int result;

    while ((result = weir_dict_next(dict, &cursor, &key, &value, room, sizeof room)) > 0) {
        for (uint32_t i = 1; value.type == WEIR_STR && i < value.size; i++)
            assert_int_equal(value.data[i], value.data[0]);
        count++;
    }
    assert_int_equal(result, 0);
    for (int who = 0; who < WRITERS; who++)
        for (int i = 0; i < KEYS; i++)
            known += journals[who].value[i] != ABSENT;
    for (int i = 0; i < 8; i++)
        known += weir_dict_contains(dict, weir_int(-100 - i));
    for (int i = 0; i < COUNTERS; i++)
        known += weir_dict_contains(dict, weir_int(-1 - i));
    assert_int_equal(count, known);
    assert_int_equal(weir_dict_len(dict), known);
}

static pid_t start_writer(int who, uint64_t seed)
{
    pid_t pid = fork();

    if (pid == 0)
        write_without_end(who, seed);
    assert_true(pid > 0);
    return pid;
}

/* A new dictionary, and what it has. */
static void begin_anew(size_t max_size)
{
    dict = weir_dict_create(NULL, &(weir_dict_options){.max_size = max_size});
    assert_non_null(dict);
    assert_int_equal(weir_shm_unlink(weir_dict_shm(dict)), 0);
    for (int who = 0; who < WRITERS; who++) {
        int64_t calls = journals[who].calls;

        memset(&journals[who], 0, sizeof journals[who]);
        journals[who].calls = calls;
        journals[who].begun_key = -1;
        for (int i = 0; i < KEYS; i++)
            journals[who].value[i] = ABSENT;
    }
}

static void make_sources(void)
{
    journals = mmap(NULL, sizeof *journals * WRITERS, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(journals != MAP_FAILED);
    for (int who = 0; who < WRITERS; who++) {
        sources[who] = weir_dict_create(NULL, &(weir_dict_options){.max_size = (size_t)1 << 20});
        assert_non_null(sources[who]);
        assert_int_equal(weir_shm_unlink(weir_dict_shm(sources[who])), 0);
    }
}

static void drop_sources(void)
{
    for (int who = 0; who < WRITERS; who++)
        weir_dict_close(sources[who]);
    munmap(journals, sizeof *journals * WRITERS);
}

/* Starts all writers and kills each after some time. Returns how many there were. */
static int kill_writers(uint64_t *seed)
{
    pid_t pids[WRITERS];

    for (int who = 0; who < WRITERS; who++)
        pids[who] = start_writer(who, next_random(seed));
    for (int who = 0; who < WRITERS; who++) {
        struct timespec pause = {0, (long)(next_random(seed) % 1000000)};

        nanosleep(&pause, NULL);
        assert_int_equal(kill(pids[who], SIGKILL), 0);
        assert_true(waitpid(pids[who], NULL, 0) == pids[who]);
        settle(who); /* while the others go on */
    }
    check_counters();
    check_all();
    return WRITERS;
}

static void dictionary_is_sound__when_writers_are_killed_at_random_instants(void **state)
{
    uint64_t seed = (uint64_t)time(NULL), used = 0, calls = 0;
    int kills = 0;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    make_sources();
    begin_anew((size_t)64 << 20);
    for (int trial = 0; trial < trials; trial++)
        kills += kill_writers(&seed);
    used = atomic_load(&dict->header->used) * 16;
    for (int who = 0; who < WRITERS; who++)
        calls += 3 * (uint64_t)journals[who].calls;
    print_message("%d kills, %llu calls, %llu bytes of heap used\n", kills,
                  (unsigned long long)calls, (unsigned long long)used);
    /* A kill loses an item's memory at most: a node, two boxes of at most 384 bytes. */
    assert_true(used < (uint64_t)kills * 1024 + 400000);
    assert_int_equal(weir_dict_clear(dict), 0);
    assert_int_equal(weir_dict_len(dict), 0);
    weir_dict_close(dict);
    drop_sources();
}

/* Bytes that neither an item nor a free piece has, when there is no item. */
static uint64_t lost_in(weir_dict *of)
{
    static char more_than_there_is[1 << 16];

    assert_int_equal(weir_dict_set(of, weir_int(-7777), weir_bytes(more_than_there_is, 1 << 16)),
                     -ENOSPC);
    return (atomic_load(&of->header->used) - 1 - atomic_load(&of->header->free)) *
           WEIR__DICT_GRANULE;
}

static void dictionary_is_sound__when_writers_are_killed_and_it_is_full(void **state)
{
    enum { TRIALS = 10 }; /* for one */
    uint64_t seed = (uint64_t)time(NULL) ^ 0xf011, lost = 0;
    int kills = 0;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    full = true;
    make_sources();
    for (int i = 0; i < trials / 2 / TRIALS; i++) {
        begin_anew(1 << 16);
        for (int trial = 0; trial < TRIALS; trial++)
            kills += kill_writers(&seed);
        assert_int_equal(weir_dict_clear(dict), 0);
        lost += lost_in(dict);
        weir_dict_close(dict);
    }
    drop_sources();
    full = false;
    print_message("%d kills, %llu bytes lost\n", kills, (unsigned long long)lost);
    assert_true(lost < (uint64_t)kills * 1024);
}

/* ---- growing -------------------------------------------------------------------------------- */

static _Atomic int64_t *noted; /* how many keys each writer has stored */

static void fill_without_end(int who)
{
    child_reset();
    for (int64_t i = 0;; i++) {
        if (weir_dict_set(dict, weir_int((int64_t)who << 32 | i),
                          i % 4 ? weir_int(i) : weir_str("a value that takes a box")) != 0)
            _exit(1); /* full: the trial has lasted too long */
        noted[who] = i + 1;
    }
}

/* All that was noted is there, and at most one key more a writer. */
static void check_grown(void)
{
    int64_t sum = 0, more = 0;

    for (int who = 0; who < WRITERS; who++) {
        char room[40];
        weir_value value;

        for (int64_t i = 0; i < noted[who]; i++) {
            assert_int_equal(
                weir_dict_get(dict, weir_int((int64_t)who << 32 | i), &value, room, sizeof room),
                0);
            if (i % 4)
                assert_int_equal(value.integer, i);
            else
                assert_string_equal(value.data, "a value that takes a box");
        }
        sum += noted[who];
        more += weir_dict_contains(dict, weir_int((int64_t)who << 32 | noted[who]));
    }
    assert_int_equal(weir_dict_len(dict), sum + more);
}

/* And it is good for more. */
static void use_grown(void)
{
    int64_t length = weir_dict_len(dict);

    for (int64_t i = 0; i < 2000; i++)
        assert_int_equal(weir_dict_add(dict, weir_int(-i - 1), i, NULL), 0);
    assert_int_equal(weir_dict_len(dict), length + 2000);
}

static void dictionary_is_sound__when_writers_are_killed_while_it_grows(void **state)
{
    uint64_t seed = (uint64_t)time(NULL) ^ 0x5eed, orders = 0;
    int count = trials / 4;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    noted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(noted != MAP_FAILED);
    for (int trial = 0; trial < count; trial++) {
        pid_t pids[WRITERS];

        dict = weir_dict_create(NULL, &(weir_dict_options){.max_size = (size_t)64 << 20});
        assert_non_null(dict);
        assert_int_equal(weir_shm_unlink(weir_dict_shm(dict)), 0);
        for (int who = 0; who < WRITERS; who++) {
            noted[who] = 0;
            pids[who] = fork();
            if (pids[who] == 0)
                fill_without_end(who);
        }
        for (int who = 0; who < WRITERS; who++) {
            struct timespec pause = {0, (long)(next_random(&seed) % 2000000)};

            nanosleep(&pause, NULL);
            assert_int_equal(kill(pids[who], SIGKILL), 0);
            assert_true(waitpid(pids[who], NULL, 0) == pids[who]);
        }
        check_grown();
        orders += atomic_load(&dict->header->order) - WEIR__DICT_ORDER_MIN;
        use_grown();
        weir_dict_close(dict);
    }
    print_message("%d trials, %d kills; the buckets doubled %llu times meanwhile\n", count,
                  count * WRITERS, (unsigned long long)orders);
    assert_true(orders > 0);
    munmap((void *)noted, 4096);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            dictionary_is_sound__when_writers_are_killed_at_random_instants, leak_setup,
            leak_teardown),
        cmocka_unit_test_setup_teardown(dictionary_is_sound__when_writers_are_killed_and_it_is_full,
                                        leak_setup, leak_teardown),
        cmocka_unit_test_setup_teardown(dictionary_is_sound__when_writers_are_killed_while_it_grows,
                                        leak_setup, leak_teardown),
    };

    if (argc > 1)
        trials = atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
