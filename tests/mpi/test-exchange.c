/* SPDX-License-Identifier: MIT
 *
 * Nodes that send each other parts, simulated: each part once, with its bytes, where it belongs;
 * every call returns, and all nodes get one result. Then single nodes, which get messages that
 * cannot be.
 */
#include "sim_look.h"
#include "sim_parts.h"

#include "leak.h"
#include "sanitizer.h"
#include "shm/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NETWORK                                                                                    \
    .block_ns = 5 * SIM_MS, .delay_ns = 200000, .jitter_ns = 2 * SIM_MS, .merge_ns = 7 * SIM_MS

#define MAP_REDUCE .kind = WEIR__CLUSTER_MAP_REDUCE, .length = 1000, .chunks = 120, .block = 4

static const struct sim_call all_calls[] = {
    {MAP_REDUCE},
    {.kind = WEIR__CLUSTER_SORTED},
    {.kind = WEIR__CLUSTER_FOR, .length = 1000, .chunks = 300},
    {MAP_REDUCE, .late_node = 1, .late_ms = 3000},
    {.kind = WEIR__CLUSTER_GATHER, .from = 0},
    {.kind = WEIR__CLUSTER_REDUCE, .length = 1000, .chunks = 501, .block = 16},
    {MAP_REDUCE, .stay = true},
    {.kind = WEIR__CLUSTER_GATHER, .from = 1},
    {.kind = WEIR__CLUSTER_BROADCAST, .size = 1500000},
    {.kind = WEIR__CLUSTER_MAP_REDUCE, .length = 0},
    {.kind = WEIR__CLUSTER_BARRIER},
    {.kind = WEIR__CLUSTER_MAP_REDUCE, .length = 1, .block = 1},
    {.kind = WEIR__CLUSTER_SORTED, .late_node = 2, .late_ms = 500},
    {.kind = WEIR__CLUSTER_SORTED},
    {MAP_REDUCE, .keep_going = true},
};
#define CALLS (int)(sizeof all_calls / sizeof all_calls[0])

static const int sizes[] = {1, 2, 3, 5, 8, 17};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void all_parts_come__when_nothing_goes_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++)
        for (unsigned seed = 1; seed <= 3; seed++) {
            struct sim_config config = {.nodes = sizes[i], .seed = seed, NETWORK};

            sim_run(&config, all_calls, CALLS, sim_assert_well, &config);
        }
}

static void all_parts_come__when_ports_have_no_memory_and_old_messages_come(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 16; seed++) {
        struct sim_config config = {.nodes = 1 + (int)(seed % 6),
                                    .seed = seed,
                                    NETWORK,
                                    .refuse = 0.3,
                                    .late_messages = true};

        config.delay_ns = seed % 2 == 0 ? 50 * SIM_MS : config.delay_ns;
        sim_run(&config, all_calls, CALLS, sim_assert_well, &config);
    }
}

static void a_thousand_nodes_get_their_parts(void **state)
{
    const struct sim_call call = {.kind = WEIR__CLUSTER_MAP_REDUCE,
                                  .length = 1 << 20,
                                  .chunks = 1500,
                                  .block = 1,
                                  .every = 10,
                                  .late_node = 500,
                                  .late_ms = 2000};
    struct sim_config config = {.nodes = 1000, .seed = 3, NETWORK, .serve_ns = 5000};

    (void)state;
    sim_run(&config, &call, 1, sim_assert_well, &config);
}

/* ---- failures ---- */

static void all_get_the_same_error__when_a_block_fails(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 24; seed++) {
        struct sim_call calls[4] = {{MAP_REDUCE}, {MAP_REDUCE}, {MAP_REDUCE}, all_calls[1]};
        struct sim_config config = {
            .nodes = 1 + (int)(seed % 8), .seed = seed, NETWORK, .late_messages = true};
        struct sim_expected expected = {
            .nodes = config.nodes, .code = WEIR_EFAILED, .part = "bad", .failing = 2};

        calls[1].fail_block = 1 + seed % 14;
        calls[1].keep_going = seed % 2 == 0;
        calls[1].late_node = (int)(seed % 3);
        calls[1].late_ms = 100;
        sim_run(&config, calls, 4, sim_assert_error, &expected);
    }
}

