"""What is cleared away beside the generations, and what operators are told of the queue's dead rows."""

import json

import pytest

DAY = 86_400_000  # milliseconds


def forget_keys(store, retention=90 * DAY, most=5000, session=None):
    return (session or store.worker).row("forget_keys", retention, most)[0]


def forget_small(store):
    return store.worker.row("forget_small")[0]


# ---- Idempotency keys

def test_a_key_is_forgotten_after_its_retention_and_not_before(store):
    old, new = [store.producer.enqueue(idempotency_key=key) for key in ("old", "new")]
    store.root.rows("UPDATE mailroom.idempotency SET created_at = created_at - interval '91 days' WHERE key = 'old'")
    store.root.rows("UPDATE mailroom.idempotency SET created_at = created_at - interval '89 days' WHERE key = 'new'")
    assert forget_keys(store) == 1
    assert store.producer.enqueue(idempotency_key="new") == new
    assert store.producer.enqueue(idempotency_key="old") != old, "a new message"


def test_keys_are_forgotten_in_steps(store):
    store.root.rows("INSERT INTO mailroom.idempotency SELECT 0, 'k' || n, gen_random_uuid(), '', clock_timestamp() - interval '1 year' FROM generate_series(1, 25) n")
    assert [forget_keys(store, most=10) for _ in range(4)] == [10, 10, 5, 0]


def test_two_dispatchers_forget_different_keys(store):
    store.root.rows("INSERT INTO mailroom.idempotency SELECT 0, 'k' || n, gen_random_uuid(), '', clock_timestamp() - interval '1 year' FROM generate_series(1, 20) n")
    other = store.session("worker")
    other.begin()
    assert forget_keys(store, most=10, session=other) == 10
    assert forget_keys(store) == 10
    other.commit()
    assert store.root.value("SELECT count(*) FROM mailroom.idempotency") == 0


# ---- What is small

def test_usage_is_forgotten_when_no_rolling_day_reaches_it(store):
    for hours in (0, 24, 25, 27, 48):
        store.root.rows("INSERT INTO mailroom.route_usage VALUES (10, date_trunc('hour', clock_timestamp()) - %s * interval '1 hour', 1)", hours)
    assert forget_small(store) == 2
    assert store.root.value("SELECT count(*) FROM mailroom.route_usage") == 3


def test_a_refused_from_is_forgotten_a_month_after_it_was_let_go(store):
    for account in ("a", "b"):
        store.worker.run("refuse_sender", "smtp", account, "x@example.test", "550", "")
    store.root.rows("UPDATE mailroom.refused_sender SET until = until - interval '31 days', tried_again = (account = 'a')")
    assert forget_small(store) == 1
    assert store.root.value("SELECT account FROM mailroom.refused_sender") == "b"


def test_a_decision_is_forgotten_after_the_history_that_may_name_it(store):
    def record(*ids):
        store.worker.run("record_decisions", json.dumps([{"id": id, "why": {"table_row": f"S{id}"}} for id in ids]))

    record(2, 1, 2)
    record(3)
    store.root.rows("UPDATE mailroom.decision SET seen_at = (SELECT opened_at FROM mailroom.generation WHERE ring = 'history' AND opened_at IS NOT NULL)"
                    " - CASE id WHEN 2 THEN interval '47 hours' ELSE interval '49 hours' END")
    record(3)  # decided so again
    assert forget_small(store) == 1
    assert [row["id"] for row in store.operator.rows("SELECT id FROM mailroom.decision ORDER BY id")] == [2, 3]


def hold(store, batch="B", session=None):
    """A held batch, as a producer makes it."""
    session = session or store.root
    place = session.value("INSERT INTO mailroom.place (key, kind, reason, subject) VALUES (%s, 'hold', 'batch_held', 'batch') ON CONFLICT (key)"
                          " DO UPDATE SET subject = excluded.subject RETURNING id", f"batch_held/{batch}")
    session.rows("INSERT INTO mailroom.held_batch (batch, place_id, held_by) VALUES (%s, %s, 'x')", batch, place)
    return place


