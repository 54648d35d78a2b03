"""`mailroom migrate` and what a program says to a database that does not fit it."""

import contextlib
import subprocess
from pathlib import Path

import pytest

from database import Database
from erp import Erp, letter
from mailroom_program import Mailroom
from misbehaving import MisbehavingServer
from postgres import PrivatePostgres

NEWEST = "SELECT max(version) FROM mailroom.migrations"


@pytest.fixture
def migrated_database(mailroom, database):
    """A migrated one, and the program with a key for it."""
    Erp(mailroom, database).prepare()
    return database


def refusals(mailroom, *commands):
    """What each of the commands says; each must fail."""
    said = {}
    for command in commands:
        answer = mailroom.run(*command.split(), check=False, timeout=30)
        assert answer.code == 1, f"{command} ended with {answer.code}: {answer.out}{answer.err}"
        said[command] = answer.err
    return said


def test_migrating_an_empty_database_applies_every_migration_and_names_the_installation(mailroom, database):
    database.cluster.execute(f'ALTER ROLE "{database.owner}" CREATEROLE')
    answer = mailroom.json("migrate")
    assert answer["installation"] == "test"
    assert len(answer["applied"]) == answer["schema"] == database.value(NEWEST)
    assert [row["name"] for row in database.rows("SELECT name FROM mailroom.migrations ORDER BY version")] == answer["applied"]
    assert database.value("SELECT name FROM mailroom.installation") == "test"


def test_a_second_migration_applies_nothing_and_changes_nothing(mailroom, migrated_database):
    before = migrated_database.rows("SELECT * FROM mailroom.migrations ORDER BY version")
    version = migrated_database.value("SELECT settings_version FROM mailroom.installation")
    assert mailroom.json("migrate")["applied"] == []
    assert migrated_database.rows("SELECT * FROM mailroom.migrations ORDER BY version") == before
    assert migrated_database.value("SELECT settings_version FROM mailroom.installation") == version


def test_ten_migrations_at_once_apply_every_migration_exactly_once(mailroom, database):
    database.cluster.execute(f'ALTER ROLE "{database.owner}" CREATEROLE')
    command = [mailroom.executable, "--config", mailroom.write_settings(), "migrate", "--json"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(10)]
    ended = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 10, ended
    names = [row["name"] for row in database.rows("SELECT name FROM mailroom.migrations ORDER BY version")]
    assert sum(out.count(names[0]) for out, _ in ended) == 1, "more than one of them applied the first migration"
    assert database.value("SELECT count(*) FROM mailroom.installation") == 1


def test_a_newer_schema_is_refused_by_every_command_and_left_alone(mailroom, migrated_database):
    migrated_database.rows("INSERT INTO mailroom.migrations (version, name, checksum) VALUES (999, '0999_later', 'x')")
    for command, said in refusals(mailroom, "migrate", "serve", "queue", "adopt", "config check", "account list").items():
        assert "schema version 999" in said and "install the newer mailroom" in said, (command, said)


def test_an_older_schema_is_refused_with_the_command_that_updates_it(mailroom, migrated_database):
    migrated_database.rows("DELETE FROM mailroom.migrations WHERE version = (SELECT max(version) FROM mailroom.migrations)")
    for command, said in refusals(mailroom, "serve", "queue", "adopt", "config check", "account list").items():
        assert "run `mailroom migrate`" in said, (command, said)


def test_a_migration_that_was_changed_after_it_was_applied_is_refused_by_name(mailroom, migrated_database):
    migrated_database.rows("UPDATE mailroom.migrations SET checksum = md5('other') WHERE version = 3")
    name = migrated_database.value("SELECT name FROM mailroom.migrations WHERE version = 3")
    said = refusals(mailroom, "migrate")["migrate"]
    assert name in said and "another build" in said


def test_a_migration_that_is_missing_in_the_middle_is_refused(mailroom, migrated_database):
    migrated_database.rows("DELETE FROM mailroom.migrations WHERE version = 2")
    assert "another build" in refusals(mailroom, "migrate")["migrate"]


