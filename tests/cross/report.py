# SPDX-License-Identifier: MIT
"""report.py TESTLOG LIST PASSED FAILED SKIPPED: what meson's testlog.json says, with what LIST names as skips; the counts before."""

import json
import os
import re
import sys

log, known = sys.argv[1:3]
passed, failed, skipped = map(int, sys.argv[3:])
with open(known, encoding="utf-8") as file:
    reasons = {tuple(line.split(": ", 1)[0].split(" ")): line.split(": ", 1)[1].strip()
               for line in file if ": " in line and not line.startswith("#")}


def failures_in(text):
    """The names of the cmocka tests that failed: by an assertion in them, or in what is around them."""
    return set(re.findall(r"^\[ +(?:FAILED|ERROR) +\] ([a-z]\w*__\w+|[a-z]\w+)$", text, re.M))


def reason_of(name, test):
    """Why it is left out, or None. What is listed of a program is left out of its other runs (-anonymous, -here), too."""
    return reasons.get((name, test)) or reasons.get((re.sub("-(anonymous|here)$", "", name), test))


results = []
if os.path.exists(log):
    with open(log, encoding="utf-8") as file:
        results = [json.loads(line) for line in file]
if not results:
    failed += 1
    print("failed: no test has run")
for result in results:
    name = result["name"].split(" / ")[-1]
    text = result.get("stdout", "") + result.get("stderr", "")
    if reason_of(name, "*"):
        skipped += 1
        print("skipped: %s: %s" % (name, reason_of(name, "*")))
        continue
    for test in re.findall(r"^\[ LEFT OUT \] (\w+)$", text, re.M):
        skipped += 1
        print("skipped: %s %s: %s" % (name, test, reason_of(name, test)))
    if result["result"] == "OK":
        passed += 1
        continue
    if result["result"] == "SKIP":
        skipped += 1
        print("skipped: %s: %s" % (name, (text.strip().split("\n") or [""])[0]))
        continue
    failed += 1
    print("failed: %s (%s): %s" % (name, result["result"], ", ".join(sorted(failures_in(text))) or "no test is named"))
print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
sys.exit(1 if failed else 0)
