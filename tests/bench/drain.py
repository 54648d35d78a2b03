"""Drain of messages of 4 KB to smtp-sink over 16 connections, against smtp-source with 16 sessions to the same sink."""

import os
import subprocess
import time

from installation import drain, fill, installation, settle
from machine import program
from smtp_sink import SmtpSink

BAR = 0.20
CONNECTIONS = 16


def wire_ceiling(port, messages):
    source = program("smtp-source", "postfix")
    started = time.monotonic()
    subprocess.run([source, "-d", "-s", str(CONNECTIONS), "-m", str(messages), "-l", "4096", "-f", "erp@example.com", "-t", "user@example.net",
                    f"127.0.0.1:{port}"], check=True, stdout=subprocess.DEVNULL)
    return messages / (time.monotonic() - started)


def run(options):
    pairs = []
    with SmtpSink(backlog=1000) as sink, installation(options.build, sink.port) as (mailroom, execute):
        mailroom.configure("dispatcher", connections=CONNECTIONS, connections_per_account=CONNECTIONS)
        serve = [mailroom.executable, "--config", mailroom.write_settings(), "serve"]
        for _ in range(options.rounds):
            fill(execute, options.messages)
            settle(execute)
            ours = drain(execute, serve, mailroom.directory / "serve.log", options.messages)
            pairs.append((ours, wire_ceiling(sink.port, options.messages)))
            if os.environ.get("BENCH_VERBOSE"):
                print(f"  drain {pairs[-1][0]:.0f}, smtp-source {pairs[-1][1]:.0f}", flush=True)
    return BAR, "smtp-source -d -s 16 to the same smtp-sink", pairs
