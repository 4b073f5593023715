#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks the tables "Relaxed atomics" of the modules' READMEs: relaxed.py [ROOT]; relaxed.py --self-test;
relaxed.py --list prints what the code has.

A row is a variable, or several with one reason; the functions that use it with memory_order_relaxed; and why that is enough
on a machine that lets loads and stores pass each other:

    | `variable`, `other` | file.c: function(), function(); file.h: function() | why |

Each relaxed access of a module must be in a row of its README, and each function in a row must have such an access."""

import os
import re
import sys

from csource import MODULES, code_of, files_of, functions_of, line_of, read, wrong_rules

CALL = re.compile(r"\batomic_(?:load|store|exchange|fetch_\w+|compare_exchange_\w+)_explicit\s*\(")
ROW = re.compile(r"^\| (`[^|]*`) \| ([^|]*\.[ch]: [^|]*) \| ([^|]*[^| ][^|]*) \|$", re.M)


def arguments_of(code, start):
    """The arguments of the call whose parenthesis ends at start."""
    depth, begin, found = 1, start, []
    for at in range(start, len(code)):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(code[at], 0)
        if depth == 0 or depth == 1 and code[at] == ",":
            found.append(code[begin:at])
            begin = at + 1
        if depth == 0:
            break
    return found


def variable_of(argument):
    """The member or variable that an expression names: `&header->list[i].head` is head, `word_at(dict, w)` is word_at()."""
    text = re.sub(r"^\(const _Atomic \w+ \*\)|^\(_Atomic \w+ \*\)", "", " ".join(argument.split()))
    while True:
        shorter = re.sub(r"\[[^][]*\]", "", text)
        if shorter == text:
            break
        text = shorter
    call = re.match(r"&?(\w+)\(.*\)$", text)
    if call:
        return call.group(1) + "()"
    call = re.match(r"&\w+\(.*\)->(\w+)$", text)
    return call.group(1) if call else re.split(r"->|\.", text.lstrip("&*"))[-1].strip()


def accesses(root, module):
    """{(variable, file's name, function): line} of what a module does relaxed."""
    found = {}
    for path in files_of(root, [module]):
        code = code_of(read(root, path))
        functions = functions_of(code)
        for match in CALL.finditer(code):
            arguments = arguments_of(code, match.end())
            if not any(argument.strip() == "memory_order_relaxed" for argument in arguments):
                continue
            inside = [f.name for f in functions if f.start <= match.start() < f.end]
            key = variable_of(arguments[0]), os.path.basename(path), inside[0] if inside else "?"
            found.setdefault(key, "%s:%d" % (path, line_of(code, match.start())))
    return found


def rows(root, module):
    """The same keys as the module's README has them, and what is wrong with its rows."""
    text = read(root, module + "/README.md")
    found, wrong = set(), []
    for variables, places, _ in ROW.findall(text):
        for place in places.split(";"):
            name, _, functions = place.strip().partition(": ")
            for function in functions.split(","):
                if not re.fullmatch(r"\w+\(\)", function.strip()):
                    wrong.append("%s/README.md: no function: %s" % (module, function.strip()))
                found |= {(variable.strip(" `"), name, function.strip()[:-2]) for variable in variables.split(",")}
    return found, wrong


def violations(root):
    found = []
    for module in MODULES:
        code, (table, wrong) = accesses(root, module), rows(root, module)
        found += wrong
        found += ["%s: `%s` in %s() is relaxed, and not in a row of %s/README.md that says why this is enough" %
                  (code[key], key[0], key[2], module) for key in sorted(code) if key not in table]
        # of several variables in a row each is in one of its functions, and in each function is one of them
        in_code = {(variable, None) for variable, _, _ in code} | {key[1:] for key in code}
        found += ["%s/README.md: `%s` is nowhere relaxed" % (module, variable)
                  for variable in sorted({key[0] for key in table}) if (variable, None) not in in_code]
        found += ["%s/README.md: %s() in %s does nothing relaxed" % (module, function, file)
                  for file, function in sorted({key[1:] for key in table}) if (file, function) not in in_code]
    return found


def listing(root):
    for module in MODULES:
        by_variable = {}
        for variable, file, function in sorted(accesses(root, module)):
            by_variable.setdefault(variable, {}).setdefault(file, []).append(function + "()")
        for variable, files in sorted(by_variable.items()):
            print("%s | `%s` | %s | |" % (module, variable, "; ".join(
                "%s: %s" % (file, ", ".join(functions)) for file, functions in files.items())))


# ---- each rule finds what breaks it

GOOD = {
    "shm/README.md": "| Variable | Where | Why |\n|---|---|---|\n| `a`, `b` | x.c: get(), set() | single writer |\n",
    "shm/x.c": "int get(void)\n{\n    return atomic_load_explicit(&x->a[f(1)], memory_order_relaxed);\n}\n\n"
               "void set(void)\n{\n    atomic_store_explicit(&x->b, atomic_load_explicit(&c, memory_order_acquire),\n"
               "                          memory_order_relaxed);\n}\n",
    "manager/README.md": "", "pool/README.md": "",
}
BROKEN = [
    ("`c` in get() is relaxed", "shm/x.c", "x->a[f(1)]", "x->c"),
    ("`c` in set() is relaxed", "shm/x.c", "&c, memory_order_acquire", "&c, memory_order_relaxed"),
    ("`a` in got() is relaxed", "shm/x.c", "int get", "int got"),
    ("get() in x.c does nothing", "shm/x.c", "f(1)], memory_order_relaxed", "f(1)], memory_order_acquire"),
    ("`c` is nowhere", "shm/README.md", "`b`", "`b`, `c`"),
    ("is relaxed, and not in a row", "shm/README.md", "| single writer |", "| |"),
    ("no function", "shm/README.md", "set()", "set"),
]


def main(arguments):
    if arguments == ["--list"]:
        listing(".")
        return 0
    if arguments == ["--self-test"]:
        found = wrong_rules(violations, GOOD, BROKEN)
    else:
        found = violations(os.path.abspath(arguments[0] if arguments else "."))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
