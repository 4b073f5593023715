/* SPDX-License-Identifier: MIT
 *
 * dict/scout.h: bringing near what several keys lead to, before they are looked for.
 */
#ifndef WEIR_SHM_DICT_SCOUT_H
#define WEIR_SHM_DICT_SCOUT_H

#include "shm/dict/layout.h"

/* So many keys are on their way at once: enough to wait for all of them as long as for one. */
#define WEIR__DICT_SCOUTS 32u

/* Brings near what the calls for these keys will read; at most WEIR__DICT_SCOUTS of them. Nothing
 * depends on it, and it changes nothing. */
void weir__dict_scout(const weir_dict *dict, const weir_value *keys, size_t count);

#endif
