"""Messages that may kill their dispatcher, and messages that were cancelled while a dispatcher had them."""

import json

import pytest

from plans import fill, plan, reads
from store import complete, ending, resending, suspend, suspension


@pytest.fixture
def reaper(store):
    return store.living()


@pytest.fixture
def doubt(store):
    return store.place("in_doubt/x", self_releasing=False)


def crashed(store, *counts):
    """A dispatcher that died with messages whose leases were lost so often before: the uids."""
    dispatcher = store.dispatcher()
    uids = [store.producer.enqueue() for _ in counts]
    store.claim(dispatcher)
    for uid, count in zip(uids, counts):
        store.root.rows("UPDATE mailroom.queue SET crashes = %s WHERE uid = %s::uuid", count, uid)
    store.beaten(dispatcher, "2 hours")
    return uids


def crashes(store, uids):
    return [store.queue(uid)["crashes"] for uid in uids]


def places(store, uids):
    return [store.queue(uid)["place_id"] for uid in uids]


def events(store, uid):
    return [event["event"] for event in store.story(uid)]


# Who is to blame

def test_all_that_a_dead_dispatcher_had_is_to_blame_as_long_as_none_is_suspect(store, reaper, doubt):
    uids = crashed(store, 0, 1, 0)
    store.reap(reaper, doubt)
    assert crashes(store, uids) == [1, 2, 1] and places(store, uids) == [0, 1, 0]


def test_what_lost_its_dispatcher_twice_is_claimed_as_a_suspect_only(store, reaper, doubt):
    [uid] = crashed(store, 1)
    store.reap(reaper, doubt, resend_after=0)
    dispatcher = store.dispatcher()
    assert store.claim(dispatcher) == []
    [message] = store.claim(dispatcher, limit=1, places=[1])
    assert message["uid"] == uid and store.producer.state(uid)["state"] == "sending"
    assert events(store, uid) == ["lease_lost"]


def test_a_suspect_that_waits_says_why(store, reaper, doubt):
    [uid] = crashed(store, 1)
    store.reap(reaper, doubt, resend_after=0)
    state = store.producer.state(uid)
    assert (state["state"], state["reason"]) == ("ready", "suspect") and "sent alone" in state["remedy"]


def test_a_suspect_is_to_blame_and_nothing_else_that_its_dispatcher_had(store, reaper, doubt):
    uids = crashed(store, 0, 2, 1)
    assert store.reap(reaper, doubt) == (3, 1)
    assert crashes(store, uids) == [0, 3, 1] and places(store, uids) == [0, store.quarantine, 0]
    assert [event for uid in uids for event in events(store, uid)] == ["lease_lost", "quarantined", "lease_lost"]
    assert store.producer.state(uids[1])["state"] == "held"


def test_what_is_reaped_is_told_one_by_one(store, reaper, doubt):
    uids = crashed(store, 0, 2)
    told = json.loads(store.worker.row("reap", reaper, 256, resending(None), doubt, store.quarantine)[3])
    assert {each["uid"]: each["event"] for each in told} == dict(zip(uids, ("lease_lost", "quarantined")))
    assert {each["note"].split("; ")[1] for each in told} == {"held for an operator", "for the third time: quarantined for an operator"}


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_blame_does_not_depend_on_the_size_of_the_steps(store, reaper, doubt, limit):
    uids = crashed(store, 2, 1, 0, 1, 0)
    while store.reap(reaper, doubt, limit=limit)[0]:
        pass
    assert crashes(store, uids) == [3, 1, 0, 1, 0]


def test_the_suspect_of_one_dispatcher_clears_nobody_elses_messages(store, reaper, doubt):
    one, other = crashed(store, 2, 0), crashed(store, 0, 0)
    store.reap(reaper, doubt)
    assert crashes(store, one + other) == [3, 0, 1, 1]


def test_a_suspect_that_was_sent_before_its_dispatcher_died_is_not_to_blame(store, reaper, doubt):
    dispatcher = store.dispatcher()
    store.producer.enqueue()
    suspect, other = store.producer.enqueue(), store.producer.enqueue()
    store.root.rows("UPDATE mailroom.queue SET crashes = 2 WHERE uid = %s::uuid", suspect)
    [message] = [message for message in store.claim(dispatcher) if message["uid"] == suspect]
    complete(store.worker, dispatcher, ending(message))
    store.beaten(dispatcher, "2 hours")
    store.reap(reaper, doubt)
    assert crashes(store, [other]) == [1]


