"""The packages: what is in them, and what becomes of a machine that installs, upgrades and removes them. The machine is a
private copy of this one, with a systemd of its own. $MAILROOM_PACKAGES is the folder with both (./dev package).
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from erp import Erp, letter
from machine import Unavailable, private_directory, program
from mailroom_program import toml
from misbehaving import MisbehavingServer
from private_system import PrivateSystem
from smtp_script import Script, Silence

SETTINGS = "/etc/mailroom/mailroom.toml"
HIGHER = "99.0.0"

FILES = {  # path: mode, both as they are in either package
    "/usr/bin/mailroom": "-rwxr-xr-x",
    "/usr/lib/systemd/system/mailroom.service": "-rw-r--r--",
    "/usr/lib/systemd/system/mailroom@.service": "-rw-r--r--",
    "/usr/lib/sysusers.d/mailroom.conf": "-rw-r--r--",
    "/usr/lib/tmpfiles.d/mailroom.conf": "-rw-r--r--",
    "/usr/share/bash-completion/completions/mailroom": "-rw-r--r--",
    "/usr/share/man/man1/mailroom.1.gz": "-rw-r--r--",
    "/usr/share/man/man5/mailroom.toml.5.gz": "-rw-r--r--",
    "/usr/share/doc/mailroom/README.md": "-rw-r--r--",
    "/usr/share/doc/mailroom/CHANGELOG.md": "-rw-r--r--",
    "/usr/share/doc/mailroom/copyright": "-rw-r--r--",
    "/usr/share/doc/mailroom/docs/configuration.md": "-rw-r--r--",
    "/usr/share/doc/mailroom/packaging/README.md": "-rw-r--r--",
    "/usr/share/doc/mailroom/examples/mailroom.toml": "-rw-r--r--",
    "/etc/mailroom": "drwxr-x---",
}


def built(kind):
    folder = os.environ.get("MAILROOM_PACKAGES")
    found = sorted(Path(folder).resolve().glob(f"mailroom[-_]0*.{kind}")) if folder else []
    if not found:
        pytest.skip("MAILROOM_PACKAGES does not say where the packages are (./dev package; ./dev test --all does both)")
    return found[-1]


@pytest.fixture(scope="module")
def deb():
    return built("deb")


@pytest.fixture(scope="module")
def rpm():
    program("rpm", "rpm")
    return built("rpm")


def pack(build_directory, kind, folder, *options):
    """One more package of the same build."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [program("cpack", "cmake"), "--config", build_directory / "CPackConfig.cmake", "-G", kind.upper(), "-B", folder, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob(f"*.{kind}"))


@pytest.fixture(scope="module")
def shared(build_directory, deb):
    """A folder with the package as it is and a higher version of it, each of both kinds."""
    program("rpmbuild", "rpm")
    folder = private_directory("packages")
    for kind in ("deb", "rpm"):
        (folder / f"now.{kind}").write_bytes(built(kind).read_bytes())
        (folder / f"higher.{kind}").write_bytes(pack(build_directory, kind, private_directory("higher"), "-R", HIGHER).read_bytes())
    return folder


@pytest.fixture
def system(shared):
    with PrivateSystem(shared) as private:
        if private.run("getent", "passwd", "mailroom", check=False).code == 0:
            raise Unavailable("this machine has a user mailroom: is mailroom installed here?")
        private.run("rm", "-f", "/var/lib/man-db/auto-update")  # no index of all manual pages after each step
        yield private
        print(private.run("journalctl", "--no-pager", "--unit=mailroom*", check=False).out)  # shown when the test has failed


def mode_and_owner(system, path):
    return system.run("stat", "-c", "%A %U %G", path).out.strip()


def exists(system, path):
    return system.run("test", "-e", path, check=False).code == 0


# ---------------------------------------------------------------- what is in them

