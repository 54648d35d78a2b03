"""What the benchmarks share: a private PostgreSQL as it is shipped (fsync on), an installation in it, a filled queue, the time of a drain."""

import contextlib
import tempfile
from pathlib import Path

from machine import start_server, stop_group, wait_until
from mailroom_program import Mailroom
from postgres import PrivatePostgres

import signal

BODY = ("x" * 76 + "\r\n") * 53  # 4 KB, as the peers send


@contextlib.contextmanager
def installation(build, port):
    """(mailroom, execute): settings that send by the relay at `port`, and a function that runs SQL and returns the first value."""
    with PrivatePostgres() as postgres, tempfile.TemporaryDirectory(prefix="mailroom-bench-") as directory:
        postgres.create_database("bench")
        dsn = postgres.dsn(database="bench")
        connection = postgres.connect(database="bench")

        def execute(sql, *values):
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchone()[0] if cursor.description else None

        with Mailroom(Path(build).resolve() / "service" / "mailroom", dsn, "", directory) as mailroom:
            mailroom.prepare()
            mailroom.run("account", "set", "general", "default_user_mode=smtp", "mode=smtp", "server=127.0.0.1", f"port={port}", "use_ssl=no", "login=no",
                         "from=erp@example.com")
            mailroom.run("account", "set", "user", "ERP", "email=erp@example.com")
            yield mailroom, execute


def fill(execute, messages):
    execute("SELECT count(mailroom.enqueue(jsonb_build_object('user', 'ERP', 'to', 'user' || i || '@example.net', 'subject', 'Statement ' || i, 'text', %s)))"
            " FROM generate_series(1, %s) i", BODY, messages)
    execute("VACUUM ANALYZE mailroom.queue")
    execute("VACUUM ANALYZE mailroom.content")
    execute("CHECKPOINT")


def drain(execute, program, log_file, messages, timeout=300):
    """Starts `program`, waits until the queue is empty, stops it: messages a second from its enrolment to the last completion."""
    execute("TRUNCATE mailroom.log")
    process = start_server(program, log_file, die_with="KILL")
    try:
        wait_until(lambda: execute("SELECT count(*) FROM mailroom.log") >= messages, timeout, f"the drain of {messages} messages", every=0.1)
        seconds = execute("SELECT extract(epoch FROM (SELECT max(ended_at) FROM mailroom.log) - (SELECT max(started_at) FROM mailroom.dispatcher))::float8")
    finally:
        stop_group(process, signal.SIGTERM)
    assert execute("SELECT count(*) FROM mailroom.log WHERE outcome <> 'sent'") == 0
    return messages / seconds
