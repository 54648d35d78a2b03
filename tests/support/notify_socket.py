"""The service manager's end of sd_notify(3): a socket that keeps what a service says of itself."""

import contextlib
import secrets
import socket
import time


class NotifySocket:
    """`with NotifySocket() as manager: ...`; a service started in its `environment` is heard. watchdog: seconds, as WatchdogSec says."""

    def __init__(self, path=None, watchdog=None):
        self.name = str(path) if path else "@mailroom-test-" + secrets.token_hex(8)  # @: abstract
        self.heard = []  # every assignment so far, as "READY=1"
        self.environment = {"NOTIFY_SOCKET": self.name}
        if watchdog:
            self.environment["WATCHDOG_USEC"] = str(int(watchdog * 1_000_000))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self):
        self._address = "\0" + self.name[1:] if self.name.startswith("@") else self.name
        self._socket.bind(self._address)
        return self

    def __exit__(self, *_):
        self._socket.close()

    def fill(self):
        """There is no room for more before somebody hears what there is."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"X_FULL=1", self._address)

    def hear(self, timeout):
        """One more message, into `heard`; False: none came."""
        self._socket.settimeout(max(timeout, 0.001))
        try:
            message = self._socket.recv(65536)
        except TimeoutError:
            return False
        self.heard += message.decode().split("\n")
        return True

    def hear_all(self):
        """What has come up to now."""
        while self.hear(0):
            pass
        return self.heard

    def wait_for(self, text, timeout=30, count=1, after=0):
        """Until `text` came so many times, at the front of an assignment and behind the first `after` ones; the last one's place."""
        deadline = time.monotonic() + timeout
        while True:
            found = [at for at, line in enumerate(self.heard) if at >= after and line.startswith(text)]
            if len(found) >= count:
                return found[count - 1]
            if time.monotonic() > deadline or not self.hear(deadline - time.monotonic()):
                raise AssertionError(f"{text!r} did not come {count} times within {timeout} s; heard since: {self.heard[after:][-20:]}")

    @property
    def status(self):
        lines = [line for line in self.hear_all() if line.startswith("STATUS=")]
        return lines[-1].removeprefix("STATUS=") if lines else None