def test_the_deb_holds_all_that_belongs_to_it_as_roots(deb):
    listing = subprocess.run(["dpkg-deb", "-c", deb], capture_output=True, text=True, check=True).stdout
    found = {line.split()[5].removeprefix(".").rstrip("/"): line.split()[:2] for line in listing.splitlines()}
    for path, mode in FILES.items():
        assert found.get(path) == [mode, "root/root"], path
    assert {owner for _, owner in found.values()} == {"root/root"}
    assert not any(path.startswith("/etc/mailroom/") for path in found), "settings are the administrator's"


def test_the_deb_depends_on_the_libraries_that_it_uses(deb):
    field = subprocess.run(["dpkg-deb", "-f", deb], capture_output=True, text=True, check=True).stdout
    depends = re.search(r"^Depends: (.*)$", field, re.M)[1]
    for needed in ("libc6 (>=", "libpq5", "libssl3", "libidn2-0", "systemd | systemd-standalone-sysusers"):
        assert needed in depends
    assert re.search(r"^Recommends: ca-certificates$", field, re.M) and re.search(r"^Suggests: .*\bpostgresql\b", field, re.M)


def test_the_deb_has_no_errors_for_lintian(deb):
    done = subprocess.run([program("lintian", "lintian"), "--fail-on", "error", "--allow-root", "--no-cfg", deb], capture_output=True, text=True,
                          timeout=300)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_the_same_build_makes_the_same_package(build_directory, shared, kind):
    again = pack(build_directory, kind, private_directory("again"), "-R", HIGHER)
    assert again.read_bytes() == (shared / f"higher.{kind}").read_bytes()


def test_the_rpm_holds_the_same_as_the_deb(deb, rpm):
    def query(*options):
        return subprocess.run(["rpm", "-qp", *options, rpm], capture_output=True, text=True, check=True).stdout

    listing = [line.split() for line in query("--qf", "[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]").splitlines()]
    found = {path: (mode, owner) for mode, owner, path in listing}
    for path, mode in FILES.items():
        assert found.get(path) == (mode, "root/mailroom" if path == "/etc/mailroom" else "root/root"), path
    debs = subprocess.run(["dpkg-deb", "-c", deb], capture_output=True, text=True, check=True).stdout
    files = {line.split()[5].removeprefix(".") for line in debs.splitlines() if not line.startswith("d")}
    assert {path for path, (mode, _) in found.items() if not mode.startswith("d")} == {
        path for path in files if not re.search(r"/lintian/|changelog\.Debian", path)}
    assert "libpq.so.5()(64bit)" in query("--requires")


# ---------------------------------------------------------------- a machine without a running systemd

