/* SPDX-License-Identifier: MIT
 *
 * test-scope-array.c: arrays, views and handles of a scope's objects, in several processes.
 */
#include "scoped.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static void join(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void array_and_view_are_good_everywhere__when_made_before_and_after_a_fork(void **state)
{
    const int64_t shape[] = {6, 10};
    weir_array *before = weir_scope_array(scope, WEIR_INT64, 2, shape, 0);
    weir_shm *mailbox = weir_scope_shm(scope, sizeof(weir_array *) + sizeof(weir_view));
    struct {
        weir_array *array;
        weir_view view;
    } *mail = weir_shm_buf(mailbox);
    pid_t child;
    int gate[2];

    (void)state;
    assert_non_null(before);
    assert_int_equal(weir_array_view(before, &mail->view), 0);
    assert_int_equal(weir_view_slice(&mail->view, 0, 1, WEIR_SLICE_END, 2, &mail->view), 0);
    assert_int_equal(pipe(gate), 0);
    child = fork();
    if (child == 0) {
        const int64_t seven = 7, eight = 8;
        char byte;

        child_reset();
        close(gate[1]); /* should the parent fail, this process ends */
        if (read(gate[0], &byte, 1) != 1 || weir_scope_sync(scope) < 0 ||
            weir_view_fill(&mail->view, &seven) < 0 || weir_array_fill(mail->array, &eight) < 0)
            _exit(1);
        mail->array = weir_scope_array(scope, WEIR_INT64, 2, shape, WEIR_ARRAY_NPY);
        _exit(!mail->array || weir_array_fill(mail->array, &seven) < 0);
    }
    mail->array = weir_scope_array(scope, WEIR_INT64, 2, shape, WEIR_ARRAY_NPY);
    assert_int_equal(((int64_t *)weir_array_data(mail->array))[59], 0);
    {
        const weir_array *after = mail->array;

        assert_int_equal(write(gate[1], "", 1), 1);
        join(child);
        for (int64_t i = 0; i < 60; i++) {
            assert_int_equal(((int64_t *)weir_array_data(before))[i], i / 10 % 2 ? 7 : 0);
            assert_int_equal(((int64_t *)weir_array_data(after))[i], 8);
        }
    }
    /* And one that the child made. */
    assert_int_equal(weir_scope_sync(scope), 0);
    assert_int_equal(weir_array_len(mail->array), 60);
    assert_int_equal(((int64_t *)weir_array_data(mail->array))[59], 7);
    close(gate[0]);
    close(gate[1]);
}

static void array_is_a_file_of_numpys__when_attached_by_name(void **state)
{
    const int64_t shape[] = {3};
    weir_array *array = weir_scope_array(scope, WEIR_FLOAT32, 1, shape, WEIR_ARRAY_NPY);
    weir_array *same;

    (void)state;
    ONLY_WITH_NAMES();
    same = weir_array_attach(weir_shm_name(weir_array_shm(array)));
    assert_non_null(same);
    ((float *)weir_array_data(same))[2] = 1.5f;
    assert_true(((float *)weir_array_data(array))[2] == 1.5f);
    weir_array_close(same);
    weir_array_close(array); /* with its name it belongs to the scope */
    assert_int_equal(weir_array_len(array), 3);
    assert_int_equal(weir_shm_unlink(weir_array_shm(array)), 0);
    weir_array_close(array);
}

static void memory_is_there__when_children_populate_a_lazy_array(void **state)
{
    const int64_t count = 4 << 20;
    weir_array *array = weir_scope_array(scope, WEIR_UINT8, 1, &count, WEIR_ARRAY_LAZY);
    char path[WEIR_SHM_PATH_MAX];
    uint64_t offset;
    struct stat status;
    pid_t children[2];

    (void)state;
    assert_non_null(array);
    assert_int_equal(weir_shm_path(weir_array_shm(array), path, sizeof path, &offset), 0);
    assert_int_equal(stat(path, &status), 0);
    /* the first page, and where it is a part of a file that grows, the last one */
    assert_true(status.st_blocks * 512 <= sysconf(_SC_PAGESIZE) * (scopes_are_anonymous() ? 2 : 1));
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            child_reset();
            _exit(weir_array_populate(array, (weir_range){i * count / 2, (i + 1) * count / 2}) < 0);
        }
    }
    join(children[0]);
    join(children[1]);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_blocks * 512, count);
}

static void block_begins_at_a_huge_page__when_it_is_large(void **state)
{
    const int64_t count = 3 << 20;

    (void)state;
    for (int i = 0; i < 5; i++) {
        weir_array *array = weir_scope_array(scope, WEIR_UINT8, 1, &count, WEIR_ARRAY_HUGE);

        assert_non_null(array);
        assert_non_null(weir_scope_shm(scope, 1)); /* something small in between */
        assert_int_equal((uintptr_t)weir_array_data(array) % (2 << 20), 0);
    }
}

