// SPDX-License-Identifier: MIT
//
// tbb: what from_openmp.c does in its loop and its pipeline, with oneTBB.
//
//   c++ tbb.cc -ltbb -o tbb && ./tbb

#include <cmath>
#include <cstdio>
#include <functional>
#include <tbb/parallel_for.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/parallel_reduce.h>
#include <vector>

static const int N = 100000;
static const auto in_order = tbb::filter_mode::serial_in_order;
static const auto parallel = tbb::filter_mode::parallel;

static double loop()
{
    std::vector<double> x(N);

    tbb::parallel_for(0, N, [&](int i) { x[i] = std::sqrt(i); });
    return tbb::parallel_reduce(
        tbb::blocked_range<int>(0, N, 1000), 0.0,
        [&](const tbb::blocked_range<int> &range, double sum) {
            for (int i = range.begin(); i < range.end(); i++)
                sum += x[i];
            return sum;
        },
        std::plus<double>());
}

static void pipeline()
{
    int next = 1, sum = 0, last = 0;

    auto count = [&](tbb::flow_control &control) {
        if (next > 100)
            control.stop();
        return next++;
    };
    auto square = [](int item) { return item * item; };
    auto add = [&](int item) { sum += last = item; };

    tbb::parallel_pipeline(8, tbb::make_filter<void, int>(in_order, count) &
                                  tbb::make_filter<int, int>(parallel, square) &
                                  tbb::make_filter<int, void>(in_order, add));
    std::printf("squares %d, the last one %d\n", sum, last);
}

int main()
{
    std::printf("sum of roots %.6f\n", loop());
    pipeline();
}
