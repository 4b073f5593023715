/* SPDX-License-Identifier: MIT
 *
 * doctor.c: `weir doctor`: what of this machine could make a program that uses weir fail, each with
 * its remedy.
 *
 * Failure modes. What cannot be read is no finding: it is left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/magic.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "manager/host/locate.h"
#include "pool/tool/processes.h"
#include "pool/tool/scopes.h"
#include "pool/tool/text.h"
#include "pool/tool/tool.h"
#include "pool/weir-pool.h"
#include "shm/block/block.h"
#include "shm/block/memory_limit.h"

enum verdict { FINE, WARN, FAIL };

struct doctor {
    struct tool_heap *heap;
    struct tool_table table;
    json_t *checks;
    bool json;
    int worst;
};

/* `remedy`: NULL when all is well. */
static void find(struct doctor *doctor, enum verdict verdict, const char *what, const char *found,
                 const char *remedy)
{
    static const char *const names[] = {[FINE] = "ok", [WARN] = "warn", [FAIL] = "FAIL"};
    const char **row = tool_table_row(&doctor->table);

    row[0] = names[verdict];
    row[1] = what;
    row[2] = remedy != NULL ? tool_print(doctor->heap, "%s: %s", found, remedy) : found;
    json_array_append_new(doctor->checks,
                          json_pack("{s:s, s:s, s:s, s:o}", "verdict",
                                    verdict == FAIL ? "fail" : names[verdict], "what", what,
                                    "found", found, "remedy",
                                    remedy != NULL ? json_string(remedy) : json_null()));
    if ((int)verdict > doctor->worst)
        doctor->worst = (int)verdict;
}

static void check_shm(struct doctor *doctor)
{
    struct tool_heap *heap = doctor->heap;
    const char *remedy = NULL, *found;
    struct statfs fs;
    uint64_t size, available;

    if (statfs(WEIR__SHM_DIR, &fs) < 0) {
        find(doctor, FAIL, WEIR__SHM_DIR, strerror(errno),
             "mount a tmpfs there, or use anonymous scopes");
        return;
    }
    if (fs.f_type != TMPFS_MAGIC) {
        find(doctor, FAIL, WEIR__SHM_DIR, "it is no tmpfs",
             "mount a tmpfs there, or use anonymous scopes");
        return;
    }
    size = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
    available = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    found = tool_print(heap, "tmpfs of %s, %s free", tool_size(heap, size, false),
                       tool_size(heap, available, false));
    if (size != 0 && available < size / 10)
        remedy = "weir ls --all says what fills it, weir sweep removes what dead scopes left";
    else if (size != 0 && size <= (64 << 20))
        remedy = "that is Docker's default; --shm-size (shm_size: in a compose file) gives more";
    find(doctor, remedy != NULL ? WARN : FINE, WEIR__SHM_DIR, found, remedy);
    if (fs.f_files != 0 && fs.f_ffree < 1000)
        find(doctor, WARN, "files in " WEIR__SHM_DIR,
             tool_print(heap, "%llu more can be made", (unsigned long long)fs.f_ffree),
             "weir ls --all says which there are; mount -o remount,nr_inodes=... allows more");
}

static void check_scopes(struct doctor *doctor)
{
    struct tool_processes processes;
    struct tool_scopes scopes;
    uint64_t bytes = 0;
    size_t dead = 0;

    if (tool_processes_look(&processes, doctor->heap, false) < 0)
        return;
    if (!processes.seen)
        find(doctor, WARN, "/proc", "it shows no processes",
             "mount proc there; pools cannot be watched, memory limits are not seen");
    tool_scopes_read(&scopes, &processes);
    for (size_t i = 0; i < scopes.count; i++) {
        if (scopes.items[i].state == TOOL_DEAD && scopes.items[i].certain) {
            dead++;
            bytes = tool_sum(bytes, scopes.items[i].resident);
        }
    }
    find(doctor, dead > 0 ? WARN : FINE, "dead scopes",
         dead > 0
             ? tool_print(doctor->heap, "%zu (%s)", dead, tool_size(doctor->heap, bytes, false))
             : "none",
         dead > 0 ? "weir sweep removes yours" : NULL);
}

static void check_memory(struct doctor *doctor)
{
    struct weir__memory_headroom headroom;
    bool little;

    weir__memory_headroom(&headroom, "");
    if (headroom.bytes == UINT64_MAX)
        return;
    little = headroom.bytes < (256u << 20);
    find(doctor, little ? WARN : FINE, "memory",
         tool_print(doctor->heap, "%s left of %s", tool_size(doctor->heap, headroom.bytes, false),
                    tool_escape(doctor->heap, headroom.where)),
         little ? "beyond it processes are killed; raise the limit or use less" : NULL);
}

static void check_cpus(struct doctor *doctor)
{
    const int workers = weir_cpu_count();
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    const bool fewer = workers < online;

    find(doctor, fewer ? WARN : FINE, "CPUs",
         tool_print(doctor->heap, "%d of %ld: so many workers pools have by default", workers,
                    online),
         fewer ? "the affinity mask (taskset) or the CPU quota of the cgroup allows no more"
               : NULL);
}

static void check_limit(struct doctor *doctor, int which, const char *what, rlim_t enough,
                        const char *remedy)
{
    struct rlimit limit;
    bool low;

    if (getrlimit((__rlimit_resource_t)which, &limit) < 0)
        return;
    low = limit.rlim_cur < enough;
    find(doctor, low ? WARN : FINE, what,
         limit.rlim_cur == RLIM_INFINITY
             ? "no limit"
             : tool_print(doctor->heap, "%llu", (unsigned long long)limit.rlim_cur),
         low ? remedy : NULL);
}

