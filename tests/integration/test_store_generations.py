"""Generations: they turn, drain and are emptied, and no live message ever loses what it carries."""

import base64
import collections
import functools
import random
import time

import pytest

from store import Later, ending, complete, refused, suspend, suspension

HOUR = 3_600_000  # milliseconds
DAY = 24 * HOUR
WEEK = 7 * DAY
PDF = {"name": "a.pdf", "type": "application/pdf", "content": base64.b64encode(b"%PDF " + b"x" * 5000).decode()}


def turn(store, ring="content", retention=WEEK, session=None):
    """(opened, stuck)"""
    return (session or store.worker).row("turn_ring", ring, retention)


def empty(store, ring="content", retention=WEEK, session=None):
    return (session or store.worker).row("empty_generation", ring, retention)[0]


def unpin(store, after=0, retention=WEEK, session=None):
    return (session or store.worker).row("unpin_generation", retention, after)


def pass_time(store, days):
    """All that generations remember was so much earlier."""
    store.root.rows("UPDATE mailroom.generation SET opened_at = opened_at - %s::interval, closed_at = closed_at - %s::interval,"
                    " drained_at = drained_at - %s::interval", *[f"{days} days"] * 3)


def generation(store, number, ring="content"):
    [row] = store.root.rows("SELECT * FROM mailroom.generations WHERE ring = %s AND generation = %s", ring, number)
    return row


def present(store, ring="content"):
    return store.root.value(f"SELECT {ring}_generation FROM mailroom.installation")


def next_day(store, days=1):
    pass_time(store, days)
    return turn(store)


def carried(store, uid):
    """(subject, attachments' octets, results) as a dispatcher reads them, by the generation in the queue's row."""
    row = store.queue(uid)
    [content] = store.worker.run("content", row["generation"], [row["id"]])
    attachments = store.worker.run("attachments", row["generation"], [row["id"]])
    blobs = {blob["id"]: bytes(blob["bytes"]) for blob in store.worker.run("blobs", row["generation"], [a["blob_id"] for a in attachments])}
    results = store.worker.run("recipient_results", row["generation"], [row["id"]])
    return content["subject"], [(a["name"], blobs[a["blob_id"]]) for a in attachments], [(r["position"], r["state"]) for r in results]


def send_all(store):
    dispatcher = store.dispatcher()
    messages = store.claim(dispatcher)
    return complete(store.worker, dispatcher, *[ending(message) for message in messages])


def far(store, **fields):
    """A message that waits for years."""
    return store.producer.enqueue(not_before="2099-01-01T00:00:00Z", **fields)


def test_a_generation_is_written_to_for_a_twelfth_of_the_retention_and_at_least_a_day(store):
    assert turn(store) == (None, False)
    pass_time(store, 0.9)
    assert turn(store) == (None, False) and present(store) == 0
    pass_time(store, 0.2)
    assert turn(store) == (1, False) and present(store) == 1
    assert turn(store) == (None, False)
    pass_time(store, 7)
    assert turn(store, retention=90 * DAY) == (None, False), "7.5 days"
    pass_time(store, 1)
    assert turn(store, retention=90 * DAY) == (2, False)


def test_the_rings_turn_on_their_own(store):
    pass_time(store, 2)
    assert turn(store, "history", 90 * DAY) == (None, False)
    assert turn(store, "content", WEEK) == (1, False)
    pass_time(store, 6)
    assert turn(store, "history", 90 * DAY) == (1, False)
    assert (present(store), present(store, "history")) == (1, 1)


def test_what_is_enqueued_after_the_turn_is_in_the_new_generation_and_sent_like_the_rest(store):
    before = store.producer.enqueue(subject="before", attachments=[PDF])
    next_day(store)
    after = store.producer.enqueue(subject="after", attachments=[PDF])
    assert [store.queue(uid)["generation"] for uid in (before, after)] == [0, 1]
    assert [carried(store, uid)[0] for uid in (before, after)] == ["before", "after"]
    assert carried(store, after)[1] == [("a.pdf", b"%PDF " + b"x" * 5000)]
    assert len(send_all(store)) == 2


