# SPDX-License-Identifier: MIT
"""What the cases in this folder share: their arguments, a place of their own, and the line they print.

A case makes trials, each of which is clean or a violation. Clean means: no file in /dev/shm, which is a
private one, and no process: the case is a subreaper, so whatever a dead program leaves becomes its child,
and there is none left exactly when waiting says ECHILD.
"""

import argparse
import atexit
import ctypes
import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CLEAN_MS = 1000
HANG_MS = 20000

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x00020000
MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_REC, MS_PRIVATE = 2, 4, 32, 0x4000, 0x40000
PR_SET_CHILD_SUBREAPER = 36


def now_ms():
    return time.monotonic() * 1e3


def build_folder():
    """Where the programs under test are: $WEIR_BUILD, or what tests/run or a by-hand build made."""
    for folder in (os.environ.get("WEIR_BUILD"), ROOT + "/build-test/plain", ROOT + "/build"):
        if folder and os.path.exists(folder + "/tests/faults/subject"):
            return folder
    sys.exit("faults: not built; see tests/faults/run")


def is_sanitized(build):
    with open(build + "/meson-info/intro-buildoptions.json") as file:
        return any(option["name"] == "b_sanitize" and option["value"] != "none" for option in json.load(file))


def unshare(flags):
    return libc.unshare(flags) == 0


def mount_shm(options="mode=1777", flags=0):
    return libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", MS_NOSUID | MS_NODEV | flags, options.encode()) == 0


