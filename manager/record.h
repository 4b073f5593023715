/* SPDX-License-Identifier: MIT
 *
 * record.h: the text of a scope file's record, taken apart without any memory.
 */
#ifndef WEIR_MANAGER_RECORD_H
#define WEIR_MANAGER_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "manager/scope.h"

/* What stands in a record. What does not is "" or 0. */
struct weir__fields {
    char name[WEIR__RECORD_SIZE], kind[WEIR__RECORD_SIZE], address[WEIR__RECORD_SIZE];
    int64_t ino, size, pid, named;
};

/* True when it is a record: a JSON object of strings without escapes and of integers, no key twice,
 * blanks around it. Keys that are not known are passed over. */
bool weir__record_parse(const char text[WEIR__RECORD_SIZE], struct weir__fields *fields);

#endif
