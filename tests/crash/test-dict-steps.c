/* SPDX-License-Identifier: MIT
 *
 * Every instruction of every call on a dictionary, as a place to be killed at.
 *
 * Whenever an instruction has changed the block, it is copied, and the copy must be a sound
 * dictionary in which the call is done or not done; once done it stays done.
 */
#include "dict-steps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Kills at every instruction. Returns the number of different memories that were checked. */
static int check_every_step(const struct action *action, const struct scene *scene)
{
    struct state before = state_of(stepped, scene->key), after, now;
    const char *fault;
    bool done = false;
    int checked = 0, steps = 0;
    pid_t pid;

    copy_block();
    action->call(copy, scene->key);
    after = state_of(copy, scene->key);
    pid = start(action, scene);
    copy_block();
    memcpy(prepared, weir_shm_buf(weir_dict_shm(stepped)), block_size());
    while (step(pid)) {
        if (++steps > STEPS_MAX)
            fail_msg("%s, %s: does not end", scene->name, action->name);
        if (memcmp(prepared, weir_shm_buf(weir_dict_shm(stepped)), block_size()) == 0)
            continue;
        memcpy(prepared, weir_shm_buf(weir_dict_shm(stepped)), block_size());
        copy_block();
        now = state_of(copy, scene->key);
        if (!same_state(&now, &after) && (done || !same_state(&now, &before)))
            fail_msg("%s, %s, step %d: \"%s\", not \"%s\" or \"%s\"", scene->name, action->name,
                     steps, now.text, before.text, after.text);
        done = done || (same_state(&now, &after) && !same_state(&before, &after));
        fault = find_fault(copy, scene);
        if (fault != NULL)
            fail_msg("%s, %s, step %d: %s (%s)", scene->name, action->name, steps, fault,
                     weir_last_error()->message);
        checked++;
    }
    finish(pid);
    now = state_of(stepped, scene->key);
    assert_string_equal(now.text, after.text);
    return checked;
}

static void call_is_done_or_not__when_killed_at_any_instruction(void **state)
{
    int checked = 0;

    (void)state;
    for (size_t s = 0; s < SCENES; s++)
        for (int a = 0; a < ACTIONS; a++) {
            if (is_out_of_place(&actions[a], &scenes[s]))
                continue;
            make_two(SIZE);
            prepare(stepped, &scenes[s]);
            checked += check_every_step(&actions[a], &scenes[s]);
            drop_two();
        }
    print_message("%d memories\n", checked);
    assert_true(checked > 300);
}

/* So many other keys that the heap is full for what a new key needs. */
static int keys_that_fill(void)
{
    enum { NODE = 3 }; /* granules */
    int keys = 0;

    make_two(SIZE);
    while (atomic_load(&stepped->header->reserved) - atomic_load(&stepped->header->used) >= NODE) {
        assert_int_equal(
            weir_dict_set(stepped, weir_int(keys), keys % 2 ? weir_int(keys) : weir_str("other")),
            0);
        keys++;
    }
    drop_two();
    return keys;
}

static void call_is_done_or_not__when_killed_while_it_gets_memory(void **state)
{
    struct scene scene = {"full heap", {.type = WEIR_INT, .integer = 12345}, 0, ABSENT, false};
    int checked = 0;

    (void)state;
    scene.keys = keys_that_fill();
    for (int a = 0; a < ACTIONS; a++) {
        uint64_t reserved;

        if (is_out_of_place(&actions[a], &scene))
            continue;
        make_two(SIZE);
        prepare(stepped, &scene);
        reserved = atomic_load(&stepped->header->reserved);
        checked += check_every_step(&actions[a], &scene);
        if (actions[a].call == set_int || actions[a].call == set_text)
            assert_true(atomic_load(&stepped->header->reserved) > reserved);
        drop_two();
    }
    print_message("%d memories, with %d keys\n", checked, scene.keys);
    assert_true(checked > 20);
}

/* ---- calls that are several ----------------------------------------------------------------- */

enum { SOME = 6, FIRST_NEW = 3, ALL = 10 };

static weir_dict *source; /* has FIRST_NEW to ALL - 1, with new values */

static int update(weir_dict *into, weir_value key)
{
    (void)key;
    return weir_dict_update(into, source);
}

static int set_many(weir_dict *into, weir_value key)
{
    weir_value keys[ALL - FIRST_NEW], values[ALL - FIRST_NEW];

    (void)key;
    for (int i = FIRST_NEW; i < ALL; i++) {
        keys[i - FIRST_NEW] = weir_int(i);
        values[i - FIRST_NEW] = weir_str(LONG_TEXT);
    }
    return weir_dict_set_many(into, keys, values, ALL - FIRST_NEW, NULL);
}

