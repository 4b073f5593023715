/* SPDX-License-Identifier: MIT
 *
 * argument.c: what a task's argument points to in the program (WEIR_DEBUG).
 *
 * A pointer says nothing of the size of what it points to. Found out is
 *
 *  - static memory: from the symbols of the file (a variable's name and size);
 *  - malloc()'s: from the size that glibc has in front of a block, if that and the size of the next
 *    block make sense;
 *  - the stack: whether the variable is younger than the pool, as it is when it lies where only
 *    weir_pool_new() had its frame. Its size is not known, as with all
 *    other memory: then only its first bytes are compared, so that a neighbour that has changed is
 *    not taken for a part of it.
 *
 * Nothing is said of what may be no pointer, of a FILE (its buffer changes, and it may be used all
 * the same) and of the scope's own handle.
 */
#include "pool/host/argument.h"

#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/control/maps.h"
#include "pool/control/symbol.h"
#include "shm/error.h"

#ifndef WEIR_DEBUG_DEFAULT
#define WEIR_DEBUG_DEFAULT 0
#endif

#define WATCH_STACK 256
#define FILE_MAGIC  UINT32_C(0xfbad0000) /* glibc's, in the first four bytes */

bool weir__debug_wanted(void)
{
    const char *debug = getenv("WEIR_DEBUG");

    return debug == NULL || debug[0] == '\0' ? WEIR_DEBUG_DEFAULT : strcmp(debug, "0") != 0;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

struct module {
    uintptr_t address, in_file;
    char file[WEIR__MAPPED_FILE];
};

static int find_module(struct dl_phdr_info *info, size_t size, void *context)
{
    struct module *module = context;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];

        if (part->p_type != PT_LOAD ||
            module->address - info->dlpi_addr - part->p_vaddr >= part->p_memsz)
            continue;
        module->in_file = module->address - info->dlpi_addr;
        snprintf(module->file, sizeof(module->file), "%s",
                 info->dlpi_name[0] != '\0' ? info->dlpi_name : "/proc/self/exe");
        return 1;
    }
    return 0;
}

/* A variable of the program or of a library. */
static bool is_static(uintptr_t arg, struct weir__argument *out)
{
    struct module module = {.address = arg};
    struct weir__symbol symbol;
    size_t size;

    if (dl_iterate_phdr(find_module, &module) == 0)
        return false;
    snprintf(out->what, sizeof(out->what), "static memory");
    if (!weir__symbol_variable(module.file, module.in_file, &symbol))
        return true;
    size = symbol.size - symbol.offset;
    snprintf(out->what, sizeof(out->what), "`%.40s`, %zu bytes of static memory", symbol.name,
             (size_t)symbol.size);
    out->size = (uint32_t)(size < WEIR__ARGUMENT_LOOK_MAX ? size : WEIR__ARGUMENT_LOOK_MAX);
    return true;
}

/* The size in glibc's header of the block at `address`; 0: it cannot be one. */
static size_t chunk_at(const struct weir__mapped *mapped, uintptr_t address, size_t *flags)
{
    size_t header;

    if (address < mapped->start || mapped->end - address < 2 * sizeof(header) ||
        weir__argument_read((const void *)(address + sizeof(header)), &header, sizeof(header)) < 0)
        return 0;
    *flags = header & 7;
    header &= ~(size_t)7;
    return header % (2 * sizeof(header)) == 0 && header >= 2 * sizeof(header) &&
                   header <= mapped->end - address
               ? header
               : 0;
}

/* Bytes that malloc() has given out at `arg`; 0: it does not look like that. */
static size_t heap_size(const struct weir__mapped *mapped, uintptr_t arg)
{
    const size_t header = 2 * sizeof(size_t);
    size_t size, flags, next_flags;

    if (arg % header != 0 || arg < header || mapped->file[0] != '\0')
        return 0;
    size = chunk_at(mapped, arg - header, &flags);
    if (size < 2 * header)
        return 0;
    if (flags & 2) /* mapped for itself */
        return (arg - header) % 4096 == 0 && size % 4096 == 0 ? size - header : 0;
    if (chunk_at(mapped, arg - header + size, &next_flags) == 0 || !(next_flags & 1))
        return 0; /* the next one would say that this one is in use */
    return size - sizeof(size_t);
}

/* ---- the argument --------------------------------------------------------------------------- */

static bool contains(const struct weir__mapped *mapped, uintptr_t address)
{
    return address >= mapped->start && address < mapped->end;
}

static void describe_private(const weir_pool *pool, const struct weir__mapped *mapped,
                             uintptr_t arg, struct weir__argument *out)
{
    size_t size;

    if (contains(mapped, pool->stack_at) ||
        contains(mapped, (uintptr_t)__builtin_frame_address(0))) {
        snprintf(out->what, sizeof(out->what), "a variable on the stack");
        out->watch = contains(mapped, pool->stack_at) ? WATCH_STACK : out->bytes;
        if (out->watch > mapped->end - arg)
            out->watch = (uint32_t)(mapped->end - arg);
        return;
    }
    if (!is_static(arg, out)) {
        size = heap_size(mapped, arg);
        snprintf(out->what, sizeof(out->what), "private memory");
        if (size > 0)
            snprintf(out->what, sizeof(out->what), "%zu bytes of malloc()", size);
        out->size = (uint32_t)(size < WEIR__ARGUMENT_LOOK_MAX ? size : WEIR__ARGUMENT_LOOK_MAX);
    }
    out->watch = out->size > 0 ? out->size : out->bytes;
}

int weir__argument_examine(const weir_pool *pool, const struct weir__job_spec *spec,
                           struct weir__argument *out, bool *checked)
{
    const uintptr_t arg = (uintptr_t)spec->arg;
    struct weir__mapped mapped;

    *checked = false;
    *out = (struct weir__argument){0};
    if (arg == 0 || spec->arg_size > 0 || spec->arg == pool->scope ||
        weir__scope_has_address(pool->scope, spec->arg, 1) || !weir__mapped_at(arg, &mapped))
        return 0;
    out->bytes = arg % 8 == 0 ? 8 : arg % 4 == 0 ? 4 : 1;
    out->shared = mapped.shared;
    out->inode = mapped.inode;
    out->place = mapped.offset + (arg - mapped.start);
    if (weir__argument_read(spec->arg, &out->first, out->bytes) < 0)
        return 0;
    if (!mapped.shared) {
        if (contains(&mapped, pool->stack_at) && arg < pool->stack_at)
            return weir__fail(-EINVAL,
                              "`arg` points to a variable on the stack that is younger than the "
                              "pool: workers do not have it. Have it copied (arg_size), or put it "
                              "into the scope (weir_scope_alloc())");
        if (((uint32_t)out->first & UINT32_C(0xffff0000)) == FILE_MAGIC)
            return 0;
        describe_private(pool, &mapped, arg, out);
        if (out->size > 0 && weir__argument_hash(spec->arg, out->size, &out->hash) < 0)
            return 0;
    }
    *checked = true;
    return 0;
}

int weir__argument_check_shared(const char *what, const void *array)
{
    struct weir__mapped mapped;

    if (array == NULL || !weir__mapped_at((uintptr_t)array, &mapped) || mapped.shared)
        return 0;
    return weir__fail(
        -EINVAL,
        "%s is private memory, though the option `shared` says that workers share it: "
        "leave the option out to have the array copied, or put it into the scope",
        what);
}
