"""Each sending account has a route of its own: a slow or broken server delays only its own mail, and what waits says why."""

import contextlib
import threading
from datetime import datetime, timedelta, timezone

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from server_limits import FewConnections
from smtp_script import Hold, Reply, Script, Silence

DOWN = "421 4.3.2 down for maintenance"


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", connections=8, connections_per_account=3, lease="2s", poll="200ms", stop_limit="1s")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def serve(certificates):
    """serve(script): a running server, stopped with the test."""
    with contextlib.ExitStack() as running:
        def start(script=None):
            return running.enter_context(MisbehavingServer(certificates.server(), script, require_login=False))

        yield start


def waiting(erp):
    """How many live messages are in each (state, reason)."""
    return {(row["state"], row["reason"]): row["n"]
            for row in erp.database.rows("SELECT state, reason, count(*) AS n FROM mailroom.depth GROUP BY state, reason")}


def blocked(erp):
    """Until when the one route is blocked, and why; None if it is not."""
    rows = erp.database.rows("SELECT blocked_until, blocked_why FROM mailroom.place WHERE kind = 'route' AND blocked_until > clock_timestamp()")
    return rows[0] if rows else None


def all_are_put_off(erp, count):
    wait_until(lambda: waiting(erp) == {("deferred", "account_blocked"): count}, 20, f"{count} to wait for their blocked account")


def time_passes(erp, until):
    """No daemon runs: the block ends at `until` ('1 second' from now), and what was put off is due."""
    erp.database.rows("UPDATE mailroom.place SET blocked_until = clock_timestamp() + %s::interval WHERE kind = 'route'", [until])
    erp.database.rows("UPDATE mailroom.queue SET run_at = clock_timestamp() WHERE run_at > clock_timestamp()")


def test_a_server_that_hangs_delays_only_its_own_mail(erp, mailroom, serve):
    slow, quick = serve(Script().on("data", Silence())), serve()
    erp.relay("BEN", slow)
    erp.relay("ANNA", quick)
    stuck = erp.enqueue_many([{"user": "BEN", **letter()}] * 600)
    behind = erp.enqueue_many([{"user": "ANNA", **letter()}] * 20)
    with mailroom.daemon():
        erp.wait_for(behind, "sent", timeout=10)
        wait_until(lambda: waiting(erp).get(("ready", "account_busy"), 0) >= 150, 20, "what has no room to wait at its route")
        for _ in range(3):
            erp.wait_for(erp.enqueue(user="ANNA", **letter()), "sent", timeout=5)
        states = waiting(erp)
        assert set(states) == {("ready", "account_busy"), ("sending", "")} and sum(states.values()) == len(stuck)
        one = erp.database.value("SELECT uid::text FROM mailroom.depth WHERE reason = 'account_busy' LIMIT 1")
        state = erp.state(one)
        assert state["subject"] == "localhost" and "when a connection of the account is free" in state["remedy"]
        assert slow.seen.most_connections == 3 and slow.seen.messages == []
    assert set(waiting(erp)) == {("ready", "account_busy"), ("ready", "")}, "a stop hands back what was not sent"


def test_mail_for_a_server_in_trouble_waits_and_says_until_when_and_why(erp, mailroom, serve):
    server = serve(Script().on("greeting", Reply(DOWN, close=True)))
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 50)
    now = datetime.now(timezone.utc)
    with mailroom.daemon() as daemon:
        all_are_put_off(erp, 50)
        later = erp.enqueue(user="ANNA", **letter())
        all_are_put_off(erp, 51)
        until, why = blocked(erp).values()
        assert timedelta(seconds=40) < until - now < timedelta(seconds=100) and "down for maintenance" in why
        for uid in (uids[0], uids[-1], later):
            state = erp.state(uid)
            assert (state["state"], state["reason"], state["subject"]) == ("deferred", "account_blocked", "localhost")
            assert "down for maintenance" in state["remedy"]
            assert datetime.fromisoformat(state["next_attempt"]) >= until
            assert "down for maintenance" in str(erp.story(uid)) and erp.story(uid)["next_attempt"]
        [route] = mailroom.json("queue")["routes"]
        assert route["waiting"] == 51 and "down for maintenance" in route["blocked_why"] and route["blocked_until"]
        assert "down for maintenance" in daemon.log()
        assert server.seen.connections <= 3, "those that were under way"
    assert erp.database.value("SELECT sum(attempts) FROM mailroom.queue") == 0


