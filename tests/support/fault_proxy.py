"""A network that fails when a test says so: TCP from a port of 127.0.0.1 to a server's, cut, refused, delayed or swallowed on the way.

    with FaultProxy(server.port) as network:   # clients connect to network.port
        network.cut()                          # every connection ends now, by RST; new ones are let through
        network.swallow(to_client=True)        # octets vanish in this direction, connections stay open: half-open
        network.resume()                       # all is well again; a connection that lost octets ends by RST

Whoever calls returns when it is so. One thread does all; at most MOST_LINKS connections and MOST_WAITING octets each.
"""

import collections
import contextlib
import queue
import select
import socket
import struct
import threading
import time

MOST_LINKS = 256
MOST_WAITING = 1 << 20  # octets of one direction that are delayed; then its source has to wait
TO_SERVER, TO_CLIENT = "to_server", "to_client"


class FaultProxy:
    def __init__(self, server_port):
        self.server_port = server_port
        self.port = 0
        self.connections = 0  # that clients have made so far
        self._delay = {TO_SERVER: 0.0, TO_CLIENT: 0.0}
        self._swallowing = set()
        self._links = set()
        self._listener = None
        self._orders = queue.SimpleQueue()
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._stopping = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self):
        self._listen()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._do(self._end)
        self._thread.join(10)
        self._bell.close()
        self._ear.close()

    @property
    def open_connections(self):
        return len(self._links)

    # Faults

    def cut(self, reset=True):
        """Every connection ends: by RST to both sides, or by FIN."""
        self._do(lambda: [link.cut(reset) for link in list(self._links)])

    def refuse(self):
        """Nobody gets a new connection, until resume()."""
        self._do(self._close_listener)

    def delay(self, to_server=0.0, to_client=0.0):
        """Seconds that octets take from now on."""
        self._do(lambda: self._delay.update({TO_SERVER: to_server, TO_CLIENT: to_client}))

    def swallow(self, to_server=False, to_client=False):
        """Octets and ends of connections vanish, also of connections that begin now, as behind a router that died."""
        self._do(lambda: self._swallowing.update(name for name, lost in ((TO_SERVER, to_server), (TO_CLIENT, to_client)) if lost))

    def stall(self):
        """Octets that go to the server by the connections of this moment stay under way, until resume(), whoever hangs up meanwhile:
        retransmissions of a network that loses packets for a while. New connections are not concerned."""
        self._do(lambda: [link.stall() for link in self._links])

    def resume(self):
        """No fault any more. What was stalled arrives now."""
        self._do(self._resume)

    # In the thread

    def _work(self):
        while not self._stopping:
            poll = select.poll()
            poll.register(self._ear, select.POLLIN)
            if self._listener and len(self._links) < MOST_LINKS:
                poll.register(self._listener, select.POLLIN)
            now = time.monotonic()
            soonest = now + 60
            for link in self._links:
                for end, events, due in link.interests(now):
                    soonest = min(soonest, due)
                    poll.register(end, events)
            ready = {descriptor for descriptor, _ in poll.poll(max(0.0, soonest - now) * 1000 + 0.5)}
            if self._ear.fileno() in ready:
                self._ear.recv(4096)
            if self._listener and self._listener.fileno() in ready:
                self._accept()
            while not self._orders.empty():
                self._obey(*self._orders.get())
            for link in [link for link in self._links if link.has_some_under_way() or ready & link.descriptors]:
                link.carry(time.monotonic())

    def _do(self, order):
        done = threading.Event()
        failed = []
        self._orders.put((order, done, failed))
        self._ring()
        if not done.wait(10):
            raise TimeoutError("the proxy's thread does not answer")
        if failed:
            raise failed[0]

    def _ring(self):
        with contextlib.suppress(BlockingIOError):  # enough of it is there already
            self._bell.send(b"!")

    def _obey(self, order, done, failed):
        try:
            order()
        except Exception as error:
            failed.append(error)
        done.set()

    def _listen(self):
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=MOST_LINKS)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]

    def _close_listener(self):
        if self._listener:
            self._listener.close()
            self._listener = None

    def _accept(self):
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        self.connections += 1
        try:
            server = socket.create_connection(("127.0.0.1", self.server_port), timeout=5)
        except OSError:
            hang_up(client, reset=True)
            return
        self._links.add(Link(self, client, server))

    def _resume(self):
        self._delay = {TO_SERVER: 0.0, TO_CLIENT: 0.0}
        self._swallowing.clear()
        if not self._listener:
            self._listen()
        for link in list(self._links):
            link.resume()

    def _end(self):
        self._stopping = True
        self._close_listener()
        for link in list(self._links):
            link.cut(reset=True)


