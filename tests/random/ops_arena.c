/* SPDX-License-Identifier: MIT
 *
 * ops_arena.c: arenas with linked lists in them, and memory of the scope that workers write.
 */
#include "ops.h"

#define ARENAS 3

struct node {
    struct node *next;
    uint64_t number;
    uint64_t size; /* of all of it */
    unsigned char rest[];
};

struct arena_place {
    weir_arena *arena; /* NULL: none here */
    struct scope_place *scope;
    struct node *first; /* the newest */
    uint64_t count;
    size_t size;
};

static struct arena_place *place_of(struct lane *lane, unsigned number)
{
    if (lane->arenas == NULL)
        lane->arenas = calloc(ARENAS, sizeof *lane->arenas);
    if (lane->arenas == NULL)
        abort();
    return &lane->arenas[number % ARENAS];
}

static bool is_whole(const struct node *node)
{
    const size_t rest = node->size - sizeof *node;

    for (size_t i = 0; i < rest; i++)
        if (node->rest[i] != (unsigned char)(node->number + i))
            return false;
    return true;
}

static void check_arena(struct arena_place *place)
{
    uint64_t number = place->count;

    for (const struct node *node = place->first; node != NULL; node = node->next) {
        MUST(node->number == --number, "node %llu", (unsigned long long)number);
        MUST(is_whole(node), "node %llu is overwritten", (unsigned long long)number);
    }
    MUST(number == 0, "%llu nodes are missing", (unsigned long long)number);
    MUST(weir_arena_size(place->arena) == place->size, "%zu bytes, not %zu",
         weir_arena_size(place->arena), place->size);
}

static void make_arena(struct lane *lane, const struct op *op)
{
    struct arena_place *place = place_of(lane, op->n[0]);
    struct scope_place *scope = scope_of(op->n[1]);

    if (place->arena != NULL || scope == NULL)
        return;
    place->scope = scope;
    place->arena = weir_scope_arena(scope->scope, pick(op, 2, 2) == 0 ? 65536 : 0);
    MUST(place->arena != NULL, "an arena");
    check_arena(place);
}

static void grow_arena(struct lane *lane, const struct op *op)
{
    struct arena_place *place = place_of(lane, op->n[0]);
    unsigned count = 1 + draw(&lane->seed, 20);

    if (place->arena == NULL)
        return;
    while (count-- > 0) {
        size_t size = sizeof(struct node) + draw(&lane->seed, one_in(&lane->seed, 5) ? 20000 : 60);
        struct node *node = weir_arena_alloc(place->arena, size);

        MUST(node != NULL && (uintptr_t)node % 16 == 0, "%zu bytes", size);
        for (size_t i = 0; i < size; i++)
            MUST(((unsigned char *)node)[i] == 0, "byte %zu of new memory", i);
        *node = (struct node){.next = place->first, .number = place->count++, .size = size};
        for (size_t i = 0; i < size - sizeof *node; i++)
            node->rest[i] = (unsigned char)(node->number + i);
        place->first = node;
        place->size += (size + 15) / 16 * 16;
    }
    REFUSED_NULL("weir_arena_alloc", weir_arena_alloc(place->arena, 0), -EINVAL);
    REFUSED_NULL("weir_arena_alloc", weir_arena_alloc(place->arena, SIZE_MAX), -EINVAL);
    check_arena(place);
}

static int walk(weir_task *task, weir_range range, void *arg)
{
    const struct node *node = *(struct node *const *)arg;
    int64_t count = 0;

    for (; node != NULL; node = node->next)
        count += is_whole(node);
    return count == range.end ? 0 : weir_task_fail(task, 1, "%lld nodes", (long long)count);
}

/* A pointer means the same in a worker, whenever the memory was taken. */
static void walk_arena(struct lane *lane, const struct op *op)
{
    struct arena_place *place = place_of(lane, op->n[0]);
    struct pool_place *pool = pool_of(op->n[1]);
    weir_job_options options = {.chunks = 1, .arg_size = sizeof place->first, .retries = 30};
    int code;

    if (place->arena == NULL || pool == NULL || pool->scope != place->scope)
        return;
    code = weir_pool_for(pool->pool, (weir_range){(int64_t)place->count - 1, (int64_t)place->count},
                         walk, &place->first, &options);
    ALLOW("walking an arena", code, -ECANCELED, WEIR_EDIED);
    if (code == WEIR_EDIED)
        MUST(atomic_load(&pool->supervisor_gone), "died");
}

static void free_arena(struct lane *lane, const struct op *op)
{
    struct arena_place *place = place_of(lane, op->n[0]);

    if (place->arena == NULL)
        return;
    check_arena(place);
    weir_arena_free(place->arena);
    *place = (struct arena_place){0};
}

/* Items by their address, and their array. */
static void take_items(struct lane *lane, const struct op *op)
{
    struct scope_place *scope = scope_of(op->n[0]);
    size_t length = 1 + draw(&lane->seed, 3000);
    double *items;
    weir_array *array;

    if (scope == NULL)
        return;
    items = weir_scope_doubles(scope->scope, length);
    MUST(items != NULL && (uintptr_t)items % 4096 == 0, "%zu doubles", length);
    for (size_t i = 0; i < length; i++)
        MUST(items[i] == 0, "item %zu", i);
    array = weir_scope_array_at(scope->scope, &items[length - 1]);
    MUST(array != NULL && weir_array_data(array) == items, "the array of the items");
    MUST(weir_array_len(array) == (int64_t)length, "length");
    REFUSED_NULL("weir_scope_array_at", weir_scope_array_at(scope->scope, &length), -ENOENT);
    if (one_in(&lane->seed, 2)) {
        SUCCEEDS(weir_shm_unlink(weir_array_shm(array)));
        weir_array_close(array);
    }
}

static void check(struct lane *lane)
{
    for (unsigned i = 0; lane->arenas != NULL && i < ARENAS; i++)
        if (lane->arenas[i].arena != NULL)
            check_arena(&lane->arenas[i]);
}

static void leave_scope(struct lane *lane, struct scope_place *scope, bool orderly)
{
    for (unsigned i = 0; lane->arenas != NULL && i < ARENAS; i++) {
        struct arena_place *place = &lane->arenas[i];

        if (place->arena == NULL || place->scope != scope)
            continue;
        check_arena(place);
        if (orderly)
            weir_arena_free(place->arena);
        *place = (struct arena_place){0};
    }
}

static void leave(struct lane *lane)
{
    free(lane->arenas);
    lane->arenas = NULL;
}

static const struct kind kinds[] = {
    {"make_arena", 2, false, false, make_arena}, {"grow_arena", 4, false, false, grow_arena},
    {"walk_arena", 3, false, false, walk_arena}, {"free_arena", 1, false, false, free_arena},
    {"take_items", 2, false, false, take_items}, {0},
};

const struct family arena_family = {
    .name = "arena",
    .kinds = kinds,
    .weight = 1,
    .leave_scope = leave_scope,
    .check = check,
    .leave = leave,
};
