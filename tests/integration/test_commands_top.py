"""`mailroom top`: one page for scripts, and live in a terminal, which it leaves as it was."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from erp import Erp, letter
from misbehaving import MisbehavingServer
from plans import fill, plan, reads

ENTER, LEAVE, HOME = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H"


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


class Watched:
    """`mailroom top` in a terminal of its own."""

    def __init__(self, mailroom, *arguments, columns=100, rows=40):
        self.master, self.slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen([mailroom.executable, "--config", mailroom.write_settings(), "top", *arguments],
                                        stdin=self.slave, stdout=self.slave, stderr=subprocess.STDOUT, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.shown = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, columns, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, condition, timeout=30):
        """Reads on until condition(all that was shown since) is true, and gives that."""
        begun = len(self.shown)
        deadline = time.monotonic() + timeout
        while not condition(self.shown[begun:]):
            assert time.monotonic() < deadline, self.shown[begun:]
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 65536).decode()
        return self.shown[begun:]

    def frames(self, count):
        """The next pages that were drawn as a whole, each as lines."""
        text = self.read_until(lambda shown: shown.count("\x1b[J") >= count + 1)
        return [re.sub(r"\x1b\[\??\d*[a-zA-Z]", "", frame).split("\r\n") for frame in text.split(HOME)[1:count + 1]]

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        self.read_until(lambda shown: LEAVE in shown)
        assert self.process.wait(30) == 0
        assert termios.tcgetattr(self.slave) == self.before, "the terminal is as it was"


def test_one_page_says_what_stands_where(erp, mailroom, server):
    erp.relay("ANNA", server)
    erp.enqueue_many([{"user": "NOBODY", **letter()}] * 3 + [{"user": "ANNA", **letter(not_before="2099-01-01T00:00:00Z", lane="urgent")}])
    waiting = mailroom.run("top").out
    assert "NO DISPATCHER IS ALIVE" in waiting and re.search(r"^ready +0 +3 +0$", waiting, re.M) and "normal for" in waiting
    with mailroom.daemon():
        erp.wait_for(erp.enqueue_many([{"user": "ANNA", **letter()}] * 4), "sent")
        erp.wait_for([row["uid"] for row in erp.database.rows("SELECT uid::text FROM mailroom.queue WHERE user_code = 'NOBODY'")], "held", "no_user")
        facts = mailroom.json("top")
        shown = mailroom.run("top", "--once").out
    assert {(d["state"], d["lane"]): d["messages"] for d in facts["depth"]} == {("held", "normal"): 3, ("scheduled", "urgent"): 1}
    assert facts["rates"]["minute"]["sent"] == 4 and facts["due_for"] == {} and facts["installation"] == "test"
    assert [(h["reason"], h["messages"]) for h in facts["holds"]] == [("no_user", 3)] and [d["alive"] for d in facts["dispatchers"]] == [True]
    for words in ("installation test", "1 dispatcher alive", "nothing is due", "no_user (user NOBODY", "(0.1)"):
        assert words in shown, words
    assert re.search(r"^held +0 +3 +0$", shown, re.M) and "\x1b" not in shown


def test_a_limited_account_shows_what_it_used(erp, mailroom, database):
    database.rows("INSERT INTO mailroom.limits VALUES ('mail.example.test', '*', 0, 0, 500), ('mail.example.test', 'erp/x', 0, 0, 700)")
    database.rows("""WITH p AS (INSERT INTO mailroom.place (key, kind, subject, limited, parked_at, blocked_until, blocked_why)
                                VALUES ('smtp/mail.example.test:587/erp/x', 'route', 'erp/x', true, now(), now() + interval '1 hour', 'the day is full') RETURNING id)
                     INSERT INTO mailroom.route_usage SELECT id, date_trunc('hour', now()), 123 FROM p""")
    erp.enqueue(user="ANNA", **letter())
    database.rows("UPDATE mailroom.queue SET place_id = (SELECT id FROM mailroom.place WHERE kind = 'route')")
    [account] = mailroom.json("top")["accounts"]
    assert (account["waiting"], account["recipients_in_24_hours"], account["limits"]["recipients_per_day"]) == (1, 123, 700)
    shown = mailroom.run("top").out
    assert "123/700" in shown and "smtp/mail.example.test:587/erp/x: the day is full" in shown
    assert re.search(r"^deferred +0 +1 +0$", shown, re.M), "a blocked account's mail is deferred"


def test_the_same_numbers_as_the_depth(erp, mailroom, database):
    """In every state that there is, by the view that counts all."""
    erp.enqueue_many([{"user": "ANNA", **letter(lane=lane)} for lane in ("urgent", "normal", "bulk") for _ in range(8)])
    database.rows("INSERT INTO mailroom.place (key, kind, reason) VALUES ('h', 'hold', 'no_user')")
    database.rows("INSERT INTO mailroom.place (key, kind, parked_at) VALUES ('r', 'route', now())")
    database.rows("INSERT INTO mailroom.place (key, kind, parked_at, blocked_until) VALUES ('b', 'route', now(), now() + interval '1 hour')")
    for lane in (0, 1, 2):
        for n, change in enumerate(("state = 1", "run_at = now() + interval '1 hour'", "run_at = now() + interval '1 hour', attempts = 1",
                                    "run_at = now() + interval '1 hour', doubts = 1", "place_id = (SELECT id FROM mailroom.place WHERE key = 'h')",
                                    "place_id = (SELECT id FROM mailroom.place WHERE key = 'b')", "place_id = 2")):
            database.rows(f"UPDATE mailroom.queue SET {change} WHERE id = (SELECT id FROM mailroom.queue WHERE lane = {lane} ORDER BY id OFFSET {n} LIMIT 1)")
    counted = {(d["state"], d["lane"]): d["messages"] for d in mailroom.json("top")["depth"]}
    all_of_it = {(row["state"], row["lane"]): row["count"] for row in database.rows("SELECT state, lane, count(*) FROM mailroom.depth GROUP BY 1, 2")}
    assert counted == all_of_it and len(all_of_it) == 21


def test_a_look_is_bounded_however_much_waits(store):
    held = store.place("hold/many")
    for place, lane, count in ((0, 2, 30_000), (0, 0, 10), (held, 1, 30_000)):
        fill(store, place, lane, count)
    store.root.rows("ANALYZE mailroom.queue")
    store.operator.rows("SET enable_bitmapscan = off")  # as `mailroom top` does, besides what a daemon sets
    found = plan(store.operator, "top", 2000, options="FORMAT JSON, ANALYZE")
    assert [node for node in found if "Sort" in node["Node Type"] and node["Plans"][0].get("Relation Name") == "queue"] == []
    assert 20_000 < reads(found) < 20_050  # PostgreSQL rounds what it read in each of its loops


def test_a_look_is_bounded_however_many_holds_there_are(store):
    store.root.rows("INSERT INTO mailroom.place (key, kind, reason) SELECT 'hold/' || n, 'hold', 'no_user' FROM generate_series(1, 1000) n")
    for row in store.root.rows("SELECT id FROM mailroom.place WHERE kind = 'hold' ORDER BY id LIMIT 20"):
        fill(store, row["id"], 1, 500)
    fill(store, 0, 1, 3_000)
    store.root.rows("ANALYZE mailroom.queue, mailroom.place")
    store.operator.rows("SET enable_bitmapscan = off")
    assert reads(plan(store.operator, "top", 2000, options="FORMAT JSON, ANALYZE")) < 9_000  # rounded in each of its loops; there are 13,000
    facts = json.loads(store.operator.row("top", 2000)[0])
    assert {(h["messages"], h["more"]) for h in facts["holds"]} == {(101, True)}
    assert {(d["state"], d["messages"], d["more"]) for d in facts["depth"]} == {("ready", 3_000, False), ("held", 20 * 101, True)}


def test_it_is_drawn_again_in_place_and_q_quits(erp, mailroom):
    with Watched(mailroom, "--interval", "200ms") as top:
        first, second = top.frames(2)
        assert first[0].startswith("mailroom, installation test") and second[0].startswith("mailroom, installation test")
        assert first[-1] == "q: quit" and top.shown.startswith(ENTER)
        erp.enqueue(user="ANNA", **letter())
        top.read_until(lambda shown: re.search(r"ready +0 +1 +0", shown))
        top.type("xq")
        top.end()


@pytest.mark.parametrize("by", ["Ctrl-C", "SIGTERM"])
def test_the_terminal_comes_back_however_it_ends(erp, mailroom, by):
    with Watched(mailroom) as top:
        top.read_until(lambda shown: "q: quit" in shown)
        top.type("\x03") if by == "Ctrl-C" else top.process.send_signal(signal.SIGTERM)
        top.end()


def test_a_narrow_terminal_cuts_and_a_new_size_is_drawn_at_once(erp, mailroom):
    with Watched(mailroom, "--interval", "1m", columns=30, rows=6) as top:
        shown = top.read_until(lambda text: "q: quit" in text)
        lines = [line.rstrip("\r") for line in re.sub(r"\x1b\[\??\d*[a-zA-Z]", "", shown.split(HOME)[1]).split("\r\n")]
        assert len(lines) == 6 and max(map(len, lines)) == 30 and lines[-1] == "q: quit"
        top.resize(120, 30)
        assert "a second, now (in the last minute)" in top.read_until(lambda text: "cancelled" in text and "q: quit" in text)
        top.type("q")
        top.end()


def test_a_database_that_goes_away_is_said_and_waited_for(erp, mailroom, database):
    def allow(yes):
        database.cluster.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS {yes}')

    with Watched(mailroom, "--interval", "200ms") as top:
        top.read_until(lambda shown: "q: quit" in shown)
        allow("false")
        try:
            database.cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database.name])
            shown = top.read_until(lambda text: "not currently accepting" in text)
            assert "NO ANSWER" in shown and "what stands below is old" in shown
        finally:
            allow("true")
        top.read_until(lambda text: re.search(r"\x1b\[Hmailroom, installation test", text))
        top.type("q")
        top.end()


def test_one_page_of_a_database_that_is_away_is_an_error(erp, mailroom):
    mailroom.configure("database", connection="host=127.0.0.1 port=1 dbname=x")
    done = mailroom.run("top", check=False)
    assert done.code == 1 and "Connection refused" in done.err
    assert mailroom.run("top", "--interval", "fast", check=False).code == 2
