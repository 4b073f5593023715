/* SPDX-License-Identifier: MIT
 *
 * retry.h: TEMP_FAILURE_RETRY, for a libc that lacks it: a system call again as long as a signal
 * interrupts it.
 */
#ifndef WEIR_SHM_RETRY_H
#define WEIR_SHM_RETRY_H

#include <errno.h>
#include <unistd.h>

#ifndef TEMP_FAILURE_RETRY
#define TEMP_FAILURE_RETRY(call)                                                                   \
    (__extension__({                                                                               \
        long result_;                                                                              \
        do                                                                                         \
            result_ = (long)(call);                                                                \
        while (result_ == -1 && errno == EINTR);                                                   \
        result_;                                                                                   \
    }))
#endif

#endif
