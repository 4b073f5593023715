/* SPDX-License-Identifier: MIT
 *
 * bench-dict CASE [KEYS]: a dictionary of ints, one round for each line on stdin, for beside.py.
 *
 * get, set and add take a key at random each time, as bench-dict-peer.py does with
 * Manager().dict().
 */
#include <weir.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "now.h"

enum { OPERATIONS = 200000 };

static void must(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, weir_last_error()->message);
    exit(1);
}

static int operate(weir_dict *dict, char which, weir_value key)
{
    weir_value value;

    switch (which) {
    case 'g':
        return weir_dict_get(dict, key, &value, NULL, 0);
    case 's':
        return weir_dict_set(dict, key, weir_int(key.integer));
    default:
        return weir_dict_add(dict, key, 1, NULL);
    }
}

static double run_round(weir_dict *dict, char which, uint64_t keys)
{
    static uint64_t seed = 1;
    double begin = now_us();

    for (int i = 0; i < OPERATIONS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        must(operate(dict, which, weir_int((int64_t)((seed >> 33) % keys))) == 0, "an operation");
    }
    return (now_us() - begin) / OPERATIONS;
}

int main(int argc, char **argv)
{
    const weir_dict_options options = {.max_size = (size_t)1 << 30};
    uint64_t keys = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
    weir_scope *scope;
    weir_dict *dict;
    char line[64];

    if (argc < 2 || strchr("gsa", argv[1][0]) == NULL || keys == 0) {
        fprintf(stderr, "usage: bench-dict get|set|add [KEYS]; then a line for each round\n");
        return 2;
    }
    scope = weir_scope_begin(NULL);
    must(scope != NULL, "weir_scope_begin");
    dict = weir_scope_dict(scope, &options);
    must(dict != NULL, "weir_scope_dict");
    for (uint64_t i = 0; i < keys; i++)
        must(weir_dict_set(dict, weir_int((int64_t)i), weir_int(0)) == 0, "weir_dict_set");
    while (fgets(line, sizeof line, stdin)) {
        printf("%.5f\n", run_round(dict, argv[1][0], keys));
        fflush(stdout);
    }
    must(weir_scope_end(scope) == 0, "weir_scope_end");
    return 0;
}
