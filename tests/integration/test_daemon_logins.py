"""A refused login: said once, pauses the account everywhere, costs no message a try, and ends when something changes."""

import contextlib
import threading

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Hold, Reply, Script

ANNA = "anna@example.test"


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def server(certificates, script):
    with MisbehavingServer(certificates.server(), script, users={ANNA: "right", "ben@example.test": "right"}) as running:
        yield running


def own_account(erp, code, server, secret, **settings):
    erp.user(code, mode="smtp", email=f"{code.lower()}@example.test", server="localhost", port=server.port, **settings)
    erp.password("user", code, secret=secret)


def attempts(erp):
    return [row["attempts"] + row["deferrals"] for row in erp.database.rows("SELECT attempts, deferrals FROM mailroom.queue")]


def test_a_refused_login_is_tried_once_by_all_daemons_and_200_messages_wait_for_the_right_one(erp, mailroom, server):
    own_account(erp, "ANNA", server, "wrong")
    own_account(erp, "BEN", server, "right")
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 200)
    bens = erp.enqueue_many([{"user": "BEN", **letter()}] * 20)
    with mailroom.daemon() as first, mailroom.daemon() as second:
        erp.wait_for(uids, "held", "auth_failed")
        erp.wait_for(bens, "sent")
        assert attempts(erp) == [0] * 200
        more = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(more, "held", "auth_failed")
        refused = [login for login in server.seen.logins if not login[2]]
        assert refused == [(refused[0][0], ANNA, False)], "one attempt"
        assert (first.log() + second.log()).count("is paused") == 1

        hold = mailroom.json("queue")["holds"][0]
        assert (hold["reason"], hold["subject"], hold["messages"]) == ("auth_failed", "user ANNA", 201)
        assert "account password user ANNA" in hold["remedy"]
        told = erp.story(uids[0])
        assert (told["state"], told["reason"], told["subject"]) == ("held", "auth_failed", "user ANNA")
        [pause] = mailroom.json("queue")["paused_logins"]
        assert pause["owner"] == "user ANNA" and "535" in pause["reply"] and "wrong login or password" in pause["reply"]

        erp.password("user", "ANNA", secret="right")
        erp.wait_for([*uids, more], "sent")
    assert len(server.seen.messages) == 221
    assert mailroom.json("queue")["paused_logins"] == []


def statuses(mailroom):
    accounts = mailroom.json("account", "list")
    return {"general": accounts["general"]["status"], **{user["code"]: user["status"] for user in accounts["users"]}}


def test_an_account_says_when_its_login_was_tried_last_and_what_came_of_it(erp, mailroom, server):
    """Once for a login and a change, not for each message."""
    own_account(erp, "ANNA", server, "wrong")
    own_account(erp, "BEN", server, "right")
    erp.relay("CARLA", server)
    never = {"state": "never_tried", "reason": "", "checked_at": None}
    assert statuses(mailroom) == {"general": None, "ANNA": never, "BEN": never, "CARLA": None}, "who logs in nowhere has none"
    assert mailroom.run("account", "list").out.count("Non-Authenticated: never tried") == 2
    with mailroom.daemon():
        annas, bens = erp.enqueue(user="ANNA", **letter()), erp.enqueue(user="BEN", **letter())
        erp.wait_for(annas, "held", "auth_failed")
        erp.wait_for(bens, "sent")
        wait_until(lambda: {name: status and status["state"] for name, status in statuses(mailroom).items()} == {
            "general": None, "ANNA": "sign_in_failed", "BEN": "authenticated", "CARLA": None}, 10, "both are known", every=0.2)
        before = statuses(mailroom)
        assert before["ANNA"]["reason"].startswith("535 ") and before["ANNA"]["checked_at"] and before["BEN"]["reason"] == ""
        shown = mailroom.run("account", "list").out
        assert "Non-Authenticated: sign in failed: 535 " in shown and " Authenticated (checked 20" in shown
        erp.wait_for(erp.enqueue_many([{"user": "BEN", **letter()}] * 20), "sent")
        assert statuses(mailroom)["BEN"] == before["BEN"]
        erp.password("user", "ANNA", secret="right")
        erp.wait_for(annas, "sent")
        wait_until(lambda: statuses(mailroom)["ANNA"]["state"] == "authenticated", 10, "Anna's login is good", every=0.2)
    erp.password("user", "ANNA", secret="another")
    erp.user("BEN", server="elsewhere.test")
    assert statuses(mailroom) == {"general": None, "ANNA": never, "BEN": None, "CARLA": None}, "these were never tried"


def test_a_password_that_is_wrong_again_pauses_again_after_one_more_attempt(erp, mailroom, server):
    own_account(erp, "ANNA", server, "wrong")
    with mailroom.daemon() as daemon:
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 20)
        erp.wait_for(uids, "held", "auth_failed")
        erp.password("user", "ANNA", secret="wrong as well")
        daemon.wait_for_line("is paused", count=3)  # told, over, told again
        erp.wait_for(uids, "held", "auth_failed")
    assert [accepted for _, _, accepted in server.seen.logins] == [False, False]


def test_a_probe_tries_the_same_password_once_more(erp, mailroom, server):
    own_account(erp, "ANNA", server, "changed by its provider")
    with mailroom.daemon() as daemon:
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 20)
        erp.wait_for(uids, "held", "auth_failed")
        assert mailroom.json("account", "probe", "user", "ANNA")["probing"] == "user ANNA"
        daemon.wait_for_line("is paused", count=3)  # told, over, told again
        erp.wait_for(uids, "held", "auth_failed")
        assert len(server.seen.logins) == 2
        server.users[ANNA] = "changed by its provider"
        mailroom.run("account", "probe", "user", "ANNA")
        erp.wait_for(uids, "sent")
    assert attempts(erp) == []


