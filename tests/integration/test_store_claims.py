"""The claim, its fence and the end of a message: nobody has what another has, and who lost it changes nothing."""

import json

import pytest

from store import complete, ending, suspend, suspension


def uids(messages):
    return {message["uid"] for message in messages}


def test_a_claim_leases_due_messages_only(store):
    due, later = store.producer.enqueue(), store.producer.enqueue(not_before="2999-01-01T00:00:00Z")
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    row = store.queue(due)
    assert (message["uid"], message["lease_no"], message["settings_version"]) == (due, 1, store.version)
    assert (row["state"], row["lease_owner"], row["lease_no"]) == (1, dispatcher, 1) and row["leased_at"] and row["dated_at"]
    assert store.queue(later)["state"] == 0 and store.claim(dispatcher) == []


def test_a_claim_takes_a_share_of_each_lane_and_the_oldest_of_each(store):
    sent = {lane: [store.producer.enqueue(lane=lane) for _ in range(3)] for lane in ("urgent", "normal", "bulk")}
    claimed = store.worker.run("claim", store.dispatcher(), [0, 0, 0], [0, 1, 2], [2, 1, 0], [0, 0, 0], 0)
    assert uids(claimed) == {*sent["urgent"][:2], sent["normal"][0]}


def test_two_dispatchers_at_once_never_claim_the_same_message(store):
    sent = {store.producer.enqueue() for _ in range(10)}
    first, second = store.worker, store.session("worker")
    one, other = store.dispatcher(), store.dispatcher()
    first.begin()
    second.begin()
    mine, yours = store.claim(one, 4, first), store.claim(other, 256, second)
    first.commit()
    second.commit()
    assert len(mine) == 4 and len(yours) == 6 and uids(mine) | uids(yours) == sent


def test_a_claim_that_is_rolled_back_leaves_the_message_to_others(store):
    uid = store.producer.enqueue()
    first, second = store.worker, store.session("worker")
    first.begin()
    store.claim(store.dispatcher(), session=first)
    assert store.claim(store.dispatcher(session=second), session=second) == []
    first.rollback()
    [message] = store.claim(store.dispatcher(session=second), session=second)
    assert (message["uid"], message["lease_no"]) == (uid, 1)


@pytest.mark.parametrize("ago", ["2 hours", "1 hour"])
def test_a_dispatcher_whose_heartbeat_is_over_claims_nothing(store, ago):
    store.producer.enqueue()
    dispatcher = store.dispatcher(lease="1h")
    store.beaten(dispatcher, ago)
    assert store.claim(dispatcher) == []
    store.worker.run("beat", dispatcher, True)
    assert len(store.claim(dispatcher)) == 1


def test_nobody_claims_as_a_dispatcher_that_is_not_registered(store):
    store.producer.enqueue()
    assert store.claim(4711) == []


def test_a_held_message_is_not_claimed(store):
    uid = store.producer.enqueue()
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    suspend(store.worker, dispatcher, store.version, suspension(message, "held", place_id=store.place()))
    assert store.claim(dispatcher) == [] and store.producer.state(uid)["state"] == "held"


# The end

def test_a_completed_message_leaves_the_queue_for_the_log(store):
    uid = store.producer.enqueue(batch="run", user="ANNA")
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    attempt = {"started_us": 1_700_000_000_123_456, "table_row": "S11", "account": "anna", "from_address": "a@b.c", "server": "mail.test:587", "stage": "dot",
               "code": 250, "enhanced": "2.0.0", "reply": "queued as 7"}
    assert complete(store.worker, dispatcher, ending(message, **attempt)) == [message["id"]]
    log = store.log(uid)
    assert store.queue(uid) is None and store.producer.state(uid)["state"] == "sent"
    assert {key: log[key] for key in attempt if key != "started_us"} == {key: value for key, value in attempt.items() if key != "started_us"}
    assert (log["attempts"], log["doubts"], log["batch"], log["user_code"], log["lane"], log["lease_no"]) == (1, 0, "run", "ANNA", 2, 1)
    assert log["started_at"].timestamp() == pytest.approx(1_700_000_000.123456, abs=1e-6)


def test_results_of_single_recipients_are_kept_and_later_ones_replace_them(store):
    store.producer.enqueue(to=["a@b.c", "d@e.f"])
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    results = [{"position": 0, "state": 1, "code": 250, "enhanced": "", "reply": "ok"}, {"position": 1, "state": 0, "code": 450, "enhanced": "", "reply": "later"}]
    suspend(store.worker, dispatcher, store.version, suspension(message, counted=1, results=results, pinned={"from": "x@y.z"}))
    [message] = store.claim(dispatcher)
    assert message["has_results"] and json.loads(message["pinned"]) == {"from": "x@y.z"} and message["attempts"] == 1
    complete(store.worker, dispatcher, ending(message, "partly_sent", results=[{**results[1], "state": 2, "code": 550}]))
    kept = store.worker.run("recipient_results", message["generation"], [message["id"]])
    assert sorted((row["position"], row["state"]) for row in kept) == [(0, 1), (1, 2)]


