"""What operators are told by daemons that run: once, with what to do, and when it is over."""

import contextlib
import json
import socket
import subprocess
import time

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Close, Script, Silence

ANNA = "anna@example.test"


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", lease="2s", poll="200ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def server(certificates, script):
    with MisbehavingServer(certificates.server(), script, users={ANNA: "right"}) as running:
        yield running


@pytest.fixture
def relay(certificates, script):
    with MisbehavingServer(certificates.server(), script, require_login=False) as running:
        yield running


def event(mailroom, id):
    """The one of this kind, open or not; None: there was none."""
    found = [event for event in mailroom.json("events", "--all")["events"] if event["id"] == id]
    assert len(found) < 2, found
    return found[0] if found else None


def wait_for(mailroom, id, open=True):
    wait_until(lambda: (event(mailroom, id) or {}).get("open") is open, 30, f"{id}, {'open' if open else 'over'}", every=0.1)
    return event(mailroom, id)


def test_a_wrong_password_is_told_once_with_the_servers_words_and_is_over_with_the_right_one(erp, mailroom, server):
    erp.user("ANNA", mode="smtp", email=ANNA, server="localhost", port=server.port)
    erp.password("user", "ANNA", secret="wrong")
    uids = erp.enqueue_many([{"user": "ANNA", **letter()}] * 50)
    with mailroom.daemon() as first, mailroom.daemon() as second:
        erp.wait_for(uids, "held", "auth_failed")
        told = wait_for(mailroom, "account_paused")
        assert told["subject"] == f"{ANNA} at localhost" and told["severity"] == "warning" and told["times"] == 1
        assert "535" in told["text"] and "wrong login or password" in told["text"] and "user ANNA" in told["text"]
        assert "mailroom account password user ANNA" in told["remedy"] and "mailroom account probe user ANNA" in told["remedy"]
        text = mailroom.run("events").out
        assert told["text"] in text and told["remedy"] in text

        erp.password("user", "ANNA", secret="right")
        erp.wait_for(uids, "sent")
        over = wait_for(mailroom, "account_paused", open=False)
        assert over["until"] > over["since"] == told["since"] and over["times"] == 1
        assert mailroom.run("events").out == "no event is open\n"
        assert "until" in mailroom.run("events", "--all").out
        logs = first.log() + second.log()
        assert logs.count("is paused") - logs.count("it is over") == logs.count("it is over") == 1


def test_a_pause_is_over_when_another_account_is_saved_while_no_daemon_runs(erp, mailroom, server):
    erp.user("ANNA", mode="smtp", email=ANNA, server="localhost", port=server.port)
    erp.password("user", "ANNA", secret="wrong")
    uid = erp.enqueue(user="ANNA", **letter())
    with mailroom.daemon():
        erp.wait_for(uid, "held", "auth_failed")
        wait_for(mailroom, "account_paused")
    assert event(mailroom, "account_paused")["open"], "it goes on whether a daemon runs or not"
    erp.user("ANNA", account="ben@example.test")
    with mailroom.daemon():
        wait_for(mailroom, "account_paused", open=False)


def test_a_database_that_was_away_is_in_the_table_when_it_is_back(erp, mailroom, database):
    with mailroom.daemon() as daemon:
        database.cluster.stop()
        try:
            daemon.wait_for_line("nothing new is sent")
        finally:
            database.cluster.start()
        daemon.wait_for_line("it is over: nothing new is sent")
        away = wait_for(mailroom, "database_away", open=False)
        assert away["until"] > away["since"] and away["times"] == 1 and away["severity"] == "error"
        assert away["subject"].startswith("dispatcher ") and away["subject"].endswith(" on " + socket.gethostname())
        assert "[database]" in away["remedy"]


def test_a_database_that_takes_no_writes_is_told_as_such_when_it_takes_them_again(erp, mailroom, database):
    login = database.rows("SELECT session_user")[0]["session_user"]
    with mailroom.daemon() as daemon:
        database.cluster.execute(f'ALTER ROLE "{login}" SET default_transaction_read_only = on')
        database.cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{login}'")
        daemon.wait_for_line("database_read_only")
        database.cluster.execute(f'ALTER ROLE "{login}" RESET default_transaction_read_only')
        assert wait_for(mailroom, "database_read_only", open=False)["until"]


