/* SPDX-License-Identifier: MIT
 *
 * heap.c: the tool's private memory: a list of allocations.
 *
 * Invariant: each allocation is on the list of its heap until that is freed, also one that
 * tool_grow() has replaced, so that no pointer into a heap dangles before its end.
 */
#include "pool/tool/heap.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/tool/tool.h"

struct tool_chunk {
    _Alignas(max_align_t) struct tool_chunk *older;
};

static _Noreturn void end_without_memory(void)
{
    fputs("weir: out of memory\n", stderr);
    exit(TOOL_FAILED);
}

void *tool_take(struct tool_heap *heap, size_t count, size_t size)
{
    struct tool_chunk *chunk;

    if (size != 0 && count > (PTRDIFF_MAX - sizeof(*chunk)) / size)
        end_without_memory();
    chunk = calloc(1, sizeof(*chunk) + count * size);
    if (chunk == NULL)
        end_without_memory();
    chunk->older = heap->newest;
    heap->newest = chunk;
    return chunk + 1;
}

void *tool_grow(struct tool_heap *heap, void *array, size_t *capacity, size_t count, size_t size)
{
    const size_t old = *capacity;
    void *larger;

    if (count <= old)
        return array;
    *capacity = count < 16 ? 16 : count > SIZE_MAX / 2 ? count : 2 * count;
    larger = tool_take(heap, *capacity, size);
    if (old > 0)
        memcpy(larger, array, old * size);
    return larger;
}

char *tool_copy(struct tool_heap *heap, const char *text)
{
    return strcpy(tool_take(heap, strlen(text) + 1, 1), text);
}

char *tool_print_args(struct tool_heap *heap, const char *format, va_list args)
{
    char *printed = NULL, *text;

    if (vasprintf(&printed, format, args) < 0)
        end_without_memory();
    text = tool_copy(heap, printed);
    free(printed);
    return text;
}

char *tool_print(struct tool_heap *heap, const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    text = tool_print_args(heap, format, args);
    va_end(args);
    return text;
}

void tool_heap_free(struct tool_heap *heap)
{
    while (heap->newest != NULL) {
        struct tool_chunk *chunk = heap->newest;

        heap->newest = chunk->older;
        free(chunk);
    }
}
