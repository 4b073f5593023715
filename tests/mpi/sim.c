/* SPDX-License-Identifier: MIT
 *
 * sim.c: nodes of a cluster in one process, in virtual time.
 */
#include "sim.h"

#include "leak.h"
#include "sim_parts.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS   2
#define FOREVER INT64_MAX

enum what { DELIVER, DONE, MERGE, TICK, ENTER, DIE, CANCEL };

struct event {
    int64_t at_ns;
    uint64_t order;
    enum what what;
    int node, from;
    int64_t block; /* or the number of a call */
    size_t size;
    void *data;
};

struct node {
    struct weir__port port;
    struct sim *sim;
    struct weir__link link;
    struct weir__collective call;
    struct weir__collective_spec spec;
    bool in_call, dead;
    double speed;
    int64_t free_ns; /* when its workers are through */
    int running;
    struct event *inbox; /* what came between two calls */
    size_t inbox_count, inbox_room, inbox_size;
    unsigned char *bytes; /* of a broadcast */
    struct sim_parts parts;
};

struct sim {
    const struct sim_config *config;
    const struct sim_call *calls;
    int count, number; /* number: of the call that is looked at, from 0 */
    struct node *nodes;
    struct event *heap;
    size_t heap_count, heap_room;
    uint64_t order, random;
    int64_t now_ns, busy_ns;
    int64_t *last_ns; /* [from * nodes + to]: when the latest message arrives */
    struct event old; /* a message that is sent again */
    struct sim_outcome outcome;
    int left; /* nodes that have not returned */
};

static double draw(struct sim *sim)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return (double)(sim->random >> 11) / (double)(UINT64_C(1) << 53);
}

/* ---- events ---- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void push(struct sim *sim, struct event event)
{
    size_t i = sim->heap_count++;

    if (event.order == 0)
        event.order = ++sim->order;
    if (i == sim->heap_room) {
        sim->heap_room = sim->heap_room > 0 ? 2 * sim->heap_room : 1024;
        sim->heap = realloc(sim->heap, sim->heap_room * sizeof *sim->heap);
        assert_non_null(sim->heap);
    }
    for (; i > 0 && is_before(&event, &sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
        sim->heap[i] = sim->heap[(i - 1) / 2];
    sim->heap[i] = event;
}

static struct event pop(struct sim *sim)
{
    const struct event first = sim->heap[0], moved = sim->heap[--sim->heap_count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && is_before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!is_before(&sim->heap[child], &moved))
            break;
        sim->heap[i] = sim->heap[child];
        i = child;
    }
    sim->heap[i] = moved;
    return first;
}

/* ---- the port ---- */

static struct node *node_of(const struct weir__port *port)
{
    return (struct node *)(void *)((char *)(uintptr_t)port - offsetof(struct node, port));
}

static void *copy_of(const void *data, size_t size)
{
    void *copy = malloc(size + 1);

    assert_non_null(copy);
    memcpy(copy, data, size);
    return copy;
}

static void remember(struct sim *sim, int from, int to, const void *data, size_t size)
{
    if (!sim->config->late_messages || (sim->old.data != NULL && draw(sim) > 0.05))
        return;
    free(sim->old.data);
    sim->old = (struct event){
        .what = DELIVER, .node = to, .from = from, .data = copy_of(data, size), .size = size};
}

static void corrupt(struct sim *sim, unsigned char *data, size_t size)
{
    if (sim->config->corrupt > 0 && draw(sim) < sim->config->corrupt)
        data[(size_t)(draw(sim) * (double)(size < 64 ? size : 64))] ^=
            (unsigned char)(1U << (unsigned)(draw(sim) * 8));
}

