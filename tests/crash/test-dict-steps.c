/* SPDX-License-Identifier: MIT
 *
 * Every instruction of every call on a dictionary, as a place to be killed at, or overtaken at.
 *
 * A child makes one call, single-stepped by ptrace(2). For other processes a child that is stopped
 * for ever is as good as killed: what they see is the memory. So whenever an instruction has
 * changed the block, it is copied, and the copy must be a sound dictionary in which the call is
 * done or not done; once done it stays done.
 *
 * Then the same with another call in between: for each instruction, the child stops before it, this
 * process makes a call, the child goes on; results and contents must be those of one order or the
 * other.
 */
#include "leak.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/dict/layout.h"

enum { SIZE = 1 << 16, STEPS_MAX = 200000 };

/* ---- what the dictionary holds, and what is done to it -------------------------------------- */

/* In every scene: some keys that no call touches, and K, which they are about. */
#define LONG_TEXT "a value that does not fit into a word"
static const char other_text[] = "another value, which is a little longer than that";

struct action {
    const char *name;
    int (*call)(weir_dict *dict, weir_value key);
    bool any_key; /* takes whatever item there is: only where K alone can be */
};

static int set_int(weir_dict *dict, weir_value key)
{
    return weir_dict_set(dict, key, weir_int(77));
}

static int set_text(weir_dict *dict, weir_value key)
{
    return weir_dict_set(dict, key, weir_str(other_text));
}

static int add_one(weir_dict *dict, weir_value key)
{
    return weir_dict_add(dict, key, 1, NULL);
}

static int swap(weir_dict *dict, weir_value key)
{
    int64_t expected = 5;

    return weir_dict_compare_and_set(dict, key, &expected, 6);
}

static int delete_key(weir_dict *dict, weir_value key)
{
    return weir_dict_delete(dict, key);
}

/* The result tells what was popped. */
static int pop_key(weir_dict *dict, weir_value key)
{
    char buf[100];
    weir_value out;
    int result = weir_dict_pop(dict, key, &out, buf, sizeof buf);

    return result < 0 ? result : out.type == WEIR_INT ? (int)out.integer : 1000 + (int)out.size;
}

/* The result tells what was read: -1 for something that nobody has written. */
static int get_key(weir_dict *dict, weir_value key)
{
    char buf[100];
    weir_value out;
    int result = weir_dict_get(dict, key, &out, buf, sizeof buf);

    if (result < 0 || out.type == WEIR_INT)
        return result < 0 ? result : (int)out.integer;
    return strcmp(buf, LONG_TEXT) == 0       ? 1001
           : strcmp(buf, other_text) == 0    ? 1002
           : strcmp(buf, "the default") == 0 ? 1003
                                             : -1;
}

static int set_default(weir_dict *dict, weir_value key)
{
    return weir_dict_setdefault(dict, key, weir_str("the default"), NULL, NULL, 0);
}

static int contains_key(weir_dict *dict, weir_value key)
{
    return weir_dict_contains(dict, key);
}

static int count(weir_dict *dict, weir_value key)
{
    (void)key;
    return (int)weir_dict_len(dict);
}

static bool same_key(const weir_value *a, const weir_value *b)
{
    return a->type == b->type &&
           (a->type == WEIR_INT ? a->integer == b->integer
                                : a->size == b->size && memcmp(a->data, b->data, a->size) == 0);
}

/* How often K comes; -1 for an item that nobody has stored. */
static int iterate(weir_dict *dict, weir_value key)
{
    weir_dict_cursor cursor = {{0, 0}};
    weir_value item, value;
    char buf[200];
    int result, found = 0;

    while ((result = weir_dict_next(dict, &cursor, &item, &value, buf, sizeof buf)) > 0) {
        found += same_key(&item, &key);
        if (value.type != WEIR_INT && value.type != WEIR_STR)
            return -1;
    }
    return result < 0 ? result : found;
}

static int pop_item(weir_dict *dict, weir_value key)
{
    char buf[200];
    weir_value item, value;
    int result = weir_dict_popitem(dict, &item, &value, buf, sizeof buf);

    return result < 0 ? result : same_key(&item, &key) ? 1 : 2;
}

static int clear(weir_dict *dict, weir_value key)
{
    (void)key;
    return weir_dict_clear(dict);
}

