"""What an operator does by SQL: every filter, every action in every state, steps, and what happens when somebody else is at work on the same rows."""

import json

import pytest

from machine import wait_until
from store import complete, refused, suspend, suspension


def preview(store, action, filter, **arguments):
    return store.operator.value("SELECT mailroom.preview(%s, %s::jsonb, %s::jsonb)", action, json.dumps(filter), json.dumps(arguments))


def step(store, action, filter, after=0, limit=1000, session=None, **arguments):
    return (session or store.operator).value(f"SELECT mailroom.{action}_messages(%s::jsonb, %s::jsonb, %s, %s)", json.dumps(filter), json.dumps(arguments), after, limit)


def selected(store, **filter):
    return {row["uid"] for row in store.operator.rows("SELECT uid::text FROM mailroom.selected(%s::jsonb)", json.dumps(filter))}


def put(store, uid, event, **more):
    """Claims this message and puts it back as a dispatcher would."""
    dispatcher = store.dispatcher()
    [message] = [m for m in store.claim(dispatcher) if m["uid"] == uid]
    assert suspend(store.worker, dispatcher, store.version, suspension(message, event, **more))
    return uid


def deferred(store, **fields):
    return put(store, store.producer.enqueue(**fields), "deferred", delay_ms=3_600_000, counted=1)


def doubtful(store, **fields):
    return put(store, store.producer.enqueue(**fields), "in_doubt", delay_ms=900_000, doubtful=1)


def held(store, key="config_incomplete/general", self_releasing=True, **fields):
    return put(store, store.producer.enqueue(**fields), "held", place_id=store.place(key, self_releasing=self_releasing))


def parked(store, **fields):
    return put(store, store.producer.enqueue(**fields), "parked", place_id=store.route())


def sending(store, **fields):
    """A claimed message: (dispatcher, what was claimed)."""
    uid, dispatcher = store.producer.enqueue(**fields), store.dispatcher()
    [message] = [m for m in store.claim(dispatcher) if m["uid"] == uid]
    return dispatcher, message


def state(store, uid):
    told = store.operator.state(uid)
    return told["state"], told.get("reason")


def events(store, uid):
    return [event["event"] for event in store.story(uid)]


# ---- what a filter means

@pytest.fixture(scope="module")
def many(shared_store):
    """One message of each kind, by name."""
    store = shared_store
    store.administrator.save("user", "ANNA")
    store.administrator.save("row", "STATEMENT", from_="s@example.test")
    store.administrator.save("model", "BY HAND", from_="m@example.test")
    return {"anna": parked(store, user="ANNA"), "batch": deferred(store, batch="spring"), "urgent": held(store, lane="urgent"),
            "form": held(store, "no_user/NOBODY", form="STATEMENT", user="BEN"), "model": doubtful(store, model="BY HAND", batch="autumn"),
            "later": store.producer.enqueue(not_before="2099-01-01T00:00:00Z"), "zoe": sending(store, to=["x@y.test", "Zoë <Zoe@Customer.test>"])[1]["uid"]}


@pytest.mark.parametrize("filter, names", [
    ({"all": True}, "anna batch urgent form model later zoe"), ({"batch": "spring"}, "batch"), ({"batch": ["spring", "autumn"]}, "batch model"),
    ({"user": "ANNA"}, "anna"), ({"form": "STATEMENT"}, "form"), ({"model": "BY HAND"}, "model"),
    ({"route": "smtp/mail.example.test:587/erp"}, "anna"), ({"route": "no_user/NOBODY"}, "form"), ({"reason": "config_incomplete"}, "urgent"),
    ({"reason": ["no_user", "account_busy"]}, "form anna"), ({"state": "held"}, "urgent form"), ({"state": ["deferred", "in_doubt"]}, "batch model"),
    ({"state": "sending"}, "zoe"), ({"state": "scheduled"}, "later"), ({"lane": "urgent"}, "urgent"), ({"recipient": "zoe@CUSTOMER.test"}, "zoe"),
    ({"older_than": "1h"}, ""), ({"newer_than": "1 hour", "state": "held"}, "urgent form"), ({"state": "held", "user": "BEN"}, "form"),
    ({"state": "held", "batch": "spring"}, ""), ({"batch": "' OR true --"}, ""), ({"reason": ["a", "\"}' OR true --"]}, "")])
