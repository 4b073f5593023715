/* SPDX-License-Identifier: MIT
 *
 * map_reduce.c: a keyed map-reduce, on all nodes.
 *
 *   map       each chunk has a map output, as on one machine, on the node that has run it
 *   exchange  each node has a run of hash groups (groups.h): its part of each map output goes to it
 *   merge     each node makes a table of its keys, from all parts in the order of their chunks
 *
 * So values are combined in the order of the range, and keys come in the order of their hashes: the
 * tables of all nodes, one behind the other, are that of one machine.
 *
 * Where the order makes no difference a node merges what its chunks have given before it sends it.
 * Parts are numbered by chunks; then by nodes, with 64 for each.
 *
 * A part is a map output of the groups of the node that it goes to, and is put into a block of the
 * scope as it comes. Whatever it says is checked by the worker that merges it.
 */
#include <errno.h>
#include <stdlib.h>

#include "manager/internal.h"
#include "pool/map_reduce/map_reduce.h"
#include "pool/map_reduce/table.h"
#include "pool/mpi/cluster_table.h"
#include "pool/mpi/drive.h"
#include "pool/mpi/groups.h"
#include "pool/mpi/last_error.h"
#include "pool/mpi/request.h"
#include "shm/error.h"

#define CHUNKS_DEFAULT 256
#define BLOCK_DEFAULT  2
#define MERGED_MAX     (1 << WEIR__GROUP_BITS) /* parts of a node that merges before it sends */

struct keyed {
    struct weir__exchanger exchanger;
    const struct weir__collective_spec *spec;
    const weir_map_reduction *reduction;
    void *arg;
    const weir_job_options *options; /* of a merge */
    bool any_order;
    unsigned group_bits;
    uint64_t first, end;            /* this node's groups */
    struct weir__published *mapped; /* [chunks] of this node, where the order makes no difference */
    struct weir__published *parts;  /* [spec->parts] in the order in which they are merged */
    uint64_t bytes;                 /* of all of these */
    weir_table *table;
};

static struct keyed *keyed_of(struct weir__exchanger *exchanger)
{
    return (struct keyed *)(void *)exchanger;
}

/* ---- memory ---- */

static int claim(struct keyed *keyed, uint64_t size)
{
    const size_t limit = keyed->reduction->memory;

    keyed->bytes += size;
    if (limit == 0 || keyed->bytes <= limit)
        return 0;
    return weir__fail(-ENOMEM,
                      "tables need more than the memory limit of %zu bytes: %llu, of chunks of "
                      "this node and of what others have for it",
                      limit, (unsigned long long)keyed->bytes);
}

static void drop(struct keyed *keyed, struct weir__published *published)
{
    keyed->bytes -= atomic_load(&published->size);
    weir__published_drop(published);
}

static void release(struct keyed *keyed)
{
    for (int64_t i = 0; keyed->parts != NULL && i < keyed->spec->parts; i++)
        weir__published_drop(&keyed->parts[i]);
    for (int64_t i = 0; keyed->mapped != NULL && i < keyed->spec->cut.chunks; i++)
        weir__published_drop(&keyed->mapped[i]);
    free(keyed->parts);
    free(keyed->mapped);
}

/* Memory for a part that comes. */
static unsigned char *land(void *owner, int64_t part, uint64_t size)
{
    struct keyed *keyed = owner;
    struct weir__published *place = &keyed->parts[part];

    if (claim(keyed, size) < 0)
        return NULL;
    if (atomic_load(&place->block) != NULL)
        return weir__fail_null(-EBADMSG, "part %lld of a table has come from two nodes",
                               (long long)part);
    atomic_store(&place->size, size);
    return weir__published_make(keyed->exchanger.cluster->scope, place, size);
}

/* ---- what goes ---- */

/* The head of a node's part of a map output. */
static size_t write_head(struct weir__map_output *head, const struct weir__map_output *output,
                         uint64_t first, uint64_t end)
{
    const size_t size = weir__map_output_head(end - first);
    const uint64_t begin = output->begin[first];

    head->magic = WEIR__MAP_OUTPUT_MAGIC;
    head->first = first;
    head->groups = end - first;
    for (uint64_t i = 0; i <= end - first; i++)
        head->begin[i] = output->begin[first + i] - begin + size;
    return size;
}

