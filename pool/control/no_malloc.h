/* SPDX-License-Identifier: MIT
 *
 * no_malloc.h: included last by each .c file of control/ and supervisor/, which must not allocate.
 *
 * They run in the supervisor, between the fork of a program with threads and the end of the pool:
 * a thread of the program may have held the allocator's locks at the moment of the fork.
 */
#pragma GCC poison malloc calloc realloc aligned_alloc reallocarray strdup free
