/* SPDX-License-Identifier: MIT
 *
 * array-peer.c: weir's side of the NumPy tests: commands on stdin, one a line, each answered with
 * one line. An answer begins with a number; a negative one is an error code. One array is open at a
 * time. Bad commands end the program: the script is wrong then.
 *
 *   create NAME FLAGS DTYPE [LENGTH...]   attach NAME   raw NAME DTYPE [LENGTH...]
 *   from JSON   handle   info   read   write HEX   fill HEX   repr MOST   unlink   close
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir-shm.h>

static weir_array *array;

static _Noreturn void give_up(const char *why)
{
    fprintf(stderr, "array-peer: %s\n", why);
    exit(2);
}

static size_t size_of_items(void)
{
    return (size_t)weir_array_len(array) * weir_array_item_size(array);
}

static weir_dtype parse_dtype(const char *name)
{
    for (int i = WEIR_BOOL8; i <= WEIR_COMPLEX128; i++)
        if (name != NULL && strcmp(name, weir_dtype_name((weir_dtype)i)) == 0)
            return (weir_dtype)i;
    give_up("no type");
}

static int parse_shape(int64_t *shape)
{
    int ndim = 0;

    for (const char *word; (word = strtok(NULL, " ")) != NULL;)
        shape[ndim++] = strtoll(word, NULL, 10);
    return ndim;
}

static void answer_opened(weir_array *opened)
{
    weir_array_close(array);
    array = opened;
    printf("%d\n", array == NULL ? weir_last_error()->code : 0);
}

static void print_info(void)
{
    printf("0 %s %td", weir_dtype_name(weir_array_dtype(array)),
           (char *)weir_array_data(array) - (char *)weir_shm_buf(weir_array_shm(array)));
    for (int i = 0; i < weir_array_ndim(array); i++)
        printf(" %" PRId64, weir_array_shape(array)[i]);
    putchar('\n');
}

static void print_items(void)
{
    unsigned char *bytes = malloc(size_of_items() + 1);

    if (bytes == NULL || weir_array_copy_out(array, bytes, size_of_items()) < 0)
        give_up("cannot read");
    printf("0 ");
    for (size_t i = 0; i < size_of_items(); i++)
        printf("%02x", bytes[i]);
    putchar('\n');
    free(bytes);
}

/* In place: the text becomes the bytes. */
static void parse_hex(char *text)
{
    for (size_t i = 0; text[2 * i] != '\0'; i++) {
        unsigned byte;

        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            give_up("no hex");
        text[i] = (char)byte;
    }
}

static void print_handle(void)
{
    char *handle = weir_array_to_json(array);

    if (handle == NULL)
        give_up("no handle");
    printf("0 %s\n", handle);
    free(handle);
}

/* In hex, as it has several lines. */
static void print_repr(const char *most)
{
    char *text = weir_array_repr(array, strtoull(most, NULL, 10));

    if (text == NULL)
        give_up("no repr");
    printf("0 ");
    for (const char *at = text; *at != '\0'; at++)
        printf("%02x", (unsigned char)*at);
    putchar('\n');
    free(text);
}

static void write_items(char *hex)
{
    size_t size = strlen(hex) / 2;

    parse_hex(hex);
    printf("%d\n", weir_array_copy_in(array, hex, size));
}

static void fill_items(char *hex)
{
    parse_hex(hex);
    printf("%d\n", weir_array_fill(array, hex));
}

static void obey(char *line)
{
    char *rest = strchr(line, ' '), *command, *name, *flags;
    int64_t shape[WEIR_ARRAY_NDIM_MAX];
    weir_dtype dtype;

    if (strncmp(line, "from ", 5) == 0) {
        answer_opened(weir_array_from_json(rest + 1));
        return;
    }
    command = strtok(line, " ");
    name = strtok(NULL, " ");
    if (command == NULL)
        give_up("no command");
    if (strcmp(command, "create") == 0) {
        flags = strtok(NULL, " ");
        dtype = parse_dtype(strtok(NULL, " "));
        answer_opened(weir_array_create(name, dtype, parse_shape(shape), shape,
                                        (unsigned)strtoul(flags, NULL, 10)));
    } else if (strcmp(command, "raw") == 0) {
        dtype = parse_dtype(strtok(NULL, " "));
        answer_opened(weir_array_attach_raw(name, dtype, parse_shape(shape), shape));
    } else if (strcmp(command, "attach") == 0)
        answer_opened(weir_array_attach(name));
    else if (strcmp(command, "info") == 0)
        print_info();
    else if (strcmp(command, "read") == 0)
        print_items();
    else if (strcmp(command, "handle") == 0)
        print_handle();
    else if (strcmp(command, "write") == 0)
        write_items(name == NULL ? (char[]){""} : name);
    else if (strcmp(command, "repr") == 0)
        print_repr(name);
    else if (strcmp(command, "fill") == 0)
        fill_items(name);
    else if (strcmp(command, "unlink") == 0)
        printf("%d\n", weir_shm_unlink(weir_array_shm(array)));
    else if (strcmp(command, "close") == 0)
        answer_opened(NULL);
    else
        give_up("unknown command");
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;

    while (getline(&line, &room, stdin) > 0) {
        line[strcspn(line, "\n")] = '\0';
        obey(line);
        fflush(stdout);
    }
    free(line);
    weir_array_close(array);
    return 0;
}
