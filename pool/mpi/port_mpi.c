/* SPDX-License-Identifier: MIT
 *
 * port_mpi.c: the transport of a cluster, by MPI.
 *
 * Messages between two processes, that neither side waits for, and one gathering at the begin.
 * Nothing else of MPI is used: no window, no thread of its own, no reduction, no spawned process.
 *
 *  - A message is copied and sent by MPI_Isend(). The copies are freed when receive() or send()
 *    finds that they have left, so a node that looks for messages also sends its own.
 *  - A message that has come is matched by MPI_Improbe() and received by MPI_Imrecv(). A large one
 *    takes both sides' part to arrive, and its sender may die meanwhile, so nothing waits for it:
 *    it stands in `coming` until it is whole. What other nodes send passes it, what its own sender
 *    sends after it does not.
 *  - Errors are returned, and MPI is not used any more after one.
 *  - MPI_Finalize() of MPICH before 4.2 on UCX is left out. The first process that is through with
 *    its connections waits in a barrier of the launcher's, where it does nothing for the others'
 *    connections, and from three hosts on most runs hang there (mpich #6596). The launcher is told
 *    of the end as PMI_Finalize() would: hydra kills the other processes of a host where one exits
 *    without.
 *
 * The CPUs that this thread may use are put back after MPI_Init(), which binds the process under
 * some launchers.
 */
#define OMPI_SKIP_MPICXX  1
#define MPICH_SKIP_MPICXX 1
#include "pool/mpi/port_mpi.h"

#include <errno.h>
#include <mpi.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pool/mpi/cpus.h"
#include "shm/clock.h"
#include "shm/error.h"

#define TAG          1  /* of all messages */
#define COMING_MOST  16 /* messages that are received at once */
#define DRAIN_MS     1000
#define DRAIN_ROUNDS 4
#define ABORT_S      2

struct coming {
    MPI_Request request; /* MPI_REQUEST_NULL: it is whole */
    struct weir__port_message message;
    void *data;
};

struct mpi_port {
    struct weir__port port;
    MPI_Comm comm;
    bool failed; /* MPI has returned an error */
    /* Messages on their way out: a request and a copy each. */
    MPI_Request *requests;
    struct sending {
        void *data;
        size_t size;
    } * sending;
    int sending_count, sending_room;
    size_t unsent;
    /* Messages on their way in, in the order in which they were sent by each node. */
    struct coming coming[COMING_MOST];
    int coming_count;
    void *given; /* the message that receive() has returned last */
};

static struct mpi_port *of(const struct weir__port *port)
{
    return (struct mpi_port *)port;
}

static int fail(struct mpi_port *p, const char *function, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;

    if (p != NULL)
        p->failed = true;
    (void)MPI_Error_string(code, text, &length);
    return weir__fail(-EIO, "%s() has failed: %s", function, text);
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
}

/* ---- sending ------------------------------------------------------------------------------- */

/* Frees what has left. */
static int progress_sending(struct mpi_port *p)
{
    for (int i = 0; i < p->sending_count;) {
        int done = 0;
        int code = MPI_Test(&p->requests[i], &done, MPI_STATUS_IGNORE);

        if (code != MPI_SUCCESS)
            return fail(p, "MPI_Test", code);
        if (!done) {
            i++;
            continue;
        }
        p->unsent -= p->sending[i].size;
        free(p->sending[i].data);
        p->sending_count--;
        p->sending[i] = p->sending[p->sending_count];
        p->requests[i] = p->requests[p->sending_count];
    }
    return 0;
}

static int make_room(struct mpi_port *p)
{
    int room = p->sending_room == 0 ? 16 : 2 * p->sending_room;
    MPI_Request *requests;
    struct sending *sending;

    if (p->sending_count < p->sending_room)
        return 0;
    requests = realloc(p->requests, (size_t)room * sizeof(MPI_Request));
    if (requests == NULL)
        return weir__fail(-ENOMEM, "no memory for the list of %d messages", room);
    p->requests = requests;
    sending = realloc(p->sending, (size_t)room * sizeof *sending);
    if (sending == NULL)
        return weir__fail(-ENOMEM, "no memory for the list of %d messages", room);
    p->sending = sending;
    p->sending_room = room;
    return 0;
}

static int port_send(struct weir__port *port, int to, const void *data, size_t size)
{
    struct mpi_port *p = of(port);
    void *copy;
    int code;

    if (to < 0 || to >= port->nodes || size > WEIR__PORT_MESSAGE_MAX)
        return weir__fail(-EINVAL, "no message of %zu bytes can be sent to node %d", size, to);
    if (p->failed)
        return weir__fail(-EIO, "MPI has failed before");
    code = make_room(p);
    if (code < 0)
        return code;
    copy = malloc(size + !size);
    if (copy == NULL)
        return weir__fail(-ENOMEM, "no memory for a message of %zu bytes", size);
    if (size > 0)
        memcpy(copy, data, size);
    code = MPI_Isend(copy, (int)size, MPI_BYTE, to, TAG, p->comm, &p->requests[p->sending_count]);
    if (code != MPI_SUCCESS) {
        free(copy);
        return fail(p, "MPI_Isend", code);
    }
    p->sending[p->sending_count] = (struct sending){copy, size};
    p->sending_count++;
    p->unsent += size;
    return 0;
}

