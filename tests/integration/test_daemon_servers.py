"""What the daemon sends through servers of four makers arrives octet by octet as it was composed, once for each recipient.

Exim, OpenSMTPD and Dovecot beside Postfix, which ./dev test --all asks for (MAILROOM_MORE_SERVERS=1).
"""

import base64
import os
import random
import re
import smtplib

import pytest

import mime_oracle
from dovecot import PrivateDovecot
from erp import Erp, letter
from exim import PrivateExim
from opensmtpd import PrivateOpenSmtpd
from postfix import PrivatePostfix
from submission_server import SIZE_LIMIT

pytestmark = pytest.mark.skipif(not os.environ.get("MAILROOM_MORE_SERVERS"), reason="MAILROOM_MORE_SERVERS=1 runs it, as ./dev test --all does")

ANNA = "anna@example.test"
# What servers write above a message; `From ` would be a fault of theirs.
TRACE = re.compile(rb"((Return-[Pp]ath|Delivered-To|X-Original-To|Envelope-to|Received): [^\n]*\n([ \t][^\n]*\n)*)*")


class TracedPostfix(PrivatePostfix):
    logins = True

    def connections(self):
        return sum(": connect from" in line for line in self.log().splitlines())


def started(kind, certificates):
    if kind is TracedPostfix:
        return kind(certificates.server(), refused={"nobody@": "550 5.1.1 User unknown"}, message_size_limit=SIZE_LIMIT)
    return kind(certificates.server())


@pytest.fixture(scope="module", params=[TracedPostfix, PrivateExim, PrivateOpenSmtpd, PrivateDovecot],
                ids=["postfix", "exim", "opensmtpd", "dovecot"])
def server(request, certificates):
    with started(request.param, certificates) as running:
        yield running


@pytest.fixture
def erp(mailroom, database, server):
    server.forget()
    made = Erp(mailroom, database).prepare()
    if server.logins:
        made.user("ANNA", mode="smtp", email=ANNA, server="localhost", port=server.port)
        made.password("user", "ANNA", secret=server.add_user(ANNA))
    else:
        made.user("ANNA", mode="smtp", email=ANNA, server="localhost", port=server.port, login=False, use_ssl=False)
    return made


def person(address, name=""):
    return {"name": name, "address": address}


def composed(uid, message, date):
    """The octets of a message by compose_sample, which shares the composer with the daemon but nothing of what is before it."""
    sample = {"uid": uid, "message_id": f"{uid}@mail.example.test", "date": date, "from": person(ANNA), "sender": None,
              "to": message["to"], "cc": message.get("cc", []), "reply_to": [], "subject": message["subject"], "headers": {},
              "text": message.get("text"), "html": message.get("html"), "attachments": message.get("attachments", [])}
    return mime_oracle.compose([sample])[0]


def arrived_whole(arrived, uid, message):
    """The lines above are the servers', and all others are ours."""
    trace = TRACE.match(arrived.octets)
    ours = arrived.octets[trace.end():].replace(b"\n", b"\r\n")
    assert ours == composed(uid, message, int(arrived.message["Date"].datetime.timestamp()))


def recipients(message):
    return len(message["to"]) + len(message.get("cc", []))


def by_subject(messages):
    found = {}
    for one in messages:
        found.setdefault(str(one.message["Subject"]), []).append(one)
    return found


def attachment(name, octets, **more):
    return {"name": name, "type": "application/octet-stream", "content": base64.b64encode(octets).decode(), **more}


SOURCE = random.Random(4)
DOTS = ".\r\n..\r\n.dot\r\n...\r\ntext\r\n.\r\n.\r\n\r\nFrom here\r\n.\r\n"
MESSAGES = {
    "plain": {"to": [person("b@one.test")], "subject": "plain", "text": "hello\r\n"},
    "only a file": {"to": [person("b@one.test")], "subject": "only a file", "attachments": [attachment("empty.txt", b"")]},
    "html": {"to": [person("b@one.test")], "cc": [person("c@one.test")], "subject": "html", "text": "text\r\n",
             "html": '<p>Grüße <img src="cid:logo@example.test"></p>\r\n',
             "attachments": [attachment("Größe.pdf", b"%PDF"), attachment("logo.png", b"\x89PNG", content_id="logo@example.test")]},
    "names": {"to": [person("b@one.test", "Zoë Ørsted"), person("c@one.test", 'Dvořák, Antonín "Toni"'), person("d@one.test", "日本 太郎 " * 9)],
              "cc": [person("e@one.test", "Smith, J. (Sales)"), person("f@one.test", "Иван Петрович")],
              "subject": "Größe 日本語 🎉 " * 12 + "Ende", "text": "Grüße, 日本語\r\n" * 30},
    "dots": {"to": [person("b@one.test")], "subject": "dots", "text": DOTS},
    "dots in html": {"to": [person("b@one.test")], "subject": "dots in html", "html": "<style>\r\n.class { }\r\n</style>\r\n" + DOTS},
    "long lines": {"to": [person("b@one.test")], "subject": "long " * 60 + "end", "text": "x" * 5000 + "\r\n" + "y" * 998 + "\r\n"},
    "a megabyte": {"to": [person("b@one.test")], "subject": "a megabyte", "text": "hello\r\n",
                   "attachments": [attachment("random.bin", SOURCE.randbytes(1_000_000))]},
    "many files": {"to": [person("b@one.test")], "subject": "many files", "text": "hello\r\n",
                   "attachments": [attachment(f"file-{number}.bin", SOURCE.randbytes(number * 57)) for number in range(30)]},
}


