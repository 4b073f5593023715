# SPDX-License-Identifier: MIT
"""beside.py NAME TARGET ROUNDS WEIR... -- PEER...: one figure as a ratio, measured in one run.

WEIR and PEER are commands that do one round for each line they read and print the round's microseconds an
operation. Rounds alternate, A B A B, so that a machine that slows down slows both. Before each there is a pause, in
which the processes and threads of the other side stop spinning: libgomp's spin for some milliseconds after a loop, and
for ever with OMP_WAIT_POLICY=active. Prints one JSON object: both medians and 90th percentiles, weir's as a multiple of
the peer's, the target for the median's, and the fastest round of each.
"""

import json
import os
import statistics
import subprocess
import sys
import time

PAUSE_S = 0.05


class Side:
    def __init__(self, command):
        self.command = command
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.rounds = []

    def round(self):
        time.sleep(PAUSE_S)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("%s ended with status %s" % (" ".join(self.command), self.process.wait()))
        self.rounds.append(float(line))

    def percentile(self, percent):
        ordered = sorted(self.rounds)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


def main():
    name, target, rounds = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    split = sys.argv.index("--")
    weir, peer = Side(sys.argv[4:split]), Side(sys.argv[split + 1:])

    for _ in range(rounds):
        weir.round()
        peer.round()
    weir_us, peer_us = statistics.median(weir.rounds), statistics.median(peer.rounds)
    print(json.dumps({
        "bench": name,
        "rounds": rounds,
        "weir_us": round(weir_us, 5),
        "peer": os.path.basename(peer.command[0]) + " " + " ".join(
            os.path.basename(word) for word in peer.command[1:]),
        "peer_us": round(peer_us, 5),
        "ratio": round(weir_us / peer_us, 6),
        "target": target,
        "weir_p90_us": round(weir.percentile(90), 5),
        "peer_p90_us": round(peer.percentile(90), 5),
        "p90_ratio": round(weir.percentile(90) / peer.percentile(90), 6),
        "weir_min_us": round(min(weir.rounds), 5),
        "peer_min_us": round(min(peer.rounds), 5),
    }))
    return 1 if weir.close() or peer.close() else 0


sys.exit(main())
