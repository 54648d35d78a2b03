"""Measures mailroom against a peer or a ceiling, in turns within one run, and prints medians of ratios. Called by ./dev bench."""
import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

import drain
import enqueue
import queue_alone
from machine import Unavailable

BENCHMARKS = {"drain": drain.run, **queue_alone.BENCHMARKS, "many": enqueue.many, "busy": enqueue.single(wants_wake=False),
              "idle": enqueue.single(wants_wake=True)}


def median(pairs):
    """Of pairs (ours, theirs): the median of each, and of their ratios."""
    ours, theirs = zip(*pairs)
    return statistics.median(ours), statistics.median(theirs), statistics.median(a / b for a, b in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--build", type=Path, required=True, help="a release build")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved pairs (default 5)")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")

    holds = True
    if not options.json:
        print(f"{'name':<12}{'value':>12}  {'unit':<12}{'against':<44}{'value':>12}{'ratio':>8}{'bar':>7}  holds", flush=True)
    for name in options.names or BENCHMARKS:
        try:
            bar, against, pairs = BENCHMARKS[name](options)
        except Unavailable as reason:
            print(json.dumps({"name": name, "skipped": str(reason)}) if options.json else f"{name:<12}skipped: {reason}", flush=True)
            continue
        ours, theirs, ratio = median(pairs)
        holds &= ratio >= bar
        result = {"name": name, "value": round(ours), "unit": "messages/s", "against": against, "against_value": round(theirs),
                  "ratio": round(ratio, 3), "bar": bar, "holds": ratio >= bar}
        if options.json:
            print(json.dumps(result), flush=True)
        else:
            print(f"{name:<12}{result['value']:>12}  {'messages/s':<12}{against:<44}{result['against_value']:>12}{ratio:>8.2f}{bar:>7.2f}  "
                  f"{'yes' if ratio >= bar else 'NO'}", flush=True)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
