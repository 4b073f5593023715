/* SPDX-License-Identifier: MIT
 *
 * key_file.h: a scope's key that lies in a file.
 */
#ifndef WEIR_MANAGER_HOST_KEY_FILE_H
#define WEIR_MANAGER_HOST_KEY_FILE_H

#include "manager/wire/auth.h"

/* Reads the key: all bytes of the file, which must be this user's and nobody else's to open. 0, or
 * a negative error with a message: -EPERM (others may open it, or it is another user's), -EINVAL
 * (it is empty, longer than a key may be, or no regular file), or that of open() or read(). */
int weir__key_file_read(const char *path, struct weir__auth_key *key);

#endif
