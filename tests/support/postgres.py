"""A PostgreSQL cluster of the tests' own: every login by SCRAM, durable unless asked otherwise, gone at exit.

Runs as the user postgres where this process is root, because PostgreSQL refuses to.
"""

import atexit
import contextlib
import os
import secrets
import signal
import subprocess
from pathlib import Path

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from machine import (Unavailable, children, dismiss_guard, free_port, kill_tree, memory_folder, private_directory, program, run_as, send,
                     start_server, tail, unprivileged_user, wait_until)

SUPERUSER = "cluster_owner"


def newest_programs():
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if not versions:
        raise Unavailable("PostgreSQL is not installed (Debian: apt-get install postgresql-15)")
    return versions[-1]


class PrivatePostgres:
    """`with PrivatePostgres() as cluster: cluster.connect()`. Settings are postgresql.conf's, by name.

    fsync: whether it is as on a real disk; otherwise it lies in memory where there is room, where a database is made in a tenth of the time.
    directory: where it is, instead of a new one that goes at exit; it belongs to the user that runs PostgreSQL. through: a command that
    becomes the server, as env does."""

    def __init__(self, fsync=True, directory=None, through=(), **settings):
        self.programs = newest_programs()
        self.user = unprivileged_user("postgres")
        self.directory = directory or private_directory("postgres", owner=self.user, parent=None if fsync else memory_folder())
        self.data = self.directory / "data"
        self.log_file = self.directory / "postgres.log"
        self.port = free_port()
        self.superuser = SUPERUSER
        self.password = secrets.token_urlsafe(18)
        self._process = None
        self._through = through
        self._settings = {"fsync": "on" if fsync else "off", "max_connections": 200, "log_timezone": "UTC",
                          **({} if fsync else {"max_wal_size": "128MB"}), **settings}
        self._initdb()
        atexit.register(self.stop)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    # Life

    def start(self):
        options = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.directory,
            "password_encryption": "scram-sha-256", "logging_collector": "off", **self._settings,
        }
        command = [*self._through, self.programs / "postgres", "-D", self.data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        # INT is PostgreSQL's fast shutdown: what it gets if the tests are killed.
        self._process = start_server(run_as(self.user, command), self.log_file, die_with="INT")
        try:
            wait_until(self._ready, 60, "PostgreSQL's start")
        except Exception:
            self.kill()
            raise

    def stop(self):
        self._end(signal.SIGINT)

    def stop_immediately(self):
        """As if the server process crashed: sessions are cut, the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def restart(self, immediate=False):
        self.stop_immediately() if immediate else self.stop()
        self.start()

    def kill(self):
        """SIGKILL to all its processes."""
        if self._process:
            kill_tree(self._process)
            self._process = None

    def pause(self):
        """It answers nothing and closes nothing, until resume()."""
        self._signal_all(signal.SIGSTOP)

    def resume(self):
        self._signal_all(signal.SIGCONT)

    # Use

    def dsn(self, user=None, password=None, database="postgres", **more):
        """A libpq connection string; the superuser's without a user."""
        if user is None:
            user, password = self.superuser, self.password
        return psycopg2.extensions.make_dsn(host="127.0.0.1", port=self.port, user=user, password=password,
                                            dbname=database, **more)

    def connect(self, user=None, password=None, database="postgres", autocommit=True, **more):
        connection = psycopg2.connect(self.dsn(user, password, database, connect_timeout=10, **more))
        connection.autocommit = autocommit
        return connection

    def execute(self, statement, parameters=None, database="postgres"):
        """One statement as the superuser, outside a transaction; its rows, if it has any."""
        with contextlib.closing(self.connect(database=database)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else None

    def create_role(self, name, options=""):
        """A role that may log in; returns its random password."""
        password = secrets.token_urlsafe(18)
        self.execute(sql.SQL("CREATE ROLE {} LOGIN " + options + " PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)))
        return password

    def create_database(self, name, owner=None):
        self.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner or self.superuser)))

    def drop_database(self, name):
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def log(self):
        return self.log_file.read_text(errors="replace")

    # Inside

    def _initdb(self):
        password_file = self.directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password + "\n")
        if os.geteuid() == 0:
            owner = self.directory.stat()
            os.chown(password_file, owner.st_uid, owner.st_gid)
        done = subprocess.run(
            run_as(self.user, [self.programs / "initdb", "-D", self.data, "--username", self.superuser, "--pwfile", password_file,
                               "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]),
            capture_output=True, text=True, cwd="/")
        password_file.unlink()
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _ready(self):
        if self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start:\n{tail(self.log_file)}")
        pg_isready = program("pg_isready", "postgresql-client-15", self.programs)
        return subprocess.run([pg_isready, "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0

    def _signal_all(self, number):
        for pid in (self._process.pid, *children(self._process.pid)):
            send(pid, number)

    def _end(self, number):
        if not self._process:
            return
        dismiss_guard(self._process)
        self._process.send_signal(number)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            kill_tree(self._process)
        self._process = None