static void handle_gives_a_handle_of_its_own__when_the_object_is_of_a_scope(void **state)
{
    const int64_t shape[] = {2, 2};
    weir_array *array = weir_scope_array(scope, WEIR_UINT16, 2, shape, 0), *same_array;
    weir_list *list = weir_scope_list_range(scope, 0, 3, 1), *same_list;
    weir_shm *shm = weir_scope_shm(scope, 10), *same_shm;
    char *text = weir_array_to_json(array);

    (void)state;
    if (scopes_are_anonymous())
        assert_true(text == NULL && weir_last_error()->code == -ENOTSUP);
    ONLY_WITH_NAMES();
    same_array = weir_array_from_json(text);
    assert_non_null(same_array);
    assert_true(same_array != array && weir_array_data(same_array) != weir_array_data(array));
    *(uint16_t *)weir_array_data(same_array) = 9;
    assert_int_equal(*(uint16_t *)weir_array_data(array), 9);
    weir_array_close(same_array);
    free(text);

    text = weir_list_to_json(list);
    same_list = weir_list_from_json(text);
    assert_non_null(same_list);
    assert_int_equal(weir_list_set(same_list, 0, weir_int(5)), 0);
    assert_int_equal(weir_list_index(list, weir_int(5)), 0);
    weir_list_close(same_list);
    free(text);

    text = weir_shm_to_json(shm);
    same_shm = weir_shm_from_json(text);
    assert_non_null(same_shm);
    assert_int_equal(weir_shm_size(same_shm), 10);
    weir_shm_close(same_shm);
    assert_int_equal(weir_shm_unlink(shm), 0);
    assert_null(weir_shm_from_json(text));
    assert_int_equal(weir_last_error()->code, -ENOENT);
    free(text);
}

static void making_is_refused__when_it_makes_no_sense(void **state)
{
    const int64_t shape[] = {2, -1};
    const int files = shm_files();
    weir_scope *ended = weir_scope_begin(NULL);

    (void)state;
    assert_null(weir_scope_array(scope, WEIR_INT8, 2, shape, 0));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_array(scope, (weir_dtype)0, 1, shape, 0));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_array(scope, WEIR_INT8, 1, shape, 64));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_int_equal(weir_scope_end(ended), 0);
    assert_null(weir_scope_array(ended, WEIR_INT8, 1, shape, 0));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_int_equal(shm_files(), files);
}
static void items_are_zero_and_of_their_array__when_made_by_type(void **state)
{
    weir_scope *own = weir_scope_begin(NULL);
    double *x = weir_scope_doubles(own, 1000);
    int64_t *n = weir_scope_int64s(own, 3);
    unsigned char *bytes = weir_scope_bytes(own, 1);
    weir_shm *shm = weir_scope_shm(own, 64);
    weir_array *array;

    (void)state;
    assert_non_null(x);
    assert_non_null(n);
    assert_non_null(bytes);
    assert_non_null(shm);
    for (int i = 0; i < 1000; i++)
        assert_true(x[i] == 0);
    array = weir_scope_array_at(own, &x[999]);
    assert_ptr_equal(array, weir_scope_array_at(own, x));
    assert_ptr_equal(weir_array_data(array), x);
    assert_int_equal(weir_array_len(array), 1000);
    assert_int_equal(weir_array_dtype(array), WEIR_FLOAT64);
    assert_int_equal(weir_array_dtype(weir_scope_array_at(own, n)), WEIR_INT64);
    assert_int_equal(weir_array_dtype(weir_scope_array_at(own, bytes)), WEIR_UINT8);
    /* behind the last item, in another kind of object, in private memory, nowhere */
    assert_null(weir_scope_array_at(own, &x[1000]));
    assert_int_equal(weir_last_error()->code, -ENOENT);
    assert_null(weir_scope_array_at(own, weir_shm_buf(shm)));
    assert_int_equal(weir_last_error()->code, -ENOENT);
    assert_null(weir_scope_array_at(own, &own));
    assert_null(weir_scope_array_at(own, NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    /* given back early, as any array */
    assert_int_equal(weir_shm_unlink(weir_array_shm(array)), 0);
    weir_array_close(array);
    assert_null(weir_scope_array_at(own, x));
    assert_null(weir_scope_doubles(own, SIZE_MAX));
    assert_int_equal(weir_last_error()->code, -E2BIG);
    assert_null(weir_scope_doubles(NULL, 1));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    weir_scope_end(own);
    assert_null(weir_scope_doubles(own, 1));
    assert_null(weir_scope_array_at(own, n));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(array_and_view_are_good_everywhere__when_made_before_and_after_a_fork),
        CASE(array_is_a_file_of_numpys__when_attached_by_name),
        CASE(memory_is_there__when_children_populate_a_lazy_array),
        CASE(block_begins_at_a_huge_page__when_it_is_large),
        CASE(handle_gives_a_handle_of_its_own__when_the_object_is_of_a_scope),
        CASE(making_is_refused__when_it_makes_no_sense),
        CASE(items_are_zero_and_of_their_array__when_made_by_type),
    };

    if (!leak_isolate()) {
        fputs("skipped: a /dev/shm of its own needs root or user namespaces\n", stderr);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
