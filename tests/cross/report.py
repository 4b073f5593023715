# SPDX-License-Identifier: MIT
"""report.py TESTLOG LIST PASSED FAILED SKIPPED: what meson's testlog.json says, with the failures in LIST as skips; the counts before."""

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
    if result["result"] == "OK":
        passed += 1
        continue
    if result["result"] == "SKIP":
        skipped += 1
        print("skipped: %s: %s" % (name, (text.strip().split("\n") or [""])[0]))
        continue
    found = {("*",)} if (name, "*") in reasons else {(test,) for test in failures_in(text)}
    unknown = [test for test, in found if (name, test) not in reasons]
    if result["result"] == "FAIL" and found and not unknown:
        skipped += len(found)
        for test, in sorted(found):
            print("skipped: %s %s: %s" % (name, test, reasons[name, test]))
    else:
        failed += 1
        print("failed: %s (%s): %s" % (name, result["result"], ", ".join(unknown) or "no test is named"))
print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
sys.exit(1 if failed else 0)
