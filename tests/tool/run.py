# SPDX-License-Identifier: MIT
"""run.py WEIR THINGS MILL VERSION CLASS: weir run, one class of tests.

After each test nothing is left: no socket, no file in /dev/shm (where that is the test's own), no process."""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from tool import BOUND, NOBODY, THINGS, WEIR, Case, as_nobody, isolated, needs_root, weir

MODES = ((), ("--kill",))
PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
KEY = b"a key\0and a newline\n"

# Says its pid, and those of stragglers, a line each; then waits for a line.
TELL = 'echo $$; for i in "$@"; do sh -c "$i" & echo $!; done; read line; '
# What outlives a session's end, and its parent.
DAEMON = "exec setsid sleep 1000"
STUBBORN = "trap '' TERM HUP INT; setsid sleep 1000 & wait"


def eventually(condition, what):
    limit = time.monotonic() + BOUND
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError("not within %d s: %s" % (BOUND, what))
        time.sleep(0.005)


def stat(pid):
    """What the kernel says of a process from its state on; the state alone, X, of one that is gone."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X"]


def sleeps(pid):
    """True if the process does nothing for a tenth of a second."""
    for _ in range(10):
        if stat(pid)[0] != "S":
            return False
        time.sleep(0.01)
    return True


def runs(pid):
    """Not a zombie either."""
    return stat(pid)[0] not in ("Z", "X")


class Run(Case):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="weirtest-run-")
        self.runtime = os.path.join(self.folder, "runtime")
        os.mkdir(self.runtime, 0o700)
        for name in ("WEIR_ADDRESS", "WEIR_KEY_FILE"):
            os.environ.pop(name, None)
        os.environ["XDG_RUNTIME_DIR"] = self.runtime
        self.stragglers = []
        self.programs = []

    def left(self):
        sockets = os.path.join(self.runtime, "weir")
        return (os.listdir(sockets) if os.path.exists(sockets) else []) + (os.listdir("/dev/shm") if isolated else [])

    def tearDown(self):
        for program in self.programs:
            if program.poll() is None:
                program.kill()
                program.wait()
            program.stdin.close()
            program.stdout.close()
        for pid in self.stragglers:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)
        try:
            eventually(lambda: not self.left(), self.left())
            eventually(self.reap, "a process is left")
        finally:
            shutil.rmtree(self.folder)
            super().tearDown()

    @staticmethod
    def reap():
        """Whether none is left: orphans come back to this process."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return True
        return False

    def run_weir(self, *arguments, status=0, **options):
        """(stdout, stderr), by way of files: what a command leaves behind may hold its end of a pipe."""
        options.setdefault("stdin", subprocess.DEVNULL)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            options.setdefault("stdout", out)
            options.setdefault("stderr", err)
            done = subprocess.run([WEIR, "run", *arguments], timeout=BOUND, check=False, **options)
            out.seek(0)
            err.seek(0)
            texts = out.read(), err.read()
        self.assertEqual(done.returncode, status, texts)
        return texts

    def start(self, *arguments, **options):
        program = subprocess.Popen([WEIR, "run", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   **options)
        self.programs.append(program)
        return program

    def tell(self, options, then, *stragglers, **popen):
        """Starts a command that says its pid and those of its stragglers, and waits. Returns (program, [pid, ...])."""
        program = self.start(*options, "--", "sh", "-c", TELL + then, "sh", *stragglers, **popen)
        pids = [int(program.stdout.readline()) for _ in range(1 + len(stragglers))]
        self.stragglers += pids
        return program, pids

    @staticmethod
    def end(program):
        """Its status and the rest of its output."""
        out = program.communicate("\n", timeout=BOUND)[0]
        return program.returncode, out


class Status(Run):
    def test_status_is_the_commands(self):
        for mode in MODES:
            for status in (0, 7, 255):
                self.assertEqual(self.run_weir(*mode, "--", "sh", "-c", "exit %d" % status, status=status), ("", ""))
            for number in (signal.SIGKILL, signal.SIGTERM):
                self.run_weir(*mode, "sh", "-c", "ulimit -c 0; kill -%d $$" % number, status=128 + number)

    def test_127__when_there_is_no_such_command(self):
        for mode in MODES:
            for command in ("/no/such/command", "no-such-command", ""):
                self.assertIn('cannot run "%s": No such file' % command, self.run_weir(*mode, command, status=127)[1])

    def test_126__when_the_command_cannot_be_executed(self):
        for mode in MODES:
            for command in ("/etc/passwd", "/etc"):
                self.assertIn("cannot run", self.run_weir(*mode, "--", command, status=126)[1])

    def test_125_and_no_command__when_the_call_is_wrong(self):
        mark = os.path.join(self.folder, "mark")
        for arguments, said in (((), "no command"), (("--",), "no command"), (("--nothing", "touch", mark), "--nothing"),
                                (("--name",), "--name"), (("--name", "", "touch", mark), "empty"),
                                (("--name", "a/b", "touch", mark), "slash"), (("--name", "..", "touch", mark), "dot"),
                                (("--name", "x" * 65, "touch", mark), "too long"),
                                (("--name", 'a"b', "touch", mark), "quote"), (("--name", "\x1b", "touch", mark), "control")):
            out, err = self.run_weir(*arguments, status=125)
            self.assertEqual(out, "")
            self.assertIn(said, err)
            self.assertNotIn("\x1b", err)
        self.assertFalse(os.path.exists(mark))

    def test_125_and_the_reason__when_the_scope_cannot_begin(self):
        said = self.run_weir("true", status=125, env=dict(os.environ, WEIR_MANAGER="/no/manager"))[1]
        self.assertIn("cannot begin a scope", said)
        self.assertIn("/no/manager", said)
        os.mkdir(os.path.join(self.runtime, "weir"), 0o755)
        self.assertIn("0755", self.run_weir("true", status=125)[1])

    def test_control_characters_of_a_command_do_not_reach_the_terminal(self):
        self.assertIn("\\x1b", self.run_weir("\x1b[2J", status=127)[1])

    def test_options_after_the_command_are_its_own(self):
        self.assertEqual(self.run_weir("echo", "--kill", "--help")[0], "--kill --help\n")

    def test_a_closed_stream_stays_unusable(self):
        for mode in MODES:
            for fd in range(3):
                self.run_weir(*mode, "true", preexec_fn=lambda fd=fd: os.close(fd), **{("stdin", "stdout", "stderr")[fd]: None})
            self.run_weir(*mode, "cat", status=1, preexec_fn=lambda: os.close(0), stdin=None)
            self.run_weir(*mode, "sh", "-c", "echo x || exit 3", status=3, preexec_fn=lambda: os.close(1), stdout=None)

    def test_stdin_is_the_commands(self):
        for mode in MODES:
            program = self.start(*mode, "cat")
            self.assertEqual(program.communicate("hello\n", timeout=BOUND)[0], "hello\n")


class Scope(Run):
    def test_programs_of_a_pipeline_share_an_array(self):
        for mode in MODES:
            line = '("$0" put numbers && echo numbers) | (read name && "$0" sum "$name")'
            self.assertEqual(self.run_weir(*mode, "--", "sh", "-c", line, THINGS), ("499500\n", ""))

    @unittest.skipIf("SANITIZED" in os.environ, "the sanitizer's runtime would have to be in the interpreter")
    def test_a_python_program_shares_an_array_with_a_c_program(self):
        program = "import sys, weir; print(sum(weir.connect().attach(sys.argv[1])))"
        line = '("$0" put numbers && echo numbers) | (read name && "$1" -c "$2" "$name")'
        out, err = self.run_weir("--", "sh", "-c", line, THINGS, sys.executable, program)
        self.assertEqual((float(out), err), (499500, ""))

    def test_the_name_is_the_sockets(self):
        address = os.path.join(self.runtime, "weir", "prices")
        for mode in MODES:
            self.assertEqual(self.run_weir("--name", "prices", *mode, "sh", "-c", 'echo "$WEIR_ADDRESS"')[0], address + "\n")
        program, _ = self.tell(("--name", "prices"), '"%s" sum numbers' % THINGS)
        subprocess.run([THINGS, "put", "numbers"], env=dict(os.environ, WEIR_ADDRESS=address), check=True)
        self.assertIn("another scope listens at " + address, self.run_weir("--name", "prices", "true", status=125)[1])
        self.assertEqual(self.end(program), (0, "499500\n"))

    def test_the_name_can_be_used_again__when_all_was_killed(self):
        program, _ = self.tell(("--name", "prices"), "")
        manager = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and self.is_manager_of(int(pid), program.pid)]
        self.assertEqual(len(manager), 1)
        os.kill(manager[0], signal.SIGSTOP)
        program.kill()
        os.kill(manager[0], signal.SIGKILL)
        self.end(program)
        eventually(lambda: not runs(manager[0]), "the manager is dead")
        self.assertIn("prices", self.left())
        self.run_weir("--name", "prices", "true")

    @staticmethod
    def is_manager_of(pid, host):
        """By its pidfd of the host."""
        try:
            with open("/proc/%d/comm" % pid, encoding="utf-8") as file:
                if file.read() != "weir-manager\n":
                    return False
            with open("/proc/%d/fdinfo/5" % pid, encoding="utf-8") as file:
                return "\nPid:\t%d\n" % host in file.read()
        except OSError:
            return False

    def test_an_inner_run_has_a_scope_of_its_own(self):
        line = '"$0" put numbers && "$1" run $2 "$0" sum numbers; echo $?; "$0" sum numbers'
        for mode in MODES:
            out, err = self.run_weir(*mode, "--", "sh", "-c", line, THINGS, WEIR, *mode)
            self.assertEqual(out, "1\n499500\n")
            self.assertIn("numbers", err)

    def test_the_key_is_that_of_the_file(self):
        path = os.path.join(self.folder, "key")
        with open(path, "wb", opener=lambda *args: os.open(*args, 0o600)) as file:
            file.write(KEY)
        program = self.start("--key", path, "true", stderr=subprocess.PIPE)
        if "libsodium" in program.communicate(timeout=BOUND)[1]:
            self.skipTest("built without libsodium")
        line = 'cd / && "$0" put numbers && "$0" sum numbers; echo "$WEIR_KEY_FILE"; unset WEIR_KEY_FILE; "$0" sum numbers'
        for mode in MODES:
            out, err = self.run_weir("--key", "key", *mode, "--", "sh", "-c", line, THINGS, status=1, cwd=self.folder)
            self.assertEqual(out, "499500\n%s\n" % os.path.realpath(path))
            self.assertIn("the scope has a key", err)
        # an inner scope without a key is not connected to with the outer one's
        line = '"$1" run sh -c \'echo "=$WEIR_KEY_FILE"; "$0" put numbers\' "$0"'
        self.assertEqual(self.run_weir("--key", path, "--", "sh", "-c", line, THINGS, WEIR), ("=\n", ""))

    def test_125_and_the_reason__when_the_key_file_is_none(self):
        path = os.path.join(self.folder, "key")
        for contents, mode, said in ((KEY, 0o644, "others may open it"), (KEY, 0o660, "others may open it"),
                                     (b"", 0o600, "is empty"), (b"x" * 1025, 0o600, "is too long")):
            with open(path, "wb") as file:
                file.write(contents)
            os.chmod(path, mode)
            self.assertIn(said, self.run_weir("--key", path, "true", status=125)[1])
        self.assertIn("No such file", self.run_weir("--key", path + "x", "true", status=125)[1])
        self.assertIn("not a regular file", self.run_weir("--key", self.folder, "true", status=125)[1])

    @needs_root
    def test_another_user_has_a_scope_of_its_own(self):
        os.chmod(self.folder, 0o711)
        program, _ = self.tell(("--name", "prices"), "")
        address = os.path.join(self.runtime, "weir", "prices")
        done = subprocess.run([THINGS, "put", "x"], env=dict(os.environ, WEIR_ADDRESS=address), preexec_fn=as_nobody,
                              stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("may not connect", done.stderr)
        # the folder that the variable names is root's
        address = "/tmp/weir-%d/weirtest-%d" % (NOBODY, os.getpid())
        existed = os.path.exists(os.path.dirname(address))
        for mode in MODES:
            line = 'echo "$WEIR_ADDRESS"; "$0" put numbers && "$0" sum numbers'
            out, _ = self.run_weir("--name", os.path.basename(address), *mode, "--", "sh", "-c", line, THINGS,
                                   preexec_fn=as_nobody)
            self.assertEqual(out, address + "\n499500\n")
        self.assertFalse(os.path.exists(address))
        if not existed:
            with contextlib.suppress(OSError):  # another test may have a socket there by now
                os.rmdir(os.path.dirname(address))
        self.assertEqual(self.end(program)[0], 0)


class Ends(Run):
    def test_a_straggler_lives_on_and_is_told_why_it_is_alone(self):
        path = os.path.join(self.folder, "said")
        waits = 'while [ -e "$WEIR_ADDRESS" ]; do sleep 0.01; done; "%s" sum x 2>"%s.new"; mv "%s.new" "%s"' % (
            THINGS, path, path, path)
        program, pids = self.tell((), "exit 5", DAEMON, waits)
        self.assertEqual(self.wait(program), 5)
        self.assertTrue(runs(pids[1]))
        eventually(lambda: os.path.exists(path), "the straggler has tried")
        with open(path, encoding="utf-8") as file:
            said = file.read()
        self.assertIn("WEIR_ADDRESS", said)
        self.assertIn("its scope has ended", said)

    @staticmethod
    def wait(program):
        """Its status; a straggler may hold stdout."""
        program.stdin.write("\n")
        program.stdin.close()
        return program.wait(BOUND)

    def test_stragglers_are_ended__with_kill(self):
        program, pids = self.tell(("--kill",), "exit 5", DAEMON, STUBBORN, "(%s) & exit" % DAEMON)
        self.assertTrue(all(runs(pid) for pid in pids[:3]))
        self.assertEqual(self.end(program), (5, ""))  # to the end of the output, which the last one has open
        self.assertEqual([pid for pid in pids if runs(pid)], [])

    def test_a_stragglers_own_scope_is_cleaned__with_kill(self):
        program, _ = self.tell(("--kill",), "", "tail -f /dev/null | setsid '%s' anonymous >/dev/null" % THINGS,
                               "tail -f /dev/null | setsid '%s' run sleep 1000" % WEIR)
        self.assertEqual(self.end(program), (0, ""))

    def test_the_command_lives_on__when_weir_is_killed(self):
        program, pids = self.tell((), '"%s" sum x 2>&1' % THINGS)
        program.kill()
        program.wait(BOUND)
        eventually(lambda: not self.left(), self.left())
        self.assertTrue(runs(pids[0]))
        self.assertIn("its scope has ended", self.end(program)[1])

    def test_everything_ends__when_weir_is_killed_with_kill(self):
        program, pids = self.tell(("--kill",), "", DAEMON, STUBBORN)
        program.kill()
        program.stdout.read()
        eventually(lambda: not any(runs(pid) for pid in pids), "the command and its stragglers are dead")
        self.end(program)

    def test_status_137__when_the_command_is_killed_by_another_program(self):
        for mode in MODES:
            program, pids = self.tell(mode, "")
            os.kill(pids[0], signal.SIGKILL)
            self.assertEqual(self.end(program)[0], 137)

    def test_125__when_the_supervisor_is_killed(self):
        program, pids = self.tell(("--kill",), "", stderr=subprocess.PIPE)
        supervisor = int(stat(pids[0])[1])
        self.assertNotEqual(supervisor, program.pid)
        # The command can run before weir has heard that it was started.
        eventually(lambda: sleeps(program.pid), "weir waits for the command")
        os.kill(supervisor, signal.SIGKILL)
        _, err = program.communicate("", timeout=BOUND)
        self.assertEqual(program.returncode, 125)
        self.assertIn("how the command ended is not known", err)
        eventually(lambda: not runs(pids[0]), "the command is dead")


class Signals(Run):
    CATCH = """if 1:
        import os, signal, sys
        def caught(number, _):
            signal.signal(number, signal.SIG_IGN)  # a group's signal comes again from weir run
            print(signal.Signals(number).name, flush=True)
            os._exit(100 + number)
        for number in map(int, sys.argv[1:]):
            signal.signal(number, caught)
        print(os.getpid(), flush=True)
        while True:
            signal.pause()
        """

    def test_the_command_gets_what_weir_is_sent(self):
        for mode in MODES:
            for number in PASSED_ON:
                program = self.start(*mode, "--", sys.executable, "-c", self.CATCH, *map(str, map(int, PASSED_ON)))
                program.stdout.readline()
                program.send_signal(number)
                self.assertEqual(self.end(program), (100 + number, number.name + "\n"))

    def test_the_command_gets_what_its_whole_group_is_sent(self):
        for mode in MODES:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                program = self.start(*mode, "--", sys.executable, "-c", self.CATCH, *map(str, map(int, PASSED_ON)),
                                     start_new_session=True)
                program.stdout.readline()
                os.killpg(program.pid, number)
                self.assertEqual(self.end(program), (100 + number, number.name + "\n"))

    def test_the_status_says_so__when_the_command_dies_of_it(self):
        for mode in MODES:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                program, _ = self.tell(mode, "", preexec_fn=self.dump_nothing)
                program.send_signal(number)
                self.assertEqual(program.wait(BOUND), 128 + number)

    @staticmethod
    def dump_nothing():
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def test_a_signal_that_comes_at_the_start_is_not_lost(self):
        for mode in MODES:
            for _ in range(5):
                program = self.start(*mode, "sleep", "1000")
                eventually(lambda pid=program.pid: self.blocks(pid, signal.SIGINT), "signals are taken")
                program.send_signal(signal.SIGINT)
                self.assertEqual(self.end(program)[0], 130)

    @staticmethod
    def blocks(pid, number):
        with open("/proc/%d/status" % pid, encoding="utf-8") as file:
            mask = next(line for line in file if line.startswith("SigBlk:")).split()[1]
        return int(mask, 16) >> (number - 1) & 1

    def test_the_commands_signals_and_descriptors_are_as_without_weir(self):
        def prepare():
            for number in (signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR2, signal.SIGPIPE):
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR1, signal.SIGTERM])

        for command in (["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"], ["ls", "/proc/self/fd"]):
            wanted = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True,
                                    preexec_fn=prepare, restore_signals=False).stdout
            for mode in MODES:
                out, err = self.run_weir(*mode, *command, preexec_fn=prepare, restore_signals=False)
                self.assertEqual((out, err), (wanted, ""))

    def on_terminal(self, *command):
        """Starts it as the leader of a session on a terminal of its own. (pid, master)"""
        pid, master = pty.fork()
        if pid == 0:
            os.execv(WEIR, [WEIR, "run", *command])
        return pid, master

    def read_until(self, master, text):
        got = b""
        while text not in got:
            got += os.read(master, 1000)
        return got

    def test_the_command_gets_ctrl_c_once(self):
        count = """if 1:
            import signal, time
            times = []
            signal.signal(signal.SIGINT, lambda *_: times.append(1))
            print("ready", flush=True)
            while not times:
                time.sleep(0.01)
            time.sleep(0.2)
            print("got %d" % len(times), flush=True)
            """
        for mode in MODES:
            pid, master = self.on_terminal(*mode, "--", sys.executable, "-c", count)
            self.read_until(master, b"ready")
            os.write(master, b"\x03")
            self.assertIn(b"got 1", self.read_until(master, b"got "))
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            os.close(master)

    def test_weir_dies_of_ctrl_c_as_its_command__so_that_a_shells_loop_ends(self):
        for mode in MODES:
            pid, master = self.on_terminal(*mode, "--", "sh", "-c", "echo ready; exec sleep 1000")
            self.read_until(master, b"ready")
            os.write(master, b"\x03")
            status = os.waitpid(pid, 0)[1]
            self.assertTrue(os.WIFSIGNALED(status), status)
            self.assertEqual(os.WTERMSIG(status), signal.SIGINT)
            os.close(master)

    def test_the_command_is_told__when_the_terminal_is_gone(self):
        for mode in MODES:
            pid, master = self.on_terminal(*mode, "--", "sh", "-c", "echo ready; exec sleep 1000")
            self.read_until(master, b"ready")
            os.close(master)
            self.assertEqual(os.waitpid(pid, 0)[1] >> 8, 128 + signal.SIGHUP)


class Help(Run):
    @unittest.skipIf("SANITIZED" in os.environ, "the sanitizer's runtime would have to be in the interpreter")
    def test_example_of_the_manual_page_does_what_it_says(self):
        page = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "pool", "man", "weir.1.in")
        with open(page, encoding="utf-8") as file:
            lines = file.read().split("$ cat both.sh\n")[1].split("\n.fi")[0].replace("\\-", "-").split("\n")
        at = lines.index("$ weir run sh both.sh")
        with open(os.path.join(self.folder, "both.sh"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines[:at]) + "\n")
        self.assertEqual(self.run_weir("sh", "both.sh", cwd=self.folder), ("\n".join(lines[at + 1:]) + "\n", ""))

    def test_help_names_the_variable_and_fits(self):
        self.assertIn("\n  run ", weir("--help")[1])
        status, out, _ = weir("run", "--help")
        self.assertEqual(status, 0)
        self.assertIn("WEIR_ADDRESS", out)
        self.assertLessEqual(max(map(len, out.splitlines())), 100)


if __name__ == "__main__":
    unittest.main(argv=["run.py"] + sys.argv[5:], verbosity=2)
