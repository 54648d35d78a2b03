"""A private PostgreSQL whose data lies on a small disk of its own, in memory, that a test may fill. Needs root."""

import contextlib
import os
import subprocess

from machine import Unavailable, private_directory, wait_until
from postgres import PrivatePostgres

SIZE = "192m"


class PostgresOnASmallDisk(PrivatePostgres):
    def __init__(self):
        self._is_mounted = False
        super().__init__(fsync=False, min_wal_size="32MB", max_wal_size="32MB")
        self.log_file = private_directory("postgres-log") / "postgres.log"

    def fill(self):
        """Not an octet is left."""
        with open(self._ballast, "wb", buffering=0) as out:
            for octets in (bytes(1 << 20), bytes(4096)):
                with contextlib.suppress(OSError):
                    while out.write(octets) == len(octets):
                        pass

    def free(self):
        """Also starts it, where it has ended itself for lack of room; returns when it serves again."""
        self._ballast.unlink()

        def serves():
            if not self.running:
                self.kill()
                self.start()
            with contextlib.suppress(RuntimeError):  # it was about to end itself
                return self._ready()

        wait_until(serves, 60, "PostgreSQL's return")

    @property
    def running(self):
        return self._process.poll() is None

    def stop(self):
        super().stop()
        if self._is_mounted:
            subprocess.run(["umount", "-l", self.directory], check=True)
            self._is_mounted = False

    def _initdb(self):
        if os.geteuid() != 0:
            raise Unavailable("a disk of one's own needs root")
        owner = self.directory.stat()
        options = f"size={SIZE},uid={owner.st_uid},gid={owner.st_gid},mode=700"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "mailroom-test", self.directory], capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(f"no disk can be mounted here: {done.stderr.strip()}")
        self._is_mounted = True
        super()._initdb()

    @property
    def _ballast(self):
        return self.directory / "ballast"
