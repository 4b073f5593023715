/* SPDX-License-Identifier: MIT
 *
 * A .npy file of any content, opened as an array; all its items are read, and views of it are cut.
 *
 * Input: the block, then 24 bytes for a view.
 */
#include "fuzz.h"

#include <errno.h>

#include "shm/array/array.h"

#define VIEW 24

static void sum_up(const weir_view *view)
{
    int64_t count = weir_view_len(view), index[WEIR_ARRAY_NDIM_MAX];
    size_t item = weir_dtype_size(view->dtype);
    unsigned char copy[4096], sum = 0;

    HOLD(count >= 0);
    if (count == 0)
        return;
    for (int end = 0; end < 2; end++) {
        const unsigned char *at;

        for (int i = 0; i < view->ndim; i++)
            index[i] = -end;
        at = weir_view_item(view, index);
        HOLD(at != NULL);
        for (size_t i = 0; i < item; i++)
            sum ^= at[i];
    }
    if ((uint64_t)count <= sizeof copy / item)
        HOLD(weir_view_copy_out(view, copy, (size_t)count * item) == 0);
    HOLD(sum == sum);
}

static void cut(weir_view view, struct fuzz_input *input)
{
    for (int i = 0; i < 3; i++) {
        int axis = (int)fuzz_number(input, 1) % 4;
        int64_t a = (int16_t)fuzz_number(input, 2), b = (int16_t)fuzz_number(input, 2);
        int64_t step = (int8_t)fuzz_number(input, 1);

        if (a == 0x7fff)
            a = INT64_MAX;
        if (b == 0x7fff)
            b = WEIR_SLICE_END;
        /* One that is refused leaves the view as it was. */
        if ((step % 5 == 4 ? weir_view_at(&view, axis, a, &view)
                           : weir_view_slice(&view, axis, a, b, step, &view)) > 0)
            abort();
        sum_up(&view);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_shm shm = {.name = "hostile"};
    struct weir_array array = {0};
    struct fuzz_input input;

    if (size < VIEW + 1)
        return 0;
    shm.size = size - VIEW;
    if (posix_memalign(&shm.buf, 64, shm.size) != 0)
        return 0;
    memcpy(shm.buf, data, shm.size);
    input = (struct fuzz_input){data + shm.size, VIEW};
    if (weir__array_kind.bind(&array, &shm, NULL) == 0) {
        weir_view view;
        size_t bytes = (size_t)weir_array_len(&array) * weir_array_item_size(&array);

        HOLD(bytes <= shm.size && weir_array_view(&array, &view) == 0);
        HOLD(bytes == 0 || (char *)weir_array_data(&array) + bytes <= (char *)shm.buf + shm.size);
        free(weir_array_repr(&array, 20));
        sum_up(&view);
        cut(view, &input);
    }
    free(shm.buf);
    return 0;
}

static void seed(const char *folder, const char *name, weir_dtype dtype, int ndim,
                 const int64_t *shape)
{
    struct weir__array_spec spec = {dtype, ndim, shape, WEIR_ARRAY_NPY};
    unsigned flags = 0;
    size_t size = (size_t)weir__array_kind.size(&spec, &flags);
    uint8_t *bytes = calloc(1, size + VIEW);

    weir__array_kind.fill(bytes, size, &spec);
    for (int i = 0; i < VIEW; i++)
        bytes[size + (size_t)i] = (uint8_t)i;
    fuzz_seed(folder, name, bytes, size + VIEW);
    free(bytes);
}

void fuzz_seeds(const char *folder)
{
    seed(folder, "scalar", WEIR_FLOAT64, 0, NULL);
    seed(folder, "vector", WEIR_INT8, 1, (int64_t[]){5});
    seed(folder, "matrix", WEIR_UINT16, 2, (int64_t[]){3, 4});
    seed(folder, "cube", WEIR_COMPLEX64, 3, (int64_t[]){2, 0, 4});
}
