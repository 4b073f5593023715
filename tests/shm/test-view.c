/* SPDX-License-Identifier: MIT
 *
 * test-view.c: views of arrays, against plain loops over indices.
 */
#include "leak.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <weir-shm.h>

static uint64_t random_state = 88172645463325252u;

static int64_t random_below(int64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state % (uint64_t)limit);
}

/* 0, 1, 2, ... */
static weir_array *make_counted(int ndim, const int64_t *shape)
{
    weir_array *array = weir_array_create(leak_name("a"), WEIR_INT32, ndim, shape, 0);

    assert_non_null(array);
    for (int64_t i = 0; i < weir_array_len(array); i++)
        ((int32_t *)weir_array_data(array))[i] = (int32_t)i;
    return array;
}

static void remove_array(weir_array *array)
{
    assert_int_equal(weir_shm_unlink(weir_array_shm(array)), 0);
    weir_array_close(array);
}

/* ---- slices of one axis --------------------------------------------------------------------- */

/* The places that Python's [start:stop:step] takes from so many, by its definition. */
static int64_t places(int64_t length, int64_t start, int64_t stop, int64_t step, int64_t *taken)
{
    int64_t n = 0, first, behind;

    if (step > 0) {
        first = start == WEIR_SLICE_END ? 0 : start < 0 ? start + length : start;
        behind = stop == WEIR_SLICE_END ? length : stop < 0 ? stop + length : stop;
        first = first < 0 ? 0 : first;
        for (int64_t i = 0; i < length; i++)
            if (i >= first && i < behind && (i - first) % step == 0)
                taken[n++] = i;
    } else {
        first = start == WEIR_SLICE_END ? length - 1 : start < 0 ? start + length : start;
        behind = stop == WEIR_SLICE_END ? -1 : stop < 0 ? stop + length : stop;
        first = first > length - 1 ? length - 1 : first;
        for (int64_t i = length - 1; i >= 0; i--)
            if (i <= first && i > behind && (first - i) % step == 0)
                taken[n++] = i;
    }
    return n;
}

static void check_slice(const weir_view *view, int64_t start, int64_t stop, int64_t step)
{
    int64_t taken[8], count = places(view->shape[0], start, stop, step, taken);
    weir_view slice;

    assert_int_equal(weir_view_slice(view, 0, start, stop, step, &slice), 0);
    if (slice.shape[0] != count || weir_view_len(&slice) != count)
        fail_msg("[%lld:%lld:%lld] of %lld: %lld items instead of %lld", (long long)start,
                 (long long)stop, (long long)step, (long long)view->shape[0],
                 (long long)slice.shape[0], (long long)count);
    for (int64_t i = 0; i < count; i++) {
        const int32_t *item = weir_view_item(&slice, &i);

        assert_non_null(item);
        assert_int_equal(*item, taken[i]);
    }
}

static void slice_is_pythons__when_ends_and_step_are_any(void **state)
{
    static const int64_t ends[] = {
        WEIR_SLICE_END, INT64_MIN + 1, -9, -7, -6, -3, -1, 0, 1, 2, 5, 6, 7, 9, INT64_MAX};
    static const int64_t steps[] = {1, 2, 3, 6, 7, INT64_MAX, -1, -2, -3, -7, INT64_MIN};

    (void)state;
    for (int64_t length = 0; length < 8; length++) {
        weir_array *array = make_counted(1, &length);
        weir_view view;

        assert_int_equal(weir_array_view(array, &view), 0);
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
            for (size_t j = 0; j < sizeof ends / sizeof *ends; j++)
                for (size_t k = 0; k < sizeof steps / sizeof *steps; k++)
                    check_slice(&view, ends[i], ends[j], steps[k]);
        remove_array(array);
    }
}

static void row_and_column_are_right__when_taken_from_a_matrix(void **state)
{
    const int64_t shape[] = {4, 5};
    weir_array *array = make_counted(2, shape);
    weir_view all, row, column, item;

    (void)state;
    assert_int_equal(weir_array_view(array, &all), 0);
    assert_int_equal(all.strides[0], 20);
    assert_int_equal(weir_view_at(&all, 0, 2, &row), 0);
    assert_int_equal(row.ndim, 1);
    assert_int_equal(weir_view_len(&row), 5);
    assert_ptr_equal(row.data, (int32_t *)weir_array_data(array) + 10);
    assert_int_equal(weir_view_at(&all, 1, -1, &column), 0);
    assert_int_equal(weir_view_len(&column), 4);
    for (int64_t i = 0; i < 4; i++)
        assert_int_equal(*(int32_t *)weir_view_item(&column, &i), 5 * i + 4);
    assert_int_equal(weir_view_at(&column, 0, 3, &item), 0);
    assert_int_equal(item.ndim, 0);
    assert_int_equal(weir_view_len(&item), 1);
    assert_int_equal(*(int32_t *)weir_view_item(&item, NULL), 19);
    *(int32_t *)item.data = -7;
    assert_int_equal(((int32_t *)weir_array_data(array))[19], -7);
    remove_array(array);
}

