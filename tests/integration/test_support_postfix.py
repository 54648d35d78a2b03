"""The tests' own Postfix is a submission server like the real ones."""

import smtplib
import ssl

import pytest

from smtp_sink import SmtpSink

MESSAGE = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@example.test>\r\n\r\nhello\r\n"


@pytest.fixture
def anna(postfix):
    postfix.forget()
    return "anna@example.test", postfix.add_user("anna@example.test")


def client(postfix, certificates):
    connection = smtplib.SMTP("127.0.0.1", postfix.port, timeout=20)
    connection.starttls(context=ssl.create_default_context(cafile=certificates.ca_file))
    return connection


def test_what_a_user_sends_arrives_once_for_every_recipient(postfix, certificates, anna):
    with client(postfix, certificates) as connection:
        connection.login(*anna)
        connection.sendmail("anna@example.test", ["b@one.test", "c@two.test"], MESSAGE)
    arrived = postfix.wait_for(2)
    assert sorted(one.recipient for one in arrived) == ["b@one.test", "c@two.test"]
    assert {one.sender for one in arrived} == {"anna@example.test"}
    assert {one.message["Subject"] for one in arrived} == {"Grüße"}
    assert all(one.octets.endswith(MESSAGE.replace(b"\r\n", b"\n")) for one in arrived)


def test_a_wrong_password_is_refused_and_counted(postfix, certificates, anna):
    before = postfix.logins_refused()
    with client(postfix, certificates) as connection, pytest.raises(smtplib.SMTPAuthenticationError):
        connection.login(anna[0], "wrong")
    assert postfix.logins_refused() > before


def test_a_changed_password_counts_at_once(postfix, certificates, anna):
    postfix.set_password(anna[0], "another")
    with client(postfix, certificates) as connection:
        assert connection.login(anna[0], "another")[0] == 235


def test_logins_are_offered_under_tls_only(postfix):
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=20) as connection:
        connection.ehlo()
        assert connection.has_extn("starttls") and not connection.has_extn("auth")


def test_the_unknown_recipient_is_refused(postfix, certificates, anna):
    with client(postfix, certificates) as connection:
        connection.login(*anna)
        refused = connection.sendmail("anna@example.test", ["nobody@one.test", "b@one.test"], MESSAGE)
    assert refused["nobody@one.test"][0] == 550
    assert [one.recipient for one in postfix.wait_for(1)] == ["b@one.test"]


def test_nobody_sends_without_a_login(postfix, certificates):
    with client(postfix, certificates) as connection, pytest.raises(smtplib.SMTPException):
        connection.sendmail("anna@example.test", ["b@one.test"], MESSAGE)


def test_a_strict_postfix_lets_users_send_as_themselves_only(strict_postfix, certificates):
    password = strict_postfix.add_user("anna@example.test")
    with client(strict_postfix, certificates) as connection:
        connection.login("anna@example.test", password)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
            connection.sendmail("otto@example.test", ["b@one.test"], MESSAGE)
        assert refusal.value.recipients["b@one.test"][0] == 553
        assert connection.sendmail("anna@example.test", ["b@one.test"], MESSAGE) == {}


def test_implicit_tls(postfix, certificates, anna):
    context = ssl.create_default_context(cafile=certificates.ca_file)
    with smtplib.SMTP_SSL("localhost", postfix.tls_port, context=context, timeout=20) as connection:
        assert connection.login(*anna)[0] == 235


def test_it_comes_back_on_the_same_ports_with_its_mail(postfix, certificates, anna):
    with client(postfix, certificates) as connection:
        connection.login(*anna)
        connection.sendmail("anna@example.test", ["b@one.test"], MESSAGE)
    postfix.wait_for(1)
    postfix.stop()
    with pytest.raises(OSError):
        smtplib.SMTP("127.0.0.1", postfix.port, timeout=5)
    postfix.start()
    with client(postfix, certificates) as connection:
        assert connection.login(*anna)[0] == 235
    assert postfix.count() == 1


def test_the_sink_counts_what_it_forgets():
    with SmtpSink() as sink:
        with smtplib.SMTP("127.0.0.1", sink.port, timeout=10) as connection:
            for _ in range(3):
                connection.sendmail("a@one.test", ["b@one.test"], MESSAGE)
        assert sink.count() == 3