static int sim_send(struct weir__port *port, int to, const void *data, size_t size)
{
    struct node *node = node_of(port);
    struct sim *sim = node->sim;
    int64_t *last_ns = &sim->last_ns[port->node * port->nodes + to];
    int64_t at_ns = sim->now_ns + sim->config->delay_ns;
    void *copy;

    assert_in_range(to, 0, port->nodes - 1);
    assert_int_not_equal(to, port->node);
    assert_true(size <= WEIR__PORT_MESSAGE_MAX);
    if (sim->config->refuse > 0 && draw(sim) < sim->config->refuse)
        return -ENOMEM;
    at_ns += (int64_t)(draw(sim) * (double)sim->config->jitter_ns);
    if (at_ns <= *last_ns)
        at_ns = *last_ns + 1;
    *last_ns = at_ns;
    sim->outcome.messages++;
    sim->outcome.bytes += size;
    remember(sim, port->node, to, data, size);
    copy = copy_of(data, size);
    corrupt(sim, copy, size);
    push(sim, (struct event){.at_ns = at_ns,
                             .what = DELIVER,
                             .node = to,
                             .from = port->node,
                             .data = copy,
                             .size = size});
    return 0;
}

static size_t sim_unsent(const struct weir__port *port)
{
    (void)port;
    return 0;
}

static const struct weir__port_functions functions = {.send = sim_send, .unsent = sim_unsent};

/* ---- what is reduced ---- */

static void combine(void *into, const void *from, void *arg)
{
    struct sim_accumulator *a = into;
    const struct sim_accumulator *b = from;

    (void)arg;
    a->sum = a->sum * 1.0000001 + b->sum;
    a->order = (a->order * UINT64_C(0x9e3779b97f4a7c15)) ^ (b->order + (a->order >> 29));
}

static struct sim_accumulator of_chunk(int64_t chunk)
{
    return (struct sim_accumulator){.sum = 1.0 / (double)(chunk + 3),
                                    .order = (uint64_t)(chunk + 1) * UINT64_C(0xd1342543de82ef95)};
}

/* As weir_pool_reduce() does it: see pool/jobs/reduce.c, combine_all(). */
static struct sim_accumulator tree(int64_t first, int64_t count)
{
    struct sim_accumulator *all = calloc((size_t)count + 1, sizeof *all), result;

    assert_non_null(all);
    for (int64_t i = 0; i < count; i++)
        all[i] = of_chunk(first + i);
    for (int64_t step = 1; step < count; step *= 2)
        for (int64_t i = 0; i + step < count; i += 2 * step)
            combine(&all[i], &all[i + step], NULL);
    result = all[0];
    free(all);
    return result;
}

static bool has_blocks(const struct sim_call *call)
{
    return call->kind == WEIR__CLUSTER_FOR || call->kind == WEIR__CLUSTER_REDUCE ||
           call->kind == WEIR__CLUSTER_MAP_REDUCE;
}

static size_t size_of(const struct sim_call *call)
{
    return call->size > 0 ? call->size : sizeof(struct sim_accumulator);
}

struct sim_accumulator sim_expected(const struct sim_call *call, int nodes)
{
    struct weir__cut cut;

    assert_int_equal(weir__cut_init(&cut, weir_range_of(call->length), call->chunks, call->grain,
                                    call->block, nodes),
                     0);
    return tree(0, cut.chunks);
}

/* ---- a node ---- */

static void make_spec(struct node *node, const struct sim_call *call)
{
    struct weir__collective_spec *spec = &node->spec;
    int64_t *print = spec->print.value;

    *spec = (struct weir__collective_spec){.stay = call->stay,
                                           .keep_going = call->keep_going,
                                           .timeout_ns = call->timeout_ms * SIM_MS};
    if (has_blocks(call))
        assert_int_equal(weir__cut_init(&spec->cut, weir_range_of(call->length), call->chunks,
                                        call->grain, call->block, node->port.nodes),
                         0);
    print[WEIR__PRINT_KIND] = call->kind;
    print[WEIR__PRINT_END] = call->length;
    print[WEIR__PRINT_CHUNKS] = call->chunks;
    print[WEIR__PRINT_GRAIN] = call->grain;
    print[WEIR__PRINT_STAY] = call->stay;
    if (call->kind == WEIR__CLUSTER_REDUCE) {
        spec->size = size_of(call);
        spec->combine = combine;
    }
    if (call->kind == WEIR__CLUSTER_BROADCAST) {
        node->bytes = calloc(1, call->size + 1);
        for (size_t i = 0; i < call->size && node->port.node == call->from; i++)
            node->bytes[i] = (unsigned char)(i * 7 + 1);
        spec->data = node->bytes;
        spec->size = call->size;
        spec->from = call->from;
    }
    if (sim_exchanges(call->kind)) {
        spec->exchanges = true;
        spec->parts = has_blocks(call) ? spec->cut.blocks : node->port.nodes;
        spec->land = sim_parts_land;
        spec->owner = &node->parts;
        sim_parts_begin(&node->parts, call, (int)node->link.call + 1, node->port.node,
                        node->port.nodes, spec->parts);
    }
    print[WEIR__PRINT_SIZE] = (int64_t)spec->size;
    if (call->odd != NULL && call->odd_node == node->port.node)
        call->odd(spec);
}

