/* SPDX-License-Identifier: MIT
 *
 * npy.h: the types of arrays, and the header of a .npy file. Pure: no system call, no allocation.
 */
#ifndef WEIR_SHM_ARRAY_NPY_H
#define WEIR_SHM_ARRAY_NPY_H

#include "weir-shm.h"

/* What a .npy header says. */
struct weir__npy {
    weir_dtype dtype;
    int ndim;
    int64_t shape[WEIR_ARRAY_NDIM_MAX];
    size_t offset; /* bytes of the header: where the items begin */
};

/* NumPy's own limit for what it reads without being told to trust the file. */
#define WEIR__NPY_HEADER_MAX 10000

/* Room for any header that weir writes: 16 lengths of up to 19 digits. */
#define WEIR__NPY_WRITTEN_MAX 512

/* Writes the header for a type and a shape, both checked, to `header`. Returns its size. */
size_t weir__npy_write(char header[WEIR__NPY_WRITTEN_MAX], weir_dtype dtype, int ndim,
                       const int64_t *shape);

/* How many of a file's `size` bytes are its header, judged by the first 12 of them (or fewer): what
 * weir__npy_read() needs. At most `size`. */
size_t weir__npy_header_size(const char *bytes, size_t size);

/* Reads the header that begins `size` bytes of a file. `bytes` must not change meanwhile. The
 * lengths of the axes are not negative; whether so many items exist is for the caller to check. 0;
 * or -EBADMSG or -ENOTSUP with a message about block `name`. */
int weir__npy_read(const char *bytes, size_t size, struct weir__npy *npy, const char *name);

/* The type of that name (weir_dtype_name), or 0. */
weir_dtype weir__dtype_of_name(const char *name);

#endif
