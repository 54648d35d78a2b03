"""The journal's disk is full, missing or closed: nothing goes that could not be told apart after a death, and the daemon says why."""

import subprocess

import pytest
from erp import Erp, letter
from machine import Unavailable, private_directory, wait_until
from misbehaving import MisbehavingServer


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", poll="200ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


@pytest.fixture
def small_disk():
    folder = private_directory("small-disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode != 0:
        raise Unavailable(f"this machine lets nobody mount a small disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    with open(folder / "filler", "wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(b"x" * 4096)


def test_on_a_full_disk_nothing_is_sent_until_there_is_room_and_no_try_is_used_up(erp, mailroom, server, small_disk):
    mailroom.configure("journal", directory=str(small_disk / "journal"))
    erp.relay("ANNA", server)
    with mailroom.daemon() as daemon:
        first = erp.enqueue(user="ANNA", **letter())
        erp.wait_for(first, "sent")
        fill(small_disk)
        uid = next(uid for uid in (erp.enqueue(user="ANNA", **letter()) for _ in range(100)) if tried(erp, uid) != "sent")  # the file's last page has room
        daemon.wait_for_line("journal_unwritable")
        assert "No space left on device" in daemon.log()
        before = len(server.seen.messages)
        assert all(mail.octets.count(uid.encode()) == 0 for mail in server.seen.messages)
        (small_disk / "filler").unlink()
        erp.hurry_until([uid], "sent", timeout=40)
        assert len(server.seen.messages) == before + 1
        story = erp.story(uid)
        assert story["possible_duplicate"] is False and story["attempts"] <= 1
    assert "journal_unwritable" in mailroom.run("events", "--all").out


def tried(erp, uid):
    """Its state once it is no longer on its way."""
    return wait_until(lambda: next((state for state in [erp.states()[uid][0]] if state not in ("ready", "sending")), None), 20, "the end of the try")


def test_a_folder_that_cannot_be_made_is_named_and_waited_for(erp, mailroom, server):
    blocked = mailroom.directory / "a-file"
    blocked.write_text("not a folder")
    mailroom.configure("journal", directory=str(blocked / "journal"))
    erp.relay("ANNA", server)
    uid = erp.enqueue(user="ANNA", **letter())
    daemon = mailroom.start(ready="journal_unwritable")
    assert "Not a directory" in daemon.log() and str(blocked) in daemon.log()
    assert erp.states()[uid] == ("ready", ""), "nothing is claimed"
    blocked.unlink()
    erp.wait_for(uid, "sent")
    assert daemon.stop() == 0


def test_the_settings_that_go_with_another_store_are_refused(mailroom):
    mailroom.settings["journal"] = {"store": "database", "sync": "machine"}
    refused = mailroom.run("config", "check", check=False)
    assert refused.code != 0 and '[journal] sync: is for store = "file" alone' in refused.out + refused.err
