"""Two connections at once, each pause chosen: who saves, parks, claims, hands back and cancels in between."""

import json

from store import complete, ending, resending, suspend, suspension

DOUBT = "in_doubt/policy"


def claimed(store, dispatcher=None, **fields):
    uid = store.producer.enqueue(**fields)
    dispatcher = dispatcher or store.dispatcher()
    [message] = store.claim(dispatcher)
    return uid, dispatcher, message


def parked(message, route):
    return suspension(message, "parked", place_id=route)


def release(store, session=None):
    return (session or store.worker).row("release", 1000)[1]


# Parked under settings that change

def test_a_park_decided_under_older_settings_is_sorted_again_instead(store):
    route, old = store.route(), store.version
    uid, dispatcher, message = claimed(store)
    store.administrator.save("general", account="erp")
    release(store)
    suspend(store.worker, dispatcher, old, parked(message, route))
    assert store.queue(uid)["place_id"] == 0


def test_settings_that_are_being_saved_keep_no_park_waiting_it_is_sorted_again_in_a_second(store):
    """The saving was first: no release would find what is parked only now."""
    route, version = store.route(), store.version
    uid, dispatcher, message = claimed(store)
    store.administrator.begin()
    store.administrator.save("general", account="erp")
    assert suspend(store.worker, dispatcher, version, parked(message, route)) == [message["id"]]
    store.administrator.commit()
    release(store)
    assert store.queue(uid)["place_id"] == 0


def test_a_park_that_is_being_written_makes_the_saving_wait_and_is_released_by_it(store):
    """The park was first. It is the first at its route: only its own transaction says that messages stand there."""
    route = store.route()
    uid, dispatcher, message = claimed(store)
    store.worker.begin()
    suspend(store.worker, dispatcher, store.version, parked(message, route))
    with store.blocked(store.administrator, lambda: store.administrator.save("general", account="erp")) as later:
        store.worker.commit()
        later.result()
    assert store.queue(uid)["place_id"] == route
    assert release(store) == 1 and store.queue(uid)["place_id"] == 0


def test_a_release_goes_on_while_a_dispatcher_has_messages_of_the_route(store):
    """What was claimed from the route when its release was asked for, and comes back to it, is released too."""
    route = store.route()
    uid, dispatcher, message = claimed(store)
    suspend(store.worker, dispatcher, store.version, parked(message, route))
    [again] = store.claim(dispatcher, places=[route])
    store.administrator.save("general", account="erp")
    assert release(store) == 0
    suspend(store.worker, dispatcher, store.version, parked(again, route))
    assert release(store) == 1 and store.queue(uid)["place_id"] == 0


def test_a_release_skips_what_is_being_parked_and_takes_it_next_time(store):
    route = store.route()
    uid, dispatcher, message = claimed(store)
    suspend(store.worker, dispatcher, store.version, parked(message, route))
    [again] = store.claim(dispatcher, places=[route])
    store.administrator.save("general", account="erp")
    store.worker.begin()
    suspend(store.worker, dispatcher, store.version, parked(again, route))
    second = store.session("worker")
    assert release(store, second) == 0
    store.worker.commit()
    assert release(store, second) == 1 and store.queue(uid)["place_id"] == 0


# A claim whose answer is lost while it is under way

def test_what_is_handed_back_waits_for_a_claim_that_is_under_way(store):
    """The connection is gone, the server still works on its claim: handed back before its end, the message would be leased to nobody."""
    uid = store.producer.enqueue()
    dispatcher, lost = store.dispatcher(), store.session("worker")
    lost.begin()
    assert len(store.claim(dispatcher, session=lost)) == 1
    with store.blocked(store.worker, lambda: store.hand_back(dispatcher)) as later:
        lost.commit()
        assert later.result() == (1, 0)
    row = store.queue(uid)
    assert (row["state"], row["lease_owner"], row["lease_no"]) == (0, None, 1)


