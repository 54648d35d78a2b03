"""The next message's commands behind the final dot: each message arrives once, whatever the server makes of them."""

import collections
import re
import threading

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Flush, Hold, Reply, Script


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", connections=1)
    mailroom.configure("smtp", reply="1s", pipelining="next_message")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), Script(), require_login=False) as running:
        yield running


def enqueue(erp, server, count):
    erp.relay("ANNA", server)
    return erp.enqueue_many([{"user": "ANNA", **letter(subject=f"no {number}")} for number in range(count)])


def each_arrived_once(erp, server, uids):
    arrived = [next(line for line in mail.octets.split(b"\r\n") if line.startswith(b"Message-ID:")) for mail in server.seen.messages]
    assert len(arrived) == len(uids) == len(set(arrived))
    assert all(any(uid.encode() in line for line in arrived) for uid in uids)
    assert erp.database.value("SELECT sum(doubts) FROM mailroom.log") == 0


def tries(erp):
    return erp.database.rows("SELECT DISTINCT attempts FROM mailroom.log")


def test_messages_follow_each_other_on_one_connection_in_one_flight_each(erp, mailroom, server):
    uids = enqueue(erp, server, 200)
    with mailroom.daemon():
        erp.wait_for(uids, "sent")
    each_arrived_once(erp, server, uids)
    assert server.seen.connections == 1
    assert server.seen.behind_a_dot >= 150, "but for those after which nothing was claimed yet"


def test_by_default_only_servers_that_are_known_to_take_it_get_the_next_message_behind_a_dot(erp, mailroom, server):
    mailroom.configure("smtp", pipelining="auto")
    server.script.on("greeting", Reply("220 relay.example.test ESMTP Postfix"))
    uids = enqueue(erp, server, 200)
    with mailroom.daemon():
        erp.wait_for(uids, "sent")
    each_arrived_once(erp, server, uids)
    assert server.seen.behind_a_dot >= 150


@pytest.mark.parametrize("setting", ["auto", "message", "never"])
def test_the_setting_keeps_it_to_less(erp, mailroom, server, setting):
    mailroom.configure("smtp", reply="1s", pipelining=setting)
    uids = enqueue(erp, server, 20)
    with mailroom.daemon():
        erp.wait_for(uids, "sent")
    each_arrived_once(erp, server, uids)
    assert server.seen.behind_a_dot == 0


def test_a_server_that_throws_away_what_came_behind_the_dot_gets_nothing_behind_it_any_more(erp, mailroom, server):
    server.script.on("dot", Flush())
    uids = enqueue(erp, server, 20)
    with mailroom.daemon() as daemon:
        erp.wait_for(uids, "sent")
        assert daemon.log().count("nothing goes behind a message") == 1 and "one command at a time" not in daemon.log()
    each_arrived_once(erp, server, uids)
    assert server.seen.behind_a_dot == 1 and server.seen.connections == 2
    assert len(tries(erp)) == 1, "it cost no message a try more than another"


def test_a_server_that_hangs_up_after_each_message_costs_connections_and_no_tries(erp, mailroom, server):
    server.script.on("dot", Reply("250 2.0.0 taken", close=True))
    uids = enqueue(erp, server, 20)
    with mailroom.daemon():
        erp.wait_for(uids, "sent")
    each_arrived_once(erp, server, uids)
    assert len(tries(erp)) == 1 and server.seen.behind_a_dot == 1


def test_a_refusal_at_the_dot_is_of_its_message_alone(erp, mailroom, server):
    server.script.on("dot", Reply("554 5.7.1 not that one"), times=1)
    uids = enqueue(erp, server, 20)
    with mailroom.daemon():
        erp.wait_for(uids[1:], "sent")
        erp.wait_for(uids[:1], "failed")
    assert server.seen.connections == 1 and len(server.seen.messages) == 20


def test_what_is_refused_for_now_at_its_own_dot_is_deferred_although_it_was_begun_behind_another(erp, mailroom, server):
    server.script.on("dot", Reply("250 2.0.0 taken"), times=1).on("dot", Reply("421 4.7.28 rate limit exceeded", close=True), times=1)
    erp.relay("ANNA", server)
    first, second = erp.enqueue_many([{"user": "ANNA", **letter(f"{name}@one.test")} for name in ("first", "second")])
    with mailroom.daemon():
        erp.wait_for(first, "sent")
        wait_until(lambda: [event for event in erp.story(second)["events"] if event["event"] == "deferred"], 10, "the refusal")
        assert server.seen.behind_a_dot == 1
        [deferred] = [event for event in erp.story(second)["events"] if event["event"] == "deferred"]
        assert deferred["code"] == 421 and "rate limit" in deferred["reply"]
        erp.hurry_until(second, "sent")
    assert [mail.reply[:3] for mail in server.seen.messages] == ["250", "421", "250"]


def test_what_waits_behind_a_message_that_takes_long_goes_by_another_connection(erp, mailroom, server):
    mailroom.configure("dispatcher", connections=2, connections_per_account=2, poll="200ms")
    mailroom.configure("smtp", reply="60s", pipelining="next_message")
    slow, quick = threading.Event(), threading.Event()
    server.script.on("dot", Hold(slow), connection=1, times=1).on("dot", Hold(quick), connection=2, times=1)
    uids = enqueue(erp, server, 4)
    with mailroom.daemon():
        wait_until(lambda: server.seen.behind_a_dot == 2, 10, "both connections to have something behind a dot")
        quick.set()
        wait_until(lambda: list(erp.states().values()).count(("sent", "")) == 3, 20, "all but the slow one")
        slow.set()
        erp.wait_for(uids, "sent")
    each_arrived_once(erp, server, uids)


