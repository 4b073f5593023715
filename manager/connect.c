/* SPDX-License-Identifier: MIT
 *
 * connect.c: talking to a manager: connecting to one that listens, and asking for things.
 *
 * Invariants
 *  - The other side is of this user, by the kernel's word; with a key, it has proved that it knows
 * it over a nonce of ours before anything else is believed. A manager without a key is refused
 *    by who has one.
 *  - One request at a time, and its reply: a reply that does not come in time ends the
 * conversation.
 *  - A forked child never speaks on its parent's connection.
 *
 * Failure modes. Killed at any point, the manager sees the end of the socket. What it was about to
 * make is either recorded with the scope or was never named.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "manager/address.h"
#include "manager/auth.h"
#include "manager/protocol.h"
#include "manager/scope.h"
#include "manager/state.h"
#include "shm/error.h"

/* Less than the 5 s after which a manager shows out who is silent: the client says first why. */
#define CONNECT_MS 4000

/* ---- asking --------------------------------------------------------------------------------- */

/* The reply if it is none of an error. Takes it over; NULL with the last error set. */
static json_t *check_reply(json_t *reply)
{
    json_t *error = json_object_get(reply, "error");
    const char *message = json_string_value(json_object_get(reply, "message"));
    json_int_t code = json_integer_value(error);

    if (!error)
        return reply;
    if (!json_is_integer(error) || code >= 0 || code < -4095)
        weir__fail(-EPROTO, "the manager's answer makes no sense");
    else
        weir__fail((int)code, "%.500s", message ? message : weir_strerror((int)code));
    json_decref(reply);
    return NULL;
}

/* What the end of the conversation means. */
static json_t *lost(struct weir_scope *scope)
{
    scope->out_of_step = true;
    if (weir_last_error()->code == -EPIPE && scope->connected)
        weir__fail(-ESTALE, "the scope is over: its manager is gone");
    return NULL;
}

static json_t *ask_locked(struct weir_scope *scope, json_t *message, int passed)
{
    json_t *reply;
    int error;

    if (scope->out_of_step) {
        json_decref(message);
        weir__fail(-EPIPE, "the manager has not answered before, and is not asked again");
        return NULL;
    }
    error = weir__frame_send_with(scope->socket, message, passed);
    if (error == -ENOMEM || error == -EMSGSIZE) {
        weir__fail(error, "cannot ask the manager: %s", strerror(-error));
        return NULL;
    }
    if (error) {
        weir__fail(error == -ECONNRESET ? -EPIPE : error, "cannot ask the manager: %s",
                   strerror(-error));
        return lost(scope);
    }
    reply = weir__scope_receive(scope);
    return reply ? check_reply(reply) : lost(scope);
}

/* Asks, and takes the message over. NULL with the last error set. */
static json_t *ask(struct weir_scope *scope, json_t *message, int passed)
{
    json_t *reply;

    if (scope->beginner != getpid() || scope->socket < 0) {
        json_decref(message);
        weir__fail(-EINVAL, "only process %d, which %s the scope, can ask its manager",
                   (int)scope->beginner, scope->connected ? "connected to" : "began");
        return NULL;
    }
    weir__private_lock(&scope->talk);
    reply = ask_locked(scope, message, passed);
    weir__private_unlock(&scope->talk);
    return reply;
}

static int fail_reply(json_t *reply)
{
    json_decref(reply);
    return weir__fail(-EPROTO, "the manager's answer makes no sense");
}

/* ---- listening ------------------------------------------------------------------------------ */

static int check_key(const void *key, size_t size)
{
    if ((key == NULL) != (size == 0))
        return weir__fail(-EINVAL, "a key of %zu bytes at %p makes no sense", size, key);
    if (size > WEIR__KEY_MAX)
        return weir__fail(-EINVAL, "the key has %zu bytes; it may have at most %d", size,
                          WEIR__KEY_MAX);
    if (key && !weir__auth_available())
        return weir__fail(-ENOTSUP, "this weir was built without libsodium, so it has no keys");
    return 0;
}

int weir__check_listen_options(const weir_scope_options *options)
{
    int error = check_key(options->authkey, options->authkey_size);

    if (error)
        return error;
    if (options->authkey && !options->address)
        return weir__fail(-EINVAL, "weir_scope_options.authkey is of no use without an address");
    return options->address ? weir__address_check(options->address) : 0;
}