def unhold(store, batch="B"):
    store.root.rows("DELETE FROM mailroom.held_batch WHERE batch = %s", batch)


def a_day_passes(store):
    store.root.rows("UPDATE mailroom.place SET deserted_at = deserted_at - interval '25 hours'")


def places(store):
    return [row["id"] for row in store.root.rows("SELECT id FROM mailroom.place WHERE id >= 10 ORDER BY id")]


def test_the_place_of_a_held_batch_is_forgotten_a_day_after_it_was_of_use(store):
    place = hold(store)
    assert forget_small(store) == 0
    a_day_passes(store)
    assert forget_small(store) == 0 and places(store) == [place], "the batch is held, empty or not"
    unhold(store)
    assert forget_small(store) == 0
    assert forget_small(store) == 0 and places(store) == [place]
    a_day_passes(store)
    assert forget_small(store) == 1 and places(store) == []


def test_a_place_where_a_message_stands_is_not_forgotten(store):
    place = hold(store)
    uid = store.producer.enqueue(batch="B")
    unhold(store)
    for _ in range(3):
        forget_small(store)
        a_day_passes(store)
    assert places(store) == [place] and store.queue(uid)["place_id"] == place


def test_a_place_that_is_used_again_begins_anew(store):
    place = hold(store)
    unhold(store)
    forget_small(store)
    a_day_passes(store)
    hold(store)
    forget_small(store)
    unhold(store)
    assert forget_small(store) == 0 and places(store) == [place]


def test_a_place_that_somebody_is_about_to_use_is_passed(store):
    place = hold(store)
    unhold(store)
    forget_small(store)
    a_day_passes(store)
    other = store.session("root")
    other.begin()
    assert hold(store, session=other) == place
    assert forget_small(store) == 0
    other.commit()
    assert forget_small(store) == 0 and places(store) == [place]


def test_a_producer_that_still_sees_the_batch_held_finds_its_place(store):
    """Its snapshot is of before the release; its message comes into the place when nobody else would."""
    place = hold(store)
    store.producer.rows("BEGIN ISOLATION LEVEL REPEATABLE READ")
    store.producer.rows("SELECT 1")
    unhold(store)
    forget_small(store)
    a_day_passes(store)
    assert forget_small(store) == 0 and places(store) == [place]
    uid = store.producer.enqueue(batch="B")
    store.producer.commit()
    forget_small(store)
    assert store.queue(uid)["place_id"] == place and places(store) == [place]


def test_places_that_dispatchers_know_are_never_forgotten(store):
    known = [store.place("in_doubt/x"), store.place("login_refused/x"), store.route()]
    for _ in range(3):
        forget_small(store)
        a_day_passes(store)
    assert places(store) == known


# ---- Dead rows

def dead_rows(store, session=None):
    """(how many, whether a VACUUM is wanted, whether this login may, the owner)"""
    return (session or store.worker).row("dead_rows")


def make_dead_rows(store, rows):
    store.root.rows("ALTER TABLE mailroom.queue SET (autovacuum_enabled = off)")
    store.root.rows("INSERT INTO mailroom.queue (lane, source, recipients, generation, addressed, size, uid, posted_by)"
                    " SELECT 1, 0, 1, 0, false, 0, gen_random_uuid(), '' FROM generate_series(1, %s)", rows)
    store.root.rows("DELETE FROM mailroom.queue")
    store.root.rows("SELECT pg_stat_force_next_flush()")
    store.root.rows("SELECT 1")


def test_a_vacuum_is_wanted_only_when_autovacuum_does_not_keep_up(store):
    assert dead_rows(store)[:2] == (0, False)
    make_dead_rows(store, 19_000)
    assert dead_rows(store)[:2] == (19_000, False)
    make_dead_rows(store, 2_000)
    assert dead_rows(store)[:2] == (21_000, True)
    store.root.rows("VACUUM mailroom.queue")
    make_dead_rows(store, 21_000)
    assert dead_rows(store)[:2] == (21_000, False), "it was vacuumed a moment ago"


