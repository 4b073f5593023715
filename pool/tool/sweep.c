/* SPDX-License-Identifier: MIT
 *
 * sweep.c: `weir sweep`: removes what dead scopes of this user left, and files of other programs'
 * where that is asked for by pattern and age.
 *
 * A scope is swept as weir_scope_begin() does it: its lock says whether it is dead. For another
 * program's file there is no such lock. So it is removed only if its name matches, nobody has
 * changed or read it for so long, no process that can be seen has it, and --yes says that all of
 * that is enough.
 *
 * Failure modes. Killed anywhere, the next sweep goes on. A name that another file gets meanwhile
 * is left alone, as the inode is compared when it is removed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pool/tool/processes.h"
#include "pool/tool/scopes.h"
#include "pool/tool/text.h"
#include "pool/tool/tool.h"
#include "shm/block/block.h"

struct options {
    bool dry, yes, json;
    const char *pattern; /* of other programs' files; NULL: none */
    int64_t older_than;  /* seconds; -1: not given */
};

struct sweep {
    struct tool_heap *heap;
    struct options options;
    struct tool_processes processes;
    json_t *scopes, *files; /* what was removed, or would be */
    unsigned failed;
    size_t spared; /* files that match, but are in use or too young */
};

/* ---- scopes --------------------------------------------------------------------------------- */

static void note_scope(struct sweep *sweep, uint64_t id, size_t blocks, uint64_t bytes)
{
    const char *name = tool_print(sweep->heap, "%016" PRIx64, id);

    json_array_append_new(sweep->scopes,
                          json_pack("{s:s, s:I, s:o}", "id", name, "blocks", (json_int_t)blocks,
                                    "bytes", tool_json_number(bytes)));
    if (!sweep->options.json)
        printf("%s scope %s: %zu blocks, %s\n", sweep->options.dry ? "would remove" : "removed",
               name, blocks, tool_size(sweep->heap, bytes, false));
}

static void sweep_scope(struct sweep *sweep, int dir, const struct tool_scope *scope)
{
    struct weir__cleaning cleaning = {0};
    int result;

    if (sweep->options.dry) {
        if (scope->pid == 0 && (scope->state == TOOL_DEAD || scope->state == TOOL_DAMAGED))
            note_scope(sweep, scope->id, scope->blocks_count, scope->resident);
        if (scope->pid == 0 && !scope->certain)
            tool_say("scope %016" PRIx64 " stays if a process of another pid namespace has it",
                     scope->id);
        return;
    }
    result = weir__scope_file_sweep_one(dir, scope->id, &cleaning);
    if (result > 0) {
        note_scope(sweep, scope->id, cleaning.unlinked, scope->resident);
    } else if (result < 0) {
        sweep->failed++;
        tool_say("scope %016" PRIx64 " cannot be removed: %s", scope->id, strerror(-result));
    }
}

static void sweep_scopes(struct sweep *sweep, int dir)
{
    struct tool_scopes scopes;

    tool_scopes_read(&scopes, &sweep->processes);
    for (size_t i = 0; i < scopes.count; i++) {
        if (!scopes.items[i].anonymous && scopes.items[i].uid == geteuid())
            sweep_scope(sweep, dir, &scopes.items[i]);
    }
}

/* ---- other programs' files ------------------------------------------------------------------ */

static bool is_old(const struct sweep *sweep, const struct stat *st)
{
    time_t newest = st->st_mtime > st->st_ctime ? st->st_mtime : st->st_ctime;

    newest = st->st_atime > newest ? st->st_atime : newest;
    return time(NULL) - newest >= sweep->options.older_than;
}

/* A block of a scope is not another program's file, whatever its name is. */
static bool is_of_scope(const struct tool_scopes *scopes, ino_t ino)
{
    for (size_t i = 0; i < scopes->count; i++) {
        for (size_t block = 0; block < scopes->items[i].blocks_count; block++) {
            if (scopes->items[i].blocks[block].ino == ino)
                return true;
        }
    }
    return false;
}

static void sweep_file(struct sweep *sweep, const struct tool_scopes *scopes, int dir,
                       const char *name)
{
    const bool remove = sweep->options.yes && !sweep->options.dry;
    const char *escaped = tool_escape(sweep->heap, name);
    struct stat st;
    size_t users;
    int error = 0;

    if (strncmp(name, "weir-", 5) == 0 || fnmatch(sweep->options.pattern, name, FNM_PERIOD) != 0 ||
        fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
        st.st_uid != geteuid() || is_of_scope(scopes, st.st_ino))
        return;
    tool_processes_uses(&sweep->processes, st.st_dev, st.st_ino, &users);
    if (users > 0 || !is_old(sweep, &st)) {
        sweep->spared++;
        return;
    }
    if (remove)
        error = weir__block_unlink(name, st.st_ino);
    if (error == -ENOENT)
        return;
    if (error < 0) {
        sweep->failed++;
        tool_say("%s cannot be removed: %s", escaped, strerror(-error));
        return;
    }
    json_array_append_new(sweep->files, json_pack("{s:s, s:o}", "name", escaped, "bytes",
                                                  tool_json_number((uint64_t)st.st_blocks * 512)));
    if (!sweep->options.json)
        printf("%s %s: %s\n", remove ? "removed" : "would remove", escaped,
               tool_size(sweep->heap, (uint64_t)st.st_blocks * 512, false));
}

