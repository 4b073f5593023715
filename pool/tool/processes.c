/* SPDX-License-Identifier: MIT
 *
 * processes.c: which processes have which file of shared memory, as far as /proc shows it.
 *
 * Invariants. Nothing is opened but files of /proc and the folder /dev/shm. A link in /proc/PID/fd
 * is followed only where its text says that it leads to a file of shared memory, since following
 * one to a file system that does not answer would hang.
 *
 * Failure modes. A process that ends while it is looked at is left out. One that may not be looked
 * into is counted. The kernel shows /proc/locks in parts, and a lock may slip from one part to
 * another between two reads; so it is read twice, and what either had counts.
 */
#include "pool/tool/processes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "manager/scope_file/scope_file.h"
#include "pool/tool/text.h"
#include "pool/tool/tool.h"
#include "shm/block/block.h"
#include "shm/retry.h"

/* The initial pid namespace always has this number (PROC_PID_INIT_INO). */
#define FIRST_PID_NAMESPACE "pid:[4026531836]"
#define MEMORY_FILE         "/memfd:"
#define DELETED             " (deleted)"

/* ---- /dev/shm ------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int tool_compare_inodes(const void *a, const void *b)
{
    const ino_t x = *(const ino_t *)a, y = *(const ino_t *)b;

    return (x > y) - (x < y);
}

static void note_scope_file(struct tool_processes *processes, int folder, const char *name)
{
    struct stat st;
    uint64_t id;

    if (!weir__scope_file_parse_name(name, &id) ||
        fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    processes->scope_files =
        tool_grow(processes->heap, processes->scope_files, &processes->scope_files_capacity,
                  processes->scope_files_count + 1, sizeof(*processes->scope_files));
    processes->scope_files[processes->scope_files_count++] = st.st_ino;
}

static int list_names(struct tool_processes *processes)
{
    DIR *folder = opendir(WEIR__SHM_DIR);
    struct dirent *entry;
    struct stat st;

    if (folder == NULL)
        return -errno;
    if (fstat(dirfd(folder), &st) == 0)
        processes->shm = st.st_dev;
    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        processes->names = tool_grow(processes->heap, processes->names, &processes->names_capacity,
                                     processes->names_count + 1, sizeof(*processes->names));
        processes->names[processes->names_count++] = tool_copy(processes->heap, entry->d_name);
        note_scope_file(processes, dirfd(folder), entry->d_name);
    }
    closedir(folder);
    if (processes->names_count > 0)
        qsort(processes->names, processes->names_count, sizeof(*processes->names), compare_names);
    if (processes->scope_files_count > 0)
        qsort(processes->scope_files, processes->scope_files_count, sizeof(*processes->scope_files),
              tool_compare_inodes);
    return 0;
}

static bool is_scope_file(const struct tool_processes *processes, dev_t dev, ino_t ino,
                          const char *target)
{
    if (dev != processes->shm)
        return strstr(target, ".scope") != NULL;
    return processes->scope_files_count > 0 &&
           bsearch(&ino, processes->scope_files, processes->scope_files_count,
                   sizeof(*processes->scope_files), tool_compare_inodes) != NULL;
}

/* ---- uses ----------------------------------------------------------------------------------- */

static struct tool_use *add_use(struct tool_processes *processes, dev_t dev, ino_t ino, pid_t pid)
{
    struct tool_use *use;

    processes->uses = tool_grow(processes->heap, processes->uses, &processes->uses_capacity,
                                processes->uses_count + 1, sizeof(*processes->uses));
    use = &processes->uses[processes->uses_count++];
    *use = (struct tool_use){.dev = dev, .ino = ino, .pid = pid, .fd = -1};
    return use;
}

/* "1: FLOCK  ADVISORY  WRITE 812 00:1b:4711 0 EOF": true when it is such a lock, and not a wait for
 * one. */
static bool read_lock(const char *text, struct tool_lock *lock)
{
    unsigned major, minor;
    uint64_t ino;

    if (sscanf(text, "%*d: FLOCK %*s WRITE %*d %x:%x:%" SCNu64, &major, &minor, &ino) != 3)
        return false;
    *lock = (struct tool_lock){.dev = makedev(major, minor), .ino = (ino_t)ino};
    return true;
}

