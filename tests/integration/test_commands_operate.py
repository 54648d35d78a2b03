"""The operator's commands: what they count, when they ask, what they print and how they end. What the actions do is in test_store_operators.py."""

import json
import os
import pty
import subprocess

import pytest

from erp import Erp, letter
from misbehaving import MisbehavingServer
from smtp_script import Close, Reply, Script


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


def hold_place(erp, uid, reason="no_user", subject="user NOBODY", self_releasing=True):
    """Holds the message as a dispatcher would."""
    [place] = erp.database.rows("""INSERT INTO mailroom.place (key, kind, reason, subject, remedy, self_releasing) VALUES (%s, 'hold', %s, %s, 'make the user', %s)
                                   ON CONFLICT (key) DO UPDATE SET subject = excluded.subject RETURNING id""", [f"{reason}/{subject}", reason, subject, self_releasing])
    erp.database.rows("UPDATE mailroom.queue SET place_id = %s WHERE uid = %s::uuid", [place["id"], uid])
    return uid


def defer(erp, uid):
    erp.database.rows("UPDATE mailroom.queue SET run_at = now() + interval '1 hour', attempts = 1 WHERE uid = %s::uuid", [uid])
    return uid


def lease(erp, uid):
    erp.database.rows("UPDATE mailroom.queue SET state = 1, lease_owner = 99, lease_no = 1 WHERE uid = %s::uuid", [uid])
    return uid


def state(erp, uid):
    return erp.states()[uid][0]


def at_a_terminal(mailroom, *arguments, answer):
    """What the command printed and its exit code, as for a person who types this answer."""
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    done = subprocess.run([mailroom.executable, "--config", mailroom.write_settings(), *arguments], stdin=theirs, capture_output=True, text=True, timeout=60)
    os.close(ours)
    os.close(theirs)
    return done


def test_without_a_terminal_nothing_is_changed_unless_it_is_meant(erp, mailroom):
    uids = erp.enqueue_many([{"user": "ANNA", "batch": "b", **letter()}] * 3)
    done = mailroom.run("cancel", "--batch", "b", check=False)
    assert (done.code, done.out) == (2, "would cancel 3 messages\n") and "nothing was changed: add --yes" in done.err
    assert mailroom.run("cancel", "--batch", "b", "--dry-run").out == "would cancel 3 messages\n"
    asked = mailroom.run("cancel", "--batch", "b", "--json", check=False)
    assert asked.code == 2 and "--yes" in asked.err and "--dry-run" in asked.err
    assert {state(erp, uid) for uid in uids} == {"ready"}
    assert mailroom.run("cancel", "--batch", "b", "--yes").out == "cancelled 3 messages\n"
    assert {state(erp, uid) for uid in uids} == {"cancelled"}
    again = mailroom.run("cancel", "--batch", "b", "--yes")
    assert (again.code, again.out) == (0, "no message matches\n")


def test_at_a_terminal_it_asks_with_the_count_and_only_a_yes_is_one(erp, mailroom):
    uid, leased = erp.enqueue(user="ANNA", **letter()), lease(erp, erp.enqueue(user="ANNA", **letter()))
    for answer in ("n\n", "\n", "yess\n"):
        asked = at_a_terminal(mailroom, "cancel", "--user", "ANNA", answer=answer)
        assert asked.returncode == 1 and "nothing was changed" in asked.stdout
        assert "Cancel 1 message (left alone: 1 being sent)? [y/N]" in asked.stderr
    assert state(erp, uid) == "ready"
    done = at_a_terminal(mailroom, "cancel", "--user", "ANNA", answer="Y\n")
    assert done.returncode == 0 and "cancelled 1 message (left alone: 1 being sent)" in done.stdout
    assert state(erp, uid) == "cancelled" and erp.database.value("SELECT cancelled FROM mailroom.queue WHERE uid = %s::uuid", [leased])


def test_what_is_being_sent_alone_is_asked_for_as_well(erp, mailroom):
    uid = lease(erp, erp.enqueue(user="ANNA", **letter()))
    assert mailroom.run("cancel", uid, check=False).code == 2
    assert not erp.database.value("SELECT cancelled FROM mailroom.queue")
    late = mailroom.run("cancel", uid, "--yes", check=False)
    assert late.code == 1 and late.out == "cancelled 0 messages (left alone: 1 being sent)\n"
    assert erp.database.value("SELECT cancelled FROM mailroom.queue")


