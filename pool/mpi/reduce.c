/* SPDX-License-Identifier: MIT
 *
 * reduce.c: a reduction over a range, on all nodes.
 */
#include <string.h>

#include "pool/mpi/drive.h"
#include "pool/mpi/request.h"

static void check(struct weir__collective_spec *spec, const weir_reduction *reduction,
                  const void *result)
{
    if (reduction == NULL) {
        weir__request_refuse(spec, "the reduction is NULL");
        return;
    }
    for (size_t i = 0; i < sizeof reduction->reserved / sizeof reduction->reserved[0]; i++)
        if (reduction->reserved[i] != 0)
            weir__request_refuse(spec, "weir_reduction.reserved must be zero");
    if (reduction->size == 0 || reduction->size > PTRDIFF_MAX / 4)
        weir__request_refuse(spec, "the reduction's size is %zu; it must be from 1 to %td bytes",
                             reduction->size, PTRDIFF_MAX / 4);
    if (reduction->fold == NULL || reduction->combine == NULL)
        weir__request_refuse(spec, "the reduction's %s is NULL",
                             reduction->fold == NULL ? "fold" : "combine");
    if (result == NULL)
        weir__request_refuse(spec, "the place for the reduction's result is NULL");
}

int weir_cluster_reduce(weir_cluster *cluster, weir_range range, const weir_reduction *reduction,
                        void *result, void *arg, const weir_job_options *options,
                        const weir_cluster_job *job)
{
    struct weir__collective_spec spec = weir__request(WEIR__CLUSTER_REDUCE);
    struct weir__work work = {.reduction = reduction, .arg = arg};
    int error = weir__cluster_use(cluster);

    if (error < 0)
        return error;
    check(&spec, reduction, result);
    if (spec.refused.code == 0) {
        spec.size = reduction->size;
        spec.print.value[WEIR__PRINT_SIZE] = (int64_t)reduction->size;
        spec.combine = reduction->combine;
        spec.arg = arg;
    }
    work.options = weir__request_job(&spec, cluster, range, arg, options, job);
    error = weir__drive(cluster, &spec, &work, result);
    if (error < 0 || spec.cut.blocks > 0)
        return error;
    if (reduction->init != NULL)
        reduction->init(result, arg);
    else
        memset(result, 0, reduction->size);
    return 0;
}
