/* SPDX-License-Identifier: MIT
 *
 * growth-steps.c: the steps of a job that look at more than one worker, in a record of so many
 * workers that no process has, for a count of instructions:
 *
 *     valgrind --tool=callgrind --toggle-collect=step growth-steps WORKERS STEP
 *
 * STEP is open (a job is opened and no worker spins or sleeps), found (the last worker spins),
 * announce (a worker is about to spin), wake (the last worker sleeps) or chunk (a worker wakes the
 * next one before it runs a chunk, and nobody sleeps).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pool/control/park.h"
#include "pool/control/ready.h"

static struct weir__control *control;
static unsigned last;

__attribute__((noinline)) static void step(const char *name)
{
    if (strcmp(name, "open") == 0 || strcmp(name, "found") == 0)
        weir__take_spinner(control);
    if (strcmp(name, "announce") == 0) {
        weir__announce_spin(control, last);
        weir__end_spin(control, last);
    } else if (strcmp(name, "chunk") != 0 || weir__any_parked(control)) {
        weir__wake_one(control);
    }
}

int main(int argc, char **argv)
{
    const int workers = argc == 3 ? atoi(argv[1]) : 0;
    const size_t size = sizeof *control + ((size_t)workers + 1) * sizeof control->slots[0];
    _Atomic uint64_t *bits;

    if (workers < 1 || workers > WEIR_WORKERS_MAX)
        return 2;
    control = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (control == MAP_FAILED)
        return 1;
    control->workers = workers;
    control->spinners_max = workers;
    control->host_cpu = -1;
    last = (unsigned)workers - 1;
    bits = strcmp(argv[2], "wake") == 0 ? &control->meeting[last / 64].parked
                                        : &control->meeting[last / 64].spinning;
    if (strcmp(argv[2], "wake") == 0 || strcmp(argv[2], "found") == 0)
        atomic_fetch_or(bits, UINT64_C(1) << (last % 64));
    step(argv[2]);
    return 0;
}
