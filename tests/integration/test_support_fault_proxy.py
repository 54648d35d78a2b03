"""The network that fails on demand: what each fault does to who speaks through it."""

import socket
import threading
import time

import pytest

from fault_proxy import FaultProxy
from machine import wait_until


class Echo:
    """Sends everything back; `hears` is all that came."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.hears = b""
        self.ends = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            try:
                while octets := client.recv(65536):
                    self.hears += octets
                    client.sendall(octets)
                self.ends.append("end")
            except ConnectionResetError:
                self.ends.append("reset")

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo():
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def network(echo):
    with FaultProxy(echo.port) as proxy:
        yield proxy


def connect(network):
    client = socket.create_connection(("127.0.0.1", network.port), timeout=5)
    ask(client, b"hello")
    return client


def ask(client, octets):
    client.sendall(octets)
    assert client.recv(65536) == octets


def hears_nothing(client, seconds=0.2):
    client.settimeout(seconds)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(5)
    return False


def test_without_a_fault_it_passes_on_octets_and_the_end_of_either_side(network, echo):
    with connect(network) as client:
        big = bytes(range(256)) * 20_000
        threading.Thread(target=client.sendall, args=(big,)).start()
        back = b""
        while len(back) < len(big):
            back += client.recv(65536)
        assert back == big
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    wait_until(lambda: echo.ends == ["end"] and network.open_connections == 0, 5, "the end")


@pytest.mark.parametrize("reset", [True, False])
def test_a_cut_ends_every_connection_and_lets_new_ones_through(network, echo, reset):
    with connect(network) as one, connect(network) as other:
        network.cut(reset=reset)
        for client in (one, other):
            if reset:
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            else:
                assert client.recv(1) == b""
    wait_until(lambda: echo.ends == ["reset" if reset else "end"] * 2, 5, "the server's notice")
    connect(network).close()


def test_refused_are_new_connections_only_until_it_resumes(network):
    with connect(network) as client:
        network.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(network)
        ask(client, b"still here")
        network.resume()
        connect(network).close()


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_delay_is_that_of_its_direction(network, direction):
    with connect(network) as client:
        network.delay(**{direction: 0.3})
        began = time.monotonic()
        ask(client, b"slow")
        assert 0.3 <= time.monotonic() - began < 0.6
        network.resume()
        began = time.monotonic()
        ask(client, b"fast")
        assert time.monotonic() - began < 0.2


def test_swallowed_on_the_way_back_leaves_the_server_knowing_and_the_client_waiting(network, echo):
    with connect(network) as client:
        network.swallow(to_client=True)
        client.sendall(b" world")
        wait_until(lambda: echo.hears == b"hello world", 5, "the server's share")
        assert hears_nothing(client)
        network.resume()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_swallowed_on_the_way_there_the_server_learns_nothing_not_even_the_end(network, echo):
    client = connect(network)
    network.swallow(to_server=True)
    client.sendall(b" world")
    assert hears_nothing(client)
    client.close()
    time.sleep(0.1)
    assert echo.hears == b"hello" and echo.ends == []
    network.resume()
    wait_until(lambda: echo.ends == ["reset"], 5, "the end that it learns of at last")


def test_a_new_connection_into_a_black_hole_is_open_and_silent(network, echo):
    network.swallow(to_server=True, to_client=True)
    with socket.create_connection(("127.0.0.1", network.port), timeout=5) as client:
        client.sendall(b"hello")
        assert hears_nothing(client) and echo.hears == b""


def test_what_is_stalled_arrives_when_it_resumes_though_its_sender_has_gone(network, echo):
    client = connect(network)
    network.stall()
    client.sendall(b" world")
    assert hears_nothing(client)
    client.close()
    with connect(network):
        assert echo.hears == b"hellohello"
        network.resume()
        wait_until(lambda: echo.hears == b"hellohello world", 5, "what was under way")


def test_its_end_leaves_no_thread_and_no_connection(echo):
    threads = threading.active_count()
    with FaultProxy(echo.port) as proxy:
        client = connect(proxy)
    with client, pytest.raises(ConnectionResetError):
        client.recv(1)
    wait_until(lambda: threading.active_count() <= threads, 5, "the end of the threads")
