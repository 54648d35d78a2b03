"""The network between daemon and database is cut, slow, or swallows what it carries, while mail drains."""

import time

import psycopg2.extensions
import pytest

from erp import Erp
from fault_proxy import FaultProxy
from machine import wait_until
from misbehaving import MisbehavingServer
from reliability import all_is_well, hurry_until_all_ended, more_faults, nothing_is_marked, outcomes_go_on, relay_and_enqueue

AWAY = "error database_away: nothing new is sent"
OVER = "database_away: it is over: nothing new is sent"


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


@pytest.fixture
def network(postgres):
    with FaultProxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def erp(mailroom, database, network):
    """Only daemons go by the network."""
    erp = Erp(mailroom, database).prepare()
    mailroom.configure("dispatcher", poll="200ms")
    mailroom.configure("doubt", resend_after="0ms")
    return erp


def go_by(network, mailroom, database):
    mailroom.configure("database", connection=psycopg2.extensions.make_dsn(database.dsn, port=network.port))


def go_directly(mailroom, database):
    mailroom.configure("database", connection=database.dsn)


def test_a_network_that_is_cut_twice_a_second_leaves_nothing_in_doubt(erp, mailroom, database, network, server):
    go_by(network, mailroom, database)
    uids = relay_and_enqueue(erp, server, 1500)
    with mailroom.daemon() as daemon:
        for number in range(6):
            server.wait_for(100 * (number + 1), timeout=60)
            network.cut(reset=number % 2 == 0)
            time.sleep(0.5)
        erp.wait_for(uids, "sent", timeout=20)
        assert daemon.running and network.connections > 20
    go_directly(mailroom, database)
    assert all_is_well("the network to the database is cut twice a second", erp, server, uids) == 0
    assert nothing_is_marked(erp)


@more_faults
def test_a_slow_network_to_the_database_makes_nothing_but_time(erp, mailroom, database, network, server):
    go_by(network, mailroom, database)
    uids = relay_and_enqueue(erp, server, 1000)
    with mailroom.daemon() as daemon:
        server.wait_for(100, timeout=60)
        network.delay(to_server=0.1, to_client=0.1)
        erp.wait_for(uids, "sent", timeout=20)
        network.resume()
        assert " error " not in daemon.log()
    go_directly(mailroom, database)
    assert all_is_well("200 ms to the database and back", erp, server, uids) == 0
    assert nothing_is_marked(erp)


@pytest.mark.parametrize("to_server", [True, pytest.param(False, marks=more_faults)], ids=["both ways", "the answers"])
def test_a_black_hole_before_the_database_is_noticed_by_the_limit_of_a_statement(erp, mailroom, database, network, server, to_server):
    go_by(network, mailroom, database)
    uids = relay_and_enqueue(erp, server, 1500)
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        network.swallow(to_server=to_server, to_client=True)
        began = time.monotonic()
        daemon.wait_for_line(AWAY, timeout=20)
        assert time.monotonic() - began < 12, "a heartbeat's pause and the limit of 5 s"
        network.resume()
        resumed_after = outcomes_go_on(erp)
        erp.wait_for(uids, "sent", timeout=20)
        assert daemon.running and OVER in daemon.log()
    go_directly(mailroom, database)
    assert all_is_well(f"a black hole before the database, {'both ways' if to_server else 'answers only'}", erp, server, uids, resumed_after) == 0
    assert nothing_is_marked(erp)


def test_an_absence_of_several_leases_puts_nothing_in_doubt_as_long_as_nobody_reaps(erp, mailroom, database, network, server):
    mailroom.configure("dispatcher", lease="1s", connections=8)
    go_by(network, mailroom, database)
    uids = relay_and_enqueue(erp, server, 1500)
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        network.refuse()
        network.cut()
        daemon.wait_for_line(AWAY)
        time.sleep(4)
        assert "warning outcomes_wait: " in daemon.log()
        assert erp.database.value("SELECT beat_at + 3 * lease < clock_timestamp() FROM mailroom.dispatcher")
        network.resume()
        resumed_after = outcomes_go_on(erp)
        erp.wait_for(uids, "sent", timeout=20)
        wait_until(lambda: "outcomes_wait: it is over" in daemon.log(), 10, "the end of the wait")
    go_directly(mailroom, database)
    assert all_is_well("the database is away for four leases", erp, server, uids, resumed_after) == 0
    assert nothing_is_marked(erp)


def test_what_another_daemon_took_during_an_absence_is_marked_and_late_outcomes_are_kept(erp, mailroom, database, network, server):
    mailroom.configure("dispatcher", lease="1s", connections=8)
    go_by(network, mailroom, database)
    uids = relay_and_enqueue(erp, server, 1500)
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        network.refuse()
        network.cut()
        daemon.wait_for_line(AWAY)
        go_directly(mailroom, database)
        with mailroom.daemon() as other:
            other.wait_for_line("died or was cut off")
            network.resume()
            daemon.wait_for_line("taken_for_dead")
            hurry_until_all_ended(erp, mailroom, uids)
    assert "warning late_outcome: " in daemon.log()
    all_is_well("the database is away for one of two daemons", erp, server, uids)
    assert not nothing_is_marked(erp)

