#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks which file may need which: includes.py [--build BUILD-FOLDER] [ROOT]; includes.py --self-test.

A file is X.c together with X.h. It needs another one whose header it includes, or whose functions or objects it uses. With a
build folder the uses are those of the object files (nm); otherwise those in the text. The rules:

  module       pool -> manager -> shm, nothing upwards
  room         inside pool: jobs and map_reduce -> host and worker -> control; supervisor -> control; host, worker and
               supervisor never each other; tool control and host. Inside manager: program only scope_file and wire; nothing
               needs program, tool or mpi, which is a library of its own
  circle       no circle of files
  allocator    no allocator, and no stream of stdio, in pool/control and pool/supervisor
"""

import json
import os
import re
import subprocess
import sys

from csource import MODULES, code_of, files_of, functions_of, line_of, read, tree_of

BELOW = {"shm": {"shm"}, "manager": {"shm", "manager"}, "pool": {"shm", "manager", "pool"}}

# What the files of a room may need in their own module besides their own room and its public headers.
ROOMS = {
    "pool/control": set(),
    "pool/worker": {"pool/control"},
    "pool/supervisor": {"pool/control"},
    "pool/host": {"pool/control"},
    "pool/jobs": {"pool/control", "pool/host", "pool/worker"},
    "pool/map_reduce": {"pool/control", "pool/host", "pool/worker"},
    "pool/tool": {"pool/control", "pool/host"},
    "manager/program": {"manager/scope_file", "manager/wire"},
}
# A forked child goes on in the main function of another room, and never comes back. That is no need of the room where fork()
# stands; but a circle of files that goes through it is one.
ENTRIES = {"weir__supervisor_main", "weir__worker_main"}
# Rooms that no other room needs.
CLOSED = {"manager/program", "pool/tool", "pool/mpi"}

NO_ALLOCATOR = ("pool/control", "pool/supervisor")
ALLOCATOR = re.compile(r"\b(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|memalign|valloc|free|strdup|strndup"
                       r"|asprintf|vasprintf|open_memstream|fopen|fdopen|tmpfile|opendir|fdopendir|getline|getdelim)\s*\(")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+["<]([^">]+)[">]', re.M)


def room_of(path):
    """"pool/host", or "pool" for a file that is in no room."""
    return "/".join(path.split("/")[:-1][:2])


def unit_of(path):
    return re.sub(r"\.[ch]$", "", path)


class Tree:
    def __init__(self, root, build=None):
        self.root = root
        self.files = files_of(root)
        self.text = {path: read(root, path) for path in self.files}
        self.code = {path: code_of(self.text[path]) for path in self.files}
        self.needs = {}  # (from, to), paths -> what it is that is needed
        self.entered = set()  # the same, where a process begins there
        self.note_includes()
        uses = self.uses_in_objects(build) if build else None
        for user, name, owner in uses if uses is not None else self.uses_in_text():
            if name in ENTRIES:
                self.entered.add((user, owner))
            else:
                self.needs.setdefault((user, owner), "uses %s" % name)

    def note_includes(self):
        for path in self.files:
            for match in INCLUDE.finditer(self.text[path]):
                if self.code[path][match.start():match.end()].strip().startswith("#"):
                    target = self.find(path, match.group(1))
                    if target:
                        self.needs.setdefault((path, target),
                                              "line %d includes it" % line_of(self.text[path], match.start()))

    def find(self, path, name):
        """The file of the tree that an #include means: from the root, from the file's folder, or a public header."""
        for candidate in (name, os.path.normpath(os.path.join(os.path.dirname(path), name))):
            if candidate in self.text:
                return candidate
        if "/" not in name:
            for module in MODULES:
                if module + "/" + name in self.text:
                    return module + "/" + name
        return None

    def uses_in_text(self):
        owner = {}
        for path in self.files:
            if path.endswith(".c"):
                for function in functions_of(self.code[path]):
                    if not function.static:
                        owner[function.name] = path
                for match in re.finditer(r"^(?:const |_Atomic |struct \w+ |unsigned |\w+ )+\**(weir_\w+)(?:\[.*?\])? (?:=|;)",
                                         self.code[path], re.M):
                    if not match.group(0).startswith(("static", "extern", "typedef")):
                        owner[match.group(1)] = path
        for path in self.files:
            for name in sorted(set(re.findall(r"\bweir_\w+", self.code[path]))):
                if path.endswith(".c") and name in owner and owner[name] != path:
                    yield path, name, owner[name]

    def uses_in_objects(self, build):
        """As nm tells; None if there are no objects."""
        try:
            with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
                commands = json.load(file)
        except OSError:
            return None
        owner, wanted = {}, []
        for command in commands:
            source = os.path.relpath(os.path.normpath(os.path.join(command["directory"], command["file"])), self.root)
            object_file = os.path.join(command["directory"], command["output"])
            if source not in self.text or command["output"].split("/")[0] not in MODULES:
                continue
            listed = subprocess.run(["nm", "-P", object_file], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                    check=False)
            if listed.returncode != 0:
                return None
            for line in listed.stdout.splitlines():
                name, kind = line.split()[:2]
                if kind in "TDBRVWC":
                    owner.setdefault(name, source)
                elif kind == "U":
                    wanted.append((source, name))
        if not owner:
            return None
        return [(source, name, owner[name]) for source, name in wanted if name in owner and owner[name] != source]

    # ---- the rules

    def violations(self):
        found = []
        for (path, target), why in sorted(self.needs.items()):
            room, other = room_of(path), room_of(target)
            module, below = path.split("/")[0], target.split("/")[0]
            if below not in BELOW[module]:
                found.append("module: %s needs %s (%s): %s is above %s" % (path, target, why, below, module))
            elif room != other and other in CLOSED:
                found.append("room: %s needs %s (%s): nothing needs %s" % (path, target, why, other))
            elif module == below and room in ROOMS and room != other and "/" in other and other not in ROOMS[room]:
                found.append("room: %s needs %s (%s): %s does not need %s" % (path, target, why, room, other))
        for path in self.files:
            if room_of(path) in NO_ALLOCATOR:
                for match in ALLOCATOR.finditer(self.code[path]):
                    found.append("allocator: %s:%d: %s() in %s" % (path, line_of(self.code[path], match.start()), match.group(1),
                                                                 room_of(path)))
        for circle in self.circles():
            found.append("circle: " + self.describe(circle))
        return found

    def units(self):
        edges = {}
        for path in self.files:
            edges.setdefault(unit_of(path), set())
        for path, target in set(self.needs) | self.entered:
            if unit_of(path) != unit_of(target):
                edges[unit_of(path)].add(unit_of(target))
        return edges

    def circles(self):
        """Tarjan's strongly connected components with more than one file."""
        edges, index, low, stack, on, found = self.units(), {}, {}, [], set(), []

        def visit(unit):
            index[unit] = low[unit] = len(index)
            stack.append(unit)
            on.add(unit)
            for other in sorted(edges[unit]):
                if other not in index:
                    visit(other)
                    low[unit] = min(low[unit], low[other])
                elif other in on:
                    low[unit] = min(low[unit], index[other])
            if low[unit] == index[unit]:
                circle = []
                while not circle or circle[-1] != unit:
                    circle.append(stack.pop())
                    on.discard(circle[-1])
                if len(circle) > 1:
                    found.append(sorted(circle))

        sys.setrecursionlimit(10000)
        for unit in sorted(edges):
            if unit not in index:
                visit(unit)
        return found

    def describe(self, circle):
        """The files, and a shortest way round from the first one."""
        edges = self.units()
        ways, seen = [[circle[0]]], set()
        while ways:
            way = ways.pop(0)
            for other in sorted(edges[way[-1]] & set(circle)):
                if other == circle[0]:
                    steps = []
                    for unit, after in zip(way, way[1:] + [circle[0]]):
                        why = next(("%s: %s" % (path, why) for (path, target), why in sorted(self.needs.items())
                                    if unit_of(path) == unit and unit_of(target) == after), "forks into it")
                        steps.append("%s -> %s (%s)" % (unit, after, why))
                    return "%d files need each other: %s\n    %s" % (len(circle), " ".join(circle), "\n    ".join(steps))
                if other not in seen:
                    seen.add(other)
                    ways.append(way + [other])
        return " ".join(circle)