static const struct action actions[] = {
    {"set an int", set_int, false},
    {"set a str", set_text, false},
    {"add", add_one, false},
    {"compare and set", swap, false},
    {"delete", delete_key, false},
    {"pop", pop_key, false},
    {"setdefault", set_default, false},
    {"get", get_key, false},
    {"contains", contains_key, false},
    {"len", count, false},
    {"iterate", iterate, false},
    {"popitem", pop_item, true},
    {"clear", clear, true},
};

enum { ACTIONS = sizeof actions / sizeof *actions };

/* Other keys that are not there at first. What K had may be M's when a call that was after K goes
 * on: the same node, the same box, the same value. */
#define M weir_int(99999)
#define N weir_int(88888)

static int make_room_for_m(weir_dict *dict, weir_value key)
{
    int result = pop_key(dict, key);

    return result * 2 + weir_dict_set(dict, M, result > 1000 ? weir_str(LONG_TEXT) : weir_int(5));
}

static int come_back(weir_dict *dict, weir_value key)
{
    int result = make_room_for_m(dict, key) + weir_dict_delete(dict, M);

    return result + weir_dict_set(dict, key, result > 1000 ? weir_str(LONG_TEXT) : weir_int(5));
}

/* Two are taken from the free lists, and the first one is given back: N has the second. */
static int take_two(weir_dict *dict, weir_value key)
{
    (void)key;
    return weir_dict_set(dict, M, weir_str(LONG_TEXT)) +
           weir_dict_set(dict, N, weir_str(LONG_TEXT)) + weir_dict_delete(dict, M);
}

/* What K had in a box is M's, with other bytes of the same number. */
static int reuse_box(weir_dict *dict, weir_value key)
{
    char same_size[] = LONG_TEXT;

    memset(same_size, 'x', sizeof same_size - 1);
    return weir_dict_set(dict, key, weir_int(7)) + weir_dict_set(dict, M, weir_str(same_size));
}

/* These are several calls, so they only overtake. */
static const struct action overtakers[] = {
    {"give all to M", make_room_for_m, false},
    {"give all to M and take it back", come_back, false},
    {"take two, give one back", take_two, false},
    {"give the box to M", reuse_box, false},
};

enum { OVERTAKERS = sizeof overtakers / sizeof *overtakers };

struct scene {
    const char *name;
    weir_value key;
    int keys; /* others */
    enum { ABSENT, INT, LARGE_INT, TEXT } first;
    bool used_before; /* free lists are not empty */
};

static weir_value first_value(const struct scene *scene)
{
    return scene->first == INT         ? weir_int(5)
           : scene->first == LARGE_INT ? weir_int(((int64_t)1 << 35) - 1)
                                       : weir_str(LONG_TEXT);
}

static bool is_other(const weir_dict *dict, int i)
{
    weir_value value;
    char buf[20];

    if (i % 2)
        return weir_dict_get(dict, weir_int(i), &value, NULL, 0) == 0 && value.integer == i;
    return weir_dict_get(dict, weir_int(i), &value, buf, sizeof buf) == 0 &&
           strcmp(value.data, "other") == 0;
}

static void prepare(weir_dict *dict, const struct scene *scene)
{
    for (int i = 0; i < scene->keys; i++)
        assert_int_equal(weir_dict_set(dict, weir_int(i), i % 2 ? weir_int(i) : weir_str("other")),
                         0);
    if (scene->used_before) {
        for (int i = 0; i < 5; i++)
            assert_int_equal(weir_dict_set(dict, weir_int(-i - 1), weir_str(other_text)), 0);
        for (int i = 0; i < 5; i++)
            assert_int_equal(weir_dict_delete(dict, weir_int(-i - 1)), 0);
    }
    if (scene->first != ABSENT)
        assert_int_equal(weir_dict_set(dict, scene->key, first_value(scene)), 0);
}

/* ---- the state of K and M, as a text
 * -------------------------------------------------------------- */

struct state {
    char text[200];
};

static struct state state_of(const weir_dict *dict, weir_value key)
{
    char buf[100];
    struct state state;
    weir_value value;
    size_t size;
    int result = weir_dict_get(dict, key, &value, buf, sizeof buf);

