"""A PgBouncer in transaction mode between daemon and database: nothing is prepared, nobody listens, the poll finds what is new."""

import re

import pytest

from erp import Erp, letter
from misbehaving import MisbehavingServer
from pgbouncer import PrivatePgBouncer

ROLE_SETTINGS = ("enable_seqscan = off", "jit = off", "plan_cache_mode = force_generic_plan", "lock_timeout = '1s'",
                 "timezone = 'UTC'", "idle_in_transaction_session_timeout = '10s'")


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", lease="2s", poll="200ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def pooler(erp, mailroom, database, postgres):
    """Two connections for all that the daemon does; PostgreSQL notes every statement of its login."""
    with PrivatePgBouncer(postgres, {database.owner: database.password}, size=2) as running:
        postgres.execute(f'ALTER ROLE "{database.owner}" SET log_statement = \'all\'')
        mailroom.configure("database", connection=running.dsn(database.owner, database.name), pooled=True)
        yield running


@pytest.mark.parametrize("role_settings", [ROLE_SETTINGS, ()], ids=["the login has its settings", "a login without settings"])
def test_mail_is_sent_and_settings_arrive_through_a_pooler(erp, mailroom, database, postgres, pooler, server, role_settings):
    for setting in role_settings:
        postgres.execute(f'ALTER ROLE "{database.owner}" SET {setting}')
    before = len(postgres.log())
    attachment = {"name": "a.bin", "content": "QUFB" * 100_000}  # read in slices
    with mailroom.daemon() as daemon:
        held = erp.enqueue(user="ANNA", **letter(attachments=[attachment]))
        erp.wait_for(held, "held", "no_user", timeout=10)
        erp.relay("ANNA", server)  # nobody tells the daemon
        erp.wait_for(held, "sent", timeout=10)
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 300)
        erp.wait_for(uids, "sent", timeout=30)
        erp.user("ANNA", enabled=False)
        again = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(again, "held", "no_user", timeout=10)
        erp.user("ANNA", enabled=True)
        erp.wait_for(again, "sent", timeout=10)
        assert " error " not in daemon.log()
    assert len(server.seen.messages) == 302
    log = postgres.log()[before:]
    named = re.findall(r"execute (?!<unnamed>)\S+", log)
    assert "execute <unnamed>" in log and not named, f"prepared statements: {set(named)}"
    assert "LISTEN" not in log
    backends = {pid for pid in re.findall(r"\[(\d+)\] LOG:  execute <unnamed>: -- Takes due messages", log)}
    assert len(backends) == 2, "claims met both sessions"


def test_commands_and_the_checks_at_a_start_work_through_a_pooler(erp, mailroom, pooler):
    mailroom.run("account", "set", "user", "ANNA", "email=anna@example.test")
    uid = erp.enqueue(user="ANNA", **letter())
    assert mailroom.json("queue")["messages"] == 1
    assert mailroom.json("show", uid)["state"] == "ready"
    mailroom.run("config", "check")
    with mailroom.daemon() as daemon:
        assert " warning " not in daemon.log(), "its checks at the start go through the pooler too"


def test_a_pooler_that_restarts_ends_no_daemon_and_loses_nothing(erp, mailroom, pooler, server):
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 600)
    with mailroom.daemon() as daemon:
        server.wait_for(100)
        pooler.stop()
        pooler.start()
        erp.wait_for(uids, "sent", timeout=30)
        assert daemon.running
    assert len(server.seen.messages) == 600
