"""The queue alone (claim, content, compose, complete, log; nothing sent), messages of 4 KB: against graphile-worker, and against itself with little
else in the queue: with a million waiting, 100,000 held, 100,000 delayed, over 200 accounts, and behind a transaction that somebody holds open."""

import contextlib
import json
import signal
import time
from pathlib import Path

import peers
from installation import drain, fill, installation, rate_since, settle, stand_by
from machine import free_port, start_server, stop_group, wait_until
from postgres import PrivatePostgres
from row import Row, rounds, told

MESSAGES = 20_000
CONNECTIONS = 32
HELD_OPEN = 120  # seconds


@contextlib.contextmanager
def queue(options):
    """(mailroom, execute, drained): drained() fills and drains the queue once and says how fast."""
    messages = options.messages or MESSAGES
    with installation(options.build, free_port()) as (mailroom, execute):
        mailroom.configure("dispatcher", connections=CONNECTIONS, connections_per_account=CONNECTIONS)
        nothing_sent = [Path(options.build).resolve() / "tests" / "nothing_sent", mailroom.write_settings()]

        def drained(users=1, others=None):
            fill(execute, messages, users)
            if others:
                stand_by(execute, *others)
            settle(execute)
            return drain(execute, nothing_sent, mailroom.directory / "nothing_sent.log", messages)

        yield mailroom, execute, drained


def against_graphile(options):
    pairs = []
    with queue(options) as (_, _, drained), PrivatePostgres() as other:
        other.create_database("graphile")
        peer = peers.command("graphile.mjs", options.build, other, "graphile", N=options.messages or MESSAGES)
        for _ in rounds(options, "queue"):
            ours = drained()
            pairs.append((ours, peers.answer(peer)["per_second"]))
            told("queue {:.0f}, graphile-worker {:.0f}".format(*pairs[-1]))
    return Row(1.0, "graphile-worker 0.17 batched, nothing sent", pairs)


def beside(name, count, place, delay):
    """With so many others standing in a place (SQL), due after `delay`."""
    def run(options):
        pairs = []
        with queue(options) as (_, execute, drained):
            for _ in rounds(options, name):
                clean = drained()
                pairs.append((drained(others=(count, place, delay)), clean))
                execute("TRUNCATE mailroom.queue, mailroom.content")
                told(f"{name} {pairs[-1][0]:.0f}, clean {pairs[-1][1]:.0f}")
        return Row(0.9, f"the same with {options.messages or MESSAGES} in all", pairs)
    return run


def over_accounts(options):
    users, pairs = 200, []
    with queue(options) as (_, execute, drained):
        for number in range(users):
            execute("SELECT mailroom.save_user(%s, %s)", f"USER{number}", json.dumps({"email": f"user{number}@example.com", "mode": "smtp", "server": f"mail{number}.example.com",
                                                                                       "login": False, "use_ssl": False}))
        for _ in rounds(options, "accounts"):
            one = drained()
            pairs.append((drained(users), one))
            told("accounts {:.0f}, one {:.0f}".format(*pairs[-1]))
    return Row(0.8, "the same over one account", pairs)


def behind_a_transaction(options):
    """One daemon, stopped while the queue is filled, drains again and again while the transaction is open. The last drain counts: it is behind the
    most rows that nobody can clear away."""
    pairs, many = [], 3 * (options.messages or MESSAGES)  # long enough that a look at all is not the most of it
    with queue(options) as (mailroom, execute, _):
        nothing_sent = [Path(options.build).resolve() / "tests" / "nothing_sent", mailroom.write_settings()]
        process = start_server(nothing_sent, mailroom.directory / "nothing_sent.log", die_with="KILL")
        wait_until(lambda: execute("SELECT count(*) FROM mailroom.dispatcher"), 30, "the dispatcher")

        def drained():
            process.send_signal(signal.SIGSTOP)
            fill(execute, many)
            settle(execute)
            began = execute("SELECT clock_timestamp()")
            process.send_signal(signal.SIGCONT)
            return rate_since(execute, began, many)

        try:
            for _ in rounds(options, "pinned"):
                execute("VACUUM mailroom.queue")
                clean = drained()
                with contextlib.closing(execute.another()) as reader:
                    reader.autocommit = False
                    reader.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT txid_current(), count(*) FROM mailroom.dispatcher")
                    opened = time.monotonic()
                    while time.monotonic() - opened < HELD_OPEN:
                        behind = drained()
                    reader.rollback()
                pairs.append((behind, clean))
                told("pinned {:.0f}, clean {:.0f}".format(*pairs[-1]))
        finally:
            process.send_signal(signal.SIGCONT)
            stop_group(process, signal.SIGTERM)
    return Row(0.9, "the same with no such transaction", pairs)


HELD_PLACE = "(SELECT id FROM mailroom.place WHERE key = 'in_doubt')"
BENCHMARKS = {
    "queue": against_graphile,
    "million": beside("million", 1_000_000, "0", "0"),
    "held": beside("held", 100_000, HELD_PLACE, "0"),
    "delayed": beside("delayed", 100_000, "0", "1 day"),
    "accounts": over_accounts,
    "pinned": behind_a_transaction,
}
