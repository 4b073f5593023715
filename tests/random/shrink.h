/* SPDX-License-Identifier: MIT
 *
 * shrink.h: a failing sequence made small.
 */
#ifndef RANDOM_SHRINK_H
#define RANDOM_SHRINK_H

#include "sequence.h"

/* Leaves out operations as long as the sequence fails in the same way. False: it does not fail. */
bool shrink(struct sequence *sequence, int repeats);

#endif
