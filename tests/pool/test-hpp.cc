/* SPDX-License-Identifier: MIT
 *
 * The C++ door of pools: jobs, calls, streams, map-reduce, processes; what they throw, and what
 * their handles own.
 */
#include "hpp.h"

#include <array>
#include <csignal>
#include <cstring>
#include <pthread.h>

using std::int64_t;

static int double_it(weir_task *, weir_range range, void *accumulator, void *)
{
    auto sum = static_cast<double *>(accumulator);

    for (int64_t i = range.begin; i < range.end; i++)
        *sum += 1.0 / static_cast<double>(i + 1);
    return 0;
}

/* ---- parallel_for --------------------------------------------------------------------------- */

static void each_item_is_run_once__for_every_form_of_a_body(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 3);
    auto seen = scope.array<int>(1000);

    weir::parallel_for(pool, seen.size(), [=](weir::range range) {
        for (int64_t i : range)
            seen[i]++;
    });
    weir::parallel_for(pool, weir::range(0, 1000), [=](int64_t i) { seen[i]++; });
    weir::parallel_for(pool, weir_range{0, 1000}, [=](weir_task *, weir_range range) {
        WEIR_EACH (i, range)
            seen[i]++;
    });
    weir::parallel_for(pool, 1000, [=](weir::task task, weir::range range) {
        for (int64_t i : range)
            seen[i] += task.attempt();
    });
    weir::parallel_for(pool, 1000, [=](weir::task task, int64_t i) {
        seen[i] += task.worker() >= 0 && task.worker() < 3 && task.chunk() >= 0 ? 1 : 100;
    });
    weir::parallel_for(pool, 1000, [=](auto range) {
        for (int64_t i : range)
            seen[i]++;
    });
    for (int count : seen)
        assert_int_equal(count, 6);
}

static weir::array_ref<int> in_program;

static void add_one(weir::range range)
{
    for (int64_t i : range)
        in_program[i]++;
}

static void a_function_is_a_body__and_so_is_a_closure_of_many_bytes(void **)
{
    weir::scope scope;

    in_program = scope.array<int>(100);

    weir::pool pool(scope, 2);
    std::array<int, 1000> more{};
    auto seen = in_program;

    more[999] = 7;
    weir::parallel_for(pool, 100, add_one);
    weir::parallel_for(pool, 100, [=](int64_t i) { seen[i] += more[999]; });
    for (int count : seen)
        assert_int_equal(count, 8);
}

static void options_are_those_of_c__in_every_call(void **)
{
    weir::scope scope;
    weir::pool_options options{};
    weir::job_options job{};
    weir::job_options grained{};
    weir_job_report report{};

    options.workers = 2;
    options.job = &job;
    job.retries = 2;
    grained.grain = 10;
    grained.report = &report;

    weir::pool pool(scope, options);
    auto killed = scope.array<int>(1);

    assert_int_equal(pool.workers(), 2);
    weir::parallel_for(
        pool, 100,
        [=](weir::task task, weir::range range) {
            if (range.first() == 50 && task.attempt() == 1)
                raise(SIGKILL);
            if (range.first() == 50)
                killed[0] = task.attempt();
        },
        grained);
    assert_int_equal(report.chunks, 10);
    assert_int_equal(killed[0], 2);
    assert_int_equal(pool.stats().chunks_retried, 1);
}

static void a_pool_without_processes_runs_the_same__also_when_a_task_throws(void **)
{
    weir::scope scope;
    weir::pool pool(scope, WEIR_WORKERS_NONE);
    int64_t sum = 0;

    sum = weir::reduce(pool, 101, int64_t{0}, [](int64_t &part, int64_t i) { part += i; });
    assert_int_equal(sum, 5050);
    const weir::error thrown = error_of(WEIR_EFAILED, [&] {
        weir::parallel_for(pool, 10, [](int64_t) { throw weir::failure(9, "here"); });
    });
    assert_int_equal(thrown.task_code(), 9);
}

static void a_task_can_call_its_own_pool__when_nested_calls_are_serial(void **)
{
    weir::scope scope;
    weir::pool_options options{};

    options.workers = 2;
    options.nested = WEIR_NESTED_SERIAL;

    weir::pool pool(scope, options);
    weir::pool_ref again = pool;
    auto sums = scope.array<int64_t>(8);

    weir::parallel_for(pool, 8, [=](int64_t i) {
        sums[i] =
            weir::reduce(again, i + 1, int64_t{0}, [](int64_t &part, int64_t k) { part += k; });
    });
    for (int64_t i = 0; i < 8; i++)
        assert_int_equal(sums[i], i * (i + 1) / 2);
}

