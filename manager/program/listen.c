/* SPDX-License-Identifier: MIT
 *
 * listen.c: the address of a scope: accepting clients, the challenge, serving them.
 *
 * A client's life:
 *
 *   FREE --accepted, greeted--> HELLO --proved its key--> SERVED --gone--> CLOSING --> FREE
 *                                 \--wrong, or silent for 5 s--------------> CLOSING --> FREE
 *
 * Invariants
 *  - The connection of another user's program is closed at once; nothing of it is read.
 *  - Nothing but "hello" is understood in HELLO. With a key, SERVED is reached only with a proof
 *    over this connection's nonce.
 *  - One frame of one client is served at a time, and the host's requests come first.
 *  - No replies are kept: a client that does not read them is closed. So a client costs its slot,
 *    and the frame that is being served; there are CLIENTS slots, WAITING of them at most in
 *    HELLO.
 *
 * Failure modes. Without a descriptor or memory, accepting pauses for a while, and programs that
 * connect wait in the kernel's queue. A client that breaks the protocol gets an error and is
 * closed; it may connect again.
 */
#include "manager/program/listen.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager/scope_file/address.h"
#include "manager/wire/protocol.h"
#include "shm/error.h"

#define CLIENTS          128
#define WAITING          32
#define HELLO_TIMEOUT_MS 5000
#define TICK_MS          250
#define ACCEPT_MAX       16   /* at a time */
#define HELLO_LIMIT      1024 /* bytes of a frame in HELLO */
#define MISSES_MAX       1000 /* in a row: the kernel says readable, and then there is nothing */

enum state {
    FREE,
    HELLO,
    SERVED,
    CLOSING,
};

struct client {
    uv_poll_t poll;
    enum state state;
    int fd;
    pid_t pid;
    uint64_t deadline; /* HELLO: by uv_now */
    unsigned misses;
    struct weir__auth_session session;
    struct weir__listener *listener;
};

struct weir__listener {
    struct weir__listener_context context;
    struct weir__auth_key key;
    uv_poll_t poll;
    uv_timer_t timer; /* runs while a client is in HELLO, or accepting pauses */
    int fd;
    bool paused;
    unsigned waiting; /* clients in HELLO */
    struct client slots[CLIENTS];
};

static void on_connection(uv_poll_t *poll, int status, int events);

/* ---- closing a client ----------------------------------------------------------------------- */

static void on_client_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;

    close(client->fd);
    client->state = FREE;
}

static void leave_hello(struct client *client)
{
    if (client->state == HELLO)
        client->listener->waiting--;
}

static void close_client(struct client *client)
{
    if (client->state == CLOSING)
        return;
    leave_hello(client);
    client->state = CLOSING;
    uv_close((uv_handle_t *)&client->poll, on_client_closed);
}

/* Sends the last error, and closes. */
static void refuse(struct client *client)
{
    weir__frame_send(client->fd, weir__request_error());
    close_client(client);
}

/* ---- the challenge -------------------------------------------------------------------------- */

static int greet(struct client *client)
{
    const struct weir__listener *listener = client->listener;
    char id[17], nonce[WEIR__HEX(WEIR__NONCE_SIZE)];
    int error = weir__auth_nonce(client->session.server_nonce);

    if (error)
        return error;
    client->session.scope = listener->context.requests->id;
    snprintf(id, sizeof(id), "%016" PRIx64, client->session.scope);
    weir__hex_write(nonce, client->session.server_nonce, WEIR__NONCE_SIZE);
    return weir__frame_send(client->fd,
                            json_pack("{s:i, s:s, s:s, s:s, s:s}", "weir", 1, "version",
                                      weir_version(), "scope", id, "auth",
                                      listener->key.size ? "hmac-sha256" : "none", "nonce", nonce));
}

