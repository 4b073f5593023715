/* SPDX-License-Identifier: MIT
 *
 * sigterm.h: SIGTERM in a worker or process.
 */
#ifndef WEIR_SIGTERM_H
#define WEIR_SIGTERM_H

#include <sys/types.h>

/* From now on SIGTERM ends this process, and what it forks, only if the supervisor, `program` (0:
 * none) or the process itself has sent it. */
void weir__sigterm_settle(pid_t supervisor, pid_t program);

#endif
