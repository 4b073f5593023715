/* SPDX-License-Identifier: MIT
 *
 * state.h: a scope as one process sees it.
 */
#ifndef WEIR_MANAGER_STATE_H
#define WEIR_MANAGER_STATE_H

#include <jansson.h>

#include "manager/address_space.h"
#include "manager/internal.h"
#include "manager/launch.h"

/* Private to each process; a forked child has a copy at the same address. `lock` of the space
 * guards on_end and creators too. */
struct weir_manager {
    uint64_t id;
    bool connected;    /* by weir_connect(): neither space nor scope file, only the socket */
    bool out_of_step;  /* a reply did not come in time: the next one would be taken for another's */
    pid_t beginner;    /* the process that called weir_begin(), or weir_connect() */
    pid_t manager_pid; /* for messages; never used to signal or to judge */
    int socket;        /* to the manager; -1 in members */
    int scope_fd;      /* holds the scope's lock as long as any process has it */
    int host_pidfd;
    int manager_pidfd;
    int timeout_ms;                 /* for each answer, */
    int64_t deadline_ms;            /* and for all of them together; INT64_MAX: none */
    struct weir__private_lock talk; /* one request at a time on the socket */
    struct weir__on_end *on_end;
    unsigned creators;  /* creations under way in this process: they share one record lock */
    pid_t creators_pid; /* whose count it is: a forked child starts from 0 */
    uint64_t maker;     /* this process's number in an anonymous scope, */
    pid_t maker_pid;    /* and whose it is: a forked child takes its own */
    struct weir_arena *_Atomic arena; /* the scope's own, once it is mapped in this process */
    struct weir__space space;
    struct weir_manager *next; /* in the registry */
};

/* ---- registry.c ----------------------------------------------------------------------------- */

/* The scope if it is live in this process; NULL with -EINVAL as last error otherwise. `manager` is
 * only compared, not looked into. */
struct weir_manager *weir__manager_live(const weir_manager *manager);
/* The same for a scope that was connected to; NULL, silently, for anything else. */
struct weir_manager *weir__manager_connected(const weir_manager *manager);
/* Either, or NULL with -EINVAL as last error. */
struct weir_manager *weir__manager_any(const weir_manager *manager);
/* The live scope that this handle belongs to, or NULL. */
struct weir_manager *weir__manager_of(const struct weir_shm *shm);
/* Whether a scope of this id is live here, which then is not swept. */
bool weir__manager_is_own(uint64_t id);

void weir__manager_register(struct weir_manager *manager);
/* True for the one caller that takes it off. */
bool weir__manager_unregister(const struct weir_manager *manager);
/* Frees what is off the list, but not at once. */
void weir__manager_bury(struct weir_manager *manager);

/* ---- manager.c ------------------------------------------------------------------------------ */

/* A new one with nothing in it, or NULL with the last error set. */
struct weir_manager *weir__manager_new(int timeout_ms);
/* Forgets it in this process. */
void weir__manager_release(struct weir_manager *manager);

/* CLOCK_MONOTONIC. */
int64_t weir__manager_now_ms(void);
/* The manager's next message, within its timeout and before its deadline. NULL with the last error
 * set. */
json_t *weir__manager_receive(const struct weir_manager *manager);

/* ---- connect.c ------------------------------------------------------------------------------ */

/* Gives a block its name by the manager of a connected scope: `name`, or one that it chooses, which
 * is written to `given`. 0, or a negative error with the last error set. */
int weir__connected_name(struct weir_manager *manager, const struct weir__block *block,
                         const char *kind, const char *name, char given[WEIR_SHM_NAME_MAX + 1]);

/* Has the scope's manager listen as the options say. */
int weir__manager_listen(struct weir_manager *manager, const weir_options *options);
int weir__check_listen_options(const weir_options *options);

#endif
