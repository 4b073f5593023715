/* SPDX-License-Identifier: MIT
 *
 * queue.h: queues of structures that contain their own links; an item leaves from any place.
 *
 * <sys/queue.h> has the same, but not every libc has it. The end points to where the next item is
 * to be linked, and each item knows where it is linked itself, so no operation looks at others.
 */
#ifndef WEIR_QUEUE_H
#define WEIR_QUEUE_H

#include <stddef.h>

/* A queue of struct `type`; the structure is named `tag`, or has no name. */
#define WEIR__QUEUE(tag, type)                                                                     \
    struct tag {                                                                                   \
        struct type *first;                                                                        \
        struct type **end;                                                                         \
    }

/* The member of struct `type` that the macros below call `link`. */
#define WEIR__QUEUE_LINK(type)                                                                     \
    struct {                                                                                       \
        struct type *next;                                                                         \
        struct type **at;                                                                          \
    }

#define WEIR__QUEUE_INIT(queue)                                                                    \
    do {                                                                                           \
        (queue)->first = NULL;                                                                     \
        (queue)->end = &(queue)->first;                                                            \
    } while (0)

#define WEIR__QUEUE_FIRST(queue)    ((queue)->first)
#define WEIR__QUEUE_IS_EMPTY(queue) ((queue)->first == NULL)

/* At the end. */
#define WEIR__QUEUE_PUT(queue, item, link)                                                         \
    do {                                                                                           \
        (item)->link.next = NULL;                                                                  \
        (item)->link.at = (queue)->end;                                                            \
        *(queue)->end = (item);                                                                    \
        (queue)->end = &(item)->link.next;                                                         \
    } while (0)

#define WEIR__QUEUE_REMOVE(queue, item, link)                                                      \
    do {                                                                                           \
        if ((item)->link.next != NULL)                                                             \
            (item)->link.next->link.at = (item)->link.at;                                          \
        else                                                                                       \
            (queue)->end = (item)->link.at;                                                        \
        *(item)->link.at = (item)->link.next;                                                      \
    } while (0)

/* The body leaves all items where they are. */
#define WEIR__QUEUE_EACH(item, queue, link)                                                        \
    for ((item) = (queue)->first; (item) != NULL; (item) = (item)->link.next)

#endif
