/* SPDX-License-Identifier: MIT
 *
 * Handles: any text, taken for a handle of each kind, while there are blocks that it may name.
 */
#include "fuzz.h"

#include <errno.h>
#include <weir-shm.h>

static bool is_refusal(int code)
{
    switch (code) {
    case -EINVAL:
    case -E2BIG:
    case -EBADMSG:
    case -ENOENT:
    case -EPERM:
    case -ENAMETOOLONG:
    case -ENOTSUP:
        return true;
    default:
        fprintf(stderr, "refused with %d: %s\n", code, weir_last_error()->message);
        return false;
    }
}

static void make_blocks(void)
{
    weir_shm *shm = weir_shm_create("block", 100, 0);
    weir_list *list = weir_list_create_range("list", 0, 4, 1);
    weir_array *array =
        weir_array_create("array", WEIR_FLOAT64, 2, (int64_t[]){2, 3}, WEIR_ARRAY_NPY);
    weir_dict *dict = weir_dict_create("dict", &(weir_dict_options){.max_size = 65536});

    HOLD(shm != NULL && list != NULL && array != NULL && dict != NULL);
    weir_shm_close(shm);
    weir_list_close(list);
    weir_array_close(array);
    weir_dict_close(dict);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    char *text;
    weir_shm *shm;
    weir_list *list;
    weir_array *array;
    weir_dict *dict;

    if (!ready) {
        fuzz_isolate();
        make_blocks();
        ready = true;
    }
    text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    shm = weir_shm_from_json(text);
    HOLD(shm != NULL || is_refusal(weir_last_error()->code));
    list = weir_list_from_json(text);
    HOLD(list != NULL || is_refusal(weir_last_error()->code));
    array = weir_array_from_json(text);
    HOLD(array != NULL || is_refusal(weir_last_error()->code));
    dict = weir_dict_from_json(text);
    HOLD(dict != NULL || is_refusal(weir_last_error()->code));
    HOLD((shm != NULL) + (list != NULL) + (array != NULL) + (dict != NULL) <= 1);
    weir_dict_close(dict);
    weir_shm_close(shm);
    weir_list_close(list);
    weir_array_close(array);
    free(text);
    return 0;
}

static void seed(const char *folder, const char *name, char *handle)
{
    HOLD(handle != NULL);
    fuzz_seed(folder, name, handle, strlen(handle));
    free(handle);
}

/* A tmpfs that is new numbers its files from 2 on, so the inode numbers in these seeds are those of
 * the run's blocks. */
void fuzz_seeds(const char *folder)
{
    weir_shm *shm;
    weir_list *list;
    weir_array *array;
    weir_dict *dict;

    /* The folder may be one that a new mount would hide: only /dev/shm is private. */
    fuzz_isolate();
    make_blocks();
    shm = weir_shm_attach("block");
    list = weir_list_attach("list");
    array = weir_array_attach("array");
    dict = weir_dict_attach("dict");
    seed(folder, "block", weir_shm_to_json(shm));
    seed(folder, "list", weir_list_to_json(list));
    seed(folder, "array", weir_array_to_json(array));
    seed(folder, "dict", weir_dict_to_json(dict));
    weir_shm_close(shm);
    weir_list_close(list);
    weir_array_close(array);
    weir_dict_close(dict);
}