static void check_limits(struct doctor *doctor)
{
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    unsigned long count = 0;

    check_limit(doctor, RLIMIT_NOFILE, "descriptors (ulimit -n)", 1024,
                "a scope takes 4, a pool 5; ulimit -n 4096 allows more");
    check_limit(doctor, RLIMIT_FSIZE, "file size (ulimit -f)", RLIM_INFINITY,
                "it limits shared memory too; ulimit -f unlimited lifts it");
    check_limit(doctor, RLIMIT_NPROC, "processes (ulimit -u)", 256,
                "each worker is a process, and all of the user's count; ulimit -u allows more");
    if (file == NULL)
        return;
    if (fscanf(file, "%lu", &count) == 1)
        find(doctor, count < 65530 ? WARN : FINE, "mappings of a process",
             tool_print(doctor->heap, "%lu", count),
             count < 65530 ? "an object takes two; sysctl vm.max_map_count=65530 or more" : NULL);
    fclose(file);
}

static void check_kernel(struct doctor *doctor)
{
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    int memory = memfd_create("weir-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int file = open(WEIR__SHM_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    find(doctor, pidfd < 0 ? FAIL : FINE, "pidfd_open", pidfd < 0 ? strerror(errno) : "works",
         pidfd < 0 ? "pools need Linux 5.3, and a sandbox that allows it" : NULL);
    find(doctor, memory < 0 ? FAIL : FINE, "memfd_create", memory < 0 ? "fails" : "works",
         memory < 0 ? "the sandbox must allow it" : NULL);
    find(doctor, file < 0 ? FAIL : FINE, "files without a name", file < 0 ? "fail" : "work",
         file < 0 ? WEIR__SHM_DIR " must be a tmpfs that this user can write to" : NULL);
    for (int i = 0; i < 3; i++) {
        const int fd = i == 0 ? pidfd : i == 1 ? memory : file;

        if (fd >= 0)
            close(fd);
    }
}

/* What a file of logind's says last about RemoveIPC, if it says anything. */
static void read_remove_ipc(const char *path, bool *removes)
{
    FILE *file = fopen(path, "re");
    char line[512], value[16];

    if (file == NULL)
        return;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, " RemoveIPC = %15s", value) == 1)
            *removes = strcasecmp(value, "no") != 0 && strcasecmp(value, "false") != 0 &&
                       strcasecmp(value, "off") != 0 && strcmp(value, "0") != 0;
    }
    fclose(file);
}

/* systemd's logind removes a user's files in /dev/shm at the last logout, unless its configuration
 * says no. What stands in a file of /etc counts more. */
static bool logind_removes(void)
{
    static const char *const patterns[] = {
        "/usr/lib/systemd/logind.conf",
        "/etc/systemd/logind.conf",
        "/usr/lib/systemd/logind.conf.d/*.conf",
        "/etc/systemd/logind.conf.d/*.conf",
    };
    bool removes = true;

    for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
        glob_t found;

        if (glob(patterns[i], 0, NULL, &found) == 0) {
            for (size_t file = 0; file < found.gl_pathc; file++)
                read_remove_ipc(found.gl_pathv[file], &removes);
        }
        globfree(&found);
    }
    return removes;
}

static void check_logind(struct doctor *doctor)
{
    const struct passwd *user = getpwuid(geteuid());
    char path[512];

    if (access("/run/systemd/system", F_OK) < 0)
        return;
    snprintf(path, sizeof(path), "/var/lib/systemd/linger/%s", user != NULL ? user->pw_name : "");
    if (geteuid() < 1000 || !logind_removes() || (user != NULL && access(path, F_OK) == 0))
        find(doctor, FINE, "RemoveIPC", "it does not concern this user", NULL);
    else
        find(doctor, WARN, "RemoveIPC",
             tool_print(doctor->heap, "logind unlinks the names of user %u at the last logout",
                        (unsigned)geteuid()),
             "RemoveIPC=no in logind.conf, loginctl enable-linger, or anonymous scopes");
}

static void check_manager(struct doctor *doctor)
{
    char path[PATH_MAX];

    if (weir__locate_manager(path) == 0)
        find(doctor, FINE, "manager program", tool_escape(doctor->heap, path), NULL);
    else
        find(doctor, FAIL, "manager program", tool_escape(doctor->heap, weir_last_error()->message),
             "install it, or name it in WEIR_MANAGER");
}

static int run(struct tool_heap *heap, int argc, char **argv, const struct tool_command *command)
{
    static const char *const heads[] = {"", "WHAT", "FOUND"};
    static const struct option known[] = {
        {"json", no_argument, NULL, 'J'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct doctor doctor = {.heap = heap, .table = {.heap = heap, .heads = heads, .columns = 3}};
    int option, status;

    while ((option = tool_next_option(argc, argv, "Jh", known, command, &status)) > 0)
        doctor.json = true;
    if (option < 0)
        return status;
    doctor.checks = json_array();
    check_shm(&doctor);
    check_scopes(&doctor);
    check_memory(&doctor);
    check_cpus(&doctor);
    check_limits(&doctor);
    check_kernel(&doctor);
    check_logind(&doctor);
    check_manager(&doctor);
    if (doctor.json)
        tool_json_write(json_pack("{s:i, s:s, s:O}", "schema", 1, "version", weir_version(),
                                  "checks", doctor.checks));
    else
        tool_table_write(&doctor.table);
    json_decref(doctor.checks);
    return doctor.worst == FINE ? TOOL_DONE : TOOL_NO;
}

const struct tool_command tool_doctor = {
    .name = "doctor",
    .summary = "say what of this machine could make programs fail, and the remedy",
    .usage = "[-J]",
    .help = "  -J, --json   one JSON object\n"
            "  -h, --help   this\n",
    .run = run,
};
