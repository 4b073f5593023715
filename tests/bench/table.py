# SPDX-License-Identifier: MIT
"""table.py LOG...: what benchmarks have printed,  out of meson's logs of them (testlog.json), as one table: medians, 90th
percentiles in brackets, and weir's as multiples of the peer's."""

import json
import sys

UNITS = (("us", 1), ("ms", 1000))


def time(us):
    """With three digits."""
    for size, unit in ((1e6, "s"), (1e3, "ms"), (1, "us"), (1e-3, "ns")):
        if us >= size or unit == "ns":
            return "%.3g %s" % (us / size, unit)
    return ""


def row(name, found, alone):
    """`alone`: the benchmark prints nothing else."""
    for unit, factor in UNITS:
        if "weir_" + unit in found and "peer_" + unit in found:
            break
    else:
        return None
    weir, peer = (time(found[side + "_" + unit] * factor) for side in ("weir", "peer"))
    p90 = ["", "", ""]
    if "p90_ratio" in found:
        p90 = [" (%s)" % time(found[side + "_p90_" + unit] * factor) for side in ("weir", "peer")]
        p90 += [" (%.3g)" % found["p90_ratio"]]
    ratio = found["weir_" + unit] / found["peer_" + unit]
    target = found.get("target", "")
    missed = ", missed" if target != "" and ("throughput" not in found and ratio > target or
                                             found.get("throughput", target) < target) else ""
    label = "`%s`" % ("'%s'" % name if " " in name else name) + ("" if alone else ", " + found["bench"])
    return "| %s | %s%s | %s%s | %.3g%s | %s%s |" % (label, weir, p90[0], peer, p90[1], ratio, p90[2], target, missed)


def main():
    print("| NAME | weir (p90) | peer (p90) | weir / peer (p90) | wanted |\n|---|---|---|---|---|")
    others = []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as log:
            tests = list(map(json.loads, log))
        for test in tests:
            name = test["name"].rpartition(" / ")[2]
            lines = [json.loads(line) for line in test.get("stdout", "").splitlines() if line.startswith("{")]
            for found in lines:
                text = row(name, found, len(lines) == 1)
                if text:
                    print(text)
                else:
                    others.append("%s: %s" % (name, json.dumps(found)))
            if test["result"] != "OK":
                others.append("%s: %s" % (name, test["result"]))
    print("\n".join([""] + others))


if __name__ == "__main__":
    main()
