/* SPDX-License-Identifier: MIT
 *
 * cppcheck.h: macros of the system's headers that cppcheck 2.10 must know to understand weir's
 * files. It is given none of these headers.
 */
#define alignas(size)
