"""What goes before what: urgent, normal and bulk mail, suspects, and what was cancelled or held while it was being sent."""

import contextlib
import json
import re
import threading
from time import monotonic

import psycopg2
import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from server_limits import Paced
from smtp_script import Hold, Reply, Script

BULK = 10_000


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", lease="2s", poll="200ms", stop_limit="2s")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def script():
    return Paced()


@pytest.fixture
def server(certificates, script):
    with MisbehavingServer(certificates.server(), script, require_login=False) as running:
        yield running


class AfterAll(Script):
    """Reads messages, keeps them waiting for the answer until the event, then answers so, once for each."""

    def __init__(self, event, reply, times):
        super().__init__()
        self.event = event
        self.reply = reply
        self.left = times

    def decide(self, step, connection, line):
        if step != "dot" or self.left == 0:
            return super().decide(step, connection, line)
        self.left -= 1
        self.event.wait(60)
        return self.reply


def bulk(erp, count, **more):
    """An invoice run: personal messages of one batch, in one statement."""
    defaults = {"user": "ANNA", "subject": "statement", "text": "hello\n", "batch": "run", **more}
    with contextlib.closing(psycopg2.connect(erp.database.dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT mailroom.enqueue_many(%s, %s::jsonb[])::text[]",
                       [json.dumps(defaults), [json.dumps({"to": f"n{i}@one.test"}) for i in range(count)]])
        return cursor.fetchone()[0]


def to(seen):
    return [re.match(r"<([^@]*)@", one.recipients[0])[1] for one in seen.messages]


def seconds_until_it_came(erp, server, name, **message):
    """From its enqueue on."""
    start = monotonic()
    erp.enqueue(user="ANNA", **letter(f"{name}@one.test", **message))
    server.wait(lambda seen: name in to(seen)[-2000:], 30, name)
    return monotonic() - start


@pytest.mark.parametrize("per_account", [4, 16], ids=["a quarter of the connections", "all connections"])
def test_a_normal_message_leaves_within_seconds_while_ten_thousand_bulk_ones_wait(erp, mailroom, server, script, per_account):
    """However slow their server is, and however many of them a daemon has taken in."""
    mailroom.configure("dispatcher", connections=16, connections_per_account=per_account)
    script.seconds = 0.04 * per_account  # 25 a second
    erp.relay("ANNA", server)
    bulk(erp, BULK)
    with mailroom.daemon():
        server.wait_for(20)
        for name, lane in (("a", "normal"), ("b", "normal"), ("c", "urgent"), ("d", "normal")):
            waited = seconds_until_it_came(erp, server, name, lane=lane)
            assert waited < 3, f"{name}, {lane}; a second in a build without sanitizers"
            server.wait_for(len(server.seen.messages) + 10)  # bulk goes on
    assert len(server.seen.messages) < BULK / 2


def test_urgent_mail_passes_normal_mail_and_that_passes_bulk_mail(erp, mailroom, server, script):
    mailroom.configure("dispatcher", connections=4, connections_per_account=1)
    script.seconds = 0.01
    erp.relay("ANNA", server)
    bulk(erp, 1000)
    with mailroom.daemon():
        server.wait_for(50)
        normal = erp.enqueue_many([{"user": "ANNA", **letter("normal@one.test")}] * 100)
        server.wait(lambda seen: "normal" in to(seen)[-100:], 10, "the first normal one")
        urgent = erp.enqueue_many([{"user": "ANNA", **letter("urgent@one.test", lane="urgent")}] * 100)
        erp.wait_for(normal + urgent, "sent", timeout=30)
    order = ["bulk" if name[0] == "n" and name[1:].isdigit() else name for name in to(server.seen)]
    first, last = order.index("urgent"), len(order) - 1 - order[::-1].index("urgent")
    among = order[first:last + 1]
    assert among.count("normal") < 80, "urgent ones did not wait for all that came before"
    assert among.count("urgent") > among.count("normal") > 0 and "bulk" in among, "and nobody starves"
    mixed = order[order.index("normal"):first]
    assert mixed.count("normal") >= mixed.count("bulk")


def busy(erp):
    return erp.database.value("SELECT count(*) FROM mailroom.depth WHERE reason = 'account_busy'")


def suspects(erp, uids):
    """As if their dispatchers had died twice."""
    erp.database.rows("UPDATE mailroom.queue SET crashes = 2, place_id = 1 WHERE uid::text = ANY (%s)", [uids])


def test_suspects_are_sent_one_at_a_time_and_keep_nobody_waiting(erp, mailroom, server, script):
    proof = threading.Event()
    script.on("dot", Hold(proof), times=1)
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter(f"suspect{i}@one.test")} for i in range(4)])
    suspects(erp, uids)
    assert erp.state(uids[0])["reason"] == "suspect" and "died twice" in erp.state(uids[0])["remedy"]
    with mailroom.daemon():
        server.wait_for(1)
        others = erp.enqueue_many([{"user": "ANNA", **letter()}] * 20)
        erp.wait_for(others, "sent", timeout=10)
        states = [state for state, _ in erp.states().values() if state != "sent"]
        assert sorted(states) == ["ready", "ready", "ready", "sending"]
        proof.set()
        erp.wait_for(uids, "sent", timeout=20)
    assert len(server.seen.messages) == 24


