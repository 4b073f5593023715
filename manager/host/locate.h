/* SPDX-License-Identifier: MIT
 *
 * locate.h: where the manager program is.
 */
#ifndef WEIR_MANAGER_HOST_LOCATE_H
#define WEIR_MANAGER_HOST_LOCATE_H

#include <limits.h>

/* Finds the program. 0, or -ENOENT with a message that lists every place that was tried. */
int weir__locate_manager(char path[PATH_MAX]);

#endif
