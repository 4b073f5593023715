/* SPDX-License-Identifier: MIT
 *
 * What nodes do together, simulated: every block once, the same bits everywhere, every call
 * returns.
 */
#include "sim_look.h"

#include "leak.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NETWORK .block_ns = 5 * SIM_MS, .delay_ns = 200000, .jitter_ns = 2 * SIM_MS

static const struct sim_call all_calls[] = {
    {.kind = WEIR__CLUSTER_FOR, .length = 100000, .chunks = 3000},
    {.kind = WEIR__CLUSTER_REDUCE, .length = 100000, .chunks = 5001, .block = 16},
    {.kind = WEIR__CLUSTER_BARRIER},
    {.kind = WEIR__CLUSTER_REDUCE, .length = 10000, .grain = 7, .block = 8, .stay = true},
    {.kind = WEIR__CLUSTER_BROADCAST, .size = 3000000},
    {.kind = WEIR__CLUSTER_REDUCE, .length = 100, .chunks = 64, .block = 1, .size = 40000},
    {.kind = WEIR__CLUSTER_FOR, .length = 0},
    {.kind = WEIR__CLUSTER_REDUCE, .length = 0},
    {.kind = WEIR__CLUSTER_BROADCAST, .size = 0},
    {.kind = WEIR__CLUSTER_FOR, .length = 3, .stay = true},
    {.kind = WEIR__CLUSTER_REDUCE, .length = 1, .block = 1},
    {.kind = WEIR__CLUSTER_REDUCE,
     .length = 2000,
     .chunks = 2000,
     .block = 1,
     .late_node = 1,
     .late_ms = 3000},
};
#define CALLS (int)(sizeof all_calls / sizeof all_calls[0])

static void all_get_the_same__when_nothing_goes_wrong(void **state)
{
    (void)state;
    for (int nodes = 1; nodes <= 17; nodes++)
        for (unsigned seed = 1; seed <= 4; seed++) {
            struct sim_config config = {.nodes = nodes, .seed = seed, NETWORK};

            sim_run(&config, all_calls, CALLS, sim_assert_well, &config);
        }
}

static void nothing_is_lost__when_ports_have_no_memory_and_old_messages_come(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 30; seed++) {
        struct sim_config config = {.nodes = 1 + (int)(seed % 9),
                                    .seed = seed,
                                    NETWORK,
                                    .refuse = 0.3,
                                    .late_messages = true};

        sim_run(&config, all_calls, CALLS, sim_assert_well, &config);
    }
}

static void a_broadcast_arrives__when_any_node_has_it(void **state)
{
    (void)state;
    for (int nodes = 1; nodes <= 9; nodes++)
        for (int from = 0; from < nodes; from++) {
            const struct sim_call call = {
                .kind = WEIR__CLUSTER_BROADCAST, .size = 2500000, .from = from};
            struct sim_config config = {.nodes = nodes, .seed = 5, NETWORK};

            sim_run(&config, &call, 1, sim_assert_well, &config);
        }
}

static void a_thousand_nodes_get_the_same(void **state)
{
    const struct sim_call calls[] = {
        {.kind = WEIR__CLUSTER_REDUCE, .length = 1 << 20, .chunks = 65536, .block = 4},
        {.kind = WEIR__CLUSTER_FOR, .length = 1 << 20, .chunks = 32768, .block = 4},
    };
    struct sim_config config = {.nodes = 1000, .seed = 3, NETWORK, .ramp = 1, .serve_ns = 5000};

    (void)state;
    sim_run(&config, calls, 2, sim_assert_well, &config);
}

/* ---- failures ---- */

#define BIG                                                                                        \
    {                                                                                              \
        .kind = WEIR__CLUSTER_REDUCE, .length = 100000, .chunks = 20000, .block = 16               \
    }

