"""What the daemon's log says, where it goes, and that no mail waits for it or is lost with it."""

import contextlib
import json
import os
import re
import shlex
import socket

import pytest

from erp import Erp, letter
from machine import private_mount, wait_until
from misbehaving import MisbehavingServer
from smtp_script import Reply, Script

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
LEVELS = {"debug", "info", "warning", "error"}


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def server(certificates, script):
    with MisbehavingServer(certificates.server(), script, require_login=False) as running:
        yield running


@pytest.fixture
def log_file(mailroom):
    file = mailroom.directory / "mailroom.log"
    mailroom.configure("log", file=str(file))
    return file


@contextlib.contextmanager
def running(mailroom, through=()):
    """A daemon whose log is not on standard error: it is stopped in the end, and then all its lines are written."""
    daemon = mailroom.start(ready="", through=through)
    yield daemon
    assert daemon.stop() == 0, daemon.log()


def lines(file):
    """(level, id, {field: value}, text) of each line in text."""
    for line in file.read_text().splitlines():
        time, level, name, rest = line.split(" ", 3)
        assert TIME.match(time) and level in LEVELS and name.endswith(":"), line
        words = [word for word in shlex.split(rest) if re.match(r"\w+=", word)] if "uid=" in rest else []
        yield level, name[:-1], dict(word.split("=", 1) for word in words), rest


def outcome(file, uid):
    [found] = [(name, fields) for _, name, fields, _ in lines(file) if fields.get("uid") == uid]
    return found


# ---------------------------------------------------------------- what it says

def test_each_outcome_is_one_line_and_the_outcome_is_its_id(erp, mailroom, script, server, log_file):
    script.on("rcpt", Reply("550 5.1.1 nobody of that name"), argument="nobody@")
    script.on("rcpt", Reply("451 4.3.2 come back later"), argument="later@")
    erp.relay("ANNA", server)
    with running(mailroom):
        sent, partly, failed = (erp.enqueue(user="ANNA", **letter(to)) for to in (
            "bruno@one.test", ["bruno@one.test", "nobody@one.test"], "nobody@one.test"))
        held = erp.enqueue(user="NOBODY", **letter())
        for uid, state in ((sent, "sent"), (partly, "partly_sent"), (failed, "failed")):
            erp.wait_for(uid, state)
        deferred = erp.enqueue(user="ANNA", **letter("later@one.test"))  # when none is on its way whose success would have it tried again
        erp.wait_for(deferred, "deferred")
        erp.wait_for(held, "held", "no_user")
    assert [outcome(log_file, uid)[0] for uid in (sent, partly, failed, deferred, held)] == ["sent", "partly_sent", "failed", "deferred", "held"]

    _, fields = outcome(log_file, sent)
    assert list(fields) == ["uid", "category", "row", "user", "account", "from", "recipients", "server", "reply", "waited_ms", "took_ms"]
    assert (fields["category"], fields["user"], fields["from"], fields["recipients"]) == ("standard", "ANNA", "anna@example.test", "1")
    assert fields["server"] == f"localhost:{server.port}" and fields["reply"] == "250 2.0.0 taken"
    assert int(fields["waited_ms"]) < 30_000 and int(fields["took_ms"]) < 30_000
    assert outcome(log_file, partly)[1]["refused"] == "nobody@one.test"
    assert outcome(log_file, failed)[1]["reply"] == "550 5.1.1 nobody of that name"
    assert outcome(log_file, deferred)[1]["note"].startswith("next attempt in ")
    assert "no_user" in outcome(log_file, held)[1]["note"] or "NOBODY" in outcome(log_file, held)[1]["note"]
    assert {"started", "ready", "stopping", "stopped"} <= {name for _, name, _, _ in lines(log_file)}


def test_what_a_server_says_cannot_forge_a_line_or_act_on_a_terminal(erp, mailroom, script, server, log_file):
    script.on("rcpt", Reply(b"550 5.1.1 \x1b[2J\xe2\x80\xaegpj.exe\x85 sent: uid=forged \xff\""))
    erp.relay("ANNA", server)
    with running(mailroom):
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "failed")
    octets = log_file.read_bytes()
    assert octets.decode() and not any(bad in octets for bad in (b"\x1b", "\u202e".encode(), b"\x85", b"uid=forged\n"))
    assert outcome(log_file, uid)[1]["reply"] == '550 5.1.1 ?[2J?gpj.exe? sent: uid=forged ?"'


@pytest.mark.parametrize("told", [False, True])
def test_subjects_are_logged_where_the_settings_say_so_and_bodies_never(erp, mailroom, server, log_file, told):
    mailroom.configure("log", level="debug", **({"subjects": True} if told else {}))
    erp.relay("ANNA", server)
    with running(mailroom):
        uid = erp.enqueue(user="ANNA", to="bruno@one.test", subject="Dismissal of Mr Škoda", text="CONFIDENTIAL-BODY\n")
        erp.wait_for(uid, "sent")
    assert outcome(log_file, uid)[1].get("subject") == ("Dismissal of Mr Škoda" if told else None)
    assert "CONFIDENTIAL-BODY" not in log_file.read_text()


def test_json_has_a_line_for_each_and_numbers_are_numbers(erp, mailroom, server, log_file):
    mailroom.configure("log", format="json")
    erp.relay("ANNA", server)
    with running(mailroom):
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "sent")
    told = [json.loads(line) for line in log_file.read_text().splitlines()]
    assert all(TIME.match(line["time"]) and line["level"] in LEVELS and line["id"] for line in told)
    [sent] = [line for line in told if line.get("uid") == uid]
    assert sent["id"] == "sent" and sent["recipients"] == 1 and sent["reply"] == "250 2.0.0 taken" and sent["took_ms"] >= 0
    assert [line["text"] for line in told if line["id"] == "started"]


