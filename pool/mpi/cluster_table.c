/* SPDX-License-Identifier: MIT
 *
 * cluster_table.c: a table whose keys are spread over the nodes, and its gathering.
 *
 * Each group of a node's is a partition of its table, a block that is complete in itself. So a
 * gathered table consists of copies of them.
 */
#include "pool/mpi/cluster_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "manager/internal.h"
#include "pool/map_reduce/table.h"
#include "pool/map_reduce/table_build.h"
#include "pool/mpi/drive.h"
#include "pool/mpi/groups.h"
#include "pool/mpi/last_error.h"
#include "pool/mpi/request.h"
#include "pool/mpi/verdict.h"
#include "shm/error.h"

/* ---- what it has ---- */

static int check(const weir_cluster_table *table)
{
    return table != NULL ? 0 : weir__cluster_fail(-EINVAL, "the table is NULL");
}

weir_table *weir_cluster_table_local(const weir_cluster_table *table)
{
    return check(table) == 0 ? table->local : NULL;
}

int64_t weir_cluster_table_len(const weir_cluster_table *table)
{
    int64_t keys = 0;

    if (check(table) < 0)
        return -EINVAL;
    for (int i = 0; i < table->cluster->port->nodes; i++)
        keys += (int64_t)table->counts[i].keys;
    return keys;
}

void weir__cluster_table_release(struct weir__owned *owned)
{
    weir_cluster_table *table = (weir_cluster_table *)(void *)owned;

    weir_table_free(table->local);
    free(table);
}

void weir_cluster_table_free(weir_cluster_table *table)
{
    if (table == NULL || table->cluster->pid != getpid())
        return;
    weir__cluster_disown(table->cluster, &table->owned);
    weir__cluster_table_release(&table->owned);
}

/* A partition's bytes, as far as they are used; 0: there is none, or it is damaged. */
static size_t partition_bytes(const weir_table *table, uint32_t i)
{
    const weir_shm *block = table->partition[i];
    const struct weir__partition *partition;
    uint64_t end;

    if (block == NULL)
        return 0;
    partition = weir_shm_buf(block);
    end = __atomic_load_n(&partition->log_end, __ATOMIC_RELAXED);
    return end <= weir_shm_size(block) ? end : 0;
}

uint64_t weir__cluster_table_bytes(const weir_table *table)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < table->partitions; i++)
        bytes += partition_bytes(table, i);
    return bytes;
}

/* ---- gathering ---- */

struct gathering {
    struct weir__exchanger exchanger;
    const weir_cluster_table *table;
    bool gets;                         /* this node gets the table */
    int node;                          /* that gets it; -1: all */
    struct weir__published *published; /* [groups], where this node gets it */
    weir_table *gathered;
};

static struct gathering *gathering_of(struct weir__exchanger *exchanger)
{
    return (struct gathering *)(void *)exchanger;
}

static unsigned char *land(void *owner, int64_t part, uint64_t size)
{
    struct gathering *gathering = owner;

    if (!gathering->gets || atomic_load(&gathering->published[part].block) != NULL ||
        size < sizeof(struct weir__partition))
        return weir__fail_null(-EBADMSG, "partition %lld of a table comes where it is not wanted",
                               (long long)part);
    return weir__published_make(gathering->exchanger.cluster->scope, &gathering->published[part],
                                size);
}

static int send_partition(struct gathering *gathering, struct weir__collective *call, int64_t part,
                          uint32_t i)
{
    const int nodes = call->link->port->nodes, node = call->link->port->node;
    const weir_table *table = gathering->table->local;
    const size_t size = partition_bytes(table, i);
    unsigned char *copy;

    if (size == 0)
        return 0;
    for (int k = 1; k < nodes; k++) {
        const int to = (node + k) % nodes;

        if (gathering->node == -1 || gathering->node == to)
            weir__collective_send_part(call, to, part, NULL, 0, weir_shm_buf(table->partition[i]),
                                       size);
    }
    if (!gathering->gets)
        return 0;
    copy = land(gathering, part, size);
    if (copy == NULL)
        return weir_last_error()->code;
    memcpy(copy, weir_shm_buf(table->partition[i]), size);
    return 0;
}