class Case:
    def __init__(self, name, trials, seed=None, long=None):
        """`trials` and `long`: how many in the short and in the long size."""
        parser = argparse.ArgumentParser(prog=name)
        parser.add_argument("--trials", type=int, help="default %d, %s with --long" % (trials, long or trials))
        parser.add_argument("--seed", type=int, default=seed)
        parser.add_argument("--long", action="store_true")
        parser.add_argument("--only", default="", help="points that have this in their names")
        options = parser.parse_args()
        self.name = name
        self.long = options.long
        self.only = options.only
        self.trials = options.trials or (long if options.long and long else trials)
        self.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
        self.random = random.Random(self.seed)
        self.times = []
        self.private = None
        self.failures = 0
        self.facts = {}
        self.build = build_folder()
        self.sanitized = is_sanitized(self.build)
        self.subject = self.build + "/tests/faults/subject"
        atexit.register(end_children)  # a case that goes wrong itself leaves nobody working

    def folder(self):
        """A private folder for sockets, removed at the end."""
        if not self.private:
            self.private = tempfile.mkdtemp(prefix="weir-faults-")
            atexit.register(shutil.rmtree, self.private, ignore_errors=True)
        return self.private

    def skip(self, why):
        print("skipped: " + why)
        sys.exit(77)

    def isolate(self, options="mode=1777"):
        """A /dev/shm of its own, and becoming the parent of orphans."""
        if not unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) < 0 or \
                not mount_shm(options):
            self.skip("no mount namespace (needs root)")
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)

    def violation(self, what):
        self.failures += 1
        if self.failures <= 20:
            print("%s: %s" % (self.name, what), file=sys.stderr)

    def note(self, ms):
        self.times.append(ms)

    def start(self, *arguments, inside=False, **options):
        """Starts the program under test; `inside`: as process 1 of a pid namespace."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stdin", subprocess.PIPE)
        options.setdefault("text", True)
        prefix = ["unshare", "--pid", "--fork"] if inside else []
        return subprocess.Popen(prefix + [self.subject] + [str(a) for a in arguments], **options)

    def run(self, *arguments, timeout_ms=HANG_MS, **options):
        """Runs it to its end. Returns (status, output); status None: it hung."""
        options.setdefault("stderr", subprocess.STDOUT)
        options.setdefault("stdin", subprocess.DEVNULL)
        program = self.start(*arguments, **options)
        try:
            output = program.communicate(timeout=timeout_ms / 1e3)[0]
        except subprocess.TimeoutExpired:
            program.kill()
            output = program.communicate()[0]
            return None, output
        return program.returncode, output

    def expect(self, *arguments, **options):
        """Runs it; a violation unless it says 0 and all is clean afterwards."""
        start = now_ms()
        status, output = self.run(*arguments, **options)
        if status != 0:
            self.violation("%s: %s\n%s" % (" ".join(map(str, arguments)), "hangs" if status is None else
                                           "status %d" % status, (output or "").strip()))
        self.expect_clean(" ".join(map(str, arguments)))
        self.note(now_ms() - start)
        return output or ""

    def wait_clean(self, limit_ms=CLEAN_MS, files_too=True):
        """The milliseconds until all is clean, or None."""
        start = now_ms()
        alone = False
        while True:
            if not alone:
                try:
                    if os.waitpid(-1, os.WNOHANG)[0]:
                        continue
                except ChildProcessError:
                    alone = True
            if alone and (not files_too or not files()):
                return now_ms() - start
            if now_ms() - start > limit_ms:
                return None
            time.sleep(0.0001)

    def expect_clean(self, what, limit_ms=CLEAN_MS):
        ms = self.wait_clean(limit_ms)
        if ms is None:
            self.violation("not clean after %s: %s; processes: %s" % (what, files(), children()))
            end_children()
            for name in files():
                remove(os.path.join("/dev/shm", name))
        return ms

    def slack(self):
        """How much longer things may take than on a machine that does nothing else, or without sanitizers."""
        busy = os.getloadavg()[0] / len(os.sched_getaffinity(0))
        return max(1, busy) * (4 if self.sanitized else 1)

    def judge(self, p99_ms=None, max_ms=None):
        """The bounds of the scoreboard."""
        median, p99, most = self.figures()
        slack = self.slack()
        if p99_ms is not None and p99 is not None and p99 > p99_ms * slack:
            self.violation("p99 is %.1f ms, more than %d (times %.1f: busy)" % (p99, p99_ms, slack))
        if max_ms is not None and most is not None and most > max_ms * slack:
            self.violation("the maximum is %.1f ms, more than %d (times %.1f: busy)" % (most, max_ms, slack))

    def figures(self):
        if not self.times:
            return None, None, None
        times = sorted(self.times)
        return times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)], times[-1]

    def finish(self):
        rounded = [None if ms is None else round(ms, 2) for ms in self.figures()]
        line = {"case": self.name, "trials": self.trials, "failures": self.failures, "median_ms": rounded[0],
                "p99_ms": rounded[1], "max_ms": rounded[2], "seed": self.seed}
        line.update(self.facts)
        print(json.dumps(line))
        sys.exit(1 if self.failures else 0)

    def program(self, name, allowed=(0,)):
        """Runs a test program of the build; a violation unless it ends with one of these statuses and leaves nothing."""
        start = now_ms()
        try:
            done = subprocess.run([self.build + "/tests/" + name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=120, check=False)
            if done.returncode not in allowed:
                self.violation("%s: %d\n%s" % (name, done.returncode, done.stdout))
        except subprocess.TimeoutExpired:
            self.violation("%s: hangs" % name)
        self.note(now_ms() - start)
        self.expect_clean(name)

    def fuzz(self, targets, seconds, but=()):
        """Runs fuzz targets of tests/fuzz for so long each; None: all that are built, but some. False: none are built
        (-Dfuzz=true, with clang)."""
        for folder in (os.environ.get("WEIR_FUZZ_BUILD"), ROOT + "/build-test/fuzz", self.build):
            if folder and os.path.exists(folder + "/tests/fuzz/fuzz-list"):
                break
        else:
            return False
        if targets is None:
            built = (re.fullmatch(r"fuzz-([a-z-]+)", name) for name in os.listdir(folder + "/tests/fuzz"))
            targets = sorted(match.group(1) for match in built if match and match.group(1) not in but)
        for target in targets:
            done = subprocess.run(["sh", ROOT + "/tests/fuzz/run", str(seconds), "", folder + "/tests/fuzz/fuzz-" + target],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode == 77:
                self.facts[target] = done.stdout.splitlines()[-1]
            elif done.returncode != 0:
                self.violation(done.stdout)
            else:
                self.facts[target] = json.loads(done.stdout.splitlines()[0])["executions"]
        return True

    def crash(self, what, p99_ms=None, max_ms=None):
        """A case that tests/crash has: it makes the trials, here they are judged."""
        program = self.build + "/tests/crash/crash"
        done = subprocess.run([program, what, str(self.trials), str(self.seed)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        if done.returncode == 77:
            self.skip(lines[-1].replace("skipped: ", ""))
        sys.stderr.write(done.stderr)
        found = {}
        for line in lines:
            found.update(json.loads(line))
        self.failures += found.pop("wrong", 0)
        if done.returncode != 0 and not self.failures:
            self.violation("%s ended with %d" % (what, done.returncode))
        figures = [found.pop(key, None) for key in ("median_ms", "p99_ms", "max_ms")]
        for key in ("case", "seed", "trials"):
            found.pop(key, None)
        self.facts.update(found)
        self.figures = lambda: figures
        self.judge(p99_ms, max_ms)
        self.finish()


def files():
    """What is left: in /dev/shm, and in the folder of an address, if a case has one."""
    door = os.environ.get("WEIR_DOOR")
    left = [os.path.dirname(door) + "/" + name for name in os.listdir(os.path.dirname(door))] if door else []
    return sorted(os.listdir("/dev/shm") + left)


def remove(path):
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno == errno.EISDIR or error.errno == errno.EPERM:
            os.rmdir(path)


def children():
    """This process's children, as "pid command state"."""
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            try:
                with open("/proc/%s/stat" % pid) as stat:
                    text = stat.read()
                if int(text.rpartition(")")[2].split()[1]) == os.getpid():
                    found.append(pid + " " + text[text.index("("):].split(")")[0] + ") " + text.rpartition(")")[2].split()[0])
            except (OSError, IndexError):
                pass
    return found


def end_children():
    """Kills what is left of a trial that went wrong, so that the next one is its own: our own children only."""
    for _ in range(20):
        for child in children():
            os.kill(int(child.split()[0]), 9)
        try:
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            if not children():
                return
