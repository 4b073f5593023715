/* SPDX-License-Identifier: MIT
 *
 * view.c: weir_view, some of an array's items without a copy.
 *
 * A view is a plain value in the user's memory: an address, and for each axis a length and the
 * bytes from one item to the next. Slicing only computes; it can neither reach beyond the items
 * that its view had, nor overflow, because every length stays within the length that it is cut
 * from.
 *
 * Filling and copying walk a view in runs: axes that lie without gaps in each other are taken as
 * one first, so that a contiguous view is a single run and goes through memcpy.
 *
 * Failure modes. The user's misuse (-EINVAL, -ERANGE) alone, found before anything is written.
 */
#include <errno.h>
#include <string.h>

#include "shm/array/array.h"
#include "shm/error.h"

static int check_view(const weir_view *view)
{
    if (view == NULL)
        return weir__fail(-EINVAL, "the view is NULL");
    if (weir_dtype_size(view->dtype) == 0 || view->ndim < 0 || view->ndim > WEIR_ARRAY_NDIM_MAX)
        return weir__fail(-EINVAL, "an invalid view: its type is %d and it has %d axes",
                          (int)view->dtype, view->ndim);
    return 0;
}

static int check_axis(const weir_view *view, int axis, const weir_view *out)
{
    int result = check_view(view);

    if (result < 0)
        return result;
    if (out == NULL)
        return weir__fail(-EINVAL, "there is nowhere to put the view: it is NULL");
    if (axis < 0 || axis >= view->ndim)
        return weir__fail(-EINVAL, "a view of %d axes has no axis %d", view->ndim, axis);
    return 0;
}

int weir_array_view(const weir_array *array, weir_view *out)
{
    if (array == NULL || out == NULL)
        return weir__fail(-EINVAL, "%s is NULL", array == NULL ? "the array" : "the view");
    *out = (weir_view){.data = array->data, .dtype = array->dtype, .ndim = array->ndim};
    for (int i = 0; i < array->ndim; i++) {
        out->shape[i] = array->shape[i];
        out->strides[i] = weir__array_axis_stride(array, i);
    }
    return 0;
}

/* ---- cutting -------------------------------------------------------------------------------- */

/* An end of a slice, cut to [low, high]. */
static int64_t clamp_end(int64_t end, int64_t length, int64_t low, int64_t high)
{
    if (end < 0)
        end += length;
    return end < low ? low : end > high ? high : end;
}

int weir_view_slice(const weir_view *view, int axis, int64_t start, int64_t stop, int64_t step,
                    weir_view *out)
{
    int64_t length, count = 0, low, high;
    uint64_t span, stride;
    int result = check_axis(view, axis, out);

    if (result < 0)
        return result;
    if (step == 0)
        return weir__fail(-EINVAL, "a slice cannot have a step of 0");
    length = view->shape[axis];
    /* Backwards, the places to stand on are -1 (in front of the first) to length - 1. */
    low = step > 0 ? 0 : -1;
    high = step > 0 ? length : length - 1;
    start = start == WEIR_SLICE_END ? (step > 0 ? low : high) : clamp_end(start, length, low, high);
    stop = stop == WEIR_SLICE_END ? (step > 0 ? high : low) : clamp_end(stop, length, low, high);
    span = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    if (step > 0 ? start < stop : start > stop)
        count = (int64_t)((span - 1) / (step > 0 ? (uint64_t)step : 0 - (uint64_t)step)) + 1;
    *out = *view;
    if (count > 0)
        out->data = (char *)view->data + start * view->strides[axis];
    /* With less than two items no stride is ever used, and the product may not fit. */
    stride = (uint64_t)view->strides[axis] * (uint64_t)step;
    out->strides[axis] = count > 1 ? (int64_t)stride : view->strides[axis];
    out->shape[axis] = count;
    return 0;
}

static int resolve_view_index(const weir_view *view, int axis, int64_t index, int64_t *resolved)
{
    int64_t length = view->shape[axis];

    *resolved = index < 0 ? index + length : index;
    if (*resolved < 0 || *resolved >= length)
        return weir__fail(-ERANGE, "index %lld is outside axis %d of length %lld", (long long)index,
                          axis, (long long)length);
    return 0;
}

int weir_view_at(const weir_view *view, int axis, int64_t index, weir_view *out)
{
    int result = check_axis(view, axis, out);

    if (result == 0)
        result = resolve_view_index(view, axis, index, &index);
    if (result < 0)
        return result;
    *out = *view;
    out->data = (char *)view->data + index * view->strides[axis];
    out->ndim = view->ndim - 1;
    for (int i = axis; i < out->ndim; i++) {
        out->shape[i] = out->shape[i + 1];
        out->strides[i] = out->strides[i + 1];
    }
    out->shape[out->ndim] = out->strides[out->ndim] = 0;
    return 0;
}

int64_t weir_view_len(const weir_view *view)
{
    int result = check_view(view);

    return result < 0 ? result : weir__shape_count(view->ndim, view->shape);
}

void *weir_view_item(const weir_view *view, const int64_t *index)
{
    char *item;

    if (check_view(view) < 0)
        return NULL;
    if (index == NULL && view->ndim > 0)
        return weir__fail_null(-EINVAL, "the index is NULL");
    item = view->data;
    for (int i = 0; i < view->ndim; i++) {
        int64_t at;

        if (resolve_view_index(view, i, index[i], &at) < 0)
            return NULL;
        item += at * view->strides[i];
    }
    return item;
}

/* ---- walking -------------------------------------------------------------------------------- */

