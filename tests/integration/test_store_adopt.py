"""`mailroom adopt`: a database that was copied from another installation sends nothing before somebody says so."""

import contextlib

import psycopg2
import pytest

from erp import Erp, letter
from mailroom_program import Mailroom
from store import Session


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def copy(mailroom, erp, certificates, tmp_path):
    """The program of another installation on the same database, as after restoring production over test."""
    settings = {"installation": {"name": "copy"}, "secrets": {"key_file": str(mailroom.key_file)}}
    with Mailroom(mailroom.executable, erp.database.dsn, certificates.ca_file, tmp_path) as program:
        for table, keys in settings.items():
            program.configure(table, **keys)
        yield program


def test_a_dispatcher_of_another_installation_does_not_start(copy):
    for command in (["serve"], ["config", "check"]):
        answer = copy.run(*command, check=False, timeout=30)
        assert answer.code == 1
        for text in ('"test"', '"copy"', "mailroom adopt"):
            assert text in answer.err


def test_migrating_the_database_of_another_installation_keeps_its_name_and_says_so(copy, erp):
    answer = copy.run("migrate")
    assert "mailroom adopt" in answer.out
    assert erp.database.value("SELECT name FROM mailroom.installation") == "test"


def test_adopting_holds_all_that_waits_and_takes_it_from_who_had_leased_it(copy, erp):
    uids = erp.enqueue_many([letter(), letter(), letter(lane="urgent", not_before="2999-01-01T00:00:00Z")])
    with contextlib.closing(erp.database.connect()) as connection:
        session = Session(connection)
        dispatcher = session.run("register", "production", 1, "test", None, 3_600_000, "none")[0]["id"]
        [leased] = session.run("claim", dispatcher, [0], [1], [1], [0], 0)
        version = erp.database.value("SELECT settings_version FROM mailroom.installation")
        assert copy.json("adopt") == {"installation": "copy", "previous": "test", "held": 3}
        assert session.run("complete", dispatcher, f'[{{"id": {leased["id"]}, "lease_no": {leased["lease_no"]}, "outcome": "sent", "counted": 1}}]') == []
        assert session.run("beat", dispatcher, True) == []
    assert set(erp.states().values()) == {("held", "copied_from")} and set(erp.states()) == set(uids)
    assert erp.database.value("SELECT count(*) FROM mailroom.queue WHERE state = 0 AND lease_owner IS NULL") == 3
    assert erp.database.value("SELECT count(*) FROM mailroom.story WHERE event = 'adopted' AND note LIKE '%%test'") == 3
    assert erp.database.rows("SELECT name, settings_version FROM mailroom.installation") == [{"name": "copy", "settings_version": version + 1}]


def test_what_was_adopted_is_not_released_by_saving_settings(copy, erp):
    erp.enqueue(**letter())
    copy.run("adopt")
    erp.general(account="erp@example.test")
    with contextlib.closing(erp.database.connect()) as connection:
        assert Session(connection).row("release", 1000) == (0, 0)
    assert set(erp.states().values()) == {("held", "copied_from")}


def test_adopting_one_s_own_database_changes_nothing(mailroom, erp):
    uid = erp.enqueue(**letter())
    assert mailroom.json("adopt") == {"installation": "test", "previous": "test", "held": 0}
    assert erp.states() == {uid: ("ready", "")}


def test_adopting_twice_holds_once(copy, erp):
    erp.enqueue(**letter())
    assert copy.json("adopt")["held"] == 1
    assert copy.json("adopt") == {"installation": "copy", "previous": "copy", "held": 0}
    assert erp.database.value("SELECT count(*) FROM mailroom.story") == 1


def test_a_login_that_is_only_a_worker_may_not_adopt(copy, erp):
    worker = erp.database.name + "_worker"
    password = erp.database.cluster.create_role(worker, "IN ROLE mailroom_worker")
    copy.configure("database", connection=erp.database.cluster.dsn(worker, password, erp.database.name))
    answer = copy.run("adopt", check=False)
    assert answer.code == 1 and "permission denied" in answer.err
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), contextlib.closing(
            erp.database.cluster.connect(worker, password, erp.database.name)) as connection:
        Session(connection).rows("UPDATE mailroom.installation SET name = 'worker'")
    assert erp.database.value("SELECT name FROM mailroom.installation") == "test"
