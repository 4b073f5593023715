/* SPDX-License-Identifier: MIT
 *
 * message.c: is it a message?
 *
 * What is checked here is what holds for a message at any time; what it may say in this state of
 * the call is checked where it is used.
 */
#include "pool/mpi/message.h"

enum direction { TO_LEAD = 1, OF_LEAD = 2, EITHER = TO_LEAD | OF_LEAD, ANY = 4 };

static const struct {
    size_t size;
    enum direction direction;
} kinds[] = {
    [WEIR__HELLO] = {sizeof(struct weir__hello), TO_LEAD},
    [WEIR__GIVE] = {sizeof(struct weir__give), OF_LEAD},
    [WEIR__REPORT] = {sizeof(struct weir__report), EITHER},
    [WEIR__FAILED] = {sizeof(struct weir__bad_news), TO_LEAD},
    [WEIR__STOP] = {sizeof(struct weir__bad_news), OF_LEAD},
    [WEIR__GO] = {sizeof(struct weir__header), OF_LEAD},
    [WEIR__SPREAD] = {sizeof(struct weir__bytes), ANY},
    [WEIR__SUBTREE] = {sizeof(struct weir__bytes), ANY},
    [WEIR__PART] = {sizeof(struct weir__bytes), ANY},
    [WEIR__PARTS_END] = {sizeof(struct weir__parts_end), ANY},
    [WEIR__MERGED] = {sizeof(struct weir__merged), TO_LEAD},
    [WEIR__BYE] = {sizeof(struct weir__bad_news), EITHER},
    [WEIR__ALL_GONE] = {sizeof(struct weir__header), OF_LEAD},
};

static bool has_size(const struct weir__header *header, size_t size)
{
    if (header->kind != WEIR__SPREAD && header->kind != WEIR__SUBTREE && header->kind != WEIR__PART)
        return size == kinds[header->kind].size;
    return size >= sizeof(struct weir__bytes) && size <= WEIR__PORT_MESSAGE_MAX;
}

static bool may_come(enum direction direction, int from, int node)
{
    return direction == ANY || ((direction & TO_LEAD) != 0 && node == 0) ||
           ((direction & OF_LEAD) != 0 && from == 0);
}

const struct weir__header *weir__message_check(const struct weir__port *port,
                                               const struct weir__port_message *message)
{
    const struct weir__header *header = message->data;

    if (message->from < 0 || message->from >= port->nodes || message->from == port->node ||
        message->size < sizeof *header || header->magic != WEIR__MESSAGE_MAGIC ||
        header->kind < WEIR__HELLO || header->kind > WEIR__ALL_GONE || header->call < 1 ||
        !has_size(header, message->size) ||
        !may_come(kinds[header->kind].direction, message->from, port->node))
        return NULL;
    return header;
}
