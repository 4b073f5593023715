/* SPDX-License-Identifier: MIT
 *
 * for.c: a function over a range, on all nodes.
 */
#include "pool/mpi/drive.h"
#include "pool/mpi/request.h"

int weir_cluster_for(weir_cluster *cluster, weir_range range, weir_task_fn function, void *arg,
                     const weir_job_options *options, const weir_cluster_job *job)
{
    struct weir__collective_spec spec = weir__request(WEIR__CLUSTER_FOR);
    struct weir__work work = {.function = function, .arg = arg};
    int error = weir__cluster_use(cluster);

    if (error < 0)
        return error;
    if (function == NULL)
        weir__request_refuse(&spec, "the task's function is NULL");
    work.options = weir__request_job(&spec, cluster, range, arg, options, job);
    return weir__drive(cluster, &spec, &work, NULL);
}
