"""What operators are told: once, however many dispatchers see it, with its beginning and its end."""

import json

import pytest

from store import resending

PAUSED = ("account_paused", "anna at mail.example.test")
DAY = 86_400_000  # milliseconds


def raised(subject=PAUSED[1], id=PAUSED[0], **more):
    return {"id": id, "subject": subject, "severity": "warning", "text": "it is paused", "remedy": "enter the password", "began_ms": 0, "ended_ms": None,
            "lasts_ms": None, "of_dispatcher": False, **more}


def tell(store, dispatcher, *events, session=None):
    """(id, subject) of those that nobody had told."""
    return [(row["id"], row["subject"]) for row in (session or store.worker).run("raise_event", dispatcher, json.dumps(events)) if row["id"]]


def end(store, subject=PAUSED[1], id=PAUSED[0], ended_ms=0, session=None, dispatcher=0):
    return [(row["id"], row["subject"]) for row in (session or store.worker).run("end_event", dispatcher,
                                                                                json.dumps([{"id": id, "subject": subject, "ended_ms": ended_ms}]))]


def rows(store):
    return store.root.rows("SELECT *, until IS NULL OR until > clock_timestamp() AS open FROM mailroom.events ORDER BY id, subject")


def time_passes(store, interval):
    store.root.rows("UPDATE mailroom.events SET since = since - %s::interval, last_seen = last_seen - %s::interval, until = until - %s::interval", *[interval] * 3)


def shown(store, all=False, since=None, limit=100, session=None):
    return json.loads((session or store.operator).row("events", all, since, limit)[0])["events"]


@pytest.fixture
def dispatcher(store):
    return store.dispatcher()


def test_what_two_dispatchers_see_is_told_once(store, dispatcher):
    assert tell(store, dispatcher, raised()) == [PAUSED]
    assert tell(store, store.dispatcher(), raised()) == []
    [row] = rows(store)
    assert (row["times"], row["open"], row["since"]) == (1, True, row["last_seen"])


def test_of_two_that_raise_it_at_the_same_moment_one_is_the_first(store, dispatcher):
    first, second = store.session("worker"), store.session("worker")
    first.begin()
    assert tell(store, dispatcher, raised(), session=first) == [PAUSED]
    with store.blocked(second, lambda: tell(store, store.dispatcher(), raised(), session=second)) as later:
        first.commit()
    assert later.result() == []
    assert [row["times"] for row in rows(store)] == [1]


def test_while_it_goes_on_it_is_written_at_most_once_a_minute(store, dispatcher):
    tell(store, dispatcher, raised())
    before = store.root.value("SELECT ctid::text FROM mailroom.events")
    tell(store, dispatcher, raised(text="another text"))
    assert store.root.value("SELECT ctid::text FROM mailroom.events") == before
    time_passes(store, "2 minutes")
    assert tell(store, dispatcher, raised(text="another text")) == [], "it is no news"
    [row] = rows(store)
    assert row["text"] == "another text" and row["times"] == 1
    assert (row["last_seen"] - row["since"]).total_seconds() > 100


def test_it_ends_once(store, dispatcher):
    tell(store, dispatcher, raised())
    assert end(store) == [PAUSED]
    assert end(store) == []
    [row] = rows(store)
    assert not row["open"] and row["until"] >= row["since"]


def test_what_comes_back_is_told_again_and_counted(store, dispatcher):
    tell(store, dispatcher, raised())
    end(store)
    time_passes(store, "1 hour")
    assert tell(store, dispatcher, raised()) == [PAUSED]
    [row] = rows(store)
    assert row["open"] and row["times"] == 2 and row["since"] == row["last_seen"], "since it came back"


def test_what_was_over_before_it_could_be_told_is_told_with_its_times(store, dispatcher):
    assert tell(store, dispatcher, raised(began_ms=60_000, ended_ms=20_000)) == [PAUSED]
    [row] = rows(store)
    assert not row["open"] and (row["until"] - row["since"]).total_seconds() == 40


