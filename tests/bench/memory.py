"""Resident memory of the daemon in MB: idle as it is, draining and sending 8 messages of 25 MB at once at its highest. Each time a new daemon."""

import contextlib
import re
import signal
import time
from pathlib import Path

from drain import CONNECTIONS, serving
from far_end import Sink
from installation import fill, fill_with_attachments, installation, settle
from machine import start_server, stop_group, wait_until
from row import AtMost, rounds, told

MESSAGES = 20_000
AT_ONCE = 8
LARGE = 25_000_000  # octets; in base64 34 MB


def resident(process, what):
    """VmRSS or VmHWM (its highest) in MB (10^6 octets)."""
    return int(re.search(rf"^{what}:\s+(\d+) kB$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)[1]) * 1024 / 1e6


@contextlib.contextmanager
def daemon(mailroom, connections):
    log_file = mailroom.directory / "serve.log"
    log_file.unlink(missing_ok=True)
    process = start_server(serving(mailroom, connections), log_file, die_with="KILL")
    try:
        wait_until(lambda: "ready" in log_file.read_text(), 30, "the daemon's start")
        yield process
    finally:
        stop_group(process, signal.SIGTERM)


def peak(mailroom, execute, messages, connections=CONNECTIONS):
    settle(execute)
    with daemon(mailroom, connections) as process:
        wait_until(lambda: execute("SELECT count(*) FROM mailroom.log") >= messages, 300, f"the drain of {messages} messages", every=0.1)
        return resident(process, "VmHWM")


def measured(options, name, measure):
    """Of each round the value and the counters of its sink, which is another on the same port."""
    values, counters = [], []
    sink = Sink(options.build)
    with installation(options.build, sink.port) as (mailroom, execute):
        for _ in rounds(options, name):
            with sink:
                values.append(measure(mailroom, execute))
                counters.append(sink.counters())
            told(f"{name} {values[-1]:.1f} MB, {counters[-1]['at_once']} at once")
        return values, counters


def idle(options):
    def measure(mailroom, _):
        with daemon(mailroom, CONNECTIONS) as process:
            time.sleep(3)  # its first looks at the queue are over
            return resident(process, "VmRSS")

    values, _ = measured(options, "memory_idle", measure)
    return AtMost(32, "idle, one account", values)


def draining(options):
    messages = options.messages or MESSAGES

    def measure(mailroom, execute):
        fill(execute, messages)
        return peak(mailroom, execute, messages)

    values, _ = measured(options, "memory_drain", measure)
    return AtMost(64, f"draining {messages:,} of 4 KB", values)


def large(options):
    def measure(mailroom, execute):
        fill_with_attachments(execute, AT_ONCE, LARGE)
        return peak(mailroom, execute, AT_ONCE, connections=AT_ONCE)

    values, counters = measured(options, "memory_large", measure)
    fewest = min(counted["at_once"] for counted in counters)
    at_once = "at once" if fewest == AT_ONCE else f"but once only {fewest} at once"
    return AtMost(96, f"{AT_ONCE} messages of 25 MB {at_once}", values)
