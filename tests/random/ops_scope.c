/* SPDX-License-Identifier: MIT
 *
 * ops_scope.c: scopes and pools begin and end; what a scope tells of itself.
 */
#include "ops.h"

/* ---- begin and end --------------------------------------------------------------------------- */

static void begin_scope(struct lane *lane, const struct op *op)
{
    struct scope_place *place = &world.scopes[pick(op, 0, SCOPES)];
    weir_scope_options options = {.anonymous = pick(op, 1, 3) == 0};

    (void)lane;
    if (place->scope != NULL)
        return;
    if (pick(op, 2, 4) == 0)
        options.address_space = (size_t)1 << 34;
    *place = (struct scope_place){.anonymous = options.anonymous};
    place->scope = weir_scope_begin(&options);
    MUST(place->scope != NULL, "begin");
    MUST(weir_scope_manager_pid(place->scope) > 0, "the manager has no number");
}

static void begin_pool(struct lane *lane, const struct op *op)
{
    struct pool_place *place = &world.pools[pick(op, 0, POOLS)];
    struct scope_place *scope = scope_of(op->n[1]);
    weir_pool_options options = {.workers = 1 + (int)pick(op, 2, 3)};

    for (unsigned i = 0; scope == NULL && i < SCOPES; i++)
        scope = scope_of(i);
    if (place->pool != NULL || scope == NULL)
        return;
    if (pick(op, 3, 5) == 0)
        options.chunks_per_worker = 1 + pick(op, 2, 40);
    say(lane, "pool of %d workers, %d chunks each", options.workers,
        (int)options.chunks_per_worker);
    place->scope = scope; /* futures of the last pool here still look at its counts */
    place->workers = options.workers;
    place->fresh_workers = options.chunks_per_worker > 0;
    atomic_store(&place->supervisor_gone, false);
    atomic_store(&place->killed, false);
    atomic_store(&place->ending, false);
    place->pool = weir_pool_new(scope->scope, &options);
    MUST(place->pool != NULL, "new pool");
    MUST(weir_pool_workers(place->pool) == options.workers, "workers");
    MUST(weir_pool_supervisor_pid(place->pool) > 0, "the supervisor has no number");
}

static void finish_pool(struct lane *lane, const struct op *op)
{
    struct pool_place *place = pool_of(op->n[0]);

    if (place == NULL)
        return;
    say(lane, "pool %td ends", place - world.pools);
    end_pool(place, pick(op, 1, 3) == 0, pick(op, 2, 2) == 0);
}

static void finish_scope(struct lane *lane, const struct op *op)
{
    struct scope_place *place = scope_of(op->n[0]);

    if (place == NULL)
        return;
    say(lane, "scope %td ends", place - world.scopes);
    end_scope(place, pick(op, 1, 2) == 0);
}

/* ---- what a scope tells ---------------------------------------------------------------------- */

static void sync_scope(struct lane *lane, const struct op *op)
{
    struct scope_place *place = scope_of(op->n[0]);

    (void)lane;
    if (place != NULL)
        SUCCEEDS(weir_scope_sync(place->scope));
}

static void list_blocks(struct lane *lane, const struct op *op)
{
    struct scope_place *place = scope_of(op->n[0]);
    weir_block_info blocks[8];
    int64_t count;

    (void)lane;
    if (place == NULL)
        return;
    count = weir_scope_blocks(place->scope, blocks, 8);
    if (place->manager_gone)
        REFUSED("weir_scope_blocks", count, -EPIPE);
    else
        SUCCEEDS(count);
    for (int64_t i = 0; i < count && i < 8; i++) {
        MUST(blocks[i].name[0] != '\0' && memchr(blocks[i].name, '\0', sizeof blocks[i].name),
             "name");
        MUST(blocks[i].kind[0] != '\0', "a block without a kind");
        MUST(blocks[i].size > 0, "a block without a size");
    }
}

static void misuse_scope(struct lane *lane, const struct op *op)
{
    struct scope_place *place = scope_of(op->n[0]);
    weir_scope_options bad = {.reserved = {1}};

    (void)lane;
    REFUSED_NULL("weir_scope_begin", weir_scope_begin(&bad), -EINVAL);
    bad = (weir_scope_options){.timeout_ms = -1};
    REFUSED_NULL("weir_scope_begin", weir_scope_begin(&bad), -EINVAL);
    bad = (weir_scope_options){.authkey = "k", .authkey_size = 1};
    REFUSED_NULL("weir_scope_begin", weir_scope_begin(&bad), -EINVAL);
    bad = (weir_scope_options){.anonymous = true, .address = "/tmp/weir-random-none/s"};
    REFUSED_NULL("weir_scope_begin", weir_scope_begin(&bad), -EINVAL);
    REFUSED_NULL("weir_pool_new", weir_pool_new(NULL, NULL), -EINVAL);
    if (place == NULL)
        return;
    REFUSED_NULL("weir_scope_shm", weir_scope_shm(place->scope, 0), -EINVAL);
    REFUSED_NULL("weir_pool_new",
                 weir_pool_new(place->scope, &(weir_pool_options){.workers = WEIR_WORKERS_MAX + 1}),
                 -E2BIG);
    REFUSED_NULL("weir_pool_new", weir_pool_new(place->scope, &(weir_pool_options){.workers = -2}),
                 -EINVAL);
    if (place->anonymous)
        REFUSED_NULL("weir_scope_shm_named", weir_scope_shm_named(place->scope, "rt-name", 1),
                     -ENOTSUP);
    else
        REFUSED_NULL("weir_scope_shm_named", weir_scope_shm_named(place->scope, "weir-name", 1),
                     -EINVAL);
}

static const struct kind kinds[] = {
    {"begin_scope", 2, true, false, begin_scope}, /* sequence_make() adds these two itself */
    {"begin_pool", 4, true, false, begin_pool},
    {"finish_pool", 2, true, false, finish_pool},
    {"finish_scope", 1, true, false, finish_scope},
    {"sync_scope", 1, false, false, sync_scope},
    {"list_blocks", 2, false, false, list_blocks},
    {"misuse_scope", 1, false, false, misuse_scope},
    {0},
};

const struct family scope_family = {.name = "scope", .kinds = kinds, .weight = 1};
