"""`mailroom.cancel` and `cancel_batch`: what waits ends at once, what is being sent is not tried again, and the answer says which."""

import pytest

from store import complete, ending, suspend, suspension


def cancel(session, uid):
    return session.value("SELECT mailroom.cancel(%s::uuid)", uid)


def cancel_batch(session, batch="run"):
    answer = session.value("SELECT mailroom.cancel_batch(%s)", batch)
    return answer["cancelled"], answer["too_late"], answer["ended"]


def claimed(store, uid=None):
    dispatcher = store.dispatcher()
    return dispatcher, store.claim(dispatcher)


def test_what_waits_ends_at_once_and_only_once(store):
    uid = store.producer.enqueue()
    assert cancel(store.producer, uid) == "cancelled"
    assert store.queue(uid) is None and store.log(uid)["outcome"] == "cancelled" and store.producer.state(uid)["state"] == "cancelled"
    assert cancel(store.producer, uid) == "ended" and store.root.value("SELECT count(*) FROM mailroom.log") == 1


@pytest.mark.parametrize("fields", [{"not_before": "2999-01-01T00:00:00Z"}, {"batch": "run"}, {"expires_at": "2999-01-01T00:00:00Z"}], ids=str)
def test_wherever_it_waits(store, fields):
    assert cancel(store.producer, store.producer.enqueue(**fields)) == "cancelled"


@pytest.mark.parametrize("event", ["held", "deferred", "parked", "in_doubt"])
def test_what_came_back_from_a_dispatcher_is_cancelled_too(store, event):
    uid = store.producer.enqueue()
    dispatcher, [message] = claimed(store)
    place = {"held": store.place, "parked": store.route}.get(event, lambda: 0)()
    suspend(store.worker, dispatcher, store.version, suspension(message, event, place_id=place, delay_ms=60_000, doubtful=int(event == "in_doubt")))
    assert cancel(store.producer, uid) == "cancelled"
    assert ("in doubt" in store.log(uid)["reply"]) == (event == "in_doubt")


def test_what_is_being_sent_is_too_late_and_ends_as_the_server_says(store):
    uid = store.producer.enqueue()
    dispatcher, [message] = claimed(store)
    assert cancel(store.producer, uid) == "too_late" == cancel(store.producer, uid)
    assert complete(store.worker, dispatcher, ending(message)) == [message["id"]]
    assert store.log(uid)["outcome"] == "sent" and cancel(store.producer, uid) == "ended"


def test_what_was_too_late_is_not_tried_again(store):
    uid = store.producer.enqueue()
    dispatcher, [message] = claimed(store)
    assert cancel(store.producer, uid) == "too_late"
    suspend(store.worker, dispatcher, store.version, suspension(message))
    assert store.claim(dispatcher) == []
    assert cancel(store.producer, uid) == "cancelled" and store.log(uid)["outcome"] == "cancelled"


def test_what_some_recipients_have_is_partly_sent(store):
    uid = store.producer.enqueue(to=["a@example.test", "b@example.test"])
    dispatcher, [message] = claimed(store)
    results = [{"position": 0, "state": 1, "code": 250, "enhanced": "", "reply": "ok"}]
    suspend(store.worker, dispatcher, store.version, suspension(message, results=results))
    assert cancel(store.producer, uid) == "cancelled" and store.log(uid)["outcome"] == "partly_sent"


def test_a_rollback_takes_it_back(store):
    uid = store.producer.enqueue()
    store.producer.begin()
    assert cancel(store.producer, uid) == "cancelled"
    store.producer.rollback()
    assert store.producer.state(uid)["state"] == "ready"


def test_ones_own_only_and_an_operator_everybodys(store):
    uid = store.producer.enqueue(batch="run")
    assert cancel(store.other_producer, uid) is None and cancel_batch(store.other_producer) == (0, 0, 0)
    assert cancel(store.producer, "4c839a95-b1f7-4bb6-80e4-5114477a2748") is None
    assert cancel(store.operator, uid) == "cancelled" and cancel(store.other_producer, uid) is None


def test_it_waits_for_a_claim_and_then_knows(store):
    uid = store.producer.enqueue()
    dispatcher = store.dispatcher()
    store.worker.begin()
    store.claim(dispatcher)
    with store.blocked(store.producer, lambda: cancel(store.producer, uid)) as later:
        store.worker.commit()
        assert later.result() == "too_late"


def test_a_claim_does_not_take_what_is_being_cancelled(store):
    uid = store.producer.enqueue()
    store.producer.begin()
    cancel(store.producer, uid)
    assert store.claim(store.dispatcher()) == []
    store.producer.commit()


def test_it_waits_for_a_completion_and_then_it_has_ended(store):
    uid = store.producer.enqueue(batch="run")
    dispatcher, [message] = claimed(store)
    store.worker.begin()
    complete(store.worker, dispatcher, ending(message))
    batch = store.session("producer")
    with store.blocked(store.producer, lambda: cancel(store.producer, uid)) as one, store.blocked(batch, lambda: cancel_batch(batch)) as all_of_it:
        store.worker.commit()
        assert one.result() == "ended" and all_of_it.result() == (0, 0, 1)


def test_the_sums_of_a_batch_are_right_whenever_it_is_asked(store):
    uids = [store.producer.enqueue(batch="run") for _ in range(10)] + [store.producer.enqueue(batch="other")]
    dispatcher = store.dispatcher()
    messages = store.claim(dispatcher, limit=4)
    complete(store.worker, dispatcher, ending(messages[0]))
    assert cancel_batch(store.producer) == (6, 3, 1)
    assert cancel_batch(store.producer) == (0, 3, 7)
    suspend(store.worker, dispatcher, store.version, suspension(messages[1]))
    assert cancel_batch(store.producer) == (1, 2, 7)
    complete(store.worker, dispatcher, ending(messages[2]), ending(messages[3]))
    assert cancel_batch(store.producer) == (0, 0, 10)
    assert store.producer.state(uids[-1])["state"] == "ready" and cancel_batch(store.producer, "none") == (0, 0, 0)


def test_two_that_cancel_the_same_batch_share_it(store):
    for _ in range(20):
        store.producer.enqueue(batch="run")
    other = store.session("producer")
    store.producer.begin()
    assert cancel_batch(store.producer) == (20, 0, 0)
    with store.blocked(other, lambda: cancel_batch(other)) as later:
        store.producer.commit()
        assert later.result() == (0, 0, 20)
