"""Limited routes: one dispatcher owns each, and nobody is granted more recipients in any 24 hours than there are."""

import pytest

HOUR = 3_600_000  # ms


@pytest.fixture
def route(store):
    return store.route(limited=True)


def own(store, route, dispatcher, session=None):
    return bool((session or store.worker).run("own_route", dispatcher, route))


def grant(store, route, dispatcher, wanted, most=100, session=None):
    """How many were granted, and after how many milliseconds to ask again."""
    return (session or store.worker).row("grant_recipients", dispatcher, route, wanted, most)


def ago(store, route, interval):
    """All that was granted there was granted that much earlier."""
    store.root.rows("UPDATE mailroom.route_usage SET hour = hour - %s::interval WHERE place_id = %s", interval, route)


def into_the_hour(store):
    """How many milliseconds this hour is old."""
    return int(store.root.value("SELECT extract(epoch FROM clock_timestamp() - date_trunc('hour', clock_timestamp(), 'UTC')) * 1000"))


def counted(store, route):
    return store.root.value("SELECT coalesce(sum(recipients), 0)::integer FROM mailroom.route_usage WHERE place_id = %s", route)


# Who owns it

def owned_by(store, dispatcher, route):
    """As routes.sql tells it: 0 nobody alive, 1 us, 2 another."""
    store.root.rows("UPDATE mailroom.place SET parked_at = clock_timestamp() WHERE id = %s", route)
    return {row["id"]: row["owned_by"] for row in store.worker.run("routes", dispatcher)}[route]


def test_the_first_that_needs_a_limited_route_owns_it_and_keeps_it(store, route):
    one, other = store.dispatcher(), store.dispatcher()
    assert owned_by(store, one, route) == 0
    assert own(store, route, one) and own(store, route, one) and not own(store, route, other)
    assert owned_by(store, one, route) == 1 and owned_by(store, other, route) == 2


def test_of_two_that_take_it_at_once_one_gets_it(store, route):
    one, other, second = store.dispatcher(), store.dispatcher(), store.session("worker")
    store.worker.begin()
    assert own(store, route, one)
    with store.blocked(second, lambda: own(store, route, other, second)) as later:
        store.worker.commit()
        assert later.result() is False
    assert owned_by(store, one, route) == 1


def test_the_route_of_one_that_gave_up_taking_it_goes_to_the_other(store, route):
    one, other, second = store.dispatcher(), store.dispatcher(), store.session("worker")
    store.worker.begin()
    own(store, route, one)
    with store.blocked(second, lambda: own(store, route, other, second)) as later:
        store.worker.rollback()
        assert later.result() is True


@pytest.mark.parametrize("end", ["its heartbeat is over", "it resigned", "it was buried"])
def test_a_route_is_free_when_its_owner_is_gone(store, route, end):
    gone, heir = store.dispatcher(), store.dispatcher()
    own(store, route, gone)
    if end == "its heartbeat is over":
        store.beaten(gone, "2 hours")
    elif end == "it resigned":
        store.worker.run("resign", gone)
    else:
        store.beaten(gone, "2 hours")
        store.reap(store.living(), store.place("in_doubt/x"))
    assert owned_by(store, heir, route) == 0 and own(store, route, heir) and owned_by(store, heir, route) == 1


def test_who_comes_back_from_the_dead_owns_what_nobody_took_and_nothing_else(store, route):
    late, heir = store.dispatcher(), store.dispatcher()
    other = store.route("smtp/other", limited=True)
    own(store, route, late), own(store, other, late)
    store.beaten(late, "2 hours")
    assert own(store, route, heir)
    store.worker.run("beat", late, True)
    assert not own(store, route, late) and own(store, other, late)
    assert grant(store, route, late, 1) == (0, 0) and grant(store, other, late, 1)[0] == 1


@pytest.mark.parametrize("who", ["one whose heartbeat is over", "one that is not registered"])
def test_the_dead_take_nothing(store, route, who):
    dispatcher = store.dispatcher()
    store.beaten(dispatcher, "2 hours")
    assert not own(store, route, dispatcher if who == "one whose heartbeat is over" else 4711)


def test_whether_a_route_has_limits_is_what_was_said_last(store):
    assert store.route(limited=False) == store.route(limited=True)
    assert store.root.value("SELECT limited FROM mailroom.place WHERE kind = 'route'") is True


# What it may send in 24 hours

def test_recipients_are_granted_as_asked_until_the_limit(store, route):
    dispatcher = store.dispatcher()
    own(store, route, dispatcher)
    assert [grant(store, route, dispatcher, 40)[0] for _ in range(4)] == [40, 40, 20, 0]


def test_only_the_owner_is_granted_any_and_only_it_gives_back(store, route):
    dispatcher, other = store.dispatcher(), store.dispatcher()
    assert grant(store, route, dispatcher, 5) == (0, 0)
    own(store, route, dispatcher)
    grant(store, route, dispatcher, 5)
    assert grant(store, route, other, 5) == (0, 0) and grant(store, route, other, -5) == (0, 0) and counted(store, route) == 5


def test_a_new_owner_starts_with_what_the_old_one_used(store, route):
    gone, heir = store.dispatcher(), store.dispatcher()
    own(store, route, gone)
    grant(store, route, gone, 90)
    store.beaten(gone, "2 hours")
    own(store, route, heir)
    assert grant(store, route, heir, 40)[0] == 10