def test_another_installations_database_is_told_and_is_over_when_it_is_ours_again(erp, mailroom, database):
    with mailroom.daemon():
        database.rows("UPDATE mailroom.installation SET name = 'production'")
        told = wait_for(mailroom, "installation_differs")
        assert '"production"' in told["text"] and '"test"' in told["text"] and "mailroom adopt" in told["remedy"]
        database.rows("UPDATE mailroom.installation SET name = 'test'")
        wait_for(mailroom, "installation_differs", open=False)


LATER = "INSERT INTO mailroom.migrations (version, name, checksum) VALUES (999, '0999_later', 'x')"
NO_LATER = "DELETE FROM mailroom.migrations WHERE version = 999"


def nothing_is_claimed(erp, daemon):
    uid = erp.enqueue(user="ANNA", **letter())
    daemon.wait_for_line("error schema_differs: nothing new is sent: the database has schema version 999")
    time.sleep(0.5)  # two polls
    assert erp.database.value("SELECT count(*) FROM mailroom.queue WHERE lease_no = 0 AND uid = %s", [uid]) == 1
    return uid


def test_a_daemon_that_runs_while_the_schema_becomes_newer_claims_nothing_any_more_and_says_so(erp, mailroom, database, relay):
    erp.relay("ANNA", relay)
    with mailroom.daemon() as daemon:
        database.rows(LATER)
        daemon.wait_for_line("schema_differs")
        uid = nothing_is_claimed(erp, daemon)
        wait_until(lambda: database.rows("SELECT id FROM mailroom.events WHERE id = 'schema_differs' AND remedy LIKE '%same version%'"), 20, "the event", every=0.1)
        database.rows(NO_LATER)
        erp.wait_for(uid, "sent")
        assert "schema_differs: it is over" in daemon.log()


def test_a_newer_schema_is_refused_also_where_the_database_was_away_at_the_start(erp, mailroom, database, relay):
    erp.relay("ANNA", relay)
    database.rows(LATER)
    database.cluster.stop()
    try:
        daemon = mailroom.start(ready="error database_away: nothing new is sent")
    finally:
        database.cluster.start()
    uid = nothing_is_claimed(erp, daemon)
    assert database.value("SELECT count(*) FROM mailroom.dispatcher") == 0, "it does not even enrol"
    database.rows(NO_LATER)
    erp.wait_for(uid, "sent")
    assert daemon.stop() == 0


def test_a_killed_daemon_is_told_and_what_it_alone_could_end_is_over(erp, mailroom, script, relay):
    script.on("dot", Silence())
    erp.relay("ANNA", relay)
    key = mailroom.settings["secrets"].pop("key_file")
    victim = mailroom.start()
    uid = erp.enqueue(user="ANNA", **letter())
    relay.wait_for(1)
    own = wait_for(mailroom, "no_key")
    victim.kill()
    mailroom.settings["secrets"]["key_file"] = key
    with mailroom.daemon():
        died = wait_for(mailroom, "dispatcher_died")
        assert died["subject"] == own["subject"] and "with 1 message in hand: 1 in doubt" in died["text"]
        wait_for(mailroom, "no_key", open=False)
        assert erp.states()[uid] == ("in_doubt", "")


def test_messages_that_wait_for_an_operator_are_told_until_none_does(erp, mailroom, script, relay):
    mailroom.configure("doubt", policy="hold")
    script.on("dot", Close())
    erp.relay("ANNA", relay)
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "held", "in_doubt")
    with mailroom.daemon():  # it looks at its start, and every half minute
        assert wait_for(mailroom, "messages_in_doubt")["text"] == "waiting for an operator: 1 message that may have been sent or not"
    mailroom.run("cancel", uid, "--yes")
    with mailroom.daemon():
        wait_for(mailroom, "messages_in_doubt", open=False)


