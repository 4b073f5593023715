/* SPDX-License-Identifier: MIT
 *
 * pauses.h: when the processes of the pool stood still.
 */
#ifndef WEIR_PAUSES_H
#define WEIR_PAUSES_H

#include <stdint.h>

#define WEIR__PAUSES_MAX 16

/* Private to the supervisor. In the order of time; they do not overlap. */
struct weir__pauses {
    struct {
        int64_t begin_ns, end_ns;
    } of[WEIR__PAUSES_MAX];
    int count;
};

void weir__pauses_add(struct weir__pauses *pauses, int64_t begin_ns, int64_t end_ns);

/* How much of the time since then they take. */
int64_t weir__pauses_since(const struct weir__pauses *pauses, int64_t since_ns);

#endif
