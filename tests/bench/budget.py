"""What one message of 4 KB costs in a drain, in numbers that do not depend on the machine's load: system calls (strace), transactions and octets of
log in PostgreSQL, instructions by function (callgrind). Not a row of the table: it says where to look.

Usage: budget.py --build build/release [--messages 5000]
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from drain import serving
from far_end import Sink
from installation import drain, fill, installation, settle
from machine import Unavailable, program, wait_until

STARTED = 1_000  # messages of the drain that is subtracted, so that start and stop cost nothing
CALL = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.MULTILINE)
FUNCTION = re.compile(r"^\s*([\d,]+)\s+\(\s*[\d.]+%\)\s+\S*?:([^\[]+?)(?:'\d+)?(?: \[.*)?$", re.MULTILINE)
SHOWN = 30


class Watching:
    """`execute`, and how many transactions it made, each call one: they are no message's."""

    def __init__(self, execute):
        self._execute = execute
        self.transactions = 0

    def __call__(self, sql, *values):
        result = self._execute(sql, *values)
        self.transactions += 1
        return result


def drained(mailroom, execute, messages, *wrapper):
    drain(execute, [*wrapper, *serving(mailroom)], mailroom.directory / "budget.log", messages)


def filled(execute, messages):
    fill(execute, messages)
    settle(execute)


def each(few, many, messages):
    """{name: number for a message} of two drains, the longer one with so many more."""
    return {name: (number - few.get(name, 0)) / messages for name, number in many.items()}


def database_counters(execute):
    """Since the database was made, the watching left out; the daemon's sessions have reported theirs when they ended, this one does it here."""
    execute("SELECT pg_stat_force_next_flush()")
    ours = execute.transactions
    return {"transactions": execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()") - ours,
            "octets of log": int(execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))}


def traced(mailroom, execute, messages):
    """({name: number} of PostgreSQL, {name: number} of system calls) of one drain."""
    output = mailroom.directory / f"strace.{messages}"
    filled(execute, messages)
    watching = Watching(execute)
    before = database_counters(watching)
    drained(mailroom, watching, messages, program("strace", "strace"), "-D", "-f", "-c", "-o", output)
    wait_until(lambda: output.exists() and "total" in output.read_text(), 10, "strace's end")
    wait_until(lambda: watching("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") == 1, 10, "the end of the daemon's sessions")
    after = database_counters(watching)
    return ({name: value - before[name] for name, value in after.items()},
            {name: int(calls) for calls, name in CALL.findall(output.read_text()) if name != "total"})


def system_calls(mailroom, execute, messages):
    few = traced(mailroom, execute, STARTED)
    many = traced(mailroom, execute, STARTED + messages)
    for title, less, more in zip(("PostgreSQL", "system calls"), few, many):
        print(f"{title}, for a message:")
        for name, number in each(less, more, messages).items():
            if number >= 0.01:
                print(f"{number:10.3f}  {name}")


def instructions_of(mailroom, execute, messages):
    """{function: instructions}, itself and what it calls; under "PROGRAM" all."""
    output = mailroom.directory / f"callgrind.{messages}"
    filled(execute, messages)
    drained(mailroom, execute, messages, program("valgrind", "valgrind"), "--tool=callgrind", f"--callgrind-out-file={output}")
    annotated = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=99.9", output], capture_output=True, text=True, check=True).stdout
    counted = {"PROGRAM": int(re.findall(r"^(?:totals|summary): (\d+)", output.read_text(), re.MULTILINE)[-1])}
    for number, name in FUNCTION.findall(annotated):
        counted[name.strip()] = max(counted.get(name.strip(), 0), int(number.replace(",", "")))
    return counted


def instructions(mailroom, execute, messages):
    mailroom.configure("dispatcher", lease="120s")  # it is fifty times slower under valgrind
    few = instructions_of(mailroom, execute, STARTED)
    many = instructions_of(mailroom, execute, STARTED + messages)
    spent = each(few, many, messages)
    print(f"instructions for a message: {spent.pop('PROGRAM'):.0f}; of these, in a function and what it calls:")
    ours = sorted(((number, name) for name, number in spent.items() if name.startswith("mailroom::")), reverse=True)
    for number, name in ours[:SHOWN]:
        print(f"{number:10.0f}  {name[:140]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True, help="a release build")
    parser.add_argument("--messages", type=int, default=5_000)
    options = parser.parse_args()
    with Sink(options.build) as sink, installation(options.build, sink.port) as (mailroom, execute):
        system_calls(mailroom, execute, options.messages)
        instructions(mailroom, execute, options.messages)


if __name__ == "__main__":
    try:
        main()
    except Unavailable as reason:
        sys.exit(f"{reason}")
