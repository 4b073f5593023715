/* SPDX-License-Identifier: MIT
 *
 * tell.c: what the supervisor says on stderr of its workers, with WEIR_LOG=stderr.
 *
 * A line is written in one piece, above a bar if there is one (control/log.h). A stderr that takes
 * no more, a pipe that nobody reads, holds the supervisor up for a second a line at most if it does
 * not block, and for ever if it does: it is asked for by who reads it.
 */
#include "pool/supervisor/tell.h"

#include <stdarg.h>
#include <stdio.h>

#include "pool/control/log.h"

#include "pool/control/no_malloc.h"

void weir__tell(struct weir__control *control, const char *format, ...)
{
    const struct weir__status *status = &control->status;
    char what[640];
    va_list args;

    if (!control->log)
        return;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    weir__log_line(control, "weir: %s (pid %d): %s",
                   status->name[0] != '\0' ? status->name : "a process", (int)status->host_pid,
                   what);
}
