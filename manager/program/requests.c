/* SPDX-License-Identifier: MIT
 *
 * requests.c: what clients ask the manager to do: make, track, release, look up, list.
 *
 * Invariants
 *  - The manager gives every name itself, in the order of all creations: record lock and "closed?",
 *    record, name, unlock. A client is never in a position to leave a name without a record.
 *  - A block comes as an unnamed file that is finished; it is checked before it gets a name.
 *  - A client's record is blanked only when its name is gone, by the manager, which alone writes
 *    there.
 *  - A block of the table's entries belongs to the owner of its entry: it is never released here.
 *
 * Failure modes. Killed between record and name, the manager leaves a record that names nothing;
 * killed between name and reply, a recorded block, which goes with the scope. A client that is
 * killed leaves the same, or its unnamed file is gone with it. Every request takes bounded time and
 * memory: records are read by the thousand, and the lists in replies are cut into pages.
 */
#include "manager/program/requests.h"

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
#define RECLAIM 1024 /* records read for one request, when all are taken */

/* The serial numbers of clients' blocks; those of members count up from 1 and never get here. */
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
static bool is_there(const struct weir__requests *requests, const struct weir__block_record *record)
{
    char path[sizeof(WEIR__SHM_DIR) + WEIR__RECORD_SIZE];
    struct stat st;

    if (requests->anonymous)
        return true;
    snprintf(path, sizeof(path), WEIR__SHM_DIR "/%s", record->name);
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == record->ino;
}

/* Takes back records whose blocks' names are gone, because another process unlinked them. */
static void reclaim(struct weir__requests *requests)
{
    for (int looked = 0; looked < RECLAIM; looked++) {
        size_t slot = requests->reclaimed++ % WEIR__CLIENT_BLOCKS_MAX;
        size_t entry = WEIR__RECORD_CLIENTS + slot;
        struct weir__block_record record;

        if (is_taken(requests, slot) &&
            weir__scope_file_read(requests->scope_fd, requests->id, &entry, NULL, &record) == 1 &&
            entry == WEIR__RECORD_CLIENTS + slot + 1 && !is_there(requests, &record) &&
            weir__scope_file_blank(requests->scope_fd, WEIR__RECORD_CLIENTS + slot) == 0)
            set_taken(requests, slot, false);
    }
}

static int take_slot(struct weir__requests *requests, size_t *slot)
{
    if (requests->used == WEIR__CLIENT_BLOCKS_MAX)
        reclaim(requests);
    if (requests->used == WEIR__CLIENT_BLOCKS_MAX)
        return weir__fail(-ENOSPC, "the scope has %zu blocks of other programs, which is the limit",
                          WEIR__CLIENT_BLOCKS_MAX);
    while (is_taken(requests, requests->next))
        requests->next = (requests->next + 1) % WEIR__CLIENT_BLOCKS_MAX;
    *slot = requests->next;
    set_taken(requests, *slot, true);
    return 0;
}

/* Finds the record of a block that exists. 1: *entry is its place; 0: there is none; or a negative
 * error. */
static int find_record(const struct weir__requests *requests, const char *name, size_t *entry,
                       struct weir__block_record *record)
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
static int record_block(struct weir__requests *requests, const struct weir__block_record *record,
                        int passed)
{
    size_t slot = 0;
    int error = take_slot(requests, &slot);

    if (error)
        return error;
    error = weir__scope_file_note(requests->scope_fd, WEIR__RECORD_CLIENTS + slot, record);
    if (error) {
        weir__scope_file_blank(requests->scope_fd, WEIR__RECORD_CLIENTS + slot);
        set_taken(requests, slot, false);
        return error;
    }
    /* Killed here: the record names nothing yet. */
    if (passed >= 0)
        error = weir__block_link(&(struct weir__block){.fd = passed}, record->name);
    /* Killed here: the record names this block, and the scope's end unlinks it. */
    if (error && weir__scope_file_blank(requests->scope_fd, WEIR__RECORD_CLIENTS + slot) == 0)
        set_taken(requests, slot, false);
    return error;
}

static int in_creation(struct weir__requests *requests, const struct weir__block_record *record,
                       int passed)
{
    int error = weir__scope_file_creation_begin(requests->scope_fd);

    if (!error)
        error = record_block(requests, record, passed);
    weir__scope_file_creation_end(requests->scope_fd);
    return error;
}

#ifndef STATX_TYPE /* musl before 1.2.5 has no such function */
#include <linux/stat.h>
#include <sys/syscall.h>

static int statx(int folder, const char *path, int flags, unsigned mask, struct statx *out)
{
    return (int)syscall(SYS_statx, folder, path, flags, mask, out);
}
#endif

/* A descriptor that comes with "make" must be of a file in /dev/shm that has no name so far. */
static int check_passed(int passed, struct weir__block_record *record)
{
    struct statx st, shm;

    if (passed < 0)
        return weir__fail(-EINVAL, "the request came without the block's descriptor");
    /* Not synced: a file system that does not answer must not hold the manager up. */
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

static int set_kind(struct weir__block_record *record, const char *kind)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(kind, kinds[i]) == 0) {
            strcpy(record->kind, kind);
            return 0;
        }
    }
    return weir__fail(-EINVAL, "\"%.20s\" is not a kind of block", kind);
}

