/* SPDX-License-Identifier: MIT
 *
 * sharing.c [NODES]: how evenly a range is shared out, by simulation: a JSON object a line.
 *
 * Blocks of 50 ms, nodes whose speeds differ by up to 5 %, 1 ms each way, and 5 us of node 0's
 * thread for each message that it gets. "ratio" is the time of the call beside that of nodes that
 * divide the work without any loss; "stay" is that of regions that nobody else may take from. With
 * NODES nothing larger is tried. Fails if a ratio is beyond its bar.
 */
#include "leak.h"
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

static const struct sharing {
    const char *costs;
    int nodes;
    int64_t blocks;
    double ramp, tail, bar;
} cases[] = {
    {"even", 4, 1024, 0, 0, 1.02},          {"even", 64, 16384, 0, 0, 1.01},
    {"ramp", 64, 16384, 1, 0, 1.01},        {"tail 15x", 256, 16384, 0, 15, 1.15},
    {"even", 1000, 65536, 0, 0, 1.03},      {"ramp", 1000, 65536, 1, 0, 1.03},
    {"tail 15x", 1000, 65536, 0, 15, 1.12},
};

struct figures {
    double ratio;
    uint64_t messages;
    double busy_ms, seconds;
    bool failed;
};

static void look(const struct sim_outcome *outcome, const struct sim_call *call, void *arg)
{
    struct figures *figures = arg;

    (void)call;
    figures->ratio = (double)(outcome->end_ns - outcome->begin_ns) / outcome->ideal_ns;
    figures->seconds = (double)(outcome->end_ns - outcome->begin_ns) / 1e9;
    figures->messages = outcome->messages;
    figures->busy_ms = (double)outcome->lead_busy_ns / 1e6;
    for (int64_t i = 0; i < outcome->blocks; i++)
        figures->failed |= outcome->ran[i] != 1;
}

static struct figures run(const struct sharing *sharing, bool stay)
{
    const struct sim_config config = {.nodes = sharing->nodes,
                                      .seed = 1,
                                      .block_ns = 50 * SIM_MS,
                                      .ramp = sharing->ramp,
                                      .tail = sharing->tail,
                                      .delay_ns = SIM_MS,
                                      .serve_ns = 5000};
    const struct sim_call call = {
        .kind = WEIR__CLUSTER_FOR, .length = sharing->blocks, .grain = 1, .block = 1, .stay = stay};
    struct figures figures = {0};

    sim_run(&config, &call, 1, look, &figures);
    return figures;
}

int main(int argc, char **argv)
{
    const int most = argc > 1 ? atoi(argv[1]) : 1000;
    int status = 0;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && cases[i].nodes <= most; i++) {
        const struct figures shared = run(&cases[i], false), stay = run(&cases[i], true);

        printf("{\"sharing\": \"%s\", \"nodes\": %d, \"blocks\": %lld, \"seconds\": %.2f, "
               "\"ratio\": %.4f, \"bar\": %.2f, \"stay\": %.3f, \"messages\": %llu, "
               "\"node_0_busy_ms\": %.1f}\n",
               cases[i].costs, cases[i].nodes, (long long)cases[i].blocks, shared.seconds,
               shared.ratio, cases[i].bar, stay.ratio, (unsigned long long)shared.messages,
               shared.busy_ms);
        fflush(stdout);
        if (shared.failed || stay.failed || shared.ratio > cases[i].bar)
            status = 1;
    }
    return status;
}
