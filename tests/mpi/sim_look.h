/* SPDX-License-Identifier: MIT
 *
 * sim_look.h: what must be true after a simulated call.
 */
#ifndef TEST_MPI_SIM_LOOK_H
#define TEST_MPI_SIM_LOOK_H

#include "sim.h"

struct sim_expected {
    int nodes, code;
    const char *part;
    int failing; /* the number of the call that fails, from 1 */
    int later;   /* the code of later ones */
};

/* Every call of the list must succeed; arg: the struct sim_config. */
void sim_assert_well(const struct sim_outcome *outcome, const struct sim_call *call, void *arg);

/* All nodes get one error; arg: a struct sim_expected. */
void sim_assert_error(const struct sim_outcome *outcome, const struct sim_call *call, void *arg);

/* A call that one node makes otherwise. */
struct sim_odd {
    void (*odd)(struct weir__collective_spec *spec);
    int code;
    const char *part; /* of the message */
};

/* The arguments of one node are not valid: -EINVAL, "refused". */
void sim_odd_argument(struct weir__collective_spec *spec);

/* Runs three such calls, the second of which is odd, with each node but node 0 as the odd one; all
 * get its error, and the third goes well. */
void sim_run_odd(const struct sim_config *config, const struct sim_call *call,
                 const struct sim_odd *odds, size_t count);

/* Runs the calls with messages that are damaged (config->corrupt) and 20 s for each. Adds to
 * returns[true] how often one has returned on a node, and to returns[false] how often not. */
void sim_run_damaged(const struct sim_config *config, const struct sim_call *calls, int count,
                     int returns[2]);

#endif