def test_a_transaction_that_pins_dead_rows_is_told_and_is_not_when_nobody_looks_any_more(erp, mailroom, database):
    database.rows("ALTER VIEW mailroom.pins RENAME TO young_pins")
    database.rows("CREATE VIEW mailroom.pins AS SELECT kind, subject, user_name, application_name, state, since - interval '1 hour' AS since, horizon,"
                  " transactions, remedy FROM mailroom.young_pins")
    with contextlib.closing(database.connect(application_name="month end")) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT pg_current_xact_id()")
        with mailroom.daemon():
            told = wait_for(mailroom, "vacuum_pinned")
            pid = connection.info.backend_pid
            assert told["subject"] == f"transaction pid {pid}" and "application month end" in told["text"]
            assert f"pg_terminate_backend({pid})" in told["remedy"]
    assert not event(mailroom, "vacuum_pinned")["open"]


def test_a_password_that_cannot_be_opened_is_told_for_its_account(erp, mailroom, database, server):
    erp.user("ANNA", mode="smtp", email=ANNA, server="localhost", port=server.port)
    erp.password("user", "ANNA", secret="right")
    database.rows("UPDATE mailroom.users SET password = set_byte(password, 25, get_byte(password, 25) # 1)")
    with mailroom.daemon() as daemon:
        erp.enqueue(user="ANNA", **letter())
        told = wait_for(mailroom, "sending_paused")
        assert "altered" in told["text"] and ANNA in told["subject"]
        erp.password("user", "ANNA", secret="right")
        erp.make_due()
        assert wait_for(mailroom, "sending_paused", open=False)["times"] == 1
        assert daemon.log().count("sending pauses") == 2, "told once, and once that it is over"


def test_a_password_that_needs_another_key_is_told_until_it_needs_it_no_more(erp, mailroom, server):
    erp.user("ANNA", mode="smtp", email=ANNA, server="localhost", port=server.port)
    erp.password("user", "ANNA", secret="right")
    other = mailroom.directory / "other key"
    mailroom.run("config", "new-key", other)
    mailroom.configure("secrets", key_file=str(other))
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter())
        assert "1 password was sealed with the key" in wait_for(mailroom, "no_key")["text"]
        erp.password("user", "ANNA", secret="right")  # sealed with the key that is there
        wait_for(mailroom, "no_key", open=False)
        erp.wait_for(uid, "sent")


def test_the_command_follows_what_begins_and_says_what_is_wrong_with_an_age(erp, mailroom, database):
    wrong = mailroom.run("events", "--since", "yesterday evening", check=False)
    assert wrong.code == 2 and "yesterday evening" in wrong.err
    assert mailroom.json("events") == {"events": []}
    assert mailroom.run("events", "--since", "2h").out == "no event\n"
    with subprocess.Popen([mailroom.executable, "--config", mailroom.write_settings(), "events", "--follow", "--json"],
                          stdout=subprocess.PIPE, text=True) as follower:
        try:
            with mailroom.daemon():
                database.rows("UPDATE mailroom.installation SET name = 'production'")
                told = json.loads(follower.stdout.readline())
                assert told["id"] == "installation_differs" and told["open"]
            over = json.loads(follower.stdout.readline())
            assert over["id"] == "installation_differs" and not over["open"], "its daemon has ended"
        finally:
            follower.kill()


def test_the_command_follows_on_when_the_database_is_back(erp, mailroom, database):
    raised = """INSERT INTO mailroom.events (id, subject, severity, text, remedy, since, last_seen, until, dispatcher, seen_by)
                VALUES ('no_key', %s, 'warning', 'a test', 'none', now(), now(), NULL, 1, '{}')"""
    with subprocess.Popen([mailroom.executable, "--config", mailroom.write_settings(), "events", "--follow", "--json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
        try:
            database.rows(raised, ["before"])
            assert json.loads(follower.stdout.readline())["subject"] == "before"
            database.cluster.stop_immediately()
            try:
                assert follower.stderr.readline().startswith("mailroom: waits for the database: the connection to the database is lost")
            finally:
                database.cluster.start()
            database.rows(raised, ["after"])
            database.rows("UPDATE mailroom.events SET until = now() WHERE subject = 'after'")
            assert json.loads(follower.stdout.readline())["subject"] == "after"
            assert follower.stderr.readline() == "mailroom: the database is back\n"
        finally:
            follower.kill()
