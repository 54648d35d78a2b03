"""Priority, calendar and the link to unsubscribe: what of them is accepted, told apart, inherited and kept. What is refused: test_store_enqueue_refusals."""

import pytest

from store import refused
from test_store_enqueue import CALENDAR, content
from test_store_enqueue_refusals import calendar, link
from test_store_many import many, to


@pytest.mark.parametrize("method", ["PUBLISH", "REQUEST", "REPLY", "ADD", "CANCEL", "REFRESH", "COUNTER", "DECLINECOUNTER", "request"])
def test_every_method_of_rfc_5546_in_any_case_is_accepted(shared_store, method):
    given = calendar(f"METHOD:{method.upper()}", method=method)
    assert content(shared_store, shared_store.producer.enqueue(**given))["calendar"] == given["calendar"]


@pytest.mark.parametrize("given", [
    calendar("METHOD:REQUEST", end="\n"), calendar("METHOD:REQUEST", end="\r"), calendar("method;X-A=b:Request "), calendar("METH\r\n OD:REQ\n\tUEST"),
    calendar("METHOD:REQUEST", "DESCRIPTION:x\r\n METHOD:CANCEL"), calendar("METHOD:REQUEST", "SUMMARY:日本語 😀"),
    {"calendar": {"method": "REQUEST", "content": "begin:vcalendar\nMethod:request\nend:vcalendar"}}, calendar("METHOD:REQUEST", "X:" + "x" * 999_900),
    link("https://a"), link("https://shop.example.test:8443/u/(4711)?c='1'&t=a%2Cb;x=*!$+~#end"), link("https://shop.example.test/" + "x" * 874), link(mailto=None),
    link(mailto="jürgen+leave@müller.example"), {"priority": "high"}, {"priority": "normal"}, {"priority": "low"}], ids=lambda given: ascii(given)[:60])
def test_these_are_accepted_and_kept_as_they_are(shared_store, given):
    kept = content(shared_store, shared_store.producer.enqueue(**given))
    assert {key: kept[key] for key in given} == given


def test_a_calendar_alone_is_a_message(shared_store):
    assert shared_store.producer.enqueue({"to": "a@example.test", "subject": "x", "calendar": CALENDAR})


@pytest.mark.parametrize("headers", [{"X-Priority": "1", "Importance": "high"}, {"List-Unsubscribe": "<https://x.test>", "List-Unsubscribe-Post": "x"}], ids=str)
def test_the_headers_alone_are_the_producers_as_any_other(shared_store, headers):
    other = {"priority": "high"} if "List-Unsubscribe" in headers else link()
    for more in ({}, dict.fromkeys(("priority", "calendar", "unsubscribe")), other):
        assert content(shared_store, shared_store.producer.enqueue(**{"headers": headers, **more}))["headers"] == headers


@pytest.mark.parametrize("field, first, second", [
    ("priority", "high", "low"), ("unsubscribe", {"url": "https://a.test/1"}, {"url": "https://a.test/2"}),
    ("calendar", calendar("METHOD:REQUEST", "SEQUENCE:0")["calendar"], calendar("METHOD:REQUEST", "SEQUENCE:1")["calendar"])])
def test_another_value_is_other_content_under_the_same_key(store, field, first, second):
    uid = store.producer.enqueue(**{"idempotency_key": "k", field: first})
    assert store.producer.enqueue(**{"idempotency_key": "k", field: first}) == uid
    for other in (second, None):
        with refused("MR001", "idempotency_key: ", "other content", uid):
            store.producer.enqueue(**{"idempotency_key": "k", field: other})


def test_many_messages_inherit_them_and_each_may_say_otherwise(store):
    defaults = {"priority": "low", "calendar": CALENDAR, "unsubscribe": {"url": "https://a.test/all"}}
    first, second, third = (content(store, uid) for uid in many(
        store.producer, to(1), to(2, priority="high", unsubscribe={"url": "https://a.test/2"}), to(3, priority=None, calendar=None, unsubscribe=None), defaults=defaults))
    assert [first[field] for field in defaults] == list(defaults.values())
    assert [second[field] for field in defaults] == ["high", CALENDAR, {"url": "https://a.test/2"}]
    assert [third[field] for field in defaults] == [None, None, None]


def test_content_that_is_moved_to_another_generation_is_moved_whole(store):
    """Columns are named one by one where content is copied: none may be forgotten there."""
    source = store.root.value("SELECT prosrc FROM pg_proc WHERE oid = 'mailroom.unpin_generation(interval, bigint)'::regprocedure")
    copied = source.partition("INSERT INTO content (")[2].partition(")")[0].replace(",", " ").split()
    read = source.partition("SELECT present, ")[2].partition("FROM")[0].replace(",", " ").split()
    columns = [row["attname"] for row in store.root.rows("SELECT attname FROM pg_attribute WHERE attrelid = 'mailroom.content'::regclass AND attnum > 0")]
    assert sorted(copied) == sorted(columns)
    assert ["c." + column for column in copied[1:]] == read
