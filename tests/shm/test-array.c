/* SPDX-License-Identifier: MIT
 *
 * test-array.c: arrays and their .npy headers, sound and damaged, and giving lazy ones their
 * memory.
 */
#include "leak.h"

#include <complex.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/array/array.h"

#define PREFIX_1 "\x93NUMPY\x01\x00"

static const struct {
    weir_dtype dtype;
    const char *name, *code;
    size_t size;
} types[] = {
    {WEIR_BOOL8, "bool", "|b1", sizeof(bool)},
    {WEIR_INT8, "int8", "|i1", sizeof(int8_t)},
    {WEIR_INT16, "int16", "<i2", sizeof(int16_t)},
    {WEIR_INT32, "int32", "<i4", sizeof(int32_t)},
    {WEIR_INT64, "int64", "<i8", sizeof(int64_t)},
    {WEIR_UINT8, "uint8", "|u1", sizeof(uint8_t)},
    {WEIR_UINT16, "uint16", "<u2", sizeof(uint16_t)},
    {WEIR_UINT32, "uint32", "<u4", sizeof(uint32_t)},
    {WEIR_UINT64, "uint64", "<u8", sizeof(uint64_t)},
    {WEIR_FLOAT32, "float32", "<f4", sizeof(float)},
    {WEIR_FLOAT64, "float64", "<f8", sizeof(double)},
    {WEIR_COMPLEX64, "complex64", "<c8", sizeof(float complex)},
    {WEIR_COMPLEX128, "complex128", "<c16", sizeof(double complex)},
};

static void remove_array(weir_array *array)
{
    assert_int_equal(weir_shm_unlink(weir_array_shm(array)), 0);
    weir_array_close(array);
}

static void assert_fails(const weir_array *array, int code)
{
    assert_null(array);
    if (weir_last_error()->code != code)
        fail_msg("%d instead of %d: %s", weir_last_error()->code, code, weir_last_error()->message);
    assert_true(weir_last_error()->message[0] != '\0');
}

/* ---- making and opening --------------------------------------------------------------------- */

static bool is_all_zero(const void *data, size_t size)
{
    const char *bytes = data;

    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static void array_is_zero_and_described__when_created(void **state)
{
    const int64_t shape[] = {3, 4, 5};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        weir_array *array =
            weir_array_create(leak_name("a"), types[i].dtype, 3, shape, i % 2 ? WEIR_ARRAY_NPY : 0);
        const int64_t size = (int64_t)types[i].size;

        assert_non_null(array);
        assert_string_equal(weir_dtype_name(types[i].dtype), types[i].name);
        assert_int_equal(weir_dtype_size(types[i].dtype), size);
        assert_int_equal(weir_array_item_size(array), size);
        assert_int_equal(weir_array_dtype(array), types[i].dtype);
        assert_int_equal(weir_array_ndim(array), 3);
        assert_memory_equal(weir_array_shape(array), shape, sizeof shape);
        assert_int_equal(weir_array_len(array), 60);
        assert_int_equal(weir_array_stride(array, 2), size);
        assert_int_equal(weir_array_stride(array, 1), 5 * size);
        assert_int_equal(weir_array_stride(array, 0), 20 * size);
        assert_int_equal((uintptr_t)weir_array_data(array) % 64, 0);
        assert_true(is_all_zero(weir_array_data(array), 60 * types[i].size));
        assert_int_equal(weir_shm_size(weir_array_shm(array)),
                         60 * types[i].size + (i % 2 ? 128 : 0));
        assert_string_equal(weir_shm_name(weir_array_shm(array)), leak_name("a"));
        remove_array(array);
    }
    assert_string_equal(weir_dtype_name((weir_dtype)0), "?");
    assert_string_equal(weir_dtype_name((weir_dtype)14), "?");
    assert_int_equal(weir_dtype_size((weir_dtype)-1), 0);
}