static void all_get_the_same_error__when_a_block_fails(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++) {
        struct sim_call calls[3] = {BIG, BIG, BIG};
        struct sim_config config = {
            .nodes = 1 + (int)(seed % 8), .seed = seed, NETWORK, .late_messages = true};
        struct sim_expected expected = {
            .nodes = config.nodes, .code = WEIR_EFAILED, .part = "bad", .failing = 2};

        calls[1].fail_block = 1 + seed % 8;
        calls[1].keep_going = seed % 2 == 0;
        calls[1].late_node = (int)(seed % 3);
        calls[1].late_ms = 100;
        sim_run(&config, calls, 3, sim_assert_error, &expected);
    }
}

static void other_blocks_are_run__when_one_fails_and_the_call_keeps_going(void **state)
{
    (void)state;
    /* sim_assert_error() sees the code; the blocks before the failing ones have all been run */
    for (unsigned seed = 1; seed <= 10; seed++) {
        struct sim_call call = BIG;
        struct sim_config config = {.nodes = 5, .seed = seed, NETWORK};
        struct sim_expected expected = {
            .nodes = 5, .code = WEIR_EFAILED, .part = "bad", .failing = 1};

        call.fail_block = 900;
        call.keep_going = true;
        sim_run(&config, &call, 1, sim_assert_error, &expected);
    }
}

static void odd_kind(struct weir__collective_spec *spec)
{
    spec->print.value[WEIR__PRINT_KIND] = WEIR__CLUSTER_FOR;
}

static void odd_end(struct weir__collective_spec *spec)
{
    spec->print.value[WEIR__PRINT_END]++;
}

static void odd_chunks(struct weir__collective_spec *spec)
{
    spec->print.value[WEIR__PRINT_CHUNKS]++;
}

static void odd_size(struct weir__collective_spec *spec)
{
    spec->print.value[WEIR__PRINT_SIZE] += 8;
}

static void odd_retries(struct weir__collective_spec *spec)
{
    spec->print.value[WEIR__PRINT_RETRIES] = 3;
}

static void all_get_an_error__when_one_node_makes_another_call(void **state)
{
    static const struct sim_odd odds[] = {
        {odd_kind, -EPROTO, "the function is weir_cluster_reduce() and weir_cluster_for()"},
        {odd_end, -EPROTO, "the range's end is 100000 and 100001"},
        {odd_chunks, -EPROTO, "chunks is 20000 and 20001"},
        {odd_size, -EPROTO, "the size is 16 and 24"},
        {odd_retries, -EPROTO, "retries is 0 and 3"},
        {sim_odd_argument, -EINVAL, "refused"},
    };

    (void)state;
    sim_run_odd(&(struct sim_config){.nodes = 6, NETWORK}, &(struct sim_call)BIG, odds,
                sizeof odds / sizeof odds[0]);
}

static void all_get_an_error__when_a_node_is_lost(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++) {
        struct sim_call calls[3] = {BIG, BIG, BIG};
        const int nodes = 2 + (int)(seed % 6);
        struct sim_config config = {.nodes = nodes,
                                    .seed = seed,
                                    NETWORK,
                                    .silence_ns = 5000 * SIM_MS,
                                    .dead_node = (int)seed % nodes,
                                    .dead_ns = 20 * SIM_MS + seed * SIM_MS};
        struct sim_expected expected = {.nodes = nodes,
                                        .code = -EHOSTDOWN,
                                        .part = "nothing was heard",
                                        .failing = 1,
                                        .later = -EHOSTDOWN};

        sim_run(&config, calls, 3, sim_assert_error, &expected);
    }
}

/* Node 0 has blocks all the time, and little to say to the others. */
static void nobody_is_taken_for_lost__in_a_long_call(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 8; seed++) {
        const struct sim_call call = {.kind = WEIR__CLUSTER_FOR,
                                      .length = 1200,
                                      .chunks = 1200,
                                      .block = 1,
                                      .stay = seed % 2 == 0};
        struct sim_config config = {.nodes = 2 + (int)(seed % 3),
                                    .seed = seed,
                                    .block_ns = 40 * SIM_MS,
                                    .delay_ns = 200000,
                                    .jitter_ns = 2 * SIM_MS,
                                    .silence_ns = 1000 * SIM_MS};

        sim_run(&config, &call, 1, sim_assert_well, &config);
    }
}

