"""The daemon's start, stop and wake-up, and messages with times of their own."""

import signal
import threading
from datetime import datetime, timedelta, timezone

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Hold, Script, Silence


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def server(certificates, script):
    with MisbehavingServer(certificates.server(), script, require_login=False) as running:
        yield running


def dispatchers(erp):
    return erp.database.value("SELECT count(*) FROM mailroom.dispatcher")


@pytest.mark.smoke
def test_a_stop_while_mail_drains_ends_what_is_due_and_hands_the_rest_back_uncounted(erp, mailroom, server):
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 1500)
    daemon = mailroom.start()
    server.wait_for(200, timeout=60)
    assert daemon.stop(timeout=30) == 0
    assert dispatchers(erp) == 0
    rows = erp.database.rows("SELECT state, attempts, deferrals, doubts FROM mailroom.queue")
    assert len(rows) > 0 and {tuple(row.values()) for row in rows} == {(0, 0, 0, 0)}
    sent = {uid for uid, (state, _) in erp.states().items() if state == "sent"}
    assert len(sent) + len(rows) == len(uids) and len(server.seen.messages) == len(sent)
    waiting = next(uid for uid in uids if uid not in sent)
    assert erp.story(waiting)["events"] == [], "a hand-over is no attempt"
    with mailroom.daemon():
        erp.wait_for(uids, "sent", timeout=60)
    assert len(server.seen.messages) == len(uids)


@pytest.mark.parametrize("step", ["greeting", "mail", "content"])
def test_a_stop_drops_what_has_not_come_to_its_dot_and_hands_it_back(erp, mailroom, script, server, step):
    script.on(step, Silence() if step != "content" else Hold(threading.Event()))
    erp.relay("ANNA", server)
    daemon = mailroom.start()
    attachments = [{"name": "big", "content": "QUFB" * 2_000_000}] if step == "content" else []
    uid = erp.enqueue(user="ANNA", **letter(attachments=attachments))
    wanted = {"greeting": "", "mail": "MAIL", "content": "DATA"}[step]
    server.wait(lambda seen: seen.connections and (not wanted or any(line.startswith(wanted) for _, line in seen.commands)))
    assert daemon.stop(timeout=20) == 0
    assert erp.states()[uid] == ("ready", "") and dispatchers(erp) == 0
    row = erp.database.rows("SELECT attempts, deferrals, doubts FROM mailroom.queue")[0]
    assert tuple(row.values()) == (0, 0, 0)
    assert server.seen.messages == []


def test_a_stop_waits_for_the_reply_to_the_dot(erp, mailroom, script, server):
    answer = threading.Event()
    script.on("dot", Hold(answer))
    erp.relay("ANNA", server)
    daemon = mailroom.start()
    uid = erp.enqueue(user="ANNA", **letter())
    server.wait_for(1)
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_for_line("stopping")
    late = erp.enqueue(user="ANNA", **letter())
    assert daemon.running and erp.states()[uid] == ("sending", "")
    answer.set()
    assert daemon.stop() == 0
    assert erp.states() == {uid: ("sent", ""), late: ("ready", "")}


@pytest.mark.parametrize("signals", [1, 2], ids=["the stop limit", "a second signal"])
def test_a_reply_that_never_comes_leaves_the_message_in_doubt_when_the_stop_is_over(erp, mailroom, script, server, signals):
    mailroom.configure("dispatcher", stop_limit="2s" if signals == 1 else "10m")
    script.on("dot", Silence())
    erp.relay("ANNA", server)
    daemon = mailroom.start()
    uid = erp.enqueue(user="ANNA", **letter())
    server.wait_for(1)
    for _ in range(signals):
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for_line("stopping")
    assert daemon.wait(timeout=20) == 0
    assert erp.states()[uid] == ("in_doubt", "")
    story = erp.story(uid)
    assert story["possible_duplicate"] is True and story["next_attempt"]
    assert [e["event"] for e in story["events"]] == ["in_doubt"]
    assert dispatchers(erp) == 0 and "in doubt" in daemon.log()


def test_a_message_wakes_an_idle_daemon(erp, mailroom, server):
    mailroom.configure("dispatcher", poll="60s", lease="10m")  # so that nothing else looks for it
    erp.relay("ANNA", server)
    with mailroom.daemon():
        for _ in range(3):
            uid = erp.enqueue(user="ANNA", **letter())
            erp.wait_for(uid, "sent", timeout=10)


