/* SPDX-License-Identifier: MIT
 *
 * scopes.c: the scopes of this machine and their blocks, as their files say.
 *
 * Invariants. Scope files and blocks are opened to be read, never locked, mapped or written, and
 * not even their time of access changes where the kernel allows that. Every number that they hold
 * is checked: against the file's size, or against what weir itself would write.
 *
 * Failure modes. A name that goes meanwhile is left out. A scope that has lost its lock after the
 * processes were looked at was live then, so a file without a name is left out too, as a scope that
 * ends in order loses its name before its lock.
 */
#include "pool/tool/scopes.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/tool/text.h"
#include "shm/array/npy.h"
#include "shm/block/block.h"
#include "shm/dict/layout.h"
#include "shm/retry.h"

const char *tool_state_name(enum tool_state state)
{
    static const char *const names[] = {
        [TOOL_LIVE] = "live",       [TOOL_CLOSING] = "closing", [TOOL_DEAD] = "dead",
        [TOOL_DAMAGED] = "damaged", [TOOL_FOREIGN] = "foreign",
    };

    return names[state];
}

int tool_open_to_read(int dir, const char *name)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = openat(dir, name, flags | O_NOATIME);

    return fd < 0 && errno == EPERM ? openat(dir, name, flags) : fd;
}

static uint64_t resident_of(const struct stat *st)
{
    return (uint64_t)st->st_blocks * 512;
}

/* ---- what a block holds --------------------------------------------------------------------- */

static void read_array(struct tool_block *block, struct tool_heap *heap, int fd)
{
    char header[WEIR__NPY_HEADER_MAX + 16];
    ssize_t size = TEMP_FAILURE_RETRY(pread(fd, header, sizeof(header), 0));
    struct weir__npy npy;
    int64_t *shape;

    if (size < 12 || weir__npy_header_size(header, (size_t)size) > sizeof(header) ||
        weir__npy_read(header, weir__npy_header_size(header, (size_t)size), &npy, block->name) < 0)
        return;
    shape = tool_take(heap, WEIR_ARRAY_NDIM_MAX, sizeof(*shape));
    memcpy(shape, npy.shape, sizeof(npy.shape));
    block->shape = shape;
    block->ndim = npy.ndim;
    block->dtype = weir_dtype_name(npy.dtype);
}

/* At most so many as a block of that size can hold. */
static void note_count(struct tool_block *block, uint64_t count, size_t smallest)
{
    if (count <= block->size / smallest)
        block->count = (int64_t)count;
}

static void read_contents(struct tool_block *block, struct tool_heap *heap, int fd)
{
    uint64_t word = 0;

    if (strcmp(block->kind, "array") == 0)
        read_array(block, heap, fd);
    else if (strcmp(block->kind, "list") == 0 && pread(fd, &word, sizeof(word), 0) == sizeof(word))
        note_count(block, word, 25);
    else if (strcmp(block->kind, "dict") == 0 &&
             pread(fd, &word, sizeof(word), offsetof(struct weir__dict_header, items)) ==
                 sizeof(word))
        note_count(block, word, WEIR__DICT_NODE_SIZE);
}

static size_t count_users(const struct tool_processes *processes, dev_t dev, ino_t ino)
{
    size_t count;

    tool_processes_uses(processes, dev, ino, &count);
    return count;
}

/* Fills in what the file says. False: the record's file is not there. */
static bool look_at_file(struct tool_block *block, const struct tool_processes *processes, int dir,
                         const char *name)
{
    struct stat st;
    int fd;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
        st.st_ino != block->ino)
        return false;
    block->size = (uint64_t)st.st_size;
    block->resident = resident_of(&st);
    block->users = count_users(processes, st.st_dev, st.st_ino);
    fd = tool_open_to_read(dir, name);
    if (fd >= 0) {
        if (fstat(fd, &st) == 0 && st.st_ino == block->ino)
            read_contents(block, processes->heap, fd);
        close(fd);
    }
    return true;
}

