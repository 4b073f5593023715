/* SPDX-License-Identifier: MIT
 *
 * nodes.c: nodes of a cluster as processes of one machine, joined by sockets.
 */
#include "nodes.h"

#include "child.h"
#include "leak.h"
#include "now.h"
#include "port_socket.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOO_LONG_MS 60000

void nodes_note(struct nodes_seen *seen, int code, double value)
{
    const int i = seen->calls;

    if (i == NODES_SEEN)
        return;
    seen->codes[i] = code;
    if (code < 0) {
        seen->errors[i] = *weir_cluster_last_error();
        memcpy(seen->messages[i], weir_last_error()->message, sizeof seen->messages[i]);
    }
    seen->values[i] = value;
    seen->calls = i + 1;
}

static void run_node(const struct nodes_config *config, int node, const int *sockets,
                     struct nodes_seen *seen)
{
    struct weir__place places[NODES_MAX] = {0};
    weir_pool_options options = {.workers = config->workers != NULL ? config->workers[node] : 2};
    struct weir_cluster cluster = {.silence_ms =
                                       config->silence_ms > 0 ? config->silence_ms : 10000};

    for (int i = 0; i < config->nodes; i++)
        snprintf(places[i].host, sizeof places[i].host, "host%c", 'a' + i);
    cluster.scope = weir_scope_begin(NULL);
    cluster.pool = weir_pool_new(cluster.scope, &options);
    cluster.port = port_socket_new(node, config->nodes, sockets);
    cluster.places = places;
    if (cluster.pool == NULL || cluster.port == NULL || weir__cluster_init(&cluster) < 0) {
        fprintf(stderr, "node %d: %s\n", node, weir_last_error()->message);
        _exit(1);
    }
    seen->begun = true;
    config->program(&cluster, seen);
    seen->goodbye =
        weir__cluster_goodbye(&cluster, config->goodbye_ms > 0 ? config->goodbye_ms : 10000);
    weir__cluster_release(&cluster);
    weir_pool_free(cluster.pool);
    weir_scope_end(cluster.scope);
    port_socket_free(cluster.port);
    seen->ended = true;
    _exit(0);
}

static void join_sockets(int nodes, int sockets[NODES_MAX][NODES_MAX])
{
    for (int i = 0; i < nodes; i++) {
        sockets[i][i] = -1;
        for (int j = 0; j < i; j++) {
            int pair[2];

            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
            sockets[i][j] = pair[0];
            sockets[j][i] = pair[1];
        }
    }
}

static void close_sockets(int nodes, int sockets[NODES_MAX][NODES_MAX])
{
    for (int i = 0; i < nodes; i++)
        for (int j = 0; j < nodes; j++)
            if (i != j)
                close(sockets[i][j]);
}

static bool have_begun(const struct nodes_config *config, const struct nodes_seen *seen)
{
    for (int i = 0; i < config->nodes; i++)
        if (!seen[i].begun)
            return false;
    return true;
}

/* Returns how many are left. None is waited for twice. */
static int reap(int nodes, pid_t *pids, int options)
{
    int left = 0;

    for (int i = 0; i < nodes; i++)
        if (pids[i] > 0) {
            if (waitpid(pids[i], NULL, options) != 0)
                pids[i] = 0;
            else
                left++;
        }
    return left;
}

static void end(pid_t pid)
{
    if (pid > 0)
        kill(pid, SIGKILL);
}

/* A node that is killed before it makes a call would be waited for without end. */
static void wait_for(const struct nodes_config *config, const struct nodes_seen *seen, pid_t *pids)
{
    const double begin_ms = now_ms();
    double kill_at_ms = config->kill_ms == 0 ? HUGE_VAL : 0;
    int left;

    while ((left = reap(config->nodes, pids, WNOHANG)) > 0) {
        if (kill_at_ms == 0 && have_begun(config, seen))
            kill_at_ms = now_ms() + at_most(config->kill_ms);
        if (kill_at_ms > 0 && now_ms() >= kill_at_ms) {
            kill_at_ms = HUGE_VAL;
            end(pids[config->killed_node]);
        }
        if (now_ms() - begin_ms > at_most(TOO_LONG_MS)) {
            for (int i = 0; i < config->nodes; i++)
                end(pids[i]);
            reap(config->nodes, pids, 0);
            fail_msg("%d nodes have not ended after %.0f ms", left, at_most(TOO_LONG_MS));
        }
        usleep(500);
    }
}

struct nodes_seen *nodes_run(const struct nodes_config *config)
{
    struct nodes_seen *seen = mmap(NULL, NODES_MAX * sizeof *seen, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int sockets[NODES_MAX][NODES_MAX];
    pid_t pids[NODES_MAX];

    assert_ptr_not_equal(seen, MAP_FAILED);
    join_sockets(config->nodes, sockets);
    fflush(NULL);
    for (int i = 0; i < config->nodes; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            child_reset();
            run_node(config, i, sockets[i], &seen[i]);
        }
    }
    close_sockets(config->nodes, sockets);
    wait_for(config, seen, pids);
    return seen;
}

void nodes_free(struct nodes_seen *seen)
{
    munmap(seen, NODES_MAX * sizeof *seen);
}