static void array_is_the_same__when_attached(void **state)
{
    const int64_t shape[] = {2, 3};
    weir_array *made = weir_array_create(leak_name("a"), WEIR_INT32, 2, shape, WEIR_ARRAY_NPY);
    weir_array *raw = weir_array_create(leak_name("b"), WEIR_INT32, 2, shape, 0);
    weir_array *same, *flat;
    const int64_t six = 6;

    (void)state;
    assert_non_null(made);
    same = weir_array_attach(leak_name("a"));
    assert_non_null(same);
    assert_int_equal(weir_array_dtype(same), WEIR_INT32);
    assert_int_equal(weir_array_ndim(same), 2);
    assert_memory_equal(weir_array_shape(same), shape, sizeof shape);
    ((int32_t *)weir_array_data(same))[5] = 42;
    assert_int_equal(((int32_t *)weir_array_data(made))[5], 42);
    weir_array_close(same);
    remove_array(made);

    flat = weir_array_attach_raw(leak_name("b"), WEIR_INT32, 1, &six);
    assert_non_null(flat);
    ((int32_t *)weir_array_data(flat))[5] = 43;
    assert_int_equal(((int32_t *)weir_array_data(raw))[5], 43);
    assert_ptr_equal(weir_array_data(flat), weir_shm_buf(weir_array_shm(flat)));
    weir_array_close(flat);
    assert_fails(weir_array_attach(leak_name("b")), -EBADMSG);
    remove_array(raw);
    assert_fails(weir_array_attach(leak_name("b")), -ENOENT);
    assert_fails(weir_array_attach_raw(leak_name("b"), WEIR_INT32, 1, &six), -ENOENT);
    weir_array_close(NULL);
}