/* ---- errors --------------------------------------------------------------------------------- */

static void a_call_fails_with_the_text_and_the_code__when_a_task_throws(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 2);
    auto list = scope.list({1, 2});

    weir::error thrown = error_of(WEIR_EFAILED, [&] {
        weir::parallel_for(pool, weir::range(40, 41),
                           [](int64_t i) { throw std::runtime_error("row " + std::to_string(i)); });
    });
    assert_has(thrown.what(), "row 40");
    assert_int_equal(thrown.task_code(), 1);
    assert_int_equal(thrown.range().begin, 40);
    assert_int_equal(thrown.range().end, 41);
    assert_int_equal(thrown.attempt(), 1);
    assert_int_equal(thrown.signal(), 0);
    assert_true(thrown.worker() >= 0 && thrown.pid() > 0);
    assert_true(thrown.error_code().category() == weir::error_category());
    assert_string_equal(thrown.error_code().message().c_str(), weir_strerror(WEIR_EFAILED));

    thrown = error_of(WEIR_EFAILED, [&] {
        weir::parallel_for(pool, 1, [](int64_t) { throw weir::failure(77, "of its own"); });
    });
    assert_int_equal(thrown.task_code(), 77);
    assert_has(thrown.what(), "of its own");

    thrown = error_of(WEIR_EFAILED,
                      [&] { weir::parallel_for(pool, 1, [=](int64_t) { list.set(2, 1); }); });
    assert_int_equal(thrown.task_code(), -ERANGE);

    thrown = error_of(WEIR_EFAILED, [&] { weir::parallel_for(pool, 1, [](int64_t) { throw 5; }); });
    assert_has(thrown.what(), "no std::exception");
}

static void a_worker_that_dies_is_an_error_with_its_signal__and_the_next_call_works(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 2);
    const weir::error thrown =
        error_of(WEIR_EDIED, [&] { weir::parallel_for(pool, 1, [](int64_t) { raise(SIGKILL); }); });
    int sum;

    assert_int_equal(thrown.signal(), SIGKILL);
    assert_int_equal(thrown.exit_status(), -1);
    assert_int_equal(thrown.info().code, WEIR_EDIED);
    sum = weir::reduce(pool, 10, 0, [](int &part, int64_t) { part++; });
    assert_int_equal(sum, 10);
}

static void a_worker_ends_in_order__when_a_task_leaves_by_pthread_exit(void **)
{
    if (ADDRESS_SANITIZER) {
        printf("skipped: AddressSanitizer does not bear that threads are unwound\n");
        return;
    }

    weir::scope scope;
    weir::pool pool(scope, 1);
    weir::error thrown = error_of(
        WEIR_EDIED, [&] { weir::parallel_for(pool, 1, [](int64_t) { pthread_exit(nullptr); }); });

    assert_int_equal(thrown.exit_status(), 0);
    thrown = error_of(WEIR_EDIED, [&] {
        weir::submit(pool, [] {
            pthread_cancel(pthread_self());
            pthread_testcancel();
        }).get();
    });
    assert_int_equal(thrown.exit_status(), 0);
}

static void errors_of_arguments_have_their_errno__as_std_errc_too(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 1);
    weir::job_options options{};
    weir::scope_options unknown{};

    options.grain = options.chunks = 1;
    const weir::error thrown = error_of(-EINVAL, [&] {
        weir::parallel_for(
            pool, 1, [](int64_t) {}, options);
    });
    assert_true(thrown.error_code() == std::errc::invalid_argument);
    error_of(-EINVAL, [&] { weir::parallel_for(pool, weir::range(2, 1), [](int64_t) {}); });
    error_of(-EINVAL, [&] { weir::parallel_for(weir::pool_ref(), 1, [](int64_t) {}); });
    error_of(-E2BIG, [&] { weir::pool(scope, WEIR_WORKERS_MAX + 1); });
    unknown.reserved[0] = 1;
    error_of(-EINVAL, [&] { weir::scope refused(unknown); });
}