def test_what_happens_after_the_turn_is_told_in_the_new_generation(store):
    uid = store.producer.enqueue()
    pass_time(store, 8)
    turn(store, "history", 90 * DAY)
    send_all(store)
    assert store.log(uid)["generation"] == 1
    assert store.producer.state(uid)["state"] == "sent"


def test_content_stays_for_its_retention_after_the_last_message_ended(store):
    uid = store.producer.enqueue(attachments=[PDF])
    next_day(store)
    pass_time(store, 30)
    turn(store)
    assert generation(store, 0)["state"] == "pinned" and generation(store, 0)["live_messages"] == 1
    send_all(store)
    turn(store)
    assert generation(store, 0)["state"] == "waiting"
    pass_time(store, 6.9)
    assert empty(store) is None
    pass_time(store, 0.2)
    assert empty(store) == 0
    row = generation(store, 0)
    assert (row["state"], row["opened_at"], row["closed_at"], row["drained_at"]) == ("empty", None, None, None)
    for table in ("content", "attachment", "blob"):
        assert store.root.value(f"SELECT count(*) FROM mailroom.{table} WHERE generation = 0") == 0
    assert store.log(uid)["outcome"] == "sent", "the log has a retention of its own"


def test_history_stays_for_its_retention_after_the_generation_was_closed(store):
    uid = store.producer.enqueue()
    send_all(store)
    pass_time(store, 8)
    turn(store, "history", 90 * DAY)
    later = store.producer.enqueue()
    send_all(store)
    pass_time(store, 89)
    assert empty(store, "history", 90 * DAY) is None and store.log(uid)
    pass_time(store, 2)
    assert empty(store, "history", 90 * DAY) == 0
    assert store.log(uid) is None and store.log(later)["outcome"] == "sent"
    assert store.root.value("SELECT count(*) FROM mailroom.content WHERE uid = %s::uuid", uid) == 1, "content has a retention of its own"


def test_the_open_generation_is_never_emptied(store):
    uid = store.producer.enqueue()
    send_all(store)
    pass_time(store, 400)
    assert empty(store) is None and empty(store, "history") is None
    assert store.log(uid)


@pytest.mark.parametrize("how", ["waiting", "leased", "held", "deferred"])
def test_a_live_message_keeps_its_generation_however_it_waits(store, how):
    uid = store.producer.enqueue(subject="wanted", attachments=[PDF])
    dispatcher = store.dispatcher()
    if how != "waiting":
        [message] = store.claim(dispatcher)
        if how != "leased":
            place = store.place() if how == "held" else 0
            assert suspend(store.worker, dispatcher, store.version, suspension(message, how, place_id=place, delay_ms=10 ** 9))
    next_day(store)
    for _ in range(3):
        pass_time(store, 100)
        turn(store)
        assert empty(store) != 0
    assert carried(store, uid)[:2] == ("wanted", [("a.pdf", b"%PDF " + b"x" * 5000)])


def test_a_producer_that_commits_months_later_finds_its_content(store):
    """It holds a lock on the partition since it wrote there."""
    store.producer.begin()
    uid = store.producer.enqueue(subject="late", attachments=[PDF])
    next_day(store)
    assert generation(store, 0)["state"] == "pinned"
    turn(store)
    assert generation(store, 0)["state"] == "waiting", "nobody sees the message yet"
    pass_time(store, 100)
    assert empty(store) is None
    store.producer.commit()
    assert empty(store) is None, "it is looked for again under the lock"
    assert generation(store, 0)["state"] == "pinned"
    assert carried(store, uid)[:2] == ("late", [("a.pdf", b"%PDF " + b"x" * 5000)])
    send_all(store)
    turn(store)
    assert empty(store) is None, "its retention begins at its end"


def test_a_message_that_appears_in_a_drained_generation_makes_it_wait_anew(store):
    store.producer.begin()
    store.producer.enqueue()
    next_day(store)
    turn(store)
    pass_time(store, 6)
    store.producer.commit()
    turn(store)
    assert generation(store, 0)["state"] == "pinned"
    send_all(store)
    turn(store)
    pass_time(store, 6)
    assert empty(store) is None
    pass_time(store, 2)
    assert empty(store) == 0


