/* SPDX-License-Identifier: MIT
 *
 * fingerprint.h: what must be the same in a call on all nodes.
 */
#ifndef WEIR_FINGERPRINT_H
#define WEIR_FINGERPRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir-pool.h"

enum weir__collective_kind {
    WEIR__CLUSTER_FOR = 1,
    WEIR__CLUSTER_REDUCE,
    WEIR__CLUSTER_BROADCAST,
    WEIR__CLUSTER_BARRIER,
    WEIR__CLUSTER_MAP_REDUCE,
    WEIR__CLUSTER_SORTED,
    WEIR__CLUSTER_GATHER,
};

enum weir__print {
    WEIR__PRINT_KIND, /* enum weir__collective_kind */
    WEIR__PRINT_BEGIN,
    WEIR__PRINT_END,
    WEIR__PRINT_CHUNKS,
    WEIR__PRINT_GRAIN,
    WEIR__PRINT_BLOCK,
    WEIR__PRINT_STAY,
    WEIR__PRINT_SIZE, /* of an accumulator, of what is broadcast, of a value */
    WEIR__PRINT_FROM,
    WEIR__PRINT_ARG_SIZE,
    WEIR__PRINT_RETRIES,
    WEIR__PRINT_TIMEOUT,
    WEIR__PRINT_CHUNK_TIMEOUT,
    WEIR__PRINT_KEEP_GOING,
    WEIR__PRINT_ANY_ORDER,
    WEIR__PRINT_REDUCES, /* there is a reduce function */
    WEIR__PRINT_TABLE,   /* the number of the call that made it */
    WEIR__PRINT_MOST,
    WEIR__PRINTS
};

struct weir__fingerprint {
    int64_t value[WEIR__PRINTS];
};

void weir__fingerprint_options(struct weir__fingerprint *print, const weir_job_options *options);

/* False if they differ; then `text` says in what: "size is 8 and 16". */
bool weir__fingerprint_same(const struct weir__fingerprint *one,
                            const struct weir__fingerprint *other, char *text, size_t size);

const char *weir__collective_name(int64_t kind);

#endif
