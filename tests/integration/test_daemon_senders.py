"""Who sends: each table row that sends by smtp, as a real server sees it: its login, From, Sender and envelope sender."""

import contextlib
import dataclasses
import errno

import pytest

from erp import Erp, letter
from machine import Unavailable
from misbehaving import MisbehavingServer
from smtp_script import Reply, Script

IMPLICIT_TLS_PORT = 465


@dataclasses.dataclass(frozen=True)
class Expected:
    row: str
    account: str
    sender_address: str  # From
    sender: str | None  # Sender
    envelope: str
    login: str | None = None  # where it is not the account


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server()) as running:
        yield running


def common_settings(erp, server):
    erp.general(default_user_mode="smtp", mode="smtp", server="localhost", port=server.port, account="erp@example.test",
                from_="Mobile <mobile@example.test>", user_server="127.0.0.1", user_port=server.port)
    erp.user("ANNA", mode="smtp", email="anna@example.test", server="localhost", port=server.port)
    erp.user("BEN", mode="smtp", email="ben@example.test", server="localhost", port=server.port, from_="Sales <sales@example.test>")
    erp.user("CARA", mode="smtp", email="cara@example.test", server="localhost", port=server.port, from_="sales@example.test",
             send_as=True)
    erp.user("DORA", mode="smtp", account="dora-login", server="localhost", port=server.port, from_="sales@example.test")
    erp.user("EMIL", mode="smtp", account="emil-login", email="Emil@example.test", server="localhost", port=server.port)
    erp.user("FRED", email="fred@example.test", from_="Fred <f@example.test>")
    erp.user("GINA", mode="smtp", email="gina@example.test", server="localhost", port=server.port, from_="GINA@EXAMPLE.test")
    erp.form("INV", from_="invoices@example.test", mode="general")
    erp.form("OWN", from_="Erp <ERP@example.test>", mode="general")
    erp.form("BLANK", mode="outlook")
    erp.model("TRUCK", from_="Dispatch <dispatch@example.test>", mode="general")
    erp.model("NONE")
    for owner in (["general"], *(["user", code] for code in ("ANNA", "BEN", "CARA", "DORA", "EMIL", "FRED", "GINA"))):
        erp.password(*owner, secret="secret of " + owner[-1])


CASES = {
    "one's own account": (
        {"user": "ANNA"}, Expected("S11", "anna@example.test", "anna@example.test", None, "anna@example.test")),
    "one's own account for another address": (
        {"user": "BEN"}, Expected("S11", "ben@example.test", "Sales <sales@example.test>", "ben@example.test", "ben@example.test")),
    "one's own account that may send as the other address": (
        {"user": "CARA"}, Expected("S11", "cara@example.test", "sales@example.test", None, "sales@example.test")),
    "a login without an address": (
        {"user": "DORA"}, Expected("S11", "dora-login", "sales@example.test", None, "sales@example.test")),
    "a login whose user has an address": (
        {"user": "EMIL"}, Expected("S11", "emil-login", "Emil@example.test", None, "Emil@example.test")),
    "the inherited server with one's own account": (
        {"user": "FRED"}, Expected("S12", "fred@example.test", "Fred <f@example.test>", "fred@example.test", "fred@example.test")),
    "a From that differs in the case of letters only": (
        {"user": "GINA"}, Expected("S11", "gina@example.test", "GINA@EXAMPLE.test", None, "GINA@EXAMPLE.test")),
    "a form with an address": (
        {"user": "ANNA", "form": "INV"},
        Expected("M6", "erp@example.test", "invoices@example.test", "erp@example.test", "erp@example.test")),
    "a form with the account's own address and nobody who posts": (
        {"form": "OWN"}, Expected("M6", "erp@example.test", "Erp <ERP@example.test>", None, "ERP@example.test")),
    "a form without an address": (
        {"user": "ANNA", "form": "BLANK"}, Expected("M1/S11", "anna@example.test", "anna@example.test", None, "anna@example.test")),
    "a dispatch model": (
        {"user": "nobody we know", "model": "TRUCK"},
        Expected("D6", "erp@example.test", "Dispatch <dispatch@example.test>", "erp@example.test", "erp@example.test")),
    "a dispatch model without an address": (
        {"user": "FRED", "model": "NONE"},
        Expected("D1/S12", "fred@example.test", "Fred <f@example.test>", "fred@example.test", "fred@example.test")),
}


