/* SPDX-License-Identifier: MIT
 *
 * connect.c: the two ends of an address: having the manager listen there, and connecting to it.
 *
 * Invariants
 *  - The manager that is connected to is of this user, by the kernel's word. With a key, it has
 *    proved over a nonce of this process that it knows the key, before anything else is believed.
 *    A program with a key refuses a manager without one.
 *  - Connecting takes CONNECT_MS in all, however late each answer comes.
 *
 * Failure modes. Killed at any point, the manager sees the end of the socket, and nothing is left.
 * A connection that fails is closed, and its handle forgotten.
 */
#include "manager/host/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "manager/host/ask.h"
#include "manager/host/key_file.h"
#include "manager/host/member.h"
#include "manager/host/registry.h"
#include "manager/scope_file/address.h"
#include "manager/wire/auth.h"
#include "manager/wire/protocol.h"
#include "shm/error.h"

/* Less than the 5 s after which a manager closes a silent client, so that the error is of here. */
#define CONNECT_MS 4000

/* ---- listening ------------------------------------------------------------------------------ */

static int check_authkey(const void *key, size_t size)
{
    if ((key == NULL) != (size == 0))
        return weir__fail(-EINVAL,
                          "authkey is %p, but authkey_size is %zu: both must be given, or neither",
                          key, size);
    if (size > WEIR__AUTH_KEY_MAX)
        return weir__fail(-EINVAL, "the key has %zu bytes; it may have at most %d", size,
                          WEIR__AUTH_KEY_MAX);
    if (key && !weir__auth_available())
        return weir__fail(-ENOTSUP, "this weir was built without libsodium, so it has no keys");
    return 0;
}

int weir__scope_check_listen_options(const weir_scope_options *options)
{
    int error = check_authkey(options->authkey, options->authkey_size);

    if (error)
        return error;
    if (options->authkey && !options->address)
        return weir__fail(-EINVAL, "weir_scope_options.authkey is given, but no address");
    return options->address ? weir__address_check(options->address) : 0;
}

int weir__scope_listen(struct weir_scope *scope, const weir_scope_options *options)
{
    char key[WEIR__HEX(WEIR__AUTH_KEY_MAX)];
    json_t *reply;

    weir__hex_write(key, options->authkey, options->authkey_size);
    reply =
        weir__scope_ask(scope, json_pack("{s:s, s:s}", "listen", options->address, "key", key), -1);
    explicit_bzero(key, sizeof(key));
    if (!reply)
        return weir_last_error()->code;
    if (!json_is_true(json_object_get(reply, "listening")))
        return weir__reply_reject(reply);
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
        return weir__fail(-ETIMEDOUT, "the manager at %s did not accept a connection within %d ms",
                          address, CONNECT_MS);
    case EACCES:
        return weir__fail(-EPERM, "this user may not connect to %s: %s", address, strerror(error));
    case EPROTOTYPE:
        return weir__fail(-EPROTO, "the socket %s is not that of a manager", address);
    default:
        return weir__fail(-error, "cannot connect to %s: %s", address, strerror(error));
    }
}

/* A full queue is reported at once, and tried again. */
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
    struct ucred peer;
    int error = weir__peer(scope->channel.socket.fd, &peer);

    if (error)
        return weir__fail(error, "cannot see which user listens at %s: %s", address,
                          strerror(-error));
    if (peer.uid != geteuid())
        return weir__fail(-EPERM, "user %u listens at %s, not user %u", (unsigned)peer.uid, address,
                          (unsigned)geteuid());
    scope->channel.manager_pid = peer.pid;
    return 0;
}

/* {"weir":1,"version":...,"scope":...,"auth":"none"|"hmac-sha256","nonce":...} */
static int read_greeting(struct weir_scope *scope, struct weir__auth_session *session,
                         bool *with_key)
{
    json_t *greeting = weir__channel_receive(&scope->channel);
    const char *version, *scope_id, *auth, *nonce;
    unsigned char id[8];
    json_int_t one;
    int error = 0;

    if (greeting)
        greeting = weir__reply_check(greeting);
    if (!greeting)
        return weir_last_error()->code;
    if (json_unpack_ex(greeting, NULL, JSON_STRICT, "{s:I, s:s, s:s, s:s, s:s}", "weir", &one,
                       "version", &version, "scope", &scope_id, "auth", &auth, "nonce",
                       &nonce) < 0 ||
        one != 1 || !weir__hex_read(id, sizeof(id), scope_id) ||
        !weir__hex_read(session->server_nonce, WEIR__NONCE_SIZE, nonce) ||
        (strcmp(auth, "none") != 0 && strcmp(auth, "hmac-sha256") != 0))
        error =
            weir__fail(-EPROTO, "the program that listens there does not speak weir's protocol");
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
        return weir__fail(-EPROTO, "the program that listens there does not speak weir's protocol");
    if (key->size && !proved)
        return weir__fail(-EACCES, "the program that listens there does not know the key");
    return 0;
}