def test_one_message_alone_finds_out_whether_the_server_is_back(erp, mailroom, serve):
    script = Script().on("greeting", Reply(DOWN, close=True))
    server = serve(script)
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 50)
    with mailroom.daemon():
        all_are_put_off(erp, 50)
    time_passes(erp, "1 second")
    before = server.seen.connections
    with mailroom.daemon():
        erp.wait_for(erp.enqueue(user="NOBODY", **letter()), "held", "no_user")
        wait_until(lambda: server.seen.connections > before and blocked(erp), 20, "another contact")
        wait_until(lambda: waiting(erp) == {("deferred", "account_blocked"): 50, ("held", "no_user"): 1}, 20, "all to wait again")
        assert server.seen.connections == before + 1
    script.clear()
    proof = threading.Event()
    script.on("dot", Hold(proof), times=1)
    time_passes(erp, "1 second")
    before = server.seen.connections
    with mailroom.daemon():
        server.wait_for(1)
        erp.wait_for(erp.enqueue(user="NOBODY", **letter()), "held", "no_user")  # it has claimed meanwhile
        assert server.seen.connections == before + 1 and len(server.seen.messages) == 1
        proof.set()
        erp.wait_for(uids, "sent", timeout=20)


def test_a_daemon_that_starts_finds_what_waits_at_a_route_without_any_new_message(erp, mailroom, serve):
    script = Script().on("greeting", Reply(DOWN, close=True))
    erp.relay("ANNA", serve(script))
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 50)
    with mailroom.daemon():
        all_are_put_off(erp, 50)
    script.clear()
    time_passes(erp, "1 second")
    with mailroom.daemon():
        erp.wait_for(uids, "sent", timeout=10)


def test_saving_the_server_of_an_account_in_trouble_frees_its_mail_at_once(erp, mailroom, serve):
    broken, good = serve(Script().on("greeting", Reply(DOWN, close=True))), serve()
    erp.relay("ANNA", broken)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 50)
    with mailroom.daemon():
        all_are_put_off(erp, 50)
        mailroom.run("account", "set", "user", "ANNA", f"port={good.port}")
        erp.wait_for(uids, "sent", timeout=10)
    assert len(good.seen.messages) == 50 and broken.seen.messages == []


def test_saving_an_account_in_trouble_as_it_was_has_its_server_asked_at_once(erp, mailroom, serve):
    script = Script().on("greeting", Reply(DOWN, close=True))
    server = serve(script)
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 50)
    with mailroom.daemon():
        all_are_put_off(erp, 50)
        script.clear()
        mailroom.run("account", "set", "user", "ANNA", "server=localhost")
        erp.wait_for(uids, "sent", timeout=10)


@pytest.mark.parametrize("known", ["a new account", "an account that has just sent"])
def test_a_server_that_takes_fewer_connections_gets_fewer_and_nothing_waits(erp, mailroom, serve, known):
    mailroom.configure("dispatcher", connections=8, connections_per_account=8)
    script = FewConnections(3, seconds=0.02)
    script.server = server = serve(script)
    erp.relay("ANNA", server)
    with mailroom.daemon():
        first = [erp.enqueue(user="ANNA", **letter())] if known != "a new account" else []
        erp.wait_for(first, "sent")
        uids = first + erp.enqueue_many([{"user": "ANNA", **letter()}] * 200)
        erp.wait_for(uids, "sent", timeout=20)
        more = erp.enqueue_many([{"user": "ANNA", **letter()}] * 200)
        before = script.refused
        erp.wait_for(more, "sent", timeout=20)
    assert 0 < script.refused <= 10 and script.refused - before <= 4, "it was not asked for more all the time"
    assert len(server.seen.messages) == len(uids + more)
    assert erp.database.value("SELECT max(attempts) FROM mailroom.log") == 1, "a refused connection used up no try"
