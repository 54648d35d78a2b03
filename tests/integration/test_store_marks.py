"""Marks in the queue, and dispatchers that are dead for certain: what the reaper does with what it knows."""

import json

import pytest
from store import ending, resending, suspension

CARRIED, BEGUN = False, True


@pytest.fixture
def reaper(store):
    return store.living()


@pytest.fixture
def doubt(store):
    return store.place("in_doubt/x", self_releasing=False)


def had(store, count=3, **enqueued):
    """A dispatcher that has claimed so many: its id, token and the messages in the order of their ids."""
    dispatcher = store.dispatcher()
    for _ in range(count):
        store.producer.enqueue(**enqueued)
    messages = sorted(store.claim(dispatcher), key=lambda message: message["id"])
    return dispatcher, store.root.value("SELECT token::text FROM mailroom.dispatcher WHERE id = %s", dispatcher), messages


def mark(store, dispatcher, *marks):
    """(message, is_begun[, doubt_ms]) ...: the ids marked."""
    objects = [{"id": message["id"], "lease_no": message["lease_no"], "is_begun": begun, "doubt_ms": rest[0] if rest else None} for message, begun, *rest in marks]
    return [row["id"] for row in store.worker.run("mark", dispatcher, json.dumps(objects)) if not row["busy"]]


def bury(store, dispatcher, token, marks):
    store.worker.run("dead_for_certain", dispatcher, token, marks)


def rows(store, messages):
    return [store.queue(message["uid"]) for message in messages]


def events(store, message):
    return [event["event"] for event in store.story(message["uid"])]


def test_a_mark_is_fenced_by_the_lease(store):
    dispatcher, _, [message, other, _] = had(store)
    stale = {**message, "lease_no": message["lease_no"] - 1}
    assert mark(store, dispatcher, (stale, BEGUN), (other, BEGUN)) == [other["id"]]
    assert mark(store, store.dispatcher(), (message, BEGUN)) == []


def test_a_mark_on_a_row_that_somebody_has_locked_is_asked_for_again(store):
    dispatcher, _, [message, other, _] = had(store)
    holder = store.session("root")
    holder.begin()
    holder.rows("SELECT FROM mailroom.queue WHERE id = %s FOR UPDATE", message["id"])
    found = {row["id"]: row["busy"] for row in store.worker.run("mark", dispatcher, json.dumps(
        [{"id": one["id"], "lease_no": one["lease_no"], "is_begun": True} for one in (message, other)]))}
    holder.rollback()
    assert found == {message["id"]: True, other["id"]: False}


def test_who_is_dead_for_certain_is_reaped_at_once_and_only_what_had_begun_is_in_doubt(store, doubt):
    dispatcher, token, [begun, carried, claimed] = had(store)
    mark(store, dispatcher, (begun, BEGUN), (carried, CARRIED))
    young = store.dispatcher()  # it has not beaten for a lease, so it judges no lease
    assert store.reap(young, doubt) == (0, 0)
    bury(store, dispatcher, token, "carried")
    before = rows(store, [carried, claimed])
    assert store.reap(young, doubt) == (3, 0)
    assert [row["doubts"] for row in rows(store, [begun, carried, claimed])] == [1, 0, 0]
    assert [row["crashes"] for row in rows(store, [begun, carried, claimed])] == [1, 1, 0], "to blame is what it worked on"
    assert [row["run_at"] for row in rows(store, [carried, claimed])] == [row["run_at"] for row in before], "in the old order"
    assert [row["dated_at"] for row in rows(store, [carried, claimed])] == [None, None], "a new Date: none could have delivered"
    assert (events(store, begun), events(store, carried), events(store, claimed)) == (["lease_lost"], ["dispatcher_died"], [])
    assert store.reap(young, doubt) == (0, 0)
    assert store.root.value("SELECT count(*) FROM mailroom.dispatcher WHERE id = %s", dispatcher) == 0, "nothing is left of it: it is buried"
    assert len(store.claim(young)) == 2, "what was not begun is due"


def test_a_token_of_another_enrolment_buries_nobody(store, doubt):
    dispatcher, _, _ = had(store)
    bury(store, dispatcher, "00000000-0000-0000-0000-000000000000", "carried")
    assert store.reap(store.dispatcher(), doubt) == (0, 0)
    assert store.worker.value("SELECT EXISTS (SELECT FROM mailroom.dispatcher WHERE id = %s AND is_dead)", dispatcher) is False