def test_a_filter_means_what_fulfils_all_that_it_names(shared_store, many, filter, names):
    assert selected(shared_store, **filter) == {many[name] for name in names.split()}
    assert preview(shared_store, "cancel", filter)["matched"] == len(names.split())


def test_a_route_is_also_named_by_its_account(shared_store, many):
    shared_store.worker.run("route", "smtp/other:25/ben", "ben at other", "general", False)
    assert selected(shared_store, route="ben at other") == set()
    assert selected(shared_store, uid=[many["anna"], many["later"]]) == {many["anna"], many["later"]}


def test_age_is_counted_from_the_enqueueing(store):
    old, new = store.producer.enqueue(), store.producer.enqueue()
    store.root.rows("UPDATE mailroom.queue SET enqueued_at = now() - interval '3 days' WHERE uid = %s::uuid", old)
    assert selected(store, older_than="2d") == {old} and selected(store, newer_than="2d") == {new}


@pytest.mark.parametrize("filter, words", [
    ({}, ["empty", '{"all": true}']), ([], ["JSON object"]), ({"up_to": 5}, ["empty"]), ({"usr": "ANNA", "lane": "fast"}, ["usr: there is no such filter", '"fast" is none of']),
    ({"all": False}, ["all: must be true"]), ({"uid": "17"}, ['"17" is not the uid']), ({"state": "sent"}, ['"sent" is none of ready']), ({"batch": 5}, ["batch: must be a text"]),
    ({"batch": []}, ["none of them empty"]), ({"batch": [["x"]]}, ["none of them empty"]), ({"batch": ""}, ["none of them empty"]), ({"form": "NO"}, ['no form "NO"']),
    ({"model": "NO"}, ['no model "NO"']), ({"route": "NO"}, ['"NO"', "mailroom queue"]), ({"older_than": "soon"}, ['"soon" is not an age']),
    ({"older_than": "-1h"}, ["must be an age"]), ({"batch": "x", "up_to": 1.5}, ["up_to"])])
def test_a_filter_that_is_wrong_is_refused_by_name(shared_store, filter, words):
    with refused("MR005", *words):
        preview(shared_store, "cancel", filter)
    with refused("MR005", *words):
        step(shared_store, "cancel", filter)


@pytest.mark.parametrize("action, arguments, words", [
    ("cancel", {"now": True}, "now: cancel has no such argument"), ("retry", {"now": "yes"}, "true or false"), ("release", {"identity": "old"}, "keep or new"),
    ("hold", {"note": "a\nb"}, "note"), ("reassign", {}, "name the user"), ("reassign", {"user": "NO"}, 'no user "NO"'), ("reassign", {"form": "NO"}, 'no form "NO"'),
    ("reassign", {"model": "NO"}, 'no model "NO"'), ("reassign", {"form": "A", "model": "B"}, "not both")])
def test_an_argument_that_is_wrong_is_refused_by_name(shared_store, action, arguments, words):
    with refused("MR005", words):
        preview(shared_store, action, {"all": True}, **arguments)
    with refused("MR005", words):
        step(shared_store, action, {"all": True}, **arguments)


@pytest.mark.parametrize("call, administrators", [
    ("selected('{\"all\": true}')", False), ("preview('cancel', '{\"all\": true}')", True),
    *[(f"{action}_messages('{{\"all\": true}}')", action in ("release", "reassign")) for action in ("retry", "cancel", "hold", "release", "reassign")]])
def test_only_operators_may_and_some_of_it_administrators(shared_store, call, administrators):
    for login in ("producer", "mobile", "worker", "nobody", *(() if administrators else ("administrator",))):
        with refused("42501"):
            getattr(shared_store, login).rows("SELECT mailroom." + call)


# ---- what the actions do