static int64_t cost_of(const struct sim *sim, int64_t block, int64_t blocks)
{
    double cost = (double)sim->config->block_ns;

    cost *= 1 + sim->config->ramp * (double)block / (double)blocks;
    if (sim->config->tail > 0 && block >= blocks * 15 / 16)
        cost *= sim->config->tail;
    return (int64_t)cost;
}

static void check_bytes(const struct node *node, const struct sim_call *call)
{
    for (size_t i = 0; i < call->size; i++)
        if (node->bytes[i] != (unsigned char)(i * 7 + 1))
            fail_msg("node %d: byte %zu of a broadcast differs", node->port.node, i);
}

static void check_exchange(const struct node *node)
{
    const struct weir__counts *counts =
        (const struct weir__counts *)(const void *)node->call.result.data;

    if (!node->parts.merged)
        fail_msg("node %d has not used what came, and the call is over", node->port.node);
    for (int i = 0; i < node->port.nodes; i++) {
        const struct weir__counts expected = sim_parts_counts((int)node->link.call, i);

        assert_memory_equal(&counts[i], &expected, sizeof expected);
    }
}

static void free_call(struct node *node)
{
    weir__collective_free(&node->call);
    free(node->bytes);
    node->bytes = NULL;
    sim_parts_end(&node->parts);
    node->in_call = false;
    node->sim->left--;
}

static void finish(struct node *node)
{
    struct sim *sim = node->sim;
    const struct sim_call *call = &sim->calls[node->link.call - 1];
    struct sim_result *result = &sim->outcome.results[node->port.node];

    result->returned = true;
    result->at_ns = sim->now_ns;
    result->error = node->call.outcome;
    result->code = node->call.outcome.error.code;
    if (call->kind == WEIR__CLUSTER_REDUCE && result->code == 0 && node->call.result.total > 0)
        memcpy(&result->value, node->call.result.data, sizeof result->value);
    if (call->kind == WEIR__CLUSTER_BROADCAST && result->code == 0 && !call->damaged)
        check_bytes(node, call);
    if (sim_exchanges(call->kind) && result->code == 0 && !call->damaged)
        check_exchange(node);
    free_call(node);
    if (sim->now_ns > sim->outcome.end_ns)
        sim->outcome.end_ns = sim->now_ns;
}

/* What is to happen in this phase of this node's call. */
static void reach(struct node *node, enum sim_phase phase)
{
    struct sim *sim = node->sim;
    const struct sim_config *config = sim->config;
    const int number = node->port.node;

    if (config->phase != phase || config->phase_call != node->link.call)
        return;
    if (config->cancel != NULL && config->cancel_node == number)
        push(sim, (struct event){.at_ns = sim->now_ns + config->cancel_ns,
                                 .what = CANCEL,
                                 .node = number,
                                 .block = node->link.call});
    else if (config->cancel == NULL && config->dead_node == number)
        push(sim,
             (struct event){.at_ns = sim->now_ns + config->dead_ns, .what = DIE, .node = number});
}

static void exchange(struct node *node)
{
    struct sim *sim = node->sim;

    if (weir__collective_may_produce(&node->call)) {
        sim_parts_rest(&node->parts, &node->call);
        reach(node, SIM_EXCHANGES);
        weir__collective_produced(&node->call);
    }
    if (node->parts.merging || !weir__collective_is_fed(&node->call))
        return;
    node->parts.merging = true;
    reach(node, SIM_MERGES);
    push(sim, (struct event){.at_ns = sim->now_ns + sim->config->merge_ns,
                             .what = MERGE,
                             .node = node->port.node,
                             .block = node->link.call});
}

