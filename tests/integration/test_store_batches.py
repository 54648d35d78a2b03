"""`mailroom.hold_batch` and `release_batch`: nothing of a held batch slips out, whoever enqueues or hands back meanwhile."""

import psycopg2
import pytest

from store import complete, ending, refused, suspend, suspension
from test_store_many import many, to


def hold(session, batch="run"):
    return session.value("SELECT mailroom.hold_batch(%s)", batch)


def release(session, batch="run"):
    return session.value("SELECT mailroom.release_batch(%s)", batch)


def sweep(store):
    while store.worker.row("release", 1000)[1]:
        pass


def states(store, uids):
    return [store.producer.state(uid)["state"] for uid in uids]


def test_what_waits_is_held_with_its_reason_and_goes_in_its_order(store):
    uids = [store.producer.enqueue(batch="run") for _ in range(5)]
    other = store.producer.enqueue(batch="other")
    assert hold(store.producer) == 5
    state = store.producer.state(uids[0])
    assert (state["state"], state["reason"], state["subject"], state["remedy"]) == ("held", "batch_held", 'batch "run"', "release the batch")
    dispatcher = store.dispatcher()
    assert [message["uid"] for message in store.claim(dispatcher)] == [other]
    assert release(store.producer) == 5
    sweep(store)
    assert [store.claim(dispatcher, limit=1)[0]["uid"] for _ in uids] == uids


def test_what_is_enqueued_of_it_later_is_held_as_well_also_before_there_was_any(store):
    assert hold(store.producer) == 0
    uids = [store.producer.enqueue(batch="run"), *many(store.producer, to(1), to(2), defaults={"batch": "run"})]
    assert states(store, uids) == ["held"] * 3 and store.claim(store.dispatcher()) == []
    assert release(store.producer) == 3
    sweep(store)
    assert len(store.claim(store.dispatcher())) == 3
    assert states(store, [store.producer.enqueue(batch="run")]) == ["ready"]


def test_what_comes_back_from_a_dispatcher_goes_there(store):
    uid = store.producer.enqueue(batch="run")
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    assert hold(store.producer) == 0
    suspend(store.worker, dispatcher, store.version, suspension(message))
    assert states(store, [uid]) == ["held"] and store.claim(dispatcher) == []


def test_what_is_for_later_is_held_and_keeps_its_time(store):
    early = store.producer.enqueue(batch="run", not_before="2999-01-01T00:00:00Z")
    hold(store.producer)
    late = store.producer.enqueue(batch="run", not_before="2999-01-01T00:00:00Z")
    assert states(store, [early, late]) == ["held", "held"]
    assert release(store.producer) == 2
    sweep(store)
    assert states(store, [early, late]) == ["scheduled", "scheduled"] and {store.queue(uid)["run_at"].year for uid in (early, late)} == {2999}


def test_what_settings_would_release_is_held_and_what_an_operator_must_decide_stays(store):
    uids = [store.producer.enqueue(batch="run") for _ in range(3)]
    dispatcher = store.dispatcher()
    messages = sorted(store.claim(dispatcher), key=lambda message: message["id"])
    places = [store.place("no_user/x"), store.place("in_doubt/x", self_releasing=False), store.route()]
    suspend(store.worker, dispatcher, store.version, *(
        suspension(message, event, place_id=place) for message, place, event in zip(messages, places, ["held", "held", "parked"])))
    hold(store.producer)
    assert [store.producer.state(uid)["reason"] for uid in uids] == ["batch_held", "in_doubt", "batch_held"]
    store.administrator.save("general", server="mail.example.test")
    sweep(store)
    assert store.claim(dispatcher) == []


def test_who_holds_waits_for_an_open_transaction_that_enqueued_and_then_has_it(store):
    store.producer.begin()
    uid = store.producer.enqueue(batch="run")
    with store.blocked(store.operator, lambda: hold(store.operator)) as later:
        assert store.other_producer.enqueue(batch="something else")  # waits for nobody
        store.producer.commit()
        assert later.result() == 1
    assert states(store, [uid]) == ["held"]


