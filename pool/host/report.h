/* SPDX-License-Identifier: MIT
 *
 * report.h: what became of a job's chunks, for its caller.
 */
#ifndef WEIR_REPORT_H
#define WEIR_REPORT_H

#include "pool/host/state.h"

/* A job begins: nothing is known of it. NULL is allowed. */
void weir__report_begin(weir_job_report *report);

/* Adds what became of a job that has settled and is not closed. */
void weir__report_add(weir_job_report *report, struct weir__job *job);

#endif
