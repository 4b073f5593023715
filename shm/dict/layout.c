/* SPDX-License-Identifier: MIT
 *
 * layout.c: what a damaged dictionary is answered with.
 *
 * Every file of a dictionary can meet damage, so the answer stands below all of them.
 */
#include "shm/dict/layout.h"

#include <errno.h>

#include "shm/error.h"

int weir__dict_damaged(const weir_dict *dict, const char *how)
{
    return weir__fail(-EBADMSG, "dictionary \"%s\" is damaged: %s", dict->shm->name, how);
}
