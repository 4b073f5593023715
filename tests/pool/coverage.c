/* SPDX-License-Identifier: MIT
 *
 * coverage.c: a program whose lines coverage.sh counts. Each line with a number behind "counted" is
 * to be counted that often; a worker that replaces another one, and a process, take part in it.
 */
#include <stdio.h>
#include <weir.h>

static int add_up(weir_task *task, weir_range range, void *arg)
{
    _Atomic int64_t *sum = arg;

    (void)task;
    WEIR_EACH (i, range)
        *sum += i; /* counted 1000 */
    return 0;      /* counted 100 */
}

static int start_alone(void *arg)
{
    (void)arg;
    return 0; /* counted 1 */
}

int main(void)
{
    int status = 1, code = -1;

    WEIR_SCOPE (scope, NULL) {
        _Atomic int64_t *sum = weir_scope_alloc(scope, sizeof *sum); /* counted 1 */
        weir_pool *pool =
            weir_pool_new(scope, &(weir_pool_options){.workers = 2, .chunks_per_worker = 30});
        weir_process *process = weir_process_start(scope, start_alone, NULL);

        status = weir_pool_for(pool, weir_range_of(1000), add_up, (void *)sum,
                               &(weir_job_options){.chunks = 100}) != 0 ||
                 weir_process_join(process, -1, &code) != 0 || code != 0 || *sum != 499500;
        weir_pool_free(pool);
        weir_process_free(process);
    }
    if (status != 0)
        fprintf(stderr, "coverage: %s\n", weir_last_error()->message);
    return status; /* counted 1 */
}
