// SPDX-License-Identifier: MIT
//
// use.cpp: weir from C++17, with the installed headers and library: a scope, a list, a pool, and leaving the
// scope by return.

#include <weir.h>

#include <cstdio>

static int add_one(weir_task *task, weir_range range, void *arg)
{
    auto list = static_cast<weir_list *>(arg);

    for (auto i = range.begin; i < range.end; i++)
        if (weir_list_add(list, i, 1, nullptr) < 0)
            return weir_task_fail(task, 1, "%s", weir_last_error()->message);
    return 0;
}

static long complain()
{
    std::fprintf(stderr, "use: %s\n", weir_last_error()->message);
    return -1;
}

static long sum()
{
    WEIR_SCOPE (scope, nullptr) {
        weir_pool_options options{};
        options.workers = 2;
        weir_pool *pool = weir_pool_new(scope, &options);
        if (!pool)
            break;
        weir_list *list = weir_scope_list_range(scope, 0, 1000, 1);
        if (!list || weir_pool_for(pool, {0, 1000}, add_one, list, nullptr) < 0)
            break;

        long total = 0;
        for (int64_t i = 0; i < weir_list_len(list); i++) {
            weir_value value;

            if (weir_list_get(list, i, &value) < 0)
                return complain();
            total += value.integer;
        }
        return total;
    }
    return complain();
}

int main()
{
    return sum() == 1000 * 1001 / 2 ? 0 : 1;
}
