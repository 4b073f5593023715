/* SPDX-License-Identifier: MIT
 *
 * protocol.c: JSON frames over a SOCK_SEQPACKET socket.
 *
 * A packet is one frame, so nothing has to be delimited, and a broken frame does not disturb the
 * next. What arrives is untrusted: its size is looked at before memory is taken for it, and its
 * nesting before it is parsed (1 MiB of "[]," would cost the parser 49 MiB).
 */
#include "protocol.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

int weir__frame_send(int fd, json_t *message)
{
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    size_t size = 0;
    ssize_t n;

    json_decref(message);
    if (!text)
        return -ENOMEM;
    while (text[size])
        size++;
    if (size > WEIR__FRAME_MAX) {
        free(text);
        return -EMSGSIZE;
    }
    do {
        n = send(fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    n = n < 0 ? -errno : 0;
    free(text);
    return (int)n;
}

/* Nesting at most WEIR__FRAME_DEPTH, judged without parsing; brackets in strings do not count. */
static bool is_shallow(const char *text, size_t size)
{
    unsigned depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < size; i++) {
        if (in_string) {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                in_string = false;
        } else if (text[i] == '"') {
            in_string = true;
        } else if (text[i] == '[' || text[i] == '{') {
            if (++depth > WEIR__FRAME_DEPTH)
                return false;
        } else if ((text[i] == ']' || text[i] == '}') && depth > 0) {
            depth--;
        }
    }
    return true;
}

static json_t *parse(const char *text, size_t size)
{
    json_t *message;

    if (!is_shallow(text, size))
        return NULL;
    message = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(message))
        return message;
    json_decref(message);
    return NULL;
}

static ssize_t receive(int fd, void *buf, size_t size, int flags)
{
    ssize_t n;

    do {
        n = recv(fd, buf, size, flags);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == ECONNRESET ? 0 : -errno;
}

int weir__frame_receive(int fd, json_t **message)
{
    ssize_t size = receive(fd, NULL, 0, MSG_PEEK | MSG_TRUNC);
    char *text;
    ssize_t n;

    if (size <= 0) /* an empty packet looks like the end, and nobody of ours sends one */
        return (int)size;
    if (size > WEIR__FRAME_MAX) {
        receive(fd, NULL, 0, 0);
        return -EBADMSG;
    }
    text = malloc((size_t)size);
    if (!text)
        return -ENOMEM;
    n = receive(fd, text, (size_t)size, 0);
    if (n <= 0) {
        free(text);
        return (int)n;
    }
    *message = parse(text, (size_t)n);
    free(text);
    return *message ? 1 : -EBADMSG;
}
