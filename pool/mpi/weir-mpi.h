/* SPDX-License-Identifier: MIT
 *
 * weir-mpi.h: a job on the nodes of a cluster, with the callbacks of one machine.
 *
 * A cluster is a program that a launcher (mpirun, mpiexec, srun) has started once on each node.
 * Each of these processes has a scope and a pool of its own, and all of them make the same calls of
 * this header in the same order. A call does its work on all nodes together, and returns the same
 * result on every node: the same error, or the same bits, whatever the number of nodes and workers
 * is, and the bits of weir_pool_for() or weir_pool_reduce() with the same cut. So a loop that goes
 * on until a result is good enough ends on all nodes at once.
 *
 *     WEIR_CLUSTER (cluster, NULL) {
 *         if (weir_cluster_reduce(cluster, weir_range_of(n), &sum, &result, NULL, NULL, NULL) < 0)
 *             break;
 *         if (weir_cluster_node(cluster) == 0)
 *             printf("%g\n", result);
 *     }
 *
 * What a node does between two calls is its own: it may read files, use its pool, and write to its
 * memory. Pointers are a node's own, too: `arg` leads to what this node has there.
 *
 * Nothing of this header needs mpi.h or mpicc.
 *
 * What dies. A worker that dies is replaced by its node, and its chunk is run again or fails, as
 * on one machine. A node that is lost ends the job: the calls of the other nodes return -EHOSTDOWN,
 * and so do all later ones; they may save what they have, and end. Nothing is done again elsewhere.
 * A node is missed only while it is in a call: one that is lost before it makes the call is waited
 * for, until the launcher ends the job, or timeout_ms has passed.
 */
#ifndef WEIR_MPI_H
#define WEIR_MPI_H

#include <weir-map-reduce.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- beginning and ending ------------------------------------------------------------------- */

/* This node's part of a cluster. */
typedef struct weir_cluster weir_cluster;

/* How a cluster is begun. Zero means the default everywhere; `reserved` must be zero. */
typedef struct weir_cluster_options {
    const weir_scope_options *scope; /* of this node; NULL: an anonymous one */
    const weir_pool_options *pool;   /* of this node; workers 0: the CPUs that it may use */
    /* A node that is in a call and is not heard of for so long is lost; 0: 60,000. A combine or
     * on_progress that takes longer looks like it. */
    int silence_ms;
    bool one_node_is_an_error; /* refuse to run alone */
    /* Accept a node that is bound to less than its share of the CPUs, and nodes that share some. */
    bool any_binding;
    uint64_t reserved[8];
} weir_cluster_options;

/* Begins this node's part: its scope, its pool, and the connection to the other nodes. Every node
 * calls it.
 *
 * `options`: may be NULL.
 * Call it early, and before any other library starts threads: the workers have a copy of all memory
 * that the program has at this moment, and nothing of MPI's, which is started after them.
 * CPUs: a node that is the only one on its host uses those of the launcher's daemon, also where the
 * launcher has bound it to fewer: the calling thread may use them from now on. Of several on one
 * host each keeps its own.
 * The soft limit of descriptors is raised. Under MPICH's launcher and srun the program is killed
 * when its parent dies (PR_SET_PDEATHSIG, unless the program has set it), as nobody would end it.
 * Context: the program's main thread, once; blocks until all nodes have called it.
 * Crash: the workers end with the program, and the launcher ends the other nodes.
 * Returns: the cluster, to be ended with weir_cluster_end(); or NULL, on all nodes, with the errors
 * of weir_scope_begin() and weir_pool_new() on one of them, and: EINVAL (options; one node where
 * that is an error), EBUSY (nodes share CPUs, srun has given one CPU of many, or MPI has been begun
 * before), EPROTO (the launcher of another MPI; nodes with different programs or versions), EIO
 * (MPI). Each says what to type instead. */
WEIR_API WEIR_MUST_CHECK weir_cluster *weir_cluster_begin(const weir_cluster_options *options);

