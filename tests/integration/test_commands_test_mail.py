"""Send Test Email: in its five places, with the values as on the screen, by the way of all mail, and what a good or bad test means for the account."""

import subprocess
import time

import pytest

from erp import Erp, letter
from misbehaving import MisbehavingServer
from smtp_script import Reply, Script, Silence, WrongCertificate

ANNA = "anna@example.test"
GENERAL = "erp@example.test"
CANARY = "cAnaRy-0815"


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def server(certificates, script):
    with MisbehavingServer(certificates.server(), script, users={ANNA: "right", GENERAL: "right"}) as running:
        yield running


@pytest.fixture
def anna(erp, server):
    """A user with an account of her own, whose stored password is right."""
    erp.user("ANNA", mode="smtp", email=ANNA, server="localhost", port=server.port)
    erp.password("user", "ANNA", secret="right")
    return erp


@pytest.fixture
def general(erp, server):
    erp.general(mode="smtp", server="localhost", port=server.port, account=GENERAL, from_="Mobile <mobile@example.test>")
    erp.password("general", secret="right")
    erp.user("PRESSER", email="presser@example.test")
    return erp


def trial(mailroom, *arguments, code=0, password=None):
    """What a test tells; its exit code must be this one."""
    more = ["--password"] if password else []
    done = mailroom.run("test", *arguments, *more, "--json", check=False, input=f"{password}\n" if password else None)
    assert done.code == code, done.out + done.err
    return done.json()


def head_of(received):
    return received.octets.partition(b"\r\n\r\n")[0].decode().split("\r\n")


def steps_of(report):
    return [step["step"] for step in report["steps"]]


def refused_logins(database):
    return database.rows("SELECT account, reason, owner FROM mailroom.refused_login")


def status_of(mailroom, code):
    return {user["code"]: user["status"] for user in mailroom.json("account", "list")["users"]}[code]


def test_a_good_test_tells_every_step_and_is_marked_and_recorded(anna, mailroom, server):
    report = trial(mailroom, "user", "ANNA", "--as", "ANNA")
    assert (report["outcome"], report["counts"], report["table_row"], report["mode"], report["to"]) == ("accepted", True, "S11", "smtp", ANNA)
    assert (report["account"], report["from"], report["sender"], report["envelope_sender"]) == (ANNA, ANNA, "", ANNA)
    assert report["server"] == f"localhost:{server.port}" and report["words"].startswith("250 2.0.0")
    assert steps_of(report) == ["name resolution", "connect", "greeting", "EHLO", "STARTTLS", "TLS", "EHLO", "login", "MAIL FROM", "RCPT TO", "DATA",
                                "content", "end of data"]
    words = {step["step"]: step["words"] for step in report["steps"]}
    assert words["TLS"].startswith("TLSv1.") and "certificate of " in words["TLS"] and "CN" in words["TLS"]
    assert words["login"] == "235 2.7.0 welcome" and words["end of data"] == "250 2.0.0 taken"
    assert all(step["ms"] >= 0 for step in report["steps"])
    [received] = server.seen.messages
    head = head_of(received)
    assert f"Message-ID: {report['message_id']}" in head
    assert "X-Mailroom-Test: user ANNA" in head and any(line.startswith("Subject: [Test]") for line in head)
    [test] = mailroom.json("test", "list")["tests"]
    assert (test["outcome"], test["place"], test["pressed_by"], test["message_id"]) == ("accepted", "user ANNA", "ANNA", report["message_id"])
    assert test["steps"] == report["steps"] and test["by_login"]
    shown = mailroom.run("test", "user", "ANNA", "--to", "x@example.test").out
    assert f"accepted by localhost:{server.port}: 250 2.0.0" in shown and "delivered" not in shown
    assert "accepted" in mailroom.run("test", "list").out


