/* SPDX-License-Identifier: MIT
 *
 * begin.c: the begin and the end of a cluster on one node.
 *
 * The order of the begin: CPUs, scope, pool, and only then MPI. So no worker, and no replacement,
 * which the supervisor forks, has anything of MPI's: neither its sockets nor its pinned memory nor
 * its threads. The order of the end is the reverse. MPI's own end can hang, and when it begins
 * nothing of weir's is left that it could hold up.
 *
 * A node that cannot begin (it has no manager program, say) begins MPI all the same and tells the
 * others, which would wait for it in MPI_Init() for ever under some launchers. So all nodes find
 * the same errors, from the same gathered list, and each returns them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "pool/mpi/binding.h"
#include "pool/mpi/cluster.h"
#include "pool/mpi/greeting.h"
#include "pool/mpi/launcher.h"
#include "pool/mpi/port_mpi.h"
#include "pool/mpi/weir-mpi.h"
#include "shm/error.h"

#define SILENCE_MS  60000
#define GOODBYE_MS  5000
#define FILES_MOST  65536 /* some libraries close as many as there can be, one by one */
#define STATUS_LOST 1     /* of a program that is ended because nodes or its launcher are lost */

/* A cluster that this file has begun. */
struct begun {
    struct weir_cluster cluster;
    struct weir__launcher launcher;
};

static struct begun *of(struct weir_cluster *cluster)
{
    return (struct begun *)cluster;
}

/* ---- the launcher's end -------------------------------------------------------------------- */

/* The loop that waits for other nodes calls this. */
static void watch(struct weir_cluster *cluster)
{
    struct begun *begun = of(cluster);

    if (!weir__launcher_is_gone(&begun->launcher))
        return;
    (void)fprintf(stderr, "weir: node %d ends, as %s has died\n", cluster->port->node,
                  begun->launcher.name);
    weir_pool_kill(cluster->pool);
    (void)weir_scope_end(cluster->scope);
    _exit(STATUS_LOST);
}

/* ---- begin --------------------------------------------------------------------------------- */

static int check_options(const weir_cluster_options *options)
{
    if (options->silence_ms < 0)
        return weir__fail(-EINVAL, "silence_ms is %d, less than 0", options->silence_ms);
    return weir__check_reserved(options->reserved,
                                sizeof options->reserved / sizeof options->reserved[0],
                                "weir_cluster_options");
}

/* Each other node may take some descriptors. */
static void raise_file_limit(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= FILES_MOST)
        return;
    files.rlim_cur = files.rlim_max < FILES_MOST ? files.rlim_max : FILES_MOST;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static int begin_scope_and_pool(struct weir_cluster *cluster, const weir_cluster_options *options)
{
    const weir_scope_options anonymous = {.anonymous = true};

    cluster->scope = weir_scope_begin(options->scope != NULL ? options->scope : &anonymous);
    if (cluster->scope == NULL)
        return weir_last_error()->code;
    cluster->pool = weir_pool_new(cluster->scope, options->pool);
    return cluster->pool == NULL ? weir_last_error()->code : 0;
}

/* Open MPI 4 ends such a program in MPI_Init(), with advice on how to build Open MPI. It goes on
 * where it was built with a library of Slurm's that needs no option. */
static void advise(const struct weir__launcher *launcher)
{
    const char *rank = getenv("SLURM_PROCID");

    if (launcher->no_pmi && strcmp(weir__port_mpi_pmi(), "pmix") == 0 && rank != NULL &&
        strcmp(rank, "0") == 0)
        (void)fprintf(stderr,
                      "weir: srun has not told %d processes how to find each other: if %s does not "
                      "begin, type `srun --mpi=pmix`\n",
                      launcher->ranks, weir__port_mpi_name());
}

/* A program of one MPI under the launcher of another finds itself alone, as often as it was
 * started. */
static int check_size(const struct weir__launcher *launcher, int nodes,
                      const weir_cluster_options *options)
{
    if (nodes == 1 && launcher->ranks > 1 && launcher->kind == WEIR__LAUNCHER_SRUN)
        return weir__fail(-EPROTO,
                          "%s says that it has started %d processes (%s), but MPI knows of this "
                          "one alone: for the program's MPI, which is %s, type `srun --mpi=%s`",
                          launcher->name, launcher->ranks, launcher->variable,
                          weir__port_mpi_name(), weir__port_mpi_pmi());
    if (nodes == 1 && launcher->ranks > 1)
        return weir__fail(-EPROTO,
                          "%s says that it has started %d processes (%s), but MPI knows of this "
                          "one alone: the program's MPI is %s; start it by the launcher of this "
                          "MPI, or build it with the MPI of that launcher",
                          launcher->name, launcher->ranks, launcher->variable,
                          weir__port_mpi_name());
    if (nodes == 1 && options->one_node_is_an_error)
        return weir__fail(-EINVAL, "there is one node, which the program does not want: start it "
                                   "by `mpirun -n N`, `mpiexec -n N` or `srun -N N`");
    return 0;
}

