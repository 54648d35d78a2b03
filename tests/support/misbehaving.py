"""An SMTP server that does at every step what a test tells it to: refuse, lie, hang up, keep silent, hold until allowed.

Without a script it is a well-behaved submission server with STARTTLS and AUTH PLAIN and LOGIN. It keeps all that it was told.

    script = Script()
    script.on("rcpt", Reply("450 4.2.1 busy"), argument="anna@")   # every time
    script.on("dot", Close(), times=1)                             # takes the message, hangs up once without an answer
    with MisbehavingServer(certificates.server(), script) as server: ...
"""

import base64
import contextlib
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field

from smtp_script import Close, Flush, Hold, Reply, Script, Silence, Trickle, WrongCertificate

EXTENSIONS = ("PIPELINING", "SIZE 35882577", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


@dataclass
class Received:
    """One message that was read to its dot, answered or not."""
    connection: int
    login: str | None
    mail_from: str  # the whole argument, with its parameters: <a@b> SIZE=100
    recipients: list
    octets: bytes  # without dot-stuffing, lines end in CRLF
    reply: str | None  # what the client was told; None: nothing


@dataclass
class Seen:
    """What happened so far. Read it once the client is done, or by MisbehavingServer.wait()."""
    messages: list = field(default_factory=list)
    logins: list = field(default_factory=list)  # (connection, login, accepted)
    commands: list = field(default_factory=list)  # (connection, line); the secrets of AUTH are left out
    connections: int = 0
    open_connections: int = 0
    behind_a_dot: int = 0  # messages whose commands had come with the dot of the one before
    most_connections: int = 0
    open_logins: int = 0
    most_logins: int = 0  # the most that were in progress at one time


class HungUp(Exception):
    pass


class MisbehavingServer:
    """users: {login: password}; none: every login is accepted. implicit_tls: TLS from the first byte, no STARTTLS."""

    def __init__(self, certificate=None, script=None, users=None, extensions=EXTENSIONS, mechanisms="PLAIN LOGIN",
                 implicit_tls=False, require_login=True):
        self.script = script or Script()
        self.certificate = certificate
        self.users = users
        self.extensions = extensions
        self.mechanisms = mechanisms
        self.implicit_tls = implicit_tls
        self.require_login = require_login
        self.seen = Seen()
        self.changed = threading.Condition()
        self.stopping = threading.Event()
        self._sockets = set()
        self._threads = []
        self._listener = None
        self.port = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Also after stop(), on the same port."""
        self.stopping.clear()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, args=(self._listener,), daemon=True)]
        self._threads[0].start()

    def stop(self):
        """Hangs up on everybody and refuses connections."""
        if not self._listener:
            return
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None
        with self.changed:
            for open_socket in self._sockets:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(open_socket, socket.SHUT_RDWR)  # SSLSocket's own would pull the rug from under its thread
            threads = list(self._threads)
        for thread in threads:
            thread.join(10)

    def wait(self, condition, timeout=30, what="what the test waits for"):
        """Waits until condition(seen) is true, checked whenever something happened."""
        with self.changed:
            if not self.changed.wait_for(lambda: condition(self.seen), timeout):
                raise TimeoutError(f"{what}: not within {timeout} s; seen so far: {self.seen}")
        return self.seen

    def wait_for(self, count, timeout=30):
        return self.wait(lambda seen: len(seen.messages) >= count, timeout, f"{count} messages").messages

    def tls_context(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert_file, certificate.key_file)
        return context

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                self.seen.connections += 1
                number = self.seen.connections
                self.seen.open_connections += 1
                self.seen.most_connections = max(self.seen.most_connections, self.seen.open_connections)
                self._sockets.add(client)
                thread = threading.Thread(target=self._serve, args=(client, number), daemon=True)
                self._threads.append(thread)
                self.changed.notify_all()
            thread.start()

    def _serve(self, client, number):
        session = Session(self, client, number)
        try:
            session.run()
        except (HungUp, OSError, ValueError):
            pass  # also for base64 or TLS that is none: such a client is hung up on
        finally:
            session.close()
            with self.changed:
                self._sockets.discard(client)
                self.seen.open_connections -= 1
                self.changed.notify_all()


class Session:
    """One connection, in a thread of its own."""

    def __init__(self, server, client, number):
        self.server = server
        self.socket = client
        self.number = number
        self.buffer = b""
        self.secure = False
        self.login = None
        self.mail_from = None
        self.recipients = []
        self.trickle = None

    def run(self):
        self.act("connect", "", lambda: None)
        if self.server.implicit_tls:
            self.act("tls", "", self.start_tls)
        self.act("greeting", "", lambda: self.say("220 misbehaving.example.test ESMTP"))
        steps = {"EHLO": "ehlo", "HELO": "ehlo", "STARTTLS": "starttls", "AUTH": "auth", "MAIL": "mail", "RCPT": "rcpt", "DATA": "data",
                 "RSET": "rset", "NOOP": "noop", "QUIT": "quit"}
        while True:
            line = self.read_line()
            verb = line.split(" ")[0].split(":")[0].upper()
            step = steps.get(verb, "other")
            self.note(line if step != "auth" else " ".join(line.split(" ")[:2]))
            if step == "auth":
                self.auth(line)
            else:
                self.act(step, line, lambda: getattr(self, "do_" + step)(line))

    # Steps

    def do_ehlo(self, _):
        self.forget_transaction()
        lines = ["misbehaving.example.test", *self.server.extensions]
        if self.server.certificate and not self.secure:
            lines.append("STARTTLS")
        elif self.server.mechanisms:
            lines.append("AUTH " + self.server.mechanisms)
        *first, last = lines
        self.say("".join(f"250-{line}\r\n" for line in first) + f"250 {last}")

    def do_starttls(self, _):
        if not self.server.certificate or self.secure:
            return self.say("502 5.5.1 STARTTLS is not offered")
        self.say("220 2.0.0 go ahead")
        self.act("tls", "", self.start_tls)

    def auth(self, line):
        seen = self.server.seen
        with self.server.changed:
            seen.open_logins += 1
            seen.most_logins = max(seen.most_logins, seen.open_logins)
            self.server.changed.notify_all()
        login, accepted = None, False

        def ended():  # before the answer is written: what the client does next must not count as simultaneous
            with self.server.changed:
                seen.open_logins -= 1
                seen.logins.append((self.number, login, accepted))
                self.server.changed.notify_all()

        try:
            login, password = self.credentials(line)
            action = self.server.script.decide("auth", self.number, login)
            if isinstance(action, Hold):
                self.hold(action.event)
                action = None
            if isinstance(action, Silence):
                self.perform(action)
            accepted = action is None and (self.server.users is None or self.server.users.get(login) == password)
        finally:
            ended()
        self.login = login if accepted else None
        self.perform(action or Reply("235 2.7.0 welcome" if accepted else "535 5.7.8 wrong login or password"))

    def credentials(self, line):
        words = line.split(" ")
        if words[1:2] == ["LOGIN"]:
            login = base64.b64decode(words[2]).decode() if len(words) > 2 else self.challenge(b"Username:")
            return login, self.challenge(b"Password:")
        initial = words[2] if len(words) > 2 else self.ask("334 ")
        _, login, password = base64.b64decode(initial).decode().split("\0")
        return login, password

    def challenge(self, prompt):
        return base64.b64decode(self.ask("334 " + base64.b64encode(prompt).decode())).decode()

    def do_mail(self, line):
        if self.server.require_login and self.login is None:
            return self.say("530 5.7.0 authentication required")
        self.mail_from = line[len("MAIL FROM:"):]
        self.say("250 2.1.0 ok")

    def do_rcpt(self, line):
        if self.mail_from is None:
            return self.say("503 5.5.1 MAIL first")
        self.recipients.append(line[len("RCPT TO:"):])
        self.say("250 2.1.5 ok")

    def do_data(self, _):
        if not self.recipients:
            return self.say("503 5.5.1 RCPT first")
        self.say("354 end with a dot")
        octets = self.read_content()
        received = Received(self.number, self.login, self.mail_from, list(self.recipients), octets, None)
        self.forget_transaction()
        if self.buffer.startswith(b"MAIL "):
            self.server.seen.behind_a_dot += 1
        with self.server.changed:  # before the answer: a hang-up at the dot leaves a message that was taken
            self.server.seen.messages.append(received)
            self.server.changed.notify_all()

        def answer(text="250 2.0.0 taken"):
            received.reply = text
            self.say(text)

        self.act("dot", received.mail_from, answer, on_reply=lambda text: setattr(received, "reply", text))

    def do_rset(self, _):
        self.forget_transaction()
        self.say("250 2.0.0 ok")

    def do_noop(self, _):
        self.say("250 2.0.0 ok")

    def do_quit(self, _):
        self.say("221 2.0.0 bye")
        raise HungUp

    def do_other(self, line):
        self.say(f"502 5.5.2 {line.split(' ')[0]} is not known here")

    def forget_transaction(self):
        self.mail_from = None
        self.recipients = []

    # How a step is done

    def act(self, step, line, normal, on_reply=None):
        action = self.server.script.decide(step, self.number, line)
        if isinstance(action, Hold):
            self.hold(action.event)
            normal()
        elif isinstance(action, Flush):
            self.buffer = b""
            normal()
        elif isinstance(action, WrongCertificate):
            self.start_tls(action.certificate)
        elif action is None:
            normal()
        else:
            if isinstance(action, Reply) and on_reply:
                on_reply(action.text)
            self.perform(action)

    def perform(self, action):
        if isinstance(action, Reply):
            self.say(action.text)
            if action.close:
                raise HungUp
        elif isinstance(action, Silence):
            self.drain()
        elif isinstance(action, Close):
            if action.reset:  # lingering for no time makes close() send RST
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise HungUp

    def hold(self, event):
        while not event.wait(0.05):
            if self.server.stopping.is_set():
                raise HungUp

    def start_tls(self, certificate=None):
        context = self.server.tls_context(certificate or self.server.certificate)
        self.buffer = b""  # what came in the clear counts for nothing (RFC 3207 section 4.2)
        plain = self.socket
        self.socket = context.wrap_socket(plain, server_side=True)
        with self.server.changed:
            self.server._sockets.discard(plain)
            self.server._sockets.add(self.socket)
        self.secure = True

    # Octets

    def read_content(self):
        action = self.server.script.decide("content", self.number, self.mail_from)
        if isinstance(action, Close):
            while len(self.buffer) < action.after_octets:
                self.receive()
            self.perform(action)
        elif isinstance(action, Hold):
            self.hold(action.event)
        elif isinstance(action, Trickle):
            self.trickle = action
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # the kernel must not take it all at once
        elif action is not None:
            self.perform(action)
        self.buffer = b"\r\n" + self.buffer  # so that a dot in the first line stands behind a line end, as all do
        parts, end = bytearray(), -1
        while end < 0:
            parts += self.buffer
            self.buffer = b""
            end = parts.find(b"\r\n.\r\n", max(0, len(parts) - 70_000))  # what one receive() adds, and some
            if end < 0:
                self.receive()
        self.buffer = bytes(parts[end + 5:])
        return bytes(parts[:end + 2]).replace(b"\r\n.", b"\r\n")[2:]

    def read_line(self):
        while b"\r\n" not in self.buffer:
            self.receive()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line.decode(errors="replace")

    def receive(self):
        if self.trickle and self.server.stopping.wait(self.trickle.pause):
            raise HungUp
        octets = self.socket.recv(self.trickle.octets if self.trickle else 65536)
        if not octets:
            raise HungUp
        self.buffer += octets

    def drain(self):
        while True:
            self.buffer = b""
            self.receive()

    def say(self, text):
        self.socket.sendall((text if isinstance(text, bytes) else text.encode()) + b"\r\n")

    def ask(self, text):
        self.say(text)
        return self.read_line()

    def note(self, line):
        with self.server.changed:
            self.server.seen.commands.append((self.number, line))
            self.server.changed.notify_all()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.close()
        with self.server.changed:
            self.server._sockets.discard(self.socket)
