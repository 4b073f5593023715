#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks a guide: guides.py ROOT BUILD GUIDE CC...; guides.py --index ROOT; guides.py --self-test.

GUIDE is the name of a Markdown file in examples/guides/. What it says in code is held to be true:

  ```c, ```cpp, ```python, ```cmake
              the block is a passage of a program: the line before is `<!-- from NAME -->`, a file in the guide's
              folder. What the passage's lines are indented by in common is left out
  ```sh       each line is run
  ```console  each line that begins with `$ ` is run (with the lines below that begin with `> `, without that), and
              what stands below it is what it prints, stderr included. In a line … is anything, and a line of it alone any
              lines. A command ends with status 0, unless the next one is `echo $?`. The line before can be
              `<!-- needs WHAT -->`: see NEEDS
  ```text     neither

The commands of a guide are lines of one shell script, in a folder with a copy of all programs of examples/ and
examples/guides/, with an installed copy of BUILD, and with `cc` and `c++` that warn. Where the system allows it they
have a /dev/shm of their own. Each program that the guide has a passage of is named by a command.

--index: all guides are in the index examples/guides/README.md, and all programs of examples/guides/ in a guide.
Exit status: 1 if anything is not so, 77 if all is but something could not be tried."""

import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lint"))
import links  # pylint: disable=wrong-import-position

FOLDER = "examples/guides"
CODE = ("c", "cpp", "python", "cmake")
SHELL = ("sh", "console")
BOUND = 240  # seconds, for all commands of a guide
SHM = 256  # MiB of the commands' own /dev/shm
# What can be missing: a shell command that succeeds where it is there. Any other word is the name of a program.
NEEDS = {
    "gdb": "gdb -q -batch -p $$ -ex bt | grep -q '^#0'",  # where it may attach
    "asan": "echo 'int main(void) { return 0; }' | cc -fsanitize=address -x c - -o needs.out && ./needs.out",
    "core-files": "[ $(cat /proc/sys/kernel/core_pattern) = core ]",
    "numpy": "python3 -c 'import numpy'",
    "cluster": "pkg-config --exists weir-mpi",
    # of libweir-mpi; and a core for each of two processes
    "openmpi": '[ "$(pkg-config --variable=mpi weir-mpi)" = openmpi ] && [ "$(nproc)" -ge 2 ] && mpirun --version | grep -q "Open MPI"',
    "mpich": '[ "$(pkg-config --variable=mpi weir-mpi)" = mpich ] && [ "$(nproc)" -ge 2 ] && mpiexec --version | grep -q HYDRA',
    "openmp": "echo 'int main(void) { return 0; }' | cc -fopenmp -x c - -o needs.out",
    "tbb": "printf '#include <tbb/parallel_for.h>\\nint main() { return 0; }' | c++ -x c++ - -o needs.out -ltbb",
    "user-namespace": "unshare -rm true",
    "private-shm": '[ "$GUIDES_SHM" = private ]',
}
# Of these one is enough: no weir has both.
EITHER = {"openmpi": "mpich", "mpich": "openmpi"}


class Block:
    def __init__(self, number, language, before, lines):
        self.number, self.language, self.before, self.lines = number, language, before, lines


def blocks_of(text):
    """The code blocks of a Markdown file, with the line before each."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if lines[at].startswith("```"):
            end = at + 1
            while end < len(lines) and not lines[end].startswith("```"):
                end += 1
            yield Block(at + 1, lines[at][3:].strip(), lines[at - 1] if at > 0 else "", lines[at + 1:end])
            at = end
        at += 1


def is_passage(block, text):
    """Whether the lines stand in the text, one behind the other, but for what they are indented by in common."""
    wanted = textwrap.dedent("\n".join(block)).splitlines()
    lines = text.splitlines()
    for at in range(len(lines) - len(block) + 1):
        if textwrap.dedent("\n".join(lines[at:at + len(block)])).splitlines() == wanted:
            return True
    return False