def test_the_preview_counts_what_would_change_and_says_why_the_rest_would_not(store):
    deferred(store), deferred(store), held(store)
    sending(store)
    store.producer.enqueue(not_before="2099-01-01T00:00:00Z")
    gone = store.producer.enqueue()
    step(store, "cancel", {"uid": gone})
    told = preview(store, "retry", {"all": True})
    assert (told["matched"], told["eligible"]) == (5, 2)
    assert told["left_alone"] == {"being sent": 1, "held: release lets it go": 1, "scheduled: its time has not come": 1}
    unknown = "4c839a95-b1f7-4bb6-80e4-5114477a2748"
    assert preview(store, "retry", {"uid": [gone, unknown]})["not_live"] == [{"uid": gone, "state": "cancelled"}, {"uid": unknown, "state": None}]
    later = store.producer.enqueue()
    step(store, "cancel", {"all": True, "up_to": told["up_to"]})
    assert state(store, later)[0] == "ready", "what came after the count was not meant"


def test_retry_makes_due_what_waits_for_its_time_and_tells_the_story(store):
    uids = [deferred(store), doubtful(store), parked(store)]
    assert step(store, "retry", {"all": True}, note="server repaired") == {"changed": 3, "left_alone": {}, "last": None}
    assert {message["uid"] for message in store.claim(store.dispatcher())} == set(uids)
    for uid in uids:
        assert store.story(uid)[-1]["note"] == "made due by login_operator: server repaired" and events(store, uid)[-1] == "retried"
    assert store.queue(uids[1])["doubts"] == 1, "still marked as a possible duplicate"


def test_retry_opens_the_blocked_route_that_they_wait_at_and_no_other(store):
    uid, other = parked(store), store.route("smtp/other:25/ben")
    for place in (store.route(), other):
        store.worker.run("block_route", place, 3_600_000, "server in trouble")
    assert state(store, uid) == ("deferred", "account_blocked")
    assert step(store, "retry", {"uid": uid})["changed"] == 1
    assert store.root.rows("SELECT id FROM mailroom.place WHERE blocked_until IS NOT NULL") == [{"id": other}]
    assert state(store, uid) == ("ready", None)


def test_what_is_scheduled_keeps_its_time_unless_it_is_asked_for_now(store):
    uid = store.producer.enqueue(not_before="2099-01-01T00:00:00Z")
    assert step(store, "retry", {"uid": uid})["left_alone"] == {"scheduled: its time has not come": 1}
    assert state(store, uid)[0] == "scheduled"
    assert step(store, "retry", {"uid": uid}, now=True)["changed"] == 1
    assert state(store, uid)[0] == "ready" and store.queue(uid)["not_before"] is None


def test_a_suspect_is_retried_alone(store):
    uid = deferred(store)
    store.root.rows("UPDATE mailroom.queue SET crashes = 2, place_id = 1")
    assert step(store, "retry", {"uid": uid})["changed"] == 1 and store.queue(uid)["place_id"] == 1


@pytest.mark.parametrize("make", [deferred, doubtful, held, parked, lambda store: store.producer.enqueue()])
def test_cancel_ends_what_waits_wherever_it_waits(store, make):
    uid = make(store)
    assert step(store, "cancel", {"uid": uid}, note="not wanted")["changed"] == 1
    assert store.queue(uid) is None and store.operator.state(uid)["state"] == "cancelled"
    assert store.log(uid)["reply"].endswith("cancelled by login_operator: not wanted")
    assert store.log(uid)["reply"].startswith("in doubt") == (make is doubtful)


def test_a_cancelled_message_that_some_recipient_has_is_partly_sent(store):
    results = [{"position": 0, "state": 1, "code": 250, "enhanced": "", "reply": "ok"}, {"position": 1, "state": 0, "code": 450, "enhanced": "", "reply": "busy"}]
    uid = put(store, store.producer.enqueue(to=["a@one.test", "b@one.test"]), "deferred", delay_ms=1000, results=results)
    step(store, "cancel", {"uid": uid})
    assert store.log(uid)["outcome"] == "partly_sent"