/* One run of items: `count` of `size` bytes, `stride` bytes apart. */
struct run {
    char *at;
    int64_t count, stride;
    size_t size;
};

/* Where the walk has come to in private memory. */
struct view_walk {
    void (*visit)(const struct run *run, struct view_walk *walk);
    char *to;
    const char *from;
};

/* The view with axes of length 1 left out and axes taken together where the inner one, all of it,
 * is one step of the outer one. */
static weir_view merge_axes(const weir_view *view)
{
    weir_view merged = *view;
    int n = 0;

    for (int i = 0; i < view->ndim; i++) {
        if (view->shape[i] == 1)
            continue;
        if (n > 0 && merged.strides[n - 1] == view->shape[i] * view->strides[i]) {
            merged.shape[n - 1] *= view->shape[i];
            merged.strides[n - 1] = view->strides[i];
            continue;
        }
        merged.shape[n] = view->shape[i];
        merged.strides[n++] = view->strides[i];
    }
    merged.ndim = n;
    return merged;
}

/* Visits all items in C order, in runs along the last axis. */
static void walk_view(const weir_view *view, struct view_walk *walk)
{
    const weir_view merged = merge_axes(view);
    const int last = merged.ndim - 1;
    int64_t index[WEIR_ARRAY_NDIM_MAX] = {0};
    struct run run = {.at = merged.data, .count = 1, .size = weir_dtype_size(merged.dtype)};
    int axis;

    run.stride = (int64_t)run.size;
    if (last >= 0) {
        run.count = merged.shape[last];
        run.stride = merged.strides[last];
    }
    do {
        walk->visit(&run, walk);
        /* To the next place, like an odometer: an axis that is through goes back to its begin. */
        for (axis = last - 1; axis >= 0; axis--) {
            run.at += merged.strides[axis];
            if (++index[axis] < merged.shape[axis])
                break;
            run.at -= merged.shape[axis] * merged.strides[axis];
            index[axis] = 0;
        }
    } while (axis >= 0);
}

static inline void copy_item(void *to, const void *from, size_t size)
{
    switch (size) { /* each a single move or two */
    case 1:
        memcpy(to, from, 1);
        break;
    case 2:
        memcpy(to, from, 2);
        break;
    case 4:
        memcpy(to, from, 4);
        break;
    case 8:
        memcpy(to, from, 8);
        break;
    default:
        memcpy(to, from, 16);
    }
}

static void fill_run(const struct run *run, struct view_walk *walk)
{
    for (int64_t i = 0; i < run->count; i++)
        copy_item(run->at + i * run->stride, walk->from, run->size);
}

static void copy_run_in(const struct run *run, struct view_walk *walk)
{
    if (run->stride == (int64_t)run->size)
        memcpy(run->at, walk->from, (size_t)run->count * run->size);
    else
        for (int64_t i = 0; i < run->count; i++)
            copy_item(run->at + i * run->stride, walk->from + (size_t)i * run->size, run->size);
    walk->from += (size_t)run->count * run->size;
}

static void copy_run_out(const struct run *run, struct view_walk *walk)
{
    if (run->stride == (int64_t)run->size)
        memcpy(walk->to, run->at, (size_t)run->count * run->size);
    else
        for (int64_t i = 0; i < run->count; i++)
            copy_item(walk->to + (size_t)i * run->size, run->at + i * run->stride, run->size);
    walk->to += (size_t)run->count * run->size;
}

/* 1: there is something to copy; 0: no item; or an error. */
static int check_copy(const weir_view *view, const void *memory, size_t size)
{
    int64_t count = weir_view_len(view);

    if (count < 0)
        return (int)count;
    if ((uint64_t)count * weir_dtype_size(view->dtype) != size)
        return weir__fail(-EINVAL, "the view has %lld items of %zu bytes, but %zu bytes were given",
                          (long long)count, weir_dtype_size(view->dtype), size);
    if (memory == NULL && count > 0)
        return weir__fail(-EINVAL, "the memory to copy is NULL");
    return count > 0;
}

int weir_view_fill(const weir_view *view, const void *item)
{
    struct view_walk walk = {.visit = fill_run, .from = item};
    int64_t count = weir_view_len(view);

    if (count < 0)
        return (int)count;
    if (item == NULL)
        return weir__fail(-EINVAL, "the item to fill with is NULL");
    if (count > 0)
        walk_view(view, &walk);
    return 0;
}

int weir_view_copy_in(const weir_view *view, const void *from, size_t size)
{
    struct view_walk walk = {.visit = copy_run_in, .from = from};
    int result = check_copy(view, from, size);

    if (result > 0)
        walk_view(view, &walk);
    return result < 0 ? result : 0;
}

int weir_view_copy_out(const weir_view *view, void *to, size_t size)
{
    struct view_walk walk = {.visit = copy_run_out, .to = to};
    int result = check_copy(view, to, size);

    if (result > 0)
        walk_view(view, &walk);
    return result < 0 ? result : 0;
}

int weir_array_fill(const weir_array *array, const void *item)
{
    weir_view view;
    int result = weir_array_view(array, &view);

    return result < 0 ? result : weir_view_fill(&view, item);
}

int weir_array_copy_in(const weir_array *array, const void *from, size_t size)
{
    weir_view view;
    int result = weir_array_view(array, &view);

    return result < 0 ? result : weir_view_copy_in(&view, from, size);
}

int weir_array_copy_out(const weir_array *array, void *to, size_t size)
{
    weir_view view;
    int result = weir_array_view(array, &view);

    return result < 0 ? result : weir_view_copy_out(&view, to, size);
}
