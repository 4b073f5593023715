# SPDX-License-Identifier: MIT
"""Several machines on this one, out of namespaces: each has its own network, processes, System V IPC, host name, mounts,
/etc/hosts, /dev/shm and folder for temporary files (TMPDIR; /tmp is this machine's, as a build may be there). They are called
node1, node2, ... and can reach each other by these names.

Nothing of them is in the namespaces of the machine itself: the bridge between them is in a network namespace of the program
that makes them, and the first process of each dies with it. So nothing stays, whatever way that program ends, but for an
empty cgroup if kill_all() was called.

Launchers start their daemons on them by AGENT, in place of ssh: it asks the program that has made the machines, by a socket
that all of them see, to run a command on one of them.

    machines.py agent [OPTION...] HOST COMMAND...     the agent
    machines.py init HOST SIZE                        the first process of a machine, and who waits for it
"""

import array
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.abspath(__file__)
ROOM = "/mnt"  # a tmpfs that all machines see; it is mounted in namespaces of these programs alone
DOOR, HOSTS, AGENT, TEMPORARY = ROOM + "/door", ROOM + "/hosts", ROOM + "/agent", ROOM + "/tmp"
SHM_SIZE = "64m"

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1


def check(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what + ": " + os.strerror(ctypes.get_errno()))


def mount(source, target, kind, flags=0, data=None):
    check(libc.mount(source and source.encode(), target.encode(), kind and kind.encode(), flags, data and data.encode()),
          "mount " + target)


