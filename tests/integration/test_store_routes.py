"""Routes: claims by ranges, what is parked at a full or blocked route, and its way back."""

import json

import pytest

from plans import fill, plan, reads
from store import park, resending, suspend, suspension
from test_store_holds import asked, held, places, release


def uids(messages):
    return [message["uid"] for message in messages]


def in_order(messages):
    return uids(sorted(messages, key=lambda message: (message["lane"], message["run_at"], message["id"])))


def parked(store, route, count=1, dispatcher=None, **fields):
    """The uids of messages that were enqueued and parked there."""
    dispatcher = dispatcher or store.dispatcher()
    sent = [store.producer.enqueue(**fields) for _ in range(count)]
    park(store.worker, dispatcher, store.version, route, *[message for message in store.claim(dispatcher) if message["uid"] in sent])
    return sent


def routes(store, dispatcher):
    return {row["id"]: row for row in store.worker.run("routes", dispatcher)}


def later(store, route, by):
    """Its messages were parked there that much earlier."""
    store.root.rows("UPDATE mailroom.place SET parked_at = parked_at - %s::interval WHERE id = %s", by, route)


# Claims by ranges

def test_one_claim_takes_from_several_places_and_as_much_of_each_lane_as_was_asked(store):
    dispatcher, one, other = store.dispatcher(), store.route("smtp/a:587/x"), store.route("smtp/b:587/y")
    at_one = parked(store, one, 3, lane="urgent")
    at_other = parked(store, other, 3)
    unsorted = [store.producer.enqueue(lane="bulk") for _ in range(3)]
    claimed = store.worker.run("claim", dispatcher, [one, other, 0, 0], [0, 1, 1, 2], [2, 1, 5, 3], [0, 0, 0, 0], 0)
    assert in_order(claimed) == at_one[:2] + at_other[:1] + unsorted
    assert {(message["place_id"], message["lane"]) for message in claimed} == {(one, 0), (other, 1), (0, 2)}


def test_a_claim_starts_at_its_low_water_mark(store):
    """Below it are dead rows only, as whoever claims knows."""
    first, second = (store.producer.enqueue() for _ in range(2))
    mark = store.root.value("SELECT (extract(epoch FROM run_at) * 1000000)::bigint FROM mailroom.queue WHERE uid = %s::uuid", second)
    dispatcher = store.dispatcher()
    assert uids(store.claim(dispatcher, since=mark)) == [second]
    assert uids(store.claim(dispatcher, since=mark + 1)) == []
    assert uids(store.claim(dispatcher)) == [first]


def test_a_claim_of_no_ranges_and_one_that_wants_none_take_none(store):
    store.producer.enqueue()
    dispatcher = store.dispatcher()
    assert store.worker.run("claim", dispatcher, [], [], [], [], 0) == [] and store.claim(dispatcher, 0) == []


def test_two_dispatchers_share_what_is_parked(store):
    route = store.route()
    sent = parked(store, route, 10)
    one, other, second = store.dispatcher(), store.dispatcher(), store.session("worker")
    store.worker.begin()
    mine = store.claim(one, 4, places=[route, 0])
    yours = store.claim(other, 256, second, places=[route, 0])
    store.worker.commit()
    assert sorted(uids(mine + yours)) == sorted(sent) and in_order(mine) == sent[:4]


# Parking

def test_a_parked_message_keeps_its_turn_and_tells_no_story(store):
    route = store.route()
    first = store.producer.enqueue()
    before = store.queue(first)["run_at"]
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    assert message["run_at"] == before
    second = store.producer.enqueue()
    assert park(store.worker, dispatcher, store.version, route, message) == [message["id"]]
    row = store.queue(first)
    assert (row["run_at"], row["place_id"], row["state"], row["attempts"], row["deferrals"], row["lease_no"]) == (before, route, 0, 0, 0, 1)
    assert row["run_at"] < store.queue(second)["run_at"] and store.story(first) == []
    assert uids(store.claim(dispatcher)) == [second] and uids(store.claim(dispatcher, places=[route])) == [first]