def test_messages_of_all_kinds_arrive_octet_by_octet(erp, mailroom, server):
    uids = erp.enqueue_many([{"user": "ANNA", **message} for message in MESSAGES.values()])
    with mailroom.daemon():
        erp.wait_for(uids, "sent", timeout=60)
        arrived = by_subject(server.wait_for(sum(map(recipients, MESSAGES.values()))))
    for uid, message in zip(uids, MESSAGES.values()):
        copies = arrived.pop(message["subject"])
        assert len(copies) == recipients(message)
        for one in copies:
            arrived_whole(one, uid, message)
    assert not arrived


def test_fifty_messages_over_one_connection_arrive_once_each(erp, mailroom, server):
    mailroom.configure("dispatcher", connections=1, connections_per_account=1)
    messages = [{"to": [person(f"b{number}@one.test")], "subject": f"number {number}", "text": f"{number}\r\n.\r\n" * (number + 1)}
                for number in range(50)]
    uids = erp.enqueue_many([{"user": "ANNA", **message} for message in messages])
    before = server.connections()
    with mailroom.daemon():
        erp.wait_for(uids, "sent", timeout=60)
        arrived = by_subject(server.wait_for(50))
    assert server.connections() - before == 1
    assert server.count() == 50
    for uid, message in zip(uids, messages):
        [one] = arrived[message["subject"]]
        arrived_whole(one, uid, message)


def test_a_refused_recipient_among_good_ones_is_told_and_the_others_have_it(erp, mailroom, server):
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", to=["b@one.test", "nobody@one.test"], bcc="c@one.test", subject="some", text="hello")
        erp.wait_for(uid, "partly_sent")
        arrived = server.wait_for(2)
        after = erp.enqueue(user="ANNA", to="b@one.test", subject="after", text="hello")
        erp.wait_for(after, "sent")
    told = {one["address"]: (one["state"], one["code"]) for one in erp.story(uid)["recipients"]}
    assert told["nobody@one.test"] == ("refused", 550)
    assert [told[address][0] for address in ("b@one.test", "c@one.test")] == ["accepted", "accepted"]
    assert all(one.message["Bcc"] is None for one in arrived)
    assert len(by_subject(arrived)["some"]) == 2


def test_all_recipients_refused_fails_and_the_next_message_goes(erp, mailroom, server):
    with mailroom.daemon():
        uid, after = erp.enqueue_many([{"user": "ANNA", **letter("nobody@one.test")}, {"user": "ANNA", **letter("b@one.test")}])
        erp.wait_for(uid, "failed")
        erp.wait_for(after, "sent")
        server.wait_for(1)
    assert server.count() == 1 and erp.story(uid)["events"][-1]["code"] == 550


def test_what_is_over_the_servers_limit_fails_for_good_and_the_next_message_goes(erp, mailroom, server):
    with mailroom.daemon():
        big = {"to": "b@one.test", "subject": "big", "text": "hello", "attachments": [attachment("big.bin", SOURCE.randbytes(SIZE_LIMIT))]}
        uid, after = erp.enqueue_many([{"user": "ANNA", **big}, {"user": "ANNA", **letter("b@one.test")}])
        erp.wait_for(uid, "failed")
        erp.wait_for(after, "sent")
        server.wait_for(1)
    assert server.count() == 1
    assert f"the server takes at most {SIZE_LIMIT}" in erp.story(uid)["events"][-1]["reply"]


def test_a_wrong_password_pauses_the_account_until_it_is_right(erp, mailroom, server):
    if not server.logins:
        pytest.skip(f"{server.name} knows no logins here")
    right = server.add_user(ANNA)
    erp.password("user", "ANNA", secret="wrong")
    with mailroom.daemon():
        uids = erp.enqueue_many([{"user": "ANNA", **letter("b@one.test")}] * 3)
        erp.wait_for(uids, "held", "auth_failed")
        assert server.count() == 0
        erp.password("user", "ANNA", secret=right)
        erp.wait_for(uids, "sent")
        server.wait_for(3)
    assert server.count() == 3


def test_each_server_offers_what_its_maker_says(server):
    """So that these tests are known to run with PIPELINING and without."""
    with smtplib.SMTP("localhost", server.port, timeout=20) as connection:
        connection.ehlo()
        offers = (connection.has_extn("pipelining"), connection.has_extn("size"), connection.has_extn("starttls"))
    assert offers == (server.logins, True, server.logins)
