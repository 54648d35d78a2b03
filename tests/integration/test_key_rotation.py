"""The key that passwords are sealed with is replaced while daemons send: nothing is held, nothing is forgotten, nothing is tried again."""

import threading

import pytest

from erp import Erp, letter
from machine import private_directory, wait_until
from mailroom_program import Mailroom
from misbehaving import MisbehavingServer

ANNA, GENERAL = "anna@example.test", "erp@example.test"


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), users={ANNA: "right", GENERAL: "right"}) as running:
        yield running


@pytest.fixture
def erp(mailroom, database, server):
    """Anna and General have a password each, sealed with the first key."""
    made = Erp(mailroom, database).prepare()
    made.general(mode="smtp", server="localhost", port=server.port, account=GENERAL)
    made.user("ANNA", mode="smtp", email=ANNA, server="localhost", port=server.port)
    made.form("INV", from_="invoices@example.test", mode="general")
    made.password("general", secret="right")
    made.password("user", "ANNA", secret="right")
    return made


def keys(mailroom):
    """By id."""
    return {key["id"]: key for key in mailroom.json("key", "list")["keys"]}


def sealed_with(database):
    """The ids of the keys, by whose the password is."""
    return {row["name"]: row["key"] for row in database.rows(
        """SELECT 'general' AS name, encode(substring(password FOR 8), 'hex') AS key FROM mailroom.general WHERE password IS NOT NULL
           UNION ALL SELECT code, encode(substring(password FOR 8), 'hex') FROM mailroom.users WHERE password IS NOT NULL""")}


def test_the_key_is_replaced_while_mail_goes(erp, mailroom, database, server):
    [old] = keys(mailroom)
    stopped, uids = threading.Event(), []

    def enqueue():
        while not stopped.wait(0.02):
            uids.extend((erp.enqueue(user="ANNA", **letter()), erp.enqueue(form="INV", **letter())))

    with mailroom.daemon() as daemon:
        writer = threading.Thread(target=enqueue)
        writer.start()
        try:
            new = mailroom.json("key", "add")["key_id"]
            told = keys(mailroom)
            assert told[old] == {"id": old, "in_file": True, "seals": True, "secrets": 2, "dispatchers": 1}
            assert told[new] == {"id": new, "in_file": True, "seals": False, "secrets": 0, "dispatchers": 0}
            refused = mailroom.run("key", "rotate", check=False)
            assert refused.code == 1 and f"the key {new} is not there on" in refused.err and "restart" in refused.err
            assert set(sealed_with(database).values()) == {old} and keys(mailroom)[old]["seals"]
            assert daemon.stop() == 0
            with mailroom.daemon() as again:
                assert keys(mailroom)[new]["dispatchers"] == 1
                assert mailroom.json("key", "rotate") == {"key_id": new, "sealed": 2, "unopened": []}
                assert sealed_with(database) == {"general": new, "ANNA": new}
                mailroom.run("account", "password", "user", "ANNA", input="right\n")
                assert sealed_with(database)["ANNA"] == new
                wait_until(lambda: len(server.seen.messages) > 20, 30, "mail goes on")
                stopped.set()
                writer.join()
                erp.wait_for(uids, "sent")
                assert mailroom.json("key", "rotate")["sealed"] == 0
                assert "held" not in again.log() and "sealed with" not in again.log()
        finally:
            stopped.set()
            writer.join()
    last = mailroom.run("key", "drop", new, check=False)
    assert last.code == 1 and "2 secrets still are sealed with" in last.err
    mailroom.run("key", "drop", old)
    assert list(keys(mailroom)) == [new]
    with mailroom.daemon():
        erp.wait_for(erp.enqueue(user="ANNA", **letter()), "sent")
    events = {row["event"] for uid in uids for row in erp.story(uid)["events"]}
    assert "held" not in events and "deferred" not in events
    assert all(ok for _, _, ok in server.seen.logins)


def test_a_refused_login_stays_refused(erp, mailroom, server):
    mailroom.run("account", "password", "user", "ANNA", input="wrong\n")
    mailroom.run("key", "add")
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "held", "auth_failed")
        tries = len(server.seen.logins)
        mailroom.run("key", "rotate")
        later = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(later, "held", "auth_failed")
        erp.wait_for(erp.enqueue(form="INV", **letter()), "sent")
        assert [login for login in server.seen.logins[tries:] if login[1] == ANNA] == []
        [told] = [event for event in mailroom.json("events", "--all")["events"] if event["id"] == "account_paused"]
        assert told["open"] and told["times"] == 1
        mailroom.run("account", "password", "user", "ANNA", input="right\n")
        erp.wait_for([uid, later], "sent")


def test_the_history_says_that_the_secret_is_the_same(erp, mailroom):
    mailroom.run("key", "add")
    mailroom.run("key", "rotate")
    newest = mailroom.run("settings", "history", "--limit", "2").out
    assert newest.count("sealed with another key") == 2


def test_a_dispatcher_with_the_old_key_alone_leaves_the_mail_to_the_other(erp, mailroom, database, server, certificates):
    with Mailroom(mailroom.executable, database.dsn, certificates.ca_file, private_directory("elsewhere")) as elsewhere:
        old = mailroom.key_file.read_text()
        mailroom.run("key", "add")
        mailroom.run("key", "rotate")
        elsewhere.key_file.write_text(old)
        elsewhere.key_file.chmod(0o400)
        with mailroom.daemon(), elsewhere.daemon(ready="leaves all mail to") as other:
            uids = [erp.enqueue(user="ANNA", **letter()) for _ in range(20)]
            erp.wait_for(uids, "sent")
            assert " sent " not in other.log()
    assert len(server.seen.messages) == 20