def test_what_is_quarantined_waits_for_an_operator_and_goes_alone_again(store, reaper, doubt):
    [uid] = crashed(store, 2)
    store.reap(reaper, doubt)
    store.administrator.save("general", account="x")
    assert store.worker.row("release", 10) == (0, 0)
    store.worker.run("release_place", store.quarantine)
    assert store.worker.row("release", 10) == (1, 1) and places(store, [uid]) == [1]


def test_a_suspect_that_comes_back_stays_a_suspect(store):
    route = store.route()
    for event, place, stays in (("returned", 0, True), ("deferred", 0, True), ("parked", route, True), ("deferred", route, True), ("held", store.place(), False)):
        dispatcher, uid = store.dispatcher(), store.producer.enqueue()
        [message] = store.claim(dispatcher)
        store.root.rows("UPDATE mailroom.queue SET crashes = 2 WHERE uid = %s::uuid", uid)
        suspend(store.worker, dispatcher, store.version, suspension(message, event, place_id=place, delay_ms=60_000))
        assert places(store, [uid]) == [1 if stays else place], event


def test_a_second_doubt_of_what_is_no_suspect_waits_for_an_operator_as_before(store, reaper, doubt):
    [uid] = crashed(store, 0)
    store.root.rows("UPDATE mailroom.queue SET doubts = 1")
    assert store.reap(reaper, doubt) == (1, 1) and places(store, [uid]) == [doubt]


def test_a_reap_reads_the_queue_once_whatever_the_dead_had(store, reaper, doubt):
    fill(store, 0, 1, 5000)
    store.root.rows("ANALYZE mailroom.queue")
    gone = store.dispatcher()
    assert len(store.claim(gone, 256)) == 256
    store.beaten(gone, "2 hours")
    found = plan(store.worker, "reap", reaper, 256, resending(900_000), doubt, store.quarantine, options="FORMAT JSON, ANALYZE")
    assert reads(found) < 2 * 5000 + 4 * 256  # once to find them, once to see whether the dead have more; the rest by key


# Cancelled while a dispatcher had it

def cancelled(store, **fields):
    """A claimed message that was cancelled since, and its dispatcher."""
    dispatcher, uid = store.dispatcher(), store.producer.enqueue(**fields)
    [message] = store.claim(dispatcher)
    store.root.rows("UPDATE mailroom.queue SET cancelled = true WHERE uid = %s::uuid", uid)
    return dispatcher, message


@pytest.mark.parametrize("event", ["deferred", "returned", "parked", "held", "in_doubt"])
def test_what_comes_back_cancelled_is_not_tried_again(store, event):
    dispatcher, message = cancelled(store)
    place = store.place() if event in ("held", "in_doubt") else store.route() if event == "parked" else 0
    suspend(store.worker, dispatcher, store.version, suspension(message, event, place_id=place, doubtful=int(event == "in_doubt")))
    assert places(store, [message["uid"]]) == [2] and store.producer.state(message["uid"])["state"] == "cancelled"
    assert store.claim(dispatcher, places=[0, 1, place]) == []
    assert store.worker.ids("expire", 100, None) == [message["id"]]
    end = store.log(message["uid"])
    assert end["outcome"] == "cancelled" and end["reply"] == ("in doubt when it was cancelled, and not sent again" if event == "in_doubt" else "cancelled")
    assert store.queue(message["uid"]) is None and store.producer.state(message["uid"])["state"] == "cancelled"


@pytest.mark.parametrize("how", ["handed back", "reaped"])
def test_what_a_dispatcher_loses_cancelled_is_not_tried_again(store, reaper, doubt, how):
    dispatcher, message = cancelled(store)
    if how == "handed back":
        store.hand_back(dispatcher)
    else:
        store.beaten(dispatcher, "2 hours")
        assert store.reap(reaper, doubt) == (1, 0)
        assert "not sent again" in store.story(message["uid"])[-1]["note"]
    assert places(store, [message["uid"]]) == [2]
    assert store.worker.ids("expire", 100, None) == [message["id"]] and store.log(message["uid"])["outcome"] == "cancelled"


