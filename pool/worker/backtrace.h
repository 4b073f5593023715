/* SPDX-License-Identifier: MIT
 *
 * backtrace.h: where a worker was when it crashed, or is when it is asked.
 */
#ifndef WEIR_BACKTRACE_H
#define WEIR_BACKTRACE_H

struct weir__control;

/* In a worker, before it runs anything of the user's: from now on a crash writes its backtrace to
 * stderr first, and SIGQUIT that a process has sent writes one. Without memory for that it changes
 * nothing. */
void weir__backtrace_install(struct weir__control *control);

#endif