def test_a_saved_setting_wakes_an_idle_daemon(erp, mailroom, server):
    mailroom.configure("dispatcher", poll="60s", lease="10m")
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "held", "no_user", timeout=10)
        erp.relay("ANNA", server)
        erp.wait_for(uid, "sent", timeout=10)


def test_without_a_notification_the_poll_finds_it(erp, mailroom, server):
    erp.relay("ANNA", server)
    with mailroom.daemon():
        erp.database.rows("UPDATE mailroom.dispatcher SET wants_wake = false")
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "sent", timeout=10)


def test_a_message_is_not_sent_before_its_time_and_one_that_came_later_passes_it(erp, mailroom, server):
    erp.relay("ANNA", server)
    in_an_hour = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
    with mailroom.daemon():
        later = erp.enqueue(user="ANNA", **letter(not_before=in_an_hour))
        now = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(now, "sent")
        assert erp.states()[later] == ("scheduled", "")
        assert datetime.fromisoformat(erp.story(later)["next_attempt"]) == datetime.fromisoformat(in_an_hour)
        erp.make_due()
        erp.wait_for(later, "sent")
    assert len(server.seen.messages) == 2


def test_messages_that_are_past_their_time_end_as_expired_wherever_they_wait(erp, mailroom, script, server):
    mailroom.configure("dispatcher", lease="2s")  # its sweep comes four times in a lease
    erp.relay("ANNA", server)
    soon = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
    with mailroom.daemon() as daemon:
        held = erp.enqueue(user="NOBODY", **letter(expires_at=soon))
        scheduled = erp.enqueue(user="ANNA", **letter(not_before=(datetime.now(timezone.utc) + timedelta(minutes=30)).isoformat(),
                                                      expires_at=soon))
        in_time = erp.enqueue(user="ANNA", **letter(expires_at=soon))
        erp.wait_for(held, "held", "no_user")
        erp.wait_for(in_time, "sent")
        erp.database.rows("UPDATE mailroom.queue SET expires_at = clock_timestamp()")
        erp.wait_for([held, scheduled], "expired")
        assert [r["state"] for r in erp.story(held)["recipients"]] == ["expired"]
        for uid in (held, scheduled):
            daemon.wait_for_line(f" info expired: uid={uid} category=standard user=")
    daemonless = erp.enqueue(user="ANNA", **letter(expires_at=soon))
    erp.database.rows("UPDATE mailroom.queue SET expires_at = clock_timestamp()")
    with mailroom.daemon():
        erp.wait_for(daemonless, "expired")
    assert len(server.seen.messages) == 1


def test_one_slow_server_delays_only_its_own_mail(erp, mailroom, certificates, server):
    """A message that waits for a server keeps no other waiting, however few there are."""
    slow_script = Script().on("dot", Silence())
    with MisbehavingServer(certificates.server(), slow_script, require_login=False) as slow:
        erp.relay("ANNA", server)
        erp.relay("BEN", slow)
        mailroom.configure("dispatcher", stop_limit="1s")
        with mailroom.daemon():
            stuck = erp.enqueue(user="BEN", **letter())
            slow.wait_for(1)
            for _ in range(3):
                uid = erp.enqueue(user="ANNA", **letter())
                erp.wait_for(uid, "sent", timeout=10)
            assert erp.states()[stuck] == ("sending", "")


def test_a_database_of_another_installation_is_left_alone(erp, mailroom, server):
    erp.relay("ANNA", server)
    uid = erp.enqueue(user="ANNA", **letter())
    erp.database.rows("UPDATE mailroom.installation SET name = 'production'")
    refused = mailroom.run("serve", check=False, timeout=30)
    assert refused.code == 1 and '"production"' in refused.err and '"test"' in refused.err and "mailroom adopt" in refused.err
    erp.database.rows("UPDATE mailroom.installation SET name = 'test'")
    with mailroom.daemon() as daemon:
        erp.wait_for(uid, "sent")
        erp.database.rows("UPDATE mailroom.installation SET name = 'production'")  # restored under a running daemon
        erp.database.rows("UPDATE mailroom.dispatcher SET beat_at = beat_at")
        wait_until(lambda: "belongs to the installation" in daemon.log(), 20, "the heartbeat that sees it")
        after = erp.enqueue(user="ANNA", **letter())
        erp.database.rows("NOTIFY mailroom_wake")
        wait_until(lambda: "nothing new is sent" in daemon.log(), 5, "its refusal")
        assert erp.states()[after] == ("ready", "")
    assert len(server.seen.messages) == 1