def test_what_is_being_sent_is_too_late_but_not_tried_again(store):
    dispatcher, message = sending(store)
    assert step(store, "cancel", {"uid": message["uid"]}) == {"changed": 0, "left_alone": {"being sent": 1}, "last": None}
    assert step(store, "cancel", {"uid": message["uid"]})["left_alone"] == {"being sent": 1}
    assert events(store, message["uid"]) == ["cancelling"], "told once"
    suspend(store.worker, dispatcher, store.version, suspension(message, delay_ms=1000))
    assert preview(store, "cancel", {"all": True})["left_alone"] == {"cancelled already": 1}
    store.worker.run("expire", 1000, None)
    assert store.log(message["uid"])["outcome"] == "cancelled"


@pytest.mark.parametrize("make", [deferred, doubtful, held, parked, lambda store: store.producer.enqueue(not_before="2099-01-01T00:00:00Z")])
def test_hold_keeps_it_until_an_operator_lets_it_go(store, make):
    uid = make(store)
    assert step(store, "hold", {"uid": uid}, note="prices are wrong")["changed"] == 1
    told = store.operator.state(uid)
    assert (told["state"], told["reason"], told["subject"]) == ("held", "operator_hold", "prices are wrong (login_operator)") and "mailroom release" in told["remedy"]
    assert events(store, uid)[-1] == "held"
    store.administrator.save("general", account="erp")
    assert store.worker.run("release", 1000)[0]["count"] == 0 and state(store, uid)[0] == "held", "no setting releases it"
    scheduled = store.queue(uid)["not_before"] is not None
    assert step(store, "release", {"reason": "operator_hold"})["changed"] == 1
    assert state(store, uid)[0] == ("scheduled" if scheduled else "ready")


def test_holds_of_one_note_share_a_place_and_what_waits_for_an_operator_keeps_its_reason(store):
    first, second = store.producer.enqueue(), store.producer.enqueue()
    step(store, "hold", {"uid": first})
    step(store, "hold", {"uid": second})
    assert store.queue(first)["place_id"] == store.queue(second)["place_id"] and store.operator.state(first)["subject"] == "operator login_operator"
    doubt = held(store, "in_doubt/message", self_releasing=False)
    assert step(store, "hold", {"all": True})["left_alone"] == {"held for an operator already": 3}
    assert state(store, doubt) == ("held", "in_doubt")


@pytest.mark.parametrize("reason", ["in_doubt", "copied_from", "batch_held", "config_incomplete"])
def test_release_lets_go_whatever_the_reason_is(store, reason):
    uid = held(store, reason + "/x", self_releasing=reason == "config_incomplete")
    assert step(store, "release", {"uid": uid}, note="asked them")["changed"] == 1
    assert [message["uid"] for message in store.claim(store.dispatcher())] == [uid]
    assert store.story(uid)[-1]["note"] == "released by login_operator: asked them"


def test_release_keeps_the_old_order_and_leaves_alone_what_is_not_held(store):
    uids = [held(store) for _ in range(3)]
    free = store.producer.enqueue()
    assert step(store, "release", {"all": True}) == {"changed": 3, "left_alone": {"not held": 1}, "last": None}
    order = [row["uid"] for row in store.root.rows("SELECT uid::text FROM mailroom.queue ORDER BY run_at, id")]
    assert order == [free, *uids]


def test_a_quarantined_message_is_tried_once_more_alone(store):
    uid = held(store, "quarantined/message", self_releasing=False)
    store.root.rows("UPDATE mailroom.queue SET crashes = 3")
    assert step(store, "release", {"uid": uid})["changed"] == 1
    assert (store.queue(uid)["place_id"], store.queue(uid)["crashes"]) == (1, 2)


def test_a_message_whose_sender_changed_goes_only_once_the_operator_has_chosen(store):
    keep, new = (put(store, store.producer.enqueue(), "held", place_id=store.place("identity_changed/x", self_releasing=False), pinned={"from": "a@b.test"}) for _ in range(2))
    assert step(store, "release", {"all": True})["left_alone"] == {"its sender changed: choose whether the old one stays": 2}
    assert step(store, "release", {"uid": keep}, identity="keep")["changed"] == 1
    assert step(store, "release", {"uid": new}, identity="new")["changed"] == 1
    assert store.queue(keep)["pinned"] == {"from": "a@b.test"} and store.queue(new)["pinned"] is None
    assert store.story(new)[-1]["note"].startswith("its sender may change: released")


