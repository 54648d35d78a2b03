"""What a server lets an account do holds whoever sends: one daemon, two, or one that takes over from one that was killed."""

import contextlib
from datetime import datetime, timedelta, timezone
from time import monotonic

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from server_limits import Paced, at_most


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", connections=16, connections_per_account=8, lease="1s", poll="200ms", stop_limit="2s")
    mailroom.configure("doubt", resend_after="0ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def script():
    return Paced()


@pytest.fixture
def server(certificates, script):
    with MisbehavingServer(certificates.server(), script, require_login=False) as running:
        yield running


def limit(mailroom, **limits):
    mailroom.run("limit", "set", "localhost", *(f"{name}={value}" for name, value in limits.items()))


@contextlib.contextmanager
def daemons(mailroom, count):
    with contextlib.ExitStack() as running:
        yield [running.enter_context(mailroom.daemon()) for _ in range(count)]


def owner(erp, running):
    """The daemon among these that owns the one limited route."""
    pid = erp.database.value("SELECT d.pid FROM mailroom.place p JOIN mailroom.dispatcher d ON d.id = p.dispatcher WHERE p.kind = 'route'")
    [found] = [daemon for daemon in running if pid == daemon.process.pid]
    return found


def put_off(erp, uids, why):
    """All of these wait for the limit and say so. Returns the first's state."""
    def told():
        states = [erp.state(uid) for uid in uids]
        return states[0] if all((one["state"], one.get("reason")) == ("deferred", "account_blocked") and why in one["remedy"] for one in states) else None

    return wait_until(told, 20, f"{len(uids)} to wait for {why!r}", every=0.1)


@pytest.mark.parametrize("count", [1, 2])
def test_messages_a_minute(erp, mailroom, server, script, count):
    limit(mailroom, messages_per_minute=240)
    erp.relay("ANNA", server)
    erp.enqueue_many([{"user": "ANNA", **letter()}] * 60)
    since = monotonic()
    with daemons(mailroom, count) as running:
        server.wait_for(8)
        if count == 2:
            owner(erp, running).kill()
        server.wait_for(16)
    at_most(script.arrivals, since, a_second=4)


def test_a_message_that_waits_for_its_minute_says_so_and_goes_when_the_limit_is_removed(erp, mailroom, server):
    limit(mailroom, messages_per_minute=1)
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 20)
    with mailroom.daemon():
        state = put_off(erp, uids, "the limit of 1 messages a minute")
        rest = datetime.fromisoformat(state["next_attempt"]) - datetime.now(timezone.utc)
        assert timedelta(seconds=30) < rest <= timedelta(seconds=61)
        assert server.seen.messages == []
        mailroom.run("limit", "remove", "localhost")
        erp.wait_for(uids, "sent", timeout=10)


def test_what_waits_for_its_minute_says_so_as_long_as_it_waits(erp, mailroom, server):
    limit(mailroom, messages_per_minute=30)
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 20)
    with mailroom.daemon():
        for count in (1, 2, 3):
            server.wait_for(count)
            put_off(erp, uids[10:], "the limit of 30 messages a minute")


@pytest.mark.parametrize("count", [1, 2])
def test_connections(erp, mailroom, server, script, count):
    limit(mailroom, connections=2)
    script.seconds = 0.05
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 100)
    with daemons(mailroom, count) as running:
        server.wait_for(30)
        if count == 2:
            owner(erp, running).kill()
        erp.hurry_until(uids, "sent")
    assert server.seen.most_connections == 2


@pytest.mark.parametrize("count", [1, 2])
def test_recipients_a_day(erp, mailroom, server, count):
    limit(mailroom, recipients_per_day=5)
    erp.relay("ANNA", server)
    with daemons(mailroom, count) as running:
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 3)
        erp.wait_for(uids, "sent")
        if count == 2:
            owner(erp, running).kill()
        pair = erp.enqueue(user="ANNA", **letter(to=["bruno@one.test", "carla@one.test"]))
        erp.wait_for(pair, "sent")
        late = erp.enqueue_many([{"user": "ANNA", **letter()}] * 3)
        state = put_off(erp, late, "the limit of 5 recipients in 24 hours")
        rest = datetime.fromisoformat(state["next_attempt"]) - datetime.now(timezone.utc)
        assert timedelta(hours=23) < rest <= timedelta(hours=25)
        [route] = mailroom.json("queue")["routes"]
        assert route["recipients_in_24_hours"] == 5 and route["limited"]
        assert len(server.seen.messages) == 4
        limit(mailroom, recipients_per_day=7)
        wait_until(lambda: len(server.seen.messages) == 6, 10, "two more")
        left = [uid for uid in late if erp.states()[uid] != ("sent", "")]
        put_off(erp, left, "the limit of 7 recipients in 24 hours")
        assert len(left) == 1 and len(server.seen.messages) == 6


def test_what_a_killed_owner_was_granted_and_did_not_use_counts(erp, mailroom, server, script):
    """Rather too few than too many: nobody knows what it sent."""
    limit(mailroom, recipients_per_day=100)
    script.seconds = 0.02
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 150)
    with daemons(mailroom, 2) as running:
        server.wait_for(40)
        owner(erp, running).kill()
        wait_until(lambda: "died or was cut off" in running[0].log() + running[1].log(), 20, "the reaper")
        wait_until(lambda: erp.database.value("SELECT count(*) FROM mailroom.depth WHERE state = 'deferred' AND reason = 'account_blocked'") > 0, 20, "the day to be used up")
        wait_until(lambda: erp.database.value("SELECT count(*) FROM mailroom.queue WHERE state = 1") == 0, 20, "what was granted to be sent")
        assert 40 <= len(server.seen.messages) <= 100
        sent = erp.database.value("SELECT count(*) FROM mailroom.log")
        assert sent <= 100 and sent + erp.database.value("SELECT count(*) FROM mailroom.queue") == len(uids)
