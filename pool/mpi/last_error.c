/* SPDX-License-Identifier: MIT
 *
 * last_error.c: what weir_cluster_last_error() gives.
 *
 * One record a thread, as weir_last_error()'s, which is set too: with node and host in front of
 * its message, cut to its size.
 */
#include "pool/mpi/last_error.h"

#include <stdarg.h>
#include <stdio.h>

#include "shm/error.h"

static _Thread_local weir_cluster_error last = {.node = -1,
                                                .error = {.worker = -1, .exit_status = -1}};

const weir_cluster_error *weir_cluster_last_error(void)
{
    return &last;
}

int weir__cluster_fail_with(const weir_cluster_error *error)
{
    weir_error copy = error->error;
    const size_t size = sizeof copy.message;
    int length;

    if (error->node >= 0 && error->host[0] != '\0')
        length = snprintf(copy.message, size, "node %d (%s): %s", error->node, error->host,
                          error->error.message);
    else if (error->node >= 0)
        length = snprintf(copy.message, size, "node %d: %s", error->node, error->error.message);
    else
        length = 0;
    if (length < 0)
        copy.message[0] = '\0';
    last = *error;
    return weir__fail_with(&copy);
}

int weir__cluster_fail(int code, const char *format, ...)
{
    weir_cluster_error error = {.node = -1,
                                .error = {.code = code, .worker = -1, .exit_status = -1}};
    va_list args;

    va_start(args, format);
    if (vsnprintf(error.error.message, sizeof error.error.message, format, args) < 0)
        error.error.message[0] = '\0';
    va_end(args);
    return weir__cluster_fail_with(&error);
}
