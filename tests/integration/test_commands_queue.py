"""Commands about messages: send with its exit codes, show, queue; and adopt after a copy of the database."""

import email
import email.policy
import json

import pytest

from erp import Erp, letter
from misbehaving import MisbehavingServer
from smtp_script import Close, Reply, Script

SOME = ["--to", "b@one.test", "--subject", "by hand", "--text", "hello"]


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


def test_send_waits_for_the_end_and_says_it_by_its_exit_code(erp, mailroom, script, server):
    erp.relay("ANNA", server)
    mailroom.configure("doubt", resend_after="1h")
    script.on("rcpt", Reply("550 5.1.1 unknown"), argument="nobody@").on("rcpt", Reply("450 4.2.1 busy"), argument="later@")

    def send(*arguments, user="ANNA"):
        return mailroom.run("send", "--user", user, "--subject", "by hand", "--text", "hello", "--wait", *arguments, check=False)

    with mailroom.daemon():
        sent = send("--to", "b@one.test")
        assert sent.code == 0 and "sent" in sent.out.splitlines()[-1]
        held = send("--to", "b@one.test", user="NOBODY")
        assert held.code == 3 and "held: no_user" in held.out and "administrator must create user NOBODY" in held.out
        failed = send("--to", "nobody@one.test")
        assert failed.code == 4 and "unknown" in failed.out
        partly = send("--to", "nobody@one.test", "--to", "b@one.test", "--json")
        assert partly.code == 4 and json.loads(partly.out)["state"] == "partly_sent"
        waiting = send("--to", "later@one.test", "--timeout", "1")
        assert waiting.code == 6 and "deferred" in waiting.out and "busy" in mailroom.run("show", waiting.out.split()[0]).out
        script.clear()
        script.on("dot", Close())
        doubtful = send("--to", "b@one.test")
        assert doubtful.code == 5 and "in_doubt" in doubtful.out


def test_send_refuses_what_enqueue_refuses_with_every_field(erp, mailroom):
    done = mailroom.run("send", "--to", "not an address", "--form", "NO SUCH", "--subject", "x\ny", "--header", "Subject: again", check=False)
    assert done.code == 1
    for words in ("to", '"not an address" is not an e-mail address', 'no form "NO SUCH"', "subject: contains a control character",
                  "headers.Subject: is written by mailroom", "the message is empty"):
        assert words in done.err
    assert erp.states() == {}


def test_send_takes_arguments_files_and_standard_input(erp, mailroom, server):
    erp.relay("ANNA", server)
    folder = mailroom.directory
    (folder / "größe.pdf").write_bytes(b"%PDF\r\n\x00\xff")
    (folder / "logo.png").write_bytes(b"\x89PNG")
    (folder / "body.html").write_text("<p>Grüße <img src=cid:logo></p>")
    (folder / "message.json").write_text(json.dumps({"user": "NOBODY", "to": ["file@one.test"], "subject": "of the file", "text": "from the file"}))
    with mailroom.daemon():
        by_arguments = mailroom.json(
            "send", "--user", "ANNA", "--to", "Zoë <zoe@one.test>", "--cc", "c@one.test", "--bcc", "secret@one.test", "--reply-to", "r@one.test",
            "--subject", "Grüße", "--text", "hello", "--html-file", folder / "body.html", "--attach", folder / "größe.pdf",
            "--inline", f"logo={folder / 'logo.png'}", "--header", "X-Kind: by hand", "--document", "D1")["uid"]
        by_file = mailroom.run("send", "--file", folder / "message.json", "--user", "ANNA").out.strip()
        by_input = mailroom.run("send", "--file", "-", input=json.dumps({"user": "ANNA", "to": "in@one.test", "subject": "s", "text": "t"})).out.strip()
        text_from_input = mailroom.run("send", "--user", "ANNA", "--to", "t@one.test", "--subject", "s", "--text-file", "-", input="piped\n").out.strip()
        erp.wait_for([by_arguments, by_file, by_input, text_from_input], "sent")
    arrived = {uid: (one, email.message_from_bytes(one.octets, policy=email.policy.default)) for one in server.seen.messages
               for uid in (by_arguments, by_file, by_input, text_from_input) if uid.encode() in one.octets}
    received, message = arrived[by_arguments]
    assert received.recipients == ["<zoe@one.test>", "<c@one.test>", "<secret@one.test>"]
    assert (message["Subject"], message["Reply-To"], message["X-Kind"]) == ("Grüße", "r@one.test", "by hand")
    assert message.get_body(("html",)).get_content().strip() == "<p>Grüße <img src=cid:logo></p>"
    files = {part.get_filename(): part for part in message.walk() if part.get_filename()}
    assert files["größe.pdf"].get_payload(decode=True) == b"%PDF\r\n\x00\xff" and files["größe.pdf"].get_content_type() == "application/pdf"
    assert files["logo.png"]["Content-ID"] == "<logo>" and files["logo.png"].get_content_type() == "image/png"
    assert arrived[by_file][1]["Subject"] == "of the file" and arrived[by_file][1]["From"] == "anna@example.test"
    assert arrived[text_from_input][1].get_content().strip() == "piped"


