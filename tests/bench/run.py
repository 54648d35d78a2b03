"""Measures mailroom against a peer or a reference, in turns within one run, and prints medians of ratios. Called by ./dev bench."""

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

import drain
import enqueue
import latency
import marks
import memory
import queue_alone
import round_trips
from machine import Unavailable
from row import Unmeasured, progress

# Each measures the rows named, in one run.
BENCHMARKS = [
    (["drain"], drain.against_smtp_source),
    (["pgboss"], drain.against_pgboss),
    (["starttls"], drain.over_starttls),
    (["large"], drain.large),
    (["log"], drain.logged),
    (["journal"], drain.journaled),
    (["flight", "behind"], round_trips.run),
    (["latency_p50", "latency_p99"], latency.run),
    (["memory_idle"], memory.idle),
    (["memory_drain"], memory.draining),
    (["memory_large"], memory.large),
    *(([name], run) for name, run in marks.BENCHMARKS.items()),
    *(([name], run) for name, run in queue_alone.BENCHMARKS.items()),
    (["many"], enqueue.many),
    (["busy"], enqueue.single(wants_wake=False)),
    (["idle"], enqueue.single(wants_wake=True)),
]
ROWS = [row for rows, _ in BENCHMARKS for row in rows]
GROUPS = {"latency": ["latency_p50", "latency_p99"], "memory": ["memory_idle", "memory_drain", "memory_large"], "queue_alone": list(queue_alone.BENCHMARKS), "journal_of_messages": list(marks.BENCHMARKS)}


def wanted_rows(parser, names):
    """Rows and groups of rows by name; all, where none is named."""
    unknown = [name for name in names if name not in ROWS and name not in GROUPS]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(ROWS)}, and of these {', '.join(GROUPS)}")
    return {row for name in names for row in GROUPS.get(name, [name])} or set(ROWS)


def measured(run, wanted, options):
    """{name: row} of the rows that are wanted. One that breaks does not take the others with it."""
    try:
        result = run(options)
    except Unavailable as reason:
        result = Unmeasured(str(reason), holds=True)
    except Exception as error:  # a server that does not start, a time-out, a message that came twice
        traceback.print_exc()
        result = Unmeasured(f"{type(error).__name__}: {error}".splitlines()[0], holds=False)
    if not isinstance(result, dict):
        result = dict.fromkeys(wanted, result)
    return {name: result[name] for name in wanted}


def measured_twice_if_it_fails(run, wanted, options):
    """A bar that fails is measured once more before it counts; what held stays as it was."""
    rows = measured(run, wanted, options)
    failed = [name for name, row in rows.items() if not row.holds]
    if failed:
        progress(f"{', '.join(failed)}: fails, so it is measured once more")
        rows |= measured(run, failed, options)
    return rows


def figure(value):
    """A number in a table: whole from 100 on."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def line(name, row):
    if isinstance(row, Unmeasured):
        return f"{name:<14}{row}"
    return (f"{name:<14}{figure(row.value):>9}  {row.unit:<12}{row.against:<52}{figure(row.against_value):>9}{figure(row.ratio):>8}{row.bar:>7.2f}  "
            f"{'yes' if row.holds else 'NO'}")


def json_line(name, row):
    if isinstance(row, Unmeasured):
        return json.dumps({"name": name, "skipped" if row.holds else "broken": row.reason})
    rounded = {key: None if value is None else round(value, 3) for key, value in
               (("value", row.value), ("against_value", row.against_value), ("ratio", row.ratio))}
    return json.dumps({"name": name, "unit": row.unit, "against": row.against, **rounded, "bar": row.bar, "holds": row.holds})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"rows: {', '.join(ROWS)}; or several: {', '.join(GROUPS)} (default: all)")
    parser.add_argument("--build", type=Path, required=True, help="a release build")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved pairs (default 5)")
    parser.add_argument("--messages", type=int, help="instead of each row's own number")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    options = parser.parse_args()
    wanted = wanted_rows(parser, options.names)

    if not options.json:
        print(f"{'name':<14}{'value':>9}  {'unit':<12}{'against':<52}{'value':>9}{'ratio':>8}{'bar':>7}  holds", flush=True)
    chosen = [([name for name in names if name in wanted], run) for names, run in BENCHMARKS if wanted & {*names}]
    holds, started = True, time.monotonic()
    for number, (names, run) in enumerate(chosen, 1):
        progress(f"{number} of {len(chosen)}, after {(time.monotonic() - started) / 60:.0f} min: {', '.join(names)}")
        for name, row in measured_twice_if_it_fails(run, names, options).items():
            holds &= row.holds
            print(json_line(name, row) if options.json else line(name, row), flush=True)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
