"""The database's disk is full while mail drains: outcomes wait in the daemon, and are written when there is room again."""

import contextlib

import psycopg2
import pytest

from erp import Erp
from machine import wait_until
from misbehaving import MisbehavingServer
from reliability import all_is_well, more_faults, nothing_is_marked, outcomes_go_on, relay_and_enqueue
from small_disk import PostgresOnASmallDisk


@pytest.fixture
def postgres():
    with PostgresOnASmallDisk() as cluster:
        yield cluster


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", poll="200ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


def test_a_disk_that_is_full_while_mail_drains_loses_nothing_and_leaves_nothing_in_doubt(erp, mailroom, postgres, server):
    uids = relay_and_enqueue(erp, server, 1500)
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        postgres.fill()
        daemon.wait_for_line("No space left on device")
        assert "warning outcomes_wait: " in daemon.log() or "error database_" in daemon.log()
        postgres.free()
        resumed_after = outcomes_go_on(erp)
        erp.hurry_until(uids, "sent", timeout=60)
        assert daemon.running
    assert all_is_well("the database's disk is full", erp, server, uids, resumed_after) == 0
    assert nothing_is_marked(erp)


@more_faults
def test_a_database_that_ended_itself_because_its_log_had_no_room_is_waited_for(erp, mailroom, postgres, server):
    uids = relay_and_enqueue(erp, server, 1500)
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        postgres.fill()
        wait_until(lambda: "PANIC" in postgres.log() or use_up_the_log(postgres), 30, "its end")
        daemon.wait_for_line("error database_away: ")
        postgres.free()
        resumed_after = outcomes_go_on(erp)
        erp.hurry_until(uids, "sent", timeout=60)
        assert daemon.running
    assert all_is_well("the database ends itself, its disk is full", erp, server, uids, resumed_after) == 0
    assert nothing_is_marked(erp)


def use_up_the_log(postgres):
    with contextlib.suppress(psycopg2.Error):
        postgres.execute("SELECT pg_switch_wal() FROM (SELECT pg_logical_emit_message(false, 'test', 'some')) x")
