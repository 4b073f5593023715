# SPDX-License-Identifier: MIT
"""check.py LIBRARY ROOT VERSION CC...: the library's outside is exactly what the headers promise. It is libweir, or libweir-mpi.

 - It exports every WEIR_API function of its public headers and nothing else, each under the version that its map has for it.
   (baseline.sh sees that none goes missing.) libweir exports besides what libweir-mpi needs, as weir__..., WEIR_PRIVATE.
 - Each symbol carries a version, the soname ends with .so.0, and nothing is needed but libc, libuv, jansson and libsodium; of
   libweir-mpi: libc, libweir and an MPI.
 - A program that refers to every function links and runs against the library.
"""

import os
import re
import subprocess
import sys
import tempfile

library, root, version = sys.argv[1:4]
cc = sys.argv[4:]
NAME = os.path.basename(library).split(".")[0]
# libgcc_s unwinds: a function of the program's can be left by an exception.
NEEDED = {"libc.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
if NAME == "libweir":
    HEADERS = ("shm/weir-shm.h", "manager/weir-scope.h", "pool/weir-pool.h", "pool/weir-future.h",
               "pool/weir-map-reduce.h", "pool/weir-process.h", "pool/weir.h")
    MAP, MAIN = "pool/weir.map", "weir.h"
    NEEDED |= {"libuv.so.1", "libjansson.so.4", "libsodium.so.23"}
else:
    HEADERS, MAP, MAIN = ("pool/mpi/weir-mpi.h",), "pool/mpi/weir-mpi.map", "weir-mpi.h"
    NEEDED |= {"libweir.so.0", "libm.so.6", "libmpi.so.40", "libmpich.so.12"}
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
            failures.append("%s does not carry the version of %s" % (symbol, MAP))
        if kind not in "Ti":
            failures.append("%s is data (%s); only functions are exported" % (name, kind))
        if node != "WEIR_PRIVATE":
            names.add(name)
        elif not name.startswith("weir__"):
            failures.append("%s is exported as private, and its name is not" % name)
    return names


def versions():
    """{function: version} as the map has it."""
    with open(os.path.join(root, MAP)) as file:
        text = re.sub(r"#.*", "", file.read())
    return {name: node for node, names in re.findall(r"(WEIR_[\w.]+) \{\s*global:(.*?)(?:local:.*?)?\}", text, re.S)
            for name in re.findall(r"\w+", names)}


def check_dynamic():
    text = run("readelf", "-dW", library)
    soname = re.findall(r"\(SONAME\).*\[(.*)\]", text)
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", text))
    if soname != [NAME + ".so.0"]:
        failures.append("soname is %s" % soname)
    if needed - NEEDED:
        failures.append("needs %s" % ", ".join(sorted(needed - NEEDED)))
    if "TEXTREL" in text or "(RPATH)" in text:
        failures.append("has text relocations or an rpath")


def check_linking(names):
    """Refers to every function from a program of its own."""
    source = ["#include <%s>" % MAIN, "#include <stdio.h>", "#include <string.h>",
              "typedef void (*any)(void);", "static const any functions[] = {"]
    source += ["    (any)%s," % name for name in sorted(names)]
    source += ["};", "int main(void)", "{",
               "    for (unsigned i = 0; i < sizeof functions / sizeof *functions; i++)",
               "        if (!functions[i]) return 1;",
               '    return strcmp(weir_version(), "%s") != 0;' % version, "}"]
    folder = os.path.dirname(library)
    libraries = [library, "-Wl,-rpath," + folder]
    if NAME != "libweir":
        libraries += [os.path.dirname(folder) + "/libweir.so", "-Wl,-rpath," + os.path.dirname(folder)]
    with tempfile.TemporaryDirectory(prefix="weir-abi-") as temporary:
        program = os.path.join(temporary, "program")
        with open(program + ".c", "w") as file:
            file.write("\n".join(source) + "\n")
        includes = ["-I" + os.path.join(root, part) for part in ("shm", "manager", "pool", os.path.dirname(HEADERS[0]))]
        build = subprocess.run(cc + ["-Wall", "-Werror"] + includes +
                               [program + ".c"] + libraries + ["-o", program])
        if build.returncode != 0:
            failures.append("a program that refers to every function does not link")
        elif subprocess.run([program]).returncode != 0:
            failures.append("weir_version() is not %s, the version of the project" % version)


names = declared()
compare("exported", exported(), names)
compare(MAP, {name for name, node in versions().items() if node != "WEIR_PRIVATE"}, names)
check_dynamic()
check_linking(names)
for failure in failures:
    print(failure)
print("%d functions, %d defects" % (len(names), len(failures)))
sys.exit(1 if failures else 0)
