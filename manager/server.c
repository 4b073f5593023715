/* SPDX-License-Identifier: MIT
 *
 * server.c: the manager program's loop: wait for the end of the scope, and unlink everything.
 *
 * Two things wake it: the socket to the program that began the scope (a message, or its end), and
 * that program's pidfd. Neither alone is enough: a program that calls exec keeps its pid but its
 * end of the socket is closed, and one whose forked child holds a copy of the socket gives no end
 * when it dies.
 *
 * Failure modes. A message that is none is dropped. If the loop itself cannot be set up, the
 * manager says nothing and exits without having touched a name: the program sees the end of the
 * socket.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "manager/protocol.h"
#include "manager/scope.h"
#include "shm/weir-shm.h"

/* How long a member process that was stopped in the middle of making a block holds up the end. */
#define WAIT_FOR_MEMBERS_MS 2000

struct server {
    uv_loop_t loop;
    uv_poll_t socket;
    uv_poll_t host;
    uint64_t id;
    bool done;
    int status;
};

static void clean(struct server *server, struct weir__tally *tally)
{
    int error = weir__scope_unlink_all(WEIR__MANAGER_SCOPE, server->id, WAIT_FOR_MEMBERS_MS, tally);

    server->status = error ? 1 : 0;
    server->done = true;
    uv_stop(&server->loop);
}

static void end(struct server *server)
{
    struct weir__tally tally = {0};

    weir_clear_error();
    clean(server, &tally);
    weir__frame_send(WEIR__MANAGER_SOCKET,
                     json_pack("{s:b, s:i, s:i, s:i, s:b, s:i, s:s}", "ended", 1, "unlinked",
                               (int)tally.unlinked, "gone", (int)tally.gone, "malformed",
                               (int)tally.malformed, "complete", tally.complete, "error",
                               weir_last_error()->code, "message", weir_last_error()->message));
}

static void handle(struct server *server, const json_t *message)
{
    if (json_is_true(json_object_get(message, "end")))
        end(server);
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct server *server = poll->data;
    json_t *message = NULL;
    int result;

    (void)events;
    result = status < 0 ? status : weir__frame_receive(WEIR__MANAGER_SOCKET, &message);
    if (result == 1) {
        handle(server, message);
        json_decref(message);
    } else if (result != -EAGAIN && result != -EBADMSG && result != -ENOMEM) {
        clean(server, NULL); /* the program is gone, or became another one by exec */
    }
}

static void on_host(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    clean(poll->data, NULL);
}

static int watch(struct server *server, uv_poll_t *poll, int fd, uv_poll_cb callback)
{
    int error = uv_poll_init(&server->loop, poll, fd);

    if (error)
        return error;
    poll->data = server;
    return uv_poll_start(poll, UV_READABLE | UV_DISCONNECT, callback);
}

static int say_ready(void)
{
    return weir__frame_send(
        WEIR__MANAGER_SOCKET,
        json_pack("{s:b, s:i, s:s}", "ready", 1, "pid", (int)getpid(), "version", weir_version()));
}

int weir__server_run(uint64_t id)
{
    /* Asked before the loop opens descriptors of its own. There is none where pidfds do not exist.
     */
    const bool host_is_known = fcntl(WEIR__MANAGER_HOST, F_GETFD) >= 0;
    struct server server = {.id = id};
    int error = uv_loop_init(&server.loop);

    if (!error)
        error = watch(&server, &server.socket, WEIR__MANAGER_SOCKET, on_socket);
    if (!error && host_is_known)
        error = watch(&server, &server.host, WEIR__MANAGER_HOST, on_host);
    if (!error)
        error = say_ready();
    if (error == -EPIPE || error == -ECONNRESET)
        clean(&server, NULL); /* it was killed that early */
    else if (error)
        return 1;
    while (!server.done)
        uv_run(&server.loop, UV_RUN_ONCE);
    return server.status;
}
