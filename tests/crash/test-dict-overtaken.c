/* SPDX-License-Identifier: MIT
 *
 * Every instruction of every call on a dictionary, as a place where another call overtakes it.
 *
 * For each instruction, the child stops before it, this process makes a call, the child goes on;
 * results and contents must be those of one order or the other.
 */
#include "dict-steps.h"

#include "shm/dict/table.h"

#include <elf.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

static pid_t traced;

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

/* Where K's node was is N's box, and where its box was, N's node. */
static int other_sizes(weir_dict *dict, weir_value key)
{
    int result = pop_key(dict, key);

    free_for_all(dict);
    result =
        2 * result + weir_dict_set(dict, M, weir_int(5)) + weir_dict_set(dict, N, weir_str("n"));
    result += weir_dict_delete(dict, M);
    free_for_all(dict);
    return result + weir_dict_set(dict, N, weir_str(LONG_TEXT));
}

/* Where K's node was is M's value, which is byte by byte what the node was. */
static int mimic(weir_dict *dict, weir_value key)
{
    struct weir__dict_place place;
    struct weir__dict_key sought;
    int result;

    assert_int_equal(weir__dict_make_key(dict, &key, &sought), 0);
    assert_int_equal(weir__dict_seek(dict, &sought, &place), 0);
    memset(mimicked, 0, sizeof mimicked);
    if (place.node != NULL)
        memcpy(mimicked, (char *)place.node + 8,
               sizeof mimicked); /* a box's head is where the link was */
    result = pop_key(dict, key);
    free_for_all(dict);
    result = 2 * result + weir_dict_set(dict, N, weir_int(5)) + weir_dict_set(dict, M, weir_int(5));
    result += weir_dict_delete(dict, N);
    free_for_all(dict);
    return result + weir_dict_set(dict, M, weir_bytes(mimicked, sizeof mimicked));
}

/* And K gets it back, with the value that it had. */
static int other_sizes_and_back(weir_dict *dict, weir_value key)
{
    int result = other_sizes(dict, key) + weir_dict_delete(dict, N);

    free_for_all(dict);
    return result + weir_dict_set(dict, key, result > 1000 ? weir_str(LONG_TEXT) : weir_int(5));
}

/* These are several calls, so they only overtake. */
static const struct action overtakers[] = {
    {"give all to M", make_room_for_m, false},
    {"give all to M and take it back", come_back, false},
    {"take two, give one back", take_two, false},
    {"give the box to M", reuse_box, false},
    {"use all for other sizes", other_sizes, false},
    {"use all for what looks like it", mimic, false},
    {"use all for other sizes and take it back", other_sizes_and_back, false},
};

enum { OVERTAKERS = sizeof overtakers / sizeof *overtakers };

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
    memcpy(moment->block, weir_shm_buf(weir_dict_shm(stepped)), SIZE);
}

static void return_to(pid_t pid, struct moment *moment)
{
    struct iovec remote = stack_of(moment), local = {moment->stack, remote.iov_len};

#if defined(__x86_64__)
    moment->registers.orig_rax = (unsigned long long)-1; /* no system call to be restarted */
#endif
    registers(pid, PTRACE_SETREGSET, moment);
    assert_true(process_vm_writev(pid, &local, 1, &remote, 1, 0) == (ssize_t)remote.iov_len);
    memcpy(weir_shm_buf(weir_dict_shm(stepped)), moment->block, SIZE);
    child->done = false;
}

static void check_outcome(const struct action *first, const struct action *second,
                          const struct scene *scene, int steps, const struct outcome *orders)
{
    struct outcome found = {.second = second->call(stepped, scene->key)};
    const char *fault;

    go_on(traced);
    found.first = child->result;
    found.state = state_of(stepped, scene->key);
    if (!same_outcome(&found, &orders[0]) && !same_outcome(&found, &orders[1]))
        fail_msg("%s: %s, after %d steps %s: %d, %d, \"%s\"", scene->name, first->name, steps,
                 second->name, found.first, found.second, found.state.text);
    fault = find_fault(stepped, scene);
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
    prepare(stepped, scene);
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
    /* in a new bucket, new str key, int from free lists, int, text, alone, text in other sizes */
    static const int which[] = {0, 1, 2, 3, 6, 10, 14};
    int checked = 0;

    (void)state;
    for (size_t s = 0; s < sizeof which / sizeof *which; s++)
        for (int a = 0; a < ACTIONS; a++)
            checked += check_pairs(&actions[a], &scenes[which[s]]);
    print_message("%d places\n", checked);
    assert_true(checked > 1000);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_have_an_order__when_one_overtakes_another_at_any_instruction),
    };

    return RUN_IF_TRACEABLE(tests);
}
