"""Mail that nobody can send yet waits, each for its reason, and goes by itself once the setting is saved: no restart."""

import threading

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Hold, Script

ERP = "erp@example.test"


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    """Takes every login, and mail without one."""
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


def held(erp, uid, reason, row, *words):
    """It is held for this reason by this row of the table, and its story names these."""
    erp.wait_for(uid, "held", reason)
    story = erp.story(uid)
    assert story["events"][-1]["table_row"] == row
    assert story["events"][-1]["event"] == "held"
    for word in words:
        assert word in story["subject"], f"{word} is not in {story['subject']}"
    assert story["remedy"]
    return story


def test_no_usable_user(erp, mailroom, server):
    erp.relay("OFF", server, enabled=False)
    with mailroom.daemon():
        unnamed = erp.enqueue(**letter())
        unknown = erp.enqueue(user="ANNA", **letter())
        disabled = erp.enqueue(user="OFF", **letter())
        held(erp, unnamed, "no_user", "S1", "user", "none named")
        held(erp, unknown, "no_user", "S1", "ANNA", "unknown")
        held(erp, disabled, "no_user", "S1", "OFF", "disabled")
        erp.relay("ANNA", server)
        erp.wait_for(unknown, "sent")
        erp.user("OFF", enabled=True)
        erp.wait_for(disabled, "sent")
        assert erp.states()[unnamed] == ("held", "no_user")


def test_no_mode_for_users_and_a_desktop_mode(erp, mailroom, server):
    erp.general(default_user_mode="not_configured", server="localhost", port=server.port, user_login=False, login=False)
    erp.user("ANNA", email="anna@example.test")
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter())
        held(erp, uid, "mode_not_configured", "S2", "general", "Default Mailing Mode for Users")
        erp.general(default_user_mode="outlook")
        held(erp, uid, "waiting_desktop", "S3", "ANNA")
        erp.general(default_user_mode="other_client")
        held(erp, uid, "waiting_desktop", "S5", "ANNA")
        erp.general(default_user_mode="office365")
        held(erp, uid, "auth_required", "S7", "ANNA")
        erp.general(default_user_mode="smtp")
        erp.wait_for(uid, "sent")
    assert [e["event"] for e in erp.story(uid)["events"]].count("held") >= 4


def test_every_missing_field_is_named_at_once_with_its_owner(erp, mailroom, server):
    erp.general(default_user_mode="smtp")
    erp.user("ANNA")
    erp.user("BEN", mode="smtp")
    with mailroom.daemon():
        inherits, own = erp.enqueue(user="ANNA", **letter()), erp.enqueue(user="BEN", **letter())
        story = held(erp, inherits, "config_incomplete", "S13", "general: Server Name", "user ANNA: User", "user ANNA: Password",
                     'user ANNA: "From" Address')
        assert "mailroom account set general server=..." in story["remedy"]
        held(erp, own, "config_incomplete", "S13", "user BEN: Server Name", "user BEN: User", "user BEN: Password",
             'user BEN: "From" Address')
        erp.general(user_server="localhost", user_port=server.port)
        wait_until(lambda: "general" not in erp.story(inherits)["subject"], 20, "one field less")
        erp.user("ANNA", email="anna@example.test")
        wait_until(lambda: erp.story(inherits).get("subject") == "user ANNA: Password", 20, "one field is left")
        erp.password("user", "ANNA", secret="a word")
        erp.wait_for(inherits, "sent")
        assert erp.states()[own] == ("held", "config_incomplete")
        erp.user("BEN", server="localhost", port=server.port, account="ben", from_="ben@example.test")
        erp.password("user", "BEN", secret="a word")
        erp.wait_for(own, "sent")


