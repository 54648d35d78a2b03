"""What the tests of faults ask in the end: is anything lost, did anything come twice that is not marked, how long until it went on?"""

import collections
import json
import os
import re
import time

import pytest

from erp import letter
from machine import wait_until

more_faults = pytest.mark.skipif(not os.environ.get("MAILROOM_MORE_FAULTS"), reason="MAILROOM_MORE_FAULTS=1 runs it")


def relay_and_enqueue(erp, server, count):
    """So many messages of one user that go by this server. Returns their uids."""
    erp.relay("ANNA", server)
    return erp.enqueue_many([{"user": "ANNA", **letter(batch="run")}] * count)


def end_sessions(database, query=""):
    """All of the daemons', or those whose last statement begins so; how many there were."""
    [[ended]] = database.cluster.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'mailroom serve' AND datname = %s AND starts_with(query, %s)",
        [database.name, query])
    return ended


def taken(server):
    """{uid: how often the server took it}"""
    return collections.Counter(re.search(rb"\r\nMessage-ID: <([0-9a-f-]{36})@", one.octets)[1].decode() for one in server.seen.messages)


def possible_duplicates(erp):
    """The uids of what ended and is marked so."""
    return {row["uid"] for row in erp.database.rows("SELECT uid::text FROM mailroom.log WHERE doubts > 0")}


def all_is_well(fault, erp, server, uids, resumed_after=None):
    """Compares what the server took with what the stories say of it, and writes one line of figures. Returns how many came twice."""
    times_of = taken(server)
    doubles = {uid for uid, times in times_of.items() if times > 1}
    marked = possible_duplicates(erp)
    lost = set(uids) - set(times_of)
    record(fault, messages=len(uids), lost=len(lost), doubled=len(doubles), unmarked=len(doubles - marked), in_doubt=len(marked), resumed_after=resumed_after,
           each=doubles)
    assert not lost, f"lost: {sorted(lost)[:5]}"
    assert set(times_of) <= set(uids), "some that nobody sent"
    assert doubles <= marked, f"twice, and not marked: {sorted(doubles - marked)[:5]}"
    assert all(erp.story(uid)["possible_duplicate"] is True for uid in sorted(doubles)[:3])
    unmarked = next((uid for uid in uids if uid not in marked), None)
    assert unmarked is None or erp.story(unmarked)["possible_duplicate"] is False
    assert erp.database.value("SELECT count(*) FROM mailroom.log") == len(uids)
    return len(doubles)


def doubled_and_marked(fault, erp, server, uids):
    """As all_is_well(): how many came twice, and how many are marked."""
    return all_is_well(fault, erp, server, uids), len(possible_duplicates(erp))


def nothing_is_marked(erp):
    return not possible_duplicates(erp)


def hurry_until_all_ended(erp, mailroom, uids, timeout=60):
    """Until all are sent; no retry waits for its time, and an operator lets go what is in doubt for the second time."""
    def come_to_rest():
        erp.make_due()
        return {state for state, _ in erp.states().values()} <= {"sent", "held"}

    wait_until(come_to_rest, timeout, "each sent, or held", every=0.2)
    held = [reason for state, reason in erp.states().values() if state == "held"]
    assert set(held) <= {"in_doubt"}
    if held:
        mailroom.run("release", "--reason", "in_doubt", "--yes")
    erp.hurry_until(uids, "sent", timeout=timeout)


def goes_on(server, timeout=60):
    """Seconds until the server takes the next message. To be called when the fault is over."""
    before, began = len(server.seen.messages), time.monotonic()
    server.wait(lambda seen: len(seen.messages) > before, timeout, "the next message after the fault")
    return time.monotonic() - began


def outcomes_go_on(erp, timeout=60):
    """Seconds until the next outcome is in the database. To be called when the fault is over."""
    def written():
        return erp.database.value("SELECT count(*) FROM mailroom.log")

    before, began = written(), time.monotonic()
    wait_until(lambda: written() > before, timeout, "the next outcome after the fault")
    return time.monotonic() - began


def record(fault, each=(), **figures):
    """A line of JSON to the file that $MAILROOM_RELIABILITY names: lost, doubled, in_doubt (marked, doubled or not), resumed_after (s); each: the
    uids of what came twice."""
    file = os.environ.get("MAILROOM_RELIABILITY")
    if not file:
        return
    known = {name: round(figure, 2) for name, figure in figures.items() if figure is not None}
    with open(file, "a") as out:
        out.write(json.dumps({"fault": fault, **known, "each": sorted(each)}) + "\n")
