"""A server that breaks at any step: before the dot the message is put off and arrives once, after it the outcome is in doubt."""

import base64
import contextlib
import os
import time

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Close, Reply, Script, Silence

STAGES = {"greeting": "greeting", "ehlo": "ehlo", "starttls": "starttls", "tls": "tls", "auth": "auth", "mail": "mail_from",
          "rcpt": "rcpt_to", "data": "data", "content": "content"}
BEHAVIOURS = {
    "closes": Close(),
    "resets": Close(reset=True),
    "says 421": Reply("421 4.3.2 shutting down", close=True),
    "answers garbage": Reply(b"\x00\xff\x01 what is this?"),
    "never answers": Silence(),
}
BIG = {"attachments": [{"name": "big", "content": base64.b64encode(os.urandom(6_000_000)).decode()}]}


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("smtp", reply="1s", final_reply="1s", connect="2s")
    mailroom.configure("doubt", resend_after="1h")
    mailroom.configure("dispatcher", connections=32)
    return Erp(mailroom, database).prepare()


def logged_in(erp, code, server):
    erp.user(code, mode="smtp", email=f"{code.lower()}@example.test", server="localhost", port=server.port)
    erp.password("user", code, secret="a word")


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_failure_before_the_dot_puts_the_message_off_and_it_arrives_once(erp, mailroom, certificates, behaviour):
    mailroom.configure("smtp", reply="1s", final_reply="1s", connect="2s", pipelining="never")  # a flight would be tried again in lock-step
    steps = {step: stage for step, stage in STAGES.items() if (step, behaviour) != ("content", "never answers")}  # it would read the dot
    with contextlib.ExitStack() as stack:
        servers = {}
        for step in steps:
            script = Script().on(step, BEHAVIOURS[behaviour], times=1)
            server = MisbehavingServer(certificates.server(), script, require_login=step == "auth")
            servers[step] = stack.enter_context(server)
            logged_in(erp, step, server) if step == "auth" else erp.relay(step, server)
        daemon = stack.enter_context(mailroom.daemon())
        uids = {step: erp.enqueue(user=step, **letter(subject=step), **(BIG if step == "content" else {})) for step in steps}
        erp.wait_for(uids.values(), "deferred")
        stories = {step: erp.story(uid) for step, uid in uids.items()}
        stages = {step: story["events"][-1]["stage"] for step, story in stories.items()}
        if isinstance(BEHAVIOURS[behaviour], Reply) and stages["tls"] == "starttls":
            stages["tls"] = "tls"  # words instead of a handshake may come with the reply before
        if behaviour == "resets" and stages["greeting"] == "connect":
            stages["greeting"] = "greeting"  # the reset may come before the client has seen that it is connected
        assert stages == steps
        assert all(story["events"][-1]["reply"] and story["next_attempt"] for story in stories.values())
        assert all(not server.seen.messages for server in servers.values())
        erp.hurry_until(uids.values(), "sent", timeout=40)
        assert daemon.running
    assert {step: len(server.seen.messages) for step, server in servers.items()} == dict.fromkeys(steps, 1)
    assert not any(erp.story(uid)["possible_duplicate"] for uid in uids.values())
    assert not any(mail for server in servers.values() for mail in server.seen.messages if mail.reply is None)



@pytest.mark.parametrize("behaviour", [name for name in BEHAVIOURS if name != "says 421"])
def test_a_failure_after_the_dot_leaves_it_in_doubt_and_it_is_resent_once_in_the_same_bytes(erp, mailroom, certificates, behaviour):
    script = Script().on("dot", BEHAVIOURS[behaviour], times=1)
    with MisbehavingServer(certificates.server(), script, require_login=False) as server, mailroom.daemon():
        erp.relay("ANNA", server)
        uid = erp.enqueue(user="ANNA", **letter(html="<p>hello</p>", attachments=[{"name": "a.bin", "content": "AAEC"}]))
        erp.wait_for(uid, "in_doubt")
        story = erp.story(uid)
        assert story["events"][-1]["event"] == "in_doubt" and story["events"][-1]["stage"] == "final_dot"
        assert "possible duplicate" in story["events"][-1]["note"] and story["next_attempt"]
        assert len(server.seen.messages) == 1
        second_of_first = int(time.time())
        wait_until(lambda: int(time.time()) > second_of_first, 5, "another second, which a new Date would show")
        erp.hurry_until([uid], "sent")
    first, second = server.seen.messages
    assert first.octets == second.octets, "Date, Message-ID and boundaries are the same"
    assert (first.mail_from, first.recipients) == (second.mail_from, second.recipients)
    assert erp.story(uid)["possible_duplicate"] is True


