/* SPDX-License-Identifier: MIT
 *
 * sim_parts.c: what simulated nodes send each other in an exchange, and what comes.
 *
 * Of a map-reduce part b is what block b has for a node; else part n is what node n sends.
 */
#include "sim_parts.h"

#include "leak.h"
#include "shm/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST (UINT64_C(1) << 26)

struct sim_part {
    unsigned char *data; /* what has come; NULL: nothing */
    uint64_t size;
    bool own;  /* this node has it */
    bool sent; /* to the others */
};

struct shape {
    size_t front, data;
    uint64_t key;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static struct shape shape_of(const struct sim_parts *parts, int64_t part, int to)
{
    const uint64_t key = mix(((uint64_t)parts->number << 48) + ((uint64_t)part << 20) +
                             (uint64_t)to + UINT64_C(0x9e3779b97f4a7c15));
    const size_t some = (size_t)(key >> 40);
    struct shape shape = {.key = key};

    if (parts->call->every > 0 && key % (unsigned)parts->call->every != 0)
        return shape;
    switch (parts->call->every > 0 ? 2 + (key >> 16) % 4 : (key >> 16) % 8) {
    case 0:
    case 1:
        return shape;
    case 2:
        shape.front = 1 + some % 40;
        return shape;
    case 3:
    case 4:
        shape.front = 16 + some % 100;
        shape.data = 1 + some % 999;
        return shape;
    case 5:
        shape.data = 1 + some % 3000;
        return shape;
    case 6:
        shape.front = 100 + some % 5000;
        shape.data = 1 + some % 20000;
        return shape;
    default:
        shape.front = (key >> 20) % 16 == 0 ? WEIR__BYTES_MAX + some % 300000 : 8;
        shape.data = (key >> 24) % 16 == 0 ? 2 * WEIR__BYTES_MAX + some % 300000 : 70000;
        return shape;
    }
}

static unsigned char byte_at(uint64_t key, uint64_t i)
{
    return (unsigned char)((key + i * UINT64_C(0x9e3779b97f4a7c15)) >> 48);
}

static unsigned char *bytes_of(uint64_t key, size_t first, size_t count)
{
    unsigned char *bytes = malloc(count + 1);

    assert_non_null(bytes);
    for (size_t i = 0; i < count; i++)
        bytes[i] = byte_at(key, first + i);
    return bytes;
}

void sim_parts_begin(struct sim_parts *parts, const struct sim_call *call, int number, int node,
                     int nodes, int64_t count)
{
    *parts = (struct sim_parts){
        .call = call, .number = number, .node = node, .nodes = nodes, .count = count};
    parts->parts = calloc((size_t)count + 1, sizeof *parts->parts);
    assert_non_null(parts->parts);
    if (call->kind != WEIR__CLUSTER_MAP_REDUCE)
        parts->parts[node].own = true;
}

void sim_parts_end(struct sim_parts *parts)
{
    for (int64_t i = 0; i < parts->count; i++)
        free(parts->parts[i].data);
    for (size_t i = 0; i < parts->sent_count; i++)
        free(parts->sent[i]);
    free(parts->parts);
    free(parts->sent);
    *parts = (struct sim_parts){0};
}

/* ---- what goes ---- */

static bool is_for(const struct sim_parts *parts, int to)
{
    return parts->call->kind != WEIR__CLUSTER_GATHER || to == parts->call->from;
}

static const void *stays(struct sim_parts *parts, void *data)
{
    if (parts->sent_count == parts->sent_room) {
        parts->sent_room = 2 * parts->sent_room + 8;
        parts->sent = realloc(parts->sent, parts->sent_room * sizeof *parts->sent);
        assert_non_null(parts->sent);
    }
    parts->sent[parts->sent_count++] = data;
    return data;
}

static void send(struct sim_parts *parts, struct weir__collective *call, int64_t part)
{
    parts->parts[part].sent = true;
    for (int i = 1; i < parts->nodes; i++) {
        const int to = (parts->node + i) % parts->nodes;
        const struct shape shape = shape_of(parts, part, to);
        unsigned char *front = NULL;
        const void *data = NULL;

        if (!is_for(parts, to) || shape.front + shape.data == 0)
            continue;
        if (shape.front > 0)
            front = bytes_of(shape.key, 0, shape.front);
        if (shape.data > 0)
            data = stays(parts, bytes_of(shape.key, shape.front, shape.data));
        weir__collective_send_part(call, to, part, front, shape.front, data, shape.data);
    }
}

void sim_parts_rest(struct sim_parts *parts, struct weir__collective *call)
{
    for (int64_t i = 0; i < parts->count; i++)
        if (parts->parts[i].own && !parts->parts[i].sent)
            send(parts, call, i);
}

void sim_parts_of_block(struct sim_parts *parts, struct weir__collective *call, int64_t block)
{
    parts->parts[block].own = true;
    if (block % 3 != 0)
        sim_parts_rest(parts, call);
}

/* ---- what comes ---- */

unsigned char *sim_parts_land(void *owner, int64_t number, uint64_t size)
{
    struct sim_parts *parts = owner;
    struct sim_part *part = &parts->parts[number];
    const struct shape shape = shape_of(parts, number, parts->node);

    assert_in_range(number, 0, parts->count - 1);
    if (parts->refused || parts->merging || part->data != NULL)
        fail_msg("node %d, call %d: part %lld comes %s", parts->node, parts->number,
                 (long long)number,
                 parts->refused   ? "after a failure"
                 : parts->merging ? "too late"
                                  : "again");
    if (!parts->call->damaged &&
        (part->own || !is_for(parts, parts->node) || size != shape.front + shape.data))
        fail_msg("node %d, call %d: part %lld of %llu bytes must not come", parts->node,
                 parts->number, (long long)number, (unsigned long long)size);
    parts->landed++;
    if (size > LARGEST ||
        (parts->call->refuse_part == parts->landed && parts->call->refuse_node == parts->node)) {
        parts->refused = true;
        weir__fail(-ENOMEM, "no room for part %lld", (long long)number);
        return NULL;
    }
    part->size = size;
    part->data = malloc(size);
    assert_non_null(part->data);
    return part->data;
}

static void check(const struct sim_parts *parts, int64_t number, bool must)
{
    const struct sim_part *part = &parts->parts[number];
    const struct shape shape = shape_of(parts, number, parts->node);
    const uint64_t size = must ? shape.front + shape.data : 0;

    if (part->size != size)
        fail_msg("node %d, call %d: part %lld has %llu bytes instead of %llu", parts->node,
                 parts->number, (long long)number, (unsigned long long)part->size,
                 (unsigned long long)size);
    for (uint64_t i = 0; i < size; i++)
        if (part->data[i] != byte_at(shape.key, i))
            fail_msg("node %d, call %d: byte %llu of part %lld differs", parts->node, parts->number,
                     (unsigned long long)i, (long long)number);
}

void sim_parts_check(const struct sim_parts *parts, const int *ran)
{
    for (int64_t i = 0; i < parts->count; i++)
        check(parts, i,
              !parts->parts[i].own && is_for(parts, parts->node) && (ran == NULL || ran[i] > 0));
}

struct weir__counts sim_parts_counts(int number, int node)
{
    return (struct weir__counts){.keys = mix((uint64_t)number * 1000003 + (uint64_t)node),
                                 .bytes = (uint64_t)node + 1};
}