def test_a_dispatcher_that_lacks_an_older_key_leaves_the_mail_to_one_that_has_all(erp, mailroom, database, server, certificates):
    """General's password is sealed with that key still, so that alone it would hold General's mail."""
    with Mailroom(mailroom.executable, database.dsn, certificates.ca_file, private_directory("elsewhere")) as elsewhere:
        by_the_old = database.value("SELECT password FROM mailroom.general")
        new = mailroom.run("key", "add") and mailroom.key_file.read_text().splitlines()[-1]
        mailroom.run("key", "rotate")
        database.rows("UPDATE mailroom.general SET password = %s", [by_the_old])
        elsewhere.key_file.write_text(new + "\n")
        elsewhere.key_file.chmod(0o400)
        with mailroom.daemon(), elsewhere.daemon(ready="leaves all mail to") as other:
            uids = [erp.enqueue(form="INV", **letter()) for _ in range(20)]
            erp.wait_for(uids, "sent")
            assert " sent " not in other.log() and " held " not in other.log()


def test_alone_it_holds_what_it_cannot_open_and_the_right_key_frees_it(erp, mailroom, server):
    old = mailroom.key_file.read_text()
    both = mailroom.run("key", "add").out and mailroom.key_file.read_text()
    new = mailroom.json("key", "rotate")["key_id"]
    mailroom.key_file.chmod(0o600)
    mailroom.key_file.write_text(old)
    with mailroom.daemon() as daemon:
        uid = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(uid, "held", "key_missing")
        daemon.wait_for_line(f"sealed with the key {new}")
    assert not server.seen.logins
    mailroom.key_file.write_text(both)
    with mailroom.daemon():
        erp.wait_for(uid, "sent")


def test_what_cannot_be_opened_stays_and_is_named(erp, mailroom, database):
    database.rows("UPDATE mailroom.users SET password = set_byte(password, 25, get_byte(password, 25) # 1) WHERE code = 'ANNA'")
    [old] = keys(mailroom)
    new = mailroom.json("key", "add")["key_id"]
    done = mailroom.run("key", "rotate", check=False)
    assert done.code == 1 and "user ANNA: " in done.err and "mailroom account password user ANNA" in done.err and "sealed 1 secret" in done.out
    assert sealed_with(database) == {"general": new, "ANNA": old}
    assert mailroom.run("key", "drop", old, check=False).code == 1


def test_an_older_key_may_be_chosen_again_and_a_wrong_one_is_told(erp, mailroom, database):
    [old] = keys(mailroom)
    mailroom.run("key", "add")
    mailroom.run("key", "rotate")
    assert mailroom.json("key", "rotate", "--to", old)["sealed"] == 2
    assert set(sealed_with(database).values()) == {old} and keys(mailroom)[old]["seals"]
    wrong = mailroom.run("key", "rotate", "--to", "0123456789abcdef", check=False)
    assert wrong.code == 2 and "holds no key 0123456789abcdef" in wrong.err and "key list" in wrong.err
    missing = mailroom.run("key", "list", "--file", mailroom.directory / "none", check=False)
    assert missing.code == 1 and "No such file" in missing.err


def test_a_password_is_not_sealed_with_an_older_key_while_the_newer_one_is_in_use(erp, mailroom, database):
    """By a machine whose key file was left behind: that would undo the rotation."""
    old = mailroom.key_file.read_text()
    mailroom.run("key", "add")
    new = mailroom.json("key", "rotate")["key_id"]
    both = mailroom.key_file.read_text()
    with mailroom.daemon():
        mailroom.key_file.chmod(0o600)
        mailroom.key_file.write_text(old)
        done = mailroom.run("account", "password", "user", "ANNA", input="right\n", check=False)
        assert done.code == 1 and f"sealed with the key {new}, which is there on" in done.err and "key list" in done.err
        assert sealed_with(database)["ANNA"] == new
    mailroom.run("account", "password", "user", "ANNA", input="right\n")  # nobody who lives has it: it counts as lost
    assert sealed_with(database)["ANNA"] != new
    mailroom.key_file.write_text(both)
    assert mailroom.json("key", "rotate", "--to", new)["sealed"] == 1


def test_a_key_that_was_added_is_used_for_nothing_before_it_is_chosen(erp, mailroom, database):
    [old] = keys(mailroom)
    mailroom.run("key", "add")
    database.rows("UPDATE mailroom.installation SET key_id = NULL")  # as before the first password
    mailroom.run("account", "password", "user", "ANNA", input="right\n")
    assert sealed_with(database)["ANNA"] == old and keys(mailroom)[old]["seals"]


def test_after_it_nothing_is_left_of_the_refusals_by_the_older_key(erp, mailroom, database):
    mailroom.run("account", "password", "user", "ANNA", input="wrong\n")
    with mailroom.daemon():
        erp.wait_for(erp.enqueue(user="ANNA", **letter()), "held", "auth_failed")
    [before] = database.rows("SELECT fingerprint FROM mailroom.refused_login")
    mailroom.run("key", "add")
    mailroom.run("key", "rotate")
    [after] = database.rows("SELECT fingerprint, account, replaced FROM mailroom.refused_login")
    assert bytes(after["fingerprint"]) != bytes(before["fingerprint"]) and after["account"] == ANNA and not after["replaced"]