def test_who_parks_marks_the_route_so_that_others_look_there(store):
    dispatcher, route, idle = store.dispatcher(), store.route("smtp/a:587/x"), store.route("smtp/b:587/y")
    assert routes(store, dispatcher) == {}
    parked(store, route)
    assert list(routes(store, dispatcher)) == [route]
    assert store.root.value("SELECT parked_at FROM mailroom.place WHERE id = %s", idle) is None


def test_the_mark_is_renewed_at_most_every_ten_seconds(store):
    def mark():
        return store.root.value("SELECT parked_at FROM mailroom.place WHERE id = %s", route)

    route = store.route()
    parked(store, route)
    first = mark()
    parked(store, route)
    assert mark() == first
    later(store, route, "11 seconds")
    parked(store, route)
    assert mark() > first


def test_a_hold_is_no_route_to_be_looked_at(store):
    held(store, store.place())
    assert routes(store, store.dispatcher()) == {}


def test_two_who_park_at_the_same_routes_never_wait_for_each_other_in_a_circle(store):
    """Each takes the routes in the same order, whatever the order of its messages."""
    one, other = store.route("smtp/a:587/x"), store.route("smtp/b:587/y")
    dispatcher, second = store.dispatcher(), store.session("worker")
    for _ in range(4):
        store.producer.enqueue()
    messages = store.claim(dispatcher)
    store.root.begin()  # holds up the first of the two routes
    store.root.rows("SELECT FROM mailroom.place WHERE id = %s FOR UPDATE", one)
    down = [suspension(messages[0], "parked", place_id=other), suspension(messages[1], "parked", place_id=one)]
    up = [suspension(messages[2], "parked", place_id=one), suspension(messages[3], "parked", place_id=other)]
    with store.blocked(store.worker, lambda: suspend(store.worker, dispatcher, store.version, *down)) as first:
        with store.blocked(second, lambda: suspend(second, dispatcher, 1, *up)) as last:
            store.root.rows("SELECT FROM mailroom.place WHERE id = %s FOR UPDATE NOWAIT", other)  # neither has the second yet
            store.root.commit()
            assert len(first.result()) == len(last.result()) == 2


# Forgetting that something was parked

def test_a_route_is_forgotten_when_nothing_stands_there_and_nothing_was_parked_for_a_while(store):
    dispatcher, route = store.dispatcher(), store.route()
    parked(store, route)
    later(store, route, "6 minutes")
    assert store.worker.row("unpark") == (0,)  # one stands there
    store.claim(dispatcher, places=[route])
    assert store.worker.row("unpark") == (0,)  # one may come back there
    store.root.rows("DELETE FROM mailroom.queue")
    assert store.worker.row("unpark") == (1,) and routes(store, dispatcher) == {} and store.worker.row("unpark") == (0,)


def test_a_route_where_something_was_parked_just_now_is_not_forgotten(store):
    route = store.route()
    parked(store, route)
    store.root.rows("DELETE FROM mailroom.queue")
    later(store, route, "4 minutes")
    assert store.worker.row("unpark") == (0,)


@pytest.mark.parametrize("first", ["who parks", "who forgets"])
def test_a_route_that_is_being_forgotten_while_somebody_parks_is_not_lost(store, first):
    dispatcher, route, second = store.dispatcher(), store.route(), store.session("worker")
    parked(store, route, dispatcher=dispatcher)
    store.root.rows("DELETE FROM mailroom.queue")
    later(store, route, "6 minutes")
    store.producer.enqueue()
    [message] = store.claim(dispatcher)
    version = store.version
    acts = [lambda: park(store.worker, dispatcher, version, route, message), lambda: second.row("unpark")]
    one, other = (store.worker, second) if first == "who parks" else (second, store.worker)
    begin, follow = acts if first == "who parks" else acts[::-1]
    one.begin()
    begin()
    with store.blocked(other, follow) as waiting:
        one.commit()
        waiting.result()
    assert list(routes(store, dispatcher)) == [route]


