/* SPDX-License-Identifier: MIT
 *
 * ls.c: `weir ls`: scopes, their pools and blocks, and what else lies in /dev/shm.
 *
 * Failure modes. Without /proc nobody knows who has a file; then scopes are listed with what their
 * files say, and stderr says so.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "pool/tool/describe.h"
#include "pool/tool/pools.h"
#include "pool/tool/processes.h"
#include "pool/tool/scopes.h"
#include "pool/tool/text.h"
#include "pool/tool/tool.h"
#include "shm/block/block.h"

struct options {
    bool blocks, all, dead, bytes, json;
};

/* A file in /dev/shm that is of no scope. */
struct other {
    const char *name; /* escaped */
    struct stat st;
    size_t users;
};

struct shm {
    uint64_t size, used, inodes, inodes_used;
    uint64_t weir;  /* bytes of the scopes with names */
    uint64_t bytes; /* of the others */
    size_t unused;  /* others that no visible process has */
    struct other *others;
    size_t count, capacity;
};

struct listing {
    struct tool_heap *heap;
    struct options options;
    struct tool_processes processes;
    struct tool_scopes scopes;
    struct tool_pools pools; /* only their pages */
    struct shm shm;
    bool incomplete; /* a number of users was written that may be too small */
    bool uncertain;  /* a scope was listed as dead that may live elsewhere */
};

/* ---- /dev/shm ------------------------------------------------------------------------------- */

/* The inodes of scope files and their blocks, sorted. */
static ino_t *inodes_of_weir(const struct listing *listing, size_t *count)
{
    ino_t *inodes;

    *count = 0;
    for (size_t i = 0; i < listing->scopes.count; i++)
        *count += 1 + listing->scopes.items[i].blocks_count;
    inodes = tool_take(listing->heap, *count + 1, sizeof(*inodes));
    *count = 0;
    for (size_t i = 0; i < listing->scopes.count; i++) {
        const struct tool_scope *scope = &listing->scopes.items[i];

        if (scope->anonymous)
            continue;
        inodes[(*count)++] = scope->ino;
        for (size_t block = 0; block < scope->blocks_count; block++)
            inodes[(*count)++] = scope->blocks[block].ino;
    }
    qsort(inodes, *count, sizeof(*inodes), tool_compare_inodes);
    return inodes;
}

static void add_other(struct listing *listing, const char *name, const struct stat *st)
{
    struct shm *shm = &listing->shm;
    struct other *other;

    shm->others =
        tool_grow(listing->heap, shm->others, &shm->capacity, shm->count + 1, sizeof(*shm->others));
    other = &shm->others[shm->count++];
    *other = (struct other){.name = tool_escape(listing->heap, name), .st = *st};
    tool_processes_uses(&listing->processes, st->st_dev, st->st_ino, &other->users);
    shm->bytes = tool_sum(shm->bytes, (uint64_t)st->st_blocks * 512);
    shm->unused += other->users == 0;
}

