/* SPDX-License-Identifier: MIT
 *
 * cpu.c: how many CPUs this process may use.
 *
 * The affinity mask, cut to the CPU quota of the process's cgroups: v2's cpu.max and v1's
 * cpu.cfs_quota_us, each from its own cgroup up to the root. What cannot be read does not limit.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir-pool.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

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

static bool read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return false;
    got = read(fd, text, size - 1);
    close(fd);
    if (got < 0)
        return false;
    text[got] = '\0';
    return true;
}

static int cut(int count, long long quota, long long period)
{
    long long cpus;

    if (quota <= 0 || period <= 0)
        return count;
    cpus = (quota - 1) / period + 1;
    return cpus < count ? (int)cpus : count;
}

static int cut_v2(int count, const char *folder)
{
    char path[PATH_MAX + 32], text[64];
    long long quota, period;

    snprintf(path, sizeof(path), "%s/cpu.max", folder);
    if (read_text(path, text, sizeof(text)) && sscanf(text, "%lld %lld", &quota, &period) == 2)
        return cut(count, quota, period);
    return count;
}

static int cut_v1(int count, const char *folder)
{
    char path[PATH_MAX + 32], quota[64], period[64];

    snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", folder);
    if (!read_text(path, quota, sizeof(quota)))
        return count;
    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder);
    if (!read_text(path, period, sizeof(period)))
        return count;
    return cut(count, atoll(quota), atoll(period));
}

/* From the cgroup `path` below `mount` up to the mount itself. */
static int cut_upwards(int count, const char *mount, const char *path,
                       int (*cut_one)(int, const char *))
{
    char folder[PATH_MAX];
    size_t root = strlen(mount);

    if (snprintf(folder, sizeof(folder), "%s%s", mount, path) >= (int)sizeof(folder))
        return count;
    for (;;) {
        char *slash;

        count = cut_one(count, folder);
        slash = strrchr(folder, '/');
        if (strlen(folder) <= root || slash == NULL)
            return count;
        *slash = '\0';
        if (strlen(folder) < root)
            return count;
    }
}

static bool has_controller(const char *list, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

int weir_cpu_count(void)
{
    int count = affinity_count();
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[PATH_MAX + 64];

    if (file == NULL)
        return count;
    while (fgets(line, sizeof(line), file) != NULL) {
        char *controllers = strchr(line, ':'), *path;

        line[strcspn(line, "\n")] = '\0';
        if (controllers == NULL || (path = strchr(controllers + 1, ':')) == NULL)
            continue;
        controllers++;
        *path++ = '\0';
        if (*controllers == '\0') {
            count = cut_upwards(count, CGROUP_ROOT, path, cut_v2);
            count = cut_upwards(count, CGROUP_ROOT "/unified", path, cut_v2);
        } else if (has_controller(controllers, "cpu")) {
            count = cut_upwards(count, CGROUP_ROOT "/cpu", path, cut_v1);
        }
    }
    fclose(file);
    return count > 0 ? count : 1;
}
