"""What `mailroom.enqueue` accepts and stores, in the ERP's own transaction."""

import base64
import datetime
import json

import pytest

from store import refused

CALENDAR = {"method": "REQUEST", "content": "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nSUMMARY:ä\r\nEND:VCALENDAR\r\n"}

EVERYTHING = {
    "user": " ANNA ", "to": ["Ben <ben@example.test>", "carl@example.test"], "cc": "dora@example.test", "bcc": {"name": "Émile", "address": "emile@example.test"},
    "reply_to": "Office <office@example.test>", "subject": "Faktura č. 7", "text": "a\r\nb\x01\t", "html": "<p>ä</p>", "headers": {"X-Case": "ü", "X-a": ""},
    "attachments": [{"name": "Rechnung ü.pdf", "type": "Application/PDF", "content": base64.b64encode(bytes(range(256))).decode()},
                    {"name": "logo.png", "type": "image/png", "content": "", "content_id": "logo@mail"}],
    "priority": "high", "calendar": CALENDAR, "unsubscribe": {"url": "https://shop.example.test/u?c=7", "mailto": "leave@example.test"},
    "document": "INV-7", "batch": "run 1", "idempotency_key": "INV-7/1", "lane": "urgent",
    "not_before": "2999-12-31T18:00:00+01:00", "expires_at": "3000-01-01T00:00:00Z",
}


def counts(store):
    return [store.root.value(f"SELECT count(*) FROM mailroom.{table}") for table in ("queue", "content", "attachment", "idempotency")]


def content(store, uid):
    return store.root.rows("SELECT * FROM mailroom.content WHERE uid = %s::uuid", uid)[0]


def test_every_field_is_stored_as_it_was_given(store):
    store.administrator.save("user", "ANNA")
    uid = store.producer.enqueue(EVERYTHING)
    row, said = store.queue(uid), content(store, uid)
    assert said["recipients"] == [
        {"kind": "to", "name": "Ben", "address": "ben@example.test"}, {"kind": "to", "name": "", "address": "carl@example.test"},
        {"kind": "cc", "name": "", "address": "dora@example.test"}, {"kind": "bcc", "name": "Émile", "address": "emile@example.test"}]
    assert said["reply_to"] == [{"kind": "reply_to", "name": "Office", "address": "office@example.test"}]
    assert (said["subject"], said["body_text"], said["body_html"]) == ("Faktura č. 7", "a\r\nb\x01\t", "<p>ä</p>")
    assert (said["headers"], said["document"], row["posted_by"], said["attachments"]) == ({"X-Case": "ü", "X-a": ""}, "INV-7", "login_producer", 2)
    files = store.root.rows("SELECT position, name, media_type, content_id, size, bytes FROM mailroom.attachment a JOIN mailroom.blob b ON b.generation = a.generation"
                            " AND b.id = a.blob_id WHERE message_id = %s ORDER BY 1", row["id"])
    assert [(file["position"], file["name"], file["media_type"], file["content_id"], file["size"], bytes(file["bytes"])) for file in files] == [
        (0, "Rechnung ü.pdf", "application/pdf", None, 256, bytes(range(256))), (1, "logo.png", "image/png", "logo@mail", 0, b"")]
    assert (row["user_code"], row["batch"], row["lane"], row["size"], row["state"], row["place_id"]) == ("ANNA", "run 1", 0, 6 + 9 + 256 + len(CALENDAR["content"].encode()), 0, 0)
    assert (said["priority"], said["calendar"], said["unsubscribe"]) == ("high", CALENDAR, EVERYTHING["unsubscribe"])
    assert row["user_id"] == store.root.value("SELECT id FROM mailroom.users WHERE code = 'ANNA'")
    assert row["run_at"] == datetime.datetime(2999, 12, 31, 17, tzinfo=datetime.timezone.utc) and row["expires_at"].year == 3000


def test_null_means_that_an_optional_field_is_not_there(store):
    optional = ["user", "form", "model", "cc", "bcc", "reply_to", "html", "headers", "attachments", "document", "batch", "idempotency_key", "lane",
                "not_before", "expires_at", "priority", "calendar", "unsubscribe"]
    plain, with_nulls = store.producer.enqueue(), store.producer.enqueue(**dict.fromkeys(optional))
    different = ("id", "uid", "run_at", "enqueued_at")
    for read in (store.queue, lambda uid: content(store, uid)):
        first, second = ({key: value for key, value in read(uid).items() if key not in different} for uid in (plain, with_nulls))
        assert first == second
    assert counts(store)[2:] == [0, 0]


@pytest.mark.parametrize("fields, lane", [
    ({}, 1), ({"batch": "run"}, 2), ({"batch": None}, 1), ({"batch": "run", "lane": "urgent"}, 0), ({"lane": "normal", "batch": "run"}, 1),
    ({"lane": "bulk"}, 2), ({"lane": None, "batch": "run"}, 2)])
def test_the_lane_follows_volume_unless_the_producer_says_otherwise(shared_store, fields, lane):
    assert shared_store.queue(shared_store.producer.enqueue(**fields))["lane"] == lane


@pytest.mark.parametrize("fields", [{"text": "x", "html": None}, {"text": None, "html": "<p>x"}, {"text": "", "attachments": [{"name": "a", "content": "YQ=="}]},
                                    {"subject": ""}, {"to": None, "bcc": "b@example.test"}, {"headers": {}}, {"attachments": []}, {"user": "NOBODY"},
                                    {"user": ""}, {"not_before": "2020-01-01T00:00:00Z"}, {"not_before": "2999-01-01 10:00:00+02"},
                                    {"attachments": [{"name": "a", "content": "Y Q\n=="}]}, {"headers": {"List-Unsubscribe": "<mailto:x@example.test>"}}], ids=str)