@pytest.mark.parametrize("hours, granted", [(0, 0), (1, 0), (23, 0), (24, 0), (25, 100), (26, 100)])
def test_what_was_granted_counts_until_its_hour_lies_wholly_out_of_the_last_24(store, route, hours, granted):
    """An hour that began 24 hours and 59 minutes ago ended 23 hours and 59 minutes ago."""
    dispatcher = store.dispatcher()
    own(store, route, dispatcher)
    grant(store, route, dispatcher, 100)
    ago(store, route, f"{hours} hours")
    assert grant(store, route, dispatcher, 100)[0] == granted


def test_who_is_granted_none_hears_when_the_next_are_free(store, route):
    dispatcher = store.dispatcher()
    own(store, route, dispatcher)
    grant(store, route, dispatcher, 30)
    ago(store, route, "20 hours")
    grant(store, route, dispatcher, 70)
    past = into_the_hour(store)
    granted, wait = grant(store, route, dispatcher, 1)
    assert granted == 0 and abs(wait - (5 * HOUR - past)) < 10_000
    ago(store, route, "5 hours")
    assert grant(store, route, dispatcher, 100)[0] == 30


def test_under_a_limit_that_was_lowered_the_wait_is_until_less_than_it_is_used(store, route):
    """The first hours that leave free nobody."""
    dispatcher = store.dispatcher()
    own(store, route, dispatcher)
    for count, hours in ((10, 2), (20, 3), (30, 0)):
        grant(store, route, dispatcher, count)
        ago(store, route, f"{hours} hours")
    past = into_the_hour(store)
    granted, wait = grant(store, route, dispatcher, 1, most=40)
    assert granted == 0 and abs(wait - ((25 - 3) * HOUR - past)) < 10_000


def test_the_wait_is_never_nothing_while_the_limit_is_used_up(store, route):
    """Who waits for 0 ms asks in a circle."""
    dispatcher = store.dispatcher()
    own(store, route, dispatcher)
    assert grant(store, route, dispatcher, 1, most=0)[1] > 0


def test_what_is_given_back_is_granted_again(store, route):
    dispatcher = store.dispatcher()
    own(store, route, dispatcher)
    grant(store, route, dispatcher, 100)
    assert grant(store, route, dispatcher, -30) == (0, 0)
    assert grant(store, route, dispatcher, 50)[0] == 30


def test_what_is_given_back_after_the_hour_leaves_with_the_oldest(store, route):
    """Taken from the newest it would free, when the oldest leave, what was sent since."""
    dispatcher = store.dispatcher()
    own(store, route, dispatcher)
    grant(store, route, dispatcher, 60)
    ago(store, route, "20 hours")
    grant(store, route, dispatcher, 40)
    grant(store, route, dispatcher, -10)
    assert counted(store, route) == 90
    ago(store, route, "5 hours")
    assert grant(store, route, dispatcher, 100)[0] == 60


def test_never_more_is_given_back_than_was_granted(store, route):
    dispatcher = store.dispatcher()
    own(store, route, dispatcher)
    grant(store, route, dispatcher, 10)
    grant(store, route, dispatcher, -50)
    assert counted(store, route) == 0 and grant(store, route, dispatcher, 200)[0] == 100


def test_giving_back_under_a_lowered_limit_gives_back_no_more_than_said(store, route):
    dispatcher = store.dispatcher()
    own(store, route, dispatcher)
    grant(store, route, dispatcher, 80)
    grant(store, route, dispatcher, -5, most=10)
    assert counted(store, route) == 75


def test_two_grants_at_once_are_together_within_the_limit(store, route):
    dispatcher, second = store.dispatcher(), store.session("worker")
    own(store, route, dispatcher)
    grant(store, route, dispatcher, 10)
    store.worker.begin()
    assert grant(store, route, dispatcher, 80)[0] == 80
    with store.blocked(second, lambda: grant(store, route, dispatcher, 80, session=second)) as later:
        store.worker.commit()
        assert later.result()[0] == 10
    assert counted(store, route) == 100


def test_a_grant_that_waits_while_another_takes_the_route_gets_none(store, route):
    gone, heir, second = store.dispatcher(), store.dispatcher(), store.session("worker")
    own(store, route, gone)
    store.beaten(gone, "2 hours")
    store.worker.begin()
    own(store, route, heir)
    with store.blocked(second, lambda: grant(store, route, gone, 10, session=second)) as later:
        store.worker.commit()
        assert later.result() == (0, 0)
    assert counted(store, route) == 0


def test_hours_are_the_same_in_every_time_zone(store, route):
    """India is half an hour off: its hours would lie across ours."""
    dispatcher = store.dispatcher()
    own(store, route, dispatcher)
    for zone in ("UTC", "Asia/Kolkata", "America/New_York"):
        store.worker.rows(f"SET TIME ZONE '{zone}'")
        grant(store, route, dispatcher, 10)
    assert store.root.value("SELECT count(*) <= 2 AND bool_and(hour = date_trunc('hour', hour, 'UTC')) FROM mailroom.route_usage")


def test_hours_that_count_no_more_are_forgotten(store, route):
    dispatcher, other = store.dispatcher(), store.route("smtp/other", limited=True)
    own(store, route, dispatcher), own(store, other, dispatcher)
    for place in (route, other):
        grant(store, place, dispatcher, 10)
        ago(store, place, "25 hours")
    grant(store, route, dispatcher, 1)
    assert counted(store, route) == 1 and counted(store, other) == 10


def test_routes_do_not_share_their_counts(store, route):
    dispatcher, other = store.dispatcher(), store.route("smtp/other", limited=True)
    own(store, route, dispatcher), own(store, other, dispatcher)
    grant(store, route, dispatcher, 100)
    assert grant(store, other, dispatcher, 100)[0] == 100
