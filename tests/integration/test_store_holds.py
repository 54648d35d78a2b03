"""Holds: a hold is a place, decided under one version of the settings; what changes a setting sends its messages back to be sorted."""

import pytest

from store import complete, ending, suspend, suspension


def held(store, place, count=1, version=None, dispatcher=None, **fields):
    """The uids of messages that were enqueued and held there."""
    dispatcher = dispatcher or store.dispatcher()
    uids = [store.producer.enqueue(**fields) for _ in range(count)]
    messages = [message for message in store.claim(dispatcher) if message["uid"] in uids]
    suspend(store.worker, dispatcher, version or store.version, *[suspension(message, "held", place_id=place) for message in messages])
    return uids


def release(store, limit=1000):
    """Until there is nothing to release; how many were moved."""
    total = 0
    while moved := store.worker.run("release", limit)[0]["count"]:
        total += moved
    return total


def places(store, *uids):
    return [store.queue(uid)["place_id"] for uid in uids]


def asked(store, place):
    return store.root.value("SELECT release_before FROM mailroom.place WHERE id = %s", place) is not None


def test_a_hold_moves_the_message_to_its_place_and_says_why(store):
    place = store.place("config_incomplete/general")
    [uid] = held(store, place)
    state = store.producer.state(uid)
    assert (state["state"], state["reason"], state["remedy"]) == ("held", "config_incomplete", "remedy")
    assert [event["event"] for event in store.story(uid)] == ["held"]


def test_a_place_is_made_once_and_its_texts_are_those_of_the_last(store):
    first = store.place("no_user/ANNA", owners=["user-code:ANNA"])
    [again] = store.worker.run("place", "no_user/ANNA", "no_user", "ANNA B.", "a new remedy", '["user:1"]', True)
    assert again["id"] == first
    assert store.root.rows("SELECT subject, remedy, owners FROM mailroom.place WHERE id = %s", first) == [
        {"subject": "ANNA B.", "remedy": "a new remedy", "owners": ["user:1"]}]


def test_a_hold_decided_under_older_settings_is_sorted_again_instead(store):
    place, old = store.place(), store.version
    store.administrator.save("general", account="erp")
    [uid] = held(store, place, version=old)
    assert places(store, uid) == [0] and len(store.claim(store.dispatcher())) == 1


def test_only_holds_ask_for_the_version(store):
    """A deferral or a doubt stands whatever the settings are."""
    old, place = store.version, store.place()
    store.administrator.save("general", account="erp")
    dispatcher = store.dispatcher()
    uid = store.producer.enqueue()
    [message] = store.claim(dispatcher)
    assert suspend(store.worker, dispatcher, old, suspension(message, "in_doubt", place_id=place, doubtful=1)) == [message["id"]]
    assert places(store, uid) == [place]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_settings_that_are_being_saved_keep_no_hold_waiting_it_is_sorted_again_in_a_second(store, end):
    """The saving was first, and nobody knows yet what it will say: somebody may leave such a transaction open for hours."""
    place, dispatcher, version = store.place(owners=["row:1"]), store.dispatcher(), store.version
    uid = store.producer.enqueue()
    [message] = store.claim(dispatcher)
    store.administrator.begin()
    store.administrator.save("general", account="erp")
    assert suspend(store.worker, dispatcher, version, suspension(message, "held", place_id=place)) == [message["id"]]
    getattr(store.administrator, end)()
    assert places(store, uid) == [0] and store.claim(dispatcher) == []
    assert store.root.value("SELECT run_at <= clock_timestamp() + interval '1 second' FROM mailroom.queue")


def test_a_hold_that_is_being_written_makes_the_saving_wait_and_is_released_by_it(store):
    """The hold was first: the saving sees it."""
    place, dispatcher = store.place(), store.dispatcher()
    uid = store.producer.enqueue()
    [message] = store.claim(dispatcher)
    store.worker.begin()
    suspend(store.worker, dispatcher, store.version, suspension(message, "held", place_id=place))
    with store.blocked(store.administrator, lambda: store.administrator.save("general", account="erp")) as later:
        store.worker.commit()
        later.result()
    assert places(store, uid) == [place]
    assert release(store) == 1 and places(store, uid) == [0]


