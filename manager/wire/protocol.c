/* SPDX-License-Identifier: MIT
 *
 * protocol.c: JSON frames over a SOCK_SEQPACKET socket.
 *
 * A packet is one frame, so nothing has to be delimited, and a broken frame does not disturb the
 * next. Messages are untrusted: their size is checked before memory is taken for them, and
 * their nesting before they are parsed (1 MiB of "[]," would cost the parser 49 MiB).
 */
#include "manager/wire/protocol.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shm/retry.h"

/* For one descriptor; aligned, the buffer holds two. */
union control {
    struct cmsghdr header;
    char buffer[CMSG_SPACE(sizeof(int))];
};

static int send_text(int fd, const char *text, size_t size, int passed)
{
    struct iovec part = {.iov_base = (void *)text, .iov_len = size}; /* only read from */
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
    union control control = {0};

    if (passed >= 0) {
        packet.msg_control = &control;
        packet.msg_controllen = sizeof(control);
        *CMSG_FIRSTHDR(&packet) = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&packet)), &passed, sizeof(int));
    }
    return TEMP_FAILURE_RETRY(sendmsg(fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0 ? -errno : 0;
}

int weir__frame_send(int fd, json_t *message)
{
    return weir__frame_send_with(fd, message, -1);
}

int weir__frame_answer(int fd, json_t *reply)
{
    static const char none[] = "{\"error\":-12,\"message\":\"the manager has no memory\"}";
    int result = weir__frame_send(fd, reply);

    _Static_assert(ENOMEM == 12, "as it stands in the answer");
    return result == -ENOMEM ? send_text(fd, none, sizeof(none) - 1, -1) : result;
}

int weir__frame_send_with(int fd, json_t *message, int passed)
{
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    size_t size = text ? strlen(text) : 0;
    int error = size > WEIR__FRAME_MAX ? -EMSGSIZE : 0;

    json_decref(message);
    if (!text)
        return -ENOMEM;
    if (!error)
        error = send_text(fd, text, size, passed);
    free(text);
    return error;
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

/* 1, or a negative error. If the parser returns neither a value nor a message, it had no memory. */
static int parse_frame(const char *text, size_t size, json_t **message)
{
    json_error_t error = {.text = ""};
    bool some;

    if (!is_shallow(text, size))
        return -EBADMSG;
    *message = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(*message))
        return 1;
    some = *message != NULL;
    json_decref(*message);
    *message = NULL;
    return some || error.text[0] ? -EBADMSG : -ENOMEM;
}

/* Keeps one descriptor of those that came along. */
static void take_passed(struct msghdr *packet, int *passed)
{
    struct cmsghdr *header;

    for (header = CMSG_FIRSTHDR(packet); header; header = CMSG_NXTHDR(packet, header)) {
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            int one;

            memcpy(&one, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (*passed >= 0)
                close(*passed);
            *passed = one;
        }
    }
}

/* Without a buffer for them (`passed` is NULL) the kernel drops descriptors that come along. */
static ssize_t receive_packet(int fd, void *buf, size_t size, int flags, int *passed)
{
    struct iovec part = {.iov_base = buf, .iov_len = size};
    union control control;
    struct msghdr packet = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = passed ? &control : NULL,
                            .msg_controllen = passed ? sizeof(control) : 0};
    ssize_t n = TEMP_FAILURE_RETRY(recvmsg(fd, &packet, flags | MSG_CMSG_CLOEXEC));

    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    if (passed)
        take_passed(&packet, passed);
    return n;
}

int weir__frame_receive(int fd, json_t **message)
{
    return weir__frame_receive_with(fd, message, NULL);
}

int weir__frame_receive_with(int fd, json_t **message, int *passed)
{
    ssize_t size = receive_packet(fd, NULL, 0, MSG_PEEK | MSG_TRUNC, NULL);
    char *text;
    ssize_t n;

    if (passed)
        *passed = -1;
    if (size <= 0) /* an empty packet looks like the end, and weir never sends one */
        return (int)size;
    text = size > WEIR__FRAME_MAX ? NULL : malloc((size_t)size);
    if (!text) {
        receive_packet(fd, NULL, 0, 0, NULL);
        return size > WEIR__FRAME_MAX ? -EBADMSG : -ENOMEM;
    }
    n = receive_packet(fd, text, (size_t)size, 0, passed);
    if (n > 0)
        n = parse_frame(text, (size_t)n, message);
    free(text);
    return (int)n;
}

int weir__peer(int fd, struct ucred *peer)
{
    socklen_t size = sizeof(*peer);

    *peer = (struct ucred){.uid = (uid_t)-1};
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size) < 0 ? -errno : 0;
}
