/* SPDX-License-Identifier: MIT
 *
 * log.h: lines of a worker or the supervisor on stderr, above the bar if there is one.
 */
#ifndef WEIR_LOG_H
#define WEIR_LOG_H

#include <stdarg.h>
#include <stddef.h>

struct weir__control;

#define WEIR__LOG_MAX 2048 /* bytes of all lines, with the line ends */

/* Writes whole lines, in one write(). `lines` ends with a line end, and is at most WEIR__LOG_MAX
 * bytes. 0 or a negative errno. Signal-safe. */
int weir__log_put(struct weir__control *control, const char *lines, size_t size);

/* Writes what the format says, and a line end, as weir_task_log() promises. 0, -EINVAL (it is not
 * valid) or a negative errno. */
int weir__log_format(struct weir__control *control, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
int weir__log_line(struct weir__control *control, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
