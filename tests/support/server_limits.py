"""Servers with a pace and with limits, for MisbehavingServer: scripts that look at more than the step."""

import threading
import time

from smtp_script import Reply, Script


class Paced(Script):
    """Takes its time for each message, and notes when each one came (arrivals, by the monotonic clock)."""

    def __init__(self, seconds=0.0):
        super().__init__()
        self.seconds = seconds
        self.arrivals = []
        self._never = threading.Event()

    def decide(self, step, connection, line):
        if step == "dot":
            self.arrivals.append(time.monotonic())
            self._never.wait(self.seconds)
        return super().decide(step, connection, line)


def at_most(arrivals, since, a_second):
    """No more have come at any time than the limit lets through evenly, counted from `since`."""
    for count, at in enumerate(arrivals, 1):
        assert count <= (at - since) * a_second + 1, f"{count} within {at - since:.1f} s"


class FewConnections(Paced):
    """Greets so many connections at a time; another one is told to come later, and hung up on. `server` is to be set by the test."""

    def __init__(self, most, seconds=0.0):
        super().__init__(seconds)
        self.most = most
        self.server = None
        self.refused = 0

    def decide(self, step, connection, line):
        if step != "greeting" or self.server.seen.open_connections <= self.most:
            return super().decide(step, connection, line)
        self.refused += 1
        return Reply("421 4.7.0 too many connections", close=True)
