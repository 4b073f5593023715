/* SPDX-License-Identifier: MIT
 *
 * dict-steps.c: see dict-steps.h.
 */
#include "dict-steps.h"

#include "shm/dict/heap.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what is done to a dictionary ------------------------------------------------------------ */

int set_int(weir_dict *dict, weir_value key)
{
    return weir_dict_set(dict, key, weir_int(77));
}

int set_text(weir_dict *dict, weir_value key)
{
    return weir_dict_set(dict, key, weir_str(OTHER_TEXT));
}

static int add_one(weir_dict *dict, weir_value key)
{
    return weir_dict_add(dict, key, 1, NULL);
}

int swap(weir_dict *dict, weir_value key)
{
    int64_t expected = 5;

    return weir_dict_compare_and_set(dict, key, &expected, 6);
}

int delete_key(weir_dict *dict, weir_value key)
{
    return weir_dict_delete(dict, key);
}

int pop_key(weir_dict *dict, weir_value key)
{
    char buf[100];
    weir_value out;
    int result = weir_dict_pop(dict, key, &out, buf, sizeof buf);

    return result < 0 ? result : out.type == WEIR_INT ? (int)out.integer : 1000 + (int)out.size;
}

int get_key(weir_dict *dict, weir_value key)
{
    char buf[100];
    weir_value out;
    int result = weir_dict_get(dict, key, &out, buf, sizeof buf);

    if (result < 0 || out.type == WEIR_INT)
        return result < 0 ? result : (int)out.integer;
    return strcmp(buf, LONG_TEXT) == 0       ? 1001
           : strcmp(buf, OTHER_TEXT) == 0    ? 1002
           : strcmp(buf, "the default") == 0 ? 1003
                                             : -1;
}

static int set_default(weir_dict *dict, weir_value key)
{
    return weir_dict_setdefault(dict, key, weir_str("the default"), NULL, NULL, 0);
}

int contains_key(weir_dict *dict, weir_value key)
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

int clear(weir_dict *dict, weir_value key)
{
    (void)key;
    return weir_dict_clear(dict);
}

