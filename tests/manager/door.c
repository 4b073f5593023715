/* SPDX-License-Identifier: MIT
 *
 * door ADDRESS KEY: begins a scope that listens there, for clients in other languages.
 *
 * KEY is in hexadecimal digits. Prints the name of a block of its own, or "no keys" when it cannot
 * have one; then, for each name on stdin, the first two elements of that list. Ends the scope with
 * stdin.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <weir-manager.h>

#include "manager/auth.h"

static void print_list(const char *name)
{
    weir_list *list = weir_list_attach(name);
    weir_value first, second;

    if (weir_list_get(list, 0, &first) == 0 && weir_list_get(list, 1, &second) == 0)
        printf("%" PRId64 " %" PRId64 "\n", first.integer, second.integer);
    else
        printf("%s\n", weir_last_error()->message);
    fflush(stdout);
    weir_list_close(list);
}

int main(int argc, char **argv)
{
    unsigned char key[WEIR__KEY_MAX];
    char name[300];
    weir_manager *scope;
    size_t size = argc == 3 ? strlen(argv[2]) / 2 : 0;

    if (argc != 3 || size > sizeof(key) || !weir__hex_read(key, size, argv[2]))
        return 2;
    scope = weir_begin(
        &(weir_options){.address = argv[1], .authkey = size ? key : NULL, .authkey_size = size});
    if (!scope && weir_last_error()->code == -ENOTSUP)
        puts("no keys");
    if (!scope) {
        fprintf(stderr, "door: %s\n", weir_last_error()->message);
        return 1;
    }
    puts(weir_shm_name(weir_manager_shm(scope, 100)));
    fflush(stdout);
    while (fgets(name, sizeof(name), stdin)) {
        name[strcspn(name, "\n")] = '\0';
        print_list(name);
    }
    return weir_end(scope) ? 1 : 0;
}
