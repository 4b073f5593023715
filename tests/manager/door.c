/* SPDX-License-Identifier: MIT
 *
 * door ADDRESS KEY: begins a scope that listens there, for clients in other languages.
 *
 * KEY is in hexadecimal digits. Prints the names of a block and of a dictionary of its own, or "no
 * keys" when it cannot have one; then, for each name on stdin, what the scope knows of it: the
 * first two elements of a list, the length of a dictionary, the type, shape and sum of an array of
 * int32. Ends the scope with stdin.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <weir-scope.h>

#include "manager/wire/auth.h"

static void print_list(const char *name)
{
    weir_list *list = weir_list_attach(name);
    weir_value first, second;

    if (weir_list_get(list, 0, &first) == 0 && weir_list_get(list, 1, &second) == 0)
        printf("%" PRId64 " %" PRId64 "\n", first.integer, second.integer);
    else
        printf("%s\n", weir_last_error()->message);
    weir_list_close(list);
}

static void print_array(const char *name)
{
    weir_array *array = weir_array_attach(name);
    int64_t sum = 0;

    if (!array || weir_array_dtype(array) != WEIR_INT32) {
        printf("%s\n", array ? "another type" : weir_last_error()->message);
        weir_array_close(array);
        return;
    }
    for (int64_t i = 0; i < weir_array_len(array); i++)
        sum += ((const int32_t *)weir_array_data(array))[i];
    printf("%s", weir_dtype_name(weir_array_dtype(array)));
    for (int i = 0; i < weir_array_ndim(array); i++)
        printf(" %" PRId64, weir_array_shape(array)[i]);
    printf(" sum %" PRId64 "\n", sum);
    weir_array_close(array);
}

static void print_dict(const char *name)
{
    weir_dict *dict = weir_dict_attach(name);

    if (dict)
        printf("%" PRId64 " items\n", weir_dict_len(dict));
    else
        printf("%s\n", weir_last_error()->message);
    weir_dict_close(dict);
}

static weir_dict *make_dict(weir_scope *scope)
{
    weir_dict *dict = weir_scope_dict(scope, &(weir_dict_options){.max_size = 65536});

    for (int i = 0; dict && i < 10; i++) {
        if (weir_dict_set(dict, weir_int(i), weir_int(i)) < 0)
            return NULL;
    }
    return dict;
}

static void print_object(weir_scope *scope, const char *name)
{
    weir_block_info info;

    if (weir_scope_lookup(scope, name, &info) != 0)
        printf("%s\n", weir_last_error()->message);
    else if (strcmp(info.kind, "list") == 0)
        print_list(name);
    else if (strcmp(info.kind, "array") == 0)
        print_array(name);
    else if (strcmp(info.kind, "dict") == 0)
        print_dict(name);
    else
        printf("%s\n", info.kind);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    unsigned char key[WEIR__AUTH_KEY_MAX];
    char name[300];
    weir_scope *scope;
    size_t size = argc == 3 ? strlen(argv[2]) / 2 : 0;

    if (argc != 3 || size > sizeof(key) || !weir__hex_read(key, size, argv[2]))
        return 2;
    scope = weir_scope_begin(&(weir_scope_options){
        .address = argv[1], .authkey = size ? key : NULL, .authkey_size = size});
    if (!scope && weir_last_error()->code == -ENOTSUP)
        puts("no keys");
    if (!scope) {
        fprintf(stderr, "door: %s\n", weir_last_error()->message);
        return 1;
    }
    printf("%s %s\n", weir_shm_name(weir_scope_shm(scope, 100)),
           weir_shm_name(weir_dict_shm(make_dict(scope))));
    fflush(stdout);
    while (fgets(name, sizeof(name), stdin)) {
        name[strcspn(name, "\n")] = '\0';
        print_object(scope, name);
    }
    return weir_scope_end(scope) ? 1 : 0;
}