static void add_block(struct tool_scope *scope, const struct tool_processes *processes, int dir,
                      const struct weir__block_record *record)
{
    struct tool_heap *heap = processes->heap;
    struct tool_block *block;

    scope->blocks = tool_grow(heap, scope->blocks, &scope->blocks_capacity, scope->blocks_count + 1,
                              sizeof(*scope->blocks));
    block = &scope->blocks[scope->blocks_count];
    *block = (struct tool_block){
        .name = tool_escape(heap, record->name),
        .kind = tool_escape(heap, record->kind),
        .count = -1,
        .size = record->size,
        .resident = UINT64_MAX,
        .ino = (ino_t)record->ino,
        .maker = record->pid,
        .named = strncmp(record->name, "weir-", 5) != 0,
    };
    if (!scope->anonymous && !look_at_file(block, processes, dir, record->name))
        return;
    scope->blocks_count++;
    if (block->resident != UINT64_MAX) {
        scope->size = tool_sum(scope->size, block->size);
        scope->resident = tool_sum(scope->resident, block->resident);
    }
}

static void read_blocks(struct tool_scope *scope, const struct tool_processes *processes, int dir,
                        int fd)
{
    const size_t end = WEIR__RECORD_CLIENTS + WEIR__CLIENT_BLOCKS_MAX;
    struct weir__block_record record;
    size_t entry = 0;
    int found = 0;

    while (entry < end && found >= 0) {
        found = weir__scope_file_read(fd, scope->id, &entry, NULL, &record);
        if (found > 0)
            add_block(scope, processes, dir, &record);
    }
}

/* ---- scopes --------------------------------------------------------------------------------- */

static bool is_of_weir(const char *command)
{
    return strncmp(command, "weir-manager", 12) == 0 ||
           strncmp(command, "weir-supervisor", 15) == 0 || strncmp(command, "weir-worker", 11) == 0;
}

/* The members, and which of them is the host. The number in the file is of the host's pid
 * namespace: here it counts if that process has the scope. Otherwise it is the first that is not of
 * weir's. */
static void find_members(struct tool_scope *scope, const struct tool_processes *processes, int host)
{
    size_t count;
    const struct tool_use *uses = tool_processes_uses(processes, scope->dev, scope->ino, &count);
    pid_t *members = tool_take(processes->heap, count + 1, sizeof(*members));

    for (size_t i = 0; i < count; i++) {
        if (uses[i].how & TOOL_LOCKED)
            members[scope->members_count++] = uses[i].pid;
    }
    scope->members = members;
    for (size_t i = 0; i < scope->members_count; i++) {
        if (members[i] == host)
            scope->pid = host;
    }
    for (size_t i = 0; i < scope->members_count && scope->pid <= 0; i++) {
        char comm[64];

        if (tool_process_read(members[i], "comm", comm, sizeof(comm)) > 0 && !is_of_weir(comm))
            scope->pid = members[i];
    }
    if (scope->pid > 0)
        scope->command = tool_process_command(processes->heap, scope->pid);
}

static int64_t birth_of(int fd, const struct stat *st)
{
    struct statx stx;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx) == 0 && stx.stx_mask & STATX_BTIME)
        return stx.stx_btime.tv_sec;
    return st->st_mtim.tv_sec;
}

/* False: it is gone. */
static bool read_scope(struct tool_scope *scope, const struct tool_processes *processes, int dir,
                       int fd)
{
    const bool locked = tool_processes_locked(processes, scope->dev, scope->ino);
    struct weir__scope_header header = {0};
    char address[WEIR__RECORD_SIZE];
    int result = weir__scope_file_read_header(fd, scope->id, &header);
    struct stat st;

    if (result < 0 && result != -EBADMSG)
        scope->state = TOOL_FOREIGN;
    else if (result < 0)
        scope->state = TOOL_DAMAGED;
    else if (!locked)
        scope->state = TOOL_DEAD;
    else
        scope->state = header.closed ? TOOL_CLOSING : TOOL_LIVE;
    scope->certain = scope->state == TOOL_FOREIGN || locked || processes->all_locks;
    scope->pid = locked ? -1 : 0;
    find_members(scope, processes, header.pid);
    if (weir__scope_file_read_address(fd, address) == 1)
        scope->address = tool_escape(processes->heap, address);
    read_blocks(scope, processes, dir, fd);
    return scope->anonymous || (fstat(fd, &st) == 0 && st.st_nlink > 0);
}