def test_a_new_identity_is_only_for_those_that_are_held_for_it(store):
    uid = put(store, store.producer.enqueue(), "held", place_id=store.place("in_doubt/x", self_releasing=False), pinned={"from": "a@b.test"}, doubtful=1)
    assert step(store, "release", {"uid": uid}, identity="new")["changed"] == 1
    assert store.queue(uid)["pinned"] == {"from": "a@b.test"} and store.operator.state(uid)["possible_duplicate"]


def test_reassign_names_another_user_form_or_model_within_the_category(store):
    for code in ("ANNA", "BEN"):
        store.administrator.save("user", code)
    for code in ("ONE", "TWO"):
        store.administrator.save("row", code, from_=f"{code.lower()}@example.test")
        store.administrator.save("model", code, from_=f"{code.lower()}@example.test")
    store.administrator.save("row", "BLANK")
    standard, mass, dispatch = held(store, user="ANNA"), held(store, form="ONE"), held(store, model="ONE")
    mobile = store.mobile.enqueue()
    assert step(store, "reassign", {"all": True}, form="TWO")["left_alone"] == {"no form decides its sender": 2, "posted by MOBILE: General sends it": 1}
    assert step(store, "reassign", {"all": True}, model="TWO")["changed"] == 1
    assert step(store, "reassign", {"uid": [standard, mobile]}, user=" BEN ")["changed"] == 1
    with refused("MR005", 'no form "BLANK" with an address'):
        step(store, "reassign", {"uid": mass}, form="BLANK")
    told = {row["uid"]: row for row in store.root.rows("SELECT d.uid::text, d.category, d.user_code, r.code AS form, m.code AS model, d.state FROM mailroom.depth d"
                                                       " LEFT JOIN mailroom.rows r ON r.id = d.row_id LEFT JOIN mailroom.models m ON m.id = d.model_id")}
    assert [(told[u]["category"], told[u]["user_code"], told[u]["form"], told[u]["model"]) for u in (standard, mass, dispatch)] == [
        ("standard", "BEN", None, None), ("mass", None, "TWO", None), ("dispatch", None, None, "TWO")]
    assert {told[u]["state"] for u in (standard, mass, dispatch)} == {"ready"}, "sorted again"
    assert store.queue(standard)["user_id"] == store.root.value("SELECT id FROM mailroom.users WHERE code = 'BEN'")
    assert store.story(mass)[-1]["note"] == "form TWO named by login_operator"


def test_reassign_releases_nothing_that_waits_for_an_operator_and_resends_nothing_early(store):
    store.administrator.save("user", "ANNA")
    operators, doubt, again = held(store, "operator_hold/x", self_releasing=False), doubtful(store), deferred(store)
    assert step(store, "reassign", {"all": True}, user="ANNA")["changed"] == 3
    assert [state(store, uid)[0] for uid in (operators, doubt, again)] == ["held", "in_doubt", "ready"]


# ---- steps, and others at work on the same rows

def test_a_long_work_goes_in_steps_in_the_order_of_the_ids(store):
    uids = [store.producer.enqueue(batch="b") for _ in range(7)]
    seen, after = [], 0
    while after is not None:
        done = step(store, "hold", {"batch": "b"}, after=after, limit=3)
        seen.append(done["changed"])
        after = done["last"]
    assert seen == [3, 3, 1] and all(state(store, uid)[0] == "held" for uid in uids)


def test_a_claim_that_is_being_made_is_waited_for_a_moment_only_and_then_left_alone(store):
    mine, other = store.producer.enqueue(), store.producer.enqueue()
    store.worker.begin()
    [message] = store.claim(store.dispatcher(session=store.session("worker")), limit=1)
    taken = message["uid"]
    done = step(store, "cancel", {"all": True})
    assert done == {"changed": 1, "left_alone": {"busy: somebody else is changing it": 1}, "last": None}
    store.worker.commit()
    assert store.queue(taken)["state"] == 1 and {taken} == {mine, other} - {row["uid"] for row in store.root.rows("SELECT uid::text FROM mailroom.log")}