static void a_call_is_cancelled__when_the_pool_is_interrupted(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 1);

    pool.interrupt();
    const weir::error thrown =
        error_of(-ECANCELED, [&] { weir::parallel_for(pool, 1, [](int64_t) {}); });
    assert_true(thrown.error_code() == std::errc::operation_canceled);
    pool.resume();
    pool.cancel();
    weir::parallel_for(pool, 1, [](int64_t) {});
}

/* ---- handles -------------------------------------------------------------------------------- */

static void handles_move_and_own_once(void **)
{
    weir::scope first;
    weir_scope *raw = first.raw();
    weir::scope scope(std::move(first));

    assert_false(first);
    assert_ptr_equal(scope.raw(), raw);
    assert_true(scope.manager_pid() > 0);

    weir::pool pool(scope, 1);
    weir::pool moved(std::move(pool));

    assert_false(pool);
    assert_int_equal(moved.workers(), 1);
    pool = std::move(moved);
    assert_false(moved);
    assert_true(pool.worker_pid(0) > 0 && pool.supervisor_pid() > 0);

    weir::future<int> future = weir::submit(pool, [] { return 1; });
    weir::future<int> other;

    other = std::move(future);
    assert_false(future);
    assert_int_equal(other.get(), 1);
    assert_int_equal(other.get(), 1);
    error_of(-EINVAL, [&] { future.get(); });

    weir::pool another(scope, 1);

    pool = std::move(another); /* ends the first one */
    assert_int_equal(weir::submit(pool, [] { return 2; }).get(), 2);
    pool.reset();
    pool.reset();
    error_of(-EINVAL, [&] { pool.workers(); });

    weir::scope second;

    scope = std::move(second); /* ends the first one */
    scope.end();
    assert_false(scope);
    scope.end(); /* of none */
}

static void what_outlives_its_scope_is_harmless(void **)
{
    weir::pool pool, killed;
    weir::process process;
    weir::text text;
    weir::table table;
    weir::future<int> future;
    weir::future<weir::table> late;

    {
        weir::scope scope;
        auto emit = [](weir::emitter<int> give, weir::range) { give("a", 1); };

        pool = weir::pool(scope, 1);
        killed = weir::pool(scope, 1);
        process = weir::process(scope, [] { pause(); });
        text = scope.open_text("/proc/self/cmdline");
        table = weir::map_reduce<int>(pool, 1, emit);
        late = weir::map_reduce_async<int>(pool, 1, emit);
        late.wait();
        future = weir::submit(pool, [] { return 3; });
        future.wait();
        assert_int_equal(table.size(), 1);
    }
    assert_int_equal(future.get(), 3);
    error_of(-EINVAL, [&] { late.get(); });
    killed.kill();
    assert_false(killed);
}

static void a_c_handle_can_be_given_away_and_taken_over(void **)
{
    weir_scope *raw_scope = weir::scope().release();
    weir_pool *raw_pool;

    {
        weir::scope scope(raw_scope);

        raw_pool = weir::pool(scope, 1).release();
        assert_ptr_equal(scope.release(), raw_scope);
    }
    {
        weir::pool pool(raw_pool);

        assert_int_equal(weir::submit(pool, [] { return 4; }).get(), 4);
    }
    assert_int_equal(weir_scope_end(raw_scope), 0);
}

static void a_pool_ends_at_once__when_it_is_killed(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 1);
    weir::future<> future = weir::submit(pool, [] { pause(); });

    pool.kill();
    assert_false(pool);
    future.wait();
    assert_non_null(future.failure());
}

/* ---- map and reduce ------------------------------------------------------------------------- */

static void a_reduction_has_the_bits_of_c__for_any_number_of_workers(void **)
{
    weir::scope scope;
    weir_reduction reduction{};
    double expected = 0;

    reduction.size = sizeof(double);
    reduction.fold = double_it;
    reduction.combine = weir_sum_double;
    {
        weir::pool pool(scope, 2);

        assert_int_equal(weir_pool_reduce(pool.raw(), weir_range_of(100001), &reduction, &expected,
                                          nullptr, nullptr),
                         0);
    }
    for (int workers = 1; workers < 5; workers++) {
        weir::pool pool(scope, workers);
        double sums[4];

        sums[0] = weir::reduce(pool, 100001, 0.0, [](double &part, int64_t i) {
            part += 1.0 / static_cast<double>(i + 1);
        });
        sums[1] = weir::reduce(
            pool, 100001, 0.0,
            [](weir::task, double part, weir::range range) {
                for (int64_t i : range)
                    part += 1.0 / static_cast<double>(i + 1);
                return part;
            },
            [](double &into, const double &from) { into += from; });
        sums[2] = weir::reduce(
            pool, 100001, 0.0,
            [](double part, int64_t i) { return part + 1.0 / static_cast<double>(i + 1); },
            std::plus<double>());
        sums[3] = weir::reduce_async(pool, 100001, 0.0, [](double &part, int64_t i) {
                      part += 1.0 / static_cast<double>(i + 1);
                  }).get();
        for (double sum : sums)
            assert_memory_equal(&sum, &expected, sizeof(sum));
    }
}

