"""Nothing is sent, and no password said, over a link that is not what it should be: the story says what is wrong with it."""

import contextlib

import pytest

from erp import Erp, letter
from misbehaving import MisbehavingServer
from smtp_script import Reply, Script, WrongCertificate


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


def account(erp, server, code="ANNA"):
    erp.user(code, mode="smtp", email=f"{code.lower()}@example.test", server="localhost", port=server.port)
    erp.password("user", code, secret="a word")


def told_nothing(server):
    """The server saw neither a login nor a sender."""
    return server.seen.logins == [] and not any(line.startswith(("AUTH", "MAIL")) for _, line in server.seen.commands)


def test_a_certificate_that_proves_nothing_stops_mail_until_it_is_right(erp, mailroom, certificates):
    wrong = {"OTHER": (certificates.other_host(), "localhost"), "EXPIRED": (certificates.expired(), "expired"),
             "SELF": (certificates.untrusted(), "self-signed")}
    with contextlib.ExitStack() as stack:
        servers = {}
        for code, (certificate, _) in wrong.items():
            script = Script().on("tls", WrongCertificate(certificate))
            servers[code] = stack.enter_context(MisbehavingServer(certificates.server(), script))
            account(erp, servers[code], code)
        stack.enter_context(mailroom.daemon())
        uids = {code: erp.enqueue(user=code, **letter()) for code in wrong}
        erp.wait_for(uids.values(), "deferred")
        for code, uid in uids.items():
            last = erp.story(uid)["events"][-1]
            assert last["stage"] == "tls" and "certificate" in last["reply"].lower() and wrong[code][1] in last["reply"], last
            assert told_nothing(servers[code])
            servers[code].script.clear()
        erp.hurry_until(uids.values(), "sent")
    assert all(len(server.seen.messages) == 1 for server in servers.values())


def test_an_authority_that_is_not_ours_is_not_trusted(erp, mailroom, certificates):
    """The same server, and a daemon that has only the system's authorities."""
    mailroom.settings.pop("tls")
    with MisbehavingServer(certificates.server()) as server, mailroom.daemon():
        account(erp, server)
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "deferred")
        assert "certificate" in erp.story(uid)["events"][-1]["reply"].lower()
        assert told_nothing(server)


@pytest.mark.parametrize("login", [True, False], ids=["with a login", "without a login"])
def test_where_starttls_is_not_offered_nothing_goes_in_clear(erp, mailroom, certificates, login):
    with MisbehavingServer(None, require_login=False) as server, mailroom.daemon():
        account(erp, server)
        erp.user("ANNA", login=login)
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "deferred")
        last = erp.story(uid)["events"][-1]
        assert last["stage"] == "starttls" and "does not offer STARTTLS" in last["reply"]
        assert told_nothing(server)
        server.certificate = certificates.server()
        erp.hurry_until([uid], "sent")


def test_a_refused_starttls_is_no_reason_to_go_on_in_clear(erp, mailroom, certificates):
    script = Script().on("starttls", Reply("454 4.7.0 TLS not available"))
    with MisbehavingServer(certificates.server(), script) as server, mailroom.daemon():
        account(erp, server)
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "deferred")
        assert "TLS not available" in erp.story(uid)["events"][-1]["reply"]
        assert told_nothing(server)


def test_bytes_injected_behind_the_answer_to_starttls_end_the_connection(erp, mailroom, certificates):
    script = Script().on("starttls", Reply("220 2.0.0 go ahead\r\n250-injected\r\n250 AUTH PLAIN"))
    with MisbehavingServer(certificates.server(), script) as server, mailroom.daemon():
        account(erp, server)
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "deferred")
        last = erp.story(uid)["events"][-1]
        assert last["stage"] == "starttls" and "behind its reply to STARTTLS" in last["reply"]
        assert told_nothing(server)
        script.clear()
        erp.hurry_until([uid], "sent")
