"""The queue as a table: expiry, wake-ups, and what keeps it quick: indexes and updates that touch none."""

import json

import pytest

from machine import wait_until
from plans import fill, nodes, plan, reads
from store import STATEMENTS, complete, ending, suspend, suspension

PAST = "UPDATE mailroom.queue SET expires_at = clock_timestamp() - interval '1 minute' WHERE uid = ANY (%s::uuid[])"


def many(store, count):
    """Messages as enqueue makes them, quickly."""
    store.producer.rows("SELECT mailroom.enqueue(jsonb_build_object('to', 'a' || i || '@b.c', 'subject', 'x', 'text', 'y')) FROM generate_series(1, %s) i", count)


# Expiry

def test_expired_messages_end_wherever_they_wait(store):
    dispatcher = store.dispatcher()
    waiting, scheduled, held, alive = (store.producer.enqueue(**fields) for fields in ({}, {"not_before": "2999-01-01T00:00:00Z"}, {"lane": "urgent"}, {}))
    [message] = store.worker.run("claim", dispatcher, [0], [0], [1], [0], 0)
    suspend(store.worker, dispatcher, store.version, suspension(message, "held", place_id=store.place()))
    store.root.rows(PAST, [waiting, scheduled, held])
    assert len(store.worker.run("expire", 1000, None)) == 3
    for uid in (waiting, scheduled, held):
        assert store.queue(uid) is None and store.producer.state(uid)["state"] == "expired"
        assert store.log(uid)["reply"].startswith("not sent by ")
    assert store.queue(alive) and store.worker.run("expire", 1000, None) == []


def test_a_message_that_is_being_sent_does_not_expire(store):
    uid = store.producer.enqueue()
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    store.root.rows(PAST, [uid])
    assert store.worker.run("expire", 1000, None) == []
    assert complete(store.worker, dispatcher, ending(message)) == [message["id"]]


def test_a_claim_says_that_a_message_has_expired(store):
    uid = store.producer.enqueue()
    store.root.rows(PAST, [uid])
    [message] = store.claim(store.dispatcher())
    assert message["expires_in_ms"] == pytest.approx(-60_000, abs=10_000) and message["put_off_for_ms"] is None


def test_expiry_goes_in_steps_and_two_at_once_share_the_work(store):
    uids = [store.producer.enqueue() for _ in range(5)]
    store.root.rows(PAST, uids)
    second = store.session("worker")
    store.worker.begin()
    assert len(store.worker.run("expire", 2, None)) == 2
    assert len(second.run("expire", 10, None)) == 3
    store.worker.commit()
    assert store.root.value("SELECT count(DISTINCT id) FROM mailroom.log WHERE outcome = 'expired'") == 5


def test_a_message_in_doubt_that_expires_is_not_said_to_be_unsent(store):
    """It may have arrived: nobody knows."""
    uid = store.producer.enqueue()
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    suspend(store.worker, dispatcher, store.version, suspension(message, "in_doubt", doubtful=1))
    store.root.rows(PAST, [uid])
    store.worker.run("expire", 1000, None)
    end = store.log(uid)
    assert end is None or not end["reply"].startswith("not sent")


def test_a_message_that_some_have_got_expires_as_partly_sent(store):
    uid = store.producer.enqueue(to=["a@b.c", "d@e.f"])
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    results = [{"position": 0, "state": 1, "code": 250, "enhanced": "", "reply": "ok"}, {"position": 1, "state": 0, "code": 450, "enhanced": "", "reply": "later"}]
    suspend(store.worker, dispatcher, store.version, suspension(message, counted=1, results=results))
    store.root.rows(PAST, [uid])
    store.worker.run("expire", 1000, None)
    assert store.log(uid)["outcome"] == "partly_sent"


# The age limit: of what is put off, tried in vain or waiting for its account

AGE = 3_600_000  # the limit, an hour
LONG_AGO = "UPDATE mailroom.queue SET put_off_since = put_off_since - interval '61 minutes'"


def put_off(store, event="deferred", **more):
    """A message that a dispatcher has put off: its uid, and its claim."""
    uid = store.producer.enqueue()
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    suspend(store.worker, dispatcher, store.version, suspension(message, event, **more))
    return uid