def test_what_happened_is_open_for_its_time_and_counted_each_time(store, dispatcher):
    for times in (1, 2):
        assert tell(store, dispatcher, raised(lasts_ms=DAY)) == [PAUSED]
        [row] = rows(store)
        assert row["open"] and row["times"] == times
    time_passes(store, "25 hours")
    assert [row["open"] for row in rows(store)] == [False]
    assert shown(store) == []


def test_of_a_kind_all_end_but_those_that_are_named(store, dispatcher):
    tell(store, dispatcher, raised("a"), raised("b"), raised("c"), raised("a", id="sender_refused"))
    ended = store.worker.run("end_other_events", dispatcher, "account_paused", json.dumps(["b"]))
    assert sorted((row["subject"], row["text"]) for row in ended) == [("a", "it is paused"), ("c", "it is paused")]
    assert [(row["id"], row["subject"]) for row in rows(store) if row["open"]] == [("account_paused", "b"), ("sender_refused", "a")]


def test_of_a_kind_none_ends_what_another_dispatcher_with_another_key_sees_before_that_is_gone(store, dispatcher):
    other = store.dispatcher()
    tell(store, other, raised())
    assert store.worker.run("end_other_events", dispatcher, "account_paused", "[]") == [], "it knows only the logins of its own key"
    store.worker.run("resign", other)
    assert [row["subject"] for row in store.worker.run("end_other_events", dispatcher, "account_paused", "[]")] == [PAUSED[1]]


def test_what_two_dispatchers_see_is_over_when_neither_does(store, dispatcher):
    other, third = store.dispatcher(), store.dispatcher()
    assert tell(store, dispatcher, raised(of_dispatcher=True)) == [PAUSED]
    assert tell(store, other, raised(of_dispatcher=True)) == [], "within the minute in which it is not written again"
    assert end(store, dispatcher=dispatcher) == [] and end(store, dispatcher=dispatcher) == []
    [row] = rows(store)
    assert row["open"] and row["seen_by"] == [other] and row["times"] == 1
    tell(store, third, raised(of_dispatcher=True, began_ms=60_000, ended_ms=20_000))
    assert rows(store)[0]["open"], "the third one's is over, the other's is not"
    assert end(store, dispatcher=other) == [PAUSED]
    [row] = rows(store)
    assert not row["open"] and row["seen_by"] == [] and row["times"] == 1


def test_what_a_dispatcher_that_goes_saw_stays_open_for_those_that_still_see_it(store, dispatcher):
    other = store.dispatcher()
    for id in (dispatcher, other):
        tell(store, id, raised(of_dispatcher=True))
    store.worker.run("resign", other)
    [row] = rows(store)
    assert row["open"] and row["seen_by"] == [dispatcher]
    store.worker.run("resign", dispatcher)
    assert [row["open"] for row in rows(store)] == [False]


@pytest.mark.parametrize("ends", ["resign", "end_event", "end_other_events"])
def test_who_ends_several_locks_them_in_the_order_in_which_they_are_raised(store, dispatcher, ends):
    """Else the two would wait for each other, and the server would abort one: a whole reap, for instance."""
    other = store.dispatcher()
    own = ends != "end_other_events"
    for subject in ("c", "b", "a"):  # the rows stand so
        tell(store, dispatcher, raised(subject, of_dispatcher=own))
    first, second = store.session("worker"), store.session("worker")
    first.begin()
    tell(store, other, raised("a", lasts_ms=DAY), session=first)
    statements = {"resign": [dispatcher],
                  "end_event": [dispatcher, json.dumps([{"id": PAUSED[0], "subject": subject, "ended_ms": 0} for subject in "cba"])],
                  "end_other_events": [dispatcher, PAUSED[0], "[]"]}
    store.root.rows("UPDATE mailroom.events SET last_seen = last_seen - interval '2 minutes' WHERE subject <> 'a'")
    with store.blocked(second, lambda: second.run(ends, *statements[ends])) as later:
        tell(store, other, raised("c", lasts_ms=DAY), session=first)
        first.commit()
    later.result()