static size_t port_unsent(const struct weir__port *port)
{
    return of(port)->unsent;
}

/* ---- receiving ----------------------------------------------------------------------------- */

/* MPI_Improbe() of Open MPI looks, and then lets come what has arrived: what it has let come is
 * found by the next call, before which this thread would sleep. */
static int probe(struct mpi_port *p, int *found, MPI_Message *matched, MPI_Status *status)
{
    int code = MPI_SUCCESS;

    *found = 0;
    for (int looks = 0; looks < 2 && !*found && code == MPI_SUCCESS; looks++)
        code = MPI_Improbe(MPI_ANY_SOURCE, TAG, p->comm, found, matched, status);
    return code;
}

/* Begins to receive a message that is there; 1, or 0: there is none. */
static int match(struct mpi_port *p)
{
    struct coming *coming = &p->coming[p->coming_count];
    MPI_Message matched;
    MPI_Status status;
    int found, size = 0;
    int code = probe(p, &found, &matched, &status);

    if (code != MPI_SUCCESS)
        return fail(p, "MPI_Improbe", code);
    if (!found)
        return 0;
    code = MPI_Get_count(&status, MPI_BYTE, &size);
    if (code != MPI_SUCCESS)
        return fail(p, "MPI_Get_count", code);
    coming->data = malloc((size_t)size + !size);
    if (coming->data == NULL) {
        p->failed = true; /* the message is matched, and would be lost */
        return weir__fail(-ENOMEM, "no memory for a message of %d bytes", size);
    }
    coming->message = (struct weir__port_message){status.MPI_SOURCE, (size_t)size, coming->data};
    p->coming_count++;
    code = MPI_Imrecv(coming->data, size, MPI_BYTE, &matched, &coming->request);
    return code == MPI_SUCCESS ? 1 : fail(p, "MPI_Imrecv", code);
}

/* Whether a message of the same sender stands before this one. */
static bool has_elder(const struct mpi_port *p, int i)
{
    for (int k = 0; k < i; k++)
        if (p->coming[k].message.from == p->coming[i].message.from)
            return true;
    return false;
}

/* The first message that is whole; -1: none is; or a negative error below that. */
static int find_whole(struct mpi_port *p, int *found)
{
    *found = -1;
    for (int i = 0; i < p->coming_count; i++) {
        struct coming *coming = &p->coming[i];
        int done = 0;
        int code = MPI_Test(&coming->request, &done, MPI_STATUS_IGNORE);

        if (code != MPI_SUCCESS)
            return fail(p, "MPI_Test", code);
        if (done && !has_elder(p, i)) {
            *found = i;
            return 0;
        }
    }
    return 0;
}