static int produce_gathered(struct weir__exchanger *exchanger, struct weir__collective *call)
{
    struct gathering *gathering = gathering_of(exchanger);
    const weir_table *table = gathering->table->local;
    int result = 0;

    for (uint32_t i = 0; i < table->partitions && result == 0; i++)
        result = send_partition(gathering, call, (int64_t)(table->first + i), i);
    if (result == 0)
        weir__collective_produced(call);
    return result;
}

static int merge_gathered(struct weir__exchanger *exchanger, struct weir__collective *call)
{
    struct gathering *gathering = gathering_of(exchanger);
    struct weir__partitions partitions = {.bits = gathering->table->group_bits};

    if (gathering->gets) {
        partitions.count = 1U << partitions.bits;
        for (uint32_t i = 0; i < partitions.count; i++) {
            const weir_shm *block = atomic_load(&gathering->published[i].block);

            if (block != NULL)
                gathering->published[i].records =
                    ((const struct weir__partition *)weir_shm_buf(block))->records;
        }
    }
    gathering->gathered =
        weir__table_new(exchanger->cluster->scope, gathering->published, &partitions);
    if (gathering->gathered == NULL)
        return weir_last_error()->code;
    weir__collective_merged(call, (struct weir__counts){0});
    return 0;
}

static const struct weir__exchanger_functions gather_functions = {.produce = produce_gathered,
                                                                  .merge = merge_gathered};

/* Nothing is sent if the table has no room where it is to go. */
static void check_room(struct weir__collective_spec *spec, const weir_cluster_table *table)
{
    struct statvfs space;
    uint64_t bytes = 0, room;

    for (int i = 0; i < table->cluster->port->nodes; i++)
        bytes += table->counts[i].bytes;
    if (statvfs("/dev/shm", &space) < 0)
        return;
    room = (uint64_t)space.f_bavail * space.f_frsize;
    if (bytes > room)
        spec->refused = weir__cluster_error_of(
            -ENOMEM, "the table has %llu bytes, and there are %llu left in /dev/shm",
            (unsigned long long)bytes, (unsigned long long)room);
}

static void refuse_gathering(struct weir__collective_spec *spec, struct gathering *gathering)
{
    const int nodes = gathering->exchanger.cluster->port->nodes;

    if (gathering->node < -1 || gathering->node >= nodes) {
        weir__request_refuse(spec, "node is %d; it must be from 0 to %d, or -1 for all nodes",
                             gathering->node, nodes - 1);
        return;
    }
    if (!gathering->gets)
        return;
    check_room(spec, gathering->table);
    gathering->published = calloc((size_t)spec->parts, sizeof *gathering->published);
    if (gathering->published == NULL)
        spec->refused = weir__cluster_error_of(-ENOMEM, "no memory for the record of a table");
}

/* What of it has not become a table. */
static void leave_gathering(struct gathering *gathering)
{
    const int64_t groups = INT64_C(1) << gathering->table->group_bits;
    const weir_error before = *weir_last_error();

    for (int64_t i = 0; gathering->published != NULL && i < groups; i++)
        weir__published_drop(&gathering->published[i]);
    free(gathering->published);
    weir__fail_with(&before);
}

weir_table *weir_cluster_table_gather(weir_cluster_table *table, int node)
{
    struct weir__collective_spec spec = weir__request(WEIR__CLUSTER_GATHER);

    if (check(table) < 0 || weir__cluster_use(table->cluster) < 0)
        return NULL;
    {
        __attribute__((cleanup(leave_gathering))) struct gathering gathering = {
            .exchanger = {.functions = &gather_functions, .cluster = table->cluster},
            .table = table,
            .gets = node == -1 || node == table->cluster->port->node,
            .node = node};
        const struct weir__work work = {.exchanger = &gathering.exchanger};

        spec.exchanges = true;
        spec.parts = INT64_C(1) << table->group_bits;
        spec.land = land;
        spec.owner = &gathering;
        spec.print.value[WEIR__PRINT_FROM] = node;
        spec.print.value[WEIR__PRINT_TABLE] = table->number;
        refuse_gathering(&spec, &gathering);
        if (weir__drive(table->cluster, &spec, &work, NULL) == 0)
            return gathering.gathered;
        weir_table_free(gathering.gathered);
        return NULL;
    }
}