static void go_on(struct node *node)
{
    struct sim *sim = node->sim;
    int64_t block;

    while (node->running < SLOTS && (block = weir__collective_take_block(&node->call)) >= 0) {
        const double cost = (double)cost_of(sim, block, node->spec.cut.blocks) * node->speed;

        if (node->free_ns < sim->now_ns)
            node->free_ns = sim->now_ns;
        node->free_ns += (int64_t)cost;
        node->running++;
        push(sim,
             (struct event){
                 .at_ns = node->free_ns, .what = DONE, .node = node->port.node, .block = block});
    }
    if (node->spec.exchanges)
        exchange(node);
    if (node->running == 0 && weir__collective_is_over(&node->call))
        finish(node);
}

static void merge(struct node *node)
{
    struct sim *sim = node->sim;

    if (!sim->calls[sim->number].damaged)
        sim_parts_check(&node->parts, node->spec.cut.blocks > 0 ? sim->outcome.ran : NULL);
    node->parts.merged = true;
    weir__collective_merged(&node->call, sim_parts_counts((int)node->link.call, node->port.node));
    reach(node, SIM_HAS_MERGED);
    go_on(node);
}

static void end_block(struct node *node, int64_t block)
{
    struct sim *sim = node->sim;
    const struct sim_call *call = &sim->calls[node->link.call - 1];
    unsigned char *accumulator = calloc(1, size_of(call));
    weir_error error = {.code = WEIR_EFAILED, .worker = 1, .exit_status = -1, .message = "bad"};
    struct sim_accumulator value;

    node->running--;
    if (call->fail_block > 0 && block >= call->fail_block) {
        weir__collective_block_failed(&node->call, block, &error);
    } else {
        sim->outcome.ran[block]++;
        if (node->spec.exchanges)
            sim_parts_of_block(&node->parts, &node->call, block);
        value = tree(weir__cut_first_of(&node->spec.cut, block),
                     weir__cut_chunks_of(&node->spec.cut, block));
        memcpy(accumulator, &value, sizeof value);
        weir__collective_block_done(&node->call, block, accumulator);
    }
    free(accumulator);
    go_on(node);
}

static void keep(struct node *node, struct event event)
{
    if (node->inbox_count == node->inbox_room) {
        node->inbox_room = node->inbox_room > 0 ? 2 * node->inbox_room : 8;
        node->inbox = realloc(node->inbox, node->inbox_room * sizeof *node->inbox);
        assert_non_null(node->inbox);
    }
    node->inbox[node->inbox_count++] = event;
    node->inbox_size += event.size;
}

static void note_kept(struct node *node)
{
    const size_t kept = node->inbox_size + node->link.kept.size;

    if (kept > node->sim->outcome.most_kept)
        node->sim->outcome.most_kept = kept;
}

static void receive(struct node *node, struct event event)
{
    weir__collective_receive(&node->call,
                             &(struct weir__port_message){event.from, event.size, event.data},
                             node->sim->now_ns);
    free(event.data);
}

static void tick_later(struct node *node)
{
    const bool soon = node->call.transfers.first != NULL || node->link.outbox.first != NULL;

    push(node->sim, (struct event){.at_ns = node->sim->now_ns + (soon ? SIM_MS : 200 * SIM_MS),
                                   .what = TICK,
                                   .node = node->port.node,
                                   .block = node->link.call});
}

static void say_bye(struct node *node)
{
    struct weir__bad_news news;

    memset(&news, 0, sizeof news);
    news.header = weir__header_of(WEIR__BYE, node->link.call + 1);
    news.node = node->port.node;
    news.error = node->sim->config->say_goodbye->error;
    for (int to = 0; to < (node->port.node == 0 ? node->port.nodes : 1); to++)
        if (to != node->port.node)
            weir__link_send(&node->link, to, &news, sizeof news);
    node->sim->outcome.results[node->port.node].dead = true;
    node->dead = true;
    node->sim->left--;
}

