/* SPDX-License-Identifier: MIT
 *
 * connect: one program has a scope, another one puts something into it.
 *
 * The first begins a scope that listens at an address, and waits for a line of input; then it
 * prints the lists that others have left in the scope, and ends it, which removes them. The second
 * connects and leaves a list there, which outlives it.
 *
 *   cc connect.c $(pkg-config --cflags --libs weir) -o connect
 *   ./connect host /tmp/weir-example/door           in one terminal
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

#define MOST 64 /* numbers of a list, and blocks that are looked at */

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

/* Returns 0, or 1 with a message printed, as all functions from here on. */
static int print_list(const weir_block_info *block)
{
    weir_list *list = weir_list_attach(block->name);
    int status = 0;

    if (list == NULL)
        return complain(block->name);
    printf("process %d left", (int)block->pid);
    for (int64_t i = 0; i < weir_list_len(list) && status == 0; i++) {
        weir_value value;

        if (weir_list_get(list, i, &value) < 0)
            status = complain(block->name);
        else
            printf(" %" PRId64, value.integer);
    }
    printf("\n");
    weir_list_close(list);
    return status;
}

static int print_lists(weir_scope *scope)
{
    weir_block_info blocks[MOST];
    int64_t count = weir_scope_blocks(scope, blocks, MOST);
    int status = 0;

    if (count < 0)
        return complain("no list of the blocks");
    if (count > MOST)
        fprintf(stderr, "connect: %d of %" PRId64 " blocks are looked at\n", MOST, count);
    for (int64_t i = 0; i < count && i < MOST; i++) {
        if (strcmp(blocks[i].kind, "list") == 0)
            status |= print_list(&blocks[i]);
    }
    return status;
}

static int host(const char *address)
{
    const weir_scope_options options = {
        .address = address, .authkey = key(), .authkey_size = key_size()};
    int c, status = 1;
    bool begun = false;

    WEIR_SCOPE (scope, &options) {
        begun = true;
        printf("waiting at %s\n", address);
        fflush(stdout);
        while ((c = getchar()) != '\n' && c != EOF)
            ;
        status = print_lists(scope);
    } /* the lists are unlinked here */
    return begun ? status : complain("no scope");
}

static int put(const char *address, char **numbers, int count)
{
    weir_value values[MOST];
    weir_scope *scope;
    weir_list *list;
    int status = 0;

    for (int i = 0; i < count; i++) {
        char *end;

        values[i] = weir_int(strtoll(numbers[i], &end, 10));
        if (*end != '\0') {
            fprintf(stderr, "connect: %s is not a number\n", numbers[i]);
            return 1;
        }
    }
    scope = weir_scope_connect(address, key(), key_size());
    if (scope == NULL)
        return complain("cannot connect");
    list = weir_scope_list(scope, values, (size_t)count);
    if (list == NULL)
        status = complain("no list");
    else
        printf("left %d numbers in %s\n", count, weir_shm_name(weir_list_shm(list)));
    weir_list_close(list);
    weir_scope_disconnect(scope);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "host") == 0)
        return host(argv[2]);
    if (argc > 3 && argc <= 3 + MOST && strcmp(argv[1], "put") == 0)
        return put(argv[2], argv + 3, argc - 3);
    fprintf(stderr, "usage: connect host ADDRESS | put ADDRESS NUMBER...\n");
    return 2;
}
