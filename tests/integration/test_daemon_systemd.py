"""What the daemon tells systemd, and what it does when systemd has it read its settings again or stop."""

import shutil
import signal
import threading
import time

import pytest

from certificates import Certificates
from erp import Erp, letter
from frozen_threads import FrozenThreads
from machine import private_directory, wait_until
from misbehaving import MisbehavingServer
from notify_socket import NotifySocket
from smtp_script import Hold, Script


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
def manager(mailroom):
    with NotifySocket() as listening:
        mailroom.environment = listening.environment
        yield listening


def reload(mailroom, daemon):
    mailroom.write_settings()
    daemon.process.send_signal(signal.SIGHUP)


@pytest.mark.parametrize("name", ["a path", "an abstract name"])
def test_it_is_ready_once_it_is_enrolled_and_says_when_it_stops(erp, mailroom, name):
    mailroom.configure("dispatcher", stop_limit="40s")
    path = private_directory("notify") / "socket" if name == "a path" else None
    with NotifySocket(path) as manager:
        mailroom.environment = manager.environment
        with mailroom.daemon():
            ready = manager.wait_for("READY=1")
            assert manager.heard[:ready].count("STATUS=idle") == 1, manager.heard
            assert not [line for line in manager.hear_all() if line.startswith(("STOPPING", "WATCHDOG"))]
        heard = manager.hear_all()
        stopping = heard.index("STOPPING=1")
        limit = int(heard[stopping + 1].removeprefix("EXTEND_TIMEOUT_USEC="))
        assert 40_000_000 < limit < 90_000_000, "all of the stop, and no more than the unit gives by itself"
        assert heard.count("READY=1") == 1 and any(line.startswith("STATUS=stopping") for line in heard[stopping:])


def test_a_daemon_that_waits_for_its_database_has_started_and_says_so(erp, mailroom, database, manager):
    database.cluster.stop()
    try:
        daemon = mailroom.start(ready="nothing new is sent")
        ready = manager.wait_for("READY=1", timeout=60)
        status = [line for line in manager.heard[:ready] if line.startswith("STATUS=")][-1]
        assert status.startswith("STATUS=waits for the database: cannot connect to the database"), manager.heard
    finally:
        database.cluster.start()
    manager.wait_for("STATUS=idle", after=ready)
    assert daemon.stop() == 0
    assert manager.hear_all().count("READY=1") == 1, manager.heard


def test_its_status_says_what_it_does(erp, mailroom, script, server, manager):
    answer = threading.Event()
    script.on("dot", Hold(answer))
    mailroom.configure("dispatcher", connections=4, connections_per_account=2)
    erp.relay("ANNA", server)
    with mailroom.daemon():
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 10)
        manager.wait_for("STATUS=sending: 8 waiting here, 2 connections, ")
        answer.set()
        erp.wait_for(uids, "sent")
        idle = manager.wait_for("STATUS=idle", after=len(manager.heard))
        erp.database.rows("UPDATE mailroom.installation SET name = 'production'")  # restored under a running daemon
        manager.wait_for('STATUS=not serving: the database belongs to the installation "production"', after=idle)
        told = len(manager.hear_all())
        erp.database.rows("UPDATE mailroom.installation SET name = 'test'")
        manager.wait_for("STATUS=idle", after=told)


def test_a_manager_that_does_not_listen_keeps_no_mail_waiting(erp, mailroom, server, manager):
    manager.fill()
    erp.relay("ANNA", server)
    with mailroom.daemon():
        erp.wait_for(erp.enqueue(user="ANNA", **letter()), "sent")
        manager.wait_for("READY=1")
        manager.wait_for("STATUS=idle")


# ---- the watchdog

WATCHDOG = 6  # seconds


@pytest.fixture
def watching(mailroom):
    mailroom.configure("dispatcher", poll="200ms", lease="4s")
    with NotifySocket(watchdog=WATCHDOG) as listening:
        mailroom.environment = listening.environment
        yield listening