static void enter(struct node *node)
{
    struct sim *sim = node->sim;
    size_t count = node->inbox_count;

    if (node->dead) {
        sim->left--;
        sim->outcome.results[node->port.node].dead = true;
        return;
    }
    if (sim->config->say_goodbye != NULL && sim->config->leaving_node == node->port.node &&
        node->link.call == 1) {
        say_bye(node);
        return;
    }
    if (node->link.broken.error.code != 0) {
        node->link.call++;
        sim->outcome.results[node->port.node] =
            (struct sim_result){.code = node->link.broken.error.code, .returned = true};
        sim->left--;
        return;
    }
    make_spec(node, &sim->calls[sim->number]);
    node->in_call = true;
    weir__collective_begin(&node->call, &node->link, &node->spec, sim->now_ns);
    if (sim->old.data != NULL && sim->old.node == node->port.node && sim->number > 0 &&
        ((struct weir__header *)sim->old.data)->call < node->link.call) {
        const struct event old = sim->old;

        sim->old.data = NULL;
        receive(node, old);
    }
    for (size_t i = 0; i < count; i++)
        receive(node, node->inbox[i]);
    node->inbox_count = node->inbox_size = 0;
    reach(node, SIM_MAPS);
    tick_later(node);
    go_on(node);
}

static void die(struct node *node)
{
    struct sim *sim = node->sim;

    node->dead = true;
    sim->outcome.results[node->port.node].dead = true;
    if (node->in_call)
        free_call(node);
}

static void deliver(struct node *node, struct event event)
{
    struct sim *sim = node->sim;

    if (node->dead) {
        free(event.data);
    } else if (node->port.node == 0 && sim->now_ns < sim->busy_ns) {
        event.at_ns = sim->busy_ns;
        push(sim, event);
    } else if (!node->in_call) {
        keep(node, event);
    } else {
        if (node->port.node == 0) {
            sim->busy_ns = sim->now_ns + sim->config->serve_ns;
            sim->outcome.lead_busy_ns += sim->config->serve_ns;
        }
        receive(node, event);
        go_on(node);
    }
    note_kept(node);
}

static void happen(struct sim *sim, struct event event)
{
    struct node *node = &sim->nodes[event.node];

    switch (event.what) {
    case DELIVER:
        deliver(node, event);
        break;
    case ENTER:
        enter(node);
        break;
    case DIE:
        die(node);
        break;
    case DONE:
        if (!node->dead)
            end_block(node, event.block);
        break;
    case MERGE:
        if (node->in_call && event.block == node->link.call)
            merge(node);
        break;
    case TICK:
        if (!node->in_call || event.block != node->link.call)
            break;
        weir__collective_tick(&node->call, sim->now_ns);
        tick_later(node);
        go_on(node);
        break;
    case CANCEL:
        if (node->in_call && (event.block == 0 || event.block == node->link.call))
            sim->config->cancel(&node->call);
        break;
    }
}

/* ---- a call ---- */

static void prepare(struct sim *sim, const struct sim_call *call)
{
    struct sim_outcome *outcome = &sim->outcome;
    double speed = 0, cost = 0;
    struct weir__cut cut = {0};

    if (has_blocks(call))
        assert_int_equal(weir__cut_init(&cut, weir_range_of(call->length), call->chunks,
                                        call->grain, call->block, sim->config->nodes),
                         0);
    outcome->blocks = cut.blocks;
    outcome->ran = calloc((size_t)cut.blocks + 1, sizeof *outcome->ran);
    memset(outcome->results, 0, (size_t)sim->config->nodes * sizeof *outcome->results);
    outcome->messages = outcome->bytes = 0;
    outcome->lead_busy_ns = 0;
    outcome->most_kept = 0;
    outcome->begin_ns = sim->now_ns;
    outcome->calls++;
    for (int i = 0; i < sim->config->nodes; i++)
        speed += 1 / sim->nodes[i].speed;
    for (int64_t i = 0; i < cut.blocks; i++)
        cost += (double)cost_of(sim, i, cut.blocks);
    outcome->ideal_ns = cost / speed;
    sim->left = sim->config->nodes;
}

