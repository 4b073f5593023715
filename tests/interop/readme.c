/* SPDX-License-Identifier: MIT
 *
 * readme PREFIX: the C side of the Python lines of examples/guides/numpy.md.
 *
 * Makes the three objects under their names with PREFIX in front, says "ready", and waits for the
 * end of stdin. Then prints what Python has left in them, or which of them has lost its name, and
 * ends the scope.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <weir-scope.h>

static char names[3][100];

static int complain(const char *what)
{
    printf("%s: %s\n", what, weir_last_error()->message);
    return 1;
}

static int print_all(weir_scope *scope, weir_list *numbers, weir_array *matrix, weir_array *plain)
{
    weir_value first;

    for (int i = 0; i < 3; i++)
        if (weir_scope_lookup(scope, names[i], NULL) != 0)
            return complain("gone");
    if (weir_list_get(numbers, 0, &first) != 0 || first.type != WEIR_STR)
        return complain("numbers[0]");
    printf("%.*s %g %g\n", (int)first.size, first.data, ((double *)weir_array_data(matrix))[0],
           ((double *)weir_array_data(plain))[11]);
    return 0;
}

int main(int argc, char **argv)
{
    const weir_value values[] = {weir_int(1), weir_int(2), weir_int(3)};
    const int64_t shape[] = {3, 4};
    weir_array *matrix, *plain;
    weir_list *numbers;
    weir_scope *scope;
    int failed;

    if (argc != 2) {
        fprintf(stderr, "usage: readme PREFIX\n");
        return 2;
    }
    scope = weir_scope_begin(NULL);
    if (scope == NULL)
        return complain("weir_scope_begin");
    snprintf(names[0], sizeof names[0], "%snumbers", argv[1]);
    snprintf(names[1], sizeof names[1], "%smatrix", argv[1]);
    snprintf(names[2], sizeof names[2], "%splain", argv[1]);
    numbers = weir_scope_list_named(scope, names[0], values, 3);
    if (numbers == NULL)
        return complain(names[0]);
    matrix = weir_scope_array_named(scope, names[1], WEIR_FLOAT64, 2, shape, WEIR_ARRAY_NPY);
    if (matrix == NULL)
        return complain(names[1]);
    plain = weir_scope_array_named(scope, names[2], WEIR_FLOAT64, 2, shape, 0);
    if (plain == NULL)
        return complain(names[2]);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    failed = print_all(scope, numbers, matrix, plain);
    return weir_scope_end(scope) != 0 || failed;
}
