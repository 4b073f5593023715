/* SPDX-License-Identifier: MIT
 *
 * scopes.h: the scopes of this machine and their blocks, as their files say.
 */
#ifndef WEIR_TOOL_SCOPES_H
#define WEIR_TOOL_SCOPES_H

#include <stdint.h>

#include "manager/scope_file/scope_file.h"
#include "pool/tool/processes.h"

enum tool_state {
    TOOL_LIVE,
    TOOL_CLOSING, /* closed for creations, and still locked */
    TOOL_DEAD,    /* no process has it any more */
    TOOL_DAMAGED, /* its file does not begin as a scope file does */
    TOOL_FOREIGN, /* another user's, of which only name and size can be seen */
};

struct tool_block {
    char *name;        /* escaped */
    const char *kind;  /* escaped */
    const char *dtype; /* of an array, or NULL */
    int ndim;          /* of an array */
    const int64_t *shape;
    int64_t count;           /* of a list or, about, a dictionary; -1: not known */
    uint64_t size, resident; /* of a block without a name: UINT64_MAX, not known */
    ino_t ino;
    int maker;
    bool named; /* a name of the user's choice */
    size_t users;
};

struct tool_scope {
    uint64_t id;
    enum tool_state state;
    bool certain;   /* the state is; else another pid namespace may have the scope */
    bool anonymous; /* its file and its blocks have no names */
    dev_t dev;
    ino_t ino;
    uid_t uid;
    int pid;              /* of the host here; 0: gone, -1: not known */
    const char *command;  /* of it, or NULL */
    const char *address;  /* escaped, or NULL */
    int64_t began;        /* seconds since 1970 */
    const pid_t *members; /* that have its lock */
    size_t members_count;
    struct tool_block *blocks;
    size_t blocks_count, blocks_capacity;
    uint64_t size, resident; /* of all, with the scope file */
};

struct tool_scopes {
    struct tool_scope *items; /* by state, then by age */
    size_t count, capacity;
};

const char *tool_state_name(enum tool_state state);

/* Opens what may be a block, to read it: without waiting, and without a change of its time of
 * access, which only the owner may ask for. -1: errno. */
int tool_open_to_read(int dir, const char *name);

/* By its 16 digits, or by the number of one of its processes; NULL: there is none. */
const struct tool_scope *tool_scope_find(const struct tool_scopes *scopes, const char *what);

void tool_scopes_read(struct tool_scopes *scopes, const struct tool_processes *processes);

#endif