def test_who_enqueues_waits_for_an_open_hold_and_then_is_held(store):
    store.operator.begin()
    hold(store.operator)
    with store.blocked(store.producer, lambda: many(store.producer, to(1, batch="run"))) as later:
        store.operator.commit()
        assert states(store, later.result()) == ["held"]


def test_who_enqueues_while_a_release_is_open_is_not_left_behind(store):
    hold(store.producer)
    store.producer.begin()
    uid = store.producer.enqueue(batch="run")
    with store.blocked(store.operator, lambda: release(store.operator)) as later:
        store.producer.commit()
        assert later.result() == 1
    sweep(store)
    assert states(store, [uid]) == ["ready"]


def test_a_transaction_with_an_older_snapshot_is_told_to_repeat(store):
    store.producer.rows("BEGIN ISOLATION LEVEL REPEATABLE READ")
    store.producer.rows("SELECT 1")
    hold(store.operator)
    with pytest.raises(psycopg2.errors.SerializationFailure):
        store.producer.enqueue(batch="run")
    store.producer.rollback()
    store.producer.rows("BEGIN ISOLATION LEVEL REPEATABLE READ")
    uid = store.producer.enqueue(batch="run")
    store.producer.commit()
    assert states(store, [uid]) == ["held"]


def test_a_hold_that_is_rolled_back_was_none(store):
    uid = store.producer.enqueue(batch="run")
    store.producer.begin()
    hold(store.producer)
    store.producer.rollback()
    assert states(store, [uid, store.producer.enqueue(batch="run")]) == ["ready", "ready"]


def test_what_an_operator_held_only_an_operator_releases(store):
    store.producer.enqueue(batch="run")
    hold(store.producer)
    hold(store.operator)
    assert hold(store.producer) == 1  # changes nothing
    with refused("MR003", 'the batch "run" is held by login_operator'):
        release(store.producer)
    assert release(store.operator) == 1 and release(store.operator) == 0


def test_a_producer_holds_no_batch_that_others_post(store):
    store.producer.enqueue(batch="run")
    with refused("MR003", "others post messages of the batch"):
        hold(store.other_producer)
    hold(store.producer)
    with refused("MR003", "held by login_producer"):
        release(store.other_producer)


@pytest.mark.parametrize("batch", [None, "", "x" * 201], ids=["null", "empty", "long"])
def test_a_batch_needs_a_name(store, batch):
    for call in (hold, release):
        with refused("MR001", "batch: must have 1 to 200 octets"):
            call(store.producer, batch)


def test_what_a_dispatcher_puts_there_during_the_release_goes_when_the_hold_is_looked_at_again(store):
    uid = store.producer.enqueue(batch="run")
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    hold(store.producer)
    store.worker.begin()
    suspend(store.worker, dispatcher, store.version, suspension(message))
    assert release(store.producer) == 0
    store.session("worker").row("release", 1000)  # finds nothing: not committed
    store.worker.commit()
    assert [sample["key"] for sample in store.worker.run("held_alike")] == ["batch_held/run"]  # so a dispatcher resolves it and lets it go
    store.worker.run("release_place", store.queue(uid)["place_id"])
    sweep(store)
    assert states(store, [uid]) == ["ready"]


def test_a_held_batch_can_be_cancelled_and_its_messages_end_once(store):
    uid = store.producer.enqueue(batch="run")
    hold(store.producer)
    assert store.producer.value("SELECT mailroom.cancel_batch('run')") == {"cancelled": 1, "too_late": 0, "ended": 0}
    assert release(store.producer) == 0 and store.log(uid)["outcome"] == "cancelled"


def test_what_was_already_sent_when_it_was_held_ends_as_it_does(store):
    store.producer.enqueue(batch="run")
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    hold(store.producer)
    assert complete(store.worker, dispatcher, ending(message)) == [message["id"]]
