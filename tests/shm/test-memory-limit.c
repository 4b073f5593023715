/* SPDX-License-Identifier: MIT
 *
 * test-memory-limit.c: finding cgroups and reading limits, from made-up /proc and cgroup trees.
 * (test-limits.c has the real ones.)
 */
#include "leak.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/block/memory_limit.h"
#include "shm/cgroup.h"

#define MIB (UINT64_C(1) << 20)

static char root[64];

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/weirtest-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status, (void)type, (void)ftw;
    return remove(path);
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file below the root, with the directories above it. */
static void put(const char *path, const char *text)
{
    char full[PATH_MAX];
    int fd;

    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    fd = open(full, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void put_number(const char *directory, const char *file, uint64_t number)
{
    char path[PATH_MAX], text[32];

    snprintf(path, sizeof path, "%s/%s", directory, file);
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)number);
    put(path, text);
}

static void put_meminfo(uint64_t available_kib, uint64_t swap_kib)
{
    char text[300];

    snprintf(text, sizeof text,
             "MemTotal:       24684112 kB\nMemFree:        1 kB\nMemAvailable:   %llu kB\n"
             "SwapTotal:      99999 kB\nSwapFree:       %llu kB\nSwapCached: 7 kB\n",
             (unsigned long long)available_kib, (unsigned long long)swap_kib);
    put("/proc/meminfo", text);
}

static void assert_headroom(uint64_t bytes, const char *where)
{
    struct weir__memory_headroom headroom;

    weir__memory_headroom(&headroom, root);
    assert_int_equal(headroom.bytes, bytes);
    assert_string_equal(headroom.where, where);
}

#define V2_MOUNT "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"

static void put_v2(const char *path, const char *mountinfo)
{
    char text[200];

    snprintf(text, sizeof text, "0::%s\n", path);
    put("/proc/self/cgroup", text);
    put("/proc/self/mountinfo", mountinfo);
}

static void the_machine_limits__without_cgroups(void **state)
{
    (void)state;
    put_meminfo(1000, 0);
    assert_headroom(1024000, "the machine");
    put_meminfo(1000, 24);
    assert_headroom(1024 * 1024, "the machine");
}

static void nothing_limits__when_nothing_can_be_read(void **state)
{
    (void)state;
    assert_headroom(UINT64_MAX, "the machine");
    put("/proc/meminfo", "MemAvailable: many kB\nMemAvailable:\n\nMemAvailable: -5 kB");
    put("/proc/self/cgroup", "garbage\n0:\n:::\n0::/a");
    put("/proc/self/mountinfo", "garbage - \n1 2 3\n - cgroup2\n" V2_MOUNT);
    put("/sys/fs/cgroup/a/memory.max", "x");
    put("/sys/fs/cgroup/a/memory.current", "");
    put("/sys/fs/cgroup/memory.max", "99999999999999999999999\n");
    put("/sys/fs/cgroup/memory.current", "1\n");
    assert_headroom(UINT64_MAX, "the machine");
}

static void version_2_counts_the_page_cache_as_free(void **state)
{
    (void)state;
    put_meminfo(1 << 20, 0);
    put_v2("/app.slice/job", V2_MOUNT);
    put_number("/sys/fs/cgroup/app.slice/job", "memory.max", 64 * MIB);
    put_number("/sys/fs/cgroup/app.slice/job", "memory.current", 40 * MIB);
    assert_headroom(24 * MIB, "memory cgroup /app.slice/job");
    put("/sys/fs/cgroup/app.slice/job/memory.stat",
        "anon 1\nfile 9999999\nkernel 5\nshmem 12345678\ninactive_anon 3\nactive_anon 12345\n"
        "inactive_file 1048576\nactive_file 2097152\nslab_reclaimable 4194304\nslab 5\n"
        "active_file_x 77\n");
    assert_headroom(31 * MIB, "memory cgroup /app.slice/job");
    put_number("/sys/fs/cgroup/app.slice/job", "memory.current", 65 * MIB);
    assert_headroom(7 * MIB, "memory cgroup /app.slice/job");
}