def test_a_suspect_whose_dispatcher_dies_once_more_is_quarantined_and_nothing_else_is(erp, mailroom, server, script):
    mailroom.configure("dispatcher", lease="1s")
    mailroom.configure("doubt", resend_after="0ms")
    script.on("dot", Hold(threading.Event()), argument="anna@", times=2)
    erp.relay("ANNA", server)
    bad, other = erp.enqueue_many([{"user": "ANNA", **letter()}, {"user": "ANNA", **letter("carla@one.test")}])
    suspects(erp, [bad])
    daemon = mailroom.start()
    server.wait_for(2)
    daemon.kill()
    with mailroom.daemon():
        erp.wait_for(other, "sent")
        erp.wait_for(bad, "held", "quarantined")
        story = erp.story(bad)
        assert story["events"][-1]["event"] == "quarantined" and "third time" in story["events"][-1]["note"]
        assert story["possible_duplicate"] is True and story["remedy"]
        mailroom.run("release", bad, "--yes")
        erp.wait_for(bad, "sent", timeout=20)


def test_what_is_cancelled_while_it_is_being_sent_is_not_tried_again(erp, mailroom, certificates):
    answer = threading.Event()
    script = AfterAll(answer, Reply("451 4.3.0 later"), times=1)
    with MisbehavingServer(certificates.server(), script, require_login=False) as server, mailroom.daemon():
        erp.relay("ANNA", server)
        uid = erp.enqueue(user="ANNA", **letter())
        server.wait_for(1)
        assert erp.database.value("SELECT mailroom.cancel(%s)", [uid]) == "too_late"
        assert erp.states()[uid] == ("sending", "")
        answer.set()
        wait_until(lambda: erp.database.rows("SELECT reply FROM mailroom.log WHERE uid = %s AND outcome = 'cancelled'", [uid]), 10, "its end as cancelled")
        assert erp.database.value("SELECT mailroom.cancel(%s)", [uid]) == "ended"
        assert "deferred" in [event["event"] for event in erp.story(uid)["events"]]
    assert len(server.seen.messages) == 1


def test_what_was_cancelled_too_late_may_still_be_sent(erp, mailroom, certificates):
    answer = threading.Event()
    script = Script().on("dot", Hold(answer))
    with MisbehavingServer(certificates.server(), script, require_login=False) as server, mailroom.daemon():
        erp.relay("ANNA", server)
        uid = erp.enqueue(user="ANNA", **letter())
        server.wait_for(1)
        refused = mailroom.run("cancel", uid, "--yes", "--json", check=False)
        assert refused.code == 1 and refused.json()["left_alone"] == {"being sent": 1}
        answer.set()
        erp.wait_for(uid, "sent", timeout=10)


def test_of_a_batch_that_is_held_while_it_is_being_sent_nothing_goes_that_comes_back_or_waits(erp, mailroom, certificates):
    mailroom.configure("dispatcher", connections=4, connections_per_account=1)
    answer = threading.Event()
    script = AfterAll(answer, Reply("451 4.3.0 later"), times=1)
    with MisbehavingServer(certificates.server(), script, require_login=False) as server:
        erp.relay("ANNA", server)
        uids = bulk(erp, 600)
        with mailroom.daemon():
            server.wait_for(1)
            wait_until(lambda: busy(erp) >= 150, 10, "what has no room to be parked")
            held = erp.database.value("SELECT mailroom.hold_batch('run')")
            late = bulk(erp, 5)
            answer.set()
            wait_until(lambda: {state for state, _ in erp.states().values()} <= {"held", "sent"}, 30, "what it had to go or to come back")
            states = list(erp.states().values())
            print("held at once, and in the end:", held, states.count(("held", "batch_held")), set(states))
            assert states.count(("held", "batch_held")) == held + 1 + len(late)
            assert states.count(("sent", "")) == 600 - held - 1
            erp.database.value("SELECT mailroom.release_batch('run')")
            erp.wait_for(uids + late, "sent", timeout=30)
    assert len(server.seen.messages) == 606, "one of them twice, as it was refused for the time being"
