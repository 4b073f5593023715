# SPDX-License-Identifier: MIT
"""beside.py NAME TARGET ROUNDS WEIR... -- PEER...: one figure as a ratio, measured in one run.

WEIR and PEER are commands that do one round for each line they read and print the round's microseconds an
operation. Rounds alternate, A B A B, so that a machine that slows down slows both. Prints one JSON object:
both medians, weir's as a multiple of the peer's, the target for that, and the fastest round of each.
"""

import json
import os
import statistics
import subprocess
import sys


class Side:
    def __init__(self, command):
        self.command = command
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.rounds = []

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("%s ended with status %s" % (" ".join(self.command), self.process.wait()))
        self.rounds.append(float(line))

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
        "weir_min_us": round(min(weir.rounds), 5),
        "peer_min_us": round(min(peer.rounds), 5),
    }))
    return 1 if weir.close() or peer.close() else 0


sys.exit(main())
