/* SPDX-License-Identifier: MIT
 *
 * channel.h: a program's connection to a manager, and waiting for what the manager says or does.
 */
#ifndef WEIR_MANAGER_HOST_CHANNEL_H
#define WEIR_MANAGER_HOST_CHANNEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "manager/space/descriptor.h"
#include "manager/space/private_lock.h"
#include "shm/clock.h"

/* Private to each process; a forked child has a copy. */
struct weir__channel {
    struct weir__descriptor socket; /* none in a process that may not use it */
    /* None: there are no pidfds here, or another program began the scope. */
    struct weir__descriptor manager_pidfd;
    pid_t manager_pid; /* for messages; never used to signal or to judge */
    bool out_of_step;  /* a reply did not come in time: the next one would be taken for another's */
    int timeout_ms;    /* for each answer, */
    int64_t deadline_ms;              /* and for all of them together; INT64_MAX: none */
    struct weir__private_lock asking; /* one request at a time on the socket */
};

/* Nothing is open yet. */
void weir__channel_init(struct weir__channel *channel, int timeout_ms);

/* 0; or -EBADF, with the last error set: the program has closed the connection. */
int weir__channel_check(const struct weir__channel *channel);

/* The manager's next message, within its timeout and before its deadline. NULL with the last error
 * set. */
json_t *weir__channel_receive(const struct weir__channel *channel);

/* Waits until the manager is gone, which its pidfd says, or the end of the socket where there is
 * no pidfd. False: not in time. */
bool weir__channel_wait_gone(struct weir__channel *channel, int timeout_ms);

/* Kills the manager, if there is a pidfd of it, and waits a little until it is gone. */
void weir__channel_kill_manager(struct weir__channel *channel);

/* 1: readable or hung up; 0: not before the deadline (of weir__now_ms()); or a negative errno. */
int weir__wait_readable(int fd, int64_t deadline_ms);

#endif
