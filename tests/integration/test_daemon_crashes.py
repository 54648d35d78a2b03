"""The daemon or the database dies while mail drains: everything arrives, and twice only what is marked as a possible duplicate."""

import os
import random
import time

import pytest

from erp import Erp
from machine import wait_until
from misbehaving import MisbehavingServer
from reliability import all_is_well, hurry_until_all_ended, nothing_is_marked, possible_duplicates, relay_and_enqueue

MESSAGES = 4000
MANY = int(os.environ.get("MAILROOM_DRAIN", 4000))  # 20,000 take two minutes with the sanitizers


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", lease="1s", poll="200ms", connections=8)
    mailroom.configure("doubt", resend_after="0ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


def test_killing_the_daemon_twice_while_mail_drains_loses_none_and_marks_what_may_be_double(erp, mailroom, server):
    uids = relay_and_enqueue(erp, server, MESSAGES)
    for enough in (300, 900):
        daemon = mailroom.start()
        server.wait_for(enough, timeout=60)
        daemon.kill()
        wait_until(lambda: server.seen.open_connections == 0, 10, "the end of its connections")
    assert len(server.seen.messages) < MESSAGES, "it was killed in the middle"
    assert erp.database.value("SELECT count(*) FROM mailroom.queue WHERE state = 1") > 0, "with messages in its hands"
    with mailroom.daemon() as daemon:
        wait_until(lambda: {state for state, _ in erp.states().values()} <= {"sent", "held"}, 90, "each sent, or in doubt for the second time", every=0.2)
        assert "died or was cut off" in daemon.log()
        if ("held", "in_doubt") in erp.states().values():
            mailroom.run("release", "--reason", "in_doubt", "--yes")
        erp.wait_for(uids, "sent", timeout=90)
    all_is_well("the daemon is killed twice", erp, server, uids)
    for uid in sorted(possible_duplicates(erp))[:1]:  # none, if no message was between its dot and its reply
        assert "lease_lost" in [event["event"] for event in erp.story(uid)["events"]]


@pytest.mark.skipif(not {"MAILROOM_MORE_FAULTS", "MAILROOM_DRAIN"} & set(os.environ), reason="MAILROOM_MORE_FAULTS=1 or MAILROOM_DRAIN=20000 runs it")
def test_killing_the_daemon_at_random_while_mail_drains_loses_none_and_marks_what_may_be_double(erp, mailroom, server):
    seed = int(os.environ.get("MAILROOM_SEED", random.randrange(2**32)))
    print(f"MAILROOM_SEED={seed} repeats these moments")
    moments = random.Random(seed)
    uids = relay_and_enqueue(erp, server, MANY)
    kills = 0
    while len(server.seen.messages) < MANY * 0.8 and kills < 30:
        daemon = mailroom.start(ready="started")
        time.sleep(moments.uniform(0, 2))
        daemon.kill()
        kills += 1
        wait_until(lambda: server.seen.open_connections == 0, 10, "the end of its connections")
    assert kills > 2
    with mailroom.daemon():
        hurry_until_all_ended(erp, mailroom, uids, timeout=90)
    all_is_well(f"killed {kills} times at random (seed {seed}) while {MANY} drain", erp, server, uids)


def test_another_daemon_takes_over_from_one_that_was_killed(erp, mailroom, server):
    uids = relay_and_enqueue(erp, server, 600)
    with mailroom.daemon():
        victim = mailroom.start()
        server.wait_for(100, timeout=60)
        victim.kill()
        erp.hurry_until(uids, "sent", timeout=60)
    all_is_well("the daemon is killed, another takes over", erp, server, uids)


def test_suspects_go_one_after_the_other_without_a_pause(erp, mailroom, database, server):
    uids = relay_and_enqueue(erp, server, 60)
    database.rows("UPDATE mailroom.queue SET place_id = 1, crashes = 2")
    with mailroom.daemon():
        erp.wait_for(uids, "sent", timeout=20)
    assert server.seen.most_connections == 1


def test_a_database_that_crashes_while_mail_drains_ends_no_daemon_and_loses_nothing(erp, mailroom, database, server):
    """Nothing is marked either: the daemon kept what it knew and wrote it when the database was back within the lease."""
    mailroom.configure("dispatcher", lease="20s")
    uids = relay_and_enqueue(erp, server, 1500)
    with mailroom.daemon() as daemon:
        for enough in (200, 600):
            server.wait_for(enough, timeout=60)
            database.cluster.restart(immediate=True)
        wait_until(lambda: "sent" in {state for state, _ in erp.states().values()}, 30, "the database's return")
        erp.hurry_until(uids, "sent", timeout=90)
        assert daemon.running
    assert all_is_well("the database crashes twice", erp, server, uids) == 0 and nothing_is_marked(erp)


def test_a_database_that_is_away_at_the_start_is_waited_for(erp, mailroom, database, server):
    uids = relay_and_enqueue(erp, server, 5)
    database.cluster.stop()
    try:
        daemon = mailroom.start(ready="nothing new is sent")
        assert "cannot connect to the database" in daemon.log() and daemon.running
    finally:
        database.cluster.start()
    daemon.wait_for_line("ready")
    erp.wait_for(uids, "sent")
    assert daemon.stop() == 0