def test_each_place_resolves_as_its_mail_would(general, mailroom, server):
    general.form("INV", from_="invoices@example.test", mode="general")
    general.model("TRUCK", from_="dispatch@example.test", mode="general")
    general.user("ANNA", mode="smtp", email=ANNA, server="localhost", port=server.port)
    general.password("user", "ANNA", secret="right")
    expected = {("general",): ("B2", "Mobile <mobile@example.test>", GENERAL), ("form", "INV"): ("M6", "invoices@example.test", GENERAL),
                ("model", "TRUCK"): ("D6", "dispatch@example.test", GENERAL), ("user", "ANNA"): ("S11", ANNA, "")}
    for place, (row, from_, sender) in expected.items():
        report = trial(mailroom, *place, "--as", "PRESSER")
        assert (report["table_row"], report["from"], report["sender"], report["to"]) == (row, from_, sender, "presser@example.test"), place
    assert (trial(mailroom, "me", "--as", "ANNA")["table_row"], len(server.seen.messages)) == ("S11", 5)


def test_a_blank_address_says_that_it_goes_as_standard_mail_and_tests_that(anna, mailroom, server):
    anna.form("BLANK", mode="general")
    anna.model("NONE")
    for place, row in ((("form", "BLANK"), "M1/S11"), (("model", "NONE"), "D1/S11")):
        report = trial(mailroom, *place, "--as", "ANNA")
        assert (report["table_row"], report["account"]) == (row, ANNA) and "blank" in report["note"] and "ANNA" in report["note"]
    assert "--as" in trial(mailroom, "form", "BLANK", "--to", "x@example.test", code=2)["error"]
    report = trial(mailroom, "form", "BLANK", "from=invoices@example.test", "--as", "ANNA", code=1)
    assert (report["table_row"], report["outcome"], report["note"]) == ("M5", "held", ""), "as on the screen"


def test_a_disabled_user_answers_s1_whoever_presses(anna, mailroom, server):
    anna.user("GONE", enabled=False, email="gone@example.test")
    report = trial(mailroom, "user", "GONE", "--as", "ANNA", code=1)
    assert (report["outcome"], report["table_row"]) == ("held", "S1") and "no_user" in report["words"] and "enable" in report["what_to_do"]
    assert server.seen.connections == 0


def test_modes_that_do_not_send_by_smtp_answer_with_their_row_and_hold(erp, mailroom):
    for mode, row, reason in (("office365", "S7", "auth_required"), ("outlook", "S3", "waiting_desktop"), ("other_client", "S5", "waiting_desktop")):
        erp.user("ANNA", mode=mode, email=ANNA)
        report = trial(mailroom, "user", "ANNA", "--as", "ANNA", code=1)
        assert (report["table_row"], report["mode"], report["outcome"]) == (row, mode, "held") and report["words"].startswith(reason)
        assert report["what_to_do"]


def test_what_must_be_given_first_is_said(anna, mailroom, server):
    for arguments, words in ((["user", "ANNA"], "--as"), (["me"], "--as"), (["me", "--as", "NOBODY"], 'no user "NOBODY"'),
                             (["form", "NOPE", "--as", "ANNA"], 'no form "NOPE"'), (["user", "ANNA", "--to", "nobody"], "--to"),
                             (["user", "ANNA", "server", "--to", ANNA], "name=value")):
        assert words in trial(mailroom, *arguments, code=2)["error"], arguments
    told = trial(mailroom, "user", "ANNA", "port=70000", "colour=red", "--as", "ANNA", code=1)["error"]
    assert "user.port" in told and "user.colour" in told, "the checks of saving"
    assert server.seen.connections == 0 and mailroom.json("test", "list")["tests"] == []


def test_a_refused_login_pauses_the_account_is_told_once_and_a_good_test_releases_what_waited(anna, mailroom, database, server):
    with mailroom.daemon() as daemon:
        server.users[ANNA] = "another"
        report = trial(mailroom, "user", "ANNA", "--as", "ANNA", code=1)
        assert (report["outcome"], report["failed_at"]) == ("refused", "login") and report["words"].startswith("535 5.7.8")
        assert "account password user ANNA" in report["what_to_do"] and "paused" in report["status"]
        assert refused_logins(database) == [{"account": ANNA, "reason": "auth_failed", "owner": "user ANNA"}]
        assert status_of(mailroom, "ANNA")["state"] == "sign_in_failed"
        uid = anna.enqueue(user="ANNA", **letter())
        anna.wait_for(uid, "held", "auth_failed")
        assert trial(mailroom, "user", "ANNA", "--as", "ANNA", code=1)["failed_at"] == "login", "a test is the probe of a paused account"
        daemon.wait_for_line("is paused")
        assert len(server.seen.logins) == 2 and daemon.log().count("is paused") == 1
        server.users[ANNA] = "right"
        assert "goes on" in trial(mailroom, "user", "ANNA", "--as", "ANNA")["status"]
        assert status_of(mailroom, "ANNA")["state"] == "authenticated"
        anna.wait_for(uid, "sent")
    assert database.value("SELECT times FROM mailroom.events WHERE id = 'account_paused'") == 1
    assert refused_logins(database) == []


