"""A database that has no connection left, for the daemon or for anybody: mail waits, the daemon says why and goes on by itself."""

import contextlib

import psycopg2
import pytest

from erp import Erp
from machine import wait_until
from misbehaving import MisbehavingServer
from postgres import PrivatePostgres
from reliability import all_is_well, end_sessions, goes_on, more_faults, nothing_is_marked, outcomes_go_on, relay_and_enqueue

AWAY = "error database_away: "
OVER = "it is over: nothing new is sent"


@pytest.fixture(scope="module")
def postgres():
    """Its daemon wants eight."""
    with PrivatePostgres(fsync=False, max_connections=18) as cluster:
        yield cluster


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", poll="200ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


@pytest.fixture
def others(postgres):
    """`others()` take all connections that are left; others.close() gives them back."""
    password = postgres.create_role("others")
    with contextlib.ExitStack() as taken:
        def take():
            with contextlib.suppress(psycopg2.OperationalError):
                while True:
                    taken.enter_context(contextlib.closing(postgres.connect("others", password)))
        take.close = taken.close
        yield take
    wait_until(lambda: postgres.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'others'") == [(0,)], 10, "their end")
    postgres.execute("DROP ROLE others")


def test_connections_that_others_have_all_taken_at_the_start_are_waited_for(erp, mailroom, server, others):
    uids = relay_and_enqueue(erp, server, 50)
    others()
    daemon = mailroom.start(ready=AWAY)
    assert "remaining connection slots are reserved" in daemon.log() and daemon.running
    others.close()
    resumed_after = goes_on(server)
    erp.wait_for(uids, "sent")
    assert daemon.stop() == 0
    assert all_is_well("all connections are taken at the start", erp, server, uids, resumed_after) == 0


@pytest.mark.parametrize("limit", ["others", "the login's", pytest.param("the database's", marks=more_faults)])
def test_connections_that_are_used_up_in_the_middle_are_waited_for_and_the_daemon_says_so(erp, mailroom, database, server, others, limit):
    uids = relay_and_enqueue(erp, server, 1500)
    subject = {"the login's": f'ROLE "{database.owner}"', "the database's": f'DATABASE "{database.name}"'}.get(limit)
    words = {"the login's": "too many connections for role", "the database's": "too many connections for database"}.get(limit, "slots are reserved")
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        if limit == "others":
            database.cluster.execute(f'ALTER ROLE "{database.owner}" CONNECTION LIMIT 0')
            end_sessions(database)
            others()
            database.cluster.execute(f'ALTER ROLE "{database.owner}" CONNECTION LIMIT -1')
        else:
            database.cluster.execute(f"ALTER {subject} CONNECTION LIMIT 0")
            end_sessions(database)
        daemon.wait_for_line(words)
        assert AWAY in daemon.log() and len(server.seen.messages) < len(uids)
        others.close()
        if subject:
            database.cluster.execute(f"ALTER {subject} CONNECTION LIMIT -1")
        resumed_after = outcomes_go_on(erp)
        erp.wait_for(uids, "sent", timeout=20)
        assert daemon.running and OVER in daemon.log()
    assert all_is_well(f"connections are used up: {limit}", erp, server, uids, resumed_after) == 0
    assert nothing_is_marked(erp)


def test_a_daemon_that_has_no_connection_for_its_claims_says_so_though_its_heartbeat_has_one(erp, mailroom, database, server):
    uids = relay_and_enqueue(erp, server, 1500)
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        database.cluster.execute(f'ALTER ROLE "{database.owner}" CONNECTION LIMIT 0')
        wait_until(lambda: end_sessions(database, "-- Takes due messages"), 10, "the connection for claims")
        daemon.wait_for_line("error claim_failed: cannot claim messages: cannot connect to the database")
        assert "too many connections for role" in daemon.log() and AWAY not in daemon.log()
        database.cluster.execute(f'ALTER ROLE "{database.owner}" CONNECTION LIMIT -1')
        resumed_after = goes_on(server)
        erp.wait_for(uids, "sent", timeout=20)
        assert daemon.running and "claim_failed: it is over" in daemon.log()
    assert all_is_well("no connection for claims", erp, server, uids, resumed_after) == 0
    assert nothing_is_marked(erp)
