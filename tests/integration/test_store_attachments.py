"""`mailroom.put_attachment`: the octets once, for as many messages as carry them."""

import base64
import json

import pytest

from store import refused

PDF = b"%PDF-1.7 " + bytes(range(256)) * 40


def put(session, name="a.pdf", type="application/pdf", content=PDF):
    return session.value("SELECT mailroom.put_attachment(%s, %s, %s)", name, type, content)


def attached(store, uid):
    return store.root.rows("SELECT a.name, a.media_type, a.content_id, a.size, a.generation, b.bytes FROM mailroom.attachment a JOIN mailroom.content c"
                           " ON c.generation = a.generation AND c.id = a.message_id LEFT JOIN mailroom.blob b ON b.generation = a.generation AND b.id = a.blob_id"
                           " WHERE c.uid = %s::uuid ORDER BY position", uid)


def blobs(store):
    return store.root.value("SELECT count(*) FROM mailroom.blob")


def turn(store, generation):
    store.root.rows("UPDATE mailroom.installation SET content_generation = %s", generation)


def test_what_was_put_is_carried_by_every_message_that_names_it(store):
    reference = put(store.producer)
    for extra in ({}, {"content_id": "logo@mail"}):
        uid = store.producer.enqueue(attachments=[{**reference, **extra}], text="12345")
        [file] = attached(store, uid)
        assert (file["name"], file["media_type"], file["content_id"], file["size"], bytes(file["bytes"])) == (
            "a.pdf", "application/pdf", extra.get("content_id"), len(PDF), PDF)
        assert store.queue(uid)["size"] == len(PDF) + 5
    assert blobs(store) == 1


def test_the_same_octets_are_kept_once_however_they_come(store):
    put(store.producer)
    put(store.other_producer, name="b.pdf", type=None)
    store.producer.enqueue(attachments=[{"name": "c.pdf", "content": base64.b64encode(PDF).decode()}])
    assert blobs(store) == 1


def test_inline_and_put_attachments_go_together_in_their_order(store):
    uid = store.producer.enqueue(attachments=[{"name": "1", "content": "YQ=="}, put(store.producer), {"name": "3", "content": "Yg=="}])
    assert [(file["name"], bytes(file["bytes"])) for file in attached(store, uid)] == [("1", b"a"), ("a.pdf", PDF), ("3", b"b")]


def test_one_of_an_older_generation_is_copied_to_the_messages(store):
    reference = put(store.producer)
    turn(store, 1)
    uids = [store.producer.enqueue(attachments=[reference]) for _ in range(3)]
    assert [(file["generation"], bytes(file["bytes"])) for uid in uids for file in attached(store, uid)] == [(1, PDF)] * 3
    assert store.root.rows("SELECT generation, count(*) AS n FROM mailroom.blob GROUP BY 1 ORDER BY 1") == [{"generation": 0, "n": 1}, {"generation": 1, "n": 1}]


def test_one_that_was_cleared_away_is_refused(store):
    reference = put(store.producer)
    turn(store, 1)
    store.root.rows("TRUNCATE mailroom.blob_0")
    with refused("MR001", "attachments[0].blob: is unknown or was cleared away: put the attachment again"):
        store.producer.enqueue(attachments=[reference])


def test_one_that_was_rolled_back_is_unknown(store):
    store.producer.begin()
    reference = put(store.producer)
    store.producer.rollback()
    with refused("MR001", "attachments[0].blob: is unknown"):
        store.producer.enqueue(attachments=[reference])


def test_one_that_another_transaction_has_not_committed_is_unknown_and_kept_twice(store):
    store.producer.begin()
    reference = put(store.producer)
    with refused("MR001", "attachments[0].blob: is unknown"):
        store.other_producer.enqueue(attachments=[reference])
    put(store.other_producer)  # does not wait for the first one's end
    store.producer.commit()
    assert blobs(store) == 2


@pytest.mark.parametrize("wrong", ["", "x", "0-1-abc", "0-1-" + "0" * 64, "16-1-" + "0" * 64, "0-99999999999999999999-" + "0" * 64, "0-0-" + "0" * 64, 7, {}, True, []], ids=str)
def test_a_reference_that_is_none_is_refused(shared_store, wrong):
    with refused("MR001", "attachments[0].blob: is unknown"):
        shared_store.producer.enqueue(attachments=[{"name": "a", "blob": wrong}])


def test_the_digest_in_a_reference_must_be_that_of_the_octets(shared_store):
    reference = put(shared_store.producer)
    number, digest = reference["blob"].rsplit("-", 1)
    with refused("MR001", "attachments[0].blob: is unknown"):
        shared_store.producer.enqueue(attachments=[{**reference, "blob": number + "-" + digest[::-1]}])


def test_content_and_reference_together_are_refused(shared_store):
    with refused("MR001", "attachments[0].blob: give content or blob, not both"):
        shared_store.producer.enqueue(attachments=[{**put(shared_store.producer), "content": "YQ=="}])


@pytest.mark.parametrize("arguments, field, reason", [
    ({"name": ""}, "name", "is missing"), ({"name": None}, "name", "is missing"), ({"name": "a\nb"}, "name", "contains a control character"),
    ({"name": "x" * 256}, "name", "is longer than 255 octets"), ({"type": "pdf"}, "type", "is not a media type such as application/pdf"),
    ({"type": "multipart/mixed"}, "type", "is not a media type"), ({"content": None}, "content", "is missing")], ids=str)
def test_what_no_message_could_carry_is_not_put(shared_store, arguments, field, reason):
    with refused("MR001", f"mailroom.put_attachment: {field}: {reason}") as caught:
        put(shared_store.producer, **arguments)
    assert json.loads(caught.value.diag.message_detail)[0]["field"] == field


def test_what_is_larger_than_a_message_is_not_put_and_the_sum_counts(store):
    store.root.rows("UPDATE mailroom.installation SET max_message_size = 1000")
    with refused("MR001", "content: has 1001 octets, more than 1000"):
        put(store.producer, content=b"x" * 1001)
    reference = put(store.producer, content=b"x" * 600)
    with refused("MR001", "attachments: text, html, calendar and attachments have 1201 octets together, more than 1000"):
        store.producer.enqueue(text="x", attachments=[reference, reference])


def test_the_same_key_and_octets_are_the_same_message_wherever_they_are_kept(store):
    first = store.producer.enqueue(attachments=[put(store.producer)], idempotency_key="k")
    turn(store, 1)
    assert store.producer.enqueue(attachments=[put(store.producer)], idempotency_key="k") == first
    with refused("MR001", "other content"):
        store.producer.enqueue(attachments=[put(store.producer, content=b"other")], idempotency_key="k")