/* A node that was told something else than what was sent may wait for ever. */
static void give_up(struct sim *sim, const struct sim_call *call)
{
    if (!call->damaged)
        fail_msg("call %d: %d nodes do not return", sim->outcome.calls, sim->left);
    for (int i = 0; i < sim->config->nodes; i++)
        if (sim->nodes[i].in_call)
            die(&sim->nodes[i]);
}

static void run_call(struct sim *sim, const struct sim_call *call)
{
    prepare(sim, call);
    for (int i = 0; i < sim->config->nodes; i++) {
        int64_t at_ns = sim->now_ns + (int64_t)(draw(sim) * (double)sim->config->jitter_ns);

        if (call->late_node == i && call->late_ms > 0)
            at_ns += call->late_ms * SIM_MS;
        push(sim, (struct event){.at_ns = at_ns, .what = ENTER, .node = i});
    }
    while (sim->left > 0 && sim->heap_count > 0) {
        const struct event event = pop(sim);

        sim->now_ns = event.at_ns;
        if (sim->now_ns > sim->outcome.begin_ns + 1000 * 1000 * SIM_MS)
            give_up(sim, call);
        happen(sim, event);
    }
    if (sim->left > 0)
        fail_msg("call %d: %d nodes do not return, and nothing happens", sim->outcome.calls,
                 sim->left);
}

static void begin(struct sim *sim)
{
    const struct sim_config *config = sim->config;
    const size_t nodes = (size_t)config->nodes;

    sim->random = config->seed * UINT64_C(0x9e3779b97f4a7c15) + 77;
    sim->nodes = calloc(nodes, sizeof *sim->nodes);
    sim->last_ns = calloc(nodes * nodes, sizeof *sim->last_ns);
    sim->outcome.results = calloc(nodes, sizeof *sim->outcome.results);
    assert_non_null(sim->nodes);
    for (int i = 0; i < config->nodes; i++) {
        struct node *node = &sim->nodes[i];

        *node = (struct node){.port = {&functions, i, config->nodes}, .sim = sim};
        node->speed = 0.95 + 0.1 * draw(sim);
        assert_int_equal(
            weir__link_init(&node->link, &node->port, NULL,
                            config->silence_ns > 0 ? config->silence_ns : 60000 * SIM_MS),
            0);
    }
    if (config->phase != SIM_ANY_TIME)
        return;
    if (config->dead_node > 0 || config->dead_ns > 0)
        push(sim, (struct event){.at_ns = config->dead_ns, .what = DIE, .node = config->dead_node});
    if (config->cancel != NULL)
        push(sim, (struct event){
                      .at_ns = config->cancel_ns, .what = CANCEL, .node = config->cancel_node});
}

static void end(struct sim *sim)
{
    while (sim->heap_count > 0)
        free(pop(sim).data);
    for (int i = 0; i < sim->config->nodes; i++) {
        struct node *node = &sim->nodes[i];

        for (size_t j = 0; j < node->inbox_count; j++)
            free(node->inbox[j].data);
        free(node->inbox);
        weir__link_free(&node->link);
    }
    free(sim->old.data);
    free(sim->nodes);
    free(sim->heap);
    free(sim->last_ns);
    free(sim->outcome.results);
}

void sim_run(const struct sim_config *config, const struct sim_call *calls, int count,
             void (*look)(const struct sim_outcome *outcome, const struct sim_call *call,
                          void *arg),
             void *arg)
{
    struct sim sim = {.config = config, .calls = calls, .count = count};

    begin(&sim);
    for (sim.number = 0; sim.number < count; sim.number++) {
        run_call(&sim, &calls[sim.number]);
        sim.outcome.left = 0;
        for (int i = 0; i < config->nodes; i++)
            if (!sim.nodes[i].dead)
                sim.outcome.left += sim.nodes[i].link.kept.size + sim.nodes[i].link.outbox.size;
        look(&sim.outcome, &calls[sim.number], arg);
        free(sim.outcome.ran);
    }
    end(&sim);
}
