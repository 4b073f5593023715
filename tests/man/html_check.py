# SPDX-License-Identifier: MIT
"""html_check.py HTML ROOT [search]: the manual in HTML, as it is in the folder HTML. html_check.py --self-test: its own test.

 - Each page is well-formed, has one h1, a title, a language, and no id twice; tidy is content with it, where it is installed.
 - Each link, and each address of the search, leads to a page and to an anchor that are there. Nothing is loaded from elsewhere: links alone lead out.
 - Each page can be reached from the first one. Each guide, each public header's page and each name of the interface is there.
 - A name that has a page is a link wherever it stands.
 - The colours have a contrast of 4.5 to 1 at least.
 - The same sources give the same bytes.

With "search": the search finds each name, first, by the name, and by what follows weir_; and guides and headings by their words."""

import filecmp
import glob
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from public import exported, headers_of, page_names, read

VOID = {"meta", "link", "input", "br", "hr", "img"}
failures = []


def interface():
    """{name: its page} of the manual pages."""
    return {name[:-2]: page + ".html" for name, page in page_names(root).items() if name.endswith(".3")}


class Page(html.parser.HTMLParser):
    """What a page consists of. Its errors are noted in failures."""

    def __init__(self, folder, name, names):
        super().__init__()
        self.name, self.names = name, names
        self.open, self.ids, self.links, self.loaded, self.seen = [], set(), [], [], []
        text = read(folder, name)
        if not text.startswith("<!DOCTYPE html>\n<html lang="):
            self.fails("has no type or no language")
        self.feed(text)
        self.close()
        for tag in self.open:
            self.fails("<%s> is not closed" % tag)
        for tag in "h1", "title", "main", "nav":
            if self.seen.count(tag) != 1:
                self.fails("has %d <%s>" % (self.seen.count(tag), tag))

    def fails(self, what):
        failures.append("%s:%d: %s" % (self.name, self.getpos()[0], what))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attributes:
            if attributes["id"] in self.ids:
                self.fails("id twice: %s" % attributes["id"])
            self.ids.add(attributes["id"])
        if tag == "a":
            self.links.append((self.getpos()[0], attributes.get("href", "")))
        self.loaded += [value for name, value in attrs if name in ("src", "action") or name == "href" and tag != "a"]
        if any(name.startswith("on") or name == "style" for name in attributes):
            self.fails("script or style within a tag")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.fails("</%s> closes nothing" % tag)

    def handle_data(self, data):
        if "a" in self.open or "title" in self.open:
            return
        for name in re.findall(r"\b(?:weir|WEIR)_\w+", data):
            if self.names.get(name, self.name) != self.name:
                self.fails("%s is no link" % name)


def search_index():
    """[title, address, kind, text] of all that the search can find."""
    return json.loads(re.search(r"=\s*(\[.*\])", read(folder, "search-index.js"), re.S).group(1))


def check_link(pages, where, own, link):
    """`where`: page and line; `own`: the page, for links within it."""
    file, _, anchor = link.partition("#")
    file = file or own
    if re.match(r"https?:", link):
        return
    if file not in pages:
        failures.append("%s: a link to nothing: %s" % (where, link))
    elif anchor and anchor not in pages[file].ids:
        failures.append("%s: no such anchor: %s" % (where, link))


def check_links(pages, files):
    for name, page in pages.items():
        for line, link in page.links:
            check_link(pages, "%s:%d" % (name, line), name, link)
        for loaded in page.loaded:
            if loaded not in files and not loaded.startswith("data:image/svg+xml;"):
                failures.append("%s: loads %s" % (name, loaded))


def check_pages(names):
    files = set(os.listdir(folder))
    pages = {name: Page(folder, name, names) for name in sorted(files) if name.endswith(".html")}
    reached, waiting = set(), ["index.html"]
    check_links(pages, files)
    for title, address, _, _ in search_index():
        check_link(pages, "search: %s" % title, "", address)
    while waiting:
        name = waiting.pop()
        if name not in reached and name in pages:
            reached.add(name)
            waiting += [link.partition("#")[0] for _, link in pages[name].links]
    wanted = set(names.values()) | {os.path.basename(header)[:-2] + ".7.html" for header in HEADERS} | set(pages)
    wanted |= {"examples-guides-" + os.path.basename(path)[:-3] + ".html"
               for path in glob.glob(os.path.join(root, "examples/guides/*.md")) if not path.endswith("README.md")}
    failures.extend("%s is not reached" % name for name in sorted(wanted - reached))
    failures.extend("%s has no page" % name for name in sorted(exported(root) - set(names)))
    loads = re.findall(r"url\(|@import|https?:", read(folder, "manual.css") + read(folder, "search.js"))
    failures.extend("loads something: %s" % each for each in loads)
    return pages


def check_by_tidy(pages):
    if shutil.which("tidy") is None:
        print("without tidy: it is not asked")
        return
    done = subprocess.run(["tidy", "-quiet", "-errors", "-utf8", "--drop-empty-elements", "no"] +
                          [os.path.join(folder, name) for name in pages], stderr=subprocess.PIPE, check=False, text=True)
    failures.extend(line for line in done.stderr.splitlines() if " Error: " in line)


def luminance(colour):
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def check_contrast():
    schemes = re.findall(r":root \{(.*?)\}", read(folder, "manual.css"), re.S)
    if len(schemes) != 2:
        failures.append("manual.css has %d schemes of colours" % len(schemes))
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#\w{6});", scheme))
        for back in "back", "raised":
            for name in "text", "quiet", "link", "focus":
                light, dark = sorted((luminance(colours[name]), luminance(colours[back])), reverse=True)
                if (light + 0.05) / (dark + 0.05) < 4.5:
                    failures.append("%s on %s: %.2f to 1" % (name, back, (light + 0.05) / (dark + 0.05)))


