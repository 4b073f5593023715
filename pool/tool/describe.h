/* SPDX-License-Identifier: MIT
 *
 * describe.h: scopes, pools and blocks as tables and as JSON, the same in each command.
 */
#ifndef WEIR_TOOL_DESCRIBE_H
#define WEIR_TOOL_DESCRIBE_H

#include "pool/tool/pools.h"
#include "pool/tool/scopes.h"
#include "pool/tool/text.h"

/* "float64[3,4]", "3 items", "-". */
const char *tool_block_shape(struct tool_heap *heap, const struct tool_block *block);
/* What a job is called: its name, or its kind and the place of its record. */
const char *tool_job_label(struct tool_heap *heap, const struct tool_job *job);
/* "[0,64)" */
const char *tool_range(struct tool_heap *heap, weir_range range);

/* The text, or null. */
json_t *tool_json_text(const char *text);
/* Nanoseconds, or null if they are negative: not known. */
json_t *tool_json_duration(int64_t ns);
json_t *tool_scope_json(struct tool_heap *heap, const struct tool_scope *scope);
json_t *tool_pool_json(struct tool_heap *heap, const struct tool_pool *pool);

#endif
