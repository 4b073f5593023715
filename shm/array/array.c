/* SPDX-License-Identifier: MIT
 *
 * array.c: weir_array, typed items of n axes in a block, with a .npy header in front or without.
 *
 * Invariants. Type, shape and the place of the items are settled when the handle is bound, checked
 * against the block's size, and never read from the block again; count * item size bytes from data
 * on lie in the block. A block is filled before it has a name.
 *
 * Failure modes. A .npy header was written by another program and may change while it is read: it
 * is copied first. Products of lengths can exceed any integer: every product is checked, also those
 * in which another length is 0, because strides are made of them.
 */
#include "shm/array/array.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/block/block.h"
#include "shm/block/lazy.h"
#include "shm/block/populate.h"
#include "shm/error.h"

#define FLAGS (WEIR_ARRAY_LAZY | WEIR_ARRAY_NPY | WEIR_ARRAY_HUGE)

/* The only size of huge page that shared memory has on x86-64; elsewhere it is advice in vain. */
#define HUGE_PAGE ((size_t)2 << 20)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* ---- sizes ---------------------------------------------------------------------------------- */

int64_t weir__shape_count(int ndim, const int64_t *shape)
{
    int64_t count = 1;

    for (int i = 0; i < ndim; i++)
        count *= shape[i];
    return count;
}

/* Bytes of the items; so many that no stride overflows either. */
static int64_t items_size(weir_dtype dtype, int ndim, const int64_t *shape)
{
    int64_t size = (int64_t)weir_dtype_size(dtype);
    bool empty = false;

    for (int i = 0; i < ndim; i++) {
        if (shape[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(size, shape[i], &size) || size > PTRDIFF_MAX)
            return weir__fail(-E2BIG, "an array of %d axes of %s is too large to address", ndim,
                              weir_dtype_name(dtype));
    }
    return empty ? 0 : size;
}

static int check_spec(weir_dtype dtype, int ndim, const int64_t *shape)
{
    if (weir_dtype_size(dtype) == 0)
        return weir__fail(-EINVAL, "%d is no type of an array's items", (int)dtype);
    if (ndim < 0 || ndim > WEIR_ARRAY_NDIM_MAX)
        return weir__fail(-EINVAL, "an array has 0 to %d axes, not %d", WEIR_ARRAY_NDIM_MAX, ndim);
    if (ndim > 0 && shape == NULL)
        return weir__fail(-EINVAL, "the shape of an array with %d axes is NULL", ndim);
    for (int i = 0; i < ndim; i++)
        if (shape[i] < 0)
            return weir__fail(-EINVAL, "axis %d of an array cannot have the length %lld", i,
                              (long long)shape[i]);
    return 0;
}

static int64_t array_size(const void *array_spec, unsigned *flags)
{
    const struct weir__array_spec *spec = array_spec;
    char header[WEIR__NPY_WRITTEN_MAX];
    int64_t size;
    int result = check_spec(spec->dtype, spec->ndim, spec->shape);

    if (result < 0)
        return result;
    if (spec->flags & ~FLAGS)
        return weir__fail(-EINVAL, "unknown flags 0x%x for an array", spec->flags & ~FLAGS);
    size = items_size(spec->dtype, spec->ndim, spec->shape);
    if (size < 0)
        return size;
    if (spec->flags & WEIR_ARRAY_NPY && size > PTRDIFF_MAX - WEIR__NPY_WRITTEN_MAX)
        return weir__fail(-E2BIG, "an array with its header is too large to address");
    if (spec->flags & WEIR_ARRAY_NPY)
        size += (int64_t)weir__npy_write(header, spec->dtype, spec->ndim, spec->shape);
    *flags = spec->flags & WEIR_SHM_LAZY;
    return size > 0 ? size : 1; /* a block cannot be empty */
}

/* ---- filling a new block -------------------------------------------------------------------- */

static int fill_array(void *buf, size_t size, const void *array_spec)
{
    const struct weir__array_spec *spec = array_spec;
    char header[WEIR__NPY_WRITTEN_MAX];

    (void)size;
    if (spec->flags & WEIR_ARRAY_NPY)
        memcpy(buf, header, weir__npy_write(header, spec->dtype, spec->ndim, spec->shape));
    return 0;
}

/* Advice: every failure only means small pages. Pages of a reserved block are there already, so
 * they are put together; those of a lazy one come as huge ones if the system is set to that. */
static void ask_for_huge_pages(void *buf, size_t size, unsigned flags)
{
    if (!(flags & WEIR_ARRAY_HUGE) || size < HUGE_PAGE)
        return;
    madvise(buf, size, MADV_HUGEPAGE);
    if (!(flags & WEIR_ARRAY_LAZY))
        madvise(buf, size / HUGE_PAGE * HUGE_PAGE, MADV_COLLAPSE);
}

/* Moves a stand-alone block's mapping to a multiple of a huge page. */
static void align_mapping(struct weir_shm *shm)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (shm->size + page - 1) / page * page;
    const size_t whole = weir__block_mapped_size(shm->size), range = whole + HUGE_PAGE;
    char *begin, *aligned, *old = shm->buf;

    if (shm->size < HUGE_PAGE || (uintptr_t)shm->buf % HUGE_PAGE == 0)
        return;
    begin = weir__map_nothing(NULL, range);
    if (begin == MAP_FAILED)
        return;
    aligned = begin + (HUGE_PAGE - (uintptr_t)begin % HUGE_PAGE) % HUGE_PAGE;
    if (mremap(shm->buf, shm->size, shm->size, MREMAP_MAYMOVE | MREMAP_FIXED, aligned) ==
        MAP_FAILED) {
        munmap(begin, range);
        return;
    }
    shm->buf = aligned;
    if (aligned > begin)
        munmap(begin, (size_t)(aligned - begin));
    if (aligned + whole < begin + range)
        munmap(aligned + whole, (size_t)(begin + range - aligned - whole));
    if (whole > size)
        munmap(old + size, whole - size); /* the guard page; a new one came along */
}

