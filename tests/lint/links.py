#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks the documents' links: links.py [ROOT]; links.py --self-test.

  missing   a link of a Markdown file to a file of the tree that is not there
  anchor    a link to a heading that the file does not have
  width     a line of prose that is longer than 100 columns: not of a table or a code block, nor a single word

Links to other places are not followed. Files are those that git tracks, or would."""

import os
import re
import subprocess
import sys
import tempfile

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
WIDTH = 100


def prose(text):
    """The lines outside of code blocks, with their numbers."""
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            code = not code
        elif not code:
            yield number, line


def anchors(text):
    """The headings as GitHub names them."""
    for _, line in prose(text):
        if line.startswith("#"):
            title = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            yield title.replace(" ", "-")


def findings(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    for number, line in prose(text):
        where = "%s:%d: " % (path, number)
        if len(line) > WIDTH and " " in line and not line.startswith(("|", "    ")):
            yield where + "width: %d columns" % len(line)
        for target in LINK.findall(re.sub(r"`[^`]*`", "", line)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
            full = os.path.join(root, file)
            if not os.path.exists(full):
                yield where + "missing: %s" % target
            elif anchor and os.path.isfile(full):
                with open(full, encoding="utf-8") as other:
                    if anchor not in anchors(other.read()):
                        yield where + "anchor: %s" % target


def self_test():
    with tempfile.TemporaryDirectory() as root:
        os.mkdir(os.path.join(root, "sub"))
        for name, text in (("a.md", "# The one\n\n[x](b.md) [x](sub/c.md#two) [x](#the-one) [x](https://x/y)\n"
                                    "[`x`](sub/none.md) [x](#none) `[x](code.md)`\n```\n[x](code.md)\n```\n"),
                           ("b.md", "x " + "x" * 99 + "\n| " + "x" * 101 + "\n"), ("sub/c.md", "## Two\n[x](../a.md)\n")):
            with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                file.write(text)
        found = [line for name in ("a.md", "b.md", "sub/c.md") for line in findings(root, name)]
    assert found == ["a.md:4: missing: sub/none.md", "a.md:4: anchor: #none", "b.md:1: width: 101 columns"], found


def main(root="."):
    names = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "*.md"], check=True,
                           stdout=subprocess.PIPE, text=True).stdout.split()
    found = [line for name in names if os.path.exists(os.path.join(root, name)) for line in findings(root, name)]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        sys.exit(main(*sys.argv[1:]))
