/* SPDX-License-Identifier: MIT
 *
 * futex.h: sleeping on a word of shared memory.
 */
#ifndef WEIR_FUTEX_H
#define WEIR_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/* Futexes between processes. Wait returns 0 (woken, or *word was not `seen`), -EINTR or -ETIMEDOUT.
 * A negative timeout never ends. */
int weir__futex_wait(const _Atomic uint32_t *word, uint32_t seen, int64_t timeout_ns);
void weir__futex_wake(const _Atomic uint32_t *word, int count);

#endif