def check(received, story, expected):
    head = received.octets.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert [line for line in head if line.startswith("From:")] == ["From: " + expected.sender_address]
    assert [line for line in head if line.startswith("Sender:")] == (["Sender: " + expected.sender] if expected.sender else [])
    assert received.mail_from.split(" ")[0] == f"<{expected.envelope}>"
    assert received.login == (expected.login or expected.account)
    last = story["events"][-1]
    assert (last["event"], last["table_row"], last["account"]) == ("sent", expected.row, expected.account)
    assert (last["from_address"], last.get("sender") or None, last["envelope_sender"]) == (
        expected.sender_address, expected.sender, expected.envelope)


def test_each_row_sends_by_its_account_as_its_from(erp, mailroom, server):
    common_settings(erp, server)
    with mailroom.daemon():
        uids = {name: erp.enqueue(**letter(), **message) for name, (message, _) in CASES.items()}
        mobile = erp.enqueue_mobile(user="ANNA", form="INV", **letter())
        erp.wait_for([*uids.values(), mobile], "sent")
    by_uid = {uid: one for one in server.seen.messages for uid in [*uids.values(), mobile] if uid.encode() in one.octets}
    for name, (_, expected) in CASES.items():
        print(name)  # shown with a failure
        check(by_uid[uids[name]], erp.story(uids[name]), expected)
    check(by_uid[mobile], erp.story(mobile),
          Expected("B2", "erp@example.test", "Mobile <mobile@example.test>", "erp@example.test", "erp@example.test"))
    assert len(server.seen.messages) == len(CASES) + 1


def test_a_relay_that_asks_for_no_login_gets_none_although_a_password_is_stored(erp, mailroom, certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as relay, mailroom.daemon():
        erp.user("ANNA", mode="smtp", email="anna@example.test", server="localhost", port=relay.port)
        erp.password("user", "ANNA", secret="never said")
        erp.user("ANNA", login=False, from_="sales@example.test")
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "sent")
        [received] = relay.seen.messages
    assert received.login is None and relay.seen.logins == []
    assert b"\r\nSender: anna@example.test\r\n" in received.octets  # an account that is set still gives the address


def test_a_password_may_travel_in_clear_only_where_it_is_allowed(erp, mailroom):
    with MisbehavingServer(None) as plain, mailroom.daemon():
        erp.user("ANNA", mode="smtp", email="anna@example.test", server="localhost", port=plain.port, use_ssl=False)
        erp.password("user", "ANNA", secret="a word")
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "held", "cleartext_password")
        assert plain.seen.connections == 0
        erp.user("ANNA", allow_cleartext=True)
        erp.wait_for(uid, "sent")
    assert plain.seen.messages[0].login == "anna@example.test"


def test_port_465_with_ssl_is_tls_from_the_first_byte(erp, mailroom, certificates):
    server = MisbehavingServer(certificates.server(), implicit_tls=True)
    server.port = IMPLICIT_TLS_PORT
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(server)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EADDRINUSE):
                raise Unavailable(f"port {IMPLICIT_TLS_PORT} cannot be bound here: {error.strerror}") from None
            raise
        stack.enter_context(mailroom.daemon())
        erp.user("ANNA", mode="smtp", email="anna@example.test", server="localhost", port=IMPLICIT_TLS_PORT)
        erp.password("user", "ANNA", secret="a word")
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "sent")
    assert [line for _, line in server.seen.commands if line.startswith("STARTTLS")] == []
    assert server.seen.logins == [(1, "anna@example.test", True)]
    assert erp.story(uid)["events"][-1]["server"] == "localhost:465"


def test_a_setting_that_changes_while_a_message_waits_changes_its_sender(erp, mailroom, certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as server:
        erp.relay("ANNA", server)
        uid = erp.enqueue(user="ANNA", **letter())
        erp.user("ANNA", from_="New Name <new@example.test>")
        with mailroom.daemon():
            erp.wait_for(uid, "sent")
    assert b"\r\nFrom: New Name <new@example.test>\r\n" in server.seen.messages[0].octets


def test_settings_that_name_another_sender_after_a_recipient_was_served_hold_the_rest(erp, mailroom, certificates):
    script = Script().on("rcpt", Reply("450 4.2.1 busy"), argument="later@", times=1)
    with MisbehavingServer(certificates.server(), script, require_login=False) as server, mailroom.daemon():
        erp.relay("ANNA", server)
        uid = erp.enqueue(user="ANNA", **letter(["now@one.test", "later@one.test"]))
        erp.wait_for(uid, "deferred")
        erp.user("ANNA", from_="new@example.test")
        erp.make_due()
        erp.wait_for(uid, "held", "identity_changed")
        assert len(server.seen.messages) == 1
        story = erp.story(uid)
    assert "anna@example.test" in story["subject"] and "new@example.test" in story["subject"]
