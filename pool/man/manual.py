#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the manual in HTML: the guides, the manual pages, and how each module works.

    manual.py --root ROOT --man DIR [--written PAGE]... --version V --date D [--depfile FILE] --output DIR HEADER...

mandoc converts the manual pages in DIR, which pages.py has made of the headers, and cmark-gfm the documents. What is done
here is the rest: one frame for all pages, links between them, and the index for the search.

It begins with the documents in `DOCUMENTS` and with the guides that examples/guides/README.md lists, and follows their links:
another document becomes a page, a public header's link leads to its manual page, and any other file becomes a page with its
text. A link that leads to nothing ends the run. Each name of the interface, and of a header, leads to its page, wherever it
stands. The same sources give the same bytes. All pages are in one folder and need neither a server nor a network."""

import argparse
import base64
import functools
import html
import json
import os
import re
import shutil
import subprocess
import sys

import pages as manpages

HERE = os.path.dirname(os.path.abspath(__file__))
GUIDES = "examples/guides/README.md"
# What the navigation has beside the guides and the reference: (group, [(document, label, what it is about)]).
DOCUMENTS = [
    ("Start", [("README.md", "README", ""), ("LIMITS.md", "Limits", ""), ("NEWS.md", "News", "")]),
    ("Inside", [
        ("shm/README.md", "Shared memory", "the layouts of blocks, lists, arrays and dictionaries, and what a kill leaves of them"),
        ("manager/README.md", "Scopes", "the manager program, what it unlinks and when, and programs that connect"),
        ("pool/README.md", "Pools", "workers and their supervisor, jobs, calls, futures and map-reduce"),
        ("pool/mpi/README.md", "Clusters", "how the nodes of a cluster share a job, and what ends it when one is lost"),
        ("tests/faults/README.md", "Faults", "what holds when processes are killed, calls fail and users are hostile"),
        ("tests/bench/README.md", "Figures", "what was measured, beside others"),
        ("examples/README.md", "Examples", "programs as a user would write them"),
        ("CONTRIBUTING.md", "Contributing", "how to build, test and change weir"),
    ]),
]
ASSETS = ("manual.css", "search.js")
NAME = re.compile(r"\b(?:weir|WEIR)_\w+|\bweir-[a-z-]+\.h\b")
TAG = re.compile(r"(<[^>]*>)")


def converted(command, text=None):
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True, encoding="utf-8")
    return done.stdout


def without_tags(fragment):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", fragment))).strip()


def about_of(entry, name):
    """A name's description in a line: of its own comment, or of the one that it shares."""
    own = dict(entry.members).get(name)
    return (own or entry.doc).first_sentence().replace("`", "")


def anchor_of(title, taken):
    """A heading's name in links, as GitHub makes it."""
    name = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
    if name in taken:
        name = next("%s-%d" % (name, i) for i in range(1, 1000) if "%s-%d" % (name, i) not in taken)
    taken.add(name)
    return name


def page_name(path):
    """The file that a document's or another file's page is: all of them are in one folder."""
    folder, name = os.path.split(path)
    if name == "README.md":
        return (folder.replace("/", "-") or "readme") + ".html"
    return path.replace("/", "-").lower().removesuffix(".md") + ".html"


class Page:
    """One file of the manual. title: as text; body: a fragment; entries: what the search knows of it."""

    def __init__(self, file, title, body, crumb=None):
        self.file, self.title, self.body, self.crumb = file, title, body, crumb


