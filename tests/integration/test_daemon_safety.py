"""A test system ([safety]): mail goes to given addresses, or to listed recipients only, whatever the mail settings say."""

import re
import signal
import threading

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Hold, Reply, Script

TESTER = "tester@test.example"
NOT_ALLOWED = "not allowed on this system ([safety] allow_only)"


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


def reload(mailroom, daemon, words="reloaded the settings", **safety):
    mailroom.settings["safety"] = safety
    mailroom.write_settings()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_line(words)


def header_of(message):
    head = message.octets.partition(b"\r\n\r\n")[0]
    return re.sub(rb"\r\n[ \t]", b" ", head).decode().split("\r\n")


def test_redirected_mail_reaches_the_testers_and_nobody_else(erp, mailroom, server):
    erp.relay("ANNA", server)
    mailroom.configure("safety", redirect_to=[TESTER, "second@test.example"])
    with mailroom.daemon() as daemon:
        uid = erp.enqueue(user="ANNA", to=["bruno@one.test", "Carla <carla@two.test>"], cc="dora@one.test", bcc="emil@three.test",
                          subject="a letter", text="hello\n")
        erp.wait_for(uid, "sent")
        queue = mailroom.json("queue")
        assert [d["safety"] for d in queue["dispatchers"]] == [f"everything is redirected to {TESTER}, second@test.example ([safety] redirect_to)"]
        assert "test system: dispatcher" in mailroom.run("queue").out
        assert " safety_on: this is a test system: everything is redirected" in daemon.log()
        assert any(event["id"] == "safety_on" for event in mailroom.json("events")["events"])
    [message] = server.seen.messages
    assert [r.partition(">")[0] for r in message.recipients] == [f"<{TESTER}", "<second@test.example"]
    header = header_of(message)
    assert header[0] == "X-Mailroom-Original-Recipients: bruno@one.test, carla@two.test, dora@one.test, emil@three.test"
    assert "To: bruno@one.test, Carla <carla@two.test>" in header and "Cc: dora@one.test" in header
    story = erp.story(uid)
    assert {r["state"] for r in story["recipients"]} == {"accepted"}
    assert f"[redirected to {TESTER}, second@test.example by [safety] redirect_to]" in story["events"][-1]["reply"]


def test_redirected_mail_is_taken_where_one_of_the_testers_is(erp, mailroom, server, script):
    script.on("rcpt", Reply("550 5.1.1 no such user"), argument="second@")
    erp.relay("ANNA", server)
    mailroom.configure("safety", redirect_to=[TESTER, "second@test.example"])
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter("bruno@one.test"))
        erp.wait_for(uid, "sent")


def test_who_is_not_allowed_is_refused_and_the_others_get_it(erp, mailroom, server):
    erp.relay("ANNA", server)
    mailroom.configure("safety", allow_only=["Inside.Test", "bruno@one.test"])
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", to=["BRUNO@one.test", "carla@one.test"], cc="dora@inside.test", bcc="emil@sub.inside.test",
                          subject="a letter", text="hello\n")
        erp.wait_for(uid, "partly_sent")
    [message] = server.seen.messages
    assert [r.partition(">")[0] for r in message.recipients] == ["<BRUNO@one.test", "<dora@inside.test"]
    header = header_of(message)
    assert "To: BRUNO@one.test, carla@one.test" in header and not any(line.startswith("X-Mailroom") for line in header)
    outcomes = {r["address"]: (r["state"], r.get("reply")) for r in erp.story(uid)["recipients"]}
    assert {a: s for a, (s, _) in outcomes.items()} == {"BRUNO@one.test": "accepted", "carla@one.test": "refused", "dora@inside.test": "accepted",
                                                        "emil@sub.inside.test": "refused"}
    assert outcomes["carla@one.test"][1] == outcomes["emil@sub.inside.test"][1] == NOT_ALLOWED


@pytest.mark.parametrize("allow_only", [["inside.test"], []], ids=["others", "nobody"])
def test_where_nobody_is_allowed_it_fails_and_no_server_hears_of_it(erp, mailroom, server, allow_only):
    erp.relay("ANNA", server)
    mailroom.configure("safety", allow_only=allow_only)
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", to=["bruno@one.test", "carla@two.test"], subject="a letter", text="hello\n")
        erp.wait_for(uid, "failed")
    assert server.seen.connections == 0
    story = erp.story(uid)
    assert {r["state"] for r in story["recipients"]} == {"refused"} and NOT_ALLOWED in story["events"][-1]["reply"]


