"""The tests' own PostgreSQL: logins by password only, and a crash that loses nothing."""

import os

import psycopg2
import pytest

from postgres import PrivatePostgres


@pytest.fixture(scope="module")
def cluster():
    with PrivatePostgres() as running:
        yield running


def test_every_door_asks_for_the_password(cluster):
    for host in ("127.0.0.1", str(cluster.directory)):
        for password in (None, "wrong"):
            with pytest.raises(psycopg2.OperationalError, match="password"):
                psycopg2.connect(host=host, port=cluster.port, user=cluster.superuser, dbname="postgres", password=password)


def test_the_server_does_not_run_as_root(cluster):
    [[owner]] = cluster.execute("SELECT (pg_stat_file('.')).isdir")
    assert owner and (cluster.data / "PG_VERSION").stat().st_uid != 0


def test_a_role_and_its_database(cluster):
    password = cluster.create_role("anna")
    cluster.create_database("anna_db", owner="anna")
    connection = cluster.connect("anna", password, "anna_db")
    connection.cursor().execute("CREATE TABLE t (i int)")
    connection.close()
    cluster.drop_database("anna_db")


@pytest.mark.parametrize("end", ["stop", "stop_immediately", "kill"])
def test_what_was_committed_is_there_after_each_kind_of_end(cluster, end):
    cluster.execute("CREATE TABLE IF NOT EXISTS kept (how text)")
    cluster.execute("INSERT INTO kept VALUES (%s)", [end])
    getattr(cluster, end)()
    with pytest.raises(psycopg2.OperationalError):
        cluster.connect()
    cluster.start()
    assert (end,) in cluster.execute("SELECT how FROM kept")
    assert cluster.execute("SHOW fsync") == [("on",)]


def test_a_paused_server_answers_once_it_may_go_on(cluster):
    connection = cluster.connect(options="-c statement_timeout=10s")
    cluster.pause()
    try:
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(cluster.dsn(connect_timeout=2))
    finally:
        cluster.resume()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_nothing_is_left_behind():
    with PrivatePostgres(fsync=False) as short:
        pid, directory = short._process.pid, short.directory
    assert not os.path.exists(f"/proc/{pid}")
    assert not (short.data / "postmaster.pid").exists()
    assert directory.exists()  # until exit: the log may be needed
