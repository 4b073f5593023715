/* SPDX-License-Identifier: MIT
 *
 * binding.c: which CPUs the pool of a node gets.
 *
 * mpirun binds each process that it starts to one core, or one socket, unless it is told not to. A
 * pool in such a process would have one worker on a node of 64 cores, and nobody would be told. So
 * a process that is the only one on its host uses the CPUs of the launcher's daemon, which are
 * those of the allocation, and never more. Of several on one host each keeps its own.
 *
 * Under srun the mask is the allocation itself. One CPU of many is then what Slurm gives where
 * --cpus-per-task is not said, or said to sbatch alone: an error here, as it is hardly meant.
 */
#include "pool/mpi/binding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/mpi/cpus.h"
#include "shm/error.h"

static int check_srun(const struct weir__cpus *mine)
{
    const char *said = getenv("SLURM_CPUS_PER_TASK");
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    if (weir__cpus_count(mine) > 1 || online <= 1 || (said != NULL && strcmp(said, "1") == 0))
        return 0;
    if (said != NULL)
        return weir__fail(-EBUSY,
                          "this node may use 1 of its host's %ld CPUs: srun has not been told of "
                          "--cpus-per-task=%s; type `srun -c %s`, or before it `export "
                          "SRUN_CPUS_PER_TASK=%s`; or set the option any_binding",
                          online, said, said, said);
    return weir__fail(-EBUSY,
                      "this node may use 1 of its host's %ld CPUs: type `srun -c %ld`, or before "
                      "it `export SRUN_CPUS_PER_TASK=%ld`; or set the option any_binding",
                      online, online, online);
}

int weir__binding_choose(const struct weir__launcher *launcher, bool any_binding)
{
    struct weir__cpus mine, whole, common;

    if (any_binding || launcher->local_ranks != 1 || !weir__cpus_get(&mine, 0))
        return 0;
    if (launcher->kind == WEIR__LAUNCHER_SRUN)
        return check_srun(&mine);
    if (launcher->daemon <= 0 || !weir__cpus_get(&whole, launcher->daemon))
        return 0;
    if (weir__cpus_common(&mine, &whole, &common) < weir__cpus_count(&whole))
        (void)weir__cpus_set(&whole); /* where it may not, it stays bound */
    return 0;
}