# Released routes

def test_a_setting_of_its_owner_sends_what_is_parked_back_to_be_sorted_in_its_order(store):
    route = store.route(owner="general")
    sent = parked(store, route, 5)
    store.administrator.save("general", account="x")
    steps = []
    while (step := store.worker.row("release", 2))[1]:
        steps.append(step)
    assert steps == [(0, 2), (0, 2), (0, 1)]  # of holds, in all
    assert not asked(store, route) and in_order(store.claim(store.dispatcher())) == sent
    assert store.story(sent[0]) == []


def test_a_release_counts_and_tells_what_was_held_but_not_what_was_parked(store):
    route, place = store.route(owner="general"), store.place(owners=["general"])
    [in_hold], [at_route] = held(store, place), parked(store, route)
    store.administrator.save("general", account="x")
    assert store.worker.row("release", 10) == (1, 2)
    assert [event["event"] for event in store.story(in_hold)] == ["held", "released"] and store.story(at_route) == []


def test_a_release_does_not_send_before_the_producers_time(store):
    place, dispatcher = store.place(owners=["general"]), store.dispatcher()
    uid = store.producer.enqueue(not_before="2999-01-01T00:00:00Z")
    store.root.rows("UPDATE mailroom.queue SET place_id = %s, run_at = clock_timestamp()", place)
    store.administrator.save("general", account="x")
    assert release(store) == 1
    row = store.queue(uid)
    assert row["run_at"] == row["not_before"] and row["place_id"] == 0 and store.claim(dispatcher) == []
    assert store.producer.state(uid)["state"] == "scheduled"


def test_what_is_parked_again_after_the_change_stays_where_it_is(store):
    dispatcher, route = store.dispatcher(), store.route(owner="general")
    [uid] = parked(store, route)
    store.administrator.save("general", account="x")
    assert store.worker.row("release", 10) == (0, 1)
    park(store.worker, dispatcher, store.version, route, *store.claim(dispatcher))
    assert store.worker.row("release", 10) == (0, 0) and not asked(store, route) and places(store, uid) == [route]


def test_a_message_that_is_being_sent_during_a_release_is_left_to_its_dispatcher(store):
    dispatcher, route = store.dispatcher(), store.route(owner="general")
    [uid] = parked(store, route)
    [message] = store.claim(dispatcher, places=[route])
    store.administrator.save("general", account="x")
    assert store.worker.row("release", 10) == (0, 0) and store.queue(uid)["lease_owner"] == dispatcher
    suspend(store.worker, dispatcher, store.version, suspension(message, "returned", place_id=route))
    assert store.worker.row("unpark") == (0,) and places(store, uid) == [route]


def test_a_release_and_a_claim_at_once_share_what_is_parked(store):
    dispatcher, route, second = store.dispatcher(), store.route(owner="general"), store.session("worker")
    sent = parked(store, route, 6)
    store.administrator.save("general", account="x")
    store.worker.begin()
    assert store.worker.row("release", 4) == (0, 4)
    claimed = store.claim(dispatcher, session=second, places=[route])
    store.worker.commit()
    assert uids(claimed) == sent[4:] and places(store, *sent[:4]) == [0] * 4


def test_a_suspect_is_released_to_the_suspects(store):
    place = store.place(owners=["general"])
    [uid] = held(store, place)
    store.root.rows("UPDATE mailroom.queue SET crashes = 2")
    store.administrator.save("general", account="x")
    assert release(store) == 1 and places(store, uid) == [1]


def test_one_operator_releases_one_place(store):
    one, other = store.place("hold/one"), store.place("hold/other")
    [released], [kept] = held(store, one), held(store, other)
    store.worker.run("release_place", one)
    assert release(store) == 1 and places(store, released, kept) == [0, other]


