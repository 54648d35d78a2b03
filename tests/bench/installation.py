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
def installation(build, port, ca_file=""):
    """(mailroom, execute): settings that send by the relay at `port`, and a function that runs SQL and returns the first value."""
    with PrivatePostgres() as postgres, tempfile.TemporaryDirectory(prefix="mailroom-bench-") as directory:
        postgres.create_database("bench")
        dsn = postgres.dsn(database="bench")
        connection = postgres.connect(database="bench")

        def execute(sql, *values):
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchone()[0] if cursor.description else None

        execute.another = lambda: postgres.connect(database="bench")
        with Mailroom(Path(build).resolve() / "service" / "mailroom", dsn, ca_file, directory) as mailroom:
            mailroom.prepare()
            mailroom.run("account", "set", "general", "default_user_mode=smtp", "mode=smtp", "server=127.0.0.1", f"port={port}", "use_ssl=no", "login=no",
                         "from=erp@example.com")
            mailroom.run("account", "set", "user", "ERP", "email=erp@example.com")
            yield mailroom, execute


def fill(execute, messages, users=1):
    """So many messages of one user, or of so many in turns."""
    execute("TRUNCATE mailroom.log")
    user = "'ERP'" if users == 1 else f"'USER' || i %% {users}"
    for first in range(1, messages + 1, 10_000):
        execute(f"""SELECT cardinality(mailroom.enqueue_many(jsonb_build_object('text', %s::text), array_agg(
                        jsonb_build_object('user', {user}, 'to', 'user' || i || '@example.net', 'subject', 'Statement ' || i))))
                      FROM generate_series(%s, %s) i""", BODY, first, min(first + 9_999, messages))


def fill_with_attachments(execute, messages, octets):
    """So many with a short text and an attachment of so many octets, no two the same. What was sent before is removed: it would fill the disk."""
    execute("TRUNCATE mailroom.log, mailroom.content, mailroom.attachment, mailroom.blob")
    execute("CREATE SEQUENCE IF NOT EXISTS public.attachments")
    for first in range(1, messages + 1, 100):
        execute("""SELECT cardinality(mailroom.enqueue_many(jsonb_build_object('user', 'ERP', 'text', 'Please find our invoice attached.'), array_agg(
                       jsonb_build_object('to', 'user' || i || '@example.net', 'subject', 'Invoice ' || i, 'attachments', jsonb_build_array(
                           mailroom.put_attachment('Invoice ' || i || '.pdf', 'application/pdf',
                               substr(decode(repeat(md5(nextval('public.attachments')::text), %s), 'hex'), 1, %s)))))))
                     FROM generate_series(%s, %s) i""", octets // 16 + 1, octets, first, min(first + 99, messages))


def stand_by(execute, messages, place, delay):
    """So many others in a place (SQL), small, that came later and are due after `delay`."""
    execute("INSERT INTO mailroom.place (key, kind, reason) VALUES ('in_doubt', 'hold', 'in_doubt') ON CONFLICT DO NOTHING")
    execute(f"""WITH queued AS (
                    INSERT INTO mailroom.queue (place_id, lane, source, recipients, generation, addressed, size, user_id, run_at, uid, posted_by, user_code)
                    SELECT {place}, 1, 0, 1, i.content_generation, false, 5, u.id, clock_timestamp() + %s::interval, gen_random_uuid(), session_user, u.code
                      FROM generate_series(1, %s), mailroom.users u, mailroom.installation i WHERE u.code = 'ERP' RETURNING id, uid, generation)
                INSERT INTO mailroom.content (generation, id, uid, recipients, subject, body_text)
                SELECT generation, id, uid, '[{{"kind": "to", "name": "", "address": "user@example.net"}}]', 'Statement', 'hello' FROM queued""", delay, messages)


def settle(execute):
    for table in ("queue", "content", "attachment"):
        execute(f"VACUUM ANALYZE mailroom.{table}")
    execute("CHECKPOINT")


def drain(execute, program, log_file, messages, timeout=300):
    """Starts `program`, waits for the end of so many messages, stops it: messages a second from its enrolment to the last of them."""
    process = start_server(program, log_file, die_with="KILL")
    try:
        wait_until(lambda: execute("SELECT count(*) FROM mailroom.log"), timeout, "the first message", every=0.02)
        return rate_since(execute, execute("SELECT max(started_at) FROM mailroom.dispatcher"), messages, timeout)
    finally:
        stop_group(process, signal.SIGTERM)


def rate_since(execute, began, messages, timeout=300):
    """Waits for the end of so many messages: messages a second from `began` (the database's clock) to the last of them."""
    wait_until(lambda: execute("SELECT count(*) FROM mailroom.log") >= messages, timeout, f"the drain of {messages} messages", every=0.1)
    assert execute("SELECT count(*) FROM mailroom.log WHERE outcome <> 'sent'") == 0
    return messages / execute("SELECT extract(epoch FROM (SELECT ended_at FROM mailroom.log ORDER BY ended_at OFFSET %s LIMIT 1) - %s)::float8", messages - 1, began)
