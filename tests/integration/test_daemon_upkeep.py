"""What a daemon clears away by itself, and what it says of what it cannot."""

import contextlib
import os

import pytest

from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer
from smtp_script import Script


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), Script(), require_login=False) as running:
        yield running


def days_pass(erp, days):
    erp.database.rows("UPDATE mailroom.generation SET opened_at = opened_at - %s::interval, closed_at = closed_at - %s::interval,"
                      " drained_at = drained_at - %s::interval", [f"{days} days"] * 3)


def sent(erp, server, **message):
    erp.relay("ANNA", server)
    uid = erp.enqueue(user="ANNA", **letter(**message))
    erp.wait_for(uid, "sent")
    return uid


def contents(erp):
    return erp.database.value("SELECT count(*) FROM mailroom.content")


def test_a_daemon_clears_away_content_and_log_that_are_past_their_retention(erp, mailroom, server):
    mailroom.configure("retention", content="2d", log="30d")
    with mailroom.daemon():
        sent(erp, server)
    days_pass(erp, 40)
    with mailroom.daemon() as daemon:
        daemon.wait_for_line("opened generation 1 of content")
        daemon.wait_for_line("opened generation 1 of history")
        later = sent(erp, server)
    with mailroom.daemon():
        wait_until(lambda: erp.database.value("SELECT drained_at FROM mailroom.generation WHERE ring = 'content' AND generation = 0"), 30, "the look")
    days_pass(erp, 2.1)
    with mailroom.daemon():
        wait_until(lambda: contents(erp) <= 1, 30, "the old content to be gone")
        assert erp.database.value("SELECT count(*) FROM mailroom.log") == 2, "the log is kept for longer"
    days_pass(erp, 31)
    with mailroom.daemon() as daemon:
        daemon.wait_for_line("cleared away generation 0 of history: it was past its retention")
    assert erp.database.rows("SELECT uid::text FROM mailroom.log") == [{"uid": later}]


def test_a_daemon_forgets_keys_past_their_retention(erp, mailroom):
    mailroom.configure("retention", idempotency="1d")
    erp.enqueue(idempotency_key="old", **letter())
    erp.enqueue(idempotency_key="new", **letter())
    erp.database.rows("UPDATE mailroom.idempotency SET created_at = created_at - interval '25 hours' WHERE key = 'old'")
    with mailroom.daemon():
        wait_until(lambda: erp.database.rows("SELECT key FROM mailroom.idempotency") == [{"key": "new"}], 30, "the old key to be forgotten")


def test_mail_goes_while_it_cannot_be_recorded_why_and_that_is_made_up_for(erp, mailroom):
    erp.database.rows("CREATE FUNCTION mailroom.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$")
    erp.database.rows("CREATE TRIGGER refuse BEFORE INSERT ON mailroom.decision FOR EACH ROW EXECUTE FUNCTION mailroom.refuse()")
    uid = erp.enqueue(**letter())
    with mailroom.daemon() as daemon:
        erp.wait_for(uid, "held", "no_user")
        daemon.wait_for_line("recording why messages are decided as they are failed: not now")
        assert all("why" not in event for event in erp.story(uid)["events"])
        erp.database.rows("DROP TRIGGER refuse ON mailroom.decision")
        daemon.wait_for_line("it is over: recording why")
    assert [event["why"]["table_row"] for event in erp.story(uid)["events"] if event["event"] == "held"] == ["S1"]


def test_a_daemon_of_another_installation_clears_away_nothing(erp, mailroom):
    erp.database.rows("UPDATE mailroom.installation SET name = 'other'")
    days_pass(erp, 400)
    daemon = mailroom.start(ready="other")
    with contextlib.suppress(AssertionError):
        daemon.wait_for_line("opened generation", timeout=4)
    assert "opened generation" not in daemon.log()
    assert erp.database.value("SELECT content_generation FROM mailroom.installation") == 0


def test_a_step_that_fails_for_one_ring_is_told_although_it_works_for_the_other(erp, mailroom):
    days_pass(erp, 400)
    erp.database.rows("ALTER FUNCTION mailroom.turn_ring(text, interval) RENAME TO really_turn")
    definition = erp.database.value("SELECT pg_get_functiondef('mailroom.really_turn(text, interval)'::regprocedure)")
    head = definition[:definition.index("LANGUAGE")].replace("really_turn", "turn_ring")
    erp.database.rows(head + """ LANGUAGE plpgsql AS $$
        BEGIN
            IF turned = 'content' THEN RAISE EXCEPTION USING MESSAGE = E'the disk is full\\u009B2J\\u202E'; END IF;
            SELECT * INTO opened, stuck FROM mailroom.really_turn(turned, retention);
        END $$""")
    with mailroom.daemon() as daemon:
        daemon.wait_for_line("of history")
        [told] = wait_until(lambda: mailroom.json("events")["events"], 30, "an event")
        assert (told["id"], told["subject"]) == ("upkeep_failed", "opening a generation of content")
        assert "the disk is full?2J?" in told["text"], "nothing in it steers a terminal"
        assert "it is over" not in daemon.log()


