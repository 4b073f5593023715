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
#include <stdexcept>
#include <unistd.h>
#include <weir.h>

extern "C" {
#include <cmocka.h>
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

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_aborts__when_a_task_throws_and_the_program_catches),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