def test_no_second_vacuum_is_wanted_beside_one_that_runs(store):
    make_dead_rows(store, 21_000)
    other = store.session("root")
    other.begin()
    other.rows("LOCK TABLE mailroom.queue IN SHARE UPDATE EXCLUSIVE MODE")  # what VACUUM holds
    assert not dead_rows(store)[1]
    other.rollback()
    assert dead_rows(store)[1]


def test_a_worker_may_vacuum_when_it_has_the_rights_of_the_owner(store):
    make_dead_rows(store, 21_000)
    count, wanted, may, owner = dead_rows(store)
    assert wanted and not may
    store.worker.rows("VACUUM (SKIP_LOCKED, TRUNCATE false) mailroom.queue")  # a warning, and nothing is done
    assert dead_rows(store)[0] == 21_000
    member = store.login("worker")
    store.root.rows(f'GRANT {owner} TO "{member.connection.info.user}"')
    assert dead_rows(store, member)[2]
    member.rows("VACUUM (SKIP_LOCKED, TRUNCATE false) mailroom.queue")
    assert dead_rows(store)[0] == 0


# ---- What pins them

def pins(store, session=None):
    return [row["subject"] for row in (session or store.worker).rows("SELECT * FROM mailroom.pins")]


@pytest.fixture
def opened(store):
    """An ERP's session with a transaction that has written and is idle."""
    store.producer.begin()
    store.producer.enqueue()
    yield store.producer
    store.producer.rollback()


def test_a_worker_sees_a_transaction_that_pins_and_who_has_it(store, opened):
    [row] = [row for row in store.worker.rows("SELECT * FROM mailroom.pins") if row["subject"] == f"pid {opened.pid}"]
    assert (row["kind"], row["user_name"], row["since"]) == ("transaction", "login_producer", None)
    assert f"pg_terminate_backend({opened.pid})" in row["remedy"] and row["transactions"] >= 1
    store.root.rows('GRANT pg_read_all_stats TO mailroom_operator')
    try:
        [row] = [row for row in store.operator.rows("SELECT * FROM mailroom.pins") if row["subject"] == f"pid {opened.pid}"]
        assert row["state"] == "idle in transaction" and row["since"] is not None
    finally:
        store.root.rows('REVOKE pg_read_all_stats FROM mailroom_operator')


def test_a_pin_keeps_its_name_for_as_long_as_it_is_the_same(store, opened):
    def names():
        return [row[0] for row in rows_of(store, "pins") if f"pid {opened.pid} " in row[0]]
    first = names()
    store.other_producer.enqueue()
    assert first == names() and len(first) == 1
    opened.rollback()
    assert names() == []
    opened.begin()
    opened.enqueue()
    assert len(names()) == 1 and names() != first


def rows_of(store, statement):
    return [tuple(row.values()) for row in store.worker.run(statement)]


def test_a_transaction_that_only_waits_pins_nothing(store):
    store.producer.begin()
    store.producer.rows("SELECT 1")
    assert f"pid {store.producer.pid}" not in pins(store)
    store.producer.rollback()


def test_a_snapshot_of_another_database_pins_nothing_here(store):
    elsewhere = store.cluster.connect(None, None, "postgres")
    with elsewhere.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1")
    assert f"pid {elsewhere.info.backend_pid}" not in pins(store)
    elsewhere.close()


def test_nobody_but_workers_and_operators_looks(store):
    may = store.root.value("SELECT array_agg(r::text ORDER BY r::text) FROM unnest(ARRAY['producer', 'mobile', 'worker', 'operator', 'administrator']) r"
                           " WHERE has_table_privilege('mailroom_' || r, 'mailroom.pins', 'SELECT') AND has_table_privilege('mailroom_' || r, 'mailroom.generations', 'SELECT')")
    assert may == ["operator", "worker"]