static void header_is_numpys__when_asked_for(void **state)
{
    static const struct {
        int ndim;
        int64_t shape[3];
        weir_dtype dtype;
        const char *text;
    } cases[] = {
        {2, {3, 4}, WEIR_FLOAT64, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }"},
        {1, {7}, WEIR_BOOL8, "{'descr': '|b1', 'fortran_order': False, 'shape': (7,), }"},
        {0, {0}, WEIR_UINT16, "{'descr': '<u2', 'fortran_order': False, 'shape': (), }"},
        {3,
         {0, 1, 2},
         WEIR_COMPLEX128,
         "{'descr': '<c16', 'fortran_order': False, 'shape': (0, 1, 2), }"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_array *array = weir_array_create(leak_name("a"), cases[i].dtype, cases[i].ndim,
                                              cases[i].shape, WEIR_ARRAY_NPY);
        const char *bytes;

        assert_non_null(array);
        bytes = weir_shm_buf(weir_array_shm(array));
        assert_memory_equal(bytes, PREFIX_1 "\x76\0", 10); /* 118 bytes of text: 128 in all */
        assert_memory_equal(bytes + 10, cases[i].text, strlen(cases[i].text));
        for (size_t at = 10 + strlen(cases[i].text); at < 127; at++)
            assert_int_equal(bytes[at], ' ');
        assert_int_equal(bytes[127], '\n');
        assert_ptr_equal(weir_array_data(array), bytes + 128);
        remove_array(array);
    }
}

/* The longest header that there can be, and lengths whose product is not zero. */
static void header_fits__when_there_are_many_axes(void **state)
{
    int64_t shape[WEIR_ARRAY_NDIM_MAX] = {0};
    weir_array *array, *same;

    (void)state;
    for (int i = 1; i < WEIR_ARRAY_NDIM_MAX; i++)
        shape[i] = 1;
    shape[3] = 1000000000000000000;
    array = weir_array_create(leak_name("a"), WEIR_UINT8, 16, shape, WEIR_ARRAY_NPY);
    assert_non_null(array);
    assert_int_equal(weir_array_len(array), 0);
    same = weir_array_attach(leak_name("a"));
    assert_non_null(same);
    assert_memory_equal(weir_array_shape(same), shape, sizeof shape);
    assert_int_equal((uintptr_t)weir_array_data(same) % 64, 0);
    weir_array_close(same);
    remove_array(array);
}

static void array_is_one_item_or_none__when_shape_says_so(void **state)
{
    const int64_t none[] = {4, 0};
    weir_array *one = weir_array_create(leak_name("a"), WEIR_FLOAT32, 0, NULL, 0);
    weir_array *empty = weir_array_create(leak_name("b"), WEIR_FLOAT32, 2, none, 0);
    const float value = 2.5f;

    (void)state;
    assert_non_null(one);
    assert_non_null(empty);
    assert_int_equal(weir_array_len(one), 1);
    assert_int_equal(weir_array_fill(one, &value), 0);
    assert_true(*(float *)weir_array_data(one) == value);
    assert_int_equal(weir_array_len(empty), 0);
    assert_int_equal(weir_array_fill(empty, &value), 0);
    assert_int_equal(weir_array_copy_in(empty, NULL, 0), 0);
    assert_int_equal(*(char *)weir_array_data(empty), 0);
    remove_array(one);
    remove_array(empty);
}

static void making_is_refused__when_it_makes_no_sense(void **state)
{
    const int64_t good[] = {2, 2}, negative[] = {2, -1}, big[] = {INT64_MAX, 2},
                  hidden[] = {INT64_MAX, 0, 2}, edge[] = {INT64_MAX / 8},
                  over[] = {INT64_MAX / 8 + 1};
    weir_array *array;

    (void)state;
    assert_fails(weir_array_create(leak_name("a"), (weir_dtype)0, 2, good, 0), -EINVAL);
    assert_fails(weir_array_create(leak_name("a"), (weir_dtype)14, 2, good, 0), -EINVAL);
    assert_fails(weir_array_create(leak_name("a"), WEIR_INT8, -1, good, 0), -EINVAL);
    assert_fails(weir_array_create(leak_name("a"), WEIR_INT8, 17, good, 0), -EINVAL);
    assert_fails(weir_array_create(leak_name("a"), WEIR_INT8, 1, NULL, 0), -EINVAL);
    assert_fails(weir_array_create(leak_name("a"), WEIR_INT8, 2, negative, 0), -EINVAL);
    assert_fails(weir_array_create(leak_name("a"), WEIR_INT8, 2, good, 8), -EINVAL);
    assert_fails(weir_array_create("a/b", WEIR_INT8, 2, good, 0), -EINVAL);
    assert_fails(weir_array_create(leak_name("a"), WEIR_INT8, 2, big, 0), -E2BIG);
    assert_fails(weir_array_create(leak_name("a"), WEIR_INT8, 3, hidden, 0), -E2BIG);
    assert_fails(weir_array_create(leak_name("a"), WEIR_FLOAT64, 1, over, 0), -E2BIG);
    assert_fails(weir_array_create(leak_name("a"), WEIR_FLOAT64, 1, edge, WEIR_ARRAY_NPY), -E2BIG);
    assert_fails(weir_array_create(leak_name("a"), WEIR_FLOAT64, 1, edge, 0), -ENOSPC);

    array = weir_array_create(leak_name("a"), WEIR_INT8, 2, good, 0);
    assert_non_null(array);
    assert_fails(weir_array_create(leak_name("a"), WEIR_INT8, 2, good, 0), -EEXIST);
    assert_fails(weir_array_attach_raw(leak_name("a"), WEIR_INT16, 2, good), -EBADMSG);
    assert_fails(weir_array_attach_raw(leak_name("a"), WEIR_INT8, 2, negative), -EINVAL);
    assert_fails(weir_array_attach_raw(leak_name("a"), WEIR_INT8, 2, big), -E2BIG);
    assert_int_equal(weir_array_stride(array, 2), -EINVAL);
    assert_int_equal(weir_array_stride(array, -1), -EINVAL);
    remove_array(array);
    assert_null(weir_array_data(NULL));
    assert_int_equal(weir_array_len(NULL), -EINVAL);
    assert_int_equal(weir_array_fill(NULL, &array), -EINVAL);
}

/* ---- headers by others ---------------------------------------------------------------------- */

/* A block that begins with these bytes and has `rest` more. */
static void make_file(const void *bytes, size_t size, size_t rest)
{
    weir_shm *shm = weir_shm_create(leak_name("a"), size + rest, 0);

    assert_non_null(shm);
    memcpy(weir_shm_buf(shm), bytes, size);
    weir_shm_close(shm);
}

static void remove_file(void)
{
    char path[300];

    snprintf(path, sizeof path, "/dev/shm/%s", leak_name("a"));
    assert_int_equal(unlink(path), 0);
}

/* The header of such a version around a dict. */
static size_t wrap(char *header, int version, const char *dict, size_t align)
{
    size_t before = version == 1 ? 10 : 12;
    size_t end = (before + strlen(dict) + 1 + align - 1) / align * align, length = end - before;

    memset(header, ' ', end);
    memcpy(header, "\x93NUMPY", 6);
    header[6] = (char)version;
    header[7] = 0;
    for (size_t i = 8; i < before; i++, length >>= 8)
        header[i] = (char)(length & 0xff);
    memcpy(header + before, dict, strlen(dict));
    header[end - 1] = '\n';
    return end;
}

static void file_is_opened__when_numpy_could_have_written_it(void **state)
{
    static const char *const dicts[] = {
        "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }",
        "{'shape':(2,3),'fortran_order':False,'descr':'<i2'}",
        "{\"descr\": \"=i2\", \"fortran_order\": False, \"shape\": (2L, 3L)}",
        " { 'descr' : '<i2' , 'fortran_order' : False , 'shape' : ( 2 , 3 , ) , } ",
    };
    char header[256];

    (void)state;
    for (int version = 1; version <= 3; version++) {
        for (size_t i = 0; i < 4; i++) {
            size_t size = wrap(header, version, dicts[i], i % 2 ? 16 : 64);
            weir_array *array;

            make_file(header, size, 12 + i);
            array = weir_array_attach(leak_name("a"));
            if (array == NULL)
                fail_msg("version %d, %s: %s", version, dicts[i], weir_last_error()->message);
            assert_int_equal(weir_array_dtype(array), WEIR_INT16);
            assert_int_equal(weir_array_len(array), 6);
            assert_int_equal(weir_array_shape(array)[1], 3);
            assert_ptr_equal(weir_array_data(array),
                             (char *)weir_shm_buf(weir_array_shm(array)) + size);
            weir_array_close(array);
            remove_file();
        }
    }
}

static void file_is_refused__when_it_is_none_of_ours(void **state)
{
#define REST  ", 'fortran_order': False, 'shape': (2, 3), }"
#define DESCR "{'descr': '<i2', "
    static const struct {
        int code;
        const char *dict;
    } cases[] = {
        {-ENOTSUP, DESCR "'fortran_order': True, 'shape': (2, 3), }"},
        {-ENOTSUP, "{'descr': '>i2'" REST},
        {-ENOTSUP, "{'descr': '|O'" REST},
        {-ENOTSUP, "{'descr': '<f2'" REST},
        {-ENOTSUP, "{'descr': '<f16'" REST},
        {-ENOTSUP, "{'descr': '<U5'" REST},
        {-ENOTSUP, "{'descr': '<M8[ns]'" REST},
        {-ENOTSUP, "{'descr': '|i2'" REST},
        {-ENOTSUP, "{'descr': ''" REST},
        {-ENOTSUP, "{'descr': [('a', '<i2'), ('b', '<f8')]" REST},
        {-ENOTSUP, DESCR "'fortran_order': False, "
                         "'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1), }"},
        {-EBADMSG, "{'descr': '<i2', 'fortran_order': False}"},
        {-EBADMSG, "{'descr': '<i2', 'shape': (2, 3), }"},
        {-EBADMSG, "{'fortran_order': False, 'shape': (2, 3), }"},
        {-EBADMSG, "{'descr': '<i2', 'descr': '<i2'" REST},
        {-EBADMSG, "{'descr': '<i2', 'more': '<i2'" REST},
        {-EBADMSG, "{'descr': '<i2'" REST " more"},
        {-EBADMSG, "{'descr': '<i2', 'fortran_order': False 'shape': (2, 3)}"},
        {-EBADMSG, DESCR "'fortran_order': 0, 'shape': (2, 3), }"},
        {-EBADMSG, DESCR "'fortran_order': False, 'shape': (2 3), }"},
        {-EBADMSG, DESCR "'fortran_order': False, 'shape': (2, -3), }"},
        {-EBADMSG, DESCR "'fortran_order': False, 'shape': (2, 03), }"},
        {-EBADMSG, DESCR "'fortran_order': False, 'shape': (6), }"},
        {-EBADMSG, DESCR "'fortran_order': False, 'shape': [2, 3], }"},
        {-EBADMSG, DESCR "'fortran_order': False, 'shape': (2, 3"},
        {-EBADMSG, DESCR "'fortran_order': False, 'shape': (2, 4), }"}, /* not that many there */
        {-EBADMSG, DESCR "'fortran_order': False, 'shape': (9223372036854775807, 2), }"},
        {-EBADMSG, DESCR "'fortran_order': False, 'shape': (9223372036854775808,), }"},
        {-EBADMSG, "{'descr': '<i2"},
        {-EBADMSG, ""},
    };
    char header[512];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = wrap(header, 1, cases[i].dict, 64);
        weir_array *array;

        make_file(header, size, 12);
        array = weir_array_attach(leak_name("a"));
        if (array != NULL || weir_last_error()->code != cases[i].code)
            fail_msg("%s: %d", cases[i].dict, array ? 0 : weir_last_error()->code);
        remove_file();
    }
}