def test_an_expiry_that_always_fails_is_told_and_is_over_when_it_works(erp, mailroom):
    erp.database.rows("CREATE FUNCTION mailroom.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$")
    erp.database.rows("CREATE TRIGGER refuse BEFORE INSERT ON mailroom.log FOR EACH ROW WHEN (NEW.outcome = 'expired') EXECUTE FUNCTION mailroom.refuse()")
    uid = erp.enqueue(**letter())
    erp.database.rows("UPDATE mailroom.queue SET expires_at = clock_timestamp() - interval '1 second',"
                      " run_at = clock_timestamp() + interval '1 hour'")  # what is claimed at that moment is not looked at
    with mailroom.daemon() as daemon:
        daemon.wait_for_line("ending what is past its expiry failed")
        [told] = wait_until(lambda: mailroom.json("events")["events"], 30, "an event")
        assert (told["id"], told["subject"]) == ("upkeep_failed", "ending what is past its expiry") and "not now" in told["text"]
        erp.database.rows("DROP TRIGGER refuse ON mailroom.log")
        daemon.wait_for_line("it is over: ending what is past its expiry failed")
        erp.wait_for(uid, "expired")
        assert daemon.log().count("ending what is past its expiry failed") == 2, "told once, and once that it is over"


@pytest.mark.skipif(not os.environ.get("MAILROOM_LONG"), reason="takes a minute; MAILROOM_LONG=1 runs it")
def test_a_transaction_that_goes_on_with_another_horizon_is_told_once_and_over_when_it_ends(erp, mailroom):
    """A reader's horizon is that of its present statement; the view gives it another one at each look."""
    erp.database.rows("ALTER VIEW mailroom.pins RENAME TO young_pins")
    erp.database.rows("CREATE VIEW mailroom.pins AS SELECT kind, subject, user_name, application_name, state, since - interval '1 hour' AS since,"
                      " pg_current_xact_id()::xid AS horizon, transactions, remedy FROM mailroom.young_pins")
    with contextlib.closing(erp.database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT pg_current_xact_id()")
        with mailroom.daemon() as daemon:
            daemon.wait_for_line("dead rows of the queue cannot be removed: transaction")
            with pytest.raises(AssertionError):
                daemon.wait_for_line("it is over", timeout=40)
            cursor.execute("ROLLBACK")
            daemon.wait_for_line("it is over: dead rows of the queue cannot be removed: transaction", timeout=60)
            assert daemon.log().count("cannot be removed") == 2


@pytest.mark.skipif(not os.environ.get("MAILROOM_LONG"), reason="takes two minutes; MAILROOM_LONG=1 runs it")
def test_a_daemon_tells_when_a_transaction_pins_dead_rows_and_when_it_ends(erp, mailroom):
    """The owner's daemon sees since when the transaction of the same login is open."""
    with contextlib.closing(erp.database.connect(application_name="month end")) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT pg_current_xact_id()")
        with mailroom.daemon() as daemon:
            daemon.wait_for_line("dead rows of the queue cannot be removed: transaction", timeout=120)
            line = next(line for line in daemon.log().splitlines() if "cannot be removed" in line)
            assert "application month end" in line and "idle in transaction" in line and f"pid {connection.info.backend_pid}" in line
            cursor.execute("ROLLBACK")
            daemon.wait_for_line("it is over: dead rows of the queue cannot be removed: transaction", timeout=60)
            assert daemon.log().count("cannot be removed") == 2, "told once, and once that it is over"


def test_a_daemon_vacuums_the_queue_when_autovacuum_does_not(erp, mailroom):
    erp.database.rows("ALTER TABLE mailroom.queue SET (autovacuum_enabled = off)")
    erp.database.rows("INSERT INTO mailroom.queue (lane, source, recipients, generation, addressed, size, uid, posted_by, run_at)"
                      " SELECT 1, 0, 1, 0, false, 0, gen_random_uuid(), '', 'infinity' FROM generate_series(1, 21000)")
    erp.database.rows("DELETE FROM mailroom.queue")
    dead = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'mailroom.queue'::regclass"
    wait_until(lambda: erp.database.value(dead) >= 20_000, 10, "the statistics of what was deleted")
    with mailroom.daemon() as daemon:
        daemon.wait_for_line("autovacuum does not keep up with mailroom.queue")
        wait_until(lambda: erp.database.value(dead) == 0, 30, "the dead rows to be gone")
