# SPDX-License-Identifier: MIT
"""trace_file.py: trace files as pool/control/trace.h has them, made by hand."""

import random
import struct

MAGIC, VERSION = b"WEIRTRCE", 1
HEAD = struct.Struct("<8sIIQQQIiiIqqqq32s")
JOB = struct.Struct("<QqqqqQqqIIBBB21x32s")
RING = struct.Struct("<QQqQ")
EVENT = struct.Struct("<qqQBBHI32s")
CHUNK, SPAN, COUNT, START, DEATH, CUT = range(1, 7)
FAILED, AGAIN, LATE, IDLE = 1, 2, 4, 8
CALL, FOR, EACH, MAP, REDUCE = range(1, 6)
BEGAN = 1000 * 10**9  # when the pool began, on the monotonic clock
MS = 10**6
assert (HEAD.size, JOB.size, RING.size, EVENT.size) == (120, 128, 32, 64)


class Trace:
    """A trace. Times are nanoseconds from the begin of the pool on."""

    def __init__(self, workers, name="mill"):
        self.name = name.encode()
        self.jobs = []
        self.rings = [[] for _ in range(workers + 1)]
        self.lost = [0] * (workers + 1)
        self.end = 0
        self.head = {}
        self.pids = [1000 + worker for worker in range(workers)]

    def job(self, items, chunks, begin, end, name="grind", does=FOR, **members):
        """Its number."""
        number = len(self.jobs) + 1
        record = {"number": number, "opened": BEGAN + begin, "closed": BEGAN + end if end else 0, "begin": 0,
                  "end": items, "grain": items // chunks, "longer": items % chunks, "count": chunks, "deaths": 0,
                  "retried": 0, "does": does, "failed": 0, "stopped": 0, "name": name.encode()}
        record.update(members)
        self.jobs.append(record)
        self.end = max(self.end, end)
        return number

    def event(self, ring, kind, begin, end, job, rest, flags=0, attempt=1, count=1):
        self.rings[ring].append(EVENT.pack(BEGAN + begin, BEGAN + end, job, kind, flags, attempt, count, rest))
        self.end = max(self.end, end)

    def chunk(self, worker, job, first, begin, end, attempt=1, count=1, busy=None, longest=None, flags=0):
        busy = end - begin if busy is None else busy
        longest = (busy, first) if longest is None else longest
        self.event(worker, CHUNK, begin, end, job, struct.pack("<qqqq", first, busy, *longest), flags, attempt, count)

    def span(self, worker, job, text, begin, end):
        self.event(worker, SPAN, begin, end, job, struct.pack("<q24s", 0, text.encode()))

    def count(self, worker, job, text, at, number):
        self.event(worker, COUNT, at, at, job, struct.pack("<q24s", number, text.encode()))

    def worker(self, kind, slot, begin, end, job=0, chunk=0, number=0, status=0, flags=0, attempt=1, life=1):
        rest = struct.pack("<qIiiiII", chunk, slot, self.pids[slot], number, status, life, 0)
        self.event(-1, kind, begin, end, job, rest, flags, attempt)

    def bytes(self):
        parts = [JOB.pack(*job.values()) for job in self.jobs]
        for ring, lost in zip(self.rings, self.lost):
            parts += [RING.pack(len(ring), lost, 0, 0), *ring]
        body = b"".join(parts)
        head = {"magic": MAGIC, "version": VERSION, "size": HEAD.size, "file_size": HEAD.size + len(body),
                "jobs": len(self.jobs), "jobs_lost": 0, "workers": len(self.rings) - 1, "host": 4710,
                "supervisor": 4711, "killed": 0, "began": BEGAN, "real": 1_790_000_000 * 10**9, "traced": BEGAN,
                "written": BEGAN + self.end + MS, "name": self.name}
        head.update(self.head)
        return HEAD.pack(*head.values()) + body


