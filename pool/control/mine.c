/* SPDX-License-Identifier: MIT
 *
 * mine.c: numbers that tell a process from its copies.
 *
 * A pid does not do for that: it is used again, and in another pid namespace a child may have the
 * number of its parent. Here the number lies in a page that the kernel fills with zeros in a forked
 * child (MADV_WIPEONFORK), so a child that asks for its number gets a new one. `last` is ordinary
 * memory, of which the child has a copy: so its number is higher than all that it has inherited.
 *
 * Where the kernel does not know that advice, or an emulator takes any advice and follows none
 * (qemu-user), a handler of fork() writes the zero. Then a child that is made by the bare system
 * call is not told from its parent.
 *
 * `pool = weir_pool_new(...)` forks the workers before it sets the variable: so a task that uses
 * the program's pool finds NULL. `in_worker`, which a worker sets once, is for a message that says
 * so.
 *
 * Failure modes: there is no memory for the page.
 */
#include "pool/control/mine.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/error.h"

#include "pool/control/no_malloc.h"

#define NO_ADVICE (-1) /* EINVAL where advice is looked at */

_Atomic uint32_t *_Atomic weir__mine_place;
static _Atomic uint32_t last;
static bool in_worker;

static void wipe(void)
{
    _Atomic uint32_t *place = atomic_load(&weir__mine_place);

    if (place != NULL)
        atomic_store(place, 0);
}

static bool have_it_wiped(void *page, size_t size)
{
    if (madvise(page, size, MADV_WIPEONFORK) == 0 && madvise(page, size, NO_ADVICE) < 0)
        return true;
    return pthread_atfork(NULL, NULL, wipe) == 0;
}

static _Atomic uint32_t *map_place(void)
{
    const size_t size = (size_t)sysconf(_SC_PAGESIZE);
    _Atomic uint32_t *none = NULL, *page;

    page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (have_it_wiped(page, size) && atomic_compare_exchange_strong(&weir__mine_place, &none, page))
        return page;
    munmap(page, size);
    return none; /* that of a thread that came first, if there is one */
}

uint32_t weir__mine(void)
{
    _Atomic uint32_t *place = atomic_load(&weir__mine_place);
    uint32_t number = 0, next;

    if (place == NULL && (place = map_place()) == NULL)
        return 0;
    next = atomic_load(place);
    if (next != 0)
        return next;
    next = atomic_fetch_add(&last, 1) + 1;
    return atomic_compare_exchange_strong(place, &number, next) ? next : number;
}

int weir__refuse_copy(const char *what)
{
    return weir__fail(-EDEADLK,
                      "%s can only be used by the process that made it, not by a worker "
                      "or another child",
                      what);
}

void weir__set_worker(void)
{
    in_worker = true;
}

int weir__refuse_null(const char *what)
{
    if (!in_worker)
        return weir__fail(-EINVAL, "the %s is NULL", what);
    return weir__fail(
        -EDEADLK,
        "the %s is NULL here, in a worker, which was forked earlier; only the program "
        "can use its pools, futures, streams and processes",
        what);
}
