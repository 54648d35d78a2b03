"""What was enqueued and what a real server keeps, compared field by field."""

import email
import email.utils
import os
import random
from datetime import datetime, timedelta, timezone
from email.header import decode_header, make_header

import pytest

from erp import Erp, letter

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
                    "0000000d49444154789c626001000000ffff03000006000557bfabd40000000049454e44ae426082")


@pytest.fixture
def erp(mailroom, database, postfix):
    postfix.forget()
    made = Erp(mailroom, database).prepare()
    made.general(mode="smtp", server="localhost", port=postfix.port, account="erp@example.test",
                 from_="Müller & Söhne <buero@example.test>")
    made.password("general", secret=postfix.add_user("erp@example.test"))
    made.form("INV", from_="Rechnungen Müller <invoices@example.test>", mode="general")
    return made


def base64(octets):
    import base64 as codec
    return codec.b64encode(octets).decode()


def people(header):
    """Names and addresses, decoded after they were split (email's own addresses keep the blank between encoded words)."""
    found = email.utils.getaddresses([header])
    return [(str(make_header(decode_header(name))), address) for name, address in found]


def parts(message):
    return {part.get_filename() or part.get_content_type(): part for part in message.walk() if not part.is_multipart()}


@pytest.mark.smoke
def test_one_message_travels_from_a_transaction_to_a_mailbox_as_it_was_enqueued(erp, mailroom, postfix):
    pdf = b"%PDF-1.7\r\n" + os.urandom(3000) + b"\n.\r\n..\r\n"
    with mailroom.daemon():
        before = datetime.now(timezone.utc)
        uid = erp.enqueue(
            form="INV", to=["Zoë Ørsted <zoe@one.test>", {"name": "Dvořák, Antonín \"Toni\"", "address": "toni@two.test"}],
            cc="Копия <copy@three.test>", bcc=["secret@four.test"], reply_to="Büro <answers@example.test>",
            subject="Rechnung Nº 2026/17 – fällig: 1.000 €, 日本語 " + "und so weiter " * 10,
            text="Sehr geehrte Damen und Herren,\n.\n.. zwei Punkte\nFrom here\n" + "lange Zeile " * 200 + "\n",
            html='<p>Grüße <img src="cid:logo@mailroom"></p>',
            headers={"X-ERP-Document": "INV-17", "X-Note": "größer als US-ASCII"},
            attachments=[{"name": "Rechnung größer.pdf", "type": "application/pdf", "content": base64(pdf)},
                         {"name": "logo.png", "type": "image/png", "content": base64(PNG), "content_id": "logo@mailroom"}],
            document="invoice 17")
        erp.wait_for(uid, "sent")
        arrived = postfix.wait_for(4)

    assert sorted(one.recipient for one in arrived) == ["copy@three.test", "secret@four.test", "toni@two.test", "zoe@one.test"]
    assert len({one.octets.partition(b"Subject:")[2] for one in arrived}) == 1, "everybody got the same"
    message = arrived[0].message
    raw = email.message_from_bytes(arrived[0].octets)
    assert people(raw["From"]) == [("Rechnungen Müller", "invoices@example.test")]
    assert people(raw["To"]) == [("Zoë Ørsted", "zoe@one.test"), ('Dvořák, Antonín "Toni"', "toni@two.test")]
    assert people(raw["Cc"]) == [("Копия", "copy@three.test")]
    assert people(raw["Reply-To"]) == [("Büro", "answers@example.test")]
    assert message["Bcc"] is None and all(b"secret@four.test" not in one.octets for one in arrived if one.recipient != "secret@four.test")
    assert message["Subject"] == "Rechnung Nº 2026/17 – fällig: 1.000 €, 日本語 " + "und so weiter " * 10
    assert message["Message-ID"] == f"<{uid}@mail.example.test>"
    assert before - timedelta(seconds=1) <= email.utils.parsedate_to_datetime(message["Date"]) <= datetime.now(timezone.utc)
    assert message["X-ERP-Document"] == "INV-17" and str(message["X-Note"]) == "größer als US-ASCII"
    kept = parts(message)
    assert kept["text/plain"].get_content().replace("\r\n", "\n") == (
        "Sehr geehrte Damen und Herren,\n.\n.. zwei Punkte\nFrom here\n" + "lange Zeile " * 200 + "\n")
    assert kept["text/html"].get_content().strip() == '<p>Grüße <img src="cid:logo@mailroom"></p>'
    assert kept["Rechnung größer.pdf"].get_content_type() == "application/pdf"
    assert kept["Rechnung größer.pdf"].get_content_disposition() == "attachment"
    assert kept["Rechnung größer.pdf"].get_payload(decode=True) == pdf
    assert kept["logo.png"]["Content-ID"] == "<logo@mailroom>" and kept["logo.png"].get_content_disposition() == "inline"
    assert kept["logo.png"].get_payload(decode=True) == PNG
    assert all(max(map(len, one.octets.splitlines())) < 998 and one.octets.isascii() for one in arrived)


