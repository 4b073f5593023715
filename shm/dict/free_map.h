/* SPDX-License-Identifier: MIT
 *
 * dict/free_map.h: which granules of a dictionary's heap are free for anything.
 */
#ifndef WEIR_SHM_DICT_FREE_MAP_H
#define WEIR_SHM_DICT_FREE_MAP_H

#include "shm/dict/layout.h"

/* How far to look: a part of the map that is small at any size of the dictionary, or all of it. */
enum weir__free_map_effort { WEIR__MAP_NEAR, WEIR__MAP_ALL };

/* Makes granules that the caller is alone with free for anything. False: it is not alone with them,
 * as one is free already, so what led here was damaged. */
bool weir__free_map_give(const weir_dict *dict, uint32_t ref, uint64_t granules);
/* So many free granules in a row, which the caller is alone with from then on, or 0. `rover`: where
 * to look first, which is moved on. */
uint32_t weir__free_map_take(const weir_dict *dict, uint64_t granules, _Atomic uint64_t *rover,
                             enum weir__free_map_effort effort);

#endif
