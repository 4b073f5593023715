/* SPDX-License-Identifier: MIT
 *
 * attach.c: objects of a scope, by name, for programs that have connected to it.
 *
 * The manager says which block has the name, and the block is attached by that name and inode. So
 * another block that has got the name meanwhile, or that never was the scope's, is not taken for
 * it. Neither the manager nor the block is trusted further: a reply about another name or size is
 * refused, and what the block holds is checked as for any stand-alone object.
 *
 * Failure modes: those of asking and of attaching; nothing is left then.
 */
#include <errno.h>
#include <string.h>
#include <weir-scope.h>

#include "shm/array/array.h"
#include "shm/dict/block.h"
#include "shm/error.h"
#include "shm/list/list.h"

weir_shm *weir_scope_attach_shm(weir_scope *scope, const char *name)
{
    weir_block_info info;
    weir_shm *shm;

    if (weir_scope_lookup(scope, name, &info) < 0)
        return NULL;
    if (strcmp(info.name, name) != 0)
        return weir__fail_null(-EPROTO, "the manager was asked for \"%s\", and answered \"%s\"",
                               name, info.name);
    shm = weir__shm_attach_inode(name, info.ino);
    if (!shm || shm->size == info.size)
        return shm;
    weir__fail(-EBADMSG, "block \"%s\" has %zu bytes, not %zu as the manager says", name, shm->size,
               info.size);
    weir_shm_close(shm);
    return NULL;
}

weir_list *weir_scope_attach_list(weir_scope *scope, const char *name)
{
    return weir__object_of(&weir__list_kind, weir_scope_attach_shm(scope, name), NULL);
}

weir_array *weir_scope_attach_array(weir_scope *scope, const char *name)
{
    return weir__object_of(&weir__array_kind, weir_scope_attach_shm(scope, name), NULL);
}

weir_dict *weir_scope_attach_dict(weir_scope *scope, const char *name)
{
    return weir__object_of(&weir__dict_kind, weir_scope_attach_shm(scope, name), NULL);
}
