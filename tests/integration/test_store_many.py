"""`mailroom.enqueue_many`: many messages in one statement, all or none, by the rules of `enqueue`."""

import base64
import json

import pytest

from store import ACCEPTED, refused
from test_store_attachments import PDF, attached, blobs, put
from test_store_enqueue import EVERYTHING, content
from test_store_enqueue_refusals import REFUSED


def many(session, *messages, defaults=None):
    """The uids."""
    return session.value("SELECT mailroom.enqueue_many(%s::jsonb, %s::jsonb[])::text[]", None if defaults is None else json.dumps(defaults),
                         [json.dumps(message) for message in messages])


def to(n, **fields):
    return {"to": f"r{n}@example.test", "subject": str(n), "text": "x", **fields}


def count(store):
    return [store.root.value(f"SELECT count(*) FROM mailroom.{table}") for table in ("queue", "content", "attachment", "idempotency", "blob")]


def problems(session, *messages, **more):
    with refused("MR001", "mailroom.enqueue_many: ") as caught:
        many(session, *messages, **more)
    return [(problem["index"], problem["field"], problem["reason"]) for problem in json.loads(caught.value.diag.message_detail)]


def test_the_uids_come_in_the_messages_order(store):
    uids = many(store.producer, *(to(n) for n in range(300)))
    assert [content(store, uid)["subject"] for uid in uids] == [str(n) for n in range(300)]
    assert [row["uid"] for row in store.root.rows("SELECT uid::text FROM mailroom.queue ORDER BY id")] == uids


@pytest.mark.parametrize("message", [ACCEPTED, EVERYTHING, {**ACCEPTED, "form": " X "}, {**ACCEPTED, "model": "X", "user": "NOBODY"}], ids=["plain", "everything", "form", "model"])
def test_a_message_is_stored_as_enqueue_stores_it(store, message):
    store.administrator.save("user", "ANNA")
    store.administrator.save("row", "X", from_="office@example.test")
    store.administrator.save("model", "X", from_="office@example.test")
    alone = store.producer.enqueue({**message, "idempotency_key": "alone"})
    [among_many] = many(store.producer, {**message, "idempotency_key": "many"})
    for read in (store.queue, lambda uid: content(store, uid)):
        first, second = ({key: value for key, value in read(uid).items() if key not in ("id", "uid", "enqueued_at")
                          and not (key == "run_at" and "not_before" not in message)} for uid in (alone, among_many))
        assert first == second
    assert [{**file, "bytes": bytes(file["bytes"])} for file in attached(store, alone)] == [{**file, "bytes": bytes(file["bytes"])} for file in attached(store, among_many)]


def test_defaults_lie_under_each_message(store):
    uids = many(store.producer, {"to": "a@example.test"}, {"to": "b@example.test", "subject": "own", "batch": None}, defaults={"subject": "common", "text": "t", "batch": "run"})
    assert [content(store, uid)["subject"] for uid in uids] == ["common", "own"]
    assert [store.queue(uid)["batch"] for uid in uids] == ["run", None] and [store.queue(uid)["lane"] for uid in uids] == [2, 1]


@pytest.mark.parametrize("inline", [True, False])
def test_ten_thousand_personal_messages_share_one_attachment(store, inline):
    file = {"name": "a.pdf", "content": base64.b64encode(PDF).decode()} if inline else put(store.producer)
    uids = many(store.producer, *(to(n) for n in range(10_000)), defaults={"attachments": [file], "batch": "run"})
    assert len(set(uids)) == 10_000 and count(store) == [10_000, 10_000, 10_000, 0, 1]
    [last] = attached(store, uids[-1])
    assert bytes(last["bytes"]) == PDF and last["name"] == "a.pdf"


def test_more_than_ten_thousand_are_refused_and_none_is_nothing(store):
    with refused("MR001", "messages: 10001 messages, more than 10000 in one call"):
        many(store.producer, *([{}] * 10_001))
    assert many(store.producer) == [] and store.producer.value("SELECT mailroom.enqueue_many('{}', NULL)::text[]") == []


@pytest.mark.parametrize("what", REFUSED)
def test_what_enqueue_refuses_is_refused_with_the_same_words(shared_store, what):
    fields, expected = REFUSED[what]
    assert problems(shared_store.producer, ACCEPTED, {**ACCEPTED, **fields}, ACCEPTED) == [(2, *problem) for problem in expected]


def test_one_bad_message_refuses_all_and_every_bad_one_is_named(store):
    messages = [to(n) for n in range(1, 51)]
    messages[6] = to(7, lane="fast", to="nobody")
    messages[41] = to(42, form="NONE", idempotency_key="k")
    messages[48] = None
    messages[49] = "text"
    assert problems(store.producer, *messages) == [
        (7, "to", '"nobody" is not an e-mail address'), (7, "lane", "must be urgent, normal or bulk"), (42, "form", 'there is no form "NONE"'),
        (49, "message", "must be a JSON object"), (50, "message", "must be a JSON object")]
    assert count(store) == [0, 0, 0, 0, 0]


def test_the_text_of_a_refusal_stays_short_and_the_detail_names_all(shared_store):
    with refused("MR001", "30 of 40 messages are wrong: messages[1] lane: must be", "messages[20] lane", "; and 10 more problems") as caught:
        many(shared_store.producer, *(to(n, lane="fast") for n in range(30)), *(to(n) for n in range(10)))
    assert "messages[21]" not in caught.value.diag.message_primary
    assert [problem["index"] for problem in json.loads(caught.value.diag.message_detail)] == list(range(1, 31))


