#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the manual pages of section 3 and 7 from the public headers.

    pages.py --list HEADER...                           the names of the pages, one a line, and "LINK PAGE"
    pages.py --version V --date D --output DIR HEADER...  the pages

What it relies on is what tests/lint/headers.py checks. A comment at column 0 is about all declarations below it, up to the
next empty line; a comment with an empty line below it is about its section, and "In all calls below" is about the calls that
are left of the section. In a comment: paragraphs, lists of " - ", code that is indented by four columns and more, "`name`:"
where a parameter begins, and the tags Context:, Crash: and Returns:, each at the start of a line. A line that ends before the
next word's place is full ends its paragraph, as clang-format keeps such an end.

There is one page for the declarations of a comment, by the name of the first; the others are links to it. Each header has
a page of section 7, with its opening comment, the remarks of its sections, and what it declares."""

import argparse
import os
import re
import sys

COLUMNS = 100
TAGS = ("Returns", "Context", "Crash")
TITLES = {"Returns": "RETURN VALUE", "Context": "CONTEXT", "Crash": "CRASH"}
# Headers that weir.h does not include, and their libraries.
LIBRARIES = {"weir-mpi.h": "weir-mpi"}
HIDDEN = re.compile(r"WEIR_(API|MUST_CHECK|H|[A-Z]+_H)$|weir_end_of_|weir__")


# ---- what a header says


class Text:
    """A comment: blocks of ("paragraph", text), ("list", [text]), ("code", [line]) and ("parameter", names, text), and tags."""

    def __init__(self, comment):
        self.blocks, self.tags = [], {}
        target = self.blocks
        lines = comment_lines(comment)
        at = 0
        while at < len(lines):
            text = lines[at][0]
            tag = re.match(r"(Context|Crash|Returns): *(.*)", text)
            parameter = re.match(r"((?:`\w+`(?:, )?)+): *(.*)", text)
            if not text.strip():
                at += 1
                continue
            if text.startswith("    "):
                code = []
                while at < len(lines) and (not lines[at][0].strip() or lines[at][0].startswith("    ")):
                    code.append(lines[at][0][4:])
                    at += 1
                while not code[-1].strip():
                    code.pop()
                target.append(("code", code))
                continue
            if re.match(r" ?- ", text):
                items = []
                while at < len(lines) and (re.match(r" ?- ", lines[at][0]) or re.match(r" {2,3}\S", lines[at][0])
                                           or (not lines[at][0].strip() and at + 1 < len(lines)
                                               and re.match(r" ?- ", lines[at + 1][0]))):
                    line = lines[at][0].strip()
                    if re.match(r" ?- ", lines[at][0]):
                        items.append(line[2:])
                    elif line:
                        items[-1] += " " + line
                    at += 1
                target.append(("list", items))
                continue
            if tag:
                target = self.tags.setdefault(tag.group(1), [])
                text = tag.group(2)
            elif parameter:
                text = parameter.group(2)
            while not ends_paragraph(lines, at):
                at += 1
                text += " " + lines[at][0].strip()
            at += 1
            if parameter and not tag:
                target.append(("parameter", parameter.group(1).replace("`", ""), text))
            else:
                target.append(("paragraph", text))

    def first_sentence(self):
        for kind, *rest in self.blocks:
            if kind == "paragraph":
                text = re.split(r"(?<=[a-z)\"0-9])[.:;] |[.:]$", rest[0])[0]
                return re.sub(r"\s+", " ", text).rstrip(".:")
        return ""


def comment_at(lines, at):
    """The comment that begins at a line, and its last line."""
    begin = at
    while "*/" not in lines[at]:
        at += 1
    return "\n".join(lines[begin:at + 1]), at


def kind_of(comment):
    """What a comment at column 0 is: the "heading" of a section, a "remark" about the calls that are left of it, or neither."""
    if comment.startswith("/* ----"):
        return "heading"
    return "remark" if re.match(r"/\*\s*In all calls below", comment) else "comment"


def comment_lines(comment):
    """(text without the comment's marks, columns of the line in the header) of each line."""
    result = []
    for line in comment.split("\n"):
        text = re.sub(r"^\s*(/\*|\*(?!/)) ?|^\s*\*/$", "", line)
        text = re.sub(r"\s*\*/$", "", text).rstrip()
        result.append((text, len(line)))
    return result


def ends_paragraph(lines, at):
    """Whether the next line is not the same paragraph's."""
    if at + 1 == len(lines):
        return True
    text, width = lines[at]
    after = lines[at + 1][0]
    if not after.strip() or re.match(r"    | ?- |(Context|Crash|Returns):|(`\w+`(, )?)+:", after):
        return True
    return text.endswith((".", ":")) and width + 1 + len(after.split()[0]) <= COLUMNS


class Entry:
    """Declarations below one comment. names: in their order; kinds: "function", "type" or "macro" each."""

    def __init__(self, doc, section, remark):
        self.doc, self.section, self.remark = doc, section, remark
        self.names, self.kinds, self.code, self.members = [], [], [], []

    def add(self, name, kind, code, members=()):
        if name not in self.names:
            self.names.append(name)
            self.kinds.append(kind)
            self.code.append(code)
            self.members += members

    def text(self, tag):
        """What its comment says there, and what the section's remark does."""
        own = self.doc.tags.get(tag, [])
        return own + (self.remark.tags.get(tag, []) if self.remark and "function" in self.kinds else [])


class Section:
    def __init__(self, title):
        self.title, self.entries, self.notes = title, [], []


class Header:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.lines = file.read().split("\n")
        self.file = os.path.basename(path)
        self.name = self.file[:-2]
        opening = re.sub(r"^/\* SPDX[^\n]*\n \*\n", "/* ", comment_at(self.lines, 0)[0]).replace("/*  * ", "/* ", 1)
        self.opening = Text(re.sub(r"^/\* %s: *" % re.escape(self.file), "/* ", opening))
        self.sections = [Section("")]
        self.read()

    def entries(self):
        return [entry for section in self.sections for entry in section.entries]

    def read(self):
        lines = self.lines
        at = next(i for i, line in enumerate(lines) if line.startswith("#define WEIR_")) + 1
        remark, entry, comment = None, None, None
        while at < len(lines):
            line = lines[at]
            if line.startswith("/*"):
                text, at = comment_at(lines, at)
                kind, entry, comment = kind_of(text), None, None
                if kind == "heading":
                    title = text.strip("/*- ")
                    if title == "bodies":
                        return
                    self.sections.append(Section(title))
                    remark = None
                elif kind == "remark":
                    remark = Text(text)
                else:
                    comment = Text(text)
                    if at + 1 < len(lines) and not lines[at + 1].strip():
                        self.sections[-1].notes.append(comment)
                        comment = None
            elif not line.strip():
                entry, comment = None, None
            else:
                at, found = self.declaration(at)
                if found and not HIDDEN.match(found[0]):
                    if entry is None:
                        entry = Entry(comment or Text(found[3] if len(found) > 3 else ""), self.sections[-1], remark)
                        self.sections[-1].entries.append(entry)
                    entry.add(*found[:3], found[4] if len(found) > 4 else self.value_of(found))
            at += 1

    @staticmethod
    def value_of(found):
        """A macro that has a comment of its own, behind it."""
        return [(found[0], Text(found[3]))] if found[1] == "macro" and found[3] else []

    def declaration(self, at):
        """(the last line, (name, kind, code, trailing comment, members)) of what begins at a line; None for what is none."""
        lines, begin = self.lines, at
        line = lines[at]
        if line.startswith("#define "):
            while lines[at].endswith("\\"):
                at += 1
            name = re.match(r"#define (\w+)(\([^)]*\))?", line)
            trailing = re.search(r"/\*.*\*/", line)
            if name.group(2):  # not its body
                code = "#define " + name.group(1) + name.group(2)
            else:
                code = re.sub(r"\s*/\*.*\*/", "", line)
            return at, (name.group(1), "macro", [re.sub(r"(#define \w+) +", r"\1 ", code)], trailing.group(0) if trailing else "")
        if line.startswith(("#", "}", "extern")):
            return at, None
        if line.startswith("typedef") and re.match(r"typedef (struct|enum) \w+ \{", line):
            while not lines[at].startswith("}"):
                at += 1
            name = re.match(r"\} (\w+);", lines[at]).group(1)
            body = lines[begin:at + 1]
            return at, (name, "type", [re.sub(r"\s*/\*.*?\*/", "", text) for text in without_comments(body)], "", members_of(body))
        while not re.search(r"[;{]", lines[at]):
            at += 1
        text = " ".join("\n".join(lines[begin:at + 1]).split())
        if "{" in text:
            while lines[at] != "}":
                at += 1
            text = text.split("{")[0].strip() + ";"
        text = re.sub(r"\s*__attribute__\s*\(\(.*?\)\)\)", "", text)
        text = re.sub(r"WEIR_API |WEIR_MUST_CHECK ", "", text)
        name = re.search(r"\(\*(weir_\w+)\)|(weir_\w+)\s*\(|(weir_\w+);", text)
        if name is None:
            return at, None
        name = next(group for group in name.groups() if group)
        return at, (name, "type" if text.startswith("typedef") else "function", wrapped(text), "")


def without_comments(lines):
    text = re.sub(r"[ \t]*/\*.*?\*/[ \t]*(\n)?", lambda m: "\n" if m.group(1) else "", "\n".join(lines), flags=re.S)
    return [line for line in text.split("\n") if line.strip()]


def members_of(lines):
    """(member, Text) of a struct's or enum's body."""
    found, comment, at = [], None, 1
    while at < len(lines) - 1:
        line = lines[at]
        if re.match(r"\s*/\*", line):
            comment, at = comment_at(lines, at)
        else:
            begin = at
            while not re.search(r"[;,{]\s*(/\*.*)?$", re.sub(r"/\*.*?\*/", "", lines[at])) and at + 1 < len(lines) - 1:
                at += 1
            code = " ".join("\n".join(lines[begin:at + 1]).split())
            trailing = re.search(r"/\*.*?\*/", code)
            code = re.sub(r"\s*/\*.*?\*/", "", code)
            if trailing is None and "/*" in code:  # goes on in the next line
                while "*/" not in lines[at]:
                    at += 1
                code = " ".join("\n".join(lines[begin:at + 1]).split())
                trailing = re.search(r"/\*.*?\*/", code)
                code = re.sub(r"\s*/\*.*?\*/", "", code)
            name = re.search(r"\(\*(\w+)\)|(\w+)(?:\[[^\]]*\])?\s*[;,]|(\w+) =|^(\w+)$", code)
            name = name and next(group for group in name.groups() if group)
            about = trailing.group(0) if trailing else comment
            if name and name != "reserved":
                found.append((name, Text(about) if about else None))
            comment = None
        at += 1
    return found


def wrapped(text):
    """A prototype in lines of at most 76 columns, the parameters below each other."""
    if len(text) <= 76:
        return [text]
    head, rest = text.split("(", 1) if not text.startswith("typedef") else text.rsplit("(", 1)
    lines, indent = [head + "("], " " * 4
    for i, parameter in enumerate(parameters_of(rest)):
        if i == 0:
            lines.append(indent + parameter)
        elif len(lines[-1]) + 2 + len(parameter) > 76:
            lines[-1] += ","
            lines.append(indent + parameter)
        else:
            lines[-1] += ", " + parameter
    return lines


def parameters_of(text):
    """The parts of a parameter list, at the commas that stand in no parentheses."""
    parts, depth = [""], 0
    for char in text:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


# ---- as a page of man(7)


class Pages:
    def __init__(self, headers, version, date):
        self.headers, self.version, self.date = headers, version, date
        self.page_of = {name: entry.names[0] for header in headers for entry in header.entries() for name in entry.names}
        self.header = None  # whose pages are being written

    def names(self):
        """The pages, and "LINK PAGE" for a name that has another one's."""
        return (["%s.3" % name if name == page else "%s.3 %s.3" % (name, page) for name, page in self.page_of.items()]
                + ["%s.7" % header.name for header in self.headers])

    def include(self):
        """What a program includes for the header whose pages are being written."""
        return r"\fB#include <%s>\fP" % escaped(self.header.file if self.header.file in LIBRARIES else "weir.h")

    def reference(self, name):
        return r"\fB%s\fP(3)" % escaped(name)

    def inline(self, text):
        """Text with names in bold, and parameters and stressed words in italics."""
        out, last = [], 0
        pattern = re.compile(r"`([^`]+)`|(?<![\w*])\*([a-z][a-z ]*[a-z])\*(?![\w*])|\b(weir(?:-\w+)+\.h)\b|\b((?:weir|WEIR)_\w+)(\(\))?")
        for match in pattern.finditer(text):
            out.append(escaped(text[last:match.start()]))
            code, stressed, header, name, _ = match.groups()
            if code or stressed:
                out.append(r"\fI%s\fP" % escaped(code or stressed))
            elif header:
                out.append(r"\fB%s\fP(7)" % escaped(header[:-2]))
            elif name in self.page_of:
                out.append(self.reference(name))
            else:
                out.append(r"\fB%s\fP" % escaped(match.group(0)))
            last = match.end()
        return "".join(out + [escaped(text[last:])])

    def lines(self, text):
        text = re.sub(r"\bsee (?:below|above)\b", "see " + self.header.file, text)
        return [protected(line) for line in filled(self.inline(re.sub(r"\s+", " ", text).strip()))]

    def blocks(self, blocks, first=True):
        """The macros for blocks. Parameters are left out."""
        out = []
        for kind, *rest in blocks:
            if kind == "parameter":
                continue
            if kind == "paragraph":
                out += ([] if first else [".PP"]) + self.lines(rest[0])
            elif kind == "list":
                for item in rest[0]:
                    out += [r".IP \(bu 3"] + self.lines(item)
            elif kind == "code":
                out += ([] if first else [".PP"]) + [".in +4", ".nf"] + [protected(escaped(line)) for line in rest[0]] + [".fi", ".in"]
            first = False
        return out

    def start(self, name, section):
        return [r".\" Made from the public headers by pool/man/pages.py.",
                '.TH %s %d %s "weir %s" "weir manual"' % (name, section, self.date, self.version), ".SH NAME"]

    def entry(self, entry):
        doc, about = entry.doc, entry.doc.first_sentence()
        if about[:1].isupper() and not about[1:2].isupper() and not about.startswith("WEIR_"):
            about = about[0].lower() + about[1:]
        out = self.start(entry.names[0], 3)
        out.append(r"%s \- %s" % (", ".join(map(escaped, entry.names)), re.sub(r"\\f[BIP]", "", self.inline(about)).replace("(3)", "")))
        out += [".SH SYNOPSIS", ".nf", self.include(), ""]
        for i, code in enumerate(entry.code):
            if i and (len(code) > 1 or len(entry.code[i - 1]) > 1):
                out.append("")
            out += [protected(r"\fB%s\fP" % escaped(line)) for line in code]
        out += [".fi", ".SH DESCRIPTION"]
        out += self.blocks(doc.blocks)
        if entry.remark and "function" in entry.kinds:
            out += self.blocks([block for block in entry.remark.blocks if block != ("paragraph", "In all calls below:")], False)
        parameters = [block for block in doc.blocks if block[0] == "parameter"]
        if parameters:
            out.append(".SH PARAMETERS")
            for _, names, text in parameters:
                out += [".TP", ", ".join(r"\fI%s\fP" % escaped(name) for name in names.split(", "))] + self.lines(text)
        members = [(name, text) for name, text in entry.members if text]
        if len(members) > 1 or "type" in entry.kinds and members:
            out.append(".SH MEMBERS" if "struct" in entry.code[0][0] else ".SH VALUES")
            for name, text in members:
                out += [".TP", r"\fB%s\fP" % escaped(name)]
                for i, block in enumerate(text.blocks):
                    out += ([".IP"] if i else []) + self.blocks([block])
        for tag in TAGS:
            blocks = entry.text(tag)
            if blocks:
                out.append(".SH " + TITLES[tag])
                for i, block in enumerate(blocks):
                    out += self.blocks([capital(block)], i == 0)
            elif tag == "Returns" and "function" in entry.kinds and not is_void(entry):
                out += [".SH RETURN VALUE"] + self.lines(self.by_convention(entry))
        out += [".SH SEE ALSO"] + self.see_also(entry)
        return out

    def by_convention(self, entry):
        """What a call whose comment names no errors returns."""
        text = "As described above."
        code = " ".join(" ".join(code) for code, kind in zip(entry.code, entry.kinds) if kind == "function")
        if not re.search(r"\(\s*(const )?weir_\w+ \*", code):
            return text
        what = []
        if re.search(r"(^|; )(const )?[\w ]+\*+\s*weir_\w+\(", code):
            what.append("NULL")
        if re.search(r"\b(int|int64_t|pid_t) weir_\w+\(", code):
            what.append("-EINVAL")
        if re.search(r"\b(size_t|uint64_t) weir_\w+\(", code):
            what.append("0")
        if re.search(r"\bbool weir_\w+\(", code):
            what.append("false")
        return text + (" For an object that is NULL: %s, and weir_last_error() says so." % " or ".join(what) if what else "")

    def see_also(self, entry):
        said = " ".join(str(block) for block in entry.doc.blocks) + str(list(entry.doc.tags.values())) + " ".join(" ".join(c) for c in entry.code)
        said += " ".join(str(text.blocks) for _, text in entry.members if text)
        names = []
        for name in re.findall(r"\b(?:weir|WEIR)_\w+", said) + [n for e in entry.section.entries for n in e.names[:1]]:
            page = self.page_of.get(name)
            if page and page != entry.names[0] and page not in names:
                names.append(page)
        names = [self.reference(name) for name in sorted(names, key=str.lower)]
        return filled(", ".join(names + [r"\fB%s\fP(7)" % escaped(self.header.name), r"\fBweir\fP(7)"]))

    def header_page(self, header):
        about = header.opening.first_sentence()
        about = about[0].lower() + about[1:] if about else "all of weir"
        out = self.start(header.name, 7)
        out.append(r"%s \- %s" % (escaped(header.name), escaped(about)))
        out += [".SH SYNOPSIS", ".nf", self.include()]
        if header.file in LIBRARIES:
            out += ["", r"\fBcc program.c $(pkg\-config \-\-cflags \-\-libs %s)\fP" % escaped(LIBRARIES[header.file])]
        out += [".fi", ".SH DESCRIPTION"] + self.blocks([capital(header.opening.blocks[0])] + header.opening.blocks[1:])
        for section in header.sections:
            if not section.entries and not section.notes:
                continue
            if section.title:
                out.append(".SH " + escaped(section.title.upper()))
            else:
                out.append(".SH DEFINITIONS")
            first = True
            for note in section.notes:
                out += self.blocks(note.blocks, first)
                first = False
            for entry in section.entries:
                about = entry.doc.first_sentence()
                out += [".TP", ", ".join(r"\fB%s\fP" % escaped(name) for name in entry.names)]
                out += self.lines(about + ".")
        others = sorted({other.name for other in self.headers} - {header.name})
        out += [".SH SEE ALSO"] + filled(", ".join(r"\fB%s\fP(7)" % escaped(name) for name in others + ["weir"]))
        return out

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        for header in self.headers:
            self.header = header
            save(folder, header.name + ".7", self.header_page(header))
            for entry in header.entries():
                save(folder, entry.names[0] + ".3", self.entry(entry))


def capital(block):
    """The block, a paragraph beginning as a sentence does."""
    if block[0] == "paragraph" and re.match(r"[a-z]+[ ,.;]", block[1]):
        return ("paragraph", block[1][0].upper() + block[1][1:])
    return block


def is_void(entry):
    return all(code[0].startswith("void ") and "*" not in code[0].split("(")[0] for code in entry.code)


def escaped(text):
    return text.replace("\\", r"\e").replace("-", r"\-").replace("^", r"\(ha").replace("~", r"\(ti").replace("`", r"\(ga")


def protected(line):
    return r"\&" + line if line.startswith((".", "'")) else line


def filled(text, columns=78):
    out = [""]
    for word in text.split(" "):
        if out[-1] and len(out[-1]) + 1 + len(word) > columns:
            out.append("")
        out[-1] += (" " if out[-1] else "") + word
    return out


def save(folder, name, lines):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--version", default="")
    parser.add_argument("--date", default="")
    parser.add_argument("--output", default=".")
    parser.add_argument("headers", nargs="+")
    arguments = parser.parse_args()
    headers = [Header(path) for path in arguments.headers]
    bare = [name for header in headers for entry in header.entries() if not entry.doc.first_sentence() for name in entry.names]
    if bare:
        sys.exit("no comment says what these are: " + ", ".join(bare))
    pages = Pages(headers, arguments.version, arguments.date)
    if arguments.list:
        print("\n".join(pages.names()))
    else:
        pages.write(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
