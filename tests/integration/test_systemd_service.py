"""The unit under a real systemd: as closed as it is, it must still reach its key, its database, its servers and its folders."""

import os
import pwd
import shutil
from pathlib import Path

import pytest

from erp import Erp, letter
from machine import Unavailable, wait_until
from misbehaving import MisbehavingServer
from systemd_manager import SystemdManager

pytestmark = pytest.mark.skipif(not os.environ.get("MAILROOM_MORE_SERVERS"), reason="boots a systemd; MAILROOM_MORE_SERVERS=1 runs it")

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "mailroom.service"
USER = "mail"  # an account that every Debian has, instead of the package's
GIVEN = Path("/run/given")


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), users={"anna@example.test": "secret"}) as running:
        yield running


@pytest.fixture
def systemd():
    with SystemdManager() as manager:
        yield manager


class Installed:
    """The unit as it is but for its paths and its user, with times that a test can wait for."""

    def __init__(self, systemd, mailroom, database):
        self.systemd, self.mailroom, self.database = systemd, mailroom, database
        text = UNIT.read_text()
        for there, here in {"/usr/bin/mailroom ": f"{mailroom.executable} ", "/etc/mailroom/": f"{GIVEN}/", "=mailroom\nGroup=mailroom\n":
                            f"={USER}\nGroup={USER}\n"}.items():
            assert there in text
            text = text.replace(there, here)
        (systemd.units / "mailroom.service").write_text(text)
        folder = systemd.units / "mailroom.service.d"
        folder.mkdir()
        # The leak check of a sanitised build traces itself, which the unit forbids.
        (folder / "test.conf").write_text("[Service]\nRestartSec=1\nWatchdogSec=20\nStandardError=append:/run/given/errors\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n")
        shutil.copy(mailroom.settings["tls"]["ca_file"], systemd.directory / "ca.pem")
        self.log_file = "/var/log/mailroom/mailroom.log"
        mailroom.configure("tls", ca_file=str(GIVEN / "ca.pem")).configure("log", file=self.log_file)
        mailroom.configure("secrets", key_file=str(GIVEN / "key"))  # root's: what the service reads is handed to it

    def write(self, connection=None):
        if connection:
            self.mailroom.configure("database", connection=connection)
        given = self.systemd.directory / "mailroom.toml"
        shutil.copy(self.mailroom.write_settings(), given)
        os.chown(given, 0, pwd.getpwnam(USER).pw_gid)
        given.chmod(0o640)

    def give_key(self):
        shutil.copy(self.mailroom.key_file, self.systemd.directory / "key")
        (self.systemd.directory / "key").chmod(0o400)

    def log(self):
        path = self.systemd.root(self.log_file)
        return path.read_text() if path.exists() else ""

    def status(self):
        return self.systemd.property("mailroom", "StatusText")

    def worker(self, how):
        """A connection string of the service's own login, by TCP or by the socket, where it is known by its user's name."""
        cluster = self.database.cluster
        if how == "tcp":
            return cluster.dsn("worker_" + self.database.name,
                               cluster.create_role("worker_" + self.database.name, "IN ROLE mailroom_worker"), self.database.name)
        if not cluster.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{USER}'"):
            cluster.create_role(USER)
        cluster.execute(f"GRANT mailroom_worker TO {USER}")
        rules = cluster.data / "pg_hba.conf"
        rule = f"local all {USER} peer\n"
        if not (text := rules.read_text()).startswith(rule):
            rules.write_text(rule + text)
            cluster.restart()
        cluster.directory.chmod(0o711)
        self.systemd.bind(cluster.directory, "sockets")  # what is in /tmp the unit does not see
        return f"host={GIVEN}/sockets port={cluster.port} user={USER} dbname={self.database.name}"


@pytest.fixture
def installed(systemd, mailroom, database, erp):
    if not mailroom.executable.is_relative_to("/tmp"):
        return Installed(systemd, mailroom, database)
    raise Unavailable("the build is in /tmp, which the unit does not see")


@pytest.mark.parametrize("how", ["tcp", "socket"])
def test_the_unit_starts_sends_reloads_and_stops(systemd, installed, mailroom, erp, server, how):
    owner = mailroom.settings["database"]["connection"]
    installed.give_key()
    installed.write(installed.worker(how))
    mailroom.configure("database", connection=owner)
    shutil.copy(mailroom.key_file, systemd.directory / "key-for-commands")
    mailroom.configure("secrets", key_file=str(systemd.directory / "key-for-commands"))
    erp.user("ANNA", mode="smtp", server="localhost", port=server.port, account="anna@example.test", email="anna@example.test")
    mailroom.configure("log", file="")
    erp.password("user", "ANNA", secret="secret")
    systemd.systemctl("start", "mailroom")
    wait_until(lambda: installed.status() == "idle", 30, "its status")
    uid = erp.enqueue(user="ANNA", **letter())
    erp.wait_for(uid, "sent", timeout=60)
    given = systemd.directory / "mailroom.toml"
    given.write_text(given.read_text().replace('level = "info"', 'level = "debug"'))
    systemd.systemctl("reload", "mailroom")
    wait_until(lambda: "reloaded the settings" in installed.log(), 30, "its reload")
    wait_until(lambda: systemd.property("mailroom", "ActiveState") == "active", 30, "the end of the reload")
    systemd.systemctl("stop", "mailroom")
    assert systemd.property("mailroom", "Result") == "success" and "stopped: 1 sent" in installed.log()
    assert systemd.root("/var/lib/mailroom").stat().st_mode & 0o777 == 0o700
    assert systemd.root("/var/log/mailroom").stat().st_uid == pwd.getpwnam(USER).pw_uid


def test_a_service_that_hangs_is_started_anew(systemd, installed, mailroom):
    del mailroom.settings["secrets"]
    installed.write(installed.worker("tcp"))
    systemd.systemctl("start", "mailroom")
    assert "no sealing key" in installed.log(), "the unit starts without the file, too"
    systemd.systemctl("kill", "--signal=STOP", "mailroom")
    wait_until(lambda: systemd.property("mailroom", "NRestarts") == "1", 60, "the watchdog")
    wait_until(lambda: systemd.property("mailroom", "ActiveState") == "active", 60, "its next start")


def test_wrong_settings_are_not_tried_again(systemd, installed, mailroom):
    mailroom.configure("dispatcher", conections=1)
    installed.write(installed.worker("tcp"))
    systemd.systemctl("start", "mailroom", check=False)
    assert systemd.property("mailroom", "ActiveState") == "failed"
    assert (systemd.property("mailroom", "ExecMainStatus"), systemd.property("mailroom", "NRestarts")) == ("2", "0")


def test_a_key_that_is_not_there_yet_is_waited_for(systemd, installed):
    installed.write(installed.worker("tcp"))
    systemd.systemctl("start", "mailroom", check=False)
    wait_until(lambda: systemd.property("mailroom", "NRestarts") != "0", 60, "its next start")
    installed.give_key()
    wait_until(lambda: systemd.property("mailroom", "ActiveState") == "active", 60, "its start with the key")
