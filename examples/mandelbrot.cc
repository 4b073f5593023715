/* SPDX-License-Identifier: MIT
 *
 * mandelbrot: a picture of the Mandelbrot set and an estimate of its area, in C++ by weir.hpp.
 *
 * The rows of the picture cost very differently, so each of them is a chunk (grain 1): workers that
 * have light rows take more of them. The area is a reduction over the picture.
 *
 *   c++ -std=c++17 mandelbrot.cc $(pkg-config --cflags --libs weir) -o mandelbrot && ./mandelbrot
 *
 *   ./mandelbrot [COLUMNS [WORKERS]]
 */
#include <weir.hpp>

#include <cstdio>
#include <cstdlib>

namespace
{

constexpr int steps_most = 1000;
constexpr int per_column = 4, per_row = 8; /* samples of a character, which is twice as high */
constexpr double left = -2.2, top = 1.2, width = 3.0, height = 2.4;

/* How many steps a point takes to leave the circle of radius 2. */
int steps_of(double cx, double cy)
{
    double x = 0, y = 0;
    int steps = 0;

    while (steps < steps_most && x * x + y * y <= 4) {
        const double next = x * x - y * y + cx;

        y = 2 * x * y + cy;
        x = next;
        steps++;
    }
    return steps;
}

void print(weir::array_ref<int> picture, std::int64_t rows, std::int64_t columns)
{
    static const char shades[] = " .:-=+*%#@";

    for (std::int64_t row = 0; row < rows; row++) {
        for (std::int64_t column = 0; column < columns; column++) {
            std::int64_t inside = 0;

            for (int i = 0; i < per_row; i++)
                for (int k = 0; k < per_column; k++)
                    inside +=
                        picture(row * per_row + i, column * per_column + k) == steps_most ? 1 : 0;
            std::putchar(shades[inside * 9 / (per_row * per_column)]);
        }
        std::putchar('\n');
    }
}

void run(int columns, int workers)
{
    const std::int64_t rows = columns * 2 / 5;
    const std::int64_t across = columns * per_column, down = rows * per_row;
    weir::scope scope; /* ends with this block, also by an exception */
    weir::pool pool(scope, workers);
    weir::array_ref<int> picture = scope.array<int>({down, across});
    weir::job_options each_row{};

    each_row.grain = 1;
    weir::parallel_for(
        pool, down,
        [=](std::int64_t row) {
            const double y =
                top - (static_cast<double>(row) + 0.5) * height / static_cast<double>(down);

            for (std::int64_t column = 0; column < across; column++) {
                const double x = left + (static_cast<double>(column) + 0.5) * width /
                                            static_cast<double>(across);

                picture(row, column) = steps_of(x, y);
            }
        },
        each_row);

    const std::int64_t inside = weir::reduce(
        pool, picture.size(), std::int64_t{0},
        [=](std::int64_t &count, std::int64_t i) { count += picture[i] == steps_most ? 1 : 0; });

    print(picture, rows, columns);
    std::printf("area %.6f\n",
                static_cast<double>(inside) * width * height / static_cast<double>(picture.size()));
}

} // namespace

int main(int argc, char **argv)
{
    const int columns = argc > 1 ? std::atoi(argv[1]) : 72;
    const int workers = argc > 2 ? std::atoi(argv[2]) : 0;

    if (argc > 3 || columns < 5 || columns > 10000 || workers < 0) {
        std::fprintf(stderr, "usage: mandelbrot [COLUMNS [WORKERS]], COLUMNS from 5 to 10000\n");
        return 2;
    }
    try {
        run(columns, workers);
    } catch (const weir::error &error) {
        std::fprintf(stderr, "mandelbrot: %s\n", error.what());
        return 1;
    }
    return 0;
}