def test_each_action_says_what_it_did_as_json(erp, mailroom):
    deferred, held, scheduled = (defer(erp, erp.enqueue(**letter())), hold_place(erp, erp.enqueue(**letter())), erp.enqueue(not_before="2099-01-01T00:00:00Z", **letter()))
    assert mailroom.json("retry", "--all", "--yes") == {"action": "retry", "matched": 3, "changed": 1, "not_live": [], "left_alone": {
        "held: release lets it go": 1, "scheduled: its time has not come": 1}}
    assert mailroom.json("retry", scheduled, "--now", "--yes")["changed"] == 1
    assert mailroom.json("release", "--reason", "no_user", "--yes", "--note", "made")["changed"] == 1
    assert {state(erp, uid) for uid in (deferred, held, scheduled)} == {"ready"}
    assert mailroom.json("hold", "--all", "--yes", "--note", "prices")["changed"] == 3
    assert mailroom.json("hold", "--all", "--dry-run") == {"action": "hold", "dry_run": True, "matched": 3, "would_change": 0, "not_live": [],
                                                          "left_alone": {"held for an operator already": 3}}
    notes = [event.get("note", "") for event in erp.story(held)["events"]]
    assert notes[0].startswith("released by ") and notes[0].endswith(": made") and notes[1].endswith(": prices")
    assert "prices" in mailroom.run("queue").out


def test_a_uid_that_is_not_in_the_queue_is_told_and_the_rest_is_done(erp, mailroom):
    ended, live = erp.enqueue(**letter()), erp.enqueue(**letter())
    mailroom.run("cancel", ended, "--yes")
    unknown = "4c839a95-b1f7-4bb6-80e4-5114477a2748"
    done = mailroom.run("hold", ended, unknown, live, "--yes", check=False)
    assert done.code == 1 and done.out == "held 1 message\n"
    assert f"message {ended} has ended: cancelled" in done.err and f"there is no message {unknown}" in done.err


def test_reassign_sends_to_another_user(erp, mailroom):
    erp.user("BEN", email="ben@example.test")
    uid = hold_place(erp, erp.enqueue(user="NOBODY", **letter()))
    assert mailroom.run("reassign", "--route", "no_user/user NOBODY", "--to-user", "BEN", "--yes").out == "reassigned 1 message\n"
    assert state(erp, uid) == "ready" and erp.story(uid)["user_code"] == "BEN"


def test_release_of_a_changed_sender_wants_a_choice(erp, mailroom):
    uid = hold_place(erp, erp.enqueue(**letter()), "identity_changed", "message: a; message: b", self_releasing=False)
    refused = mailroom.run("release", uid, "--yes", check=False)
    assert refused.code == 1 and "its sender changed" in refused.out
    assert mailroom.run("release", uid, "--keep-identity", "--new-identity", "--yes", check=False).code == 2
    assert mailroom.run("release", uid, "--new-identity", "--yes").out == "released 1 message\n"


@pytest.mark.parametrize("arguments, words", [
    (["cancel", "--yes"], "cancel which messages?"), (["cancel", "--state", "sent", "--yes"], '"sent" is none of'), (["cancel", "17", "--yes"], '"17" is not the uid'),
    (["hold", "--form", "NO", "--yes"], 'no form "NO"'), (["retry", "--older-than", "soon", "--yes"], '"soon" is not an age'), (["list", "--lane", "fast"], '"fast" is none of'),
    (["reassign", "--all", "--yes"], "name the user"), (["reassign", "--all", "--to-user", "NO", "--yes"], 'no user "NO"'), (["cancel", "--all", "--yes", "--dry-run"], "excludes")])
def test_a_command_line_that_is_wrong_is_refused_by_name(erp, mailroom, arguments, words):
    erp.enqueue(**letter())
    done = mailroom.run(*arguments, check=False)
    assert done.code == 2 and words in done.err
    assert [at for at, _ in erp.states().values()] == ["ready"]


def test_long_work_goes_in_steps_and_shows_that_it_goes_on(erp, mailroom):
    erp.database.rows("SELECT mailroom.enqueue('{\"to\": \"a@b.test\", \"subject\": \"s\", \"text\": \"t\", \"batch\": \"b\"}') FROM generate_series(1, 2500)")
    done = mailroom.run("hold", "--batch", "b", "--yes")
    assert done.out == "held 2,500 messages\n" and done.err == "  1,000 of 2,500\n  2,000 of 2,500\n  2,500 of 2,500\n"
    assert erp.database.value("SELECT count(*) FROM mailroom.depth WHERE state = 'held'") == 2500


