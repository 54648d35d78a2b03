"""What the misbehaving SMTP server does at which step: rules that a test writes, and may change while the server runs.

Steps: connect, greeting, ehlo, starttls, tls, auth, mail, rcpt, data, content, dot, rset, noop, quit, other. connect comes before
anything is written, tls after the answer to STARTTLS, content after 354 and before the message is read, dot after it was read.
"""

import threading
from dataclasses import dataclass


# What a step may do instead of the normal thing.

@dataclass(frozen=True)
class Reply:
    """Written as it stands, with CRLF behind it; several lines are the caller's to mark. close: hangs up after it."""
    text: str | bytes
    close: bool = False


@dataclass(frozen=True)
class Close:
    """Hangs up. after_octets: only when so much of the message has been read (step content)."""
    after_octets: int = 0
    reset: bool = False  # by RST rather than FIN


@dataclass(frozen=True)
class Silence:
    """Never answers, and keeps the connection until the server stops or the client gives up."""


@dataclass(frozen=True)
class Hold:
    """Does the normal thing once the event is set."""
    event: threading.Event


@dataclass(frozen=True)
class Trickle:
    """Step content: reads so many octets at a time, with a pause of so many seconds after each. Never lets a client wait for longer."""
    octets: int
    pause: float


@dataclass(frozen=True)
class Flush:
    """Throws away what came behind this step's command, and does the normal thing."""


@dataclass(frozen=True)
class WrongCertificate:
    """Step tls: shows another certificate."""
    certificate: object


class Script:
    """Rules in order; the first that fits a step decides. Tests may change it while the server runs."""

    def __init__(self):
        self._rules = []
        self._lock = threading.Lock()

    def on(self, step, action, connection=None, argument=None, times=None):
        """connection: only that one, counted from 1. argument: only if the command's line contains it. times: then never again."""
        with self._lock:
            self._rules.append({"step": step, "action": action, "connection": connection, "argument": argument, "left": times})
        return self

    def clear(self):
        """From now on well-behaved."""
        with self._lock:
            self._rules.clear()

    def decide(self, step, connection, line):
        with self._lock:
            for rule in self._rules:
                fits = rule["step"] == step and rule["connection"] in (None, connection) and (rule["argument"] or "") in line
                if not fits or rule["left"] == 0:
                    continue
                if rule["left"] is not None:
                    rule["left"] -= 1
                return rule["action"]
        return None
