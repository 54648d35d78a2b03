"""Milliseconds from the commit of an enqueue to the server's 250 at 100 messages a second, against graphile-worker with nodemailer.

One yardstick for both: one producer here notes when its commit returned, one sink notes when it wrote the 250, both by CLOCK_MONOTONIC.
"""

import contextlib
import json
import signal
import time

import peers
from far_end import Sink
from installation import BODY, installation
from drain import CONNECTIONS, serving
from machine import private_directory, start_server, stop_group, wait_until
from postgres import PrivatePostgres
from row import Row, rounds, told

MESSAGES = 2_000
RATE = 100  # a second
WARM_UP = 100  # messages before those that count: connections are open, statements are prepared
BARS = {"latency_p50": (0.50, 1.0), "latency_p99": (0.99, 1.3)}

OURS = "SELECT mailroom.enqueue(%s::jsonb)"
THEIRS = "SELECT graphile_worker.add_job('send', %s::json)"


def our_message(number):
    return {"user": "ERP", "to": f"user{number}@example.net", "subject": f"Statement {number}", "text": BODY}


def their_message(number):
    return {"from": "erp@example.com", "to": f"user{number}@example.net", "subject": f"Statement {number}", "text": BODY}


def produce(connection, statement, message_of, messages):
    """When each commit returned, by subject, in nanoseconds. Each has its time: a slow one does not put off those behind it for ever."""
    committed, started = {}, time.monotonic()
    with connection.cursor() as cursor:
        for number in range(messages):
            time.sleep(max(0.0, started + number / RATE - time.monotonic()))
            cursor.execute(statement, [json.dumps(message_of(number))])
            committed[f"Statement {number}"] = time.monotonic_ns()
    return committed


def percentiles(connection, statement, message_of, messages, log):
    """(p50, p99) in milliseconds of a worker that runs."""
    seen = len(log.read_text().splitlines())

    def accepted(count):
        lines = log.read_text().splitlines()[seen:]
        return lines if len(lines) >= count else None

    committed = produce(connection, statement, message_of, WARM_UP + messages)
    lines = wait_until(lambda: accepted(len(committed)), 60, "the last 250", every=0.2)
    at = {subject: int(when) for when, subject in (line.split("\t") for line in lines)}
    assert at.keys() == committed.keys(), "each message must have arrived once"
    taken = sorted((at[f"Statement {number}"] - committed[f"Statement {number}"]) / 1e6 for number in range(WARM_UP, WARM_UP + messages))
    return [taken[min(messages - 1, int(messages * share))] for share, _ in BARS.values()]


@contextlib.contextmanager
def worker(command, log_file):
    process = start_server(command, log_file, die_with="KILL")
    try:
        wait_until(lambda: "ready" in log_file.read_text(), 60, f"the start of {command[0]}")
        time.sleep(1)  # both listen by now
        yield
    finally:
        stop_group(process, signal.SIGTERM)


def run(options):
    messages, log = options.messages or MESSAGES, private_directory("latency") / "accepted"
    log.touch()
    pairs = {name: [] for name in BARS}
    with Sink(options.build, log=log) as sink, installation(options.build, sink.port) as (mailroom, execute), PrivatePostgres() as other:
        other.create_database("graphile")
        peer = peers.command("latency.mjs", options.build, other, "graphile", SMTP_PORT=sink.port, CONNECTIONS=CONNECTIONS)
        with contextlib.closing(execute.another()) as ours, contextlib.closing(other.connect(database="graphile")) as theirs:
            for number in rounds(options, "latency"):
                with worker(serving(mailroom), mailroom.directory / f"serve-{number}.log"):
                    us = percentiles(ours, OURS, our_message, messages, log)
                with worker(peer, mailroom.directory / f"peer-{number}.log"):
                    them = percentiles(theirs, THEIRS, their_message, messages, log)
                for name, pair in zip(BARS, zip(us, them)):
                    pairs[name].append(pair)
                told("p50 and p99: {:.2f} and {:.2f} ms, graphile-worker {:.2f} and {:.2f} ms".format(*us, *them))
    return {name: Row(bar, "graphile-worker + nodemailer, same sink", pairs[name], "ms", less_is_better=True) for name, (_, bar) in BARS.items()}
