/* SPDX-License-Identifier: MIT
 *
 * cluster.c: the record of a cluster, on one node.
 */
#include "pool/mpi/cluster.h"

#include <errno.h>
#include <unistd.h>

#include "pool/mpi/last_error.h"

int weir__cluster_init(struct weir_cluster *cluster)
{
    cluster->pid = getpid();
    cluster->in_call = false;
    cluster->owned = NULL;
    atomic_init(&cluster->calling, false);
    atomic_init(&cluster->cancelled, false);
    return weir__link_init(&cluster->link, cluster->port, cluster->places,
                           (int64_t)cluster->silence_ms * 1000000);
}

void weir__cluster_release(struct weir_cluster *cluster)
{
    while (cluster->owned != NULL) {
        struct weir__owned *owned = cluster->owned;

        cluster->owned = owned->next;
        owned->release(owned);
    }
    weir__link_free(&cluster->link);
}

void weir__cluster_own(struct weir_cluster *cluster, struct weir__owned *owned)
{
    owned->next = cluster->owned;
    cluster->owned = owned;
}

void weir__cluster_disown(struct weir_cluster *cluster, const struct weir__owned *owned)
{
    struct weir__owned **place = &cluster->owned;

    while (*place != NULL && *place != owned)
        place = &(*place)->next;
    if (*place != NULL)
        *place = owned->next;
}

int weir__cluster_use(struct weir_cluster *cluster)
{
    if (cluster == NULL)
        return weir__cluster_fail(-EINVAL, "the cluster is NULL");
    if (cluster->pid != getpid())
        return weir__cluster_fail(-EDEADLK,
                                  "the cluster is used in process %d, but was begun by %d",
                                  (int)getpid(), (int)cluster->pid);
    if (cluster->in_call)
        return weir__cluster_fail(-EBUSY, "a call on this cluster lasts: there can be one");
    if (cluster->link.broken.error.code != 0)
        return weir__cluster_fail_with(&cluster->link.broken);
    return 0;
}

void weir_cluster_cancel(weir_cluster *cluster)
{
    if (cluster != NULL && atomic_load(&cluster->calling))
        atomic_store(&cluster->cancelled, true);
}

/* ---- what it has ---- */

weir_scope *weir_cluster_scope(const weir_cluster *cluster)
{
    if (cluster != NULL)
        return cluster->scope;
    weir__cluster_fail(-EINVAL, "the cluster is NULL");
    return NULL;
}

weir_pool *weir_cluster_pool(const weir_cluster *cluster)
{
    if (cluster != NULL)
        return cluster->pool;
    weir__cluster_fail(-EINVAL, "the cluster is NULL");
    return NULL;
}

int weir_cluster_node(const weir_cluster *cluster)
{
    return cluster != NULL ? cluster->port->node
                           : weir__cluster_fail(-EINVAL, "the cluster is NULL");
}

int weir_cluster_nodes(const weir_cluster *cluster)
{
    return cluster != NULL ? cluster->port->nodes
                           : weir__cluster_fail(-EINVAL, "the cluster is NULL");
}

const char *weir_cluster_host(const weir_cluster *cluster, int node)
{
    if (cluster == NULL)
        weir__cluster_fail(-EINVAL, "the cluster is NULL");
    else if (node < 0 || node >= cluster->port->nodes)
        weir__cluster_fail(-ERANGE, "node %d is none of the cluster's %d", node,
                           cluster->port->nodes);
    else
        return weir__link_host(&cluster->link, node);
    return NULL;
}