def test_what_was_first_put_off_too_long_ago_ends_and_says_why(store):
    uid = put_off(store, code=451, enhanced="4.3.0", reply="try again later", delay_ms=7_200_000)
    route = store.route()
    store.root.rows("UPDATE mailroom.place SET blocked_why = 'connection refused' WHERE id = %s", route)
    parked = put_off(store, "parked", place_id=route)
    assert store.worker.run("expire", 1000, AGE) == [], "neither is an hour old"
    store.root.rows(LONG_AGO)
    assert len(store.worker.run("expire", 1000, AGE)) == 2
    assert store.log(uid)["outcome"] == store.log(parked)["outcome"] == "expired"
    assert store.log(uid)["reply"] == "given up after 01:00:00; last: 451 4.3.0 try again later"
    assert store.log(parked)["reply"] == "given up after 01:00:00; last: connection refused", "its account's, it was never tried itself"


def test_an_age_limit_in_days_reads_so(store):
    uid = put_off(store)
    store.root.rows("UPDATE mailroom.queue SET put_off_since = put_off_since - interval '6 days'")
    store.worker.run("expire", 1000, 5 * 86_400_000)
    assert store.log(uid)["reply"] == "given up after 5 days"


def test_without_an_age_limit_nothing_is_too_old(store):
    put_off(store)
    store.root.rows(LONG_AGO)
    assert store.worker.run("expire", 1000, None) == []


def test_the_age_counts_from_the_first_time_that_a_message_was_put_off(store):
    uid = put_off(store)
    store.root.rows(LONG_AGO)
    first = store.queue(uid)["put_off_since"]
    dispatcher = store.dispatcher()
    for event in ("deferred", "parked", "returned"):
        [message] = store.claim(dispatcher)
        assert message["put_off_for_ms"] == pytest.approx(3_660_000, abs=60_000)
        suspend(store.worker, dispatcher, store.version, suspension(message, event))
        assert store.queue(uid)["put_off_since"] == first


def test_what_nobody_has_looked_at_has_no_age_however_long_it_waited(store):
    """Nothing is given up untried because no daemon ran."""
    uid = store.producer.enqueue()
    store.root.rows("UPDATE mailroom.queue SET enqueued_at = enqueued_at - interval '1 year', run_at = run_at - interval '1 year'")
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    suspend(store.worker, dispatcher, store.version, suspension(message, "returned"))
    assert store.worker.run("expire", 1000, AGE) == [] and store.queue(uid)["put_off_since"] is None


def test_what_a_dispatcher_has_is_not_too_old_for_the_sweep(store):
    put_off(store)
    store.root.rows(LONG_AGO)
    assert store.claim(store.dispatcher())
    assert store.worker.run("expire", 1000, AGE) == []


@pytest.mark.parametrize("how", ["held", "in doubt", "its batch held", "an operator's hold", "its batch held while it was leased", "its dispatcher dies",
                                 "accepted under a lost lease", "adopted"])
def test_nothing_that_is_held_or_in_doubt_grows_old_and_its_age_begins_anew(store, how):
    uid = store.producer.enqueue(batch="run")
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    suspend(store.worker, dispatcher, store.version, suspension(message, "parked"))
    store.root.rows(LONG_AGO)
    if how in ("held", "in doubt", "its batch held while it was leased"):
        [message] = store.claim(dispatcher)
        if how == "its batch held while it was leased":
            store.producer.value("SELECT mailroom.hold_batch('run')")
        suspend(store.worker, dispatcher, store.version, {"held": suspension(message, "held", place_id=store.place()),
                                                          "in doubt": suspension(message, "in_doubt", doubtful=1)}.get(how, suspension(message)))
    elif how == "its batch held":
        store.producer.value("SELECT mailroom.hold_batch('run')")
    elif how == "an operator's hold":
        store.operator.value("SELECT mailroom.hold_messages(%s::jsonb)", json.dumps({"batch": "run"}))
    elif how == "its dispatcher dies":
        store.claim(dispatcher)
        store.beaten(dispatcher, "2 hours")
        store.reap(store.living(), store.place("in_doubt/x"))
    elif how == "accepted under a lost lease":
        store.worker.run("late_outcome", json.dumps([ending(message)]), store.place("in_doubt/x"))
    else:
        store.root.run("adopt", "new", "old")
    assert store.queue(uid)["put_off_since"] is None
    assert store.worker.run("expire", 1000, AGE) == []