@pytest.mark.parametrize("change, released", [
    (lambda s: s.save("general", account="x"), {"general", "user:1", "user:2"}), (lambda s: s.save("user", "ANNA", email="a@b.c"), {"user:1"}),
    (lambda s: s.save("row", "INVOICE", mode="general"), set())], ids=["General", "a User", "a Row"])
def test_a_change_asks_and_opens_the_routes_of_its_owners_and_no_others(store, change, released):
    store.administrator.save("user", "ANNA")
    found = {owner: store.route(f"smtp/{owner}", owner) for owner in ("general", "user:1", "user:2")}
    for route in found.values():
        parked(store, route)
        store.worker.run("block_route", route, 60_000, "the server is in trouble")
    change(store.administrator)
    assert {owner for owner, route in found.items() if asked(store, route)} == released
    state = routes(store, store.dispatcher())
    assert {owner for owner, route in found.items() if state[route]["blocked_ms"] == 0 and state[route]["blocked_why"] == ""} == released


def test_a_route_of_several_owners_is_released_by_each(store):
    """Users who hold the same login share its route."""
    route = store.route(owner="general")
    assert store.route(owner="user:1") == route == store.route(owner="user:1")
    assert store.root.value("SELECT owners FROM mailroom.place WHERE id = %s", route) == ["general", "user:1"]


# Blocked routes

def test_a_blocked_route_says_until_when_and_why(store):
    dispatcher, route = store.dispatcher(), store.route()
    [uid] = parked(store, route)
    assert store.producer.state(uid)["state"] == "ready" and store.producer.state(uid)["reason"] == "account_busy"
    store.worker.run("block_route", route, 60_000, "mail.example.test does not answer")
    known = routes(store, dispatcher)[route]
    assert 55_000 < known["blocked_ms"] <= 60_000 and known["blocked_why"] == "mail.example.test does not answer"
    state = store.producer.state(uid)
    assert (state["state"], state["reason"], state["remedy"]) == ("deferred", "account_blocked", "mail.example.test does not answer")
    assert store.root.value("SELECT %s::timestamptz = blocked_until FROM mailroom.place WHERE id = %s", state["next_attempt"], route)
    depth = json.loads(store.operator.row("depth")[0])
    [row] = depth["depth"]
    assert (row["state"], row["reason"], row["messages"]) == ("deferred", "account_blocked", 1) and row["next_attempt"]
    [row] = depth["routes"]
    assert row["blocked_why"] == "mail.example.test does not answer" and row["blocked_until"]


@pytest.mark.parametrize("end", ["its time is over", "somebody opens it"])
def test_a_block_ends(store, end):
    dispatcher, route = store.dispatcher(), store.route()
    [uid] = parked(store, route)
    store.worker.run("block_route", route, 60_000, "trouble")
    if end == "its time is over":
        store.root.rows("UPDATE mailroom.place SET blocked_until = clock_timestamp() WHERE id = %s", route)
    else:
        store.worker.run("block_route", route, None, None)
    assert routes(store, dispatcher)[route]["blocked_ms"] == 0
    assert store.producer.state(uid)["state"] == "ready" and "next_attempt" not in {k for k, v in store.producer.state(uid).items() if v}


def test_a_message_that_is_being_sent_does_not_wait_for_its_account(store):
    dispatcher, route = store.dispatcher(), store.route()
    [uid] = parked(store, route)
    store.claim(dispatcher, places=[route])
    state = store.producer.state(uid)
    assert (state["state"], state["reason"], state["remedy"]) == ("sending", None, None)


