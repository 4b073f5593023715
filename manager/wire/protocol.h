/* SPDX-License-Identifier: MIT
 *
 * protocol.h: messages between a program and a manager: JSON objects, one a packet.
 */
#ifndef WEIR_MANAGER_WIRE_PROTOCOL_H
#define WEIR_MANAGER_WIRE_PROTOCOL_H

#include <jansson.h>
#include <sys/socket.h>

#define WEIR__FRAME_MAX   65536
#define WEIR__FRAME_DEPTH 16

/* The descriptors that the manager program is started with. */
#define WEIR__MANAGER_SOCKET 3 /* to the program: SOCK_SEQPACKET */
#define WEIR__MANAGER_SCOPE  4 /* the scope file, which holds the scope's lock */
#define WEIR__MANAGER_HOST   5 /* a pidfd of the program */
#define WEIR__MANAGER_STORE  6 /* of an anonymous scope: the memfd with all its blocks */
#define WEIR__MANAGER_FIRST  3
#define WEIR__MANAGER_COUNT  4

/* Sends an object and drops the reference. 0 or a negative errno (the last error is not set). Never
 * raises SIGPIPE. */
int weir__frame_send(int fd, json_t *message);
/* The same for the answer to a request: where there is no memory for it (`reply` may be NULL then)
 * an error says so, so that the other side does not wait in vain. */
int weir__frame_answer(int fd, json_t *reply);

/* Receives one object. 1: *message is the caller's; 0: the other side is gone; -EAGAIN: nothing
 * there (on a non-blocking socket); -EBADMSG: not a frame, and it was dropped; -ENOMEM: no memory
 * for it, it was dropped too; or another error. */
int weir__frame_receive(int fd, json_t **message);

/* The same with a descriptor. Sending: `passed` (-1: none) stays the caller's. Receiving: *passed
 * is the caller's to close, also when the frame is refused, or -1; of several, one is kept. */
int weir__frame_send_with(int fd, json_t *message, int passed);
int weir__frame_receive_with(int fd, json_t **message, int *passed);

/* The process at the other end, as the kernel knows it: the one that called connect(2) or
 * socketpair(2). 0 or a negative errno; then *peer is no user and no process. */
int weir__peer(int fd, struct ucred *peer);

#endif