def test_it_installs_upgrades_and_goes_where_no_systemd_runs(system):
    def dpkg(*arguments):
        return system.run("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec dpkg "$@"', "sh", *arguments)

    said = dpkg("-i", "/mnt/now.deb").out
    assert "it is not started" in said and "mailroom config new-key" in said
    assert "mailroom" in system.run("mailroom", "--version").out
    system.write(SETTINGS, "# mine\n")
    assert "it is not started" not in dpkg("-i", "/mnt/higher.deb").out
    assert HIGHER in system.run("dpkg-query", "-W", "mailroom").out
    dpkg("-r", "mailroom")
    assert not exists(system, "/usr/bin/mailroom") and system.run("cat", SETTINGS).out == "# mine\n"
    dpkg("-P", "mailroom")
    assert not exists(system, "/etc/mailroom")


# ---------------------------------------------------------------- a machine with systemd

@pytest.fixture
def script():
    return Script()


@pytest.fixture
def server(certificates, script):
    with MisbehavingServer(certificates.server(), script, require_login=False) as running:
        yield running


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


def write_settings(system, mailroom, certificates):
    """As an administrator would, after the installation."""
    system.write("/etc/mailroom/ca.pem", Path(certificates.ca_file).read_text())
    settings = {**mailroom.settings, "tls": {"ca_file": "/etc/mailroom/ca.pem"}, "secrets": {"key_file": "/etc/mailroom/key"},
                "dispatcher": {"connections_per_account": 1}}
    system.write(SETTINGS, toml(settings))
    system.shell(f"chgrp mailroom {SETTINGS} && chmod 0640 {SETTINGS} && chmod 0644 /etc/mailroom/ca.pem")
    system.run("mailroom", "config", "new-key", "/etc/mailroom/key")


def test_a_fresh_installation_is_complete_and_starts_nothing(system):
    said = system.run("dpkg", "-i", "/mnt/now.deb").out
    assert "getting-started.md" in said
    assert system.systemctl("is-enabled", "mailroom") == "enabled"
    assert system.systemctl("is-active", "mailroom", check=False) == "inactive"
    assert system.run("getent", "passwd", "mailroom").out.strip().endswith(":/usr/sbin/nologin")
    assert mode_and_owner(system, "/etc/mailroom") == "drwxr-x--- root mailroom"
    assert mode_and_owner(system, "/var/lib/mailroom").endswith("mailroom mailroom")
    assert system.run("systemd-analyze", "verify", "mailroom.service", "mailroom@company.service").out == ""
    for page in ("mailroom", "mailroom.toml"):
        assert "mailroom" in system.run("man", "--warnings", page).out
    assert system.shell("source /usr/share/bash-completion/completions/mailroom && complete -p mailroom").out == "complete -F _mailroom mailroom\n"


def test_the_example_settings_lack_nothing_but_the_database_and_the_key(system):
    system.run("dpkg", "-i", "/mnt/now.deb")
    system.shell(f"install -g mailroom -m 0640 /usr/share/doc/mailroom/examples/mailroom.toml {SETTINGS}")
    checked = system.run("mailroom", "config", "check", check=False)
    assert checked.code == 1, checked.out  # 2 would be the file's fault
    assert "/etc/mailroom/key" in checked.out and "db.example.com" in checked.out


def test_an_upgrade_restarts_the_service_and_it_sends_the_mail_that_waited(system, mailroom, certificates, erp, script, server):
    system.run("dpkg", "-i", "/mnt/now.deb")
    write_settings(system, mailroom, certificates)
    system.systemctl("start", "mailroom")
    before = system.systemctl("show", "--property=MainPID", "mailroom")
    erp.relay("ANNA", server)
    script.on("mail", Silence(), times=1)  # its only connection hangs, so that all wait
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 20)
    server.wait(lambda seen: any(line.startswith("MAIL") for _, line in seen.commands))
    assert all(state in ("ready", "sending") for state, _ in erp.states().values())

    system.run("dpkg", "-i", "/mnt/higher.deb")
    after = system.systemctl("show", "--property=MainPID", "mailroom")
    assert system.systemctl("is-active", "mailroom") == "active" and after != before
    assert "(deleted)" not in system.run("readlink", f"/proc/{after.partition('=')[2]}/exe").out
    erp.wait_for(uids, "sent", timeout=60)
    assert len(server.seen.messages) == len(uids)


def test_an_upgrade_leaves_what_is_stopped_or_disabled_as_it_is(system, mailroom, certificates, erp):
    system.run("dpkg", "-i", "/mnt/now.deb")
    write_settings(system, mailroom, certificates)
    system.systemctl("disable", "mailroom")
    system.run("dpkg", "-i", "/mnt/higher.deb")
    assert system.systemctl("is-active", "mailroom", check=False) == "inactive"
    assert system.systemctl("is-enabled", "mailroom", check=False) == "disabled"


def test_an_upgrade_restarts_the_services_of_other_companies(system, mailroom, certificates, erp):
    system.run("dpkg", "-i", "/mnt/now.deb")
    write_settings(system, mailroom, certificates)
    system.shell(f"mv {SETTINGS} /etc/mailroom/nordwind.toml; mv /etc/mailroom/key /etc/mailroom/nordwind.key;"
                 "sed -i s,/etc/mailroom/key,/etc/mailroom/nordwind.key, /etc/mailroom/nordwind.toml")
    system.systemctl("start", "mailroom@nordwind")
    before = system.systemctl("show", "--property=MainPID", "mailroom@nordwind")
    system.run("dpkg", "-i", "/mnt/higher.deb")
    assert system.systemctl("show", "--property=MainPID", "mailroom@nordwind") not in (before, "MainPID=0")
    assert system.systemctl("is-active", "mailroom", check=False) == "inactive"
    system.run("dpkg", "-r", "mailroom")
    assert system.systemctl("is-active", "mailroom@nordwind", check=False) == "inactive"


