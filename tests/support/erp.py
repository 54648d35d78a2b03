"""What an ERP and its administrator do with mailroom: save settings, enqueue, ask what became of it. By SQL, as they do."""

import contextlib
import functools
import json
import secrets

import psycopg2
from psycopg2 import sql

from database import Database
from machine import private_directory, wait_until
from mailroom_program import Mailroom

STATES = """SELECT uid::text, state, reason FROM mailroom.depth
            UNION ALL SELECT uid::text, outcome, NULL FROM mailroom.log"""


class Erp:
    """`erp = Erp(mailroom, database).prepare()`. Settings are named as on the command line; `from_` is `from`."""

    def __init__(self, program, database):
        self.program = program
        self.database = database

    def prepare(self):
        """A key and a schema; the owner may make the roles, as a database's administrator would let it. The session's cluster has a migrated
        database to copy (its `migrated`), which takes a third of the time."""
        migrated = getattr(self.database.cluster, "migrated", None)
        if migrated and not self.database.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'mailroom'"):
            self.database.become_copy_of(migrated(self.program.executable))
            self.database.rows("UPDATE mailroom.installation SET identity = DEFAULT")
        may_make_roles(self.database)
        self.program.prepare()
        return self

    # Settings

    def general(self, **settings):
        return self.database.value("SELECT mailroom.save_general(%s)", [as_json(settings)])

    def user(self, code, **settings):
        return self.database.value("SELECT mailroom.save_user(%s, %s)", [code, as_json(settings)])

    def form(self, code, **settings):
        return self.database.value("SELECT mailroom.save_row(%s, %s)", [code, as_json(settings)])

    def model(self, code, **settings):
        return self.database.value("SELECT mailroom.save_model(%s, %s)", [code, as_json(settings)])

    def password(self, *owner, secret):
        """`erp.password("user", "ANNA", secret=...)`, by the command line: nobody else may seal."""
        self.program.run("account", "password", *owner, input=secret + "\n")

    def relay(self, code, server, **settings):
        """A user who sends by a server that asks for no login."""
        self.user(code, mode="smtp", server="localhost", port=server.port, login=False, email=f"{code.lower()}@example.test",
                  **settings)

    # Messages

    def enqueue(self, **message):
        """One message in a transaction of its own; its uid."""
        return self.enqueue_many([message])[0]

    def enqueue_many(self, messages, **connect):
        """All in one transaction, as one invoice run; their uids."""
        with contextlib.closing(psycopg2.connect(self.database.dsn, **connect)) as connection, connection, connection.cursor() as cursor:
            return [enqueue(cursor, message) for message in messages]

    def mobile_login(self):
        """The connection string of a login that posts for MOBILE."""
        name = self.database.name + "_mobile"
        password = self.database.cluster.create_role(name, "IN ROLE mailroom_mobile")
        return self.database.cluster.dsn(name, password, self.database.name)

    def enqueue_mobile(self, **message):
        with contextlib.closing(psycopg2.connect(self.mobile_login())) as connection, connection, connection.cursor() as cursor:
            return enqueue(cursor, message)

    # What became of them

    def states(self):
        """{uid: (state, reason of the hold)} of all messages there are."""
        return {row["uid"]: (row["state"], row["reason"] if row["state"] == "held" else "") for row in self.database.rows(STATES)}

    def state(self, uid):
        return self.database.value("SELECT mailroom.state(%s)", [uid])

    def story(self, uid):
        return self.program.json("show", uid)

    def wait_for(self, uids, state, reason="", timeout=30):
        """Until all of them are in this state (and held for this reason)."""
        self._until(uids, state, reason, timeout, every=0.05)

    def make_due(self):
        """Retries and resends that wait for their time are due now, and so are accounts in trouble."""
        self.database.rows("UPDATE mailroom.place SET blocked_until = NULL WHERE kind = 'route' AND blocked_until IS NOT NULL")
        self.database.rows("""UPDATE mailroom.queue SET run_at = clock_timestamp()
                               WHERE place_id = 0 AND state = 0 AND run_at > clock_timestamp()""")

    def hurry_until(self, uids, state, reason="", timeout=30):
        """As wait_for(), and no retry waits for its time meanwhile. A server in trouble still rests for a second or more."""
        self._until(uids, state, reason, timeout, every=0.2, meanwhile=self.make_due)

    def _until(self, uids, state, reason, timeout, every, meanwhile=lambda: None):
        uids = [uids] if isinstance(uids, str) else list(uids)

        def others():
            meanwhile()
            now = self.states()
            return {uid: now.get(uid) for uid in uids if now.get(uid) != (state, reason)}

        try:
            wait_until(lambda: not others(), timeout, f"{state} {reason}", every=every)
        except TimeoutError as error:
            raise AssertionError(f"{error}; {len(others())} of {len(uids)} are not: {dict(list(others().items())[:5])}") from None


def may_make_roles(database):
    database.cluster.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(database.owner)))


def migrated_once(cluster, ca_file):
    """For `cluster.migrated`: a function that gives a database with the schema, nameless and at home nowhere."""
    @functools.cache
    def migrated(executable):
        template = Database(cluster, "template_" + secrets.token_hex(6))
        may_make_roles(template)
        with Mailroom(executable, template.dsn, ca_file, private_directory("program")) as program:
            program.run("migrate")
        template.rows("UPDATE mailroom.installation SET name = NULL, server = NULL")
        cluster.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(template.name), sql.Identifier(cluster.superuser)))
        return template
    return migrated


def as_json(settings):
    return json.dumps({name.rstrip("_"): value for name, value in settings.items()})


def enqueue(cursor, message):
    cursor.execute("SELECT mailroom.enqueue(%s)::text", [json.dumps(message)])
    return cursor.fetchone()[0]


def letter(to="bruno@one.test", **more):
    """A message with what it needs at least."""
    return {"to": to, "subject": "a letter", "text": "hello\n", **more}