def test_a_database_that_is_not_utf8_is_refused_before_anything_is_made(mailroom, database):
    name = database.name + "_latin"
    database.cluster.execute(f"CREATE DATABASE {name} OWNER {database.owner} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        mailroom.configure("database", connection=database.cluster.dsn(database.owner, database.password, name))
        said = refusals(mailroom, "migrate")["migrate"]
        assert "LATIN1" in said and "UTF8" in said
        assert database.cluster.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'mailroom'", database=name) == [(0,)]
    finally:
        database.cluster.drop_database(name)


def test_a_database_without_a_schema_is_named_with_what_to_do(mailroom):
    mailroom.run("config", "new-key", mailroom.key_file)
    for command, said in refusals(mailroom, "serve", "queue", "adopt", "config check", "account list").items():
        assert "has no mailroom schema" in said and "mailroom migrate" in said, (command, said)


def test_a_login_that_may_not_make_a_schema_is_told_so_and_leaves_nothing(mailroom, database):
    stranger = database.name + "_stranger"
    password = database.cluster.create_role(stranger)
    mailroom.configure("database", connection=database.cluster.dsn(stranger, password, database.name))
    said = refusals(mailroom, "migrate")["migrate"]
    assert "permission denied for database" in said
    assert database.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'mailroom'") == 0


def test_a_login_without_a_role_is_told_which_one_it_lacks(mailroom, migrated_database):
    stranger = migrated_database.name + "_stranger"
    password = migrated_database.cluster.create_role(stranger)
    mailroom.configure("database", connection=migrated_database.cluster.dsn(stranger, password, migrated_database.name))
    for command, said in refusals(mailroom, "serve", "queue", "account list").items():
        assert "mailroom_worker" in said and "mailroom_operator" in said, (command, said)


def test_an_owner_who_may_not_make_roles_is_told_so_and_may_once_they_exist(build_directory, certificates, tmp_path):
    with PrivatePostgres(fsync=False) as cluster:
        database = Database(cluster, "first")
        with Mailroom(build_directory / "service" / "mailroom", database.dsn, certificates.ca_file, tmp_path) as program:
            said = refusals(program, "migrate")["migrate"]
            assert "permission denied to create role" in said and "CREATEROLE" in said
            assert database.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'mailroom'") == 0
            for role in ("producer", "mobile", "worker", "operator", "administrator"):
                cluster.execute(f"CREATE ROLE mailroom_{role} NOLOGIN")
            assert program.json("migrate")["installation"] == "test"


def test_migrating_changes_no_right_outside_its_schema(mailroom, migrated_database):
    """The ERP lives in the same database, often under the same owner."""
    migrated_database.rows("CREATE FUNCTION public.of_the_erp() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    assert migrated_database.value("SELECT has_function_privilege('pg_monitor', 'public.of_the_erp()', 'EXECUTE')")
    assert migrated_database.value("SELECT count(*) FROM pg_default_acl WHERE defaclnamespace = 0") == 0


def test_two_installations_of_one_server_share_the_roles(mailroom, migrated_database, certificates, tmp_path):
    other = Database(migrated_database.cluster, migrated_database.name + "_2")
    try:
        with Mailroom(mailroom.executable, other.dsn, certificates.ca_file, tmp_path, {"installation": {"name": "second"}}) as program:
            assert program.json("migrate")["installation"] == "second"
    finally:
        other.drop()


def test_mail_that_waits_in_an_older_schema_goes_after_the_upgrade(mailroom, database, certificates):
    """The journal's migration finds a queue with messages in it, one of them in the hands of an older daemon."""
    mailroom.run("config", "new-key", mailroom.key_file)
    database.cluster.execute(f'ALTER ROLE "{database.owner}" CREATEROLE')
    folder = Path(__file__).resolve().parents[2] / "queue" / "migrations"
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA mailroom; CREATE TABLE mailroom.migrations (version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
                       " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())")
        for path in sorted(folder.glob("*.sql")):
            if path.stem < "0011":
                cursor.execute(path.read_text())
                cursor.execute("INSERT INTO mailroom.migrations VALUES (%s, %s, md5(%s))", [int(path.stem[:4]), path.stem, path.read_text()])
        cursor.execute("UPDATE mailroom.installation SET name = 'test'")
    erp = Erp(mailroom, database)
    with MisbehavingServer(certificates.server(), require_login=False) as server:
        erp.relay("ANNA", server)
        uids = [erp.enqueue(user="ANNA", **letter()) for _ in range(3)]
        database.rows("INSERT INTO mailroom.dispatcher (id, host, pid, version, lease, beat_at) OVERRIDING SYSTEM VALUE VALUES (7, 'host', 1, '0.0.9', '1s', now() - interval '1h')")
        database.rows(f"UPDATE mailroom.queue SET state = 1, lease_owner = 7, lease_no = 1, leased_at = now() WHERE uid = '{uids[0]}'")
        newest = max(int(path.stem[:4]) for path in folder.glob("*.sql"))
        refused = mailroom.run("serve", check=False)
        assert refused.code == 1 and f"needs {newest}: run `mailroom migrate`" in refused.err
        assert "applied 0011_journal" in mailroom.run("migrate").out
        mailroom.configure("dispatcher", lease="1s", poll="200ms")
        mailroom.configure("doubt", resend_after="0ms")
        with mailroom.daemon():
            erp.wait_for(uids, "sent")
    assert [erp.story(uid)["possible_duplicate"] for uid in uids] == [True, False, False]
