# SPDX-License-Identifier: MIT
"""Every system call of every role, and what to do at it. See inject.c."""

import errno
import json
import os
import signal
import subprocess
import sys

from faults import HANG_MS, files, now_ms

MODES = ("life", "anonymous", "calls")
ROLES = ("host", "between", "manager", "supervisor", "worker", "client")

# Which call can fail how.
MAKES_FILES = {"openat", "socketpair", "pidfd_open", "epoll_create1", "eventfd2", "pipe2", "dup", "memfd_create", "socket",
               "accept4"}
CAN = {
    errno.ENOSPC: {"openat", "fallocate", "ftruncate", "linkat", "pwrite64", "epoll_ctl", "bind", "mkdir"},
    errno.EMFILE: MAKES_FILES,
    errno.ENOMEM: MAKES_FILES | {
        "mmap", "munmap", "mprotect", "madvise", "clone", "clone3", "fork", "vfork", "execve", "poll", "ppoll",
        "epoll_ctl", "sendto", "recvfrom", "linkat", "unlink", "unlinkat", "newfstatat", "fallocate", "getdents64", "fcntl",
        "pwrite64", "sendmsg", "recvmsg", "connect", "bind", "statx", "mkdir"},
    errno.EAGAIN: {"clone", "clone3", "fork", "vfork", "sendto", "recvfrom", "fcntl", "poll", "ppoll", "madvise", "mmap",
                   "read", "sendmsg", "recvmsg", "connect", "accept4"},
    errno.EINTR: {"openat", "read", "write", "pread64", "pwrite64", "fallocate", "poll", "ppoll", "epoll_wait",
                  "epoll_pwait", "recvfrom", "sendto", "wait4", "waitid", "flock", "fcntl", "futex", "getrandom",
                  "clock_nanosleep", "ftruncate", "sendmsg", "recvmsg", "connect", "accept4"},
}
# A sanitizer makes these calls for itself, and ends the program when they fail.
SANITIZERS = {"mmap", "munmap", "mprotect", "madvise"}


def failures(all_points):
    """All (role, call, n, errno, once or ever). EINTR comes once: nobody is interrupted for ever."""
    return [(role, call, n, error, how)
            for role, call, n in all_points
            for error, calls in CAN.items() if call in calls
            for how in ("once", "ever") if (error, how) != (errno.EINTR, "ever")]


def inject(case, *arguments, mode="life"):
    """Runs a life (or another mode) with that injection: (what inject says, what the program said)."""
    read, write = os.pipe()
    # The subject and all it starts are traced, so none of them is checked for leaks by a sanitizer.
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1")
    address = [case.folder()] if mode == "calls" else []
    program = subprocess.Popen(
        ["/bin/sh", "-c", 'exec 3>&%d "$0" "$@"' % write, case.build + "/tests/faults/inject"]
        + [str(a) for a in arguments] + [case.subject, mode] + address,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=(write,),
        env=environment)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    output = program.communicate(timeout=2 * HANG_MS / 1e3)[0]
    if program.returncode == 77:
        case.skip(output.strip().replace("skipped: ", ""))
    return json.loads(text), output


def points(case, mode="life"):
    """All (role, call, n): the most that any of some lives made of it."""
    most = {}
    for _ in range(3):
        found, output = inject(case, "count", mode=mode)
        if found["status"] != 0:
            case.violation("%s without any fault failed: %s" % (mode, output))
        case.expect_clean("%s without any fault" % mode)
        for role in ROLES:
            for call, count in found["counts"][role].items():
                most[role, call] = max(count, most.get((role, call), 0))
    return [(role, call, n) for (role, call), count in sorted(most.items()) for n in range(1, count + 1)]


def number(point):
    """Its n: the first number in it."""
    return next(part for part in point if isinstance(part, int))


def choose(case, all_points):
    """As many as there are to be trials: the first of each call of each role, and others by chance."""
    if case.only:
        all_points = [point for point in all_points if case.only in " ".join(map(str, point))]
    if case.sanitized:
        all_points = [point for point in all_points if not SANITIZERS.intersection(point)]
    if len(all_points) <= case.trials:
        return all_points
    first = [point for point in all_points if number(point) == 1]
    others = [point for point in all_points if number(point) > 1]
    case.random.shuffle(first)
    case.random.shuffle(others)
    return sorted((first + others)[:case.trials])


def judge(case, what, found, output):
    """After an injection: no hang, an end that is allowed, and clean, if need be by the next start."""
    status = found["status"]
    killed = os.WIFSIGNALED(status)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    host_was_victim = "host " in what and " kill " in what

    if found["hang"]:
        case.violation("%s: hangs" % what)
    elif killed and not (host_was_victim and os.WTERMSIG(status) == signal.SIGKILL):
        case.violation("%s: ended by signal %d\n%s" % (what, os.WTERMSIG(status), output))
    elif not killed and code not in (0, 10):
        case.violation("%s: status %s\n%s" % (what, code, output))
    elif code == 10 and "code 0 " in output:
        case.violation("%s: failed without an error\n%s" % (what, output))
    case.facts["reported"] = case.facts.get("reported", 0) + (code == 10)
    case.facts["fired"] = case.facts.get("fired", 0) + bool(found["fired"])
    ms = case.wait_clean()
    for name in files():
        if name.startswith("weir_"):  # a stand-alone block, which is its maker's to unlink
            os.unlink("/dev/shm/" + name)
            ms = 0 if not files() else ms
    if ms is None and files():
        if what.startswith("anonymous:"):
            case.violation("%s: an anonymous scope has files" % what)
        case.facts["swept"] = case.facts.get("swept", 0) + 1
        print("%s: clean after the next start only" % what, file=sys.stderr)
        start = now_ms()
        case.run("sweep")
        ms = now_ms() - start
        case.expect_clean(what + ", and the next start")
    elif ms is None:
        case.expect_clean(what)
    return ms


def name_of(error):
    return errno.errorcode[error]
