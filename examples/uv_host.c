/* SPDX-License-Identifier: MIT
 *
 * uv_host: a program that lives in a libuv loop has its work done in processes.
 *
 * It counts the primes below LIMIT in pieces. Each piece is a call in a worker, and its end comes
 * as a callback on the loop, as with uv_queue_work(). Meanwhile the loop is free: a timer runs on
 * it, and one of the pieces crashes its worker at the first try, which the program hardly notices.
 *
 *   cc uv_host.c $(pkg-config --cflags --libs weir libuv) -o uv_host && ./uv_host
 *
 * Prints the number of primes, and whether the loop was free.
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
    int pieces; /* that have not ended */
    int failed, ticks;
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
        abort(); /* a crash; the piece is run again, by another worker */
    for (int64_t n = piece->begin; n < piece->end; n++)
        count += is_prime(n);
    return weir_task_result(task, &count, sizeof(count));
}

/* On the loop, as everything from here on. */
static void on_counted(weir_future *future, void *arg)
{
    struct state *state = arg;
    const int64_t *count = weir_future_result(future, NULL);

    if (count != NULL) {
        state->primes += *count;
    } else {
        fprintf(stderr, "uv_host: %s\n", weir_future_error(future)->message);
        state->failed++;
    }
    weir_future_free(future);
    if (--state->pieces == 0)
        uv_close((uv_handle_t *)&state->timer, NULL);
}

static void on_tick(uv_timer_t *timer)
{
    struct state *state = timer->data;

    state->ticks++;
}

/* Returns 0, or -1 with the last error set. */
static int submit_all(weir_pool *pool, struct state *state)
{
    for (int64_t i = 0; i < PIECES; i++) {
        weir_range piece = {LIMIT / PIECES * i, LIMIT / PIECES * (i + 1)};
        weir_future *future =
            WEIR_SUBMIT(pool, count_primes, piece, &(weir_job_options){.retries = 1});

        if (future == NULL || weir_future_then(future, on_counted, state) < 0)
            return -1;
        state->pieces++;
    }
    return 0;
}

/* Starts the timer. Returns 0, or 1 with a message printed. */
static int start_timer(uv_loop_t *loop, struct state *state)
{
    int result = uv_timer_init(loop, &state->timer);

    state->timer.data = state;
    if (result == 0)
        result = uv_timer_start(&state->timer, on_tick, 1, 1);
    if (result != 0)
        fprintf(stderr, "uv_host: %s\n", uv_strerror(result));
    return result != 0;
}

/* Returns 0, 1 with a message printed, or -1 with the last error set. */
static int run(weir_scope *scope, uv_loop_t *loop, struct state *state)
{
    weir_pool *pool = weir_pool_new(scope, NULL);

    if (pool == NULL)
        return -1;
    if (start_timer(loop, state) != 0)
        return 1;
    if (weir_pool_use_loop(pool, loop) < 0 || submit_all(pool, state) < 0)
        return -1;
    uv_run(loop, UV_RUN_DEFAULT); /* until all callbacks have come */
    weir_pool_free(pool);
    uv_run(loop, UV_RUN_DEFAULT); /* libuv closes the handles of the pool */
    if (state->failed > 0)
        return 1;
    printf("%" PRId64 " primes below %d\n", state->primes, LIMIT);
    printf("the loop was %s meanwhile\n", state->ticks > 0 ? "free" : "blocked");
    return 0;
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    struct state state = {0};
    int status = -1;

    if (loop == NULL) {
        fprintf(stderr, "uv_host: no loop\n");
        return 1;
    }
    WEIR_SCOPE (scope, NULL) {
        status = run(scope, loop, &state);
    }
    if (status < 0)
        fprintf(stderr, "uv_host: %s\n", weir_last_error()->message);
    if (status == 0 && uv_loop_close(loop) != 0) {
        fprintf(stderr, "uv_host: the loop has a handle left\n");
        status = 1;
    }
    return status != 0;
}