def test_owners_with_the_same_login_share_the_pause(erp, mailroom, server):
    own_account(erp, "ANNA", server, "wrong")
    own_account(erp, "ANNE", server, "wrong", account=ANNA)
    own_account(erp, "OTHER", server, "right", account=ANNA)  # the same login with another password is another matter
    with mailroom.daemon():
        first = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(first, "held", "auth_failed")
        second = erp.enqueue(user="ANNE", **letter())
        erp.wait_for(second, "held", "auth_failed")
        assert len(server.seen.logins) == 1
        other = erp.enqueue(user="OTHER", **letter())
        erp.wait_for(other, "sent")
        assert erp.story(second)["subject"] == "user ANNE"
        server.users[ANNA] = "wrong"  # which makes it right
        mailroom.run("account", "probe", "user", "ANNE")
        erp.wait_for([first, second], "sent")


def test_generals_refused_login_holds_forms_models_and_mobile_but_no_user(erp, mailroom, server):
    erp.general(mode="smtp", server="localhost", port=server.port, account="erp@example.test")
    erp.password("general", secret="wrong")
    erp.form("INV", from_="invoices@example.test", mode="general")
    erp.model("TRUCK", from_="dispatch@example.test", mode="general")
    own_account(erp, "ANNA", server, "right")
    with mailroom.daemon():
        held = [erp.enqueue(form="INV", **letter()), erp.enqueue(model="TRUCK", **letter()), erp.enqueue_mobile(**letter())]
        sent = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(held, "held", "auth_failed")
        erp.wait_for(sent, "sent")
        after = erp.enqueue_many([{"form": "INV", **letter()}, {"model": "TRUCK", **letter()}])
        erp.wait_for(after, "held", "auth_failed")
        assert [erp.story(uid)["events"][-1]["table_row"] for uid in after] == ["M8", "D8"]
        assert {erp.story(uid)["subject"] for uid in [*held, *after]} == {"general"}
        assert len([login for login in server.seen.logins if login[1] == "erp@example.test"]) == 1


def test_while_the_first_login_is_in_progress_no_other_connection_logs_in(erp, mailroom, script, server):
    allowed = threading.Event()
    script.on("auth", Hold(allowed))
    own_account(erp, "ANNA", server, "right")
    with mailroom.daemon():
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 12)
        server.wait(lambda seen: seen.open_logins == 1)
        erp.wait_for(uids, "sending")
        # Whoever would not wait has had the time: another account's message has come and gone.
        own_account(erp, "BEN", server, "right")
        script.clear()
        ben = erp.enqueue(user="BEN", **letter())
        erp.wait_for(ben, "sent")
        assert [login for _, login, _ in server.seen.logins] == ["ben@example.test"]
        assert server.seen.connections == 2 and server.seen.open_logins == 1
        allowed.set()
        erp.wait_for(uids, "sent")
    assert server.seen.most_connections > 2, "after it they log in side by side"


@pytest.mark.parametrize("reply", ["454 4.7.0 temporary authentication failure", "421 4.3.2 come back later"])
def test_a_login_that_failed_for_now_pauses_nobody(erp, mailroom, script, server, reply):
    script.on("auth", Reply(reply), times=1)
    own_account(erp, "ANNA", server, "right")
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "deferred")
        assert reply[4:] in f"{erp.story(uid)['events'][-1]['enhanced']} {erp.story(uid)['events'][-1]['reply']}"
        assert mailroom.json("queue")["paused_logins"] == []
        erp.hurry_until([uid], "sent")


def test_a_provider_that_ended_logins_by_password_says_so_in_the_hold(erp, mailroom, script, server):
    script.on("auth", Reply("550 5.7.30 Basic authentication is not supported for Client Submission."))
    own_account(erp, "ANNA", server, "right")
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "held", "basic_login_ended")
        assert "a new one does not help" in erp.story(uid)["remedy"]
        erp.password("user", "ANNA", secret="another one")
        own_account(erp, "ANNE", server, "right", account=ANNA)  # the same login, whatever its password
        later = erp.enqueue_many([{"user": user, **letter()} for user in ("ANNA", "ANNE")])
        erp.wait_for([uid, *later], "held", "basic_login_ended")
        assert len(server.seen.logins) == 1
        script.clear()
        server.users[ANNA] = "another one"
        mailroom.run("account", "probe", "user", "ANNA")
        erp.wait_for(uid, "sent")


def test_a_server_that_offers_no_login_keeps_mail_waiting_and_pauses_nobody(erp, mailroom, certificates):
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(MisbehavingServer(certificates.server(), mechanisms=""))
        strange = stack.enter_context(MisbehavingServer(certificates.server(), mechanisms="GSSAPI XOAUTH2"))
        own_account(erp, "ANNA", silent, "right")
        own_account(erp, "BEN", strange, "right")
        stack.enter_context(mailroom.daemon())
        anna, ben = erp.enqueue(user="ANNA", **letter()), erp.enqueue(user="BEN", **letter())
        erp.wait_for([anna, ben], "deferred")
        assert "offers no login" in erp.story(anna)["events"][-1]["reply"]
        assert "GSSAPI XOAUTH2" in erp.story(ben)["events"][-1]["reply"]
        silent.mechanisms = strange.mechanisms = "LOGIN"
        erp.hurry_until([anna, ben], "sent")
    assert silent.seen.messages[0].login == ANNA