static void misuse_is_refused__when_a_view_is_cut(void **state)
{
    const int64_t shape[] = {4, 5}, inside[] = {3, -5}, outside[] = {3, 5};
    weir_array *array = make_counted(2, shape);
    weir_view view, out = {.ndim = 77};
    int32_t items[20] = {0};

    (void)state;
    assert_int_equal(weir_array_view(NULL, &view), -EINVAL);
    assert_int_equal(weir_array_view(array, NULL), -EINVAL);
    assert_int_equal(weir_view_slice(&out, 0, 0, 1, 1, &view), -EINVAL);
    assert_int_equal(weir_array_view(array, &view), 0);
    assert_int_equal(weir_view_slice(&view, 2, 0, 1, 1, &out), -EINVAL);
    assert_int_equal(weir_view_slice(&view, -1, 0, 1, 1, &out), -EINVAL);
    assert_int_equal(weir_view_slice(&view, 0, 0, 1, 0, &out), -EINVAL);
    assert_int_equal(weir_view_slice(&view, 0, 0, 1, 1, NULL), -EINVAL);
    assert_int_equal(weir_view_at(&view, 0, 4, &out), -ERANGE);
    assert_int_equal(weir_view_at(&view, 0, -5, &out), -ERANGE);
    assert_int_equal(out.ndim, 77);
    assert_non_null(weir_view_item(&view, inside));
    assert_null(weir_view_item(&view, outside));
    assert_int_equal(weir_last_error()->code, -ERANGE);
    assert_null(weir_view_item(&view, NULL));
    assert_int_equal(weir_view_fill(&view, NULL), -EINVAL);
    assert_int_equal(weir_view_copy_out(&view, items, sizeof items - 1), -EINVAL);
    assert_int_equal(weir_view_copy_in(&view, items, sizeof items + 4), -EINVAL);
    assert_int_equal(weir_view_copy_in(&view, NULL, sizeof items), -EINVAL);
    assert_int_equal(weir_array_copy_out(array, items, sizeof items), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(items[i], i);
    remove_array(array);
}

/* ---- filling and copying -------------------------------------------------------------------- */

/* Steps through all indices in C order; false behind the last. */
static bool next_index(const weir_view *view, int64_t *index)
{
    for (int i = view->ndim - 1; i >= 0; i--) {
        if (++index[i] < view->shape[i])
            return true;
        index[i] = 0;
    }
    return false;
}

/* Some view of all of an array: a few slices and an index or two. */
static weir_view random_view(const weir_array *array)
{
    weir_view view;

    assert_int_equal(weir_array_view(array, &view), 0);
    for (int cuts = (int)random_below(5); cuts > 0 && view.ndim > 0; cuts--) {
        int axis = (int)random_below(view.ndim);
        int64_t length = view.shape[axis], step = random_below(5) - 2;

        if (length > 0 && random_below(4) == 0)
            assert_int_equal(weir_view_at(&view, axis, random_below(length), &view), 0);
        else
            assert_int_equal(weir_view_slice(&view, axis,
                                             random_below(2) ? WEIR_SLICE_END : random_below(9) - 4,
                                             random_below(2) ? WEIR_SLICE_END : random_below(9) - 4,
                                             step ? step : 1, &view),
                             0);
    }
    return view;
}

/* Fills a view, copies into it and out of it; `model` is the array as plain loops make it. */
static void use_view(const weir_view *view, const weir_array *array, unsigned char *model)
{
    const size_t size = weir_array_item_size(array);
    const size_t total = (size_t)weir_array_len(array) * size;
    const int64_t count = weir_view_len(view);
    unsigned char item[16], in[4096], out[4096];
    int64_t index[WEIR_ARRAY_NDIM_MAX] = {0};
    int64_t n = 0;

    assert_true((size_t)count * size <= sizeof in);
    for (size_t i = 0; i < sizeof item; i++)
        item[i] = (unsigned char)random_below(256);
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (unsigned char)random_below(256);
    assert_int_equal(weir_view_fill(view, item), 0);
    if (count > 0) {
        do {
            unsigned char *at = weir_view_item(view, index);

            memcpy(model + (at - (unsigned char *)weir_array_data(array)), item, size);
        } while (next_index(view, index));
    }
    assert_memory_equal(weir_array_data(array), model, total);
    assert_int_equal(weir_view_copy_in(view, in, (size_t)count * size), 0);
    if (count > 0) {
        do {
            unsigned char *at = weir_view_item(view, index);

            memcpy(model + (at - (unsigned char *)weir_array_data(array)), in + (size_t)n++ * size,
                   size);
        } while (next_index(view, index));
        assert_int_equal(n, count);
    }
    assert_memory_equal(weir_array_data(array), model, total);
    assert_int_equal(weir_view_copy_out(view, out, (size_t)count * size), 0);
    assert_memory_equal(out, in, (size_t)count * size);
}

static void items_are_those_of_loops__when_any_view_is_filled_and_copied(void **state)
{
    static const weir_dtype dtypes[] = {WEIR_UINT8, WEIR_INT16, WEIR_FLOAT32, WEIR_INT64,
                                        WEIR_COMPLEX128};
    unsigned char model[4096];

    (void)state;
    for (int round = 0; round < 300; round++) {
        const int64_t shape[] = {1 + random_below(4), 1 + random_below(4), random_below(5),
                                 1 + random_below(3)};
        weir_array *array = weir_array_create(leak_name("a"), dtypes[round % 5],
                                              (int)random_below(5), shape, WEIR_ARRAY_NPY);

        assert_non_null(array);
        memset(model, 0, sizeof model);
        for (int i = 0; i < 10; i++) {
            const weir_view view = random_view(array);

            use_view(&view, array, model);
        }
        remove_array(array);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, leak_setup, leak_teardown)
    const struct CMUnitTest tests[] = {
        CASE(slice_is_pythons__when_ends_and_step_are_any),
        CASE(row_and_column_are_right__when_taken_from_a_matrix),
        CASE(misuse_is_refused__when_a_view_is_cut),
        CASE(items_are_those_of_loops__when_any_view_is_filled_and_copied),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