# ---------------------------------------------------------------- where it goes

@pytest.fixture
def journal(mailroom):
    """A socket where the journal's would be, for who runs through its command: (socket, command)."""
    folder = mailroom.directory / "run" / "systemd" / "journal"
    folder.mkdir(parents=True)
    through = private_mount(f"--bind '{mailroom.directory / 'run'}' /run")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(folder / "socket"))
        receiver.settimeout(20)
        yield receiver, through


def entries(receiver, last):
    """All entries up to the one whose event is `last`, as {field: value}."""
    found = []
    while not found or found[-1].get("MAILROOM_EVENT") != last:
        fields = receiver.recv(65_536).decode().splitlines()
        found.append(dict(field.split("=", 1) for field in fields))
    return found


@pytest.mark.parametrize("target", ["journal", "auto"])
def test_the_journal_gets_each_line_in_fields(erp, mailroom, server, journal, target):
    receiver, through = journal
    mailroom.configure("log", target=target, subjects=True)
    erp.relay("ANNA", server)
    output = mailroom.directory / "serve-1.log"  # what standard error is: systemd says that it is the journal's
    output.touch()
    status = os.stat(output)
    with running(mailroom, through=[*through, "env", f"JOURNAL_STREAM={status.st_dev}:{status.st_ino}"]) as daemon:
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "sent")
        told = entries(receiver, "sent")
        assert daemon.log() == "", "nothing is said twice"
    assert {line["SYSLOG_IDENTIFIER"] for line in told} == {"mailroom"}
    assert [line for line in told if line["MAILROOM_EVENT"] == "started" and line["PRIORITY"] == "6"]
    sent = told[-1]
    assert sent["MESSAGE"].startswith(f"sent: uid={uid} ")
    assert (sent["MAILROOM_UID"], sent["MAILROOM_CATEGORY"], sent["MAILROOM_FROM"]) == (uid, "standard", "anna@example.test")
    assert (sent["MAILROOM_RECIPIENTS"], sent["MAILROOM_REPLY"], sent["MAILROOM_SUBJECT"]) == ("1", "250 2.0.0 taken", "a letter")
    assert sent["MAILROOM_SERVER"] == f"localhost:{server.port}" and sent["MAILROOM_ROW"]
    assert not any(name.startswith("CODE_") for line in told for name in line)


def test_a_standard_error_that_is_not_the_journals_gets_the_lines_itself(mailroom, erp, journal):
    receiver, through = journal
    daemon = mailroom.start(through=[*through, "env", "JOURNAL_STREAM=1:1"])
    assert daemon.stop() == 0
    receiver.setblocking(False)
    with pytest.raises(BlockingIOError):
        receiver.recv(65_536)


def test_a_journal_that_is_not_there_is_told_before_anything_begins(mailroom, erp):
    empty = mailroom.directory / "empty"
    empty.mkdir()
    mailroom.configure("log", target="journal")
    through = private_mount(f"--bind '{empty}' /run")
    daemon = mailroom.start(ready="there is no journal here", through=through)
    assert daemon.wait() == 1


def test_a_file_that_is_full_is_followed_by_the_next_and_no_line_is_lost_or_cut(erp, mailroom, server, log_file):
    mailroom.configure("log", max_size="4KiB", keep=3)
    erp.relay("ANNA", server)
    with running(mailroom):
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 20)
        erp.wait_for(uids, "sent")
    files = sorted(log_file.parent.glob("mailroom.log*"))
    assert [file.name for file in files][:2] == ["mailroom.log", "mailroom.log.1"] and len(files) <= 4
    told = [fields["uid"] for file in files for _, name, fields, _ in lines(file) if name == "sent"]
    assert sorted(told) == sorted(uids)


# ---------------------------------------------------------------- when it cannot be written

def test_a_full_disk_stops_no_mail_and_is_told_once_and_again_when_there_is_room(erp, mailroom, server):
    disk = mailroom.directory / "disk"
    disk.mkdir()
    file = disk / "mailroom.log"
    mailroom.configure("log", file=str(file))
    erp.relay("ANNA", server)
    with running(mailroom, through=private_mount(f"-t tmpfs -o size=64k none '{disk}'")) as daemon:
        seen = f"/proc/{daemon.process.pid}/root{disk}/"
        wait_until(lambda: os.path.exists(seen + "mailroom.log"), 30, "the log")
        with open(seen + "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 512)
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 30)  # more than what is left of the file's last page
        erp.wait_for(uids, "sent")
        daemon.wait_for_line(" error log_failed: ")
        assert "No space left on device" in daemon.log()
        os.unlink(seen + "filler")
        erp.wait_for(erp.enqueue(user="ANNA", **letter()), "sent")
        daemon.wait_for_line(" warning log_resumed: ")
        written = open(seen + "mailroom.log").read()
    assert daemon.log().count("log_failed") == 1 and daemon.log().count("log_resumed") == 1
    [resumed] = [line for line in written.splitlines() if " log_resumed: " in line]
    lost = int(re.search(r"(\d+) lines", resumed)[1])
    told = {uid for uid in uids if f"sent: uid={uid} " in written}
    assert lost >= len(uids) - len(told) > 0


def test_a_log_file_that_cannot_be_opened_is_named_at_the_start(mailroom, erp):
    mailroom.configure("log", file="/nonexistent/mailroom.log")
    done = mailroom.run("serve", check=False)
    assert done.code == 1 and "the log file /nonexistent/mailroom.log: No such file or directory" in done.err
