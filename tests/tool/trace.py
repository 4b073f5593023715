# SPDX-License-Identifier: MIT
"""trace.py WEIR THINGS MILL VERSION CLASS: weir trace, one class of tests.

The traces are made by hand (trace_file.py), so that what is written can be compared with what they were made of."""

import html
import html.parser
import json
import os
import random
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree
import zlib
from decimal import Decimal

import trace_file
from tool import BOUND, WEIR, Mill, needs_root, weir
from trace_file import BEGAN, DEATH, IDLE, LATE, MS, Trace

SANITIZED = "SANITIZED" in os.environ
LIMIT = 2 << 20
FORMATS = ("summary", "html", "json", "svg")
HOSTILE = "<script>&'\"]]>\x1b\\--><b \uffff"
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Traces(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="weirtest-trace-")
        self.path = os.path.join(self.folder, "trace")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def put(self, trace):
        data = trace if isinstance(trace, bytes) else trace.bytes()
        with open(self.path, "wb") as file:
            file.write(data)

    def write(self, trace, *arguments, status=0):
        """What the tool writes to stdout."""
        self.put(trace)
        done, out, err = weir("trace", *arguments, self.path)
        self.assertEqual(done, status, err)
        if status == 0:
            self.assertEqual(err, "")
        return out

    def number(self, text, pattern):
        """The number in the first group, and the time in ns if a unit follows it."""
        found = re.search(pattern.replace("TIME", r"([\d.]+) (s|ms|us|ns)\b").replace("NUMBER", r"([\d.]+)"), text)
        self.assertIsNotNone(found, "%s in %s" % (pattern, text))
        value = float(found.group(1))
        return value * UNITS[found.group(2)] if found.lastindex > 1 else value

    def assert_near(self, found, expected, share=0.006):
        self.assertLessEqual(abs(found - expected), share * max(abs(expected), 1e-9), "%s, not %s" % (found, expected))