struct extent {
    int64_t least, most;
};

static void a_neutral_element_is_what_an_empty_range_gives(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 2);
    const extent none{INT64_MAX, INT64_MIN};
    auto body = [](extent &part, int64_t i) {
        part.least = i < part.least ? i : part.least;
        part.most = i > part.most ? i : part.most;
    };
    auto combine = [](extent &into, const extent &from) {
        into.least = from.least < into.least ? from.least : into.least;
        into.most = from.most > into.most ? from.most : into.most;
    };
    extent found = weir::reduce(pool, weir::range(5, 1000), none, body, combine);

    assert_int_equal(found.least, 5);
    assert_int_equal(found.most, 999);
    found = weir::reduce(pool, 0, none, body, combine);
    assert_int_equal(found.least, INT64_MAX);
    found = weir::reduce_async(pool, 0, none, body, combine).get();
    assert_int_equal(found.most, INT64_MIN);
}

static void an_exception_of_combine_comes_out_of_the_call__and_of_the_future(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 2);
    auto body = [](int &part, int64_t) { part++; };
    auto combine = [](int a, int b) -> int {
        if (a + b > 50)
            throw std::range_error("more than 50");
        return a + b;
    };
    bool caught = false;

    try {
        weir::reduce(pool, 100, 0, body, combine);
    } catch (const std::range_error &thrown) {
        caught = true;
        assert_string_equal(thrown.what(), "more than 50");
    }
    assert_true(caught);
    for (int i = 0; i < 2; i++) {
        weir::future<int> future = weir::reduce_async(pool, 100, 0, body, combine);

        caught = false;
        try {
            future.get();
        } catch (const std::range_error &) {
            caught = true;
        }
        assert_true(caught);
    }
    const weir::error thrown = error_of(WEIR_EFAILED, [&] {
        weir::reduce(pool, 100, 0, [](int &, int64_t) { throw weir::failure(3, "body"); });
    });
    assert_int_equal(thrown.task_code(), 3);
}

static void elements_are_mapped__from_private_memory_and_in_the_scope(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 2);
    std::vector<int> numbers;
    std::array<double, 300> halves;
    auto shared = scope.array<double>(300);

    for (int i = 0; i < 300; i++)
        numbers.push_back(i);
    weir::map(pool, numbers, halves, [](int number) { return number / 2.0; });
    weir::map(pool, halves, shared, [](weir::task, double half) { return 4 * half; });
    const std::vector<char> odd =
        weir::map(pool, shared, [](double x) { return static_cast<char>(x < 10 ? 'a' : 'b'); });
    weir::map_async(pool, numbers, numbers, [](int number) { return -number; }).get();
    for (int i = 0; i < 300; i++) {
        assert_true(halves[static_cast<size_t>(i)] == i / 2.0);
        assert_true(shared[i] == 2.0 * i);
        assert_int_equal(odd[static_cast<size_t>(i)], i < 5 ? 'a' : 'b');
        assert_int_equal(numbers[static_cast<size_t>(i)], -i);
    }
    error_of(-EINVAL, [&] {
        weir::map(pool, std::vector<int>(2), numbers, [](int number) { return number; });
    });
    const weir::error thrown = error_of(WEIR_EFAILED, [&] {
        weir::map(pool, numbers, [](int number) -> int {
            if (number == -7)
                throw std::domain_error("seven");
            return number;
        });
    });
    assert_int_equal(thrown.range().begin, 7);
    assert_has(thrown.what(), "seven");
}

/* ---- calls ---------------------------------------------------------------------------------- */

struct point {
    double x, y;
};

