# SPDX-License-Identifier: MIT
"""cluster.py MPI FOLDER CLASS [TEST...]: programs of a cluster with one MPI, openmpi or mpich, whose programs are in a folder.

Those that need several machines have them out of namespaces, see machines.py; without root these are skipped. With
WEIR_TRIALS=N in the environment each fault has so many trials, for the long size; WEIR_SEED=N says which."""

import hashlib
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from machines import AGENT, WHO, Begun, Machines, bits_of, state_of, why_no_cgroup, why_not

MPI, FOLDER = sys.argv[1], os.path.abspath(sys.argv[2])
OTHER = {"openmpi": "mpich", "mpich": "openmpi"}[MPI]
PORT, NODE = FOLDER + "/port-" + MPI, FOLDER + "/node-" + MPI
TRIALS = int(os.environ.get("WEIR_TRIALS", "1"))
SEED = int(os.environ.get("WEIR_SEED", "1"))
SILENCE_MS, PAUSE_MS = 1500, 3000
needs_machines = unittest.skipIf(why_not(), why_not())
needs_cpus = unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "this machine has one CPU")

os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", LC_ALL="C")
for name in [name for name in os.environ if name.startswith(("WEIR_WORKERS", "WEIR_LOG", "SLURM_", "PMI_"))]:
    del os.environ[name]
# both MPIs leak
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"


