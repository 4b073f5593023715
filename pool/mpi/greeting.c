/* SPDX-License-Identifier: MIT
 *
 * greeting.c: what nodes know of each other before the first call, and whether they fit.
 */
#include "pool/mpi/greeting.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weir.h>

#include "pool/mpi/last_error.h"

#define MAGIC "weirmpi"

/* ---- this node ----------------------------------------------------------------------------- */

/* Of the size and the first bytes, where the linker has put a hash of the whole (its build id). */
static uint64_t hash_program(void)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    unsigned char bytes[4096];
    struct stat status;

    if (fd < 0)
        return 0;
    if (fstat(fd, &status) < 0)
        status.st_size = 0;
    hash ^= (uint64_t)status.st_size;
    for (int page = 0; page < 256; page++) {
        ssize_t size = read(fd, bytes, sizeof bytes);

        for (ssize_t i = 0; i < size; i++)
            hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
        if (size <= 0)
            break;
    }
    close(fd);
    return hash;
}

static void fill_place(struct weir__place *place)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    struct stat status;

    if (gethostname(place->host, sizeof place->host - 1) < 0 || place->host[0] == '\0')
        (void)snprintf(place->host, sizeof place->host, "unknown");
    if (fd >= 0) {
        ssize_t size = read(fd, place->boot_id, sizeof place->boot_id - 1);

        place->boot_id[size > 0 ? strcspn(place->boot_id, "\n") : 0] = '\0';
        close(fd);
    }
    if (stat("/dev/shm", &status) == 0)
        place->shm_mount = status.st_dev;
    place->pid = (int)getpid();
}

void weir__greeting_fill(struct weir__greeting *greeting, int workers, int code)
{
    memset(greeting, 0, sizeof *greeting);
    memcpy(greeting->magic, MAGIC, sizeof MAGIC);
    (void)snprintf(greeting->version, sizeof greeting->version, "%s", weir_version());
    greeting->program = hash_program();
    greeting->page_size = (uint32_t)sysconf(_SC_PAGESIZE);
    greeting->workers = workers;
    fill_place(&greeting->place);
    (void)weir__cpus_get(&greeting->cpus, 0);
    greeting->code = code;
    if (code < 0)
        (void)snprintf(greeting->message, sizeof greeting->message, "%s",
                       weir_last_error()->message);
}

/* ---- all nodes ----------------------------------------------------------------------------- */

/* Each node with node 0. */
static int check_same(const struct weir__greeting *all, int node)
{
    const struct weir__greeting *first = &all[0], *other = &all[node];

    if (memcmp(other->magic, MAGIC, sizeof MAGIC) != 0)
        return weir__cluster_fail(-EPROTO, "node %d does not begin as a node of weir's does", node);
    if (memcmp(first->version, other->version, sizeof first->version) != 0)
        return weir__cluster_fail(
            -EPROTO, "node 0 (%s) has weir %.31s, node %d (%s) has weir %.31s", first->place.host,
            first->version, node, other->place.host, other->version);
    if (first->program != other->program)
        return weir__cluster_fail(
            -EPROTO,
            "node 0 (%s) and node %d (%s) run different programs, or different "
            "builds of one: all nodes must run the same file",
            first->place.host, node, other->place.host);
    if (first->page_size != other->page_size)
        return weir__cluster_fail(-EPROTO, "node 0 (%s) has pages of %u bytes, node %d (%s) of %u",
                                  first->place.host, first->page_size, node, other->place.host,
                                  other->page_size);
    return 0;
}

/* A node that cannot begin. */
static int check_error(const struct weir__greeting *greeting, int node)
{
    weir_cluster_error error = {.node = node,
                                .error = {.code = greeting->code, .worker = -1, .exit_status = -1}};

    if (greeting->code == 0)
        return 0;
    (void)snprintf(error.host, sizeof error.host, "%s", greeting->place.host);
    (void)snprintf(error.error.message, sizeof error.error.message, "%s", greeting->message);
    return weir__cluster_fail_with(&error);
}

static bool on_one_host(const struct weir__place *a, const struct weir__place *b)
{
    return a->shm_mount == b->shm_mount && strcmp(a->boot_id, b->boot_id) == 0 &&
           strcmp(a->host, b->host) == 0;
}

/* How this launcher is told to start one process a host, and to give several CPUs of their own. */
static const char *what_to_type(const struct weir__launcher *launcher)
{
    switch (launcher->kind) {
    case WEIR__LAUNCHER_OPENMPI:
        return "`mpirun --map-by ppr:1:node`, or for one a socket of N cores `mpirun --map-by "
               "ppr:1:socket:pe=N`";
    case WEIR__LAUNCHER_HYDRA:
        return "`mpiexec -ppn 1`, or for one a socket `mpiexec -bind-to socket`";
    case WEIR__LAUNCHER_SRUN:
        return "`srun --ntasks-per-node=1 -c N`, or for one a socket `srun --ntasks-per-socket=1 "
               "-c N --cpu-bind=cores`";
    case WEIR__LAUNCHER_NONE:
        break;
    }
    return "what has the launcher start one process on each host";
}

/* Two pools on the same CPUs would only be in each other's way. */
static int check_cpus(const struct weir__greeting *all, int a, int b,
                      const struct weir__launcher *launcher)
{
    struct weir__cpus common;
    char text[64];

    if (!on_one_host(&all[a].place, &all[b].place) ||
        weir__cpus_common(&all[a].cpus, &all[b].cpus, &common) == 0)
        return 0;
    weir__cpus_text(&common, text, sizeof text);
    return weir__cluster_fail(
        -EBUSY,
        "nodes %d and %d are both on host %s and share its CPUs %s: type %s; or set "
        "the option any_binding",
        a, b, all[a].place.host, text, what_to_type(launcher));
}

int weir__greeting_check(const struct weir__greeting *greetings, int nodes,
                         const struct weir__launcher *launcher, bool any_binding)
{
    int code = 0;

    for (int node = 0; node < nodes && code == 0; node++)
        code = check_same(greetings, node);
    for (int node = 0; node < nodes && code == 0; node++)
        code = check_error(&greetings[node], node);
    for (int a = 0; a < nodes && code == 0 && !any_binding; a++)
        for (int b = a + 1; b < nodes && code == 0; b++)
            code = check_cpus(greetings, a, b, launcher);
    return code;
}
