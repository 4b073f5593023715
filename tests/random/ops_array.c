/* SPDX-License-Identifier: MIT
 *
 * ops_array.c: arrays and views, beside private copies of their items; blocks and typed items.
 */
#include "ops.h"

#define ARRAYS    4
#define SIZE_MOST 40000 /* of the items, in bytes */

struct array_place {
    weir_array *array;         /* NULL: none here */
    struct scope_place *scope; /* NULL: stand-alone */
    weir_dtype dtype;
    int ndim;
    int64_t shape[4];
    size_t size;          /* of all items */
    unsigned char *items; /* the model */
};

static struct array_place *place_of(struct lane *lane, unsigned number)
{
    if (lane->arrays == NULL)
        lane->arrays = calloc(ARRAYS, sizeof *lane->arrays);
    if (lane->arrays == NULL)
        abort();
    return &lane->arrays[number % ARRAYS];
}

static void check_array(struct array_place *place)
{
    const weir_array *array = place->array;
    size_t item = weir_dtype_size(place->dtype);

    MUST(weir_array_dtype(array) == place->dtype && weir_array_ndim(array) == place->ndim, "type");
    MUST(weir_array_item_size(array) == item, "size of an item");
    MUST(weir_array_len(array) == (int64_t)(place->size / item), "length");
    for (int axis = place->ndim - 1; axis >= 0; axis--) {
        MUST(weir_array_shape(array)[axis] == place->shape[axis], "axis %d", axis);
        MUST(place->size == 0 || weir_array_stride(array, axis) == (int64_t)item, "axis %d", axis);
        item *= (size_t)place->shape[axis];
    }
    MUST(place->size == 0 || memcmp(weir_array_data(array), place->items, place->size) == 0,
         "items");
}

static void drop_array(struct array_place *place, bool gone)
{
    if (!gone) {
        SUCCEEDS(weir_shm_unlink(weir_array_shm(place->array)));
        weir_array_close(place->array);
    }
    free(place->items);
    *place = (struct array_place){0};
}

/* ---- making ---------------------------------------------------------------------------------- */

static void make_array(struct lane *lane, const struct op *op)
{
    static const unsigned flags[] = {0, WEIR_ARRAY_LAZY, WEIR_ARRAY_NPY, WEIR_ARRAY_HUGE,
                                     WEIR_ARRAY_NPY | WEIR_ARRAY_LAZY};
    struct array_place *place = place_of(lane, op->n[0]);
    struct scope_place *scope = scope_of(op->n[1]);
    unsigned flag = flags[pick(op, 2, 5)];
    char name[64];

    if (place->array != NULL)
        return;
    place->dtype = (weir_dtype)(WEIR_BOOL8 + (int)draw(&lane->seed, WEIR_COMPLEX128));
    place->ndim = (int)draw(&lane->seed, 4);
    place->size = weir_dtype_size(place->dtype);
    for (int axis = 0; axis < place->ndim; axis++) {
        place->shape[axis] = draw(&lane->seed, 13);
        place->size *= (size_t)place->shape[axis];
    }
    MUST(place->size <= SIZE_MOST, "the model");
    block_name(lane, name, sizeof name);
    if (scope == NULL)
        place->array = weir_array_create(name, place->dtype, place->ndim, place->shape, flag);
    else if (!scope->anonymous && one_in(&lane->seed, 3))
        place->array = weir_scope_array_named(scope->scope, name, place->dtype, place->ndim,
                                              place->shape, flag);
    else
        place->array =
            weir_scope_array(scope->scope, place->dtype, place->ndim, place->shape, flag);
    MUST(place->array != NULL, "an array of %zu bytes, flags %u", place->size, flag);
    place->scope = scope;
    place->items = calloc(1, place->size + 1);
    MUST((uintptr_t)weir_array_data(place->array) % 64 == 0, "alignment");
    check_array(place);
}

static void close_array(struct lane *lane, const struct op *op)
{
    struct array_place *place = place_of(lane, op->n[0]);

    if (place->array == NULL)
        return;
    check_array(place);
    drop_array(place, false);
}

/* ---- views ----------------------------------------------------------------------------------- */

/* What a[start:stop:step] of an axis selects, as Python computes it. */
static int64_t clamp(int64_t end, int64_t length, int64_t step, bool is_start)
{
    if (end == WEIR_SLICE_END && is_start)
        return step > 0 ? 0 : length - 1;
    if (end == WEIR_SLICE_END)
        return step > 0 ? length : -1;
    if (end < 0)
        end += length;
    if (end < 0)
        return step > 0 ? 0 : -1;
    if (end >= length)
        return step > 0 ? length : length - 1;
    return end;
}

