"""What `mailroom.enqueue` refuses: every problem at once, each with its field and its reason, as MR001."""

import base64
import json

import psycopg2
import pytest

from store import ACCEPTED, refused

CONTROL = "contains a control character (a line break, a tab or the like)"
NOT_A_TEXT = "must be a text"
NOT_A_TIME = "is not a time such as 2026-12-31T18:00:00+01:00"
EMPTY = "the message is empty: give text, html, a calendar or an attachment"
RESERVED = "is written by mailroom and cannot be given"
NO_FIELD = "there is no such field"
NO_NAME = "is not a header name (1 to 76 printable US-ASCII characters without a colon)"
NO_METHOD = "must be one of PUBLISH, REQUEST, REPLY, ADD, CANCEL, REFRESH, COUNTER, DECLINECOUNTER"
NO_CALENDAR = "must begin with BEGIN:VCALENDAR and end with END:VCALENDAR"
NO_LINK = "must be a link https://... of printable US-ASCII characters; blanks, commas, brackets and others as %XX"
NO_TYPE = "is not a media type such as application/pdf"
PAST = "lies in the past or not after not_before"


def problems(session, message):
    """[(field, reason)] of a refusal, from its DETAIL; each stands in the text as well."""
    with refused("MR001") as caught:
        session.enqueue(message)
    found = [(problem["field"], problem["reason"]) for problem in json.loads(caught.value.diag.message_detail)]
    assert caught.value.diag.message_primary == "mailroom.enqueue: " + "; ".join(f"{field}: {reason}" for field, reason in found)
    return found


def without(*fields):
    return {key: value for key, value in ACCEPTED.items() if key not in fields}


def file(**fields):
    return {"name": "a.pdf", "content": "YQ==", **fields}


def calendar(*lines, method="REQUEST", end="\r\n"):
    return {"calendar": {"method": method, "content": end.join(["BEGIN:VCALENDAR", *lines, "END:VCALENDAR", ""])}}


def link(url="https://shop.example.test/u", **fields):
    return {"unsubscribe": {"url": url, **fields}}