def why_not():
    """Why there can be no machines here; None: there can."""
    if os.geteuid() != 0:
        return "machines out of namespaces need root"
    if subprocess.run(["sh", "-c", "command -v ip && command -v nsenter"], stdout=subprocess.DEVNULL, check=False).returncode != 0:
        return "ip or nsenter (iproute2, util-linux) is missing"
    if subprocess.run(["unshare", "-n", "-m", "-u", "-i", "-p", "-f", "ip", "link", "add", "weirbr0", "type", "bridge"],
                      stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return "this machine allows no network namespaces with bridges"
    return None


def cgroup_here():
    """The folder of this process's cgroup (version 2)."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        root = next(fields[1] for fields in map(str.split, file) if fields[2] == "cgroup2")
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        return root + next(line[3:].strip() for line in file if line.startswith("0::"))


def make_cgroup():
    folder = "%s/weir-machines-%d" % (cgroup_here(), os.getpid())
    os.mkdir(folder)
    return folder


def why_no_cgroup():
    """Why kill_all() cannot be called here; None: it can."""
    try:
        folder = make_cgroup()
        found = os.path.exists(folder + "/cgroup.kill")
        os.rmdir(folder)
    except (OSError, StopIteration) as error:
        return "no cgroup of version 2 can be made here: %r" % error
    return None if found else "this kernel has no cgroup.kill"


# ---- the first process of a machine


def reap_for_ever():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        signal.sigwait({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def init(host, shm_size):
    """Says its process number on stdout when the machine is ready."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET), "unshare")
    ready, inside = os.pipe()
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        mount(None, "/", None, MS_REC | MS_PRIVATE)
        mount("proc", "/proc", "proc")
        mount("tmpfs", "/dev/shm", "tmpfs", data="mode=1777,size=" + shm_size)
        mount("tmpfs", TEMPORARY, "tmpfs", data="mode=1777")
        mount(HOSTS, "/etc/hosts", None, MS_BIND)
        socket.sethostname(host)
        os.write(inside, b"r")
        reap_for_ever()
    os.close(inside)
    if os.read(ready, 1) == b"r":
        print(child, flush=True)
    os.waitpid(child, 0)


# ---- the agent


def agent(arguments):
    """Has a command run on another machine, with this process's standard streams; its status is this one's."""
    while arguments and arguments[0].startswith("-"):
        arguments = arguments[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.connect(DOOR)
        door.sendmsg(["\0".join(arguments).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
        status = door.recv(16)
    return int(status or b"255")


class Door(threading.Thread):
    """Answers the agents."""

    def __init__(self, machines):
        super().__init__(daemon=True)
        self.machines = machines
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(DOOR)
        self.socket.listen(64)
        self.start()

    def run(self):
        while True:
            try:
                client = self.socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def close(self):
        """Ends the thread, too: one that still waited would take the number of the next door's socket for its own when a
        signal makes it ask anew, and send that door's agents to machines that are gone."""
        os.unlink(DOOR)
        self.socket.shutdown(socket.SHUT_RDWR)
        self.join()
        self.socket.close()

    def answer(self, client):
        with client:
            text, ancillary, _, _ = client.recvmsg(1 << 20, socket.CMSG_SPACE(12))
            streams = array.array("i")
            for _, _, data in ancillary:
                streams.frombytes(data)
            host, *command = text.decode().split("\0")
            try:
                status = 255
                if host in self.machines.inits:
                    done = self.machines.start(host, "sh", "-c", " ".join(command), stdin=streams[0], stdout=streams[1],
                                               stderr=streams[2])
                    for stream in streams:
                        os.close(stream)
                    streams = ()
                    status = done.wait()
                client.send(b"%d" % (status if status >= 0 else 128 - status))
            except OSError:
                pass  # the agent has died
            finally:
                for stream in streams:
                    os.close(stream)


# ---- all machines


class Machines:
    """`count` machines, until the block ends. The program that makes them gets namespaces of its own."""

    private = False
    cables = 0  # that have been made: the names of those of dead machines go later than these

    def __init__(self, count, cpus=(), shm_size=SHM_SIZE):
        self.cpus = dict(enumerate(cpus))  # machine -> the set of CPUs that it has; without: all
        self.shm_size = shm_size
        self.hosts = ["node%d" % (i + 1) for i in range(count)]
        self.inits = {}  # host -> its first process
        self.holders = []
        self.cable = {}  # host -> its end of the cable that is in the bridge
        self.cgroup = None  # of kill_all()

    def __enter__(self):
        if not Machines.private:
            check(libc.unshare(CLONE_NEWNS | CLONE_NEWNET), "unshare")
            mount(None, "/", None, MS_REC | MS_PRIVATE)
            self.ip("link", "set", "lo", "up")
            Machines.private = True
        mount("tmpfs", ROOM, "tmpfs", data="mode=755")
        with open(HOSTS, "w", encoding="utf-8") as file:
            file.write("127.0.0.1 localhost\n")
            file.writelines("10.99.0.%d %s\n" % (i + 1, host) for i, host in enumerate(self.hosts))
        os.mkdir(TEMPORARY)
        with open(AGENT, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexec /usr/bin/python3 %s agent \"$@\"\n" % HERE)
        os.chmod(AGENT, 0o755)
        self.ip("link", "add", "bridge", "type", "bridge")
        self.ip("link", "set", "bridge", "up")
        try:
            for i, host in enumerate(self.hosts):
                self.boot(i, host)
            self.door = Door(self)
        except BaseException:
            self.shut_down()
            raise
        return self

    def boot(self, i, host):
        holder = subprocess.Popen([sys.executable, HERE, "init", host, self.shm_size], stdout=subprocess.PIPE, text=True)
        self.holders[i:i + 1] = [holder]
        self.inits[host] = int(holder.stdout.readline())
        inside = ["nsenter", "-t", str(self.inits[host]), "-n", "ip"]
        Machines.cables += 1
        self.cable[host] = "cable%d" % Machines.cables
        self.ip("link", "add", self.cable[host], "type", "veth", "peer", "name", "eth0", "netns", str(self.inits[host]))
        self.ip("link", "set", self.cable[host], "master", "bridge", "up")
        for command in (["addr", "add", "10.99.0.%d/24" % (i + 1), "dev", "eth0"], ["link", "set", "eth0", "up"],
                        ["link", "set", "lo", "up"]):
            subprocess.run(inside + command, check=True)

    def __exit__(self, *_):
        self.door.close()
        self.shut_down()

    def shut_down(self):
        for host in self.inits:
            self.power_off(host)
        for holder in self.holders:
            holder.kill()
            holder.wait()
            holder.stdout.close()
        if self.cgroup:
            os.rmdir(self.cgroup)
        self.ip("link", "del", "bridge")
        check(libc.umount2(ROOM.encode(), 2), "umount")

    @staticmethod
    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True)

    def start(self, host, *command, **options):
        """Starts a command on a machine."""
        options.setdefault("env", dict(os.environ, TMPDIR=TEMPORARY))
        cpus = self.cpus.get(self.hosts.index(host))
        bound = ["taskset", "-c", ",".join(map(str, sorted(cpus)))] if cpus else []
        return subprocess.Popen(["nsenter", "-t", str(self.inits[host]), "-m", "-u", "-i", "-n", "-p", "--", *bound, *command],
                                **options)

    def power_off(self, host):
        """kill -9 of its first process: all others go with it."""
        try:
            os.kill(self.inits[host], signal.SIGKILL)
        except ProcessLookupError:
            pass

    def reboot(self, host):
        """After power_off()."""
        i = self.hosts.index(host)
        self.holders[i].wait()
        self.holders[i].stdout.close()
        self.boot(i, host)

    def unplug(self, host):
        self.ip("link", "set", self.cable[host], "down")

    def is_on(self, host):
        return os.path.exists("/proc/%d/ns/pid" % self.inits[host]) and state_of(self.inits[host]) not in ("Z", "")

    def processes(self, host):
        """Those of a machine but its first: {process number here: name}."""
        try:
            own = os.readlink("/proc/%d/ns/pid" % self.inits[host])
        except OSError:
            return {}
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if int(pid) != self.inits[host] and os.readlink("/proc/%s/ns/pid" % pid) == own:
                    with open("/proc/%s/comm" % pid, encoding="utf-8") as file:
                        found[int(pid)] = file.read().strip()
            except OSError:
                pass
        return found

    def files(self, host):
        """What is in its /dev/shm."""
        try:
            return sorted(os.listdir("/proc/%d/root/dev/shm" % self.inits[host]))
        except OSError:
            return []

    def text(self, host, name):
        """What is in a file of its folder for temporary ones."""
        with open("/proc/%d/root%s/%s" % (self.inits[host], TEMPORARY, name), encoding="utf-8") as file:
            return file.read()

    def is_clean(self, hosts, names=None, ended=None):
        """Whether no machine has a process, or none whose name matches, nor a file in /dev/shm. The process `ended` has ended,
        though its launcher may not have asked for its status yet."""
        return not any(self.files(host) or any(pid != ended and (names is None or names.match(name))
                                               for pid, name in self.processes(host).items())
                       for host in hosts)

    def wait_clean(self, limit_s, hosts=None, names=None):
        """The seconds until it is; None: it is not."""
        begin = time.monotonic()
        while not self.is_clean(hosts or self.hosts, names):
            if time.monotonic() - begin > limit_s:
                return None
            time.sleep(0.005)
        return time.monotonic() - begin

    def kill_all(self, host):
        """All processes of a machine but its first, by the kernel and at once."""
        self.cgroup = self.cgroup or make_cgroup()
        inside = set()
        while set(self.processes(host)) - inside:
            for pid in set(self.processes(host)) - inside:
                try:
                    write(self.cgroup + "/cgroup.procs", str(pid))
                except ProcessLookupError:
                    pass
            with open(self.cgroup + "/cgroup.procs", encoding="utf-8") as file:
                inside = set(map(int, file))
        write(self.cgroup + "/cgroup.kill", "1")

    def clear(self):
        """Kills what a trial has left, so that the next one is its own."""
        for host in self.hosts:
            for pid in self.processes(host):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            folder = "/proc/%d/root/dev/shm/" % self.inits[host]
            for name in self.files(host):
                os.unlink(folder + name)


# The line that a node of node.c writes, "who it is".
WHO = re.compile(r"^node (\d+) of (\d+) on (\S+): pid (\d+), (-?\d+) workers, (-?\d+) cpus, (\d+) files$", re.M)


def bits_of(case, output):
    """What the nodes of `node sums` have written of their results: the same on all nodes, in both calls, and as on one machine."""
    nodes = len(WHO.findall(output))
    found = re.findall(r"^(bits|here) (.*)$", output, re.M)
    case.assertEqual([word for word, _ in found].count("bits"), 2 * nodes, output)
    case.assertEqual(len(found), 4 * nodes, output)
    case.assertEqual(len({bits for _, bits in found}), 1, output)
    return found[0][1]


class Begun:
    """A launcher and its program, whose nodes have all begun."""

    def __init__(self, machines, command, limit_s, give_up=None, **options):
        """give_up ends it when it has not begun in limit_s: the launcher's death, if nothing is said."""
        self.machines = machines
        self.program = machines.start("node1", *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
        self.output = ""
        too_late = threading.Timer(limit_s, give_up or self.program.kill)
        too_late.start()
        try:
            while len(WHO.findall(self.output)) < len(machines.hosts):
                line = self.program.stdout.readline()
                if not line:
                    raise AssertionError("it has not begun: " + self.output)
                self.output += line
        finally:
            too_late.cancel()

    def end(self, limit_s):
        """The launcher's status; None: it does not end."""
        try:
            self.output += self.program.communicate(timeout=limit_s)[0]
        except subprocess.TimeoutExpired:
            return None
        return self.program.returncode


def write(name, text):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)


def state_of(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


if __name__ == "__main__":
    if sys.argv[1] == "agent":
        sys.exit(agent(sys.argv[2:]))
    if sys.argv[1] == "init":
        init(*sys.argv[2:])
