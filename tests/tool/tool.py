# SPDX-License-Identifier: MIT
"""tool.py WEIR THINGS MILL VERSION CLASS: the program weir, one class of tests.

Each runs in a /dev/shm of its own, as the tool looks at all of it; without root these are skipped. Anonymous scopes of other programs
that run meanwhile are seen all the same."""

import ctypes
import fcntl
import json
import os
import pty
import random
import resource
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest
from multiprocessing import shared_memory

WEIR, THINGS, MILL = map(os.path.abspath, sys.argv[1:4])  # tests run them in other folders
VERSION = sys.argv[4]
COMMANDS = ("ls", "show", "top", "trace", "sweep", "doctor", "run")
NOBODY = 65534
BOUND = 60 * float(os.environ.get("WEIR_TEST_SLOWER", "1"))  # seconds that a loaded machine may take

# What nohup(1) and a shell's "&" ignore would be ignored by all that is started here.
for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 2, 4, 0x4000, 0x40000
PR_SET_CHILD_SUBREAPER, PR_CAPBSET_DROP, CAP_SYS_PTRACE = 36, 24, 19

isolated = libc.unshare(CLONE_NEWNS) == 0 and libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0 and \
    libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", MS_NOSUID | MS_NODEV, b"mode=1777,size=64m") == 0
libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
needs_root = unittest.skipUnless(isolated, "no mount namespace (needs root)")


def weir(*arguments, **options):
    """Runs the tool. Returns (status, stdout, stderr)."""
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run([WEIR, *arguments], stderr=subprocess.PIPE, text=True, timeout=BOUND, check=False, **options)
    return done.returncode, done.stdout, done.stderr


def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


