/* SPDX-License-Identifier: MIT
 *
 * openmp: what from_openmp.c does, with OpenMP.
 *
 *   cc -fopenmp openmp.c -lm -o openmp && ./openmp
 */
#include <math.h>
#include <stdio.h>

#define N    100000
#define ROWS 200
#define COLS 300

static double x[N];
static int table[ROWS][COLS];
static int scratch[10];
#pragma omp threadprivate(scratch)

static double loop(void)
{
    double sum = 0;

#pragma omp parallel for schedule(dynamic, 1000)
    for (int i = 0; i < N; i++)
        x[i] = sqrt(i);
#pragma omp parallel for reduction(+ : sum)
    for (int i = 0; i < N; i++)
        sum += x[i];
    return sum;
}

static int digits(void)
{
    int count[10] = {0};

#pragma omp parallel
    {
#pragma omp for
        for (int i = 0; i < N; i++)
            scratch[i % 10]++;
#pragma omp critical
        for (int d = 0; d < 10; d++)
            count[d] += scratch[d];
    }
    return count[7];
}

static int tiles(void)
{
#pragma omp parallel for collapse(2)
    for (int row = 0; row < ROWS; row++)
        for (int col = 0; col < COLS; col++)
            table[row][col] = row * col;
    return table[ROWS - 1][COLS - 1];
}

static double row_sum(int row)
{
    double sum = 0;

#pragma omp parallel for reduction(+ : sum)
    for (int col = 0; col < COLS; col++)
        sum += table[row][col];
    return sum;
}

static double nested(void)
{
    double largest = 0;

#pragma omp parallel for reduction(max : largest)
    for (int row = 0; row < ROWS; row++)
        largest = fmax(largest, row_sum(row)); /* a region within a region */
    return largest;
}

static long power(int base)
{
    long result = 1;

    for (int i = 0; i < 10; i++)
        result *= base;
    return result;
}

static long tasks(void)
{
    long result[3];

#pragma omp parallel
#pragma omp single
    for (int i = 0; i < 3; i++)
#pragma omp task shared(result) firstprivate(i)
        result[i] = power(i + 2);
    return result[0] + result[1] + result[2];
}

int main(void)
{
    printf("sum of roots %.6f\n", loop());
    printf("sevens %d\n", digits());
    printf("last tile %d\n", tiles());
    printf("largest row %.0f\n", nested());
    printf("powers %ld\n", tasks());
    return 0;
}
