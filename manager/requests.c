/* SPDX-License-Identifier: MIT
 *
 * requests.c: what members ask the manager to do: make, track, release, look up, list.
 *
 * Invariants
 *  - The manager gives every name itself, in the order of all creations: record lock and "closed?",
 * record, name, unlock. A member is never in a position to leave a name without a record.
 *  - A block comes as an unnamed file that is finished; it is looked at before it gets a name.
 *  - A member's record is blanked only when its name is gone, by the one process that writes there.
 *  - A block of the table's entries is its entry's owner's: never released here.
 *
 * Failure modes. The manager killed between record and name: the record names nothing. Between name
 * and reply: the block is recorded, and goes with the scope. The member killed at any point: the
 * same, or its unnamed file is gone with it. Every request takes bounded time and memory: records
 * are read by the thousand, and the lists in replies are cut into pages.
 */
#include "requests.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/block/block.h"
#include "shm/error.h"

#define PAGE    100  /* blocks in one reply */
#define RECLAIM 1024 /* records looked at for one request, when all are taken */

/* The names of members' blocks; the scope's own count up from 1 and never get here. */
#define SERIAL_BASE ((uint64_t)1 << 63)

static const char *const kinds[] = {"shm", "list", "array", "dict"};

/* ---- records -------------------------------------------------------------------------------- */

static bool is_taken(const struct weir__requests *requests, size_t slot)
{
    return requests->taken[slot / 8] >> slot % 8 & 1;
}

static void set_taken(struct weir__requests *requests, size_t slot, bool taken)
{
    unsigned char bit = (unsigned char)(1u << slot % 8);

    if (taken == is_taken(requests, slot))
        return;
    requests->taken[slot / 8] ^= bit;
    requests->used += taken ? 1 : (size_t)-1;
}

/* True while the record's name is that block's. Where there are no names, a block that is unlinked
 * has no record. */
static bool is_there(const struct weir__requests *requests, const struct weir__record *record)
{
    char path[sizeof(WEIR__SHM_DIR) + WEIR__RECORD_SIZE];
    struct stat st;

    if (requests->anonymous)
        return true;
    snprintf(path, sizeof(path), WEIR__SHM_DIR "/%s", record->name);
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == record->ino;
}

/* Takes back records whose blocks' names are gone, because somebody unlinked them. */
static void reclaim(struct weir__requests *requests)
{
    for (int looked = 0; looked < RECLAIM; looked++) {
        size_t slot = requests->reclaimed++ % WEIR__MEMBERS_MAX;
        size_t entry = WEIR__RECORD_MEMBERS + slot;
        struct weir__record record;

        if (is_taken(requests, slot) &&
            weir__scope_file_read(requests->scope_fd, requests->id, &entry, NULL, &record) == 1 &&
            entry == WEIR__RECORD_MEMBERS + slot + 1 && !is_there(requests, &record) &&
            weir__scope_file_blank(requests->scope_fd, WEIR__RECORD_MEMBERS + slot) == 0)
            set_taken(requests, slot, false);
    }
}

static int take_slot(struct weir__requests *requests, size_t *slot)
{
    if (requests->used == WEIR__MEMBERS_MAX)
        reclaim(requests);
    if (requests->used == WEIR__MEMBERS_MAX)
        return weir__fail(-ENOSPC, "the scope has %zu blocks of other programs, which is the limit",
                          WEIR__MEMBERS_MAX);
    while (is_taken(requests, requests->next))
        requests->next = (requests->next + 1) % WEIR__MEMBERS_MAX;
    *slot = requests->next;
    set_taken(requests, *slot, true);
    return 0;
}

/* Finds the record of a block that is there. 1: *entry is its place; 0: none. */
static int find(const struct weir__requests *requests, const char *name, size_t *entry,
                struct weir__record *record)
{
    size_t at = 0;
    int result;

    while ((result = weir__scope_file_read(requests->scope_fd, requests->id, &at, name, record)) >=
           0) {
        if (result == 1 && is_there(requests, record)) {
            *entry = at - 1;
            return 1;
        }
    }
    if (result == -ENOENT)
        return 0;
    return weir__fail(result, "cannot read the scope file: %s", strerror(-result));
}

/* ---- giving names --------------------------------------------------------------------------- */

/* Under the creation lock: record, then name (`passed` >= 0) or not. */
static int record_block(struct weir__requests *requests, const struct weir__record *record,
                        int passed)
{
    size_t slot = 0;
    int error = take_slot(requests, &slot);

    if (error)
        return error;
    error = weir__scope_file_note_for(requests->scope_fd, WEIR__RECORD_MEMBERS + slot, record);
    if (error) {
        weir__scope_file_blank(requests->scope_fd, WEIR__RECORD_MEMBERS + slot);
        set_taken(requests, slot, false);
        return weir__fail(error, "cannot write the record of %s into the scope file: %s",
                          record->name, strerror(-error));
    }
    /* Killed here: the record names nothing yet. */
    if (passed >= 0)
        error = weir__block_link(&(struct weir__block){.fd = passed}, record->name);
    /* Killed here: the record names this block, and the scope's end unlinks it. */
    if (error && weir__scope_file_blank(requests->scope_fd, WEIR__RECORD_MEMBERS + slot) == 0)
        set_taken(requests, slot, false);
    return error;
}

