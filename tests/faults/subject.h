/* SPDX-License-Identifier: MIT
 *
 * subject.h: the program under test, in pieces. `subject MODE [ARGUMENT...]`; each mode returns an
 * exit status: 0 when what it did went as it must, GAVE_UP when weir refused with an error that is
 * allowed there, anything else is a violation that it has explained on stderr.
 */
#ifndef TEST_FAULTS_SUBJECT_H
#define TEST_FAULTS_SUBJECT_H

#include "entries.h"
#include "now.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir.h>

#define GAVE_UP 10

struct mode {
    const char *name;
    int (*run)(int argc, char **argv); /* what follows the name */
};

extern const struct mode endings[], of_futures[], hosts[], limits[], of_scopes[], others[], pools[],
    served[], tasks[];

static inline void sleep_ms(double ms)
{
    sleep_us((int)(ms * 1e3));
}
/* Prints the last error as {"code":…,"name":…,"message":…}, and returns GAVE_UP. */
int give_up(const char *what);
/* For a tracer: only what is done between mark(1) and mark(0) is weir's business. */
void mark(unsigned long begins);
/* The sum of squares up to ITEMS, by a job; 0 when it is exact, -1 when wrong, or the job's error.
 */
int work(weir_pool *pool, const weir_job_options *options);
weir_pool *new_pool(weir_scope *scope, int workers);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s (last error: %s)\n", __FILE__, __LINE__,     \
                    #condition, weir_last_error()->message);                                       \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#endif