static int send_part(struct weir__collective *call, int to, int64_t part, const weir_shm *block,
                     uint64_t first, uint64_t end)
{
    const struct weir__map_output *output = weir_shm_buf(block);
    const unsigned char *data, *data_end;
    unsigned char *front;
    size_t size, head;

    if (!weir__map_output_span(block, first, end, &data, &data_end))
        return weir__fail(-EBADMSG, "a chunk's table in shared memory has been overwritten");
    size = (size_t)(data_end - data);
    if (size == 0)
        return 0;
    front = malloc(weir__map_output_head(end - first));
    if (front == NULL)
        return weir__fail(-ENOMEM, "no memory for the head of a part");
    head = write_head((struct weir__map_output *)(void *)front, output, first, end);
    weir__collective_send_part(call, to, part, front, head, data, size);
    return 0;
}

/* Each node's part of parts [begin, end), first those of the next node: so not all send to one. */
static int send_parts(struct keyed *keyed, struct weir__collective *call, int64_t begin,
                      int64_t end)
{
    const int nodes = call->link->port->nodes, node = call->link->port->node;
    int result = 0;

    for (int i = 1; i < nodes && result == 0; i++) {
        const int to = (node + i) % nodes;
        const uint64_t first = weir__group_first(keyed->group_bits, to, nodes);
        const uint64_t last = weir__group_first(keyed->group_bits, to + 1, nodes);

        for (int64_t k = begin; k < end && result == 0; k++) {
            const weir_shm *block = atomic_load(&keyed->parts[k].block);

            if (block != NULL && first < last)
                result = send_part(call, to, k, block, first, last);
        }
    }
    return result;
}

/* ---- map ---- */

static weir_future *run(struct weir__exchanger *exchanger, weir_range range,
                        const weir_job_options *options)
{
    struct keyed *keyed = keyed_of(exchanger);

    return weir__map_async(exchanger->cluster->pool, range, keyed->reduction, keyed->arg, options,
                           keyed->group_bits);
}

/* Takes what a job has published over: into places [first, first + count), which are free. 0, or
 * an error with the last error. */
static int take_outputs(struct keyed *keyed, weir_future *future, struct weir__published *places,
                        int64_t count)
{
    int64_t made = 0;
    struct weir__published *outputs = weir__future_outputs(future, &made);
    int result = 0;

    if (outputs == NULL)
        return weir_last_error()->code;
    for (int64_t i = 0; i < made && i < count; i++) {
        weir_shm *block = atomic_load(&outputs[i].block);

        atomic_store(&places[i].block, block);
        atomic_store(&places[i].size, atomic_load(&outputs[i].size));
        places[i].records = outputs[i].records;
        if (block != NULL && result == 0)
            result = weir__scope_require(keyed->exchanger.cluster->scope, block, "a chunk's table");
        if (result == 0)
            result = claim(keyed, atomic_load(&places[i].size));
    }
    free(outputs);
    return result;
}

static int take(struct weir__exchanger *exchanger, struct weir__collective *call, int64_t block,
                weir_future *future)
{
    struct keyed *keyed = keyed_of(exchanger);
    const int64_t first = weir__cut_first_of(&keyed->spec->cut, block);
    const int64_t count = weir__cut_chunks_of(&keyed->spec->cut, block);
    struct weir__published *places = (keyed->any_order ? keyed->mapped : keyed->parts) + first;
    const int result = take_outputs(keyed, future, places, count);

    return result < 0 || keyed->any_order ? result : send_parts(keyed, call, first, first + count);
}

/* ---- merging before it is sent ---- */

static uint32_t count_merged(const struct keyed *keyed)
{
    uint64_t records = 0;

    for (int64_t i = 0; i < keyed->spec->cut.chunks; i++)
        records += keyed->mapped[i].records;
    return weir__partitions_for(records);
}