static void file_is_refused__when_its_header_is_cut_or_moved(void **state)
{
    char header[256], longest[WEIR__NPY_HEADER_MAX + 200];
    size_t size = wrap(header, 2, "{'descr': '<i2', 'fortran_order': False, 'shape': (0,)}", 64);

    (void)state;
    for (size_t cut = 1; cut < size; cut++) {
        make_file(header, cut, 0);
        assert_fails(weir_array_attach(leak_name("a")), -EBADMSG);
        remove_file();
    }
    header[6] = 4;
    make_file(header, size, 0);
    assert_fails(weir_array_attach(leak_name("a")), -ENOTSUP);
    remove_file();
    size = wrap(header, 1, "{'descr': '<i2', 'fortran_order': False, 'shape': (1,)}", 1);
    assert_int_not_equal(size % 16, 0);
    make_file(header, size, 2);
    assert_fails(weir_array_attach(leak_name("a")), -ENOTSUP);
    remove_file();
    size = wrap(longest, 2, "{'descr': '<i2', 'fortran_order': False, 'shape': (0,)}",
                WEIR__NPY_HEADER_MAX + 100);
    make_file(longest, size, 0);
    assert_fails(weir_array_attach(leak_name("a")), -ENOTSUP);
    remove_file();
}

/* Whatever one byte of the header is: an error, or an array that lies in the block. */
static void block_is_refused_or_harmless__when_a_byte_is_changed(void **state)
{
    const int64_t shape[] = {3, 40};
    weir_array *sound = weir_array_create(leak_name("a"), WEIR_INT32, 2, shape, WEIR_ARRAY_NPY);
    const unsigned char *header = weir_shm_buf(weir_array_shm(sound));
    struct weir_shm shm = {.size = weir_shm_size(weir_array_shm(sound)), .name = "damaged"};
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int opened = 0;

    (void)state;
    assert_true(page != MAP_FAILED && mprotect(page + 4096, 4096, PROT_NONE) == 0);
    shm.buf = page + 4096 - (shm.size + 63) / 64 * 64; /* the page behind must not be touched */
    memcpy(shm.buf, header, shm.size);
    for (int at = 0; at < 128; at++) {
        unsigned char *byte = (unsigned char *)shm.buf + at;

        for (int value = 0; value < 256; value++) {
            struct weir_array array;
            int result;

            *byte = (unsigned char)value;
            result = weir__array_kind.bind(&array, &shm, NULL);
            if (result < 0) {
                assert_true(result == -EBADMSG || result == -ENOTSUP);
                continue;
            }
            opened++;
            assert_true(array.data >= (char *)shm.buf && array.count >= 0);
            assert_true((uint64_t)array.count * weir_dtype_size(array.dtype) <=
                        shm.size - (size_t)(array.data - (char *)shm.buf));
        }
        *byte = header[at];
    }
    assert_in_range(opened, 128, 2000); /* the sound ones, and some other numbers and spaces */
    munmap(page, 8192);
    remove_array(sound);
}