def test_a_stop_awaits_the_reply_that_is_due_and_gives_back_what_was_begun_behind_it(erp, mailroom, server):
    go_on = threading.Event()
    server.script.on("dot", Hold(go_on), times=1)
    uids = enqueue(erp, server, 20)
    daemon = mailroom.start()
    server.wait_for(1)
    daemon.process.terminate()
    daemon.wait_for_line("stopping")
    go_on.set()
    assert daemon.stop() == 0
    assert server.seen.behind_a_dot == 1 and len(server.seen.messages) == 1
    states = [state for state, _ in erp.states().values()]
    assert states.count("sent") == 1 and states.count("in_doubt") == 0
    assert erp.database.value("SELECT sum(attempts) FROM mailroom.queue") == 0
    with mailroom.daemon():
        erp.wait_for(uids, "sent")
    wait_until(lambda: server.seen.open_connections == 0, 10, "the end of its connections")
    each_arrived_once(erp, server, uids)


def test_what_was_begun_under_settings_that_changed_meanwhile_is_not_sent_and_begins_again_by_the_new_ones(erp, mailroom, server, certificates):
    mailroom.configure("dispatcher", connections=2, connections_per_account=1)
    go_on = threading.Event()
    server.script.on("dot", Hold(go_on), times=1)
    uids = enqueue(erp, server, 5)
    with MisbehavingServer(certificates.server(), require_login=False) as other, mailroom.daemon():
        server.wait_for(1)
        mailroom.run("account", "set", "user", "ANNA", "from=Anna <anna.new@example.test>")
        erp.relay("BEN", other)
        erp.wait_for(erp.enqueue(user="BEN", **letter()), "sent")  # so the change is known
        assert len(server.seen.messages) == 1 and server.seen.behind_a_dot == 1
        go_on.set()
        erp.wait_for(uids, "sent")
    assert server.seen.connections == 2, "the one on which it was begun was cut"
    by_the_new = [b"\r\nFrom: Anna <anna.new@example.test>\r\n" in mail.octets for mail in server.seen.messages]
    assert by_the_new == [False] + 4 * [True]
    each_arrived_once(erp, server, uids)
    assert tries(erp) == [{"attempts": 1}]


# Killed while commands are behind a dot

class Moment(threading.Event):
    """For Hold: knows when somebody waits for it."""

    def __init__(self):
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout=None):
        self.reached.set()
        return super().wait(timeout)


@pytest.fixture
def hasty(erp, mailroom):
    mailroom.configure("dispatcher", connections=1, lease="1s", poll="200ms")
    mailroom.configure("doubt", resend_after="0ms")
    return erp


def times_arrived(server):
    return collections.Counter(re.search(rb"\r\nMessage-ID: <([0-9a-f-]{36})@", one.octets)[1].decode() for one in server.seen.messages)


def marked(erp):
    return {row["uid"] for row in erp.database.rows("SELECT uid::text FROM mailroom.log WHERE doubts > 0")}


@pytest.mark.parametrize("step", ["dot", "mail", "data", "content"])
def test_a_daemon_that_is_killed_behind_a_dot_doubles_only_what_is_marked(hasty, mailroom, server, step):
    """At the dot of one message, or later at a command of the next that went out behind it."""
    uids = enqueue(hasty, server, 3)
    at_the_dot, moment = Moment(), Moment()
    server.script.on("dot", Hold(at_the_dot), times=1)
    daemon = mailroom.start()
    assert at_the_dot.reached.wait(30)
    assert server.seen.behind_a_dot == 1
    if step == "dot":
        moment = at_the_dot
    else:
        server.script.on(step, Hold(moment), times=1)
        at_the_dot.set()
    assert moment.reached.wait(10)
    daemon.kill()
    moment.set()
    wait_until(lambda: server.seen.open_connections == 0, 10, "the end of its connections")
    had_their_dot = set(times_arrived(server))
    assert set(uids[:1]) <= had_their_dot <= set(uids[:2 if step == "content" else 1])
    with mailroom.daemon():
        hasty.hurry_until(uids, "sent")
    arrived = times_arrived(server)
    assert sorted(arrived) == sorted(uids), "none lost, none that nobody sent"
    doubles = {uid for uid, times in arrived.items() if times > 1}
    assert doubles <= had_their_dot & marked(hasty), "only what had its dot may come twice, and is marked"


def test_a_daemon_that_is_killed_twice_on_one_connection_loses_nothing_and_marks_what_may_be_double(hasty, mailroom, server):
    uids = enqueue(hasty, server, 1200)
    for enough in (100, 400):
        daemon = mailroom.start()
        server.wait_for(enough, timeout=60)
        daemon.kill()
        wait_until(lambda: server.seen.open_connections == 0, 10, "the end of its connections")
    assert len(server.seen.messages) < 1200 and server.seen.behind_a_dot > 100, "in the middle, with commands behind dots"
    with mailroom.daemon():
        wait_until(lambda: {state for state, _ in hasty.states().values()} <= {"sent", "held"}, 60, "each sent, or in doubt for the second time", every=0.2)
        if ("held", "in_doubt") in hasty.states().values():
            mailroom.run("release", "--reason", "in_doubt", "--yes")
        hasty.wait_for(uids, "sent", timeout=60)
    arrived = times_arrived(server)
    assert sorted(arrived) == sorted(uids), "none lost, none that nobody sent"
    assert {uid for uid, times in arrived.items() if times > 1} <= marked(hasty), "twice, and not marked"
