/* SPDX-License-Identifier: MIT
 *
 * bench-shm.c: blocks beside the raw system calls, and the nanoseconds of a list's int.
 *
 * Rounds alternate within one process, A B A B, and medians are compared. The raw side makes the
 * calls that a block born finished needs, and no others: no checks, no handle, no inode.
 */
#include <weir-shm.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "median.h"
#include "now.h"

enum { ROUNDS = 101, BLOCKS = 200, INTS = 2000, PASSES = 50 };

static weir_list *list;
static int64_t *array;
static volatile int64_t sink; /* what is read must not be left out */

static void must(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

/* ---- blocks --------------------------------------------------------------------------------- */

static void weir_block(size_t size)
{
    char name[64];
    weir_shm *shm;

    snprintf(name, sizeof name, "weirbench-%d", (int)getpid());
    shm = weir_shm_create(name, size, 0);
    must(shm != NULL, "weir_shm_create");
    must(weir_shm_unlink(shm) == 0, "weir_shm_unlink");
    weir_shm_close(shm);
}

static void raw_block(size_t size)
{
    char path[64];
    void *at;
    int fd;

    snprintf(path, sizeof path, "/dev/shm/weirbench-%d", (int)getpid());
    fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    must(fd >= 0 && fallocate(fd, 0, 0, (off_t)size) == 0, "fallocate");
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(at != MAP_FAILED, "mmap");
    if (linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH) < 0) {
        char self[32];

        snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
        must(linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0, "linkat");
    }
    close(fd);
    must(unlink(path) == 0, "unlink");
    munmap(at, size);
}

static double weir_blocks(void)
{
    double begin = now_us();

    for (int i = 0; i < BLOCKS; i++)
        weir_block(4096);
    return (now_us() - begin) / BLOCKS;
}

static double raw_blocks(void)
{
    double begin = now_us();

    for (int i = 0; i < BLOCKS; i++)
        raw_block(4096);
    return (now_us() - begin) / BLOCKS;
}

static double weir_large_block(void)
{
    double begin = now_us();

    weir_block((size_t)64 << 20);
    return now_us() - begin;
}

static double raw_large_block(void)
{
    double begin = now_us();

    raw_block((size_t)64 << 20);
    return now_us() - begin;
}

/* ---- ints ----------------------------------------------------------------------------------- */

static double list_get(void)
{
    double begin = now_us();
    int64_t sum = 0;

    for (int pass = 0; pass < PASSES; pass++)
        for (int64_t i = 0; i < INTS; i++) {
            weir_value value;

            if (weir_list_get(list, i, &value) < 0)
                abort();
            sum += value.integer;
        }
    sink = sum;
    return (now_us() - begin) / PASSES / INTS;
}

static double list_set(void)
{
    double begin = now_us();

    for (int pass = 0; pass < PASSES; pass++)
        for (int64_t i = 0; i < INTS; i++)
            if (weir_list_set(list, i, weir_int(i * i)) < 0)
                abort();
    return (now_us() - begin) / PASSES / INTS;
}

/* The least that a call into a library can cost. */
__attribute__((noinline)) static int64_t array_get(int64_t i)
{
    __asm__ volatile("");
    return array[i];
}

__attribute__((noinline)) static void array_set(int64_t i, int64_t value)
{
    __asm__ volatile("");
    array[i] = value;
}

static double plain_get(void)
{
    double begin = now_us();
    int64_t sum = 0;

    for (int pass = 0; pass < PASSES; pass++)
        for (int64_t i = 0; i < INTS; i++)
            sum += array_get(i);
    sink = sum;
    return (now_us() - begin) / PASSES / INTS;
}

static double plain_set(void)
{
    double begin = now_us();

    for (int pass = 0; pass < PASSES; pass++)
        for (int64_t i = 0; i < INTS; i++)
            array_set(i, i * i);
    return (now_us() - begin) / PASSES / INTS;
}

/* ---- rounds --------------------------------------------------------------------------------- */

static void bench(const char *name, const char *peer, double (*weir_round)(void),
                  double (*peer_round)(void), const char *target)
{
    static double weir_us[ROUNDS], peer_us[ROUNDS];
    double weir, peer_median;

    weir_round();
    peer_round();
    for (int i = 0; i < ROUNDS; i++) {
        weir_us[i] = weir_round();
        peer_us[i] = peer_round();
    }
    weir = median(weir_us, ROUNDS);
    peer_median = median(peer_us, ROUNDS);
    printf(
        "{\"bench\": \"%s\", \"rounds\": %d, \"weir_us\": %.5f, \"peer\": \"%s\", "
        "\"peer_us\": %.5f, \"ratio\": %.4f, %s, \"weir_min_us\": %.5f, \"peer_min_us\": %.5f}\n",
        name, ROUNDS, weir, peer, peer_median, weir / peer_median, target, weir_us[0], peer_us[0]);
    fflush(stdout);
}

int main(void)
{
    array = calloc(INTS, sizeof *array);
    list = weir_list_create_range(NULL, 0, INTS, 1);
    must(array != NULL && list != NULL && weir_shm_unlink(weir_list_shm(list)) == 0, "list");
    bench("block 4 KiB: create, unlink, close", "raw system calls", weir_blocks, raw_blocks,
          "\"target\": 1.3");
    bench("block 64 MiB: create, unlink, close", "raw system calls", weir_large_block,
          raw_large_block, "\"target\": 1.3");
    bench("list get of an int", "call that reads an array", list_get, plain_get,
          "\"target_us\": 0.003");
    bench("list set of an int", "call that writes an array", list_set, plain_set,
          "\"target_us\": 0.004");
    weir_list_close(list);
    free(array);
}