/* The mutual challenge. Both sides have a key, or neither has. */
static int authenticate(struct weir_scope *scope, const struct weir__auth_key *key)
{
    struct weir__auth_session session = {0};
    char nonce[WEIR__HEX(WEIR__NONCE_SIZE)], mac[WEIR__HEX(WEIR__MAC_SIZE)];
    unsigned char proof[WEIR__MAC_SIZE];
    bool with_key = false;
    json_t *reply;
    int error = read_greeting(scope, &session, &with_key);

    if (error)
        return error;
    if (with_key != (key->size > 0))
        return weir__fail(-EACCES, with_key ? "the scope has a key, and none was given"
                                            : "a key was given, but the scope has none");
    if (!with_key) {
        reply = weir__scope_ask(scope, json_pack("{s:i}", "hello", 1), -1);
        return reply ? check_welcome(reply, key, &session) : weir_last_error()->code;
    }
    error = weir__auth_nonce(session.client_nonce);
    if (error)
        return weir__fail(error, "cannot get random bytes for a nonce: %s", strerror(-error));
    weir__auth_prove(proof, key, &session, WEIR__AUTH_CLIENT);
    weir__hex_write(nonce, session.client_nonce, WEIR__NONCE_SIZE);
    weir__hex_write(mac, proof, sizeof(proof));
    reply = weir__scope_ask(
        scope, json_pack("{s:i, s:s, s:s}", "hello", 1, "nonce", nonce, "mac", mac), -1);
    return reply ? check_welcome(reply, key, &session) : weir_last_error()->code;
}

static int open_connection(struct weir_scope *scope, const char *address,
                           const struct weir__auth_key *key)
{
    int error;

    scope->connected = true;
    scope->channel.deadline_ms = weir__now_ms() + CONNECT_MS;
    weir__descriptors_lock();
    weir__descriptor_set(
        &scope->channel.socket,
        weir__above_streams(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)));
    weir__descriptor_list(&scope->channel.socket);
    weir__descriptors_unlock();
    if (scope->channel.socket.fd < 0)
        return weir__fail(-errno, "cannot make a socket: %s", strerror(errno));
    error = connect_to(scope->channel.socket.fd, address, scope->channel.deadline_ms);
    if (!error)
        error = check_peer(scope, address);
    if (!error)
        error = authenticate(scope, key);
    scope->channel.deadline_ms = INT64_MAX;
    return error;
}

/* NULL with the last error set. */
static struct weir_scope *connect_with(const char *address, const struct weir__auth_key *key)
{
    struct weir_scope *scope = weir__scope_new(CONNECT_MS);

    if (!scope)
        return NULL;
    if (open_connection(scope, address, key)) {
        weir__scope_forget(scope);
        return NULL;
    }
    weir__scope_register(scope);
    return scope;
}

/* ---- what the environment says -------------------------------------------------------------- */

/* NULL when it is not set, or not to be looked at. */
static const char *said(const char *name)
{
    const char *value = secure_getenv(name);

    return value && *value ? value : NULL;
}

static void *fail_without_address(void)
{
    const char *hidden = getenv("WEIR_ADDRESS");

    return weir__fail_null(
        -EINVAL, "no address was given, and %s",
        hidden && *hidden
            ? "this program runs with raised privileges, so it does not look at WEIR_ADDRESS in "
              "its environment"
            : "WEIR_ADDRESS is not set in the environment (weir run sets it)");
}

/* The message of a failure says which variable it is about. A program that was left behind finds no
 * socket, as that goes with the scope. */
static void *fail_about(const char *variable)
{
    const weir_error error = *weir_last_error();
    const bool ended = strcmp(variable, "WEIR_ADDRESS") == 0 &&
                       (error.code == -ENOENT || error.code == -ECONNREFUSED);

    return weir__fail_null(error.code, "%s in the environment: %s%s", variable, error.message,
                           ended ? "; its scope has ended" : "");
}

/* The key that was given to the call is preferred to that of the environment. */
static struct weir_scope *connect_by_environment(struct weir__auth_key *key)
{
    const char *address = said("WEIR_ADDRESS"), *file = said("WEIR_KEY_FILE");
    struct weir_scope *scope;

    if (!address)
        return fail_without_address();
    if (!key->size && file && weir__key_file_read(file, key) < 0)
        return fail_about("WEIR_KEY_FILE");
    if (weir__address_check(address) || check_authkey(key->size ? key->bytes : NULL, key->size))
        return fail_about("WEIR_ADDRESS");
    scope = connect_with(address, key);
    return scope ? scope : fail_about("WEIR_ADDRESS");
}

weir_scope *weir_scope_connect(const char *address, const void *authkey, size_t authkey_size)
{
    struct weir__auth_key key = {.size = authkey_size};
    struct weir_scope *scope;

    if (check_authkey(authkey, authkey_size) || (address && weir__address_check(address)))
        return NULL;
    if (authkey)
        memcpy(key.bytes, authkey, authkey_size);
    scope = address ? connect_with(address, &key) : connect_by_environment(&key);
    explicit_bzero(&key, sizeof(key));
    return scope;
}

void weir_scope_disconnect(weir_scope *scope)
{
    struct weir_scope *connected = weir__scope_connected(scope);

    if (!connected || !weir__scope_unregister(connected))
        return;
    weir__scope_close_descriptors(connected);
    weir__scope_report_lost(connected);
    weir__scope_forget(connected);
}