@pytest.mark.parametrize("kind, letter_of", [("form", "M"), ("model", "D")])
def test_forms_and_models_wait_for_their_mode_the_shared_account_and_their_address(erp, mailroom, server, kind, letter_of):
    save = getattr(erp, kind)
    subject = {"form": "row", "model": "model"}[kind]
    label = {"form": "Email Account for Sending", "model": "Email Address, section Dispatcher"}[kind]
    save("DOC", from_="documents@example.test")
    erp.relay("ANNA", server)
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **{kind: "DOC"}, **letter())  # Anna could send it, and must not
        held(erp, uid, "mode_not_configured", letter_of + "2", f"{subject} DOC: Mailing Mode")
        save("DOC", mode="general")
        held(erp, uid, "mode_not_configured", letter_of + "5", "general: Mailing Mode")
        erp.general(mode="smtp")
        held(erp, uid, "config_incomplete", letter_of + "8", "general: Server Name", "general: User", "general: Password")
        erp.general(server="localhost", port=server.port, account=ERP)
        wait_until(lambda: erp.story(uid)["subject"] == "general: Password", 20, "one field is left")
        save("DOC", from_="")
        erp.password("general", secret="a word")
        held(erp, uid, "address_removed", letter_of + "10", f"{subject} DOC: {label}")
        save("DOC", from_="others@example.test")
        erp.wait_for(uid, "sent")
    [received] = server.seen.messages
    assert received.login == ERP and b"\r\nFrom: others@example.test\r\n" in received.octets


def test_a_form_with_outlook_waits_for_the_desktop_of_who_posts(erp, mailroom):
    erp.form("DOC", from_="documents@example.test", mode="outlook")
    erp.user("ANNA", mode="smtp")
    with mailroom.daemon():
        held(erp, erp.enqueue(user="ANNA", form="DOC", **letter()), "waiting_desktop", "M3", "ANNA")
        held(erp, erp.enqueue(form="DOC", **letter()), "no_user", "M3")


def test_mobile_waits_for_the_shared_account_only(erp, mailroom, server):
    with mailroom.daemon():
        uid = erp.enqueue_mobile(user="NOBODY", form="NO SUCH FORM", **letter())
        held(erp, uid, "mode_not_configured", "B1", "general: Mailing Mode")
        erp.general(mode="smtp", server="localhost", port=server.port, account="a-login")
        held(erp, uid, "config_incomplete", "B3", "general: Password", 'general: "From" Address')
        erp.password("general", secret="a word")
        erp.general(from_="mobile@example.test")
        erp.wait_for(uid, "sent")
    assert b"\r\nFrom: mobile@example.test\r\n" in server.seen.messages[0].octets


@pytest.mark.parametrize("inherited", [True, False], ids=["the inherited server", "an own server"])
def test_a_password_in_clear_waits_for_ssl_or_for_leave(erp, mailroom, server, inherited):
    settings = {"server": "localhost", "port": server.port, "use_ssl": False}
    if inherited:
        erp.general(default_user_mode="smtp", **{"user_" + name: value for name, value in settings.items()})
    erp.user("ANNA", email="anna@example.test", **({} if inherited else {"mode": "smtp", **settings}))
    erp.password("user", "ANNA", secret="a word")
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter())
        owner = "general: Use SSL Encoding (server for users)" if inherited else "user ANNA: Use SSL Encoding"
        held(erp, uid, "cleartext_password", "S13", owner)
        assert server.seen.connections == 0
        erp.general(user_use_ssl=True) if inherited else erp.user("ANNA", use_ssl=True)
        erp.wait_for(uid, "sent")
    assert server.seen.messages[0].login == "anna@example.test"


def test_without_the_key_mail_that_needs_a_password_is_held_and_other_mail_goes(erp, mailroom, server):
    erp.user("ANNA", mode="smtp", email="anna@example.test", server="localhost", port=server.port)
    erp.password("user", "ANNA", secret="a word")
    erp.relay("BEN", server)
    key = mailroom.settings["secrets"].pop("key_file")
    with mailroom.daemon() as daemon:
        needs, does_not = erp.enqueue(user="ANNA", **letter()), erp.enqueue(user="BEN", **letter())
        held(erp, needs, "key_missing", "S11")
        erp.wait_for(does_not, "sent")
        assert "no sealing key" in daemon.log()
    mailroom.settings["secrets"]["key_file"] = key
    with mailroom.daemon():
        erp.wait_for(needs, "sent")


