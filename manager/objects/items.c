/* SPDX-License-Identifier: MIT
 *
 * items.c: arrays with one axis, as pointers to their items.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "manager/host/registry.h"
#include "manager/host/state.h"
#include "manager/scope_file/scope_file.h"
#include "shm/error.h"

void *weir_scope_items(weir_scope *scope, weir_dtype dtype, size_t count)
{
    const int64_t length = count <= INT64_MAX ? (int64_t)count : INT64_MAX;
    weir_array *array;

    if (!weir__scope_live(scope))
        return NULL;
    array = weir_scope_array(scope, dtype, 1, &length, 0);
    return array ? weir_array_data(array) : NULL;
}

/* Whether the object of this entry is an array, by the scope's record of it. */
static bool is_array(const struct weir_scope *scope, size_t index)
{
    struct weir__block_record record;
    size_t next = index;

    return weir__descriptor_is_own(&scope->file) &&
           weir__scope_file_read(scope->file.fd, scope->id, &next, NULL, &record) == 1 &&
           next == index + 1 && strcmp(record.kind, "array") == 0;
}

static bool has_item(const struct weir_array *array, uintptr_t address)
{
    const uintptr_t first = (uintptr_t)weir_array_data(array);
    const uint64_t size = (uint64_t)weir_array_len(array) * weir_array_item_size(array);

    return address == first || (address > first && address - first < size);
}

weir_array *weir_scope_array_at(weir_scope *scope, const void *item)
{
    struct weir_scope *live = weir__scope_live(scope);
    const uintptr_t address = (uintptr_t)item;
    struct weir__table *table;
    uint64_t used;

    if (!live)
        return NULL;
    if (!item)
        return weir__fail_null(-EINVAL, "the item is NULL");
    table = live->space.table;
    used = atomic_load_explicit(&table->next_entry, memory_order_relaxed);
    for (size_t i = 0; i < used && i < WEIR__ENTRIES; i++) {
        struct weir__entry *entry = &table->entries[i];

        if (address < entry->address || address - entry->address >= entry->span ||
            !weir__space_is_mapped(&live->space, entry))
            continue;
        if (is_array(live, i) && has_item(&entry->array, address))
            return &entry->array;
        break;
    }
    return weir__fail_null(-ENOENT, "no array of the scope has an item at %p", item);
}
