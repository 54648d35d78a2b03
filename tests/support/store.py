"""The queue without a daemon: a migrated database for each test, logins of every role, and the statements of queue/sql by name.

A database is a copy of one that `mailroom migrate` made once, so that a test costs a tenth of a second.
"""

import contextlib
import json
import secrets
import threading
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import extras, sql

from machine import wait_until

STATEMENTS = Path(__file__).resolve().parents[2] / "queue" / "sql"
ROLES = ("producer", "mobile", "worker", "operator", "administrator")
ACCEPTED = {"to": "anna@example.test", "subject": "an invoice", "text": "hello\n"}


class Session:
    """A login's connection. `run` executes a statement of queue/sql, prepared as the program does it."""

    def __init__(self, connection):
        self.connection = connection
        self._prepared = set()

    def rows(self, statement, *parameters):
        with self.connection.cursor(cursor_factory=extras.RealDictCursor) as cursor:
            cursor.execute(statement, parameters or None)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def value(self, statement, *parameters):
        [row] = self.rows(statement, *parameters)
        [value] = row.values()
        return value

    def run(self, name, *parameters):
        return self.rows(self._execute(name, parameters), *parameters)

    def row(self, name, *parameters):
        """The only row of a statement, as a tuple."""
        with self.connection.cursor() as cursor:
            cursor.execute(self._execute(name, parameters), parameters or None)
            [row] = cursor.fetchall()
            return row

    def ids(self, name, *parameters):
        return sorted(row["id"] for row in self.run(name, *parameters))

    def enqueue(self, message=None, **fields):
        """The uid of ACCEPTED with these fields, or of a whole message (any JSON value)."""
        message = {**ACCEPTED, **fields} if message is None else message
        return self.value("SELECT mailroom.enqueue(%s::jsonb)::text", json.dumps(message))

    def state(self, uid):
        return self.value("SELECT mailroom.state(%s::uuid)", uid)

    def save(self, kind, /, *code, **settings):
        """`save("user", "ANNA", mode="smtp")`; `from_` is `from`. The advice."""
        given = json.dumps({name.rstrip("_"): value for name, value in settings.items()})
        return self.value(f"SELECT mailroom.save_{kind}({'%s, ' * len(code)}%s::jsonb)", *code, given)

    def begin(self):
        self.rows("BEGIN")

    def commit(self):
        self.rows("COMMIT")

    def rollback(self):
        self.rows("ROLLBACK")

    def _execute(self, name, parameters):
        if name not in self._prepared:
            with self.connection.cursor() as cursor:
                cursor.execute(f"PREPARE {name} AS\n" + (STATEMENTS / f"{name}.sql").read_text())
            self._prepared.add(name)
        return f"EXECUTE {name}" + ("(" + ", ".join(["%s"] * len(parameters)) + ")" if parameters else "")

    @property
    def pid(self):
        return self.connection.info.backend_pid


class Later:
    """A call in a thread of its own, which may have to wait for a lock."""

    def __init__(self, call):
        self._outcome = None
        self._thread = threading.Thread(target=self._run, args=[call], daemon=True)
        self._thread.start()

    def _run(self, call):
        try:
            self._outcome = (call(), None)
        except Exception as error:  # raised again where the result is asked for
            self._outcome = (None, error)

    @property
    def done(self):
        return self._outcome is not None

    def result(self):
        self._thread.join(20)
        assert self.done, "still waiting for a lock after 20 s"
        value, error = self._outcome
        if error:
            raise error
        return value