/* ---- opening -------------------------------------------------------------------------------- */

static void set_array_handle(struct weir_array *array, struct weir_shm *shm,
                             const struct weir__npy *what)
{
    array->shm = shm;
    array->data = (char *)shm->buf + what->offset;
    array->dtype = what->dtype;
    array->ndim = what->ndim;
    memset(array->shape, 0, sizeof array->shape);
    memcpy(array->shape, what->shape, (size_t)what->ndim * sizeof *what->shape);
    array->count = weir__shape_count(what->ndim, what->shape);
}

/* What `npy` says against what the block has room for. */
static int bind_checked(struct weir_array *array, struct weir_shm *shm, const struct weir__npy *npy)
{
    int64_t size = items_size(npy->dtype, npy->ndim, npy->shape);

    if (size < 0)
        return (int)size;
    if (npy->offset > shm->size || (uint64_t)size > shm->size - npy->offset)
        return weir__fail(-EBADMSG,
                          "block \"%s\" of %zu bytes is too small for the %lld bytes of the "
                          "array's items behind %zu",
                          shm->name, shm->size, (long long)size, npy->offset);
    set_array_handle(array, shm, npy);
    return 0;
}

static int bind_raw(struct weir_array *array, struct weir_shm *shm,
                    const struct weir__array_spec *spec)
{
    struct weir__npy what = {.dtype = spec->dtype, .ndim = spec->ndim, .offset = 0};
    int result = check_spec(spec->dtype, spec->ndim, spec->shape);

    if (result < 0)
        return result;
    if (spec->ndim > 0)
        memcpy(what.shape, spec->shape, (size_t)spec->ndim * sizeof *spec->shape);
    return bind_checked(array, shm, &what);
}

static int bind_npy(struct weir_array *array, struct weir_shm *shm)
{
    char header[WEIR__NPY_HEADER_MAX + 12]; /* a copy, which stays the same while it is read */
    const size_t available = shm->size < sizeof header ? shm->size : sizeof header;
    struct weir__npy npy;
    size_t size;
    int result;

    /* No more than the header is touched: what is behind may be a hole of a lazy block. */
    memcpy(header, shm->buf, available < 12 ? available : 12);
    size = weir__npy_header_size(header, available);
    if (size > 12)
        memcpy(header + 12, (const char *)shm->buf + 12, size - 12);
    result = weir__npy_read(header, size, &npy, shm->name);
    if (result < 0)
        return result;
    result = bind_checked(array, shm, &npy);
    if (result == -E2BIG)
        return weir__fail(-EBADMSG, "block \"%s\" says that it holds more than can be addressed",
                          shm->name);
    return result;
}

