"""What a test server took, by Message-ID, against what mailroom says of it: nothing lost, and twice only what is marked as a possible duplicate."""

import collections
import re

MESSAGE_ID = re.compile(rb"\r\nMessage-ID: <([0-9a-f-]{36})@")


def counted(server):
    """{uid: how often the server took it}"""
    return collections.Counter(MESSAGE_ID.search(one.octets)[1].decode() for one in server.seen.messages)


def check(erp, server, uids):
    """All uids arrived, and none twice that is not marked. Returns (how many came twice, how many are marked)."""
    taken = counted(server)
    lost = set(uids) - set(taken)
    assert not lost, f"{len(lost)} lost: {sorted(lost)[:5]}"
    assert set(taken) == set(uids), "mail that nobody sent"
    doubled = {uid for uid, times in taken.items() if times > 1}
    marked = {row["uid"] for row in erp.database.rows("SELECT uid::text FROM mailroom.log WHERE doubts > 0")}
    assert doubled <= marked, f"twice, and not marked: {sorted(doubled - marked)[:5]}"
    assert erp.database.value("SELECT count(*) FROM mailroom.log") == len(uids)
    return len(doubled), len(marked)