def find_launcher(mpi):
    """An MPI's launcher: by the name that Debian gives it, where both MPIs are, or by the name that all have."""
    names, said = {"openmpi": (("mpirun.openmpi", "mpirun"), "Open"), "mpich": (("mpiexec.mpich", "mpiexec"), "HYDRA")}[mpi]
    for name in filter(shutil.which, names):
        if said in subprocess.run([name, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout:
            return name
    return None


LAUNCHERS = {mpi: find_launcher(mpi) for mpi in ("openmpi", "mpich")}


def launcher(mpi=MPI, hosts=(), ranks=2, options=()):
    """The words that start a program on hosts, or `ranks` times on this one."""
    words = [LAUNCHERS[mpi]]
    if mpi == "openmpi":
        words += ["--oversubscribe", "-n", str(len(hosts) or ranks)]
        if hosts:
            words += ["--mca", "plm_rsh_agent", AGENT, "--host", ",".join(hosts)]
    else:
        words += ["-n", str(len(hosts) or ranks)]
        if hosts:
            words += ["-launcher", "ssh", "-launcher-exec", AGENT, "-hosts", ",".join(hosts)]
    return words + list(options)


def run(words, machines=None, timeout=60, **options):
    """(status, output) of a program."""
    start = subprocess.Popen if machines is None else lambda *words, **options: machines.start("node1", *words[0], **options)
    options.setdefault("stderr", subprocess.STDOUT)
    with start(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **options) as program:
        try:
            output = program.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            program.kill()
            if machines is not None:
                machines.clear()
            raise
    return program.returncode, output


class Port(unittest.TestCase):
    """The transport alone."""

    def check(self, nodes, done):
        status, output = done
        self.assertEqual(status, 0, output)
        self.assertRegex(output, r"(?m)^%d nodes, %d messages, " % (nodes, nodes * 42))

    def test_messages_of_all_sizes_arrive_in_order__on_one_machine(self):
        for _ in range(8 if MPI == "mpich" else 1):  # hydra ends the other process where the first one's end is not in order
            self.check(2, run(launcher() + [PORT]))

    def test_messages_of_all_sizes_arrive_in_order__without_a_launcher(self):
        self.check(1, run([PORT]))

    @needs_machines
    def test_messages_of_all_sizes_arrive_in_order__on_four_machines(self):
        with Machines(4) as machines:
            for _ in range(3):
                self.check(4, run(launcher(hosts=machines.hosts) + [PORT], machines))
            self.assertIsNotNone(machines.wait_clean(5), [(machines.processes(host), machines.files(host))
                                                          for host in machines.hosts])


class Begin(unittest.TestCase):
    """Where nodes are, and which CPUs they get."""

    cpus = len(os.sched_getaffinity(0))
    one_core = {"openmpi": ["--bind-to", "core"], "mpich": ["-bind-to", "core"]}[MPI]
    no_binding = {"openmpi": ["--bind-to", "none"], "mpich": ["-bind-to", "none"]}[MPI]

    def who(self, words, machines=None, **options):
        """What the nodes say of themselves: (node, nodes, host, pid, workers, cpus, files) of each."""
        status, output = run(words, machines, **options)
        self.assertEqual(status, 0, output)
        return sorted((int(node), int(nodes), host, *map(int, rest)) for node, nodes, host, *rest in WHO.findall(output))

    @needs_cpus
    def test_two_on_one_machine_keep_a_core_each(self):
        found = self.who(launcher(options=self.one_core) + [NODE, "names"])
        self.assertEqual([(node, nodes, workers, cpus) for node, nodes, _, _, workers, cpus, _ in found],
                         [(0, 2, 1, 1), (1, 2, 1, 1)])
        self.assertEqual({host for _, _, host, *_ in found}, {os.uname().nodename})

    @needs_cpus
    def test_one_on_a_machine_has_all_cpus(self):
        for program in ([NODE], ["sh", "-c", '"$0" "$@"; exit $?', NODE]):
            found = self.who(launcher(ranks=1, options=self.one_core) + program + ["names"])
            self.assertEqual([(nodes, workers, cpus) for _, nodes, _, _, workers, cpus, _ in found], [(1, self.cpus, self.cpus)])

    @needs_cpus
    def test_any_binding_leaves_it(self):
        found = self.who(launcher(ranks=1, options=self.one_core) + [NODE, "--any-binding", "names"])
        self.assertEqual([(workers, cpus) for *_, workers, cpus, _ in found], [(1, 1)])
        self.assertEqual(len(self.who(launcher(options=self.no_binding) + [NODE, "--any-binding", "names"])), 2)

    def test_a_program_without_a_launcher_is_one_node(self):
        found = self.who([NODE, "--workers", "3", "names"])
        self.assertEqual([(node, nodes, workers) for node, nodes, _, _, workers, *_ in found], [(0, 1, 3)])

    def test_the_soft_limit_of_descriptors_is_raised(self):
        found = self.who(["sh", "-c", 'ulimit -Sn 300; "$0" names', NODE])
        self.assertGreater(found[0][-1], 300)

    @needs_machines
    def test_each_machine_has_a_node_with_all_cpus(self):
        with Machines(2) as machines:
            found = self.who(launcher(hosts=machines.hosts) + [NODE, "names"], machines)
            self.assertEqual([(node, nodes, host, workers, cpus) for node, nodes, host, _, workers, cpus, _ in found],
                             [(i, 2, "node%d" % (i + 1), self.cpus, self.cpus) for i in range(2)])
            self.assertIsNotNone(machines.wait_clean(5))


class Wrong(unittest.TestCase):
    """Starts that are errors, each of which says what to type."""

    def refused(self, words, *patterns, **options):
        status, output = run(words, **options)
        self.assertNotEqual(status, 0, output)
        self.assertEqual(WHO.findall(output), [])
        for pattern in patterns:
            self.assertRegex(output, pattern)

    def test_the_launcher_of_another_mpi(self):
        if LAUNCHERS[OTHER] is None:
            self.skipTest("the other MPI's launcher is missing")
        variable, name, other = {"openmpi": ("PMI_SIZE", "Open MPI v", "MPICH's mpiexec"),
                                 "mpich": ("OMPI_COMM_WORLD_SIZE", "MPICH Version", "Open MPI's mpirun")}[MPI]
        self.refused(launcher(mpi=OTHER) + [NODE, "names"], "started 2 processes .%s." % variable, "program's MPI is " + name, other)

    def test_srun_that_starts_many_singletons(self):
        self.refused(["env", "SLURM_STEP_NUM_TASKS=7", NODE, "names"], "Slurm's srun .* 7 processes .SLURM_STEP_NUM_TASKS.",
                     "type `srun --mpi=" + {"openmpi": "pmix`", "mpich": "pmi2`"}[MPI])

    @unittest.skipIf(MPI == "mpich", "MPICH goes on")
    def test_srun_that_starts_processes_without_pmi(self):
        self.refused(["env", "SLURM_STEP_NUM_TASKS=7", "SLURM_STEP_ID=0", "SLURM_PROCID=0", NODE, "names"],
                     "weir: srun has not told 7 .* type `srun --mpi=pmix`")

    @needs_cpus
    def test_srun_that_gives_one_cpu_of_many(self):
        srun = ["env", "SLURM_STEP_NUM_TASKS=1", "SLURM_NODEID=1", "SLURM_STEP_TASKS_PER_NODE=2,1", "taskset", "-c", "0"]
        self.refused(srun + [NODE, "names"], "srun -c %d" % os.cpu_count(), "SRUN_CPUS_PER_TASK=%d" % os.cpu_count())
        self.refused(srun + ["env", "SLURM_CPUS_PER_TASK=16", NODE, "names"], "--cpus-per-task=16", "srun -c 16")
        for accepted in ([NODE, "--any-binding", "names"], ["env", "SLURM_CPUS_PER_TASK=1", NODE, "names"],
                         ["env", "SLURM_NODEID=0", NODE, "names"]):
            status, output = run(srun + accepted)
            self.assertEqual((status, len(WHO.findall(output))), (0, 1), output)

    def test_nodes_that_share_cpus(self):
        said = {"openmpi": "mpirun --map-by ppr:1:node", "mpich": "mpiexec -ppn 1"}[MPI]
        self.refused(launcher(options=Begin.no_binding) + [NODE, "names"], "nodes 0 and 1 are both on host", said)

    def test_two_builds_of_a_program(self):
        with tempfile.TemporaryDirectory(prefix="weir-cluster-") as folder:
            shutil.copy(NODE, folder + "/node")
            with open(folder + "/node", "ab") as file:
                file.write(b"another build")
            manager = os.path.dirname(os.path.dirname(FOLDER)) + "/manager/weir-manager"
            self.refused(self.with_another(folder + "/node", "--any-binding", "names"), "node 0 .* and node 1 .* different builds",
                         env=dict(os.environ, WEIR_MANAGER=manager))

    @staticmethod
    def with_another(*program):
        """The words that start the usual program as node 0, and another one as node 1."""
        return launcher(ranks=1) + [NODE, "--any-binding", "names", ":", "-n", "1", *program]

    def test_a_node_that_cannot_begin_tells_the_others(self):
        words = self.with_another("env", "WEIR_MANAGER=/no/manager", NODE, "--any-binding", "names")
        self.refused(words, r"(?m)^node: .*: node 1 .*/no/manager")

    def test_one_node_where_it_is_an_error(self):
        self.refused([NODE, "--one-node-is-an-error", "names"], "mpirun -n N")

    def test_options(self):
        self.refused([NODE, "--silence", "-1", "names"], "silence_ms")


class Calls(unittest.TestCase):
    """What calls give: the bits of one machine, and one error on all nodes."""

    def bits(self, words, machines=None, kill=None):
        """The lines of bits that a program writes, which must be the same on all nodes and in all calls."""
        status, output = run(words, machines)
        self.assertEqual(status, 0, output)
        found = bits_of(self, output)
        self.assertEqual(kill is not None, bool(re.search(r"^[1-9]\d* workers died", output, re.M)), output)
        return found

    @needs_machines
    def test_a_reduction_has_the_bits_of_one_machine(self):
        """With each number of nodes and workers, with the option `stay` and without it, and whichever workers die."""
        alone = self.bits([NODE, "sums"])
        seeds, programs = iter(range(1000 * SEED, sys.maxsize)), 0
        with Machines(7) as machines:
            for trial in range(TRIALS):
                for nodes, workers, kills in itertools.product((1, 2, 3, 4, 7), (1, 2, 3), (False, True)):
                    if TRIALS == 1 and workers != 2 and not kills:
                        continue
                    programs += 1
                    seed = next(seeds) if kills else None
                    options = ["--workers", str(workers)] + (["--kill", str(seed)] if kills else [])
                    found = self.bits(launcher(hosts=machines.hosts[:nodes]) + [NODE, *options, "sums"], machines, seed)
                    self.assertEqual(found, alone, "trial %d: %d nodes, %s" % (trial, nodes, options))
            self.assertIsNotNone(machines.wait_clean(5))
        print("%d programs, one result: %s" % (programs, hashlib.sha256(alone.encode()).hexdigest()), file=sys.stderr)

    @needs_machines
    def test_all_nodes_have_the_error_of_one(self):
        with Machines(2) as machines:
            status, output = run(launcher(hosts=machines.hosts) + [NODE, "fail"], machines)
            self.assertEqual(status, 0, output)
            said = re.findall(r"^.*failure: task code 7, node [01]: node [01] \(node[12]\): .*no item 77", output, re.M)
            self.assertEqual((len(said), len(set(said))), (2, 1), output)


@needs_machines
class Examples(unittest.TestCase):
    """The examples of the folder WEIR_EXAMPLES, which are linked with libweir-mpi: their results do not depend on the nodes."""

    folder = os.environ.get("WEIR_EXAMPLES", "")

    def check(self, machines, name, arguments, alone):
        program = [self.folder + "/" + name]
        expected = run([self.folder + "/" + alone, *arguments])
        self.assertEqual(expected[0], 0, expected[1])
        for nodes in (2, 3):
            found = run(launcher(hosts=machines.hosts[:nodes]) + program + arguments, machines)
            self.assertEqual(found, expected, "%s %s on %d nodes" % (name, arguments, nodes))

    def test_kmeans(self):
        """Prints what it prints on one machine, also where some nodes have no points."""
        with Machines(3) as machines:
            for count in ("8", "200000"):
                self.check(machines, "kmeans_cluster", [count], "kmeans")

    def test_word_count(self):
        with Machines(3) as machines:
            for top in ("10", "0"):
                self.check(machines, "word_count_cluster", ["/usr/share/common-licenses/GPL-3", top], "word_count")

    def test_mean(self):
        with Machines(3) as machines:
            for count in ("1", "1000003"):
                self.check(machines, "mean_cluster", [count], "mean_cluster")


class Trial(Begun):
    """A program on two machines, one of whose processes is killed."""

    def __init__(self, machines, *command, before=()):
        super().__init__(machines, [*launcher(hosts=machines.hosts), *before, NODE, "--silence", str(SILENCE_MS), *command], 60,
                         machines.clear, stdin=subprocess.DEVNULL)

    def pids(self, host, *names):
        """Processes of a machine by their names, the eldest first."""
        return sorted(pid for pid, name in self.machines.processes(host).items() if name in names)

    def rank(self, host):
        """By its number in the machine, as it has written it."""
        inside = next(pid for _, _, where, pid, *_ in WHO.findall(self.output) if where == host)
        for pid in self.pids(host, os.path.basename(NODE)[:15]):
            with open("/proc/%d/status" % pid, encoding="utf-8") as file:
                if re.search(r"^NSpid:.*\t%s$" % inside, file.read(), re.M):
                    return pid
        raise AssertionError("no rank on " + host)

    def victim(self, what):
        if what == "rank":
            return self.rank("node2")
        if what == "node":
            return self.machines.inits["node2"]
        host, *names = {"daemon": ("node2", "orted", "hydra_pmi_proxy"),
                        "launcher": ("node1", "mpirun.openmpi", "mpirun", "orterun", "mpiexec.mpich", "mpiexec.hydra"),
                        "manager": ("node2", "weir-manager"),
                        "supervisor": ("node2", "weir-supervisor")}[what]
        return self.pids(host, *names)[0]

    def signal_all(self, number):
        """To all processes of all machines at once, as nearly as that can be done."""
        for pid in [pid for host in self.machines.hosts for pid in self.machines.processes(host)]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def give_up(self):
        self.machines.clear()
        self.program.kill()
        self.output += self.program.communicate()[0]


@needs_machines
class Faults(unittest.TestCase):
    """What a cluster stands on is killed: no process and no file stays on any machine, and nothing hangs."""

    own = re.compile("weir-|%s$" % re.escape(os.path.basename(NODE)))
    slack = max(1, os.getloadavg()[0] / len(os.sched_getaffinity(0)))  # the machine may be busy with others
    here_s = 1.5 * slack  # until these are gone on the machine of what is killed
    bound_s = (SILENCE_MS / 1000 + 5) * slack  # the launchers' own time is in it

    def strike(self, what, *command, blow, here=(), ended=None, ends_well=False, said="", before=(), reboots=()):
        """Runs the command as often as there are trials, with a blow at a random instant of each. `here`: machines that are
        clean of it at once. `ended`: the machine whose rank the launcher ends then; noted is how long after that rank's end
        both are clean of weir. `ends_well`: whether the launcher's status is 0; None: it may be. `said`: what all nodes write,
        each the same. `reboots`: machines that the blow has shut down."""
        chance = random.Random("%s %s %d" % (what, command, SEED))
        times, after = [], []
        with Machines(2) as machines:
            for number in range(TRIALS):
                trial = Trial(machines, *command, before=before)
                time.sleep(chance.uniform(0, 0.3))
                other = ended and trial.rank(ended)
                blow(trial)
                begin = time.monotonic()
                if ended:
                    after.append(self.clean_after(machines, other, here))
                at_once = not here or machines.wait_clean(self.here_s, here, self.own) is not None
                status = trial.end(self.bound_s)
                clean = machines.wait_clean(self.bound_s)
                times.append(time.monotonic() - begin)
                left = {host: (machines.processes(host), machines.files(host)) for host in machines.hosts}
                if status is None or clean is None:
                    trial.give_up()
                where = "trial %d of %s, %s: status %s, left %s\n%s" % (number, what, command, status, left, trial.output)
                self.assertTrue(at_once, where)
                self.assertIsNotNone(clean, where)
                self.assertIsNotNone(status, where)
                self.assertIn(ends_well, (None, status == 0), where)
                if said:
                    lines = re.findall(said, trial.output, re.M)
                    self.assertEqual((len(lines), len(set(lines))), (2, 1), where)
                for host in reboots:
                    machines.reboot(host)
        self.note(times)
        if ended:
            self.note(after, " of weir after the launcher has ended the other rank")

    def clean_after(self, machines, rank, here):
        """The seconds from a rank's end until no machine has anything of weir's; infinite: some still have. It is an error
        if that of the blow is not clean at once."""
        begin = time.monotonic()
        clean = end = None
        while time.monotonic() - begin < self.bound_s:
            if end is None and state_of(rank) in ("Z", ""):
                end = time.monotonic()
            if clean is None and machines.is_clean(here, self.own):
                clean = time.monotonic() - begin
                self.assertLess(clean, self.here_s)
            if end is not None and machines.is_clean(machines.hosts, self.own, rank):
                return time.monotonic() - end
            time.sleep(0.002)
        return float("inf")

    def note(self, times, of_what=""):
        times = sorted(times)
        print("%d trials: median %.3f s, p99 %.3f s, max %.3f s until all is clean%s" %
              (len(times), times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)], times[-1], of_what),
              file=sys.stderr)

    def kill(self, what, *command, number=signal.SIGKILL, **options):
        self.strike("kill -%d %s" % (number, what), *command, blow=lambda trial: os.kill(trial.victim(what), number),
                    reboots=["node2"] if what == "node" else (), **options)

    def test_kill_daemon__of_a_script(self):
        """A process that is not the daemon's child notices all the same."""
        self.kill("daemon", "inside", here=["node2"], before=("sh", "-c", '"$0" "$@"; exit $?'))

    def test_kill_manager(self):
        """As on one machine: the program carries on, and its end leaves nothing."""
        self.kill("manager", "jobs", "5", ends_well=True, said=r"^5 calls")

    def test_kill_supervisor(self):
        """As on one machine: its workers die with it, and the call fails; on all nodes, which can end in order."""
        self.kill("supervisor", "jobs", "0", said=r"^error of call \d+: .*node 1 \(node2\).*")

    def test_segmentation_fault_of_a_rank(self):
        self.kill("rank", "jobs", "0", number=signal.SIGSEGV, here=["node2"], ended="node1")

    def test_sigterm_to_all(self):
        """As a batch system does it. The status of MPICH's launcher, which gets the signal too, is 0 now and then."""
        self.strike("SIGTERM to all", "jobs", "0", blow=lambda trial: trial.signal_all(signal.SIGTERM),
                    ends_well=None if MPI == "mpich" else False)

    @unittest.skipIf(not why_not() and why_no_cgroup(), why_no_cgroup())
    def test_cgroup_kill_of_a_node(self):
        """As the kernel and Slurm do it: all processes of a node at once, the manager too."""
        self.strike("cgroup.kill", "jobs", "0", blow=lambda trial: trial.machines.kill_all("node2"), here=["node2"])

    def test_pull_the_cable(self):
        """The launcher may notice much later: the nodes themselves end, each on its side. What node 0 writes goes into a file:
        MPICH's mpiexec now and then passes nothing on when a node calls MPI_Abort()."""
        times = []
        for _ in range(TRIALS):
            with Machines(2) as machines:
                trial = Trial(machines, "work", before=("sh", "-c", 'exec "$0" "$@" 2>$TMPDIR/said'))
                time.sleep(0.3)
                machines.unplug("node2")
                times.append(machines.wait_clean(self.bound_s, names=self.own))
                left = [machines.processes(host) for host in machines.hosts]
                said = machines.text("node1", "said")
                trial.give_up()
                self.assertIsNotNone(times[-1], "%s\n%s" % (left, trial.output))
                self.assertRegex(said, r"weir: node 0 \(node1\) ends the job: node 1 \(node2\): nothing was heard of it")
        self.note(times)


for victim in ("rank", "daemon", "launcher", "node"):
    for where, words in (("in_a_call", ["inside"]), ("between_calls", ["between", str(PAUSE_MS)])):
        def kill(self, victim=victim, words=words):
            self.kill(victim, *words, here=["node1" if victim == "launcher" else "node2"],
                      ended="node1" if victim == "rank" else None)
        setattr(Faults, "test_kill_%s__%s" % (victim, where), kill)


if __name__ == "__main__":
    if LAUNCHERS[MPI] is None:
        print("skipped: no launcher of " + {"openmpi": "Open MPI (openmpi-bin)", "mpich": "MPICH (mpich)"}[MPI])
        sys.exit(77)
    result = unittest.main(argv=["cluster.py"] + sys.argv[3:], verbosity=2, exit=False).result
    if result.testsRun > 0 and len(result.skipped) == result.testsRun:
        print("skipped: " + result.skipped[0][1])
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