/* What a key has: '-' nothing, 'o' the old value, 'n' the new one, '!' something else. */
static char what_has(const weir_dict *in, int key)
{
    char buf[100];
    weir_value value;
    int result = weir_dict_get(in, weir_int(key), &value, buf, sizeof buf);

    if (result < 0)
        return result == -ENOENT ? '-' : '!';
    if (value.type == WEIR_STR && strcmp(value.data, LONG_TEXT) == 0)
        return 'n';
    return key < SOME && is_other(in, key) ? 'o' : '!';
}

/* Each key is as before or as after, and what is done stays done. `seen` is what was seen so far.
 */
static void check_part(const struct action *action, int steps, char seen[ALL + 1],
                       const char after[ALL + 1])
{
    copy_block();
    for (int i = 0; i < ALL; i++) {
        char now = what_has(copy, i);

        if (now != seen[i] && now != after[i])
            fail_msg("%s, step %d: key %d has '%c', after '%c'", action->name, steps, i, now,
                     seen[i]);
        seen[i] = now;
    }
    assert_int_equal(weir_dict_clear(copy), 0);
    assert_int_equal(weir_dict_len(copy), 0);
    for (int i = 0; i < 2 * ALL; i++)
        assert_int_equal(weir_dict_set(copy, weir_int(i), weir_str(OTHER_TEXT)), 0);
    assert_int_equal(weir_dict_len(copy), 2 * ALL);
}

static int check_parts(const struct action *action, const char after[ALL + 1])
{
    const struct scene scene = {"some keys", {.type = WEIR_INT, .integer = 0}, SOME, ABSENT, true};
    char seen[ALL + 1] = "oooooo----";
    int checked = 0, steps = 0;
    pid_t pid;

    make_two(SIZE);
    prepare(stepped, &scene);
    memcpy(prepared, weir_shm_buf(weir_dict_shm(stepped)), block_size());
    pid = start(action, &scene);
    while (step(pid)) {
        assert_true(++steps < STEPS_MAX);
        if (memcmp(prepared, weir_shm_buf(weir_dict_shm(stepped)), block_size()) == 0)
            continue;
        memcpy(prepared, weir_shm_buf(weir_dict_shm(stepped)), block_size());
        check_part(action, steps, seen, after);
        checked++;
    }
    finish(pid);
    assert_string_equal(seen, after);
    drop_two();
    return checked;
}

static void some_of_it_is_done__when_killed_in_a_call_on_all_items(void **state)
{
    const weir_dict_options options = {.max_size = SIZE};
    int checked;

    (void)state;
    source = weir_dict_create(NULL, &options);
    assert_non_null(source);
    assert_int_equal(weir_shm_unlink(weir_dict_shm(source)), 0);
    for (int i = FIRST_NEW; i < ALL; i++)
        assert_int_equal(weir_dict_set(source, weir_int(i), weir_str(LONG_TEXT)), 0);
    checked = check_parts(&(struct action){"clear", clear, true}, "----------");
    checked += check_parts(&(struct action){"update", update, true}, "ooonnnnnnn");
    checked += check_parts(&(struct action){"set_many", set_many, true}, "ooonnnnnnn");
    weir_dict_close(source);
    print_message("%d memories\n", checked);
    assert_true(checked > 50);
}

static const char *copys_name;

static int make_copy(weir_dict *of, weir_value key)
{
    (void)key;
    return weir_dict_copy(copys_name, of) ? 0 : weir_last_error()->code;
}

static void there_is_a_whole_copy_or_none__when_killed_in_copy(void **state)
{
    const struct scene scene = {"some keys", {.type = WEIR_INT, .integer = 0}, SOME, ABSENT, true};
    char path[300];
    int steps = 0, seen_at = 0;
    weir_dict *found;
    pid_t pid;

    (void)state;
    copys_name = leak_name("copy");
    snprintf(path, sizeof path, "/dev/shm/%s", copys_name);
    make_two(SIZE);
    prepare(stepped, &scene);
    pid = start(&(struct action){"copy", make_copy, true}, &scene);
    while (step(pid)) {
        assert_true(++steps < 10 * STEPS_MAX);
        if (seen_at != 0 || access(path, F_OK) < 0)
            continue;
        seen_at = steps;
        found = weir_dict_attach(copys_name);
        assert_non_null(found);
        assert_int_equal(weir_dict_len(found), SOME);
        for (int i = 0; i < SOME; i++)
            assert_true(is_other(found, i) && is_other(stepped, i));
        weir_dict_close(found);
    }
    assert_int_equal(child->result, 0);
    finish(pid);
    print_message("named at instruction %d of %d\n", seen_at, steps);
    assert_true(seen_at > 1000 && seen_at < steps);
    assert_int_equal(unlink(path), 0);
    drop_two();
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(call_is_done_or_not__when_killed_at_any_instruction),
        TEST(call_is_done_or_not__when_killed_while_it_gets_memory),
        TEST(some_of_it_is_done__when_killed_in_a_call_on_all_items),
        TEST(there_is_a_whole_copy_or_none__when_killed_in_copy),
    };

    return RUN_IF_TRACEABLE(tests);
}