static int copy_places(struct weir_cluster *cluster, const struct weir__greeting *greetings)
{
    cluster->places = calloc((size_t)cluster->port->nodes, sizeof *cluster->places);
    if (cluster->places == NULL)
        return weir__fail(-ENOMEM, "no memory for %d nodes", cluster->port->nodes);
    for (int i = 0; i < cluster->port->nodes; i++) {
        cluster->places[i] = greetings[i].place;
        cluster->places[i].host[sizeof cluster->places[i].host - 1] = '\0';
    }
    return 0;
}

/* `code`: whether this node could begin so far. */
static int begin_mpi(struct begun *begun, const weir_cluster_options *options, int code)
{
    struct weir_cluster *cluster = &begun->cluster;
    struct weir__greeting mine;
    void *greetings = NULL;

    weir__greeting_fill(&mine, cluster->pool == NULL ? 0 : weir_pool_workers(cluster->pool), code);
    raise_file_limit();
    code = weir__port_mpi_open(&cluster->port, &mine, sizeof mine, &greetings);
    if (code < 0)
        return code;
    code = check_size(&begun->launcher, cluster->port->nodes, options);
    if (code == 0)
        code = weir__greeting_check(greetings, cluster->port->nodes, &begun->launcher,
                                    options->any_binding);
    if (code == 0)
        code = copy_places(cluster, greetings);
    free(greetings);
    return code;
}

/* Ends what has been begun; the last error stays. Returns the scope's error. */
static int end(struct begun *begun, bool all_said_goodbye)
{
    struct weir_cluster *cluster = &begun->cluster;
    struct weir__port *port = cluster->port;
    int code;

    weir_pool_free(cluster->pool);
    code = weir_scope_end(cluster->scope);
    weir__launcher_unwatch(&begun->launcher);
    free(cluster->places);
    free(begun);
    if (port != NULL && !all_said_goodbye)
        port->functions->abort(port, STATUS_LOST);
    if (port != NULL)
        port->functions->close(port);
    return code;
}

static int prepare(struct begun *begun, const weir_cluster_options *options)
{
    int code = check_options(options);

    if (code == 0)
        code = weir__binding_choose(&begun->launcher, options->any_binding);
    if (code == 0)
        code = begin_scope_and_pool(&begun->cluster, options);
    return code;
}

static int begin(struct begun *begun, const weir_cluster_options *options)
{
    struct weir_cluster *cluster = &begun->cluster;
    int code;

    weir__launcher_find(&begun->launcher);
    advise(&begun->launcher); /* early: the end of another process may end this one */
    code = prepare(begun, options);
    weir__launcher_watch(&begun->launcher);
    code = begin_mpi(begun, options, code);
    if (code < 0)
        return code;
    cluster->silence_ms = options->silence_ms > 0 ? options->silence_ms : SILENCE_MS;
    cluster->watch = watch;
    if (options->pool != NULL && options->pool->job != NULL)
        cluster->job = *options->pool->job;
    return weir__cluster_init(cluster);
}

weir_cluster *weir_cluster_begin(const weir_cluster_options *options)
{
    const weir_cluster_options none = {0};
    struct begun *begun;
    weir_error error;
    int code;

    if (options == NULL)
        options = &none;
    begun = calloc(1, sizeof *begun);
    if (begun == NULL)
        return weir__fail_null(-ENOMEM, "no memory for a cluster");
    begun->launcher.daemon_fd = -1;
    code = begin(begun, options);
    if (code == 0)
        return &begun->cluster;
    error = *weir_last_error();
    (void)end(begun, true);
    (void)weir__fail_with(&error);
    return NULL;
}

/* ---- end ----------------------------------------------------------------------------------- */

int weir_cluster_end(weir_cluster *cluster)
{
    int goodbye, code;

    if (cluster == NULL)
        return 0;
    if (cluster->pid != getpid())
        return weir__fail(-EDEADLK, "this process has not begun the cluster");
    goodbye = weir__cluster_goodbye(cluster, GOODBYE_MS);
    if (goodbye < 0) /* nobody could say it afterwards */
        (void)fprintf(stderr, "weir: node %d (%s) ends the job: %s\n", cluster->port->node,
                      cluster->places[cluster->port->node].host, weir_last_error()->message);
    weir__cluster_release(cluster);
    code = end(of(cluster), goodbye == 0);
    return code < 0 ? code : goodbye;
}

void weir_cluster_leave(weir_cluster **cluster)
{
    (void)weir_cluster_end(*cluster);
}
