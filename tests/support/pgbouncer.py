"""A PgBouncer of the tests' own before a private PostgreSQL, by default in transaction mode with few server connections.

Every statement may meet another session: whoever prepares, listens or sets something for later is found out.
"""

import atexit
import signal
import socket

import psycopg2.extensions

from machine import free_port, private_directory, program, run_as, start_server, stop_group, tail, unprivileged_user, wait_until

INI = """
[databases]
* = host=127.0.0.1 port={database_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {directory}/users
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
server_round_robin = 1
logfile = {directory}/pgbouncer.log
"""


class PrivatePgBouncer:
    """`with PrivatePgBouncer(cluster, {login: password}) as pooler: pooler.dsn(login, database)`. size: connections to one database."""

    def __init__(self, cluster, logins, size=2, mode="transaction"):
        self._program = program("pgbouncer", "pgbouncer")
        self._user = unprivileged_user("postgres")
        self._logins = logins
        self._directory = private_directory("pgbouncer", owner=self._user)
        self._process = None
        self.port = free_port()
        self._write("users", "".join(f'"{login}" "{password}"\n' for login, password in logins.items()))
        self._write("pgbouncer.ini", INI.format(database_port=cluster.port, port=self.port, directory=self._directory, mode=mode, size=size))
        atexit.register(self.stop)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        # INT is its orderly shutdown, TERM the immediate one.
        command = run_as(self._user, [self._program, "-q", self._directory / "pgbouncer.ini"])
        self._process = start_server(command, self._directory / "output", die_with="TERM")
        try:
            wait_until(self._ready, 20, "PgBouncer's start")
        except Exception:
            self.stop()
            raise

    def stop(self):
        if self._process:
            stop_group(self._process, signal.SIGTERM)
            self._process = None

    def dsn(self, login, database):
        return psycopg2.extensions.make_dsn(host="127.0.0.1", port=self.port, user=login, password=self._logins[login], dbname=database)

    def _ready(self):
        if self._process.poll() is not None:
            raise RuntimeError(f"PgBouncer did not start:\n{tail(self._directory / 'output')}\n{tail(self._directory / 'pgbouncer.log')}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _write(self, name, text):
        path = self._directory / name
        path.touch(mode=0o644)  # the directory itself is its owner's alone
        path.write_text(text)
