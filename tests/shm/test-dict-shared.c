/* SPDX-License-Identifier: MIT
 *
 * weir_dict: processes and threads that use one at once, against what each of them knows.
 */
#include "child.h"
#include "dicts.h"
#include "random.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 4, OWN_KEYS = 200, ROUNDS = 30000, COUNTERS = 8 };

static bool full; /* a call may be refused */

/* A value that shows whose it is and that it is whole: size bytes, all the same. */
static weir_value pattern(char *to, int who, unsigned size)
{
    memset(to, 'a' + who, size);
    return text(to, size);
}

static bool is_whole(const weir_value *value)
{
    if (value->type == WEIR_INT)
        return true;
    for (uint32_t i = 1; i < value->size; i++)
        if (value->data[i] != value->data[0])
            return false;
    return value->type == WEIR_STR;
}

/* Keys of one's own, of which all is known. False: something was not as it must be. */
static bool own_step(weir_dict *dict, int who, int64_t *known, uint64_t random)
{
    unsigned i = (unsigned)(random % OWN_KEYS);
    weir_value key = weir_int(who * OWN_KEYS + (int)i), out;
    char room[256];
    int64_t after;
    int result = weir_dict_get(dict, key, &out, room, sizeof room);

    if (known[i] < 0
            ? result != -ENOENT
            : result != 0 || (known[i] % 2 ? out.type != WEIR_INT || out.integer != known[i]
                                           : out.size != (uint32_t)known[i] / 2 % 200))
        return false;
    switch (random / OWN_KEYS % 4) {
    case 0: /* needs no memory */
        result = weir_dict_delete(dict, key);
        if (result != (known[i] < 0 ? -ENOENT : 0))
            return false;
        known[i] = -1;
        return true;
    case 1:
        after = (int64_t)(random | 1);
        result = weir_dict_set(dict, key, weir_int(after));
        break;
    default:
        after = (int64_t)(random & ~(uint64_t)1);
        result =
            weir_dict_set(dict, key, pattern(room, who, (unsigned)((uint32_t)after / 2 % 200)));
    }
    if (result == -ENOSPC && full) /* then nothing has changed */
        return true;
    known[i] = after;
    return result == 0;
}

/* Keys that all use: a value is always somebody's, whole. */
static bool shared_step(weir_dict *dict, int who, uint64_t random)
{
    weir_value key = weir_str(random % 2 ? "shared" : "other"), out, item;
    char room[700];
    int result;

    if (weir_dict_add(dict, weir_int(-1 - (int64_t)(random % COUNTERS)), 1, NULL) < 0)
        return false;
    switch (random / 16 % 6) {
    case 0:
        result = weir_dict_pop(dict, key, &out, room, sizeof room);
        break;
    case 1:
        return weir_dict_delete(dict, key) != -EBADMSG;
    case 2:
        result = weir_dict_setdefault(dict, key, weir_int(3), &out, room, sizeof room);
        break;
    case 3: {
        weir_dict_cursor cursor = {{random << 33, 0}};

        result = weir_dict_next(dict, &cursor, &item, &out, room, sizeof room);
        if (result == 0)
            return true;
        break;
    }
    default:
        result = weir_dict_set(dict, key, pattern(room, who, (unsigned)(random / 128 % 300)));
        if (result < 0 && !(result == -ENOSPC && full))
            return false;
        result = weir_dict_get(dict, key, &out, room, sizeof room);
    }
    return result == -ENOENT || (result == -ENOSPC && full) || (result >= 0 && is_whole(&out));
}

static int work(weir_dict *dict, int who)
{
    int64_t known[OWN_KEYS];
    uint64_t seed = (uint64_t)who * 77 + 1;

    for (int i = 0; i < OWN_KEYS; i++)
        known[i] = -1;
    for (int round = 0; round < ROUNDS; round++) {
        if (!own_step(dict, who, known, next_random(&seed)))
            return 1;
        if (!shared_step(dict, who, next_random(&seed)))
            return 2;
    }
    for (int i = 0; i < OWN_KEYS; i++)
        if (weir_dict_contains(dict, weir_int(who * OWN_KEYS + i)) != (known[i] >= 0))
            return 3;
    return 0;
}

