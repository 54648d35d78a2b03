"""Leases: who is dead, what becomes of what the dead had, and outcomes that come too late."""

import json

import pytest

from store import complete, ending, suspend, suspension

@pytest.fixture
def reaper(store):
    return store.living()


def test_what_a_dead_dispatcher_had_becomes_in_doubt_and_is_resent_once_later(store, reaper):
    _, [message] = store.dead()
    assert store.reap(reaper, store.place("in_doubt/x", self_releasing=False)) == (1, 0)
    row = store.queue(message["uid"])
    assert (row["state"], row["lease_owner"], row["doubts"], row["place_id"], row["attempts"], row["lease_no"]) == (0, None, 1, 0, 0, 1)
    assert store.root.value("SELECT run_at BETWEEN clock_timestamp() + interval '14 minutes' AND clock_timestamp() + interval '15 minutes' FROM mailroom.queue")
    assert row["dated_at"] == message["dated_at"]
    assert store.producer.state(message["uid"])["state"] == "in_doubt" and store.producer.state(message["uid"])["possible_duplicate"]
    assert [(event["event"], event["lease_no"]) for event in store.story(message["uid"])] == [("lease_lost", 1)]


def test_a_second_doubt_waits_for_an_operator(store, reaper):
    _, [message] = store.dead()
    store.root.rows("UPDATE mailroom.queue SET doubts = 1")
    place = store.place("in_doubt/x", self_releasing=False)
    assert store.reap(reaper, place) == (1, 1)
    row = store.queue(message["uid"])
    assert (row["place_id"], row["doubts"], row["state"]) == (place, 2, 0) and store.producer.state(message["uid"])["state"] == "held"


def test_by_the_policy_to_hold_even_the_first_doubt_waits_for_an_operator(store, reaper):
    _, [message] = store.dead()
    place = store.place("in_doubt/x", self_releasing=False)
    assert store.reap(reaper, place, resend_after=None) == (1, 1)
    assert store.queue(message["uid"])["place_id"] == place


def test_the_dead_are_buried_when_nothing_of_theirs_is_left(store, reaper):
    gone, _ = store.dead(3)
    place = store.place("in_doubt/x")
    found = []
    for _ in range(4):
        found.append(store.reap(reaper, place, limit=2)[0])
    assert sum(found) == 3
    assert store.root.rows("SELECT id FROM mailroom.dispatcher WHERE id = %s", gone) == []
    assert store.worker.run("beat", gone, True) == []


def test_the_living_are_left_alone(store, reaper):
    dispatcher = store.dispatcher()
    store.producer.enqueue()
    store.claim(dispatcher)
    assert store.reap(reaper, store.place()) == (0, 0)
    assert store.root.value("SELECT count(*) FROM mailroom.dispatcher") == 2


REAPERS_TOO_EARLY = {
    "it has beaten for less than its own lease": "beating_since = clock_timestamp() + interval '1 minute'",
    "the server has run for less than its lease": "lease = clock_timestamp() - pg_postmaster_start_time() + interval '1 hour', beating_since = '-infinity'",
    "its own heartbeat is over": "beat_at = clock_timestamp() - interval '2 hours'",
}


@pytest.mark.parametrize("why", REAPERS_TOO_EARLY)
def test_nobody_reaps_while(store, reaper, why):
    """An outage of the database is not the death of a dispatcher."""
    gone, [message] = store.dead()
    store.root.rows(f"UPDATE mailroom.dispatcher SET {REAPERS_TOO_EARLY[why]} WHERE id = %s", reaper)
    assert store.reap(reaper, store.place()) == (0, 0)
    assert store.queue(message["uid"])["lease_owner"] == gone
    assert store.root.value("SELECT count(*) FROM mailroom.dispatcher") == 2


def test_nobody_reaps_as_a_dispatcher_that_is_not_registered(store, reaper):
    store.dead()
    assert store.reap(4711, store.place()) == (0, 0)


def test_two_reapers_at_once_take_each_message_once(store, reaper):
    store.dead(10)
    other, place = store.living(), store.place("in_doubt/x")
    second = store.session("worker")
    store.worker.begin()
    first_took = store.reap(reaper, place, limit=4)[0]
    second_took = store.reap(other, place, session=second)[0]
    store.worker.commit()
    rest = store.reap(other, place)[0]
    assert first_took == 4 and first_took + second_took + rest == 10
    assert store.root.rows("SELECT doubts, count(*) FROM mailroom.queue GROUP BY 1") == [{"doubts": 1, "count": 10}]
    assert store.root.value("SELECT count(*) FROM mailroom.story") == 10


def test_a_heartbeat_that_comes_before_the_reaper_saves_the_lease(store, reaper):
    late, [message] = store.dead()
    store.worker.begin()
    assert len(store.worker.run("beat", late, True)) == 1
    second = store.session("worker")
    place = store.place(session=second)
    assert store.reap(reaper, place, session=second) == (0, 0)
    store.worker.commit()
    assert store.reap(reaper, place, session=second) == (0, 0)
    assert complete(store.worker, late, ending(message)) == [message["id"]]


