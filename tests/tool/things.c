/* SPDX-License-Identifier: MIT
 *
 * things.c: programs of weir's for the tool to look at, or to run.
 *
 *     things [anonymous]   a scope with an object of each kind, or of one; it says the name of one
 *                          and the manager's pid, and waits for the end of stdin
 *     things put NAME      in the scope that the environment names: makes an array of 1000 doubles
 *     things sum NAME      the same: attaches the array, and says the sum
 */
#include <stdio.h>
#include <string.h>
#include <weir.h>

static int fail(void)
{
    fprintf(stderr, "things: %s\n", weir_last_error()->message);
    return 1;
}

static int put(const char *name)
{
    const int64_t length = 1000;
    weir_scope *scope = weir_scope_connect(NULL, NULL, 0);
    weir_array *array = scope == NULL ? NULL
                                      : weir_scope_array_named(scope, name, WEIR_FLOAT64, 1,
                                                               &length, WEIR_ARRAY_NPY);

    if (array == NULL)
        return fail();
    for (int i = 0; i < length; i++)
        ((double *)weir_array_data(array))[i] = i;
    weir_array_close(array);
    weir_scope_disconnect(scope);
    return 0;
}

static int sum(const char *name)
{
    weir_scope *scope = weir_scope_connect(NULL, NULL, 0);
    weir_array *array = scope == NULL ? NULL : weir_scope_attach_array(scope, name);
    double total = 0;

    if (array == NULL)
        return fail();
    for (int64_t i = 0; i < weir_array_len(array); i++)
        total += ((double *)weir_array_data(array))[i];
    printf("%g\n", total);
    weir_array_close(array);
    weir_scope_disconnect(scope);
    return 0;
}

static int show(bool anonymous)
{
    const weir_scope_options options = {.anonymous = anonymous};
    const weir_value values[] = {weir_int(-3), weir_str("it's"), weir_none()};
    const int64_t shape[] = {3, 4};
    weir_scope *scope = weir_scope_begin(&options);
    weir_array *array;
    weir_dict *dict;
    weir_shm *shm;

    if (scope == NULL)
        return fail();
    if (options.anonymous) {
        shm = weir_scope_shm(scope, 5000);
        if (shm == NULL)
            return fail();
    } else {
        array = weir_scope_array_named(scope, "matrix", WEIR_FLOAT64, 2, shape, WEIR_ARRAY_NPY);
        dict = weir_scope_dict_named(scope, "prices", NULL);
        shm = weir_scope_shm_named(scope, "bytes", 5000);
        if (array == NULL || dict == NULL || shm == NULL ||
            weir_scope_list_named(scope, "items", values, 3) == NULL ||
            weir_dict_set(dict, weir_str("eggs"), values[0]) < 0)
            return fail();
        for (int i = 0; i < 12; i++)
            ((double *)weir_array_data(array))[i] = i / 2.0;
    }
    printf("%s %d\n", weir_shm_name(shm), (int)weir_scope_manager_pid(scope));
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return weir_scope_end(scope) < 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "put") == 0)
        return put(argv[2]);
    if (argc == 3 && strcmp(argv[1], "sum") == 0)
        return sum(argv[2]);
    return show(argc > 1 && strcmp(argv[1], "anonymous") == 0);
}
