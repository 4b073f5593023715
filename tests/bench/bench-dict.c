/* SPDX-License-Identifier: MIT
 *
 * bench-dict: a weir_dict of ints, for dict-rounds.c.
 */
#include <weir.h>

#include <stdio.h>

#include "dict-rounds.h"

static char name[64];
static weir_dict *dict;

static void must(int good, const char *what)
{
    if (!good)
        store_fail(what, weir_last_error()->message);
}

void store_make(uint64_t keys)
{
    const weir_dict_options options = {.max_size = ((size_t)64 << 20) + keys * 100};

    snprintf(name, sizeof name, "weir-bench-dict-%d", store_id);
    dict = weir_dict_create(name, &options);
    must(dict != NULL, "weir_dict_create");
    weir_dict_close(dict);
}

void store_open(void)
{
    dict = weir_dict_attach(name);
    must(dict != NULL, "weir_dict_attach");
}

void store_close(void)
{
    weir_dict_close(dict);
}

void store_remove(void)
{
    store_open();
    must(weir_shm_unlink(weir_dict_shm(dict)) == 0, "weir_shm_unlink");
    store_close();
}

void store_get(int64_t key)
{
    weir_value value;

    must(weir_dict_get(dict, weir_int(key), &value, NULL, 0) == 0, "weir_dict_get");
}

void store_set(int64_t key, int64_t value)
{
    must(weir_dict_set(dict, weir_int(key), weir_int(value)) == 0, "weir_dict_set");
}

void store_add(int64_t key)
{
    must(weir_dict_add(dict, weir_int(key), 1, NULL) == 0, "weir_dict_add");
}

void store_get_many(const int64_t *keys)
{
    weir_value some[BATCH], out[BATCH];

    for (int i = 0; i < BATCH; i++)
        some[i] = weir_int(keys[i]);
    must(weir_dict_get_many(dict, some, BATCH, out, NULL, NULL, 0) == BATCH, "weir_dict_get_many");
}

void store_set_many(const int64_t *keys)
{
    weir_value some[BATCH], values[BATCH];

    for (int i = 0; i < BATCH; i++) {
        some[i] = weir_int(keys[i]);
        values[i] = weir_int(i);
    }
    must(weir_dict_set_many(dict, some, values, BATCH, NULL) == 0, "weir_dict_set_many");
}
