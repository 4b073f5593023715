/* SPDX-License-Identifier: MIT
 *
 * contents.h: what is in a block of shared memory.
 */
#ifndef WEIR_TOOL_CONTENTS_H
#define WEIR_TOOL_CONTENTS_H

#include "pool/tool/scopes.h"

/* Whether /dev/shm has a file of that name. */
bool tool_contents_exist(const char *name);

/* What to show. */
struct tool_contents_options {
    const char *kind; /* "list", "array", "dict" or "bytes"; NULL: as it seems */
    bool all;         /* items, and not the first ones */
    bool json;
};

/* Whether there is such a kind. */
bool tool_contents_kind(const char *kind);

/* Writes what the block holds. An exit status. */
int tool_contents_show(struct tool_heap *heap, const struct tool_scopes *scopes, const char *name,
                       const struct tool_contents_options *options);

#endif
