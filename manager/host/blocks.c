/* SPDX-License-Identifier: MIT
 *
 * blocks.c: what is asked of a scope's manager about blocks: naming, listing, finding, tracking and
 * releasing them.
 *
 * Invariant. Nothing is written to the caller's memory before the whole reply has been checked, but
 * for weir_scope_blocks(), which fills its array page by page.
 *
 * Failure modes. If this process is killed while the manager works on a request, the request is
 * done or not done. A reply that is not valid is -EPROTO; the request may have been done then.
 */
#include "manager/host/blocks.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "manager/host/ask.h"
#include "manager/host/registry.h"
#include "shm/error.h"

static bool read_info(json_t *json, weir_block_info *info)
{
    const char *name, *kind;
    json_int_t ino, size, pid;

    if (json_unpack_ex(json, NULL, JSON_STRICT, "{s:s, s:I, s:s, s:I, s:I}", "name", &name, "ino",
                       &ino, "kind", &kind, "size", &size, "pid", &pid) < 0 ||
        strlen(name) > WEIR_SCOPE_NAME_MAX || strlen(kind) >= sizeof(info->kind) || ino <= 0 ||
        size < 0 || pid < 0 || pid > INT_MAX)
        return false;
    strcpy(info->name, name);
    strcpy(info->kind, kind);
    info->ino = (uint64_t)ino;
    info->size = (size_t)size;
    info->pid = (pid_t)pid;
    return true;
}

/* Asks about one block, and reads the answer under `key`. */
static int ask_block(struct weir_scope *scope, json_t *message, int passed, const char *key,
                     weir_block_info *info)
{
    json_t *reply = weir__scope_ask(scope, message, passed);

    if (!reply)
        return weir_last_error()->code;
    if (!read_info(json_object_get(reply, key), info))
        return weir__reply_reject(reply);
    json_decref(reply);
    return 0;
}

int weir__scope_name_block(struct weir_scope *scope, const struct weir__block *block,
                           const char *kind, const char *name, char given[WEIR_SHM_NAME_MAX + 1])
{
    weir_block_info info;
    json_t *message = name ? json_pack("{s:{s:s, s:s}}", "make", "kind", kind, "name", name)
                           : json_pack("{s:{s:s}}", "make", "kind", kind);
    int error = ask_block(scope, message, block->fd, "made", &info);

    if (error)
        return error;
    if (info.ino != block->ino)
        return weir__fail(-EPROTO, "the manager named another block");
    strcpy(given, info.name);
    return 0;
}

/* The calls about one name differ in the request and in the key of the reply. */
static int ask_about(weir_scope *scope, const char *name, const char *request, const char *key,
                     weir_block_info *out)
{
    struct weir_scope *live = weir__scope_any(scope);
    weir_block_info info;
    json_t *message;
    int error;

    if (!live)
        return -EINVAL;
    if (!name)
        return weir__fail(-EINVAL, "the name of a block is NULL");
    message = json_pack("{s:{s:s}}", request, "name", name);
    if (!message)
        return weir__fail(-EINVAL, "the name \"%.40s\" is not UTF-8", name);
    error = ask_block(live, message, -1, key, &info);
    if (!error && out)
        *out = info;
    return error;
}

int weir_scope_lookup(weir_scope *scope, const char *name, weir_block_info *out)
{
    return ask_about(scope, name, "lookup", "block", out);
}

int weir_scope_track(weir_scope *scope, const char *name)
{
    return ask_about(scope, name, "track", "tracked", NULL);
}

int weir_scope_release(weir_scope *scope, const char *name)
{
    return ask_about(scope, name, "release", "released", NULL);
}

/* Counts a page of blocks, and copies those for which there is room. */
static int add_page(json_t *page, weir_block_info *blocks, size_t room, int64_t *count)
{
    for (size_t i = 0; i < json_array_size(page); i++) {
        weir_block_info info;

        if (!read_info(json_array_get(page, i), &info))
            return -EPROTO;
        if ((size_t)*count < room)
            blocks[*count] = info;
        ++*count;
    }
    return 0;
}

int64_t weir_scope_blocks(weir_scope *scope, weir_block_info *blocks, size_t room)
{
    struct weir_scope *live = weir__scope_any(scope);
    json_int_t from = 0, next;
    int64_t count = 0;

    if (!live)
        return -EINVAL;
    if (!blocks && room)
        return weir__fail(-EINVAL, "blocks is NULL, but room is %zu", room);
    while (from >= 0) {
        json_t *reply = weir__scope_ask(live, json_pack("{s:{s:I}}", "list", "from", from), -1),
               *page;

        if (!reply)
            return weir_last_error()->code;
        if (json_unpack_ex(reply, NULL, JSON_STRICT, "{s:o, s:I}", "blocks", &page, "next", &next) <
                0 ||
            !json_is_array(page) || (next >= 0 && next <= from) ||
            add_page(page, blocks, room, &count))
            return weir__reply_reject(reply);
        json_decref(reply);
        from = next;
    }
    return count;
}