def test_a_refused_from_stops_the_pair_and_a_good_test_lets_it_go(general, mailroom, database, server, script):
    general.form("INV", from_="invoices@example.test", mode="general")
    script.on("mail", Reply("550 5.7.60 not allowed to send as this sender"))
    with mailroom.daemon():
        report = trial(mailroom, "form", "INV", "--as", "PRESSER", code=1)
        assert report["failed_at"] == "MAIL FROM" and "5.7.60" in report["words"] and "send as" in report["what_to_do"]
        assert database.rows("SELECT account, from_address FROM mailroom.refused_sender") == [
            {"account": GENERAL, "from_address": "invoices@example.test"}]
        uid = general.enqueue(form="INV", **letter())
        general.wait_for(uid, "held", "send_as_denied")
        script.clear()
        trial(mailroom, "form", "INV", "--as", "PRESSER")
        general.wait_for(uid, "sent")


def test_values_of_the_screen_are_tried_and_not_stored_and_change_no_status(anna, mailroom, database, server):
    before = mailroom.json("account", "list")
    version = database.value("SELECT settings_version FROM mailroom.installation")
    report = trial(mailroom, "user", "ANNA", "from=Sales <sales@example.test>", "--as", "ANNA")
    assert (report["from"], report["sender"], report["counts"]) == ("Sales <sales@example.test>", ANNA, False)
    assert "no status changes" in report["status"]
    report = trial(mailroom, "user", "ANNA", "--as", "ANNA", password="wrong", code=1)
    assert report["failed_at"] == "login" and not report["counts"]
    assert refused_logins(database) == [] and mailroom.json("account", "list") == before
    assert trial(mailroom, "user", "ANNA", "from=", f"port={server.port}", "--as", "ANNA")["counts"], "equal values count"
    assert trial(mailroom, "user", "ANNA", "--as", "ANNA", password="right")["counts"], "so does the stored password, typed"
    assert trial(mailroom, "user", "NEW", f"email={ANNA}", "mode=smtp", "server=localhost", f"port={server.port}", "--as", "ANNA",
                  password="right")["table_row"] == "S11"
    after = mailroom.json("account", "list")
    [user] = after["users"]
    assert user["status"]["state"] == "authenticated", "two of these tests counted"
    assert {**after, "users": [{**user, "status": before["users"][0]["status"]}]} == before
    assert database.value("SELECT settings_version FROM mailroom.installation") >= version


def test_a_stored_secret_goes_to_no_other_account_server_port_or_encryption(anna, mailroom, server, certificates):
    with MisbehavingServer(certificates.server(), users={ANNA: "right", "other": "right"}) as other:
        for values in ((f"port={other.port}",), ("server=127.0.0.1",), ("account=other",), ("use_ssl=no", "allow_cleartext=yes")):
            assert "type it again" in trial(mailroom, "user", "ANNA", *values, "--as", "ANNA", code=2)["error"], values
        assert other.seen.connections == server.seen.connections == 0
        report = trial(mailroom, "user", "ANNA", f"port={other.port}", "--as", "ANNA", password="right")
        assert (report["server"], report["counts"]) == (f"localhost:{other.port}", False)


@pytest.mark.parametrize("step, name", [("greeting", "greeting"), ("auth", "login"), ("rcpt", "RCPT TO"), ("dot", "end of data")])
def test_a_silent_server_ends_the_test_at_its_limit_and_the_step_is_named(anna, mailroom, server, script, step, name):
    script.on(step, Silence())
    begun = time.monotonic()
    report = trial(mailroom, "user", "ANNA", "--as", "ANNA", "--timeout", "2", code=1)
    assert time.monotonic() - begun < 10
    assert (report["failed_at"], report["steps"][-1]["step"]) == (name, name) and "no answer" in report["words"]
    assert report["steps"][-1]["ms"] > 500 and report["outcome"] == ("in_doubt" if step == "dot" else "refused")
    assert report["what_to_do"]


