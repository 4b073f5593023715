/* SPDX-License-Identifier: MIT
 *
 * weir.h: all of weir. The manual is in the three headers.
 */
#ifndef WEIR_H
#define WEIR_H

#include <weir-pool.h>
#include <weir-scope.h>
#include <weir-shm.h>

#endif
