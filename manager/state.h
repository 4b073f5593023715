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
#include "shm/clock.h"

/* Private to each process; a forked child has a copy at the same address. `lock` of the space
 * guards on_end and creators too. */
struct weir_scope {
    uint64_t id;
    bool connected;    /* by weir_scope_connect(): neither space nor scope file, only the socket */
    bool out_of_step;  /* a reply did not come in time: the next one would be taken for another's */
    pid_t beginner;    /* the process that called weir_scope_begin(), or weir_scope_connect() */
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
    struct weir_scope *next; /* in the registry */
};

/* ---- registry.c ----------------------------------------------------------------------------- */

/* The scope if it is live in this process; NULL with -EINVAL as last error otherwise. `scope` is
 * only compared, not looked into. */
struct weir_scope *weir__scope_live(const weir_scope *scope);
/* The same for a scope that was connected to; NULL, silently, for anything else. */
struct weir_scope *weir__scope_connected(const weir_scope *scope);
/* Either, or NULL with -EINVAL as last error. */
struct weir_scope *weir__scope_any(const weir_scope *scope);
/* The live scope that this handle belongs to, or NULL. */
struct weir_scope *weir__scope_of(const struct weir_shm *shm);
/* Whether a scope of this id is live here, which then is not swept. */
bool weir__scope_is_own(uint64_t id);

void weir__scope_register(struct weir_scope *scope);
/* True for the one caller that takes it off. */
bool weir__scope_unregister(const struct weir_scope *scope);
/* Frees what is off the list, but not at once. */
void weir__scope_bury(struct weir_scope *scope);

/* ---- manager.c ------------------------------------------------------------------------------ */

/* A new one with nothing in it, or NULL with the last error set. */
struct weir_scope *weir__scope_new(int timeout_ms);
/* Forgets it in this process. */
void weir__scope_drop(struct weir_scope *scope);

/* The manager's next message, within its timeout and before its deadline. NULL with the last error
 * set. */
json_t *weir__scope_receive(const struct weir_scope *scope);

/* ---- connect.c ------------------------------------------------------------------------------ */

/* Gives a block its name by the manager of a connected scope: `name`, or one that it chooses, which
 * is written to `given`. 0, or a negative error with the last error set. */
int weir__connected_name(struct weir_scope *scope, const struct weir__block *block,
                         const char *kind, const char *name, char given[WEIR_SHM_NAME_MAX + 1]);

/* Has the scope's manager listen as the options say. */
int weir__scope_listen(struct weir_scope *scope, const weir_scope_options *options);
int weir__check_listen_options(const weir_scope_options *options);

#endif