def test_a_producer_that_rolls_back_pins_nothing(store):
    store.producer.begin()
    store.producer.enqueue()
    next_day(store)
    turn(store)
    pass_time(store, 8)
    assert empty(store) is None
    store.producer.rollback()
    assert empty(store) == 0


def test_a_producer_that_learned_the_generation_and_writes_after_it_was_emptied_loses_nothing(store):
    """Its snapshot is of before: it writes into what is empty, or open again, and is found there."""
    store.producer.rows("BEGIN ISOLATION LEVEL REPEATABLE READ")
    store.producer.rows("SELECT 1")  # the snapshot of all that follows
    next_day(store)
    turn(store)
    pass_time(store, 8)
    assert empty(store) == 0
    uid = store.producer.enqueue(subject="stray", attachments=[PDF])
    store.producer.commit()
    assert store.queue(uid)["generation"] == 0 and generation(store, 0)["state"] == "empty"
    opened = [next_day(store)[0] for _ in range(15)]
    assert opened == [*range(2, 16), 0], "its turn comes again, and what stands in it stays"
    for _ in range(3):
        next_day(store, 100)
        while (emptied := empty(store)) is not None:
            assert emptied != 0
    assert generation(store, 0)["state"] == "pinned"
    assert carried(store, uid)[:2] == ("stray", [("a.pdf", b"%PDF " + b"x" * 5000)])


def test_who_reads_a_generation_delays_its_end_and_is_hardly_delayed(store):
    uid = store.producer.enqueue()
    send_all(store)
    next_day(store)
    pass_time(store, 8)
    turn(store)
    pass_time(store, 8)
    reader = store.session("root")
    reader.begin()
    assert reader.value("SELECT subject FROM mailroom.content WHERE uid = %s::uuid", uid)
    assert empty(store) is None
    assert reader.value("SELECT subject FROM mailroom.content WHERE uid = %s::uuid", uid)
    reader.commit()
    assert empty(store) == 0


def test_two_dispatchers_turn_a_ring_once_and_do_not_wait_for_each_other(store):
    other = store.session("worker")
    pass_time(store, 2)
    other.begin()
    assert turn(store, session=other) == (1, False)
    assert turn(store) == (None, False) and empty(store) is None
    other.commit()
    assert turn(store) == (None, False) and present(store) == 1


def test_who_saves_settings_for_long_delays_a_turn_and_nothing_else(store):
    store.administrator.begin()
    store.administrator.save("general", server="mail.example.test")
    pass_time(store, 2)
    assert turn(store) == (None, False)
    uid = store.producer.enqueue()
    store.administrator.commit()
    assert turn(store) == (1, False) and store.queue(uid)["generation"] == 0


def test_emptying_wants_a_snapshot_that_is_newer_than_its_locks(store):
    store.worker.rows("BEGIN ISOLATION LEVEL REPEATABLE READ")
    with refused("P0001", "READ COMMITTED"):
        empty(store)
    store.worker.rollback()


def test_with_no_empty_generation_left_the_present_one_goes_on(store):
    for day in range(15):
        far(store)
        assert next_day(store) == (day + 1, False)
    far(store)
    assert next_day(store) == (None, True)
    uid = far(store)
    assert store.queue(uid)["generation"] == 15
    assert [row["live_messages"] for row in store.root.rows("SELECT * FROM mailroom.generations WHERE ring = 'content' ORDER BY generation")] == [1] * 15 + [2]


def test_for_years_without_a_dispatcher_enqueue_works_and_then_the_ring_turns_as_if_nothing_was(store):
    first = store.producer.enqueue()
    pass_time(store, 1000)
    second = store.producer.enqueue()
    assert store.queue(second)["generation"] == 0
    assert turn(store) == (1, False) and empty(store) is None
    assert len(send_all(store)) == 2 and store.producer.state(first)["state"] == "sent"


# ---- What waits for long is moved

