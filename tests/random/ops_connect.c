/* SPDX-License-Identifier: MIT
 *
 * ops_connect.c: another program connects to a scope, and makes objects that stay with it.
 */
#include "child.h"
#include "ops.h"

static const char key[] = "a key";

/* The other program. */
static _Noreturn void client_main(struct lane *lane, const char *address, bool has_key)
{
    weir_value values[] = {weir_int(3), weir_str("three")};
    const size_t size = has_key ? sizeof key : 0;
    weir_scope *scope;
    weir_list *list;
    weir_dict *dict;
    char name[64];

    child_reset();
    alarm(60);
    if (has_key)
        REFUSED_NULL("weir_scope_connect", weir_scope_connect(address, "no", 2), -EACCES);
    REFUSED_NULL("weir_scope_connect", weir_scope_connect("/tmp/weir-random-none/s", NULL, 0),
                 -ENOENT);
    scope = weir_scope_connect(address, has_key ? key : NULL, size);
    MUST(scope != NULL, "connect");
    list = weir_scope_list_named(scope, block_name(lane, name, sizeof name), values, 2);
    MUST(list != NULL, "a list");
    dict = weir_scope_dict(scope, NULL);
    MUST(dict != NULL, "a dictionary");
    SUCCEEDS(weir_dict_set(dict, weir_int(1), weir_int(2)));
    REFUSED_NULL("weir_pool_new", weir_pool_new(scope, NULL), -EINVAL);
    weir_list_close(list);
    weir_dict_close(dict);
    weir_scope_disconnect(scope);
    _exit(0);
}

/* What the client has made belongs to the scope. */
static void look_at_blocks(struct lane *lane, weir_scope *scope, const char *name)
{
    weir_block_info info;
    weir_value value;
    weir_list *list;

    MUST(weir_scope_blocks(scope, NULL, 0) == 2, "blocks");
    SUCCEEDS(weir_scope_lookup(scope, name, &info));
    MUST(strcmp(info.name, name) == 0 && strcmp(info.kind, "list") == 0, "%s", info.name);
    REFUSED("weir_scope_lookup", weir_scope_lookup(scope, "rt-none", NULL), -ENOENT);
    REFUSED("weir_scope_track", weir_scope_track(scope, "rt-none"), -ENOENT);
    list = weir_list_attach(name);
    MUST(list != NULL, "attach");
    SUCCEEDS(weir_list_get(list, 0, &value));
    MUST(same_value(value, weir_int(3)), "the client's value");
    weir_list_close(list);
    if (one_in(&lane->seed, 2)) {
        SUCCEEDS(weir_scope_release(scope, name));
        REFUSED("weir_scope_lookup", weir_scope_lookup(scope, name, NULL), -ENOENT);
    }
}

/* A stand-alone block is given to the scope, which unlinks it. */
static void track_block(struct lane *lane, weir_scope *scope)
{
    weir_shm *shm;
    char name[64];

    snprintf(name, sizeof name, "rt-tracked-%zu", op_number(lane));
    shm = weir_shm_create(name, 1 + draw(&lane->seed, 9000), 0);
    MUST(shm != NULL, "a block");
    SUCCEEDS(weir_scope_track(scope, name));
    SUCCEEDS(weir_scope_track(scope, name));
    weir_shm_close(shm);
}

static void serve_scope(struct lane *lane, const struct op *op)
{
    const bool has_key = pick(op, 0, 2) == 0;
    char folder[64], address[80], name[64];
    weir_scope_options options = {.address = address};
    weir_scope *scope;
    pid_t pid;

    snprintf(folder, sizeof folder, "/tmp/weir-random-%d-%zu", (int)getpid(), op_number(lane));
    snprintf(address, sizeof address, "%s/socket", folder);
    options.authkey = has_key ? key : NULL;
    options.authkey_size = has_key ? sizeof key : 0;
    scope = weir_scope_begin(&options);
    if (scope == NULL && has_key && weir_last_error()->code == -ENOTSUP)
        return; /* built without libsodium */
    MUST(scope != NULL, "a scope at %s", address);
    COUNT(forks);
    pid = fork();
    if (pid == 0)
        client_main(lane, address, has_key);
    reap(pid, "client");
    /* As block_name() in the client. */
    snprintf(name, sizeof name, "rt-%d-%zu", (int)pid, op_number(lane));
    look_at_blocks(lane, scope, name);
    track_block(lane, scope);
    SUCCEEDS(weir_scope_end(scope));
    MUST(rmdir(folder) == 0, "the folder %s is not empty", folder);
}

static const struct kind kinds[] = {
    {"serve_scope", 1, true, false, serve_scope},
    {0},
};

const struct family connect_family = {.name = "connect", .kinds = kinds, .weight = 1};