def test_what_waits_for_its_account_stays_as_old_as_it_is_when_a_setting_is_saved(store):
    """An ERP may save it every day."""
    route = store.route(owner="general")
    uid = put_off(store, "parked", place_id=route)
    store.root.rows(LONG_AGO)
    store.administrator.save("general", account="x")
    assert store.worker.row("release", 100) == (0, 1)
    assert [row["uid"] for row in store.worker.run("expire", 1000, AGE)] == [uid]


def test_a_hold_that_is_decided_again_takes_nothing_from_the_age(store):
    """Settings changed meanwhile: it was never held."""
    uid, old = put_off(store), store.version
    store.root.rows(LONG_AGO)
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    store.administrator.save("general", account="x")
    suspend(store.worker, dispatcher, old, suspension(message, "held", place_id=store.place()))
    assert store.queue(uid)["place_id"] == 0
    assert [row["uid"] for row in store.worker.run("expire", 1000, AGE)] == [uid]


def test_what_the_sweep_ends_is_told_one_by_one(store):
    late, cancelled = store.producer.enqueue(user="ANNA"), store.producer.enqueue()
    store.root.rows(PAST, [late])
    store.root.rows("UPDATE mailroom.queue SET cancelled = true, place_id = 2 WHERE uid = %s::uuid", cancelled)
    ended = {row["uid"]: (row["user_code"], row["category"], row["recipients"], row["outcome"], row["reply"][:12])
             for row in store.worker.run("expire", 1000, None)}
    assert ended == {late: ("ANNA", "standard", 1, "expired", "not sent by "), cancelled: (None, "standard", 1, "cancelled", "cancelled")}


def test_the_story_of_what_was_never_tried_is_not_sought(store):
    store.root.rows(PAST, [store.producer.enqueue()])
    nodes = plan(store.worker, "expire", 1000, None, options="FORMAT JSON, ANALYZE")
    stories = [node for node in nodes if node.get("Relation Name", "").startswith("story")]
    assert stories and {node["Actual Loops"] for node in stories} == {0}


def test_an_expiry_of_its_own_goes_before_the_age_limit_in_what_is_told(store):
    uid = put_off(store, code=451, reply="later")
    store.root.rows(LONG_AGO)
    store.root.rows(PAST, [uid])
    assert store.worker.run("expire", 1000, AGE)
    assert store.log(uid)["reply"].startswith("not sent by ") and store.log(uid)["reply"].endswith("; last: 451 later")


# The wake-up

def notified(store, session):
    """How many wake-ups one enqueue gives."""
    session.connection.notifies.clear()
    store.producer.enqueue()
    session.rows("SELECT 1")
    session.connection.poll()
    return len(session.connection.notifies)


@pytest.mark.parametrize("dispatchers, wakes", [
    ([], 0), ([("1 hour", True)], 1), ([("1 hour", False)], 0), ([("1 hour", False), ("1 hour", True)], 1), ([("1 hour", True)] * 3, 1), ([("1 minute", True)], 0)], ids=str)
def test_an_enqueue_wakes_only_if_a_living_dispatcher_wants_it(store, dispatchers, wakes):
    store.worker.rows("LISTEN mailroom_wake")
    for lease, wants in dispatchers:
        dispatcher = store.dispatcher()
        store.worker.run("beat", dispatcher, wants)
        store.root.rows("UPDATE mailroom.dispatcher SET lease = %s, beat_at = clock_timestamp() - interval '2 minutes' WHERE id = %s", lease, dispatcher)
    assert notified(store, store.worker) == wakes


def test_a_rolled_back_enqueue_wakes_nobody(store):
    store.dispatcher()
    store.worker.rows("LISTEN mailroom_wake")
    store.producer.begin()
    store.producer.enqueue()
    store.producer.rollback()
    store.worker.rows("SELECT 1")
    store.worker.connection.poll()
    assert store.worker.connection.notifies == []


