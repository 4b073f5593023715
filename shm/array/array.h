/* SPDX-License-Identifier: MIT
 *
 * array.h: the private handle behind weir_array, and how an array is made inside any block.
 */
#ifndef WEIR_ARRAY_H
#define WEIR_ARRAY_H

#include "shm/array/npy.h"
#include "shm/block/shared_memory.h"

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

/* Bytes of the block, or a negative error for a spec that makes no sense. */
int64_t weir__array_size(const struct weir__array_spec *spec);
/* The flags for reserving it. */
unsigned weir__array_shm_flags(const struct weir__array_spec *spec);
/* Writes the header, if there is to be one, into `buf` of that size, all zero before. */
void weir__array_fill(void *buf, const struct weir__array_spec *spec);
/* Sets up the handle of a filled block. */
int weir__array_bind_new(struct weir_array *array, struct weir_shm *shm,
                         const struct weir__array_spec *spec);

/* Set up the handle of a block that anybody may have written; all is checked. */
int weir__array_bind_npy(struct weir_array *array, struct weir_shm *shm);
int weir__array_bind_raw(struct weir_array *array, struct weir_shm *shm, weir_dtype dtype, int ndim,
                         const int64_t *shape);

/* A stand-alone handle, to be bound. NULL: no memory, last error set. */
weir_array *weir__array_new_handle(void);

/* The array in a filled block of its own, which it takes over, also when there is none (NULL). */
weir_array *weir__array_of(weir_shm *shm, const struct weir__array_spec *spec);

/* Asks for huge pages if the flags do. */
void weir__array_advise(void *buf, size_t size, unsigned flags);

int64_t weir__array_count(int ndim, const int64_t *shape);

/* Bytes from one item to the next along an axis of the array. */
static inline int64_t weir__array_stride(const struct weir_array *array, int axis)
{
    int64_t stride = (int64_t)weir_dtype_size(array->dtype);

    for (int i = array->ndim - 1; i > axis; i--)
        stride *= array->shape[i] > 0 ? array->shape[i] : 1; /* as NumPy's */
    return stride;
}

#endif