def test_a_lease_that_is_over_is_renewed_if_nobody_reaped_it(store):
    late, [message] = store.dead()
    [beat] = store.worker.run("beat", late, False)
    assert (beat["name"], beat["settings_version"]) == (None, store.version), "no daemon has named it yet"
    row = store.root.rows("SELECT *, beat_at > clock_timestamp() - interval '1 minute' AS fresh FROM mailroom.dispatcher WHERE id = %s", late)[0]
    assert row["fresh"] and not row["wants_wake"] and abs(row["beating_since"] - row["beat_at"]).total_seconds() < 1
    assert store.queue(message["uid"])["lease_owner"] == late


def test_a_heartbeat_in_time_does_not_count_as_an_interruption(store):
    dispatcher = store.dispatcher()
    store.beaten(dispatcher, "59 minutes", "3 hours")
    store.worker.run("beat", dispatcher, True)
    assert store.root.value("SELECT beating_since < clock_timestamp() - interval '2 hours' FROM mailroom.dispatcher")


def test_after_a_reap_the_dead_changes_nothing(store, reaper):
    gone, [message] = store.dead()
    store.reap(reaper, store.place("in_doubt/x"))
    before = store.queue(message["uid"])
    assert complete(store.worker, gone, ending(message)) == []
    assert suspend(store.worker, gone, store.version, suspension(message)) == []
    assert store.queue(message["uid"]) == before and store.log(message["uid"]) is None


def test_a_dispatcher_with_leases_does_not_resign_and_one_without_does(store):
    dispatcher, messages = store.dispatcher(), []
    store.producer.enqueue()
    messages = store.claim(dispatcher)
    store.worker.run("resign", dispatcher)
    assert store.worker.run("beat", dispatcher, True)
    complete(store.worker, dispatcher, *map(ending, messages))
    store.worker.run("resign", dispatcher)
    assert store.worker.run("beat", dispatcher, True) == []


# Outcomes that come too late

def late(store, place, *endings):
    return store.worker.ids("late_outcome", json.dumps(endings), place)


@pytest.mark.parametrize("outcome", ["sent", "partly_sent"])
def test_a_message_that_was_accepted_under_a_lost_lease_is_told_and_stopped(store, reaper, outcome):
    _, [message] = store.dead()
    place = store.place("in_doubt/x", self_releasing=False)
    store.reap(reaper, place)
    assert late(store, place, ending(message, outcome, reply="queued as 7")) == [message["id"]]
    row = store.queue(message["uid"])
    assert (row["place_id"], row["doubts"], row["state"]) == (place, 1, 0)
    told = store.story(message["uid"])[-1]
    assert (told["event"], told["lease_no"], told["reply"], told["note"]) == ("late_outcome", 1, "queued as 7", "accepted under a lost lease")


def test_a_late_failure_is_told_and_the_message_goes_its_way(store, reaper):
    _, [message] = store.dead()
    store.reap(reaper, store.place("in_doubt/x"))
    assert late(store, store.place("in_doubt/x"), ending(message, "failed")) == []
    assert store.queue(message["uid"])["place_id"] == 0 and store.story(message["uid"])[-1]["event"] == "late_outcome"


def test_a_late_outcome_of_a_message_that_is_leased_again_is_told_only(store, reaper):
    _, [message] = store.dead()
    store.reap(reaper, store.place("in_doubt/x"), resend_after=0)
    other = store.dispatcher()
    [again] = store.claim(other)
    assert late(store, store.place("in_doubt/x"), ending(message)) == []
    assert store.queue(message["uid"])["lease_owner"] == other and store.story(message["uid"])[-1]["event"] == "late_outcome"
    assert complete(store.worker, other, ending(again)) == [message["id"]]


def test_an_outcome_that_the_log_has_already_is_not_late(store):
    """The answer to the completion was lost, not the completion."""
    store.producer.enqueue()
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    complete(store.worker, dispatcher, ending(message))
    assert late(store, store.place("in_doubt/x"), ending(message)) == [] and store.story(message["uid"]) == []


def test_an_outcome_that_the_story_has_already_is_not_late(store):
    store.producer.enqueue()
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    suspend(store.worker, dispatcher, store.version, suspension(message, counted=1))
    assert late(store, store.place("in_doubt/x"), ending(message, "deferred")) == []
    assert [event["event"] for event in store.story(message["uid"])] == ["deferred"] and store.queue(message["uid"])["place_id"] == 0


def test_a_late_outcome_that_is_told_twice_stands_once_in_the_story(store, reaper):
    _, [message] = store.dead()
    store.reap(reaper, store.place("in_doubt/x"))
    for _ in range(2):
        late(store, store.place("in_doubt/x"), ending(message))
    assert [event["event"] for event in store.story(message["uid"])] == ["lease_lost", "late_outcome"]


def test_each_outcome_names_the_decision_that_it_was_made_by(store):
    dispatcher = store.dispatcher()
    held, ended, too_late = [store.producer.enqueue() for _ in range(3)]
    messages = {message["uid"]: message for message in store.claim(dispatcher)}
    suspend(store.worker, dispatcher, store.version, suspension(messages[held], "held", place_id=store.place(), decision=-2 ** 63))
    complete(store.worker, dispatcher, ending(messages[ended], decision=2 ** 63 - 1))
    late(store, store.place(), ending(messages[too_late], decision=3))
    assert [event["decision"] for uid in (held, too_late) for event in store.story(uid)] == [-2 ** 63, 3]
    assert store.log(ended)["decision"] == 2 ** 63 - 1