def test_a_claim_and_a_hand_back_that_arrive_after_a_later_hand_back_do_nothing(store):
    """They were given up and were still in the network. What such a claim took nobody would know of, and such a hand-back would give away what is
    being sent."""
    uid = store.producer.enqueue()
    dispatcher = store.dispatcher()
    assert store.worker.row("hand_back", dispatcher, 0, 0) == (0, 0, 1, False)
    assert store.worker.run("claim", dispatcher, [0], [1], [5], [0], 0) == []
    [message] = store.worker.run("claim", dispatcher, [0], [1], [5], [0], 1)
    assert store.worker.row("hand_back", dispatcher, 0, 0) == (0, 0, 1, True)
    row = store.queue(uid)
    assert (row["state"], row["lease_owner"], row["lease_no"]) == (1, dispatcher, message["lease_no"])
    assert store.worker.row("hand_back", dispatcher, 0, 1) == (1, 0, 2, False), "with what it was told it works"


def test_a_claim_under_way_keeps_its_dispatcher_from_being_buried(store):
    uid = store.producer.enqueue()
    dispatcher, reaper, place = store.dispatcher(), store.living(), store.place(DOUBT)
    lost = store.session("worker")
    lost.begin()
    store.claim(dispatcher, session=lost)
    late = store.session("root")
    late.rows("SET lock_timeout = '5s'")  # a heartbeat is not in the claim's way
    late.rows("UPDATE mailroom.dispatcher SET beat_at = clock_timestamp() - interval '2 hours' WHERE id = %s", dispatcher)
    assert store.reap(reaper, place)[0] == 0
    lost.commit()
    assert store.reap(reaper, place)[0] == 1 and store.queue(uid)["doubts"] == 1


def test_a_beat_does_not_wait_for_a_claim_and_a_claim_not_for_a_beat(store):
    store.producer.enqueue()
    dispatcher, second = store.dispatcher(), store.session("worker")
    second.rows("SET lock_timeout = '5s'")
    store.worker.begin()
    store.claim(dispatcher)
    assert second.run("beat", dispatcher, True)
    store.worker.rollback()
    store.worker.begin()
    store.worker.run("beat", dispatcher, True)
    assert len(store.claim(dispatcher, session=second)) == 1
    store.worker.commit()


def test_a_claim_that_finds_nothing_writes_nothing(store):
    dispatcher = store.dispatcher()
    store.worker.begin()
    assert store.claim(dispatcher) == []
    assert store.worker.value("SELECT pg_current_xact_id_if_assigned() IS NULL")
    store.worker.rollback()


# A producer that commits late

def test_what_was_committed_behind_the_mark_is_found_by_a_claim_without_one(store):
    late = store.session("producer")
    late.begin()
    behind = late.enqueue()
    in_front = store.producer.enqueue()
    dispatcher = store.dispatcher()
    [first] = store.claim(dispatcher)
    assert first["uid"] == in_front
    since = int(first["run_at"].timestamp() * 1_000_000)
    late.commit()
    assert store.claim(dispatcher, since=since + 1) == []
    assert [message["uid"] for message in store.claim(dispatcher)] == [behind]


# A lease that ends while its outcome is on the way

def test_a_completion_under_way_is_not_reaped(store):
    uid, dispatcher, message = claimed(store)
    reaper, place = store.living(), store.place(DOUBT)
    store.beaten(dispatcher, "2 hours")
    store.worker.begin()
    complete(store.worker, dispatcher, ending(message))
    second = store.session("worker")
    assert store.reap(reaper, place, session=second)[0] == 0
    store.worker.commit()
    assert store.log(uid)["outcome"] == "sent" and store.log(uid)["doubts"] == 0
    assert store.reap(reaper, place, session=second)[0] == 0 and store.queue(uid) is None