def falls_silent(watching):
    """Waits until a systemd would take it for dead; how much was heard before."""
    end = time.monotonic() + 10 * WATCHDOG
    while time.monotonic() < end:
        told = len(watching.hear_all())
        silent_from = time.monotonic()
        while time.monotonic() < silent_from + WATCHDOG:
            watching.hear(0.1)
        if "WATCHDOG=1" not in watching.heard[told:]:
            return told
    raise AssertionError(f"the watchdog is told all the time: {watching.heard[-20:]}")


@pytest.mark.parametrize("hangs", ["the thread that carries mail", "the connections to the database"])
def test_the_watchdog_hears_of_it_while_work_gets_on_and_only_then(erp, mailroom, watching, hangs):
    with mailroom.daemon() as daemon:
        watching.wait_for("WATCHDOG=1", count=4)
        pid = daemon.process.pid
        carries_mail = hangs == "the thread that carries mail"
        with FrozenThreads(pid, lambda thread: (thread == pid) == carries_mail):
            told = falls_silent(watching)
        watching.wait_for("WATCHDOG=1", after=told, count=3)
        if not carries_mail:
            daemon.wait_for_line("the watchdog is told no more")


def test_a_database_that_is_away_is_nothing_for_the_watchdog(erp, mailroom, database, watching):
    """Not even with mail at hand that only the database can say where to hold."""
    with mailroom.daemon() as daemon:
        uids = erp.enqueue_many([{"user": f"NOBODY {number}", **letter()} for number in range(250)])
        erp.wait_for(uids[:1], "held", "no_user")
        database.cluster.stop_immediately()
        try:
            watching.wait_for("STATUS=waits for the database: ")
            watching.wait_for("WATCHDOG=1", after=len(watching.heard), count=9, timeout=60)  # twice as long as it may be silent
            assert "no more" not in daemon.log()
        finally:
            database.cluster.start()
        erp.wait_for(uids, "held", "no_user", timeout=60)


# ---- reload

def test_a_reload_takes_over_what_it_can_and_names_the_rest(erp, mailroom, manager):
    with mailroom.daemon() as daemon:
        manager.wait_for("READY=1")
        mailroom.configure("log", level="debug").configure("smtp", idle="1s").configure("dispatcher", lease="30s")
        reload(mailroom, daemon)
        daemon.wait_for_line("changed: [smtp] idle, [log] level")
        daemon.wait_for_line("used after a restart only: [dispatcher] lease")
        reloading = manager.wait_for("RELOADING=1")
        assert int(manager.heard[reloading + 1].removeprefix("MONOTONIC_USEC=")) > 0
        again = manager.wait_for("READY=1", after=reloading)
        reload(mailroom, daemon)  # what waits for a restart is named again, the rest is as it is
        daemon.wait_for_line("changed: nothing")
        daemon.wait_for_line("used after a restart only: [dispatcher] lease", count=2)
        manager.wait_for("READY=1", after=again + 1)


def test_a_reload_that_finds_anything_wrong_changes_nothing(erp, mailroom, server, manager):
    erp.relay("ANNA", server)
    good, ca_file = dict(mailroom.settings["dispatcher"]), mailroom.settings["tls"]["ca_file"]
    with mailroom.daemon() as daemon:
        manager.wait_for("READY=1")
        mailroom.configure("log", level="error").configure("dispatcher", conections=3, poll="1 fortnight")
        reload(mailroom, daemon)
        daemon.wait_for_line("reload refused, all settings stay as they were")
        [line] = [line for line in daemon.log().splitlines() if "reload refused" in line]
        assert "did you mean connections?" in line and "[dispatcher] poll: must be a time" in line
        refused = manager.wait_for("STATUS=idle; the last reload was refused: ")
        manager.wait_for("READY=1", after=refused)
        mailroom.settings["dispatcher"] = good
        mailroom.configure("tls", ca_file="/nowhere/ca.pem").configure("secrets", key_file="/nowhere/key")
        reload(mailroom, daemon)
        daemon.wait_for_line("reload refused", count=2)
        [_, line] = [line for line in daemon.log().splitlines() if "reload refused" in line]
        assert "/nowhere/ca.pem" in line and "/nowhere/key" in line
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "sent")
        daemon.wait_for_line(uid)  # the level is still the old one
        mailroom.configure("tls", ca_file=ca_file).configure("secrets", key_file=str(mailroom.key_file)).configure("log", level="info")
        told = len(manager.hear_all())
        reload(mailroom, daemon)
        manager.wait_for("READY=1", after=told)
        assert manager.status == "idle"