/* ---- memory --------------------------------------------------------------------------------- */

static int64_t blocks_of(const weir_array *array)
{
    char path[300];
    struct stat status;

    snprintf(path, sizeof path, "/dev/shm/%s", weir_shm_name(weir_array_shm(array)));
    assert_int_equal(stat(path, &status), 0);
    return (int64_t)status.st_blocks * 512;
}

static void memory_is_there__when_populated(void **state)
{
    const int64_t count = 4 << 20;
    weir_array *array = weir_array_create(leak_name("a"), WEIR_FLOAT64, 1, &count,
                                          WEIR_ARRAY_LAZY | WEIR_ARRAY_NPY);
    double *items = weir_array_data(array);

    (void)state;
    assert_non_null(array);
    assert_in_range(blocks_of(array), 0, 4096); /* the header */
    assert_int_equal(weir_array_populate(array, (weir_range){0, 0}), 0);
    assert_true(blocks_of(array) <= 4096);
    assert_int_equal(weir_array_populate(array, (weir_range){1 << 20, 2 << 20}), 0);
    assert_in_range(blocks_of(array), 8 << 20, (8 << 20) + 8192 + 4096);
    items[1 << 20] = 3;
    assert_int_equal(weir_array_populate(array, (weir_range){0, count}), 0);
    assert_in_range(blocks_of(array), count * 8, count * 8 + 8192);
    assert_true(items[1 << 20] == 3 && items[0] == 0 && items[count - 1] == 0);
    assert_int_equal(weir_shm_unlink(weir_array_shm(array)), 0);
    assert_int_equal(weir_array_populate(array, (weir_range){0, count}), 0); /* needs no name */
    assert_int_equal(weir_array_populate(array, (weir_range){0, count + 1}), -ERANGE);
    assert_int_equal(weir_array_populate(array, (weir_range){-1, 1}), -ERANGE);
    assert_int_equal(weir_array_populate(array, (weir_range){2, 1}), -ERANGE);
    assert_int_equal(weir_array_populate(NULL, (weir_range){0, 1}), -EINVAL);
    weir_array_close(array);
}

