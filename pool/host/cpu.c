/* SPDX-License-Identifier: MIT
 *
 * cpu.c: how many CPUs this process may use.
 *
 * The affinity mask, cut to the CPU quota of the process's cgroups: v2's cpu.max and v1's
 * cpu.cfs_quota_us, each from its own cgroup up to the root. What cannot be read does not limit.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>
#include <weir.h>

#include "shm/cgroup.h"

static int affinity_count(void)
{
    /* larger masks than cpu_set_t's 1,024 CPUs exist */
    for (size_t cpus = 1024; cpus <= (1u << 18); cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        size_t size = CPU_ALLOC_SIZE(cpus);
        int count, error;

        if (set == NULL)
            return 1;
        error = sched_getaffinity(0, size, set) < 0 ? errno : 0;
        count = error == 0 ? CPU_COUNT_S(size, set) : 1;
        CPU_FREE(set);
        if (error != EINVAL)
            return count > 0 ? count : 1;
    }
    return 1;
}

/* What a quota of microseconds a period leaves of *count CPUs. */
static void cut_to_quota(int *count, uint64_t quota, uint64_t period)
{
    uint64_t cpus;

    if (quota == 0 || period == 0 || quota == WEIR__NO_LIMIT || period == WEIR__NO_LIMIT)
        return;
    cpus = (quota - 1) / period + 1;
    if (cpus < (uint64_t)*count)
        *count = (int)cpus;
}

/* "QUOTA PERIOD" or "max PERIOD" in version 2, a file each in version 1 (no limit is -1 there). */
static void cut_by_cgroup(const struct weir__cgroup *cgroup, void *count)
{
    uint64_t quota, period;
    struct weir__lines lines;
    const char *line;

    if (cgroup->version == 1) {
        cut_to_quota(count, weir__cgroup_number(cgroup, "cpu.cfs_quota_us"),
                     weir__cgroup_number(cgroup, "cpu.cfs_period_us"));
        return;
    }
    if (!weir__cgroup_open(&lines, cgroup, "cpu.max"))
        return;
    line = weir__lines_next(&lines);
    if (line != NULL && weir__parse_number(line, &quota) && (line = strchr(line, ' ')) != NULL &&
        weir__parse_number(line + 1, &period))
        cut_to_quota(count, quota, period);
    weir__lines_close(&lines);
}

int weir_cpu_count(void)
{
    int count = affinity_count();

    weir__cgroup_each("cpu", "", cut_by_cgroup, &count);
    return count;
}
