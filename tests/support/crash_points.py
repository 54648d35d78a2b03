"""Has the program under test die or stand still at a named place (config/crash_point.hpp), or name the places that it comes by."""

import signal
from pathlib import Path

from machine import Unavailable, wait_until


class CrashPoints:
    def __init__(self, mailroom):
        cache = mailroom.executable.parent.parent / "CMakeCache.txt"
        if not cache.exists() or not any(line.startswith("MAILROOM_CRASH_POINTS:") and line.endswith("=ON") for line in cache.read_text().splitlines()):
            raise Unavailable("this build has no crash points (MAILROOM_CRASH_POINTS)")
        self.mailroom = mailroom

    def start(self, point, how="CRASH"):
        """A daemon that will end itself there; how="STOP": that will stand still there."""
        self.mailroom.environment[f"MAILROOM_{how}_AT"] = point
        try:
            return self.mailroom.start(ready="started")
        finally:
            del self.mailroom.environment[f"MAILROOM_{how}_AT"]

    def stand_still_at(self, point, timeout=30):
        """A daemon that stands still there, until it gets SIGCONT."""
        daemon = self.start(point, how="STOP")
        state = Path(f"/proc/{daemon.process.pid}/stat")
        wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", timeout, f"it to stand still at {point}")
        return daemon

    def die_at(self, point, timeout=30):
        """A daemon that has ended itself there."""
        daemon = self.start(point)
        code = daemon.wait(timeout)
        assert code == -signal.SIGKILL, f"it ended with {code} instead of at {point}:\n{daemon.log()[-2000:]}"
        return daemon

    @staticmethod
    def passed(daemon):
        """The places that a daemon started with "list" has come by."""
        return {line.removeprefix("crash point: ") for line in daemon.log().splitlines() if line.startswith("crash point: ")}
