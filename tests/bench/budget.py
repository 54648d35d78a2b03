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

STARTED = 1_000  # messages of the run that is subtracted, so that start and stop cost nothing
CALL = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.MULTILINE)
FUNCTION = re.compile(r"^\s*([\d,]+)\s+\(\s*[\d.]+%\)\s+\S*?:([^\[]+?)(?:'\d+)?(?: \[.*)?$", re.MULTILINE)
SHOWN = 30


def filled(execute, messages):
    fill(execute, messages)
    settle(execute)


def drained(mailroom, execute, messages, *wrapper):
    drain(execute, [*wrapper, *serving(mailroom)], mailroom.directory / "budget.log", messages)


def database_counters(execute):
    return {"transactions": execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"),
            "octets of log": int(execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))}


def system_calls(mailroom, execute, messages):
    output = mailroom.directory / "strace"
    filled(execute, messages)
    before = database_counters(execute)
    drained(mailroom, execute, messages, program("strace", "strace"), "-D", "-f", "-c", "-o", output)
    wait_until(lambda: output.exists() and "total" in output.read_text(), 10, "strace's end")
    after = database_counters(execute)
    print("PostgreSQL, for a message:")
    for name, value in after.items():
        print(f"{(value - before[name]) / messages:10.3f}  {name}")
    print("system calls for a message:")
    for calls, name in CALL.findall(output.read_text()):
        if name != "total" and int(calls) * 100 >= messages:
            print(f"{int(calls) / messages:10.3f}  {name}")


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
    each = {name: (number - few.get(name, 0)) / messages for name, number in many.items()}
    print(f"instructions for a message: {each.pop('PROGRAM'):.0f}; of these, in a function and what it calls:")
    ours = sorted(((number, name) for name, number in each.items() if name.startswith("mailroom::")), reverse=True)
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
