/* SPDX-License-Identifier: MIT
 *
 * A C++ program: its functions leave by an exception.
 */
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <stdexcept>
#include <unistd.h>
#include <weir.h>

extern "C" {
#include <cmocka.h>

#include "now.h"
#include "sanitizer.h"
}

static weir_scope *begin()
{
    weir_scope *scope = weir_scope_begin(nullptr);

    assert_non_null(scope);
    return scope;
}

static int throw_in_task(weir_task *, weir_range range, void *)
{
    if (range.begin == 0)
        throw std::runtime_error("from a task");
    return 0;
}

static int throw_in_process(void *)
{
    throw std::runtime_error("from a process");
}

/* The worker's stack is a copy of this one, with this handler on it. */
static void a_worker_aborts__when_a_task_throws_and_the_program_catches(void **)
{
    const pid_t program = getpid();
    weir_scope *scope = begin();
    weir_pool *pool = nullptr;
    weir_process *process = nullptr;
    bool caught = false;
    int code = 0;

    try {
        weir_pool_options options{};

        options.workers = 1;
        pool = weir_pool_new(scope, &options);
        process = weir_process_start(scope, throw_in_process, nullptr);
    } catch (const std::exception &) {
        caught = true;
    }
    if (getpid() != program)
        _exit(99);
    assert_false(caught);
    assert_non_null(pool);
    assert_non_null(process);
    assert_int_equal(weir_pool_for(pool, weir_range{0, 4}, throw_in_task, nullptr, nullptr),
                     WEIR_EDIED);
    assert_int_equal(weir_last_error()->signal, SIGABRT);
    assert_int_equal(weir_process_join(process, 10000, &code), 0);
    assert_int_equal(code, -SIGABRT);
    weir_process_free(process);
    weir_pool_free(pool);
    assert_int_equal(weir_scope_end(scope), 0);
}

/* ---- functions of the program in the program itself ------------------------------------------ */

enum way { THROWS, JUMPS, EXITS_THREAD, IS_CANCELLED, WAYS };
enum place {
    COMBINE,
    COMBINE_OF_FUTURE,
    COMBINE_IN_DISPATCH,
    PROGRESS,
    PROGRESS_OF_FUTURE,
    PROGRESS_OF_MANY,
    PROGRESS_AT_END,
    STALL,
    STALL_OF_FUTURE,
    CALLBACK,
    PLACES
};
enum ending { FREES, KILLS, ENDS_SCOPE, ENDINGS };

static way leaves_by;
static jmp_buf jump;
static bool leaves; /* the next function that may */

static void leave()
{
    if (!leaves)
        return;
    leaves = false;
    if (leaves_by == THROWS)
        throw std::runtime_error("from a function of the program");
    if (leaves_by == JUMPS)
        longjmp(jump, 1);
    if (leaves_by == IS_CANCELLED) {
        pthread_cancel(pthread_self());
        pthread_testcancel();
    }
    pthread_exit(nullptr);
}

static int fold(weir_task *, weir_range range, void *accumulator, void *)
{
    *static_cast<long *>(accumulator) += range.end - range.begin;
    return 0;
}

static void combine(void *into, const void *from, void *)
{
    *static_cast<long *>(into) += *static_cast<const long *>(from);
    leave();
}

static int be_slow(weir_task *, weir_range, void *)
{
    usleep(20000);
    return 0;
}

static int be_quick(weir_task *, void *)
{
    return 0;
}

static void on_progress(const weir_progress *progress, void *arg)
{
    if (progress->ended == *static_cast<bool *>(arg))
        leave();
}

static int be_slower(weir_task *, weir_range, void *)
{
    usleep(100000);
    return 0;
}

static void on_stall(const weir_stall *, void *)
{
    leave();
}

static void on_end(weir_future *, void *)
{
    leave();
}

static weir_reduction sum()
{
    weir_reduction reduction{};

    reduction.size = sizeof(long);
    reduction.fold = fold;
    reduction.combine = combine;
    return reduction;
}

struct trial {
    weir_pool *pool;
    enum place place;
    weir_future *future;
};