static int in_creation(struct weir__requests *requests, const struct weir__record *record,
                       int passed)
{
    int error = weir__scope_file_creation_begin(requests->scope_fd);

    if (!error)
        error = record_block(requests, record, passed);
    weir__scope_file_creation_end(requests->scope_fd);
    return error;
}

/* What a member passes must be what it may have made in /dev/shm, and without a name so far. */
static int check_passed(int passed, struct weir__record *record)
{
    struct statx st, shm;

    if (passed < 0)
        return weir__fail(-EINVAL, "the request came without the block's descriptor");
    /* Not synced: a file of a file system that answers when it likes must not hold us up. */
    if (statx(AT_FDCWD, WEIR__SHM_DIR, 0, STATX_TYPE, &shm) < 0 ||
        statx(passed, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st) < 0)
        return weir__fail(-errno, "cannot look at the block: %s", strerror(errno));
    if (!S_ISREG(st.stx_mode) || st.stx_dev_major != shm.stx_dev_major ||
        st.stx_dev_minor != shm.stx_dev_minor || st.stx_nlink != 0)
        return weir__fail(-EINVAL, "the descriptor is not of an unnamed file in " WEIR__SHM_DIR);
    if (st.stx_uid != geteuid())
        return weir__fail(-EPERM, "the block belongs to user %u, not to %u", st.stx_uid,
                          (unsigned)geteuid());
    if (st.stx_size == 0)
        return weir__fail(-EINVAL, "a block of size 0 cannot be made");
    if ((st.stx_mode & 07777) != 0600 && fchmod(passed, 0600) < 0)
        return weir__fail(-errno, "cannot set the block's mode: %s", strerror(errno));
    record->ino = st.stx_ino;
    record->size = st.stx_size;
    return 0;
}

static int set_kind(struct weir__record *record, const char *kind)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(kind, kinds[i]) == 0) {
            strcpy(record->kind, kind);
            return 0;
        }
    }
    return weir__fail(-EINVAL, "\"%.20s\" is no kind of block", kind);
}

static json_t *describe(const struct weir__record *record)
{
    return json_pack("{s:s, s:I, s:s, s:I, s:i}", "name", record->name, "ino",
                     (json_int_t)record->ino, "kind", record->kind, "size",
                     (json_int_t)record->size, "pid", record->pid);
}

/* ---- the requests --------------------------------------------------------------------------- */

/* What every request but "list" comes to: its name and kind, and the reply. */
struct request {
    struct weir__requests *requests;
    json_t *body;
    const char *name, *kind;
    json_int_t from;
    int passed;
    struct weir__record record;
};

static int make(struct request *request)
{
    struct weir__record *record = &request->record;
    int error = check_passed(request->passed, record);

    if (!error)
        error = set_kind(record, request->kind ? request->kind : "shm");
    if (!error && request->name)
        error = weir__scope_file_check_name(request->name);
    if (error)
        return error;
    if (request->name)
        snprintf(record->name, sizeof(record->name), "%s", request->name);
    else
        weir__scope_file_block_name(record->name, request->requests->id,
                                    SERIAL_BASE + ++request->requests->serial);
    return in_creation(request->requests, record, request->passed);
}

