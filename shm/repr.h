/* SPDX-License-Identifier: MIT
 *
 * repr.h: values and objects as Python's repr() writes them, to a stream.
 */
#ifndef WEIR_SHM_REPR_H
#define WEIR_SHM_REPR_H

#include <stdio.h>

#include "weir-shm.h"

/* What is not UTF-8 becomes \xNN, and what would command a terminal, too. */
void weir__repr_str(FILE *out, const char *text, size_t size);
void weir__repr_value(FILE *out, const weir_value *value);

/* The item at an address, which need not be aligned; a complex one's real part. An uint64 beyond
 * INT64_MAX is another number then. */
weir_value weir__item_value(const char *at, weir_dtype dtype);
void weir__repr_item(FILE *out, const char *at, weir_dtype dtype);

/* At most `most` items; INT64_MAX: all. 0, or -EBADMSG with the last error set: a damaged element
 * of a list is written as "?", and the list ends there unless it is to `go_on` (each such element
 * takes up to 20 ms); a damaged dictionary ends in any case. Or -ENOMEM. `separator`: between the
 * items of a dictionary. */
int weir__repr_list(FILE *out, const weir_list *list, int64_t most, bool go_on);
int weir__repr_dict(FILE *out, const weir_dict *dict, int64_t most, const char *separator);

/* With more items than `most` every long axis is cut short. */
void weir__repr_array(FILE *out, const weir_array *array, int64_t most);

#endif
