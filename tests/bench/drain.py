"""Drains of a filled queue over 16 connections: with smtp-source as a reference, against pg-boss with nodemailer, over STARTTLS against plain,
with a log against none, and of messages of 100 KB."""

import multiprocessing
import socket
import subprocess
import time

import peers
from certificates import Certificates
from far_end import Sink
from installation import drain, fill, fill_with_attachments, installation, settle
from machine import private_mount, program, wait_until
from postgres import PrivatePostgres
from row import Row, rounds, told
from smtp_sink import SmtpSink

CONNECTIONS = 16
MESSAGES = 50_000
PGBOSS_MESSAGES = 10_000  # of both, so that the start counts as much; the peer is slow
LARGE_MESSAGES = 5_000


def serving(mailroom, connections=CONNECTIONS):
    """The daemon's command line, all connections free for the one account."""
    mailroom.configure("dispatcher", connections=connections, connections_per_account=connections)
    return [mailroom.executable, "--config", mailroom.write_settings(), "serve"]


def drained(mailroom, execute, messages, filled=fill, connections=CONNECTIONS, through=()):
    filled(execute, messages)
    settle(execute)
    return drain(execute, [*through, *serving(mailroom, connections)], mailroom.directory / "serve.log", messages)


def smtp_source(port, messages, size=4096):
    """Messages a second of a client in lock-step without a queue: a reference, not the most that the wire carries."""
    source = program("smtp-source", "postfix")
    started = time.monotonic()
    subprocess.run([source, "-d", "-s", str(CONNECTIONS), "-m", str(messages), "-l", str(size), "-f", "erp@example.com", "-t", "user@example.net",
                    f"127.0.0.1:{port}"], check=True, stdout=subprocess.DEVNULL)
    return messages / (time.monotonic() - started)


def against_smtp_source(options):
    messages, pairs = options.messages or MESSAGES, []
    with SmtpSink(backlog=1000) as sink, installation(options.build, sink.port) as (mailroom, execute):
        for _ in rounds(options, "drain"):
            pairs.append((drained(mailroom, execute, messages), smtp_source(sink.port, messages)))
            told("drain {:.0f}, smtp-source {:.0f}".format(*pairs[-1]))
    return Row(0.40, "smtp-source -d -s 16 to the same smtp-sink", pairs)


def against_pgboss(options):
    messages, pairs = options.messages or PGBOSS_MESSAGES, []
    with SmtpSink(backlog=1000) as sink, installation(options.build, sink.port) as (mailroom, execute), PrivatePostgres() as other:
        other.create_database("pgboss")
        peer = peers.command("pgboss.mjs", options.build, other, "pgboss", N=messages, SMTP_PORT=sink.port, CONNECTIONS=CONNECTIONS)
        for _ in rounds(options, "pgboss"):
            ours = drained(mailroom, execute, messages)
            pairs.append((ours, peers.answer(peer)["per_second"]))
            told("drain {:.0f}, pg-boss {:.0f}".format(*pairs[-1]))
    return Row(4, "pg-boss 10 + nodemailer's pool, same smtp-sink", pairs)


def over_starttls(options):
    """One sink that offers STARTTLS; in turns the account asks for it and does not."""
    messages, pairs = options.messages or MESSAGES, []
    certificates = Certificates()
    with Sink(options.build, certificates.server()) as sink, installation(options.build, sink.port, certificates.ca_file) as (mailroom, execute):
        for _ in rounds(options, "starttls"):
            rates = []
            for use_ssl in ("yes", "no"):
                mailroom.run("account", "set", "general", f"use_ssl={use_ssl}")
                rates.append(drained(mailroom, execute, messages))
            pairs.append(tuple(rates))
            told("STARTTLS {:.0f}, plain {:.0f}".format(*pairs[-1]))
        told(f"the sink: {sink.counters()}")
    return Row(0.7, "plain to the same sink", pairs)


def with_and_without(options, name, mailroom, execute, through=()):
    """In turns with a line for each message and without; which is first, in turns as well."""
    pairs = []
    for number in rounds(options, name):
        rates = {}
        for level in ("info", "error")[::1 if number % 2 else -1]:
            mailroom.configure("log", level=level)
            rates[level] = drained(mailroom, execute, options.messages or MESSAGES, through=through)
        pairs.append((rates["info"], rates["error"]))
        told("with {} {:.0f}, without {:.0f}".format(name, *pairs[-1]))
    return Row(0.95, "the same at level error", pairs)


def logged(options):
    with SmtpSink(backlog=1000) as sink, installation(options.build, sink.port) as (mailroom, execute):
        file = mailroom.directory / "mailroom.log"
        mailroom.configure("log", file=str(file), max_size="0")
        row = with_and_without(options, "log", mailroom, execute)
        assert file.read_text().count(" info sent: ") == (options.messages or MESSAGES) * options.rounds, "lines were dropped"
    return row


def journaled(options):
    """To a socket where the journal's would be, in a mount namespace of the daemon's own: read as fast as it comes, and counted."""
    with SmtpSink(backlog=1000) as sink, installation(options.build, sink.port) as (mailroom, execute), \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        folder = mailroom.directory / "run" / "systemd" / "journal"
        folder.mkdir(parents=True)
        journal.bind(str(folder / "socket"))
        processes = multiprocessing.get_context("fork")
        sent = processes.Value("q", 0)
        reader = processes.Process(target=count_sent, args=(journal, sent), daemon=True)
        reader.start()
        mailroom.configure("log", target="journal")
        row = with_and_without(options, "journal", mailroom, execute, private_mount(f"--bind '{mailroom.directory / 'run'}' /run"))
        wait_until(lambda: sent.value >= (options.messages or MESSAGES) * options.rounds, 10, "all lines: some were dropped")
        reader.terminate()
    return row


def count_sent(journal, sent):
    while True:
        sent.value += b"\nMAILROOM_EVENT=sent\n" in journal.recv(65_536)


def large(options):
    """As an ERP has it: a short text and a PDF, each another."""
    messages, pairs = options.messages or LARGE_MESSAGES, []
    with SmtpSink(backlog=1000) as sink, installation(options.build, sink.port) as (mailroom, execute):
        for _ in rounds(options, "large"):
            ours = drained(mailroom, execute, messages, lambda *given: fill_with_attachments(*given, octets=74_000))  # in base64, with its header: 100 KB
            pairs.append((ours, smtp_source(sink.port, messages, 102_400)))
            told("100 KB {:.0f}, smtp-source {:.0f}".format(*pairs[-1]))
    return Row(0.5, "smtp-source -d -s 16 -l 102400, same smtp-sink", pairs)