def test_authorities_that_were_renewed_count_from_the_reload_on(erp, mailroom, certificates, server):
    others, trusted = Certificates(), mailroom.directory / "ca.pem"
    shutil.copy(others.ca_file, trusted)
    mailroom.configure("tls", ca_file=str(trusted))
    erp.relay("ANNA", server)
    with mailroom.daemon() as daemon:
        first = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(first, "deferred")
        shutil.copy(certificates.ca_file, trusted)
        reload(mailroom, daemon)
        daemon.wait_for_line("reloaded the settings")
        erp.hurry_until(first, "sent")
        assert server.seen.open_connections == 1, "kept for the next message"
        shutil.copy(others.ca_file, trusted)
        reload(mailroom, daemon)
        daemon.wait_for_line("reloaded the settings", count=2)
        second = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(second, "deferred")
        assert len(server.seen.messages) == 1, "a session by authorities of before is of no more use"
        assert "not trusted" in erp.story(second)["events"][-1]["reply"]


def test_reloads_under_load_lose_nothing(erp, mailroom, server, manager):
    erp.relay("ANNA", server)
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 600)
    with mailroom.daemon() as daemon:
        for turn in range(1, 21):
            server.wait_for(min(25 * turn, 500), timeout=60)
            mailroom.configure("dispatcher", connections=[3, 16][turn % 2]).configure("smtp", idle=["0s", "15s"][turn % 2])
            reload(mailroom, daemon)
            daemon.wait_for_line("reloaded the settings", count=turn)
        erp.wait_for(uids, "sent", timeout=120)
        wait_until(lambda: manager.hear_all().count("READY=1") == 21, 30, "the end of each reload")
    assert len(server.seen.messages) == len(uids)
    assert erp.database.value("SELECT sum(attempts) FROM mailroom.log") == len(uids), "no reload cost a try"


def test_fewer_connections_after_a_reload_are_kept_to(erp, mailroom, script, server, manager):
    first, rest = threading.Event(), threading.Event()
    script.on("dot", Hold(first), times=4)
    script.on("dot", Hold(rest))
    mailroom.configure("dispatcher", connections=4, connections_per_account=4)
    erp.relay("ANNA", server)
    with mailroom.daemon() as daemon:
        uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 12)
        server.wait_for(4)
        mailroom.configure("dispatcher", connections=1, connections_per_account=1)
        reload(mailroom, daemon)
        daemon.wait_for_line("changed: [dispatcher] connections, [dispatcher] connections_per_account")
        first.set()
        manager.wait_for("STATUS=sending: 7 waiting here, 1 connection, ")
        rest.set()
        erp.wait_for(uids, "sent")


# ---- stop

def test_a_stop_that_may_take_longer_than_the_unit_says_asks_for_the_time(erp, mailroom, script, server, manager):
    answer = threading.Event()
    script.on("dot", Hold(answer))
    mailroom.configure("dispatcher", stop_limit="20m")
    erp.relay("ANNA", server)
    daemon = mailroom.start()
    uid = erp.enqueue(user="ANNA", **letter())
    server.wait_for(1)
    daemon.process.send_signal(signal.SIGTERM)
    at = manager.wait_for("STOPPING=1")
    assert int(manager.heard[at + 1].removeprefix("EXTEND_TIMEOUT_USEC=")) > 20 * 60 * 1_000_000
    manager.wait_for("STATUS=stopping: awaits replies on 1 connection", after=at)
    reload(mailroom, daemon)  # too late, and no harm
    answer.set()
    assert daemon.wait() == 0
    assert erp.states() == {uid: ("sent", "")} and "RELOADING=1" not in manager.hear_all()