static void assert_counters(const weir_dict *dict, int64_t wanted)
{
    int64_t sum = 0;
    weir_value value;

    for (int i = 0; i < COUNTERS; i++) {
        assert_int_equal(weir_dict_get(dict, weir_int(-1 - i), &value, NULL, 0), 0);
        sum += value.integer;
    }
    assert_int_equal(sum, wanted);
}

static void work_in_processes(weir_dict *dict)
{
    int status;

    for (int who = 0; who < PROCESSES; who++) {
        if (fork() == 0) {
            weir_dict *mine = who % 2 ? dict : weir_dict_attach(leak_name("dict"));

            child_reset();
            alarm(100);
            _exit(mine == NULL ? 99 : work(mine, who));
        }
    }
    for (int who = 0; who < PROCESSES; who++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_counters(dict, (int64_t)PROCESSES * ROUNDS);
    drop(dict);
}

static void all_is_as_each_knows__when_processes_work_at_once(void **state)
{
    (void)state;
    work_in_processes(make(1 << 20));
}

/* What they have at once needs three times as much, so memory changes its size all the time. */
static void all_is_as_each_knows__when_the_dictionary_is_full(void **state)
{
    weir_dict *dict = make(1 << 16);

    (void)state;
    for (int i = 0; i < COUNTERS; i++)
        assert_int_equal(weir_dict_set(dict, weir_int(-1 - i), weir_int(0)), 0);
    full = true;
    work_in_processes(dict);
    full = false;
}

struct worker {
    weir_dict *dict;
    int who, result;
};

static void *run_worker(void *arg)
{
    struct worker *worker = arg;

    worker->result = work(worker->dict, worker->who);
    return NULL;
}

static void all_is_as_each_knows__when_threads_work_at_once(void **state)
{
    weir_dict *dict = make(1 << 20);
    struct worker workers[PROCESSES];
    pthread_t threads[PROCESSES];

    (void)state;
    for (int i = 0; i < PROCESSES; i++) {
        workers[i] = (struct worker){dict, i, -1};
        assert_int_equal(pthread_create(&threads[i], NULL, run_worker, &workers[i]), 0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].result, 0);
    }
    assert_counters(dict, (int64_t)PROCESSES * ROUNDS);
    drop(dict);
}

/* All insert the same keys, while the buckets double many times. */
static void each_key_is_there_once__when_processes_insert_the_same(void **state)
{
    enum { KEYS = 50000 };
    weir_dict *dict = make((size_t)16 << 20);
    int status;
    int64_t made = 0;

    (void)state;
    for (int who = 0; who < PROCESSES; who++) {
        if (fork() == 0) {
            int64_t mine = 0;

            for (int i = 0; i < KEYS; i++)
                mine += weir_dict_setdefault(dict, weir_int(i), weir_int(who), NULL, NULL, 0);
            _exit(weir_dict_set(dict, weir_int(-1 - who), weir_int(mine)) < 0);
        }
    }
    for (int who = 0; who < PROCESSES; who++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    for (int who = 0; who < PROCESSES; who++) {
        weir_value value;

        assert_int_equal(weir_dict_pop(dict, weir_int(-1 - who), &value, NULL, 0), 0);
        made += value.integer;
    }
    assert_int_equal(made, KEYS);
    assert_int_equal(weir_dict_len(dict), KEYS);
    drop(dict);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_is_as_each_knows__when_processes_work_at_once),
        TEST(all_is_as_each_knows__when_the_dictionary_is_full),
        TEST(all_is_as_each_knows__when_threads_work_at_once),
        TEST(each_key_is_there_once__when_processes_insert_the_same),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