/* A file below an open folder of /proc, to be read; NULL: it cannot be. */
static FILE *open_text(int folder, const char *path)
{
    const int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;

    if (file == NULL && fd >= 0)
        close(fd);
    return file;
}

static bool file_is_locked(int process, const char *fd, dev_t dev, ino_t ino)
{
    char path[64], line[256];
    bool locked = false;
    FILE *file;

    snprintf(path, sizeof(path), "fdinfo/%s", fd);
    file = open_text(process, path);
    if (file == NULL)
        return false;
    while (!locked && fgets(line, sizeof(line), file) != NULL) {
        struct tool_lock lock;

        locked = strncmp(line, "lock:", 5) == 0 && read_lock(line + 5, &lock) && lock.dev == dev &&
                 lock.ino == ino;
    }
    fclose(file);
    return locked;
}

/* Whether what a link of /proc/PID/fd says is a file of shared memory. A process in another mount
 * namespace may have /dev/shm elsewhere; and a file that was made without a name is "#INODE" for
 * ever. */
static bool leads_to_shm(const struct tool_processes *processes, char *target, size_t size)
{
    const size_t end = strlen(DELETED);
    const char *name;

    if (strncmp(target, MEMORY_FILE "weir-", strlen(MEMORY_FILE "weir-")) == 0)
        return true;
    if (*target != '/')
        return false;
    if (size > end && strcmp(target + size - end, DELETED) == 0)
        target[size - end] = '\0';
    name = strrchr(target, '/') + 1;
    return strncmp(target, WEIR__SHM_DIR "/", strlen(WEIR__SHM_DIR "/")) == 0 || *name == '#' ||
           (processes->names_count > 0 &&
            bsearch(&name, processes->names, processes->names_count, sizeof(*processes->names),
                    compare_names) != NULL);
}

/* A process that only looks, such as another one of this program, has it open for reading: its
 * number may be lower than the owner's, and it closes the file at any moment. The mode of the link
 * says how a descriptor was opened. */
static bool may_write(int process, const char *path)
{
    struct stat st;

    return fstatat(process, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IWUSR) != 0;
}

static void note_memory_file(struct tool_processes *processes, const struct tool_use *use,
                             const char *name)
{
    struct tool_memory_file *file;

    processes->files = tool_grow(processes->heap, processes->files, &processes->files_capacity,
                                 processes->files_count + 1, sizeof(*processes->files));
    file = &processes->files[processes->files_count++];
    *file = (struct tool_memory_file){.use = *use};
    snprintf(file->name, sizeof(file->name), "%.*s", (int)strcspn(name, " "), name);
}

static void look_at_descriptor(struct tool_processes *processes, int process, pid_t pid,
                               const char *fd)
{
    char path[64], target[4096];
    struct tool_use *use;
    struct stat st;
    ssize_t size;

    snprintf(path, sizeof(path), "fd/%.20s", fd);
    size = readlinkat(process, path, target, sizeof(target) - 1);
    if (size <= 0)
        return;
    target[size] = '\0';
    if (!leads_to_shm(processes, target, (size_t)size) || fstatat(process, path, &st, 0) < 0 ||
        !S_ISREG(st.st_mode))
        return;
    use = add_use(processes, st.st_dev, st.st_ino, pid);
    use->how = TOOL_OPEN;
    use->fd = atoi(fd);
    if (is_scope_file(processes, st.st_dev, st.st_ino, target) &&
        file_is_locked(process, fd, st.st_dev, st.st_ino))
        use->how |= TOOL_LOCKED;
    if (st.st_dev != processes->shm && strncmp(target, MEMORY_FILE, strlen(MEMORY_FILE)) == 0 &&
        may_write(process, path))
        note_memory_file(processes, use, target + strlen(MEMORY_FILE));
}

