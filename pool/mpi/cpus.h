/* SPDX-License-Identifier: MIT
 *
 * cpus.h: sets of CPUs, as the affinity masks of processes.
 */
#ifndef WEIR_CPUS_H
#define WEIR_CPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define WEIR__CPUS_MAX 8192 /* as many as Linux can have */

struct weir__cpus {
    unsigned long words[WEIR__CPUS_MAX / (8 * sizeof(unsigned long))];
};

/* Which CPUs a process may use; 0: the calling thread. False: it cannot be found out. */
bool weir__cpus_get(struct weir__cpus *cpus, pid_t pid);
/* Lets the calling thread use these CPUs, of them those that its cpuset has. */
bool weir__cpus_set(const struct weir__cpus *cpus);

int weir__cpus_count(const struct weir__cpus *cpus);
/* The CPUs that are in both; their number. */
int weir__cpus_common(const struct weir__cpus *a, const struct weir__cpus *b,
                      struct weir__cpus *common);
/* As "0-3,8", cut to the size of the text. */
void weir__cpus_text(const struct weir__cpus *cpus, char *text, size_t size);

#endif
