# SPDX-License-Identifier: MIT
"""slurm.py MPI FOLDER [CLASS[.TEST]...]: programs of a cluster under Debian's Slurm, on two machines out of namespaces; see
machines.py and run-slurm. MPI is openmpi or mpich, whose programs are in a folder.

munged, slurmctld and slurmd run on these machines alone, with their sockets, states and logs in a tmpfs of this program's. With
proctrack/cgroup each machine has a cgroup of its own, below this program's; a process that outlives this one removes them. With
WEIR_TRIALS=N in the environment each fault has so many trials; WEIR_SEED=N says which. WEIR_LOGS=FOLDER: logs are copied there."""

import glob
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from machines import ROOM, TEMPORARY, WHO, Begun, Machines, bits_of, why_not

REMOVER = "remover"  # in place of MPI: the process that removes the cgroups

if __name__ == "__main__" and sys.argv[1] != REMOVER:
    MPI, FOLDER = sys.argv[1], os.path.abspath(sys.argv[2])
    NODE, MEAN = FOLDER + "/node-" + MPI, os.path.normpath(FOLDER + "/../../examples/mean")
    # What the guide says to type.
    PMI = "--mpi=" + {"openmpi": "pmix", "mpich": "pmi2"}[MPI]
    WRONG = "--mpi=" + {"openmpi": "pmi2", "mpich": "pmix"}[MPI]
GUIDE = os.path.dirname(os.path.abspath(__file__)) + "/../../examples/guides/cluster.md"
TRIALS = int(os.environ.get("WEIR_TRIALS", "1"))
SEED = int(os.environ.get("WEIR_SEED", "1"))
SILENCE_MS, KILL_WAIT_S = 1500, 2
CPUS = len(os.sched_getaffinity(0))
OWN = re.compile("weir-|node-")
SLACK = min(5, max(1, os.getloadavg()[0] / CPUS))  # the machine may be busy with others

CONFIGURATION = """
ClusterName=weir
SlurmctldHost=node1
SlurmUser=root
AuthInfo=socket={temporary}/munge.socket
StateSaveLocation={temporary}/slurmctld
SlurmdSpoolDir={temporary}/slurmd
SlurmctldPidFile={temporary}/slurmctld.pid
SlurmdPidFile={temporary}/slurmd.pid
SlurmctldLogFile={room}/slurmctld.log
SlurmdLogFile={room}/slurmd-%n.log
SlurmdDebug=debug
MailProg=/bin/true
ProctrackType=proctrack/{tracker}
TaskPlugin=task/affinity
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait={kill_wait_s}
MessageTimeout=5
SlurmdTimeout={slurmd_timeout_s}
SlurmdParameters=config_overrides
NodeName=node[1-2] CPUs={cpus}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


# ---- cgroups


def cgroups():
    """(plugin, folder, what it is mounted on) of where this program may make some, or (None, why not)."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        groups = dict(line.strip().split(":", 2)[1:] for line in file)
    if list(groups) == [""]:
        plugin, mounted, own = "cgroup/v2", "/sys/fs/cgroup", groups[""]
    elif "freezer" in groups:
        plugin, mounted, own = "cgroup/v1", "/sys/fs/cgroup/freezer", groups["freezer"]
    else:
        return None, "neither a cgroup of version 2 alone nor a freezer of version 1", None
    folder = "%s%s/weir-slurm-%d" % (mounted, own.rstrip("/"), os.getpid())
    try:
        os.mkdir(folder)
        os.rmdir(folder)
    except OSError as error:
        return None, "no cgroup can be made: %s" % error, None
    return plugin, folder, mounted


def remove(folder):
    """When the program that has made it is gone, which closes standard input."""
    sys.stdin.read()
    for _ in range(200):
        for group, _, _ in os.walk(folder, topdown=False):
            try:
                os.rmdir(group)
            except OSError:
                pass
        if not os.path.exists(folder):
            return
        time.sleep(0.05)