static struct tool_scope *new_scope(struct tool_scopes *scopes, struct tool_heap *heap, uint64_t id,
                                    const struct stat *st)
{
    struct tool_scope *scope;

    scopes->items = tool_grow(heap, scopes->items, &scopes->capacity, scopes->count + 1,
                              sizeof(*scopes->items));
    scope = &scopes->items[scopes->count];
    *scope = (struct tool_scope){
        .id = id,
        .certain = true,
        .dev = st->st_dev,
        .ino = st->st_ino,
        .uid = st->st_uid,
        .began = st->st_mtim.tv_sec,
        .size = (uint64_t)st->st_size,
        .resident = resident_of(st),
    };
    return scope;
}

static void look_at_named(struct tool_scopes *scopes, const struct tool_processes *processes,
                          int dir, const char *name, uint64_t id)
{
    struct tool_scope *scope;
    struct stat st;
    int fd;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    scope = new_scope(scopes, processes->heap, id, &st);
    if (!S_ISREG(st.st_mode)) {
        scope->state = TOOL_DAMAGED;
        scopes->count++;
        return;
    }
    fd = tool_open_to_read(dir, name);
    if (fd < 0) {
        scope->state = TOOL_FOREIGN;
        scopes->count += errno != ENOENT;
        return;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        scope->dev = st.st_dev;
        scope->ino = st.st_ino;
        scope->began = birth_of(fd, &st);
        scopes->count += read_scope(scope, processes, dir, fd);
    }
    close(fd);
}

static void look_at_anonymous(struct tool_scopes *scopes, const struct tool_processes *processes,
                              const struct tool_use *file, uint64_t id)
{
    const int fd = tool_use_open(file);
    struct tool_scope *scope;
    struct stat st;

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0) {
        scope = new_scope(scopes, processes->heap, id, &st);
        scope->anonymous = true;
        scope->began = birth_of(fd, &st);
        scopes->count += read_scope(scope, processes, -1, fd);
    }
    close(fd);
}

static int compare_scopes(const void *a, const void *b)
{
    const struct tool_scope *x = a, *y = b;

    if (x->state != y->state)
        return x->state < y->state ? -1 : 1;
    if (x->began != y->began)
        return x->began < y->began ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

void tool_scopes_read(struct tool_scopes *scopes, const struct tool_processes *processes)
{
    int dir = open(WEIR__SHM_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t id;

    *scopes = (struct tool_scopes){0};
    for (size_t i = 0; dir >= 0 && i < processes->names_count; i++) {
        if (weir__scope_file_parse_name(processes->names[i], &id))
            look_at_named(scopes, processes, dir, processes->names[i], id);
    }
    for (size_t i = 0; i < processes->files_count; i++) {
        if (weir__scope_file_parse_name(processes->files[i].name, &id))
            look_at_anonymous(scopes, processes, &processes->files[i].use, id);
    }
    if (dir >= 0)
        close(dir);
    if (scopes->count > 0)
        qsort(scopes->items, scopes->count, sizeof(*scopes->items), compare_scopes);
}

/* ---- finding one ---------------------------------------------------------------------------- */

static const struct tool_scope *scope_of_id(const struct tool_scopes *scopes, const char *text)
{
    char *end;
    uint64_t id;

    if (strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16)
        return NULL;
    id = strtoull(text, &end, 16);
    for (size_t i = 0; i < scopes->count; i++) {
        if (scopes->items[i].id == id)
            return &scopes->items[i];
    }
    return NULL;
}

static const struct tool_scope *scope_of_process(const struct tool_scopes *scopes, pid_t pid)
{
    for (size_t i = 0; i < scopes->count; i++) {
        const struct tool_scope *scope = &scopes->items[i];

        for (size_t member = 0; member < scope->members_count; member++) {
            if (scope->members[member] == pid)
                return scope;
        }
    }
    return NULL;
}

const struct tool_scope *tool_scope_find(const struct tool_scopes *scopes, const char *what)
{
    const pid_t pid = tool_process_parse(what);
    const struct tool_scope *scope = scope_of_id(scopes, what);

    return scope == NULL && pid > 0 ? scope_of_process(scopes, pid) : scope;
}
