/* SPDX-License-Identifier: MIT
 *
 * server.c: the manager program's loop: wait for the end of the scope, and unlink everything.
 *
 * Three things wake it: clients (listen.c), the socket to the host (a message, or its end), and the
 * host's pidfd. Neither the socket nor the pidfd alone is enough: a program that calls exec keeps
 * its pid but its end of the socket is closed, and the socket of a program whose forked child holds
 * a copy of it does not end when the program dies.
 *
 * Of an anonymous scope it holds the memory too, which it never touches: other programs of the user
 * open it by the number of its descriptor here, and it goes with the last process that has it.
 *
 * Failure modes. A message that is not valid is dropped. If the loop itself cannot be set up, the
 * manager sends nothing and exits without having touched a name: the host sees the end of the
 * socket.
 */
#include "manager/program/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "manager/program/listen.h"
#include "manager/program/requests.h"
#include "manager/scope_file/address.h"
#include "manager/scope_file/scope_file.h"
#include "manager/wire/protocol.h"
#include "shm/error.h"

/* The longest wait for a member that was stopped in the middle of making a block. */
#define WAIT_FOR_MEMBERS_MS 2000

struct server {
    uv_loop_t loop;
    uv_poll_t socket;
    uv_poll_t host_pidfd;
    struct ucred host; /* its pid is for records; never used to signal or to judge */
    struct weir__listener *listener;
    struct weir__requests requests;
    bool done;
    int status;
};

static void clean_scope(struct server *server, struct weir__cleaning *cleaning)
{
    int error = weir__scope_file_unlink_all(WEIR__MANAGER_SCOPE, server->requests.id,
                                            WAIT_FOR_MEMBERS_MS, cleaning);

    server->status = error ? 1 : 0;
    server->done = true;
    uv_stop(&server->loop);
}

static void end_scope(struct server *server)
{
    struct weir__cleaning cleaning = {0};

    weir_clear_error();
    clean_scope(server, &cleaning);
    weir__frame_send(WEIR__MANAGER_SOCKET,
                     json_pack("{s:b, s:i, s:i, s:i, s:b, s:i, s:s}", "ended", 1, "unlinked",
                               (int)cleaning.unlinked, "gone", (int)cleaning.gone, "malformed",
                               (int)cleaning.malformed, "complete", cleaning.complete, "error",
                               weir_last_error()->code, "message", weir_last_error()->message));
}

static bool serve_host(void *arg);

/* {"listen":address, "key":hexadecimal digits, perhaps ""} */
static int open_listener(struct server *server, const char *address, const char *text)
{
    const struct weir__listener_context context = {&server->loop, &server->requests, serve_host,
                                                   server};
    struct weir__auth_key key = {.size = strlen(text) / 2};
    int error;

    if (server->listener)
        return weir__fail(-EALREADY, "the manager listens already");
    if (key.size > WEIR__AUTH_KEY_MAX || !weir__hex_read(key.bytes, key.size, text))
        return weir__fail(-EINVAL, "the key is not 0 to %d bytes in hexadecimal digits",
                          WEIR__AUTH_KEY_MAX);
    if (key.size && !weir__auth_available())
        return weir__fail(-ENOTSUP, "the manager program was built without libsodium");
    error = weir__address_check(address);
    if (!error)
        error = weir__listener_open(&server->listener, &context, address, &key);
    explicit_bzero(&key, sizeof(key));
    return error;
}

static json_t *answer_listen(struct server *server, json_t *message)
{
    const char *address, *key;
    int error;

    if (json_unpack_ex(message, NULL, JSON_STRICT, "{s:s, s:s}", "listen", &address, "key", &key) <
        0)
        error = weir__fail(-EPROTO, "the request \"listen\" is not of the documented form");
    else
        error = open_listener(server, address, key);
    return error ? weir__request_error() : json_pack("{s:b}", "listening", 1);
}

static void handle_message(struct server *server, json_t *message)
{
    json_t *reply;

    if (json_is_true(json_object_get(message, "end"))) {
        end_scope(server);
        return;
    }
    weir_clear_error();
    if (json_object_get(message, "listen"))
        reply = answer_listen(server, message);
    else
        reply = weir__request_answer(&server->requests, message, -1, server->host.pid);
    weir__frame_answer(WEIR__MANAGER_SOCKET,
                       reply); /* if the host is gone, the loop finds out next */
}

static void receive_from_host(struct server *server)
{
    json_t *message = NULL;
    int result = weir__frame_receive(WEIR__MANAGER_SOCKET, &message);

    if (result == 1) {
        handle_message(server, message);
        json_decref(message);
    } else if (result == -ENOMEM) {
        weir__frame_answer(WEIR__MANAGER_SOCKET, NULL);
    } else if (result != -EAGAIN && result != -EBADMSG) {
        clean_scope(server, NULL); /* the host is gone, or became another program by exec */
    }
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct server *server = poll->data;

    (void)events;
    if (server->done)
        return;
    if (status < 0)
        clean_scope(server, NULL);
    else
        receive_from_host(server);
}

/* Before anything is done for a client: the host's requests come first. */
static bool serve_host(void *arg)
{
    struct server *server = arg;
    struct pollfd item = {.fd = WEIR__MANAGER_SOCKET, .events = POLLIN};

    /* With a limit: the kernel says readable, and then there may be nothing. */
    for (int i = 0; i < 1000 && !server->done && poll(&item, 1, 0) == 1; i++)
        receive_from_host(server);
    return !server->done;
}

static void on_host(uv_poll_t *poll, int status, int events)
{
    struct server *server = poll->data;

    (void)status;
    (void)events;
    if (!server->done)
        clean_scope(server, NULL);
}

static int watch_descriptor(struct server *server, uv_poll_t *poll, int fd, uv_poll_cb callback)
{
    int error = uv_poll_init(&server->loop, poll, fd);

    if (error)
        return error;
    poll->data = server;
    return uv_poll_start(poll, UV_READABLE | UV_DISCONNECT, callback);
}

static int send_ready(void)
{
    return weir__frame_send(
        WEIR__MANAGER_SOCKET,
        json_pack("{s:b, s:i, s:s}", "ready", 1, "pid", (int)getpid(), "version", weir_version()));
}

/* Tells the program why it gets no manager. Returns the exit status. */
static int send_failure(int error)
{
    (void)weir__frame_send(WEIR__MANAGER_SOCKET, json_pack("{s:i}", "error", error));
    return 1;
}

int weir__server_run(uint64_t id)
{
    /* Before the loop opens descriptors of its own. Without pidfds there is none. */
    const bool host_is_known = fcntl(WEIR__MANAGER_HOST, F_GETFD) >= 0;
    struct server server = {.requests = {.id = id,
                                         .scope_fd = WEIR__MANAGER_SCOPE,
                                         .anonymous = fcntl(WEIR__MANAGER_STORE, F_GETFD) >= 0}};
    int error = uv_loop_init(&server.loop);

    weir__peer(WEIR__MANAGER_SOCKET, &server.host);
    if (!error)
        error = watch_descriptor(&server, &server.socket, WEIR__MANAGER_SOCKET, on_socket);
    if (!error && host_is_known)
        error = watch_descriptor(&server, &server.host_pidfd, WEIR__MANAGER_HOST, on_host);
    if (!error)
        error = send_ready();
    if (error == -EPIPE || error == -ECONNRESET)
        clean_scope(&server, NULL); /* the host was killed that early */
    else if (error)
        return send_failure(error);
    while (!server.done)
        uv_run(&server.loop, UV_RUN_ONCE);
    return server.status;
}