def test_with_another_key_nothing_is_sent_wrongly_and_the_right_one_helps(erp, mailroom, server):
    erp.user("ANNA", mode="smtp", email="anna@example.test", server="localhost", port=server.port)
    erp.password("user", "ANNA", secret="a word")
    other = mailroom.directory / "other key"
    mailroom.run("config", "new-key", other)
    mailroom.configure("secrets", key_file=str(other))
    with mailroom.daemon() as daemon:
        uid = erp.enqueue(user="ANNA", **letter())
        held(erp, uid, "key_missing", "S11")
        daemon.wait_for_line("was sealed with the key")
        assert server.seen.connections == 0
    mailroom.configure("secrets", key_file=str(mailroom.key_file))
    with mailroom.daemon():
        erp.wait_for(uid, "sent")


def test_on_cloud_a_desktop_mode_holds(erp, mailroom, server):
    erp.relay("ANNA", server)
    erp.user("BEN", mode="outlook", email="ben@example.test", server="localhost", port=server.port, login=False)
    erp.general(edition="cloud", default_user_mode="not_configured", confirm=True)
    with mailroom.daemon():
        anna, ben = erp.enqueue(user="ANNA", **letter()), erp.enqueue(user="BEN", **letter())
        held(erp, ben, "mode_unavailable_on_cloud", "S4", "user BEN: Mailing Mode")
        erp.wait_for(anna, "sent")


def test_five_hundred_held_messages_go_in_the_old_order_of_their_lanes(erp, mailroom, server):
    mailroom.configure("dispatcher", connections=1)
    messages = [{"user": "ANNA", **letter(f"n{i}@one.test", lane=("bulk" if i < 250 else "urgent"))} for i in range(500)]
    with mailroom.daemon():
        uids = erp.enqueue_many(messages)
        erp.wait_for(uids, "held", "no_user")
        erp.relay("ANNA", server)
        erp.wait_for(uids, "sent", timeout=60)
    order = [int(one.recipients[0][2:].partition("@")[0]) for one in server.seen.messages]
    assert sorted(order) == list(range(500))
    assert order.index(499) < order.index(249), "urgent mail is not behind bulk mail"
    assert [i for i in order if i < 250] == list(range(250)) and [i for i in order if i >= 250] == list(range(250, 500))


def test_queue_held_groups_by_reason_and_subject_with_the_remedy(erp, mailroom, server):
    erp.user("ANNA", mode="smtp")
    erp.user("BEN", mode="smtp")
    with mailroom.daemon():
        assert mailroom.json("queue", "--held") == {"installation": "test", "messages": 0, "reasons": []}
        assert mailroom.run("queue", "--held").out == "nothing is held\n"
        oldest = erp.enqueue(user="NOBODY", **letter())
        uids = [oldest, *erp.enqueue_many([{"user": user, **letter()} for user in ("ANNA", "ANNA", "ANNA", "BEN", "NOBODY", "OTHER")])]
        wait_until(lambda: [erp.states()[uid][0] for uid in uids] == ["held"] * 7, 30, "seven held messages")
        page, text = mailroom.json("queue", "--held"), mailroom.run("queue", "--held").out
    assert page["messages"] == 7
    incomplete, no_user = page["reasons"]
    assert (incomplete["reason"], incomplete["messages"]) == ("config_incomplete", 4) and [s["messages"] for s in incomplete["subjects"]] == [3, 1]
    assert (no_user["reason"], no_user["messages"]) == ("no_user", 3) and [s["messages"] for s in no_user["subjects"]] == [2, 1]
    assert "NOBODY" in no_user["subjects"][0]["subject"] and no_user["oldest"] == no_user["subjects"][0]["oldest"] < no_user["subjects"][1]["oldest"]
    for reason in page["reasons"]:
        assert f"{reason['reason']}: {reason['messages']} held, oldest " in text
        for subject in reason["subjects"]:
            assert subject["remedy"] in text and f"{subject['messages']} x {subject['subject']}" in text


def test_a_saved_setting_frees_what_waited_on_every_daemon_at_once(erp, mailroom, certificates):
    """By notification: nobody polls or beats before the test is over."""
    go_on = threading.Event()
    script = Script().on("data", Hold(go_on))
    mailroom.configure("dispatcher", poll="60s", lease="240s")
    with MisbehavingServer(certificates.server(), script, require_login=False) as server, mailroom.daemon(), mailroom.daemon():
        uids = erp.enqueue_many([{"user": "ANNA", **letter(f"n{i}@one.test")} for i in range(1200)])
        erp.wait_for(uids, "held", "no_user")
        erp.relay("ANNA", server)
        both = 2 * 4  # an account has a quarter of each one's 16 connections
        server.wait(lambda seen: len({number for number, line in seen.commands if line.upper() == "DATA"}) == both, 5, "mail by both daemons")
        go_on.set()
        erp.wait_for(uids, "sent", timeout=60)
    assert len(server.seen.messages) == len(uids)


