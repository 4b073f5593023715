/* SPDX-License-Identifier: MIT
 *
 * show.h: progress of a call over all nodes, on node 0.
 */
#ifndef WEIR_SHOW_H
#define WEIR_SHOW_H

#include "pool/mpi/state.h"

struct weir__show {
    const weir_job_options *options; /* NULL: nothing is shown */
    uint64_t total;
    int64_t begin_ns, shown_ns;
    int tenths; /* of which a line was written */
};

void weir__show_begin(struct weir__show *show, const weir_job_options *options,
                      const struct weir__collective *call);
void weir__show_progress(struct weir__show *show, struct weir__collective *call, int64_t now_ns);
void weir__show_end(struct weir__show *show, const struct weir__collective *call, int64_t now_ns);

#endif
