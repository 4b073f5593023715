/* SPDX-License-Identifier: MIT
 *
 * unmapped.h: an object of a scope that a process could not map.
 */
#ifndef WEIR_MANAGER_SPACE_UNMAPPED_H
#define WEIR_MANAGER_SPACE_UNMAPPED_H

#include <stdint.h>

struct weir__unmapped {
    int32_t error; /* why: a negative errno; 0: no object is missing */
    uint32_t entry;
};

#endif
