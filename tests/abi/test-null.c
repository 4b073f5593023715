/* SPDX-License-Identifier: MIT
 *
 * The headers' rule for an object that is NULL, function by function: a pointer is NULL, an int is
 * -EINVAL, a size, a bool or a range is 0, false or empty, and the last error is set each time.
 * What closes, frees, ends, disconnects, cancels, interrupts, resumes or kills takes NULL.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <weir.h>

static void assert_refusal(const char *call)
{
    if (weir_last_error()->code != -EINVAL || weir_last_error()->message[0] == '\0')
        fail_msg("%s: the last error is %d, \"%s\"", call, weir_last_error()->code,
                 weir_last_error()->message);
}

#define IS_EINVAL(call)                                                                            \
    do {                                                                                           \
        weir_clear_error();                                                                        \
        if ((call) != -EINVAL)                                                                     \
            fail_msg("%s is not -EINVAL", #call);                                                  \
        assert_refusal(#call);                                                                     \
    } while (0)

#define IS_NOTHING(call)                                                                           \
    do {                                                                                           \
        weir_clear_error();                                                                        \
        if (call)                                                                                  \
            fail_msg("%s is not 0, false or NULL", #call);                                         \
        assert_refusal(#call);                                                                     \
    } while (0)

#define IS_SILENT(call)                                                                            \
    do {                                                                                           \
        weir_clear_error();                                                                        \
        call;                                                                                      \
        if (weir_last_error()->code != 0)                                                          \
            fail_msg("%s: %s", #call, weir_last_error()->message);                                 \
    } while (0)

static void shm_keeps_the_rule__when_the_object_is_null(void **state)
{
    weir_value value = weir_int(1);
    weir_dict_cursor cursor = {{0, 0}};
    int64_t number = 0, index[1] = {0};
    uint64_t offset;
    weir_view view;
    char buf[64];

    (void)state;
    IS_NOTHING(weir_shm_buf(NULL));
    IS_NOTHING(weir_shm_size(NULL));
    IS_NOTHING(weir_shm_name(NULL));
    IS_EINVAL(weir_shm_path(NULL, buf, sizeof buf, &offset));
    IS_EINVAL(weir_shm_unlink(NULL));
    IS_NOTHING(weir_shm_attach(NULL));
    IS_SILENT(weir_shm_close(NULL));

    IS_NOTHING(weir_list_create(NULL, NULL, 1));
    IS_NOTHING(weir_list_attach(NULL));
    IS_NOTHING(weir_list_shm(NULL));
    IS_EINVAL(weir_list_len(NULL));
    IS_EINVAL(weir_list_get(NULL, 0, &value));
    IS_EINVAL(weir_list_get_data(NULL, 0, buf, sizeof buf));
    IS_EINVAL(weir_list_set(NULL, 0, value));
    IS_EINVAL(weir_list_add(NULL, 0, 1, NULL));
    IS_EINVAL(weir_list_index(NULL, value));
    IS_EINVAL(weir_list_count(NULL, value));
    IS_EINVAL(weir_list_format(NULL, buf, sizeof buf));
    IS_SILENT(weir_list_close(NULL));

    IS_NOTHING(weir_array_create(NULL, WEIR_INT8, 1, NULL, 0));
    IS_NOTHING(weir_array_attach(NULL));
    IS_NOTHING(weir_array_attach_raw(NULL, WEIR_INT8, 1, index));
    IS_NOTHING(weir_array_shm(NULL));
    IS_NOTHING(weir_array_data(NULL));
    IS_NOTHING(weir_array_dtype(NULL));
    IS_EINVAL(weir_array_ndim(NULL));
    IS_NOTHING(weir_array_shape(NULL));
    IS_EINVAL(weir_array_stride(NULL, 0));
    IS_NOTHING(weir_array_item_size(NULL));
    IS_EINVAL(weir_array_len(NULL));
    IS_EINVAL(weir_array_populate(NULL, weir_range_of(1)));
    IS_EINVAL(weir_array_view(NULL, &view));
    IS_EINVAL(weir_array_fill(NULL, buf));
    IS_EINVAL(weir_array_copy_in(NULL, buf, 1));
    IS_EINVAL(weir_array_copy_out(NULL, buf, 1));
    IS_EINVAL(weir_view_slice(NULL, 0, 0, 1, 1, &view));
    IS_EINVAL(weir_view_at(NULL, 0, 0, &view));
    IS_EINVAL(weir_view_len(NULL));
    IS_NOTHING(weir_view_item(NULL, index));
    IS_EINVAL(weir_view_fill(NULL, buf));
    IS_EINVAL(weir_view_copy_in(NULL, buf, 1));
    IS_EINVAL(weir_view_copy_out(NULL, buf, 1));
    IS_SILENT(weir_array_close(NULL));

    IS_NOTHING(weir_dict_attach(NULL));
    IS_NOTHING(weir_dict_shm(NULL));
    IS_EINVAL(weir_dict_get(NULL, value, &value, buf, sizeof buf));
    IS_EINVAL(weir_dict_contains(NULL, value));
    IS_EINVAL(weir_dict_set(NULL, value, value));
    IS_EINVAL(weir_dict_setdefault(NULL, value, value, NULL, NULL, 0));
    IS_EINVAL(weir_dict_add(NULL, value, 1, NULL));
    IS_EINVAL(weir_dict_compare_and_set(NULL, value, &number, 1));
    IS_EINVAL(weir_dict_get_many(NULL, &value, 1, &value, NULL, buf, sizeof buf));
    IS_EINVAL(weir_dict_set_many(NULL, &value, &value, 1, NULL));
    IS_EINVAL(weir_dict_add_many(NULL, &value, &number, 1, NULL));
    IS_EINVAL(weir_dict_delete(NULL, value));
    IS_EINVAL(weir_dict_pop(NULL, value, &value, buf, sizeof buf));
    IS_EINVAL(weir_dict_popitem(NULL, &value, &value, buf, sizeof buf));
    IS_EINVAL(weir_dict_next(NULL, &cursor, &value, &value, buf, sizeof buf));
    IS_EINVAL(weir_dict_len(NULL));
    IS_EINVAL(weir_dict_clear(NULL));
    IS_EINVAL(weir_dict_update(NULL, NULL));
    IS_NOTHING(weir_dict_copy(NULL, NULL));
    IS_SILENT(weir_dict_close(NULL));

    IS_NOTHING(weir_shm_to_json(NULL));
    IS_NOTHING(weir_list_to_json(NULL));
    IS_NOTHING(weir_array_to_json(NULL));
    IS_NOTHING(weir_dict_to_json(NULL));
    IS_NOTHING(weir_list_repr(NULL, 0));
    IS_NOTHING(weir_array_repr(NULL, 0));
    IS_NOTHING(weir_dict_repr(NULL, 0));
    IS_NOTHING(weir_shm_from_json(NULL));
    IS_NOTHING(weir_list_from_json(NULL));
    IS_NOTHING(weir_array_from_json(NULL));
    IS_NOTHING(weir_dict_from_json(NULL));
}

static void scope_keeps_the_rule__when_the_object_is_null(void **state)
{
    const int64_t shape[1] = {1};
    weir_scope *none = NULL;
    char byte = 0;

    (void)state;
    IS_NOTHING(weir_scope_shm(NULL, 1));
    IS_NOTHING(weir_scope_shm_named(NULL, "a", 1));
    IS_NOTHING(weir_scope_list(NULL, NULL, 0));
    IS_NOTHING(weir_scope_list_named(NULL, "a", NULL, 0));
    IS_NOTHING(weir_scope_list_range(NULL, 0, 1, 1));
    IS_NOTHING(weir_scope_array(NULL, WEIR_INT8, 1, shape, 0));
    IS_NOTHING(weir_scope_array_named(NULL, "a", WEIR_INT8, 1, shape, 0));
    IS_NOTHING(weir_scope_dict(NULL, NULL));
    IS_NOTHING(weir_scope_dict_named(NULL, "a", NULL));
    IS_NOTHING(weir_scope_items(NULL, WEIR_INT8, 1));
    IS_NOTHING(weir_scope_doubles(NULL, 1));
    IS_NOTHING(weir_scope_array_at(NULL, &byte));
    IS_NOTHING(weir_scope_arena(NULL, 0));
    IS_NOTHING(weir_scope_alloc(NULL, 1));
    IS_NOTHING(weir_arena_alloc(NULL, 1));
    IS_NOTHING(weir_arena_size(NULL));
    IS_SILENT(weir_arena_free(NULL));
    IS_EINVAL(weir_scope_sync(NULL));
    IS_EINVAL(weir_scope_manager_pid(NULL));
    IS_EINVAL(weir_scope_blocks(NULL, NULL, 0));
    IS_NOTHING(weir_scope_attach_shm(NULL, "x"));
    IS_NOTHING(weir_scope_attach_list(NULL, "x"));
    IS_NOTHING(weir_scope_attach_array(NULL, "x"));
    IS_NOTHING(weir_scope_attach_dict(NULL, "x"));
    IS_EINVAL(weir_scope_lookup(NULL, "a", NULL));
    IS_EINVAL(weir_scope_track(NULL, "a"));
    IS_EINVAL(weir_scope_release(NULL, "a"));
    IS_NOTHING(weir_scope_connect(NULL, NULL, 0));
    IS_SILENT(weir_scope_disconnect(NULL));
    IS_SILENT(assert_int_equal(weir_scope_end(NULL), 0));
    IS_SILENT(weir_scope_leave(&none));
}

static int work(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

static int call(weir_task *task, void *arg)
{
    (void)task;
    (void)arg;
    return 0;
}

static int map(weir_task *task, const void *in, void *out, void *arg)
{
    (void)task;
    (void)in;
    (void)out;
    (void)arg;
    return 0;
}

static int target(void *arg)
{
    (void)arg;
    return 0;
}

static void on_end(weir_future *future, void *arg)
{
    (void)future;
    (void)arg;
}

static void pool_keeps_the_rule__when_the_object_is_null(void **state)
{
    const weir_range range = weir_range_of(1);
    const weir_reduction reduction = {.size = 1};
    const weir_map_reduction map_reduction = {.map = work};
    int code, number = 0;
    char in[1] = {0}, out[1];
    weir_item item;
    size_t size;

    (void)state;
    IS_NOTHING(weir_process_start(NULL, target, NULL));
    IS_NOTHING(weir_process_start_with(NULL, target, NULL, NULL));
    IS_EINVAL(weir_process_join(NULL, 0, &code));
    IS_EINVAL(weir_process_pid(NULL));
    IS_EINVAL(weir_process_kill(NULL, 9));
    IS_SILENT(weir_process_free(NULL));

    IS_NOTHING(weir_pool_new(NULL, NULL));
    IS_EINVAL(weir_pool_workers(NULL));
    IS_EINVAL(weir_pool_supervisor_pid(NULL));
    IS_EINVAL(weir_pool_worker_pid(NULL, 0));
    IS_EINVAL(weir_pool_for(NULL, range, work, NULL, NULL));
    IS_EINVAL(weir_pool_map(NULL, map, in, 1, out, 1, 1, NULL, NULL));
    IS_EINVAL(weir_pool_reduce(NULL, range, &reduction, out, NULL, NULL));
    IS_NOTHING(weir_pool_map_reduce(NULL, range, &map_reduction, NULL, NULL));
    IS_NOTHING(weir_pool_submit(NULL, call, NULL, 0, NULL));
    IS_NOTHING(WEIR_SUBMIT(NULL, call, number, NULL));
    IS_NOTHING(weir_pool_for_async(NULL, range, work, NULL, NULL));
    IS_NOTHING(weir_pool_map_async(NULL, map, in, 1, out, 1, 1, NULL, NULL));
    IS_NOTHING(weir_pool_reduce_async(NULL, range, &reduction, NULL, NULL));
    IS_NOTHING(weir_pool_map_reduce_async(NULL, range, &map_reduction, NULL, NULL));
    IS_EINVAL(weir_pool_fd(NULL));
    IS_EINVAL(weir_pool_dispatch(NULL));
    IS_EINVAL(weir_pool_each(NULL, call, NULL, NULL));
    IS_EINVAL(weir_pool_use_loop(NULL, NULL));
    IS_SILENT(weir_pool_cancel(NULL));
    IS_SILENT(weir_pool_interrupt(NULL));
    IS_SILENT(weir_pool_resume(NULL));
    IS_SILENT(weir_pool_kill(NULL));
    IS_SILENT(weir_pool_free(NULL));

    IS_EINVAL(weir_future_wait(NULL, 0));
    IS_NOTHING(weir_future_done(NULL));
    IS_NOTHING(weir_future_result(NULL, &size));
    IS_NOTHING(weir_future_error(NULL));
    IS_NOTHING(weir_future_table(NULL));
    IS_EINVAL(weir_future_then(NULL, on_end, NULL));
    IS_EINVAL(weir_future_wait_many(NULL, 1, WEIR_WHEN_ANY, 0));
    IS_SILENT(weir_future_cancel(NULL));
    IS_SILENT(weir_future_free(NULL));

    IS_NOTHING(weir_stream_new(NULL, call, NULL));
    IS_EINVAL(weir_pool_get_stats(NULL, NULL));
    IS_NOTHING(weir_waiter_new(NULL));
    IS_EINVAL(weir_waiter_add(NULL, NULL, NULL));
    IS_EINVAL(weir_waiter_next(NULL, NULL, NULL, 0));
    IS_SILENT(weir_waiter_free(NULL));
    IS_EINVAL(weir_stream_put(NULL, NULL, 0));
    IS_EINVAL(weir_stream_next(NULL, &item, 0));
    IS_SILENT(weir_stream_free(NULL));
}

static void tasks_keep_the_rule__when_the_object_is_null(void **state)
{
    (void)state;
    IS_EINVAL(weir_task_fail(NULL, 7, "no"));
    IS_EINVAL(weir_task_log(NULL, "no"));
    weir_task_count(NULL, "no", 1);
    weir_span_end(NULL);
    assert_null(weir_span_begin(NULL, "no").task);
    IS_EINVAL(weir_task_result(NULL, "", 1));
    IS_EINVAL(weir_task_worker(NULL));
    IS_EINVAL(weir_task_attempt(NULL));
    IS_EINVAL(weir_task_chunk(NULL));
    IS_NOTHING(weir_task_cancelled(NULL));
    IS_EINVAL(weir_emit(NULL, "a", 1, "a", 1));
    IS_EINVAL(weir_emit_str(NULL, "a", "a", 1));
    IS_EINVAL(weir_emit_int64(NULL, "a", 1, 1));
}

static void map_reduce_keeps_the_rule__when_the_object_is_null(void **state)
{
    weir_table_cursor cursor = {0};
    weir_text_cursor at;
    weir_pair pair;
    size_t count;

    (void)state;
    IS_EINVAL(weir_table_len(NULL));
    IS_EINVAL(weir_table_get(NULL, "a", 1, &pair));
    IS_EINVAL(weir_table_next(NULL, &cursor, &pair));
    IS_NOTHING(weir_table_sorted(NULL, weir_pair_by_key, 1, &count));
    IS_SILENT(weir_table_free(NULL));
    IS_NOTHING(weir_text_open(NULL, "/dev/null"));
    IS_NOTHING(weir_text_open_many(NULL, NULL, 1));
    IS_NOTHING(weir_text_range(NULL).end);
    IS_NOTHING(weir_text_files(NULL));
    IS_NOTHING(weir_text_path(NULL, 0));
    IS_NOTHING(weir_text_data(NULL, 0, &count));
    IS_EINVAL(weir_text_slice(NULL, weir_range_of(1), WEIR_TEXT_WORDS, &at));
    IS_EINVAL(weir_text_slice_at(NULL, weir_range_of(1), " ", &at));
    IS_SILENT(weir_text_close(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shm_keeps_the_rule__when_the_object_is_null),
        cmocka_unit_test(scope_keeps_the_rule__when_the_object_is_null),
        cmocka_unit_test(pool_keeps_the_rule__when_the_object_is_null),
        cmocka_unit_test(tasks_keep_the_rule__when_the_object_is_null),
        cmocka_unit_test(map_reduce_keeps_the_rule__when_the_object_is_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