# What keeps it quick

def counters(store):
    return store.root.rows("SELECT n_tup_upd, n_tup_hot_upd, seq_tup_read, n_tup_ins FROM pg_stat_user_tables WHERE relid = 'mailroom.queue'::regclass")[0]


def settled_counters(store, column, value):
    """The counters once the sessions have reported that much."""
    for session in (store.worker, store.producer):
        session.rows("SELECT pg_stat_force_next_flush()")
        session.rows("SELECT 1")
    return wait_until(lambda: (now := counters(store))[column] >= value and now, 20, f"{column} of at least {value}")


def test_nine_in_ten_claims_touch_no_index(store):
    many(store, 2000)
    dispatcher = store.dispatcher()
    claimed = 0
    while messages := store.claim(dispatcher, 256):
        claimed += len(messages)
    assert claimed == 2000
    now = settled_counters(store, "n_tup_upd", 2000)
    assert now["n_tup_hot_upd"] / now["n_tup_upd"] >= 0.9


@pytest.fixture(scope="module")
def full_store(new_store):
    """20,000 bulk messages wait and after them ten urgent ones; 20,000 are held in one place and ten in another."""
    store = new_store()
    many_held, few_held = store.place("hold/many"), store.place("hold/few")
    assert store.dispatcher() == 1
    for place, lane, count in ((0, 2, 20_000), (0, 0, 10), (many_held, 1, 20_000), (few_held, 1, 10)):
        fill(store, place, lane, count)
    store.root.rows("UPDATE mailroom.place SET release_before = clock_timestamp() WHERE id = %s", few_held)
    store.root.rows("ANALYZE mailroom.queue")
    yield store
    store.close()


RANGES = [0, 0, 0], [0, 1, 2], [16, 8, 4], [0, 0, 0], 0  # of a claim: sixteen urgent, eight normal, four bulk, to be sorted


@pytest.mark.parametrize("name, parameters, index", [
    ("claim", (1, *RANGES), "queue_order"), ("expire", (1000, None), "queue_expiry"), ("expire", (1000, 1), "queue_put_off"),
    ("complete", (1, json.dumps([{"id": 1, "lease_no": 1}])), "queue_pkey"), ("suspend", (1, 1, json.dumps([{"id": 1, "lease_no": 1}])), "queue_pkey")])
def test_a_statement_of_the_daemon_finds_its_messages_by_an_index(full_store, name, parameters, index):
    found = plan(full_store.worker, name, *parameters)
    assert index in {node.get("Index Name") for node in found}
    assert [node for node in found if node["Node Type"] == "Seq Scan" and node.get("Relation Name") == "queue"] == []


def test_a_claim_sorts_nothing_and_does_not_walk_past_other_lanes(full_store):
    found = plan(full_store.worker, "claim", 1, *RANGES, options="FORMAT JSON, ANALYZE, BUFFERS")
    assert [node for node in found if "Sort" in node["Node Type"]] == []
    [scan] = [node for node in found if node.get("Index Name") == "queue_order"]
    assert scan["Actual Loops"] == 3 and scan["Shared Hit Blocks"] + scan["Shared Read Blocks"] < 60


def test_a_release_reads_what_it_releases_and_not_what_waits_elsewhere(full_store):
    found = plan(full_store.worker, "release", 1000, options="FORMAT JSON, ANALYZE")
    scans = [node for node in found if node.get("Relation Name") == "queue" and "Scan" in node["Node Type"]]
    assert scans and max(node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0) for node in scans) < 1000


BATCH = 200


def batch(name, ids):
    """The parameters of a claim of so many, or of the outcomes of these messages under the first dispatcher's first leases."""
    if name == "claim":
        return 1, [0, 0, 0], [0, 1, 2], [len(ids)] * 3, [0] * 3, 0
    given = [{"id": id, "lease_no": 1, "event": "deferred", "place_id": 0, "delay_ms": 0, "counted": 1, "doubtful": 0, "outcome": "sent", "started_us": 0}
             for id in ids]
    return 1, *([1] if name == "suspend" else []), json.dumps(given)