def test_the_claim_skips_what_an_operator_is_changing(store):
    uid = store.producer.enqueue()
    store.operator.begin()
    step(store, "hold", {"uid": uid})
    assert store.claim(store.dispatcher()) == []
    store.operator.commit()
    assert store.claim(store.dispatcher()) == [] and state(store, uid)[0] == "held"


def test_two_operators_at_once_change_each_message_once(store):
    uids = [store.producer.enqueue() for _ in range(4)]
    second = store.session("operator")
    store.operator.begin()
    assert step(store, "cancel", {"uid": uids[:2]})["changed"] == 2
    done = step(store, "cancel", {"all": True}, session=second)
    assert done["changed"] == 2 and done["left_alone"] == {"busy: somebody else is changing it": 2}
    store.operator.commit()
    assert store.root.value("SELECT count(*) FROM mailroom.log") == 4 and store.root.value("SELECT count(*) FROM mailroom.queue") == 0


def test_what_is_given_up_is_undone(store):
    uid = store.producer.enqueue()
    store.operator.begin()
    step(store, "cancel", {"uid": uid})
    store.operator.rollback()
    assert state(store, uid)[0] == "ready" and store.log(uid) is None


def test_a_message_that_ends_at_the_same_moment_ends_once(store):
    dispatcher, message = sending(store)
    second = store.session("worker")
    second.begin()
    assert complete(second, dispatcher, {"id": message["id"], "lease_no": message["lease_no"], "outcome": "sent", "counted": 1})
    assert step(store, "cancel", {"all": True})["left_alone"] == {"being sent": 1}
    second.commit()
    assert store.log(message["uid"])["outcome"] == "sent"


def test_an_operator_that_lets_something_go_wakes_the_dispatchers(store):
    uid = held(store)
    store.worker.rows("LISTEN mailroom_wake")
    step(store, "hold", {"uid": uid})
    step(store, "release", {"uid": uid})

    def woken():
        store.worker.connection.poll()
        return store.worker.connection.notifies

    wait_until(woken, 10, "a notification")
    assert len(woken()) == 1, "the hold woke nobody"


# ---- limits

def test_limits_are_saved_by_server_and_login_and_raise_the_version(store):
    def limits(server):
        return store.administrator.rows("SELECT login, messages_per_minute, connections, recipients_per_day FROM mailroom.limits WHERE server = %s ORDER BY login", server)

    def save(server, login, **settings):
        store.administrator.rows("SELECT mailroom.save_limits(%s, %s, %s::jsonb)", server, login, json.dumps(settings))

    before = store.version
    save("Mail.Example.test", "*", messages_per_minute="60")
    save("mail.example.test", "erp", connections=2, recipients_per_day=500)
    save("mail.example.test", "erp", connections="3")
    assert limits("mail.example.test") == [{"login": "*", "messages_per_minute": 60, "connections": 0, "recipients_per_day": 0},
                                           {"login": "erp", "messages_per_minute": 0, "connections": 3, "recipients_per_day": 500}]
    assert store.version == before + 3
    for settings, words in (({"speed": 1}, "speed: there is no such limit"), ({"connections": "-1"}, '"-1" is not a number'), ({"connections": None}, "connections"), ({}, "at least one")):
        with refused("MR002", words):
            save("mail.example.test", "erp", **settings)
    with refused("MR002", "host name"):
        save("mail server", "*", connections=1)
    with refused("42501"):
        store.operator.rows("SELECT mailroom.save_limits('x', '*', '{\"connections\": 1}')")
    assert store.administrator.value("SELECT mailroom.remove_limits('MAIL.example.test', 'erp')") is True
    assert store.administrator.value("SELECT mailroom.remove_limits('mail.example.test', 'erp')") is False
    assert len(limits("mail.example.test")) == 1
