/* SPDX-License-Identifier: MIT
 *
 * dict/many.c: the calls for many keys: those for one, in order, with scouts ahead of them.
 *
 * Failure modes. Each key's call is done or not done by itself, so a kill or a failure leaves those
 * before it done.
 */
#include <errno.h>

#include "shm/dict/dict.h"
#include "shm/dict/scout.h"
#include "shm/dict/table.h"
#include "shm/error.h"

/* With fewer buckets they and their nodes are in the processor's caches. */
#define CACHED 4095u

static int check_arrays(const weir_dict *dict, size_t count, const void *keys, const void *others)
{
    if (dict == NULL)
        return weir__fail(-EINVAL, "the dictionary is NULL");
    if (count > 0 && (keys == NULL || others == NULL))
        return weir__fail(-EINVAL, "there are %zu keys, and %s are NULL", count,
                          keys == NULL ? "they" : "the others of the same number");
    return 0;
}

/* Sends scouts for the keys from `at` on when it is their turn. */
static void scout_at(const weir_dict *dict, const weir_value *keys, size_t count, size_t at)
{
    if (at % WEIR__DICT_SCOUTS == 0 && weir__dict_bucket_mask(dict) >= CACHED)
        weir__dict_scout(dict, keys + at,
                         count - at < WEIR__DICT_SCOUTS ? count - at : WEIR__DICT_SCOUTS);
}

int64_t weir_dict_get_many(const weir_dict *dict, const weir_value *keys, size_t count,
                           weir_value *out, bool *found, void *buf, size_t size)
{
    struct weir__dict_buffer buffer;
    int64_t number = 0;
    int result = check_arrays(dict, count, keys, out);

    if (result == 0)
        result = weir__dict_check_buffer(buf, size, &buffer);
    for (size_t i = 0; i < count && result >= 0; i++) {
        scout_at(dict, keys, count, i);
        result = weir__dict_get(dict, &keys[i], &out[i], &buffer);
        if (result == WEIR__DICT_NO_KEY)
            out[i] = weir_none();
        else
            number++;
        if (found != NULL)
            found[i] = result == 0;
    }
    return result < 0 ? result : number;
}

int weir_dict_set_many(weir_dict *dict, const weir_value *keys, const weir_value *values,
                       size_t count, size_t *done)
{
    int result = check_arrays(dict, count, keys, values);
    size_t i = 0;

    while (result == 0 && i < count) {
        scout_at(dict, keys, count, i);
        result = weir_dict_set(dict, keys[i], values[i]);
        i += result == 0;
    }
    if (done != NULL)
        *done = i;
    return result;
}

int weir_dict_add_many(weir_dict *dict, const weir_value *keys, const int64_t *deltas, size_t count,
                       size_t *done)
{
    int result = check_arrays(dict, count, keys, deltas);
    size_t i = 0;

    while (result == 0 && i < count) {
        scout_at(dict, keys, count, i);
        result = weir_dict_add(dict, keys[i], deltas[i], NULL);
        i += result == 0;
    }
    if (done != NULL)
        *done = i;
    return result;
}
