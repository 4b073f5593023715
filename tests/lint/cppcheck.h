/* SPDX-License-Identifier: MIT
 *
 * cppcheck.h: macros of the system's headers that cppcheck 2.10 must know to understand weir's
 * files. It is given none of these headers.
 */
#define alignas(size)
#define TAILQ_HEAD(name, type)                                                                     \
    struct name {                                                                                  \
        struct type *tqh_first;                                                                    \
        struct type **tqh_last;                                                                    \
    }
#define TAILQ_ENTRY(type)                                                                          \
    struct {                                                                                       \
        struct type *tqe_next;                                                                     \
        struct type **tqe_prev;                                                                    \
    }
#define TAILQ_FOREACH(item, head, field)                                                           \
    for ((item) = (head)->tqh_first; (item) != NULL; (item) = (item)->field.tqe_next)