class Things:
    """A program with a scope, which ends with the block."""

    def __init__(self, *arguments, **options):
        self.program = subprocess.Popen([THINGS, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        **options)
        name, self.manager = self.program.stdout.readline().split()
        self.manager = int(self.manager)
        self.anonymous = "anonymous" in arguments
        self.pid = self.program.pid
        if self.anonymous:
            self.id = name.split("-")[1]
        else:
            self.id = [entry for entry in os.listdir("/dev/shm") if entry.endswith(".scope")][0][5:21]

    def kill(self):
        """Both at once; the scope stays behind."""
        os.kill(self.manager, signal.SIGSTOP)
        self.program.kill()
        self.program.wait()
        os.kill(self.manager, signal.SIGKILL)
        try:
            os.waitpid(self.manager, 0)
        except ChildProcessError:
            while os.path.exists("/proc/%d" % self.manager):
                time.sleep(0.001)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.program.poll() is None:
            self.program.stdin.close()
            self.program.wait(30)
        else:
            self.program.stdin.close()
        self.program.stdout.close()


class Mill:
    """A program whose job stands still, with what it has said on stderr."""

    def __init__(self, *arguments, before=(), **options):
        self.program = subprocess.Popen([*before, MILL, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, **options)
        self.supervisor = int(self.program.stdout.readline())
        self.pid = self.program.pid

    def end(self):
        """Its stderr, when it has ended."""
        _, err = self.program.communicate("", timeout=BOUND)
        return err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.program.poll() is None:
            self.end()


def as_nobody_who_traces_none():
    libc.prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE)
    as_nobody()


INSIDE = ["unshare", "--pid", "--fork", "--mount-proc"]
needs_namespace = unittest.skipIf(subprocess.run(INSIDE + ["true"], capture_output=True, check=False).returncode,
                                  "no pid namespace")


def the_scope():
    """The id of the only scope."""
    name, = (name for name in os.listdir("/dev/shm") if name.endswith(".scope"))
    return name[5:21]


def clear_shm():
    for entry in os.scandir("/dev/shm"):
        (os.rmdir if entry.is_dir(follow_symlinks=False) else os.unlink)(entry.path)


def is_left_out(test):
    """Whether tests/cross/run leaves the test out: its list, which WEIR_TEST_LEFT_OUT names, has "tool-... TEST: REASON"."""
    path = os.environ.get("WEIR_TEST_LEFT_OUT")
    if path is None:
        return False
    with open(path, encoding="utf-8") as file:
        return any(line.startswith("tool-") and line.split(":")[0].split()[1] == test for line in file)


class Case(unittest.TestCase):
    def setUp(self):
        if is_left_out(self._testMethodName):
            print("[ LEFT OUT ] " + self._testMethodName, flush=True)  # as ../cross/report.py reads it
            self.skipTest("it is left out")
        if isolated:
            clear_shm()

    def tearDown(self):
        if isolated:
            clear_shm()

    def expect(self, *arguments, status=0, **options):
        """The tool's output; a failure unless it ends so."""
        done, out, err = weir(*arguments, **options)
        self.assertEqual(done, status, out + err)
        return out

    def read(self, *arguments, status=0, **options):
        """Its JSON."""
        found = json.loads(self.expect(*arguments, "--json", status=status, **options))
        self.assertEqual(found["schema"], 1)
        return found

    def frames(self, pid, count, delay="0.3"):
        """The JSON of each frame of weir top."""
        out = self.expect("top", "-p", str(pid), "-n", str(count), "-d", delay, "--json")
        frames = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([frame["schema"] for frame in frames], [1] * count)
        return frames


class Usage(Case):
    def test_each_command_has_help_and_says_what_it_does(self):
        status, out, err = weir("--help")
        self.assertEqual((status, err), (0, ""))
        for command in COMMANDS:
            self.assertIn("\n  %-8s " % command, out)
            own = self.expect(command, "--help")
            self.assertIn("usage: weir " + command, own)
            self.assertLessEqual(max(map(len, own.splitlines())), 100)

    def test_the_version_is_the_libraries(self):
        self.assertEqual(self.expect("--version"), "weir %s\n" % VERSION)
        self.assertEqual(self.expect("-V"), "weir %s\n" % VERSION)

    def test_status_2_and_what_exists__when_a_command_or_option_does_not(self):
        for arguments in ((), ("lss",), ("--jsn",)):
            status, out, err = weir(*arguments)
            self.assertEqual((status, out), (2, ""), arguments)
            for command in COMMANDS:
                self.assertIn(command, err)
        for command in COMMANDS:
            status, out, err = weir(command, "--nothing")
            self.assertEqual((status, out), (125 if command == "run" else 2, ""))
            self.assertIn('"--nothing"', err)
            self.assertIn("--help", err)

    def test_no_control_character_of_an_argument_reaches_the_terminal(self):
        for arguments in (("\x1b[2J",), ("ls", "\x1b[2J"), ("ls", "--\x1b[2J")):
            status, _, err = weir(*arguments)
            self.assertEqual(status, 2)
            self.assertNotIn("\x1b", err)
            self.assertIn("\\x1b", err)

    def test_status_2__when_stdout_is_full_or_closed(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            status, _, err = weir("--help", stdout=full)
        self.assertEqual(status, 2)
        self.assertIn("No space left on device", err)
        status, _, err = weir("--help", stdout=None, preexec_fn=lambda: os.close(1))
        self.assertEqual(status, 2)
        self.assertIn("cannot write to stdout", err)

    def test_quiet_and_killed_by_sigpipe__when_the_reader_is_gone(self):
        reader, writer = os.pipe()
        os.close(reader)
        status, _, err = weir("ls", stdout=writer, restore_signals=True)
        os.close(writer)
        self.assertEqual((status, err), (-signal.SIGPIPE, ""))


@needs_root
class Ls(Case):
    def find(self, things, *arguments):
        found = [scope for scope in self.read("ls", *arguments)["scopes"] if scope["id"] == things.id]
        self.assertEqual(len(found), 1)
        return found[0]

    def test_a_live_scope_is_listed_with_its_processes_and_blocks(self):
        with Things() as things:
            scope = self.find(things, "--blocks")
            self.assertEqual((scope["state"], scope["certain"], scope["anonymous"]), ("live", True, False))
            self.assertEqual(scope["pid"], things.pid)
            self.assertEqual(sorted(scope["processes"]), sorted([things.pid, things.manager]))
            self.assertTrue(scope["command"].endswith("things"))
            blocks = {block["name"]: block for block in scope["blocks"]}
            self.assertEqual(set(blocks), {"matrix", "prices", "bytes", "items"})
            self.assertEqual((blocks["matrix"]["dtype"], blocks["matrix"]["shape"]), ("float64", [3, 4]))
            self.assertEqual(blocks["items"]["count"], 3)
            self.assertEqual(blocks["prices"]["count"], 1)
            self.assertEqual((blocks["bytes"]["kind"], blocks["bytes"]["size"]), ("shm", 5000))
            for block in blocks.values():
                self.assertEqual((block["maker"], block["users"], block["named"]), (things.pid, 1, True))
                self.assertGreater(block["resident"], 0)
            text = self.expect("ls", "--blocks")
            self.assertIn("float64[3,4]", text)
            self.assertRegex(text, r"(?m)^%s +live +%d " % (things.id, things.pid))
            self.assertIn("/dev/shm", text.splitlines()[-1])

    def test_an_anonymous_scope_is_listed(self):
        with Things("anonymous") as things:
            scope = self.find(things)
            self.assertEqual((scope["state"], scope["anonymous"], scope["pid"]), ("live", True, things.pid))
            self.assertIn(things.id + "*", self.expect("ls"))

    def test_a_scope_has_its_pools_and_no_others(self):
        with Things() as things, Mill() as mill:
            self.assertEqual(self.find(things)["pools"], [])
            scope = next(scope for scope in self.read("ls")["scopes"] if scope["pid"] == mill.pid)
            self.assertEqual(scope["pools"], [{"name": "mill", "supervisor": mill.supervisor, "workers": 3}])
            text = self.expect("ls")
            self.assertRegex(text, r"(?m)^SCOPE +STATE +PID +PROCS +POOLS +BLOCKS ")
            self.assertRegex(text, r"(?m)^%s +live +%d +6 +1 +1 " % (scope["id"], mill.pid))
            self.assertRegex(text, r"(?m)^%s +live +%d +2 +0 +4 " % (things.id, things.pid))
            self.assertNotIn("pools", self.read("show", scope["id"])["scope"])

    def test_a_weir_process_is_no_pool(self):
        with Mill("process") as mill:
            scope = next(scope for scope in self.read("ls")["scopes"] if scope["pid"] == mill.pid)
            self.assertEqual([pool["supervisor"] for pool in scope["pools"]], [mill.supervisor])
            self.assertEqual(len(self.read("show", str(mill.pid))["pools"]), 2)

    def test_a_pool_is_not_believed__whose_page_names_a_scope_of_others(self):
        with Mill() as mill, Things() as things:
            with open("/proc/%d/fd/%d" % (mill.supervisor, self.page_of(mill.supervisor)), "rb") as file:
                page = bytearray(file.read(4096))
            page[40:48] = int(things.id, 16).to_bytes(8, sys.byteorder)
            fd = os.memfd_create("weir-pool")
            self.addCleanup(os.close, fd)
            os.write(fd, page)
            self.assertEqual(self.find(things)["pools"], [])

    @staticmethod
    def page_of(pid):
        return next(int(fd) for fd in os.listdir("/proc/%d/fd" % pid)
                    if "memfd:weir-pool" in os.readlink("/proc/%d/fd/%s" % (pid, fd)))

    def test_a_dead_scope_is_listed_and_stays(self):
        self.expect("ls", "--dead", status=1)
        with Things() as things:
            self.expect("ls", "--dead", status=1)
            things.kill()
            before = sorted(os.listdir("/dev/shm"))
            scope = self.find(things, "--dead")
            self.assertEqual((scope["state"], scope["certain"], scope["pid"], scope["processes"]), ("dead", True, None, []))
            self.assertIn("weir sweep", self.expect("ls"))
            self.assertEqual(sorted(os.listdir("/dev/shm")), before)

    def test_closing__when_the_header_says_closed_and_a_process_has_it(self):
        with Things() as things:
            with open("/dev/shm/weir-%s.scope" % things.id, "r+b") as file:
                file.seek(10)
                file.write(b"1")
            self.assertEqual(self.find(things)["state"], "closing")

    def test_damaged__when_the_file_is_no_scope_file(self):
        contents = (b"", b"x" * 256, b"\0" * 5000, b'{"closed":0,"weir":1,"id":"%016x","pid":' % 0 + b"9" * 300)
        for i, text in enumerate(contents):
            with open("/dev/shm/weir-%016x.scope" % i, "wb") as file:
                file.write(text)
        os.symlink("/etc/passwd", "/dev/shm/weir-%016x.scope" % len(contents))
        os.mkfifo("/dev/shm/weir-%016x.scope" % (len(contents) + 1))
        os.truncate("/dev/shm/weir-%016x.scope" % 2, 1 << 50)
        scopes = self.read("ls", "-a")["scopes"]
        self.assertEqual([scope["state"] for scope in scopes if not scope["anonymous"]], ["damaged"] * (len(contents) + 2))
        self.expect("ls", "-aB")

    def test_what_records_claim_is_not_believed(self):
        with Things() as things:
            things.kill()
            path = "/dev/shm/weir-%s.scope" % things.id
            with open(path, "r+b") as file:
                for i, record in enumerate((b'{"name":"../etc/passwd","ino":1,"kind":"shm","size":1,"pid":1,"named":1}',
                                            b'{"name":"items","ino":1,"kind":"list","size":1,"pid":1,"named":1}',
                                            b'{"name":"bytes","ino":-5,"kind":"list","size":-1,"pid":-1,"named":1}')):
                    file.seek(256 * (1 + i))
                    file.write(record.ljust(255) + b"\n")
            names = [block["name"] for block in self.find(things)["blocks"]]
            self.assertLessEqual(set(names), {"matrix", "prices", "bytes", "items"})

    def test_an_objects_own_numbers_are_not_believed(self):
        with Things():
            for name in ("matrix", "items", "prices"):
                with open("/dev/shm/" + name, "r+b") as file:
                    file.write(b"\xff" * 4096)
            for scope in self.read("ls", "-B")["scopes"]:
                for block in scope["blocks"]:
                    self.assertFalse({"count", "shape"} & set(block), block)

    def test_other_files_are_listed_with_what_has_them(self):
        with open("/dev/shm/psm_1", "wb") as file:
            file.write(b"x" * 10000)
            file.flush()
            with open("/dev/shm/\x1b[31mevil\n", "wb"):
                pass
            os.mkdir("/dev/shm/folder")
            found = self.read("ls", "--all")["shm"]
            files = {entry["name"]: entry for entry in found["files"]}
            self.assertEqual(set(files), {"psm_1", "\\x1b[31mevil\\x0a", "folder"})
            self.assertEqual((files["psm_1"]["size"], files["psm_1"]["users"], files["psm_1"]["resident"]), (10000, 1, 12288))
            self.assertEqual(found["size"], 64 << 20)
            out = self.expect("ls", "--all")
            self.assertNotIn("\x1b", out)
            self.assertIn("of 64M used", out)
        self.assertEqual({entry["users"] for entry in self.read("ls", "-a")["shm"]["files"]}, {0})

    def test_another_user_sees_names_and_sizes_alone(self):
        with Things() as things:
            found = json.loads(self.expect("ls", "--json", preexec_fn=as_nobody))
            scope = found["scopes"][0]
            self.assertEqual((scope["id"], scope["state"], scope["blocks"]), (things.id, "foreign", []))
            self.assertEqual(scope["pools"], [])
            self.assertFalse(found["users_complete"])
            self.assertIn("(of user root)", self.expect("ls", preexec_fn=as_nobody))

    def test_a_user_sees_own_scopes__without_the_right_to_trace(self):
        with Things(preexec_fn=as_nobody) as things:
            scope = json.loads(self.expect("ls", "-B", "--json", preexec_fn=as_nobody_who_traces_none))["scopes"][0]
            self.assertEqual((scope["id"], scope["state"], scope["pid"]), (things.id, "live", things.pid))
            self.assertEqual(len(scope["blocks"]), 4)

    @needs_namespace
    def test_a_scope_of_elsewhere_may_be_dead__when_seen_from_a_pid_namespace(self):
        inside = INSIDE + [WEIR, "ls"]
        with Things() as things:
            out = subprocess.run(inside + ["--json"], capture_output=True, check=True).stdout
            scope = json.loads(out)["scopes"][0]
            self.assertEqual((scope["id"], scope["state"], scope["certain"]), (things.id, "dead", False))
            done = subprocess.run(inside, capture_output=True, check=True, text=True)
            self.assertIn("dead?", done.stdout)
            self.assertIn("pid namespace", done.stderr)

    def test_says_so__when_proc_is_hidden(self):
        def hide():
            libc.unshare(CLONE_NEWNS)
            libc.mount(b"tmpfs", b"/proc", b"tmpfs", 0, None)

        if os.environ.get("SANITIZED"):
            self.skipTest("the sanitizers need /proc")
        with Things() as things:
            status, out, err = weir("ls", preexec_fn=hide)
            self.assertEqual(status, 0)
            self.assertIn(things.id + "  dead?", out)
            self.assertIn("/proc shows no processes", err)

    def test_takes_no_lock_and_opens_nothing_to_write(self):
        if subprocess.run(["strace", "-V"], capture_output=True, check=False).returncode:
            self.skipTest("no strace")
        with Things() as things:
            things.kill()
            log = "/dev/shm/log"
            subprocess.run(["strace", "-f", "-o", log, WEIR, "ls", "-aB"], capture_output=True, check=True,
                           env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
            with open(log, encoding="utf-8") as file:
                calls = file.read()
            self.assertIn("weir-%s.scope" % things.id, calls)
            for call in ("flock(", "F_SETLK", "F_OFD", "F_SETLEASE", "O_RDWR", "O_WRONLY", "MAP_SHARED", "kill(", "unlink"):
                self.assertNotIn(call, calls)


@needs_root
class Show(Case):
    def show(self, what, *arguments, **options):
        found = self.read("show", str(what), *arguments, **options)
        self.assertEqual(len(found["pools"]), 1)
        return found["scope"], found["pools"][0]

    def test_a_pool_is_shown_with_what_each_worker_does(self):
        with Mill() as mill:
            scope, pool = self.show(mill.pid)
            self.assertEqual((scope["pid"], scope["state"]), (mill.pid, "live"))
            self.assertEqual((pool["name"], pool["supervisor"], pool["size"]), ("mill", mill.supervisor, 3))
            self.assertEqual((pool["unknown"], pool["pids_are_ours"], pool["stacks"]), (None, True, True))
            self.assertEqual((pool["workers_started"], pool["workers_died"], pool["chunks_retried"]), (4, 1, 1))
            job = next(job for job in pool["jobs"] if job["name"] == "grind")
            self.assertEqual((job["kind"], job["total"], job["done"], job["running"], job["waiting"]), ("for", 6, 0, 3, 3))
            self.assertEqual((job["deaths"], job["retried"], job["range"]), (1, 1, [0, 600]))
            self.assertEqual((job["chunk_timeout_ns"], job["deadline_in_ns"]), (600 * 10**9, None))
            chunks = {worker["chunk"]: worker for worker in pool["workers"]}
            self.assertEqual(len(chunks), 3)
            self.assertEqual(chunks[0]["attempt"], 2)
            for chunk, worker in chunks.items():
                self.assertEqual((worker["state"], worker["label"]), ("run", "grind"))
                self.assertEqual((worker["begin"], worker["end"]), (chunk * 100, chunk * 100 + 100))
                self.assertIn(worker["pid"], scope["processes"])
                with open("/proc/%d/stat" % worker["pid"], encoding="utf-8") as file:
                    self.assertEqual(int(file.read().split(")")[1].split()[1]), mill.supervisor)
            self.assertGreater(self.show(mill.pid)[1]["workers"][1]["for_ns"], pool["workers"][1]["for_ns"])

    def test_the_supervisor_is_found__when_another_observer_has_the_page_open(self):
        with Mill() as mill:
            if os.getpid() > mill.supervisor:
                self.skipTest("the numbers of processes have begun anew meanwhile")
            folder = "/proc/%d/fd/" % mill.supervisor
            page = next(fd for fd in os.listdir(folder) if "weir-pool" in os.readlink(folder + fd))
            with open(folder + page, "rb"):
                self.assertEqual(self.show(mill.pid)[1]["supervisor"], mill.supervisor)
                self.assertEqual(self.frames(mill.pid, 1)[0]["supervisor"], mill.supervisor)
            mill.end()

    def test_the_first_failure_is_told__when_a_job_keeps_going(self):
        with Mill("fails") as mill:
            job = next(job for job in self.show(mill.pid)[1]["jobs"] if job["name"] == "grind")
            self.assertEqual((job["failed"], job["done"], job["running"]), (True, 1, 2))
            self.assertIn("task failed on [0, 200) with code 7: no corn\\x1b[2J", job["failure"])
            self.assertIn("\ngrind: task failed on [0, 200)", self.expect("show", str(mill.pid)))
            mill.end()

    def test_all_that_is_done_counts__when_the_job_soon_stands_still(self):
        with Mill("soon") as mill:
            job = next(job for job in self.show(mill.pid)[1]["jobs"] if job["name"] == "grind")
            self.assertEqual((job["done"], job["running"], job["waiting"]), (3, 1, 2))

    def test_a_scope_is_found_by_its_id_and_by_each_of_its_processes(self):
        with Mill() as mill:
            scope, pool = self.show(mill.supervisor)
            for what in [scope["id"], scope["id"].upper()] + scope["processes"]:
                self.assertEqual(self.show(what)[1]["supervisor"], mill.supervisor)
            text = self.expect("show", scope["id"])
            self.assertIn("scope " + scope["id"], text)
            self.assertRegex(text, r"(?m)^grind +for +0 +6 +3 +3 +1 +1 ")
            self.assertRegex(text, r"(?m)^ +0 +\d+ +2 +run +grind +\d+ +\[")
            self.assertFalse([line for line in text.splitlines() if line.endswith(" ")])

    def test_a_worker_is_stopped__when_the_kernel_says_so(self):
        with Mill() as mill:
            worker = self.show(mill.pid)[1]["workers"][1]
            os.kill(worker["pid"], signal.SIGSTOP)
            while True:
                with open("/proc/%d/stat" % worker["pid"], encoding="utf-8") as file:
                    if file.read().split(")")[1].split()[0] == "T":
                        break
            self.assertEqual(self.show(mill.pid)[1]["workers"][1]["state"], "stop")
            os.kill(worker["pid"], signal.SIGCONT)

    def test_each_worker_writes_its_stack__when_asked(self):
        with Mill() as mill:
            found = self.read("show", str(mill.pid), "--stack")
            pids = {worker["pid"] for worker in found["pools"][0]["workers"]}
            self.assertEqual(set(found["asked"]), pids)
            time.sleep(0.5)
            said = mill.end()
            self.assertEqual(mill.program.returncode, 0)
            stacks = said.split(" was asked where it is:\n")
            self.assertEqual(len(stacks), 4)
            for stack in stacks[1:]:
                self.assertIn("\n    grind+0x", stack)
                self.assertEqual(stack.count("grind+0x"), 1)

    def test_no_worker_is_asked__when_its_pool_does_not_say_that_it_answers(self):
        with Mill("plain") as mill:
            status, out, err = weir("show", str(mill.pid), "--stack", "--json")
            self.assertEqual((status, json.loads(out)["asked"]), (0, []))
            self.assertIn("backtrace", err)
            self.assertEqual(mill.end(), "")
            self.assertEqual(mill.program.returncode, 0)

    def test_status_1_and_a_reason__when_there_is_no_such_thing(self):
        for what, reason in (("0123456789abcdef", "no scope"), ("999999999", "no process 999999999"), ("x\x1b[2J", "x\\x1b"),
                             (str(os.getpid()), "has no scope")):
            status, out, err = weir("show", what)
            self.assertEqual((status, out), (1, ""))
            self.assertIn(reason, err)
        for arguments in ((), ("1", "2")):
            status, out, err = weir("show", *arguments)
            self.assertEqual((status, out), (2, ""))
            self.assertIn("usage: weir show", err)

    def test_status_2__when_a_process_may_not_be_looked_into(self):
        with Mill() as mill:
            status, out, err = weir("show", str(mill.pid), preexec_fn=as_nobody)
            self.assertEqual((status, out), (2, ""))
            self.assertIn("may not be looked into", err)

    def test_the_owner_sees_a_pool__without_the_right_to_trace(self):
        with Mill(preexec_fn=as_nobody) as mill:
            pool = self.show(mill.pid, preexec_fn=as_nobody_who_traces_none)[1]
            self.assertEqual(pool["jobs"][-1]["name"], "grind")
            self.assertEqual({worker["state"] for worker in pool["workers"]}, {"run"})

    @needs_namespace
    def test_numbers_are_another_namespaces__when_the_program_runs_in_one(self):
        with Mill(before=INSIDE) as mill:
            status, out, err = weir("show", the_scope(), "--stack", "--json")
            self.assertEqual(status, 0, err)
            pool = json.loads(out)["pools"][0]
            self.assertEqual((pool["pids_are_ours"], json.loads(out)["asked"]), (False, []))
            self.assertIn("pid namespace", err)
            self.assertEqual([worker["state"] for worker in pool["workers"]], ["run"] * 3)
            self.assertEqual((mill.end(), mill.program.returncode), ("", 0))

    def test_takes_no_lock_writes_nothing_and_sends_no_signal(self):
        if subprocess.run(["strace", "-V"], capture_output=True, check=False).returncode:
            self.skipTest("no strace")
        with Mill() as mill:
            log = "/dev/shm/log"
            subprocess.run(["strace", "-f", "-o", log, WEIR, "show", str(mill.pid)], capture_output=True, check=True,
                           env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
            with open(log, encoding="utf-8") as file:
                calls = file.read()
            self.assertIn("weir-", calls)
            for call in ("flock(", "F_SETLK", "F_OFD", "F_SETLEASE", "O_RDWR", "O_WRONLY", "MAP_SHARED", "kill(", "unlink",
                         "pidfd_send_signal"):
                self.assertNotIn(call, calls)


@needs_root
class Trace(Case):
    def trace(self, what, seconds, status=0):
        """Perfetto's JSON of a pool that runs: its events."""
        out = self.expect("trace", "-p", str(what), "-d", str(seconds), "-f", "json", status=status)
        return json.loads(out)["traceEvents"]

    def test_a_pool_that_runs_is_traced__by_its_supervisor_its_program_or_scope(self):
        with Mill("turning") as mill:
            scope = self.read("show", str(mill.pid))["scope"]["id"]
            for what in (mill.supervisor, mill.pid, scope):
                events = self.trace(what, 0.5)
                chunks = [event for event in events if event["ph"] == "X" and event.get("cat") != "span"]
                spans = [event for event in events if event["ph"] == "X" and event.get("cat") == "span"]
                # two workers, a chunk a millisecond or more; a busy machine may give them little
                self.assertGreater(len(chunks), 20, what)
                self.assertGreater(len(spans), 20)
                self.assertEqual({event["pid"] for event in events}, {mill.supervisor})
                self.assertLess(max(event["ts"] + event["dur"] for event in chunks), 10e6)
            text = self.expect("trace", "-p", str(mill.supervisor), "-d", "0.2")
            self.assertIn('"grind"', text)
            self.assertIn('"corn"', text)
            mill.end()

    def wait_for_line(self, pid, name, condition):
        """Until a line of the process's status is so."""
        until = time.monotonic() + BOUND
        while time.monotonic() < until:
            with open("/proc/%d/status" % pid, encoding="utf-8") as file:
                said = next(line.split()[1] for line in file if line.startswith(name))
            if condition(said):
                return
            time.sleep(0.01)
        self.fail("process %d has %s %s" % (pid, name, said))

    def wait_for_handler(self, pid, number):
        """Until the process handles the signal: the pool is asked then."""
        self.wait_for_line(pid, "SigCgt:", lambda caught: int(caught, 16) >> number - 1 & 1)
        if "WEIR_TEST_SLOWER" in os.environ:
            time.sleep(1)  # an emulator handles all signals from the beginning

    def test_what_stands_still_is_there__though_it_has_not_ended(self):
        with Mill() as mill:
            events = self.trace(mill.pid, 0.3)
            running = [event for event in events if event["ph"] == "X"]
            self.assertEqual(len(running), 3)
            for event in running:
                self.assertGreater(event["dur"], 0.25e6)
            text = self.expect("trace", "-p", str(mill.pid), "-d", "0.2")
            self.assertIn("not finished: 3 chunks\n", text)
            self.assertEqual(text.count("of grind, all the time: "), 3)
            mill.end()

    def test_the_time_ends_sooner__at_ctrl_c_and_with_the_pool(self):
        for end in (lambda mill, tool: tool.send_signal(signal.SIGINT), lambda mill, tool: mill.end()):
            with Mill("turning") as mill:
                with subprocess.Popen([WEIR, "trace", "-p", str(mill.supervisor), "-d", "600"], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True) as tool:
                    self.wait_for_handler(tool.pid, signal.SIGINT)
                    time.sleep(1)  # so that the supervisor has answered
                    end(mill, tool)
                    out, err = tool.communicate(timeout=BOUND)
                self.assertEqual((tool.returncode, err), (0, ""))
                self.assertIn('"grind"', out)
                mill.end()

    def test_other_signals_do_not_touch_the_supervisor(self):
        with Mill("turning") as mill:
            for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
                os.kill(mill.supervisor, number)
            self.assertGreater(len(self.trace(mill.pid, 1)), 10)
            self.assertEqual(mill.end(), "")

    def stop_supervisor(self, mill):
        os.kill(mill.supervisor, signal.SIGSTOP)
        self.wait_for_line(mill.supervisor, "State:", lambda state: state == "T")

    def test_the_time_begins_when_events_are_noted__though_the_supervisor_was_late_and_the_signal_lost(self):
        with Mill("turning") as mill:
            self.stop_supervisor(mill)
            os.kill(mill.supervisor, signal.SIGUSR1)  # of two that wait the kernel keeps the first
            with subprocess.Popen([WEIR, "trace", "-p", str(mill.pid), "-d", "0.2", "-f", "json"], stdout=subprocess.PIPE,
                                  text=True) as tool:
                self.wait_for_handler(tool.pid, signal.SIGINT)
                time.sleep(0.3)
                os.kill(mill.supervisor, signal.SIGCONT)
                out, _ = tool.communicate(timeout=BOUND)
            self.assertEqual(tool.returncode, 0)
            chunks = [event for event in json.loads(out)["traceEvents"] if event["ph"] == "X"]
            self.assertGreater(len(chunks), 10)
            self.assertGreater(max(event["ts"] + event["dur"] for event in chunks), 0.15e6)
            self.assertEqual(mill.end(), "")

    def test_a_supervisor_that_does_not_answer_is_said(self):
        with Mill("turning") as mill:
            self.stop_supervisor(mill)
            for interrupted, reason in ((True, "has not answered yet"), (False, "has not answered for 10 s: is it stopped?")):
                with subprocess.Popen([WEIR, "trace", "-p", str(mill.pid), "-d", "0.1"], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True) as tool:
                    if interrupted:
                        self.wait_for_handler(tool.pid, signal.SIGINT)
                        tool.send_signal(signal.SIGINT)
                    out, err = tool.communicate(timeout=BOUND)
                self.assertEqual((tool.returncode, out), (2, ""))
                self.assertIn(reason, err)
            os.kill(mill.supervisor, signal.SIGCONT)
            self.assertEqual(mill.end(), "")

    def test_a_watcher_goes_on__when_another_one_ends(self):
        with Mill("turning") as mill:
            with subprocess.Popen([WEIR, "trace", "-p", str(mill.pid), "-d", "1", "-f", "json"], stdout=subprocess.PIPE,
                                  text=True) as tool:
                self.wait_for_handler(tool.pid, signal.SIGINT)
                self.trace(mill.pid, 0.1)
                out, _ = tool.communicate(timeout=BOUND)
            last = max(event["ts"] + event["dur"] for event in json.loads(out)["traceEvents"] if event["ph"] == "X")
            self.assertGreater(last, 0.9e6)
            mill.end()

    def test_status_and_the_reason__when_there_is_nothing_to_trace(self):
        for what in ("1", "nothing", "999999999", ""):
            status, out, err = weir("trace", "-p", what, "-d", "0.1")
            self.assertEqual((status, out), (1, ""), err)
            self.assertIn("has no pool that can be seen", err)
        for arguments in (("-d", "0"), ("-d", "x"), ("-d", "3601"), ("file",)):
            status, out, err = weir("trace", "-p", "1", *arguments)
            self.assertEqual((status, out), (2, ""), arguments)

    def test_another_users_pool_is_not_seen(self):
        with Mill("turning") as mill:
            status, out, err = weir("trace", "-p", str(mill.supervisor), "-d", "0.1", preexec_fn=as_nobody)
            self.assertEqual((status, out), (1, ""), err)
            mill.end()

    def test_a_users_own_pool_is_traced__without_the_right_to_trace(self):
        with Mill("turning", preexec_fn=as_nobody) as mill:
            out = self.expect("trace", "-p", str(mill.supervisor), "-d", "0.3", preexec_fn=as_nobody_who_traces_none)
            self.assertIn('job "grind": ', out)
            mill.end()

    @needs_namespace
    def test_a_pool_of_another_pid_namespace_is_refused(self):
        with Mill(before=INSIDE) as mill:
            status, out, err = weir("trace", "-p", the_scope(), "-d", "0.1")
            self.assertEqual((status, out), (2, ""))
            self.assertIn("another pid namespace", err)
            self.assertEqual((mill.end(), mill.program.returncode), ("", 0))

    def test_status_2_and_the_pools__when_a_scope_has_several(self):
        with Mill("twin") as mill:
            status, out, err = weir("trace", "-p", str(mill.pid), "-d", "0.1")
            self.assertEqual((status, out), (2, ""))
            self.assertIn("%d (mill)" % mill.supervisor, err)
            self.assertGreater(len(self.trace(mill.supervisor, 1)), 10)
            mill.end()

    def test_a_pool_without_memory_for_events_says_so(self):
        with Mill() as mill:
            folder = "/proc/%d/fd" % mill.supervisor
            size = next(os.stat(folder + "/" + fd).st_size for fd in os.listdir(folder)
                        if "weir-pool" in os.readlink(folder + "/" + fd))
            mill.end()
        with Mill(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, size - 1))) as mill:
            status, out, err = weir("trace", "-p", str(mill.pid), "-d", "0.1")
            self.assertEqual((status, out), (2, ""), err)
            self.assertIn("RLIMIT_FSIZE", err)
            mill.end()


@needs_root
class Contents(Case):
    """What weir show NAME makes of blocks, compared with what CPython and NumPy wrote."""

    def lists(self, values):
        shared = shared_memory.ShareableList(values, name="of_python")
        try:
            return self.expect("show", "of_python", "--kind", "list", "--all"), repr(shared)
        finally:
            shared.shm.close()
            shared.shm.unlink()

    def test_a_list_is_shown_as_pythons_repr(self):
        odd = random.Random(1)
        floats = [struct.unpack("d", odd.randbytes(8))[0] for _ in range(300)]
        floats += [0.0, -0.0, 1.0, 1e15, 1e16, 1e17, 123456789012345678.0, 1e-4, 1e-5, 0.1, 1 / 3, 5e-324, 1.7976931348623157e308,
                   float("inf"), float("-inf"), float("nan"), 100.0, 1e22, 1e23, 12345.678, 9007199254740993.0]
        texts = ["", "it's", 'say "so"', "both ' and \"", "a\\b", "\t\n\r", "\x01\x7f\x80", "\u00e9\u4e2d", "\U0001f600", "\u200b"]
        data = [b"", b"it's", b'"', b"' \"", bytes(range(1, 256))]
        ints = [0, -1, 2**63 - 1, -2**63]
        shown, expected = self.lists(floats + texts + data + ints + [True, False, None])
        self.assertEqual(shown, expected + "\n")

    def test_the_first_items_are_shown_and_all_when_asked(self):
        shared = shared_memory.ShareableList(range(250), name="of_python")
        try:
            text = self.expect("show", "of_python", "-k", "list")
            self.assertEqual(text, "ShareableList([%s, ... 150 more], name='of_python')\n" % ", ".join(map(str, range(100))))
            found = self.read("show", "of_python", "-k", "list")
            self.assertEqual((found["items"], found["count"]), (list(range(100)), 250))
            self.assertEqual(self.read("show", "of_python", "-k", "list", "-a")["items"], list(range(250)))
        finally:
            shared.shm.close()
            shared.shm.unlink()

    def test_objects_of_a_scope_are_shown_as_what_they_are(self):
        with Things():
            self.assertEqual(self.expect("show", "items"), "ShareableList([-3, \"it's\", None], name='items')\n")
            self.assertEqual(self.expect("show", "prices"), "{'eggs': -3}\n")
            self.assertEqual(self.read("show", "prices")["items"], [["eggs", -3]])
            values = [i / 2 for i in range(12)]
            self.assertEqual(self.expect("show", "matrix"), "float64[3,4]\n%s\n" % values)
            found = self.read("show", "matrix")
            self.assertEqual((found["dtype"], found["shape"], found["items"]), ("float64", [3, 4], values))
            lines = self.expect("show", "bytes").splitlines()
            self.assertEqual((len(lines), lines[-1]), (17, "... 4744 more bytes"))
            self.assertEqual(self.read("show", "bytes", "-a")["hex"], "00" * 5000)

    def test_an_array_is_what_its_header_says(self):
        for dtype, code, items in (("<i2", "h", [-1, 2]), ("<u8", "Q", [2**64 - 1, 1]), ("|b1", "?", [True, False]),
                                   ("<f4", "f", [0.5, -2.0]), ("|i1", "b", [-128, 127]), ("<u4", "I", [2**32 - 1, 0])):
            header = ("{'descr': '%s', 'fortran_order': False, 'shape': (2,), }" % dtype).ljust(117) + "\n"
            with open("/dev/shm/numbers", "wb") as file:
                file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack("<2" + code, *items))
            self.assertEqual(self.expect("show", "numbers").split("\n")[1], str(items), dtype)
        header = "{'descr': '<c16', 'fortran_order': False, 'shape': (2,), }".ljust(117) + "\n"
        with open("/dev/shm/numbers", "wb") as file:
            file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack("<4d", 1.5, -2, 0, 3))
        self.assertEqual(self.expect("show", "numbers"), "complex128[2]\n[(1.5-2.0j), (0.0+3.0j)]\n")

    def test_bytes_are_shown_as_hexdump_shows_them(self):
        if subprocess.run(["hexdump", "--version"], capture_output=True, check=False).returncode:
            self.skipTest("no hexdump")
        for size in (1, 15, 16, 17, 255):
            with open("/dev/shm/bytes", "wb") as file:
                file.write(random.Random(size).randbytes(size))
            lines = subprocess.run(["hexdump", "-Cv", "/dev/shm/bytes"], capture_output=True, text=True, check=True).stdout
            self.assertEqual(self.expect("show", "bytes").splitlines(), lines.splitlines()[:-1])

    def test_a_damaged_block_is_harmless(self):
        odd = random.Random(2)
        with Things():
            for name in ("items", "prices", "matrix"):
                with open("/dev/shm/" + name, "r+b") as file:
                    sound = file.read(4096)
                    for _ in range(40):
                        bad = bytearray(sound)
                        for _ in range(odd.choice((1, 3, 30))):
                            bad[odd.randrange(len(bad))] = odd.choice((0, 1, 255, odd.randrange(256)))
                        file.seek(0)
                        file.write(bad)
                        file.flush()
                        status, out, err = weir("show", name, odd.choice(("--all", "--json")))
                        self.assertIn(status, (0, 2), err)
                        self.assertEqual(status == 2, err != "", out)
                        self.assertNotIn("\x1b", out)
                    file.seek(0)
                    file.write(sound)

    def test_a_look_is_no_access__so_that_a_sweep_by_age_finds_the_block(self):
        path = "/dev/shm/old"
        with open(path, "wb") as file:
            file.write(b"x")
        os.utime(path, (1000, 2000))  # read before it was written: any other read would count
        self.expect("show", "old")
        self.assertEqual(os.stat(path).st_atime, 1000)
        with open(path, "rb") as file:
            file.read()
        self.assertGreater(os.stat(path).st_atime, 1000)

    def test_nothing_is_shown_of_what_is_no_block(self):
        os.mkfifo("/dev/shm/pipe")
        os.symlink("/etc/passwd", "/dev/shm/link")
        for name in ("pipe", "link"):
            status, out, err = weir("show", name)
            self.assertEqual((status, out), (2, ""))
            self.assertIn("cannot read", err)
        with open("/dev/shm/empty", "wb"):
            pass
        self.assertEqual(self.expect("show", "empty"), "")
        for name in ("../etc/passwd", "no/name", "..", "nothing"):
            self.assertEqual(weir("show", name)[0], 1)
        self.assertEqual(weir("show", "empty", "--kind", "lst")[0], 2)
        self.assertEqual(weir("show", "empty", "--kind", "list")[0], 2)

    def test_another_users_block_may_not_be_read(self):
        with open("/dev/shm/secret", "wb", opener=lambda *args: os.open(*args, 0o600)) as file:
            file.write(b"secret")
        status, out, err = weir("show", "secret", preexec_fn=as_nobody)
        self.assertEqual((status, out), (2, ""))
        self.assertIn("Permission denied", err)