def test_a_deferred_message_at_a_route_waits_for_its_own_time_first(store):
    dispatcher, route = store.dispatcher(), store.route()
    uid = store.producer.enqueue()
    [message] = store.claim(dispatcher)
    suspend(store.worker, dispatcher, store.version, suspension(message, "deferred", place_id=route, delay_ms=60_000))
    state = store.producer.state(uid)
    assert (state["state"], state["reason"]) == ("deferred", None) and state["next_attempt"]
    assert store.claim(dispatcher, places=[route]) == [] and list(routes(store, dispatcher)) == [route]
    store.worker.run("block_route", route, 3_600_000, "trouble")
    state = store.producer.state(uid)
    assert (state["state"], state["reason"]) == ("deferred", "account_blocked")
    assert store.root.value("SELECT %s::timestamptz = blocked_until FROM mailroom.place WHERE id = %s", state["next_attempt"], route)


# Held batches

def held_batch(store, batch="run"):
    place = store.place("batch/" + batch, self_releasing=False)
    store.root.rows("INSERT INTO mailroom.held_batch (batch, place_id, held_by) VALUES (%s, %s, 'test')", batch, place)
    return place


@pytest.mark.parametrize("event, more", [("parked", {}), ("deferred", {"delay_ms": 3_600_000}), ("returned", {}), ("in_doubt", {"delay_ms": 900_000, "doubtful": 1})], ids=str)
def test_what_comes_back_of_a_held_batch_waits_with_it_and_is_released_with_it(store, event, more):
    dispatcher, route = store.dispatcher(), store.route()
    ours, other, single = store.producer.enqueue(batch="run"), store.producer.enqueue(batch="another"), store.producer.enqueue()
    messages = store.claim(dispatcher)
    place, to = held_batch(store), route if event == "parked" else 0
    suspend(store.worker, dispatcher, store.version, *[{**suspension(message, event, place_id=to), **more} for message in messages])
    assert places(store, ours, other, single) == [place, to, to]
    store.root.rows("DELETE FROM mailroom.held_batch")
    store.worker.run("release_place", place)
    assert release(store) == 1 and places(store, ours) == [0]


def test_a_message_of_a_held_batch_that_has_a_hold_of_its_own_stays_in_that(store):
    """Releasing the batch must not send what is in doubt, nor what lacks a password."""
    dispatcher, doubt = store.dispatcher(), store.place("in_doubt/x", self_releasing=False)
    uid = store.producer.enqueue(batch="run")
    [message] = store.claim(dispatcher)
    held_batch(store)
    suspend(store.worker, dispatcher, store.version, suspension(message, "in_doubt", place_id=doubt, doubtful=1))
    assert places(store, uid) == [doubt]


def test_what_came_past_the_hold_of_its_batch_joins_it_instead_of_being_claimed(store):
    """Its producer began before the hold and committed after it."""
    store.producer.begin()
    late = store.producer.enqueue(batch="run")
    place = held_batch(store)
    store.producer.commit()
    other = store.producer.enqueue(batch="another")
    assert places(store, late) == [0]
    assert uids(store.claim(store.dispatcher())) == [other]
    row = store.queue(late)
    assert (row["place_id"], row["state"], row["lease_no"], row["dated_at"]) == (place, 0, 0, None)
    store.root.rows("DELETE FROM mailroom.held_batch")
    store.worker.run("release_place", place)
    assert release(store) == 1 and uids(store.claim(store.dispatcher())) == [late]


# What is decided again of the holds

def alike(store, **wanted):
    """What is decided alike in holds that settings release, and is so."""
    return [row for row in store.worker.run("held_alike") if wanted.items() <= row.items()]


def release_alike(store, rows, limit=100):
    given = f"[{','.join(row['alike'] for row in rows)}]"
    return store.worker.row("release_alike", rows[0]["place"], given, rows[0]["seen_at"], limit)[0]


def posted_by(store, uids, code):
    store.root.rows("UPDATE mailroom.queue SET user_code = %s WHERE uid = ANY (%s::uuid[])", code, uids)