static int compare_others(const void *a, const void *b)
{
    const struct other *x = a, *y = b;

    if (x->st.st_blocks != y->st.st_blocks)
        return x->st.st_blocks > y->st.st_blocks ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void look_at_shm(struct listing *listing)
{
    struct shm *shm = &listing->shm;
    struct statvfs fs;
    size_t count;
    ino_t *inodes = inodes_of_weir(listing, &count);
    int dir = open(WEIR__SHM_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (size_t i = 0; i < listing->scopes.count; i++) {
        if (!listing->scopes.items[i].anonymous)
            shm->weir = tool_sum(shm->weir, listing->scopes.items[i].resident);
    }
    if (dir < 0)
        return;
    if (fstatvfs(dir, &fs) == 0) {
        shm->size = (uint64_t)fs.f_blocks * fs.f_frsize;
        shm->used = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
        shm->inodes = fs.f_files;
        shm->inodes_used = fs.f_files - fs.f_ffree;
    }
    for (size_t i = 0; i < listing->processes.names_count; i++) {
        struct stat st;

        if (fstatat(dir, listing->processes.names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            !bsearch(&st.st_ino, inodes, count, sizeof(*inodes), tool_compare_inodes))
            add_other(listing, listing->processes.names[i], &st);
    }
    close(dir);
    if (shm->count > 0)
        qsort(shm->others, shm->count, sizeof(*shm->others), compare_others);
}

/* ---- pools ---------------------------------------------------------------------------------- */

/* The scope's next pool from *place on, and *place is then behind it; NULL: there is none. A page
 * without a name is a weir_process's. */
static const struct tool_pool *next_pool(const struct listing *listing,
                                         const struct tool_scope *scope, size_t *place)
{
    while (*place < listing->pools.count) {
        const struct tool_pool *pool = &listing->pools.items[(*place)++];

        if (pool->name[0] != '\0' && tool_pool_is_of(pool, scope))
            return pool;
    }
    return NULL;
}

static size_t count_pools(const struct listing *listing, const struct tool_scope *scope)
{
    size_t count = 0, place = 0;

    while (next_pool(listing, scope, &place) != NULL)
        count++;
    return count;
}

static json_t *pools_json(const struct listing *listing, const struct tool_scope *scope)
{
    json_t *pools = json_array();
    const struct tool_pool *pool;
    size_t place = 0;

    while ((pool = next_pool(listing, scope, &place)) != NULL)
        json_array_append_new(pools, json_pack("{s:s, s:I, s:I}", "name", pool->name, "supervisor",
                                               (json_int_t)pool->supervisor, "workers",
                                               (json_int_t)pool->status.workers));
    return pools;
}

/* ---- text ----------------------------------------------------------------------------------- */

static const char *user_name(struct tool_heap *heap, uid_t uid)
{
    const struct passwd *user = getpwuid(uid);

    return user != NULL ? tool_escape(heap, user->pw_name) : tool_print(heap, "%u", (unsigned)uid);
}

static const char *size_of(const struct listing *listing, uint64_t bytes)
{
    return bytes == UINT64_MAX ? "-" : tool_size(listing->heap, bytes, listing->options.bytes);
}

static const char *users_text(struct listing *listing, size_t users)
{
    const bool more = listing->processes.hidden > 0 || !listing->processes.seen;

    listing->incomplete |= more;
    return tool_print(listing->heap, "%zu%s", users, more ? "+" : "");
}

static const char *remark_on(struct listing *listing, const struct tool_scope *scope)
{
    if (scope->command != NULL)
        return scope->command;
    if (scope->state == TOOL_FOREIGN)
        return tool_print(listing->heap, "(of user %s)", user_name(listing->heap, scope->uid));
    if (scope->pid != 0)
        return "?";
    if (scope->uid != geteuid())
        return tool_print(listing->heap, "(gone; weir sweep of user %s removes it)",
                          user_name(listing->heap, scope->uid));
    return "(gone; weir sweep removes it)";
}

static void add_scope_row(struct listing *listing, struct tool_table *table,
                          const struct tool_scope *scope)
{
    struct tool_heap *heap = listing->heap;
    const bool foreign = scope->state == TOOL_FOREIGN;
    const char **row = tool_table_row(table);

    row[0] = tool_print(heap, "%016" PRIx64 "%s", scope->id, scope->anonymous ? "*" : "");
    row[1] = tool_print(heap, "%s%s", tool_state_name(scope->state), scope->certain ? "" : "?");
    row[2] = scope->pid > 0 ? tool_print(heap, "%d", scope->pid) : scope->pid == 0 ? "-" : "?";
    row[3] = foreign ? "-" : tool_print(heap, "%zu", scope->members_count);
    row[4] = foreign ? "-" : tool_print(heap, "%zu", count_pools(listing, scope));
    row[5] = foreign ? "-" : tool_print(heap, "%zu", scope->blocks_count);
    row[6] = size_of(listing, scope->resident);
    row[7] = tool_age(heap, time(NULL) - scope->began);
    row[8] = remark_on(listing, scope);
    listing->uncertain |= !scope->certain;
}

static void add_block_rows(struct listing *listing, struct tool_table *table,
                           const struct tool_scope *scope)
{
    for (size_t i = 0; i < scope->blocks_count; i++) {
        const struct tool_block *block = &scope->blocks[i];
        const char **row = tool_table_row(table);

        row[0] = block->name;
        row[1] = block->kind;
        row[2] = tool_block_shape(listing->heap, block);
        row[3] = size_of(listing, block->size);
        row[4] = size_of(listing, block->resident);
        row[5] = scope->anonymous ? "-" : users_text(listing, block->users);
        row[6] = tool_print(listing->heap, "%d", block->maker);
        row[7] = tool_print(listing->heap, "%016" PRIx64, scope->id);
    }
}

static void write_others(struct listing *listing)
{
    static const char *const heads[] = {"FILE", "OWNER", ">SIZE", ">MEMORY", ">USERS", ">AGE"};
    struct tool_table table = {.heap = listing->heap, .heads = heads, .columns = 6};

    for (size_t i = 0; i < listing->shm.count; i++) {
        const struct other *other = &listing->shm.others[i];
        const char **row = tool_table_row(&table);

        row[0] =
            tool_print(listing->heap, "%s%s", other->name, S_ISDIR(other->st.st_mode) ? "/" : "");
        row[1] = user_name(listing->heap, other->st.st_uid);
        row[2] = size_of(listing, (uint64_t)other->st.st_size);
        row[3] = size_of(listing, (uint64_t)other->st.st_blocks * 512);
        row[4] = users_text(listing, other->users);
        row[5] = tool_age(listing->heap, time(NULL) - other->st.st_mtim.tv_sec);
    }
    tool_table_write(&table);
}

static void write_sum(struct listing *listing)
{
    const struct shm *shm = &listing->shm;
    char *text = tool_print(listing->heap,
                            WEIR__SHM_DIR "  %s of %s used: %s of weir, %s in %zu other files",
                            size_of(listing, shm->used), size_of(listing, shm->size),
                            size_of(listing, shm->weir), size_of(listing, shm->bytes), shm->count);
    if (listing->options.all && shm->count > 0)
        text = tool_print(listing->heap, "%s (%zu of no visible process)", text, shm->unused);
    tool_line(listing->heap, "%s", text);
}

static bool is_listed(const struct listing *listing, const struct tool_scope *scope)
{
    return !listing->options.dead || scope->state == TOOL_DEAD ||
           (scope->state == TOOL_DAMAGED && scope->pid == 0);
}

static void write_text(struct listing *listing)
{
    static const char *const scope_heads[] = {"SCOPE",   "STATE",   ">PID", ">PROCS", ">POOLS",
                                              ">BLOCKS", ">MEMORY", ">AGE", "COMMAND"};
    static const char *const block_heads[] = {"NAME",    "KIND",   "SHAPE",  ">SIZE",
                                              ">MEMORY", ">USERS", ">MAKER", "SCOPE"};
    struct tool_table scopes = {.heap = listing->heap, .heads = scope_heads, .columns = 9};
    struct tool_table blocks = {.heap = listing->heap, .heads = block_heads, .columns = 8};

    for (size_t i = 0; i < listing->scopes.count; i++) {
        if (is_listed(listing, &listing->scopes.items[i])) {
            add_scope_row(listing, &scopes, &listing->scopes.items[i]);
            add_block_rows(listing, &blocks, &listing->scopes.items[i]);
        }
    }
    tool_table_write(&scopes);
    if (listing->options.blocks)
        tool_table_write(&blocks);
    if (listing->options.all)
        write_others(listing);
    write_sum(listing);
    if (!listing->options.blocks && !listing->options.all)
        listing->incomplete = false;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *shm_json(const struct listing *listing)
{
    const struct shm *shm = &listing->shm;
    json_t *object = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "size", tool_json_number(shm->size), "used",
        tool_json_number(shm->used), "inodes", tool_json_number(shm->inodes), "inodes_used",
        tool_json_number(shm->inodes_used), "weir", tool_json_number(shm->weir), "other_files",
        tool_json_number(shm->count), "other_bytes", tool_json_number(shm->bytes));
    json_t *files = json_array();

    for (size_t i = 0; listing->options.all && i < shm->count; i++) {
        const struct other *other = &shm->others[i];

        json_array_append_new(files,
                              json_pack("{s:s, s:I, s:o, s:o, s:I, s:s}", "name", other->name,
                                        "uid", (json_int_t)other->st.st_uid, "size",
                                        tool_json_number((uint64_t)other->st.st_size), "resident",
                                        tool_json_number((uint64_t)other->st.st_blocks * 512),
                                        "users", (json_int_t)other->users, "changed",
                                        tool_time(listing->heap, other->st.st_mtim.tv_sec)));
    }
    if (listing->options.all)
        json_object_set(object, "files", files);
    json_decref(files);
    return object;
}

static void write_json(struct listing *listing)
{
    json_t *scopes = json_array();

    for (size_t i = 0; i < listing->scopes.count; i++) {
        const struct tool_scope *scope = &listing->scopes.items[i];
        json_t *object;

        if (!is_listed(listing, scope))
            continue;
        object = tool_scope_json(listing->heap, scope);
        json_object_set_new(object, "pools", pools_json(listing, scope));
        json_array_append_new(scopes, object);
    }
    tool_json_write(json_pack("{s:i, s:o, s:o, s:b}", "schema", 1, "scopes", scopes, "shm",
                              shm_json(listing), "users_complete",
                              listing->processes.seen && listing->processes.hidden == 0));
}

/* ---- the command ---------------------------------------------------------------------------- */

static void write_remarks(const struct listing *listing)
{
    if (!listing->processes.seen)
        tool_say("/proc shows no processes: what lives, and which process has what, is not known");
    else if (listing->incomplete)
        tool_say("%u processes may not be looked into: a number with + may be larger",
                 listing->processes.hidden);
    if (listing->uncertain)
        tool_say("\"dead?\": no process that can be seen from here holds the scope, but one of "
                 "another pid namespace may; weir sweep asks the lock itself");
}

static int list(struct listing *listing)
{
    const struct options *options = &listing->options;
    size_t listed = 0;

    if (tool_processes_require(&listing->processes, listing->heap,
                               options->blocks || options->all) != TOOL_DONE)
        return TOOL_FAILED;
    tool_scopes_read(&listing->scopes, &listing->processes);
    tool_pools_read(&listing->pools, &listing->processes, false);
    look_at_shm(listing);
    for (size_t i = 0; i < listing->scopes.count; i++)
        listed += is_listed(listing, &listing->scopes.items[i]);
    if (options->json)
        write_json(listing);
    else
        write_text(listing);
    if (!options->json)
        write_remarks(listing);
    return options->dead && listed == 0 ? TOOL_NO : TOOL_DONE;
}

static int run(struct tool_heap *heap, int argc, char **argv, const struct tool_command *command)
{
    static const struct option known[] = {
        {"blocks", no_argument, NULL, 'B'},
        {"all", no_argument, NULL, 'a'},
        {"dead", no_argument, NULL, 'd'},
        {"bytes", no_argument, NULL, 'b'},
        {"json", no_argument, NULL, 'J'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct listing listing = {.heap = heap};
    int option, status;

    while ((option = tool_next_option(argc, argv, "BadbJh", known, command, &status)) > 0) {
        switch (option) {
        case 'B':
            listing.options.blocks = true;
            break;
        case 'a':
            listing.options.all = true;
            break;
        case 'd':
            listing.options.dead = true;
            break;
        case 'b':
            listing.options.bytes = true;
            break;
        case 'J':
            listing.options.json = true;
            break;
        default:
            break;
        }
    }
    if (option < 0)
        return status;
    return list(&listing);
}

const struct tool_command tool_ls = {
    .name = "ls",
    .summary = "list scopes: which live, which are dead, and how large they are",
    .usage = "[-B] [-a] [-d] [-b] [-J]",
    .help =
        "  -B, --blocks   the blocks too: kind, shape, memory, users, maker\n"
        "  -a, --all      what else lies in /dev/shm too, and which processes have it\n"
        "  -d, --dead     only scopes that no process has any more; status 1 if there are none\n"
        "  -b, --bytes    sizes in bytes\n"
        "  -J, --json     one JSON object\n"
        "  -h, --help     this\n",
    .run = run,
};
