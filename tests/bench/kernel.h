/* SPDX-License-Identifier: MIT
 *
 * kernel.h: what a benchmark is made of that has weir and its peers in one program.
 *
 * The program gives kernels: how to make the input from a seed, and ways to do the work, weir's
 * first. kernel.c makes a scope and a pool, runs the ways in alternating rounds, compares what they
 * found, and prints one JSON object a line.
 */
#ifndef BENCH_KERNEL_H
#define BENCH_KERNEL_H

#include <weir.h>

#include "random-of.h"

#define KERNEL_WAYS_MAX    6
#define KERNEL_WORKERS_MAX 64

/* The loop of all ways: one copy, so that they differ by nothing that the compiler made of it. */
#define SHARED_LOOP __attribute__((noinline)) static

/* What a kernel works with. */
struct bench {
    weir_scope *scope;
    weir_pool *pool;
    int workers;   /* of the pool, and threads of OpenMP */
    int64_t bytes; /* that the input shall have */
    uint64_t seed;
};

struct kernel_way {
    const char *name;
    void (*run)(const struct bench *bench);
    /* From 0 (the same as the kernel's first way found) upwards, for what the last run of this way
     * found; more than the kernel's bound is wrong. NULL: nothing to compare, as of the first. */
    double (*difference)(void);
};

struct kernel {
    const char *name;
    double target; /* for weir's median as a multiple of a peer's; 0: none */
    double bound;  /* for differences; 0: exact */
    int mib, rounds;
    bool processes_end; /* in a round, and their processor time with them: it is not printed */
    void (*prepare)(const struct bench *bench); /* not timed */
    void (*clear)(void); /* not timed: gives back what a round has found; may be NULL */
    struct kernel_way ways[KERNEL_WAYS_MAX]; /* up to one without a name */
};

/* Runs the kernels that the arguments name, or all. The status for main() to return: 0, 1 when
 * something failed or results differ by more than the bound, 2 for bad arguments. */
int kernel_main(int argc, char **argv, const struct kernel *kernels, int count);

/* Ends the program with weir's last error unless good. */
void must(bool good, const char *what);

/* The distance of two numbers as a part of the larger one. */
static inline double relative_difference(double a, double b)
{
    const double distance = a > b ? a - b : b - a;
    const double x = a < 0 ? -a : a, y = b < 0 ? -b : b;

    /* so that what is not a number differs */
    return distance == 0 ? 0 : distance > 0 ? distance / (x > y ? x : y) : 1;
}

#endif
