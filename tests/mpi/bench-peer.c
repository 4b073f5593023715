/* SPDX-License-Identifier: MIT
 *
 * bench-peer.c: the jobs of bench-weir.c as one would write them by hand with MPI and OpenMP.
 *
 *   bench-peer ROUNDS NAME TEXT       rounds of the program NAME, see bench-rounds.h
 *
 * histogram, kmeans: each rank has an equal part, its threads take chunks of it, and
 * MPI_Allreduce() adds up. words: each thread counts its part in a table of its own; each word then
 * goes to the thread of some rank that its hash says, by MPI_Alltoallv(). pingpong: one message
 * there and back.
 */
#include "bench-jobs.h"

#include <fcntl.h>
#include <limits.h>
#include <mpi.h>
#include <omp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../bench/word-table.h"

#define PINGS       200
#define PARTS       64 /* chunks of a rank */
#define THREADS_MAX 16
#define RANKS_MAX   16

static int rank, ranks, threads;
static const char *text_path;

/* ---- reductions ----------------------------------------------------------------------------- */

static int64_t part_begin(int64_t count, int part)
{
    return count * (rank * PARTS + part) / (ranks * PARTS);
}

static void histogram(void)
{
    const struct measured begin = measure_now();
    int64_t sum[3 * 256] = {0};
    struct counts counts;

#pragma omp parallel num_threads(threads)
    {
        struct counts mine = {0};

#pragma omp for schedule(dynamic, 1) nowait
        for (int i = 0; i < PARTS; i++)
            count_pixels(part_begin(PIXELS, i), part_begin(PIXELS, i + 1), &mine);
#pragma omp critical
        for (int i = 0; i < 3 * 256; i++)
            sum[i] += mine.of[i / 256][i % 256];
    }
    MPI_Allreduce(sum, &counts, 3 * 256, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0)
        say_round(begin, 1, digest_counts(&counts));
}

static void kmeans(void)
{
    const struct measured begin = measure_now();
    struct sums sums = {0}, all;

#pragma omp parallel num_threads(threads)
    {
        struct sums mine = {0};

#pragma omp for schedule(dynamic, 1) nowait
        for (int i = 0; i < PARTS; i++)
            assign(part_begin(POINTS, i), part_begin(POINTS, i + 1), &mine);
#pragma omp critical
        add_sums(&sums, &mine);
    }
    MPI_Allreduce(&sums, &all, sizeof sums / sizeof(double), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0)
        say_round(begin, 1, digest_sums(&all));
}

/* ---- words ---------------------------------------------------------------------------------- */

/* A word as it is sent; its text follows, padded to 8 bytes. */
struct sent_word {
    uint32_t hash, length;
    int64_t count;
};

struct mapped {
    const char *data;
    size_t size;
};

static struct mapped map_text(void)
{
    int file = open(text_path, O_RDONLY | O_CLOEXEC);
    struct stat st = {0};
    void *data = MAP_FAILED;

    if (file >= 0 && fstat(file, &st) == 0)
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
        perror(text_path);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    close(file);
    return (struct mapped){data, (size_t)st.st_size};
}

/* Which of all threads has a word. */
static int owner_of(uint32_t hash)
{
    return (int)((hash >> 16) * (uint32_t)(ranks * threads) >> 16);
}

static size_t sent_size(uint32_t length)
{
    return sizeof(struct sent_word) + ((length + 7) & ~(size_t)7);
}

static void count_sizes(const struct word_table *table, size_t *sizes)
{
    for (size_t i = 0; i < table->size; i++)
        if (table->words[i].text != NULL)
            sizes[owner_of(table->words[i].hash) / threads] += sent_size(table->words[i].length);
}

static void write_words(const struct word_table *table, char *out, size_t *at)
{
    for (size_t i = 0; i < table->size; i++) {
        const struct word *word = &table->words[i];
        size_t *place;

        if (word->text == NULL)
            continue;
        place = &at[owner_of(word->hash) / threads];
        *(struct sent_word *)(void *)(out + *place) =
            (struct sent_word){word->hash, word->length, word->count};
        memcpy(out + *place + sizeof(struct sent_word), word->text, word->length);
        *place += sent_size(word->length);
    }
}

