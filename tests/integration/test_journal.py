"""The journal: after a death it is known what had not begun, what ended, and what a server may have; only the last is in doubt."""

import json
import signal
import time
from pathlib import Path

import pytest
import reliability
from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Script, Silence

CONNECTIONS = 8
BOOT = Path("/proc/sys/kernel/random/boot_id")


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", lease="20s", poll="200ms", connections=CONNECTIONS, connections_per_account=CONNECTIONS)
    mailroom.configure("doubt", resend_after="0ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


def journals(mailroom, ending=".journal"):
    return sorted((mailroom.directory / "journal").glob("*" + ending))


def doubted(erp):
    return {row["uid"] for row in erp.database.rows("SELECT uid::text FROM mailroom.queue WHERE doubts > 0 UNION SELECT uid::text FROM mailroom.log WHERE doubts > 0")}


@pytest.mark.smoke
def test_after_a_kill_only_what_was_between_its_dot_and_its_reply_is_in_doubt_and_all_else_goes_on_at_once(erp, mailroom, server):
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 1500)
    victim = mailroom.start()
    server.wait_for(300, timeout=60)
    victim.kill()
    wait_until(lambda: server.seen.open_connections == 0, 10, "the end of its connections")
    arrived = len(server.seen.messages)
    assert erp.database.value("SELECT count(*) FROM mailroom.queue WHERE state = 1") > CONNECTIONS, "it had much more in its hands"
    with mailroom.daemon() as daemon:
        began = time.monotonic()
        server.wait_for(arrived + 1, timeout=10)
        assert time.monotonic() - began < 10, "work resumes on the same host, though the lease is 20 s"
        assert "journal_replayed" in daemon.log()
        erp.wait_for(uids, "sent", timeout=60)
    doubled, marked = reliability.doubled_and_marked("killed in a drain, started again", erp, server, uids)
    assert doubled <= marked <= CONNECTIONS
    assert erp.database.value("SELECT max(crashes) FROM mailroom.queue") is None


def test_what_is_known_and_not_written_yet_is_written_by_the_next_one(erp, mailroom, server, crash_points):
    erp.relay("ANNA", server)
    uid = erp.enqueue(user="ANNA", **letter())
    crash_points.die_at("outcome.known")
    assert len(server.seen.messages) == 1 and erp.states()[uid] == ("sending", "")
    with mailroom.daemon():
        erp.wait_for(uid, "sent")
    assert len(server.seen.messages) == 1
    story = erp.story(uid)
    assert story["possible_duplicate"] is False
    assert story["events"][-1]["event"] == "sent" and story["events"][-1]["server"] and story["events"][-1]["reply"]
    assert not journals(mailroom)


@pytest.mark.parametrize("point", ["sent.final_dot", "delivered"])
def test_what_was_begun_and_has_no_outcome_is_in_doubt_and_resent_once(erp, mailroom, server, crash_points, point):
    erp.relay("ANNA", server)
    uid = erp.enqueue(user="ANNA", **letter())
    crash_points.die_at(point)
    server.wait_for(1)
    with mailroom.daemon():
        erp.wait_for(uid, "sent")
    assert len(server.seen.messages) == 2 and erp.story(uid)["possible_duplicate"] is True
    assert "lease_lost" in [event["event"] for event in erp.story(uid)["events"]]


def test_a_message_that_kills_its_dispatcher_is_to_blame_and_its_neighbours_are_not(erp, mailroom, server, crash_points):
    erp.relay("ANNA", server)
    mailroom.configure("dispatcher", connections=1)
    poison = erp.enqueue(user="ANNA", **letter())
    others = [erp.enqueue(user="ANNA", **letter()) for _ in range(10)]
    for _ in range(2):
        crash_points.die_at("composing")
    with mailroom.daemon():
        erp.wait_for([poison, *others], "sent")
        assert [event["event"] for event in erp.story(poison)["events"]].count("dispatcher_died") == 2
        assert not any("dispatcher_died" in [event["event"] for event in erp.story(uid)["events"]] for uid in others)
    assert not doubted(erp), "nothing had gone out"


