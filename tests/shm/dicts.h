/* SPDX-License-Identifier: MIT
 *
 * dicts.h: what the tests of a dictionary's calls share.
 */
#ifndef TEST_SHM_DICTS_H
#define TEST_SHM_DICTS_H

#include "leak.h"

#include "shm/dict/layout.h"

static inline weir_dict *make(size_t max_size)
{
    weir_dict *dict = weir_dict_create(leak_name("dict"), &(weir_dict_options){max_size, {0}});

    if (dict == NULL)
        fail_msg("%s", weir_last_error()->message);
    return dict;
}

static inline void drop(weir_dict *dict)
{
    assert_int_equal(weir_shm_unlink(weir_dict_shm(dict)), 0);
    weir_dict_close(dict);
}

static inline weir_value text(const char *string, size_t size)
{
    weir_value value = weir_bytes(string, size);

    value.type = WEIR_STR;
    return value;
}

#endif
