/* SPDX-License-Identifier: MIT
 *
 * scope_file.h: the scope file, which holds everything that must survive a kill.
 *
 * /dev/shm/weir-<id>.scope holds records of 256 bytes. Record 0 is the header; record i + 1 belongs
 * to entry i of the scope's table. A scope is alive while a process has the file's one open
 * description, which is locked (flock) and which the manager, the supervisor and all workers
 * inherit.
 */
#ifndef WEIR_MANAGER_SCOPE_FILE_H
#define WEIR_MANAGER_SCOPE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "manager/scope_file/record.h"

#define WEIR__SCOPE_FILE_NAME_SIZE 32 /* "weir-<16 hex>.scope" and the NUL */
#define WEIR__BLOCK_NAME_SIZE      40 /* "weir-<16 hex>-<16 hex>" and the NUL */

/* Records behind those of the table's entries; only the manager writes them. */
#define WEIR__RECORD_ADDRESS    ((size_t)65536) /* where the manager listens */
#define WEIR__RECORD_CLIENTS    ((size_t)65537) /* from here on: made by clients, or tracked */
#define WEIR__CLIENT_BLOCKS_MAX ((size_t)65536)

/* A block's record, as read. */
struct weir__block_record {
    char name[WEIR__RECORD_SIZE];
    char kind[16];
    uint64_t ino, size;
    int pid; /* of the process that made it, or had it tracked */
};

/* The result of a cleaning. */
struct weir__cleaning {
    unsigned unlinked;  /* names removed */
    unsigned gone;      /* records whose name was gone or had become another file's */
    unsigned malformed; /* records that are not valid, skipped */
    bool complete;      /* the scope file has no name any more */
};

/* What the header says. */
struct weir__scope_header {
    bool closed; /* for creations: the scope ends, or is being cleaned */
    int pid;     /* of the program that began the scope, as in its pid namespace */
};

void weir__scope_file_name(char name[WEIR__SCOPE_FILE_NAME_SIZE], uint64_t id);
/* True when it is such a name; then *id is the scope's. */
bool weir__scope_file_parse_name(const char *name, uint64_t *id);
/* The name of the scope's block number `serial`. */
void weir__scope_file_block_name(char name[WEIR__BLOCK_NAME_SIZE], uint64_t id, uint64_t serial);

/* Makes the file without a name, locked, its header written. Returns the descriptor, or a negative
 * error with the last error set. */
int weir__scope_file_make(uint64_t *id);
/* The same for an anonymous scope: a memfd, which never gets a name, and whose records are of
 * blocks without one. */
int weir__scope_file_make_anonymous(uint64_t *id);
/* Gives it its name. */
int weir__scope_file_link(int fd, uint64_t id);
/* Opens the scope's file by its name, if that still is this file. Returns the descriptor, or a
 * negative errno, -ENOENT: it has no name any more. Silent. */
int weir__scope_file_reopen(uint64_t id, uint64_t device, uint64_t inode);

/* A creation is what happens between begin and end, in which a record is written and the block gets
 * its name. It holds a record lock that the kernel takes back if this process is killed, so that a
 * cleaner can wait for those that are under way. -ESTALE (with a message) when the scope has been
 * closed. The lock belongs to the process: its threads must count their creations, and the last one
 * ends, after a begin that failed too. */
int weir__scope_file_creation_begin(int fd);
void weir__scope_file_creation_end(int fd);
/* -ESTALE (with a message) when the scope has been closed. */
int weir__scope_file_check_open(int fd);

/* For an anonymous scope, in which a killed maker leaves no name but memory: holds a record lock in
 * the name of `number`, which must be this process's alone, as long as the process lives. 0 or a
 * negative errno. */
int weir__scope_file_maker_begin(int fd, uint64_t number);
/* True when another process had that number, and is dead. */
bool weir__scope_file_maker_is_dead(int fd, uint64_t number);

/* The record of table entry `entry`. Only the entry's owner may call these. */
int weir__scope_file_is_blank(int fd, size_t entry); /* 1, 0, or a negative error */
/* 0, or a negative error with the last error set. The record of a user's name says that it is
 * one. */
int weir__scope_file_note(int fd, size_t entry, const struct weir__block_record *record);
int weir__scope_file_blank(int fd, size_t entry);

/* 0, or with a message -EINVAL or -ENAMETOOLONG: a user's name that a scope may have. Those that
 * begin with "weir-" are kept for names that weir chooses. */
int weir__scope_file_check_name(const char *name);

/* The address at which the scope's manager listens. Returns as weir__scope_file_note(). */
int weir__scope_file_note_address(int fd, const char *address);

/* Reads the first block's record from entry *entry on (`name` not NULL: of that name), and moves
 * *entry to the one behind it, looking at 1,024 records at most. 1: found; 0: none among them;
 * -ENOENT: there are no more; or a negative errno. */
int weir__scope_file_read(int fd, uint64_t id, size_t *entry, const char *name,
                          struct weir__block_record *record);

/* Reads the header. 0; -EBADMSG: it is not one of scope `id`; or a negative errno. */
int weir__scope_file_read_header(int fd, uint64_t id, struct weir__scope_header *header);
/* Reads where the scope's manager listens. 1; 0: nowhere; or a negative errno. */
int weir__scope_file_read_address(int fd, char address[WEIR__RECORD_SIZE]);

/* Closes the scope for creations and unlinks every recorded name that still is the recorded inode;
 * then the scope file itself. Waits at most `wait_ms` for creations under way; if there still are
 * any after that, or a name could not be removed, the scope file keeps its name, so that the next
 * sweep goes on. May be called by any number of processes at once, and again. Returns 0, or the
 * first error (last error set). `cleaning` may be NULL. */
int weir__scope_file_unlink_all(int fd, uint64_t id, int wait_ms, struct weir__cleaning *cleaning);

/* True when the scope is closed and its file has no name: all is clean. */
bool weir__scope_file_is_clean(int fd);

/* Cleans the scope, whose file is in the open folder `dir`, if it is this user's and no process of
 * it lives. 1: nothing of it is left; 0: it lives, is another user's, or is gone already; or a
 * negative error: the next sweep goes on. `cleaning` may be NULL. */
int weir__scope_file_sweep_one(int dir, uint64_t id, struct weir__cleaning *cleaning);

/* Cleans every scope of this user that has no live process. `skip` says which scopes are this
 * process's own. Returns the number of scopes cleaned. Errors of one scope leave it to the next
 * sweep. */
int weir__scope_file_sweep(bool (*skip)(uint64_t id));

#endif