static void a_call_gives_what_its_function_returns(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 2);
    auto list = scope.list({0});
    std::array<int, 100> large{};

    large[99] = 5;
    weir::future<point> shared = weir::submit(pool, [] { return point{1, 2}; });
    weir::future<> nothing = weir::submit(pool, [=] { list.set(0, 9); });
    weir::future<int> worker = weir::submit(pool, [](weir::task task) { return task.worker(); });
    weir::future<int> many = weir::submit(pool, [=] { return large[99]; });

    assert_true(shared.get().y == 2);
    nothing.get();
    assert_int_equal(list[0].as_int(), 9);
    assert_true(worker.get() == 0 || worker.get() == 1);
    assert_int_equal(many.get(), 5);
    assert_null(many.failure());
    assert_true(many.done() && many.wait_for(0));
}

static void a_future_throws_why_its_call_failed__each_time(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 1);
    weir::future<int> future =
        weir::submit(pool, []() -> int { throw weir::failure(12, "no result"); });

    future.wait();
    for (int i = 0; i < 2; i++) {
        const weir::error thrown = error_of(WEIR_EFAILED, [&] { future.get(); });

        assert_int_equal(thrown.task_code(), 12);
        assert_has(thrown.what(), "no result");
    }
    assert_int_equal(future.failure()->task_code, 12);
    future = weir::submit(pool, []() -> int {
        raise(SIGKILL);
        return 0;
    });
    assert_int_equal(error_of(WEIR_EDIED, [&] { future.get(); }).signal(), SIGKILL);
}

static void a_wait_tells_that_the_time_is_over__and_a_cancel_ends_it(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 1);
    weir::future<> blocks = weir::submit(pool, [](weir::task task) {
        while (!task.cancelled())
            usleep(1000);
    });
    weir::future<> behind = weir::parallel_for_async(pool, 10, [](int64_t) {});
    const std::array<weir::future<>, 1> some{weir::parallel_for_async(pool, 1, [](int64_t) {})};

    assert_false(blocks.wait_for(1));
    assert_false(blocks.done());
    assert_false(weir::wait_many(some, WEIR_WHEN_ALL, 1).has_value());
    behind.cancel();
    blocks.cancel();
    error_of(-ECANCELED, [&] { blocks.get(); });
    error_of(-ECANCELED, [&] { behind.get(); });
    assert_int_equal(weir::wait_many(some, WEIR_WHEN_ALL).value(), 1);
    assert_int_equal(weir::wait_many(some, WEIR_WHEN_ANY).value(), 0);
}

static void a_waiter_gives_each_end_with_its_tag(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 2);
    weir::waiter<int64_t> waiter(pool);
    int64_t sum = 0, failed = 0;

    for (int64_t i = 0; i < 20; i++) {
        weir::future<int64_t> future = weir::submit(pool, [=] {
            if (i == 3)
                throw weir::failure(1, "three");
            return i * i;
        });

        waiter.add(std::move(future), static_cast<size_t>(i));
    }
    assert_int_equal(waiter.size(), 20);
    while (auto ended = waiter.next()) {
        if (ended->first.failure() != nullptr) {
            assert_int_equal(ended->second, 3);
            failed++;
            continue;
        }
        assert_int_equal(ended->first.get(), ended->second * ended->second);
        sum += ended->first.get();
    }
    assert_int_equal(failed, 1);
    assert_int_equal(sum, 2470 - 9);
    assert_int_equal(waiter.size(), 0);

    weir::pool other(scope, 1);
    weir::future<int64_t> strange = weir::submit(other, [] { return int64_t{1}; });

    error_of(-EINVAL, [&] { waiter.add(std::move(strange)); });
    assert_int_equal(strange.get(), 1);
    waiter.add(weir::submit(pool, [] { return int64_t{2}; })); /* and leaves it there */
}

static void callbacks_are_dispatched__and_their_exceptions_come_out(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 2);
    int sum = 0, called = 0;
    bool caught = false;

    for (int i = 0; i < 10; i++)
        weir::submit(pool, [=] { return i; }).then([&](weir::future<int> future) {
            sum += future.get();
        });
    assert_true(pool.fd() >= 0);
    while (called < 10)
        called += pool.dispatch();
    assert_int_equal(sum, 45);

    weir::submit(pool, [] {}).then([](weir::future<>) { throw std::logic_error("callback"); });
    while (!caught) {
        try {
            pool.dispatch();
        } catch (const std::logic_error &thrown) {
            caught = true;
            assert_string_equal(thrown.what(), "callback");
        }
    }
    /* one that is left when the pool ends is called then */
    weir::submit(pool, [] { return 5; }).then([&](weir::future<int> future) {
        sum = future.wait_for(0) ? 1 : 0;
    });
    pool.reset();
    assert_int_equal(sum, 1);
}