/* Ends this node's part: says goodbye to the other nodes, ends the pool, the scope and MPI. NULL is
 * allowed.
 *
 * Calls of other nodes that this node does not make return -ECONNABORTED there. Where nodes do not
 * say goodbye within 5 s, as they are lost, this writes a line to stderr and ends the program and
 * the job by MPI_Abort(): what is to be saved is saved before. The time that it takes is bounded,
 * but for that of MPI_Finalize(), on which nothing of weir's depends.
 * Context: the thread that began the cluster.
 * Crash: the workers end with the program.
 * Returns: 0; -EDEADLK (in another process than the one that began it); or the error of
 * weir_scope_end(). */
WEIR_API int weir_cluster_end(weir_cluster *cluster);

/* WEIR_CLUSTER (name, options) { ... } begins a cluster called `name`, runs the block and ends the
 * cluster however the block is left, as WEIR_SCOPE does. */
#define WEIR_CLUSTER(name, ...)                                                                    \
    for (weir_cluster * name                                                                       \
             __attribute__((__cleanup__(weir_cluster_leave))) = weir_cluster_begin(__VA_ARGS__),   \
             *name##_weir_once = name;                                                             \
         name##_weir_once; name##_weir_once = NULL)

/* What WEIR_CLUSTER's cleanup calls: weir_cluster_end(*cluster).
 * Crash: as weir_cluster_end(). */
WEIR_API void weir_cluster_leave(weir_cluster **cluster);

/* This node's scope and pool: all calls on them work, and are this node's alone. The cluster ends
 * them.
 * Context: any thread of the program that began the cluster.
 * Returns: the scope or the pool; NULL: EINVAL (cluster is NULL). */
WEIR_API weir_scope *weir_cluster_scope(const weir_cluster *cluster);
WEIR_API weir_pool *weir_cluster_pool(const weir_cluster *cluster);

/* This node's number, from 0, and the number of nodes.
 * Context: any thread, in tasks too.
 * Returns: the number; -EINVAL (cluster is NULL). */
WEIR_API int weir_cluster_node(const weir_cluster *cluster);
WEIR_API int weir_cluster_nodes(const weir_cluster *cluster);

/* The host name of a node. Valid until the cluster is ended.
 * Context: any thread, in tasks too.
 * Returns: the name; NULL: EINVAL (cluster is NULL), ERANGE (no such node). */
WEIR_API const char *weir_cluster_host(const weir_cluster *cluster, int node);

/* ---- errors --------------------------------------------------------------------------------- */

/* What made a call on the cluster fail: the same on every node. */
typedef struct weir_cluster_error {
    int node;         /* where it happened; -1: on no single node, or no call has failed */
    char host[256];   /* that node's; empty if there is none */
    weir_error error; /* as it was there: worker, range and message */
} weir_cluster_error;

/* The calling thread's last failure of a call on a cluster. weir_last_error() has the same, with
 * node and host in front of the message.
 * Returns: a pointer to thread-local storage; never NULL. */
WEIR_API const weir_cluster_error *weir_cluster_last_error(void);

/* ---- jobs ----------------------------------------------------------------------------------- */

/* How a job is shared out, beside weir_job_options. Zero means the default; `reserved` must be
 * zero. */
typedef struct weir_cluster_job {
    /* Chunks that a node takes at a time: a power of two up to 65,536; 0: 64. It changes no bit of
     * a result. */
    int64_t block;
    /* Each node does its own part, weir_cluster_part(), and no more: for data that lies in its
     * memory. Otherwise a node that is through does what others have left. */
    bool stay;
    uint64_t reserved[6];
} weir_cluster_job;

/* Options of a job mean what they mean on one machine, with these differences:
 *  - chunks 0 and grain 0: 65,536 chunks. Some 16 for each worker of the cluster share the work out
 *    evenly.
 *  - Both, the range, block, stay, arg_size, retries, timeout_ms, chunk_timeout_ms and keep_going
 *    must be the same on all nodes, otherwise the call fails with -EPROTO on all of them, and names
 *    the two that differ, and in what.
 *  - timeout_ms is looked at by node 0, from its call on. A call whose blocks are all done then is
 *    not ended by it.
 *  - on_progress, progress_lines: on node 0, of all nodes; items count when their block is done.
 *    There is no bar.
 *  - report is refused (-EINVAL). stall_ms has no effect.
 *  - weir_task_chunk() is the number of the chunk in the whole range. */

/* The part of a range that node `node` does first, and with job->stay alone: a run of whole blocks.
 *
 * `options`, `job`: as for the call; may be NULL.
 * Context: any thread of the program that began the cluster.
 * Returns: the range; empty if there are fewer blocks than nodes, or the arguments are not valid
 * (weir_last_error() is set then). */
WEIR_API weir_range weir_cluster_part(const weir_cluster *cluster, weir_range range,
                                      const weir_job_options *options, const weir_cluster_job *job,
                                      int node);

/* Runs function over the range, on all nodes, and waits for the end. Each chunk is run on one node.
 *
 * Arguments are weir_pool_for()'s; `job` may be NULL.
 * Callbacks of futures of this node's pool may be called meanwhile, as by weir_pool_dispatch().
 * Context: the thread that began the cluster, in every node's program; one call at a time; blocks
 * until all nodes have made the call.
 * Crash: when the program dies its workers are killed, and the other nodes' calls return
 * -EHOSTDOWN within silence_ms.
 * Returns: 0, or on all nodes the same error: those of weir_pool_for() on one of them; -EPROTO
 * (the nodes' calls differ), -ECONNABORTED (a node has ended the cluster), -EHOSTDOWN (a node is
 * lost), -ECANCELED (weir_cluster_cancel() on one of them), -ETIMEDOUT, -E2BIG (more than 1,048,576
 * blocks), -EBADMSG (a node sent what is no message). -ECONNABORTED, -EHOSTDOWN and the transport's
 * own errors (-EIO) are for good: all later calls return them at once. No chunk is running on this
 * node any more when this returns. On this node alone: -EINVAL (cluster is NULL), -EDEADLK (not in
 * that program), -EBUSY (a call lasts). */
WEIR_API WEIR_MUST_CHECK int weir_cluster_for(weir_cluster *cluster, weir_range range,
                                              weir_task_fn function, void *arg,
                                              const weir_job_options *options,
                                              const weir_cluster_job *job);

/* Runs the reduction over the range, on all nodes. `result` has the same bits on every node as
 * weir_pool_reduce() gives with the same range, chunks and grain, for any number of nodes.
 *
 * `result`: gets reduction->size bytes, on every node. It is unchanged on failure.
 * Accumulators are sent to other nodes as they are: without pointers. combine is called in this
 * program, for blocks that this node or others have done.
 * Context: as weir_cluster_for().
 * Crash: as weir_cluster_for().
 * Returns: as weir_cluster_for() and weir_pool_reduce(). */
WEIR_API WEIR_MUST_CHECK int weir_cluster_reduce(weir_cluster *cluster, weir_range range,
                                                 const weir_reduction *reduction, void *result,
                                                 void *arg, const weir_job_options *options,
                                                 const weir_cluster_job *job);

/* ---- map-reduce ----------------------------------------------------------------------------- */

/* What a map-reduce on a cluster gives: keys with their values, spread over the nodes. */
typedef struct weir_cluster_table weir_cluster_table;

/* Runs the map-reduce over the range, on all nodes. Each key is on one node, and has the value that
 * weir_pool_map_reduce() gives with the same range, chunks and grain, for any number of nodes.
 *
 * `options`: chunks 0 and grain 0: 256 chunks; at most 4,096. `job->block` 0: 2 chunks. Each chunk
 * has a table, so more than share out the work cost time.
 * map, combine and reduce are called in the workers of the node that has the chunk or the key. The
 * reduction's value_size, whether it has a reduce, and any_order must be the same on all nodes.
 * Each chunk's keys are sent to their nodes; with reduction->any_order those of a whole node, each
 * once, which is a fraction of it where chunks have keys in common.
 * reduction->memory is of each node: of the tables of its chunks, of what others send to it, and of
 * the result. While tables are merged, the range of an error is one of parts of the node's table.
 * Context: as weir_cluster_for().
 * Crash: as weir_cluster_for(), and as weir_pool_map_reduce() on each node.
 * Returns: the table, to be freed with weir_cluster_table_free(); or NULL, on all nodes, with the
 * errors of weir_cluster_for() and weir_pool_map_reduce(). */
WEIR_API WEIR_MUST_CHECK weir_cluster_table *
weir_cluster_map_reduce(weir_cluster *cluster, weir_range range,
                        const weir_map_reduction *reduction, void *arg,
                        const weir_job_options *options, const weir_cluster_job *job);

/* This node's keys. It is freed with the cluster's table.
 * Context: the thread that began the cluster; any process of this node's scope may use the table.
 * Returns: the table; NULL: EINVAL (NULL). */
WEIR_API weir_table *weir_cluster_table_local(const weir_cluster_table *table);

/* The number of keys on all nodes.
 * Context: the thread that began the cluster.
 * Returns: the number; -EINVAL (NULL). */
WEIR_API int64_t weir_cluster_table_len(const weir_cluster_table *table);

/* Makes an array of the table's pairs, sorted: the same on every node. Keys and values lie in it.
 *
 * `compare`: as of weir_table_sorted(), the same function on all nodes. Where it gives 0 the order
 * of the two depends on the number of nodes.
 * `most`: above 0, the array has only so many pairs, those that come first.
 * `count`: gets their number.
 * Context: as weir_cluster_for().
 * Crash: as weir_cluster_for().
 * Returns: the array, to be freed with free(); or NULL, on all nodes: weir_cluster_for()'s errors,
 * EINVAL (NULL), ENOMEM (on one of the nodes), EBADMSG. */
WEIR_API WEIR_MUST_CHECK weir_pair *weir_cluster_table_sorted(weir_cluster_table *table,
                                                              int (*compare)(const weir_pair *a,
                                                                             const weir_pair *b),
                                                              size_t most, size_t *count);

/* Copies the whole table to node `node`, or with -1 to all. It is what weir_pool_map_reduce() gives
 * with the same cut, the order of its keys included.
 *
 * Nothing is sent if there is too little room in /dev/shm there.
 * Context: as weir_cluster_for().
 * Crash: as weir_cluster_for().
 * Returns: a table of the node's scope, to be freed with weir_table_free(), which is empty on nodes
 * that do not get it; or NULL, on all nodes: weir_cluster_for()'s errors, EINVAL (NULL, node),
 * ENOMEM, ENOSPC. */
WEIR_API WEIR_MUST_CHECK weir_table *weir_cluster_table_gather(weir_cluster_table *table, int node);

/* Gives the table's memory back; this node's part of it. NULL is allowed. The cluster's end does it
 * too: it may not be called after that.
 * Context: the thread that began the cluster; has no effect in another process.
 * Crash: the rest of it is given back with the scope. */
WEIR_API void weir_cluster_table_free(weir_cluster_table *table);

/* ---- between jobs --------------------------------------------------------------------------- */

/* Copies `size` bytes at `data` from node `from` to all others, to their `data`. On failure the
 * bytes there are unspecified.
 * Context: as weir_cluster_for().
 * Crash: as weir_cluster_for().
 * Returns: as weir_cluster_for(); -EINVAL (data, from). */
WEIR_API WEIR_MUST_CHECK int weir_cluster_broadcast(weir_cluster *cluster, int from, void *data,
                                                    size_t size);

/* Returns when all nodes have called it.
 * Context: as weir_cluster_for().
 * Crash: as weir_cluster_for().
 * Returns: as weir_cluster_for(). */
WEIR_API WEIR_MUST_CHECK int weir_cluster_barrier(weir_cluster *cluster);

/* Cancels the call that this node is in, if any, on all nodes: it returns -ECANCELED there, unless
 * all was done. Chunks that have not been started are not started. NULL is allowed.
 * Context: any thread of the program that began the cluster; signal-safe.
 * Crash: the workers are killed. */
WEIR_API void weir_cluster_cancel(weir_cluster *cluster);

#ifdef __cplusplus
}
#endif

#endif