@pytest.fixture
def crowded(store):
    """A ring with two empty slots left; in the oldest closed one, messages that wait for years, with all they can carry."""
    uids = [far(store, subject=f"old {n}", attachments=[PDF, {**PDF, "name": f"{n}.pdf", "content": base64.b64encode(b"own %d" % n).decode()}]) for n in range(5)]
    store.producer.enqueue(subject="results", to=["a@example.test", "b@example.test"])
    dispatcher = store.dispatcher()
    [message] = store.claim(dispatcher)
    results = [{"position": 0, "state": 1, "code": 250, "enhanced": "", "reply": ""}, {"position": 1, "state": 0, "code": 450, "enhanced": "", "reply": "later"}]
    assert suspend(store.worker, dispatcher, store.version, suspension(message, delay_ms=10 ** 11, results=results))
    for day in range(13):
        next_day(store)
        if day < 12:
            far(store)
    assert present(store) == 13
    return [*uids, message["uid"]]


def unpin_all(store):
    moved, last = unpin(store)
    total = 0
    while moved:
        total += moved
        moved, last = unpin(store, last)
    return total


def test_while_enough_generations_are_empty_nothing_is_moved(store):
    far(store)
    for _ in range(12):
        next_day(store)
    assert unpin(store) == (0, 0)
    next_day(store)
    pass_time(store, 2)
    turn(store)
    assert unpin(store)[0] == 1


def test_what_is_moved_carries_all_that_it_did(store, crowded):
    before = {uid: carried(store, uid) for uid in crowded}
    assert before[crowded[0]][1][0][1].startswith(b"%PDF") and before[crowded[-1]][2] == [(0, 1), (1, 0)]
    assert unpin_all(store) == 6
    assert {store.queue(uid)["generation"] for uid in crowded} == {13}
    assert {uid: carried(store, uid) for uid in crowded} == before
    turn(store)
    assert generation(store, 0)["state"] == "waiting"
    pass_time(store, 8)
    assert empty(store) == 0
    assert {uid: carried(store, uid) for uid in crowded} == before


def test_what_many_share_is_moved_once(store, crowded):
    unpin_all(store)
    assert store.root.value("SELECT count(*) FROM mailroom.blob WHERE generation = 13") == 6, "one PDF that all share, and five of their own"


def test_a_moved_message_stands_once_in_all_that_looks_by_uid(store, crowded):
    unpin_all(store)
    for uid in crowded:
        assert store.root.value("SELECT count(*) FROM mailroom.content WHERE uid = %s::uuid", uid) == 1
        assert store.producer.state(uid)["state"] in ("scheduled", "deferred")
        assert len(store.operator.run("story", uid)) == 1


def test_a_moved_message_is_claimed_and_ends_with_its_results_in_the_new_generation(store, crowded):
    unpin_all(store)
    store.root.rows("UPDATE mailroom.queue SET run_at = clock_timestamp() - interval '1 hour' WHERE uid = ANY (%s::uuid[])", crowded)
    dispatcher = store.dispatcher()
    messages = store.claim(dispatcher)
    assert sorted(m["uid"] for m in messages) == sorted(crowded) and {m["generation"] for m in messages} == {13}
    result = [{"position": 1, "state": 1, "code": 250, "enhanced": "", "reply": ""}]
    assert complete(store.worker, dispatcher, *[ending(m, results=result if m["uid"] == crowded[-1] else None) for m in messages])
    assert [tuple(r.values()) for r in store.root.rows("SELECT generation, position, state FROM mailroom.recipient_result ORDER BY position")] == [(13, 0, 1), (13, 1, 1)]


def test_what_a_dispatcher_has_is_not_moved(store, crowded):
    dispatcher = store.dispatcher()
    store.root.rows("UPDATE mailroom.queue SET run_at = clock_timestamp() WHERE uid = %s::uuid", crowded[2])
    [message] = store.claim(dispatcher)
    assert unpin_all(store) == 5
    assert message["generation"] == 0 and store.queue(message["uid"])["generation"] == 0
    assert carried(store, message["uid"])[0] == "old 2"
    suspend(store.worker, dispatcher, store.version, suspension(message, "returned"))
    assert unpin_all(store) == 1
    assert carried(store, message["uid"])[0] == "old 2"


