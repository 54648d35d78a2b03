"""The primary dies and its synchronous standby takes over: the daemon goes on by itself, with the same connection string."""

import time

import psycopg2.extensions
import pytest

from erp import Erp, letter
from fault_proxy import FaultProxy
from misbehaving import MisbehavingServer
from reliability import all_is_well, goes_on, nothing_is_marked, outcomes_go_on, relay_and_enqueue
from replicated_postgres import ReplicatedPostgres


@pytest.fixture
def postgres():
    with ReplicatedPostgres() as cluster:
        yield cluster


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", poll="200ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


def test_a_standby_that_is_promoted_while_mail_drains_goes_on_with_it_and_nothing_is_in_doubt(erp, mailroom, postgres, server):
    uids = relay_and_enqueue(erp, server, 1200)
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        postgres.kill()
        died = time.monotonic()
        daemon.wait_for_line("error database_")  # it is away, and the one that is left takes no writes
        postgres.standby.promote()
        outcomes_go_on(erp)
        resumed_after = time.monotonic() - died
        erp.wait_for(uids, "sent", timeout=20)
        assert daemon.running
        assert " it is over: nothing new is sent" in daemon.log()
    assert all_is_well("failover to a synchronous standby", erp, server, uids, resumed_after) == 0
    assert nothing_is_marked(erp)


def test_a_synchronous_standby_that_is_away_is_waited_for_and_nothing_is_in_doubt(erp, mailroom, postgres, server):
    """No commit is answered meanwhile, and each that was given up has worked when the standby is back."""
    uids = relay_and_enqueue(erp, server, 1200)
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        postgres.standby.stop_immediately()
        daemon.wait_for_line("error database_away: nothing new is sent", timeout=20)
        daemon.wait_for_line("warning outcomes_wait: ", timeout=20)
        postgres.standby.start()
        resumed_after = outcomes_go_on(erp)
        erp.wait_for(uids, "sent", timeout=20)
        assert daemon.running
    assert all_is_well("the synchronous standby is away", erp, server, uids, resumed_after) == 0
    assert nothing_is_marked(erp)


def test_a_host_that_keeps_silent_does_not_hide_the_other_ones(erp, mailroom, database, postgres, server):
    """A machine without power refuses nothing: it just does not answer."""
    with FaultProxy(postgres.port) as network:
        network.swallow(to_server=True, to_client=True)
        hosts = psycopg2.extensions.parse_dsn(database.dsn) | {"port": f"{network.port},{postgres.port}"}
        mailroom.configure("database", connection=psycopg2.extensions.make_dsn(**hosts))
        erp.relay("ANNA", server)
        uid = erp.enqueue(user="ANNA", **letter())
        began = time.monotonic()
        with mailroom.daemon(timeout=40):
            erp.wait_for(uid, "sent", timeout=30)
            assert time.monotonic() - began < 30


def test_a_standby_as_the_only_target_is_named_and_serves_once_it_is_promoted(erp, mailroom, database, postgres, server):
    uids = relay_and_enqueue(erp, server, 20)
    alone = psycopg2.extensions.parse_dsn(database.dsn) | {"host": "127.0.0.1", "port": str(postgres.standby.port)}
    mailroom.configure("database", connection=psycopg2.extensions.make_dsn(**alone))
    daemon = mailroom.start(ready="error database_read_only: nothing new is sent: ")
    postgres.kill()
    postgres.standby.promote()
    resumed_after = goes_on(server)
    erp.wait_for(uids, "sent")
    assert daemon.stop() == 0
    assert all_is_well("a standby as the only target", erp, server, uids, resumed_after) == 0