class Store:
    """One migrated database. `store.producer`, `store.worker` ... are sessions in autocommit; `store.root` is the superuser's."""

    def __init__(self, cluster, template, passwords):
        self.cluster = cluster
        self.name = "s_" + secrets.token_hex(6)
        self._passwords = passwords
        self._sessions = []
        cluster.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
            sql.Identifier(self.name), sql.Identifier(template)))

    def __getattr__(self, login):
        if login not in ("root", *self._passwords):
            raise AttributeError(login)
        session = self.session(login)
        setattr(self, login, session)
        return session

    def session(self, login):
        """One more connection of a login."""
        user, password = (None, None) if login == "root" else self._passwords[login]
        connection = self.cluster.connect(user, password, self.name, options="-c lock_timeout=15s")  # a test fails rather than hangs
        self._sessions.append(connection)
        return Session(connection)

    def login(self, *roles):
        """A session of a new login that is a member of these of our roles."""
        name = "l_" + secrets.token_hex(6)
        password = self.cluster.create_role(name, "IN ROLE " + ", ".join("mailroom_" + role for role in roles) if roles else "")
        self._passwords = {**self._passwords, name: (name, password)}
        return self.session(name)

    def dispatcher(self, lease="1h", session=None):
        """A new dispatcher's id."""
        milliseconds = self.root.value("SELECT (extract(epoch FROM %s::interval) * 1000)::bigint", lease)
        return (session or self.worker).run("register", "host", 1, "test", None, milliseconds, "none")[0]["id"]

    def beaten(self, dispatcher, ago, since=None):
        """Its last beat was so long ago, the first of them without interruption `since` (an hour before, unless said)."""
        self.root.rows("UPDATE mailroom.dispatcher SET beat_at = clock_timestamp() - %s::interval,"
                       " beating_since = clock_timestamp() - %s::interval WHERE id = %s", ago, since or ago, dispatcher)

    def place(self, key="hold/one", owners=(), self_releasing=True, session=None):
        return (session or self.worker).run("place", key, key.split("/")[0], "subject", "remedy", json.dumps(list(owners)), self_releasing)[0]["id"]

    def handed_back(self, dispatcher, session=None):
        """How often it did."""
        return (session or self.root).value("SELECT coalesce(max(handed_back), 0) FROM mailroom.dispatcher WHERE id = %s", dispatcher)

    def hand_back(self, dispatcher, session=None):
        """What it knows nothing of: (how many, how many are left)."""
        return (session or self.worker).row("hand_back", dispatcher, 0, self.handed_back(dispatcher, session))[:2]

    def claim(self, dispatcher, limit=256, session=None, places=(0,), since=0):
        """Up to `limit` of each lane of each place; `since`: from which run_at on, in microseconds."""
        ranges = [(place, lane) for place in places for lane in range(3)]
        return (session or self.worker).run("claim", dispatcher, [place for place, _ in ranges], [lane for _, lane in ranges], [limit] * len(ranges),
                                            [since] * len(ranges), self.handed_back(dispatcher, session))

    def route(self, key="smtp/mail.example.test:587/erp", owner="general", limited=False, session=None):
        return (session or self.worker).run("route", key, key, owner, limited)[0]["id"]

    def living(self):
        """A dispatcher that has beaten for many leases, and whose heartbeat does not end before the test."""
        dispatcher = self.dispatcher(lease="100 milliseconds")
        self.root.rows("UPDATE mailroom.dispatcher SET beat_at = clock_timestamp() + interval '1 hour',"
                       " beating_since = clock_timestamp() - interval '1 hour' WHERE id = %s", dispatcher)
        return dispatcher

    def dead(self, count=1, places=(0,)):
        """A dispatcher that died with what it had claimed: its id, and these messages. `count` are enqueued first."""
        dispatcher = self.dispatcher()
        for _ in range(count):
            self.producer.enqueue()
        messages = self.claim(dispatcher, places=places)
        self.beaten(dispatcher, "2 hours")
        return dispatcher, messages

    @property
    def quarantine(self):
        return self.place("quarantined/x", self_releasing=False, session=self.root)

    def reap(self, dispatcher, place, limit=256, resend_after=900_000, session=None):
        """How many were taken, and how many of these wait for an operator: in `place`, or in the quarantine."""
        return (session or self.worker).row("reap", dispatcher, limit, resending(resend_after), place, self.quarantine)[:2]

    def queue(self, uid):
        """The live row of a message; None: there is none."""
        rows = self.root.rows("SELECT * FROM mailroom.queue WHERE uid = %s::uuid", uid)
        return rows[0] if rows else None

    def log(self, uid):
        rows = self.root.rows("SELECT * FROM mailroom.log WHERE uid = %s::uuid", uid)
        return rows[0] if rows else None

    def story(self, uid):
        """Its events, in order."""
        return self.root.rows("SELECT * FROM mailroom.story WHERE uid = %s::uuid ORDER BY at", uid)

    @property
    def version(self):
        return self.root.value("SELECT settings_version FROM mailroom.installation")

    @contextlib.contextmanager
    def blocked(self, session, call):
        """Starts call(), which uses the session, and goes on once that waits for a lock."""
        later = Later(call)
        wait_until(lambda: later.done or self._waits_for_lock(session), 10, "a statement waiting for a lock")
        assert not later.done, f"it did not have to wait: {later._outcome}"
        yield later

    def _waits_for_lock(self, session):
        return self.root.value("SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'", session.pid)

    def close(self):
        for connection in self._sessions:
            connection.close()
        self.cluster.drop_database(self.name)


def logins(cluster):
    """New ones, a member of each role of the cluster, one more producer, and one of no role: {name: (user, password)}."""
    memberships = {**{role: role for role in ROLES}, "other_producer": "producer", "nobody": None}
    users = {name: "login_" + name for name in memberships}
    return {name: (users[name], cluster.create_role(users[name], f"IN ROLE mailroom_{role}" if role else "")) for name, role in memberships.items()}


def resending(milliseconds):
    """What the reaper is told of doubts: resent after so long, in whatever category; None: held."""
    return json.dumps(dict.fromkeys(("standard", "mass", "dispatch", "mobile"), milliseconds))


def suspension(message, event="deferred", **more):
    """What suspend.sql takes for a claimed message."""
    return {"id": message["id"], "lease_no": message["lease_no"], "event": event, "place_id": 0, "delay_ms": 0, "counted": 0, "doubtful": 0, **more}


def ending(message, outcome="sent", **more):
    """What complete.sql and late_outcome.sql take for a claimed message."""
    return {"id": message["id"], "lease_no": message["lease_no"], "outcome": outcome, "counted": 1, **more}


def park(session, dispatcher, version, route, *messages):
    return suspend(session, dispatcher, version, *[suspension(message, "parked", place_id=route) for message in messages])


def suspend(session, dispatcher, version, *suspensions):
    """The ids that moved."""
    return sorted(row["id"] for row in session.run("suspend", dispatcher, version, json.dumps(suspensions)) if not row["busy"])


def complete(session, dispatcher, *endings):
    """The ids that ended."""
    return sorted(row["id"] for row in session.run("complete", dispatcher, json.dumps(endings)) if not row["busy"])


@contextlib.contextmanager
def refused(sqlstate, *texts):
    """The block fails with this SQLSTATE, and each of the texts stands in what it says."""
    with pytest.raises(psycopg2.Error) as caught:
        yield caught
    assert caught.value.pgcode == sqlstate, f"{caught.value.pgcode}: {caught.value}"
    for text in texts:
        assert text in str(caught.value), str(caught.value)