@pytest.mark.parametrize("why", ["an old lease_no", "a lease_no to come", "another dispatcher", "a message that is not leased", "a message that is gone"])
def test_who_has_no_lease_changes_nothing(store, why):
    uid = store.producer.enqueue()
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    if why == "an old lease_no":
        suspend(store.worker, dispatcher, store.version, suspension(message))
        store.claim(dispatcher)
    elif why == "a lease_no to come":
        message["lease_no"] += 1
    elif why == "another dispatcher":
        dispatcher = store.dispatcher()
    elif why == "a message that is not leased":
        suspend(store.worker, dispatcher, store.version, suspension(message))
    else:
        complete(store.worker, dispatcher, ending(message))
    before, story, log = store.queue(uid), store.story(uid), store.log(uid)
    assert complete(store.worker, dispatcher, ending(message, "failed", results=[{"position": 0, "state": 2, "code": 1, "enhanced": "", "reply": ""}])) == []
    assert suspend(store.worker, dispatcher, store.version, suspension(message, "held", place_id=store.place(), counted=1)) == []
    assert (store.queue(uid), store.story(uid), store.log(uid)) == (before, story, log)
    assert store.root.value("SELECT count(*) FROM mailroom.recipient_result") == 0


def test_in_a_batch_only_those_without_a_lease_are_left_out(store):
    for _ in range(3):
        store.producer.enqueue()
    dispatcher = store.dispatcher()
    messages = store.claim(dispatcher)
    messages[1]["lease_no"] += 1
    assert complete(store.worker, dispatcher, *map(ending, messages)) == sorted([messages[0]["id"], messages[2]["id"]])
    assert store.root.value("SELECT count(*) FROM mailroom.log") == 2 and store.root.value("SELECT count(*) FROM mailroom.queue") == 1


def complete_or_busy(session, dispatcher, *endings):
    return [(row["id"], row["busy"]) for row in session.run("complete", dispatcher, json.dumps(endings))]


def test_two_completions_of_one_lease_at_once_end_the_message_once(store):
    store.producer.enqueue()
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    first, second = store.worker, store.session("worker")
    first.begin()
    complete(first, dispatcher, ending(message))
    assert complete_or_busy(second, dispatcher, ending(message)) == [(message["id"], True)]  # and nobody waits
    first.commit()
    assert complete_or_busy(second, dispatcher, ending(message)) == []
    assert store.root.value("SELECT count(*) FROM mailroom.log") == 1


def test_a_message_that_an_erp_cancels_in_a_long_transaction_keeps_no_other_waiting(store):
    for _ in range(3):
        store.producer.enqueue()
    dispatcher = store.dispatcher()
    first, second, third = store.claim(dispatcher)
    store.producer.begin()
    assert store.producer.value("SELECT mailroom.cancel(%s::uuid)", first["uid"]) == "too_late"
    assert sorted(complete_or_busy(store.worker, dispatcher, ending(first), ending(second))) == [(first["id"], True), (second["id"], False)]
    back = store.worker.run("suspend", dispatcher, store.version, json.dumps([suspension(first), suspension(third)]))
    assert sorted((row["id"], row["busy"]) for row in back) == [(first["id"], True), (third["id"], False)]
    store.producer.commit()
    assert complete(store.worker, dispatcher, ending(first)) == [first["id"]]


# What is put back

def test_a_deferred_message_waits_for_its_time_and_tells_of_the_attempt(store):
    uid = store.producer.enqueue()
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    suspend(store.worker, dispatcher, store.version, suspension(message, delay_ms=3_600_000, counted=1, note="again later", code=450, reply="busy"))
    row = store.queue(uid)
    assert (row["state"], row["attempts"], row["deferrals"], row["lease_owner"], row["dated_at"]) == (0, 1, 0, None, None)
    assert 3500 < (row["run_at"] - row["enqueued_at"]).total_seconds() < 3700
    assert [(event["event"], event["code"], event["note"]) for event in store.story(uid)] == [("deferred", 450, "again later")]
    assert store.producer.state(uid)["state"] == "deferred" and store.claim(dispatcher) == []


def test_a_deferral_that_uses_up_no_try_is_counted_apart_and_a_return_not_at_all(store):
    uid = store.producer.enqueue()
    dispatcher = store.dispatcher()
    for event in ("deferred", "returned"):
        [message] = store.claim(dispatcher)
        suspend(store.worker, dispatcher, store.version, suspension(message, event))
    row = store.queue(uid)
    assert (row["attempts"], row["deferrals"], row["lease_no"]) == (0, 1, 2) and [event["event"] for event in store.story(uid)] == ["deferred"]


@pytest.mark.parametrize("more, kept", [({}, False), ({"doubtful": 1, "event": "in_doubt"}, True), ({"pinned": {"from": "a@b.c"}}, True)], ids=str)
def test_the_date_stays_only_if_an_attempt_may_have_delivered(store, more, kept):
    uid = store.producer.enqueue()
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    suspend(store.worker, dispatcher, store.version, {**suspension(message), **more})
    assert store.queue(uid)["dated_at"] == (message["dated_at"] if kept else None)
    [again] = store.claim(dispatcher)
    assert (again["dated_at"] == message["dated_at"]) == kept


def test_no_server_gives_messages_to_a_dispatcher_that_has_not_beaten_on_it(store):
    """A standby that was promoted, a server that was started with other files: their rows say that the dispatcher lives."""
    store.producer.enqueue()
    dispatcher = store.dispatcher()
    store.root.rows("UPDATE mailroom.dispatcher SET server_start = server_start - interval '1 microsecond'")
    assert store.claim(dispatcher) == []
    assert store.worker.run("beat", dispatcher, True)
    assert len(store.claim(dispatcher)) == 1