def test_a_hold_that_slips_in_while_the_saving_waits_for_another_is_released_as_well(store):
    """The time up to which is released is taken only once no hold can be on its way."""
    place, dispatcher, version = store.place(), store.dispatcher(), store.version
    uids = [store.producer.enqueue() for _ in range(2)]
    one, other = store.claim(dispatcher)
    store.worker.begin()
    suspend(store.worker, dispatcher, version, suspension(one, "held", place_id=place))
    second = store.session("worker")
    with store.blocked(store.administrator, lambda: store.administrator.save("general", account="erp")) as later:
        assert suspend(second, dispatcher, version, suspension(other, "held", place_id=place)) == [other["id"]]
        store.worker.commit()
        later.result()
    assert release(store) == 2 and places(store, *uids) == [0, 0]


def test_two_holds_are_written_at_once_without_waiting(store):
    place, dispatcher = store.place(), store.dispatcher()
    for _ in range(2):
        store.producer.enqueue()
    one, other = store.claim(dispatcher)
    store.worker.begin()
    suspend(store.worker, dispatcher, store.version, suspension(one, "held", place_id=place))
    second = store.session("worker")
    second.rows("SET lock_timeout = '5s'")
    assert suspend(second, dispatcher, store.version, suspension(other, "held", place_id=place)) == [other["id"]]
    store.worker.commit()


# Whom a change releases

