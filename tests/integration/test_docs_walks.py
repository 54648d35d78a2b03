"""A reader who follows the pages step by step arrives where they say: at a message that is sent, at a copy that stays silent."""

import json
import re
import shutil

import pytest

from documentation import ROOT, Reader, blocks
from machine import wait_until
from postgres import PrivatePostgres

ACCOUNT = "erp@example.com"
UPGRADE = (ROOT / "docs" / "upgrade-and-backup.md").read_text()
WAITING = """SELECT uid::text, state, reason FROM mailroom.depth ORDER BY enqueued_at"""


@pytest.fixture(scope="module")
def prepared(build_directory, certificates):
    """Until the schema is there, and a shared account that has no server yet: what it is to send waits."""
    with PrivatePostgres(fsync=False) as cluster, Reader(build_directory / "service" / "mailroom", cluster, certificates.ca_file) as reader:
        reader.follow("getting-started.md", ("2. Database and logins", "3. Settings and key", "4. Schema"))
        reader.run("account", "set", "general", "mode=smtp", "account=" + ACCOUNT)
        reader.run("account", "set", "form", "HELLO", "from=" + ACCOUNT, "mode=general")
        cluster.execute("ALTER DATABASE erp RENAME TO prepared")
        shutil.copytree(reader.settings.parent, reader.directory / "prepared")
        yield reader


@pytest.fixture
def reader(prepared):
    """The same for each test."""
    prepared.cluster.execute("CREATE DATABASE erp TEMPLATE prepared OWNER erp_owner")
    shutil.rmtree(prepared.settings.parent)
    shutil.rmtree(prepared.directory / "state", ignore_errors=True)  # journals of the database before
    shutil.copytree(prepared.directory / "prepared", prepared.settings.parent)
    yield prepared
    prepared.kill_service()
    for name in ("erp", "erp_test"):
        prepared.cluster.drop_database(name)


def enqueue(reader, subject, **more):
    text = ", ".join(f'"{name}": "{value}"' for name, value in {"form": "HELLO", "to": "you@example.com", "subject": subject, "text": "x", **more}.items())
    [row] = reader.query("erp", f"SELECT mailroom.enqueue('{{{text}}}')::text AS uid")
    return row["uid"]


def waiting(reader, database="erp"):
    return {row["uid"]: (row["state"], row["reason"]) for row in reader.query("mailroom", WAITING, database)}


def test_getting_started_leads_to_messages_that_are_sent(build_directory, certificates, postfix):
    password = postfix.add_user(ACCOUNT)
    with PrivatePostgres(fsync=False) as cluster, Reader(build_directory / "service" / "mailroom", cluster, certificates.ca_file,
                                                         (postfix.port, password)) as reader:
        reader.follow("getting-started.md")

        def sent():
            return reader.query("superuser", "SELECT outcome, from_address FROM mailroom.log") == [{"outcome": "sent", "from_address": ACCOUNT}] * 2

        wait_until(sent, 30, "both messages sent")
        texts = [message.message.get_content() for message in postfix.messages() if message.recipient == "you@example.com"]
        assert sorted(text.strip() for text in texts) == ["Sent by mailroom.", "Sent by the ERP."]
        findings = json.loads(reader.run("doctor", "--json").stdout)["findings"]
        assert len(findings) > 10 and [found for found in findings if found["level"] == "problem"] == []
        reader.stop_service()


def test_getting_started_uses_every_kind_of_step_and_explains_what_it_does_not_run():
    steps = blocks("sh", page="getting-started.md")
    assert [block.place for block in steps if block.how.startswith("not run: ")] == [steps[0].place]
    assert sum(block.how == "starts the service" for block in steps) == 1 and len(steps) >= 7


def test_an_upgrade_goes_as_the_page_says_and_the_mail_waits(reader):
    uid = enqueue(reader, "waits")
    reader.follow("upgrade-and-backup.md", ("Upgrade",))
    wait_until(lambda: waiting(reader) == {uid: ("held", "config_incomplete")}, 30, "the daemon's look at it")
    reader.stop_service()


def test_a_program_that_does_not_fit_the_schema_says_so_in_the_words_of_the_page(reader):
    said = [re.sub(r"\d+", "N", words) for words in re.findall(r"^\| the \w+ \| (the database has .*) \|$", UPGRADE, re.MULTILINE)]
    assert len(said) == 2
    [row] = reader.query("superuser", "SELECT max(version) AS newest FROM mailroom.migrations")
    for change, words in [(f"UPDATE mailroom.migrations SET version = -1 WHERE version = {row['newest']}", said[0]),
                          ("UPDATE mailroom.migrations SET version = 9999 WHERE version = -1", said[1])]:
        reader.query("superuser", change)
        for command in (["config", "check"], ["serve"], ["queue"]):
            done = reader.run(*command, check=False)
            assert done.returncode == 1 and words in re.sub(r"\d+", "N", done.stderr), command


