"""A claim that the network keeps arrives after the daemon has given it up and gone on by another connection. What it took then nobody would know of."""

import signal

import psycopg2.extensions
import pytest

from erp import Erp, letter
from fault_proxy import FaultProxy
from machine import wait_until
from misbehaving import MisbehavingServer
from reliability import all_is_well, nothing_is_marked, relay_and_enqueue


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


@pytest.fixture
def network(postgres):
    with FaultProxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", poll="200ms")
    return Erp(mailroom, database).prepare()


def test_a_claim_that_arrives_after_it_was_given_up_takes_nothing(erp, mailroom, database, network, server):
    erp.relay("ANNA", server)
    mailroom.configure("database", connection=psycopg2.extensions.make_dsn(database.dsn, port=network.port))
    with mailroom.daemon() as daemon:
        first = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(first, "sent")
        network.stall()  # the next poll's claim gets as far as the network
        daemon.wait_for_line("error database_away: ", timeout=20)
        second = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(second, "sent", timeout=20)  # it claims again: by another connection
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            rest = relay_and_enqueue(erp, server, 50)
            network.resume()
            wait_until(lambda: network.open_connections <= 7, 10, "the end of the connections that were given up")
            assert {state for uid, (state, _) in erp.states().items() if uid in rest} == {"ready"}, "nobody took them"
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        erp.wait_for(rest, "sent", timeout=20)
    mailroom.configure("database", connection=database.dsn)
    assert all_is_well("a claim arrives late", erp, server, [first, second, *rest]) == 0
    assert nothing_is_marked(erp)
