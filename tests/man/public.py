# SPDX-License-Identifier: MIT
"""What the checks of both manuals know of the public headers."""

import glob
import os
import re
import subprocess
import sys


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def headers_of(root):
    """The public headers, as paths from the root."""
    paths = glob.glob(os.path.join(root, "*/weir-*.h")) + glob.glob(os.path.join(root, "*/*/weir-*.h"))
    return [os.path.relpath(path, root) for path in sorted(paths)]


def exported(root, scripts=("pool/weir.map", "pool/mpi/weir-mpi.map")):
    """The functions that the version scripts of the libraries name: not those that libweir has for libweir-mpi alone."""
    return set(re.findall(r"^ +(weir_(?!_)\w+);$", "\n".join(read(root, script) for script in scripts), re.M))


def page_names(root):
    """{name.section: its page's} that pool/man/pages.py makes of them."""
    listed = subprocess.run([sys.executable, os.path.join(root, "pool/man/pages.py"), "--list"] +
                            [os.path.join(root, header) for header in headers_of(root)],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    return {words[0]: words[-1] for words in map(str.split, listed.splitlines())}
