/* SPDX-License-Identifier: MIT
 *
 * memory_limit.c: how much memory this process can still take before something kills it.
 *
 * Reserving more of a tmpfs than the memory cgroup allows is not refused by the kernel: the process
 * is killed. So the limits are read first. They are: what the machine can make available, and for
 * the process's memory cgroup (version 1 or 2) and each one above it, limit minus usage. Page cache
 * counts as free, because the kernel takes it back before it kills anyone; free swap counts too,
 * since shared memory can be swapped out.
 *
 * Failure modes: everything here is advice. A file that is missing, unreadable or unintelligible
 * does not limit. Whatever is read is out of date at once when others allocate at the same time.
 */
#include "shm/block/memory_limit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shm/cgroup.h"
#include "shm/error.h"

#define NO_LIMIT WEIR__NO_LIMIT

/* ---- numbers -------------------------------------------------------------------------------- */

/* The sum of those lines "key number" of memory.stat whose keys are given. */
static uint64_t read_stat(const struct weir__cgroup *cgroup, const char *const keys[])
{
    struct weir__lines lines;
    uint64_t sum = 0, number;
    char *line;

    if (!weir__cgroup_open(&lines, cgroup, "memory.stat"))
        return 0;
    while ((line = weir__lines_next(&lines)) != NULL) {
        for (size_t i = 0; keys[i] != NULL; i++) {
            size_t size = strlen(keys[i]);

            if (strncmp(line, keys[i], size) == 0 && line[size] == ' ' &&
                weir__parse_number(line + size + 1, &number))
                sum += number;
        }
    }
    weir__lines_close(&lines);
    return sum;
}

/* A difference that does not go below 0; without a limit there is no bound. */
static uint64_t left_of(uint64_t limit, uint64_t used)
{
    if (limit == NO_LIMIT || used == NO_LIMIT)
        return NO_LIMIT;
    return limit > used ? limit - used : 0;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a > NO_LIMIT - b ? NO_LIMIT : a + b;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- the machine ---------------------------------------------------------------------------- */

static uint64_t meminfo_number(const char *line, const char *key)
{
    size_t size = strlen(key);
    uint64_t number;

    if (strncmp(line, key, size) != 0)
        return NO_LIMIT;
    line += size;
    line += strspn(line, " ");
    return weir__parse_number(line, &number) ? number * 1024 : NO_LIMIT;
}

/* What is available, and how much of the swap space is free. */
static void read_machine(const char *root, uint64_t *available, uint64_t *swap)
{
    struct weir__lines lines;
    uint64_t number;
    char *line;

    *available = NO_LIMIT;
    *swap = 0;
    if (!weir__lines_open(&lines, root, "/proc/meminfo"))
        return;
    while ((line = weir__lines_next(&lines)) != NULL) {
        if ((number = meminfo_number(line, "MemAvailable:")) != NO_LIMIT)
            *available = number;
        else if ((number = meminfo_number(line, "SwapFree:")) != NO_LIMIT)
            *swap = number;
    }
    weir__lines_close(&lines);
    *available = add_capped(*available, *swap);
}

/* ---- cgroups -------------------------------------------------------------------------------- */

/* The limits that are looked for, and how much of the swap space is free. */
struct limit_search {
    struct weir__memory_headroom *headroom;
    uint64_t swap;
};

static uint64_t left_in_v2(const struct weir__cgroup *cgroup, uint64_t swap)
{
    static const char *const reclaimable[] = {"active_file", "inactive_file", "slab_reclaimable",
                                              NULL};
    uint64_t left = left_of(weir__cgroup_number(cgroup, "memory.max"),
                            weir__cgroup_number(cgroup, "memory.current"));

    if (left == NO_LIMIT)
        return NO_LIMIT;
    if (swap > 0)
        swap = least(swap, left_of(weir__cgroup_number(cgroup, "memory.swap.max"),
                                   weir__cgroup_number(cgroup, "memory.swap.current")));
    return add_capped(left, add_capped(read_stat(cgroup, reclaimable), swap));
}

static uint64_t left_in_v1(const struct weir__cgroup *cgroup, uint64_t swap)
{
    static const char *const reclaimable[] = {"total_active_file", "total_inactive_file", NULL};
    uint64_t limit = weir__cgroup_number(cgroup, "memory.limit_in_bytes");
    uint64_t left, cache, both;

    /* No limit is written as the largest number of whole pages. */
    if (limit >= (uint64_t)1 << 60)
        return NO_LIMIT;
    left = left_of(limit, weir__cgroup_number(cgroup, "memory.usage_in_bytes"));
    if (left == NO_LIMIT)
        return NO_LIMIT;
    cache = read_stat(cgroup, reclaimable);
    left = add_capped(left, cache);
    if (swap == 0)
        return left;
    /* With swap accounting there is a second limit, on memory and swap together. */
    both = left_of(weir__cgroup_number(cgroup, "memory.memsw.limit_in_bytes"),
                   weir__cgroup_number(cgroup, "memory.memsw.usage_in_bytes"));
    return least(add_capped(left, swap), add_capped(both, cache));
}

static void limit_by_cgroup(const struct weir__cgroup *cgroup, void *arg)
{
    struct limit_search *search = arg;
    struct weir__memory_headroom *headroom = search->headroom;
    uint64_t left =
        cgroup->version == 1 ? left_in_v1(cgroup, search->swap) : left_in_v2(cgroup, search->swap);

    if (left >= headroom->bytes)
        return;
    headroom->bytes = left;
    snprintf(headroom->where, sizeof headroom->where, "memory cgroup %.180s", cgroup->path);
}

void weir__memory_headroom(struct weir__memory_headroom *headroom, const char *root)
{
    struct limit_search search = {.headroom = headroom};
    int saved = errno;

    read_machine(root, &headroom->bytes, &search.swap);
    strcpy(headroom->where, "the machine");
    weir__cgroup_each("memory", root, limit_by_cgroup, &search);
    errno = saved;
}

int weir__memory_compare(const char *who, const char *more, size_t size, size_t bookkeeping,
                         size_t ahead)
{
    struct weir__memory_headroom headroom;

    weir__memory_headroom(&headroom, "");
    if ((uint64_t)size + bookkeeping + ahead <= headroom.bytes)
        return 0;
    if (ahead > 0)
        return weir__fail(-ENOMEM,
                          "%s needs %zu %sbytes, but %s has only %llu bytes left, and %zu stay "
                          "free for others",
                          who, size, more, headroom.where, (unsigned long long)headroom.bytes,
                          ahead);
    return weir__fail(-ENOMEM, "%s needs %zu %sbytes, but %s has only %llu bytes left", who, size,
                      more, headroom.where, (unsigned long long)headroom.bytes);
}
