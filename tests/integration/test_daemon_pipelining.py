"""The next message's commands behind the final dot: each message arrives once, whatever the server makes of them."""

import threading

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Flush, Hold, Reply, Script


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", connections=1)
    mailroom.configure("smtp", reply="1s")
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


@pytest.mark.parametrize("setting", ["message", "never"])
def test_the_setting_keeps_it_to_less(erp, mailroom, server, setting):
    mailroom.configure("smtp", reply="1s", pipelining=setting)
    uids = enqueue(erp, server, 20)
    with mailroom.daemon():
        erp.wait_for(uids, "sent")
    each_arrived_once(erp, server, uids)
    assert server.seen.behind_a_dot == 0


def test_a_server_that_throws_away_what_came_behind_the_dot_gets_one_command_at_a_time(erp, mailroom, server):
    server.script.on("dot", Flush())
    uids = enqueue(erp, server, 20)
    with mailroom.daemon() as daemon:
        erp.wait_for(uids, "sent")
        assert daemon.log().count("one command at a time") == 1
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