# What the planner believes, and when: the queue as it is empty, full, and full with leases; whether it plans the statements already when it is empty.
BELIEFS = {"never analysed": ("empty", None, False),
           "analysed when empty": ("empty", "ANALYZE mailroom.queue", False),
           "analysed when nothing is leased": ("full", "ANALYZE mailroom.queue", False),
           "planned when empty": ("empty", None, True),
           "vacuumed after a drain": ("drained", "VACUUM mailroom.queue", False),
           "planned after a drain": ("drained", "VACUUM ANALYZE mailroom.queue", True)}


@pytest.fixture(scope="module", params=BELIEFS)
def misjudged(request, new_store):
    """20,000 wait, of which 2,000 are leased, far apart; the planner believes something else. (plan_of, the ids of BATCH that are leased)"""
    when, statement, early = BELIEFS[request.param]
    store = new_store()
    assert store.dispatcher() == 1
    store.root.rows("ALTER TABLE mailroom.queue SET (autovacuum_enabled = off)")
    planner = Planner(store.session("worker"), "claim", "complete", "suspend")

    def reached(moment):
        if moment == when:
            if statement:
                store.root.rows(statement)
            if early:
                planner.plan_all()

    reached("empty")
    if when == "drained":
        fill(store, 0, 1, 20_000)
        store.root.rows("DELETE FROM mailroom.queue")
        reached("drained")
    fill(store, 0, 1, 20_000)
    reached("full")
    leased = store.root.rows("UPDATE mailroom.queue SET state = 1, lease_no = 1, lease_owner = 1, leased_at = now() WHERE id % 10 = 0 RETURNING id")
    yield planner.plan_of, [row["id"] for row in leased[::10]]
    store.close()


class Planner:
    """A session with statements prepared as a daemon has them: planned at the first use, and not again before the table is analysed."""

    def __init__(self, session, *names):
        self._session, self._names = session, names
        for setting in ("enable_seqscan = off", "jit = off", "plan_cache_mode = force_generic_plan"):
            session.rows(f"SET {setting}")
        for name in names:
            session.rows(f"PREPARE {name} AS\n{(STATEMENTS / f'{name}.sql').read_text()}")

    def plan_all(self):
        for name in self._names:
            self._explain("FORMAT JSON", name, batch(name, [1]))

    def plan_of(self, name, ids):
        """The nodes of what was executed for these, which is taken back."""
        self._session.begin()
        try:
            return list(nodes(self._explain("FORMAT JSON, ANALYZE, BUFFERS", name, batch(name, ids))))
        finally:
            self._session.rollback()

    def _explain(self, options, name, parameters):
        [row] = self._session.rows(f"EXPLAIN ({options}) EXECUTE {name}({', '.join(['%s'] * len(parameters))})", *parameters)
        return row["QUERY PLAN"][0]["Plan"]


def blocks(found):
    """How many the scans of the queue looked at, of table and indexes: an index that is read whole for one row does not show in the rows."""
    return sum(node["Shared Hit Blocks"] + node["Shared Read Blocks"] for node in found if node.get("Relation Name") == "queue" and "Scan" in node["Node Type"])


@pytest.mark.parametrize("name", ["claim", "complete", "suspend"])
def test_a_batch_reads_little_more_than_its_messages_whatever_the_planner_believes(misjudged, name):
    """Each is found or looked up to be locked, and looked up to be written. A claim walks past what others have leased, a tenth."""
    plan_of, ids = misjudged
    found = plan_of(name, ids)
    assert len(ids) == BATCH and 2 * BATCH <= reads(found) <= 2.5 * BATCH and blocks(found) <= 15 * BATCH


@pytest.mark.parametrize("ask", ["state", "story"])
def test_asking_for_one_message_does_not_read_the_whole_queue(store, ask):
    many(store, 3000)
    uid = store.producer.enqueue()
    store.root.rows("ANALYZE mailroom.queue")
    session = store.operator
    before = settled_counters(store, "n_tup_ins", 3001)["seq_tup_read"]
    assert session.state(uid) if ask == "state" else session.run("story", uid)
    session.rows("SELECT pg_stat_force_next_flush()")
    session.rows("SELECT 1")
    assert counters(store)["seq_tup_read"] - before < 1000