static int64_t draw_end(struct lane *lane)
{
    return one_in(&lane->seed, 4) ? WEIR_SLICE_END : (int64_t)draw(&lane->seed, 30) - 15;
}

static void slice_array(struct lane *lane, const struct op *op)
{
    struct array_place *place = place_of(lane, op->n[0]);
    int64_t start = draw_end(lane), stop = draw_end(lane), first, count = 0, index[4] = {0};
    int64_t step = (int64_t)draw(&lane->seed, 9) - 4, inner = 1, outer = 1;
    size_t item_size;
    unsigned char item[16];
    weir_view view;
    int axis;

    if (place->array == NULL || place->ndim == 0)
        return;
    axis = (int)draw(&lane->seed, (unsigned)place->ndim);
    SUCCEEDS(weir_array_view(place->array, &view));
    if (step == 0) {
        REFUSED("weir_view_slice", weir_view_slice(&view, axis, start, stop, step, &view), -EINVAL);
        return;
    }
    SUCCEEDS(weir_view_slice(&view, axis, start, stop, step, &view));
    first = clamp(start, place->shape[axis], step, true);
    stop = clamp(stop, place->shape[axis], step, false);
    for (int64_t i = first; step > 0 ? i < stop : i > stop; i += step)
        count++;
    MUST(view.shape[axis] == count, "%lld items of axis %d, not %lld", (long long)view.shape[axis],
         axis, (long long)count);
    for (int a = 0; a < place->ndim; a++) {
        outer *= a < axis ? place->shape[a] : 1;
        inner *= a > axis ? place->shape[a] : 1;
    }
    MUST(weir_view_len(&view) == outer * count * inner, "length");
    item_size = weir_dtype_size(place->dtype);
    memset(item, one_in(&lane->seed, 2), sizeof item);
    SUCCEEDS(weir_view_fill(&view, item));
    for (int64_t o = 0; o < outer; o++)
        for (int64_t c = 0; c < count; c++)
            memset(place->items + ((size_t)(o * place->shape[axis] + first + c * step) *
                                   (size_t)inner * item_size),
                   item[0], (size_t)inner * item_size);
    if (outer * count * inner > 0)
        MUST(weir_view_item(&view, index) ==
                 (char *)weir_array_data(place->array) + (size_t)(first * inner) * item_size,
             "the first item");
    check_array(place);
}

static void copy_items(struct lane *lane, const struct op *op)
{
    struct array_place *place = place_of(lane, op->n[0]);
    unsigned char copy[SIZE_MOST + 1];

    if (place->array == NULL)
        return;
    for (size_t i = 0; i < place->size; i++)
        copy[i] = (unsigned char)draw(&lane->seed, place->dtype == WEIR_BOOL8 ? 2 : 256);
    REFUSED("weir_array_copy_in", weir_array_copy_in(place->array, copy, place->size + 1), -EINVAL);
    SUCCEEDS(weir_array_copy_in(place->array, copy, place->size));
    if (place->size > 0)
        memcpy(place->items, copy, place->size);
    memset(copy, 0, sizeof copy);
    REFUSED("weir_array_copy_out", weir_array_copy_out(place->array, copy, place->size + 1),
            -EINVAL);
    SUCCEEDS(weir_array_copy_out(place->array, copy, place->size));
    MUST(memcmp(copy, place->items, place->size) == 0, "copied out");
    SUCCEEDS(weir_array_populate(place->array, weir_range_of(weir_array_len(place->array))));
    check_array(place);
}

static void misuse_array(struct lane *lane, const struct op *op)
{
    struct array_place *place = place_of(lane, op->n[0]);
    int64_t negative[] = {-1}, huge[] = {INT64_MAX, INT64_MAX}, index[4] = {99, 99, 99, 99};
    weir_view view, row;

    REFUSED_NULL("weir_array_create", weir_array_create(NULL, (weir_dtype)99, 0, NULL, 0), -EINVAL);
    REFUSED_NULL("weir_array_create", weir_array_create(NULL, WEIR_INT8, 1, negative, 0), -EINVAL);
    REFUSED_NULL("weir_array_create", weir_array_create(NULL, WEIR_INT8, 1, NULL, 0), -EINVAL);
    REFUSED_NULL("weir_array_create", weir_array_create(NULL, WEIR_INT8, 17, index, 0), -EINVAL);
    REFUSED_NULL("weir_array_create", weir_array_create(NULL, WEIR_INT8, 2, huge, 0), -E2BIG);
    REFUSED_NULL("weir_array_create", weir_array_create(NULL, WEIR_INT8, 0, NULL, 64), -EINVAL);
    if (place->array == NULL)
        return;
    SUCCEEDS(weir_array_view(place->array, &view));
    REFUSED("weir_array_stride", weir_array_stride(place->array, place->ndim), -EINVAL);
    REFUSED("weir_array_populate", weir_array_populate(place->array, (weir_range){-1, 0}), -ERANGE);
    REFUSED("weir_view_slice", weir_view_slice(&view, place->ndim, 0, 1, 1, &row), -EINVAL);
    REFUSED("weir_view_at", weir_view_at(&view, -1, 0, &row), -EINVAL);
    if (place->ndim > 0) {
        REFUSED("weir_view_at", weir_view_at(&view, 0, place->shape[0], &row), -ERANGE);
        REFUSED_NULL("weir_view_item", weir_view_item(&view, index), -ERANGE);
    }
    check_array(place);
}