static int merge_own(struct keyed *keyed)
{
    const uint32_t count = count_merged(keyed);
    const struct weir__merge merge = {
        .outputs = keyed->mapped,
        .count = keyed->spec->cut.chunks,
        .group_bits = keyed->group_bits,
        .partitions = count,
        .width = (1U << keyed->group_bits) / count,
        .as_outputs = true,
    };

    return weir__exchanger_wait_for(
        &keyed->exchanger, weir__merge_async(keyed->exchanger.cluster->pool, keyed->reduction,
                                             keyed->arg, keyed->options, &merge));
}

/* What has been merged takes the place of what the chunks have given. */
static int take_merged(struct keyed *keyed, struct weir__collective *call)
{
    const int64_t first = (int64_t)call->link->port->node * MERGED_MAX;
    int result;

    if (weir_future_error(keyed->exchanger.future) != NULL)
        return weir__fail_with(weir_future_error(keyed->exchanger.future));
    for (int64_t i = 0; i < keyed->spec->cut.chunks; i++)
        drop(keyed, &keyed->mapped[i]);
    result = take_outputs(keyed, keyed->exchanger.future, keyed->parts + first, MERGED_MAX);
    weir__exchanger_end(&keyed->exchanger);
    return result < 0 ? result : send_parts(keyed, call, first, first + MERGED_MAX);
}

static int produce(struct weir__exchanger *exchanger, struct weir__collective *call)
{
    struct keyed *keyed = keyed_of(exchanger);
    int result = 0;

    if (keyed->any_order && exchanger->future == NULL)
        return merge_own(keyed);
    if (keyed->any_order)
        result = take_merged(keyed, call);
    if (result == 0)
        weir__collective_produced(call);
    return result;
}

/* ---- the table ---- */

static int merge_all(struct keyed *keyed)
{
    const struct weir__merge merge = {
        .outputs = keyed->parts,
        .count = keyed->spec->parts,
        .group_bits = keyed->group_bits,
        .first = keyed->first,
        .partitions = (uint32_t)(keyed->end - keyed->first),
        .width = 1,
    };

    return weir__exchanger_wait_for(
        &keyed->exchanger, weir__merge_async(keyed->exchanger.cluster->pool, keyed->reduction,
                                             keyed->arg, keyed->options, &merge));
}

static int merge(struct weir__exchanger *exchanger, struct weir__collective *call)
{
    struct keyed *keyed = keyed_of(exchanger);

    if (exchanger->future == NULL)
        return merge_all(keyed);
    keyed->table = weir_future_table(exchanger->future);
    weir__exchanger_end(exchanger);
    if (keyed->table == NULL)
        return weir_last_error()->code;
    for (int64_t i = 0; i < keyed->spec->parts; i++) /* all of them have been sent */
        drop(keyed, &keyed->parts[i]);
    weir__collective_merged(
        call, (struct weir__counts){.keys = (uint64_t)weir_table_len(keyed->table),
                                    .bytes = weir__cluster_table_bytes(keyed->table)});
    return 0;
}

static const struct weir__exchanger_functions functions = {
    .run = run, .take = take, .produce = produce, .merge = merge};

/* ---- the call ---- */

/* Options with what this call has as defaults. */
static const weir_job_options *with_defaults(weir_job_options *own, const weir_job_options *options)
{
    *own = options != NULL ? *options : (weir_job_options){0};
    if (own->chunks == 0 && own->grain == 0)
        own->chunks = CHUNKS_DEFAULT;
    return own;
}

static void refuse(struct weir__collective_spec *spec, const weir_map_reduction *reduction)
{
    if (spec->refused.code != 0)
        return;
    if (weir__check_map_reduction(reduction) < 0)
        spec->refused = *weir_last_error();
    else if (spec->cut.chunks > WEIR__MAP_CHUNKS_MAX) {
        weir__fail(-E2BIG, "%lld chunks; a map-reduce has at most %d, as each has a table",
                   (long long)spec->cut.chunks, WEIR__MAP_CHUNKS_MAX);
        spec->refused = *weir_last_error();
    }
}

