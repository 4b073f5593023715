#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks the remarks at atomics that name their counterparts: pairs.py [ROOT]; pairs.py --self-test.

A remark is the words "pairs with" in a comment, up to the next colon, semicolon, full stop or the comment's end:

    pairs with FILE, FUNCTION()        FILE: a path or a base name
    pairs with FUNCTION()              in the same file, or of a name that is the only one (weir_...)
    pairs with the release in FUNCTION and FUNCTION
    pairs with the acquire above       (or below): in the same function; nothing is looked up
    pairs with nothing

The function must be defined in that file, and a remark in it or in the comment above it must name the pair back: the file or
the function of the first remark."""

import os
import re
import sys

from csource import code_of, comments_of, files_of, functions_of, line_of, read, wrong_rules

REMARK = re.compile(r"\b[Pp]airs with\b(.*?)(?=\bpairs with\b|$)", re.S)
FILE = re.compile(r"\b[\w/-]+\.[ch]\b")
STOP = re.compile(r"[:;]|\.(?![ch]\b)|\n[ \t]*\n")
NO_NAMES = {"the", "a", "an", "of", "in", "and", "or", "both", "that", "those", "this"}


class Remark:
    def __init__(self, path, line, function, names, files, wrong):
        self.path, self.line, self.function = path, line, function
        self.names, self.files, self.wrong = names, files, wrong


class Tree:
    def __init__(self, root):
        self.files = files_of(root)
        self.text = {path: read(root, path) for path in self.files}
        self.functions = {path: functions_of(code_of(self.text[path])) for path in self.files}
        self.defined = {}  # name -> the files that define it
        for path in self.files:
            for function in self.functions[path]:
                self.defined.setdefault(function.name, []).append(path)
        self.remarks = [remark for path in self.files for remark in self.remarks_of(path)]

    def function_at(self, path, offset, end):
        """The function that a comment is in or directly above."""
        for function in self.functions[path]:
            if function.start <= offset < function.end:
                return function.name
            if offset < function.start and not self.text[path][end:function.start].strip():
                return function.name
            if end <= function.start + 1 and self.text[path][end:function.start + 1].strip() == "":
                return function.name
        return None

    def remarks_of(self, path):
        for offset, comment in comments_of(self.text[path]):
            words = re.sub(r"\n[ \t]*\* ?", "\n ", comment.strip("/").strip("*"))
            for match in REMARK.finditer(words):
                clause = match.group(1)
                stop = STOP.search(clause)
                clause = " ".join((clause[:stop.start()] if stop else clause).split())
                line = line_of(self.text[path], offset) + words.count("\n", 0, match.start())
                if re.match(r"(nothing|no )", clause):
                    continue
                function = self.function_at(path, offset, offset + len(comment))
                names, files, wrong = self.names_in(path, clause)
                if not names and not wrong and not re.search(r"\b(above|below)\b", clause):
                    wrong = ["names no function"]
                yield Remark(path, line, function, names, files, ["%s: \"pairs with %s\"" % (what, clause) for what in wrong])

    def files_named(self, clause):
        """file name -> the files of the tree that it may mean."""
        return {name: [path for path in self.files if path == name or path.endswith("/" + name)] for name in FILE.findall(clause)}

    def names_in(self, path, clause):
        """[(function, the files it is looked for in)], the files named, what is wrong."""
        named, wrong, names = self.files_named(clause), [], []
        for name, paths in named.items():
            if not paths:
                wrong.append("there is no file %s" % name)
        targets = [target for paths in named.values() for target in paths]
        clause = FILE.sub(lambda match: "\0" + " " * len(match.group(0)), clause)
        for match in re.finditer(r"\b([A-Za-z_]\w*)(\(\))?", clause):
            word, call = match.groups()
            before = clause[:match.start()].split()
            after_file = re.search(r"\0\s*,\s*$", clause[:match.start()]) is not None
            listed = bool(before) and (before[-1] in ("in", "of", "and", "or", "with") or before[-1].endswith(","))
            is_here = (listed or not before) and self.is_defined(word, targets or [path])
            if not (call or after_file or word.startswith("weir_") or is_here):
                continue
            if not call and not word.startswith("weir_") and word in NO_NAMES:
                continue
            places = [place for place in self.defined.get(word, []) if place in targets] or \
                     ([path] if path in self.defined.get(word, []) else []) or \
                     (self.defined.get(word, []) if not targets and word.startswith("weir_") else [])
            if not places:
                elsewhere = self.defined.get(word, [])
                place = " or ".join(named) if named else "this file"
                wrong.append("there is no function %s in %s%s" %
                             (word, place, ", but in " + " and ".join(elsewhere) if elsewhere else ""))
            names.append((word, places))
        return names, targets, wrong

    def is_defined(self, word, places):
        return any(place in places for place in self.defined.get(word, []))

    def names_back(self, remark, name, places):
        """Whether a remark in or above the function `name` names this remark's file or function."""
        if remark.function == name and remark.path in places:  # it says that both ends are in one function
            return True
        for other in self.remarks:
            if other.path in places and other.function == name and other is not remark:
                back = {word for word, _ in other.names}
                if remark.path in other.files or remark.function in back or \
                        (remark.function is None and any(remark.path in where for _, where in other.names)):
                    return True
        return False

    def violations(self):
        found = []
        for remark in self.remarks:
            place = "%s:%d: " % (remark.path, remark.line)
            found += [place + wrong for wrong in remark.wrong]
            for name, places in remark.names:
                if places and not self.names_back(remark, name, places):
                    found.append("%s%s() in %s does not name %s back" %
                                 (place, name, places[0], remark.function + "()" if remark.function else remark.path))
        return found


# ---- each rule finds what breaks it

PAIR = {
    "pool/park.c": "static void sleep(void)\n{\n    /* seq_cst; pairs with ring.c, wake(): it looks then */\n    look();\n}\n\n"
                   "void weir__park(void)\n{\n    /* pairs with the release in weir__ring. */\n    /* pairs with the acquire below */\n}\n",
    "pool/ring.c": "/* pairs with park.c, sleep() */\nstatic void wake(void)\n{\n    look();\n}\n\n"
                   "void weir__ring(void)\n{\n    /* release: pairs with weir__park; relaxed, pairs with nothing. */\n    look();\n}\n",
}
BROKEN = [
    ("there is no file", "pool/park.c", "ring.c, wake", "rings.c, wake"),
    ("there is no function", "pool/park.c", "ring.c, wake", "ring.c, wakes"),
    ("there is no function", "pool/park.c", "weir__ring.", "weir__rings."),
    ("there is no function", "pool/park.c", "ring.c, wake", "wake"),
    ("names no function", "pool/park.c", "ring.c, wake()", "ring.c"),
    ("does not name", "pool/ring.c", "/* pairs with park.c, sleep() */\n", ""),
    ("does not name", "pool/ring.c", "pairs with weir__park;", "alone;"),
]


def main(arguments):
    if arguments == ["--self-test"]:
        found = wrong_rules(lambda root: Tree(root).violations(), PAIR, BROKEN)
    else:
        found = Tree(os.path.abspath(arguments[0] if arguments else ".")).violations()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