static json_t *describe(const struct weir__block_record *record)
{
    return json_pack("{s:s, s:I, s:s, s:I, s:i}", "name", record->name, "ino",
                     (json_int_t)record->ino, "kind", record->kind, "size",
                     (json_int_t)record->size, "pid", record->pid);
}

/* ---- the requests --------------------------------------------------------------------------- */

/* A request taken apart, and its reply; "list" has only `from`. */
struct request {
    struct weir__requests *requests;
    json_t *body;
    const char *name, *kind;
    json_int_t from;
    int passed;
    size_t entry; /* the place of the record, once it is found */
    struct weir__block_record record;
};

static int answer_make(struct request *request)
{
    struct weir__block_record *record = &request->record;
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

/* Checks the block as attaching does: a regular file of this user, and not a link. */
static int inspect_block(const char *name, struct weir__block_record *record)
{
    char path[sizeof(WEIR__SHM_DIR) + WEIR__RECORD_SIZE];
    struct stat st;

    snprintf(path, sizeof(path), WEIR__SHM_DIR "/%s", name);
    if (lstat(path, &st) < 0)
        return errno == ENOENT
                   ? weir__fail(-ENOENT, "there is no block \"%s\"", name)
                   : weir__fail(-errno, "cannot look at block \"%s\": %s", name, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return weir__fail(-EPERM, "\"%s\" in /dev/shm is not a regular file", name);
    if (st.st_uid != geteuid())
        return weir__fail(-EPERM, "block \"%s\" belongs to user %u, not to %u", name,
                          (unsigned)st.st_uid, (unsigned)geteuid());
    record->ino = st.st_ino;
    record->size = (uint64_t)st.st_size;
    return 0;
}

/* The block keeps its name, which the scope's end unlinks from now on. */
static int answer_track(struct request *request)
{
    struct weir__block_record *record = &request->record, there;
    int error = weir__scope_file_check_name(request->name);

    /* The record would be gone with the scope's processes, and the name would not. */
    if (!error && request->requests->anonymous)
        error =
            weir__fail(-ENOTSUP, "an anonymous scope cannot track a block: if all its processes "
                                 "were killed at once, no record of the name would remain");
    if (!error)
        error = inspect_block(request->name, record);
    if (!error)
        error = set_kind(record, request->kind ? request->kind : "shm");
    if (error)
        return error;
    snprintf(record->name, sizeof(record->name), "%s", request->name);
    error = find_record(request->requests, request->name, &request->entry, &there);
    if (error < 0)
        return error;
    if (error == 1) { /* tracked already */
        *record = there;
        return 0;
    }
    return in_creation(request->requests, record, -1);
}

static int answer_lookup(struct request *request)
{
    int found = find_record(request->requests, request->name, &request->entry, &request->record);

    if (found == 0)
        return weir__fail(-ENOENT, "the scope has no block \"%.130s\"", request->name);
    return found < 0 ? found : 0;
}

/* Name first, record after. */
static int answer_release(struct request *request)
{
    struct weir__requests *requests = request->requests;
    int error = answer_lookup(request);

    if (error)
        return error;
    if (request->entry < WEIR__RECORD_CLIENTS)
        return weir__fail(-EPERM,
                          "block \"%s\" was made by the scope's own processes, which unlink it "
                          "themselves",
                          request->name);
    error = weir__block_unlink(request->record.name, request->record.ino);
    if (error && error != -ENOENT)
        return error;
    /* Killed here: a record whose name is gone. */
    if (weir__scope_file_blank(requests->scope_fd, request->entry) == 0)
        set_taken(requests, request->entry - WEIR__RECORD_CLIENTS, false);
    return 0;
}

/* A page of the scope's blocks. An answer may be short, or even empty, without being the last. */
static json_t *answer_list(const struct weir__requests *requests, json_int_t from)
{
    json_t *blocks = json_array();
    struct weir__block_record record;
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
    /* A message may quote a part of the request, which need not be UTF-8 where it is cut. */
    json_t *message = json_string(weir_last_error()->message);

    return json_pack("{s:i, s:o}", "error", weir_last_error()->code, "message",
                     message ? message : json_string(weir_strerror(weir_last_error()->code)));
}

/* The requests: name, key of the reply, form of the body, and the function that answers. */
static const struct {
    const char *name, *reply, *form;
    int (*answer)(struct request *request);
} forms[] = {
    {"make", "made", "{s?s, s?s}", answer_make},
    {"track", "tracked", "{s:s, s?s}", answer_track},
    {"release", "released", "{s:s, s?s}", answer_release},
    {"lookup", "block", "{s:s, s?s}", answer_lookup},
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
        request.from >= 0 &&
        request.from <= (json_int_t)(WEIR__RECORD_CLIENTS + WEIR__CLIENT_BLOCKS_MAX))
        return answer_list(requests, request.from);
    weir__fail(-EINVAL, "there is no such request");
    return weir__request_error();
}
