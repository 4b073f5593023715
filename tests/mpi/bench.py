# SPDX-License-Identifier: MIT
"""bench.py MPI FOLDER ROUNDS [ROW...]: a cluster beside its peers, with one MPI, openmpi or mpich, whose programs are in a folder.

Two nodes with a CPU and a worker each are machines out of namespaces (machines.py), joined by a cable, so the network is TCP;
MR-MPI and weir beside it are on this machine, without a network. The pool alone is on a third machine that has both CPUs.
All programs of a row are started first; then rounds alternate, A B A B. Prints one JSON object a row: medians and 90th
percentiles of both sides, and weir's throughput as a multiple of the peer's, or for calls the time.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from machines import AGENT, Machines, why_not

MPI, FOLDER, ROUNDS = sys.argv[1], os.path.abspath(sys.argv[2]), int(sys.argv[3])
PAUSE_S = 0.1
TEXT_MIB, TEXT_MRMPI_MIB, PAGE_MB = 512, 128, 512
os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", LC_ALL="C", OMP_WAIT_POLICY="passive")
CPUS = sorted(os.sched_getaffinity(0))[:2]

# row -> (text, program and command of weir, those of the peer, bar, of throughput or time)
WEIR, POOL, ALONE, PEER, MRMPI, WEIR_HERE = "weir", "pool", "alone", "peer", "mrmpi", "here"
ROWS = {
    "histogram_pool": ("few", (WEIR, "histogram"), (POOL, "histogram_pool"), 0.95),
    "kmeans_pool": ("few", (WEIR, "kmeans"), (POOL, "kmeans_pool"), 0.95),
    "words_pool": ("few", (WEIR, "words"), (POOL, "words_pool"), 0.85),
    "words_default_pool": ("few", (WEIR, "words_default"), (POOL, "words_pool"), 0.85),
    "histogram_default_pool": ("few", (WEIR, "histogram_default"), (POOL, "histogram_pool"), None),
    "kmeans_default_pool": ("few", (WEIR, "kmeans_default"), (POOL, "kmeans_pool"), None),
    "histogram_alone": ("few", (POOL, "histogram"), (POOL, "histogram_pool"), 0.98),
    "kmeans_alone": ("few", (POOL, "kmeans"), (POOL, "kmeans_pool"), 0.98),
    "words_alone": ("few", (POOL, "words"), (POOL, "words_pool"), 0.98),
    "histogram_mpi": ("few", (WEIR, "histogram"), (PEER, "histogram"), 0.95),
    "kmeans_mpi": ("few", (WEIR, "kmeans"), (PEER, "kmeans"), 0.95),
    "words_mpi": ("few", (WEIR, "words"), (PEER, "words"), 1.0),
    "barrier": ("few", (WEIR, "barrier"), (PEER, "pingpong"), None),
    "for": ("few", (WEIR, "for"), (PEER, "pingpong"), None),
    "words_mrmpi": ("small", (WEIR_HERE, "words"), (MRMPI, "words"), 4.0),
    "words_mrmpi_plain": ("small", (WEIR_HERE, "words"), (MRMPI, "plain"), 4.0),
    "doubles_many": ("many", (WEIR, "doubles"), (WEIR, "doubles_any"), None),
    "words_many": ("many", (WEIR, "words"), (PEER, "words"), 1.0),
}
TEXTS = {"few": (TEXT_MIB, 100000), "small": (TEXT_MRMPI_MIB, 100000), "many": (TEXT_MIB // 4, 2000000)}


def launcher(hosts):
    """The words that start a program on two machines; on this one, bound to a core each."""
    if MPI == "openmpi":
        return ["mpirun.openmpi", "-n", "2"] + (
            ["--bind-to", "none", "--mca", "plm_rsh_agent", AGENT, "--host", ",".join(hosts)] if hosts else ["--bind-to", "core"])
    return ["mpiexec.mpich", "-n", "2"] + (
        ["-launcher", "ssh", "-launcher-exec", AGENT, "-hosts", ",".join(hosts)] if hosts else ["-bind-to", "core"])


class Side:
    def __init__(self, row, name, program, start):
        self.row, self.name, self.program = row, name, program
        self.process = start(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def round(self, command):
        time.sleep(PAUSE_S)
        self.row.order("%s %s" % (self.name, command))
        line = self.process.stdout.readline()
        if not line:
            sys.exit("%s has ended with status %s" % (self.name, self.process.wait()))
        return [float(word) for word in line.split()]


class Row:
    """The programs of a row, and its rounds."""

    def __init__(self, name, machines, folder, text):
        _, self.weir, self.peer, self.bar = ROWS[name]
        self.name, self.orders, self.number = name, os.path.join(folder, "orders"), 0
        self.machines, self.text = machines, text
        self.order("begin begin")
        self.sides = {}
        for program in (self.weir[0], self.peer[0]):
            if program not in self.sides:
                self.sides[program] = self.start(program)

    def order(self, line):
        self.number += 1
        with open(self.orders + ".new", "w", encoding="ascii") as file:
            file.write("%d %s\n" % (self.number, line))
        os.rename(self.orders + ".new", self.orders)

    def start(self, program):
        binary = FOLDER + {WEIR: "/bench-weir-", WEIR_HERE: "/bench-weir-", POOL: "/bench-weir-", PEER: "/bench-peer-",
                           MRMPI: "/bench-mrmpi-"}[program] + MPI
        words = [binary, self.orders, program, self.text] + ([str(PAGE_MB)] if program == MRMPI else [])
        if program in (MRMPI, WEIR_HERE):
            words = launcher(()) + words
            return Side(self, program, program, lambda **options: subprocess.Popen(words, **options))
        if program == POOL:
            return Side(self, program, program, lambda **options: self.machines.start("node3", *words, **options))
        words = launcher(self.machines.hosts[:2]) + words
        return Side(self, program, program, lambda **options: self.machines.start("node1", *words, **options))

    def run(self):
        mine, others = [], []
        for number in range(-1, ROUNDS):
            both = [self.sides[program].round(command) for program, command in (self.weir, self.peer)]
            if abs(both[0][3] - both[1][3]) > 1e-9 * abs(both[0][3]):
                sys.exit("%s: what both have found differs: %g, %g" % (self.name, both[0][3], both[1][3]))
            if number >= 0:
                mine.append(both[0])
                others.append(both[1])
        self.order("end")
        for side in self.sides.values():
            side.process.wait()
        self.report(mine, others)

    def report(self, mine, others):
        ms, peer_ms = ([round_[0] for round_ in rounds] for rounds in (mine, others))
        said = {
            "bench": self.name, "mpi": MPI, "rounds": ROUNDS,
            "weir_ms": round(statistics.median(ms), 3), "weir_p90_ms": round(percentile(ms), 3),
            "weir_min_ms": round(min(ms), 3),
            "peer": " ".join(self.peer), "peer_ms": round(statistics.median(peer_ms), 3),
            "peer_p90_ms": round(percentile(peer_ms), 3), "peer_min_ms": round(min(peer_ms), 3),
            "throughput": round(statistics.median(peer_ms) / statistics.median(ms), 3),
            "p90_throughput": round(percentile(peer_ms) / percentile(ms), 3),
            "min_throughput": round(min(peer_ms) / min(ms), 3),
            "caller_cpu": round(statistics.median(round_[1] / round_[0] for round_ in mine), 5),
            "weir_mb": round(statistics.median(round_[2] for round_ in mine) / 1e6, 2),
            "peer_mb": round(statistics.median(round_[2] for round_ in others) / 1e6, 2),
        }
        if self.bar:
            said["bar"] = self.bar
        print(json.dumps(said), flush=True)


def percentile(values):
    return sorted(values)[min(len(values) - 1, len(values) * 90 // 100)]


def main():
    names = sys.argv[4:] or [name for name in ROWS if MPI == "openmpi" or MRMPI not in ROWS[name][2]]
    if why_not():
        sys.exit("bench: " + why_not())
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder, \
            Machines(3, cpus=({CPUS[0]}, {CPUS[1]}, set(CPUS)), shm_size="75%") as machines:
        texts = {}
        for name in names:
            kind = ROWS[name][0]
            if kind not in texts:
                mib, keys = TEXTS[kind]
                texts[kind] = "%s/%s" % (folder, kind)
                subprocess.run([FOLDER + "/bench-weir-" + MPI, "text", texts[kind], str(mib), str(keys)], check=True)
            Row(name, machines, folder, texts[kind]).run()


main()