def test_the_same_key_is_sent_once(erp, mailroom):
    first = mailroom.run("send", "--user", "ANNA", *SOME, "--key", "invoice 17").out
    assert mailroom.run("send", "--user", "ANNA", *SOME, "--key", "invoice 17").out == first
    other = mailroom.run("send", "--user", "BEN", *SOME, "--key", "invoice 17", check=False)
    assert other.code == 1 and "idempotency_key" in other.err and first.strip() in other.err
    assert len(erp.states()) == 1


@pytest.mark.parametrize("arguments, words", [
    (["--file", "/no/such/file"], "/no/such/file"), (["--attach", "/no/such.pdf"], "/no/such.pdf"),
    (["--inline", "logo.png"], "content-id=file"), (["--header", "no colon"], "Name: value")])
def test_send_says_which_argument_is_wrong(erp, mailroom, arguments, words):
    done = mailroom.run("send", *SOME, *arguments, check=False)
    assert done.code == 2 and words in done.err


def test_show_tells_an_unknown_message_from_one_that_is_none(erp, mailroom):
    unknown = mailroom.run("show", "4c839a95-b1f7-4bb6-80e4-5114477a2748", check=False)
    assert unknown.code == 1 and "no message 4c839a95" in unknown.err
    for text in ("17", "4c839a95-b1f7-4bb6-80e4-5114477a274x", "------------------------------------"):
        assert mailroom.run("show", text, check=False).code == 2, text


def test_show_tells_the_story_in_words(erp, mailroom, script, server):
    script.on("rcpt", Reply("450 4.2.1 mailbox busy"), times=1)
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", document="invoice 17", **letter(bcc="secret@two.test"))
        erp.wait_for(uid, "held", "no_user")
        erp.relay("ANNA", server)
        erp.wait_for(uid, "deferred")
        erp.hurry_until([uid], "sent")
    shown = mailroom.run("show", uid).out
    for words in (f"message {uid}: sent", "user_code", "ANNA", "invoice 17", "held", "released", "deferred", "table row", "S11", "anna@example.test",
                  "450 4.2.1 mailbox busy", f"localhost:{server.port}", "bcc secret@two.test accepted"):
        assert words in shown, words
    story = erp.story(uid)
    assert [e["event"] for e in story["events"]] == ["held", "released", "deferred", "sent"]
    assert all(e["at"] for e in story["events"]) and "hello" not in json.dumps(story), "no body"


def test_queue_shows_depth_holds_and_who_drains(erp, mailroom, server):
    assert mailroom.json("queue")["messages"] == 0
    assert "no dispatcher is running" in mailroom.run("queue").out
    erp.relay("ANNA", server)
    erp.enqueue_many([{"user": "NOBODY", **letter()}] * 3 + [{"user": "ANNA", **letter(not_before="2099-01-01T00:00:00Z", lane="urgent")}])
    sent = erp.enqueue(user="ANNA", **letter())
    with mailroom.daemon():
        erp.wait_for(sent, "sent")
        held = [row["uid"] for row in erp.database.rows("SELECT uid::text FROM mailroom.queue WHERE user_code = 'NOBODY'")]
        erp.wait_for(held, "held", "no_user")
        depth = mailroom.json("queue")
        shown = mailroom.run("queue").out
    assert depth["messages"] == 4 and depth["installation"] == "test" and depth["last_hour"] == {"sent": 1}
    lines = {(line["state"], line["lane"], line["messages"]) for line in depth["depth"]}
    assert lines == {("held", "normal", 3), ("scheduled", "urgent", 1)}
    [hold] = depth["holds"]
    assert (hold["reason"], hold["messages"]) == ("no_user", 3) and "NOBODY" in hold["subject"]
    assert [d["alive"] for d in depth["dispatchers"]] == [True]
    for words in ("4 live messages", "held: 3 x no_user", "1 dispatcher running", "last hour: 1 sent", "2099-01-01"):
        assert words in shown, words


def test_after_a_copy_nothing_is_sent_until_adopt_and_then_all_that_waited_is_held(erp, mailroom, server):
    erp.relay("ANNA", server)
    copied = [erp.enqueue(user="ANNA", **letter()), erp.enqueue(user="NOBODY", **letter())]
    erp.database.rows("UPDATE mailroom.queue SET state = 1, lease_owner = 99, lease_no = 7 WHERE user_code = 'NOBODY'")  # as production left it
    mailroom.configure("installation", name="copy")
    for command in ("serve", "config check"):
        refused = mailroom.run(*command.split(), check=False)
        assert refused.code == 1 and '"test"' in refused.err and '"copy"' in refused.err
    assert "mailroom adopt" in mailroom.run("migrate").out
    told = mailroom.json("adopt")
    assert told == {"installation": "copy", "previous": "test", "held": 2}
    assert mailroom.json("adopt")["held"] == 0, "again: nothing to do"
    with mailroom.daemon():
        fresh = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(fresh, "sent")
        erp.wait_for(copied, "held", "copied_from")
        erp.user("ANNA", name="Anna")  # no setting releases them
        erp.general(from_="x@example.test")
        again = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(again, "sent")
        assert {erp.states()[uid] for uid in copied} == {("held", "copied_from")}
    assert "test" in erp.story(copied[0])["subject"] and len(server.seen.messages) == 2
