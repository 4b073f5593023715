/* SPDX-License-Identifier: MIT
 *
 * weir.h: all of weir. The manual is in the headers that it includes.
 */
#ifndef WEIR_H
#define WEIR_H

#include <weir-future.h>
#include <weir-map-reduce.h>
#include <weir-pool.h>
#include <weir-process.h>
#include <weir-scope.h>
#include <weir-shm.h>

#endif
