"""Mail settings on the command line; passwords are asked for twice, never shown, and stored sealed."""

import base64
import os
import pty
import select
import signal
import subprocess
import termios
import time

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer

CANARY = "cAnaRy-Pässwörd-4711"


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


class Terminal:
    """A command at a terminal: what it shows is what a person would see."""

    def __init__(self, mailroom, *arguments):
        self._ours, theirs = pty.openpty()
        command = [str(mailroom.executable), "--config", str(mailroom.write_settings()), *arguments]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True, start_new_session=True,
                                        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # ignored, where the tests run in the background
        os.close(theirs)
        self.shown = ""

    def wait_for(self, text, timeout=20):
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            ready, _, _ = select.select([self._ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{text!r} was not shown: {self.shown!r}"
            self._read()

    def type(self, line):
        os.write(self._ours, (line + "\n").encode())

    def echoes(self):
        return bool(termios.tcgetattr(self._ours)[3] & termios.ECHO)

    def end(self):
        """Its exit code, after all that it showed."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(20)

    def _read(self):
        try:
            part = os.read(self._ours, 4096)
        except OSError:  # Linux says so when the other side is closed
            return False
        self.shown += part.decode(errors="replace")
        return bool(part)


def ask(mailroom, first, second):
    terminal = Terminal(mailroom, "account", "password", "general")
    terminal.wait_for("New password of general for erp@example.test: ")
    terminal.type(first)
    terminal.wait_for("Once more: ")
    terminal.type(second)
    return terminal.end(), terminal.shown


def has_password(mailroom):
    return mailroom.json("account", "list")["general"]["has_password"]


def test_at_a_terminal_the_password_is_asked_twice_and_not_shown(erp, mailroom):
    erp.general(account="erp@example.test")
    code, shown = ask(mailroom, CANARY, CANARY)
    assert code == 0 and "stored the password of general" in shown and CANARY not in shown
    assert has_password(mailroom)


def test_two_passwords_that_differ_are_refused_and_nothing_is_stored(erp, mailroom):
    erp.general(account="erp@example.test")
    code, shown = ask(mailroom, CANARY, CANARY + "x")
    assert code != 0 and "differ" in shown and CANARY not in shown
    assert not has_password(mailroom)


@pytest.mark.parametrize("saved", ["account=other@example.test", "server=other.example.test"])
def test_a_password_for_what_somebody_saved_while_it_was_typed_is_refused(erp, mailroom, saved):
    erp.general(account="erp@example.test", server="mail.example.test")
    terminal = Terminal(mailroom, "account", "password", "general")
    terminal.wait_for("New password of general for erp@example.test: ")
    mailroom.run("account", "set", "general", saved)
    terminal.type(CANARY)
    terminal.wait_for("Once more: ")
    terminal.type(CANARY)
    assert terminal.end() == 1 and "general: was changed since you read it" in terminal.shown
    name, value = saved.split("=")
    assert not has_password(mailroom) and mailroom.json("account", "list")["general"][name] == value


def test_an_empty_password_stores_nothing_and_the_terminal_shows_again_what_is_typed(erp, mailroom):
    erp.general(account="erp@example.test")
    terminal = Terminal(mailroom, "account", "password", "general")
    terminal.wait_for("New password")
    assert wait_until(lambda: not terminal.echoes(), 10, "a silent terminal")
    terminal.type("")
    terminal.wait_for("empty")
    assert terminal.echoes()
    assert terminal.end() == 2 and not has_password(mailroom)


def test_an_interrupted_prompt_stores_nothing_and_leaves_no_silent_terminal(erp, mailroom):
    erp.general(account="erp@example.test")
    terminal = Terminal(mailroom, "account", "password", "general")
    terminal.wait_for("New password")
    terminal.process.send_signal(signal.SIGINT)
    assert wait_until(terminal.echoes, 10, "the echo")
    assert terminal.end() != 0 and not has_password(mailroom)


def test_a_password_appears_nowhere_in_clear(erp, mailroom, database, certificates):
    """Not in what commands and the daemon print, nor in the database, nor in the database's own log."""
    mailroom.configure("log", level="debug")
    database.cluster.execute(f"ALTER ROLE \"{database.owner}\" SET log_statement = 'all'")
    printed = ""
    with MisbehavingServer(certificates.server(), users={"erp@example.test": "right"}) as server:
        erp.general(mode="smtp", server="localhost", port=server.port, account="erp@example.test")
        erp.form("INV", from_="invoices@example.test", mode="general")
        for command, secret in ((["account", "password", "general"], CANARY), (["account", "list"], None), (["account", "list", "--json"], None)):
            done = mailroom.run(*command, input=secret + "\n" if secret else None)
            printed += done.out + done.err
        with mailroom.daemon() as daemon:
            uid = erp.enqueue(form="INV", **letter())
            erp.wait_for(uid, "held", "auth_failed")
            printed += mailroom.run("queue").out + mailroom.run("show", uid).out + mailroom.run("show", uid, "--json").out
        printed += daemon.log()
        assert server.seen.logins == [(1, "erp@example.test", False)]
    dump = subprocess.run([database.cluster.programs / "pg_dump", "-d", database.dsn], capture_output=True, check=True).stdout
    assert b"erp@example.test" in dump
    everything = printed.encode() + dump + database.cluster.log().encode()
    for form in (CANARY, base64.b64encode(CANARY.encode()).decode(), base64.b64encode(f"\0erp@example.test\0{CANARY}".encode()).decode(),
                 CANARY.encode().hex()):
        assert form.encode() not in everything
    assert "store_password" in database.cluster.log(), "the statements were logged"


def test_a_password_needs_an_account_a_key_and_an_owner_that_exists(erp, mailroom):
    for arguments, words in ((["general"], "no account (User) yet"), (["user", "NOBODY"], 'no user "NOBODY"'), (["user"], "which?"),
                             (["general", "X"], "general has no code")):
        done = mailroom.run("account", "password", *arguments, input="x\n", check=False)
        assert done.code != 0 and words in done.err, arguments
    erp.general(account="erp@example.test")
    for secret, words in (("", "empty"), ("x" * 1025, "longer than")):
        done = mailroom.run("account", "password", "general", input=secret + "\n", check=False)
        assert done.code == 2 and words in done.err
    mailroom.settings.pop("secrets")
    done = mailroom.run("account", "password", "general", input="x\n", check=False)
    assert done.code == 1 and "config new-key" in done.err
    assert not has_password(mailroom)


def test_settings_are_saved_and_shown(erp, mailroom):
    mailroom.run("account", "set", "general", "mode=smtp", "server=mail.example.test", "account=erp@example.test", "port=2525")
    mailroom.run("account", "set", "user", "ANNA MARÍA", "email=anna@example.test", "mode=smtp")
    mailroom.run("account", "set", "form", "INV", "from=Büro <b@example.test>", "mode=general")
    assert mailroom.json("account", "set", "model", "TRUCK", "from=t@example.test") == {"saved": "model TRUCK", "advice": "model TRUCK: still missing: Mailing Mode"}
    listed = mailroom.json("account", "list")
    assert (listed["general"]["mode"], listed["general"]["server"], listed["general"]["port"]) == ("smtp", "mail.example.test", 2525)
    [user] = listed["users"]
    assert (user["code"], user["server"], user["port"]) == ("ANNA MARÍA", "mail.example.test", 2525), "the inherited server, now the user's own"
    assert listed["forms"][0]["from"] == "Büro <b@example.test>" and listed["models"][0]["mode"] == "not_configured"
    shown = mailroom.run("account", "list").out
    assert "user ANNA MARÍA" in shown and "form INV" in shown


def test_impossible_settings_are_refused_all_at_once(erp, mailroom):
    done = mailroom.run("account", "set", "general", "mode=carrier pigeon", "port=70000", "colour=red", "from=nobody", check=False)
    assert done.code == 1
    for words in ("general.mode", "general.port", "general.colour", "general.from", '"carrier pigeon" is none of'):
        assert words in done.err
    done = mailroom.run("account", "set", "general", "mode", check=False)
    assert done.code == 2 and "name=value" in done.err
    assert mailroom.json("account", "list")["general"]["mode"] == "not_configured"


def test_saving_another_account_or_server_drops_the_password_and_says_so(erp, mailroom):
    erp.general(mode="smtp", server="mail.example.test", account="erp@example.test")
    for setting in ("account=other@example.test", "server=mail2.example.test"):
        erp.password("general", secret="a word")
        assert has_password(mailroom)
        told = mailroom.run("account", "set", "general", setting)
        assert "password" in told.out and "enter it again" in told.out
        assert not has_password(mailroom)
    erp.password("general", secret="a word")
    mailroom.run("account", "set", "general", "from=x@example.test")
    assert has_password(mailroom)