static void array_by_json(struct lane *lane, const struct op *op)
{
    struct array_place *place = place_of(lane, op->n[0]);
    weir_array *array = place->array;
    char *json;

    (void)lane;
    if (array == NULL)
        return;
    if (place->scope != NULL && place->scope->anonymous) {
        REFUSED_NULL("weir_array_to_json", weir_array_to_json(array), -ENOTSUP);
        return;
    }
    json = weir_array_to_json(array);
    MUST(json != NULL, "to JSON");
    place->array = weir_array_from_json(json);
    MUST(place->array != NULL, "from JSON: %s", json);
    check_array(place);
    weir_array_close(place->array);
    place->array = weir_array_attach_raw(weir_shm_name(weir_array_shm(array)), WEIR_UINT8, 0, NULL);
    MUST(place->array != NULL, "attach");
    weir_array_close(place->array);
    place->array = array;
    free(json);
}

/* ---- a job over the items -------------------------------------------------------------------- */

static int flip(weir_task *task, weir_range range, void *arg)
{
    unsigned char *items = arg;

    (void)task;
    for (int64_t i = range.begin; i < range.end; i++)
        items[i] ^= 1;
    return 0;
}

/* Workers write an array of the scope, wherever it was made since the pool. */
static void flip_items(struct lane *lane, const struct op *op)
{
    struct array_place *place = place_of(lane, op->n[0]);
    struct pool_place *pool = pool_of(op->n[1]);
    int code;

    if (place->array == NULL || pool == NULL || pool->scope != place->scope || lane->number != 0)
        return;
    code = weir_pool_for(pool->pool, weir_range_of((int64_t)place->size), flip,
                         weir_array_data(place->array), NULL);
    if (atomic_load(&pool->supervisor_gone)) {
        ALLOW("weir_pool_for", code, WEIR_EDIED);
        memcpy(place->items, weir_array_data(place->array), place->size);
        return;
    }
    SUCCEEDS(code);
    for (size_t i = 0; i < place->size; i++)
        place->items[i] ^= 1;
    check_array(place);
}

/* ---- the family ------------------------------------------------------------------------------ */

static void check(struct lane *lane)
{
    for (unsigned i = 0; lane->arrays != NULL && i < ARRAYS; i++)
        if (lane->arrays[i].array != NULL)
            check_array(&lane->arrays[i]);
}

static void leave_scope(struct lane *lane, struct scope_place *scope, bool orderly)
{
    for (unsigned i = 0; lane->arrays != NULL && i < ARRAYS; i++) {
        struct array_place *place = &lane->arrays[i];

        if (place->array == NULL || place->scope != scope)
            continue;
        check_array(place);
        drop_array(place, !orderly);
    }
}

static void leave(struct lane *lane)
{
    check(lane);
    for (unsigned i = 0; lane->arrays != NULL && i < ARRAYS; i++)
        if (lane->arrays[i].array != NULL)
            drop_array(&lane->arrays[i], false);
    free(lane->arrays);
    lane->arrays = NULL;
}

static const struct kind kinds[] = {
    {"make_array", 3, false, false, make_array},
    {"close_array", 1, false, false, close_array},
    {"slice_array", 4, false, false, slice_array},
    {"copy_items", 2, false, false, copy_items},
    {"misuse_array", 1, false, false, misuse_array},
    {"array_by_json", 1, false, false, array_by_json},
    {"flip_items", 2, true, false, flip_items},
    {0},
};

const struct family array_family = {
    .name = "array",
    .kinds = kinds,
    .weight = 1,
    .leave_scope = leave_scope,
    .check = check,
    .leave = leave,
};
