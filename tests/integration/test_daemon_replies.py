"""What the server says decides: later, never, or not as this sender."""

import contextlib

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Reply, Script


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


def seconds_until_retry(erp, uid):
    return erp.database.value("SELECT extract(epoch FROM run_at - clock_timestamp())::float FROM mailroom.depth WHERE uid = %s", [uid])


@contextlib.contextmanager
def servers_that_say(erp, certificates, reply):
    """One that answers so at each step of a transaction, and one relay user for each: {step: server}, by the user's name."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for step in ("mail", "rcpt", "data", "dot"):
            servers[step] = stack.enter_context(
                MisbehavingServer(certificates.server(), Script().on(step, Reply(reply)), require_login=False))
            erp.relay(step, servers[step])
        yield servers


def test_a_temporary_refusal_at_any_step_is_tried_again_later_and_later(erp, mailroom, certificates):
    refusal = "451 4.3.0 mail server temporarily out of order"
    with servers_that_say(erp, certificates, refusal) as servers, mailroom.daemon():
        uids = {step: erp.enqueue(user=step, **letter()) for step in servers}
        delays = []
        for attempts in (1, 2, 3):
            tried = "SELECT count(*) FROM mailroom.queue WHERE attempts = %s AND state = 0"
            wait_until(lambda: erp.database.value(tried, [attempts]) == 4, 20, "the next attempt")
            delays.append([seconds_until_retry(erp, uid) for uid in uids.values()])
            erp.make_due()
        assert all(30 < delay < 80 for delay in delays[0]) and all(200 < delay < 400 for delay in delays[1])
        assert all(delay > 600 for delay in delays[2])
        for step, uid in uids.items():
            told = [e for e in erp.story(uid)["events"] if e["event"] == "deferred"][-1]
            assert (told["code"], told["enhanced"], told["reply"]) == (451, "4.3.0", "mail server temporarily out of order"), step
            assert "next attempt in" in told["note"]
        for server in servers.values():
            server.script.clear()
        erp.hurry_until(uids.values(), "sent")
    assert all(server.seen.messages[-1].reply == "250 2.0.0 taken" for server in servers.values())


def test_a_refusal_for_good_at_any_step_ends_it_with_the_servers_words_after_one_attempt(erp, mailroom, certificates):
    refusal = "554-5.6.0 we do not like\r\n554 5.6.0 this message"
    with servers_that_say(erp, certificates, refusal) as servers, mailroom.daemon():
        uids = {step: erp.enqueue(user=step, **letter()) for step in servers}
        erp.wait_for(uids.values(), "failed")
    for step, uid in uids.items():
        story = erp.story(uid)
        last = story["events"][-1]
        assert (last["event"], last["code"], last["enhanced"], story["attempts"]) == ("failed", 554, "5.6.0", 1), step
        assert "we do not like" in last["reply"] and "this message" in last["reply"]
        assert [r["state"] for r in story["recipients"]] == ["refused"]
        assert last["stage"] == {"mail": "mail_from", "rcpt": "rcpt_to", "data": "data", "dot": "final_dot"}[step]


def test_the_last_of_its_attempts_ends_it(erp, mailroom, script, server):
    mailroom.configure("retry", max_attempts=2)
    script.on("rcpt", Reply("450 4.2.1 busy"))
    erp.relay("ANNA", server)
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "deferred")
        erp.hurry_until([uid], "failed")
    assert "busy" in erp.story(uid)["events"][-1]["reply"]


@pytest.mark.parametrize("step", ["mail", "rcpt"])
def test_a_refused_sender_holds_its_own_mail_and_the_accounts_other_senders_go_on(erp, mailroom, certificates, step):
    """At MAIL FROM, or at RCPT TO as Postfix does, which delays its verdicts."""
    refusal = Reply("553 5.7.1 <invoices@example.test>: Sender address rejected: not owned by user erp@example.test")
    script = Script()
    with MisbehavingServer(certificates.server(), script) as server, mailroom.daemon() as daemon:
        erp.general(mode="smtp", server="localhost", port=server.port, account="erp@example.test", send_as=True)
        erp.password("general", secret="a word")
        erp.form("INV", from_="invoices@example.test", mode="general")
        erp.form("REM", from_="reminders@example.test", mode="general")
        good = erp.enqueue(form="REM", **letter())
        erp.wait_for(good, "sent")
        script.on(step, refusal, argument="invoices@" if step == "mail" else "of-invoices@")
        refused = erp.enqueue_many([{"form": "INV", **letter("of-invoices@one.test")}] * 20)
        goods = erp.enqueue_many([{"form": "REM", **letter()}] * 20)
        erp.wait_for(refused, "held", "send_as_denied")
        erp.wait_for(goods, "sent")
        story = erp.story(refused[0])
        assert "erp@example.test" in story["subject"] and "invoices@example.test" in story["subject"]
        assert "allow" in story["remedy"]
        late = erp.enqueue(form="INV", **letter("of-invoices@one.test"))
        contacts = len(server.seen.commands)
        erp.wait_for(late, "held", "send_as_denied")
        assert len(server.seen.commands) == contacts, "the same row answers without a contact"
        assert erp.story(late)["events"][-1]["table_row"] == "M9"
        assert daemon.log().count("is stopped: the server refused the sender") == 1
        assert [row["attempts"] for row in erp.database.rows("SELECT attempts FROM mailroom.queue")] == [0] * 21
        [stopped] = mailroom.json("queue")["stopped_senders"]
        assert (stopped["from"], stopped["account"]) == ("invoices@example.test", "erp@example.test")
        script.clear()
        mailroom.run("account", "probe", "general")
        erp.wait_for([*refused, late], "sent")


def test_one_message_of_a_refused_sender_is_tried_again_and_the_others_go_when_it_went(erp, mailroom, script, server):
    script.on("mail", Reply("553 5.7.1 Sender address rejected"), argument="new@")
    erp.relay("ANNA", server, from_="new@example.test", send_as=True)

    def tries():
        return len([line for _, line in server.seen.commands if line.startswith("MAIL FROM:<new@")])

    with mailroom.daemon():
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 10)
        erp.wait_for(uids, "held", "send_as_denied")
        tried = tries()
        erp.database.rows("UPDATE mailroom.refused_sender SET until = clock_timestamp()")
        wait_until(lambda: erp.database.value("SELECT times FROM mailroom.refused_sender") == 2, 20, "the second refusal")
        erp.wait_for(uids, "held", "send_as_denied")
        assert tries() == tried + 1
        script.clear()
        erp.database.rows("UPDATE mailroom.refused_sender SET until = clock_timestamp()")
        erp.wait_for(uids, "sent")
    assert erp.database.rows("SELECT FROM mailroom.refused_sender") == []


def test_a_real_postfix_that_lets_users_send_as_themselves_only(erp, mailroom, strict_postfix):
    strict_postfix.forget()
    with mailroom.daemon():
        erp.user("ANNA", mode="smtp", email="anna@example.test", server="localhost", port=strict_postfix.port, send_as=True,
                 from_="ben@example.test")
        erp.password("user", "ANNA", secret=strict_postfix.add_user("anna@example.test"))
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "held", "send_as_denied")
        assert any("not owned by user" in event.get("reply", "") for event in erp.story(uid)["events"])
        erp.user("ANNA", from_="anna@example.test")
        erp.wait_for(uid, "sent")
        [arrived] = strict_postfix.wait_for(1)
    assert arrived.sender == "anna@example.test"


def test_too_many_recipients_at_once_go_in_two_envelopes_at_once(erp, mailroom, script, server):
    script.on("rcpt", Reply("452 4.5.3 too many recipients"), argument="second@", times=1)
    erp.relay("ANNA", server)
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter(["first@one.test", "second@one.test"]))
        erp.wait_for(uid, "sent", timeout=10)
    assert [one.recipients for one in server.seen.messages] == [["<first@one.test>"], ["<second@one.test>"]]
    assert server.seen.messages[0].octets == server.seen.messages[1].octets, "and in the same bytes"