/* Does not return in order. */
static void run_place(trial &trial)
{
    static bool at_end;
    const weir_reduction reduction = sum();
    weir_job_options options{};
    long result = 0;

    at_end = trial.place == PROGRESS_AT_END;
    leaves = true;
    switch (trial.place) {
    case COMBINE:
        (void)!weir_pool_reduce(trial.pool, weir_range{0, 1000}, &reduction, &result, nullptr,
                                nullptr);
        break;
    case COMBINE_OF_FUTURE:
    case COMBINE_IN_DISPATCH:
        if (trial.place == COMBINE_IN_DISPATCH && weir_pool_fd(trial.pool) < 0)
            abort();
        trial.future =
            weir_pool_reduce_async(trial.pool, weir_range{0, 1000}, &reduction, nullptr, nullptr);
        if (trial.place == COMBINE_OF_FUTURE) {
            (void)!weir_future_wait(trial.future, -1);
            break;
        }
        leaves = false; /* not in weir_future_then() */
        if (weir_future_then(trial.future, on_end, nullptr) != 0)
            abort();
        leaves = true;
        while (leaves)
            (void)!weir_pool_dispatch(trial.pool);
        break;
    case PROGRESS:
    case PROGRESS_AT_END:
        options.on_progress = on_progress;
        options.on_progress_arg = &at_end;
        (void)!weir_pool_for(trial.pool, weir_range{0, 16}, be_slow, nullptr, &options);
        break;
    case PROGRESS_OF_FUTURE:
    case PROGRESS_OF_MANY:
        options.on_progress = on_progress;
        options.on_progress_arg = &at_end;
        options.grain = 1;
        trial.future =
            weir_pool_for_async(trial.pool, weir_range{0, 16}, be_slow, nullptr, &options);
        if (trial.place == PROGRESS_OF_MANY)
            (void)!weir_future_wait_many(&trial.future, 1, WEIR_WHEN_ALL, -1);
        else
            (void)!weir_future_wait(trial.future, -1);
        break;
    case STALL:
    case STALL_OF_FUTURE:
        options.stall_ms = 5;
        options.on_stall = on_stall;
        options.grain = 1;
        if (trial.place == STALL) {
            (void)!weir_pool_for(trial.pool, weir_range{0, 8}, be_slower, nullptr, &options);
            break;
        }
        trial.future =
            weir_pool_for_async(trial.pool, weir_range{0, 8}, be_slower, nullptr, &options);
        (void)!weir_future_wait(trial.future, -1);
        break;
    default:
        if (weir_pool_fd(trial.pool) < 0)
            abort();
        trial.future = weir_pool_submit(trial.pool, be_quick, nullptr, 0, nullptr);
        if (weir_future_then(trial.future, on_end, nullptr) != 0)
            abort();
        while (leaves)
            (void)!weir_pool_dispatch(trial.pool);
        break;
    }
    abort();
}

static void *run_in_thread(void *arg)
{
    run_place(*static_cast<trial *>(arg));
    return nullptr;
}

static void run_trial(trial &trial)
{
    pthread_t thread;

    if (leaves_by == THROWS) {
        try {
            run_place(trial);
        } catch (const std::runtime_error &) {
        }
    } else if (leaves_by == JUMPS) {
        if (setjmp(jump) == 0)
            run_place(trial);
    } else {
        assert_int_equal(pthread_create(&thread, nullptr, run_in_thread, &trial), 0);
        assert_int_equal(pthread_join(thread, nullptr), 0);
    }
    assert_false(leaves);
}

/* After the function was left the pool works, and its future gives what it must. */
static void check_pool(trial &trial)
{
    const weir_reduction reduction = sum();
    long result = 0;
    int code;

    assert_int_equal(
        weir_pool_reduce(trial.pool, weir_range{0, 1000}, &reduction, &result, nullptr, nullptr),
        0);
    assert_int_equal(result, 1000);
    if (trial.future == nullptr)
        return;
    code = weir_future_wait(trial.future, -1);
    if (trial.place == COMBINE_OF_FUTURE || trial.place == COMBINE_IN_DISPATCH)
        assert_int_equal(code, -ECANCELED);
    else
        assert_int_equal(code, 0);
}

