/* SPDX-License-Identifier: MIT
 *
 * sim_look.c: what must be true after a simulated call.
 */
#include "sim_look.h"

#include "leak.h"
#include "sim_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Nothing is sent before all have made the call, but for what each says to node 0. */
#define KEPT_MOST ((size_t)256 << 10)

void sim_assert_well(const struct sim_outcome *outcome, const struct sim_call *call, void *arg)
{
    const struct sim_config *config = arg;
    const struct sim_accumulator expected = call->kind == WEIR__CLUSTER_REDUCE
                                                ? sim_expected(call, config->nodes)
                                                : (struct sim_accumulator){0};

    for (int64_t i = 0; i < outcome->blocks; i++)
        assert_int_equal(outcome->ran[i], 1);
    for (int i = 0; i < config->nodes; i++) {
        const struct sim_result *result = &outcome->results[i];

        if (result->code != 0)
            fail_msg("node %d of %d, call %d, seed %u: %s", i, config->nodes, outcome->calls,
                     config->seed, result->error.error.message);
        assert_true(result->returned);
        if (call->kind == WEIR__CLUSTER_REDUCE && call->length > 0)
            assert_memory_equal(&result->value, &expected, sizeof expected);
    }
    assert_int_equal(outcome->left, 0);
    if (sim_exchanges(call->kind))
        assert_in_range(outcome->most_kept, 0, KEPT_MOST);
}

void sim_assert_error(const struct sim_outcome *outcome, const struct sim_call *call, void *arg)
{
    const struct sim_expected *expected = arg;
    const weir_cluster_error *first = NULL;
    int code = 0;

    (void)call;
    if (outcome->calls >= expected->failing)
        code = outcome->calls == expected->failing ? expected->code : expected->later;
    for (int i = 0; i < expected->nodes; i++) {
        const struct sim_result *result = &outcome->results[i];

        if (result->dead)
            continue;
        if (result->code != code)
            fail_msg("call %d, node %d: code %d, expected %d (%s)", outcome->calls, i, result->code,
                     code, result->error.error.message);
        if (outcome->calls != expected->failing)
            continue;
        if (strstr(result->error.error.message, expected->part) == NULL)
            fail_msg("the message does not have \"%s\": %s", expected->part,
                     result->error.error.message);
        if (first == NULL)
            first = &result->error;
        assert_int_equal(result->error.node, first->node);
        assert_string_equal(result->error.error.message, first->error.message);
    }
}

void sim_odd_argument(struct weir__collective_spec *spec)
{
    spec->refused = (weir_error){.code = -EINVAL, .message = "refused"};
}

void sim_run_odd(const struct sim_config *config, const struct sim_call *call,
                 const struct sim_odd *odds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int node = 1; node < config->nodes; node++) {
            struct sim_call calls[3] = {*call, *call, *call};
            struct sim_config own = *config;
            struct sim_expected expected = {
                .nodes = own.nodes, .code = odds[i].code, .part = odds[i].part, .failing = 2};

            own.seed = (unsigned)node;
            calls[1].odd = odds[i].odd;
            calls[1].odd_node = node;
            sim_run(&own, calls, 3, sim_assert_error, &expected);
        }
}

struct returns {
    int nodes, *count;
};

static void count_returns(const struct sim_outcome *outcome, const struct sim_call *call, void *arg)
{
    const struct returns *returns = arg;

    (void)call;
    for (int i = 0; i < returns->nodes; i++)
        returns->count[outcome->results[i].returned]++;
}

void sim_run_damaged(const struct sim_config *config, const struct sim_call *calls, int count,
                     int returns[2])
{
    struct sim_call *own = malloc((size_t)count * sizeof *own);

    assert_non_null(own);
    memcpy(own, calls, (size_t)count * sizeof *own);
    for (int i = 0; i < count; i++) {
        own[i].timeout_ms = 20000;
        own[i].damaged = true;
    }
    sim_run(config, own, count, count_returns, &(struct returns){config->nodes, returns});
    free(own);
}
