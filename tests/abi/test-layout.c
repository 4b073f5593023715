/* SPDX-License-Identifier: MIT
 *
 * test-layout.c: the public types as programs that are compiled already know them.
 *
 * A structure here may get new members only out of `reserved`: its size and the places of its
 * members are part of the soname's promise. Checked by the compiler, and the constants likewise;
 * running it tells that the library in use agrees with the headers about the version.
 */
#include <weir.h>

#include <stdio.h>
#include <string.h>

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has changed its size")
#define PLACE(type, member, offset)                                                                \
    _Static_assert(offsetof(type, member) == (offset), #type "." #member " has moved")

#if defined(__LP64__)
SIZE(weir_range, 16);
PLACE(weir_range, begin, 0);
PLACE(weir_range, end, 8);

SIZE(weir_value, 16);
PLACE(weir_value, type, 0);
PLACE(weir_value, integer, 8);
PLACE(weir_value, real, 8);
PLACE(weir_value, data, 8);
PLACE(weir_value, size, 4);

SIZE(weir_error, 48 + WEIR_ERROR_MESSAGE_SIZE);
PLACE(weir_error, code, 0);
PLACE(weir_error, worker, 4);
PLACE(weir_error, pid, 8);
PLACE(weir_error, signal, 12);
PLACE(weir_error, exit_status, 16);
PLACE(weir_error, attempt, 20);
PLACE(weir_error, task_code, 24);
PLACE(weir_error, range, 32);
PLACE(weir_error, message, 48);

SIZE(weir_scope_options, 80);
PLACE(weir_scope_options, address_space, 0);
PLACE(weir_scope_options, timeout_ms, 8);
PLACE(weir_scope_options, address, 16);
PLACE(weir_scope_options, authkey, 24);
PLACE(weir_scope_options, authkey_size, 32);
PLACE(weir_scope_options, anonymous, 40);
PLACE(weir_scope_options, dump_objects, 41);
PLACE(weir_scope_options, reserved, 48);

SIZE(weir_block_info, 168);
PLACE(weir_block_info, name, 0);
PLACE(weir_block_info, kind, 129);
PLACE(weir_block_info, pid, 148);
PLACE(weir_block_info, size, 152);
PLACE(weir_block_info, ino, 160);

SIZE(weir_pool_options, 112);
PLACE(weir_pool_options, workers, 0);
PLACE(weir_pool_options, initializer, 8);
PLACE(weir_pool_options, finalizer, 16);
PLACE(weir_pool_options, arg, 24);
PLACE(weir_pool_options, chunks_per_worker, 32);
PLACE(weir_pool_options, pin, 40);
PLACE(weir_pool_options, backtrace, 41);
PLACE(weir_pool_options, leave_started, 42);
PLACE(weir_pool_options, keep_stdin, 43);
PLACE(weir_pool_options, close_descriptors, 44);
PLACE(weir_pool_options, job, 48);
PLACE(weir_pool_options, pass_descriptors, 56);
PLACE(weir_pool_options, pass_count, 64);
PLACE(weir_pool_options, nested, 72);
PLACE(weir_pool_options, name, 80);
PLACE(weir_pool_options, reserved, 88);

SIZE(weir_job_options, 104);
PLACE(weir_job_options, chunks, 0);
PLACE(weir_job_options, grain, 8);
PLACE(weir_job_options, arg_size, 16);
PLACE(weir_job_options, retries, 24);
PLACE(weir_job_options, timeout_ms, 28);
PLACE(weir_job_options, chunk_timeout_ms, 32);
PLACE(weir_job_options, keep_going, 36);
PLACE(weir_job_options, shared, 37);
PLACE(weir_job_options, progress_lines, 38);
PLACE(weir_job_options, progress, 40);
PLACE(weir_job_options, on_progress, 48);
PLACE(weir_job_options, on_progress_arg, 56);
PLACE(weir_job_options, report, 64);
PLACE(weir_job_options, name, 72);
PLACE(weir_job_options, reserved, 80);

SIZE(weir_job_report, 96);
PLACE(weir_job_report, failures, 0);
PLACE(weir_job_report, failures_most, 8);
PLACE(weir_job_report, failures_count, 16);
PLACE(weir_job_report, chunks, 24);
PLACE(weir_job_report, done, 32);
PLACE(weir_job_report, failed, 40);
PLACE(weir_job_report, deaths, 48);
PLACE(weir_job_report, retries, 56);
PLACE(weir_job_report, reserved, 64);

SIZE(weir_pool_stats, 64);
PLACE(weir_pool_stats, workers_started, 0);
PLACE(weir_pool_stats, workers_died, 8);
PLACE(weir_pool_stats, chunks_retried, 16);
PLACE(weir_pool_stats, reserved, 24);

SIZE(weir_progress, 96);
PLACE(weir_progress, label, 0);
PLACE(weir_progress, done, 8);
PLACE(weir_progress, failed, 16);
PLACE(weir_progress, total, 24);
PLACE(weir_progress, elapsed_ms, 32);
PLACE(weir_progress, left_ms, 40);
PLACE(weir_progress, rate, 48);
PLACE(weir_progress, ended, 56);
PLACE(weir_progress, reserved, 64);

SIZE(weir_stream_options, 48);
PLACE(weir_stream_options, in_flight, 0);
PLACE(weir_stream_options, unordered, 4);
PLACE(weir_stream_options, job, 8);
PLACE(weir_stream_options, total, 16);
PLACE(weir_stream_options, untaken, 24);
PLACE(weir_stream_options, reserved, 32);

SIZE(weir_item, 56);
PLACE(weir_item, index, 0);
PLACE(weir_item, code, 8);
PLACE(weir_item, data, 16);
PLACE(weir_item, size, 24);
PLACE(weir_item, error, 32);
PLACE(weir_item, reserved, 40);

SIZE(weir_process_options, 72);
PLACE(weir_process_options, leave_started, 0);
PLACE(weir_process_options, keep_stdin, 1);
PLACE(weir_process_options, close_descriptors, 2);
PLACE(weir_process_options, pass_descriptors, 8);
PLACE(weir_process_options, pass_count, 16);
PLACE(weir_process_options, reserved, 24);
SIZE(weir_reduction, 64);
PLACE(weir_reduction, size, 0);
PLACE(weir_reduction, init, 8);
PLACE(weir_reduction, fold, 16);
PLACE(weir_reduction, combine, 24);
PLACE(weir_reduction, reserved, 32);

SIZE(weir_pair, 32);
PLACE(weir_pair, key, 0);
PLACE(weir_pair, key_size, 8);
PLACE(weir_pair, value, 16);
PLACE(weir_pair, value_size, 24);

SIZE(weir_map_reduction, 72);
PLACE(weir_map_reduction, map, 0);
PLACE(weir_map_reduction, value_size, 8);
PLACE(weir_map_reduction, combine, 16);
PLACE(weir_map_reduction, reduce, 24);
PLACE(weir_map_reduction, memory, 32);
PLACE(weir_map_reduction, reserved, 40);

SIZE(weir_text_record, 16);
PLACE(weir_text_record, data, 0);
PLACE(weir_text_record, size, 8);

SIZE(weir_text_cursor, 360);
PLACE(weir_text_cursor, data, 0);
PLACE(weir_text_cursor, file, 8);
PLACE(weir_text_cursor, at, 16);
PLACE(weir_text_cursor, stop, 24);
PLACE(weir_text_cursor, end, 32);
PLACE(weir_text_cursor, lines, 64);
PLACE(weir_text_cursor, inside, 65);
PLACE(weir_text_cursor, words, 321);

SIZE(weir_dict_options, 40);
PLACE(weir_dict_options, max_size, 0);
PLACE(weir_dict_options, reserved, 8);

SIZE(weir_dict_cursor, 16);
PLACE(weir_dict_cursor, at, 0);

SIZE(weir_view, 272);
PLACE(weir_view, data, 0);
PLACE(weir_view, dtype, 8);
PLACE(weir_view, ndim, 12);
PLACE(weir_view, shape, 16);
PLACE(weir_view, strides, 144);
#endif

_Static_assert(WEIR_NONE == 0 && WEIR_BOOL == 1 && WEIR_INT == 2 && WEIR_FLOAT == 3 &&
                   WEIR_STR == 4 && WEIR_BYTES == 5,
               "the types' numbers");
_Static_assert(WEIR_BOOL8 == 1 && WEIR_INT8 == 2 && WEIR_INT64 == 5 && WEIR_UINT8 == 6 &&
                   WEIR_UINT64 == 9 && WEIR_FLOAT32 == 10 && WEIR_FLOAT64 == 11 &&
                   WEIR_COMPLEX64 == 12 && WEIR_COMPLEX128 == 13,
               "the item types' numbers");
_Static_assert(WEIR_ARRAY_LAZY == 1 && WEIR_ARRAY_NPY == 2 && WEIR_ARRAY_HUGE == 4 &&
                   WEIR_ARRAY_NDIM_MAX == 16 && WEIR_SLICE_END == INT64_MIN &&
                   WEIR_JSON_MAX == 4096,
               "the arrays' flags and limits");
_Static_assert(WEIR_DICT_KEY_MAX == 65535 && WEIR_DICT_VALUE_MAX == 134217727 &&
                   WEIR_SCOPE_NAME_MAX == 128,
               "the dictionaries' and names' limits");
_Static_assert(WEIR_EFAILED == -20001 && WEIR_EDIED == -20002, "the error codes");
_Static_assert(WEIR_SHM_LAZY == 1 && WEIR_ERROR_MESSAGE_SIZE == 768, "flags and sizes");

int main(void)
{
    char wanted[32];

    snprintf(wanted, sizeof wanted, "%d.%d.%d", WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR,
             WEIR_VERSION_PATCH);
    if (strcmp(wanted, weir_version()) != 0) {
        printf("the headers are %s, the library is %s\n", wanted, weir_version());
        return 1;
    }
    return 0;
}
