"""`mailroom doctor`: troubles prepared for real, and each is named with what to do. Thresholds are in tests/unit/service/doctor.cpp."""

import concurrent.futures
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from psycopg2.extensions import make_dsn

from database import Database
from erp import Erp, letter
from machine import Unavailable, free_port, private_directory, program, unprivileged_user, wait_until
from mailroom_program import Mailroom
from misbehaving import MisbehavingServer
from postgres import PrivatePostgres
from smtp_script import Close, Script

ANNA = "anna@example.test"
ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), users={ANNA: "right"}) as running:
        yield running


def anna(erp, server, secret="right", **settings):
    erp.user("ANNA", mode="smtp", email=ANNA, **{"server": "localhost", "port": server.port, **settings})
    erp.password("user", "ANNA", secret=secret)


class Examination:
    def __init__(self, done):
        self.code = done.code
        self.all = done.json()["findings"]
        assert done.json()["ok"] == (done.code == 0)

    def at(self, level, check=None):
        return [f for f in self.all if f["level"] == level and check in (None, f["check"])]

    def only(self, level, check):
        """The one finding of this check, which must be of this level."""
        [finding] = [f for f in self.all if f["check"] == check]
        assert finding["level"] == level, finding
        return finding


def examine(mailroom, *arguments):
    return Examination(mailroom.run("doctor", "--json", *arguments, check=False))


def of_database(mailroom):
    """Without mail servers, which these troubles have nothing to do with."""
    return examine(mailroom, "--no-mail-servers")


def clock_is_kept():
    """As adjtimex(2) says: 5 is TIME_ERROR."""
    return ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) != 5


# ---------------------------------------------------------------- all in order

def test_all_in_order(erp, mailroom, server):
    anna(erp, server)
    erp.general(mode="smtp", server="localhost", port=server.port, login=False, account="erp@example.test")
    with mailroom.daemon():
        found = examine(mailroom)
        kept = clock_is_kept()
        assert found.only("ok" if kept else "warning", "ntp")
        others = [f for f in found.all if f["check"] != "ntp"]
        assert found.code == 0 and {f["level"] for f in others} == {"ok"}, [f for f in others if f["level"] != "ok"]
        checks = {f["check"] for f in others}
        assert checks == {"settings", "key", "safety", "authorities", "log", "space", "names", "database", "clock", "server", "roles", "connections", "autovacuum", "schema",
                          "installation", "dispatchers", "queue", "holds", "accounts", "generations", "vacuum", "dead_rows", "secrets", "servers", "logins", "journal"}
        shown = mailroom.run("doctor").out
    assert shown.startswith("mailroom ") and f"0 problems, {'0 warnings' if kept else '1 warning'}," in shown.splitlines()[-1]
    assert [login[1:] for login in server.seen.logins] == [(ANNA, True)] * 2 and not server.seen.messages
    assert not any(line.startswith("MAIL") for _, line in server.seen.commands), "no message is begun"
    assert server.seen.most_connections <= 2


def test_an_examination_of_some_accounts_leaves_the_others_alone(erp, mailroom, server):
    anna(erp, server)
    erp.user("BEN", mode="smtp", email="ben@example.test", server="localhost", port=server.port)
    erp.password("user", "BEN", secret="wrong")
    found = examine(mailroom, "--account", "ANNA")
    assert [f["subject"] for f in found.at("ok", "logins")] == ["user ANNA"] and [login[1] for login in server.seen.logins] == [ANNA]
    assert "no such account" in examine(mailroom, "--account", "CHARLY").at("problem", "accounts")[0]["text"]
    before = server.seen.connections
    assert of_database(mailroom).only("not_checked", "logins") and server.seen.connections == before


# ---------------------------------------------------------------- this machine