static int welcome_known(struct client *client, const char *mac)
{
    const struct weir__auth_key *key = &client->listener->key;
    unsigned char proof[WEIR__MAC_SIZE];
    char text[WEIR__HEX(WEIR__MAC_SIZE)];

    if (!weir__hex_read(proof, sizeof(proof), mac) ||
        !weir__auth_verify(proof, key, &client->session, WEIR__AUTH_CLIENT))
        return weir__fail(-EACCES, "the key is wrong");
    weir__auth_prove(proof, key, &client->session, WEIR__AUTH_SERVER);
    weir__hex_write(text, proof, sizeof(proof));
    return weir__frame_send(client->fd, json_pack("{s:i, s:s}", "welcome", 1, "mac", text));
}

/* {"hello":1}, or with a key {"hello":1,"nonce":"...","mac":"..."} */
static int check_hello(struct client *client, json_t *message)
{
    const char *nonce = NULL, *mac = NULL;
    json_int_t one = 0;

    if (json_unpack_ex(message, NULL, JSON_STRICT, "{s:I, s?s, s?s}", "hello", &one, "nonce",
                       &nonce, "mac", &mac) < 0 ||
        one != 1)
        return weir__fail(-EPROTO, "the first message of a client must be a valid \"hello\"");
    if (client->listener->key.size == 0 && !nonce && !mac)
        return weir__frame_send(client->fd, json_pack("{s:i}", "welcome", 1));
    if (client->listener->key.size == 0)
        return weir__fail(-EACCES, "the scope has no key, but the client has");
    if (!nonce || !mac)
        return weir__fail(-EACCES, "the scope has a key, and the client has none");
    if (!weir__hex_read(client->session.client_nonce, WEIR__NONCE_SIZE, nonce))
        return weir__fail(-EPROTO, "the nonce is not %d bytes in hexadecimal digits",
                          WEIR__NONCE_SIZE);
    return welcome_known(client, mac);
}

/* ---- serving -------------------------------------------------------------------------------- */

static void serve(struct client *client, json_t *message, int passed)
{
    struct weir__listener *listener = client->listener;
    int error;

    weir_clear_error();
    if (client->state == HELLO) {
        error = check_hello(client, message);
        if (error && weir_last_error()->code == 0)
            close_client(client); /* it does not read the answer */
        else if (error)
            refuse(client);
        else {
            leave_hello(client);
            client->state = SERVED;
        }
        return;
    }
    error = weir__frame_answer(
        client->fd, weir__request_answer(listener->context.requests, message, passed, client->pid));
    if (error)
        close_client(client);
}

static void resume(struct weir__listener *listener)
{
    if (listener->paused && listener->waiting < WAITING &&
        uv_poll_start(&listener->poll, UV_READABLE, on_connection) == 0)
        listener->paused = false;
}

/* True when a frame in HELLO was longer than any "hello". It is taken out of the queue: closing
 * with something unread would make the client lose the error that it is sent. */
static bool was_too_long(const struct client *client)
{
    if (client->state != HELLO ||
        recv(client->fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT) <= HELLO_LIMIT)
        return false;
    recv(client->fd, NULL, 0, MSG_DONTWAIT);
    return true;
}

static void on_client(uv_poll_t *poll, int status, int events)
{
    struct client *client = poll->data;
    struct weir__listener *listener = client->listener;
    json_t *message = NULL;
    int passed = -1, result;

    (void)events;
    if (!listener->context.serve_host(listener->context.arg) || client->state == CLOSING)
        return;
    if (status < 0 || was_too_long(client))
        result = -EBADMSG;
    else if (client->state == HELLO) /* the kernel drops descriptors that come along */
        result = weir__frame_receive(client->fd, &message);
    else
        result = weir__frame_receive_with(client->fd, &message, &passed);
    if (result == 1)
        serve(client, message, passed);
    else if (result == -EBADMSG) {
        weir__fail(-EBADMSG, "the message is not a frame of weir's protocol");
        refuse(client);
    } else if (result != -EAGAIN || ++client->misses == MISSES_MAX)
        close_client(client); /* it is gone, or there is no memory for it */
    if (result != -EAGAIN)
        client->misses = 0;
    json_decref(message);
    if (passed >= 0)
        close(passed);
    resume(listener);
}

