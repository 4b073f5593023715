/* SPDX-License-Identifier: MIT
 *
 * Tasks that use OpenMP, in pools and processes of a program that has used it before.
 */
#include "support.h"

#include <omp.h>

#define ITEMS 100000

static double sum(void)
{
    double total = 0;

#pragma omp parallel for reduction(+ : total) num_threads(2)
    for (int i = 0; i < ITEMS; i++)
        total += i;
    return total;
}

#define SUM ((double)ITEMS * (ITEMS - 1) / 2)

static int call_sum(weir_task *task, void *arg)
{
    const double total = sum();

    (void)arg;
    return weir_task_result(task, &total, sizeof(total));
}

static int sum_is_right(void *arg)
{
    (void)arg;
    return sum() == SUM;
}

static void assert_sum_in_a_worker(weir_pool *pool)
{
    weir_future *future = weir_pool_submit(pool, call_sum, NULL, 0, NULL);

    assert_non_null(future);
    assert_int_equal(weir_future_wait(future, 20000), 0);
    assert_true(*(const double *)weir_future_result(future, NULL) == SUM);
    weir_future_free(future);
}

static void a_task_has_threads__when_the_program_has_used_openmp_before(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;

    (void)state;
    assert_true(sum() == SUM);
    pool = new_pool(scope, 2);
    assert_sum_in_a_worker(pool);
    assert_true(sum() == SUM); /* the program's go on working, */
    assert_sum_in_a_worker(pool);
    weir_pool_free(pool);
    pool = new_pool(scope, 2); /* whenever a pool is made */
    assert_sum_in_a_worker(pool);
    assert_true(sum() == SUM);
    weir_pool_free(pool);
    weir_scope_end(scope);
}

static void a_process_has_threads__when_the_program_has_used_openmp_before(void **state)
{
    weir_scope *scope = begin();
    weir_process *process;
    int code = -1;

    (void)state;
    assert_true(sum() == SUM);
    process = weir_process_start(scope, sum_is_right, NULL);
    assert_non_null(process);
    assert_int_equal(weir_process_join(process, 20000, &code), 0);
    assert_int_equal(code, 1);
    weir_process_free(process);
    weir_scope_end(scope);
}

static void the_region_goes_on__when_a_pool_is_made_in_it(void **state)
{
    weir_scope *scope = begin();
    int threads = 0;

    (void)state;
#pragma omp parallel num_threads(2) reduction(+ : threads)
    {
#pragma omp master
        {
            weir_pool *pool = new_pool(scope, 1);

            weir_pool_free(pool);
        }
#pragma omp barrier
        threads++;
    }
    assert_int_equal(threads, 2);
    weir_scope_end(scope);
}

/* The threads of the test itself, so that teardowns find the program as it was. */
static int end_threads(void **state)
{
    omp_pause_resource_all(omp_pause_hard);
    return leak_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_task_has_threads__when_the_program_has_used_openmp_before,
                                        leak_setup, end_threads),
        cmocka_unit_test_setup_teardown(
            a_process_has_threads__when_the_program_has_used_openmp_before, leak_setup,
            end_threads),
        cmocka_unit_test_setup_teardown(the_region_goes_on__when_a_pool_is_made_in_it, leak_setup,
                                        end_threads),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