def test_a_wrong_certificate_and_a_server_that_is_not_there_name_their_step(anna, mailroom, server, script, certificates, database):
    script.on("tls", WrongCertificate(certificates.other_host()))
    report = trial(mailroom, "user", "ANNA", "--as", "ANNA", code=1)
    assert report["failed_at"] == "TLS" and "certificate" in report["words"] and "certificate" in report["what_to_do"]
    server.stop()
    report = trial(mailroom, "user", "ANNA", "--as", "ANNA", code=1)
    assert report["failed_at"] == "connect" and report["steps"][-1]["step"] == "connect"
    report = trial(mailroom, "user", "ANNA", "server=nowhere.invalid", "--as", "ANNA", password="right", code=1)
    assert report["failed_at"] == "name resolution"
    assert refused_logins(database) == [], "it says nothing of the login"


def test_no_secret_is_recorded_or_printed(anna, mailroom, database, server):
    anna.password("user", "ANNA", secret=CANARY)
    printed = mailroom.run("test", "user", "ANNA", "--as", "ANNA", check=False)
    typed = mailroom.run("test", "user", "ANNA", "--as", "ANNA", "--password", input=CANARY + "x\n", check=False)
    listed = mailroom.run("test", "list", "--json")
    dump = subprocess.run([database.cluster.programs / "pg_dump", "-d", database.dsn], capture_output=True, check=True).stdout.decode()
    everything = "".join([printed.out, printed.err, typed.out, typed.err, listed.out, dump])
    assert "535 5.7.8" in everything and CANARY not in everything


def test_a_real_postfix_takes_a_test_and_refuses_another_from(erp, mailroom, strict_postfix):
    strict_postfix.forget()
    erp.user("ANNA", mode="smtp", email=ANNA, server="localhost", port=strict_postfix.port, send_as=True)
    erp.password("user", "ANNA", secret=strict_postfix.add_user(ANNA))
    report = trial(mailroom, "me", "--as", "ANNA", "--to", "bruno@one.test")
    assert report["outcome"] == "accepted" and "queued as" in report["words"]
    [arrived] = strict_postfix.wait_for(1)
    assert report["message_id"] in str(arrived)
    report = trial(mailroom, "me", "from=ben@example.test", "--as", "ANNA", "--to", "bruno@one.test", code=1)
    assert report["outcome"] == "refused" and report["failed_at"] in ("MAIL FROM", "RCPT TO")


def test_an_administrators_login_may_test_and_what_it_finds_pauses_and_releases(anna, mailroom, database, server):
    name = database.name + "_administrator"
    password = database.cluster.create_role(name, "IN ROLE mailroom_administrator")
    mailroom.configure("database", connection=database.cluster.dsn(name, password, database.name))
    server.users[ANNA] = "another"
    assert "paused" in trial(mailroom, "user", "ANNA", "--as", "ANNA", code=1)["status"]
    assert len(refused_logins(database)) == 1
    server.users[ANNA] = "right"
    trial(mailroom, "user", "ANNA", "enabled=yes", "--as", "ANNA")
    assert refused_logins(database) == []
    assert [test["by_login"] for test in mailroom.json("test", "list")["tests"]] == [name, name]


def test_on_a_test_system_a_test_goes_no_further_than_all_mail(anna, mailroom, server):
    mailroom.configure("safety", redirect_to=["sandbox@example.test"])
    trial(mailroom, "user", "ANNA", "--to", "customer@example.test")
    [received] = server.seen.messages
    assert [recipient.partition(">")[0] for recipient in received.recipients] == ["<sandbox@example.test"]
    assert any("customer@example.test" in line for line in head_of(received) if line.startswith("X-Mailroom-"))

    mailroom.settings["safety"] = {"allow_only": ["example.org"]}
    refused = trial(mailroom, "user", "ANNA", "--to", "customer@example.test", code=1)
    assert len(server.seen.messages) == 1 and "[safety]" in str(refused)