/* Of this process's addresses. */
static long pages_mapped(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long pages = -1;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pages), 1);
    fclose(file);
    return pages;
}

static void no_addresses_are_lost__when_blocks_are_aligned(void **state)
{
    const int64_t count = (5 << 20) + 100;
    const long before = pages_mapped();

    (void)state;
    for (int i = 0; i < 64; i++) {
        weir_array *array =
            weir_array_create(leak_name("a"), WEIR_UINT8, 1, &count, WEIR_ARRAY_HUGE);

        assert_non_null(array);
        remove_array(array);
    }
    assert_in_range(pages_mapped(), 0, before + 256);
}

static void array_is_right__when_huge_pages_are_asked_for(void **state)
{
    const int64_t count = (5 << 20) + 100;
    weir_array *lazy =
        weir_array_create(leak_name("a"), WEIR_UINT8, 1, &count, WEIR_ARRAY_HUGE | WEIR_ARRAY_LAZY);
    weir_array *array =
        weir_array_create(leak_name("b"), WEIR_UINT8, 1, &count, WEIR_ARRAY_HUGE | WEIR_ARRAY_NPY);
    weir_array *same = weir_array_attach(leak_name("b"));
    const uint8_t seven = 7;

    (void)state;
    assert_non_null(lazy);
    assert_non_null(array);
    assert_non_null(same);
    assert_int_equal((uintptr_t)weir_shm_buf(weir_array_shm(array)) % (2 << 20), 0);
    assert_true(is_all_zero(weir_array_data(array), (size_t)count));
    assert_int_equal(weir_array_fill(array, &seven), 0);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(((uint8_t *)weir_array_data(same))[i], 7);
    assert_int_equal(weir_array_populate(lazy, (weir_range){0, count}), 0);
    assert_true(is_all_zero(weir_array_data(lazy), (size_t)count));
    weir_array_close(same);
    remove_array(array);
    remove_array(lazy);
}

