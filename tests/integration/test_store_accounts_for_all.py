"""Producers, dispatchers, operators and faults at random against one database: at the end every message is accounted for.

The dispatchers are threads that do through queue/sql what the program does; the mail server is a list of what it took. 15 s, or 60 with
MAILROOM_LONG=1. A failure names its seed, which brings back the choices, not the moments.
"""

import collections
import json
import os
import random
import threading
import time

import psycopg2

from store import ending, resending, suspension

SECONDS = 60 if os.environ.get("MAILROOM_LONG") else 15
DRAIN = 60       # s: at most, until the queue is empty once the faults have ended
LEASE = 1.0      # s
TRUST = 0.6      # s after a heartbeat began: what is begun later may be somebody else's
RESEND = 100     # ms after a doubt
GONE = (psycopg2.OperationalError, psycopg2.InterfaceError)


class Killed(Exception):
    """The process ends here, whatever it had."""


class World:
    def __init__(self, store, seed):
        self.store, self.seed = store, seed
        self.lock = threading.Lock()
        self.calm, self.over = threading.Event(), threading.Event()
        self.committed, self.rolled_back, self.unsure = set(), set(), set()
        self.accepted = collections.Counter()
        self.unmarked = []
        self.errors = []
        self.counts = collections.Counter()
        self.doubt = store.place("in_doubt/policy", self_releasing=False)
        self.quarantine = store.place("quarantined/crashes", self_releasing=False)
        self.hold = store.place("auth_failed/general", owners=["general"])
        self.route = store.route()
        self.look = store.session("root")

    def accept(self, uid):
        """The mail server takes it. Whoever sends it a second time must have been told that it may be the second."""
        with self.lock:
            self.accepted[uid] += 1
            if self.accepted[uid] > 1:
                doubts = self.look.value("SELECT coalesce((SELECT max(doubts) FROM mailroom.queue WHERE uid = %s::uuid),"
                                         " (SELECT max(doubts) FROM mailroom.log WHERE uid = %s::uuid))", uid, uid)
                if not doubts:
                    self.unmarked.append(uid)

    def run(self, *parts):
        threads = [threading.Thread(target=self._guarded, args=[part], daemon=True) for part in parts]
        for thread in threads:
            thread.start()
        return threads

    def _guarded(self, part):
        try:
            part()
        except Exception as error:  # a thread's failure is the test's
            self.errors.append(error)
            raise


class Connected:
    """A login's session, made anew after its connection was lost."""

    def __init__(self, world, login):
        self.world, self.login, self.session = world, login, None

    def __call__(self, call):
        """None: there was no answer."""
        try:
            if self.session is None:
                with self.world.lock:
                    self.session = self.world.store.session(self.login)
            return call(self.session)
        except GONE:
            self.session = None
            self.world.counts["no answer"] += 1
            return None


class Producer:
    def __init__(self, world, number):
        self.world, self.random = world, random.Random(f"{world.seed} producer {number}")
        self.database = Connected(world, "producer")

    def __call__(self):
        while not self.world.calm.is_set():
            if len(self.world.committed) < 4000:
                self.enqueue(self.random.random())
            self.world.calm.wait(self.random.expovariate(60))

    def enqueue(self, chance):
        told = {}

        def transaction(session):
            session.begin()
            told["uid"] = session.enqueue(lane=self.random.choice(("urgent", "normal", "bulk")))
            if chance < 0.1:
                self.world.calm.wait(0.2)  # commits late
            told["asked"] = "COMMIT" if chance < 0.9 else "ROLLBACK"
            session.rows(told["asked"])
            return True

        done = self.database(transaction)
        if "uid" not in told:
            return
        if not done and told.get("asked") == "COMMIT":
            self.world.unsure.add(told["uid"])
        elif done and told["asked"] == "COMMIT":
            self.world.committed.add(told["uid"])
        else:
            self.world.rolled_back.add(told["uid"])


