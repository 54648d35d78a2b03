"""A daemon stands still for longer than its lease, others take over, it wakes: nothing that it does then changes what they did."""

import signal

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from reliability import all_is_well, hurry_until_all_ended, relay_and_enqueue
from smtp_script import Hold, Script


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", lease="1s", poll="200ms", connections=8)
    mailroom.configure("doubt", resend_after="0ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


def test_a_daemon_that_stands_still_for_longer_than_its_lease_wakes_to_fenced_completions(erp, mailroom, server):
    uids = relay_and_enqueue(erp, server, 3000)
    zombie = mailroom.start()
    server.wait_for(300, timeout=60)
    zombie.process.send_signal(signal.SIGSTOP)
    try:
        had = erp.database.value("SELECT count(*) FROM mailroom.queue WHERE state = 1")
        assert had > 0, "with messages in its hands"
        with mailroom.daemon() as other:
            other.wait_for_line("died or was cut off")
            server.wait_for(len(server.seen.messages) + 300, timeout=60)
            zombie.process.send_signal(signal.SIGCONT)
            zombie.wait_for_line("taken_for_dead")
            hurry_until_all_ended(erp, mailroom, uids)
            zombie.wait_for_line("warning late_outcome: ")
            late = erp.database.rows("SELECT DISTINCT uid::text FROM mailroom.story WHERE event = 'late_outcome'")
            assert late and all("lease_lost" in events(erp, row["uid"]) for row in late[:3])
            assert zombie.running and zombie.stop() == 0
    finally:
        zombie.process.send_signal(signal.SIGCONT)
    doubled = all_is_well("a daemon stands still for longer than a lease", erp, server, uids)
    assert doubled <= had


def test_no_dot_goes_out_under_a_lease_that_was_over_before(erp, mailroom, server, crash_points):
    """It stands still between the mark and the look at its lease; the other one takes the message and sends it."""
    erp.relay("ANNA", server)
    uid = erp.enqueue(user="ANNA", **letter())
    zombie = crash_points.stand_still_at("commit.recorded")
    try:
        with mailroom.daemon():
            erp.wait_for(uid, "sent")
        assert len(server.seen.messages) == 1
    finally:
        zombie.process.send_signal(signal.SIGCONT)
    zombie.wait_for_line("taken_for_dead")
    assert zombie.stop() == 0
    assert len(server.seen.messages) == 1, "the one that woke up did not send its dot"
    assert erp.story(uid)["possible_duplicate"] is True, "nobody else could know that"


def events(erp, uid):
    return [event["event"] for event in erp.story(uid)["events"]]
