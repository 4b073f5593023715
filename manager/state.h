/* SPDX-License-Identifier: MIT
 *
 * state.h: a scope as one process sees it.
 */
#ifndef WEIR_MANAGER_STATE_H
#define WEIR_MANAGER_STATE_H

#include "manager/address_space.h"
#include "manager/internal.h"
#include "manager/launch.h"

/* Private to each process; a forked child has a copy at the same address. `lock` of the space
 * guards on_end and creators too. */
struct weir_manager {
    uint64_t id;
    pid_t beginner;    /* the process that called weir_begin() */
    pid_t manager_pid; /* for messages; never used to signal or to judge */
    int socket;        /* to the manager; -1 in members */
    int scope_fd;      /* holds the scope's lock as long as any process has it */
    int host_pidfd;
    int manager_pidfd;
    int timeout_ms;
    struct weir__on_end *on_end;
    unsigned creators;  /* creations under way in this process: they share one record lock */
    pid_t creators_pid; /* whose count it is: a forked child starts from 0 */
    struct weir_arena *_Atomic arena; /* the scope's own, once it is mapped in this process */
    struct weir__space space;
    struct weir_manager *next; /* in the registry */
};

/* The scope if it is live in this process; NULL with -EINVAL as last error otherwise. `manager` is
 * only compared, not looked into. */
struct weir_manager *weir__manager_live(const weir_manager *manager);
/* The live scope that this handle belongs to, or NULL. */
struct weir_manager *weir__manager_of(const struct weir_shm *shm);

#endif
