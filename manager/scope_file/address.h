/* SPDX-License-Identifier: MIT
 *
 * address.h: the path at which a manager listens: its owner, and removing it again.
 */
#ifndef WEIR_MANAGER_SCOPE_FILE_ADDRESS_H
#define WEIR_MANAGER_SCOPE_FILE_ADDRESS_H

#include <stdint.h>
#include <sys/un.h>

/* The capacity of the kernel's address, without the NUL. */
#define WEIR__ADDRESS_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* An absolute path that fits and that a record can hold. 0, or -EINVAL or -ENAMETOOLONG with a
 * message. */
int weir__address_check(const char *address);

/* Listens at the address for scope `id`. Only in the manager program: it changes folder and umask
 * meanwhile. The scope's record of the address must be written before. Returns the socket
 * (non-blocking), or a negative error with the last error set and no name left. */
int weir__address_listen(const char *address, uint64_t id);

/* Removes what scope `id` put there, and nothing else. 0 also when nothing is there; or a negative
 * error. */
int weir__address_remove(const char *address, uint64_t id);

#endif