static void end_in(enum ending ending, weir_scope *scope, weir_pool *pool)
{
    if (ending == FREES)
        weir_pool_free(pool);
    else if (ending == KILLS)
        weir_pool_kill(pool);
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_pool_works_and_ends__whatever_leaves_a_function_of_the_program(void **)
{
    for (int way = 0; way < WAYS; way++) {
        for (int place = 0; place < PLACES; place++) {
            for (int ending = 0; ending < ENDINGS; ending++) {
                weir_scope *scope = begin();
                weir_pool_options options{};
                trial trial{};
                double begun;

                options.workers = 2;
                trial.pool = weir_pool_new(scope, &options);
                trial.place = static_cast<enum place>(place);
                leaves_by = static_cast<enum way>(way);
                assert_non_null(trial.pool);
                run_trial(trial);
                if (leaves_by != JUMPS || trial.future != nullptr)
                    check_pool(trial);
                begun = now_ms();
                end_in(static_cast<enum ending>(ending), scope, trial.pool);
                if (now_ms() - begun > at_most(leaves_by == JUMPS ? 3500 : 1500))
                    fail_msg("way %d, place %d, ending %d: %.0f ms", way, place, ending,
                             now_ms() - begun);
                if (trial.future != nullptr)
                    weir_future_free(trial.future);
            }
        }
    }
}

static volatile bool jumped;

static void *jump_and_stay(void *arg)
{
    if (setjmp(jump) == 0)
        run_place(*static_cast<trial *>(arg));
    jumped = true;
    for (;;)
        pause();
    return nullptr;
}

/* It may be reading what the pool has. */
static void a_pool_ends_within_seconds__when_a_thread_left_a_call_by_a_jump_and_lives_on(void **)
{
    static const place places[] = {COMBINE, PROGRESS_OF_FUTURE};

    leaves_by = JUMPS;
    for (place place : places) {
        for (int ending = 0; ending < KILLS + 1; ending++) {
            weir_scope *scope = begin();
            weir_pool_options options{};
            trial trial{};
            pthread_t thread;
            double begun;

            options.workers = 2;
            trial.pool = weir_pool_new(scope, &options);
            trial.place = place;
            jumped = false;
            assert_int_equal(pthread_create(&thread, nullptr, jump_and_stay, &trial), 0);
            while (!jumped)
                usleep(1000);
            begun = now_ms();
            end_in(static_cast<enum ending>(ending), scope, trial.pool);
            if (now_ms() - begun > at_most(5000))
                fail_msg("place %d, ending %d: %.0f ms", static_cast<int>(place), ending,
                         now_ms() - begun);
            pthread_cancel(thread);
            pthread_join(thread, nullptr);
            if (trial.future != nullptr)
                weir_future_free(trial.future);
        }
    }
}

static void a_pool_can_be_freed_again__when_combine_left_the_first_attempt(void **)
{
    for (int kills = 0; kills < 2; kills++) {
        const weir_reduction reduction = sum();
        weir_scope *scope = begin();
        weir_pool_options options{};
        weir_pool *pool;
        weir_future *future;
        bool caught = false;

        options.workers = 2;
        pool = weir_pool_new(scope, &options);
        leaves_by = THROWS;
        future = weir_pool_reduce_async(pool, weir_range{0, 1000}, &reduction, nullptr, nullptr);
        assert_non_null(future);
        usleep(50000);
        leaves = true;
        try {
            weir_pool_free(pool);
        } catch (const std::runtime_error &) {
            caught = true;
        }
        assert_true(caught);
        if (kills != 0)
            weir_pool_kill(pool);
        else
            weir_pool_free(pool);
        assert_int_equal(weir_future_wait(future, -1), -ECANCELED);
        weir_future_free(future);
        assert_int_equal(weir_scope_end(scope), 0);
    }
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_aborts__when_a_task_throws_and_the_program_catches),
        cmocka_unit_test(a_pool_works_and_ends__whatever_leaves_a_function_of_the_program),
        cmocka_unit_test(a_pool_can_be_freed_again__when_combine_left_the_first_attempt),
        cmocka_unit_test(
            a_pool_ends_within_seconds__when_a_thread_left_a_call_by_a_jump_and_lives_on),
    };

    if (ADDRESS_SANITIZER && getenv("WEIR_TEST_UNWIND") == NULL) {
        /* of gcc 12: a stack that was unwound stays poisoned, and sigaltstack() fails there */
        printf("skipped: AddressSanitizer does not bear that threads are unwound\n");
        return 77;
    }

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
