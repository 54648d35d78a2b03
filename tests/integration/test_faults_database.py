"""A database that ends sessions, or takes no writes, while mail drains: mail waits, the daemon says why and goes on by itself."""

import contextlib
import threading

import pytest

from erp import Erp
from machine import wait_until
from misbehaving import MisbehavingServer
from reliability import all_is_well, end_sessions, more_faults, nothing_is_marked, outcomes_go_on, relay_and_enqueue

OVER = "it is over: nothing new is sent"


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", poll="200ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


@contextlib.contextmanager
def repeatedly(action, every):
    """What the action returned, in a list that grows meanwhile."""
    over = threading.Event()
    answers = []

    def work():
        while not over.wait(every):
            answers.append(action())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join(20)


@pytest.mark.smoke
def test_sessions_that_are_ended_twice_a_second_lose_nothing_and_leave_nothing_in_doubt(erp, mailroom, database, server):
    with mailroom.daemon() as daemon:
        with repeatedly(lambda: end_sessions(database), every=0.5) as ended:
            uids = relay_and_enqueue(erp, server, 2000)
            erp.wait_for(uids, "sent", timeout=90)
        assert daemon.running and sum(ended) > 15
    assert all_is_well("sessions are ended twice a second", erp, server, uids) == 0
    assert nothing_is_marked(erp)


@pytest.mark.parametrize("how", ["the login's transactions", pytest.param("the whole server", marks=more_faults)])
def test_a_database_that_takes_no_writes_for_a_while_is_named_and_gets_all_outcomes_afterwards(erp, mailroom, database, server, how):
    uids = relay_and_enqueue(erp, server, 1500)
    cluster = database.cluster
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        if how == "the whole server":  # sessions that exist are read-only from now on
            cluster.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            cluster.execute("SELECT pg_reload_conf()")
        else:
            cluster.execute(f'ALTER ROLE "{database.owner}" SET default_transaction_read_only = on')
            end_sessions(database)
        try:
            daemon.wait_for_line("error database_read_only: nothing new is sent")
            wait_until(lambda: "warning outcomes_wait: " in daemon.log(), 20, "what it keeps")
        finally:
            if how == "the whole server":
                with contextlib.closing(cluster.connect(options="-c default_transaction_read_only=off")) as connection, connection.cursor() as cursor:
                    cursor.execute("ALTER SYSTEM RESET default_transaction_read_only")
                cluster.execute("SELECT pg_reload_conf()")
            else:
                cluster.execute(f'ALTER ROLE "{database.owner}" RESET default_transaction_read_only')
        resumed_after = outcomes_go_on(erp)
        erp.wait_for(uids, "sent", timeout=20)
        assert daemon.running and OVER in daemon.log()
    assert all_is_well(f"read-only: {how}", erp, server, uids, resumed_after) == 0
    assert nothing_is_marked(erp)