def test_what_a_dispatcher_alone_can_end_ends_with_it_by_its_own_will(store, dispatcher):
    other = store.dispatcher()
    tell(store, dispatcher, raised("mine", of_dispatcher=True), raised("the database's"))
    tell(store, other, raised("another's", of_dispatcher=True))
    store.worker.run("resign", dispatcher)
    assert [row["subject"] for row in rows(store) if row["open"]] == ["another's", "the database's"]


def test_who_reaps_a_dead_dispatcher_ends_what_it_alone_could_end(store):
    dead, _ = store.dead()
    tell(store, dead, raised("mine", of_dispatcher=True), raised("the database's"))
    reaper, doubt = store.living(), store.place("in_doubt/x")
    while store.reap(reaper, doubt)[0]:
        pass
    assert store.root.value("SELECT count(*) FROM mailroom.dispatcher WHERE id = %s", dead) == 0
    assert [row["subject"] for row in rows(store) if row["open"]] == ["the database's"]


def test_a_reaper_learns_whom_it_reaped(store):
    dead, _ = store.dead()
    idle = store.dispatcher()
    store.beaten(idle, "2 hours")
    row = store.worker.row("reap", store.living(), 256, resending(900_000), store.place("in_doubt/x"), store.quarantine)
    assert row[:3] == (1, 0, f"dispatcher {dead} on host"), "not the one that had nothing"


def test_a_dispatcher_that_is_off_the_list_tells_nothing_more(store, dispatcher):
    """Nobody could end it."""
    store.worker.run("resign", dispatcher)
    [row] = store.worker.run("raise_event", dispatcher, json.dumps([raised(of_dispatcher=True)]))
    assert row["listed"] is False and row["id"] is None, "it learns so, and tells it under its next name"
    assert rows(store) == []


def test_events_are_forgotten_when_they_were_over_for_the_retention(store, dispatcher):
    tell(store, dispatcher, raised("old"), raised("open"))
    end(store, "old")
    time_passes(store, "89 days")
    tell(store, dispatcher, raised("new"))
    end(store, "new")
    assert store.worker.row("forget_events", 90 * DAY)[0] == 0
    time_passes(store, "2 days")
    assert store.worker.row("forget_events", 90 * DAY)[0] == 1
    assert [row["subject"] for row in rows(store)] == ["new", "open"]


def test_an_operator_and_an_administrator_see_what_is_open_and_on_request_what_was(store, dispatcher):
    tell(store, dispatcher, raised("first"))
    time_passes(store, "3 hours")
    tell(store, dispatcher, raised("second"), raised("third"))
    end(store, "second")
    time_passes(store, "1 hour")
    for session in (store.operator, store.administrator):
        assert [event["subject"] for event in shown(store, session=session)] == ["first", "third"], "the newest last"
        assert [event["subject"] for event in shown(store, all=True, session=session)] == ["first", "second", "third"]
        assert [event["subject"] for event in shown(store, since="30 minutes", session=session)] == ["first", "third"]
        assert [event["subject"] for event in shown(store, since="2h", session=session)] == ["first", "second", "third"]
        assert [event["subject"] for event in shown(store, limit=1, session=session)] == ["third"]
    [first, _] = shown(store)
    assert first["open"] and first["remedy"] == "enter the password" and 14_300 < first["age"] < 14_500


def test_messages_that_wait_for_an_operator_are_counted_by_reason(store):
    assert store.worker.run("undecided") == []
    store.root.rows("INSERT INTO mailroom.place (key, kind, reason) VALUES ('in_doubt/message', 'hold', 'in_doubt'), ('no_user/x', 'hold', 'no_user')")
    for key, messages in (("in_doubt/message", 3), ("no_user/x", 2)):
        for _ in range(messages):
            uid = store.producer.enqueue()
            store.root.rows("UPDATE mailroom.queue SET place_id = (SELECT id FROM mailroom.place WHERE key = %s) WHERE uid = %s::uuid", key, uid)
    assert [tuple(row.values()) for row in store.worker.run("undecided")] == [("in_doubt", 3)]