    if (result < 0)
        snprintf(state.text, sizeof state.text, "%d", result);
    else if (value.type == WEIR_INT)
        snprintf(state.text, sizeof state.text, "int %lld", (long long)value.integer);
    else
        snprintf(state.text, sizeof state.text, "text %s", value.data);
    size = strlen(state.text);
    result = weir_dict_get(dict, M, &value, buf, sizeof buf);
    if (result != -ENOENT)
        snprintf(state.text + size, sizeof state.text - size, ", M %d %s", result,
                 result < 0               ? ""
                 : value.type == WEIR_INT ? value.integer == 5 ? "5" : "changed"
                                          : value.data);
    if (weir_dict_contains(dict, N))
        strcat(state.text, ", N");
    return state;
}

static bool same_state(const struct state *a, const struct state *b)
{
    return strcmp(a->text, b->text) == 0;
}

static bool is_n(const weir_dict *dict)
{
    char buf[100];
    weir_value value;

    return weir_dict_get(dict, N, &value, buf, sizeof buf) == 0 &&
           strcmp(value.data, LONG_TEXT) == 0;
}

/* Sound in itself, the others untouched, and fit for use: all of it is used, and nothing is left in
 * it afterwards. */
static const char *find_fault(weir_dict *dict, const struct scene *scene)
{
    struct state state = state_of(dict, scene->key);
    int there = state.text[0] != '-', others;
    bool n;
    weir_value item;
    char buf[100];

    weir_dict_delete(dict, M);
    n = weir_dict_contains(dict, N) != 0;
    others = scene->keys + n;
    if (weir_dict_len(dict) != others + there || (n && !is_n(dict)))
        return "the length";
    if (!there && strncmp(state.text, "-2", 2) != 0)
        return "K cannot be read";
    for (int i = 0; i < scene->keys; i++)
        if (!is_other(dict, i))
            return "another key";
    for (int i = 0; i < ACTIONS; i++) {
        int result = actions[i].any_key ? 0 : actions[i].call(dict, scene->key);

        if (result < 0 && result != -ENOENT && result != -EINVAL)
            return "K cannot be used";
    }
    if (set_text(dict, scene->key) != 0 || weir_dict_len(dict) != others + 1 ||
        pop_key(dict, scene->key) != 1000 + (int)sizeof other_text - 1)
        return "K cannot be replaced";
    for (int i = 0; i < 20; i++) /* more nodes and boxes than any free list has */
        if (weir_dict_set(dict, weir_int(-100 - i), weir_str(other_text)) != 0)
            return "new keys";
    if (weir_dict_len(dict) != others + 20 || (n && (!is_n(dict) || weir_dict_delete(dict, N))))
        return "the length after use";
    for (int i = 0; i < scene->keys; i++)
        if (!is_other(dict, i) || weir_dict_delete(dict, weir_int(i)) != 0)
            return "another key after use";
    for (int i = 0; i < 20; i++)
        if (weir_dict_popitem(dict, &item, &item, buf, sizeof buf) != 0)
            return "popitem";
    return weir_dict_len(dict) == 0 ? NULL : "something is left";
}

/* ---- stepping ------------------------------------------------------------------------------- */

static weir_dict *dict, *copy;
static void *prepared; /* the block before the call */
static struct report {
    int result;
    bool done; /* the call has been made */
} * child;
static pid_t traced;

static size_t block_size(void)
{
    return weir_shm_size(weir_dict_shm(dict));
}

static void copy_block(void)
{
    memcpy(weir_shm_buf(weir_dict_shm(copy)), weir_shm_buf(weir_dict_shm(dict)), block_size());
}

static pid_t start(const struct action *action, const struct scene *scene)
{
    pid_t pid;
    int status;

    child->done = false;
    pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        child->result = action->call(dict, scene->key);
        child->done = true;
        raise(SIGSTOP);
        _exit(0);
    }
    assert_true(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    return pid;
}

/* Goes on with a request of ptrace until the child stops. */
static int go(pid_t pid, int request)
{
    int status;

    assert_int_equal(ptrace((enum __ptrace_request)request, pid, NULL, NULL), 0);
    assert_true(waitpid(pid, &status, 0) == pid);
    if (!WIFSTOPPED(status) || (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP))
        fail_msg("the child has status %x", (unsigned)status);
    return WSTOPSIG(status);
}

/* One instruction further; false when the child has made its call. */
static bool step(pid_t pid)
{
    assert_int_equal(go(pid, PTRACE_SINGLESTEP), SIGTRAP);
    return !child->done;
}

/* Until the child has made its call. */
static void go_on(pid_t pid)
{
    assert_int_equal(go(pid, PTRACE_CONT), SIGSTOP);
}