def test_a_daemon_that_lives_takes_over_on_its_machine_without_waiting_for_the_lease(erp, mailroom, server):
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 600)
    with mailroom.daemon():
        victim = mailroom.start()
        server.wait_for(100, timeout=60)
        victim.kill()
        killed = time.monotonic()
        wait_until(lambda: erp.database.value("SELECT count(*) FROM mailroom.dispatcher") == 1, 15, "the burial")
        assert time.monotonic() - killed < 10, "long before its lease of 20 s is over"
        erp.wait_for(uids, "sent", timeout=60)
    doubled, marked = reliability.doubled_and_marked("killed in a drain, another daemon on the machine", erp, server, uids)
    assert doubled <= marked <= CONNECTIONS


@reliability.more_faults
def test_from_another_machine_the_work_resumes_within_half_a_minute(erp, mailroom, server):
    """The default lease of 20 s, and a quarter of it until somebody looks; its journal is not at hand."""
    erp.relay("ANNA", server)
    own = mailroom.settings["journal"]
    mailroom.settings["journal"] = {"directory": str(mailroom.directory / "elsewhere")}
    with mailroom.daemon():
        mailroom.settings["journal"] = own
        victim = mailroom.start()
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 2000)
        server.wait_for(100, timeout=60)
        victim.kill()
        killed = time.monotonic()
        had = {row["uid"] for row in erp.database.rows("SELECT q.uid::text FROM mailroom.queue q JOIN mailroom.dispatcher d ON d.id = q.lease_owner"
                                                       " WHERE d.pid = %s", [victim.process.pid])}
        assert had, "with messages in its hands"
        wait_until(lambda: any(erp.states()[uid] == ("sent", "") for uid in had), 40, "one of these to be sent", every=0.2)
        resumed_after = time.monotonic() - killed
        assert resumed_after < 30
        erp.wait_for(uids, "sent", timeout=60)
    reliability.all_is_well("killed in a drain, taken over elsewhere without its journal", erp, server, uids, resumed_after)


def test_the_journal_of_one_that_stands_still_is_left_to_it(erp, mailroom, server):
    mailroom.configure("dispatcher", lease="2s")
    server.script = Script().on("dot", Silence(), times=1)
    erp.relay("ANNA", server)
    victim = mailroom.start()
    uid = erp.enqueue(user="ANNA", **letter())
    server.wait_for(1)
    victim.process.send_signal(signal.SIGSTOP)
    with mailroom.daemon():
        erp.wait_for(uid, "sent", timeout=30)  # its lease is over; nobody knows what it did, so it is marked
        assert erp.story(uid)["possible_duplicate"] is True
        assert len(journals(mailroom)) == 2, "its own is still there, locked"
    victim.kill()


def another_boot(mailroom):
    """As if the machine had been started anew since."""
    for path in journals(mailroom):
        path.write_text(path.read_text().replace(BOOT.read_text().strip(), "another-boot"))


def in_the_middle(erp, mailroom, server, count=400):
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * count)
    victim = mailroom.start()
    server.wait_for(100, timeout=60)
    victim.kill()
    wait_until(lambda: server.seen.open_connections == 0, 10, "the end of its connections")
    return uids


def test_after_the_machine_went_down_all_that_was_leased_is_in_doubt_but_what_the_journal_knows(erp, mailroom, server):
    uids = in_the_middle(erp, mailroom, server)
    leased = erp.database.value("SELECT count(*) FROM mailroom.queue WHERE state = 1")
    another_boot(mailroom)
    with mailroom.daemon():
        erp.wait_for(uids, "sent", timeout=60)
    doubled, marked = reliability.doubled_and_marked("the machine went down, journal written", erp, server, uids)
    assert CONNECTIONS < marked <= leased and doubled <= CONNECTIONS


