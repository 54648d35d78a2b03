"""A database restored from a backup: the daemon sends nothing until `mailroom recover` has marked what may have been sent since."""

import subprocess

import pytest
import reliability
from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Reply, Script


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", poll="200ms", lease="2s")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


class Backup:
    """Of the test's database by pg_dump, as the page on backups says."""

    def __init__(self, database, folder):
        self.database = database
        self.file = folder / "backup.dump"
        self.tool("pg_dump", "--format=custom", f"--file={self.file}", f"--dbname={self.dsn()}")

    def restore(self):
        cluster = self.database.cluster
        cluster.drop_database(self.database.name)
        cluster.create_database(self.database.name, owner=self.database.owner)
        self.tool("pg_restore", f"--dbname={self.dsn()}", str(self.file))

    def dsn(self):
        return self.database.cluster.dsn(database=self.database.name)

    def tool(self, name, *arguments):
        done = subprocess.run([self.database.cluster.programs / name, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def restored(erp, mailroom, database, server):
    """10 messages wait at the backup; 6 of them are sent after it, 2 others are enqueued and sent, then the backup is restored."""
    server.script = Script().on("rcpt", Reply("450 4.2.1 busy"), argument="later@one.test")
    erp.relay("ANNA", server)
    waiting = [erp.enqueue(user="ANNA", **letter(to="later@one.test" if number >= 6 else "bruno@one.test")) for number in range(10)]
    backup = Backup(database, mailroom.directory)
    with mailroom.daemon():
        erp.wait_for(waiting[:6], "sent")
        erp.wait_for(waiting[6:], "deferred")
        erp.make_due()
        wait_until(lambda: erp.database.value("SELECT min(lease_no) FROM mailroom.queue") >= 2, 20, "a second try")
        erp.wait_for(waiting[6:], "deferred")
        since = [erp.enqueue(user="ANNA", **letter()) for _ in range(2)]
        erp.wait_for(since, "sent")
    assert len(server.seen.messages) == 8
    backup.restore()
    server.script = Script()
    return waiting, since


def test_a_daemon_sends_nothing_from_a_database_that_is_older_than_its_journal_and_says_what_to_do(erp, mailroom, server, restored):
    daemon = mailroom.start(ready="database_restored")
    assert "restored from an older backup" in daemon.log()
    assert "recover" in mailroom.run("events").out + daemon.log()
    assert daemon.stop() == 0 and len(server.seen.messages) == 8
    assert erp.database.value("SELECT count(*) FROM mailroom.queue WHERE state = 1") == 0


def test_what_the_journal_knows_ends_and_the_rest_is_in_doubt(erp, mailroom, server, restored):
    waiting, since = restored
    counted = mailroom.run("recover", "--dry-run")
    assert "would end, because a journal knows how: 6" in counted.out and "would be in doubt, for an operator: 4" in counted.out
    assert set(erp.states().values()) == {("ready", "")}, "it only counted"
    done = mailroom.json("recover", "--yes")
    assert (done["ended"], done["in_doubt"], done["waiting"], sorted(done["sent_and_unknown"])) == (6, 4, 0, sorted(since))
    states = erp.states()
    assert {states[uid] for uid in waiting[:6]} == {("sent", "")} and {states[uid] for uid in waiting[6:]} == {("held", "in_doubt")}
    assert erp.database.value("SELECT count(decision) FROM mailroom.log") == 6, "the journal knows why, too"
    with mailroom.daemon():
        new = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(new, "sent")
        mailroom.run("doubt", "settle", "--all", "--not-sent", "--yes")
        erp.wait_for(waiting[6:], "sent")
    taken = reliability.taken(server)
    assert set(taken) == {*waiting, *since, new} and set(taken.values()) == {1}, "nothing lost, nothing twice"
    assert "recovered" in [event["event"] for event in erp.story(waiting[0])["events"]]


def test_with_all_journals_at_hand_what_they_do_not_name_goes_on(erp, mailroom, server, restored):
    waiting, since = restored
    done = mailroom.json("recover", "--complete", "--yes", "--journals", mailroom.directory / "journal")
    assert (done["ended"], done["in_doubt"], done["waiting"]) == (6, 0, 4)
    with mailroom.daemon():
        erp.hurry_until(waiting[6:], "sent")
    taken = reliability.taken(server)
    assert set(taken) == {*waiting, *since} and set(taken.values()) == {1}


def test_without_a_journal_all_that_waits_is_in_doubt(erp, mailroom, server, restored):
    done = mailroom.json("recover", "--yes", "--journals", mailroom.directory / "no-such-folder")
    assert (done["journals"], done["ended"], done["in_doubt"]) == (0, 0, 10)
    refused = mailroom.run("recover", "--complete", "--yes", "--journals", mailroom.directory / "no-such-folder", check=False)
    assert refused.code == 1 and "cannot be said to be complete" in refused.err


def test_it_is_refused_while_a_daemon_lives(erp, mailroom):
    with mailroom.daemon():
        refused = mailroom.run("recover", "--yes", check=False)
    assert refused.code == 1 and "stop all daemons first" in refused.err
    with_json = mailroom.run("recover", "--json", check=False)
    assert with_json.code == 2 and "--yes" in with_json.err


def test_a_restart_is_no_restore(erp, mailroom, server):
    erp.relay("ANNA", server)
    for _ in range(3):
        with mailroom.daemon() as daemon:
            erp.wait_for(erp.enqueue(user="ANNA", **letter()), "sent")
        assert "database_restored" not in daemon.log()
