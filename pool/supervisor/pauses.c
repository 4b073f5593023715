/* SPDX-License-Identifier: MIT
 *
 * pauses.c: pauses are kept, and taken off the time of a chunk or job that began before or in them.
 *
 * What began later is not prolonged: a program that goes on a moment before its supervisor may have
 * opened a job by then. Of many pauses the two oldest become one, which ends when the later of them
 * ended and is as long as both: that is exact for what began before them, and for what began after
 * them.
 */
#include "pool/supervisor/pauses.h"

#include <string.h>

#include "pool/control/no_malloc.h"

static void join_oldest(struct weir__pauses *pauses)
{
    const int64_t first = pauses->of[0].end_ns - pauses->of[0].begin_ns;

    pauses->of[1].begin_ns -= first;
    memmove(&pauses->of[0], &pauses->of[1], (WEIR__PAUSES_MAX - 1) * sizeof(pauses->of[0]));
    pauses->count--;
}

void weir__pauses_add(struct weir__pauses *pauses, int64_t begin_ns, int64_t end_ns)
{
    if (pauses->count == WEIR__PAUSES_MAX)
        join_oldest(pauses);
    pauses->of[pauses->count].begin_ns = begin_ns;
    pauses->of[pauses->count].end_ns = end_ns;
    pauses->count++;
}

int64_t weir__pauses_since(const struct weir__pauses *pauses, int64_t since_ns)
{
    int64_t sum = 0;

    for (int i = 0; i < pauses->count; i++) {
        const int64_t begin = pauses->of[i].begin_ns > since_ns ? pauses->of[i].begin_ns : since_ns;

        if (pauses->of[i].end_ns > begin)
            sum += pauses->of[i].end_ns - begin;
    }
    return sum;
}