static void all_get_the_same_error__when_there_is_no_room_for_a_part(void **state)
{
    (void)state;
    for (int nth = 1; nth <= 3; nth++)
        for (int node = 1; node < 6; node++)
            for (int kind = 0; kind < 2; kind++) {
                struct sim_call calls[3] = {all_calls[kind], all_calls[kind], all_calls[kind]};
                struct sim_config config = {
                    .nodes = 6, .seed = (unsigned)node, NETWORK, .late_messages = true};
                struct sim_expected expected = {
                    .nodes = 6, .code = -ENOMEM, .part = "no room for part", .failing = 2};

                calls[1].refuse_part = kind == 1 ? 1 : nth;
                calls[1].refuse_node = node;
                sim_run(&config, calls, 3, sim_assert_error, &expected);
            }
}

static void all_get_the_same_error__when_node_0_has_no_room_for_a_part(void **state)
{
    struct sim_call calls[3] = {{MAP_REDUCE}, {MAP_REDUCE}, {MAP_REDUCE}};
    struct sim_config config = {.nodes = 6, .seed = 3, NETWORK};
    struct sim_expected expected = {
        .nodes = 6, .code = -ENOMEM, .part = "no room for part", .failing = 2};

    (void)state;
    calls[1].refuse_part = 2; /* refuse_node is 0 */
    sim_run(&config, calls, 3, sim_assert_error, &expected);
}

static void odd_kind(struct weir__collective_spec *spec)
{
    spec->print.value[WEIR__PRINT_KIND] = WEIR__CLUSTER_FOR;
    spec->exchanges = false;
}

static void odd_table(struct weir__collective_spec *spec)
{
    spec->print.value[WEIR__PRINT_TABLE] = 7;
}

static void all_get_an_error__when_one_node_makes_another_call(void **state)
{
    static const struct sim_odd odds[] = {
        {odd_kind, -EPROTO, "weir_cluster_map_reduce() and weir_cluster_for()"},
        {odd_table, -EPROTO, "the call that made the table is 0 and 7"},
        {sim_odd_argument, -EINVAL, "refused"},
    };

    (void)state;
    sim_run_odd(&(struct sim_config){.nodes = 4, NETWORK}, &(struct sim_call){MAP_REDUCE}, odds,
                sizeof odds / sizeof odds[0]);
}

static void all_get_an_error__when_a_node_is_lost_in_any_phase(void **state)
{
    (void)state;
    for (enum sim_phase phase = SIM_MAPS; phase <= SIM_MERGES; phase++)
        for (unsigned seed = 1; seed <= 12; seed++) {
            struct sim_call calls[3] = {{MAP_REDUCE}, {MAP_REDUCE}, {MAP_REDUCE}};
            const int nodes = 2 + (int)(seed % 6);
            struct sim_config config = {.nodes = nodes,
                                        .seed = seed,
                                        NETWORK,
                                        .silence_ns = 5000 * SIM_MS,
                                        .dead_node = (int)seed % nodes,
                                        .dead_ns =
                                            (seed % 3 + (phase == SIM_MAPS ? 8 : 0)) * SIM_MS,
                                        .phase = phase,
                                        .phase_call = 2};
            struct sim_expected expected = {.nodes = nodes,
                                            .code = -EHOSTDOWN,
                                            .part = "nothing was heard",
                                            .failing = 2,
                                            .later = -EHOSTDOWN};

            sim_run(&config, calls, 3, sim_assert_error, &expected);
        }
}

/* Each is one of two: what was to happen has come in time, or too late. */
struct either {
    int nodes, code, later;
    bool same; /* on all nodes */
    int seen[2];
};