@needs_root
class Top(Case):
    def test_a_frame_says_what_each_worker_does_and_how_busy_it_is(self):
        with Mill() as mill:
            first, second = self.frames(mill.pid, 2)
            self.assertEqual((first["name"], first["supervisor"], first["workers_died"]), ("mill", mill.supervisor, 1))
            self.assertGreater(second["t"], first["t"])
            for before, worker in zip(first["workers"], second["workers"]):
                self.assertEqual((worker["state"], worker["label"], worker["busy"]), ("run", "grind", 1.0))
                self.assertGreater(worker["for_ns"], before["for_ns"])
                self.assertGreater(worker["private"], 0)
                self.assertIsNone(before["cpu"])
                self.assertLess(worker["cpu"], 0.9)

    def test_another_users_pools_are_not_seen(self):
        with Mill() as mill:
            status, out, err = weir("top", "-p", str(mill.pid), "-b", "-n", "1", preexec_fn=as_nobody)
            self.assertEqual((status, out), (1, ""), err)

    def test_a_users_own_pool_is_seen__without_the_right_to_trace(self):
        with Mill(preexec_fn=as_nobody) as mill:
            out = self.expect("top", "-p", str(mill.pid), "-n", "1", "-d", "0.3", "--json", preexec_fn=as_nobody_who_traces_none)
            self.assertEqual([worker["state"] for worker in json.loads(out)["workers"]], ["run"] * 3)

    @needs_namespace
    def test_a_pool_of_another_pid_namespace_is_seen(self):
        with Mill(before=INSIDE) as mill:
            frame, = self.frames(the_scope(), 1)
            self.assertEqual((frame["name"], frame["pids_are_ours"]), ("mill", False))
            self.assertEqual([worker["state"] for worker in frame["workers"]], ["run"] * 3)
            self.assertEqual((mill.end(), mill.program.returncode), ("", 0))

    def test_an_idle_worker_is_not_busy_and_a_job_has_a_rate(self):
        with Mill("uneven") as mill:
            time.sleep(1)
            frame = self.frames(mill.pid, 3)[-1]
            self.assertEqual(sorted(worker["busy"] for worker in frame["workers"]), [0.0, 0.0, 1.0])
            job = next(job for job in frame["jobs"] if job["name"] == "grind")
            self.assertEqual((job["done"], job["running"], job["waiting"], job["rate"]), (59, 1, 0, 0.0))

    def test_a_warning__when_a_chunk_runs_for_many_times_the_mean(self):
        for early in (False, True):  # the tool comes when the other chunks are over, and before
            program = Mill("uneven").program if not early else \
                subprocess.Popen([MILL, "uneven"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                while weir("top", "-p", str(program.pid), "-n", "1", "-d", "0.05")[0]:
                    self.assertIsNone(program.poll())
                frames = self.frames(program.pid, 9, "1")
            finally:
                program.communicate()
            codes = [{warning["code"] for warning in frame["warnings"]} for frame in frames]
            self.assertIn("slow-chunk", codes[-1])
            warning = next(warning for warning in frames[-1]["warnings"] if warning["code"] == "slow-chunk")
            self.assertRegex(warning["text"], r"^chunk 59 of grind runs for \S+, \d+ times the mean$")
            self.assertEqual(frames[-1]["workers"][warning["worker"]]["chunk"], 59)

    def test_a_warning__when_a_job_has_fewer_chunks_than_workers(self):
        with Mill("few") as mill:
            texts = [warning["text"] for warning in self.frames(mill.pid, 8, "1")[-1]["warnings"]
                     if warning["code"] == "few-chunks"]
            self.assertEqual(texts, ["2 of 3 workers had work: grind has 2 chunks"])

    def test_a_warning__when_a_worker_is_stopped_and_when_shm_is_full(self):
        with Mill() as mill:
            worker = self.frames(mill.pid, 1)[0]["workers"][1]
            os.kill(worker["pid"], signal.SIGSTOP)
            with open("/dev/shm/large", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, 60 << 20)
            codes = {warning["code"]: warning for warning in self.frames(mill.pid, 2)[-1]["warnings"]}
            os.kill(worker["pid"], signal.SIGCONT)
            self.assertEqual(codes["stopped"]["worker"], 1)
            self.assertIn("% full", codes["full-shm"]["text"])

    def on_terminal(self, columns, rows, *arguments, typed=b""):
        """What comes out on a terminal of that size, to which `typed` is written after the first output."""
        pid, terminal = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execv(WEIR, [WEIR, *arguments])
        out = os.read(terminal, 4096)
        os.write(terminal, typed)
        while True:
            try:
                out += os.read(terminal, 4096)
            except OSError:
                break
        os.close(terminal)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        return out.decode()

    def test_frames_fit_the_terminal(self):
        with Mill() as mill:
            for columns, rows in ((80, 24), (20, 6), (200, 50)):
                text = self.on_terminal(columns, rows, "top", "-p", str(mill.pid), "-n", "2", "-d", "0.2")
                self.assertTrue(text.startswith("\x1b[?25l") and text.endswith("\x1b[?25h"), repr(text))
                for frame in text.split("\x1b[H")[1:]:
                    lines = frame.split("\x1b[J")[0].replace("\x1b[K", "").replace("\r", "").split("\n")
                    self.assertLessEqual(len(lines), rows)
                    self.assertLessEqual(max(map(len, lines)), columns)
                    self.assertIn("mill", frame)

    def test_the_cursor_comes_back__when_it_is_interrupted(self):
        with Mill() as mill:
            text = self.on_terminal(80, 24, "top", "-p", str(mill.pid), "-d", "60", typed=b"\x03")
            self.assertTrue(text.endswith("\x1b[?25h"), repr(text))

    def test_it_ends__when_its_pool_has_ended(self):
        mill = Mill()
        top = subprocess.Popen([WEIR, "top", "-p", str(mill.pid), "-d", "0.1"], stdout=subprocess.PIPE, text=True)
        while "mill" not in top.stdout.readline():
            self.assertIsNone(top.poll())
        mill.end()
        top.communicate(timeout=BOUND)
        self.assertEqual(top.returncode, 0)

    def test_status_1_or_2__when_there_is_no_pool_or_the_argument_is_wrong(self):
        status, out, err = weir("top", "-p", str(os.getpid()))
        self.assertEqual((status, out), (1, ""))
        self.assertIn("no pool", err)
        for arguments in (("-d", "0"), ("-d", "x"), ("-d", "nan"), ("-d", "1e9"), ("-n", "0"), ("-n", "-1"), ("-n", "x"), ("x",)):
            status, out, err = weir("top", *arguments)
            self.assertEqual((status, out), (2, ""), arguments)
            self.assertIn('"%s"' % arguments[-1], err)


@needs_root
class Sweep(Case):
    def test_removes_a_dead_scope_and_no_live_one(self):
        with Things() as things:
            things.kill()
            names = sorted(os.listdir("/dev/shm"))
            found = self.read("sweep", "--dry-run")
            self.assertEqual(([scope["id"] for scope in found["scopes"]], found["removed"]), ([things.id], False))
            self.assertEqual(sorted(os.listdir("/dev/shm")), names)
            self.assertIn("would remove scope " + things.id, self.expect("sweep", "-n"))
            found = self.read("sweep")
            self.assertEqual([(scope["id"], scope["blocks"]) for scope in found["scopes"]], [(things.id, 4)])
            self.assertEqual(os.listdir("/dev/shm"), [])
        with Things():
            names = sorted(os.listdir("/dev/shm"))
            self.assertEqual(self.read("sweep")["scopes"], [])
            self.assertEqual(sorted(os.listdir("/dev/shm")), names)

    def test_leaves_a_users_live_scope__without_the_right_to_trace(self):
        with Things(preexec_fn=as_nobody):
            names = sorted(os.listdir("/dev/shm"))
            self.expect("sweep", preexec_fn=as_nobody_who_traces_none)
            self.assertEqual(sorted(os.listdir("/dev/shm")), names)

    @needs_namespace
    def test_leaves_a_scope_that_lives_in_another_pid_namespace(self):
        with Things():
            names = sorted(os.listdir("/dev/shm"))
            done = subprocess.run(INSIDE + [WEIR, "sweep", "-n"], capture_output=True, text=True, check=True)
            self.assertIn("stays if a process of another pid namespace has it", done.stderr)
            done = subprocess.run(INSIDE + [WEIR, "sweep"], capture_output=True, text=True, check=True)
            self.assertEqual((done.stdout, sorted(os.listdir("/dev/shm"))), ("", names))

    def test_leaves_another_users_dead_scope(self):
        with Things(preexec_fn=as_nobody) as things:
            things.kill()
            self.assertEqual(self.expect("sweep"), "")
            self.assertIn(things.id, self.expect("ls"))
            self.assertIn("removed scope " + things.id, self.expect("sweep", preexec_fn=as_nobody))
            self.assertEqual(os.listdir("/dev/shm"), [])

    def test_removes_a_damaged_scope_file(self):
        with open("/dev/shm/weir-%016x.scope" % 5, "wb") as file:
            file.write(b"x" * 3000)
        self.assertIn("%016x" % 5, self.expect("sweep"))
        self.assertEqual(os.listdir("/dev/shm"), [])

    def test_status_2_and_nothing_removed__when_pattern_or_age_are_missing(self):
        with open("/dev/shm/psm_1", "wb"):
            pass
        for arguments in (("--foreign", "psm_*"), ("--older-than", "4h"), ("--yes",), ("--foreign", "*", "--older-than", "4"),
                          ("--foreign", "*", "--older-than", "-1h"), ("--foreign", "*", "--older-than", "9999999999d"), ("x",)):
            status, out, err = weir("sweep", *arguments)
            self.assertEqual((status, out), (2, ""), arguments)
            self.assertIn("usage: weir sweep", err)
        self.assertEqual(os.listdir("/dev/shm"), ["psm_1"])

    def test_a_foreign_file_is_removed__when_it_matches_is_old_and_unused(self):
        with Things() as things:
            own = set(os.listdir("/dev/shm"))
            for name in ("psm_old", "psm_open", "psm_young", "other", "psm_nobodys", "weir-x"):
                with open("/dev/shm/" + name, "wb") as file:
                    file.write(b"x")
            os.chown("/dev/shm/psm_nobodys", NOBODY, NOBODY)
            os.symlink("/etc/passwd", "/dev/shm/psm_link")
            before = set(os.listdir("/dev/shm"))
            arguments = ("sweep", "--foreign", "psm_*", "--older-than")
            with open("/dev/shm/psm_open", "rb"):
                self.assertEqual(self.read(*arguments, "1h", "--yes")["files"], [])  # ctime cannot be set back
                listed = {file["name"] for file in self.read(*arguments, "0s")["files"]}
                self.assertEqual(listed, {"psm_old", "psm_young"})
                self.assertEqual(set(os.listdir("/dev/shm")), before)
                found = self.read("sweep", "--foreign", "psm_o*", "--older-than", "0s", "--yes")
                self.assertEqual(([file["name"] for file in found["files"]], found["spared"]), (["psm_old"], 1))
                self.assertEqual(set(os.listdir("/dev/shm")), before - {"psm_old"})
                found = self.read("sweep", "--foreign", "*", "--older-than", "0s", "--yes", "--dry-run")
                self.assertFalse({file["name"] for file in found["files"]} & own)
                self.assertFalse(found["removed"])
            self.assertEqual(self.expect("sweep"), "")
            self.assertEqual(things.program.poll(), None)


@needs_root
class Doctor(Case):
    def find(self, what, **options):
        status, out, err = weir("doctor", "--json", **options)
        self.assertIn(status, (0, 1), err)
        found = json.loads(out)
        self.assertEqual((found["schema"], found["version"]), (1, VERSION))
        verdicts = {check["verdict"] for check in found["checks"]}
        self.assertEqual(status, int(verdicts != {"ok"}))
        for check in found["checks"]:
            self.assertEqual(check["remedy"] is None, check["verdict"] == "ok", check)
        return next(check for check in found["checks"] if check["what"] == what)

    def test_a_small_or_full_shm_is_a_warning(self):
        self.assertIn("--shm-size", self.find("/dev/shm")["remedy"])
        with open("/dev/shm/large", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 60 << 20)
        self.assertIn("weir ls --all", self.find("/dev/shm")["remedy"])
        self.assertRegex(weir("doctor")[1], r"(?m)^warn +/dev/shm +tmpfs of 64M, ")

    def test_it_answers__as_another_user_and_in_a_pid_namespace(self):
        self.find("/dev/shm", preexec_fn=as_nobody_who_traces_none)
        if subprocess.run(INSIDE + ["true"], capture_output=True, check=False).returncode == 0:
            done = subprocess.run(INSIDE + [WEIR, "doctor"], capture_output=True, text=True, check=False)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            self.assertIn("/dev/shm", done.stdout)

    def test_a_dead_scope_is_a_warning(self):
        with Things() as things:
            self.assertEqual(self.find("dead scopes")["verdict"], "ok")
            things.kill()
            self.assertIn("weir sweep", self.find("dead scopes")["remedy"])

    def test_a_low_limit_is_a_warning(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))

        self.assertIn("ulimit -n", self.find("descriptors (ulimit -n)", preexec_fn=limit)["remedy"])

    def test_a_missing_manager_is_a_failure(self):
        found = self.find("manager program", env=dict(os.environ, WEIR_MANAGER="/no/manager"))
        self.assertEqual(found["verdict"], "fail")
        self.assertEqual(self.find("manager program")["verdict"], "ok")


if __name__ == "__main__":
    unittest.main(argv=["tool.py"] + sys.argv[5:], verbosity=2)