int weir__scope_listen(struct weir_scope *scope, const weir_scope_options *options)
{
    char key[WEIR__HEX(WEIR__KEY_MAX)];
    json_t *reply;

    weir__hex_write(key, options->authkey, options->authkey_size);
    reply = ask(scope, json_pack("{s:s, s:s}", "listen", options->address, "key", key), -1);
    weir__auth_wipe(key, sizeof(key));
    if (!reply)
        return weir_last_error()->code;
    if (!json_is_true(json_object_get(reply, "listening")))
        return fail_reply(reply);
    json_decref(reply);
    return 0;
}

/* ---- connecting ----------------------------------------------------------------------------- */

static int fail_connect(int error, const char *address)
{
    switch (error) {
    case ENOENT:
        return weir__fail(-ENOENT, "no manager listens at %s: there is no such socket", address);
    case ECONNREFUSED:
        return weir__fail(-ECONNREFUSED, "no manager listens at %s any more", address);
    case EAGAIN:
        return weir__fail(-ETIMEDOUT, "the manager at %s takes no connection within %d ms", address,
                          CONNECT_MS);
    case EACCES:
        return weir__fail(-EPERM, "%s is not this user's to connect to: %s", address,
                          strerror(error));
    case EPROTOTYPE:
        return weir__fail(-EPROTO, "the socket %s is no manager's", address);
    default:
        return weir__fail(-error, "cannot connect to %s: %s", address, strerror(error));
    }
}

/* A full queue is said at once, and tried again. */
static int connect_to(int fd, const char *address, int64_t deadline_ms)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const struct timespec step = {.tv_nsec = 5000000};

    strcpy(name.sun_path, address); /* checked: it fits */
    while (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
        if ((errno != EAGAIN && errno != EINTR) || weir__now_ms() >= deadline_ms)
            return fail_connect(errno, address);
        nanosleep(&step, NULL);
    }
    return 0;
}

