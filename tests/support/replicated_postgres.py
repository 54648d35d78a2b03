"""A private PostgreSQL with a standby that takes over: streaming, synchronous, so that whatever was committed is on both.

`with ReplicatedPostgres() as cluster:` is the primary, and its connection strings name both. cluster.kill(), then
cluster.standby.promote(): the standby is the one that takes writes.
"""

import subprocess

import psycopg2.extensions

from machine import run_as, wait_until
from postgres import PrivatePostgres

STANDBY = "the_standby"


class Standby(PrivatePostgres):
    def __init__(self, primary):
        self._primary = primary
        super().__init__(fsync=False)
        self.password = primary.password

    def promote(self):
        """Returns when it takes writes."""
        self.execute("SELECT pg_promote(true, 60)")
        wait_until(lambda: self.execute("SELECT pg_is_in_recovery()") == [(False,)], 60, "the promotion", every=0.01)

    def _initdb(self):
        source = self._primary.dsn_of_one(application_name=STANDBY)
        done = subprocess.run(
            run_as(self.user, [self.programs / "pg_basebackup", "-d", source, "-D", self.data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]),
            capture_output=True, text=True, cwd="/")
        if done.returncode != 0:
            raise RuntimeError(f"pg_basebackup failed:\n{done.stderr}")


class ReplicatedPostgres(PrivatePostgres):
    def __init__(self):
        super().__init__(fsync=False)
        self.standby = None

    def start(self):
        super().start()
        self.standby = Standby(self)
        self.standby.start()
        # Afterwards, so that it is not in the copy: a promoted standby would wait for another one.
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        self.execute("SELECT pg_reload_conf()")
        wait_until(self._is_synchronous, 30, "the standby")

    def stop(self):
        if self.standby:
            self.standby.stop()
        self.stop_immediately()  # an orderly stop would wait for a standby that is gone

    def dsn(self, user=None, password=None, database="postgres", **more):
        """Names both; whoever uses it gets the one that takes writes."""
        if self.standby is None:
            return self.dsn_of_one(user, password, database, **more)
        one = psycopg2.extensions.parse_dsn(self.dsn_of_one(user, password, database, **more))
        one |= {"host": f"{one['host']},{one['host']}", "port": f"{self.port},{self.standby.port}", "target_session_attrs": "read-write"}
        return psycopg2.extensions.make_dsn(**one)

    def dsn_of_one(self, user=None, password=None, database="postgres", **more):
        return super().dsn(user, password, database, **more)

    def _is_synchronous(self):
        return self.execute("SELECT sync_state FROM pg_stat_replication") == [("sync",)]