class Dispatcher:
    def __init__(self, world, number):
        self.world, self.random = world, random.Random(f"{world.seed} dispatcher {number}")
        self.database = Connected(world, "worker")
        self.forget()

    def forget(self):
        self.id, self.trusted_until, self.unwritten, self.claim_is_unknown, self.upkeep_at = None, 0, [], False, 0

    def __call__(self):
        while not self.world.over.is_set():
            try:
                self.turn()
            except Killed:
                self.world.counts["kills"] += 1
                self.forget()

    def turn(self):
        self.beat()
        self.write()
        if self.claim_is_unknown and not self.unwritten and self.id is not None:
            self.claim_is_unknown = self.database(lambda s: self.world.store.hand_back(self.id, s)) is None
        self.upkeep()
        if self.id is None or self.unwritten or self.claim_is_unknown or time.monotonic() > self.trusted_until:
            self.world.over.wait(0.05)
            return
        version = self.database(lambda s: s.value("SELECT settings_version FROM mailroom.installation"))
        places = [0, 1, self.world.route]
        claimed = self.database(lambda s: self.world.store.claim(self.id, 4, s, self.random.sample(places, 3)))
        if claimed is None or version is None:
            self.claim_is_unknown = True
            return
        for message in claimed:
            self.one(message, version)
            if self.random.random() < 0.5:
                self.write()
        if not claimed:
            self.world.over.wait(0.02)

    def beat(self):
        began = time.monotonic()
        if self.id is None:
            found = self.database(lambda s: self.world.store_dispatcher(s))
            self.id = found
        elif (answer := self.database(lambda s: s.run("beat", self.id, True))) == []:
            self.id = None  # taken for dead
            return
        elif answer is None:
            return
        if self.id is not None:
            self.trusted_until = began + TRUST

    def may_die(self, chance):
        if not self.world.calm.is_set() and self.random.random() < chance:
            raise Killed
        if not self.world.calm.is_set() and self.random.random() < chance / 5:
            self.world.counts["pauses"] += 1
            self.world.calm.wait(2 * LEASE)  # and wakes up as a ghost

    def one(self, message, version):
        self.may_die(0.02)
        dice = 0.5 if self.world.calm.is_set() else self.random.random()
        lease = {"id": message["id"], "lease_no": message["lease_no"]}
        if (message["expires_in_ms"] or 1) <= 0 or time.monotonic() > self.trusted_until:
            return self.put_back(lease, version, "returned")
        if dice < 0.05:
            return self.put_back(lease, version, "parked", place_id=self.world.route)
        if dice < 0.08:
            return self.put_back(lease, version, "held", place_id=self.world.hold)
        if dice < 0.13:
            return self.put_back(lease, version, "deferred", delay_ms=50, counted=1)
        if dice < 0.16:
            return self.unwritten.append((self.id, None, ending(lease, "failed")))
        self.may_die(0.02)
        taken = dice > 0.18
        if taken:
            self.world.accept(message["uid"])
        self.may_die(0.03)
        if dice < 0.22:  # no reply
            resent = message["doubts"] == 0
            return self.put_back(lease, version, "in_doubt", place_id=0 if resent else self.world.doubt, delay_ms=RESEND if resent else 0, doubtful=1)
        self.unwritten.append((self.id, None, ending(lease, "sent")))

    def put_back(self, lease, version, event, **more):
        self.unwritten.append((self.id, version, suspension(lease, event, **more)))

    def write(self):
        """Until there is an answer and nobody has the row locked; what had lost its lease is told as late."""
        while self.unwritten:
            dispatcher, version, outcome = self.unwritten[0]
            if version is None:
                written = self.database(lambda s: s.run("complete", dispatcher, json.dumps([outcome])))
            else:
                written = self.database(lambda s: s.run("suspend", dispatcher, version, json.dumps([outcome])))
            if written is None or any(row["busy"] for row in written):
                return
            if not written and outcome.get("event") not in ("returned", "parked"):
                self.world.counts["lost leases"] += 1
                late = {**outcome, "outcome": outcome.get("outcome") or outcome["event"]}
                if self.database(lambda s: s.run("late_outcome", json.dumps([late]), self.world.doubt)) is None:
                    return
            self.unwritten.pop(0)

    def upkeep(self):
        if time.monotonic() < self.upkeep_at or self.id is None:
            return
        self.upkeep_at = time.monotonic() + 0.2
        self.database(lambda s: s.row("reap", self.id, 100, resending(RESEND), self.world.doubt, self.world.quarantine))
        for statement, *parameters in (["release", 100], ["expire", 100, None], ["orphans"]):
            self.database(lambda s: s.run(statement, *parameters))


