"""No delivery lasts for ever, none begins or goes on after its time, and none is cut off behind its dot."""

import base64
import contextlib
import os
import socket
import threading
from datetime import datetime, timedelta, timezone

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Hold, Reply, Script, Silence, Trickle

BIG = {"attachments": [{"name": "big", "content": base64.b64encode(os.urandom(9_000_000)).decode()}]}


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", lease="2s")  # its sweep comes four times in a lease
    return Erp(mailroom, database).prepare()


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def server(certificates, script):
    with MisbehavingServer(certificates.server(), script, require_login=False) as running:
        yield running


def in_an_hour():
    return (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()


def expires_now(erp):
    erp.database.rows("UPDATE mailroom.queue SET expires_at = clock_timestamp()")


def test_a_server_that_takes_each_piece_in_time_and_the_whole_in_hours_is_left_and_told_how_far_it_came(erp, mailroom, script, server):
    script.on("content", Trickle(octets=16_384, pause=0.1))  # a minute for the whole
    mailroom.configure("smtp", delivery="1500ms", reply="60s")
    erp.relay("ANNA", server)
    with mailroom.daemon() as daemon:
        uid = erp.enqueue(user="ANNA", **letter(**BIG))
        erp.wait_for(uid, "deferred")
        [attempt] = erp.story(uid)["events"]
        assert attempt["stage"] == "content" and attempt["reply"].startswith("too slow: ") and "of 12.3 MB of content sent in 1" in attempt["reply"]
        assert attempt["reply"].endswith("(the limit is [smtp] delivery)") and attempt["reply"] in daemon.log()
        assert erp.state(uid)["attempts"] == 1, "it may be the message that this server cannot take"
        script.clear()
        erp.hurry_until(uid, "sent")
    assert len(server.seen.messages) == 1


def test_a_message_that_expires_while_it_is_sent_does_not_get_its_dot(erp, mailroom, script, server):
    script.on("content", Hold(threading.Event()))
    erp.relay("ANNA", server)
    with mailroom.daemon():
        begun_at = datetime.now(timezone.utc)
        uid = erp.enqueue(user="ANNA", **letter(expires_at=(begun_at + timedelta(seconds=3)).isoformat(), **BIG))
        server.wait(lambda seen: ("DATA" in [line for _, line in seen.commands]))
        erp.wait_for(uid, "expired")
        [*_, attempt, end] = erp.story(uid)["events"]
        assert attempt["stage"] == "content" and attempt["reply"].startswith("its time was over: ") and "MB of content sent" in attempt["reply"]
        assert end["reply"].startswith("not sent by ") and end["reply"].endswith(attempt["reply"])
    assert server.seen.messages == []


def test_a_message_whose_age_ends_while_it_is_sent_does_not_get_its_dot(erp, mailroom, script, server):
    mailroom.configure("retry", max_age="5s")
    script.on("rcpt", Reply("450 4.2.1 busy"), times=1).on("content", Hold(threading.Event()))
    erp.relay("ANNA", server)
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter(**BIG))
        erp.wait_for(uid, "deferred")  # from here on its age counts
        erp.make_due()
        server.wait(lambda seen: ("DATA" in [line for _, line in seen.commands]))
        erp.wait_for(uid, "expired")
        [*_, attempt, end] = erp.story(uid)["events"]
        assert attempt["stage"] == "content" and attempt["reply"].startswith("its time was over: ")
        assert end["reply"].startswith("given up after 00:00:05; last: ") and end["reply"].endswith(attempt["reply"])
    assert server.seen.messages == []


def test_a_message_whose_dot_is_out_is_not_cut_off_at_its_expiry(erp, mailroom, script, server):
    answer = threading.Event()
    script.on("dot", Hold(answer))
    erp.relay("ANNA", server)
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter(expires_at=(datetime.now(timezone.utc) + timedelta(seconds=2)).isoformat()))
        server.wait_for(1)
        wait_until(lambda: erp.database.value("SELECT expires_at < clock_timestamp() - interval '1 second' FROM mailroom.queue"), 10, "its expiry")
        assert erp.states()[uid] == ("sending", "")
        answer.set()
        erp.wait_for(uid, "sent")
    assert len(server.seen.messages) == 1


def test_a_message_that_expires_while_it_waits_for_a_connection_is_never_begun(erp, mailroom, script, server):
    answer = threading.Event()
    script.on("dot", Hold(answer), times=1)
    mailroom.configure("dispatcher", lease="2s", connections=1, connections_per_account=1)
    erp.relay("ANNA", server)
    with mailroom.daemon():
        first = erp.enqueue(user="ANNA", **letter())
        server.wait_for(1)
        behind = erp.enqueue_many([{"user": "ANNA", **letter(to=f"b{i}@one.test", expires_at=(datetime.now(timezone.utc) + timedelta(seconds=2)).isoformat())}
                                   for i in range(5)])
        wait_until(lambda: erp.database.value("SELECT bool_and(expires_at < clock_timestamp()) FROM mailroom.queue WHERE expires_at IS NOT NULL") is not False,
                   10, "their expiry")
        answer.set()
        erp.wait_for(first, "sent")
        erp.wait_for(behind, "expired")
    assert len(server.seen.messages) == 1


def test_what_an_account_in_trouble_keeps_for_too_long_is_given_up_and_says_why(erp, mailroom, server):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:  # a port where nobody answers
        port = taken.getsockname()[1]
    mailroom.configure("retry", max_age="2s")
    erp.relay("ANNA", server)
    erp.user("ANNA", port=port)
    with mailroom.daemon():
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 3)
        held = erp.enqueue(user="NOBODY", **letter())
        erp.wait_for(uids, "expired")
        for uid in uids:
            assert erp.story(uid)["events"][-1]["reply"].startswith("given up after 00:00:02; last: connecting to"), "also of one that was never tried itself"
        assert erp.states()[held] == ("held", "no_user"), "which nothing but a setting ends"


def test_a_stop_at_its_limit_names_each_message_and_where_it_stood(erp, mailroom, script, server):
    script.on("dot", Silence())
    mailroom.configure("dispatcher", lease="2s", stop_limit="1s")
    erp.relay("ANNA", server)
    daemon = mailroom.start()
    uid = erp.enqueue(user="ANNA", **letter())
    server.wait_for(1)
    daemon.stop(timeout=30)
    [line] = [line for line in daemon.log().splitlines() if " not_ended: " in line]
    assert " not_ended: waiting for the reply to the final dot for " in line and line.endswith(f" uid={uid}")
    erp.wait_for(uid, "in_doubt")