/* ---- accepting ------------------------------------------------------------------------------ */

static void pause_accepting(struct weir__listener *listener)
{
    uv_poll_stop(&listener->poll);
    listener->paused = true;
}

static void on_tick(uv_timer_t *timer)
{
    struct weir__listener *listener = timer->data;
    const uint64_t now = uv_now(timer->loop);

    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &listener->slots[i];

        if (client->state == HELLO && now >= client->deadline) {
            weir__fail(-ETIMEDOUT, "the client sent no \"hello\" within %d ms", HELLO_TIMEOUT_MS);
            refuse(client);
        }
    }
    resume(listener);
    if (listener->waiting == 0 && !listener->paused)
        uv_timer_stop(timer);
}

static struct client *free_slot(struct weir__listener *listener)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (listener->slots[i].state == FREE)
            return &listener->slots[i];
    }
    return NULL;
}

/* Takes the descriptor over. */
static void accept_client(struct weir__listener *listener, int fd)
{
    struct client *client = free_slot(listener);
    struct ucred peer;

    if (weir__peer(fd, &peer) || peer.uid != geteuid()) {
        client = NULL;
    } else if (!client) {
        weir__fail(-EBUSY, "the scope has %d connected programs, which is the limit", CLIENTS);
        weir__frame_send(fd, weir__request_error());
    } else {
        *client = (struct client){.fd = fd, .pid = peer.pid, .listener = listener};
    }
    if (!client || uv_poll_init(listener->context.loop, &client->poll, fd)) {
        close(fd);
        return;
    }
    client->state = HELLO;
    client->deadline = uv_now(listener->context.loop) + HELLO_TIMEOUT_MS;
    client->poll.data = client;
    listener->waiting++;
    if (greet(client) || uv_poll_start(&client->poll, UV_READABLE | UV_DISCONNECT, on_client))
        close_client(client);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct weir__listener *listener = poll->data;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPT_MAX && listener->waiting < WAITING; i++) {
        int fd;

        if (!listener->context.serve_host(listener->context.arg))
            return;
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            accept_client(listener, fd);
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR && errno != ECONNABORTED) {
            pause_accepting(listener); /* no descriptor or no memory: later */
            break;
        }
    }
    if (listener->waiting >= WAITING)
        pause_accepting(listener);
    if (listener->waiting > 0 || listener->paused)
        uv_timer_start(&listener->timer, on_tick, TICK_MS, TICK_MS);
}

/* Under the creation lock, like every name: a cleaner either reads the record or comes first. */
static int take_address(const struct weir__requests *requests, const char *address)
{
    int fd = weir__scope_file_creation_begin(requests->scope_fd);

    if (!fd)
        fd = weir__scope_file_note_address(requests->scope_fd, address);
    if (!fd)
        fd = weir__address_listen(address, requests->id);
    if (fd < 0)
        weir__scope_file_blank(requests->scope_fd, WEIR__RECORD_ADDRESS);
    weir__scope_file_creation_end(requests->scope_fd);
    return fd;
}

int weir__listener_open(struct weir__listener **listener,
                        const struct weir__listener_context *context, const char *address,
                        const struct weir__auth_key *key)
{
    struct weir__listener *listening = calloc(1, sizeof(*listening));
    int error = 0;

    if (!listening)
        return weir__fail(-ENOMEM, "no memory for listening");
    listening->context = *context;
    listening->key = *key;
    listening->fd = take_address(context->requests, address);
    if (listening->fd < 0) {
        error = listening->fd;
        free(listening);
        return error;
    }
    *listener = listening; /* never freed from here on: the loop may know of it */
    error = uv_timer_init(context->loop, &listening->timer);
    if (!error)
        error = uv_poll_init(context->loop, &listening->poll, listening->fd);
    listening->timer.data = listening->poll.data = listening;
    if (!error)
        error = uv_poll_start(&listening->poll, UV_READABLE, on_connection);
    return error ? weir__fail(error, "cannot listen: %s", strerror(-error)) : 0;
}