/* What thread `me` has of what has come. */
static void read_words(struct word_table *table, const char *in, size_t size, int me)
{
    for (size_t at = 0; at < size;) {
        const struct sent_word *word = (const void *)(in + at);

        if (owner_of(word->hash) == rank * threads + me)
            word_table_add(table, in + at + sizeof *word, word->length, word->hash, word->count);
        at += sent_size(word->length);
    }
}

static int to_int(size_t size)
{
    if (size > INT_MAX)
        MPI_Abort(MPI_COMM_WORLD, 1);
    return (int)size;
}

/* All words to their ranks. Returns what has come. */
static char *exchange(const struct word_table *tables, size_t *come)
{
    size_t sizes[THREADS_MAX][RANKS_MAX] = {0}, total = 0;
    int out[RANKS_MAX], out_at[RANKS_MAX], in[RANKS_MAX], in_at[RANKS_MAX];
    char *sent, *received;

#pragma omp parallel num_threads(threads)
    count_sizes(&tables[omp_get_thread_num()], sizes[omp_get_thread_num()]);
    for (int r = 0; r < ranks; r++) {
        out_at[r] = to_int(total);
        for (int t = 0; t < threads; t++) {
            const size_t size = sizes[t][r];

            sizes[t][r] = total; /* where it begins */
            total += size;
        }
        out[r] = to_int(total) - out_at[r];
    }
    sent = malloc(total + 1);
#pragma omp parallel num_threads(threads)
    write_words(&tables[omp_get_thread_num()], sent, sizes[omp_get_thread_num()]);
    MPI_Alltoall(out, 1, MPI_INT, in, 1, MPI_INT, MPI_COMM_WORLD);
    *come = 0;
    for (int r = 0; r < ranks; r++) {
        in_at[r] = to_int(*come);
        *come += (size_t)in[r];
    }
    received = malloc(*come + 1);
    MPI_Alltoallv(sent, out, out_at, MPI_BYTE, received, in, in_at, MPI_BYTE, MPI_COMM_WORLD);
    free(sent);
    return received;
}

static void words(void)
{
    const struct measured begin = measure_now();
    const struct mapped text = map_text();
    struct word_table tables[THREADS_MAX], shares[THREADS_MAX];
    int64_t found = 0, all = 0;
    size_t come;
    char *received;

#pragma omp parallel num_threads(threads)
    {
        const int t = omp_get_thread_num();
        const size_t n = (size_t)(rank * threads + t), parts = (size_t)(ranks * threads);

        tables[t] = word_table_new(1 << 12);
        word_table_count(&tables[t], text.data, text.size * n / parts, text.size * (n + 1) / parts,
                         text.size);
    }
    received = exchange(tables, &come);
#pragma omp parallel num_threads(threads) reduction(+ : found)
    {
        const int t = omp_get_thread_num();

        free(tables[t].words);
        shares[t] = word_table_new(1 << 12);
        read_words(&shares[t], received, come, t);
        found += (int64_t)shares[t].used;
    }
    MPI_Allreduce(&found, &all, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0)
        say_round(begin, 1, (double)all);
    for (int t = 0; t < threads; t++)
        free(shares[t].words);
    free(received);
    munmap((void *)(uintptr_t)text.data, text.size);
}

/* ---- a message ------------------------------------------------------------------------------ */

static void pingpong(void)
{
    const struct measured begin = measure_now();
    char message[64] = "";

    for (int i = 0; i < PINGS; i++) {
        if (rank == 0)
            MPI_Send(message, sizeof message, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
        if (rank < 2)
            MPI_Recv(message, sizeof message, MPI_BYTE, 1 - rank, 0, MPI_COMM_WORLD,
                     MPI_STATUS_IGNORE);
        if (rank == 1)
            MPI_Send(message, sizeof message, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
    }
    if (rank == 0)
        say_round(begin, PINGS, 0);
}

/* ---- rounds --------------------------------------------------------------------------------- */

static void run(const char *command)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (strcmp(command, "histogram") == 0)
        histogram();
    else if (strcmp(command, "kmeans") == 0)
        kmeans();
    else if (strcmp(command, "words") == 0)
        words();
    else
        pingpong();
}

int main(int argc, char **argv)
{
    char command[32];
    int level;

    if (argc != 4 || MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS)
        return 2;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    threads = omp_get_max_threads();
    if (threads > THREADS_MAX || ranks > RANKS_MAX)
        return 2;
    text_path = argv[3];
    make_pixels();
    make_points();
    while (next_round(argv[1], argv[2], command))
        run(command);
    MPI_Finalize();
    return 0;
}
