# SPDX-License-Identifier: MIT
"""check.py LIBRARY ROOT VERSION CC...: the library's outside is exactly what the headers promise.

 - It exports every WEIR_API function of the public headers and nothing else, each under the version that pool/weir.map has
   for it. (baseline.sh sees that none goes missing.)
 - Each symbol carries a version, the soname is libweir.so.0, and nothing is needed but libc, libuv, jansson and libsodium.
 - A program that refers to every function links and runs against the library.
"""

import os
import re
import subprocess
import sys
import tempfile

HEADERS = ("shm/weir-shm.h", "manager/weir-scope.h", "pool/weir-pool.h", "pool/weir-future.h",
           "pool/weir-map-reduce.h", "pool/weir-process.h", "pool/weir.h")
# libgcc_s unwinds: a function of the program's can be left by an exception.
NEEDED = {"libc.so.6", "libgcc_s.so.1", "libuv.so.1", "libjansson.so.4", "libsodium.so.23", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}

library, root, version = sys.argv[1:4]
cc = sys.argv[4:]
failures = []


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def compare(what, found, wanted):
    for name in sorted(found - wanted):
        failures.append("%s: unexpected %s" % (what, name))
    for name in sorted(wanted - found):
        failures.append("%s: %s is missing" % (what, name))


def declared():
    """The names of the functions that the public headers declare."""
    names = set()
    for header in HEADERS:
        with open(os.path.join(root, header)) as file:
            text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
        text = re.sub(r"^\s*#(?:.*\\\n)*.*$", "", text, flags=re.M)
        for declaration in re.findall(r"\bWEIR_API\b([^;{]*);", text):
            names.add(re.search(r"(\w+)\s*\(", declaration).group(1))
        inline = set(re.findall(r"static inline (?:WEIR_MUST_CHECK )?[\w ]+? \*?(\w+)\(", text))
        undecorated = set(re.findall(r"^[\w ]+?[ *](weir_\w+)\(", re.sub(r"WEIR_API[^;{]*;", "", text), re.M))
        compare(header + ": function without WEIR_API", undecorated, inline & undecorated)
    return names


def exported():
    names = set()
    for line in run("nm", "-D", "--defined-only", library).splitlines():
        kind, symbol = line.split()[-2:]
        if kind == "A":
            continue  # the version node itself
        name, at, node = symbol.partition("@@")
        if not at or node != versions().get(name):
            failures.append("%s does not carry the version of weir.map" % symbol)
        if kind not in "Ti":
            failures.append("%s is data (%s); only functions are exported" % (name, kind))
        names.add(name)
    return names


def versions():
    """{function: version} as pool/weir.map has it."""
    with open(os.path.join(root, "pool/weir.map")) as file:
        text = re.sub(r"#.*", "", file.read())
    return {name: node for node, names in re.findall(r"(WEIR_[\d.]+) \{\s*global:(.*?)(?:local:.*?)?\}", text, re.S)
            for name in re.findall(r"\w+", names)}


def check_dynamic():
    text = run("readelf", "-dW", library)
    soname = re.findall(r"\(SONAME\).*\[(.*)\]", text)
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", text))
    if soname != ["libweir.so.0"]:
        failures.append("soname is %s" % soname)
    if needed - NEEDED:
        failures.append("needs %s" % ", ".join(sorted(needed - NEEDED)))
    if "TEXTREL" in text or "(RPATH)" in text:
        failures.append("has text relocations or an rpath")


def check_linking(names):
    """Refers to every function from a program of its own."""
    source = ["#include <weir.h>", "#include <stdio.h>", "#include <string.h>",
              "typedef void (*any)(void);", "static const any functions[] = {"]
    source += ["    (any)%s," % name for name in sorted(names)]
    source += ["};", "int main(void)", "{",
               "    for (unsigned i = 0; i < sizeof functions / sizeof *functions; i++)",
               "        if (!functions[i]) return 1;",
               '    return strcmp(weir_version(), "%s") != 0;' % version, "}"]
    folder = os.path.dirname(library)
    with tempfile.TemporaryDirectory(prefix="weir-abi-") as temporary:
        program = os.path.join(temporary, "program")
        with open(program + ".c", "w") as file:
            file.write("\n".join(source) + "\n")
        includes = ["-I" + os.path.join(root, part) for part in ("shm", "manager", "pool")]
        build = subprocess.run(cc + ["-Wall", "-Werror"] + includes +
                               [program + ".c", library, "-Wl,-rpath," + folder, "-o", program])
        if build.returncode != 0:
            failures.append("a program that refers to every function does not link")
        elif subprocess.run([program]).returncode != 0:
            failures.append("weir_version() is not %s, the version of the project" % version)


names = declared()
compare("exported", exported(), names)
compare("weir.map", set(versions()), names)
check_dynamic()
check_linking(names)
for failure in failures:
    print(failure)
print("%d functions, %d defects" % (len(names), len(failures)))
sys.exit(1 if failures else 0)
