/* SPDX-License-Identifier: MIT
 *
 * array.h: the private handle behind weir_array, and arrays as a kind of object.
 */
#ifndef WEIR_SHM_ARRAY_ARRAY_H
#define WEIR_SHM_ARRAY_ARRAY_H

#include "shm/array/npy.h"
#include "shm/object.h"

/* An array is its block and what its items are; settled when it is bound, see array.c. */
struct weir_array {
    struct weir_shm *shm;
    char *data;
    int64_t count;
    weir_dtype dtype;
    int32_t ndim;
    int64_t shape[WEIR_ARRAY_NDIM_MAX]; /* 0 beyond ndim */
};

struct weir__array_spec {
    weir_dtype dtype;
    int ndim;
    const int64_t *shape;
    unsigned flags; /* WEIR_ARRAY_... */
};

/* Bound without a spec, an array is what the .npy header in its block says. */
extern const struct weir__object_kind weir__array_kind;

int64_t weir__shape_count(int ndim, const int64_t *shape);

/* Bytes from one item to the next along an axis of the array. */
static inline int64_t weir__array_axis_stride(const struct weir_array *array, int axis)
{
    int64_t stride = (int64_t)weir_dtype_size(array->dtype);

    for (int i = array->ndim - 1; i > axis; i--)
        stride *= array->shape[i] > 0 ? array->shape[i] : 1; /* as NumPy's */
    return stride;
}

#endif
