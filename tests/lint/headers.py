#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks that the public headers can be read by a program: headers.py [ROOT]; headers.py --self-test; headers.py --list [ROOT]
prints each public function with the tags that its comment has.

A comment at column 0 is about all declarations below it, up to the next empty line. It is a sentence, then parameters, then
the tags that apply, each at the start of a line of the comment and in this order: Context:, Crash:, Returns:. A comment that
begins with "In all calls below" is about the rest of its section, for the tags that it has; a section ends at the next line
"/* ---- ... ---- */" or at the next such comment. The rules:

  undocumented   a public function (WEIR_API or static inline) without a comment
  tag            a tag in the middle of a line, twice in a comment, or out of order
  crash          a function that changes shared state without a "Crash:"
  width          a comment line of more than 100 columns

A function changes shared state when it takes a weir object that is not const, or makes one. PRIVATE has the exceptions."""

import os
import re
import sys
import tempfile

from csource import MODULES, comments_of, line_of, read

# The manual pages are made by the same rules.
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../pool/man"))
from pages import comment_at, kind_of  # noqa: E402

TAGS = ("Context", "Crash", "Returns")
TAG = re.compile(r"(?<![`\"])\b(Context|Crash|Returns):")  # in quotes it is a word
AT_START = re.compile(r"^[ \t]*(?:/\*| \*|\*)?[ \t]*(Context|Crash|Returns):")
MAKES = re.compile(r"_(create|copy|begin|new|start|alloc)(_|$)")

# Functions that take an object which is not const, or look like those that make one, and change nothing that another
# process sees.
PRIVATE = {
    "weir_(shm|list|array|dict|text)_close": "unmaps in this process alone",
    "weir_array_populate": "makes pages present; what they hold is the same",
    "weir_array_copy_out": "copies out of the array",
    "weir_view_slice": "makes another view in the caller's memory",
    "weir_scope_(manager_pid|lookup|blocks|sync|array_at)": "asks the manager, or maps here what there is",
    "weir_process_(pid|join)": "looks at the process",
    "weir_pool_(workers|worker_pid|supervisor_pid|fd|use_loop)": "reads, or changes what is private to the program",
    "weir_future_(wait|wait_many|table|done|result|error|then)": "looks at the job, or changes what is private to the program",
    "weir_stream_next": "takes a result that is private to the program",
    "weir_text_(next_file|range|slice|slice_at|data|path|files|open|open_many)": "reads; the files are mapped in this process alone",
    "weir_table_(free|sorted)": "private to the program",
    "weir_task_(chunk|worker|attempt|cancelled|fail|result)": "the running task's own: it counts when its chunk is settled",
    "weir_emit(_int64|_str)?": "the running task's own: it counts when its chunk is settled",
}


class Declaration:
    def __init__(self, path, line, name, text, doc, section):
        self.path, self.line, self.name, self.text = path, line, name, text
        self.doc, self.section = doc, section  # comments, "" for none

    def tags(self):
        return set(TAG.findall(self.doc)) | set(TAG.findall(self.section))


def headers_of(root):
    return ["%s/%s" % (module, name) for module in MODULES if os.path.isdir(os.path.join(root, module))
            for name in sorted(os.listdir(os.path.join(root, module))) if re.match(r"weir(-[\w-]+)?\.h$", name)]


def declarations_of(path, text):
    """The public functions of a header. A body behind a prototype is none of its own."""
    doc, section, seen, lines, at = "", "", set(), text.split("\n"), 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("/*"):
            comment, at = comment_at(lines, at)
            kind = kind_of(comment)
            doc = comment if kind == "comment" else ""
            section = {"heading": "", "remark": comment}.get(kind, section)
        elif not line.strip():
            doc = ""
        elif line.startswith(("WEIR_API ", "static inline ")):
            begin = at
            while not re.search(r"[;{]", lines[at]):
                at += 1
            words = " ".join("\n".join(lines[begin:at + 1]).split())
            if lines[at].startswith("{"):  # a body: over it, so that its empty lines end no comment
                while lines[at] != "}":
                    at += 1
            elif "{" in lines[at] and "}" not in lines[at]:
                while lines[at] != "}":
                    at += 1
            words = re.sub(r"__attribute__\s*\(\(.*?\)\)\)?", "", words)
            name = re.search(r"(weir_\w+)\s*\(", words)
            if name and name.group(1) not in seen:
                seen.add(name.group(1))
                yield Declaration(path, begin + 1, name.group(1), words, doc, section)
        at += 1


def objects_in(texts):
    return {name for text in texts for name in re.findall(r"^typedef struct (weir_\w+) \1;", text, re.M)}


def changes_shared_state(declaration, objects):
    if any(re.fullmatch(pattern, declaration.name) for pattern in PRIVATE):
        return False
    if MAKES.search(declaration.name):
        return True
    parameters = declaration.text.split("(", 1)[1].rsplit(")", 1)[0].split(",")
    return any(match.group(2) in objects and not match.group(1)
               for match in (re.match(r"\s*(const )?(?:struct )?(weir_\w+) \*", one) for one in parameters) if match)


def violations_of(path, text, objects):
    found = []
    for offset, comment in comments_of(text):
        first, at_starts = line_of(text, offset), []
        for number, line in enumerate(comment.split("\n")):
            whole = text.split("\n")[first + number - 1]
            if len(whole) > 100:
                found.append("width: %s:%d: %d columns" % (path, first + number, len(whole)))
            start = AT_START.match(line)
            at_starts += [start.group(1)] if start else []
            if len(TAG.findall(line)) > (1 if start else 0):
                found.append("tag: %s:%d: %s: in the middle of a line" % (path, first + number, TAG.findall(line)[-1]))
        if at_starts != [tag for tag in TAGS if tag in at_starts]:
            found.append("tag: %s:%d: %s: twice or out of order" % (path, first, ", ".join(at_starts)))
    for declaration in declarations_of(path, text):
        place = "%s:%d: %s()" % (path, declaration.line, declaration.name)
        if not declaration.doc:
            found.append("undocumented: " + place)
        elif changes_shared_state(declaration, objects) and "Crash" not in declaration.tags():
            found.append("crash: %s changes shared state and has no Crash: line" % place)
    return found


def violations_in(root):
    texts = {path: read(root, path) for path in headers_of(root)}
    objects = objects_in(texts.values())
    return [line for path, text in texts.items() for line in violations_of(path, text, objects)]


# ---- each rule finds what breaks it

GOOD = """/* weir-shm.h: a header. */
typedef struct weir_list weir_list;

