/* SPDX-License-Identifier: MIT
 *
 * launcher.c: the program that has started this one on several nodes.
 *
 * When a daemon of a launcher is killed the processes that it has started go on, as nobody's. Open
 * MPI's mpirun notices, and each process does too. MPICH's mpiexec does not, and Slurm's srun may
 * take long. There the kernel is asked to kill this process with its parent, PR_SET_PDEATHSIG,
 * whatever the program is doing then: the scope's manager and the pool's supervisor clean up after
 * it as after any killed program. The signal is SIGKILL, as a program that handles SIGTERM in its
 * own time would be an orphan for as long. It is not set under Open MPI, whose daemon may start
 * processes by threads that end before it does, nor without a launcher, where the parent is a shell
 * that the user may leave, nor over a signal that the program has asked for itself.
 *
 * A daemon that is not the parent (`mpirun ./script`) is watched by a pidfd, which the loop that
 * waits for other nodes looks at.
 */
#include "pool/mpi/launcher.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ANCESTORS_MOST 64

/* ---- what the environment says ------------------------------------------------------------- */

/* The number that a variable begins with; 0: there is none. */
static int number_of(const char *variable)
{
    const char *text = variable == NULL ? NULL : getenv(variable);
    long number = text == NULL ? 0 : strtol(text, NULL, 10);

    return number > 0 && number < 1 << 30 ? (int)number : 0;
}

/* Of a list as Slurm writes it, "2(x3),1": a number for each node, in the order of nodes. */
static int number_in_list(const char *list, int node)
{
    while (list != NULL && *list != '\0') {
        char *end;
        long number = strtol(list, &end, 10);
        long times = 1;

        if (end == list)
            return 0;
        if (strncmp(end, "(x", 2) == 0)
            times = strtol(end + 2, &end, 10);
        if (node < times)
            return number > 0 && number < 1 << 30 ? (int)number : 0;
        node -= (int)times;
        list = strchr(end, ',');
        list = list == NULL ? NULL : list + 1;
    }
    return 0;
}

static int slurm_local_ranks(void)
{
    const char *node = getenv("SLURM_NODEID");

    return node == NULL
               ? 0
               : number_in_list(getenv("SLURM_STEP_TASKS_PER_NODE"), (int)strtol(node, NULL, 10));
}

/* `srun --mpi=none`, which is the default of many sites. SLURM_STEP_ID is where Open MPI sees that
 * srun has started it. */
static bool srun_has_no_pmi(void)
{
    return getenv("SLURM_STEP_ID") != NULL && getenv("PMIX_RANK") == NULL &&
           getenv("PMI_RANK") == NULL && getenv("PMI_FD") == NULL;
}

static const struct kind {
    enum weir__launcher_kind kind;
    const char *name, *size, *local_size;
} kinds[] = {
    {WEIR__LAUNCHER_OPENMPI, "Open MPI's mpirun", "OMPI_COMM_WORLD_SIZE",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    /* Slurm's srun has PMI_SIZE too. */
    {WEIR__LAUNCHER_HYDRA, "MPICH's mpiexec", "PMI_SIZE", "MPI_LOCALNRANKS"},
    {WEIR__LAUNCHER_SRUN, "Slurm's srun", "SLURM_STEP_NUM_TASKS", NULL},
    {WEIR__LAUNCHER_NONE, "a launcher", "PMI_SIZE", NULL},
};

static void find_kind(struct weir__launcher *launcher)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const struct kind *kind = &kinds[i];
        int ranks = number_of(kind->size);
        int local_ranks =
            kind->kind == WEIR__LAUNCHER_SRUN ? slurm_local_ranks() : number_of(kind->local_size);

        if (ranks == 0 || (kind->kind == WEIR__LAUNCHER_HYDRA && local_ranks == 0))
            continue;
        launcher->kind = kind->kind;
        launcher->name = kind->name;
        launcher->variable = kind->size;
        launcher->ranks = ranks;
        launcher->local_ranks = local_ranks;
        launcher->no_pmi = kind->kind == WEIR__LAUNCHER_SRUN && srun_has_no_pmi();
        return;
    }
}

/* ---- the daemon ---------------------------------------------------------------------------- */

/* As the kernel knows them: at most 15 bytes. */
static bool is_daemon(const char *name)
{
    static const char *const names[] = {
        "orted",         "mpirun",        "orterun",         "mpirun.openmpi",  "mpiexec.openmp",
        "prted",         "prterun",       "hydra_pmi_proxy", "hydra_bstrap_pr", "slurmstepd",
        "mpiexec.hydra", "mpiexec.mpich", "mpiexec",         "mpirun.mpich",
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* The parent of a process, and its own name; 0: it cannot be found out, or is in another pid
 * namespace. */
static pid_t parent_of(pid_t pid, char name[static 32])
{
    char path[64], line[512];
    const char *end;
    int parent = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fgets(line, sizeof line, file) == NULL || (end = strrchr(line, ')')) == NULL ||
        sscanf(line, "%*d (%31[^)]", name) != 1 || sscanf(end, ") %*c %d", &parent) != 1)
        parent = 0;
    (void)fclose(file);
    return parent;
}

/* The nearest ancestor that is called like one; or else the parent. */
static pid_t find_daemon(pid_t parent)
{
    pid_t pid = parent;

    for (int i = 0; i < ANCESTORS_MOST && pid > 0; i++) {
        char name[32] = "";
        pid_t next = parent_of(pid, name);

        if (is_daemon(name))
            return pid;
        pid = next;
    }
    return parent;
}

void weir__launcher_find(struct weir__launcher *launcher)
{
    memset(launcher, 0, sizeof *launcher);
    launcher->daemon_fd = -1;
    launcher->parent = getppid();
    find_kind(launcher);
    if (launcher->ranks > 0)
        launcher->daemon = find_daemon(launcher->parent);
}

/* ---- watching ------------------------------------------------------------------------------ */

void weir__launcher_watch(struct weir__launcher *launcher)
{
    int signal = 0;

    if (launcher->daemon <= 0)
        return;
    launcher->daemon_fd = (int)syscall(SYS_pidfd_open, launcher->daemon, 0);
    if (launcher->kind != WEIR__LAUNCHER_OPENMPI && prctl(PR_GET_PDEATHSIG, &signal) == 0 &&
        signal == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() != launcher->parent)
        (void)raise(SIGKILL); /* it has died before it was watched */
}

bool weir__launcher_is_gone(const struct weir__launcher *launcher)
{
    struct pollfd daemon = {.fd = launcher->daemon_fd, .events = POLLIN};

    return launcher->daemon_fd >= 0 && poll(&daemon, 1, 0) == 1;
}

void weir__launcher_unwatch(struct weir__launcher *launcher)
{
    int signal = 0;

    if (launcher->daemon_fd < 0)
        return;
    if (launcher->kind != WEIR__LAUNCHER_OPENMPI && prctl(PR_GET_PDEATHSIG, &signal) == 0 &&
        signal == SIGKILL)
        (void)prctl(PR_SET_PDEATHSIG, 0);
    close(launcher->daemon_fd);
    launcher->daemon_fd = -1;
}