static int check_peer(struct weir_scope *scope, const char *address)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof(peer);

    if (getsockopt(scope->socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return weir__fail(-errno, "cannot see who listens at %s: %s", address, strerror(errno));
    if (peer.uid != geteuid())
        return weir__fail(-EPERM, "user %u listens at %s, not user %u", (unsigned)peer.uid, address,
                          (unsigned)geteuid());
    scope->manager_pid = peer.pid;
    return 0;
}

/* {"weir":1,"version":...,"scope":...,"auth":"none"|"hmac-sha256","nonce":...} */
static int hear_greeting(struct weir_scope *scope, struct weir__auth_session *session,
                         bool *with_key)
{
    json_t *greeting = weir__scope_receive(scope);
    const char *version, *scope_id, *auth, *nonce;
    unsigned char id[8];
    json_int_t one;
    int error = 0;

    if (greeting)
        greeting = check_reply(greeting);
    if (!greeting)
        return weir_last_error()->code;
    if (json_unpack_ex(greeting, NULL, JSON_STRICT, "{s:I, s:s, s:s, s:s, s:s}", "weir", &one,
                       "version", &version, "scope", &scope_id, "auth", &auth, "nonce",
                       &nonce) < 0 ||
        one != 1 || !weir__hex_read(id, sizeof(id), scope_id) ||
        !weir__hex_read(session->server_nonce, WEIR__NONCE_SIZE, nonce) ||
        (strcmp(auth, "none") != 0 && strcmp(auth, "hmac-sha256") != 0))
        error = weir__fail(-EPROTO, "what listens there does not speak weir's protocol");
    else {
        *with_key = strcmp(auth, "none") != 0;
        for (size_t i = 0; i < sizeof(id); i++)
            session->scope = session->scope << 8 | id[i];
        scope->id = session->scope;
    }
    json_decref(greeting);
    return error;
}

static int check_welcome(json_t *welcome, const struct weir__auth_key *key,
                         const struct weir__auth_session *session)
{
    unsigned char proof[WEIR__MAC_SIZE];
    bool good = json_integer_value(json_object_get(welcome, "welcome")) == 1;
    bool proved =
        weir__hex_read(proof, sizeof(proof), json_string_value(json_object_get(welcome, "mac"))) &&
        weir__auth_verify(proof, key, session, WEIR__AUTH_SERVER);

    json_decref(welcome);
    if (!good)
        return weir__fail(-EPROTO, "what listens there does not speak weir's protocol");
    if (key->size && !proved)
        return weir__fail(-EACCES, "what listens there does not know the key");
    return 0;
}

/* The mutual challenge. With a key on both sides; or on none. */
static int introduce(struct weir_scope *scope, const struct weir__auth_key *key)
{
    struct weir__auth_session session = {0};
    char nonce[WEIR__HEX(WEIR__NONCE_SIZE)], mac[WEIR__HEX(WEIR__MAC_SIZE)];
    unsigned char proof[WEIR__MAC_SIZE];
    bool with_key = false;
    json_t *reply;
    int error = hear_greeting(scope, &session, &with_key);

    if (error)
        return error;
    if (with_key != (key->size > 0))
        return weir__fail(-EACCES, with_key ? "the scope has a key, and none was given"
                                            : "a key was given, but the scope has none");
    if (!with_key) {
        reply = ask(scope, json_pack("{s:i}", "hello", 1), -1);
        return reply ? check_welcome(reply, key, &session) : weir_last_error()->code;
    }
    error = weir__auth_nonce(session.client_nonce);
    if (error)
        return weir__fail(error, "no random numbers for a nonce: %s", strerror(-error));
    weir__auth_prove(proof, key, &session, WEIR__AUTH_CLIENT);
    weir__hex_write(nonce, session.client_nonce, WEIR__NONCE_SIZE);
    weir__hex_write(mac, proof, sizeof(proof));
    reply = ask(scope, json_pack("{s:i, s:s, s:s}", "hello", 1, "nonce", nonce, "mac", mac), -1);
    return reply ? check_welcome(reply, key, &session) : weir_last_error()->code;
}

static int open_connection(struct weir_scope *scope, const char *address,
                           const struct weir__auth_key *key)
{
    int error;

    scope->connected = true;
    scope->deadline_ms = weir__now_ms() + CONNECT_MS;
    scope->socket =
        weir__above_streams(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (scope->socket < 0)
        return weir__fail(-errno, "cannot make a socket: %s", strerror(errno));
    error = connect_to(scope->socket, address, scope->deadline_ms);
    if (!error)
        error = check_peer(scope, address);
    if (!error)
        error = introduce(scope, key);
    scope->deadline_ms = INT64_MAX;
    return error;
}

weir_scope *weir_scope_connect(const char *address, const void *authkey, size_t authkey_size)
{
    struct weir_scope *scope;
    struct weir__auth_key key = {.size = authkey_size};
    int error;

    if (!address)
        weir__fail(-EINVAL, "the address is NULL");
    if (!address || check_key(authkey, authkey_size) || weir__address_check(address))
        return NULL;
    scope = weir__scope_new(CONNECT_MS);
    if (!scope)
        return NULL;
    if (authkey)
        memcpy(key.bytes, authkey, authkey_size);
    error = open_connection(scope, address, &key);
    weir__auth_wipe(&key, sizeof(key));
    if (error) {
        weir__scope_drop(scope);
        return NULL;
    }
    weir__scope_register(scope);
    return scope;
}

void weir_scope_disconnect(weir_scope *scope)
{
    struct weir_scope *connected = weir__scope_connected(scope);

    if (connected && weir__scope_unregister(connected))
        weir__scope_drop(connected);
}

/* ---- blocks --------------------------------------------------------------------------------- */

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
    json_t *reply = ask(scope, message, passed);

    if (!reply)
        return weir_last_error()->code;
    if (!read_info(json_object_get(reply, key), info))
        return fail_reply(reply);
    json_decref(reply);
    return 0;
}

int weir__connected_name(struct weir_scope *scope, const struct weir__block *block,
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

/* What the calls about one name have in common. */
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

/* Adds a page of blocks to what there is. */
static int read_page(json_t *page, weir_block_info *blocks, size_t room, int64_t *count)
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
        return weir__fail(-EINVAL, "there is no room for %zu blocks at NULL", room);
    while (from >= 0) {
        json_t *reply = ask(live, json_pack("{s:{s:I}}", "list", "from", from), -1), *page;

        if (!reply)
            return weir_last_error()->code;
        if (json_unpack_ex(reply, NULL, JSON_STRICT, "{s:o, s:I}", "blocks", &page, "next", &next) <
                0 ||
            !json_is_array(page) || (next >= 0 && next <= from) ||
            read_page(page, blocks, room, &count))
            return fail_reply(reply);
        json_decref(reply);
        from = next;
    }
    return count;
}
