"""The helper that runs the program under test, tried on a program that is none."""

import stat

import pytest

from mailroom_program import CommandFailed, Mailroom, toml

PRETENDER = """#!/bin/sh
[ "$3" = serve ] || { echo "{\\"asked\\": \\"$3\\"}"; echo "a complaint" >&2; [ "$3" != fail ]; exit; }
trap 'echo stopped; exit 0' TERM
echo ready
while :; do sleep 0.05; done
"""


@pytest.fixture
def pretender(tmp_path):
    executable = tmp_path / "mailroom"
    executable.write_text(PRETENDER)
    executable.chmod(executable.stat().st_mode | stat.S_IXUSR)
    with Mailroom(executable, "dbname=x", "/ca.pem", tmp_path, {"dispatcher": {"poll": "5s"}}) as program:
        yield program


def test_settings_are_written_as_toml(pretender):
    text = pretender.configure("log", level="debug").write_settings().read_text()
    assert '[dispatcher]\nconnections = 16\nlease = "20s"\npoll = "5s"' in text
    assert '[log]\nlevel = "debug"' in text
    assert toml({"a": {"yes": True, "quote": 'a"b'}}) == '[a]\nyes = true\nquote = "a\\"b"\n'


def test_a_command_answers_or_fails_with_what_it_printed(pretender):
    assert pretender.json("queue") == {"asked": "queue"}
    with pytest.raises(CommandFailed, match="a complaint"):
        pretender.run("fail")
    assert pretender.run("fail", check=False).code == 1


def test_a_daemon_is_stopped_at_the_end_of_its_block(pretender):
    with pretender.daemon() as daemon:
        assert daemon.running
    assert not daemon.running and "stopped" in daemon.log()


def test_a_daemon_that_was_killed_stays_killed(pretender):
    with pretender.daemon() as daemon:
        daemon.kill()
        assert not daemon.running
    assert "stopped" not in daemon.log()


def test_a_daemon_that_ends_too_early_shows_its_log(pretender):
    pretender.executable.write_text("#!/bin/sh\necho no database\nexit 3\n")
    with pytest.raises(AssertionError, match="ended with 3(.|\n)*no database"):
        pretender.start()