class Operator:
    def __init__(self, world):
        self.world, self.random = world, random.Random(f"{world.seed} operator")
        self.root, self.administrator = Connected(world, "root"), Connected(world, "administrator")

    def __call__(self):
        while not self.world.over.is_set():
            dice = self.random.random()
            if self.world.calm.is_set() or dice < 0.3:
                for place in (self.world.doubt, self.world.quarantine):
                    self.root(lambda s: s.run("release_place", place))
            if self.world.calm.is_set() or dice > 0.6:
                self.administrator(lambda s: s.save("general", account=f"erp{self.random.random()}"))
            if not self.world.calm.is_set():
                self.root(lambda s: s.rows("UPDATE mailroom.queue SET cancelled = true WHERE state = 1 AND mod(id, 5) = %s", self.random.randrange(5)))
                self.root(lambda s: s.rows("UPDATE mailroom.queue SET expires_at = now() WHERE state = 0 AND mod(id, 20) = %s", self.random.randrange(20)))
            self.world.over.wait(0.3)


class Fault:
    """Ends connections of the producers' and dispatchers' logins, whatever they are at."""

    def __init__(self, world):
        self.world, self.session = world, world.store.session("root")

    def __call__(self):
        while not self.world.calm.wait(0.4):
            self.session.rows("SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                              " AND usename IN ('login_worker', 'login_producer') ORDER BY random() LIMIT 1) victim")


def test_every_message_is_accounted_for_whatever_happens(store):
    seed = int(os.environ.get("MAILROOM_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    world = World(store, seed)
    milliseconds = int(LEASE * 1000)
    world.store_dispatcher = lambda session: session.run("register", "host", 1, "test", None, milliseconds, "none")[0]["id"]
    threads = world.run(*[Producer(world, n) for n in range(2)], *[Dispatcher(world, n) for n in range(3)], Operator(world), Fault(world))
    world.calm.wait(SECONDS)
    world.calm.set()
    end = time.monotonic() + DRAIN
    while time.monotonic() < end and world.look.value("SELECT count(*) FROM mailroom.queue") > 0:
        world.over.wait(0.2)
    left = world.look.rows("SELECT place_id, state, lease_owner, doubts, crashes, cancelled, run_at, count(*) FROM mailroom.queue GROUP BY 1, 2, 3, 4, 5, 6, 7 LIMIT 20")
    world.over.set()
    for thread in threads:
        thread.join(10)
    assert not world.errors, world.errors
    assert left == []
    account(world)


def account(world):
    logs = world.look.rows("SELECT uid::text, outcome, doubts FROM mailroom.log")
    ended = {row["uid"]: row for row in logs}
    print(len(ended), "ended:", dict(collections.Counter(row["outcome"] for row in logs)), dict(world.counts))
    assert len(ended) == len(logs), "a message ended twice"
    assert world.committed <= set(ended), "lost"
    assert not world.rolled_back & set(ended)
    assert set(ended) <= world.committed | world.unsure
    for uid in world.unmarked:
        print(uid, "was sent again without a doubt:", *world.look.rows("SELECT * FROM mailroom.story WHERE uid = %s::uuid ORDER BY at", uid), sep="\n  ")
    assert world.unmarked == []
    for uid, row in ended.items():
        if row["outcome"] == "sent":
            assert world.accepted[uid] >= 1, f"{uid} was never sent"
        else:
            assert world.accepted[uid] == 0 or row["doubts"] > 0, f"{uid} was sent, and ended as {row['outcome']} without a doubt"
    assert {"sent", "failed", "expired", "cancelled"} <= {row["outcome"] for row in logs} and max(world.accepted.values()) > 1, "too little happened"