/* False: they may not be seen. */
static bool look_at_descriptors(struct tool_processes *processes, int process, pid_t pid)
{
    int folder = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = folder >= 0 ? fdopendir(folder) : NULL;
    struct dirent *entry;

    if (list == NULL) {
        const bool hidden = errno != ENOENT && errno != ESRCH;

        if (folder >= 0)
            close(folder);
        return !hidden;
    }
    while ((entry = readdir(list)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]))
            look_at_descriptor(processes, process, pid, entry->d_name);
    }
    closedir(list);
    return true;
}

/* "START-END PERMS OFFSET MAJOR:MINOR INODE PATH" */
static void look_at_maps(struct tool_processes *processes, int process, pid_t pid)
{
    FILE *file = open_text(process, "maps");
    char *line = NULL;
    size_t capacity = 0;

    if (file == NULL)
        return;
    while (getline(&line, &capacity, file) > 0) {
        unsigned major, minor;
        uint64_t ino;

        if (sscanf(line, "%*s %*s %*s %x:%x %" SCNu64, &major, &minor, &ino) == 3 && ino != 0 &&
            makedev(major, minor) == processes->shm)
            add_use(processes, processes->shm, (ino_t)ino, pid)->how = TOOL_MAPPED;
    }
    free(line);
    fclose(file);
}

static void look_at_process(struct tool_processes *processes, int proc, const char *name, bool maps)
{
    const pid_t pid = atoi(name);
    int process;

    if (pid == getpid())
        return;
    process = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (process < 0) {
        processes->hidden += errno != ENOENT && errno != ESRCH;
        return;
    }
    if (!look_at_descriptors(processes, process, pid))
        processes->hidden++;
    else if (maps)
        look_at_maps(processes, process, pid);
    close(process);
}

/* ---- locks ---------------------------------------------------------------------------------- */

static bool read_locks(struct tool_processes *processes)
{
    FILE *file = fopen("/proc/locks", "re");
    char line[256];

    if (file == NULL)
        return false;
    while (fgets(line, sizeof(line), file) != NULL) {
        struct tool_lock lock;

        if (!read_lock(line, &lock))
            continue;
        processes->locks = tool_grow(processes->heap, processes->locks, &processes->locks_capacity,
                                     processes->locks_count + 1, sizeof(*processes->locks));
        processes->locks[processes->locks_count++] = lock;
    }
    fclose(file);
    return true;
}

static bool is_first_pid_namespace(void)
{
    char name[64] = "";

    return readlink("/proc/self/ns/pid", name, sizeof(name) - 1) > 0 &&
           strcmp(name, FIRST_PID_NAMESPACE) == 0;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int compare_uses(const void *a, const void *b)
{
    const struct tool_use *x = a, *y = b;

    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

/* One entry for each process and file, and for each file. */
static void merge(struct tool_processes *processes)
{
    size_t kept = 0;

    if (processes->uses_count > 0)
        qsort(processes->uses, processes->uses_count, sizeof(*processes->uses), compare_uses);
    for (size_t i = 0; i < processes->uses_count; i++) {
        struct tool_use *use = &processes->uses[i];

        if (kept > 0 && compare_uses(&processes->uses[kept - 1], use) == 0) {
            processes->uses[kept - 1].how |= use->how;
            if (use->fd >= 0)
                processes->uses[kept - 1].fd = use->fd;
        } else {
            processes->uses[kept++] = *use;
        }
    }
    processes->uses_count = kept;
    if (processes->files_count > 0)
        qsort(processes->files, processes->files_count, sizeof(*processes->files), compare_uses);
    kept = 0;
    for (size_t i = 0; i < processes->files_count; i++) {
        if (kept == 0 || processes->files[kept - 1].use.dev != processes->files[i].use.dev ||
            processes->files[kept - 1].use.ino != processes->files[i].use.ino)
            processes->files[kept++] = processes->files[i];
    }
    processes->files_count = kept;
}

int tool_processes_look(struct tool_processes *processes, struct tool_heap *heap, bool maps)
{
    struct dirent *entry;
    int result;
    DIR *proc;

    *processes = (struct tool_processes){.heap = heap};
    result = list_names(processes);
    proc = opendir("/proc");
    processes->all_locks = read_locks(processes) && is_first_pid_namespace();
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0])) {
            processes->seen = true;
            look_at_process(processes, dirfd(proc), entry->d_name, maps);
        }
    }
    if (proc != NULL)
        closedir(proc);
    processes->all_locks &= read_locks(processes);
    merge(processes);
    return result;
}