def test_of_each_hold_that_settings_release_all_is_decided_again_once_for_what_is_alike(store):
    place, other = store.place("hold/one"), store.place("hold/other")
    store.place("hold/empty")
    anna, ben, more = held(store, place, 3)
    [alone] = held(store, other)
    held(store, store.place("in_doubt/x", self_releasing=False))
    parked(store, store.route())
    posted_by(store, [anna, alone], "ANNA")
    posted_by(store, [ben, more], "BEN")
    found = [(row["place"], row["key"], row["user_code"]) for row in alike(store)]
    assert sorted(found) == [(place, "hold/one", "ANNA"), (place, "hold/one", "BEN"), (other, "hold/other", "ANNA")]
    store.worker.run("release_place", place)
    assert [row["place"] for row in alike(store)] == [other], "what goes anyway is not looked at"


def test_some_of_a_hold_go_in_steps_and_in_their_old_order_and_the_others_stay(store):
    place = store.place()
    sent = held(store, place, 6)
    posted_by(store, sent[::2], "BEN")
    posted_by(store, sent[1::2], "ANNA")
    gone = alike(store, user_code="ANNA")
    assert release_alike(store, gone, limit=2) == 2 and places(store, *sent) == [place, 0, place, 0, place, place]
    assert release_alike(store, gone) == 1 and release_alike(store, gone) == 0
    assert places(store, *sent) == [place, 0, place, 0, place, 0]
    assert [row["uid"] for row in store.root.rows("SELECT uid::text FROM mailroom.queue WHERE place_id = 0 ORDER BY lane, run_at, id")] == sent[1::2]
    events = store.root.rows("SELECT uid::text, note FROM mailroom.story WHERE event = 'released' ORDER BY message_id")
    assert [event["uid"] for event in events] == sent[1::2] and {event["note"] for event in events} == {"a setting or a status changed"}


def test_what_came_to_a_hold_after_the_look_at_it_stays(store):
    """Or two dispatchers that decide differently, for want of a key, would pass it to and fro."""
    place = store.place()
    [seen] = held(store, place)
    found = alike(store)
    [later] = held(store, place)
    assert release_alike(store, found) == 1 and places(store, seen, later) == [0, place]


def test_what_is_cancelled_or_suspect_leaves_a_hold_for_its_own_place(store):
    place = store.place()
    cancelled, suspect = held(store, place, 2)
    store.root.rows("UPDATE mailroom.queue SET cancelled = true WHERE uid = %s", cancelled)
    store.root.rows("UPDATE mailroom.queue SET crashes = 2 WHERE uid = %s", suspect)
    assert release_alike(store, alike(store)) == 2 and places(store, cancelled, suspect) == [2, 1]


# Handed back

def test_a_dispatcher_that_knows_of_nothing_hands_all_back_to_where_it_was(store):
    dispatcher, other, route = store.dispatcher(), store.dispatcher(), store.route()
    [at_route] = parked(store, route)
    unsorted, others = store.producer.enqueue(), store.producer.enqueue(lane="bulk")
    store.worker.run("claim", other, [0], [2], [1], [0], 0)
    store.claim(dispatcher, places=[0, route])
    before = store.queue(at_route)["run_at"]
    assert store.hand_back(dispatcher) == (2, 0)
    assert places(store, at_route, unsorted) == [route, 0] and store.queue(others)["lease_owner"] == other
    row = store.queue(at_route)
    assert (row["state"], row["lease_owner"], row["run_at"], row["lease_no"], row["dated_at"]) == (0, None, before, 2, None)


# What keeps it quick

@pytest.fixture(scope="module")
def full_routes(new_store):
    """10,000 are held, 10,000 parked at a route, 10,000 at another; ten at each of three more; two of five batches are held."""
    store = new_store()
    assert store.dispatcher() == 1
    found = [store.route(f"smtp/{name}") for name in "abcde"]
    for place, count in ((store.place(), 10_000), (found[0], 10_000), (found[1], 10_000), (found[2], 10), (found[3], 10), (found[4], 10)):
        fill(store, place, 1, count, batch=f"batch {place % 5}")
    store.root.rows("INSERT INTO mailroom.held_batch (batch, place_id, held_by) VALUES ('h1', 1000, 'x'), ('h2', 1000, 'x')")
    store.root.rows("ANALYZE")
    yield store, found
    store.close()