/* Looks at the block as attaching does: a regular file of this user, and no link. */
static int look_at(const char *name, struct weir__record *record)
{
    char path[sizeof(WEIR__SHM_DIR) + WEIR__RECORD_SIZE];
    struct stat st;

    snprintf(path, sizeof(path), WEIR__SHM_DIR "/%s", name);
    if (lstat(path, &st) < 0)
        return errno == ENOENT
                   ? weir__fail(-ENOENT, "there is no block \"%s\"", name)
                   : weir__fail(-errno, "cannot look at block \"%s\": %s", name, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return weir__fail(-EPERM, "\"%s\" in /dev/shm is no regular file", name);
    if (st.st_uid != geteuid())
        return weir__fail(-EPERM, "block \"%s\" belongs to user %u, not to %u", name,
                          (unsigned)st.st_uid, (unsigned)geteuid());
    record->ino = st.st_ino;
    record->size = (uint64_t)st.st_size;
    return 0;
}

/* The block keeps its name; from now on the scope's end takes it away. */
static int track(struct request *request)
{
    struct weir__record *record = &request->record, there;
    size_t entry;
    int error = weir__scope_file_check_name(request->name);

    /* Its record would be gone with the scope's processes, and the name would not. */
    if (!error && request->requests->anonymous)
        error =
            weir__fail(-ENOTSUP, "an anonymous scope cannot track a block: nobody would know of "
                                 "its name when all processes are killed at once");
    if (!error)
        error = look_at(request->name, record);
    if (!error)
        error = set_kind(record, request->kind ? request->kind : "shm");
    if (error)
        return error;
    snprintf(record->name, sizeof(record->name), "%s", request->name);
    error = find(request->requests, request->name, &entry, &there);
    if (error < 0)
        return error;
    if (error == 1) { /* once is enough */
        *record = there;
        return 0;
    }
    return in_creation(request->requests, record, -1);
}

static int look_up(struct request *request)
{
    size_t entry;
    int found = find(request->requests, request->name, &entry, &request->record);

    if (found == 0)
        return weir__fail(-ENOENT, "the scope has no block \"%.130s\"", request->name);
    return found < 0 ? found : 0;
}

/* Name first, record after. */
static int release(struct request *request)
{
    struct weir__requests *requests = request->requests;
    size_t entry = 0;
    int error = find(requests, request->name, &entry, &request->record);

    if (error < 0)
        return error;
    if (error == 0)
        return weir__fail(-ENOENT, "the scope has no block \"%.130s\"", request->name);
    if (entry < WEIR__RECORD_MEMBERS)
        return weir__fail(-EPERM,
                          "block \"%s\" was made by the scope's own processes, which unlink it "
                          "themselves",
                          request->name);
    error = weir__block_unlink(request->record.name, request->record.ino);
    if (error && error != -ENOENT)
        return error;
    /* Killed here: a record whose name is gone. */
    if (weir__scope_file_blank(requests->scope_fd, entry) == 0)
        set_taken(requests, entry - WEIR__RECORD_MEMBERS, false);
    return 0;
}

/* A page of the scope's blocks. An answer may be short, or even empty, without being the last. */
static json_t *list(const struct weir__requests *requests, json_int_t from)
{
    json_t *blocks = json_array();
    struct weir__record record;
    size_t entry = (size_t)from;
    int result = 1;

    while (result == 1 && json_array_size(blocks) < PAGE) {
        result = weir__scope_file_read(requests->scope_fd, requests->id, &entry, NULL, &record);
        if (result == 1 && is_there(requests, &record) &&
            json_array_append_new(blocks, describe(&record)) < 0) {
            json_decref(blocks);
            return NULL; /* no memory */
        }
    }
    return json_pack("{s:o, s:I}", "blocks", blocks, "next",
                     result < 0 ? (json_int_t)-1 : (json_int_t)entry);
}

json_t *weir__request_error(void)
{
    /* A message may carry a piece of what was asked, which need not be UTF-8 when cut. */
    json_t *message = json_string(weir_last_error()->message);

    return json_pack("{s:i, s:o}", "error", weir_last_error()->code, "message",
                     message ? message : json_string(weir_strerror(weir_last_error()->code)));
}

/* One request: how it is called, what its body looks like, and how it is answered. */
static const struct {
    const char *name, *reply, *form;
    int (*answer)(struct request *request);
} forms[] = {
    {"make", "made", "{s?s, s?s}", make},
    {"track", "tracked", "{s:s, s?s}", track},
    {"release", "released", "{s:s, s?s}", release},
    {"lookup", "block", "{s:s, s?s}", look_up},
};

static json_t *answer(struct request *request, size_t form)
{
    if (json_unpack_ex(request->body, NULL, JSON_STRICT, forms[form].form, "name", &request->name,
                       "kind", &request->kind) < 0) {
        weir__fail(-EINVAL, "the request \"%s\" is not of the documented form", forms[form].name);
        return weir__request_error();
    }
    if (forms[form].answer(request))
        return weir__request_error();
    return json_pack("{s:o}", forms[form].reply, describe(&request->record));
}

json_t *weir__request_answer(struct weir__requests *requests, json_t *message, int passed,
                             pid_t pid)
{
    struct request request = {.requests = requests, .passed = passed};
    const char *what = json_object_iter_key(json_object_iter(message));

    weir_clear_error();
    request.record.pid = (int)pid;
    request.body = what && json_object_size(message) == 1 ? json_object_get(message, what) : NULL;
    for (size_t i = 0; request.body && i < sizeof(forms) / sizeof(*forms); i++) {
        if (strcmp(what, forms[i].name) == 0)
            return answer(&request, i);
    }
    if (request.body && strcmp(what, "list") == 0 &&
        json_unpack_ex(request.body, NULL, JSON_STRICT, "{s:I}", "from", &request.from) == 0 &&
        request.from >= 0 && request.from <= (json_int_t)(WEIR__RECORD_MEMBERS + WEIR__MEMBERS_MAX))
        return list(requests, request.from);
    weir__fail(-EINVAL, "there is no such request");
    return weir__request_error();
}