def test_these_are_accepted(shared_store, fields):
    assert shared_store.producer.state(shared_store.producer.enqueue(**fields))["state"] in ("ready", "scheduled")


def test_an_unknown_user_is_accepted_and_his_code_kept(shared_store):
    row = shared_store.queue(shared_store.producer.enqueue(user="NOBODY"))
    assert (row["user_id"], row["user_code"]) == (None, "NOBODY")


def test_a_message_for_later_is_scheduled_and_one_for_the_past_is_due_now(shared_store):
    assert shared_store.producer.state(shared_store.producer.enqueue(not_before="2999-01-01T00:00:00Z"))["next_attempt"].startswith("2999-01-01")
    row = shared_store.queue(shared_store.producer.enqueue(not_before="2020-01-01T00:00:00Z"))
    assert row["run_at"] >= row["enqueued_at"] - datetime.timedelta(seconds=1)


def test_what_was_enqueued_late_in_a_long_transaction_is_not_older_than_others(store):
    store.producer.begin()
    store.producer.rows("SELECT 1")
    other = store.operator.enqueue()
    late = store.producer.enqueue()
    store.producer.commit()
    assert store.queue(late)["run_at"] > store.queue(other)["run_at"]


def test_a_rolled_back_transaction_leaves_nothing(store):
    store.producer.begin()
    store.producer.enqueue({**EVERYTHING, "user": None})
    store.producer.rollback()
    assert counts(store) == [0, 0, 0, 0]


def test_a_message_is_seen_by_others_only_after_the_commit(store):
    dispatcher = store.dispatcher()
    store.producer.begin()
    uid = store.producer.enqueue()
    assert store.claim(dispatcher) == [] and store.operator.state(uid) is None
    store.producer.commit()
    assert [message["uid"] for message in store.claim(dispatcher)] == [uid]


def test_a_refusal_in_a_savepoint_leaves_the_rest_of_the_invoice(store):
    store.producer.begin()
    uid = store.producer.enqueue()
    store.producer.rows("SAVEPOINT one")
    with refused("MR001"):
        store.producer.enqueue(lane="fast")
    store.producer.rows("ROLLBACK TO SAVEPOINT one")
    store.producer.commit()
    assert store.queue(uid) and counts(store)[0] == 1


# What a message is (docs/rules.md, Category), decided once.

@pytest.mark.parametrize("kind, field, category", [("row", "form", "mass"), ("model", "model", "dispatch")])
@pytest.mark.parametrize("address, addressed", [("", False), ("   ", False), ("office@example.test", True), ("Office <office@example.test>", True)])
def test_an_address_makes_the_category_and_a_blank_one_makes_it_standard(store, kind, field, category, address, addressed):
    store.administrator.save(kind, "X", from_=address)
    uid = store.producer.enqueue(**{field: " X "})
    assert store.root.value("SELECT category FROM mailroom.depth WHERE uid = %s::uuid", uid) == (category if addressed else "standard")
    assert store.queue(uid)["row_id" if kind == "row" else "model_id"] is not None


def test_the_category_stays_when_the_address_is_blanked_or_entered_later(store):
    store.administrator.save("row", "WITH", from_="office@example.test")
    store.administrator.save("row", "WITHOUT")
    uids = [store.producer.enqueue(form=code) for code in ("WITH", "WITHOUT")]
    store.administrator.save("row", "WITH", from_="")
    store.administrator.save("row", "WITHOUT", from_="office@example.test")
    assert [store.root.value("SELECT category FROM mailroom.depth WHERE uid = %s::uuid", uid) for uid in uids] == ["mass", "standard"]


@pytest.mark.parametrize("source, row, model, addressed, category", [
    (0, None, None, False, "standard"), (0, None, None, True, "standard"), (0, 1, None, False, "standard"), (0, None, 1, False, "standard"),
    (0, 1, None, True, "mass"), (0, None, 1, True, "dispatch"), (1, None, None, False, "mobile"), (1, 1, None, True, "mobile"), (1, None, 1, True, "mobile")])
def test_the_category_follows_from_the_stored_facts(shared_store, source, row, model, addressed, category):
    assert shared_store.worker.value("SELECT mailroom.category(%s::smallint, %s::integer, %s::integer, %s)", source, row, model, addressed) == category


def test_what_mobile_posts_may_carry_any_codes(store):
    uid = store.mobile.enqueue(form="NONE", model="NONE", user="NOBODY")
    assert store.root.value("SELECT category FROM mailroom.depth WHERE uid = %s::uuid", uid) == "mobile"


def test_codes_match_exactly(store):
    store.administrator.save("row", "Invoice")
    with refused("MR001", 'there is no form "INVOICE"'):
        store.producer.enqueue(form="INVOICE")


def test_a_large_attachment_comes_back_octet_by_octet(store):
    octets = bytes(range(256)) * 8192  # 2 MiB
    uid = store.producer.enqueue(attachments=[{"name": "a.bin", "content": base64.b64encode(octets).decode()}])
    row = store.queue(uid)
    [listed] = store.worker.run("attachments", row["generation"], [row["id"]])
    slices = [bytes(store.worker.run("blob_slice", row["generation"], listed["blob_id"], start, 262_144)[0]["substring"]) for start in range(0, len(octets), 262_144)]
    assert b"".join(slices) == octets and listed["size"] == len(octets)


def test_the_order_of_fields_is_not_content(store):
    message = {"to": "a@example.test", "subject": "x", "text": "y", "idempotency_key": "k"}
    assert store.producer.enqueue(message) == store.producer.enqueue(json.loads(json.dumps(dict(reversed(message.items())))))