static void finish(pid_t pid)
{
    int status;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(waitpid(pid, &status, 0) == pid);
}

/* Kills at every instruction. Returns the number of different memories that were checked. */
static int check_every_step(const struct action *action, const struct scene *scene)
{
    struct state before = state_of(dict, scene->key), after, now;
    const char *fault;
    bool done = false;
    int checked = 0, steps = 0;
    pid_t pid;

    copy_block();
    action->call(copy, scene->key);
    after = state_of(copy, scene->key);
    pid = start(action, scene);
    copy_block();
    memcpy(prepared, weir_shm_buf(weir_dict_shm(dict)), block_size());
    while (step(pid)) {
        if (++steps > STEPS_MAX)
            fail_msg("%s, %s: does not end", scene->name, action->name);
        if (memcmp(prepared, weir_shm_buf(weir_dict_shm(dict)), block_size()) == 0)
            continue;
        memcpy(prepared, weir_shm_buf(weir_dict_shm(dict)), block_size());
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
    now = state_of(dict, scene->key);
    assert_string_equal(now.text, after.text);
    return checked;
}

static const struct scene scenes[] = {
    {"new int key", {.type = WEIR_INT, .integer = 12345}, 3, ABSENT, false},
    {"new str key", {.type = WEIR_STR, .size = 13, .data = "a longish key"}, 3, ABSENT, true},
    {"in an empty one", {.type = WEIR_INT, .integer = -1000}, 0, ABSENT, true},
    {"int", {.type = WEIR_INT, .integer = 12345}, 3, INT, false},
    {"int, used before", {.type = WEIR_INT, .integer = 12345}, 30, INT, true},
    {"large int", {.type = WEIR_BYTES, .size = 1, .data = "k"}, 3, LARGE_INT, true},
    {"text", {.type = WEIR_INT, .integer = 12345}, 3, TEXT, true},
    {"text, fresh", {.type = WEIR_STR, .size = 1, .data = "k"}, 3, TEXT, false},
    /* the insert after which the buckets double, and one in a bucket that is new then */
    {"full buckets", {.type = WEIR_INT, .integer = 12345}, 511, ABSENT, false},
    {"doubled buckets", {.type = WEIR_INT, .integer = 12345}, 513, ABSENT, false},
    {"alone", {.type = WEIR_INT, .integer = 12345}, 0, TEXT, true},
    {"int, alone", {.type = WEIR_STR, .size = 1, .data = "k"}, 0, INT, false},
};

/* Calls that look at one item after the other. */
static bool walks(const struct action *action)
{
    return action->call == count || action->call == iterate;
}

/* A call that takes whatever item there is, where there are others than K; or a walk without end.
 */
static bool is_out_of_place(const struct action *action, const struct scene *scene)
{
    return scene->keys > 0 && (action->any_key || (walks(action) && scene->keys > 3));
}

static void make_two(size_t size)
{
    const weir_dict_options options = {.max_size = size};

    dict = weir_dict_create(NULL, &options);
    copy = weir_dict_create(NULL, &options);
    assert_true(dict != NULL && copy != NULL);
    memcpy(copy->seed, dict->seed, sizeof dict->seed);
    assert_int_equal(weir_shm_unlink(weir_dict_shm(dict)), 0);
    assert_int_equal(weir_shm_unlink(weir_dict_shm(copy)), 0);
    prepared = malloc(size);
    child = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(prepared != NULL && child != MAP_FAILED);
}

static void drop_two(void)
{
    munmap(child, 4096);
    free(prepared);
    weir_dict_close(copy);
    weir_dict_close(dict);
}

static void call_is_done_or_not__when_killed_at_any_instruction(void **state)
{
    int checked = 0;

    (void)state;
    for (size_t s = 0; s < sizeof scenes / sizeof *scenes; s++)
        for (int a = 0; a < ACTIONS; a++) {
            if (is_out_of_place(&actions[a], &scenes[s]))
                continue;
            make_two(SIZE);
            prepare(dict, &scenes[s]);
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
    while (atomic_load(&dict->header->reserved) - atomic_load(&dict->header->used) >= NODE) {
        assert_int_equal(
            weir_dict_set(dict, weir_int(keys), keys % 2 ? weir_int(keys) : weir_str("other")), 0);
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
        prepare(dict, &scene);
        reserved = atomic_load(&dict->header->reserved);
        checked += check_every_step(&actions[a], &scene);
        if (actions[a].call == set_int || actions[a].call == set_text)
            assert_true(atomic_load(&dict->header->reserved) > reserved);
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
        assert_int_equal(weir_dict_set(copy, weir_int(i), weir_str(other_text)), 0);
    assert_int_equal(weir_dict_len(copy), 2 * ALL);
}

static int check_parts(const struct action *action, const char after[ALL + 1])
{
    const struct scene scene = {"some keys", {.type = WEIR_INT, .integer = 0}, SOME, ABSENT, true};
    char seen[ALL + 1] = "oooooo----";
    int checked = 0, steps = 0;
    pid_t pid;

    make_two(SIZE);
    prepare(dict, &scene);
    memcpy(prepared, weir_shm_buf(weir_dict_shm(dict)), block_size());
    pid = start(action, &scene);
    while (step(pid)) {
        assert_true(++steps < STEPS_MAX);
        if (memcmp(prepared, weir_shm_buf(weir_dict_shm(dict)), block_size()) == 0)
            continue;
        memcpy(prepared, weir_shm_buf(weir_dict_shm(dict)), block_size());
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
    prepare(dict, &scene);
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
            assert_true(is_other(found, i) && is_other(dict, i));
        weir_dict_close(found);
    }
    assert_int_equal(child->result, 0);
    finish(pid);
    print_message("named at instruction %d of %d\n", seen_at, steps);
    assert_true(seen_at > 1000 && seen_at < steps);
    assert_int_equal(unlink(path), 0);
    drop_two();
}

/* ---- one call in the middle of another ------------------------------------------------------ */

struct outcome {
    int first, second; /* what the calls returned */
    struct state state;
};

static struct outcome in_order(const struct action *first, const struct action *second,
                               const struct scene *scene, bool swapped)
{
    struct outcome outcome;

    copy_block();
    if (swapped)
        outcome.second = second->call(copy, scene->key);
    outcome.first = first->call(copy, scene->key);
    if (!swapped)
        outcome.second = second->call(copy, scene->key);
    outcome.state = state_of(copy, scene->key);
    return outcome;
}

static bool same_outcome(const struct outcome *a, const struct outcome *b)
{
    return a->first == b->first && a->second == b->second && same_state(&a->state, &b->state);
}

/* A stopped child's registers and stack, to try what follows several times. */
struct moment {
    struct user_regs_struct registers;
    unsigned char more_registers[32768], stack[32 << 10], block[SIZE];
    size_t more_size, stack_size;
};

#if defined(__x86_64__)
#define STACK_POINTER      rsp
#define NT_OTHER_REGISTERS NT_X86_XSTATE
#elif defined(__aarch64__)
#define STACK_POINTER      sp
#define NT_OTHER_REGISTERS NT_PRFPREG
#endif

static uintptr_t stack_end; /* of what the call may change */

static void registers(pid_t pid, int request, struct moment *moment)
{
    struct iovec general = {&moment->registers, sizeof moment->registers};
    struct iovec other = {moment->more_registers, request == PTRACE_GETREGSET
                                                      ? sizeof moment->more_registers
                                                      : moment->more_size};

    assert_int_equal(ptrace((enum __ptrace_request)request, pid, NT_PRSTATUS, &general), 0);
    assert_int_equal(ptrace((enum __ptrace_request)request, pid, NT_OTHER_REGISTERS, &other), 0);
    moment->more_size = other.iov_len;
}

/* From the red zone on. */
static struct iovec stack_of(const struct moment *moment)
{
    uintptr_t begin = (uintptr_t)moment->registers.STACK_POINTER - 256;

    return (struct iovec){(void *)begin, stack_end - begin};
}

static void remember(pid_t pid, struct moment *moment)
{
    struct iovec local = {moment->stack, sizeof moment->stack}, remote;

    registers(pid, PTRACE_GETREGSET, moment);
    remote = stack_of(moment);
    assert_true(remote.iov_len <= sizeof moment->stack);
    assert_true(process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)remote.iov_len);
    memcpy(moment->block, weir_shm_buf(weir_dict_shm(dict)), SIZE);
}

static void return_to(pid_t pid, struct moment *moment)
{
    struct iovec remote = stack_of(moment), local = {moment->stack, remote.iov_len};

#if defined(__x86_64__)
    moment->registers.orig_rax = (unsigned long long)-1; /* no system call to be restarted */
#endif
    registers(pid, PTRACE_SETREGSET, moment);
    assert_true(process_vm_writev(pid, &local, 1, &remote, 1, 0) == (ssize_t)remote.iov_len);
    memcpy(weir_shm_buf(weir_dict_shm(dict)), moment->block, SIZE);
    child->done = false;
}

static void check_outcome(const struct action *first, const struct action *second,
                          const struct scene *scene, int steps, const struct outcome *orders)
{
    struct outcome found = {.second = second->call(dict, scene->key)};
    const char *fault;

    go_on(traced);
    found.first = child->result;
    found.state = state_of(dict, scene->key);
    if (!same_outcome(&found, &orders[0]) && !same_outcome(&found, &orders[1]))
        fail_msg("%s: %s, after %d steps %s: %d, %d, \"%s\"", scene->name, first->name, steps,
                 second->name, found.first, found.second, found.state.text);
    fault = find_fault(dict, scene);
    if (fault != NULL)
        fail_msg("%s: %s, after %d steps %s: %s (%s)", scene->name, first->name, steps,
                 second->name, fault, weir_last_error()->message);
}

static int check_pair(const struct action *first, const struct action *second,
                      const struct scene *scene)
{
    static struct moment moment;
    struct outcome orders[2];
    int steps = 0;

    make_two(SIZE);
    prepare(dict, scene);
    orders[0] = in_order(first, second, scene, false);
    orders[1] = in_order(first, second, scene, true);
    traced = start(first, scene);
    registers(traced, PTRACE_GETREGSET, &moment);
    stack_end = (uintptr_t)moment.registers.STACK_POINTER + 4096;
    do {
        remember(traced, &moment);
        check_outcome(first, second, scene, steps, orders);
        return_to(traced, &moment);
        assert_true(++steps < STEPS_MAX);
    } while (step(traced));
    finish(traced);
    drop_two();
    return steps;
}

/* A call that does nothing without a key. */
static bool needs_key(const struct action *action)
{
    return action->call == swap || action->call == delete_key || action->call == pop_key ||
           action->call == get_key || action->call == contains_key;
}

/* What walks, or takes any item, has no order with something that is several calls itself. */
static bool have_order(const struct action *first, const struct action *second)
{
    return (!walks(first) && !first->any_key) || (second >= actions && second < actions + ACTIONS);
}

static int check_pairs(const struct action *first, const struct scene *scene)
{
    int checked = 0;

    if ((scene->first == ABSENT && needs_key(first)) || is_out_of_place(first, scene) ||
        (walks(first) && scene->keys > 0)) /* its instructions between other keys */
        return 0;
    for (int i = 0; i < ACTIONS + OVERTAKERS; i++) {
        const struct action *second = i < ACTIONS ? &actions[i] : &overtakers[i - ACTIONS];

        if (have_order(first, second) && !is_out_of_place(second, scene))
            checked += check_pair(first, second, scene);
    }
    return checked;
}

static void calls_have_an_order__when_one_overtakes_another_at_any_instruction(void **state)
{
    /* in a new bucket, new str key, int from free lists, int, text, alone */
    static const int which[] = {0, 1, 2, 3, 6, 10};
    int checked = 0;

    (void)state;
    for (size_t s = 0; s < sizeof which / sizeof *which; s++)
        for (int a = 0; a < ACTIONS; a++)
            checked += check_pairs(&actions[a], &scenes[which[s]]);
    print_message("%d places\n", checked);
    assert_true(checked > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(call_is_done_or_not__when_killed_at_any_instruction,
                                        leak_setup, leak_teardown),
        cmocka_unit_test_setup_teardown(call_is_done_or_not__when_killed_while_it_gets_memory,
                                        leak_setup, leak_teardown),
        cmocka_unit_test_setup_teardown(some_of_it_is_done__when_killed_in_a_call_on_all_items,
                                        leak_setup, leak_teardown),
        cmocka_unit_test_setup_teardown(there_is_a_whole_copy_or_none__when_killed_in_copy,
                                        leak_setup, leak_teardown),
        cmocka_unit_test_setup_teardown(
            calls_have_an_order__when_one_overtakes_another_at_any_instruction, leak_setup,
            leak_teardown),
    };
    pid_t pid = fork();
    int status = 0;

    /* Where tracing is forbidden there is nothing to be tried. */
    if (pid == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
