/* SPDX-License-Identifier: MIT
 *
 * cpus.c: sets of CPUs, as the affinity masks of processes.
 */
#include "pool/mpi/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#define WORD_BITS (8 * sizeof(unsigned long))

static bool has(const struct weir__cpus *cpus, size_t cpu)
{
    return cpu < WEIR__CPUS_MAX && (cpus->words[cpu / WORD_BITS] >> cpu % WORD_BITS & 1) != 0;
}

bool weir__cpus_get(struct weir__cpus *cpus, pid_t pid)
{
    memset(cpus, 0, sizeof *cpus);
    return sched_getaffinity(pid, sizeof cpus->words, (cpu_set_t *)cpus->words) == 0;
}

bool weir__cpus_set(const struct weir__cpus *cpus)
{
    return sched_setaffinity(0, sizeof cpus->words, (const cpu_set_t *)cpus->words) == 0;
}

int weir__cpus_count(const struct weir__cpus *cpus)
{
    int count = 0;

    for (size_t i = 0; i < sizeof cpus->words / sizeof cpus->words[0]; i++)
        count += __builtin_popcountl(cpus->words[i]);
    return count;
}

int weir__cpus_common(const struct weir__cpus *a, const struct weir__cpus *b,
                      struct weir__cpus *common)
{
    for (size_t i = 0; i < sizeof common->words / sizeof common->words[0]; i++)
        common->words[i] = a->words[i] & b->words[i];
    return weir__cpus_count(common);
}

void weir__cpus_text(const struct weir__cpus *cpus, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t cpu = 0; cpu < WEIR__CPUS_MAX && used + 16 < size; cpu++) {
        size_t last = cpu;

        if (!has(cpus, cpu))
            continue;
        while (has(cpus, last + 1))
            last++;
        used += (size_t)snprintf(text + used, size - used, "%s%zu", used > 0 ? "," : "", cpu);
        if (last > cpu)
            used += (size_t)snprintf(text + used, size - used, "-%zu", last);
        cpu = last;
    }
}
