/* SPDX-License-Identifier: MIT
 *
 * error.h: setting the thread's last error. The shared library exports these functions for
 * libweir-mpi, under a version of its own; they are no part of the interface.
 */
#ifndef WEIR_SHM_ERROR_H
#define WEIR_SHM_ERROR_H

#include "weir-shm.h"

/* Sets the thread's last error to `code` (negative) and the formatted message, all other fields to
 * "none", and returns `code`, so that a failing path is `return weir__fail(-EINVAL, "...")`. errno
 * is preserved. */
WEIR_API int weir__fail(int code, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* The same for a function that returns a pointer: returns NULL. */
WEIR_API void *weir__fail_null(int code, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* Checks the `reserved` words of an options struct: 0, or -EINVAL with "`what`.reserved must be
 * zero". */
WEIR_API int weir__check_reserved(const uint64_t *reserved, size_t count, const char *what);

/* Sets the whole record (from the pool, about a worker) and returns error->code. */
WEIR_API int weir__fail_with(const weir_error *error) __attribute__((cold));

#endif