static void each_worker_runs_a_function_once(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 3);
    auto runs = scope.array<int>(3);

    weir::each(pool, [=](weir::task task) { runs[task.worker()]++; });
    weir::each(pool, [=] { runs[weir_worker_index()] += 10; });
    for (int count : runs)
        assert_int_equal(count, 11);
    error_of(WEIR_EFAILED, [&] { weir::each(pool, [] { throw std::runtime_error("no"); }); });
}

static void a_stream_gives_results_in_order__and_failures_as_items(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 2);
    weir::stream_options options{};
    const int64_t factor = 3;
    int64_t taken = 0;

    options.untaken = 4;
    auto stream = weir::make_stream<int64_t>(
        pool,
        [=](int64_t item) {
            if (item == 5)
                throw weir::failure(6, "five");
            return factor * item;
        },
        options);

    for (int64_t i = 0; i < 20; i++) {
        while (!stream.put(i)) {
            auto item = stream.next();

            assert_true(item.has_value());
            assert_int_equal(item->index(), taken++);
            if (item->index() == 5) {
                assert_false(*item);
                assert_int_equal(item->failure()->task_code(), 6);
                assert_int_equal(error_of(WEIR_EFAILED, [&] { item->get(); }).task_code(), 6);
            } else {
                assert_int_equal(item->get(), 3 * item->index());
            }
        }
    }
    while (auto item = stream.next())
        taken++;
    assert_int_equal(taken, 20);
    assert_int_equal(stream.left(), 0);
    assert_true(stream.put(1)); /* and leaves it there */

    auto silent = weir::make_stream<int>(pool, [](weir::task, int) {});

    assert_true(silent.put(1));
    silent.next()->get();
    assert_false(silent.next().has_value());
}

/* ---- map-reduce ----------------------------------------------------------------------------- */

static void words_are_counted__in_a_table_that_can_be_read_in_tasks(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 2);
    char path[] = "/tmp/weir-hpp-XXXXXX";
    const int fd = mkstemp(path);

    assert_true(fd >= 0 && write(fd, "a b a c a b\nd\n", 14) == 14);
    close(fd);
    weir::text text = scope.open_text(path);
    weir::text_ref words = text;
    auto count = [=](weir::emitter<int64_t> emit, weir::range range) {
        for (std::string_view word : words.slice(range, WEIR_TEXT_WORDS))
            emit(word, 1);
    };
    weir::table table = weir::map_reduce<int64_t>(pool, text.range(), count);
    int64_t sum = 0;

    assert_int_equal(table.size(), 4);
    assert_int_equal(table.get("a")->as<int64_t>(), 3);
    assert_false(table.get("z").has_value());
    error_of(-EINVAL, [&] { (void)table.get("a")->as<char>(); });
    for (weir::pair_view pair : table)
        sum += pair.as<int64_t>();
    assert_int_equal(sum, 7);
    const std::vector<weir::pair_view> most = table.sorted(weir_pair_by_int64, 2);
    assert_int_equal(most.size(), 2);
    assert_true(most[0].key() == "a" && most[1].key() == "b");
    weir::table_ref shared = table;
    assert_int_equal(weir::submit(pool, [=] { return shared.get("b")->as<int64_t>(); }).get(), 2);

    weir::table frequent = weir::map_reduce<int64_t>(
        pool, text.range(), count, [](int64_t &into, const int64_t &from) { into += from; },
        [](std::string_view, int64_t &value) { return value++ > 1; });
    assert_int_equal(frequent.size(), 2);
    assert_int_equal(frequent.get("b")->as<int64_t>(), 3);

    weir::future<weir::table> future = weir::map_reduce_async<int64_t>(pool, text.range(), count);
    table = future.get();
    assert_int_equal(table.get("c")->as<int64_t>(), 1);
    unlink(path);
    assert_int_equal(weir::map_reduce<int>(pool, 0, [](weir::emitter<int>, weir::range) {}).size(),
                     0);

    const weir::error thrown = error_of(WEIR_EFAILED, [&] {
        weir::map_reduce<int>(
            pool, 1, [](weir::emitter<int>, weir::range) { throw weir::failure(8, "in map"); });
    });
    assert_int_equal(thrown.task_code(), 8);
}