int tool_processes_require(struct tool_processes *processes, struct tool_heap *heap, bool maps)
{
    const int result = tool_processes_look(processes, heap, maps);

    if (result < 0)
        tool_say("cannot read " WEIR__SHM_DIR ": %s", strerror(-result));
    return result < 0 ? TOOL_FAILED : TOOL_DONE;
}

const struct tool_use *tool_processes_uses(const struct tool_processes *processes, dev_t dev,
                                           ino_t ino, size_t *count)
{
    size_t low = 0, high = processes->uses_count, end;
    const struct tool_use first = {.dev = dev, .ino = ino, .pid = 0};

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (compare_uses(&processes->uses[middle], &first) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (end = low; end < processes->uses_count && processes->uses[end].dev == dev &&
                    processes->uses[end].ino == ino;
         end++)
        ;
    *count = end - low;
    return *count > 0 ? processes->uses + low : NULL;
}

bool tool_processes_locked(const struct tool_processes *processes, dev_t dev, ino_t ino)
{
    size_t count;
    const struct tool_use *uses = tool_processes_uses(processes, dev, ino, &count);

    for (size_t i = 0; i < count; i++) {
        if (uses[i].how & TOOL_LOCKED)
            return true;
    }
    for (size_t i = 0; i < processes->locks_count; i++) {
        if (processes->locks[i].dev == dev && processes->locks[i].ino == ino)
            return true;
    }
    return false;
}

int tool_use_open(const struct tool_use *use)
{
    char path[64];
    struct stat st;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)use->pid, use->fd);
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && st.st_dev == use->dev && st.st_ino == use->ino &&
        S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return -1;
}

int tool_process_read(pid_t pid, const char *name, char *text, size_t capacity)
{
    size_t size = 0;
    ssize_t n = 0;
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (size < capacity - 1 &&
           (n = TEMP_FAILURE_RETRY(read(fd, text + size, capacity - 1 - size))) > 0)
        size += (size_t)n;
    n = n < 0 ? -errno : 0;
    close(fd);
    text[size] = '\0';
    return n < 0 ? (int)n : (int)size;
}

bool tool_process_catches(pid_t pid, int number, pid_t *parent)
{
    char text[4096];
    const char *caught, *of;
    uint64_t mask;

    if (tool_process_read(pid, "status", text, sizeof(text)) <= 0)
        return false;
    caught = strstr(text, "\nSigCgt:");
    of = strstr(text, "\nPPid:");
    if (caught == NULL || of == NULL || sscanf(caught, "\nSigCgt: %" SCNx64, &mask) != 1 ||
        !(mask & UINT64_C(1) << (number - 1)))
        return false;
    *parent = atoi(of + strlen("\nPPid:"));
    return true;
}

char *tool_process_command(struct tool_heap *heap, pid_t pid)
{
    char text[4096] = "", comm[64];
    int size = tool_process_read(pid, "cmdline", text, sizeof(text));

    if (size < 0)
        return NULL;
    if (size == 0) { /* it is a zombie, or has overwritten it */
        size = tool_process_read(pid, "comm", comm, sizeof(comm));
        return size <= 0
                   ? NULL
                   : tool_print(heap, "[%s]", tool_escape_bytes(heap, comm, (size_t)size - 1));
    }
    while (size > 1 && text[size - 1] == '\0')
        size--;
    for (int i = 0; i < size; i++) {
        if (text[i] == '\0')
            text[i] = ' ';
    }
    return tool_escape_bytes(heap, text, (size_t)size);
}

pid_t tool_process_parse(const char *text)
{
    if (strlen(text) > 9 || strspn(text, "0123456789") != strlen(text))
        return 0;
    return (pid_t)atoi(text);
}