REFUSED = {
    # fields: [(field, reason)]
    "an unknown field": ({"betreff": "x"}, [("betreff", NO_FIELD)]),
    "a field in capitals": ({"Subject": "x"}, [("Subject", NO_FIELD)]),
    "From is not the producer's": ({"from": "boss@example.test"}, [("from", NO_FIELD)]),
    "a subject that is a number": ({"subject": 1}, [("subject", NOT_A_TEXT)]),
    "a subject that is null": ({"subject": None}, [("subject", "is missing")]),
    "a subject of two lines": ({"subject": "a\r\nBcc: x@y.z"}, [("subject", CONTROL)]),
    "a subject with a line feed": ({"subject": "a\nb"}, [("subject", CONTROL)]),
    "a subject with a carriage return": ({"subject": "a\rb"}, [("subject", CONTROL)]),
    "a subject with a tab": ({"subject": "a\tb"}, [("subject", CONTROL)]),
    "a subject with a C1 control": ({"subject": "a\u0085b"}, [("subject", CONTROL)]),
    "a subject too long": ({"subject": "ä" * 1001}, [("subject", "is longer than 2000 octets")]),
    "a user that is a list": ({"user": ["ANNA"]}, [("user", NOT_A_TEXT)]),
    "a user with a line break": ({"user": "ANNA\n"}, [("user", CONTROL)]),
    "a document too long": ({"document": "x" * 201}, [("document", "is longer than 200 octets")]),
    "a batch that is a number": ({"batch": 7}, [("batch", NOT_A_TEXT)]),
    "a key with a control character": ({"idempotency_key": "\x01"}, [("idempotency_key", CONTROL)]),
    "a key that is empty": ({"idempotency_key": ""}, [("idempotency_key", "must not be empty")]),
    "an unknown lane": ({"lane": "fast"}, [("lane", "must be urgent, normal or bulk")]),
    "a lane in capitals": ({"lane": "Bulk"}, [("lane", "must be urgent, normal or bulk")]),
    "an unknown form": ({"form": "NONE"}, [("form", 'there is no form "NONE"')]),
    "an unknown model": ({"model": "NONE"}, [("model", 'there is no model "NONE"')]),
    "a form and a model": ({"form": "A", "model": "B"}, [("form", 'a message names a form ("A") or a model ("B"), not both')]),
    "a text that is a number": ({"text": 1}, [("text", NOT_A_TEXT)]),
    "HTML that is an object": ({"html": {}}, [("html", NOT_A_TEXT)]),
    "a text of blanks": ({"text": " \t\r\n "}, [("text", EMPTY)]),
    "a text that is null": ({"text": None}, [("text", EMPTY)]),
    "headers that are a list": ({"headers": ["X-A: b"]}, [("headers", "must be an object of names and values")]),
    "a header's name with a blank": ({"headers": {"X A": "b"}}, [("headers.X A", NO_NAME)]),
    "a header's name with a colon": ({"headers": {"X-A:": "b"}}, [("headers.X-A:", NO_NAME)]),
    "a header's name with a line break": ({"headers": {"X-A\r\nBcc": "b"}}, [("headers.X-A??Bcc", NO_NAME)]),
    "a header's name with an accent": ({"headers": {"X-Ä": "b"}}, [("headers.X-Ä", NO_NAME)]),
    "a header without a name": ({"headers": {"": "b"}}, [("headers.", NO_NAME)]),
    "a header's name too long": ({"headers": {"X" * 77: "b"}}, [("headers." + "X" * 77, NO_NAME)]),
    "a header with a line break": ({"headers": {"X-A": "b\r\nBcc: x@y.z"}}, [("headers.X-A", CONTROL)]),
    "a header with a tab": ({"headers": {"X-A": "b\tc"}}, [("headers.X-A", CONTROL)]),
    "a header that is a number": ({"headers": {"X-A": 1}}, [("headers.X-A", NOT_A_TEXT)]),
    "a header that is null": ({"headers": {"X-A": None}}, [("headers.X-A", NOT_A_TEXT)]),
    "a header too long": ({"headers": {"X-A": "x" * 8001}}, [("headers.X-A", "is longer than 8000 octets")]),
    "51 headers": ({"headers": {f"X-{i}": "x" for i in range(51)}}, [("headers", "more than 50 headers")]),
    "attachments that are an object": ({"attachments": file()}, [("attachments", "must be an array")]),
    "an attachment that is a text": ({"attachments": ["YQ=="]}, [
        ("attachments[0]", "must be an object with name, type and content"), ("attachments[0].name", "is missing"), ("attachments[0].content", "is missing")]),
    "an attachment's unknown field": ({"attachments": [file(filename="x")]}, [("attachments[0].filename", NO_FIELD)]),
    "an attachment without a name": ({"attachments": [file(name="")]}, [("attachments[0].name", "is missing")]),
    "a file name that is a number": ({"attachments": [file(name=1)]}, [("attachments[0].name", NOT_A_TEXT)]),
    "a file name with a line break": ({"attachments": [file(name="a\r\n.pdf")]}, [("attachments[0].name", CONTROL)]),
    "a file name with a tab": ({"attachments": [file(name="a\t.pdf")]}, [("attachments[0].name", CONTROL)]),
    "a file name too long": ({"attachments": [file(name="x" * 256)]}, [("attachments[0].name", "is longer than 255 octets")]),
    "a media type that is none": ({"attachments": [file(type="pdf")]}, [("attachments[0].type", NO_TYPE)]),
    "a media type with a parameter": ({"attachments": [file(type="text/plain; charset=x")]}, [("attachments[0].type", NO_TYPE)]),
    "a media type with a line break": ({"attachments": [file(type="text/plain\r\nX: y")]}, [("attachments[0].type", NO_TYPE)]),
    "a multipart attachment": ({"attachments": [file(type="multipart/mixed")]}, [("attachments[0].type", NO_TYPE)]),
    "a message as attachment": ({"attachments": [file(type="Message/RFC822")]}, [("attachments[0].type", NO_TYPE)]),
    "content that is not base64": ({"attachments": [file(), file(content="a b!")]}, [("attachments[1].content", "is not base64")]),
    "content that is cut off": ({"attachments": [file(content="YWJ")]}, [("attachments[0].content", "is not base64")]),
    "content that is null": ({"attachments": [file(content=None)]}, [("attachments[0].content", "is missing")]),
    "content that is a number": ({"attachments": [file(content=1234)]}, [("attachments[0].content", NOT_A_TEXT)]),
    "a content id with brackets": ({"attachments": [file(content_id="<a>")]},
                                   [("attachments[0].content_id", "must be 1 to 200 printable US-ASCII characters without < and >")]),
    "a content id that is a number": ({"attachments": [file(content_id=1)]}, [("attachments[0].content_id", NOT_A_TEXT)]),
    "101 attachments": ({"attachments": [file()] * 101}, [("attachments", "more than 100 attachments")]),
    "a time that is none": ({"not_before": "tomorrow-ish"}, [("not_before", NOT_A_TIME)]),
    "a time that is empty": ({"not_before": ""}, [("not_before", NOT_A_TIME)]),
    "a day that does not exist": ({"expires_at": "2999-02-30T00:00:00Z"}, [("expires_at", NOT_A_TIME)]),
    "a month that does not exist": ({"expires_at": "2999-13-01T00:00:00Z"}, [("expires_at", NOT_A_TIME)]),
    "a zone that does not exist": ({"expires_at": "2999-01-01T00:00:00+99:00"}, [("expires_at", NOT_A_TIME)]),
    "a zone's name that does not exist": ({"expires_at": "2999-01-01T00:00:00 Nowhere/City"}, [("expires_at", NOT_A_TIME)]),
    "a time that never comes": ({"not_before": "infinity"}, [("not_before", NOT_A_TIME)]),
    "a time that is a number": ({"not_before": 29990101}, [("not_before", NOT_A_TIME)]),
    "a time that is a list": ({"expires_at": []}, [("expires_at", NOT_A_TIME)]),
    "an expiry in the past": ({"expires_at": "2020-01-01T00:00:00Z"}, [("expires_at", PAST)]),
    "an expiry before the beginning": ({"not_before": "2999-01-02T00:00:00Z", "expires_at": "2999-01-01T00:00:00Z"}, [("expires_at", PAST)]),
    "an expiry at the beginning": ({"not_before": "2999-01-01T00:00:00Z", "expires_at": "2999-01-01T00:00:00Z"}, [("expires_at", PAST)]),
    "a priority that is none": ({"priority": "urgent"}, [("priority", "must be high, normal or low")]),
    "a priority that is a number": ({"priority": 1}, [("priority", "must be high, normal or low")]),
    "a priority twice": ({"priority": "normal", "headers": {"x-priority": "1", "Importance": "high", "X-MSMail-Priority": "High", "priority": "urgent"}},
                         [(f"headers.{name}", 'says what "priority" says: give one of them') for name in ("priority", "Importance", "x-priority", "X-MSMail-Priority")]),
    "a calendar that is a text": ({"calendar": "BEGIN:VCALENDAR"}, [("calendar", "must be an object with method and content")]),
    "a calendar of nothing": ({"calendar": {}}, [("calendar.method", "is missing"), ("calendar.content", "is missing")]),
    "a calendar's unknown field": ({"calendar": {**calendar("METHOD:REQUEST")["calendar"], "name": "x"}}, [("calendar.name", NO_FIELD)]),
    "a calendar's unknown method": (calendar("METHOD:INVITE", method="INVITE"), [("calendar.method", NO_METHOD)]),
    "a method with a parameter": (calendar("METHOD:REQUEST", method="REQUEST; x=y"), [("calendar.method", NO_METHOD)]),
    "a method that is a list": (calendar("METHOD:REQUEST", method=["REQUEST"]), [("calendar.method", NO_METHOD)]),
    "a calendar of another method": (calendar("METHOD:CANCEL"), [("calendar.content", "has METHOD:CANCEL, but the method is REQUEST")]),
    "a calendar of another, folded method": (calendar("MET\r\n HOD;X=Y:CAN\r\n\tCEL"), [("calendar.content", "has METHOD:CANCEL, but the method is REQUEST")]),
    "a calendar without a method": (calendar("X-METHOD:REQUEST", "DESCRIPTION:METHOD:REQUEST"), [("calendar.content", "must have one METHOD")]),
    "a calendar of two methods": (calendar("METHOD:REQUEST", "METHOD:CANCEL"), [("calendar.content", "must have one METHOD")]),
    "a calendar of two lines of a method": (calendar("METHOD:REQUEST", "METHOD:REQUEST", end="\n"), [("calendar.content", "must have one METHOD")]),
    "a calendar that is cut off": ({"calendar": {"method": "REQUEST", "content": "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\n"}}, [("calendar.content", NO_CALENDAR)]),
    "a calendar behind something else": ({"calendar": {"method": "REQUEST", "content": " " + calendar("METHOD:REQUEST")["calendar"]["content"]}},
                                         [("calendar.content", NO_CALENDAR)]),
    "a calendar that is a number": ({"calendar": {"method": "REQUEST", "content": 7}}, [("calendar.content", NOT_A_TEXT)]),
    "a calendar too long": (calendar("METHOD:REQUEST", "X:" + "x" * 1_000_000), [("calendar.content", "is longer than 1000000 octets")]),
    "a link that is a text": ({"unsubscribe": "https://shop.example.test/u"}, [("unsubscribe", "must be an object with url and, if you like, mailto")]),
    "an address without a link": ({"unsubscribe": {"mailto": "leave@example.test"}}, [("unsubscribe.url", "is missing")]),
    "a link's unknown field": (link(text="leave"), [("unsubscribe.text", NO_FIELD)]),
    "a link that is a number": (link(7), [("unsubscribe.url", NOT_A_TEXT)]),
    "a link that is not secure": (link("http://shop.example.test/u"), [("unsubscribe.url", NO_LINK)]),
    "a link of another kind": (link("mailto:leave@example.test"), [("unsubscribe.url", NO_LINK)]),
    "a link to nowhere": (link("https://"), [("unsubscribe.url", NO_LINK)]),
    "a link with a line break": (link("https://shop.example.test/\r\nBcc: x@y.z"), [("unsubscribe.url", NO_LINK)]),
    "a link that ends in a line break": (link("https://shop.example.test/\n"), [("unsubscribe.url", NO_LINK)]),
    "a link with a blank": (link("https://shop.example.test/a b"), [("unsubscribe.url", NO_LINK)]),
    "a link that ends early": (link("https://shop.example.test/>, <http://evil.test/"), [("unsubscribe.url", NO_LINK)]),
    "a link with a comma": (link("https://shop.example.test/?a,b"), [("unsubscribe.url", NO_LINK)]),
    "a link with brackets": (link("https://shop.example.test/?a[]=b"), [("unsubscribe.url", NO_LINK)]),
    "a link with an accent": (link("https://shöp.example.test/"), [("unsubscribe.url", NO_LINK)]),
    "a link too long": (link("https://shop.example.test/" + "x" * 875), [("unsubscribe.url", "is longer than 900 octets")]),
    "an address to leave that is none": (link(mailto="Leave <leave@example.test>"), [("unsubscribe.mailto", '"Leave <leave@example.test>" is not an e-mail address')]),
    "an address to leave that is empty": (link(mailto=""), [("unsubscribe.mailto", "the e-mail address is empty")]),
    "an address to leave that is a number": (link(mailto=7), [("unsubscribe.mailto", NOT_A_TEXT)]),
    "a link twice": ({**link(), "headers": {"list-unsubscribe": "<https://x.test>", "List-Unsubscribe-Post": "x"}},
                     [(f"headers.{name}", 'says what "unsubscribe" says: give one of them') for name in ("list-unsubscribe", "List-Unsubscribe-Post")]),
    "no recipient": ({"to": []}, [("to", "no recipient: give to, cc or bcc")]),
    "recipients that are null": ({"to": None}, [("to", "no recipient: give to, cc or bcc")]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(shared_store, what):
    fields, expected = REFUSED[what]
    assert problems(shared_store.producer, {**ACCEPTED, **fields}) == expected


@pytest.mark.parametrize("name", ["From", "sender", "REPLY-TO", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type",
                                  "content-transfer-encoding", "Return-Path", "Received", "DKIM-Signature", "Resent-From", "Resent-Anything"])
def test_a_header_that_is_ours_is_refused(shared_store, name):
    assert problems(shared_store.producer, {**ACCEPTED, "headers": {name: "x"}}) == [("headers." + name, RESERVED)]


@pytest.mark.parametrize("field", ["subject", "to", "text"])
def test_what_must_be_there_is_named(shared_store, field):
    [(named, _)] = problems(shared_store.producer, without(field))
    assert named == field


@pytest.mark.parametrize("message", [None, [], [ACCEPTED], "a text", 7, True])
def test_a_message_that_is_no_object_is_refused(shared_store, message):
    with refused("MR001", "message: must be a JSON object"):
        shared_store.producer.rows("SELECT mailroom.enqueue(%s::jsonb)", json.dumps(message))


def test_no_message_at_all_is_refused(shared_store):
    with refused("MR001", "message: must be a JSON object"):
        shared_store.producer.rows("SELECT mailroom.enqueue(NULL)")


def test_every_problem_is_named_at_once(shared_store):
    message = {"to": ["good@example.test", "bad"], "cc": "worse@", "reply_to": "none", "subject": "a\nb", "lane": "fast", "form": "NONE", "colour": "red",
               "headers": {"Bcc": "x", "X-A": 1}, "attachments": [file(name="", content="!")], "not_before": "soon"}
    assert [field for field, _ in problems(shared_store.producer, message)] == [
        "colour", "subject", "to[1]", "cc", "reply_to", "headers.Bcc", "headers.X-A", "attachments[0].name", "attachments[0].content", "lane", "not_before", "form"]


def test_a_refusal_says_that_nothing_was_enqueued_and_it_was_not(store):
    with refused("MR001") as caught:
        store.producer.enqueue(lane="fast", idempotency_key="k")
    assert "Nothing was enqueued" in caught.value.diag.message_hint
    for table in ("queue", "content", "attachment", "idempotency"):
        assert store.root.value(f"SELECT count(*) FROM mailroom.{table}") == 0


def test_a_thousand_recipients_are_accepted_and_one_more_is_refused(shared_store):
    def recipients(count):
        return [f"r{i}@example.test" for i in range(count)]

    uid = shared_store.producer.enqueue(to=recipients(998), cc="c@example.test", bcc=["b@example.test"])
    assert shared_store.root.value("SELECT jsonb_array_length(recipients) FROM mailroom.content WHERE uid = %s::uuid", uid) == 1000
    assert problems(shared_store.producer, {**ACCEPTED, "to": recipients(999), "cc": "c@example.test", "bcc": ["b@example.test"]}) == [
        ("to", "1001 recipients, more than 1000")]


@pytest.mark.parametrize("fields, named", [
    ({"text": "x" * 1001}, "text"),
    ({"text": "ä" * 400, "html": "ä" * 101}, "text"),
    ({"text": "x", "attachments": [file(content=base64.b64encode(b"y" * 500).decode())] * 2}, "attachments"),
    ({"text": "x" * 500, **calendar("METHOD:REQUEST", "X:" + "x" * 450)}, "text"),
])
def test_a_message_over_the_limit_is_refused_and_one_of_that_size_is_not(store, fields, named):
    store.root.rows("UPDATE mailroom.installation SET max_message_size = 1000")
    assert [field for field, _ in problems(store.producer, {**ACCEPTED, **fields})] == [named]
    assert store.queue(store.producer.enqueue(text="ä" * 200, attachments=[file(content=base64.b64encode(b"y" * 600).decode())]))["size"] == 1000


def test_octets_that_are_not_utf8_are_refused_by_the_database(shared_store):
    for octets in (b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80"):
        with shared_store.producer.connection.cursor() as cursor, pytest.raises(psycopg2.errors.CharacterNotInRepertoire):
            cursor.execute(b'SELECT mailroom.enqueue(\'{"to": "a@example.test", "text": "x", "subject": "' + octets + b'"}\')')


def test_nul_and_half_a_surrogate_never_become_a_message(shared_store):
    for escape in ("\\u0000", "\\ud800"):
        with pytest.raises((psycopg2.errors.UntranslatableCharacter, psycopg2.errors.InvalidTextRepresentation)):
            shared_store.producer.rows("SELECT mailroom.enqueue(%s::jsonb)", '{"to": "a@example.test", "text": "x", "subject": "' + escape + '"}')