static void assert_either(const struct sim_outcome *outcome, const struct sim_call *call, void *arg)
{
    struct either *either = arg;
    int count[2] = {0};

    (void)call;
    for (int i = 0; i < either->nodes; i++) {
        const struct sim_result *result = &outcome->results[i];

        if (result->dead)
            continue;
        assert_true(result->returned);
        if (result->code != 0)
            assert_int_equal(result->code, outcome->calls == 1 ? either->code : either->later);
        count[result->code != 0]++;
    }
    if (either->same)
        assert_true(count[0] == 0 || count[1] == 0);
    if (outcome->calls == 1)
        either->seen[count[1] > 0]++;
    else
        assert_true(either->later == 0 || count[0] == 0);
}

static void all_return__when_a_node_is_lost_after_its_last_part(void **state)
{
    struct either either = {.code = -EHOSTDOWN};

    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++) {
        const struct sim_call call = {MAP_REDUCE};
        struct sim_config config = {.nodes = 2 + (int)(seed % 6),
                                    .seed = seed,
                                    NETWORK,
                                    .silence_ns = 5000 * SIM_MS,
                                    .dead_ns = seed % 3 * SIM_MS,
                                    .phase = SIM_HAS_MERGED,
                                    .phase_call = 1};

        config.dead_node = (int)seed % config.nodes;
        config.merge_ns = seed % 2 == 0 ? 100 * SIM_MS : 0;
        either.nodes = config.nodes;
        sim_run(&config, &call, 1, assert_either, &either);
    }
    assert_true(either.seen[0] + either.seen[1] == 40);
}

static void cancel(struct weir__collective *call)
{
    const weir_error error = {.code = -ECANCELED, .message = "cancelled"};

    weir__collective_fail(call, &error);
}

static void all_are_cancelled__when_one_is_in_any_phase(void **state)
{
    (void)state;
    for (enum sim_phase phase = SIM_MAPS; phase <= SIM_MERGES; phase++)
        for (int node = 0; node < 4; node++)
            for (int kind = 0; kind < 2; kind++) {
                struct sim_call calls[3] = {all_calls[kind], all_calls[kind], all_calls[kind]};
                struct sim_config config = {.nodes = 4,
                                            .seed = 9,
                                            NETWORK,
                                            .late_messages = true,
                                            .cancel = cancel,
                                            .cancel_node = node,
                                            .phase = phase,
                                            .phase_call = 2};
                struct sim_expected expected = {
                    .nodes = 4, .code = -ECANCELED, .part = "cancelled", .failing = 2};

                sim_run(&config, calls, 3, sim_assert_error, &expected);
            }
}

static void all_get_the_same__when_one_is_cancelled_after_its_last_part(void **state)
{
    struct either either = {.code = -ECANCELED, .same = true};

    (void)state;
    for (unsigned seed = 1; seed <= 60; seed++) {
        struct sim_call calls[2] = {{MAP_REDUCE}, {MAP_REDUCE}};
        struct sim_config config = {.nodes = 1 + (int)(seed % 5),
                                    .seed = seed,
                                    NETWORK,
                                    .cancel = cancel,
                                    .cancel_ns = seed % 7 * SIM_MS,
                                    .phase = SIM_HAS_MERGED,
                                    .phase_call = 1};

        config.cancel_node = (int)seed % config.nodes;
        either.nodes = config.nodes;
        sim_run(&config, calls, 2, assert_either, &either);
    }
    assert_true(either.seen[0] > 5 && either.seen[1] > 5);
}