def test_who_is_open_after_a_delay_is_tried_again_and_the_refused_stay_refused(erp, mailroom, server, script):
    script.on("rcpt", Reply("450 4.2.1 later"), argument="dora@", times=1)
    erp.relay("ANNA", server)
    mailroom.configure("safety", allow_only=["inside.test"])
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", to=["carla@one.test", "dora@inside.test", "emil@inside.test"], subject="a letter", text="hello\n")
        erp.hurry_until([uid], "partly_sent")
    assert [[r.partition(">")[0] for r in m.recipients] for m in server.seen.messages] == [["<emil@inside.test"], ["<dora@inside.test"]]


@pytest.mark.smoke
def test_a_reload_under_load_takes_effect_at_once_and_loses_nothing(erp, mailroom, server, script):
    """Also for what is under way: what was begun under other settings and not committed goes anew under these."""
    erp.relay("ANNA", server)
    mailroom.configure("dispatcher", connections=8, connections_per_account=8)
    with mailroom.daemon() as daemon:
        uids = erp.enqueue_many([{"user": "ANNA", **letter(f"n{i}@one.test")} for i in range(600)])
        server.wait_for(60)
        reload(mailroom, daemon, redirect_to=[TESTER])
        settled = len(server.seen.messages)
        erp.wait_for(uids, "sent", timeout=120)
        messages = list(server.seen.messages)
    redirected = [m for m in messages if TESTER in m.recipients[0]]
    direct = [m for m in messages if TESTER not in m.recipients[0]]
    assert len(messages) == len(uids) and redirected and direct
    # Those whose final dot was out when the signal came may be read behind the line in the log: one for each connection.
    assert not [m for m in messages[settled + 8:] if TESTER not in m.recipients[0]]
    header = [next(line for line in header_of(m) if line.startswith("To: ")) for m in messages]
    assert sorted(header) == sorted(f"To: n{i}@one.test" for i in range(600))


def test_what_stands_before_its_content_at_a_reload_is_not_committed(erp, mailroom, server, script):
    go_on = threading.Event()
    script.on("data", Hold(go_on), times=1)
    erp.relay("ANNA", server)
    with mailroom.daemon() as daemon:
        uid = erp.enqueue(user="ANNA", **letter("bruno@one.test"))
        server.wait(lambda seen: any(line.upper() == "DATA" for _, line in seen.commands))
        reload(mailroom, daemon, redirect_to=[TESTER])
        go_on.set()
        erp.wait_for(uid, "sent")
    [message] = server.seen.messages
    assert TESTER in message.recipients[0]


def test_a_reload_ends_it(erp, mailroom, server):
    erp.relay("ANNA", server)
    mailroom.configure("safety", allow_only=["inside.test"])
    with mailroom.daemon() as daemon:
        first = erp.enqueue(user="ANNA", **letter("bruno@one.test"))
        erp.wait_for(first, "failed")
        reload(mailroom, daemon, "changed: [safety] allow_only")
        erp.wait_for(erp.enqueue(user="ANNA", **letter("bruno@one.test")), "sent")
        wait_until(lambda: [d["safety"] for d in mailroom.json("queue")["dispatchers"]] == [None], 10, "the dispatcher says so")


def test_config_check_and_doctor_tell_it(erp, mailroom):
    mailroom.configure("safety", allow_only=["inside.test"])
    words = "this is a test system: only inside.test get mail"
    assert words in mailroom.run("config", "check").err
    [finding] = [f for f in mailroom.json("doctor", "--no-mail-servers", check=False)["findings"] if f["check"] == "safety"]
    assert finding["level"] == "warning" and words in finding["text"]


@pytest.mark.parametrize("keys, problem", [
    ({"redirect_to": []}, "redirect_to: names no address"),
    ({"redirect_to": ["nobody"]}, '"nobody"'),
    ({"redirect_to": TESTER}, "redirect_to: must be a list of texts"),
    ({"redirect_to": [TESTER], "allow_only": ["inside.test"]}, f'"{TESTER}" is not in allow_only'),
    ({"allow_only": ["inside test"]}, '"inside test" is neither an address nor a domain'),
    ({"allow": ["inside.test"]}, "there is no such key"),
])
def test_what_is_wrong_in_it_keeps_the_daemon_from_starting(erp, mailroom, keys, problem):
    mailroom.configure("safety", **keys)
    answer = mailroom.run("serve", check=False)
    assert answer.code == 2 and problem in answer.err, answer
