/* SPDX-License-Identifier: MIT
 *
 * heap.h: the tool's private memory, freed all at once when a command is done with it.
 *
 * Without memory nothing can be shown: what cannot be had ends the program with status 2.
 */
#ifndef WEIR_TOOL_HEAP_H
#define WEIR_TOOL_HEAP_H

#include <stdarg.h>
#include <stddef.h>

struct tool_chunk;

struct tool_heap {
    struct tool_chunk *newest;
};

/* Zero bytes, aligned for anything, good until tool_heap_free(). */
void *tool_take(struct tool_heap *heap, size_t count, size_t size);
/* The array with a capacity of at least `count`, its new part zero. `*capacity` is of items. */
void *tool_grow(struct tool_heap *heap, void *array, size_t *capacity, size_t count, size_t size);
char *tool_copy(struct tool_heap *heap, const char *text);
char *tool_print(struct tool_heap *heap, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
char *tool_print_args(struct tool_heap *heap, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
void tool_heap_free(struct tool_heap *heap);

#endif