static int port_receive(struct weir__port *port, struct weir__port_message *message)
{
    struct mpi_port *p = of(port);
    int code = 1, whole;

    free(p->given);
    p->given = NULL;
    if (p->failed)
        return weir__fail(-EIO, "MPI has failed before");
    if (p->sending_count > 0 && (code = progress_sending(p)) < 0)
        return code;
    if (p->coming_count < COMING_MOST && (code = match(p)) < 0)
        return code;
    code = find_whole(p, &whole);
    if (code < 0 || whole < 0)
        return code;
    *message = p->coming[whole].message;
    p->given = p->coming[whole].data;
    p->coming_count--;
    memmove(&p->coming[whole], &p->coming[whole + 1],
            (size_t)(p->coming_count - whole) * sizeof p->coming[0]);
    return 1;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* MPI_Abort() waits for a launcher that it may not reach any more: then SIGALRM ends the
 * process. */
static void port_abort(struct weir__port *port, int status)
{
    sigset_t alarms;

    (void)port;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    (void)signal(SIGALRM, SIG_DFL);
    (void)sigprocmask(SIG_UNBLOCK, &alarms, NULL);
    (void)alarm(ABORT_S);
    (void)MPI_Abort(MPI_COMM_WORLD, status);
}

/* What has been sent and not received would hold up MPI_Finalize(). A message that MPI calls sent
 * may stand in a buffer of the process, so MPI gets some rounds more. */
static void drain(struct mpi_port *p)
{
    const int64_t until = weir__now_ms() + DRAIN_MS;
    int rounds = DRAIN_ROUNDS, flag;

    while (!p->failed && (p->sending_count > 0 || rounds-- > 0) && weir__now_ms() < until) {
        if (progress_sending(p) < 0 ||
            MPI_Iprobe(MPI_ANY_SOURCE, TAG, p->comm, &flag, MPI_STATUS_IGNORE) != MPI_SUCCESS)
            return;
        nap();
    }
}

/* See above. */
static bool finalize_hangs(void)
{
#if defined(MPICH_NUMVERSION) && MPICH_NUMVERSION < 40200000
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;

    return MPI_Get_library_version(text, &length) == MPI_SUCCESS && strstr(text, "ucx") != NULL;
#else
    return false;
#endif
}

/* PMI's own line to hydra, which answers "cmd=finalize_ack". */
static void finalize_pmi(void)
{
    static const char line[] = "cmd=finalize\n";
    const char *text = getenv("PMI_FD");
    struct pollfd launcher = {.events = POLLIN};
    char answer[128];

    if (text == NULL || getenv("MPI_LOCALNRANKS") == NULL) /* which only hydra sets */
        return;
    launcher.fd = (int)strtol(text, NULL, 10);
    if (write(launcher.fd, line, sizeof line - 1) == (ssize_t)sizeof line - 1 &&
        poll(&launcher, 1, DRAIN_MS) == 1)
        (void)!read(launcher.fd, answer, sizeof answer);
}

/* Memory of messages that are under way stays: MPI may still read or write it. */
static void port_close(struct weir__port *port)
{
    struct mpi_port *p = of(port);
    bool quiet;

    drain(p);
    free(p->given);
    quiet = p->sending_count == 0 && p->coming_count == 0;
    if (finalize_hangs()) {
        finalize_pmi();
    } else {
        if (!p->failed)
            (void)MPI_Comm_free(&p->comm);
        (void)MPI_Finalize();
    }
    if (quiet) {
        free(p->requests);
        free(p->sending);
        free(p);
    }
}

/* ---- the begin ----------------------------------------------------------------------------- */

static const struct weir__port_functions functions = {
    .send = port_send,
    .receive = port_receive,
    .unsent = port_unsent,
    .abort = port_abort,
    .close = port_close,
};

/* MPI_Init(), after which this thread may use the CPUs that it could use before. */
static int init(void)
{
    struct weir__cpus cpus;
    int done = 0, level = 0, code;
    bool known;

    (void)MPI_Initialized(&done);
    if (done)
        return weir__fail(-EBUSY, "MPI has been begun by this process already, by the program or "
                                  "by a cluster: it cannot be begun again");
    known = weir__cpus_get(&cpus, 0);
    code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    if (known)
        (void)weir__cpus_set(&cpus);
    if (code != MPI_SUCCESS)
        return fail(NULL, "MPI_Init_thread", code);
    if (level < MPI_THREAD_FUNNELED)
        return weir__fail(-ENOTSUP, "this MPI gives thread level %d, less than FUNNELED", level);
    return 0;
}

/* As MPI_Allgather(), without spinning: the last node may come much later. */
static int gather(struct mpi_port *p, const void *mine, size_t size, void *all)
{
    MPI_Request request;
    int done = 0;
    int code =
        MPI_Iallgather(mine, (int)size, MPI_BYTE, all, (int)size, MPI_BYTE, p->comm, &request);

    if (code != MPI_SUCCESS)
        return fail(p, "MPI_Iallgather", code);
    for (;;) {
        code = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS)
            return fail(p, "MPI_Test", code);
        if (done)
            return 0;
        nap();
    }
}

static int open_comm(struct mpi_port *p)
{
    int code = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);

    if (code != MPI_SUCCESS)
        return fail(p, "MPI_Comm_set_errhandler", code);
    code = MPI_Comm_dup(MPI_COMM_WORLD, &p->comm); /* its error handler goes with it */
    if (code != MPI_SUCCESS)
        return fail(p, "MPI_Comm_dup", code);
    (void)MPI_Comm_rank(p->comm, &p->port.node);
    (void)MPI_Comm_size(p->comm, &p->port.nodes);
    return 0;
}

int weir__port_mpi_open(struct weir__port **port, const void *mine, size_t size, void **all)
{
    struct mpi_port *p = calloc(1, sizeof *p);
    void *places = NULL;
    int code;

    if (p == NULL)
        return weir__fail(-ENOMEM, "no memory for the transport");
    p->port.functions = &functions;
    code = init();
    if (code < 0) {
        free(p);
        return code;
    }
    code = open_comm(p);
    if (code == 0) {
        places = calloc((size_t)p->port.nodes, size);
        code = places == NULL ? weir__fail(-ENOMEM, "no memory for %d nodes", p->port.nodes)
                              : gather(p, mine, size, places);
    }
    if (code < 0) {
        free(places);
        port_abort(&p->port, 1); /* other nodes wait for this one */
        free(p);
        return code;
    }
    *port = &p->port;
    *all = places;
    return 0;
}

const char *weir__port_mpi_pmi(void)
{
#ifdef OPEN_MPI
    return "pmix";
#else
    return "pmi2";
#endif
}

const char *weir__port_mpi_name(void)
{
    static _Thread_local char name[MPI_MAX_LIBRARY_VERSION_STRING + 1];
    int length = 0;

    if (MPI_Get_library_version(name, &length) != MPI_SUCCESS)
        return "MPI";
    for (int i = 0; i < length; i++)
        if (name[i] == ',' || name[i] == '\n' || name[i] == '\t')
            name[i] = i > 0 && name[i] == '\t' ? ' ' : '\0';
    return name;
}
