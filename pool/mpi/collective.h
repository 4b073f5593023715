/* SPDX-License-Identifier: MIT
 *
 * collective.h: a call that all nodes make together, on one of them.
 *
 * The record and its functions read no clock, wait for nothing and start nothing: time comes with
 * each call, messages go out by link and port, and blocks are run by the caller that asks for
 * them. So a thousand nodes run in one process (tests/mpi), and a real one is driven by drive.c.
 *
 *                       node 0                                   another node
 *   weir__..._begin()   makes the shares; `entered` = itself     HELLO
 *   a HELLO comes       compares, GIVEs; or STOPs all            -
 *   blocks              take, run, done; REPORT, GIVE            the same
 *   all are done        SPREADs WEIR__OWNERS (a reduction)       passes it on
 *                       sends SUBTREEs, combines                 the same
 *   root is made        (the node of block 0) SPREADs WEIR__RESULT, which ends the call everywhere
 *
 * In an exchange nodes send each other PARTs as soon as node 0 has said GO; PARTS_END is behind the
 * last one. Where all have come they are used (MERGED, to node 0); the result is a list of counts.
 * Without a reduction node 0 SPREADs the result, of no bytes; a broadcast's result is SPREAD by
 * the node that has it. A failure is told to node 0 (FAILED), which STOPs all with the first one
 * that it learns of. From `decided` on it does so only if a node cannot go on: deadlines and
 * cancels come too late then.
 */
#ifndef WEIR_COLLECTIVE_H
#define WEIR_COLLECTIVE_H

#include "pool/mpi/state.h"

/* Begins the call `link->call + 1`. The spec must stay until the end. */
void weir__collective_begin(struct weir__collective *call, struct weir__link *link,
                            const struct weir__collective_spec *spec, int64_t now_ns);

/* Gives it a message, of whatever call. */
void weir__collective_receive(struct weir__collective *call,
                              const struct weir__port_message *message, int64_t now_ns);

/* Lets it do what is due: to be called at least some times in a second. */
void weir__collective_tick(struct weir__collective *call, int64_t now_ns);

/* The next block to run; -1: none now. It is to be given back by one of the next two. */
int64_t weir__collective_take_block(struct weir__collective *call);

/* True if the next block is there already. */
bool weir__collective_has_block(const struct weir__collective *call);

/* A block is done: of a reduction, with its accumulator. */
void weir__collective_block_done(struct weir__collective *call, int64_t block,
                                 const void *accumulator);

/* A block has failed. After the call's end it may be given back by either. */
void weir__collective_block_failed(struct weir__collective *call, int64_t block,
                                   const weir_error *error);

/* ---- of a call that exchanges parts ---- */

/* True when this node has run all blocks that it will get, and all nodes have made the call: what
 * it sends is known. */
bool weir__collective_may_produce(const struct weir__collective *call);

/* A part for another node, of one byte at least: `front`, which is freed, and `size` bytes at
 * `data` behind it, which must stay until the end of the call. Parts may be sent before
 * weir__collective_may_produce(). */
void weir__collective_send_part(struct weir__collective *call, int to, int64_t part,
                                unsigned char *front, size_t front_size, const void *data,
                                size_t size);

/* This node sends no more parts. */
void weir__collective_produced(struct weir__collective *call);

/* True when all parts have come that others send to this node. */
bool weir__collective_is_fed(const struct weir__collective *call);

/* What came has been used: the call ends when this is so on all nodes, and its result is what each
 * of them has. */
void weir__collective_merged(struct weir__collective *call, struct weir__counts counts);

/* This node can do its part no longer, or does not want to (-ECANCELED). */
void weir__collective_fail(struct weir__collective *call, const weir_error *error);

/* True if it has ended and all is sent: the caller still waits for blocks that run. */
bool weir__collective_is_over(const struct weir__collective *call);

/* Over all nodes, on node 0. */
uint64_t weir__collective_items_done(const struct weir__collective *call);

void weir__collective_free(struct weir__collective *call);

#endif