static void a_map_ends_with_the_failure_of_an_emit__when_there_is_too_little_memory(void **)
{
    weir::scope scope;
    weir::pool pool(scope, 1);

    error_of(-ENOMEM, [&] {
        weir::map_reduce<std::array<char, 64>>(
            pool, 100000,
            [](weir::emitter<std::array<char, 64>> emit, weir::range range) {
                for (int64_t i : range)
                    emit(std::to_string(i), {});
            },
            [](auto &, const auto &) {}, weir::keep_all(), {}, 65536);
    });
}

/* ---- processes ------------------------------------------------------------------------------ */

static void a_process_has_a_copy_of_what_its_target_captured(void **)
{
    weir::scope scope;
    auto list = scope.list({0});
    const std::string text = "more than fits into a small string, so it lies in the heap";
    weir::process process(scope, [=] {
        list.set(0, text.size());
        return 7;
    });

    assert_true(process.pid() > 0);
    assert_int_equal(process.join(), 7);
    assert_int_equal(process.join_for(0).value(), 7);
    assert_int_equal(list[0].as_int(), text.size());
    assert_false(process.kill(SIGTERM));

    weir::process silent(scope, [] {});

    assert_int_equal(silent.join(), 0);
}

static void a_process_ends_with_status_1__when_its_target_throws(void **)
{
    weir::scope scope;
    weir::process process(scope, [] { throw std::runtime_error("of the target"); });
    weir::process other(scope, [] { throw 1; });

    assert_int_equal(process.join(), 1);
    assert_int_equal(other.join(), 1);
}

static void a_process_is_killed__by_a_signal_and_by_its_handle(void **)
{
    weir::scope scope;
    weir::process process(scope, [] { pause(); });
    weir::process left(scope, [] { pause(); });

    assert_false(process.join_for(1).has_value());
    assert_true(process.kill(SIGKILL));
    assert_int_equal(process.join(), -SIGKILL);
    left.reset();
    error_of(-EINVAL, [&] { left.join(); });
}

int main()
{
    const struct CMUnitTest tests[] = {
        UNIT(each_item_is_run_once__for_every_form_of_a_body),
        UNIT(a_function_is_a_body__and_so_is_a_closure_of_many_bytes),
        UNIT(options_are_those_of_c__in_every_call),
        UNIT(a_pool_without_processes_runs_the_same__also_when_a_task_throws),
        UNIT(a_task_can_call_its_own_pool__when_nested_calls_are_serial),
        UNIT(a_call_fails_with_the_text_and_the_code__when_a_task_throws),
        UNIT(a_worker_that_dies_is_an_error_with_its_signal__and_the_next_call_works),
        UNIT(a_worker_ends_in_order__when_a_task_leaves_by_pthread_exit),
        UNIT(errors_of_arguments_have_their_errno__as_std_errc_too),
        UNIT(a_call_is_cancelled__when_the_pool_is_interrupted),
        UNIT(handles_move_and_own_once),
        UNIT(what_outlives_its_scope_is_harmless),
        UNIT(a_c_handle_can_be_given_away_and_taken_over),
        UNIT(a_pool_ends_at_once__when_it_is_killed),
        UNIT(a_reduction_has_the_bits_of_c__for_any_number_of_workers),
        UNIT(a_neutral_element_is_what_an_empty_range_gives),
        UNIT(an_exception_of_combine_comes_out_of_the_call__and_of_the_future),
        UNIT(elements_are_mapped__from_private_memory_and_in_the_scope),
        UNIT(a_call_gives_what_its_function_returns),
        UNIT(a_future_throws_why_its_call_failed__each_time),
        UNIT(a_wait_tells_that_the_time_is_over__and_a_cancel_ends_it),
        UNIT(a_waiter_gives_each_end_with_its_tag),
        UNIT(callbacks_are_dispatched__and_their_exceptions_come_out),
        UNIT(each_worker_runs_a_function_once),
        UNIT(a_stream_gives_results_in_order__and_failures_as_items),
        UNIT(words_are_counted__in_a_table_that_can_be_read_in_tasks),
        UNIT(a_map_ends_with_the_failure_of_an_emit__when_there_is_too_little_memory),
        UNIT(a_process_has_a_copy_of_what_its_target_captured),
        UNIT(a_process_ends_with_status_1__when_its_target_throws),
        UNIT(a_process_is_killed__by_a_signal_and_by_its_handle),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