def test_a_claim_at_the_same_time_passes_what_is_being_moved_and_finds_it_afterwards(store, crowded):
    store.root.rows("UPDATE mailroom.queue SET run_at = clock_timestamp() WHERE uid = ANY (%s::uuid[])", crowded)
    mover = store.session("worker")
    mover.begin()
    assert unpin(store, session=mover)[0] == 6
    dispatcher = store.dispatcher()
    assert store.claim(dispatcher) == [], "locked: skipped, not waited for"
    mover.commit()
    messages = store.claim(dispatcher)
    assert len(messages) == 6 and {m["generation"] for m in messages} == {13}


def test_what_is_being_claimed_is_passed_by_the_move(store, crowded):
    store.root.rows("UPDATE mailroom.queue SET run_at = clock_timestamp() WHERE uid = %s::uuid", crowded[0])
    dispatcher = store.dispatcher()
    other = store.session("worker")
    other.begin()
    [message] = store.claim(dispatcher, session=other)
    assert unpin_all(store) == 5
    other.commit()
    assert message["generation"] == 0 and carried(store, message["uid"])[0] == "old 0"


def test_a_move_that_is_rolled_back_moved_nothing(store, crowded):
    before = {uid: carried(store, uid) for uid in crowded}
    mover = store.session("worker")
    mover.begin()
    unpin(store, session=mover)
    mover.rollback()
    assert {store.queue(uid)["generation"] for uid in crowded} == {0}
    assert {uid: carried(store, uid) for uid in crowded} == before


def test_a_generation_that_is_being_moved_out_of_is_not_emptied(store, crowded):
    mover = store.session("worker")
    mover.begin()
    unpin(store, session=mover)
    store.root.rows("UPDATE mailroom.generation SET drained_at = clock_timestamp() - interval '30 days' WHERE ring = 'content' AND generation = 0")
    assert empty(store) is None
    mover.rollback()
    assert empty(store) is None
    assert carried(store, crowded[0])[0] == "old 0"


def test_a_step_moves_no_more_than_a_thousand_messages_and_64_mebibytes(store):
    store.root.rows("SELECT mailroom.enqueue(jsonb_build_object('to', 'a@example.test', 'subject', '', 'text', 'x', 'not_before', '2099-01-01T00:00:00Z'))"
                    " FROM generate_series(1, 1010)")
    for _ in range(13):
        next_day(store)
    pass_time(store, 2)
    turn(store)
    steps = []
    last = 0
    store.root.rows("UPDATE mailroom.queue SET size = 20000000 WHERE id IN (SELECT id FROM mailroom.queue ORDER BY id LIMIT 6)")
    while True:
        moved, last = unpin(store, last)
        if not moved:
            break
        steps.append(moved)
    assert steps[0] == 4 and sum(steps) == 1010 and max(steps) <= 1000
    assert store.root.value("SELECT count(*) FROM mailroom.content WHERE generation = 0") == 0


# ---- Who sees it

def test_operators_see_what_is_stored_and_what_pins(store):
    far(store)
    next_day(store)
    turn(store)
    rows = store.operator.rows("SELECT ring, generation, state, opened_at, closed_at, drained_at, estimated_rows, bytes, live_messages"
                               " FROM mailroom.generations ORDER BY ring, generation")
    assert len(rows) == 32
    assert (rows[0]["state"], rows[0]["live_messages"]) == ("pinned", 1) and rows[0]["bytes"] > 0
    assert (rows[1]["state"], rows[1]["live_messages"]) == ("open", 0)
    assert (rows[16]["ring"], rows[16]["state"], rows[16]["live_messages"]) == ("history", "open", None)
    assert {row["state"] for row in rows[2:16]} == {"empty"}