def test_list_shows_a_line_each_and_never_what_a_message_says(erp, mailroom):
    assert mailroom.run("list").out == "no message matches\n"
    held = hold_place(erp, erp.enqueue(user="NOBODY", batch="spring", lane="urgent", **letter(["a@one.test", "b@one.test"])))
    deferred = defer(erp, erp.enqueue(user="ANNA", **letter()))
    out = mailroom.run("list").out
    first, second = out.splitlines()[1:]
    assert first.split()[:2] == [held, "held"] and "no_user (user NOBODY)" in first and "spring" in first
    assert second.split()[:2] == [deferred, "deferred"] and "ANNA" in second and second.split()[3].startswith("20")
    assert "hello" not in out and "subject" not in out.lower()
    page = mailroom.json("list", "--state", "held")
    [message] = page["messages"]
    assert page["next"] is None and message["recipients"] == 2 and (message["uid"], message["reason"], message["remedy"]) == (held, "no_user", "make the user")
    assert message["age"] >= 0 and "hello" not in json.dumps(page)


def test_list_goes_on_from_page_to_page(erp, mailroom):
    uids = erp.enqueue_many([letter()] * 5)
    seen, after = [], 0
    while after is not None:
        page = mailroom.json("list", "--limit", 2, "--after", after)
        seen += [message["uid"] for message in page["messages"]]
        after = page["next"]
    assert seen == uids
    assert "--after" in mailroom.run("list", "--limit", 2).out


def test_queue_shows_blocked_routes_with_why_and_until_when(erp, mailroom):
    uid = erp.enqueue(user="ANNA", **letter())
    erp.database.rows("""INSERT INTO mailroom.place (id, key, kind, subject, parked_at, blocked_until, blocked_why, limited)
                         VALUES (900, 'smtp/mx:587/erp', 'route', 'erp at mx', now(), '2099-01-01', 'the day''s recipients are used up', true)""")
    erp.database.rows("UPDATE mailroom.queue SET place_id = 900")
    erp.database.rows("INSERT INTO mailroom.route_usage VALUES (900, date_trunc('hour', now()), 70), (900, now() - interval '3 days', 5)")
    out = mailroom.run("queue").out
    assert "route smtp/mx:587/erp (erp at mx): 1 waiting; blocked until 2099-01-01 00:00:00Z: the day's recipients are used up; limited: 70 recipients in 24 hours" in out
    assert "account_blocked" in out
    shown = mailroom.run("list", "--route", "erp at mx").out
    assert uid in shown and "deferred" in shown and "account_blocked" in shown and "2099-01-01" in shown


def test_show_tells_where_it_stands_in_line(erp, mailroom):
    erp.enqueue_many([letter()] * 3)
    erp.enqueue(lane="urgent", **letter())
    last = erp.enqueue(**letter())
    assert "3 before it in its lane (normal) of unsorted, 1 in more urgent ones; no dispatcher is running" in mailroom.run("show", last).out
    assert erp.story(last)["line"]["ahead"] == 3
    mailroom.run("hold", last, "--yes")
    assert "before it" not in mailroom.run("show", last).out
    mailroom.run("cancel", last, "--yes")
    assert erp.story(last)["line"] is None


def test_limits_are_listed_saved_and_removed(erp, mailroom):
    assert "smtp.office365.com" in mailroom.run("limit", "list").out
    mailroom.run("limit", "set", "Mail.Example.test", "messages_per_minute=30", "connections=3")
    mailroom.run("limit", "set", "mail.example.test", "--login", "erp", "recipients_per_day=10000")
    limits = [limit for limit in mailroom.json("limit", "list")["limits"] if limit["server"] == "mail.example.test"]
    assert [(one["login"], one["messages_per_minute"], one["recipients_per_day"]) for one in limits] == [("*", 30, 0), ("erp", 0, 10000)]
    wrong = mailroom.run("limit", "set", "mail.example.test", "speed=9", check=False)
    assert wrong.code == 1 and "speed: there is no such limit" in wrong.err
    assert mailroom.run("limit", "set", "mail.example.test", "fast", check=False).code == 2
    assert "login erp" in mailroom.run("limit", "remove", "mail.example.test", "--login", "erp").out
    gone = mailroom.run("limit", "remove", "mail.example.test", "--login", "erp", check=False)
    assert gone.code == 1 and "limit list" in gone.err


