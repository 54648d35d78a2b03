"""`mailroom.outcomes`: every end, hold and doubt exactly once, whatever commits late, rolls back or stays open."""

import json
import random

import pytest

from store import ending, complete, refused, suspend, suspension
from test_store_many import many, to


def ask(session, cursor=None, limit=100):
    answer = session.value("SELECT mailroom.outcomes(%s, %s)", cursor, limit)
    return answer["cursor"], answer["outcomes"], answer["more"]


def rest(session, cursor=None, limit=100):
    """The cursor after the last page and all outcomes until there."""
    told, more = [], True
    while more:
        cursor, page, more = ask(session, cursor, limit)
        assert len(page) <= limit
        told += page
    return cursor, told


def write(session, number, posted_by="login_producer"):
    """An end, without the queue's part in it."""
    session.rows("INSERT INTO mailroom.log (generation, id, uid, ended_at, outcome, enqueued_at, lane, source, addressed, attempts, doubts, recipients, lease_no, posted_by, batch)"
                 " VALUES (0, %s, gen_random_uuid(), clock_timestamp(), 'sent', now(), 1, 0, false, 1, 0, 1, 1, %s, %s)", number, posted_by, str(number))


def tell(session, number, event="held", posted_by="login_producer"):
    session.rows("INSERT INTO mailroom.story (generation, message_id, uid, posted_by, lease_no, event, note) VALUES (0, %s, gen_random_uuid(), %s, 1, %s, %s)",
                 number, posted_by, event, str(number))


def numbers(outcomes):
    return [int(outcome.get("batch") or outcome["note"]) for outcome in outcomes]


def test_ends_holds_and_doubts_are_told_and_other_events_are_not(store):
    uids = [store.producer.enqueue(to=f"{n}@example.test") for n in range(5)]
    dispatcher = store.dispatcher()
    messages = sorted(store.claim(dispatcher), key=lambda message: message["id"])
    complete(store.worker, dispatcher, ending(messages[0]), ending(messages[1], "failed", reply="550 no", code=550))
    suspend(store.worker, dispatcher, store.version, suspension(messages[2], "held", place_id=store.place("no_user/x"), note="why"),
            suspension(messages[3], "in_doubt", doubtful=1, delay_ms=1000), suspension(messages[4]))
    cursor, told = rest(store.producer)
    assert [(outcome["uid"], outcome["event"]) for outcome in sorted(told, key=lambda outcome: uids.index(outcome["uid"]))] == list(
        zip(uids[:4], ["sent", "failed", "held", "in_doubt"]))
    by_event = {outcome["event"]: outcome for outcome in told}
    assert (by_event["failed"]["note"], by_event["failed"]["code"]) == ("550 no", 550)
    held = by_event["held"]
    assert (held["reason"], held["subject"], held["remedy"], held["note"]) == ("no_user", "subject", "remedy", "why")
    assert by_event["in_doubt"]["possible_duplicate"] and not by_event["sent"]["possible_duplicate"]
    assert rest(store.producer, cursor)[1] == []


def test_an_empty_answer_has_a_cursor_too(store):
    cursor, told = rest(store.producer)
    assert told == [] and cursor
    write(store.root, 1)
    assert numbers(rest(store.producer, cursor)[1]) == [1]


def test_a_late_commit_is_told_when_it_is_there(store):
    late = store.session("root")
    late.begin()
    write(late, 1)
    write(store.root, 2)
    cursor, told = rest(store.producer)
    assert numbers(told) == [2]
    late.commit()
    cursor, told = rest(store.producer, cursor)
    assert numbers(told) == [1] and rest(store.producer, cursor)[1] == []


def test_what_was_rolled_back_is_never_told(store):
    other = store.session("root")
    other.begin()
    write(other, 1)
    cursor, _ = rest(store.producer)
    other.rollback()
    write(store.root, 2)
    assert numbers(rest(store.producer, cursor)[1]) == [2]


def test_somebodys_long_transaction_stops_nobody_and_repeats_nothing(store):
    long = store.session("root")
    long.begin()
    write(long, 0)
    cursor, told = None, []
    for n in range(1, 30):
        write(store.root, n)
        cursor, page = rest(store.producer, cursor, limit=3)
        told += numbers(page)
    assert told == list(range(1, 30))
    long.commit()
    assert numbers(rest(store.producer, cursor)[1]) == [0]


def test_one_large_transaction_is_told_in_pages_while_others_commit(store):
    store.root.begin()
    for n in range(1000):
        write(store.root, n) if n % 3 else tell(store.root, n)
    store.root.commit()
    other = store.session("root")
    told, cursor, more, extra = [], None, True, 1000
    while more:
        cursor, page, more = ask(store.producer, cursor, 7)
        told += numbers(page)
        if len(told) < 1000:
            write(other, extra)
            extra += 1
    assert extra > 1100 and told == list(range(extra))


def test_what_ones_own_open_transaction_did_is_told_after_its_commit(store):
    uids = many(store.producer, to(1), to(2), to(3))
    before, _ = rest(store.producer)
    store.producer.begin()
    store.producer.value("SELECT mailroom.cancel(%s::uuid)", uids[0])
    write(store.root, 7)  # a transaction after ours that ends before
    cursor, told = rest(store.producer, before)
    assert numbers(told) == [7]
    store.producer.value("SELECT mailroom.cancel(%s::uuid)", uids[1])
    store.producer.commit()
    _, told = rest(store.producer, cursor)
    assert [outcome["uid"] for outcome in told] == uids[:2]