def test_a_message_that_was_sent_after_it_was_cancelled_is_sent(store):
    """Too late: the log says what happened."""
    dispatcher, message = cancelled(store)
    assert complete(store.worker, dispatcher, ending(message)) == [message["id"]] and store.log(message["uid"])["outcome"] == "sent"


@pytest.mark.parametrize("state, outcome", [(1, "partly_sent"), (2, "cancelled"), (3, "cancelled")])
def test_a_cancelled_message_that_some_have_got_is_partly_sent(store, state, outcome):
    dispatcher, message = cancelled(store, to=["a@b.c", "d@e.f"])
    results = [{"position": 0, "state": state, "code": 250, "enhanced": "", "reply": "x"}, {"position": 1, "state": 0, "code": 450, "enhanced": "", "reply": "later"}]
    suspend(store.worker, dispatcher, store.version, suspension(message, counted=1, results=results))
    store.worker.run("expire", 100, None)
    assert store.log(message["uid"])["outcome"] == outcome


def test_a_cancelled_message_that_is_of_a_held_batch_ends(store):
    dispatcher, message = cancelled(store, batch="run")
    place = store.place("batch/run")
    store.root.rows("INSERT INTO mailroom.held_batch (batch, place_id, held_by) VALUES ('run', %s, 'test')", place)
    suspend(store.worker, dispatcher, store.version, suspension(message, "returned"))
    assert places(store, [message["uid"]]) == [2]


def test_two_sweeps_at_once_end_each_once_and_one_that_is_both_late_and_cancelled_is_cancelled(store):
    ids = []
    for _ in range(4):
        dispatcher, message = cancelled(store)
        suspend(store.worker, dispatcher, store.version, suspension(message))
        ids.append(message["id"])
    store.root.rows("UPDATE mailroom.queue SET expires_at = clock_timestamp() - interval '1 minute'")
    second = store.session("worker")
    store.worker.begin()
    mine = store.worker.ids("expire", 2, None)
    yours = second.ids("expire", 100, None)
    store.worker.commit()
    assert sorted(mine + yours) == ids and 2 <= len(mine) <= 4
    assert store.root.rows("SELECT outcome, count(*) FROM mailroom.log GROUP BY 1") == [{"outcome": "cancelled", "count": 4}]


def test_what_was_accepted_under_a_lost_lease_and_cancelled_is_not_held_to_be_sent_again(store, reaper, doubt):
    dispatcher, message = cancelled(store)
    store.beaten(dispatcher, "2 hours")
    store.reap(reaper, doubt)
    assert store.worker.ids("late_outcome", json.dumps([ending(message)]), doubt) == []
    assert events(store, message["uid"]) == ["lease_lost", "late_outcome"] and places(store, [message["uid"]]) == [2]


def test_no_release_sends_what_was_cancelled(store):
    dispatcher, message = cancelled(store)
    place = store.place()
    store.root.rows("UPDATE mailroom.queue SET state = 0, lease_owner = NULL, place_id = %s, run_at = clock_timestamp()", place)
    store.worker.run("release_place", place)
    assert store.worker.row("release", 10) == (1, 1) and places(store, [message["uid"]]) == [2]


def test_a_late_outcome_finds_its_message_by_keys(store, reaper, doubt):
    """Not by walking through what all generations carry."""
    store.root.rows("INSERT INTO mailroom.content (generation, id, uid, recipients, subject) SELECT i % 3, 1000000 + i, gen_random_uuid(), '[]', '' FROM generate_series(1, 9000) i")
    _, [message] = store.dead()
    store.reap(reaper, doubt)
    store.root.rows("ANALYZE")
    found = plan(store.worker, "late_outcome", json.dumps([ending(message)]), doubt, options="FORMAT JSON, ANALYZE, BUFFERS")
    scans = [node for node in found if str(node.get("Relation Name", "")).startswith("content") and "Scan" in node["Node Type"] and node["Actual Loops"]]
    assert scans and sum(node["Shared Hit Blocks"] + node["Shared Read Blocks"] for node in scans) < 40
