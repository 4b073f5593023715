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

static long sum()
{
    WEIR_SCOPE (scope, nullptr) {
        weir_list *list = weir_scope_list_range(scope, 0, 1000, 1);
        weir_pool_options options{};
        long total = 0;

        options.workers = 2;
        if (weir_pool_for(weir_pool_new(scope, &options), {0, 1000}, add_one, list, nullptr) < 0)
            break;
        for (int64_t i = 0; i < weir_list_len(list); i++) {
            weir_value value;

            if (weir_list_get(list, i, &value) == 0)
                total += value.integer;
        }
        return total;
    }
    std::printf("%s\n", weir_last_error()->message);
    return -1;
}

int main()
{
    return sum() == 1000 * 1001 / 2 ? 0 : 1;
}