def commands_of(block):
    """The commands of a block, each with its line, and with what it prints (None: not compared)."""
    found = []
    for number, line in enumerate(block.lines, block.number + 1):
        if block.language == "sh":
            if line.strip():
                found.append([number, line, None])
        elif line.startswith("$ "):
            found.append([number, line[2:], []])
        elif found and line.startswith("> ") and not found[-1][2]:
            found[-1][1] += "\n" + line[2:]
        elif found:
            found[-1][2].append(line)
    return found


def pattern(lines):
    parts = []
    for line in lines:
        parts.append("(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + "\n")
    return re.compile("".join(parts))


def static_findings(root, name):
    """What is wrong with the guide that can be seen without running anything."""
    path = os.path.join(FOLDER, name)
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    blocks = list(blocks_of(text))
    commands = "\n".join(command for block in blocks if block.language in SHELL for _, command, _ in commands_of(block))
    for finding in links.findings(root, path):
        yield finding
    if len(re.findall(r"^# ", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)) != 1:
        yield "%s: not one title" % path
    for block in blocks:
        where = "%s:%d: " % (path, block.number)
        if block.language not in CODE + SHELL + ("text",):
            yield where + "a block of no known language: %s" % (block.language or "none")
        if block.language not in CODE:
            continue
        source = re.fullmatch(r"<!-- from (\S+) -->", block.before)
        if not source:
            yield where + "code of no program"
            continue
        program = os.path.join(root, FOLDER, source.group(1))
        if not os.path.exists(program):
            yield where + "there is no %s" % source.group(1)
            continue
        with open(program, encoding="utf-8") as file:
            if not is_passage(block.lines, file.read()):
                yield where + "not a passage of %s" % source.group(1)
        if not re.search(r"\b%s\b" % re.escape(os.path.splitext(os.path.basename(program))[0]), commands):
            yield where + "no command of the guide uses %s" % source.group(1)


def script_of(name, blocks, skipped):
    """The shell script of a guide's commands, and a list of them: line, command, what it prints."""
    script, listed = ["set -u; ulimit -S -c 0"], []
    for block in blocks:
        if block.language not in SHELL:
            continue
        need = re.fullmatch(r"<!-- needs (\S+) -->", block.before)
        if need:
            probe = NEEDS.get(need.group(1), "command -v %s" % shlex.quote(need.group(1)))
            script.append("if ! { %s; } >/dev/null 2>&1; then echo '%s:%d: without %s: not tried' >>%s; else"
                          % (probe, name, block.number, need.group(1), skipped))
        for number, command, printed in commands_of(block):
            at = len(listed)
            listed.append((number, command, printed))
            script.append("{ %s\n} >out.%d 2>&1 </dev/null; status=$?; echo $status >status.%d; (exit $status)"
                          % (command, at, at))
        if need:
            script.append("fi")
    return "\n".join(script + ["exit 0", ""]), listed


def run_findings(root, name, folder, environment, wrapper, skipped):
    """Runs the guide's commands in the folder, and yields what is not as it should be."""
    with open(os.path.join(root, FOLDER, name), encoding="utf-8") as file:
        blocks = list(blocks_of(file.read()))
    script, listed = script_of(name, blocks, skipped)
    with open(os.path.join(folder, "guide.sh"), "w", encoding="utf-8") as file:
        file.write(script)
    shell = subprocess.Popen(wrapper + ["sh", "guide.sh"], cwd=folder, env=environment, start_new_session=True)
    try:
        shell.wait(BOUND)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        yield "%s: its commands took more than %d s" % (name, BOUND)
    for at, (number, command, printed) in enumerate(listed):
        where = "%s:%d: " % (name, number)
        try:
            with open(os.path.join(folder, "status.%d" % at), encoding="utf-8") as file:
                status = file.read().strip()
            with open(os.path.join(folder, "out.%d" % at), encoding="utf-8", errors="replace") as file:
                output = file.read()
        except FileNotFoundError:
            if not os.path.exists(skipped):
                yield where + "not run: %s" % command
            continue
        if output and not output.endswith("\n"):
            output += "\n"
        asked = at + 1 < len(listed) and listed[at + 1][1] == "echo $?"
        if status != "0" and not asked:
            yield where + "status %s of: %s\n%s" % (status, command, output)
        elif printed is not None and not pattern(printed).fullmatch(output):
            yield where + "%s\n--- in the guide\n%s\n--- printed\n%s---" % (command, "\n".join(printed), output)


def install(build, folder):
    """Installs the build below the folder, and gives the folders of its pkg-config file, its library and its program."""
    with open(os.path.join(build, "meson-logs", "guides.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--destdir", folder,
                               "--tags", "devel,runtime,python-runtime"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit("weir cannot be installed:\n" + done.stdout)
    for place, _, names in os.walk(folder):
        if "weir.pc" in names:
            for path in (os.path.join(place, name) for name in names if name.endswith(".pc")):
                with open(path, encoding="utf-8") as file:
                    text = file.read()
                with open(path, "w", encoding="utf-8") as file:
                    file.write(re.sub(r"^prefix=", "prefix=" + folder, text, flags=re.M))
            return place, os.path.dirname(place), folder + re.search(r"^prefix=(.*)$", text, re.M)[1] + "/bin"
    sys.exit("no weir.pc is installed")


def private_shm():
    """A command that gives what follows it a /dev/shm of its own; empty where the system does not allow it."""
    mount = "mount -t tmpfs -o size=%dm tmpfs /dev/shm && exec \"$@\"" % SHM
    for unshare in (["unshare", "-m"], ["unshare", "-rm"]):
        wrapper = unshare + ["sh", "-c", mount, "sh"]
        try:
            if subprocess.run(wrapper + ["true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
                return wrapper
        except FileNotFoundError:
            pass
    return []


def check(root, build, name, compiler):
    found = list(static_findings(root, name))
    with tempfile.TemporaryDirectory(prefix="weir-guides.") as work:
        pc, lib, programs = install(build, os.path.join(work, "installed"))
        commands = os.path.join(work, "bin")
        folder = os.path.join(work, "here")
        skipped = os.path.join(work, "skipped")
        os.mkdir(commands)
        os.mkdir(folder)
        # By their paths: "ccache cc" would find the command of that name that is made here.
        compiler = [shutil.which(word) or word for word in compiler]
        for program, words in (("cc", " ".join(map(shlex.quote, compiler))), ("c++", shutil.which("c++") or "false")):
            path = os.path.join(commands, program)
            with open(path, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\nexec %s -Wall -Wextra \"$@\"\n" % words)
            os.chmod(path, 0o755)
        for place in ("examples", FOLDER):
            for entry in os.scandir(os.path.join(root, place)):
                if entry.is_file() and not entry.name.endswith((".md", "meson.build")):
                    shutil.copy(entry.path, folder)
        wrapper = private_shm()
        environment = {key: value for key, value in os.environ.items() if not key.startswith("WEIR_")}
        python = subprocess.run(["pkg-config", "--variable=pythondir", "weir"], text=True, stdout=subprocess.PIPE,
                                env=dict(os.environ, PKG_CONFIG_PATH=pc), check=False).stdout.strip()
        environment.update(PATH=commands + ":" + programs + ":/usr/bin:" + os.environ["PATH"], PKG_CONFIG_PATH=pc, LD_LIBRARY_PATH=lib,
                           LC_ALL="C.UTF-8", PYTHONPATH=python, PYTHONDONTWRITEBYTECODE="1",
                           GUIDES_SHM="private" if wrapper else "",
                           # Open MPI asks twice before it runs for root, and wants a CPU for each rank
                           OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                           OMPI_MCA_rmaps_base_oversubscribe="1")
        found += run_findings(root, name, folder, environment, wrapper, skipped)
        print("\n".join(found))
        if found:
            return 1
        said = said_of(skipped)
        if said:
            print("skipped: " + said)
            return 77
    return 0


def said_of(skipped):
    """What could not be tried, but for what stands for something that was."""
    if not os.path.exists(skipped):
        return ""
    with open(skipped, encoding="utf-8") as file:
        lines = file.readlines()
    missing = {line: re.search(r": without (\S+): not tried$", line).group(1) for line in lines}
    return "".join(line for line in lines if EITHER.get(missing[line], missing[line]) in missing.values())


def index_findings(root):
    """Guides that the index does not name, programs that no guide has a passage of, pictures that none shows."""
    names = sorted(os.listdir(os.path.join(root, FOLDER)))
    guides = [name for name in names if name.endswith(".md") and name != "README.md"]
    with open(os.path.join(root, FOLDER, "README.md"), encoding="utf-8") as file:
        index = file.read()
    sources = set()
    for name in guides:
        if "](%s)" % name not in index:
            yield "%s/README.md: no link to %s" % (FOLDER, name)
        with open(os.path.join(root, FOLDER, name), encoding="utf-8") as file:
            sources.update(re.findall(r"^<!-- from (\S+) -->$|^!\[[^]]*\]\((\S+)\)$", file.read(), re.M))
    shown = {name for source in sources for name in source}
    for name in names:
        if not name.endswith((".md", "meson.build")) and name not in shown:
            yield "%s: in no guide" % name


BAD = """# A guide

[x](none.md) [y](good.md)

<!-- from program.c -->
```c
int one;
int two;
```
<!-- from program.c -->
```c
    int two;
    int three;
```
<!-- from program.c -->
```c
int one;
int three;
```
<!-- from none.c -->
```c
int one;
```
<!-- from unused.py -->
```python
pass
```
```c
int one;
```
```
what
```
```sh
echo of program
false
true
```
```console
$ echo 1 and 2
1 … 2
$ echo 1 and 2
1 … 3
$ seq 5
1
…
5
$ false
$ false
$ echo $?
1
$ echo more
$ cat <<END
> one
> END
one
```
<!-- needs nothing-of-this-name -->
```console
$ false
```
"""


def self_test():
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, FOLDER))
        for name, text in (("bad.md", BAD), ("good.md", "# One\n# Two\n"), ("README.md", "[x](good.md)\n"),
                           ("program.c", "{\n    int one;\n    int two;\n    int three;\n}\n"), ("unused.py", "pass\n"),
                           ("lone.c", ""), ("lone.svg", "")):
            with open(os.path.join(root, FOLDER, name), "w", encoding="utf-8") as file:
                file.write(text)
        found = [finding.split("/")[-1] for finding in static_findings(root, "bad.md")]
        wanted = ["bad.md:3: missing: none.md", "bad.md:16: not a passage of program.c", "bad.md:21: there is no none.c",
                  "bad.md:25: no command of the guide uses unused.py", "bad.md:28: code of no program",
                  "bad.md:31: a block of no known language: none"]
        assert found == wanted, found
        assert list(static_findings(root, "good.md")) == [FOLDER + "/good.md: not one title"]
        found = list(index_findings(root))
        wanted = [FOLDER + "/README.md: no link to bad.md", "lone.c: in no guide", "lone.svg: in no guide"]
        assert found == wanted, found
        skipped = os.path.join(root, "skipped")
        found = [finding.split("\n")[0] for finding in run_findings(root, "bad.md", root, dict(os.environ), [], skipped)]
        wanted = ["bad.md:36: status 1 of: false", "bad.md:42: echo 1 and 2", "bad.md:48: status 1 of: false",
                  "bad.md:52: echo more"]
        assert found == wanted, found
        assert said_of(skipped) == "bad.md:59: without nothing-of-this-name: not tried\n"
        with open(skipped, "a", encoding="utf-8") as file:
            file.write("bad.md:60: without mpich: not tried\n")
        assert said_of(skipped) == "bad.md:59: without nothing-of-this-name: not tried\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif sys.argv[1:2] == ["--index"]:
        FOUND = list(index_findings(sys.argv[2]))
        print("\n".join(FOUND))
        sys.exit(1 if FOUND else 0)
    else:
        sys.exit(check(sys.argv[1], sys.argv[2], sys.argv[3] + ".md", sys.argv[4:]))