def test_batch_list_shows_what_waits_of_each_and_who_holds_it(erp, mailroom):
    assert "no batch waits" in mailroom.run("batch", "list").out
    erp.enqueue_many([{"batch": "spring", **letter()}] * 2)
    hold_place(erp, erp.enqueue(batch="spring", **letter()))
    erp.database.rows("INSERT INTO mailroom.held_batch (batch, place_id, held_by) VALUES ('autumn', 10, 'erp')")
    spring, autumn = mailroom.json("batch", "list")["batches"]
    assert spring["states"] == {"ready": 2, "held": 1} and (autumn["batch"], autumn["held_by"], autumn["messages"]) == ("autumn", "erp", 0)
    out = mailroom.run("batch", "list").out
    assert "spring: " in out and "2 ready" in out and "autumn: nothing waits; held by erp since" in out


def test_a_batch_is_held_released_and_cancelled_as_a_whole(erp, mailroom):
    if not erp.database.value("SELECT to_regprocedure('mailroom.hold_batch(text)')"):
        pytest.skip("this schema has no hold_batch")
    uids = erp.enqueue_many([{"batch": "spring", **letter()}] * 3)
    refused = mailroom.run("batch", "hold", "spring", check=False)
    assert refused.code == 2 and refused.out == "would hold batch spring, 3 live messages\n" and "--yes" in refused.err
    assert mailroom.json("batch", "hold", "spring", "--dry-run")["matched"] == 3
    mailroom.run("batch", "hold", "spring", "--yes")
    uids.append(erp.enqueue(batch="spring", **letter()))
    assert {erp.states()[uid] for uid in uids} == {("held", "batch_held")}
    mailroom.run("batch", "release", "spring", "--yes")
    assert mailroom.json("batch", "cancel", "spring", "--yes")["result"]["cancelled"] == 4
    assert {state(erp, uid) for uid in uids} == {"cancelled"}


# ---- with a daemon: what an operator lets go is sent as it should be

@pytest.fixture
def script():
    return Script()


@pytest.fixture
def server(certificates, script):
    with MisbehavingServer(certificates.server(), script, require_login=False) as running:
        yield running


def test_a_message_without_a_user_goes_once_it_is_reassigned(erp, mailroom, server):
    erp.relay("BEN", server)
    with mailroom.daemon():
        uid = erp.enqueue(user="NOBODY", **letter())
        erp.wait_for(uid, "held", "no_user")
        mailroom.run("reassign", uid, "--to-user", "BEN", "--yes")
        erp.wait_for(uid, "sent")
    assert b"From: ben@example.test" in server.seen.messages[0].octets


def test_the_rest_of_a_served_message_goes_under_the_sender_that_the_operator_chose(erp, mailroom, script, server):
    script.on("rcpt", Reply("450 4.2.1 busy"), argument="later@", times=2)
    with mailroom.daemon():
        erp.relay("ANNA", server)
        old, new = erp.enqueue_many([{"user": "ANNA", **letter(["now@one.test", "later@one.test"])}] * 2)
        erp.wait_for([old, new], "deferred")
        erp.user("ANNA", from_="new@example.test")
        mailroom.run("retry", "--all", "--yes")
        erp.wait_for([old, new], "held", "identity_changed")
        mailroom.run("release", new, "--new-identity", "--yes")
        erp.wait_for(new, "sent")
        mailroom.run("release", old, "--keep-identity", "--yes")
        erp.wait_for(old, "held", "identity_changed")
        erp.user("ANNA", from_="anna@example.test")
        mailroom.run("release", old, "--keep-identity", "--yes")
        erp.wait_for(old, "sent")
    rest = {("new" if new.encode() in one.octets else "old"): one for one in server.seen.messages[2:]}
    assert rest["new"].recipients == rest["old"].recipients == ["<later@one.test>"]
    assert b"From: new@example.test" in rest["new"].octets and b"From: anna@example.test" in rest["old"].octets


def test_what_is_in_doubt_is_sent_again_as_a_possible_duplicate(erp, mailroom, script, server):
    erp.relay("ANNA", server)
    mailroom.configure("doubt", policy="hold")
    script.on("dot", Close(), times=1)
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "held", "in_doubt")
        mailroom.run("release", "--reason", "in_doubt", "--yes")
        erp.wait_for(uid, "sent")
    assert erp.story(uid)["possible_duplicate"]
