"""Enqueueing, against a bare INSERT of the same rows into queue and content: 10,000 messages in one statement, and single ones by 16 clients."""

import contextlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from installation import BODY
from machine import program
from mailroom_program import Mailroom
from postgres import PrivatePostgres
from row import Row, rounds, told

BARS = {"many": 0.3, "busy": 0.7, "idle": 0.4}
CLIENTS, SECONDS, MANY = 16, 5, 10_000
BARE = """WITH queued AS (INSERT INTO mailroom.queue (lane, source, recipients, generation, addressed, size, user_id, uid, posted_by, user_code, batch)
SELECT 1, 0, 1, 0, false, 4096, 1, gen_random_uuid(), session_user, 'ERP', {batch} FROM {given} RETURNING id, uid)
INSERT INTO mailroom.content (generation, id, uid, recipients, subject, body_text)
SELECT 0, id, uid, '[{{"kind": "to", "name": "", "address": "user@example.net"}}]', 'Statement', {body} FROM queued"""
TIMED = """CREATE FUNCTION pg_temp.seconds(statement text, message jsonb, n integer) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    messages jsonb[] := (SELECT array_agg(message || jsonb_build_object('to', 'user' || i || '@example.net')) FROM generate_series(1, n) i);
    started timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement USING messages;
    RETURN extract(epoch FROM clock_timestamp() - started);
END $$"""


@contextlib.contextmanager
def database(build):
    """(postgres, execute) of a migrated database with a producer's login, and a listener, as a dispatcher is one."""
    with PrivatePostgres() as postgres, tempfile.TemporaryDirectory(prefix="mailroom-bench-") as directory:
        postgres.create_database("bench")
        with Mailroom(Path(build).resolve() / "service" / "mailroom", postgres.dsn(database="bench"), "", directory) as mailroom:
            mailroom.run("migrate")
        connection, listener = postgres.connect(database="bench"), postgres.connect(database="bench")
        listener.cursor().execute("LISTEN mailroom_wake")

        def execute(sql, *values):
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchone()[0] if cursor.description else None

        execute("SELECT mailroom.save_user('ERP', '{\"email\": \"erp@example.com\"}')")
        yield postgres, execute


def emptied(execute):
    execute("TRUNCATE mailroom.queue, mailroom.content")
    execute("VACUUM ANALYZE mailroom.queue")
    execute("CHECKPOINT")


def commits_per_second(postgres, script, user, password):
    pgbench = program("pgbench", "postgresql-15", postgres.programs)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script + ";\n")
        file.flush()
        done = subprocess.run([pgbench, "-n", "-c", str(CLIENTS), "-j", "2", "-T", str(SECONDS), "-f", file.name, "-h", "127.0.0.1", "-p", str(postgres.port),
                               "-U", user, "bench"], env={**os.environ, "PGPASSWORD": password}, capture_output=True, text=True, check=True)
    return float(re.search(r"tps = ([\d.]+)", done.stdout)[1])


def single(wants_wake):
    name = "idle" if wants_wake else "busy"

    def run(options):
        message = json.dumps({"user": "ERP", "to": "user@example.net", "subject": "Statement", "text": BODY.replace("\r\n", " ")})
        ours = f"SELECT mailroom.enqueue('{message}')"
        theirs = BARE.format(batch="NULL", given="generate_series(1, 1)", body="'" + BODY.replace("\r\n", " ") + "'")
        pairs = []
        with database(options.build) as (postgres, execute):
            password = postgres.create_role("erp", "IN ROLE mailroom_producer")
            execute("INSERT INTO mailroom.dispatcher (host, pid, version, lease, wants_wake) VALUES ('h', 1, 'x', '1 day', %s)", wants_wake)
            for _ in rounds(options, name):
                emptied(execute)
                rate = commits_per_second(postgres, ours, "erp", password)
                emptied(execute)
                pairs.append((rate, commits_per_second(postgres, theirs, postgres.superuser, postgres.password)))
                told("enqueue {:.0f}, INSERT {:.0f}".format(*pairs[-1]))
        return Row(BARS[name], f"a bare INSERT, {CLIENTS} clients", pairs)
    return run


def many(options):
    """The time of the statement, without the making of the array and the commit."""
    message = json.dumps({"subject": "Statement", "text": BODY})
    ours = "SELECT mailroom.enqueue_many('{\"user\": \"ERP\", \"batch\": \"run\"}', $1)"
    theirs = BARE.format(batch="'run'", given="unnest($1)", body="'" + BODY + "'")
    pairs = []
    with database(options.build) as (_, execute):
        execute(TIMED)
        for _ in rounds(options, "many"):
            rates = []
            for statement in (ours, theirs):
                emptied(execute)
                rates.append(MANY / execute("SELECT pg_temp.seconds(%s, %s, %s)", statement, message, MANY))
            pairs.append(tuple(rates))
            told("enqueue_many {:.0f}, INSERT {:.0f}".format(*pairs[-1]))
    return Row(BARS["many"], f"a bare INSERT .. SELECT of {MANY:,}", pairs)