static void all_get_an_error__when_a_node_has_ended(void **state)
{
    weir_cluster_error error = {.error = {.code = -EINVAL, .message = "no such file"}};

    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct sim_call calls[3] = {BIG, BIG, BIG};
        struct sim_config config = {.nodes = 5,
                                    .seed = seed,
                                    NETWORK,
                                    .say_goodbye = &error,
                                    .leaving_node = (int)(seed % 5)};
        struct sim_expected expected = {.nodes = 5,
                                        .code = -ECONNABORTED,
                                        .part = "no such file",
                                        .failing = 2,
                                        .later = -ECONNABORTED};

        sim_run(&config, calls, 3, sim_assert_error, &expected);
    }
}

static void all_time_out__when_one_node_does_not_come(void **state)
{
    struct sim_call calls[2] = {BIG, BIG};
    struct sim_config config = {.nodes = 4, .seed = 9, NETWORK};
    struct sim_expected expected = {
        .nodes = 4, .code = -ETIMEDOUT, .part = "3 of 4 nodes had made it", .failing = 1};

    (void)state;
    calls[0].timeout_ms = 50000;
    calls[0].late_node = 2;
    calls[0].late_ms = 70000;
    sim_run(&config, calls, 2, sim_assert_error, &expected);
}

static void nothing_breaks__when_messages_are_damaged(void **state)
{
    int returns[2] = {0};

    (void)state;
    for (unsigned seed = 1; seed <= 150; seed++) {
        struct sim_config config = {
            .nodes = 7, .seed = seed, NETWORK, .corrupt = 0.02, .silence_ns = 5000 * SIM_MS};

        sim_run_damaged(&config, all_calls, CALLS, returns);
    }
    assert_true(returns[true] > 9 * returns[false]); /* a STOP may be the message that is damaged */
}

static void cancel(struct weir__collective *call)
{
    const weir_error error = {.code = -ECANCELED, .message = "cancelled"};

    weir__collective_fail(call, &error);
}

static void all_are_cancelled__when_one_is(void **state)
{
    (void)state;
    for (int node = 0; node < 4; node++) {
        struct sim_call calls[2] = {BIG, BIG};
        struct sim_config config = {.nodes = 4,
                                    .seed = 9,
                                    NETWORK,
                                    .cancel = cancel,
                                    .cancel_node = node,
                                    .cancel_ns = 30 * SIM_MS};
        struct sim_expected expected = {
            .nodes = 4, .code = -ECANCELED, .part = "cancelled", .failing = 1};

        sim_run(&config, calls, 2, sim_assert_error, &expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_get_the_same__when_nothing_goes_wrong),
        cmocka_unit_test(nothing_is_lost__when_ports_have_no_memory_and_old_messages_come),
        cmocka_unit_test(a_broadcast_arrives__when_any_node_has_it),
        cmocka_unit_test(a_thousand_nodes_get_the_same),
        cmocka_unit_test(all_get_the_same_error__when_a_block_fails),
        cmocka_unit_test(other_blocks_are_run__when_one_fails_and_the_call_keeps_going),
        cmocka_unit_test(all_get_an_error__when_one_node_makes_another_call),
        cmocka_unit_test(all_get_an_error__when_a_node_is_lost),
        cmocka_unit_test(nobody_is_taken_for_lost__in_a_long_call),
        cmocka_unit_test(all_get_an_error__when_a_node_has_ended),
        cmocka_unit_test(all_time_out__when_one_node_does_not_come),
        cmocka_unit_test(all_are_cancelled__when_one_is),
        cmocka_unit_test(nothing_breaks__when_messages_are_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
