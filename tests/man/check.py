# SPDX-License-Identifier: MIT
"""check.py PAGES ROOT [mandoc|man]: the manual pages in PAGES against the public headers.

 - Each public function that a library exports, and each public type, macro and static inline function of the headers, has a page or a
   link to one. The page has the header to be included.
 - A page has NAME, SYNOPSIS with the declaration, DESCRIPTION, RETURN VALUE unless nothing is returned, and SEE ALSO with
   others of its family; what it refers to is there.
 - Each line of each comment at column 0 of a header, and of each comment of a member, is in a page.

With a tool's name: each page is read by it without a warning."""

import os
import re
import shutil
import subprocess
import sys

from public import exported, headers_of, page_names, read

INTERNAL = re.compile(r"WEIR_(API|MUST_CHECK|NO_MUST_CHECK|H|[A-Z_]+_H)$|weir__|weir_end_of_")

pages, root = sys.argv[1:3]
HEADERS = headers_of(root)
failures = []


def every_page():
    """{name: its page's}, as they are to be installed."""
    return {**page_names(root), "weir.1": "weir.1", "weir.7": "weir.7"}


def public_names(text):
    """{name: kind} of a header, without the help of pages.py."""
    code = re.sub(r"/\*.*?\*/", " ", text.split("/* ---- bodies")[0], flags=re.S)
    names = {name: "macro" for name in re.findall(r"^# *define (WEIR_\w+)", code, re.M)}
    names.update({name: "type" for name in re.findall(r"^(?:typedef struct \w+|\}) (weir_\w+);", code, re.M)})
    names.update({name: "type" for name in re.findall(r"^typedef [^;{]*?\(\*(weir_\w+)\)", code, re.M)})
    names.update({name: "function" for name in re.findall(r"^static inline (?:WEIR_MUST_CHECK )?[\w ]+? \*?(weir_\w+)\(", code, re.M)})
    return {name: kind for name, kind in names.items() if not INTERNAL.match(name)}


OF_CLUSTERS = exported(root, ["pool/mpi/weir-mpi.map"]) | set(public_names(read(root, "pool/mpi/weir-mpi.h")))


def plain(text):
    """Letters and digits alone, so that marks and line ends do not count."""
    text = re.sub(r"\\f[BIRP]|\\&|\\\(bu", "", text).replace(r"\e", "\\")
    return re.sub(r"[^A-Za-z0-9]", "", re.sub(r"\\\((ha|ti|ga)", "", text))


def sections_of(page):
    parts = re.split(r"^\.SH (.*)\n", page, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def check_page(name, kind, page, names):
    sections = sections_of(page)
    for title in "NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO":
        if not plain(sections.get(title, "")):
            failures.append("%s: no %s" % (name, title))
    if not re.match(r"[^\n]*\b%s\b[^\n]* \\- \S" % name, sections.get("NAME", "")):
        failures.append("%s: NAME does not say what it is" % name)
    synopsis = re.sub(r"\\f[BP]|\\&", "", sections.get("SYNOPSIS", ""))
    included = "weir-mpi.h" if name in OF_CLUSTERS else "weir.h"
    if "#include <%s>" % included.replace("-", "\\-") not in synopsis:
        failures.append("%s: SYNOPSIS does not include %s" % (name, included))
    if kind == "function":
        declaration = re.search(r"^(?!typedef)([^\n;]*[ *])%s\(" % name, synopsis, re.M)
        if declaration is None:
            failures.append("%s: SYNOPSIS does not declare it" % name)
        elif declaration.group(1).strip() != "void" and not plain(sections.get("RETURN VALUE", "")):
            failures.append("%s: no RETURN VALUE" % name)
    elif name not in synopsis:
        failures.append("%s: SYNOPSIS does not have it" % name)
    others = set(re.findall(r"\\fB([\w\\-]+)\\fP\((\d)\)", sections.get("SEE ALSO", "")))
    if len(others) < 3:
        failures.append("%s: SEE ALSO has %d pages" % (name, len(others)))
    for other, number in set(re.findall(r"\\fB([\w\\-]+)\\fP\((\d)\)", page)):
        if other.startswith(("weir", "WEIR")) and "%s.%s" % (other.replace("\\-", "-"), number) not in names:
            failures.append("%s: refers to %s(%s), which is not there" % (name, other, number))


def check_words(header, text, everything):
    """That no line of a comment is lost. What is left out: section lines, and comments within functions."""
    text = text[:text.find("/* ---- bodies")] if "/* ---- bodies" in text else text
    for comment in re.findall(r"(?:^|\n *)(/\*.*?\*/)|\S[^\n]*?(/\*.*?\*/)", text, re.S):
        comment = "".join(comment)
        if comment.startswith("/* ----") or "SPDX" in comment and "\n" not in comment:
            continue
        for line in comment.split("\n"):
            line = re.sub(r"^\s*(/\*|\*/|\*)|\*/$", "", line)
            line = re.sub(r"^ *(Context|Crash|Returns):", "", line)
            line = re.sub(r"^ *weir-[\w-]+\.h:", "", line)
            line = re.sub(r"see (below|above)", " ", line)
            for part in re.split(r" {2,}|SPDX.*|In all calls below|weir-[\w-]+\.h", line):
                if plain(part).lower() not in everything:
                    failures.append("%s: in no page: %s" % (header, part.strip()))


def check_contents():
    names = every_page()
    wanted = {name: "function" for name in exported(root)}
    for header in HEADERS:
        wanted.update(public_names(read(root, header)))
    texts = {page: read(pages, page) for page in sorted(set(names.values()))}
    for name, kind in sorted(wanted.items()):
        if name + ".3" not in names:
            failures.append("%s (%s) has no page" % (name, kind))
        else:
            check_page(name, kind, texts[names[name + ".3"]], names)
    for name in names:
        if name.endswith(".3") and name[:-2] not in wanted:
            failures.append("%s: a page of nothing public" % name)
    everything = "\n".join(plain(re.sub(r"\\fP\([37]\)", "", text)).lower() for text in texts.values())
    everything = re.sub(r"see(weir\w+)?h(?=\n)", "", everything)
    for header in HEADERS:
        check_words(header, read(root, header), everything)
    print("%d names on %d pages" % (len(wanted), len(texts)))


def check_with(tool):
    """man runs groff, with few of its warnings, and takes a quarter of a second a page: it reads some pages, groff all."""
    every = [os.path.join(pages, page) for page in sorted(set(every_page().values()))]
    some = [os.path.join(pages, page) for page in ("weir.1", "weir.7", "weir-pool.7", "weir_pool_options.3")]
    commands = {"mandoc": [["mandoc", "-T", "lint", "-W", "warning"] + every],
                "man": [["groff", "-man", "-Tutf8", "-ww", "-z"] + every] +
                       [["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-Z", "-l", page] for page in some]}[tool]
    if shutil.which(tool) is None or tool == "man" and shutil.which("groff") is None:
        print("skipped: %s is not installed" % tool)
        sys.exit(77)
    for command in commands:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, env=dict(os.environ, LC_ALL="C.UTF-8"))
        said = done.stderr + (b"" if command[0] == "man" else done.stdout)
        if said or done.returncode or command[0] == "man" and not done.stdout:
            failures.append("%s: status %d: %s" % (" ".join(command[:5]), done.returncode, said.decode(errors="replace").strip()))
    print("%d pages read by %s" % (len(every), tool))


if sys.argv[3:]:
    check_with(sys.argv[3])
else:
    check_contents()
for failure in failures:
    print(failure)
sys.exit(1 if failures else 0)
