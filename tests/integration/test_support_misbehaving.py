"""The scriptable SMTP server of the tests does what its script says."""

import smtplib
import socket
import ssl
import threading

import pytest

from misbehaving import Close, Hold, MisbehavingServer, Reply, Script, Silence, WrongCertificate

MESSAGE = b"Subject: hello\r\n\r\n.dot in front\r\n..two\r\n"


def client(server, certificates, timeout=10):
    connection = smtplib.SMTP("127.0.0.1", server.port, timeout=timeout)
    connection.starttls(context=ssl.create_default_context(cafile=certificates.ca_file))
    return connection


def logged_in(server, certificates, login="anna@example.test", timeout=10):
    connection = client(server, certificates, timeout)
    connection.login(login, "secret")
    return connection


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def server(certificates, script):
    with MisbehavingServer(certificates.server(), script, users={"anna@example.test": "secret"}) as running:
        yield running


def test_it_keeps_a_message_as_it_was_before_dot_stuffing(server, certificates):
    with logged_in(server, certificates) as connection:
        connection.sendmail("anna@example.test", ["a@b.test", "c@d.test"], MESSAGE)
    [received] = server.wait_for(1)
    assert received.octets == MESSAGE
    assert received.recipients == ["<a@b.test>", "<c@d.test>"]
    assert received.login == "anna@example.test"
    assert received.mail_from.startswith("<anna@example.test>")
    assert received.reply == "250 2.0.0 taken"


def test_it_refuses_a_wrong_password_and_keeps_no_secret(server, certificates):
    with client(server, certificates) as connection, pytest.raises(smtplib.SMTPAuthenticationError):
        connection.login("anna@example.test", "wrong")
    assert server.seen.logins[0] == (1, "anna@example.test", False)
    assert all(line in ("AUTH PLAIN", "AUTH LOGIN") for _, line in server.seen.commands if line.startswith("AUTH"))


def test_hanging_up_at_the_dot_leaves_a_message_that_was_taken_without_an_answer(server, script, certificates):
    script.on("dot", Close(), times=1)
    connection = logged_in(server, certificates)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        connection.sendmail("anna@example.test", ["a@b.test"], MESSAGE)
    [received] = server.wait_for(1)
    assert received.reply is None
    with logged_in(server, certificates) as again:
        again.sendmail("anna@example.test", ["a@b.test"], MESSAGE)
    assert [message.reply for message in server.wait_for(2)] == [None, "250 2.0.0 taken"]


def test_hanging_up_in_the_content_keeps_no_message(server, script, certificates):
    script.on("content", Close(after_octets=1000))
    connection = logged_in(server, certificates)
    with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
        connection.sendmail("anna@example.test", ["a@b.test"], MESSAGE + b"x" * 70 + b"\r\n" * 100_000)
    server.wait(lambda seen: seen.open_connections == 0)
    assert server.seen.messages == []


def test_a_reply_of_its_own_for_one_recipient_only(server, script, certificates):
    script.on("rcpt", Reply("550 5.1.1 unknown"), argument="nobody@")
    with logged_in(server, certificates) as connection:
        refused = connection.sendmail("anna@example.test", ["nobody@b.test", "a@b.test"], MESSAGE)
    assert refused == {"nobody@b.test": (550, b"5.1.1 unknown")}
    assert server.wait_for(1)[0].recipients == ["<a@b.test>"]


def test_a_reply_of_its_own_on_the_second_connection_and_goodbye(server, script, certificates):
    script.on("greeting", Reply("421 4.3.2 too busy", close=True), connection=2)
    client(server, certificates).quit()
    with pytest.raises(smtplib.SMTPConnectError) as refusal:
        smtplib.SMTP("127.0.0.1", server.port, timeout=10)
    assert refusal.value.smtp_code == 421
    client(server, certificates).quit()


def test_silence_is_ended_by_the_client(server, script, certificates):
    script.on("mail", Silence())
    connection = logged_in(server, certificates, timeout=0.3)
    with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)):
        connection.sendmail("anna@example.test", ["a@b.test"], MESSAGE)
    connection.close()
    server.wait(lambda seen: seen.open_connections == 0)


def test_it_shows_another_certificate_when_told(server, script, certificates):
    for wrong in (certificates.expired(), certificates.untrusted()):
        script.clear()
        script.on("tls", WrongCertificate(wrong))
        with pytest.raises(ssl.SSLCertVerificationError):
            client(server, certificates)


def test_bytes_behind_the_answer_to_starttls_arrive_with_it(server, script):
    script.on("starttls", Reply("220 go ahead\r\n250 injected"))
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        reader = raw.makefile("rb")
        reader.readline()
        raw.sendall(b"STARTTLS\r\n")
        assert reader.readline() == b"220 go ahead\r\n"
        assert reader.readline() == b"250 injected\r\n"


def test_logins_that_are_held_together_count_as_simultaneous(server, script, certificates):
    opened = threading.Event()
    script.on("auth", Hold(opened))
    threads = [threading.Thread(target=lambda: logged_in(server, certificates).quit()) for _ in range(3)]
    for thread in threads:
        thread.start()
    server.wait(lambda seen: seen.open_logins == 3)
    opened.set()
    for thread in threads:
        thread.join()
    assert server.seen.most_logins == 3
    assert server.seen.open_logins == 0


def test_logins_one_after_the_other_do_not(server, certificates):
    for _ in range(3):
        logged_in(server, certificates).quit()
    assert server.seen.most_logins == 1


def test_it_comes_back_on_the_same_port(server, certificates):
    port = server.port
    server.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    server.start()
    assert server.port == port
    logged_in(server, certificates).quit()


def test_implicit_tls_speaks_tls_from_the_first_byte(certificates):
    with MisbehavingServer(certificates.server(), implicit_tls=True) as running:
        context = ssl.create_default_context(cafile=certificates.ca_file)
        with smtplib.SMTP_SSL("localhost", running.port, context=context, timeout=10) as connection:
            connection.login("anyone", "anything")
            assert not connection.has_extn("starttls")
