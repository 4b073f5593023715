/* SPDX-License-Identifier: MIT
 *
 * hello.h: the messages of a lifeline; the first is that of a process that the host has forked.
 */
#ifndef WEIR_HELLO_H
#define WEIR_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the process tells over its lifeline when it is ready, or that it could not become so. */
struct weir__hello {
    int32_t pid;
    int32_t code; /* 0, or a negative error that `message` explains */
    char message[248];
};

/* Sends one message over the lifeline, a hello or a ring, without waiting. False: it cannot be sent
 * (errno; EAGAIN: too much is there that has not been read). Signal-safe. */
bool weir__lifeline_send(int lifeline, const void *message, size_t size);

#endif
