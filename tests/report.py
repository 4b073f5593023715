# SPDX-License-Identifier: MIT
"""Adds up what the builds' test logs say and prints the line that tests/run ends with.

    report.py BUILD-FOLDER BUILD...

BUILD.results in the folder stands for a test log: a line "NAME passed|failed|skipped REASON" a check, as tests/lint/run writes them.
A program of cmocka's or of Python's unittest counts as the cases it ran, any other test as one. A test that ends badly counts as at
least one failure, and so does a build without a test log, unless BUILD.skipped says why there is none. A failure is printed with the last lines of
what the test said, a skip with its reason: what the
test said before it skipped. What the cases of tests/faults measured is printed too.
"""

import json
import os
import re
import sys

CASE = re.compile(r"\[ +(OK|FAILED|SKIPPED|ERROR) +\] (\w+)$")
RUN = re.compile(r"\[ RUN +\] (\w+)$")
REASON_LINES, REASON_COLUMNS = 20, 400
UNITTEST = re.compile(r"(test\w*) \(.*\.\.\. (?:(ok|FAIL|ERROR)|skipped (['\"])(.*)\3)$")


def cases(test):
    """The (outcome, name, what it said) of each case in a test's output. A case of cmocka's that began and has
    no outcome on stdout failed outside of its body, or ended the program."""
    said = []
    running = None
    for line in (test.get("stdout") or "").splitlines():
        run = RUN.match(line)
        case = CASE.match(line)
        if run:
            if running:
                yield "ERROR", running, said
            running, said = run.group(1), []
        elif case and case.group(2) == running:
            yield case.group(1), running, said
            running, said = None, []
        elif line.strip():
            said.append(line.strip())
    if running:
        yield "ERROR", running, said
    for line in (test.get("stderr") or "").splitlines():
        case = UNITTEST.match(line)
        if case and case.group(2):
            yield {"ok": "OK", "FAIL": "FAILED"}.get(case.group(2), "ERROR"), case.group(1), []
        elif case:
            yield "SKIPPED", case.group(1), [case.group(4)]


def output(test):
    text = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
    return [line.strip() for line in text.splitlines() if line.strip()]


def reasons(test):
    """What a test that failed said last, without its cases that passed."""
    said = [line for line in output(test) if not (CASE.match(line) or RUN.match(line) or line.startswith("[==="))]
    return [line[:REASON_COLUMNS] for line in said[-REASON_LINES:]]


def tally(build, test, count):
    """Adds one test to count, and prints it unless it passed."""
    name = "%s: %s" % (build, test["name"])
    found = list(cases(test))
    passed = sum(1 for case in found if case[0] == "OK")
    failed = [case for case in found if case[0] in ("FAILED", "ERROR")]
    result = test["result"]

    for line in output(test):
        if line.startswith('{"case": '):
            print(line)
    for outcome, case, said in found:
        if outcome == "SKIPPED":
            count["skipped"] += 1
            print("skipped %s: %s: %s" % (name, case, " ".join(said) or "no reason given"))
    if result in ("OK", "EXPECTEDFAIL") and not failed:
        count["passed"] += passed if found else 1
    elif result == "SKIP":
        count["skipped"] += 1
        print("skipped %s: %s" % (name, (output(test) or ["no reason given"])[-1].replace("skipped: ", "", 1)))
    else:
        count["passed"] += passed
        count["failed"] += max(1, len(failed))
        print("FAILED %s (%s)%s" % (name, result, "".join("\n    " + case[1] for case in failed)))
        for line in reasons(test):
            print("    | " + line)


def tally_results(build, lines, count):
    """The same with a file of results."""
    checks = [(line.split(None, 2) + [""])[:3] for line in lines if line.strip()]
    for name, outcome, reason in checks:
        count[outcome] += 1
        if outcome != "passed":
            print("%s %s: %s%s" % ("FAILED" if outcome == "failed" else outcome, build, name,
                                   ": " + reason.strip() if reason.strip() else ""))
    if not checks:
        count["failed"] += 1
        print("FAILED %s: no check was made" % build)


def main():
    folder, builds = sys.argv[1], sys.argv[2:]
    count = {"passed": 0, "failed": 0, "skipped": 0}

    for build in builds:
        try:
            with open(os.path.join(folder, build + ".skipped")) as note:
                print("skipped %s: %s" % (build, note.read().strip()))
            count["skipped"] += 1
            continue
        except OSError:
            pass
        if os.path.exists(os.path.join(folder, build + ".results")):
            with open(os.path.join(folder, build + ".results")) as results:
                tally_results(build, results, count)
            continue
        try:
            with open(os.path.join(folder, build, "meson-logs", "testlog.json")) as log:
                tests = [json.loads(line) for line in log]
            if not tests:
                raise ValueError("no test was run")
            for test in tests:
                tally(build, test, count)
        except (OSError, ValueError, KeyError) as error:
            reason = "%s: %s" % (build, error)
            try:
                with open(os.path.join(folder, build + ".failed")) as note:
                    reason = note.read().strip()
            except OSError:
                pass
            count["failed"] += 1
            print("FAILED " + reason)

    line = "%(passed)d passed, %(failed)d failed" % count
    if count["skipped"]:
        line += ", %(skipped)d skipped" % count
    print(line)
    return 1 if count["failed"] or not count["passed"] else 0


sys.exit(main())