def test_a_claim_of_five_ranges_touches_these_only(full_routes):
    store, found = full_routes
    ranges = [found[0], found[2], found[3], found[4], 0], [1, 1, 1, 1, 1], [8, 8, 100, 4, 256], [0] * 5, 0
    nodes = plan(store.worker, "claim", 1, *ranges, options="FORMAT JSON, ANALYZE, BUFFERS")
    [scan] = [node for node in nodes if node.get("Index Name") == "queue_order"]
    claimed = 8 + 8 + 10 + 4
    assert (scan["Actual Loops"], scan["Actual Rows"] * 5) == (5, claimed) and scan["Shared Hit Blocks"] + scan["Shared Read Blocks"] < 60
    assert [node for node in nodes if "Sort" in node["Node Type"]] == []
    assert reads(nodes) <= 2 * claimed


def test_putting_messages_back_finds_each_by_its_key(full_routes):
    store, found = full_routes
    ids = [row["id"] for row in store.root.rows("SELECT id FROM mailroom.queue ORDER BY id LIMIT 256")]
    back = json.dumps([{"id": id, "lease_no": 0, "event": "parked", "place_id": found[1], "delay_ms": 0, "counted": 0, "doubtful": 0} for id in ids])
    nodes = plan(store.worker, "suspend", 1, 1, back, options="FORMAT JSON, ANALYZE")
    assert [node for node in nodes if node["Node Type"] == "Seq Scan" and node.get("Relation Name") == "queue"] == []
    assert reads(nodes) <= 2 * 256  # locked, and moved


def test_a_release_of_one_route_reads_it_alone(full_routes):
    store, found = full_routes
    store.root.rows("UPDATE mailroom.place SET release_before = clock_timestamp() WHERE id = %s", found[4])
    nodes = plan(store.worker, "release", 1000, options="FORMAT JSON, ANALYZE")
    store.root.rows("UPDATE mailroom.place SET release_before = NULL WHERE id = %s", found[4])
    assert 0 < reads(nodes) < 100


def test_the_sweep_reads_what_it_ends(full_routes):
    store, _ = full_routes
    assert reads(plan(store.worker, "expire", 1000, None, options="FORMAT JSON, ANALYZE")) == 0


def test_unparking_looks_at_one_message_of_a_route(full_routes):
    store, found = full_routes
    store.root.rows("UPDATE mailroom.place SET parked_at = clock_timestamp() - interval '1 hour' WHERE kind = 'route'")
    assert reads(plan(store.worker, "unpark", options="FORMAT JSON, ANALYZE")) <= len(found)


def test_the_look_at_holds_reads_these_alone_and_once(full_routes):
    store, _ = full_routes
    assert reads(plan(store.worker, "held_alike", options="FORMAT JSON, ANALYZE")) == 10_000


def test_what_leaves_a_hold_is_found_by_one_pass_over_it_however_many_are_alike(full_routes):
    store, _ = full_routes
    [hold] = store.worker.run("held_alike")
    others = json.dumps([{**json.loads(hold["alike"]), "user_code": f"U{n}"} for n in range(2000)])
    nodes = plan(store.worker, "release_alike", hold["place"], others, hold["seen_at"], 1000, options="FORMAT JSON, ANALYZE")
    assert [node for node in nodes if "Join" in node["Node Type"]] == [] and [node["Actual Loops"] for node in nodes if node["Node Type"] == "Function Scan"] == [1]


def test_who_reaps_does_not_read_the_queue_while_nobody_is_dead(full_routes):
    store, _ = full_routes
    nodes = plan(store.worker, "reap", store.living(), 256, resending(900_000), 4, 5, options="FORMAT JSON, ANALYZE")
    assert reads(nodes) == 0