class Cgroups:
    def __init__(self, plugin, folder, mounted):
        self.plugin, self.folder, self.mounted = plugin, folder, mounted
        self.remover = subprocess.Popen([sys.executable, os.path.abspath(__file__), REMOVER, folder], stdin=subprocess.PIPE,
                                        start_new_session=True)

    def inside(self, host, command):
        """The command of a shell, in the cgroup of a machine, which sees no other one."""
        group = self.folder + "/" + host
        os.makedirs(group, exist_ok=True)
        return "echo $$ >%s/cgroup.procs && exec unshare -C sh -c 'mount --bind %s %s && exec %s'" % (
            group, group, self.mounted, command)

    def end(self):
        self.remover.stdin.close()
        self.remover.wait()


# ---- machines with Slurm


def without_slurm():
    """Why there is no Slurm; None: there is."""
    for program in ("munged", "slurmctld", "slurmd", "srun", "scancel", "sbatch"):
        if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            return program + " is missing (slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins)"
    return None


class Slurm(Machines):
    """node1 has the controller, too, and is where users type."""

    def __init__(self, tracker):
        super().__init__(2)
        self.tracker, self.cgroups, self.configured = tracker, None, False
        self.daemons = {host: set() for host in self.hosts}
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("SLURM_", "PMI", "OMPI_", "WEIR_WORKERS", "WEIR_LOG"))}
        self.environment.update(SLURM_CONF=ROOM + "/slurm.conf", TMPDIR=TEMPORARY, LC_ALL="C",
                                PATH=os.environ["PATH"] + ":/usr/sbin:/sbin", OMPI_ALLOW_RUN_AS_ROOT="1",
                                OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                                ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")

    def __enter__(self):
        super().__enter__()
        try:
            self.configure()
            self.start("node1", "sh", "-c", "mkdir %s/slurmctld && exec slurmctld" % TEMPORARY).wait()
            for host in self.hosts:
                self.start_slurmd(host)
            self.wait_idle(30)
            for host in self.hosts:
                self.daemons[host] = set(super().processes(host))
            self.configured = True
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if "WEIR_LOGS" in os.environ:
            for log in glob.glob(ROOM + "/*.log"):
                shutil.copy(log, os.environ["WEIR_LOGS"])
        super().__exit__()
        if self.cgroups is not None:
            self.cgroups.end()

    def configure(self):
        with open(ROOM + "/slurm.conf", "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(temporary=TEMPORARY, room=ROOM, tracker=self.tracker, cpus=CPUS, kill_wait_s=KILL_WAIT_S,
                                            slurmd_timeout_s=round(5 * SLACK)))
        with open(ROOM + "/mpi.conf", "w", encoding="utf-8") as file:
            file.write("PMIxCliTmpDirBase=%s\n" % TEMPORARY)
        if self.tracker == "cgroup":
            self.cgroups = Cgroups(*cgroups())
            with open(ROOM + "/cgroup.conf", "w", encoding="utf-8") as file:
                file.write("CgroupPlugin=%s\nIgnoreSystemd=yes\n" % self.cgroups.plugin)
        with open(os.open(ROOM + "/munge.key", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(128))
        for host in self.hosts:
            self.start_munged(host)

    def start_munged(self, host):
        files = ["--%s-file=%s/munge.%s" % (kind, TEMPORARY, kind) for kind in ("pid", "log", "seed")]
        self.start(host, "munged", "--force", "--key-file=%s/munge.key" % ROOM, "--socket=%s/munge.socket" % TEMPORARY,
                   *files, stderr=subprocess.DEVNULL).wait()

    def start_slurmd(self, host):
        command = "slurmd -N " + host
        if self.cgroups is not None:
            command = self.cgroups.inside(host, command)
        self.start(host, "sh", "-c", "mkdir %s/slurmd; %s" % (TEMPORARY, command)).wait()

    def boot(self, i, host):
        super().boot(i, host)
        if self.configured:
            self.daemons[host] = set()
            self.start_munged(host)
            self.start_slurmd(host)
            self.wait_idle(60)
            self.daemons[host] = set(super().processes(host))

    def start(self, host, *command, **options):
        return super().start(host, *command, **dict({"env": self.environment, "stdin": subprocess.DEVNULL}, **options))

    def processes(self, host):
        """Without the daemons."""
        return {pid: name for pid, name in super().processes(host).items() if pid not in self.daemons[host]}

    def run(self, *command, timeout=90, **options):
        """(status, output) of a command on node1."""
        options.setdefault("stderr", subprocess.STDOUT)
        with self.start("node1", *command, stdout=subprocess.PIPE, text=True, **options) as program:
            try:
                output = program.communicate(timeout=timeout)[0]
            except subprocess.TimeoutExpired as error:
                self.clear()
                program.kill()
                raise AssertionError("%s has not ended: %s" % (command, program.communicate()[0])) from error
        return program.returncode, output

    def wait_idle(self, limit_s):
        """Until there is no job and no node that is not idle."""
        begin = time.monotonic()
        while True:
            states = self.run("sinfo", "-h", "-N", "-o", "%T")[1].split()
            jobs = self.run("squeue", "-h", "-o", "%A %T")[1]
            if states == ["idle", "idle"] and not jobs:
                return
            passed = time.monotonic() - begin
            if passed > limit_s:
                raise AssertionError("nodes are %s, jobs %s" % (states, jobs))
            if any(state.startswith(("down", "drain")) for state in states):
                self.run("scontrol", "update", "NodeName=node[1-2]", "State=RESUME")
            if passed > 5 and jobs:
                self.run("scancel", "-s", "KILL", *jobs.split()[::2])
                self.run("scancel", *jobs.split()[::2])
            time.sleep(0.2)


SRUN = ["srun", "-K", "-N2", "--ntasks-per-node=1"]


class OnSlurm(unittest.TestCase):
    """The base of all classes, which have one pair of machines each."""

    tracker = "cgroup" if cgroups()[0] else "linuxproc"

    @classmethod
    def setUpClass(cls):
        for reason in (why_not(), without_slurm(), CPUS < 2 and "this machine has one CPU",
                       not os.access(NODE, os.X_OK) and "there is no " + NODE,
                       cls.tracker == "cgroup" and cgroups()[0] is None and cgroups()[1]):
            if reason:
                raise unittest.SkipTest(reason)
        cls.machines = Slurm(cls.tracker)
        cls.machines.__enter__()
        cls.addClassCleanup(cls.machines.__exit__)

    def tearDown(self):
        for host in self.machines.hosts:
            if not self.machines.is_on(host):
                self.machines.reboot(host)
        self.assertIsNotNone(self.machines.wait_clean(10), self.left())
        self.machines.wait_idle(60)

    def left(self):
        return {host: (self.machines.processes(host), self.machines.files(host)) for host in self.machines.hosts}

    def succeed(self, *command):
        status, output = self.machines.run(*command)
        self.assertEqual(status, 0, output)
        return output

    def refused(self, *command, said=()):
        status, output = self.machines.run(*command)
        self.assertNotEqual(status, 0, output)
        self.assertEqual(WHO.findall(output), [], output)
        for pattern in said:
            self.assertRegex(output, pattern)
        return output


class Trial(Begun):
    """A program on both machines, whose nodes have begun."""

    def __init__(self, machines, *command, options=(), before=()):
        super().__init__(machines, [*SRUN, "-c", str(CPUS), PMI, *options, *before, NODE, "--silence", str(SILENCE_MS), *command], 30)
        self.begin = time.monotonic()

    def pid(self, host, name):
        """The eldest process of a name."""
        return min(pid for pid, has in self.machines.processes(host).items() if has == name[:15])

    def job(self):
        return self.machines.run("squeue", "-h", "-o", "%A")[1].strip()

    def kill(self, what):
        if what == "rank":
            os.kill(self.pid("node2", os.path.basename(NODE)), signal.SIGKILL)
        elif what == "stepd":
            os.kill(self.pid("node2", "slurmstepd"), signal.SIGKILL)
        elif what == "srun":
            os.kill(self.pid("node1", "srun"), signal.SIGKILL)
        elif what == "node":
            self.machines.power_off("node2")
        else:
            self.machines.run(*what, self.job())

    def watch(self, limit_s):
        """The seconds until nothing of weir's is on node2, on any node, and until srun has ended and nothing of the job is left at
        all; None: it was not so within limit_s."""
        found, times = {}, []
        reader = threading.Thread(target=lambda: found.update(status=self.end(limit_s)))
        reader.start()
        begin = time.monotonic()
        for hosts, names in ((["node2"], OWN), (None, OWN), (None, None)):
            done = self.machines.wait_clean(limit_s, hosts, names) is not None
            times.append(time.monotonic() - begin if done else None)
        reader.join()
        return found["status"], times


class Starts(OnSlurm):
    """What users type, and how it ends when nothing goes wrong."""

    def alone(self):
        done = subprocess.run([NODE, "sums"], stdout=subprocess.PIPE, text=True, check=True)
        return bits_of(self, done.stdout)

    def check_bits(self, output, alone):
        self.assertEqual(sorted((int(node), int(nodes), host, int(workers), int(cpus))
                                for node, nodes, host, _, workers, cpus, _ in WHO.findall(output)),
                         [(i, 2, "node%d" % (i + 1), CPUS, CPUS) for i in range(2)], output)
        self.assertEqual(bits_of(self, output), alone, output)

    def test_srun_gives_the_bits_of_one_machine(self):
        alone = self.alone()
        for trial in range(TRIALS):
            options = ["--kill", str(trial)] if trial % 2 else []
            self.check_bits(self.succeed(*SRUN, "-c", str(CPUS), PMI, NODE, *options, "sums"), alone)
            self.is_clean_soon()

    def test_two_on_a_node_keep_their_cpus(self):
        """One in a hundred starts of four processes dies in MPI_Init() of Open MPI 4.1, whose TCP transport calls a function
        that it does not have yet, for a message of a process that is faster."""
        for _ in range(TRIALS):
            words = ["srun", "-K", "-N2", "--ntasks-per-node=2", "-c", str(CPUS // 2), PMI, NODE, "names"]
            status, output = self.machines.run(*words)
            if MPI == "openmpi" and status != 0 and "Failing at address: (nil)" in output:
                print("MPI_Init() has died", file=sys.stderr)
                self.tearDown()
                continue
            self.assertEqual(status, 0, output)
            self.assertEqual([(nodes, workers) for _, nodes, _, _, workers, *_ in WHO.findall(output)],
                             [("4", str(CPUS // 2))] * 4, output)

    def test_a_long_call_in_which_node_0_has_little_to_say(self):
        self.succeed(*SRUN, "-c", str(CPUS), PMI, NODE, "--silence", str(SILENCE_MS), "work")

    def test_a_program_that_exits_without_ending_the_cluster(self):
        """Slurm kills what is left of the step, the manager among it, when the last task is gone."""
        for _ in range(TRIALS):
            status, output = self.machines.run(*SRUN, "-c", str(CPUS), PMI, NODE, "status", "7")
            self.assertNotEqual(status, 0, output)
            self.is_clean_soon()

    def is_clean_soon(self):
        self.assertIsNotNone(self.machines.wait_clean(1 * SLACK, names=OWN), self.left())

    # ---- batch scripts

    def script_of_guide(self, words):
        """A script of the guide with these words in it, for these machines and this MPI."""
        with open(GUIDE, encoding="utf-8") as file:
            scripts = re.findall(r"^```text\n(#!/bin/sh\n.*?)^```$", file.read(), re.M | re.S)
        script = next(script for script in scripts if words in script)
        for old, new in (("--nodes=16", "--nodes=2"), ("-task=32", "-task=%d" % CPUS), ("array=0-15", "array=0-1"),
                         ("--mpi=pmix", PMI)):
            script = script.replace(old, new)
        return script

    def batch(self, script, *programs):
        """What a script has written, in a folder that has these programs: shell commands by their names."""
        folder = tempfile.mkdtemp(dir=ROOM)
        for name, command in programs:
            with open(os.open(folder + "/" + name, os.O_WRONLY | os.O_CREAT, 0o755), "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\nexec %s\n" % command)
        with open(folder + "/script", "w", encoding="utf-8") as file:
            file.write(script)
        self.succeed("sbatch", "--wait", "--chdir", folder, "--output", "out", folder + "/script")
        with open(folder + "/out", encoding="utf-8") as file:
            return folder, file.read()

    def test_the_script_of_the_guide(self):
        script = self.script_of_guide("./cluster")
        self.assertIn(PMI, script)
        _, output = self.batch(script, ("cluster", NODE + " sums"))
        self.check_bits(output, self.alone())

    def test_the_launcher_of_the_mpi_in_a_script(self):
        line = {"openmpi": "mpirun.openmpi --map-by ppr:1:node ./cluster", "mpich": "mpiexec.mpich -ppn 1 ./cluster"}[MPI]
        script = re.sub(r"(?m)^srun .*$", line, self.script_of_guide("./cluster"))
        _, output = self.batch(script, ("cluster", NODE + " sums"))
        self.check_bits(output, self.alone())

    def test_the_job_array_of_the_guide(self):
        folder, _ = self.batch(self.script_of_guide("--array"), ("program", MEAN + ' "1${1}0000"'))
        for part in range(2):
            with open(folder + "/part.%d" % part, encoding="utf-8") as file:
                self.assertIn("mean", file.read())


class Wrong(OnSlurm):
    """Starts that are errors, each of which says what to type."""

    def test_srun_without_cpus_per_task(self):
        self.refused(*SRUN, PMI, NODE, "names", said=["srun -c %d" % CPUS, "SRUN_CPUS_PER_TASK=%d" % CPUS])

    def test_sbatch_alone_with_cpus_per_task(self):
        """srun binds the task to one of its CPUs, with --exact as here or where a site binds to cores."""
        script = "#!/bin/sh\n#SBATCH -N2 --ntasks-per-node=1 --cpus-per-task=%d\nsrun --exact %s %s names\n" % (CPUS, PMI, NODE)
        with open(ROOM + "/script", "w", encoding="utf-8") as file:
            file.write(script)
        status, _ = self.machines.run("sbatch", "--wait", "--output", ROOM + "/out", ROOM + "/script")
        with open(ROOM + "/out", encoding="utf-8") as file:
            output = file.read()
        self.assertNotEqual(status, 0, output)
        self.assertRegex(output, "--cpus-per-task=%d; type `srun -c %d`" % (CPUS, CPUS))

    def test_two_on_a_node_that_share_cpus(self):
        self.refused("srun", "-N2", "--ntasks-per-node=2", "-c", str(CPUS // 2), "--cpu-bind=none", PMI, NODE, "names",
                     said=["nodes 0 and 1 are both on host node1 and share its CPUs", "srun --ntasks-per-node=1 -c N"])

    def test_no_pmi(self):
        self.refused(*SRUN, "-K0", "-c", str(CPUS), NODE, "names", said=["type `srun %s`" % PMI])

    def test_the_pmi_of_another_mpi(self):
        said = {"openmpi": "PMIx support", "mpich": "type `srun %s`" % PMI}[MPI]  # Open MPI ends the program itself
        self.refused(*SRUN, "-c", str(CPUS), WRONG, NODE, "names", said=[said])


class Faults(OnSlurm):
    """What dies, or is ended: no process and no file of weir's stays on any machine, and srun's status is not 0.

    What is killed is on node2, but for srun, which is on node1, as is the controller."""

    def check(self, row, what, *command, options=(), before=(), here_s=1.5, others_s=6, bound_s=15,
              said=None, status_counts=True):
        """`here_s`, `others_s`: until nothing of weir's is on node2, on any node; `bound_s`: until nothing of the job is."""
        chance = random.Random("%s %d" % (row, SEED))
        found = []
        for number in range(TRIALS):
            trial = Trial(self.machines, *command, options=options, before=before)
            time.sleep(chance.uniform(0, 0.3))
            trial.kill(what)
            status, times = trial.watch(bound_s * SLACK)
            where = "trial %d of %s: status %s, seconds %s, left %s\n" % (number, row, status, times, self.left())
            if status is None or None in times:
                self.machines.clear()
                trial.program.kill()
                trial.program.wait()
            where += trial.output
            self.assertNotIn(None, times, where)
            self.assertNotIn(status, (None, 0) if status_counts else (None,), where)
            self.assertLess(times[0], here_s * SLACK, where)
            self.assertLess(times[1], others_s * SLACK, where)
            if said is not None:
                self.assertRegex(trial.output, said, where)
            found.append(times)
            self.tearDown()
        columns = ["%.2f" % sorted(column)[len(column) // 2] + (" (%.2f)" % max(column) if TRIALS > 1 else "")
                   for column in zip(*found)]
        print("| %s | %s |" % (row, " | ".join(columns)), file=sys.stderr)

    def test_kill_rank(self):
        self.check("rank, in a call", "rank", "work")

    def test_kill_rank__between_calls(self):
        self.check("rank, between calls", "rank", "inside")

    def test_kill_rank__that_ends_nothing(self):
        """The others are told by weir alone, unless Open MPI ends the job: it connects anew for what is sent to the lost node."""
        lost = "nothing was heard of it for %d ms|connection to the other nodes has failed|failed to TCP connect to a peer" % SILENCE_MS
        self.check("rank, with -K0", "rank", "work", options=["-K0"], said=lost)

    def test_kill_slurmstepd(self):
        self.check("slurmstepd", "stepd", "work")

    def test_kill_slurmstepd__between_calls(self):
        """Slurm does not notice: the other node has to be told by the user."""
        for _ in range(TRIALS):
            trial = Trial(self.machines, "between", "60000")
            trial.kill("stepd")
            here = self.machines.wait_clean(1.5 * SLACK, ["node2"], OWN)
            left = self.left()
            trial.kill(("scancel", "-s", "KILL"))
            _, times = trial.watch(15 * SLACK)
            self.assertIsNotNone(here, "%s\n%s" % (left, trial.output))
            self.assertNotIn(None, times, trial.output)
            self.tearDown()

    def test_kill_srun(self):
        self.check("srun", "srun", "inside")

    def test_kill_node(self):
        self.check("node, in a call", "node", "work")

    def test_kill_node__between_calls(self):
        """Slurm misses it: SlurmdTimeout."""
        self.check("node, between calls", "node", "inside", others_s=25, bound_s=40)

    def test_scancel(self):
        self.check("scancel", ("scancel",), "inside")

    def test_scancel__of_a_program_that_ignores_sigterm(self):
        """SIGKILL follows after KillWait. srun may have lost patience by then, and its status is 0."""
        self.check("scancel, SIGTERM ignored", ("scancel",), "inside", before=["env", "--ignore-signal=TERM"],
                   here_s=KILL_WAIT_S + 6, others_s=KILL_WAIT_S + 6, status_counts=False)

    def test_scancel__with_sigkill(self):
        self.check("scancel -s KILL", ("scancel", "-s", "KILL"), "inside")

    def test_time_limit(self):
        """Of a minute, which is the least. The program's signal is SIGTERM, which it ignores, then SIGKILL."""
        trial = Trial(self.machines, "inside", options=["--time=1"], before=["env", "--ignore-signal=TERM"])
        _, times = trial.watch(150)
        self.assertNotIn(None, times, trial.output)
        self.assertIn("DUE TO TIME LIMIT", trial.output)
        print("| time limit of 60 s, SIGTERM ignored | %.2f | %.2f | %.2f |" % tuple(times), file=sys.stderr)


class FaultsOfLinuxproc(Faults):
    """Without cgroups Slurm does not find processes that have left its tree: the manager and the workers are weir's own to
    end."""

    tracker = "linuxproc"

    def test_a_program_that_exits_without_ending_the_cluster(self):
        for _ in range(TRIALS):
            status, output = self.machines.run(*SRUN, "-c", str(CPUS), PMI, NODE, "status", "7")
            self.assertNotEqual(status, 0, output)
            self.assertIsNotNone(self.machines.wait_clean(1 * SLACK, names=OWN), self.left())


if __name__ == "__main__":
    if sys.argv[1] == REMOVER:
        remove(sys.argv[2])
        sys.exit(0)
    result = unittest.main(argv=["slurm.py"] + sys.argv[3:], verbosity=2, exit=False).result
    if result.testsRun == 0 and result.skipped:
        print("skipped: " + result.skipped[0][1])
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