def run_job(trace, job, costs, begin=0, gap=0):
    """Gives a job's chunks out as a pool does; returns (when the last one ended, busy time by worker)."""
    workers = len(trace.rings) - 1
    free = [(begin, worker) for worker in range(workers)]
    place = [len(costs) * worker // workers for worker in range(workers)]
    taken = [False] * len(costs)
    busy = [0] * workers
    for _ in costs:
        now, worker = min(free)
        chunk = next(place[worker] + i - len(costs) * (place[worker] + i >= len(costs)) for i in range(len(costs))
                     if not taken[(place[worker] + i) % len(costs)])
        taken[chunk] = True
        place[worker] = chunk
        trace.chunk(worker, job, chunk, now, now + costs[chunk])
        busy[worker] += costs[chunk]
        free[worker] = (now + costs[chunk] + gap, worker)
    return max(now for now, _ in free) - gap, busy


def balanced(workers=4, chunks=64, cost=10 * MS):
    trace = Trace(workers)
    trace.job(chunks * 64, chunks, 0, chunks // workers * cost)
    run_job(trace, 1, [cost] * chunks)
    return trace


def unbalanced(workers=4):
    """The last one of 16 chunks takes as long as 20 of the others. Returns (trace, costs, end, busy by worker)."""
    trace = Trace(workers)
    costs = [10 * MS] * 15 + [200 * MS]
    trace.job(1600, 16, 0, 0, "histogram")
    end, busy = run_job(trace, 1, costs)
    trace.jobs[0]["closed"] = BEGAN + end
    return trace, costs, end, busy


def with_death():
    """Worker 1 dies at 300 ms in chunk 2, which worker 0 runs again from 400 to 600 ms; the trace ends at 1 s."""
    trace = Trace(4)
    trace.job(400, 4, 0, 1000 * MS, "segment", deaths=1, retried=1)
    trace.chunk(0, 1, 0, 0, 400 * MS)
    trace.chunk(2, 1, 1, 0, 500 * MS)
    trace.worker(DEATH, 1, 100 * MS, 300 * MS, 1, 2, number=9, flags=AGAIN)
    trace.pids[1] = 2001
    trace.worker(START, 1, 350 * MS, 350 * MS, life=2)
    trace.chunk(0, 1, 2, 400 * MS, 600 * MS, attempt=2)
    trace.chunk(3, 1, 3, 0, 1000 * MS)
    return trace


def many_kinds():
    """Merged chunks, spans, counts, calls and two jobs, of which one is open and has a chunk that was not finished."""
    trace = Trace(4)
    trace.job(100000, 10000, 0, 30 * MS, "tiny", MAP)
    for worker in range(4):
        for i in range(25):
            trace.chunk(worker, 1, 2500 * worker + 100 * i, (i * 1200) * 1000, (i * 1200 + 1100) * 1000, count=100,
                        busy=900 * 1000, longest=(50 * 1000, 2500 * worker + 100 * i + 7))
    trace.job(40, 4, 40 * MS, 0, "")
    trace.chunk(0, 2, 0, 40 * MS, 90 * MS)
    trace.span(0, 2, "read <a> & b", 41 * MS, 60 * MS)
    trace.span(0, 2, "parse", 45 * MS, 50 * MS)
    trace.span(0, 2, "read <a> & b", 61 * MS, 89 * MS)
    trace.count(0, 2, "rows", 60 * MS, 1200)
    trace.count(0, 2, "rows", 89 * MS, 34)
    trace.worker(CUT, 2, 42 * MS, 100 * MS, 2, 1)
    for i in range(8):
        trace.chunk(3, 0, i, (50 + 5 * i) * MS, (53 + 5 * i) * MS)
    trace.chunk(1, 77, 5, 50 * MS, 60 * MS)  # a job that is not known
    return trace


def huge(workers=64, events=16384, seed=1):
    chance = random.Random(seed)
    trace = Trace(workers, "huge")
    for i in range(1000):
        trace.job(events * workers, events * workers, i * 10 * MS, (i + 1) * 10 * MS, "step %d" % (i % 12))
    for worker in range(workers):
        now = 0
        for i in range(events):
            length = chance.randrange(100, 1000000)
            job = min(now // (10 * MS), 999) + 1
            trace.chunk(worker, job, i, now, now + length, attempt=1 + (i % 97 == 0))
            now += length + chance.randrange(0, 200000)
    trace.lost[3] = 12345
    return trace