/* Bytes of the mapping at an address that lie in huge pages. */
static long huge_bytes(const void *address)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    unsigned long begin = 0, end = 0;
    char line[512];
    long kb = 0, one;
    bool here = false;

    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2 && strchr(line, '-') < strchr(line, ' '))
            here = (uintptr_t)address >= begin && (uintptr_t)address < end;
        else if (here && sscanf(line, "ShmemPmdMapped: %ld kB", &one) == 1)
            kb += one;
    }
    fclose(file);
    return kb * 1024;
}

/* Whether the system has huge pages for shared memory to give: by the calls themselves. */
static bool system_gives_huge_pages(void)
{
    const size_t huge = 2 << 20;
    int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char *room = mmap(NULL, 2 * huge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at;
    bool gives;

    assert_true(fd >= 0 && posix_fallocate(fd, 0, (off_t)huge) == 0 && room != MAP_FAILED);
    at = room + (huge - (uintptr_t)room % huge) % huge;
    assert_true(mmap(at, huge, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == at);
    memset(at, 1, huge);
    madvise(at, huge, 25 /* MADV_COLLAPSE */);
    gives = huge_bytes(at) > 0;
    munmap(room, 2 * huge);
    close(fd);
    return gives;
}

static void pages_are_huge__when_asked_for_and_there_are_any(void **state)
{
    const int64_t count = 8 << 20;
    weir_array *small, *array;

    (void)state;
    if (!system_gives_huge_pages()) {
        print_message("skipped: the system gives no huge pages for shared memory\n");
        skip();
    }
    small = weir_array_create(leak_name("s"), WEIR_UINT8, 1, &count, 0);
    array = weir_array_create(leak_name("h"), WEIR_UINT8, 1, &count, WEIR_ARRAY_HUGE);
    assert_true(small && array);
    memset(weir_array_data(small), 1, (size_t)count);
    memset(weir_array_data(array), 1, (size_t)count);
    print_message("%ld of %lld bytes in huge pages\n", huge_bytes(weir_array_data(array)),
                  (long long)count);
    assert_true(huge_bytes(weir_array_data(array)) > 0);
    assert_true(huge_bytes(weir_array_data(small)) <= huge_bytes(weir_array_data(array)));
    remove_array(small);
    remove_array(array);
}

/* The last test: /dev/shm stays small. */
static void populating_is_refused__when_shm_is_full(void **state)
{
    const int64_t count = 16 << 20;
    weir_array *array;

    (void)state;
    if (!leak_limit_shm(8 << 20)) {
        print_message("needs a /dev/shm of its own\n");
        skip();
    }
    assert_fails(weir_array_create(leak_name("a"), WEIR_INT8, 1, &count, 0), -ENOSPC);
    array = weir_array_create(leak_name("a"), WEIR_INT8, 1, &count, WEIR_ARRAY_LAZY);
    assert_non_null(array);
    assert_int_equal(weir_array_populate(array, (weir_range){0, 4 << 20}), 0);
    assert_int_equal(weir_array_populate(array, (weir_range){0, count}), -ENOSPC);
    assert_non_null(strstr(weir_last_error()->message, "16777216"));
    assert_int_equal(weir_array_populate(array, (weir_range){count - 1, count}), -ENOSPC);
    remove_array(array);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, leak_setup, leak_teardown)
    const struct CMUnitTest tests[] = {
        CASE(array_is_zero_and_described__when_created),
        CASE(array_is_the_same__when_attached),
        CASE(header_is_numpys__when_asked_for),
        CASE(header_fits__when_there_are_many_axes),
        CASE(array_is_one_item_or_none__when_shape_says_so),
        CASE(making_is_refused__when_it_makes_no_sense),
        CASE(file_is_opened__when_numpy_could_have_written_it),
        CASE(file_is_refused__when_it_is_none_of_ours),
        CASE(file_is_refused__when_its_header_is_cut_or_moved),
        CASE(block_is_refused_or_harmless__when_a_byte_is_changed),
        CASE(memory_is_there__when_populated),
        CASE(no_addresses_are_lost__when_blocks_are_aligned),
        CASE(array_is_right__when_huge_pages_are_asked_for),
        CASE(pages_are_huge__when_asked_for_and_there_are_any),
        CASE(populating_is_refused__when_shm_is_full),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