@pytest.mark.parametrize("reason, general", [
    ("mode_not_configured", {"default_user_mode": "not_configured"}),
    ("config_incomplete", {"default_user_mode": "smtp", "login": False}),
    ("cleartext_password", {"default_user_mode": "smtp", "user_server": "mail.example.test", "user_use_ssl": False})], ids=["S2", "S13", "clear text"])
def test_who_no_longer_inherits_the_trouble_goes_and_who_does_stays(erp, mailroom, server, reason, general):
    """All wait for General, Ben in front; what Anna saves concerns her alone. By notification: nobody polls before the test is over."""
    mailroom.configure("dispatcher", poll="60s", lease="240s")
    erp.general(**general)
    for code in ("ANNA", "BEN"):
        erp.user(code, email=f"{code.lower()}@example.test")
        if reason == "cleartext_password":
            erp.password("user", code, secret="a word")
    with mailroom.daemon():
        ben, anna = erp.enqueue(user="BEN", **letter()), erp.enqueue(user="ANNA", **letter())
        erp.wait_for([ben, anna], "held", reason)
        assert erp.story(ben)["subject"] == erp.story(anna)["subject"]
        erp.relay("ANNA", server)
        erp.wait_for(anna, "sent", timeout=10)
        assert erp.states()[ben] == ("held", reason)
    assert [event["event"] for event in erp.story(ben)["events"]].count("held") == 1, "nobody touched it"


def test_a_form_leaves_the_hold_of_its_poster_or_of_general_when_its_mode_is_saved(erp, mailroom, server):
    mailroom.configure("dispatcher", poll="60s", lease="240s")
    erp.general(mode="smtp", server="localhost", port=server.port, login=False, account="erp@example.test")
    erp.form("DOC", from_="documents@example.test", mode="outlook")
    erp.user("ANNA", mode="outlook")
    with mailroom.daemon():
        letters, document = erp.enqueue(user="ANNA", **letter()), erp.enqueue(user="ANNA", form="DOC", **letter())
        erp.wait_for([letters, document], "held", "waiting_desktop")
        erp.form("DOC", mode="general")
        erp.wait_for(document, "sent", timeout=10)
        assert erp.states()[letters] == ("held", "waiting_desktop")
        erp.general(mode="not_configured")
        erp.form("OTHER", from_="others@example.test", mode="general")
        other, document = erp.enqueue(user="ANNA", form="OTHER", **letter()), erp.enqueue(user="ANNA", form="DOC", **letter())
        erp.wait_for([other, document], "held", "mode_not_configured")
        erp.form("DOC", mode="outlook")
        erp.wait_for(document, "held", "waiting_desktop", timeout=10)
        assert erp.states()[other] == ("held", "mode_not_configured")


def test_what_is_held_counts_no_attempt_and_its_end_is_told(erp, mailroom, server):
    """However often it is sorted again."""
    with mailroom.daemon() as daemon:
        stays, ends = erp.enqueue(user="ANNA", **letter()), erp.enqueue(user="ANNA", **letter())
        erp.wait_for([stays, ends], "held", "no_user")
        for changed in range(5):
            erp.user("ANNA", enabled=False, name=f"Anna {changed}")
            wait_until(lambda: len([e for e in erp.story(stays)["events"] if e["event"] == "held"]) >= changed + 2, 20, "held once more")
        rows = erp.database.rows("SELECT attempts, deferrals, doubts FROM mailroom.queue")
        assert [(row["attempts"], row["deferrals"], row["doubts"]) for row in rows] == [(0, 0, 0)] * 2
        erp.database.rows(f"UPDATE mailroom.queue SET expires_at = clock_timestamp() WHERE uid = '{ends}'")
        erp.wait_for(ends, "expired", timeout=60)
        daemon.wait_for_line("messages_expired")
        assert erp.states()[stays] == ("held", "no_user")