def simulate(costs, chunks, workers, items):
    """How long an even cut takes, given out as a pool does it; the costs are those of a cut into equal parts."""
    size, at, new = items // len(costs), 0, []
    for chunk in range(chunks):
        cost, end = 0.0, at + items // chunks + (chunk < items % chunks)
        while at < end:
            upto = min(end, (at // size + 1) * size)
            cost += costs[at // size] * (upto - at) / size
            at = upto
        new.append(int(cost) + 1000)
    return trace_file.run_job(Trace(workers), 0, new)[0]


class Summary(Traces):
    def test_all_busy__when_chunks_take_as_long(self):
        out = self.write(trace_file.balanced(4, 64, 10 * MS))
        self.assertIn('job "grind": 64 chunks on 4 workers, 160 ms, 100 % busy\n', out)
        self.assertIn("load balance 1.00 (mean busy 160 ms, longest 160 ms);", out)
        self.assertIn("idle: 0 % no chunk left, 0 % waking, 0 % between chunks", out)
        self.assertNotIn("to gain", out)
        self.assertNotIn("try chunks", out)

    def test_imbalance_its_chunk_and_the_remedy(self):
        trace, costs, end, busy = trace_file.unbalanced()
        out = self.write(trace)
        mean = sum(busy) / 4
        self.assert_near(self.number(out, r'job "histogram": 16 chunks on 4 workers, TIME'), end)
        self.assert_near(self.number(out, "load balance NUMBER"), mean / max(busy), 0.02)
        self.assert_near(self.number(out, "mean busy TIME"), mean)
        self.assert_near(self.number(out, "longest TIME"), max(busy))
        self.assert_near(self.number(out, r"\): TIME to gain"), max(busy) - mean)
        self.assert_near(self.number(out, "idle: NUMBER % no chunk left"), 100 * (1 - sum(busy) / (4 * end)), 0.02)
        self.assert_near(self.number(out, "median TIME"), 10 * MS)
        self.assert_near(self.number(out, "p95 TIME"), sorted(costs)[15])
        self.assertIn("max 200 ms = 20.0 x: chunk 15 [1500,1600), worker 3, started at 30.0 ms", out)
        chunks = int(self.number(out, "try chunks = NUMBER"))
        self.assertEqual(chunks & (chunks - 1), 0)
        self.assert_near(self.number(out, r"try chunks = \d+: TIME"), simulate(costs, chunks, 4, 1600), 0.01)
        self.assertLess(simulate(costs, chunks, 4, 1600),
                        1.031 * min(simulate(costs, 4 << i, 4, 1600) for i in range(9)))

    def test_what_if_is_what_the_pools_rule_gives(self):
        chance = random.Random(5)
        costs = [chance.randrange(MS, 30 * MS) for _ in range(96)]
        trace = Trace(6)
        trace.job(96 * 4096, 96, 0, 0)
        end, _ = trace_file.run_job(trace, 1, costs)
        trace.jobs[0]["closed"] = BEGAN + end
        for what, chunks, workers in (("chunks=96", 96, 6), ("chunks=12", 12, 6), ("workers=11", 96, 11), ("workers=1", 96, 1),
                                      ("chunks=1000,workers=16", 1000, 16), ("workers=200,chunks=7", 7, 200)):
            out = self.write(trace, "--what-if", what)
            self.assert_near(self.number(out, r"  with [^:]*: TIME"), simulate(costs, chunks, workers, 96 * 4096), 0.01)
            self.assertNotIn("try chunks", out)
            self.assert_near(self.number(out, "median TIME"), sorted(costs)[47])
            self.assert_near(self.number(out, "p95 TIME"), sorted(costs)[91])

    def test_status_1_and_the_reason__when_nothing_can_be_computed(self):
        for change in ({"does": trace_file.EACH}, {"count": 32, "grain": 32}):
            trace = trace_file.balanced(4, 16)
            trace.jobs[0].update(change)
            self.put(trace)
            done, out, err = weir("trace", "-w", "chunks=64", self.path)
            self.assertEqual(done, 1)
            self.assertIn("grind", out)
            self.assertNotIn("computed", out)
            self.assertIn("no job for which that could be computed", err)

    def test_deaths_with_their_chunk_and_cause(self):
        trace = trace_file.with_death()
        trace.worker(DEATH, 2, 600 * MS, 700 * MS, 1, 1, flags=LATE, number=9)
        trace.worker(DEATH, 2, 0, 800 * MS, flags=IDLE, status=3)
        out = self.write(trace)
        self.assertIn("deaths: 3, 1 for the time a chunk took; 1 chunk run again; 300 ms of work lost\n", out)
        self.assertIn("worker 1 (process 1001) at 300 ms: signal 9, in chunk 2 [200,300) of segment after 200 ms, "
                      "which is run again\n", out)
        self.assertIn("at 700 ms: killed for the time it took, in chunk 1 [100,200) of segment after 100 ms\n", out)
        self.assertIn("worker 2 (process 1002) at 800 ms: status 3\n", out)
        self.assertIn("  1 run again, 0 failed\n", out)

    def test_chunks_noted_together_calls_spans_and_counts(self):
        out = self.write(trace_file.many_kinds())
        self.assertIn('job "tiny": 10000 chunks on 4 workers, 30.0 ms, 75 % busy\n', out)
        self.assertIn("median 9.00 us, p95 9.00 us, max 50.0 us = 5.6 x: chunk 7 [70,80), worker 0", out)
        self.assertIn("calls: 8 calls on 4 workers, 38.0 ms", out)
        self.assertIn("for without a name: 1 chunk on 4 workers, 60.0 ms", out)
        self.assertIn('  "read <a> & b": 2 times, 47.0 ms in all, longest 28.0 ms\n', out)
        self.assertIn('  "parse": 1 time, 5.00 ms in all, longest 5.00 ms\n', out)
        self.assertIn('  "rows": 1234 in 2 times\n', out)

    def test_idle_time_is_none_in_which_a_worker_was_at_another_job(self):
        trace = Trace(2)
        trace.job(2, 2, 0, 100 * MS, "a")
        trace.job(2, 2, 0, 100 * MS, "b")
        for worker in range(2):
            trace.chunk(worker, 1, worker, 20 * MS, 50 * MS)
            trace.chunk(worker, 2, worker, 50 * MS, 90 * MS)
        out = self.write(trace)
        self.assertEqual(re.findall("idle: (.*)", out), 2 * ["10 % no chunk left, 20 % waking, 0 % between chunks"])

    def test_idle_between_chunks_is_none_that_another_job_took(self):
        trace = Trace(1)
        trace.job(2, 2, 0, 100 * MS, "a")
        trace.job(1, 1, 0, 100 * MS, "b")
        trace.chunk(0, 1, 0, 0, 10 * MS)
        trace.chunk(0, 2, 0, 30 * MS, 80 * MS)
        trace.chunk(0, 1, 1, 90 * MS, 100 * MS)
        self.assertIn("idle: 0 % no chunk left, 0 % waking, 30 % between chunks",
                      self.write(trace).split('job "a"')[1])

    def test_ranges_are_those_of_the_pool(self):
        for chunk, text in ((0, "[0,11)"), (2, "[22,33)"), (3, "[33,43)"), (9, "[93,103)")):
            trace = Trace(1)
            trace.job(103, 10, 0, MS)
            trace.chunk(0, 1, chunk, 0, MS)
            self.assertIn("chunk %d %s, worker 0" % (chunk, text), self.write(trace))

    def test_what_is_lost_or_damaged_is_said(self):
        trace = trace_file.balanced()
        trace.lost[1], trace.lost[2] = 70, 7
        trace.head["jobs_lost"] = 5
        trace.head["killed"] = 1
        trace.chunk(0, 1, 3, 10**15, 10**15 + 1)
        trace.end = 160 * MS
        trace.pids += [99] * 9
        trace.worker(DEATH, 4, 0, MS, 1, 1, number=9)
        trace.worker(DEATH, 3, 0, MS, 1, -1, number=9)
        trace.chunk(0, 1, 0, MS, 2 * MS, count=0)
        trace.chunk(0, 1, 0, 2 * MS, MS)
        trace.event(0, 9, MS, 2 * MS, 1, b"")
        trace.event(0, DEATH, MS, 2 * MS, 1, b"")
        trace.event(-1, trace_file.CHUNK, MS, 2 * MS, 1, b"")
        trace.jobs += [dict(trace.jobs[0], number=number, count=count) for number, count in ((0, 1), (1, 1), (7, 0), (8, 1 << 25))]
        out = self.write(trace)
        self.assertIn("lost: 77 events, the oldest of 2 workers", out)
        self.assertIn("lost: the records of 5 older jobs\n", out)
        self.assertIn("damaged: 12 events and records", out)
        self.assertNotIn("deaths", out)
        self.assertIn("the program has died\n", out)

    def test_jobs_of_one_name_are_one_and_many_names_are_cut_off(self):
        trace = Trace(2)
        for i in range(1000):
            job = trace.job(2, 2, i * MS, (i + 1) * MS, "step %d" % (i % 50))
            trace.chunk(0, job, 0, i * MS, i * MS + 900000 - 1000 * (i % 50))
            trace.chunk(1, job, 1, i * MS, i * MS + 500000)
        out = self.write(trace)
        names = re.findall('job "step ([0-9]+)": 20 times, 40 chunks on 2 workers, 20.0 ms', out)
        self.assertEqual(names, [str(i) for i in range(20)])
        busy = sum(20 * (1400000 - 1000 * i) for i in range(20, 50))
        self.assertIn("and 30 more names of jobs: 1200 chunks, ", out)
        self.assert_near(self.number(out, "more names of jobs: 1200 chunks, TIME of work"), busy)

    def test_nothing__when_nothing_was_run(self):
        out = self.write(Trace(3))
        self.assertIn("3 workers, 0 s", out)
        for kind in FORMATS:
            self.write(Trace(3), "-f", kind)


class Json(Traces):
    def read(self, trace):
        return json.loads(self.write(trace, "--format", "json"), parse_float=Decimal)

    def check_form(self, events):
        rows = {}
        for event in events:
            self.assertIs(type(event["pid"]), int)
            self.assertIs(type(event["tid"]), int)
            self.assertIn(event["ph"], "MXICsf")
            if event["ph"] != "M":
                self.assertGreaterEqual(event["ts"], 0)
            if event["ph"] == "X":
                rows.setdefault(event["tid"], []).append((event["ts"], -event["dur"]))
        for row in rows.values():
            ends = []
            for begin, minus in sorted(row):
                while ends and ends[-1] <= begin:
                    ends.pop()
                self.assertTrue(not ends or begin - minus <= ends[-1], "they overlap")
                ends.append(begin - minus)

    def test_each_event_in_its_row(self):
        found = self.read(trace_file.many_kinds())
        events = found["traceEvents"]
        self.check_form(events)
        self.assertEqual({event["args"]["name"] for event in events if event["name"] == "thread_name"},
                         {"worker %d" % worker for worker in range(4)})
        self.assertEqual({event["pid"] for event in events}, {4711})
        chunk = next(event for event in events if event["ph"] == "X" and event["name"] == "for 2" and event["tid"] == 1)
        self.assertEqual((chunk["ts"], chunk["dur"]), (40000, 50000))
        self.assertEqual(chunk["args"], {"job": 2, "chunk": 0, "attempt": 1, "count": 1, "range": [0, 10]})
        merged = next(event for event in events if event["name"] == "tiny" and event["tid"] == 2)
        self.assertEqual((merged["args"]["count"], merged["args"]["busy_us"], merged["dur"]), (100, 900, 1100))
        spans = [event for event in events if event.get("cat") == "span"]
        self.assertEqual([(event["name"], event["ts"], event["dur"]) for event in spans],
                         [("read <a> & b", 41000, 19000), ("parse", 45000, 5000), ("read <a> & b", 61000, 28000)])
        self.assertEqual([event["args"] for event in events if event["name"] == "rows"],
                         [{"worker 0": 1200}, {"worker 0": 34}])
        self.assertEqual(sum(event["name"] == "calls" for event in events), 8)
        self.assertEqual(sum("unfinished" in event.get("args", ()) for event in events), 1)

    def test_workers_busy_at_each_moment(self):
        events = self.read(trace_file.with_death())["traceEvents"]
        busy = [(event["ts"], event["args"]["workers"]) for event in events if event["name"] == "workers busy"]
        self.assertEqual(busy, [(0, 3), (100000, 4), (300000, 3), (400000, 3), (500000, 2), (600000, 1), (1000000, 0)])

    def test_a_death_leads_to_where_its_chunk_is_run_again(self):
        events = self.read(trace_file.with_death())["traceEvents"]
        self.check_form(events)
        flow = [(event["ph"], event["tid"], event["ts"]) for event in events if event["ph"] in "sf"]
        self.assertEqual(flow, [("f", 1, 400000), ("s", 2, 100000)][::-1])
        self.assertEqual(len({event["id"] for event in events if event["ph"] in "sf"}), 1)
        death = next(event for event in events if event["name"] == "death")
        self.assertEqual((death["ph"], death["tid"], death["ts"], death["args"]),
                         ("I", 2, 300000, {"process": 1001, "life": 1, "by": "signal 9"}))
        start = next(event for event in events if event["name"] == "start")
        self.assertEqual((start["tid"], start["ts"], start["args"]["process"]), (2, 350000, 2001))

    def test_it_nests__when_events_overlap(self):
        trace = Trace(2)
        chance = random.Random(3)
        for _ in range(300):
            begin = chance.randrange(0, 1000)
            trace.chunk(0, 0, 1, begin, begin + chance.randrange(0, 300))
            trace.span(0, 0, "x", begin, begin + chance.randrange(0, 300))
        self.check_form(self.read(trace)["traceEvents"])

    def test_hostile_texts_are_the_texts(self):
        trace = Trace(1, HOSTILE)
        trace.job(1, 1, 0, MS, HOSTILE)
        trace.chunk(0, 1, 0, 0, MS)
        trace.span(0, 1, 'a"\\\x01', 0, MS)
        found = self.read(trace)
        names = {event["name"] for event in found["traceEvents"] if event["ph"] == "X"}
        self.assertIn('a"\\\\\\x01', names)
        self.assertNotIn("\x1b", json.dumps(sorted(names)))
        self.assertIn('<script>&\'"]]>\\x1b', found["otherData"]["pool"])

    @unittest.skipIf(SANITIZED, "takes minutes")
    def test_a_million_events_at_most_and_a_note(self):
        output = os.path.join(self.folder, "out.json")
        self.put(trace_file.huge())
        self.assertEqual(weir("trace", self.path, "-o", output), (0, "", ""))
        rows, last, note, count = {}, {}, None, 0
        with open(output, encoding="utf-8") as file:
            for line in file:
                if not line.startswith('{"ph"'):
                    continue
                event = json.loads(line.rstrip(",\n"), parse_float=Decimal)
                count += 1
                if event["ph"] == "X":
                    self.assertGreaterEqual(event["ts"], rows.get(event["tid"], 0))
                    rows[event["tid"]] = event["ts"] + event["dur"]
                    last[event["tid"]] = event["ts"]
                if event["name"].startswith("cut off"):
                    note = event["ts"]
        self.assertLessEqual(count, 1000000)
        self.assertGreater(count, 990000)
        self.assertEqual(len(rows), 64)
        for ts in last.values():  # all rows are cut off at one moment
            self.assertLess(note - ts, 2000)


class Pages(Traces):
    class Reader(html.parser.HTMLParser):
        VOID = {"meta", "br", "hr", "img", "link", "input"}

        def __init__(self):
            super().__init__()
            self.open = []
            self.tags = set()
            self.text = ""

        def handle_starttag(self, tag, attrs):
            self.tags.add(tag)
            if tag not in self.VOID:
                self.open.append(tag)

        def handle_startendtag(self, tag, attrs):
            self.tags.add(tag)

        def handle_endtag(self, tag):
            if not self.open or self.open.pop() != tag:
                raise AssertionError("</%s> closes nothing" % tag)

        def handle_data(self, data):
            self.text += data

    def check(self, trace):
        """The page and the picture."""
        page = self.write(trace, "-f", "html")
        picture = self.write(trace, "-f", "svg")
        for text in (page, picture):
            self.assertLessEqual(len(text.encode()), LIMIT)
            self.assertEqual(re.findall("https?://[^\"]*", text), ["http://www.w3.org/2000/svg"] * (text is picture))
            self.assertNotIn("@import", text)
        reader = self.Reader()
        reader.feed(page)
        reader.close()
        self.assertEqual(reader.open, [])
        self.assertFalse(reader.tags & {"script", "link", "img", "iframe", "object", "b"}, reader.tags)
        xml.etree.ElementTree.fromstring(picture)
        return page, reader

    def test_well_formed_and_with_the_summary(self):
        for trace in (trace_file.balanced(), trace_file.unbalanced()[0], trace_file.with_death(), trace_file.many_kinds(),
                      Trace(1)):
            _, reader = self.check(trace)
            for line in self.write(trace).splitlines():
                self.assertIn(line, reader.text)

    def test_what_is_under_the_mouse_is_said(self):
        page, _ = self.check(trace_file.many_kinds())
        titles = set(re.findall("<title>([^<]*)</title>", page))
        for title in ("tiny: 10000 chunks, 30.0 ms from 0 s on", "for 2: 4 chunks, open from 40.0 ms on",
                      "worker 3: 2508 chunks, busy for 46.5 ms", "10000 chunks of 6.31 us to 10.0 us",
                      "8 chunks of 2.51 ms to 3.98 ms", "1 chunks of 39.8 ms to 63.1 ms",
                      "chunk 0 [0,10) of for 2, worker 0\n50.0 ms from 40.0 ms on", "call 0, worker 3\n3.00 ms from 50.0 ms on",
                      "chunk 1 [10,20) of for 2, worker 2\n58.0 ms from 42.0 ms on\nnot finished when this was written",
                      "chunk 5 of a job without a record, worker 1\n10.0 ms from 50.0 ms on",
                      "100 chunks from 2500 on of tiny, worker 1\n1.10 ms from 0 s on", "read &lt;a&gt; &amp; b: 28.0 ms"):
            self.assertIn(title, titles)
        page, _ = self.check(trace_file.with_death())
        titles = set(re.findall("<title>([^<]*)</title>", page))
        for title in ("worker 1 died at 300 ms: process 1001, signal 9, in chunk 2 [200,300) of segment",
                      "chunk 2 [200,300) of segment, worker 1\n200 ms from 100 ms on\nthe worker died",
                      "chunk 2 [200,300) of segment, worker 0\n200 ms from 400 ms on\nrun again: attempt 2",
                      "process 2001 started"):
            self.assertIn(title, titles)

    def test_no_text_of_a_program_is_markup(self):
        trace = Trace(1, HOSTILE)
        for name in (HOSTILE, "\ufffe\uffff\ud7ff\u202e", "\xff" * 15):
            job = trace.job(1, 1, 0, MS, name)
            trace.chunk(0, job, 0, 0, MS)
            trace.span(0, job, name, 0, MS)
        _, reader = self.check(trace)
        self.assertIn("<script>&'\"]]>\\x1b", reader.text)

    def test_small__when_the_trace_is_long(self):
        page, _ = self.check(trace_file.huge(64, 500 if SANITIZED else 16384))
        self.assertIn("12345 events lost", page)
        self.assertIn("step 3", page)

    def test_small__when_columns_and_texts_are_as_bad_as_can_be(self):
        trace = Trace(128, "\"" * 31)
        for i in range(40):
            trace.job(1, 1, i * 25 * MS, (i + 1) * 25 * MS, "\"" * 29 + "%02d" % i)
        for worker in range(128):
            for i in range(1000):
                begin = i * MS + worker
                trace.chunk(worker, 1 + (i + worker) % 40, 0, begin, begin + MS // (1 + i % 7), attempt=1 + i % 2)
                trace.span(worker, 1, "\"" * 24, begin, begin + MS // 2)
            for i in range(20):
                trace.worker(DEATH, worker, i * 50 * MS, i * 50 * MS + 20, 1, 0, number=9)
        self.check(trace)

    def test_many_workers_share_rows(self):
        trace = Trace(1000)
        trace.job(1000, 1000, 0, 10 * MS)
        for worker in range(0, 1000, 2):
            trace.chunk(worker, 1, worker, 0, 10 * MS)
        trace.worker(DEATH, 999, 0, 5 * MS, 1, 999, number=6)
        page, _ = self.check(trace)
        self.assertIn("8 workers in a row", page)
        self.assertNotIn("<title>chunk", page)  # they would lie on each other
        self.assertIn("worker 999 died at 5.00 ms: process 1999, signal 6", page)


class Command(Traces):
    def test_the_suffix_says_the_format(self):
        self.put(trace_file.with_death())
        for suffix, kind in (("html", "html"), ("htm", "html"), ("json", "json"), ("svg", "svg"), ("txt", "summary")):
            output = os.path.join(self.folder, "out." + suffix)
            self.assertEqual(weir("trace", self.path, "-o", output), (0, "", ""))
            with open(output, encoding="utf-8") as file:
                self.assertEqual(file.read(), weir("trace", "-f", kind, self.path)[1])
            self.assertEqual(stat.S_IMODE(os.stat(output).st_mode), 0o666 & ~self.mask())
        self.assertEqual(weir("trace", self.path)[1], weir("trace", "-o", "-", self.path)[1])
        self.assertEqual(len(os.listdir(self.folder)), 6)

    @staticmethod
    def mask():
        mask = os.umask(0)
        os.umask(mask)
        return mask

    def test_the_file_that_was_there_stays__when_it_cannot_be_written(self):
        self.put(trace_file.huge(8, 3000))
        output = os.path.join(self.folder, "out.json")
        with open(output, "w", encoding="utf-8") as file:
            file.write("before")
        command = 'ulimit -f 100; trap "" XFSZ; exec "$0" trace "$1" -o "$2"'
        done = subprocess.run(["bash", "-c", command, WEIR, self.path, output], stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("cannot write to", done.stderr)
        self.assertIn("File too large", done.stderr)
        with open(output, encoding="utf-8") as file:
            self.assertEqual(file.read(), "before")
        self.assertEqual(sorted(os.listdir(self.folder)), ["out.json", "trace"])

    def test_a_link_stays_one_and_a_pipe_is_written_to(self):
        self.put(trace_file.balanced())
        target, link = os.path.join(self.folder, "there"), os.path.join(self.folder, "link.json")
        with open(target, "w", encoding="utf-8"):
            pass
        os.symlink(target, link)
        self.assertEqual(weir("trace", self.path, "-o", link), (0, "", ""))
        self.assertTrue(os.path.islink(link))
        with open(target, encoding="utf-8") as file:
            json.load(file)
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE, text=True) as cat:
            self.assertEqual(weir("trace", self.path, "-f", "summary", "-o", fifo), (0, "", ""))
            self.assertEqual(cat.communicate()[0], weir("trace", self.path)[1])
        self.assertTrue(stat.S_ISFIFO(os.stat(fifo).st_mode))

    def test_status_2_and_the_reason__when_an_argument_is_wrong(self):
        self.put(trace_file.balanced())
        for arguments in (("-f", "pdf", self.path), ("-o", "out.pdf", self.path), ("-o", "json", self.path), (),
                          (self.path, self.path), ("-w", "chunks=0", self.path), ("-w", "", self.path),
                          ("-w", "chunks=9999999999", self.path), ("-w", "workers=-1", self.path),
                          ("-w", "chunks=4;", self.path), ("-w", "jobs=1", self.path),
                          ("-w", "workers=5000000000", self.path), ("-f", "json", "-w", "chunks=4", self.path),
                          ("-o", self.folder + "/no/such/folder.json", self.path), ("-o", self.folder + "/.json/", self.path)):
            done, out, err = weir("trace", *arguments)
            self.assertEqual((done, out), (2, ""), arguments)
            self.assertNotEqual(err, "")
        self.assertEqual(os.listdir(self.folder), ["trace"])

    def test_status_2_and_what_it_is__when_a_file_is_no_trace(self):
        good = trace_file.balanced().bytes()
        for data, said in ((b"", "it is empty"), (b"\0" * 500, "is not complete"), (b"\0" * 8 + good[8:], "is not complete"),
                           (b"WEIRPOOL" + good[8:], "is not a trace"), (b"GIF", "is not a trace"), (good[:5], "cut short"),
                           (good[:119], "cut short"), (good[:-1], "cut short: it has %d bytes, and a trace of %d" %
                                                       (len(good) - 1, len(good))),
                           (good + b"x", "1 bytes behind its end"), (good[:8] + b"\2\0\0\0" + good[12:], "version 2"),
                           (good[:12] + b"\1\0\0\0" + good[16:], "head has another size")):
            self.put(data)
            done, out, err = weir("trace", self.path)
            self.assertEqual((done, out), (2, ""), said)
            self.assertIn(said, err)
        for path, said in ((self.folder, "a folder"), ("/dev/null", "not a regular file"), (self.folder + "/none", "No such file")):
            done, _, err = weir("trace", path)
            self.assertEqual(done, 2)
            self.assertIn(said, err)
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        self.assertIn("not a regular file", weir("trace", fifo)[2])


class Damage(Traces):
    """Any file ends with status 0, 1 or 2, and where there is no output a line says why."""

    TIMES = 300 if SANITIZED else 3000

    def look(self, data, turn):
        self.put(data)
        done = subprocess.run([WEIR, "trace", "-f", FORMATS[turn % 4], self.path], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=BOUND, check=False)
        if done.returncode == 0:
            self.assertEqual(done.stderr, b"")
            self.assertLess(len(done.stdout), LIMIT)
            self.check(done.stdout, FORMATS[turn % 4])
        else:
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertEqual((done.stdout, done.stderr.count(b"\n")), (b"", 1))
        return done.returncode == 0

    @staticmethod
    def check(out, kind):
        text = out.decode()
        if kind == "json":
            json.loads(text)
        elif kind == "svg":
            xml.etree.ElementTree.fromstring(text)

    def test_each_byte_of_the_head(self):
        good = trace_file.with_death().bytes()
        for at in range(trace_file.HEAD.size):
            for turn, flip in enumerate((255,) if SANITIZED else (255, 1, 128)):
                self.look(good[:at] + bytes([good[at] ^ flip]) + good[at + 1:], at + turn)

    def test_cut_off_anywhere(self):
        good = trace_file.many_kinds().bytes()
        for at in range(0, len(good), 61):
            self.assertFalse(self.look(good[:at], at // 61))

    def test_random_bytes(self):
        chance = random.Random(11)
        files = [trace_file.many_kinds().bytes(), trace_file.with_death().bytes()]
        extremes = [0, 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
        good = 0
        for turn in range(self.TIMES):
            data = bytearray(files[turn % 2])
            first = 0 if turn % 10 == 0 else trace_file.HEAD.size
            for _ in range(chance.randrange(1, 12)):
                at = chance.randrange(first, len(data) - 8) // 8 * 8
                if chance.random() < 0.5:
                    data[at:at + 8] = struct.pack("<Q", chance.choice(extremes))
                else:
                    data[at + chance.randrange(8)] = chance.randrange(256)
            good += self.look(bytes(data), turn // 2)
        self.assertGreater(good, self.TIMES // 2)

    def test_nothing_but_random_bytes_behind_the_head(self):
        chance = random.Random(12)
        for turn in range(self.TIMES // 10):
            trace = Trace(3)
            for ring in trace.rings:
                for _ in range(50):
                    event = bytearray(chance.randbytes(64))
                    begin = BEGAN + chance.randrange(-MS, 10**9)
                    struct.pack_into("<qqQB", event, 0, begin, begin + chance.randrange(0, 10**9), chance.randrange(3),
                                     chance.randrange(8))
                    ring.append(bytes(event))
            trace.job(10, 3, 0, 10**9)
            trace.jobs[0].update(grain=chance.getrandbits(64), longer=chance.getrandbits(63), begin=-chance.getrandbits(63),
                                 end=chance.getrandbits(63), count=chance.randrange(1, 1 << 24))
            self.assertTrue(self.look(trace.bytes(), turn))


@needs_root
class Recorded(Traces):
    """What a pool has written: the first one of six chunks has killed its worker once."""

    def env(self):
        return dict(os.environ, WEIR_TRACE=self.path)

    def read_events(self):
        done, out, err = weir("trace", "-f", "json", self.path)
        self.assertEqual((done, err), (0, ""))
        return json.loads(out)["traceEvents"]

    def test_a_death_and_its_retry(self):
        with Mill(env=self.env()) as mill:
            self.assertEqual(weir("trace", self.path)[0], 2)
            mill.end()
            pid, supervisor = mill.pid, mill.supervisor
        done, out, err = weir("trace", self.path)
        self.assertEqual((done, err), (0, ""))
        self.assertIn('pool "mill" of program %d: 3 workers' % pid, out)
        self.assertIn('job "grind": 6 chunks on 3 workers', out)
        self.assertIn("deaths: 1, 0 for the time a chunk took; 1 chunk run again", out)
        self.assertRegex(out, r"signal 9, in chunk 0 \[0,100\) of grind after .*, which is run again\n")
        self.assertNotIn("damaged", out)
        self.assertNotIn("lost:", out)
        events = self.read_events()
        self.assertEqual({event["pid"] for event in events}, {supervisor})
        chunks = [event["args"] for event in events if event["ph"] == "X"]
        self.assertEqual(sorted((chunk["chunk"], chunk["attempt"], "died" in chunk) for chunk in chunks),
                         [(0, 1, True), (0, 2, False)] + [(i, 1, False) for i in range(1, 6)])
        self.assertEqual({tuple(chunk["range"]) for chunk in chunks}, {(100 * i, 100 * i + 100) for i in range(6)})
        self.assertEqual([event["name"] for event in events if event["ph"] in "sf"], ["run again", "run again"])

    def test_what_was_running__when_the_program_was_killed(self):
        with Mill(env=self.env()) as mill:
            mill.program.kill()
            mill.program.communicate()
        limit = time.monotonic() + BOUND
        while weir("trace", self.path)[0] != 0:
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.01)
        self.assertIn("  the program has died\n", weir("trace", self.path)[1])
        cut = [event["args"]["chunk"] for event in self.read_events() if "unfinished" in event.get("args", ())]
        self.assertEqual(len(set(cut)), 3)


class Screenshot(Traces):
    """The page as a browser draws it."""

    # In the page, which is in a frame: the browser has no window that is as narrow as a phone.
    PROBE = """<script>parent.document.documentElement.setAttribute("data-found", JSON.stringify({
        rows: Array.from(document.querySelectorAll("rect.row"), r => r.getBoundingClientRect()),
        width: document.documentElement.scrollWidth}))</script>"""
    BUSY, IDLE, RED = (0x4c, 0x78, 0xa8), (0xf1, 0xf2, 0xf5), (0xd4, 0x00, 0x20)

    def browse(self, *arguments):
        return subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                               "--hide-scrollbars", "--force-device-scale-factor=1", "--blink-settings=preferredColorScheme=1",
                               "--user-data-dir=" + self.folder + "/profile", *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=200, check=True).stdout

    def probe(self, page, width):
        """Where its rows are, and how wide it is, in a window of that width."""
        path = os.path.join(self.folder, "probe.html")
        frame = html.escape(page.replace("</body>", self.PROBE + "</body>"))
        with open(path, "w", encoding="utf-8") as file:
            file.write('<html><body style="margin:0"><iframe style="border:0" width="%d" height="900" srcdoc="%s"></iframe>' %
                       (width, frame))
        dom = self.browse("--window-size=1400,1000", "--dump-dom", "file://" + path).decode()
        return json.loads(re.search('data-found="([^"]*)"', dom).group(1).replace("&quot;", '"'))

    def draw(self, trace, width=1280):
        """Its pixels, as lines of (r, g, b), and where the rows are."""
        page = self.write(trace, "-f", "html")
        with open(os.path.join(self.folder, "page.html"), "w", encoding="utf-8") as file:
            file.write(page)
        found = self.probe(page, width)
        height = int(found["rows"][-1]["bottom"]) + 20
        before = None
        for _ in range(8):  # on a busy machine the browser may take the picture before all of the page is painted
            self.browse("--window-size=%d,%d" % (width, height), "--virtual-time-budget=2000",
                        "--screenshot=%s/page.png" % self.folder, "file://%s/page.html" % self.folder)
            with open(os.path.join(self.folder, "page.png"), "rb") as file:
                pixels = decode_png(file.read())
            if pixels == before and len({pixel for line in pixels for pixel in line}) > 2:
                break
            before = pixels
        return pixels, found

    @staticmethod
    def near(pixel, colour, by=40):
        return all(abs(a - b) <= by for a, b in zip(pixel, colour))

    def line(self, pixels, row):
        """The pixels of a row, above the numbers in its bars."""
        y = int(row["y"]) + 4
        return pixels[y][round(row["x"]):round(row["x"] + row["width"])]

    def share(self, pixels, row, begin, end, colour):
        """How much of a part of a row has that colour."""
        line = self.line(pixels, row)
        part = line[int(begin * len(line)) + 2:int(end * len(line)) - 2]
        return sum(self.near(pixel, colour) for pixel in part) / len(part)

    def test_work_idleness_deaths_and_retries_are_where_they_were(self):
        pixels, found = self.draw(trace_file.with_death())
        rows = found["rows"]
        self.assertEqual(len(rows), 4)
        for row, end in ((0, 0.4), (2, 0.5), (3, 1)):
            self.assertGreater(self.share(pixels, rows[row], 0, end, self.BUSY), 0.97)
        for row, begin in ((0, 0.6), (1, 0.36), (2, 0.5)):
            self.assertGreater(self.share(pixels, rows[row], begin, 1, self.IDLE), 0.9)
        self.assertGreater(self.share(pixels, rows[1], 0, 0.1, self.IDLE), 0.97)
        again = self.share(pixels, rows[0], 0.4, 0.6, self.BUSY)
        self.assertTrue(0.1 < again < 0.8, "not hatched: %s" % again)
        red = {(x, y) for y, line in enumerate(pixels) for x, pixel in enumerate(line) if self.near(pixel, self.RED)}
        row = rows[1]
        inside = {(x, y) for x, y in red if x >= row["x"] and y >= rows[0]["y"]}
        self.assertGreater(len(inside), 20)
        for x, y in inside:
            self.assertLess(abs(x - row["x"] - 0.3 * row["width"]), 9)
            self.assertLess(abs(y - row["y"] - row["height"] / 2), row["height"] / 2)

    def test_an_unbalanced_job_leaves_rows_empty(self):
        trace, _, end, busy = trace_file.unbalanced()
        pixels, found = self.draw(trace)
        for row, worked in zip(found["rows"], busy):
            self.assertAlmostEqual(self.share(pixels, row, 0, 1, self.BUSY), worked / end, delta=0.03)
            self.assertAlmostEqual(self.share(pixels, row, 0, 1, self.IDLE), 1 - worked / end, delta=0.05)

    def test_short_chunks_are_as_high_as_they_were_busy(self):
        trace = Trace(2)
        trace.job(20000, 20000, 0, 1000 * MS)
        for i in range(10000):
            trace.chunk(0, 1, i, i * 100000, i * 100000 + 50000)
            trace.chunk(1, 1, 10000 + i, i * 100000, i * 100000 + 99000)
        pixels, found = self.draw(trace)
        for row, share in zip(found["rows"], (0.5, 0.99)):
            x = int(row["x"] + row["width"] / 3)
            column = [pixels[y][x] for y in range(int(row["y"]), int(row["bottom"]))]
            self.assertAlmostEqual(sum(self.near(pixel, self.BUSY) for pixel in column) / len(column), share, delta=0.08)

    def test_lost_events_are_drawn_red(self):
        trace = Trace(2)
        trace.job(2, 2, 0, 1000 * MS)
        trace.chunk(0, 1, 0, 0, 1000 * MS)
        trace.chunk(1, 1, 1, 500 * MS, 1000 * MS)
        trace.lost[1] = 9
        pixels, found = self.draw(trace)
        line = self.line(pixels, found["rows"][1])
        reddish = [x / len(line) for x, (red, green, _) in enumerate(line) if red > green + 60]
        self.assertGreater(len(reddish), 100)
        self.assertLess(max(reddish), 0.51)
        self.assertLess(min(reddish), 0.02)

    def test_a_phone_scrolls_the_picture_and_not_the_page(self):
        for trace in (trace_file.many_kinds(), trace_file.huge(20, 100)):
            self.assertLessEqual(self.probe(self.write(trace, "-f", "html"), 390)["width"], 390)


def decode_png(data):
    """Lines of (r, g, b), of a file with 8 bits a colour."""
    at, packed, head = 8, b"", None
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IHDR":
            head = struct.unpack_from(">IIBBBBB", data, at + 8)
        elif kind == b"IDAT":
            packed += data[at + 8:at + 8 + size]
        at += size + 12
    width, height, bits, colour, _, _, interlaced = head
    assert bits == 8 and colour in (2, 6) and not interlaced, head
    step = 4 if colour == 6 else 3
    raw, size = zlib.decompress(packed), width * step
    lines, before = [], bytearray(size)
    for y in range(height):
        line = bytearray(raw[y * (size + 1) + 1:(y + 1) * (size + 1)])
        unfilter(raw[y * (size + 1)], line, before, step)
        lines.append([tuple(line[x:x + 3]) for x in range(0, size, step)])
        before = line
    return lines


def unfilter(kind, line, before, step):
    for i in range(len(line) if kind else 0):
        left = line[i - step] if i >= step else 0
        above, corner = before[i], before[i - step] if i >= step else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = above
        elif kind == 3:
            guess = (left + above) // 2
        else:
            near = left + above - corner
            guess = min((left, above, corner), key=lambda value: abs(near - value))
        line[i] = (line[i] + guess) & 255


if __name__ == "__main__":
    if sys.argv[5] == "Screenshot" and CHROMIUM is None:
        print("skipped: chromium is not installed")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0]] + sys.argv[5:], verbosity=2)