static int bind_array(void *handle, struct weir_shm *shm, const void *array_spec)
{
    const struct weir__array_spec *spec = array_spec;

    if (spec == NULL)
        return bind_npy(handle, shm);
    if (spec->flags & WEIR_ARRAY_HUGE &&
        shm->owner == NULL) /* a scope's block stays at its address */
        align_mapping(shm);
    ask_for_huge_pages(shm->buf, shm->size, spec->flags);
    return spec->flags & WEIR_ARRAY_NPY ? bind_npy(handle, shm) : bind_raw(handle, shm, spec);
}

_Static_assert(offsetof(struct weir_array, shm) == 0, "a handle begins with its block");

const struct weir__object_kind weir__array_kind = {.name = "array",
                                                   .noun = "array",
                                                   .handle_size = sizeof(struct weir_array),
                                                   .size = array_size,
                                                   .fill = fill_array,
                                                   .bind = bind_array};

weir_array *weir_array_create(const char *name, weir_dtype dtype, int ndim, const int64_t *shape,
                              unsigned flags)
{
    const struct weir__array_spec spec = {dtype, ndim, shape, flags};

    return weir__object_create(&weir__array_kind, name, &spec);
}

weir_array *weir_array_attach(const char *name)
{
    return weir__object_attach(&weir__array_kind, name, NULL);
}

weir_array *weir_array_attach_raw(const char *name, weir_dtype dtype, int ndim,
                                  const int64_t *shape)
{
    const struct weir__array_spec spec = {dtype, ndim, shape, 0};

    /* What the caller says is checked before there is any block. */
    if (weir__block_check_name(name) < 0 || check_spec(dtype, ndim, shape) < 0)
        return NULL;
    return weir__object_attach(&weir__array_kind, name, &spec);
}

void weir_array_close(weir_array *array)
{
    weir__object_close(array);
}

/* ---- asking --------------------------------------------------------------------------------- */

static bool array_is_null(const weir_array *array)
{
    return weir__object_is_null(&weir__array_kind, array);
}

weir_shm *weir_array_shm(const weir_array *array)
{
    return weir__object_shm(&weir__array_kind, array);
}

void *weir_array_data(const weir_array *array)
{
    return array_is_null(array) ? NULL : array->data;
}

weir_dtype weir_array_dtype(const weir_array *array)
{
    return array_is_null(array) ? (weir_dtype)0 : array->dtype;
}

int weir_array_ndim(const weir_array *array)
{
    return array_is_null(array) ? -EINVAL : array->ndim;
}

const int64_t *weir_array_shape(const weir_array *array)
{
    return array_is_null(array) ? NULL : array->shape;
}

int64_t weir_array_stride(const weir_array *array, int axis)
{
    if (array_is_null(array))
        return -EINVAL;
    if (axis < 0 || axis >= array->ndim)
        return weir__fail(-EINVAL, "array \"%s\" of %d axes has no axis %d", array->shm->name,
                          array->ndim, axis);
    return weir__array_axis_stride(array, axis);
}

size_t weir_array_item_size(const weir_array *array)
{
    return array_is_null(array) ? 0 : weir_dtype_size(array->dtype);
}

int64_t weir_array_len(const weir_array *array)
{
    return array_is_null(array) ? -EINVAL : array->count;
}

int weir_array_populate(const weir_array *array, weir_range items)
{
    size_t begin, item_size;

    if (array_is_null(array))
        return -EINVAL;
    if (items.begin < 0 || items.begin > items.end || items.end > array->count)
        return weir__fail(-ERANGE, "array \"%s\" of %lld items has no items [%lld, %lld)",
                          array->shm->name, (long long)array->count, (long long)items.begin,
                          (long long)items.end);
    item_size = weir_dtype_size(array->dtype);
    begin = (size_t)(array->data - (char *)array->shm->buf) + (size_t)items.begin * item_size;
    return weir__populate(array->shm, begin, (size_t)(items.end - items.begin) * item_size);
}
