# SPDX-License-Identifier: MIT
"""The Python lines of examples/guides/numpy.md, run as they stand there against the objects of its C lines.

    readme.py PROGRAM DOCUMENT

PROGRAM is that of readme.c. The names get a prefix, as other tests run meanwhile; nothing else is changed. They run in
a Python of their own, whose end is the end of its resource tracker too.
"""

import os
import re
import subprocess
import sys
import time

try:
    import numpy
    import multiprocessing.shared_memory
except ImportError as error:
    print("skipped: this Python has no NumPy:", error)
    sys.exit(77)


def main(program, document):
    with open(document, encoding="utf-8") as file:
        section = re.search(r"^## The Python side\n(.*?)(?=^## |\Z)", file.read(), re.M | re.S).group(1)
    lines = re.search(r"^```python\n(.*?)^```", section, re.M | re.S).group(1)
    prefix = "weirtest-%d-" % os.getpid()
    for name in "numbers", "matrix", "plain":
        count = section.count('"%s"' % name) + section.count('/dev/shm/%s"' % name)
        assert count >= 2, "the document says nothing of %s" % name
        lines = lines.replace('"%s"' % name, '"%s%s"' % (prefix, name))
        lines = lines.replace('/dev/shm/%s"' % name, '/dev/shm/%s%s"' % (prefix, name))
    assert 12 <= len(lines.splitlines()) <= 16, "a dozen lines"

    host = subprocess.Popen([program, prefix], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert host.stdout.readline() == "ready\n"
    done = subprocess.run([sys.executable, "-c", lines], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    time.sleep(0.5)  # for a tracker, which would come after its Python's end
    output = host.communicate()[0]
    assert done.returncode == 0 and done.stdout == "", "%s\n%s" % (done.stdout, lines)
    assert output == "text 1.5 2.5\n" and host.returncode == 0, output
    left = [name for name in os.listdir("/dev/shm") if name.startswith(prefix)]
    assert not left, left
    print("the document's %d lines of Python do what they say" % len(lines.splitlines()))
    return 0


sys.exit(main(*sys.argv[1:]))