static void all_time_out__when_a_phase_takes_too_long(void **state)
{
    static const struct {
        int64_t block_ns, delay_ns, merge_ns;
        int timeout_ms;
        const char *part;
    } cases[] = {
        {5000 * SIM_MS, SIM_MS, 0, 20000, "of 30 blocks were done"},
        {0, 20000 * SIM_MS, 0, 70000, "1 of 4 nodes had all that others send them"},
        {0, SIM_MS, 100000 * SIM_MS, 50000, "0 of 4 nodes had all that others send them"},
        {0, SIM_MS, 0, 50000, "3 of 4 nodes had made it"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sim_call calls[2] = {{MAP_REDUCE}, {.kind = WEIR__CLUSTER_SORTED}};
        struct sim_config config = {.nodes = 4,
                                    .seed = 9,
                                    .block_ns = cases[i].block_ns,
                                    .delay_ns = cases[i].delay_ns,
                                    .merge_ns = cases[i].merge_ns};
        struct sim_expected expected = {
            .nodes = 4, .code = -ETIMEDOUT, .part = cases[i].part, .failing = 1};

        calls[0].stay = true;
        calls[0].timeout_ms = cases[i].timeout_ms;
        calls[0].late_node = 2;
        calls[0].late_ms = i == 3 ? 70000 : 0;
        sim_run(&config, calls, 2, sim_assert_error, &expected);
    }
}

static void all_get_an_error__when_a_node_has_ended(void **state)
{
    weir_cluster_error error = {.error = {.code = -EINVAL, .message = "no such file"}};

    (void)state;
    for (unsigned seed = 1; seed <= 15; seed++) {
        struct sim_call calls[3] = {{MAP_REDUCE}, {MAP_REDUCE}, all_calls[1]};
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

static void nothing_breaks__when_messages_are_damaged(void **state)
{
    int returns[2] = {0};

    (void)state;
    for (unsigned seed = 1; seed <= 60; seed++) {
        struct sim_config config = {.nodes = 5,
                                    .seed = seed,
                                    NETWORK,
                                    .corrupt = seed % 2 == 0 ? 0.02 : 0.002,
                                    .silence_ns = 5000 * SIM_MS};

        sim_run_damaged(&config, all_calls, CALLS, returns);
    }
    assert_true(returns[true] > 9 * returns[false]); /* a STOP may be the message that is damaged */
}

/* ---- one node alone ---- */

#define PARTS 4
#define TOTAL 100

struct alone {
    struct weir__port port;
    struct weir__link link;
    struct weir__collective_spec spec;
    struct weir__collective call;
    int sent[WEIR__ALL_GONE + 1]; /* of each kind */
    bool parts_after_end;
    bool full; /* the port takes nothing */
    int code;  /* of the failure that was told last */
    unsigned char landed[PARTS][TOTAL];
};

static int alone_send(struct weir__port *port, int to, const void *data, size_t size)
{
    struct alone *alone = (struct alone *)(void *)port;
    const struct weir__header *header = data;

    (void)to;
    assert_in_range(size, sizeof *header, WEIR__PORT_MESSAGE_MAX);
    if (alone->full)
        return -ENOMEM;
    alone->sent[header->kind]++;
    alone->parts_after_end |= header->kind == WEIR__PART && alone->sent[WEIR__PARTS_END] > 0;
    if (header->kind == WEIR__FAILED || header->kind == WEIR__STOP)
        alone->code = ((const struct weir__bad_news *)data)->error.code;
    return 0;
}

static size_t alone_unsent(const struct weir__port *port)
{
    (void)port;
    return 0;
}

static const struct weir__port_functions alone_functions = {.send = alone_send,
                                                            .unsent = alone_unsent};

static unsigned char *alone_land(void *owner, int64_t part, uint64_t size)
{
    struct alone *alone = owner;

    assert_in_range(part, 0, PARTS - 1);
    if (size <= TOTAL)
        return alone->landed[part];
    weir__fail(-ENOMEM, "no room");
    return NULL;
}

/* Of three nodes. */
static void alone_begin(struct alone *alone, int node, bool exchanges)
{
    *alone = (struct alone){.port = {&alone_functions, node, 3}};
    alone->spec = (struct weir__collective_spec){
        .exchanges = exchanges, .parts = PARTS, .land = alone_land, .owner = alone};
    alone->spec.print.value[WEIR__PRINT_KIND] =
        exchanges ? WEIR__CLUSTER_SORTED : WEIR__CLUSTER_BARRIER;
    assert_int_equal(weir__link_init(&alone->link, &alone->port, NULL, 60000 * SIM_MS), 0);
    weir__collective_begin(&alone->call, &alone->link, &alone->spec, 1);
}

static void alone_end(struct alone *alone)
{
    weir__collective_free(&alone->call);
    weir__link_free(&alone->link);
}

/* A message, as far as it matters. */
struct step {
    enum weir__message_kind kind;
    int from;
    int64_t part; /* of an END: how many */
    uint64_t total, offset, size;
    bool old; /* of an earlier call */
};

static void feed(struct alone *alone, struct step step)
{
    union {
        struct weir__header header;
        struct weir__hello hello;
        struct weir__bytes bytes;
        struct weir__parts_end end;
        struct weir__merged merged;
        unsigned char all[1000];
    } message;
    size_t size = sizeof message.header;

    memset(&message, 7, sizeof message);
    switch (step.kind) {
    case WEIR__PART:
        message.bytes.what = step.part;
        message.bytes.total = step.total;
        message.bytes.offset = step.offset;
        size = sizeof message.bytes + step.size;
        break;
    case WEIR__PARTS_END:
        message.end.parts = (uint64_t)step.part;
        message.end.bytes = step.total;
        size = sizeof message.end;
        break;
    case WEIR__MERGED:
        size = sizeof message.merged;
        break;
    case WEIR__HELLO:
        message.hello.print = alone->spec.print;
        size = sizeof message.hello;
        break;
    default:
        break;
    }
    message.header = weir__header_of(step.kind, alone->link.call - step.old);
    weir__collective_receive(&alone->call, &(struct weir__port_message){step.from, size, &message},
                             2);
}

#define STEPS_MAX 6

struct script {
    const char *what;
    int node;
    bool plain; /* the call exchanges nothing */
    struct step steps[STEPS_MAX + 1];
};

#define PART(from, part, offset, size)                                                             \
    {                                                                                              \
        WEIR__PART, from, part, TOTAL, offset, size, false                                         \
    }
#define END(from, parts, bytes)                                                                    \
    {                                                                                              \
        WEIR__PARTS_END, from, parts, bytes, 0, 0, false                                           \
    }
#define GO                                                                                         \
    {                                                                                              \
        .kind = WEIR__GO                                                                           \
    }

/* The last message of each cannot be; the others can. */
static const struct script scripts[] = {
    {"GO again", 1, false, {GO, GO}},
    {"a part again", 1, false, {PART(2, 0, 0, 100), PART(2, 0, 0, 100)}},
    {"a part again, in pieces", 1, false, {PART(2, 0, 0, 50), PART(2, 0, 0, 50)}},
    {"a part of two nodes", 1, false, {PART(2, 0, 0, 100), PART(0, 0, 0, 100)}},
    {"pieces of two nodes", 1, false, {PART(2, 0, 0, 50), PART(0, 0, 50, 50)}},
    {"the last part and one more", 1, false, {PART(2, 3, 0, 100), PART(2, 4, 0, 100)}},
    {"a part before the first", 1, false, {PART(2, -1, 0, 100)}},
    {"a second piece alone", 1, false, {PART(2, 0, 50, 50)}},
    {"a gap", 1, false, {PART(2, 0, 0, 50), PART(2, 0, 51, 49)}},
    {"a piece twice", 1, false, {PART(2, 0, 0, 30), PART(2, 0, 30, 30), PART(2, 0, 30, 30)}},
    {"too long", 1, false, {PART(2, 0, 0, 101)}},
    {"too long in the end", 1, false, {PART(2, 0, 0, 50), PART(2, 0, 50, 51)}},
    {"an empty piece", 1, false, {PART(2, 0, 0, 50), PART(2, 0, 50, 0)}},
    {"an empty first piece", 1, false, {PART(2, 0, 0, 0)}},
    {"an empty part", 1, false, {{WEIR__PART, 2, 0, 0, 0, 0, false}}},
    {"two sizes", 1, false, {PART(2, 0, 0, 50), {WEIR__PART, 2, 0, 99, 50, 49, false}}},
    {"a part after the end", 1, false, {END(2, 0, 0), PART(2, 0, 0, 100)}},
    {"two ends", 1, false, {END(2, 0, 0), END(0, 0, 0), END(2, 0, 0)}},
    {"a part too few", 1, false, {PART(2, 1, 0, 100), END(2, 2, 100)}},
    {"a part too many", 1, false, {PART(2, 1, 0, 100), PART(2, 2, 0, 100), END(2, 1, 200)}},
    {"a byte too few", 1, false, {PART(2, 1, 0, 100), END(2, 1, 101)}},
    {"an end amid a part", 1, false, {PART(2, 1, 0, 99), END(2, 1, 100)}},
    {"another one's parts", 1, false, {PART(2, 1, 0, 100), END(0, 1, 100)}},
    {"a part in a barrier", 1, true, {PART(2, 0, 0, 100)}},
    {"an end in a barrier", 1, true, {END(2, 0, 0)}},
    {"GO in a barrier", 1, true, {GO}},
    {"used without a hello", 0, false, {{.kind = WEIR__MERGED, .from = 1}}},
    {"used twice",
     0,
     false,
     {{.kind = WEIR__HELLO, .from = 1},
      {.kind = WEIR__HELLO, .from = 2},
      {.kind = WEIR__MERGED, .from = 2},
      {.kind = WEIR__MERGED, .from = 2}}},
    {"used in a barrier", 0, true, {{.kind = WEIR__HELLO, .from = 1}, {WEIR__MERGED, .from = 1}}},
};

static void the_call_fails__when_a_message_cannot_be(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        const struct script *script = &scripts[i];
        struct alone alone;

        alone_begin(&alone, script->node, !script->plain);
        for (const struct step *step = script->steps; step->kind != 0; step++) {
            if (alone.call.halted)
                fail_msg("%s: step %d is refused", script->what, (int)(step - script->steps) - 1);
            feed(&alone, *step);
        }
        if (!alone.call.halted || alone.code != -EBADMSG)
            fail_msg("%s: code %d", script->what, alone.code);
        alone_end(&alone);
    }
}

static void send_two(struct alone *alone)
{
    static const unsigned char data[200];

    for (int i = 0; i < 2; i++) {
        unsigned char *front = calloc(1, 10);

        assert_non_null(front);
        weir__collective_send_part(&alone->call, 2 * i, i, front, 10, data, sizeof data);
    }
}

static void nothing_is_sent__before_all_have_made_the_call(void **state)
{
    struct alone alone;

    (void)state;
    alone_begin(&alone, 1, true);
    send_two(&alone);
    weir__collective_tick(&alone.call, 3);
    assert_int_equal(alone.sent[WEIR__PART], 0);
    assert_false(weir__collective_may_produce(&alone.call));
    feed(&alone, (struct step)GO);
    assert_true(alone.sent[WEIR__PART] > 0);
    assert_true(weir__collective_may_produce(&alone.call));
    assert_int_equal(alone.sent[WEIR__PARTS_END], 0);
    alone_end(&alone);
}

static void the_end_is_said__when_all_parts_have_left(void **state)
{
    struct alone alone;

    (void)state;
    alone_begin(&alone, 1, true);
    feed(&alone, (struct step)GO);
    alone.full = true;
    send_two(&alone);
    weir__collective_produced(&alone.call);
    assert_false(weir__collective_may_produce(&alone.call));
    feed(&alone, (struct step)END(0, 0, 0));
    feed(&alone, (struct step)END(2, 0, 0));
    assert_false(weir__collective_is_fed(&alone.call));
    alone.full = false;
    weir__collective_tick(&alone.call, 3);
    assert_int_equal(alone.sent[WEIR__PARTS_END], 2);
    assert_false(alone.parts_after_end);
    assert_true(weir__collective_is_fed(&alone.call));
    weir__collective_merged(&alone.call, (struct weir__counts){1, 2});
    assert_int_equal(alone.sent[WEIR__MERGED], 1);
    assert_false(weir__collective_is_fed(&alone.call));
    alone_end(&alone);
}

static void nothing_goes_on__when_the_node_has_failed(void **state)
{
    struct alone alone;

    (void)state;
    alone_begin(&alone, 1, true);
    feed(&alone, (struct step)GO);
    cancel(&alone.call);
    assert_false(weir__collective_may_produce(&alone.call));
    send_two(&alone);
    weir__collective_produced(&alone.call);
    feed(&alone, (struct step)END(0, 0, 0));
    feed(&alone, (struct step)END(2, 0, 0));
    assert_false(weir__collective_is_fed(&alone.call));
    weir__collective_merged(&alone.call, (struct weir__counts){1, 2});
    assert_int_equal(alone.sent[WEIR__PART], 0);
    assert_int_equal(alone.sent[WEIR__MERGED], 0);
    assert_int_equal(alone.sent[WEIR__FAILED], 1);
    alone_end(&alone);
}

static void what_is_old_changes_nothing(void **state)
{
    struct alone alone;
    struct step old[] = {GO, PART(2, 0, 0, 100), END(2, 1, 100)};

    (void)state;
    alone_begin(&alone, 1, true);
    weir__collective_free(&alone.call);
    weir__collective_begin(&alone.call, &alone.link, &alone.spec, 1);
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        old[i].old = true;
        feed(&alone, old[i]);
    }
    assert_false(alone.call.halted);
    assert_false(weir__collective_may_produce(&alone.call));
    assert_int_equal(alone.landed[0][0], 0);
    feed(&alone, (struct step)PART(2, 0, 0, 100));
    feed(&alone, (struct step)END(2, 1, 100));
    assert_false(alone.call.halted);
    assert_int_equal(alone.landed[0][0], 7);
    alone_end(&alone);
}

static void parts_are_refused__when_there_was_no_memory_for_the_call(void **state)
{
    struct alone alone = {.port = {&alone_functions, 1, 3}};

    (void)state;
    if (ADDRESS_SANITIZER) /* which ends the program where so much is asked for */
        skip();
    alone.spec = (struct weir__collective_spec){.exchanges = true, .parts = INT64_MAX / 2};
    assert_int_equal(weir__link_init(&alone.link, &alone.port, NULL, 60000 * SIM_MS), 0);
    weir__collective_begin(&alone.call, &alone.link, &alone.spec, 1);
    assert_int_equal(alone.code, -ENOMEM);
    feed(&alone, (struct step)PART(2, 0, 0, 100));
    assert_int_equal(alone.code, -EBADMSG);
    feed(&alone, (struct step)END(2, 0, 0));
    alone_end(&alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_parts_come__when_nothing_goes_wrong),
        cmocka_unit_test(all_parts_come__when_ports_have_no_memory_and_old_messages_come),
        cmocka_unit_test(a_thousand_nodes_get_their_parts),
        cmocka_unit_test(all_get_the_same_error__when_a_block_fails),
        cmocka_unit_test(all_get_the_same_error__when_there_is_no_room_for_a_part),
        cmocka_unit_test(all_get_the_same_error__when_node_0_has_no_room_for_a_part),
        cmocka_unit_test(all_get_an_error__when_one_node_makes_another_call),
        cmocka_unit_test(all_get_an_error__when_a_node_is_lost_in_any_phase),
        cmocka_unit_test(all_return__when_a_node_is_lost_after_its_last_part),
        cmocka_unit_test(all_are_cancelled__when_one_is_in_any_phase),
        cmocka_unit_test(all_get_the_same__when_one_is_cancelled_after_its_last_part),
        cmocka_unit_test(all_time_out__when_a_phase_takes_too_long),
        cmocka_unit_test(all_get_an_error__when_a_node_has_ended),
        cmocka_unit_test(nothing_breaks__when_messages_are_damaged),
        cmocka_unit_test(the_call_fails__when_a_message_cannot_be),
        cmocka_unit_test(nothing_is_sent__before_all_have_made_the_call),
        cmocka_unit_test(the_end_is_said__when_all_parts_have_left),
        cmocka_unit_test(nothing_goes_on__when_the_node_has_failed),
        cmocka_unit_test(what_is_old_changes_nothing),
        cmocka_unit_test(parts_are_refused__when_there_was_no_memory_for_the_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
