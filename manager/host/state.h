/* SPDX-License-Identifier: MIT
 *
 * state.h: a scope as one process sees it.
 */
#ifndef WEIR_MANAGER_HOST_STATE_H
#define WEIR_MANAGER_HOST_STATE_H

#include "manager/host/channel.h"
#include "manager/internal.h"
#include "manager/space/address_space.h"

/* Private to each process; a forked child has a copy at the same address. `lock` of the space
 * guards on_end and creators too. */
struct weir_scope {
    uint64_t id;
    bool connected; /* by weir_scope_connect(): neither space nor scope file, only the channel */
    pid_t beginner; /* the process that called weir_scope_begin(), or weir_scope_connect() */
    struct weir__descriptor file; /* holds the scope's lock as long as any process has it */
    struct weir__descriptor host_pidfd;
    struct weir__channel channel;
    struct weir__on_end *on_end;
    unsigned creators;  /* creations under way in this process: they share one record lock */
    pid_t creators_pid; /* whose count it is: a forked child starts from 0 */
    uint64_t maker;     /* this process's number in an anonymous scope, */
    pid_t maker_pid;    /* and whose it is: a forked child takes its own */
    struct weir_arena *_Atomic arena; /* the scope's own, once it is mapped in this process */
    struct weir__space space;
    struct weir_scope *next; /* in the registry */
    char lost[256];          /* the descriptors that the program had closed, for the message */
};

#endif