def test_a_refusal_at_the_dot_is_no_doubt(erp, mailroom, certificates):
    script = Script().on("dot", Reply("421 4.3.2 shutting down", close=True), times=1)
    with MisbehavingServer(certificates.server(), script, require_login=False) as server, mailroom.daemon():
        erp.relay("ANNA", server)
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "deferred")
        erp.hurry_until([uid], "sent")
    assert not erp.story(uid)["possible_duplicate"]


def test_a_second_doubt_is_held_for_an_operator(erp, mailroom, certificates):
    script = Script().on("dot", Close(), times=2)
    with MisbehavingServer(certificates.server(), script, require_login=False) as server, mailroom.daemon():
        erp.relay("ANNA", server)
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "in_doubt")
        erp.hurry_until([uid], "held", "in_doubt")
        after = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(after, "sent")
        erp.user("ANNA", name="Anna")  # no setting releases it
        erp.general(from_="x@example.test")
        another = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(another, "sent")
        assert erp.states()[uid] == ("held", "in_doubt") and len(server.seen.messages) == 4


def test_with_the_policy_hold_the_first_doubt_is_held(erp, mailroom, certificates):
    mailroom.configure("doubt", policy="hold")
    script = Script().on("dot", Close(), times=1)
    with MisbehavingServer(certificates.server(), script, require_login=False) as server, mailroom.daemon():
        erp.relay("ANNA", server)
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "held", "in_doubt")
        assert "ask the recipient or the server" in erp.story(uid)["remedy"]
        assert len(server.seen.messages) == 1


def test_a_resend_that_is_due_at_once_needs_nobody(erp, mailroom, certificates):
    mailroom.configure("doubt", resend_after="0ms")
    script = Script().on("dot", Close(), times=1)
    with MisbehavingServer(certificates.server(), script, require_login=False) as server, mailroom.daemon():
        erp.relay("ANNA", server)
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "sent")
    assert len(server.seen.messages) == 2 and erp.story(uid)["possible_duplicate"]


def test_a_server_that_is_away_or_has_no_such_name_puts_mail_off_until_it_is_there(erp, mailroom, certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as server, mailroom.daemon():
        erp.relay("ANNA", server)
        erp.relay("BEN", server)
        erp.user("BEN", server="no-such-host.invalid")
        server.stop()
        away, nameless = erp.enqueue(user="ANNA", **letter()), erp.enqueue(user="BEN", **letter())
        erp.wait_for([away, nameless], "deferred")
        stages = [erp.story(uid)["events"][-1]["stage"] for uid in (away, nameless)]
        assert stages == ["connect", "resolve"]
        assert "no-such-host.invalid" in str(erp.story(nameless)["events"][-1])
        server.start()
        erp.user("BEN", server="localhost")
        erp.hurry_until([away, nameless], "sent")
        assert sum(row["attempts"] for row in erp.database.rows("SELECT attempts FROM mailroom.log")) == 2, "neither used up a try"


def test_a_connection_that_the_server_closed_while_idle_costs_no_attempt(erp, mailroom, certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as server, mailroom.daemon():
        erp.relay("ANNA", server)
        first = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(first, "sent")
        server.stop()
        server.start()
        second = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(second, "sent")
        assert [e["event"] for e in erp.story(second)["events"]] == ["sent"]
    assert server.seen.connections == 2
