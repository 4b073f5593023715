/* SPDX-License-Identifier: MIT
 *
 * record.h: the text of a scope file's record, taken apart without any memory.
 */
#ifndef WEIR_MANAGER_SCOPE_FILE_RECORD_H
#define WEIR_MANAGER_SCOPE_FILE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR__RECORD_SIZE 256 /* divides the page size, so that no record is torn */

/* The members of a record. Those that it does not have are "" or 0. */
struct weir__record_fields {
    char name[WEIR__RECORD_SIZE], kind[WEIR__RECORD_SIZE], address[WEIR__RECORD_SIZE];
    int64_t ino, size, pid, named;
};

/* True when it is a record: a JSON object of strings without escapes and of integers, no key twice,
 * blanks around it. Unknown keys are skipped. */
bool weir__scope_file_parse_record(const char text[WEIR__RECORD_SIZE],
                                   struct weir__record_fields *fields);

/* True when a record holds the string without escapes: UTF-8, with no quote, backslash or control
 * character in it. */
bool weir__scope_file_is_plain(const char *string);

#endif