def test_a_journal_with_gaps_makes_a_doubt_of_everything(store, doubt):
    dispatcher, token, messages = had(store)
    bury(store, dispatcher, token, "none")
    assert store.reap(store.dispatcher(), doubt) == (3, 0)
    assert [row["doubts"] for row in rows(store, messages)] == [1, 1, 1]


def test_who_marks_what_it_begins_in_the_queue_leaves_the_rest_untried(store, reaper, doubt):
    dispatcher, _, [begun, claimed, other] = had(store)
    store.root.rows("UPDATE mailroom.dispatcher SET marks = 'begun' WHERE id = %s", dispatcher)
    mark(store, dispatcher, (begun, BEGUN))
    store.beaten(dispatcher, "2 hours")
    assert store.reap(reaper, doubt) == (3, 0)
    assert [row["doubts"] for row in rows(store, [begun, claimed, other])] == [1, 0, 0]
    assert [row["crashes"] for row in rows(store, [begun, claimed, other])] == [1, 1, 1], "which of them it worked on is not known"


def test_a_mark_of_an_earlier_lease_says_nothing_of_this_one(store, doubt):
    dispatcher, _, [message] = had(store, 1)
    mark(store, dispatcher, (message, BEGUN))
    store.worker.run("suspend", dispatcher, 0, json.dumps([suspension(message, "returned")]))
    another = store.dispatcher()
    store.claim(another)
    bury(store, another, store.root.value("SELECT token::text FROM mailroom.dispatcher WHERE id = %s", another), "carried")
    store.reap(store.dispatcher(), doubt)
    assert store.queue(message["uid"])["doubts"] == 0


def test_a_message_that_kills_three_dispatchers_before_anything_went_out_is_quarantined(store, doubt):
    uid = store.producer.enqueue()
    for crashes in (1, 2, 3):
        dispatcher = store.dispatcher()
        [message] = store.claim(dispatcher, places=(0, 1))
        mark(store, dispatcher, (message, CARRIED))
        bury(store, dispatcher, store.root.value("SELECT token::text FROM mailroom.dispatcher WHERE id = %s", dispatcher), "carried")
        store.reap(store.dispatcher(), doubt)
        assert (store.queue(uid)["crashes"], store.queue(uid)["doubts"]) == (crashes, 0)
    assert store.queue(uid)["place_id"] == store.quarantine


@pytest.mark.parametrize("doubt_ms, place, waits", [(0, 0, False), (3_600_000, 0, True), (-1, None, False)])
def test_what_was_decided_when_it_was_begun_goes_before_the_reapers_rules(store, doubt, doubt_ms, place, waits):
    dispatcher, token, [message] = had(store, 1)
    mark(store, dispatcher, (message, BEGUN, doubt_ms))
    bury(store, dispatcher, token, "carried")
    store.reap(store.dispatcher(), doubt, resend_after=None if doubt_ms >= 0 else 0)
    row = store.queue(message["uid"])
    assert row["place_id"] == (doubt if place is None else place)
    assert store.root.value("SELECT run_at > clock_timestamp() + interval '50 minutes' FROM mailroom.queue") is waits


def test_the_rule_of_the_category_counts_where_no_mark_says_more(store, reaper, doubt):
    store.root.save("row", "STATEMENT", from_="accounts@example.test", mode="general")
    mass, standard = store.producer.enqueue(form="STATEMENT"), store.producer.enqueue()
    dispatcher = store.dispatcher()
    store.claim(dispatcher)
    store.beaten(dispatcher, "2 hours")
    rules = {**json.loads(resending(0)), "mass": None}
    store.worker.row("reap", reaper, 256, json.dumps(rules), doubt, store.quarantine)
    assert [store.queue(uid)["place_id"] for uid in (mass, standard)] == [doubt, 0]


def test_a_late_outcome_of_another_message_with_the_same_number_is_not_taken_for_its_own(store, reaper, doubt):
    dispatcher, [message] = store.dead()
    store.reap(reaper, doubt)
    foreign = {**ending(message), "uid": "00000000-0000-0000-0000-000000000000"}
    assert store.worker.ids("late_outcome", json.dumps([foreign]), doubt) == [] and events(store, message) == ["lease_lost"]
    assert store.worker.ids("late_outcome", json.dumps([{**ending(message), "uid": message["uid"]}]), doubt) == [message["id"]]


def test_a_database_that_is_adopted_is_another(store):
    before = store.root.value("SELECT identity FROM mailroom.installation")
    store.root.run("adopt", "new", "old")
    assert store.root.value("SELECT identity FROM mailroom.installation") != before