def test_two_readers_do_not_disturb_each_other(store):
    for n in range(20):
        write(store.root, n)
    first, page, _ = ask(store.producer, None, 8)
    second = store.session("producer")
    assert numbers(rest(second, None, 3)[1]) == list(range(20))
    assert numbers(page) + numbers(rest(store.producer, first, 5)[1]) == list(range(20))


def test_ones_own_only_and_an_operator_reads_all(store):
    write(store.root, 1)
    write(store.root, 2, "login_other_producer")
    tell(store.root, 3, posted_by="login_other_producer")
    assert [numbers(rest(session)[1]) for session in (store.producer, store.other_producer, store.operator)] == [[1], [2, 3], [1, 2, 3]]


@pytest.mark.parametrize("cursor, text", [
    ("", "is none that this version"), ("x", "is none that this version"), ("2/a/1:1:", "is none that this version"), ("1/7-5/1:1:", "belongs to another database")])
def test_a_cursor_that_is_none_of_ours_is_refused(store, cursor, text):
    with refused("MR004", text, "Give NULL to begin"):
        ask(store.producer, cursor)


def test_a_damaged_cursor_and_one_from_the_future_are_refused(store):
    version, origin, _ = rest(store.producer)[0].split("/")
    for snapshot in ("5:3:", "x", "1:1", "1:5:9", "1:9:3,3,x"):
        with refused("MR004", "is damaged"):
            ask(store.producer, f"{version}/{origin}/{snapshot}")
    with refused("MR004", "is damaged"):
        ask(store.producer, f"{version}/{origin}/1:1:/1:1:/x/y/z/e")
    with refused("MR004", "restored to an earlier time"):
        ask(store.producer, f"{version}/{origin}/99999999999:99999999999:")


def test_a_cursor_of_another_database_of_the_cluster_is_refused(store, shared_store_of_its_own):
    with refused("MR004", "belongs to another database"):
        ask(store.producer, rest(shared_store_of_its_own.producer)[0])


@pytest.fixture
def shared_store_of_its_own(new_store):
    other = new_store()
    yield other
    other.close()


@pytest.mark.parametrize("limit", [0, -1, 10_001, None])
def test_the_page_has_a_limit(store, limit):
    with refused("MR001", "max_rows: must be 1 to 10,000"):
        ask(store.producer, None, limit)


@pytest.mark.parametrize("seed", range(4))
def test_any_interleaving_tells_everything_once(store, seed):
    """Five writers that begin, write, save, roll back and commit at random, three readers with pages of their own; then the truth."""
    random_ = random.Random(seed)
    writers = [store.session("root") for _ in range(5)]
    pending, committed = [None] * 5, []
    readers = [{"session": store.session("producer"), "cursor": None, "told": [], "limit": limit} for limit in (1, 4, 50)]
    number = 0
    for _ in range(1500):
        who = random_.randrange(8)
        if who >= 5:
            reader = readers[who - 5]
            reader["cursor"], page, _ = ask(reader["session"], reader["cursor"], reader["limit"])
            reader["told"] += numbers(page)
            continue
        writer, step = writers[who], random_.random()
        if pending[who] is None:
            writer.begin()
            pending[who] = []
        elif step < 0.6:
            for _ in range(random_.choice((1, 1, 3))):
                number += 1
                random_.choice((write, tell))(writer, number)
                pending[who].append(number)
        elif step < 0.7 and pending[who]:
            writer.rows("SAVEPOINT s")
            write(writer, -1)
            writer.rows("ROLLBACK TO SAVEPOINT s")
        elif step < 0.8:
            writer.rollback()
            pending[who] = None
        else:
            writer.commit()
            committed += pending[who]
            pending[who] = None
    for who, writer in enumerate(writers):
        if pending[who] is not None:
            writer.commit()
            committed += pending[who]
    for reader in readers:
        told = reader["told"] + numbers(rest(reader["session"], reader["cursor"], reader["limit"])[1])
        assert len(told) == len(set(told)), "told twice"
        assert set(told) == set(committed)


def test_an_identity_that_changed_while_a_message_waited_stands_in_its_story(store):
    """Where nobody was found who could send it, none is told; what counts is who sent the last time."""
    dispatcher, uid = store.dispatcher(), store.producer.enqueue()
    anna = {"account": "anna", "from_address": "anna@one.test", "sender": ""}
    shared = {"account": "erp", "from_address": "anna@one.test", "sender": "erp@one.test"}
    for event, identity in (("deferred", anna), ("deferred", anna), ("held", {}), ("deferred", shared)):
        [message] = store.claim(dispatcher)
        suspend(store.worker, dispatcher, store.version, suspension(message, event, **identity))
    [message] = store.claim(dispatcher)
    complete(store.worker, dispatcher, ending(message, **anna))
    events = json.loads(store.operator.row("story", uid)[0])["events"]
    assert [(event["event"], event.get("identity_before")) for event in events] == [
        ("deferred", None), ("deferred", None), ("held", None), ("deferred", anna), ("sent", shared)]