const struct action actions[] = {
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

_Static_assert(sizeof actions / sizeof *actions == ACTIONS, "ACTIONS is their number");

const struct scene scenes[] = {
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
    {"new key, other sizes free", {.type = WEIR_INT, .integer = 12345}, 3, ABSENT, false, true},
    {"int, other sizes free", {.type = WEIR_INT, .integer = 12345}, 3, INT, false, true},
    {"text, other sizes free", {.type = WEIR_STR, .size = 1, .data = "k"}, 3, TEXT, false, true},
    /* when it is gone, all is made free for anything */
    {"alone, all used", {.type = WEIR_INT, .integer = 12345}, 0, TEXT, true, true},
};

_Static_assert(sizeof scenes / sizeof *scenes == SCENES, "SCENES is their number");

bool walks(const struct action *action)
{
    return action->call == count || action->call == iterate;
}

bool is_out_of_place(const struct action *action, const struct scene *scene)
{
    return scene->keys > 0 && (action->any_key || (walks(action) && scene->keys > 3));
}

/* ---- dictionaries ---------------------------------------------------------------------------- */

weir_dict *stepped, *copy;
void *prepared;
struct report *child;

void make_two(size_t size)
{
    const weir_dict_options options = {.max_size = size};

    stepped = weir_dict_create(NULL, &options);
    copy = weir_dict_create(NULL, &options);
    assert_true(stepped != NULL && copy != NULL);
    memcpy(copy->seed, stepped->seed, sizeof stepped->seed);
    assert_int_equal(weir_shm_unlink(weir_dict_shm(stepped)), 0);
    assert_int_equal(weir_shm_unlink(weir_dict_shm(copy)), 0);
    prepared = malloc(size);
    child = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(prepared != NULL && child != MAP_FAILED);
}

void drop_two(void)
{
    munmap(child, 4096);
    free(prepared);
    weir_dict_close(copy);
    weir_dict_close(stepped);
}

size_t block_size(void)
{
    return weir_shm_size(weir_dict_shm(stepped));
}

void copy_block(void)
{
    memcpy(weir_shm_buf(weir_dict_shm(copy)), weir_shm_buf(weir_dict_shm(stepped)), block_size());
}

static weir_value first_value(const struct scene *scene)
{
    return scene->first == INT         ? weir_int(5)
           : scene->first == LARGE_INT ? weir_int(((int64_t)1 << 35) - 1)
                                       : weir_str(LONG_TEXT);
}

bool is_other(const weir_dict *dict, int i)
{
    weir_value value;
    char buf[20];

    if (i % 2)
        return weir_dict_get(dict, weir_int(i), &value, NULL, 0) == 0 && value.integer == i;
    return weir_dict_get(dict, weir_int(i), &value, buf, sizeof buf) == 0 &&
           strcmp(value.data, "other") == 0;
}

/* Frees memory of other sizes, and takes the rest of the heap away. */
static void use_up(weir_dict *dict)
{
    enum { FREE = 6 };
    static const char value[700] = "";
    char key[] = "a key of another size";

    for (int i = 0; i < FREE; i++, key[0]++)
        assert_int_equal(weir_dict_set(dict, weir_str(key), weir_bytes(value, sizeof value)), 0);
    while (--key[0] >= 'a')
        assert_int_equal(weir_dict_delete(dict, weir_str(key)), 0);
    atomic_store(&dict->header->reserved, dict->granules);
    atomic_store(&dict->header->used, dict->granules);
}

void prepare(weir_dict *dict, const struct scene *scene)
{
    for (int i = 0; i < scene->keys; i++)
        assert_int_equal(weir_dict_set(dict, weir_int(i), i % 2 ? weir_int(i) : weir_str("other")),
                         0);
    if (scene->used_before) {
        for (int i = 0; i < 5; i++)
            assert_int_equal(weir_dict_set(dict, weir_int(-i - 1), weir_str(OTHER_TEXT)), 0);
        for (int i = 0; i < 5; i++)
            assert_int_equal(weir_dict_delete(dict, weir_int(-i - 1)), 0);
    }
    if (scene->first != ABSENT)
        assert_int_equal(weir_dict_set(dict, scene->key, first_value(scene)), 0);
    if (scene->used_up)
        use_up(dict);
}

void free_for_all(weir_dict *dict)
{
    /* more than there is */
    assert_int_equal(weir__dict_take_box(dict, WEIR_BYTES, SIZE), 0);
    for (int i = 0; i < (int)WEIR__DICT_CLASSES; i++) {
        atomic_store(&dict->header->nodes[i].rover, 0);
        atomic_store(&dict->header->boxes[i].rover, 0);
    }
}

char mimicked[WEIR__DICT_NODE_SIZE];

struct state state_of(const weir_dict *dict, weir_value key)
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
    if (result == 0 && value.type == WEIR_BYTES) {
        bool same =
            value.size == sizeof mimicked && memcmp(value.data, mimicked, sizeof mimicked) == 0;

        strcat(state.text, same ? ", M as it was stored" : ", M changed");
    } else if (result != -ENOENT)
        snprintf(state.text + size, sizeof state.text - size, ", M %d %s", result,
                 result < 0               ? ""
                 : value.type == WEIR_INT ? value.integer == 5 ? "5" : "changed"
                                          : value.data);
    if (weir_dict_contains(dict, N))
        strcat(state.text, ", N");
    return state;
}

bool same_state(const struct state *a, const struct state *b)
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

const char *find_fault(weir_dict *dict, const struct scene *scene)
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
        pop_key(dict, scene->key) != 1000 + (int)sizeof OTHER_TEXT - 1)
        return "K cannot be replaced";
    for (int i = 0; i < 20; i++) /* more nodes and boxes than any free list has */
        if (weir_dict_set(dict, weir_int(-100 - i), weir_str(OTHER_TEXT)) != 0)
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

pid_t start(const struct action *action, const struct scene *scene)
{
    pid_t pid;
    int status;

    child->done = false;
    pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        child->result = action->call(stepped, scene->key);
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

bool step(pid_t pid)
{
    assert_int_equal(go(pid, PTRACE_SINGLESTEP), SIGTRAP);
    return !child->done;
}

void go_on(pid_t pid)
{
    assert_int_equal(go(pid, PTRACE_CONT), SIGSTOP);
}

void finish(pid_t pid)
{
    int status;

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_true(waitpid(pid, &status, 0) == pid);
}

bool can_trace(void)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}
