/* SPDX-License-Identifier: MIT
 *
 * uv_host: a program that lives in a libuv loop has its work done in processes.
 *
 * It counts the primes below LIMIT in pieces. Each piece is a call in a worker, and its end comes
 * as a callback on the loop, as with uv_queue_work(). Meanwhile the loop is free: a timer runs on
 * it, and one of the pieces crashes its worker at the first try, which the program hardly notices.
 *
 *   cc uv_host.c $(pkg-config --cflags --libs weir libuv) -o uv_host && ./uv_host
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define LIMIT  2000000
#define PIECES 40

struct state {
    uv_timer_t timer;
    int64_t primes;
    int left, ticks;
};

static bool is_prime(int64_t n)
{
    for (int64_t d = 2; d * d <= n; d++) {
        if (n % d == 0)
            return false;
    }
    return n > 1;
}

/* In a worker. */
static int count_primes(weir_task *task, void *arg)
{
    const weir_range *piece = arg;
    int64_t count = 0;

    if (piece->begin == 0 && weir_task_attempt(task) == 1)
        abort(); /* something must go wrong; this piece may be tried again */
    for (int64_t n = piece->begin; n < piece->end; n++)
        count += is_prime(n);
    return weir_task_result(task, &count, sizeof(count));
}

/* On the loop, as everything from here on. */
static void on_counted(weir_future *future, void *arg)
{
    struct state *state = arg;
    const int64_t *count = weir_future_result(future, NULL);

    if (count)
        state->primes += *count;
    else
        fprintf(stderr, "uv_host: %s\n", weir_future_error(future)->message);
    weir_future_free(future);
    if (--state->left == 0)
        uv_close((uv_handle_t *)&state->timer, NULL);
}

static void on_tick(uv_timer_t *timer)
{
    struct state *state = timer->data;

    state->ticks++;
}

static int submit_all(weir_pool *pool, struct state *state)
{
    for (int64_t i = 0; i < PIECES; i++) {
        weir_range piece = {LIMIT / PIECES * i, LIMIT / PIECES * (i + 1)};
        weir_future *future = weir_pool_submit(pool, count_primes, &piece, sizeof(piece),
                                               &(weir_job_options){.retries = 1});

        if (!future || weir_future_then(future, on_counted, state) < 0)
            return -1;
        state->left++;
    }
    return 0;
}

static int run(weir_scope *scope, uv_loop_t *loop, struct state *state)
{
    weir_pool *pool = weir_pool_new(scope, NULL);

    if (!pool || weir_pool_use_loop(pool, loop) < 0 || submit_all(pool, state) < 0)
        return -1;
    uv_timer_init(loop, &state->timer);
    state->timer.data = state;
    uv_timer_start(&state->timer, on_tick, 1, 1);
    uv_run(loop, UV_RUN_DEFAULT); /* until all callbacks have come */
    weir_pool_free(pool);
    return uv_run(loop, UV_RUN_DEFAULT); /* lets libuv finish what the pool has closed */
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    struct state state = {0};
    int result = -1;

    WEIR_SCOPE (scope, NULL)
        result = run(scope, loop, &state);
    if (result < 0) {
        fprintf(stderr, "uv_host: %s\n", weir_last_error()->message);
        return 1;
    }
    uv_loop_close(loop);
    printf("%" PRId64 " primes below %d\n", state.primes, LIMIT);
    printf("the loop was %s meanwhile\n", state.ticks > 0 ? "free" : "blocked");
    return 0;
}