class Manual:
    def __init__(self, arguments):
        self.root, self.version, self.date = arguments.root, arguments.version, arguments.date
        self.written = arguments.written
        self.mandoc, self.cmark = arguments.mandoc, arguments.cmark
        self.headers = [manpages.Header(path) for path in arguments.headers]
        self.man = manpages.Pages(self.headers, self.version, self.date)
        self.pages, self.read, self.missing = {}, set(arguments.headers), []
        self.entries = []  # of the search: [title, address, kind, text]
        self.target = {name: page + ".3.html" for name, page in self.man.page_of.items()}
        self.target.update({header.file: header.name + ".7.html" for header in self.headers})
        self.waiting = []  # documents and files that are linked to

    # ---- links

    def linked(self, fragment, own):
        """The fragment with each name leading to its page: not in a link, nor to the page that it is on."""
        out, inside = [], 0
        for i, part in enumerate(TAG.split(fragment)):
            if i % 2:
                inside += part.startswith("<a ") - (part == "</a>")
            elif not inside:
                part = NAME.sub(lambda match: self.reference(match.group(0), own), part)
            out.append(part)
        return "".join(out)

    def reference(self, name, own):
        target = self.target.get(name)
        return '<a href="%s">%s</a>' % (target, name) if target and target != own else name

    def page_reference(self, name, section, own):
        target = self.target.get(name, "%s.%s.html" % (name, section))
        return "<b>%s</b>" % name if target == own else '<a href="%s">%s</a>' % (target, name)

    def address(self, path, link):
        """Where a document's link leads to."""
        if re.match(r"[a-z]+:", link):
            return link
        file, _, anchor = link.partition("#")
        if not file:
            return link
        file = os.path.normpath(os.path.join(os.path.dirname(path), file))
        if os.path.isdir(os.path.join(self.root, file)):
            file = os.path.join(file, "README.md")
        if not os.path.isfile(os.path.join(self.root, file)):
            self.missing.append("%s: %s" % (path, link))
        if os.path.basename(file) in self.target:
            return self.target[os.path.basename(file)]
        self.waiting.append(file)
        return page_name(file) + ("#" + anchor if anchor else "")

    def picture(self, path, link, about):
        """A document's picture, which is in the page, with its styles kept to itself."""
        text = self.text_of(os.path.normpath(os.path.join(os.path.dirname(path), link)))
        data = base64.b64encode(text.encode()).decode()
        return '<p><img src="data:image/svg+xml;base64,%s" alt="%s"></p>' % (data, about)

    def program(self, path, name):
        """A file beside a document, as code that leads to it."""
        code = "<code>%s</code>" % name
        there = os.path.isfile(os.path.join(self.root, os.path.dirname(path), name)) and not name.endswith(".md")
        return '<a href="%s">%s</a>' % (html.escape(self.address(path, name)), code) if there else code

    # ---- pages

    def text_of(self, path):
        path = os.path.join(self.root, path)
        self.read.add(path)
        with open(path, encoding="utf-8") as file:
            return file.read()

    def add(self, page):
        if page.file in self.pages:
            sys.exit("two pages would be %s" % page.file)
        self.pages[page.file] = page

    def add_manual_pages(self, folder):
        """The pages of section 3 and 7, and those written by hand. One run of mandoc converts them all."""
        names = sorted({line.split()[-1] for line in self.man.names()} | set(self.written))
        self.read.update(os.path.join(folder, name) for name in names)
        command = [self.mandoc, "-T", "html", "-O", "fragment"] + [os.path.join(folder, name) for name in names]
        parts = re.split(r'(?=<table class="head">)', converted(command))[1:]
        if len(parts) != len(names):
            sys.exit("mandoc made %d pages of %d" % (len(parts), len(names)))
        titles = {section.title.upper(): section.title for header in self.headers for section in header.sections}
        header_of = {entry.names[0]: header for header in self.headers for entry in header.entries()}
        for name, part in zip(names, parts):
            self.add_manual_page(name, part, titles, header_of.get(name[:-2]))

    def add_manual_page(self, name, part, titles, header):
        def heading(match):
            text = re.sub(r"\s+", " ", match.group(2))
            title = titles.get(html.unescape(text), text)
            return match.group(1) + (title[0].upper() + title[1:] if title != text else text.capitalize()) + "</a>"

        body = re.search(r'<div class="manual-text">\n(.*)</div>\n<table class="foot">', part, re.S).group(1)
        body = re.sub(r"<(/?)h2\b", r"<\1h3", body)
        body = re.sub(r"<(/?)h1\b", r"<\1h2", body)
        opening = re.match(r'<section class="Sh">\n<h2[^\n]*NAME</a></h2>\n<p class="Pp">(.*?)</p>\n</section>\n', body, re.S)
        names, about = re.split(r"\s+-\s+", opening.group(1), maxsplit=1)
        body = re.sub(r'(<a class="permalink" href="#[^"]*">)([A-Z][^<]*)(?=</a></h2>)</a>', heading, body[opening.end():])
        # in a text that is not filled, mandoc breaks the line before each blank once more
        body = re.sub(r'<p class="Pp">\s*<br/>\s*</p>\n|^<br/>\n', "", body, flags=re.M)
        # pages that it refers to, with their section
        file = name + ".html"
        body = re.sub(r"<b>(weir[\w-]*|WEIR\w+)</b>\(([137])\)", lambda match: self.page_reference(*match.groups(), file), body)
        about = re.sub(r"\s+", " ", about)
        described = re.search(r'id="DESCRIPTION".*?<p class="Pp">(.*?)</p>', body, re.S)
        lead = '<p class="lead">%s.</p>\n' % self.linked(about[0].upper() + about[1:], file)
        if described and without_tags(described.group(1)).lower().startswith(without_tags(about).lower()):
            lead = ""  # the text begins with it
        body = "<h1>%s</h1>\n%s%s" % (names, lead, self.linked(body, file))
        title = re.sub(r"\s+", " ", names)
        if header is None and name[:-2] + ".7" != name:
            title += "(%s)" % name[-1]  # a program, which a library can share its name with
        self.add(Page(file, title, body, header and (header.name + ".7.html", header.file)))
        said = re.sub(r'<section class="Sh">\n<h2[^\n]*id="(SEE_ALSO".*|SYNOPSIS".*?</section>)', "", body, flags=re.S)
        text = without_tags(re.sub(r"<h1>.*?</h1>|<h2.*?</h2>", "", said, flags=re.S))
        if header is None:
            self.entries.append([title, file, "reference", text])
            return
        entry = next(entry for entry in header.entries() if entry.names[0] == name[:-2])
        for i, (each, kind) in enumerate(zip(entry.names, entry.kinds)):
            self.entries.append([each, file, kind, text if i == 0 else about_of(entry, each)])

    def add_document(self, path):
        """A document in Markdown. Its sections are what the search finds."""
        file, taken = page_name(path), set()
        text = re.sub(r"^<!--.*?-->\n", "", self.text_of(path), flags=re.M | re.S)
        body = converted([self.cmark, "-e", "table", "-e", "autolink", "-e", "strikethrough"], text)
        if "raw HTML omitted" in body:
            sys.exit("%s: has HTML, which is left out" % path)
        body = re.sub(r'<a href="([^"]*)">', lambda match: '<a href="%s">' %
                      html.escape(self.address(path, html.unescape(match.group(1)))), body)
        body = re.sub(r'<p><img src="([^"]*\.svg)" alt="([^"]*)" /></p>', lambda match: self.picture(path, *match.groups()), body)
        body = re.sub(r"<h([1-6])>(.*?)</h\1>", lambda match: '<h%s id="%s">%s</h%s>' % (
            match.group(1), anchor_of(without_tags(match.group(2)), taken), match.group(2), match.group(1)), body, flags=re.S)
        if path.startswith("examples/"):  # programs beside it are named, not linked
            body = re.sub(r"(?<!\">)<code>([\w-]+\.\w+)</code>", lambda match: self.program(path, match.group(1)), body)
        body = re.sub(r"<table>(.*?)</table>", r'<div class="wide"><table>\1</table></div>', body, flags=re.S)
        heading = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.S)
        if heading is None:
            sys.exit("%s: no title" % path)
        title = without_tags(heading.group(1))
        parts = re.split(r'<h[1-3] id="([^"]*)">(.*?)</h[1-3]>', body, flags=re.S)
        for anchor, section, text in zip(parts[1::3], parts[2::3], parts[3::3]):
            section = without_tags(section)
            self.entries.append([section, file + ("" if section == title else "#" + anchor),
                                 "" if section == title else title, without_tags(text)])
        self.add(Page(file, title, self.linked(body, file)))

    def add_source(self, path):
        """Another file that a document links to, as it is."""
        file = page_name(path)
        text = self.text_of(path)
        self.add(Page(file, path, "<h1>%s</h1>\n<pre><code>%s</code></pre>\n" % (
            html.escape(path), self.linked(html.escape(text, quote=False), file))))
        self.entries.append([path, file, "file", ""])

    def add_documents(self):
        self.waiting = [path for _, documents in DOCUMENTS for path, _, _ in documents] + [path for path, _ in self.guides]
        self.waiting += [GUIDES] if self.guides else []
        done = set()
        while self.waiting:
            path = self.waiting.pop(0)
            if path not in done and os.path.isfile(os.path.join(self.root, path)):
                done.add(path)
                if path.endswith(".md"):
                    self.add_document(path)
                else:
                    self.add_source(path)
        if self.missing:
            sys.exit("links to nothing:\n" + "\n".join(self.missing))

    @functools.cached_property
    def guides(self):
        """(document, title) in the order of their index; every guide is to be there."""
        if not os.path.exists(os.path.join(self.root, GUIDES)):
            return []
        folder = os.path.dirname(GUIDES)
        listed = [(os.path.join(folder, name), title) for title, name in
                  re.findall(r"^\s*(?:\d+\.|[-*]) +\[([^\]]+)\]\((\S+?\.md)\)", self.text_of(GUIDES), re.M)]
        there = {os.path.join(folder, name) for name in os.listdir(os.path.join(self.root, folder)) if name.endswith(".md")}
        lost = there - {path for path, _ in listed} - {GUIDES}
        if lost:
            sys.exit("%s does not list %s" % (GUIDES, ", ".join(sorted(lost))))
        return listed

    # ---- pages about the pages

    def add_names(self):
        """Each name of the interface, in the order of the alphabet: what a reader without JavaScript looks into."""
        letters = {}
        for header in self.headers:
            for entry in header.entries():
                for name, kind in zip(entry.names, entry.kinds):
                    letters.setdefault(name[5].upper(), []).append((name.lower(), name, kind, entry))
        out = ["<h1>All names</h1>", '<p class="letters">%s</p>' % " ".join(
            '<a href="#%s">%s</a>' % (letter, letter) for letter in sorted(letters))]
        for letter, names in sorted(letters.items()):
            out.append('<h2 id="%s">%s</h2>\n<dl class="names">' % (letter, letter))
            out += [self.name_line(name, kind, entry) for _, name, kind, entry in sorted(names, key=lambda each: each[:2])]
            out.append("</dl>")
        self.add(Page("names.html", "All names", "\n".join(out) + "\n"))

    def name_line(self, name, kind, entry):
        about = self.linked(html.escape(about_of(entry, name), quote=False), "")
        return '<dt><a href="%s">%s</a> <span class="kind">%s</span></dt>\n<dd>%s</dd>' % (self.target[name], name, kind, about)

    def add_front(self):
        """The first page: what weir is, the guides, the reference by header, and the rest."""
        readme = self.pages["readme.html"].body
        out = [re.split(r"<pre>|<h2", readme)[0].replace(' id="weir"', "")]
        out.append('<p><a href="readme.html">A first program, and how to install it</a></p>')
        if self.guides:
            out.append('<h2 id="guides">Guides</h2>\n' + re.search(
                r"<[ou]l>.*</[ou]l>\n", self.pages[page_name(GUIDES)].body, re.S).group(0))
        out.append('<h2 id="reference">Reference</h2>\n<p><a href="weir.7.html">weir</a> has the model on a page, environment, files '
                   'and signals; <a href="names.html">all names</a> are in the order of the alphabet.</p>')
        for header in self.headers:
            about = header.opening.first_sentence() or "all of weir"
            out.append('<details>\n<summary><b>%s</b> %s</summary>\n<p><a href="%s.7.html">What all of it has in common</a></p>\n<dl class="names">'
                       % (header.file, html.escape(about), header.name))
            out += [self.name_line(name, kind, entry) for entry in header.entries() for name, kind in zip(entry.names, entry.kinds)]
            out.append("</dl>\n</details>")
        for group, documents in DOCUMENTS[1:]:
            out.append('<h2 id="%s">%s</h2>\n<ul>' % (group.lower(), group))
            out += ['<li><a href="%s">%s</a>: %s</li>' % (page_name(path), label, about) for path, label, about in documents]
            out.append("</ul>")
        self.add(Page("index.html", "weir", "\n".join(out) + "\n"))

    # ---- the frame, and the files

    def navigation(self, own):
        groups = [(group, [(page_name(path), label) for path, label, _ in documents]) for group, documents in DOCUMENTS]
        groups[0][1].insert(0, ("index.html", "Overview"))
        if self.guides:
            groups.insert(1, ("Guides", [(page_name(path), title) for path, title in self.guides]))
        reference = [(name + ".html", "%s(%s)" % (name[:-2], name[-1])) for name in sorted(self.written, reverse=True)]
        reference += [(header.name + ".7.html", header.file) for header in self.headers] + [("names.html", "All names")]
        groups.insert(-1, ("Reference", reference))
        out = []
        for group, links in groups:
            out.append("<h2>%s</h2>\n<ul>" % group)
            out += ['<li><a href="%s"%s>%s</a></li>' % (file, ' aria-current="page"' if file == own else "", html.escape(label))
                    for file, label in links]
            out.append("</ul>")
        return "\n".join(out)

    def beside(self, page):
        """The guides before and after a guide."""
        listed = [(page_name(path), title) for path, title in self.guides]
        at = next((i for i, (file, _) in enumerate(listed) if file == page.file), None)
        if at is None:
            return ""
        links = ['<a rel="%s" href="%s">%s: %s</a>' % (rel, *listed[i][:1], word, html.escape(listed[i][1]))
                 for rel, word, i in (("prev", "Before", at - 1), ("next", "Next", at + 1)) if 0 <= i < len(listed)]
        return '<p class="beside">%s</p>\n' % " ".join(links)

    def framed(self, page, frame):
        crumb = '<p class="crumb"><a href="%s">%s</a></p>\n' % page.crumb if page.crumb else ""
        values = {
            "title": html.escape(page.title if page.title == "weir" else page.title + " - weir"),
            "content": crumb + page.body + self.beside(page),
            "navigation": self.navigation(page.file),
            "version": "weir %s, %s" % (html.escape(self.version), self.date),
        }
        return re.sub(r"@(\w+)@", lambda match: values[match.group(1)], frame)

    def write(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        with open(os.path.join(HERE, "frame.html"), encoding="utf-8") as file:
            frame = file.read()
        for page in self.pages.values():
            with open(os.path.join(folder, page.file), "w", encoding="utf-8") as file:
                file.write(self.framed(page, frame))
        for name in ASSETS:
            shutil.copyfile(os.path.join(HERE, name), os.path.join(folder, name))
        with open(os.path.join(folder, "search-index.js"), "w", encoding="utf-8") as file:
            lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in self.entries)
            file.write("var weirSearchIndex = [\n%s\n];\n" % lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    for name in "--root", "--man", "--version", "--date", "--output":
        parser.add_argument(name, required=True)
    parser.add_argument("--mandoc", default="mandoc")
    parser.add_argument("--cmark", default="cmark-gfm")
    parser.add_argument("--written", action="append", default=[], help="another page in DIR")
    parser.add_argument("--depfile")
    parser.add_argument("headers", nargs="+")
    arguments = parser.parse_args()
    manual = Manual(arguments)
    manual.add_manual_pages(arguments.man)
    manual.add_documents()
    manual.add_names()
    manual.add_front()
    manual.write(arguments.output)
    if arguments.depfile:
        own = [os.path.join(HERE, name) for name in ("pages.py", "frame.html") + ASSETS]
        with open(arguments.depfile, "w", encoding="utf-8") as file:
            file.write("%s: %s\n" % (arguments.output, " ".join(path.replace(" ", "\\ ") for path in sorted(manual.read) + own)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