CHANGES = {
    "General": (lambda s: s.save("general", account="x"), {"general", "user:1", "user-code:ANNA", "user:2", "row:1", "model:1"}),
    "a User": (lambda s: s.save("user", "ANNA", email="a@b.c"), {"user:1", "user-code:ANNA"}),
    "a Row": (lambda s: s.save("row", "INVOICE", mode="general"), {"row:1"}),
    "a Model": (lambda s: s.save("model", "ORDER", mode="general"), {"model:1"}),
    # whoever holds the same login shares its pause
    "a user's password": (lambda s: s.rows("SELECT mailroom.store_password(1, 'x', '\\x00')"), {"general", "user:1", "user-code:ANNA", "user:2", "row:1", "model:1"}),
    "General's password": (lambda s: s.rows("SELECT mailroom.store_password(NULL, 'x', '\\x00')"), {"general", "user:1", "user-code:ANNA", "user:2", "row:1", "model:1"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_releases_the_holds_of_its_owner_and_no_others(store, change):
    store.administrator.save("user", "ANNA")
    store.administrator.save("row", "INVOICE")
    store.administrator.save("model", "ORDER")
    act, released = CHANGES[change]
    found = {owner: store.place("hold/" + owner, owners=[owner]) for owner in ("general", "user:1", "user-code:ANNA", "user:2", "row:1", "model:1")}
    manual = store.place("in_doubt/x", owners=["general", "user:1", "row:1", "model:1"], self_releasing=False)
    before = store.version
    act(store.administrator)
    assert {owner for owner, place in found.items() if asked(store, place)} == released
    assert not asked(store, manual)
    assert store.version == before + 1


def test_saving_notifies_the_dispatchers_of_the_new_version(store):
    store.worker.rows("LISTEN mailroom_settings")
    store.administrator.save("row", "INVOICE")
    store.worker.rows("SELECT 1")
    store.worker.connection.poll()
    assert [notice.payload for notice in store.worker.connection.notifies] == [str(store.version)]


def test_a_refused_saving_raises_no_version_and_releases_nothing(store):
    place, before = store.place(owners=["general"]), store.version
    with pytest.raises(Exception, match="general.port"):
        store.administrator.save("general", port=0)
    assert store.version == before and not asked(store, place)


# The release

def test_a_release_moves_messages_back_in_their_old_order_and_says_so(store):
    place = store.place(owners=["general"])
    uids = held(store, place, 5)
    store.administrator.save("general", account="x")
    assert release(store, limit=2) == 5
    assert places(store, *uids) == [0] * 5 and not asked(store, place)
    assert [event["event"] for event in store.story(uids[0])] == ["held", "released"]
    moved = sorted((store.queue(uid) for uid in uids), key=lambda row: (row["run_at"], row["id"]))
    assert [str(row["uid"]) for row in moved] == uids


def test_a_release_takes_only_what_was_held_before_the_change(store):
    place, dispatcher = store.place(owners=["general"]), store.dispatcher()
    [before] = held(store, place, dispatcher=dispatcher)
    store.administrator.save("general", account="x")
    [after] = held(store, place, dispatcher=dispatcher)
    assert release(store) == 1 and places(store, before, after) == [0, place]
    assert release(store) == 0 and not asked(store, place)


def test_a_release_that_another_dispatcher_has_begun_is_left_to_it(store):
    place = store.place(owners=["general"])
    uids = held(store, place, 4)
    store.administrator.save("general", account="x")
    second = store.session("worker")
    store.worker.begin()
    assert store.worker.run("release", 2) == [{"count": 2}]
    assert second.run("release", 10) == [{"count": 2}]
    store.worker.commit()
    assert release(store) == 0 and places(store, *uids) == [0] * 4 and not asked(store, place)
    assert store.root.value("SELECT count(*) FROM mailroom.story WHERE event = 'released'") == 4


def released_and_held_again(store, place):
    """The place after a first release, before its end is noted; the uid of what was held there since."""
    dispatcher = store.dispatcher()
    held(store, place, dispatcher=dispatcher)
    store.administrator.save("general", account="x")
    assert store.worker.run("release", 10) == [{"count": 1}]
    [again] = held(store, place, dispatcher=dispatcher)
    return again


def test_a_change_that_waits_for_the_end_of_a_release_begins_another(store):
    place = store.place(owners=["general"])
    again = released_and_held_again(store, place)
    store.worker.begin()
    assert store.worker.run("release", 10) == [{"count": 0}]
    with store.blocked(store.administrator, lambda: store.administrator.save("general", account="y")) as later:
        store.worker.commit()
        later.result()
    assert release(store) == 1 and places(store, again) == [0]


def test_the_end_of_a_release_that_waits_for_a_change_does_not_undo_it(store):
    place = store.place(owners=["general"])
    again = released_and_held_again(store, place)
    store.administrator.begin()
    store.administrator.save("general", account="y")
    with store.blocked(store.worker, lambda: store.worker.run("release", 10)) as later:
        store.administrator.commit()
        later.result()
    assert release(store) == 1 and places(store, again) == [0]


def test_a_release_asks_nothing_of_messages_that_are_in_doubt_or_copied(store):
    place = store.place("in_doubt/policy", owners=["general"], self_releasing=False)
    [uid] = held(store, place)
    store.administrator.save("general", account="x")
    assert release(store) == 0 and places(store, uid) == [place]


# Refusals by servers

def test_a_refused_login_is_recorded_once_and_raises_the_version_once(store):
    before = store.version
    assert len(store.worker.run("refuse_login", b"\x01", "auth_failed", "general", "erp", "mail.test", "535 no")) == 1
    assert store.worker.run("refuse_login", b"\x01", "auth_failed", "user ANNA", "erp", "mail.test", "535 no") == []
    assert store.version == before + 1
    assert store.root.value("SELECT owner FROM mailroom.refused_login") == "general"


def test_a_refused_sender_is_recorded_once_ignoring_case(store):
    assert len(store.worker.run("refuse_sender", "smtp", "erp", "Office@Example.test", "553 no", "")) == 1
    assert store.worker.run("refuse_sender", "smtp", "erp", "office@example.test", "553 no", "") == []
    assert store.root.value("SELECT from_address FROM mailroom.refused_sender") == "office@example.test"


def test_a_refused_sender_keeps_its_letters_that_are_no_ascii_as_addresses_are_compared(store):
    store.worker.run("refuse_sender", "smtp", "erp", "Éva@Example.test", "553 no", "")
    assert store.root.value("SELECT from_address FROM mailroom.refused_sender") == "Éva@example.test"
    assert store.administrator.value("SELECT mailroom.test_was_good('', 'mail.test', 'smtp', 'erp', 'Éva@EXAMPLE.test', 'general')")


def test_a_refused_sender_is_tried_again_after_a_time_that_doubles_up_to_a_day(store):
    hours = []
    for _ in range(8):
        assert len(store.worker.run("refuse_sender", "smtp", "erp", "a@b.c", "553 no", "")) == 1
        hours.append(round(store.root.value("SELECT extract(epoch FROM until - clock_timestamp()) / 3600 FROM mailroom.refused_sender")))
        assert store.worker.row("retry_senders")[0] == 0
        store.root.rows("UPDATE mailroom.refused_sender SET until = clock_timestamp()")
        before = store.version
        assert [store.worker.row("retry_senders")[0] for _ in range(2)] == [1, 0] and store.version == before + 1
    assert hours == [1, 2, 4, 8, 16, 24, 24, 24]


REFUSE = ("refuse_sender", "smtp", "erp", "a@b.c", "553 no", "send_as_denied/x")


@pytest.fixture
def stopped(store):
    """A pair whose time is over, and the uids of what waits for it."""
    uids = held(store, store.place("send_as_denied/x", owners=["general"]), 3)
    store.worker.run(*REFUSE)
    store.root.rows("UPDATE mailroom.refused_sender SET until = clock_timestamp()")
    return uids


def retried(store):
    return store.worker.row("retry_senders")[0]


def trials(store):
    """By uid; None: the pair is in force for all."""
    return [row["trial"] for row in store.worker.run("load_refusals")]


def test_of_a_refused_pair_one_message_is_tried_and_the_others_go_once_it_was_accepted(store, stopped):
    place, other = store.place("send_as_denied/x", owners=["general"]), store.place("config_incomplete/general", owners=["general"])
    before, dispatcher = store.version, store.dispatcher()
    assert [retried(store), retried(store)] == [1, 0] and store.version == before + 1
    assert trials(store) == stopped[:1] and places(store, *stopped) == [0, place, place]
    assert store.story(stopped[0])[-1]["note"] == "tried for all whose sender was refused"
    [message] = store.claim(dispatcher)
    complete(store.worker, dispatcher, ending(message))
    assert not asked(store, place)
    assert [retried(store), retried(store)] == [1, 0] and trials(store) == []
    assert asked(store, place) and not asked(store, other)


def test_a_trial_that_is_refused_again_leaves_the_others_waiting_for_longer(store, stopped):
    place, dispatcher = store.place("send_as_denied/x", owners=["general"]), store.dispatcher()
    retried(store)
    [message] = store.claim(dispatcher)
    assert len(store.worker.run(*REFUSE)) == 1 and trials(store) == [None]
    suspend(store.worker, dispatcher, store.version, suspension(message, "held", place_id=place))
    assert retried(store) == 0 and places(store, *stopped) == [place] * 3 and not asked(store, place)


def test_a_trial_that_ended_otherwise_is_followed_by_another_and_the_last_by_all(store, stopped):
    assert retried(store) == 1
    for uid, following in zip(stopped, [*stopped[1:], None]):
        store.producer.rows("SELECT mailroom.cancel(%s)", uid)
        assert retried(store) == 1
        assert trials(store) == ([following] if following else [])


PROBE, NEW_PASSWORD = "SELECT mailroom.probe(NULL)", "SELECT mailroom.store_password(NULL, 'erp', '\\x00')"
GOOD_TEST = "SELECT mailroom.test_was_good('', 'Mail.test', 'smtp', 'erp', 'a@b.c', 'general')"


def refused_logins(store):
    return sorted((row["account"], row["server"]) for row in store.root.rows("SELECT account, server FROM mailroom.refused_login"))


@pytest.mark.parametrize("act", [PROBE, NEW_PASSWORD])
def test_a_probe_and_a_new_password_forget_the_refusals_of_that_account_only_and_release(store, act):
    store.administrator.save("general", account="erp", server="Mail.test")
    place = store.place("auth_failed/general", owners=["general"])
    for fingerprint, account, server in ((b"\x01", "erp", "mail.test"), (b"\x02", "other", "mail.test"), (b"\x03", "erp", "another.test")):
        store.worker.run("refuse_login", fingerprint, "auth_failed", "general", account, server, "535 no")
    for account in ("erp", "other"):
        store.worker.run("refuse_sender", "smtp", account, "a@b.c", "553 no", "")
    store.administrator.rows(act)
    assert refused_logins(store) == [("erp", "another.test"), ("other", "mail.test")]
    assert store.root.rows("SELECT account FROM mailroom.refused_sender") == [{"account": "other"}]
    assert asked(store, place)


@pytest.mark.parametrize("act, is_over", [(PROBE, True), (GOOD_TEST, True), (NEW_PASSWORD, False)])
def test_an_end_of_logins_by_password_is_over_for_a_probe_or_a_good_test_and_no_new_password(store, act, is_over):
    store.administrator.save("general", account="erp", server="Mail.test")
    for fingerprint, server in ((b"\x01", "mail.test"), (b"\x02", "another.test")):
        store.worker.run("refuse_login", fingerprint, "basic_login_ended", "general", "erp", server, "550 5.7.30 no")
    store.administrator.rows(act)
    assert refused_logins(store) == [("erp", "another.test")] + ([] if is_over else [("erp", "mail.test")])
