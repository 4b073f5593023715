/* SPDX-License-Identifier: MIT
 *
 * What weir.hpp refuses when it is compiled: statements, each below a part of what the compiler
 * says of it. See hpp.sh.
 */
#include <weir.hpp>

#include <functional>
#include <string>

struct record {
    int number;
};

void refuse(weir::scope &scope, weir::pool &pool)
{
    std::string text;
    std::vector<int> numbers;
    std::function<void()> function;
    weir::list list = weir::list::create(nullptr, {1});

    // capture a weir::list_ref, array_ref
    weir::parallel_for(pool, 1, [=](std::int64_t) { (void)text.size(); });
    // must be trivially copyable
    weir::parallel_for(pool, 1, [=](weir::range) { (void)numbers.size(); });
    // must be trivially copyable
    weir::submit(pool, [=] { function(); });
    // must be trivially copyable
    weir::each(pool, [=] { (void)text.size(); });
    // must be trivially copyable
    weir::map(pool, numbers, [=](int i) { return i + static_cast<int>(text.size()); });
    // must be trivially copyable
    weir::map_reduce<int>(pool, 1, [=](weir::emitter<int> emit, weir::range) { emit(text, 1); });
    // must be trivially copyable
    weir::parallel_for(pool, 1, [owned = std::move(list)](std::int64_t) {});
    // not be `mutable`
    weir::parallel_for(pool, 1, [n = 0](std::int64_t) mutable { n++; });
    // the function must be one of
    weir::parallel_for(pool, 1, [] {});
    // must return nothing
    weir::parallel_for(pool, 1, [](std::int64_t i) { return i; });
    // the result of a call is copied from the worker
    weir::submit(pool, [] { return std::string(); });
    // the result of a call must be a value
    weir::submit(pool, [] { return "text"; });
    // the T of reduce() lies in shared memory
    weir::reduce(pool, 1, std::string(), [](std::string &, std::int64_t) {});
    // a std::vector<bool> has no items
    weir::map(pool, numbers, [](int i) { return i > 0; });
    // an array has numbers
    scope.array<record>(1);
    // must be trivially copyable
    scope.shm(100).as<std::string>();
    // runs no destructors
    scope.make<std::string>();
    // a character is neither an int nor a str
    scope.list({'c'});
    // deleted
    weir::list_ref left = weir::list::create(nullptr, {1});
    // deleted
    weir::pool copy = pool;
}