static void sweep_files(struct sweep *sweep, int dir)
{
    struct tool_scopes scopes;

    tool_scopes_read(&scopes, &sweep->processes);
    for (size_t i = 0; i < sweep->processes.names_count; i++) {
        sweep_file(sweep, &scopes, dir, sweep->processes.names[i]);
    }
}

/* ---- the command ---------------------------------------------------------------------------- */

static int sweep_all(struct sweep *sweep)
{
    const struct options *options = &sweep->options;
    const bool removed = !options->dry && (options->pattern == NULL || options->yes);
    int result = tool_processes_look(&sweep->processes, sweep->heap, options->pattern != NULL);
    int dir = open(WEIR__SHM_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (result < 0 || dir < 0) {
        tool_say("cannot read " WEIR__SHM_DIR ": %s", strerror(dir < 0 ? errno : -result));
        if (dir >= 0)
            close(dir);
        return TOOL_FAILED;
    }
    if (options->pattern != NULL && !sweep->processes.seen) {
        tool_say("/proc shows no processes, so which files are in use is not known");
        close(dir);
        return TOOL_FAILED;
    }
    sweep->scopes = json_array();
    sweep->files = json_array();
    if (options->pattern == NULL)
        sweep_scopes(sweep, dir);
    else
        sweep_files(sweep, dir);
    close(dir);
    if (options->json)
        tool_json_write(json_pack("{s:i, s:b, s:O, s:O, s:I, s:I}", "schema", 1, "removed",
                                  (int)removed, "scopes", sweep->scopes, "files", sweep->files,
                                  "failed", (json_int_t)sweep->failed, "spared",
                                  (json_int_t)sweep->spared));
    else if (options->pattern != NULL && !options->yes && json_array_size(sweep->files) > 0)
        tool_say("nothing was removed: --yes does it. Programs of other containers that "
                 "share " WEIR__SHM_DIR " cannot be seen");
    json_decref(sweep->scopes);
    json_decref(sweep->files);
    return sweep->failed > 0 ? TOOL_NO : TOOL_DONE;
}

/* A number and its unit. -1: it is not one. */
static int64_t parse_age(const char *text)
{
    static const struct {
        char name;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    int64_t number = 0;
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 9 || text[digits] == '\0' || text[digits + 1] != '\0')
        return -1;
    number = strtoll(text, NULL, 10);
    for (size_t i = 0; i < 4; i++) {
        if (units[i].name == text[digits])
            return number * units[i].seconds;
    }
    return -1;
}

static int check(const struct options *options, const struct tool_command *command)
{
    if ((options->pattern != NULL) != (options->older_than >= 0)) {
        tool_say("--foreign and --older-than are given both, or neither");
        return tool_usage(command, NULL);
    }
    if (options->yes && options->pattern == NULL) {
        tool_say("--yes is about --foreign; dead scopes are removed without it");
        return tool_usage(command, NULL);
    }
    return TOOL_DONE;
}

static int run(struct tool_heap *heap, int argc, char **argv, const struct tool_command *command)
{
    static const struct option known[] = {
        {"dry-run", no_argument, NULL, 'n'},
        {"foreign", required_argument, NULL, 'f'},
        {"older-than", required_argument, NULL, 'o'},
        {"yes", no_argument, NULL, 'y'},
        {"json", no_argument, NULL, 'J'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct sweep sweep = {.heap = heap, .options.older_than = -1};
    int option, status;

    while ((option = tool_next_option(argc, argv, "nyJh", known, command, &status)) > 0) {
        switch (option) {
        case 'n':
            sweep.options.dry = true;
            break;
        case 'f':
            sweep.options.pattern = optarg;
            break;
        case 'o':
            sweep.options.older_than = parse_age(optarg);
            if (sweep.options.older_than < 0) {
                tool_say("an age is a number and s, m, h or d, as in 4h");
                return tool_usage(command, optarg);
            }
            break;
        case 'y':
            sweep.options.yes = true;
            break;
        case 'J':
            sweep.options.json = true;
            break;
        default:
            break;
        }
    }
    if (option < 0)
        return status;
    status = check(&sweep.options, command);
    return status == TOOL_DONE ? sweep_all(&sweep) : status;
}

const struct tool_command tool_sweep = {
    .name = "sweep",
    .summary = "remove what your dead scopes left in /dev/shm",
    .usage = "[-n] [--foreign PATTERN --older-than AGE [-y]] [-J]",
    .help =
        "  -n, --dry-run        remove nothing, say what would be removed\n"
        "  --foreign PATTERN    instead of scopes, files of other programs with such names,\n"
        "                       which are yours and which no process has that can be seen\n"
        "  --older-than AGE     of these those that were not used for so long: 90s, 5m, 4h, 2d\n"
        "  -y, --yes            remove them; without it they are only listed\n"
        "  -J, --json           one JSON object\n"
        "  -h, --help           this\n",
    .run = run,
};