@pytest.mark.smoke
def test_a_journal_that_is_synced_is_believed_after_the_machine_went_down(erp, mailroom, server):
    mailroom.configure("journal", sync="machine")
    uids = in_the_middle(erp, mailroom, server)
    another_boot(mailroom)
    with mailroom.daemon():
        erp.wait_for(uids, "sent", timeout=60)
    doubled, marked = reliability.doubled_and_marked("the machine went down, journal synced", erp, server, uids)
    assert doubled <= marked <= CONNECTIONS


def test_marks_in_the_database_are_found_from_another_machine(erp, mailroom, server):
    mailroom.settings["journal"] = {"store": "database"}
    mailroom.configure("dispatcher", lease="2s")
    uids = in_the_middle(erp, mailroom, server)
    leased = erp.database.value("SELECT count(*) FROM mailroom.queue WHERE state = 1")
    begun = erp.database.value("SELECT count(*) FROM mailroom.queue WHERE state = 1 AND begun_no = lease_no")
    mailroom.settings["journal"] = {"store": "file", "directory": str(mailroom.directory / "elsewhere")}
    with mailroom.daemon():
        erp.wait_for(uids, "sent", timeout=60)
    doubled, marked = reliability.doubled_and_marked("killed, marks in the database, taken over elsewhere", erp, server, uids)
    # Unlike a file it does not tell what had ended: a completion that was still on its way is in doubt.
    assert doubled <= marked == begun < leased


def test_without_a_journal_all_that_it_had_is_in_doubt(erp, mailroom, server):
    mailroom.settings["journal"] = {"store": "none"}
    mailroom.configure("dispatcher", lease="2s")
    uids = in_the_middle(erp, mailroom, server)
    leased = erp.database.value("SELECT count(*) FROM mailroom.queue WHERE state = 1")
    with mailroom.daemon():
        erp.wait_for(uids, "sent", timeout=60)
    assert reliability.doubled_and_marked("killed without a journal", erp, server, uids)[1] == leased > CONNECTIONS


def test_a_journal_of_another_database_is_left_alone(erp, mailroom, server):
    erp.relay("ANNA", server)
    folder = mailroom.directory / "journal"
    folder.mkdir(mode=0o700)
    header = {"dispatcher": 1, "token": "00000000-0000-0000-0000-000000000000", "database": "11111111-0000-0000-0000-000000000000",
              "boot": BOOT.read_text().strip(), "synced": False, "host": "elsewhere", "pid": 1, "version": "0.1.0"}
    foreign = folder / "99-00000000-1.journal"
    foreign.write_text(f"mailroom-journal 1 {json.dumps(header)}\nc 1 1 a-uid\nb 1 1 0\n")
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "sent")
    assert foreign.exists() and foreign.read_text().endswith("b 1 1 0\n")


def test_a_journal_that_cannot_be_read_is_told_and_does_not_stop_the_mail(erp, mailroom, server):
    erp.relay("ANNA", server)
    folder = mailroom.directory / "journal"
    folder.mkdir(mode=0o700)
    (folder / "5-abcdef01-1.journal").write_text("what is this?\n")
    with mailroom.daemon() as daemon:
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "sent")
        daemon.wait_for_line("journal_unreadable")
        assert "5-abcdef01-1.journal: it is no journal of mailroom" in daemon.log()


def test_what_is_done_with_is_kept_as_long_as_the_settings_say(erp, mailroom, server):
    mailroom.configure("journal", keep="1h")
    erp.relay("ANNA", server)
    with mailroom.daemon():
        erp.wait_for(erp.enqueue(user="ANNA", **letter()), "sent")
    assert not journals(mailroom) and len(journals(mailroom, ".done")) == 1
    mailroom.configure("journal", keep="0ms")
    with mailroom.daemon():
        erp.wait_for(erp.enqueue(user="ANNA", **letter()), "sent")
    assert not journals(mailroom) and len(journals(mailroom, ".done")) <= 1, "the last one is done with after the last look"