def test_a_completion_that_meets_the_reaper_has_lost_its_lease(store):
    uid, dispatcher, message = claimed(store)
    reaper, place, second = store.living(), store.place(DOUBT), store.session("worker")
    store.beaten(dispatcher, "2 hours")
    store.worker.begin()
    assert store.reap(reaper, place)[0] == 1
    assert [row["busy"] for row in second.run("complete", dispatcher, json.dumps([ending(message)]))] == [True]
    store.worker.commit()
    assert second.run("complete", dispatcher, json.dumps([ending(message)])) == []
    assert store.worker.ids("late_outcome", json.dumps([ending(message)]), place) == [message["id"]]
    assert store.queue(uid)["place_id"] == place and store.queue(uid)["doubts"] == 1


def test_a_late_outcome_is_not_taken_for_known_because_the_message_was_released(store):
    """Its story has a line of the same lease: that of the release, not of the outcome."""
    uid, dispatcher, message = claimed(store)
    reaper, place = store.living(), store.place(DOUBT, self_releasing=False)
    store.beaten(dispatcher, "2 hours")
    store.worker.row("reap", reaper, 256, resending(None), place, store.quarantine)
    store.worker.run("release_place", place)
    assert release(store) == 1 and store.queue(uid)["place_id"] == 0
    assert store.worker.ids("late_outcome", json.dumps([ending(message)]), place) == [message["id"]]
    assert store.story(uid)[-1]["event"] == "late_outcome" and store.queue(uid)["place_id"] == place


# Cancelled while a dispatcher has it

def test_a_cancel_that_waits_for_a_claim_or_a_return_is_seen_by_the_end(store):
    uid, dispatcher, message = claimed(store)
    store.worker.begin()
    suspend(store.worker, dispatcher, store.version, suspension(message, "deferred"))
    cancel = "UPDATE mailroom.queue SET cancelled = true WHERE uid = %s::uuid AND state = 1 RETURNING id"
    canceller = store.session("root")
    with store.blocked(canceller, lambda: canceller.rows(cancel, uid)) as later:
        store.worker.commit()
        assert later.result() == []  # it waits again: whoever cancels must look again
    assert not store.queue(uid)["cancelled"]


def test_what_comes_back_while_a_cancel_is_being_written_comes_back_after_it_and_is_not_tried_again(store):
    uid, dispatcher, message = claimed(store)
    canceller = store.session("root")
    canceller.begin()
    canceller.rows("UPDATE mailroom.queue SET cancelled = true WHERE uid = %s::uuid AND state = 1", uid)
    put_back = suspension(message, "deferred", delay_ms=3_600_000, counted=1)
    assert suspend(store.worker, dispatcher, 1, put_back) == []  # busy
    canceller.commit()
    assert suspend(store.worker, dispatcher, 1, put_back) == [message["id"]]
    assert store.queue(uid)["place_id"] == 2
    assert store.worker.ids("expire", 100, None) == [message["id"]] and store.log(uid)["outcome"] == "cancelled"


# A limited route

def test_two_dispatchers_that_want_a_route_at_once_do_not_both_get_it(store):
    route, first, other = store.route(limited=True), store.dispatcher(), store.dispatcher()
    second = store.session("worker")
    store.worker.begin()
    assert store.worker.run("own_route", first, route)
    with store.blocked(second, lambda: second.run("own_route", other, route)) as later:
        store.worker.commit()
        assert later.result() == []
    store.beaten(first, "2 hours")
    assert second.run("own_route", other, route) and store.worker.run("own_route", first, route) == []


def test_grants_that_wait_for_each_other_stay_within_the_limit(store):
    route, dispatcher, second = store.route(limited=True), store.dispatcher(), store.session("worker")
    store.worker.run("own_route", dispatcher, route)
    store.worker.begin()
    assert store.worker.row("grant_recipients", dispatcher, route, 70, 100)[0] == 70
    with store.blocked(second, lambda: second.row("grant_recipients", dispatcher, route, 70, 100)) as later:
        store.worker.commit()
        assert later.result()[0] == 30
    assert store.root.value("SELECT sum(recipients) FROM mailroom.route_usage") == 100
