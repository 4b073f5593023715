/* SPDX-License-Identifier: MIT
 *
 * connect: one program has a scope, another one puts something into it.
 *
 * The first begins a scope that listens at an address, and waits for a line of input; then it
 * prints the lists that others have left in the scope, and ends it, which removes them. The second
 * connects and leaves a list there, which outlives it.
 *
 *   cc connect.c $(pkg-config --cflags --libs weir) -o connect
 *   ./connect host /tmp/weir-example/door        in one terminal
 *   ./connect put  /tmp/weir-example/door 3 14 15   in another, as often as you like
 *
 * With CONNECT_KEY in the environment of both, each proves to the other that it knows this key
 * (weir must have been built with libsodium).
 */
#include <weir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64

static int complain(const char *what)
{
    fprintf(stderr, "connect: %s: %s\n", what, weir_last_error()->message);
    return 1;
}

static const char *key(void)
{
    const char *text = getenv("CONNECT_KEY");

    return text && *text ? text : NULL;
}

static size_t key_size(void)
{
    return key() ? strlen(key()) : 0;
}

static int print_list(const weir_block_info *block)
{
    weir_list *list = weir_list_attach(block->name);

    if (!list)
        return complain(block->name);
    printf("process %d left", (int)block->pid);
    for (int64_t i = 0; i < weir_list_len(list); i++) {
        weir_value value;

        if (weir_list_get(list, i, &value) == 0)
            printf(" %" PRId64, value.integer);
    }
    printf("\n");
    weir_list_close(list);
    return 0;
}

static int host(const char *address)
{
    weir_scope *scope = weir_scope_begin(
        &(weir_scope_options){.address = address, .authkey = key(), .authkey_size = key_size()});
    weir_block_info blocks[MOST];
    int64_t count;
    int failed = 0;

    if (!scope)
        return complain("no scope");
    printf("waiting at %s\n", address);
    fflush(stdout);
    while (getchar() != '\n' && !feof(stdin))
        ;
    count = weir_scope_blocks(scope, blocks, MOST);
    if (count < 0)
        failed = complain("blocks");
    for (int64_t i = 0; i < count && i < MOST; i++) {
        if (strcmp(blocks[i].kind, "list") == 0)
            failed |= print_list(&blocks[i]);
    }
    return weir_scope_end(scope) < 0 ? complain("end") : failed;
}

static int put(const char *address, char **numbers, int count)
{
    weir_scope *scope = weir_scope_connect(address, key(), key_size());
    weir_value values[MOST];
    weir_list *list;

    if (!scope)
        return complain("cannot connect");
    for (int i = 0; i < count; i++)
        values[i] = weir_int(strtoll(numbers[i], NULL, 10));
    list = weir_scope_list(scope, values, (size_t)count);
    if (list)
        printf("left %d numbers in %s\n", count, weir_shm_name(weir_list_shm(list)));
    else
        complain("no list");
    weir_list_close(list);
    weir_scope_disconnect(scope);
    return list ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "host") == 0)
        return host(argv[2]);
    if (argc > 3 && argc <= 3 + MOST && strcmp(argv[1], "put") == 0)
        return put(argv[2], argv + 3, argc - 3);
    fprintf(stderr, "usage: %s host ADDRESS | put ADDRESS NUMBER...\n", argv[0]);
    return 2;
}
