/* SPDX-License-Identifier: MIT
 *
 * hello.h: the first message of a process that the host has forked.
 */
#ifndef WEIR_HELLO_H
#define WEIR_HELLO_H

#include <stdbool.h>
#include <stdint.h>

/* What the process tells over its lifeline when it is ready, or that it could not become so. */
struct weir__hello {
    int32_t pid;
    int32_t code; /* 0, or a negative error that `message` explains */
    char message[248];
};

/* Says hello, once. False: the host cannot be told, and the process has to end. Signal-safe. */
bool weir__say_hello(int lifeline, const struct weir__hello *hello);

#endif