def test_a_look_at_a_generation_reads_only_keys(store):
    """A million live messages of other days are not read to know that none is of this one."""
    store.root.rows("SELECT mailroom.enqueue(jsonb_build_object('to', 'a@example.test', 'subject', '', 'text', 'x')) FROM generate_series(1, 50)")
    send_all(store)
    next_day(store)
    store.root.rows("SELECT mailroom.enqueue(jsonb_build_object('to', 'a@example.test', 'subject', '', 'text', 'x')) FROM generate_series(1, 3000)")
    store.root.rows("ANALYZE mailroom.queue")
    for session in (store.worker, store.root):
        session.rows("SELECT pg_stat_force_next_flush()")
        session.rows("SELECT 1")
    read = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relid = 'mailroom.queue'::regclass"
    before = store.root.value(read)
    turn(store)
    store.worker.rows("SELECT pg_stat_force_next_flush()")
    store.worker.rows("SELECT 1")
    assert store.root.value(read) - before < 100
    assert generation(store, 0)["state"] == "waiting"


# ---- All at once

def test_whatever_happens_at_the_same_time_no_live_message_loses_what_it_carries(store):
    """Producers that commit late or never, dispatchers that end or put back, and weeks that pass in seconds."""
    seed = random.randrange(10 ** 6)
    print("seed", seed)
    until = time.monotonic() + 8
    lost = []
    ended = collections.Counter()

    def produce(number):
        rng = random.Random(seed + number)
        session = store.session("producer")
        while time.monotonic() < until:
            session.rows("BEGIN ISOLATION LEVEL " + rng.choice(["READ COMMITTED", "READ COMMITTED", "REPEATABLE READ"]))
            session.rows("SELECT 1")
            time.sleep(rng.choice([0, 0, 0.05, 0.3]))
            for _ in range(rng.randrange(1, 4)):
                content = base64.b64encode(b"%d" % rng.randrange(5)).decode()
                wait = {"not_before": "2099-01-01T00:00:00Z"} if rng.random() < 0.3 else {}
                session.enqueue(subject=content, attachments=[{**PDF, "content": content}], **wait)
            time.sleep(rng.choice([0, 0, 0.05, 0.5]))
            session.commit() if rng.random() < 0.8 else session.rollback()

    def check(session, row):
        contents = session.run("content", row["generation"], [row["id"]])
        attachments = session.run("attachments", row["generation"], [row["id"]])
        blobs = session.run("blobs", row["generation"], [a["blob_id"] for a in attachments])
        if len(contents) != 1 or len(blobs) != 1 or base64.b64encode(bytes(blobs[0]["bytes"])).decode() != contents[0]["subject"]:
            lost.append((dict(row), contents, attachments, blobs))

    def dispatch(number):
        rng = random.Random(seed + 10 + number)
        session = store.session("worker")
        dispatcher = store.dispatcher(session=session)
        while time.monotonic() < until:
            messages = store.claim(dispatcher, limit=5, session=session)
            time.sleep(rng.choice([0, 0.01, 0.2]))
            for message in messages:
                check(session, message)
                if rng.random() < 0.6:
                    ended["sent"] += len(complete(session, dispatcher, ending(message)))
                else:
                    suspend(session, dispatcher, 1, suspension(message, delay_ms=rng.choice([0, 10 ** 10])))

    def keep(number):
        session, clock = store.session("worker"), store.session("root")
        while time.monotonic() < until:
            clock.rows("UPDATE mailroom.generation SET opened_at = opened_at - interval '30 hours', closed_at = closed_at - interval '30 hours',"
                       " drained_at = drained_at - interval '30 hours'") if number == 0 else None
            ended["opened"] += turn(store, retention=HOUR, session=session)[0] is not None
            while empty(store, retention=HOUR, session=session) is not None:
                ended["emptied"] += 1
            last, moved = 0, 1
            while moved:
                moved, last = unpin(store, last, HOUR, session)
                ended["moved"] += moved
            time.sleep(0.02)

    threads = [Later(functools.partial(work, n)) for work, many in ((produce, 3), (dispatch, 2), (keep, 2)) for n in range(many)]
    for thread in threads:
        thread.result()
    for row in store.root.rows("SELECT id, generation FROM mailroom.queue"):
        check(store.worker, row)
    assert lost == []
    assert min(ended[what] for what in ("sent", "opened", "emptied", "moved")) >= 5, ended
