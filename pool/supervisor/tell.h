/* SPDX-License-Identifier: MIT
 *
 * tell.h: what the supervisor says on stderr of its workers, with WEIR_LOG=stderr.
 */
#ifndef WEIR_TELL_H
#define WEIR_TELL_H

#include "pool/control/control.h"

/* One line, which begins with the pool's name and the program's pid; nothing if it was not asked
 * for. */
void weir__tell(struct weir__control *control, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