def check_again():
    """Made once more, in another folder."""
    about = re.search(r"<footer>weir (\S+), (\S+)</footer>", read(folder, "index.html"))
    with tempfile.TemporaryDirectory() as other:
        again = os.path.join(other, "html")
        subprocess.run([sys.executable, os.path.join(root, "pool/man/manual.py"), "--root", root, "--man", os.path.dirname(folder),
                        "--version", about.group(1), "--date", about.group(2), "--output", again] + written_pages() + meson_order(), check=True)
        files = set(os.listdir(folder))
        if files != set(os.listdir(again)):
            failures.append("made again, it has other pages")
        _, differ, missing = filecmp.cmpfiles(folder, again, files, shallow=False)
        failures.extend("made again, %s differs" % name for name in differ + missing)


def written_pages():
    names = sorted(glob.glob(os.path.join(root, "pool/man/*.in")))
    return ["--written=" + os.path.basename(name)[:-3] for name in names]


def meson_order():
    """The headers as the build names them."""
    text = read(root, "pool/man/meson.build")
    return [os.path.join(root, "pool/man", path) for path in re.findall(r"'(\S+/weir-[\w-]+\.h)'", text)]


def check_search(names):
    program = shutil.which("node") or shutil.which("njs")
    if program is None:
        print("skipped: neither node nor njs is installed")
        sys.exit(77)
    queries = {}
    for name, page in names.items():
        queries[name] = (name, page)
        if name.startswith("weir_"):
            queries[name[5:]] = (name, page)
    for path in glob.glob(os.path.join(root, "examples/guides/*.md")):
        title = re.search(r"^# (.*)", read(path), re.M).group(1)
        queries[title] = (title.replace("`", ""), "examples-guides" + ("-" + os.path.basename(path)[:-3]).replace("-README", "") + ".html")
    queries["WEIR_DEBUG valgrind"] = (None, "weir.7.html")
    queries["no such word anywhere"] = None
    words = json.dumps(list(queries))
    # a line for each, as njs breaks lines of 2 KiB: the first that is found, and the addresses of all
    driver = """%s.forEach((query) => {
    const found = weirFind(weirSearchIndex, query);
    console.log(JSON.stringify([found.slice(0, 1).map((each) => each.slice(0, 2)), found.map((each) => each[1])]));
});
""" % words
    with tempfile.NamedTemporaryFile("w", suffix=".js", encoding="utf-8") as file:
        file.write(read(folder, "search-index.js") + read(folder, "search.js") + driver)
        file.flush()
        done = subprocess.run([program, file.name], check=True, stdout=subprocess.PIPE, encoding="utf-8")
    lines = done.stdout.splitlines()
    if len(lines) != len(queries):
        failures.append("search: %d answers to %d queries" % (len(lines), len(queries)))
    for (query, wanted), (found, addresses) in zip(queries.items(), map(json.loads, lines)):
        if wanted is None:
            if found:
                failures.append("search: %s finds %s" % (query, found[0]))
        elif wanted[0] is None:
            if wanted[1] not in addresses:
                failures.append("search: %s does not find %s" % (query, wanted[1]))
        elif not found or found[0] != list(wanted):
            failures.append("search: %s finds %s first, not %s" % (query, found[:1], wanted))
    print("%d searches by %s" % (len(queries), os.path.basename(program)))


PAGE = """<!DOCTYPE html>
<html lang="en"><head><title>x</title></head><body><nav></nav><main><h1 id="top">x</h1>
%s
</main></body></html>
"""


def self_test():
    """Pages with links that are refused, each on a line of its own, and the same without. Ends with an error if one is not."""
    good = ['<a href="guide.html">x</a>', '<a href="guide.html#top">x</a>', '<a href="#top">x</a>', '<a href="https://x/y#z">x</a>']
    bad = {'<a href="none.html">x</a>': "page.html:4: a link to nothing: none.html",
           '<a href="guide.html#Top">x</a>': "page.html:5: no such anchor: guide.html#Top",
           '<a href="#heading">x</a>': "page.html:6: no such anchor: #heading",  # it is the other page's
           '<a href="manual.css">x</a>': "page.html:7: a link to nothing: manual.css",
           '<img src="none.svg">': "page.html: loads none.svg"}
    for lines, wanted in ((good, []), (["", *bad], list(bad.values()))):
        with tempfile.TemporaryDirectory() as made:
            for name, text in (("guide.html", '<h2 id="heading">x</h2>'), ("page.html", "\n".join(lines)), ("manual.css", "")):
                with open(os.path.join(made, name), "w", encoding="utf-8") as file:
                    file.write(PAGE % text)
            pages = {name: Page(made, name, {}) for name in ("guide.html", "page.html")}
            check_links(pages, set(os.listdir(made)))
        assert failures == wanted, failures
        failures.clear()
    for address, wanted in (("guide.html#heading", []), ("guide.html#none", ["search: no such anchor: guide.html#none"]),
                            ("none.html", ["search: a link to nothing: none.html"])):
        check_link(pages, "search", "", address)
        assert failures == wanted, failures
        failures.clear()


if sys.argv[1:] == ["--self-test"]:
    self_test()
    sys.exit()
folder, root = sys.argv[1:3]
HEADERS = headers_of(root)
if sys.argv[3:] == ["search"]:
    check_search(interface())
else:
    every = check_pages(interface())
    check_by_tidy(every)
    check_contrast()
    check_again()
    print("%d pages" % len(every))
for failure in failures[:50]:
    print(failure)
sys.exit(1 if failures else 0)
