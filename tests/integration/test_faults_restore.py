"""The database becomes an older one under a daemon that runs: it claims nothing from it, and says why, until `mailroom recover`."""

import subprocess

import pytest
import reliability
from erp import Erp, letter
from machine import run_as, wait_until
from misbehaving import MisbehavingServer
from postgres import PrivatePostgres
from smtp_script import Reply, Script


@pytest.fixture
def postgres():
    with PrivatePostgres(fsync=False) as cluster:
        yield cluster


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", poll="200ms")  # a lease of 20 s: the copy's heartbeat is not over
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


def copy(cluster, source, target):
    done = subprocess.run(run_as(cluster.user, ["cp", "-a", "--no-target-directory", source, target]), capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr


def test_a_daemon_that_lives_through_a_restore_sends_nothing_again_and_goes_on_after_recover(erp, mailroom, postgres, server):
    server.script = Script().on("rcpt", Reply("450 4.2.1 busy"))
    erp.relay("ANNA", server)
    uids = [erp.enqueue(user="ANNA", **letter()) for _ in range(5)]
    with mailroom.daemon() as daemon:
        erp.wait_for(uids, "deferred")
        postgres.stop()
        copy(postgres, postgres.data, postgres.directory / "copy")
        postgres.start()
        server.script = Script()
        erp.hurry_until(uids, "sent")
        assert "database_restored" not in daemon.log(), "a restart is no restore"

        postgres.stop()
        postgres.data.rename(postgres.directory / "newer")
        copy(postgres, postgres.directory / "copy", postgres.data)
        postgres.start()
        erp.make_due()
        daemon.wait_for_line("error database_restored: nothing new is sent: the database was restored from an older backup")
        erp.make_due()
        assert erp.database.value("SELECT count(*) FROM mailroom.queue WHERE state = 1 OR lease_no > 1") == 0, "it claims nothing"
        assert len(server.seen.messages) == len(uids)

        erp.database.rows("UPDATE mailroom.dispatcher SET beat_at = clock_timestamp() - interval '1 hour'")  # as of an older backup
        assert mailroom.json("recover", "--yes")["ended"] == len(uids)
        daemon.wait_for_line("database_restored: it is over")
        new = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(new, "sent")
    taken = reliability.taken(server)
    assert set(taken) == {*uids, new} and set(taken.values()) == {1}