static void the_tightest_level_limits(void **state)
{
    (void)state;
    put_meminfo(1 << 20, 0);
    put_v2("/a/b/c", V2_MOUNT);
    put("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
    put_number("/sys/fs/cgroup/a/b/c", "memory.current", MIB);
    put_number("/sys/fs/cgroup/a/b", "memory.max", 300 * MIB);
    put_number("/sys/fs/cgroup/a/b", "memory.current", 100 * MIB);
    assert_headroom(200 * MIB, "memory cgroup /a/b");
    put_number("/sys/fs/cgroup/a", "memory.max", 150 * MIB);
    put_number("/sys/fs/cgroup/a", "memory.current", 100 * MIB);
    assert_headroom(50 * MIB, "memory cgroup /a");
    put_number("/sys/fs/cgroup", "memory.max", 100 * MIB);
    put_number("/sys/fs/cgroup", "memory.current", 99 * MIB);
    assert_headroom(1 * MIB, "memory cgroup /");
    put_meminfo(512, 0);
    assert_headroom(MIB / 2, "the machine");
}

static void version_2_adds_the_swap_that_it_may_use(void **state)
{
    (void)state;
    put_meminfo(1 << 20, 30 << 10);
    put_v2("/a", V2_MOUNT);
    put_number("/sys/fs/cgroup/a", "memory.max", 64 * MIB);
    put_number("/sys/fs/cgroup/a", "memory.current", 60 * MIB);
    assert_headroom(34 * MIB, "memory cgroup /a");
    put_number("/sys/fs/cgroup/a", "memory.swap.max", 10 * MIB);
    put_number("/sys/fs/cgroup/a", "memory.swap.current", 9 * MIB);
    assert_headroom(5 * MIB, "memory cgroup /a");
    put_number("/sys/fs/cgroup/a", "memory.swap.max", 0);
    assert_headroom(4 * MIB, "memory cgroup /a");
}

static void a_container_sees_its_part_of_the_tree(void **state)
{
    (void)state;
    put_meminfo(1 << 20, 0);
    /* The mount shows what is below the path's front part. */
    put_v2("/docker/abc/job",
           "41 31 0:38 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw,nsdelegate\n");
    put_number("/sys/fs/cgroup/job", "memory.max", 20 * MIB);
    put_number("/sys/fs/cgroup/job", "memory.current", 1 * MIB);
    assert_headroom(19 * MIB, "memory cgroup /job");
    put_v2("/docker/abc",
           "41 31 0:38 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw,nsdelegate\n");
    put_number("/sys/fs/cgroup", "memory.max", 10 * MIB);
    put_number("/sys/fs/cgroup", "memory.current", 1 * MIB);
    assert_headroom(9 * MIB, "memory cgroup /");
    /* A path outside of the cgroup namespace. */
    put_v2("/../other", V2_MOUNT);
    assert_headroom(9 * MIB, "memory cgroup /");
}

static void another_part_of_the_tree_is_not_taken__when_it_is_mounted_first(void **state)
{
    (void)state;
    put_meminfo(1 << 20, 0);
    put_number("/sys/fs/cgroup/job", "memory.max", 20 * MIB);
    put_number("/sys/fs/cgroup/job", "memory.current", 1 * MIB);
    /* A container that sees the host's tree besides its own, and one that sees two parts. */
    put_v2("/job", "40 31 0:38 /.. /host rw,relatime - cgroup2 cgroup2 rw\n" V2_MOUNT);
    assert_headroom(19 * MIB, "memory cgroup /job");
    put_v2("/job", "40 31 0:38 /jo /other rw,relatime - cgroup2 cgroup2 rw\n" V2_MOUNT);
    assert_headroom(19 * MIB, "memory cgroup /job");
    /* For lack of another the first is taken. */
    put_v2("/", "40 31 0:38 /.. /sys/fs/cgroup/job rw,relatime - cgroup2 cgroup2 rw\n"
                "41 31 0:38 /../other /host rw,relatime - cgroup2 cgroup2 rw\n");
    assert_headroom(19 * MIB, "memory cgroup /");
}

#define V1_MOUNT                                                                                   \
    "25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684112k\n"                          \
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,memoryless\n"              \
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"                       \
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory\n"

static void put_v1(void)
{
    put_meminfo(1 << 20, 0);
    /* Both versions: the one that has the memory controller counts, in whatever order they come. */
    put("/proc/self/cgroup", "9:name=systemd:/\n4:cpuset,memory:/job/x\n1:cpu:/\n0::/unified\n");
    put("/proc/self/mountinfo", V1_MOUNT);
    put_number("/sys/fs/cgroup/unified/unified", "memory.max", 1);
    put_number("/sys/fs/cgroup/unified/unified", "memory.current", 1);
    put_number("/sys/fs/cgroup/memory/job/x", "memory.limit_in_bytes", 64 * MIB);
    put_number("/sys/fs/cgroup/memory/job/x", "memory.usage_in_bytes", 60 * MIB);
}

static void version_1_limits_too(void **state)
{
    (void)state;
    put_v1();
    assert_headroom(4 * MIB, "memory cgroup /job/x");
    put("/sys/fs/cgroup/memory/job/x/memory.stat",
        "active_file 9999999\ntotal_inactive_file 1048576\ntotal_active_file 2097152\n");
    assert_headroom(7 * MIB, "memory cgroup /job/x");
    put_number("/sys/fs/cgroup/memory", "memory.limit_in_bytes", UINT64_C(9223372036854771712));
    put_number("/sys/fs/cgroup/memory", "memory.usage_in_bytes", UINT64_C(9223372036854771712));
    assert_headroom(7 * MIB, "memory cgroup /job/x");
    put_number("/sys/fs/cgroup/memory/job", "memory.limit_in_bytes", MIB);
    put_number("/sys/fs/cgroup/memory/job", "memory.usage_in_bytes", 2 * MIB);
    assert_headroom(0, "memory cgroup /job");
}

static void version_1_limits_memory_and_swap_together(void **state)
{
    (void)state;
    put_v1();
    put_meminfo(1 << 20, 100 << 10);
    assert_headroom(104 * MIB, "memory cgroup /job/x");
    put_number("/sys/fs/cgroup/memory/job/x", "memory.memsw.limit_in_bytes", 70 * MIB);
    put_number("/sys/fs/cgroup/memory/job/x", "memory.memsw.usage_in_bytes", 61 * MIB);
    assert_headroom(9 * MIB, "memory cgroup /job/x");
}

static void the_mount_is_found__behind_thousands_of_others_and_long_lines(void **state)
{
    enum { MOUNTS = 3000 };
    size_t room = MOUNTS * 100 + 20000, size = 0;
    char *text = malloc(room);

    (void)state;
    assert_non_null(text);
    for (int i = 0; i < MOUNTS; i++)
        size += (size_t)snprintf(text + size, room - size,
                                 "%d 24 0:23 / /mnt/%d rw,relatime - overlay none rw\n", i, i);
    memset(text + size, 'l', 10000);
    size += 10000;
    snprintf(text + size, room - size, "\n%s", V2_MOUNT);
    put_meminfo(1 << 20, 0);
    put_v2("/a", text);
    free(text);
    put_number("/sys/fs/cgroup/a", "memory.max", 64 * MIB);
    put_number("/sys/fs/cgroup/a", "memory.current", 60 * MIB);
    assert_headroom(4 * MIB, "memory cgroup /a");
}

static void errno_stays(void **state)
{
    struct weir__memory_headroom headroom;

    (void)state;
    errno = EPIPE;
    weir__memory_headroom(&headroom, root);
    assert_int_equal(errno, EPIPE);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_root, remove_root)

struct visits {
    char paths[200];
    uint64_t quotas[4];
    int versions[4], count;
};

static void note_visit(const struct weir__cgroup *cgroup, void *arg)
{
    struct visits *visits = arg;

    assert_true(visits->count < 4);
    strcat(visits->paths, cgroup->path);
    strcat(visits->paths, " ");
    visits->versions[visits->count] = cgroup->version;
    visits->quotas[visits->count++] = weir__cgroup_number(cgroup, "quota");
}

static void a_controller_is_found_in_the_hierarchy_that_names_it(void **state)
{
    struct visits cpu = {.count = 0}, pids = {.count = 0};

    (void)state;
    put("/proc/self/cgroup", "5:cpu,cpuacct:/a/b\n4:memory:/m\n0::/u\n");
    put("/proc/self/mountinfo", "30 23 0:26 / /cg/memory rw - cgroup cgroup rw,memory\n"
                                "31 23 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                                "32 23 0:28 / /cg/unified rw - cgroup2 cgroup2 rw\n");
    put("/cg/cpu/a/b/quota", "-1\n");
    put("/cg/cpu/a/quota", "150000\n");
    weir__cgroup_each("cpu", root, note_visit, &cpu);
    assert_string_equal(cpu.paths, "/a/b /a / ");
    for (int i = 0; i < 3; i++)
        assert_int_equal(cpu.versions[i], 1);
    assert_int_equal(cpu.quotas[0], WEIR__NO_LIMIT);
    assert_int_equal(cpu.quotas[1], 150000);
    assert_int_equal(cpu.quotas[2], WEIR__NO_LIMIT);
    weir__cgroup_each("pids", root, note_visit, &pids);
    assert_string_equal(pids.paths, "/u / ");
    assert_int_equal(pids.versions[0], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_machine_limits__without_cgroups),
        TEST(nothing_limits__when_nothing_can_be_read),
        TEST(version_2_counts_the_page_cache_as_free),
        TEST(the_tightest_level_limits),
        TEST(version_2_adds_the_swap_that_it_may_use),
        TEST(a_container_sees_its_part_of_the_tree),
        TEST(another_part_of_the_tree_is_not_taken__when_it_is_mounted_first),
        TEST(version_1_limits_too),
        TEST(version_1_limits_memory_and_swap_together),
        TEST(the_mount_is_found__behind_thousands_of_others_and_long_lines),
        TEST(a_controller_is_found_in_the_hierarchy_that_names_it),
        TEST(errno_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