@pytest.mark.parametrize("defaults, text", [([], "defaults: must be a JSON object"), ("x", "defaults: must be a JSON object"),
                                            ({"idempotency_key": "k"}, "defaults: an idempotency_key belongs to one message")], ids=str)
def test_defaults_that_cannot_be_are_refused(shared_store, defaults, text):
    with refused("MR001", text):
        many(shared_store.producer, to(1), defaults=defaults)


def test_what_is_wrong_in_the_defaults_is_named_by_message(shared_store):
    assert problems(shared_store.producer, to(1), to(2, attachments=None), defaults={"attachments": [{"name": "a", "content": "!"}]}) == [
        (1, "attachments[0].content", "is not base64")]


def test_known_keys_give_their_first_uid_and_the_others_are_enqueued(store):
    first = store.producer.enqueue(to(1, idempotency_key="1"))
    uids = many(store.producer, to(0), to(1, idempotency_key="1"), to(2, idempotency_key="2"), to(2, idempotency_key="2"))
    assert uids[1] == first and uids[2] == uids[3] and len(set(uids)) == 3
    assert count(store)[:2] == [3, 3]
    assert many(store.producer, to(1, idempotency_key="1"), to(2, idempotency_key="2")) == uids[1:3] and count(store)[:2] == [3, 3]


def test_keys_count_what_the_defaults_add(store):
    [uid] = many(store.producer, {"to": "a@example.test", "idempotency_key": "k"}, defaults={"subject": "s", "text": "t"})
    assert store.producer.enqueue({"to": "a@example.test", "subject": "s", "text": "t", "idempotency_key": "k"}) == uid


def test_a_key_of_other_content_refuses_all_by_index(store):
    first = store.producer.enqueue(to(1, idempotency_key="1"))
    assert problems(store.producer, to(5), to(6, idempotency_key="1"), to(7, idempotency_key="2"), to(8, idempotency_key="2"))[0] == (
        2, "idempotency_key", f'"1" was used for a message of other content, {first}')
    assert count(store) == [1, 1, 0, 1, 0]


def test_two_calls_with_the_same_keys_in_other_orders_enqueue_each_once(store):
    first, second = store.producer, store.session("producer")
    first.begin()
    uids = many(first, *(to(n, idempotency_key=str(n)) for n in range(50)))
    with store.blocked(second, lambda: many(second, *(to(n, idempotency_key=str(n)) for n in reversed(range(50))))) as later:
        first.commit()
        assert later.result() == uids[::-1]
    assert count(store)[0] == 50


def test_all_is_gone_with_the_transaction(store):
    store.producer.begin()
    many(store.producer, *(to(n, idempotency_key=str(n), attachments=[{"name": "a", "content": "YQ=="}]) for n in range(5)))
    store.producer.rollback()
    assert count(store) == [0, 0, 0, 0, 0]


def notifications(session):
    session.rows("SELECT 1")
    heard = [notification.channel for notification in session.connection.notifies]
    session.connection.notifies.clear()
    return heard


@pytest.mark.parametrize("wants, expected", [(True, ["mailroom_wake"]), (False, [])])
def test_a_dispatcher_that_is_idle_is_woken_once(store, wants, expected):
    dispatcher = store.dispatcher()
    store.worker.run("beat", dispatcher, wants)
    store.worker.rows("LISTEN mailroom_wake")
    many(store.producer, *(to(n) for n in range(10)))
    assert notifications(store.worker) == expected


def test_of_messages_that_come_together_only_the_first_wakes_and_a_later_one_again(store):
    store.dispatcher()
    store.worker.rows("LISTEN mailroom_wake")
    store.root.rows("SELECT setval('mailroom.woken', 1)")
    store.root.rows("SELECT mailroom.enqueue(m), mailroom.enqueue(m) FROM (SELECT %s::jsonb AS m) given", json.dumps(ACCEPTED))
    assert notifications(store.worker) == ["mailroom_wake"]
    store.root.rows("SELECT setval('mailroom.woken', (extract(epoch FROM clock_timestamp()) * 1000)::bigint - 6)")
    store.producer.enqueue()
    assert notifications(store.worker) == ["mailroom_wake"]


def test_a_clock_that_was_set_back_does_not_keep_anybody_asleep(store):
    store.dispatcher()
    store.worker.rows("LISTEN mailroom_wake")
    store.root.rows("SELECT setval('mailroom.woken', (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 3600000)")
    store.producer.enqueue()
    assert notifications(store.worker) == ["mailroom_wake"]


def test_thirty_days_without_a_dispatcher_change_nothing_for_the_producer(store):
    """Nobody turned a generation or swept anything."""
    uids = many(store.producer, *(to(n, batch="run", idempotency_key=str(n)) for n in range(20)))
    reference = put(store.producer)
    for table, columns in (("queue", ("run_at", "enqueued_at")), ("idempotency", ("created_at",)), ("generation", ("opened_at",))):
        store.root.rows(f"UPDATE mailroom.{table} SET " + ", ".join(f"{column} = {column} - interval '30 days'" for column in columns))
    assert store.producer.state(uids[0])["state"] == "ready"
    assert store.producer.enqueue(to(0, batch="run", idempotency_key="0")) == uids[0]
    assert store.producer.state(store.producer.enqueue(attachments=[reference]))["state"] == "ready"
    assert store.producer.value("SELECT mailroom.cancel(%s::uuid)", uids[3]) == "cancelled"
    assert store.producer.value("SELECT mailroom.cancel_batch('run')") == {"cancelled": 19, "too_late": 0, "ended": 1}
    told = store.producer.value("SELECT mailroom.outcomes(NULL, 100)")["outcomes"]
    assert sorted(outcome["uid"] for outcome in told) == sorted(uids) and {outcome["event"] for outcome in told} == {"cancelled"}