def test_a_removal_stops_the_service_and_leaves_what_is_not_the_packages(system, mailroom, certificates, erp):
    system.run("dpkg", "-i", "/mnt/now.deb")
    write_settings(system, mailroom, certificates)
    system.systemctl("start", "mailroom")
    system.systemctl("enable", "mailroom@nordwind")
    uid = erp.enqueue(user="NOBODY", **letter())
    erp.wait_for(uid, "held", "no_user")

    system.run("dpkg", "-r", "mailroom")
    assert system.run("pgrep", "-x", "mailroom", check=False).out == ""
    for path in (SETTINGS, "/etc/mailroom/key", "/var/lib/mailroom"):
        assert exists(system, path), path
    assert not exists(system, "/usr/bin/mailroom") and not exists(system, "/usr/share/doc/mailroom")

    system.run("dpkg", "-i", "/mnt/now.deb")
    system.systemctl("start", "mailroom")
    system.run("dpkg", "-P", "mailroom")
    for path in ("/etc/mailroom", "/var/lib/mailroom", "/var/log/mailroom"):
        assert not exists(system, path), path
    assert system.run("find", "/etc/systemd", "-name", "mailroom*").out == ""
    assert erp.states() == {uid: ("held", "no_user")}, "the database is not the package's"


def test_what_is_enabled_runs_again_when_it_is_installed_after_a_removal(system, mailroom, certificates, erp):
    system.run("dpkg", "-i", "/mnt/now.deb")
    write_settings(system, mailroom, certificates)
    system.shell(f"cp -p {SETTINGS} /etc/mailroom/nordwind.toml; cp -p /etc/mailroom/key /etc/mailroom/nordwind.key")
    system.systemctl("enable", "--now", "mailroom", "mailroom@nordwind")
    system.run("dpkg", "-r", "mailroom")
    system.run("dpkg", "-i", "/mnt/higher.deb")
    assert system.systemctl("is-active", "mailroom", "mailroom@nordwind").split() == ["active", "active"]

    system.systemctl("stop", "mailroom")
    system.run("dpkg", "-i", "/mnt/now.deb")
    assert system.systemctl("is-active", "mailroom", check=False) == "inactive", "the next upgrade is one again"

    system.run("dpkg", "-r", "mailroom")
    system.systemctl("disable", "mailroom@nordwind")
    system.run("rm", SETTINGS)
    assert "it is not started" in system.run("dpkg", "-i", "/mnt/now.deb").out
    assert system.systemctl("is-active", "mailroom", "mailroom@nordwind", check=False).split() == ["inactive", "inactive"]


def test_the_rpm_installs_upgrades_and_goes(system, rpm, mailroom, certificates, erp):
    """On Debian, so without the packages that it requires there: what rpm itself does, and the scriptlets."""
    rpms = ("rpm", "--nodeps", "-v")
    said = system.run(*rpms, "-i", "/mnt/now.rpm").out
    assert "it is not started" in said
    assert mode_and_owner(system, "/etc/mailroom") == "drwxr-x--- root mailroom"
    assert mode_and_owner(system, "/var/lib/mailroom").endswith("mailroom mailroom")
    assert system.run("rpm", "-V", "--nodeps", "mailroom").out == ""
    write_settings(system, mailroom, certificates)
    system.systemctl("start", "mailroom")
    before = system.systemctl("show", "--property=MainPID", "mailroom")
    system.systemctl("enable", "mailroom", "mailroom@nordwind")
    system.run(*rpms, "-U", "/mnt/higher.rpm")
    assert system.systemctl("is-active", "mailroom") == "active"
    assert system.systemctl("show", "--property=MainPID", "mailroom") != before
    system.run(*rpms, "-e", "mailroom")
    assert system.systemctl("is-active", "mailroom", check=False) == "inactive"
    assert exists(system, SETTINGS) and not exists(system, "/usr/bin/mailroom")
    assert system.run("find", "/etc/systemd", "-name", "mailroom*").out == ""