# ---- each rule finds what breaks it

GOOD = {
    "shm/weir-shm.h": "int weir_shm_do(void);\n",
    "shm/block/block.c": '#include "weir-shm.h"\n\nint weir_shm_do(void)\n{\n    return 0; /* weir__host_run() */\n}\n',
    "manager/scope_file/scope.h": "int weir__scope(void);\n",
    "manager/scope_file/scope.c": '#include "manager/scope_file/scope.h"\n\nint weir__scope(void)\n{\n    return weir_shm_do();\n}\n',
    "manager/program/main.c": '#include "manager/scope_file/scope.h"\n\nint main(void)\n{\n    return weir__scope();\n}\n',
    "pool/control/park.h": "int weir__park(void);\n",
    "pool/control/park.c": '#include "pool/control/park.h"\n\nint weir__park(void)\n{\n    return 0; /* free(it) */\n}\n',
    "pool/host/run.c": '#include "pool/control/park.h"\n\nint weir__host_run(void)\n{\n    free("malloc(1)");\n    return weir__park();\n}\n',
    "pool/worker/main.c": '#include "pool/control/park.h"\n\nint weir__work(void)\n{\n    return weir__park();\n}\n',
    "pool/jobs/for.c": "int weir__for(void)\n{\n    return weir__work() + weir__host_run();\n}\n",
    "pool/supervisor/supervisor.c": '#include "pool/control/park.h"\n\nint weir__supervisor_main(void)\n{\n    return 0;\n}\n',
    "pool/host/fork.c": "int weir__start(void)\n{\n    return weir__supervisor_main();\n}\n",
}
BAD = [
    ("module", "shm/list/list.c", '#include "manager/scope_file/scope.h"\n'),
    ("module", "shm/list/list.c", "int weir__list(void)\n{\n    return weir__park();\n}\n"),
    ("module", "manager/host/ask.c", '#include "pool/control/park.h"\n'),
    ("room", "manager/program/server.c", '#include "manager/host/state.h"\n'),
    ("room", "manager/host/ask.c", '#include "manager/program/server.h"\n'),
    ("room", "pool/control/bell.c", "int weir__bell(void)\n{\n    return weir__host_run();\n}\n"),
    ("room", "pool/host/begin.c", "int weir__fork(void)\n{\n    return weir__work();\n}\n"),
    ("room", "pool/worker/task.c", "int weir__task(void)\n{\n    return weir__for();\n}\n"),
    ("room", "pool/supervisor/deadline.c", "int weir__deadline(void)\n{\n    return weir__host_run();\n}\n"),
    ("circle", "pool/control/park.h", '#include "pool/control/bell.h"\n'),
    ("circle", "pool/supervisor/deadline.c", '#include "pool/supervisor/supervisor.h"\n\nint weir__deadline(void)\n{\n    return 0;\n}\n'),
    ("circle", "shm/block/map.c", "int weir__map(void)\n{\n    return weir__limit();\n}\n"),
    ("allocator", "pool/control/bell.c", "int weir__bell(void)\n{\n    return malloc(4) != 0;\n}\n"),
    ("allocator", "pool/supervisor/deadline.c", "int weir__deadline(void)\n{\n    return fopen(0, 0) != 0;\n}\n"),
]
BESIDE = {
    "manager/host/state.h": "", "manager/program/server.h": "",
    "pool/control/bell.h": '#include "pool/control/park.h"\n',
    "pool/supervisor/supervisor.h": '#include "pool/supervisor/deadline.h"\n', "pool/supervisor/deadline.h": "",
    "shm/block/limit.c": "int weir__limit(void)\n{\n    return weir__map();\n}\n",
}


def violations_in(files):
    with tree_of(files) as root:
        return Tree(root).violations()


def self_test():
    wrong = ["the good tree: " + line for line in violations_in(GOOD)]
    for rule, path, text in BAD:
        found = violations_in({**GOOD, **BESIDE, path: text})
        if not any(line.startswith(rule + ":") for line in found):
            wrong.append("%s: not found in %s: %r" % (rule, path, text))
    return wrong


def main(arguments):
    if arguments == ["--self-test"]:
        found = self_test()
    else:
        build = arguments[1] if arguments[:1] == ["--build"] else None
        rest = arguments[2:] if build else arguments
        found = Tree(os.path.abspath(rest[0] if rest else "."), build).violations()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