def test_attachments_of_every_size_arrive_octet_by_octet(erp, mailroom, postfix):
    """Slices of 256 KiB, and what divides by 57 octets (one line of base64) or does not."""
    source = random.Random(17)
    sizes = [1, 56, 57, 58, 65_536, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 1_500_000]
    files = {f"file-{size}.bin": source.randbytes(size) for size in sizes}
    with mailroom.daemon():
        uid = erp.enqueue(form="INV", **letter(attachments=[{"name": name, "content": base64(octets)} for name, octets in files.items()]))
        erp.wait_for(uid, "sent")
        [arrived] = postfix.wait_for(1)
    kept = parts(arrived.message)
    assert {name: kept[name].get_payload(decode=True) for name in files} == files


def test_an_empty_attachment_and_an_html_without_text_arrive(erp, mailroom, postfix):
    with mailroom.daemon():
        uid = erp.enqueue(form="INV", to="b@one.test", subject="", html="<p>only this</p>",
                          attachments=[{"name": "empty.txt", "type": "text/plain", "content": ""}])
        erp.wait_for(uid, "sent")
        [arrived] = postfix.wait_for(1)
    kept = parts(arrived.message)
    assert kept["empty.txt"].get_payload(decode=True) == b""
    assert kept["text/html"].get_content().strip() == "<p>only this</p>"
    assert (arrived.message["Subject"] or "") == ""


def test_an_invitation_and_a_newsletter_arrive_with_what_readers_look_at(erp, mailroom, postfix):
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "METHOD:REQUEST", "BEGIN:VEVENT", "SUMMARY:Übergabe in Köln", "END:VEVENT", "END:VCALENDAR", ""]
    with mailroom.daemon():
        uid = erp.enqueue(form="INV", **letter(priority="high", calendar={"method": "request", "content": "\n".join(lines)}, html="<p>x",
                                               unsubscribe={"url": "https://shop.example.test/" + "u" * 800, "mailto": "leave+7@bücher.example"}))
        erp.wait_for(uid, "sent")
        [arrived] = postfix.wait_for(1)
    message = arrived.message
    assert (message["X-Priority"], message["Importance"], message["X-MSMail-Priority"]) == ("1 (Highest)", "high", "High")
    assert message["List-Unsubscribe"] == "<https://shop.example.test/" + "u" * 800 + ">, <mailto:leave+7@xn--bcher-kva.example>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    alternatives, file = message.get_payload()
    assert [part.get_content_type() for part in alternatives.get_payload()] == ["text/plain", "text/html", "text/calendar"]
    event = alternatives.get_payload()[-1]
    assert (event.get_param("method"), event.get_content_charset()) == ("REQUEST", "utf-8")
    assert (file.get_content_type(), file.get_content_disposition(), file.get_filename()) == ("application/ics", "attachment", "invite.ics")
    assert file.get_payload(decode=True) == "\r\n".join(lines).encode()
    assert event.get_payload(decode=True).decode().splitlines() == lines[:-1]


def test_an_address_of_an_international_domain_travels_in_ascii(erp, mailroom, postfix):
    with mailroom.daemon():
        uid = erp.enqueue(form="INV", **letter(to=["Jürgen <jurgen@Bücher.example>", "jurgen@xn--bcher-kva.example"], cc="anna@例子.test"))
        erp.wait_for(uid, "sent")
        arrived = postfix.wait_for(2)
    assert sorted(one.recipient for one in arrived) == ["anna@xn--fsqu00a.test", "jurgen@xn--bcher-kva.example"], "the two spellings are one address"
    raw = email.message_from_bytes(arrived[0].octets)
    assert people(raw["To"]) == [("Jürgen", "jurgen@xn--bcher-kva.example"), ("", "jurgen@xn--bcher-kva.example")]
    assert arrived[0].octets.isascii()
    assert "jurgen@Bücher.example" in str(mailroom.run("show", uid)), "people see what was written"


