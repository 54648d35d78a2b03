"""The command line as a whole: help, exit codes, JSON; and what is wrong with a settings file, a key or a database."""

import json
import re
import subprocess

import pytest
from psycopg2.extensions import make_dsn

from erp import Erp

COMMANDS = [["serve"], ["migrate"], ["adopt"], ["config", "check"], ["config", "new-key"], ["key", "list"], ["key", "rotate"], ["account", "list"], ["account", "set"],
            ["account", "password"], ["account", "probe"], ["send"], ["queue"], ["show"], ["doctor"], ["top"]]


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


def bare(mailroom, *arguments):
    """Without any settings file."""
    return subprocess.run([str(mailroom.executable), *arguments], capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin"})


def check(mailroom, text):
    """`config check` of a settings file with this text: its code and its complaints."""
    file = mailroom.directory / "typed.toml"
    file.write_text(text)
    done = bare(mailroom, "--config", str(file), "config", "check")
    return done.returncode, done.stderr.splitlines()


def test_help_names_every_command_and_every_command_has_help_and_json(mailroom):
    overview = bare(mailroom, "--help")
    assert overview.returncode == 0 and "Exit codes" in overview.stdout
    assert all(re.search(rf"^  {command[0]}\b", overview.stdout, re.M) for command in COMMANDS)
    for command in COMMANDS:
        told = bare(mailroom, *command, "--help")
        assert told.returncode == 0 and "--json" in told.stdout, command
    assert re.fullmatch(r"mailroom \d+\.\d+\.\d+\n", bare(mailroom, "--version").stdout)


@pytest.mark.parametrize("arguments", [
    [], ["frobnicate"], ["queue", "--frobnicate"], ["show"], ["account"], ["account", "set", "general"], ["account", "password", "printer"],
    ["send", "--form", "A", "--model", "B"], ["send", "--wait", "--timeout", "soon"]])
def test_a_wrong_command_line_ends_with_2_and_says_why(mailroom, arguments):
    done = bare(mailroom, *arguments)
    assert done.returncode == 2 and done.stderr.strip() and done.stdout == ""


def test_every_typo_of_a_settings_file_is_told_at_once_with_its_line(mailroom):
    code, told = check(mailroom, "\n".join([
        '[instalation]', 'name = "test"',  # 1
        '[installation]', 'name = 17', 'domain = "not a domain"',  # 4, 5
        '[database]', 'conection = "dbname=x"',  # 7
        '[dispatcher]', 'connections = 0', 'lease = "20"', 'pol = "1s"',  # 9 to 11
        '[doubt]', 'policy = "maybe"',  # 13
        '[log]', 'level = "loud"', 'file = true',  # 15, 16
        '[retry]', 'max_attempts = "many"', '']))  # 18
    assert code == 2
    lines = {int(found[1]) for found in map(re.compile(r"typed\.toml:(\d+):").search, told) if found}
    assert lines == {1, 4, 5, 7, 9, 10, 11, 13, 15, 16, 18}
    everything = "\n".join(told)
    for words in ("did you mean installation?", "did you mean connection?", "did you mean poll?", '"resend_once", "hold"',
                  "[database] connection is missing"):
        assert words in everything


def test_a_file_that_is_no_toml_or_not_there_is_said_so(mailroom):
    code, [told] = check(mailroom, '[installation]\nname = "test\n')
    assert code == 2 and "typed.toml:2:" in told
    done = bare(mailroom, "--config", "/no/such/file.toml", "config", "check")
    assert done.returncode == 2 and "/no/such/file.toml" in done.stderr and "No such file" in done.stderr
    assert bare(mailroom, "--config", str(mailroom.directory), "config", "check").returncode == 2


def test_all_in_order(erp, mailroom):
    assert "everything is in order" in mailroom.run("config", "check").out
    assert mailroom.json("config", "check") == {"file": str(mailroom.config_file), "ok": True, "problems": [], "warnings": []}


@pytest.mark.parametrize("change, words", [
    ({"password": "wrong"}, "password authentication failed"),
    ({"host": "no-such-host.invalid"}, "no-such-host.invalid"),
    ({"port": "1"}, "Connection refused"),
    ({"dbname": "no_such_database"}, '"no_such_database" does not exist'),
])
def test_a_database_that_cannot_be_reached_is_said_by_every_command_that_needs_it(erp, mailroom, database, change, words):
    mailroom.configure("database", connection=make_dsn(database.dsn, **change))
    for command in (["config", "check"], ["queue"], ["account", "list"], ["migrate"], ["send", "--to", "a@b.test", "--text", "x"]):
        done = mailroom.run(*command, check=False)
        assert done.code == 1 and words in done.err, command
        assert database.password not in done.err + done.out


def test_a_database_without_schema_says_what_to_do(mailroom, database):
    mailroom.run("config", "new-key", mailroom.key_file)
    for command in (["config", "check"], ["queue"], ["serve"], ["show", "4c839a95-b1f7-4bb6-80e4-5114477a2748"]):
        done = mailroom.run(*command, check=False)
        assert done.code == 1 and "mailroom migrate" in done.err, command


def test_a_schema_that_is_newer_or_older_is_refused(erp, mailroom, database):
    newest = database.value("SELECT max(version) FROM mailroom.migrations")
    database.rows("UPDATE mailroom.migrations SET version = 9999 WHERE version = %s", [newest])
    for command in (["queue"], ["migrate"], ["serve"], ["config", "check"]):
        done = mailroom.run(*command, check=False)
        assert done.code == 1 and "9999" in done.err, command
    database.rows("DELETE FROM mailroom.migrations WHERE version = 9999")
    done = mailroom.run("queue", check=False)
    assert done.code == 1 and "mailroom migrate" in done.err


def test_a_key_file_that_is_missing_too_open_or_no_key_is_told(erp, mailroom):
    for file, content, mode, words in (("missing", None, None, "No such file"), ("open", "keep", 0o644, "0400"), ("rubbish", "x\n", 0o400, "base64")):
        path = mailroom.directory / file
        if content:
            path.write_text(mailroom.key_file.read_text() if content == "keep" else content)
            path.chmod(mode)
        mailroom.configure("secrets", key_file=str(path))
        for command in (["config", "check"], ["serve"], ["account", "password", "general"]):
            done = mailroom.run(*command, check=False, input="x\n")
            assert done.code == 1 and str(path) in done.err and words in done.err, (command, done)


def test_a_key_is_written_for_its_owner_only_and_never_over_another(mailroom):
    path = mailroom.directory / "a key"
    told = mailroom.json("config", "new-key", path)
    assert told["file"] == str(path) and len(told["key_id"]) == 16
    assert path.stat().st_mode & 0o777 == 0o400
    before = path.read_bytes()
    again = mailroom.run("config", "new-key", path, check=False)
    assert again.code == 1 and "exists" in again.err and path.read_bytes() == before
    assert path.read_text().strip() not in str(told)


def test_authorities_that_are_not_there_are_told(erp, mailroom):
    mailroom.configure("tls", ca_file="/no/such/ca.pem")
    for command in (["config", "check"], ["serve"]):
        done = mailroom.run(*command, check=False)
        assert done.code == 1 and "/no/such/ca.pem" in done.err


def test_a_log_that_cannot_be_written_is_told(erp, mailroom):
    """As by `serve`, which would not start."""
    mailroom.configure("log", file=str(mailroom.directory / "no such folder" / "log"))
    for command in (["config", "check"], ["serve"]):
        done = mailroom.run(*command, check=False)
        assert done.code == 1 and "no such folder" in done.err, command


def test_with_json_an_error_is_json_too(erp, mailroom):
    done = mailroom.run("show", "no uid", "--json", check=False)
    told = json.loads(done.out)
    assert done.code == told["exit_code"] == 2 and "is not the uid" in told["error"]
    mailroom.configure("database", connection="host=127.0.0.1 port=1 dbname=x")
    done = mailroom.run("queue", "--json", check=False)
    assert done.code == json.loads(done.out)["exit_code"] == 1


@pytest.mark.parametrize("command", [["queue"], ["migrate"], ["serve"], ["account", "list"], ["send", "--to", "a@b.test", "--text", "x"],
                                     ["show", "4c839a95-b1f7-4bb6-80e4-5114477a2748"]])
def test_a_wrong_settings_file_ends_every_command_with_2(mailroom, command):
    mailroom.configure("dispatcher", conections=3)
    done = mailroom.run(*command, check=False)
    assert done.code == 2 and "did you mean connections?" in done.err