/* ---- lists ---- */

/* In all calls below.
 * Context: any thread.
 */

/* Makes a list.
 * `name`: its name.
 * Crash: no name, or a whole list.
 * Returns: the list; or NULL. */
WEIR_API weir_list *weir_list_create(const char *name);

/* The length; and the first byte. */
WEIR_API int64_t weir_list_len(const weir_list *list);
static inline int weir_list_first(const weir_list *list);

/* Changes one.
 * Crash: the old value or the new one. */
WEIR_API int weir_list_set(weir_list *list,
                           int64_t index);

static inline int weir_list_first(const weir_list *list)
{
    int a;

    return a;
}
"""
BAD = [
    ("undocumented", "/* Changes one.\n * Crash: the old value or the new one. */\n", ""),
    ("undocumented", "/* The length; and the first byte. */\n", "/* The length; and the first byte. */\n\n"),
    ("tag", " * Crash: no name", " * `size`. Crash: no name"),
    ("tag", " * Crash: no name, or a whole list.\n * Returns: the list; or NULL. */", " * Returns: NULL.\n * Crash: none. */"),
    ("tag", " * Context: any thread.\n", " * Context: any thread.\n * Context: any process.\n"),
    ("crash", " * Crash: the old value or the new one. */", " */"),
    ("crash", " * Crash: no name, or a whole list.\n", ""),
    ("width", "/* Changes one.\n", "/* Changes one" + " and then another" * 6 + ".\n"),
]


def violations_with(text):
    with tempfile.TemporaryDirectory() as root:
        os.mkdir(os.path.join(root, "shm"))
        with open(os.path.join(root, "shm/weir-shm.h"), "w", encoding="utf-8") as file:
            file.write(text)
        return violations_in(root)


def self_test():
    wrong = ["the good header: " + line for line in violations_with(GOOD)]
    for rule, old, new in BAD:
        if old not in GOOD or not any(line.startswith(rule + ":") for line in violations_with(GOOD.replace(old, new))):
            wrong.append("%s: not found with %r in place of %r" % (rule, new, old))
    return wrong


def main(arguments):
    if arguments == ["--self-test"]:
        found = self_test()
    elif arguments[:1] == ["--list"]:
        root = arguments[1] if arguments[1:] else "."
        for path in headers_of(root):
            for one in declarations_of(path, read(root, path)):
                print("%s:%d: %s: %s" % (path, one.line, one.name, " ".join(tag for tag in TAGS if tag in one.tags())))
        return 0
    else:
        found = violations_in(os.path.abspath(arguments[0] if arguments else "."))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