static void describe(struct weir__collective_spec *spec, struct keyed *keyed,
                     const struct weir_cluster *cluster)
{
    const weir_map_reduction *reduction = keyed->reduction;
    const int node = cluster->port->node, nodes = cluster->port->nodes;

    keyed->group_bits = weir__group_bits(nodes);
    keyed->first = weir__group_first(keyed->group_bits, node, nodes);
    keyed->end = weir__group_first(keyed->group_bits, node + 1, nodes);
    /* alone there is nothing to send, and merging twice would be for nothing */
    keyed->any_order = nodes > 1 && (reduction->any_order || reduction->combine == weir_sum_int64);
    spec->exchanges = true;
    spec->parts = keyed->any_order ? (int64_t)nodes * MERGED_MAX : spec->cut.chunks;
    spec->land = land;
    spec->owner = keyed;
    spec->print.value[WEIR__PRINT_SIZE] = (int64_t)reduction->value_size;
    spec->print.value[WEIR__PRINT_ANY_ORDER] = keyed->any_order;
    spec->print.value[WEIR__PRINT_REDUCES] = reduction->reduce != NULL;
    keyed->parts = calloc((size_t)spec->parts + 1, sizeof *keyed->parts);
    keyed->mapped = calloc((size_t)spec->cut.chunks + 1, sizeof *keyed->mapped);
    if (keyed->parts == NULL || keyed->mapped == NULL) {
        weir__fail(-ENOMEM, "no memory for the record of a map-reduce");
        spec->refused = *weir_last_error();
    }
}

static weir_cluster_table *new_table(weir_cluster *cluster)
{
    weir_cluster_table *table =
        calloc(1, sizeof *table + (size_t)cluster->port->nodes * sizeof *table->counts);

    if (table == NULL)
        weir__fail(-ENOMEM, "no memory for the record of a table");
    return table;
}

static weir_cluster_table *finish(weir_cluster *cluster, weir_cluster_table *table,
                                  struct keyed *keyed)
{
    table->cluster = cluster;
    table->number = cluster->link.call;
    table->group_bits = keyed->group_bits;
    table->local = keyed->table;
    table->owned.release = weir__cluster_table_release;
    weir__cluster_own(cluster, &table->owned);
    return table;
}

/* Also where a function of the program has left the call by an exception. */
static void leave(struct keyed *keyed)
{
    const weir_error before = *weir_last_error();

    weir__exchanger_end(&keyed->exchanger);
    release(keyed);
    weir__fail_with(&before);
}

weir_cluster_table *weir_cluster_map_reduce(weir_cluster *cluster, weir_range range,
                                            const weir_map_reduction *reduction, void *arg,
                                            const weir_job_options *options,
                                            const weir_cluster_job *job)
{
    struct weir__collective_spec spec = weir__request(WEIR__CLUSTER_MAP_REDUCE);
    __attribute__((cleanup(leave))) struct keyed keyed = {
        .exchanger = {.functions = &functions, .cluster = cluster},
        .spec = &spec,
        .reduction = reduction,
        .arg = arg};
    struct weir__work work = {.exchanger = &keyed.exchanger, .arg = arg};
    weir_cluster_job own_job = job != NULL ? *job : (weir_cluster_job){0};
    weir_job_options own, merging;
    weir_cluster_table *table;

    if (weir__cluster_use(cluster) < 0)
        return NULL;
    table = new_table(cluster);
    if (own_job.block == 0)
        own_job.block = BLOCK_DEFAULT;
    work.options =
        weir__request_job(&spec, cluster, range, arg, with_defaults(&own, options), &own_job);
    merging = weir__request_own(&own);
    keyed.options = &merging;
    if (table == NULL)
        spec.refused = *weir_last_error();
    refuse(&spec, reduction);
    if (spec.refused.code == 0)
        describe(&spec, &keyed, cluster);
    if (weir__drive(cluster, &spec, &work, table != NULL ? table->counts : NULL) == 0)
        return finish(cluster, table, &keyed);
    weir_table_free(keyed.table);
    free(table);
    return NULL;
}
