/* SPDX-License-Identifier: MIT
 *
 * things.c: a program with a scope of one object of each kind, for the tool to look at. It says
 * "ID MANAGER" and waits for the end of stdin.
 *
 *     things [anonymous]
 */
#include <stdio.h>
#include <string.h>
#include <weir.h>

static int fail(void)
{
    fprintf(stderr, "things: %s\n", weir_last_error()->message);
    return 1;
}

int main(int argc, char **argv)
{
    const weir_scope_options options = {.anonymous = argc > 1 && strcmp(argv[1], "anonymous") == 0};
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
