"""An idempotency key: the same content is enqueued once, other content is an error, whatever happens at the same time."""

import json

import psycopg2
import pytest

from store import ACCEPTED, refused


def messages(store):
    return store.root.value("SELECT count(*) FROM mailroom.queue")


def test_the_same_message_again_gives_the_first_uid_and_no_second_message(store):
    first = store.producer.enqueue(idempotency_key="k")
    assert store.producer.enqueue(idempotency_key="k") == first
    assert messages(store) == 1


def test_other_content_under_the_same_key_is_refused_with_the_first_uid(store):
    first = store.producer.enqueue(idempotency_key="k")
    with refused("MR001", "idempotency_key: ", "other content", first):
        store.producer.enqueue(idempotency_key="k", subject="another")
    assert messages(store) == 1


def test_the_same_content_under_another_key_or_none_is_another_message(store):
    assert len({store.producer.enqueue(idempotency_key="k"), store.producer.enqueue(idempotency_key="l"), store.producer.enqueue(), store.producer.enqueue()}) == 4


def test_a_key_in_one_transaction_twice_is_one_message(store):
    store.producer.begin()
    assert store.producer.enqueue(idempotency_key="k") == store.producer.enqueue(idempotency_key="k")
    store.producer.commit()
    assert messages(store) == 1


def test_the_keys_of_mobile_and_of_the_erp_are_apart(store):
    assert store.producer.enqueue(idempotency_key="k") != store.mobile.enqueue(idempotency_key="k", subject="another")


def test_of_two_transactions_at_once_the_second_waits_and_gets_the_first_ones_uid(store):
    first, second = store.producer, store.session("producer")
    first.begin()
    uid = first.enqueue(idempotency_key="k")
    with store.blocked(second, lambda: second.enqueue(idempotency_key="k")) as later:
        first.commit()
        assert later.result() == uid
    assert messages(store) == 1


def test_of_two_transactions_at_once_the_second_with_other_content_is_refused(store):
    first, second = store.producer, store.session("producer")
    first.begin()
    first.enqueue(idempotency_key="k")
    with store.blocked(second, lambda: second.enqueue(idempotency_key="k", subject="another")) as later:
        first.commit()
        with refused("MR001", "other content"):
            later.result()
    assert messages(store) == 1


def test_a_first_transaction_that_is_rolled_back_leaves_the_key_to_the_second(store):
    first, second = store.producer, store.session("producer")
    first.begin()
    gone = first.enqueue(idempotency_key="k")
    with store.blocked(second, lambda: second.enqueue(idempotency_key="k", subject="another")) as later:
        first.rollback()
        uid = later.result()
    assert uid != gone and store.queue(uid) and not store.queue(gone)


def test_a_serializable_transaction_gets_an_error_to_retry_never_a_second_message(store):
    first, second = store.producer, store.session("producer")
    second.rows("BEGIN ISOLATION LEVEL REPEATABLE READ")
    second.rows("SELECT 1")
    uid = first.enqueue(idempotency_key="k")
    with pytest.raises(psycopg2.errors.SerializationFailure):
        second.enqueue(idempotency_key="k")
    second.rollback()
    assert second.enqueue(idempotency_key="k") == uid and messages(store) == 1


def test_a_key_is_remembered_after_the_message_was_sent(store):
    uid = store.producer.enqueue(idempotency_key="k")
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    store.worker.run("complete", dispatcher, f'[{{"id": {message["id"]}, "lease_no": 1, "outcome": "sent", "counted": 1}}]')
    assert store.producer.enqueue(idempotency_key="k") == uid and messages(store) == 0


def test_a_repeated_message_whose_expiry_has_passed_meanwhile_gives_the_first_uid(store):
    """An ERP that got no answer asks again; the message may long be sent."""
    message = {**ACCEPTED, "expires_at": "2020-01-01T00:00:00Z"}
    uid = store.root.value("INSERT INTO mailroom.idempotency (source, key, uid, digest)"
                           " VALUES (0, 'k', gen_random_uuid(), sha256(convert_to(%s::jsonb::text, 'UTF8'))) RETURNING uid::text", json.dumps(message))
    assert store.producer.enqueue({**message, "idempotency_key": "k"}) == uid


def test_a_repeated_message_whose_form_was_renamed_meanwhile_gives_the_first_uid(store):
    store.administrator.save("row", "INVOICE")
    uid = store.producer.enqueue(idempotency_key="k", form="INVOICE")
    store.root.rows("UPDATE mailroom.rows SET code = 'OTHER'")
    assert store.producer.enqueue(idempotency_key="k", form="INVOICE") == uid