def test_a_wrong_settings_file_is_told_with_every_line_and_ends_with_2(mailroom):
    mailroom.configure("dispatcher", conections=3).configure("retry", max_attempts=0)
    found = examine(mailroom)
    told = " ".join(f["text"] for f in found.at("problem", "settings"))
    assert found.code == 2 and "did you mean connections?" in told and "max_attempts" in told and "mailroom.toml:" in told
    assert found.only("not_checked", "database")["text"] == "because the settings file is wrong"


def test_files_that_others_may_read(erp, mailroom):
    mailroom.key_file.chmod(0o444)
    found = of_database(mailroom)
    key = found.only("problem", "key")
    assert str(mailroom.key_file) in key["text"] and "chmod 0400" in key["text"]
    mailroom.write_settings()
    mailroom.config_file.chmod(0o644)
    done = subprocess.run([mailroom.executable, "--config", mailroom.config_file, "doctor", "--no-mail-servers"], capture_output=True, text=True)
    assert "holds the database's password, and everybody may read it (mode 0644)" in done.stdout and "chmod o-r" in done.stdout
    assert erp.database.password not in done.stdout


def test_authorities_that_are_not_there(erp, mailroom):
    mailroom.configure("tls", ca_file="/no/such/ca.pem")
    assert "/no/such/ca.pem" in of_database(mailroom).only("problem", "authorities")["text"]


def test_a_log_that_cannot_be_written(erp, mailroom):
    for file, words in ((mailroom.directory / "no such folder" / "log", "No such file"), (mailroom.key_file / "log", "Not a directory"),
                        (mailroom.directory, "directory")):
        mailroom.configure("log", file=str(file))
        found = of_database(mailroom).only("problem", "log")
        assert found["subject"] == str(file) and words in found["text"] and "[log] file" in found["remedy"]


def test_a_journal_that_is_not_there(erp, mailroom):
    if pathlib.Path("/run/systemd/journal/socket").exists():
        raise Unavailable("this machine has a journal")
    mailroom.configure("log", target="journal")
    told = of_database(mailroom).only("problem", "log")
    assert "no journal" in told["text"] and "[log] target" in told["remedy"]
    mailroom.configure("log", target="stderr")
    assert of_database(mailroom).only("ok", "log")["text"] == "standard error"