def test_a_copy_stays_silent_and_an_adopted_one_is_held_until_somebody_decides(reader):
    uids = {enqueue(reader, "one"), enqueue(reader, "two", not_before="2099-01-01T00:00:00Z")}
    reader.follow("upgrade-and-backup.md", ("Backup",))
    commands = blocks("sh", "toml", page="upgrade-and-backup.md")
    copies = [block for block in commands if block.section == "Copies, for a test system"]
    for block in copies[:-1]:
        (reader.write_file if block.language == "toml" else reader.run_shell)(block)
    assert set(waiting(reader, "erp_test")) == uids
    assert "belongs to the installation" in reader.run("--config", str(reader.directory / "etc" / "test.toml"), "serve", check=False).stderr
    reader.run_shell(copies[-1])
    assert waiting(reader, "erp_test") == {}
    assert {row["outcome"] for row in reader.query("mailroom", "SELECT outcome FROM mailroom.log", "erp_test")} == {"cancelled"}
    assert set(waiting(reader)) == uids and len(reader.query("mailroom", "SELECT FROM mailroom.log")) == 0  # production is as it was
    with_dump = (reader.directory / "backups" / "roles.sql").read_text()
    assert "GRANT mailroom_producer TO erp" in with_dump


def test_what_was_restored_in_place_is_in_doubt_and_goes_or_ends_as_the_operator_says(reader):
    old, young = enqueue(reader, "old"), enqueue(reader, "young")
    reader.query("superuser", f"UPDATE mailroom.queue SET enqueued_at = enqueued_at - interval '2 hours' WHERE uid = '{old}'")
    reader.query("superuser", f"UPDATE mailroom.queue SET state = 1, lease_owner = 4711, lease_no = 1 WHERE uid = '{young}'")  # as it was being sent
    steps = [block for block in blocks("sh", page="upgrade-and-backup.md") if block.section == "Restored to an earlier time"]
    for block in steps[:-1]:
        reader.run_shell(block)
    assert waiting(reader) == {uid: ("held", "in_doubt") for uid in (old, young)}
    new = enqueue(reader, "new")
    wait_until(lambda: waiting(reader)[new] == ("held", "config_incomplete"), 30, "new mail is looked at")
    reader.run_shell(steps[-1])
    wait_until(lambda: waiting(reader) == {uid: ("held", "config_incomplete") for uid in (young, new)}, 30, "the one that was not sent is looked at")
    [ended] = reader.query("mailroom", "SELECT uid::text, outcome FROM mailroom.log")
    assert ended == {"uid": old, "outcome": "sent"}
    reader.stop_service()


def store_the_shared_password(reader):
    reader.mail_password = "the same as before"
    reader.run("account", "set", "general", "server=localhost", "port=1")
    [typed] = [block for block in blocks("sh", page="getting-started.md") if block.wants("typing the password")]
    reader.run_shell(typed)


def key_of_the_shared_password(reader):
    [row] = reader.query("superuser", "SELECT password FROM mailroom.general")
    return bytes(row["password"])[:8]  # the key's id


@pytest.mark.parametrize("page, section, is_running", [("upgrade-and-backup.md", "The key", False), ("security.md", "Replacing the key", True)],
                         ids=["lost", "replaced"])
def test_another_key_opens_the_password_as_the_page_says(reader, page, section, is_running):
    store_the_shared_password(reader)
    before = key_of_the_shared_password(reader)
    if is_running:
        reader.start_service()
    reader.follow(page, (section,))
    assert key_of_the_shared_password(reader) != before
    uid = enqueue(reader, "opened")
    wait_until(lambda: waiting(reader)[uid] == ("deferred", "account_blocked"), 30, "its account's server is tried")  # so the password was opened
    reader.stop_service()


def test_with_another_key_nothing_is_sent_and_the_log_names_both(reader):
    store_the_shared_password(reader)
    [changed, *_] = [block for block in blocks("sh", page="upgrade-and-backup.md") if block.section == "The key"]
    reader.run_shell(changed)
    uid = enqueue(reader, "not opened")
    reader.start_service()
    reader.service.wait_for_line("was sealed with the key")
    wait_until(lambda: waiting(reader)[uid] == ("held", "key_missing"), 30, "it is held")
    reader.stop_service()
