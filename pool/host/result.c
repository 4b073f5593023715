/* SPDX-License-Identifier: MIT
 *
 * result.c: what a job or call gave, and why it gave nothing.
 *
 * Runs in the thread that ends a future, after all cells are final: no worker writes any more to
 * what is read here. A record that was overwritten all the same ends in a general message.
 */
#include "pool/host/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/host/piece.h"
#include "shm/error.h"

/* The thread's last error stays as it is. */
void weir__map_made_now(const weir_pool *pool)
{
    const weir_error before = *weir_last_error();

    if (weir_scope_sync(pool->scope) < 0)
        weir__fail_with(&before);
}

int weir__report_missing(const weir_pool *pool)
{
    return weir_scope_sync(pool->scope);
}

void *weir__result_alloc(weir_future *future, size_t size)
{
    future->result = size <= sizeof(future->small) ? future->small : malloc(size);
    if (future->result == NULL)
        return weir__fail_null(-ENOMEM, "no memory for a result of %zu bytes", size);
    future->result_size = size;
    return future->result;
}

void weir__keep_error(weir_future *future)
{
    future->error = malloc(sizeof(*future->error));
    if (future->error != NULL)
        *future->error = *weir_last_error();
}

/* What is in a result's place, and how many bytes there can be. NULL: it was overwritten. */
static const void *find_result(weir_pool *pool, const struct weir__result *result, uint64_t place,
                               size_t *room)
{
    weir_shm *block = weir__result_block(place);

    *room = sizeof(result->bytes);
    if (place == 0)
        return result->bytes;
    if (block != NULL) {
        *room = weir_shm_size(block);
        return weir_shm_buf(block);
    }
    *room = weir__piece_size(place);
    return weir__piece_valid(pool->control, place) ? weir__piece_memory(pool->control, place)
                                                   : NULL;
}

static int copy_result(weir_future *future, weir_pool *pool, const struct weir__result *result,
                       uint64_t place)
{
    weir_shm *block = weir__result_block(place);
    const size_t size = result->size;
    const void *bytes;
    size_t room;

    if (block != NULL && weir__scope_require(pool->scope, block, "the result") < 0)
        return weir_last_error()->code;
    bytes = find_result(pool, result, place, &room);
    if (bytes == NULL || size > room)
        return weir__fail(-EBADMSG, "the record of a call's result was overwritten");
    if (weir__result_alloc(future, size) == NULL)
        return -ENOMEM;
    memcpy(future->result, bytes, size);
    return 0;
}

int weir__take_result(weir_future *future, weir_pool *pool, struct weir__result *result, bool good)
{
    const uint64_t place = atomic_exchange(&result->place, 0);
    int code = good && result->size > 0 ? copy_result(future, pool, result, place) : 0;

    if (weir__result_block(place) != NULL)
        weir__block_drop(weir__result_block(place));
    else if (weir__piece_valid(pool->control, place))
        weir__piece_free(pool->control, place);
    return code;
}

void weir__result_free(weir_future *future)
{
    if (future->result != NULL && future->result != future->small)
        free(future->result);
    if (future->error != NULL)
        free(future->error);
    future->result = NULL;
    future->result_size = 0;
    future->error = NULL;
}

int weir__report_failure(struct weir__failures failures, int64_t failed)
{
    const weir_error *first = weir__failure_first(failures);
    weir_error error;

    if (first == NULL) /* its memory was overwritten */
        return weir__fail(WEIR_EFAILED, "%lld of %lld chunks failed", (long long)failed,
                          (long long)failures.count);
    error = *first;
    error.message[sizeof(error.message) - 1] = '\0';
    if (failed > 1) {
        size_t used = strlen(error.message);

        snprintf(error.message + used, sizeof(error.message) - used,
                 " (%lld of %lld chunks failed)", (long long)failed, (long long)failures.count);
    }
    return weir__fail_with(&error);
}

static int report_lost_supervisor(const weir_pool *pool)
{
    weir_error error = {
        .code = WEIR_EDIED,
        .worker = -1,
        .pid = pool->supervisor.pid,
        .exit_status = -1,
    };

    snprintf(error.message, sizeof(error.message),
             "the pool's supervisor (pid %d) is gone, and its workers with it%s; free this pool "
             "and make "
             "another one",
             (int)pool->supervisor.pid,
             weir__detached_is_lost(&pool->supervisor)
                 ? ", because the program has closed its connection to them"
                 : "");
    return weir__fail_with(&error);
}

int weir__report_no_workers(const weir_pool *pool)
{
    if (atomic_load(&pool->supervisor_gone))
        return report_lost_supervisor(pool);
    return weir__fail_with(&pool->control->broken);
}
