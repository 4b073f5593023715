/* SPDX-License-Identifier: MIT
 *
 * bench-mrmpi.cc: the words of a text, counted by MR-MPI, one process a core.
 *
 *   bench-mrmpi ROUNDS NAME TEXT MB   rounds of the program NAME, see bench-rounds.h; MB: of a page
 *
 * words: each process emits its part's words, combines those that it has more than once
 * (compress), and gets its share of all (collate). plain: without the combining.
 */
#include "bench-rounds.h"

#include <cstdlib>
#include <fcntl.h>
#include <mpi.h>
#include <mrmpi/keyvalue.h>
#include <mrmpi/mapreduce.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using MAPREDUCE_NS::KeyValue;
using MAPREDUCE_NS::MapReduce;

static int rank, ranks;
static char *text;
static size_t text_size;

static void map_text(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st = {};
    void *data = MAP_FAILED;

    if (file >= 0 && fstat(file, &st) == 0)
        data = mmap(nullptr, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
        perror(path);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    close(file);
    text = (char *)data;
    text_size = (size_t)st.st_size;
}

static bool is_letter(char c)
{
    return (unsigned char)(c - 'a') < 26;
}

static void emit_part(int part, KeyValue *pairs, void *)
{
    size_t at = text_size * (size_t)part / (size_t)ranks;
    const size_t end = text_size * (size_t)(part + 1) / (size_t)ranks;
    int64_t one = 1;

    if (part > 0 && is_letter(text[at - 1]))
        while (at < text_size && is_letter(text[at]))
            at++;
    while (at < end) {
        size_t from;

        while (at < end && !is_letter(text[at]))
            at++;
        if (at == end)
            break;
        for (from = at; at < text_size && is_letter(text[at]);)
            at++;
        pairs->add(text + from, (int)(at - from), (char *)&one, sizeof one);
    }
}

static void add_up(char *key, int key_size, char *values, int count, int *, KeyValue *pairs, void *)
{
    int64_t sum = 0;

    for (int i = 0; i < count; i++) {
        int64_t value;

        memcpy(&value, values + (size_t)i * sizeof value, sizeof value);
        sum += value;
    }
    pairs->add(key, key_size, (char *)&sum, sizeof sum);
}

static void words(bool combine, const char *path, int page_mb)
{
    const struct measured begin = measure_now();
    MapReduce reduction(MPI_COMM_WORLD);
    uint64_t found;

    reduction.memsize = page_mb;
    map_text(path);
    reduction.map(ranks, emit_part, nullptr);
    if (combine)
        reduction.compress(add_up, nullptr);
    reduction.collate(nullptr);
    found = reduction.reduce(add_up, nullptr);
    if (rank == 0)
        say_round(begin, 1, (double)found);
    munmap(text, text_size);
}

int main(int argc, char **argv)
{
    char command[32];

    if (argc != 5 || MPI_Init(&argc, &argv) != MPI_SUCCESS)
        return 2;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    while (next_round(argv[1], argv[2], command)) {
        MPI_Barrier(MPI_COMM_WORLD);
        words(strcmp(command, "words") == 0, argv[3], atoi(argv[4]));
    }
    MPI_Finalize();
    return 0;
}
