/* SPDX-License-Identifier: MIT
 *
 * fingerprint.c: what must be the same in a call on all nodes.
 *
 * The values themselves are compared, not a hash of them, so that a difference has a name.
 */
#include "pool/mpi/fingerprint.h"

#include <stdio.h>

static const char *const names[WEIR__PRINTS] = {
    [WEIR__PRINT_KIND] = "the function",
    [WEIR__PRINT_BEGIN] = "the range's begin",
    [WEIR__PRINT_END] = "the range's end",
    [WEIR__PRINT_CHUNKS] = "chunks",
    [WEIR__PRINT_GRAIN] = "grain",
    [WEIR__PRINT_BLOCK] = "block",
    [WEIR__PRINT_STAY] = "stay",
    [WEIR__PRINT_SIZE] = "the size",
    [WEIR__PRINT_FROM] = "from",
    [WEIR__PRINT_ARG_SIZE] = "arg_size",
    [WEIR__PRINT_RETRIES] = "retries",
    [WEIR__PRINT_TIMEOUT] = "timeout_ms",
    [WEIR__PRINT_CHUNK_TIMEOUT] = "chunk_timeout_ms",
    [WEIR__PRINT_KEEP_GOING] = "keep_going",
    [WEIR__PRINT_ANY_ORDER] = "any_order",
    [WEIR__PRINT_REDUCES] = "whether there is a reduce function",
    [WEIR__PRINT_TABLE] = "the call that made the table",
    [WEIR__PRINT_MOST] = "most",
};

const char *weir__collective_name(int64_t kind)
{
    switch (kind) {
    case WEIR__CLUSTER_FOR:
        return "weir_cluster_for()";
    case WEIR__CLUSTER_REDUCE:
        return "weir_cluster_reduce()";
    case WEIR__CLUSTER_BROADCAST:
        return "weir_cluster_broadcast()";
    case WEIR__CLUSTER_BARRIER:
        return "weir_cluster_barrier()";
    case WEIR__CLUSTER_MAP_REDUCE:
        return "weir_cluster_map_reduce()";
    case WEIR__CLUSTER_SORTED:
        return "weir_cluster_table_sorted()";
    case WEIR__CLUSTER_GATHER:
        return "weir_cluster_table_gather()";
    default:
        return "no function of a cluster";
    }
}

void weir__fingerprint_options(struct weir__fingerprint *print, const weir_job_options *options)
{
    print->value[WEIR__PRINT_CHUNKS] = options->chunks;
    print->value[WEIR__PRINT_GRAIN] = options->grain;
    print->value[WEIR__PRINT_ARG_SIZE] = (int64_t)options->arg_size;
    print->value[WEIR__PRINT_RETRIES] = options->retries;
    print->value[WEIR__PRINT_TIMEOUT] = options->timeout_ms;
    print->value[WEIR__PRINT_CHUNK_TIMEOUT] = options->chunk_timeout_ms;
    print->value[WEIR__PRINT_KEEP_GOING] = options->keep_going;
}

bool weir__fingerprint_same(const struct weir__fingerprint *one,
                            const struct weir__fingerprint *other, char *text, size_t size)
{
    for (int i = 0; i < WEIR__PRINTS; i++) {
        const int64_t a = one->value[i], b = other->value[i];

        if (a == b)
            continue;
        if (i == WEIR__PRINT_KIND)
            snprintf(text, size, "%s is %s and %s", names[i], weir__collective_name(a),
                     weir__collective_name(b));
        else
            snprintf(text, size, "%s is %lld and %lld", names[i], (long long)a, (long long)b);
        return false;
    }
    return true;
}
