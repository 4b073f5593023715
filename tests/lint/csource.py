# SPDX-License-Identifier: MIT
"""What the lints know of C: where comments are, and which functions a file defines. It reads text as clang-format leaves it:
a function's name stands in a line that begins at column 0, its braces are lines of their own."""

import contextlib
import os
import re
import subprocess
import tempfile

TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
MODULES = ("shm", "manager", "pool")


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def code_of(text):
    """The text with spaces in place of comments and strings."""
    return TOKEN.sub(blank, text)


def comments_of(text):
    """(offset, comment) of each comment. Comments that follow each other line by line are not joined."""
    for match in TOKEN.finditer(text):
        if match.group(0).startswith(("/*", "//")):
            yield match.start(), match.group(0)


class Function:
    """name; static: whether no other file can call it; the offsets of its header, of its body and of its end."""

    def __init__(self, name, static, start, body, end):
        self.name, self.static, self.start, self.body, self.end = name, static, start, body, end


def functions_of(code):
    """The functions that a text without comments defines."""
    found = []
    for match in re.finditer(r"^\{\n", code, re.M):
        end = code.find("\n}", match.start())
        head = code[:match.start()].rstrip("\n")
        start = len(head)
        while start > 0:  # back to the line that begins the header: at column 0, behind an empty line or another end
            line = head.rfind("\n", 0, start) + 1
            text = head[line:start].strip("\n")
            if not text.strip() or text.startswith(("}", "#")) or text.rstrip().endswith(";"):
                break
            start = line - 1 if line else 0
        header = head[start:]
        name = re.search(r"(\w+)\s*\((?!\()", re.sub(r"__attribute__\s*\(\(.*?\)\)", lambda m: " " * len(m.group(0)), header))
        if name and end > 0 and not re.match(r"\s*(?:static |const )*(?:struct|enum|union)\s+\w+\s*=", header):
            found.append(Function(name.group(1), "static" in header.split("(")[0].split(), start, match.start(), end))
    return found


def files_of(root, folders=MODULES):
    """The .c and .h files below the folders, as paths from the root."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "--"] + list(folders),
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout.split("\n")
    if not any(listed):
        listed = [os.path.relpath(os.path.join(folder, name), root)
                  for top in folders for folder, _, names in os.walk(os.path.join(root, top)) for name in names]
    return sorted({path for path in listed if path.endswith((".c", ".h")) and os.path.exists(os.path.join(root, path))})


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


@contextlib.contextmanager
def tree_of(files):
    """A folder with these files (path: text), for a script's own test."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        yield root


def wrong_rules(violations, good, broken):
    """A script's own test: what its `violations(root)` says of a good tree; and each (rule, path, old, new) that it does not
    find, by a line with the rule in it, when the file has new in place of old."""
    def found_in(files):
        with tree_of(files) as root:
            return violations(root)

    return ["the good tree: " + line for line in found_in(good)] + \
        ["%s: not found with %r in place of %r" % (rule, new, old) for rule, path, old, new in broken
         if not any(rule in line for line in found_in({**good, path: good[path].replace(old, new)}))]