class Link:
    """One connection: two sockets and what is under way between them."""

    def __init__(self, proxy, client, server):
        self.proxy = proxy
        self.ends = {TO_SERVER: (client, server), TO_CLIENT: (server, client)}
        self.under_way = {TO_SERVER: collections.deque(), TO_CLIENT: collections.deque()}  # (when it arrives, octets); b"": the end
        self.read_to_the_end = set()
        self.wrote_the_end = set()
        self.lost_some = False
        self.stalled = False
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.descriptors = {client.fileno(), server.fileno()}

    def has_some_under_way(self):
        return any(self.under_way.values())

    def interests(self, now):
        """(socket, events, when to look again) of both ends."""
        events = {end: 0 for end in self.ends[TO_SERVER]}
        due = now + 60
        for name, (source, target) in self.ends.items():
            if name not in self.read_to_the_end and sum(len(octets) for _, octets in self.under_way[name]) < MOST_WAITING:
                events[source] |= select.POLLIN
            if self.under_way[name] and not self._stays(name):
                arrives = self.under_way[name][0][0]
                if arrives <= now:
                    events[target] |= select.POLLOUT
                else:
                    due = min(due, arrives)
        return [(end, wanted, due) for end, wanted in events.items() if wanted]

    def carry(self, now):
        try:
            for name in self.ends:
                self._read(name, now)
                self._write(name, now)
        except OSError:
            if not self.stalled:
                self.cut(reset=True)
        if len(self.wrote_the_end) == 2:
            self.cut(reset=False)

    def cut(self, reset):
        self.proxy._links.discard(self)
        for end in self.ends[TO_SERVER]:
            hang_up(end, reset)

    def stall(self):
        self.stalled = True

    def resume(self):
        self.stalled = False
        if self.lost_some:
            self.cut(reset=True)

    def _stays(self, name):
        return name == TO_SERVER and self.stalled

    def _read(self, name, now):
        source = self.ends[name][0]
        if name in self.read_to_the_end or sum(len(octets) for _, octets in self.under_way[name]) >= MOST_WAITING:
            return
        try:
            octets = source.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            if not (name in self.proxy._swallowing or self.stalled):
                raise
            octets = b""  # the other side is not told
        if not octets:
            self.read_to_the_end.add(name)
        if name in self.proxy._swallowing:
            self.lost_some = True
        else:
            self.under_way[name].append((now + self.proxy._delay[name], octets))

    def _write(self, name, now):
        target = self.ends[name][1]
        waiting = self.under_way[name]
        while waiting and waiting[0][0] <= now and not self._stays(name):
            arrives, octets = waiting[0]
            if name in self.proxy._swallowing:
                self.lost_some = True
            elif octets:
                try:
                    sent = target.send(octets)
                except BlockingIOError:
                    return
                if sent < len(octets):
                    waiting[0] = (arrives, octets[sent:])
                    return
            else:
                target.shutdown(socket.SHUT_WR)
                self.wrote_the_end.add(name)
            waiting.popleft()


def hang_up(end, reset):
    if reset:  # lingering for no time makes close() send RST
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