@contextlib.contextmanager
def file_system(options):
    folder = private_directory("mount")
    done = subprocess.run([program("mount", "mount"), "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"this machine mounts nothing here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_log_in_a_file_system_that_is_full_or_read_only(erp, mailroom, monkeypatch):
    with file_system("size=1m") as folder:
        (folder / "other").write_bytes(b"x" * 900_000)
        mailroom.configure("log", file=str(folder / "log"))
        [full] = of_database(mailroom).at("problem", "space")
        assert full["subject"] == str(folder) and "0 MiB are free" in full["text"] and not (folder / "log").exists()
        checked = mailroom.run("config", "check")
        assert f"warning: {folder}: 0 MiB are free" in checked.err, "serve starts"
        assert "0 MiB are free" in mailroom.json("config", "check")["warnings"][0]
        mailroom.settings["log"] = {"level": "info"}  # to the journal: then other folders are written to
        monkeypatch.setenv("STATE_DIRECTORY", str(folder))
        assert full in of_database(mailroom).at("problem", "space")
    with file_system("ro") as folder:
        mailroom.configure("log", file=str(folder / "log"))
        assert "Read-only file system" in of_database(mailroom).only("problem", "log")["text"]


@pytest.fixture
def unit(mailroom, certificates, monkeypatch):
    """mailroom.service as it is but for its user and its paths; the settings file is written once, and is the test's."""
    if os.geteuid() != 0:
        raise Unavailable("only root can tell what another user may do")
    user, folder = unprivileged_user("daemon"), private_directory("units")
    text = (ROOT / "systemd" / "mailroom.service").read_text()
    for there, here in {"/etc/mailroom/mailroom.toml": mailroom.config_file, "/etc/mailroom/key": mailroom.key_file,
                        "User=mailroom\n": f"User={user}\n"}.items():
        assert there in text
        text = text.replace(there, str(here))
    (folder / "mailroom.service").write_text(text)
    monkeypatch.setenv("SYSTEMD_UNIT_PATH", str(folder))
    mailroom.write_settings()
    monkeypatch.setattr(mailroom, "write_settings", lambda: mailroom.config_file)
    monkeypatch.setattr(mailroom, "unit", folder / "mailroom.service", raising=False)
    mailroom.directory.chmod(0o755)
    ca_file = mailroom.directory / "ca.pem"
    shutil.copy(certificates.ca_file, ca_file)
    mailroom.config_file.write_text(mailroom.config_file.read_text().replace(str(certificates.ca_file), str(ca_file)))
    yield user


def test_root_judges_what_the_service_may_read(erp, mailroom, unit):
    told = of_database(mailroom).only("problem", "service")
    assert told["subject"] == unit and str(mailroom.config_file) in told["text"] and "Permission denied" in told["text"]
    assert mailroom.run("doctor", "--no-mail-servers", check=False).out.splitlines()[0].endswith(f"run by root, files judged for {unit} (mailroom.service)")
    subprocess.run(["sh", "-c", told["remedy"]], check=True)
    assert of_database(mailroom).only("ok", "service")["subject"] == unit, "the key is handed over by systemd"
    mailroom.directory.chmod(0o700)
    told = of_database(mailroom).at("problem", "service")[0]
    assert told["remedy"].endswith(f"chmod 0750 {mailroom.directory}")
    subprocess.run(["sh", "-c", told["remedy"]], check=True)
    (mailroom.directory / "ca.pem").chmod(0o600)
    assert "ca.pem" in of_database(mailroom).only("problem", "service")["remedy"]
    (mailroom.directory / "ca.pem").chmod(0o644)
    mailroom.unit.write_text(mailroom.unit.read_text().replace("LoadCredential=", "#LoadCredential="))
    told = of_database(mailroom).only("problem", "service")
    assert "the key" in told["text"] and f"LoadCredential=mailroom.key:{mailroom.key_file}" in told["remedy"]


def test_root_judges_where_the_service_may_write_its_log(erp, mailroom, unit):
    mailroom.config_file.chmod(0o644)
    folder = private_directory("logs")
    settings = mailroom.config_file.read_text()
    mailroom.config_file.write_text(settings.replace("[log]\n", f'[log]\nfile = "{folder}/mailroom.log"\n'))
    told = of_database(mailroom).only("problem", "log")
    assert "mailroom.service may write in /var/lib/mailroom, /var/log/mailroom only" in told["text"] and f"ReadWritePaths={folder}" in told["remedy"]
    added = mailroom.unit.with_name("mailroom.service.d")
    added.mkdir()
    (added / "override.conf").write_text(f"[Service]\nReadWritePaths={folder}\n")
    told = of_database(mailroom).only("problem", "log")
    assert f"{unit} cannot write it: Permission denied" in told["text"] and str(folder) in told["remedy"]
    shutil.chown(folder, unit)
    assert of_database(mailroom).only("ok", "log")["text"] == f"{unit} can write it"


# ---------------------------------------------------------------- the database

@pytest.mark.parametrize("change, words, remedy", [
    ({"password": "wrong"}, "password authentication failed", "correct user and password"),
    ({"user": "nobody_known"}, "password authentication failed", "correct user and password"),
    ({"port": "1"}, "Connection refused", "start PostgreSQL"),
    ({"dbname": "no_such_database"}, '"no_such_database" does not exist', "dbname"),
    ({"host": "no-such-host.invalid"}, "no-such-host.invalid", "DNS"),
])
def test_a_database_that_cannot_be_reached(erp, mailroom, database, change, words, remedy):
    mailroom.configure("database", connection=make_dsn(database.dsn, **change))
    found = examine(mailroom)
    told = found.only("problem", "database")
    assert found.code == 1 and words in told["text"] and remedy in told["remedy"]
    assert bool(found.at("problem", "names")) == ("host" in change)
    for check in ("clock", "roles", "schema", "installation", "dispatchers", "queue", "secrets", "servers"):
        assert found.only("not_checked", check)["text"] == "because the database cannot be reached"
    assert database.password not in json.dumps(found.all)


def test_a_database_without_schema(mailroom):
    mailroom.run("config", "new-key", mailroom.key_file)
    found = of_database(mailroom)
    assert "mailroom migrate" in found.only("problem", "schema")["text"]
    assert found.only("ok", "clock") and found.only("not_checked", "queue")["text"] == "because the schema cannot be used"
    assert found.only("not_checked", "roles")["text"] == "because there is no mailroom schema"


def test_a_database_of_another_installation(erp, mailroom):
    mailroom.configure("installation", name="copy")
    found = of_database(mailroom)
    told = found.only("problem", "installation")["text"]
    assert '"test"' in told and '"copy"' in told and "mailroom adopt" in told
    assert found.only("ok", "queue"), "the rest can still be looked at"


def test_a_copy_that_is_served_under_the_name_of_its_original(erp, mailroom, database, certificates):
    name = database.name + "_copy"
    database.cluster.execute(f'CREATE DATABASE "{name}" TEMPLATE "{database.name}" OWNER "{database.owner}"')
    copied = database.cluster.dsn(database.owner, database.password, name)
    try:
        with Mailroom(mailroom.executable, copied, certificates.ca_file, private_directory("copy")) as copy:
            copy.configure("secrets", key_file=str(mailroom.key_file))
            with mailroom.daemon(), copy.daemon():
                told = of_database(copy).only("warning", "installation")
                assert "it is a copy, or was moved" in told["text"] and "mailroom adopt" in told["remedy"]
                assert of_database(mailroom).only("ok", "installation")
                wait_until(lambda: "database_copied" in copy.run("events").out, 30, "the event")
                assert "database_copied" not in mailroom.run("events").out
            copy.run("migrate")
            assert of_database(copy).only("warning", "installation"), "only adopting says that it belongs here"
            assert "nothing is held" in copy.run("adopt").out
            assert of_database(copy).only("ok", "installation")
    finally:
        database.cluster.drop_database(name)


def test_a_login_without_the_roles(erp, mailroom, database):
    login = database.name + "_other"
    password = database.cluster.create_role(login)
    try:
        mailroom.configure("database", connection=database.cluster.dsn(login, password, database.name))
        found = of_database(mailroom)
        assert "grant it one of mailroom_producer" in found.only("problem", "schema")["text"]
        assert found.only("problem", "roles")["remedy"] == f'GRANT mailroom_worker TO "{login}"'
        database.cluster.execute(f'GRANT mailroom_operator TO "{login}"')
        found = of_database(mailroom)
        roles = found.only("problem", "roles")
        assert "may queue, list" in roles["text"] and "may not serve, account" in roles["text"] and "GRANT mailroom_worker" in roles["remedy"]
        assert found.only("ok", "queue") and "lacks the role" in found.only("not_checked", "secrets")["text"]
    finally:
        database.cluster.execute(f'DROP OWNED BY "{login}"; DROP ROLE "{login}"')


def test_a_database_that_takes_no_writes(erp, mailroom, database):
    database.cluster.execute(f'ALTER ROLE "{database.owner}" SET default_transaction_read_only = on')
    try:
        found = of_database(mailroom)
        told = found.only("problem", "database")
        assert "read-only" in told["text"] and "default_transaction_read_only" in told["remedy"]
        assert found.only("ok", "schema") and found.only("ok", "queue"), "it can still be looked at"
        refused = mailroom.run("config", "check", check=False)
        assert refused.code == 1 and "read-only" in refused.err
    finally:
        database.cluster.execute(f'ALTER ROLE "{database.owner}" RESET default_transaction_read_only')


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_database_whose_clock_is_an_hour_off(mailroom, certificates, hours):
    library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        raise Unavailable("faketime is not installed (Debian: apt-get install faketime)")
    with PrivatePostgres(through=["env", f"LD_PRELOAD={library}", f"FAKETIME={hours:+}h", "DONT_FAKE_MONOTONIC=1"], fsync=False) as cluster:
        database = Database(cluster, "elsewhen")
        with Mailroom(mailroom.executable, database.dsn, certificates.ca_file, private_directory("elsewhen")) as program:
            Erp(program, database).prepare()
            told = of_database(program).only("problem", "clock")
            assert f"3600.0 s {'ahead' if hours > 0 else 'behind'} of this machine's" in told["text"] and "NTP" in told["remedy"]


def test_a_database_whose_disk_is_full(mailroom, certificates):
    """What is written needs room that is not there, before anything else is wrong."""
    with file_system("size=250m") as folder:
        shutil.chown(folder, unprivileged_user("postgres"))
        with PrivatePostgres(directory=folder, fsync=False, max_wal_size="32MB", wal_recycle="off") as cluster:
            database = Database(cluster, "full")
            with Mailroom(mailroom.executable, database.dsn, certificates.ca_file, private_directory("full")) as program:
                Erp(program, database).prepare()
                assert "the database" in [f["subject"] for f in of_database(program).at("ok", "space")]
                with contextlib.suppress(OSError), open(folder / "other", "wb", buffering=0) as other:
                    while True:
                        other.write(bytes(65536))
                found = of_database(program)
                told = next(f for f in found.at("problem", "space") if f["subject"] == "the database")
                assert found.code == 1 and "No space left on device" in told["text"] and "data_directory" in told["remedy"]
                (folder / "other").unlink()
                assert of_database(program).code == 0, "nothing is left behind"


def test_a_transaction_that_keeps_dead_rows(erp, mailroom, database):
    with contextlib.closing(database.connect(application_name="report")) as old:
        old.autocommit = False
        with old.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id(), pg_backend_pid()")
            pid = cursor.fetchone()[1]
        with contextlib.closing(database.connect(options="-c synchronous_commit=off")) as others, others.cursor() as cursor:
            cursor.execute("DO $$ BEGIN FOR i IN 1..10001 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
        pinned = of_database(mailroom).only("warning", "vacuum")
        assert "application report" in pinned["text"] and pinned["remedy"].endswith(f"SELECT pg_terminate_backend({pid})")
    assert of_database(mailroom).only("ok", "vacuum")


def test_a_connection_that_is_lost_in_the_middle_is_made_again(erp, mailroom, database):
    with contextlib.closing(database.connect()) as locker, locker.cursor() as cursor, concurrent.futures.ThreadPoolExecutor() as pool:
        locker.autocommit = False
        cursor.execute("LOCK TABLE mailroom.refused_sender")
        examination = pool.submit(of_database, mailroom)
        try:
            wait_until(lambda: database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mailroom doctor'"
                                                     " AND datname = current_database() AND wait_event_type = 'Lock'"), 30, "the examination that waits for the lock")
        finally:
            locker.rollback()
        found = examination.result()
    assert found.only("not_checked", "queue") and found.only("ok", "vacuum") and found.only("ok", "secrets")


# ---------------------------------------------------------------- stored passwords

def test_a_key_that_is_missing_while_passwords_are_stored(erp, mailroom, server):
    anna(erp, server)
    with mailroom.daemon():
        mailroom.configure("secrets", key_file="")
        elsewhere = of_database(mailroom)
        assert elsewhere.only("warning", "key") and "a running dispatcher has one" in elsewhere.only("not_checked", "secrets")["text"]
    found = examine(mailroom)
    assert "1 stored password, and no key" in found.only("problem", "secrets")["text"]
    assert "no key" in found.only("not_checked", "logins")["text"] and found.at("ok", "servers") and not server.seen.logins


def test_a_key_that_is_not_the_one_that_sealed(erp, mailroom, server):
    anna(erp, server)
    right = mailroom.key_file.read_text()
    other = mailroom.json("config", "new-key", mailroom.directory / "other key")["key_id"]
    with mailroom.daemon():
        mailroom.configure("secrets", key_file=str(mailroom.directory / "other key"))
        [told] = of_database(mailroom).at("warning", "dispatchers")
        assert f"the settings file names (id {other})" in told["text"] and "restart" in told["remedy"]
    found = examine(mailroom)
    told = found.only("problem", "secrets")
    assert told["subject"] == "user ANNA" and "was sealed with the key" in told["text"] and "account password" in told["remedy"]
    assert right.strip() not in json.dumps(found.all) and not server.seen.logins
    database = erp.database
    mailroom.configure("secrets", key_file=str(mailroom.key_file))
    database.rows("UPDATE mailroom.users SET password = set_byte(password, 25, get_byte(password, 25) # 1)")
    assert "altered" in examine(mailroom).only("problem", "secrets")["text"]


# ---------------------------------------------------------------- the queue

def test_mail_that_waits_while_no_dispatcher_is_alive(erp, mailroom):
    assert of_database(mailroom).only("warning", "dispatchers")["text"] == "no dispatcher is alive"
    erp.enqueue_many([{"user": "ANNA", **letter()}] * 2)
    found = of_database(mailroom).only("problem", "dispatchers")
    assert "no dispatcher is alive" in found["text"] and "2 messages due" in found["text"] and "mailroom serve" in found["remedy"]


def test_mail_that_waits_for_somebody(erp, mailroom, server):
    """A user who was disabled, a message in doubt, one that is held for it, and a quarantined one."""
    erp.user("BEN", email="ben@example.test", enabled=False)
    erp.relay("ANNA", server)
    server.require_login = False
    server.script.on("dot", Close())
    with mailroom.daemon():
        held = erp.enqueue(user="BEN", **letter())
        doubtful = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(held, "held", "no_user")
        erp.wait_for(doubtful, "in_doubt")
        erp.wait_for(erp.enqueue(user="NOBODY", **letter()), "held", "no_user")
        erp.database.rows("""WITH p AS (INSERT INTO mailroom.place (key, kind, reason, subject, remedy)
                                        VALUES ('quarantined/test', 'hold', 'quarantined', 'message 1', 'an operator must look') RETURNING id)
                             UPDATE mailroom.queue q SET place_id = p.id FROM p WHERE q.user_code = 'NOBODY'""")
        found = of_database(mailroom)
    holds = {f["subject"]: f for f in found.all if f["check"] == "holds"}
    disabled = next(f for subject, f in holds.items() if "BEN" in subject)
    assert disabled["level"] == "warning" and "enable user BEN" in disabled["remedy"] and "1 message held" in disabled["text"]
    assert holds["quarantined (message 1)"]["level"] == "problem" and holds["quarantined (message 1)"]["remedy"] == "an operator must look"
    [doubt] = found.at("warning", "queue")
    assert "1 message in doubt" in doubt["text"] and found.code == 1


def test_a_paused_account_is_told_with_the_servers_words_and_not_tried(erp, mailroom, server):
    anna(erp, server, secret="wrong")
    with mailroom.daemon():
        erp.wait_for(erp.enqueue(user="ANNA", **letter()), "held", "auth_failed")
        found = examine(mailroom)
    paused = found.only("problem", "accounts")
    assert paused["subject"] == "user ANNA" and "535 5.7.8 wrong login or password" in paused["text"] and ANNA in paused["text"]
    assert "account password user ANNA" in paused["remedy"] and "account probe user ANNA" in paused["remedy"]
    assert found.only("not_checked", "logins")["text"] == "because its login is paused"
    assert len(server.seen.logins) == 1, "the daemon's"


# ---------------------------------------------------------------- mail servers

def test_a_wrong_mail_password_is_tried_once_however_often_it_is_examined(erp, mailroom, server):
    anna(erp, server, secret="wrong")
    found = examine(mailroom)
    refused = found.only("problem", "logins")
    assert found.code == 1 and refused["subject"] == "user ANNA" and "535 5.7.8 wrong login or password" in refused["text"]
    assert "is paused from now on" in refused["text"] and "account password user ANNA" in refused["remedy"]
    for _ in range(2):
        again = examine(mailroom)
        assert again.code == 1 and again.only("not_checked", "logins") and again.only("problem", "accounts")
    assert server.seen.logins == [(2, ANNA, False)], "the first connection looked at the server without a login"
    erp.password("user", "ANNA", secret="right")
    assert examine(mailroom).only("ok", "logins") and [accepted for *_, accepted in server.seen.logins] == [False, True]


def test_a_wrong_password_that_many_accounts_share_is_tried_once_at_whichever_port(erp, mailroom, server, certificates):
    with MisbehavingServer(certificates.server(), users={ANNA: "right"}) as other_port:
        for code, at in (("ANNA", server), ("BEN", server), ("CARL", other_port)):
            erp.user(code, mode="smtp", email=f"{code.lower()}@example.test", account=ANNA, server="localhost", port=at.port)
            erp.password("user", code, secret="wrong")
        refused = {f["subject"]: f for f in examine(mailroom).at("problem", "logins")}
        assert server.seen.logins + other_port.seen.logins == [(2, ANNA, False)]
    assert set(refused) == {"user ANNA", "user BEN", "user CARL"}
    assert all("535 5.7.8" in f["text"] and f"account password {name}" in f["remedy"] for name, f in refused.items())


def test_a_server_that_cannot_be_reached(erp, mailroom, server):
    anna(erp, server, port=free_port())
    found = examine(mailroom)
    told = found.only("problem", "servers")
    assert "at connect" in told["text"] and "refused" in told["text"] and "port=" in told["remedy"]
    assert "cannot be used" in found.only("not_checked", "logins")["text"]
    erp.user("ANNA", server="no-such-host.invalid")
    erp.password("user", "ANNA", secret="right")
    found = examine(mailroom)
    [name] = found.at("problem", "names")
    assert name["subject"] == "no-such-host.invalid" and "at resolve" in found.only("problem", "servers")["text"]


@pytest.mark.parametrize("kind, words", [("expired", "has expired"), ("untrusted", "is not trusted"), ("other_host", "of another host and not of localhost")])
def test_a_certificate_that_proves_nothing(erp, mailroom, certificates, kind, words):
    with MisbehavingServer(getattr(certificates, kind)(), users={ANNA: "right"}) as server:
        anna(erp, server)
        found = examine(mailroom)
        told = found.only("problem", "servers")
        assert told["subject"] == f"localhost:{server.port}" and "at tls" in told["text"] and words in told["text"] and "[tls] ca_file" in told["remedy"]
        assert found.only("not_checked", "logins") and not server.seen.logins


def test_a_certificate_that_expires_soon(erp, mailroom, certificates):
    with MisbehavingServer(certificates.ending(5), users={ANNA: "right"}) as server:
        anna(erp, server)
        found = examine(mailroom)
        told = found.only("warning", "servers")
        assert "in force for 5 more days" in told["text"] and "renew" in told["remedy"] and found.only("ok", "logins")
        assert not found.at("problem") and found.code == 0, "a warning is no failure"


def test_a_server_without_starttls_and_an_account_without_a_server(erp, mailroom):
    with MisbehavingServer(certificate=None) as server:
        anna(erp, server)
        erp.user("BEN", mode="smtp", email="ben@example.test", server="")
        found = examine(mailroom)
        told = found.only("problem", "servers")
        assert "STARTTLS" in told["text"] and "use_ssl" in told["remedy"]
        [incomplete] = found.at("warning", "accounts")
        assert incomplete["subject"] == "user BEN" and "Server Name" in incomplete["text"] and "mailroom account set user BEN server=" in incomplete["remedy"]
