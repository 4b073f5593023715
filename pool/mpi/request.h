/* SPDX-License-Identifier: MIT
 *
 * request.h: a call's arguments become a spec.
 */
#ifndef WEIR_REQUEST_H
#define WEIR_REQUEST_H

#include "pool/mpi/cluster.h"
#include "pool/mpi/state.h"

/* Of a call of this kind, without a range. */
struct weir__collective_spec weir__request(enum weir__collective_kind kind);

/* Range, options and job of a call. What is not valid is in spec->refused then. Returns the options
 * that are not NULL. */
const weir_job_options *weir__request_job(struct weir__collective_spec *spec,
                                          const struct weir_cluster *cluster, weir_range range,
                                          void *arg, const weir_job_options *options,
                                          const weir_cluster_job *job);

/* Options of a job that a call on the cluster runs on this node: those of its tasks. Time, progress
 * and the cut are the cluster's. */
weir_job_options weir__request_own(const weir_job_options *options);

/* This node's call is not valid: has its effect if nothing was found before. */
void weir__request_refuse(struct weir__collective_spec *spec, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