def test_a_domain_that_no_name_server_can_know_fails_with_its_name(erp, mailroom, postfix):
    with mailroom.daemon():
        uid = erp.enqueue(form="INV", **letter(to=["good@one.test", "snowman@☃.example"]))
        erp.wait_for(uid, "failed")
    assert '"snowman@☃.example" is not an e-mail address: mail servers know no such domain name' in erp.state(uid)["reply"]


def test_a_blind_copy_alone_arrives_and_nobody_is_named(erp, mailroom, postfix):
    with mailroom.daemon():
        uid = erp.enqueue(form="INV", bcc=["one@four.test", "two@four.test"], subject="to nobody by name", text="hello")
        erp.wait_for(uid, "sent")
        arrived = postfix.wait_for(2)
    assert sorted(one.recipient for one in arrived) == ["one@four.test", "two@four.test"]
    for one in arrived:
        other = {"one@four.test", "two@four.test"} - {one.recipient}
        assert one.message["Bcc"] is None and other.pop().encode() not in one.octets


def test_an_address_that_stands_twice_gets_one_copy(erp, mailroom, postfix):
    with mailroom.daemon():
        uid = erp.enqueue(form="INV", to="b@one.test", cc=["B@one.test", "c@one.test"], subject="twice", text="hello")
        erp.wait_for(uid, "sent")
        arrived = postfix.wait_for(2)
    assert sorted(one.recipient.lower() for one in arrived) == ["b@one.test", "c@one.test"]
    assert postfix.count() == 2


def test_some_recipients_refused_is_partly_sent_and_each_has_the_servers_words(erp, mailroom, postfix):
    with mailroom.daemon():
        uid = erp.enqueue(form="INV", to=["good@one.test", "nobody@one.test"], bcc="also@two.test", subject="some", text="hello")
        erp.wait_for(uid, "partly_sent")
        arrived = postfix.wait_for(2)
    assert sorted(one.recipient for one in arrived) == ["also@two.test", "good@one.test"]
    story = erp.story(uid)
    told = {r["address"]: (r["kind"], r["state"], r["code"], r["enhanced"]) for r in story["recipients"]}
    assert told["nobody@one.test"] == ("to", "refused", 550, "5.1.1")
    assert [told[a][:2] for a in ("good@one.test", "also@two.test")] == [("to", "accepted"), ("bcc", "accepted")]
    assert "User unknown" in next(r["reply"] for r in story["recipients"] if r["address"] == "nobody@one.test")


def test_all_recipients_refused_is_failed(erp, mailroom, postfix):
    with mailroom.daemon():
        uid = erp.enqueue(form="INV", to=["nobody@one.test", "nobody@two.test"], subject="none", text="hello")
        erp.wait_for(uid, "failed")
    story = erp.story(uid)
    assert [r["state"] for r in story["recipients"]] == ["refused", "refused"]
    assert story["events"][-1]["code"] == 550 and "User unknown" in story["events"][-1]["reply"]
    assert postfix.count() == 0


def test_a_recipient_put_off_is_tried_again_alone_and_the_headers_stay(erp, mailroom, postfix):
    with mailroom.daemon():
        uid = erp.enqueue(form="INV", to=["now@one.test", "later@one.test"], subject="two steps", text="hello")
        erp.wait_for(uid, "deferred")
        [first] = postfix.wait_for(1)
        states = {r["address"]: r["state"] for r in erp.story(uid)["recipients"]}
        assert states == {"now@one.test": "accepted", "later@one.test": "open"}
        erp.database.rows("UPDATE mailroom.queue SET attempts = 19")  # the next is the last of 20
        erp.hurry_until(uid, "partly_sent")
    assert first.recipient == "now@one.test" and "later@one.test" in str(first.message["To"])
    assert postfix.count() == 1
    story = erp.story(uid)
    assert {r["address"]: r["state"] for r in story["recipients"]} == {"now@one.test": "accepted", "later@one.test": "refused"}
    assert [e["event"] for e in story["events"]] == ["deferred", "partly_sent"]
