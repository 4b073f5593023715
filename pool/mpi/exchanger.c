/* SPDX-License-Identifier: MIT
 *
 * exchanger.c: what a node does in a call in which parts are exchanged.
 */
#include "pool/mpi/exchanger.h"

static void note_end(weir_future *future, void *arg)
{
    struct weir__exchanger *exchanger = arg;

    (void)future;
    exchanger->future_ended = true;
}

weir_future *weir__exchanger_run(struct weir__exchanger *exchanger, weir_range range,
                                 const weir_job_options *options)
{
    return exchanger->functions->run(exchanger, range, options);
}

int weir__exchanger_wait_for(struct weir__exchanger *exchanger, weir_future *future)
{
    exchanger->future_ended = false;
    exchanger->future = future;
    if (future != NULL && weir_future_then(future, note_end, exchanger) == 0)
        return 0;
    exchanger->future = NULL;
    weir_future_free(future);
    return weir_last_error()->code;
}

bool weir__exchanger_step(struct weir__exchanger *exchanger, struct weir__collective *call)
{
    int result;

    if (exchanger->future != NULL && !exchanger->future_ended)
        return false;
    if (weir__collective_may_produce(call))
        result = exchanger->functions->produce(exchanger, call);
    else if (weir__collective_is_fed(call))
        result = exchanger->functions->merge(exchanger, call);
    else
        return false;
    if (result < 0)
        weir__collective_fail(call, weir_last_error());
    return true;
}

void weir__exchanger_end(struct weir__exchanger *exchanger)
{
    weir_future *future = exchanger->future;

    exchanger->future = NULL;
    weir_future_free(future);
}
