"""Random walks of the model on a real database: each event that reaches it is done by the statements of queue/sql, and the row must be the model's."""

import itertools
import json
import random

import world as worlds
from row import CANCELLED, DOUBT, HOLD, QUARANTINE, ROUTE, SUSPECTS, UNSORTED
from store import complete, ending, resending, suspend, suspension
from world import PUT_BACK, Budget

GENEROUS = Budget(faults=5, turns=6, settings=3, cancels=1, operator=4)
LATER = 3_600_000  # ms: not due
SELDOM = {"expires": 0.03, "is cancelled": 0.03, "is cancelled while leased": 0.2}  # so that most walks go far


class Walk:
    """One message, from its enqueue on. `store` is shared by walks, one after the other."""

    def __init__(self, store, seed):
        self.store, self.random = store, random.Random(seed)
        self.world = worlds.start(GENEROUS)
        self.uid = self.id = None
        self.dispatchers = {}  # the model's ids -> the database's
        self.places = places_of(store)
        self.names = {place: name for name, place in self.places.items()}
        self.told = []
        for model_id, _ in self.world.beats:
            self.dispatchers[model_id] = store.dispatcher()
        self.helper = store.dispatcher()  # reaps and sweeps
        self._keep_helper()

    def run(self, steps=60):
        """The number of events."""
        for step in range(steps):
            events = [(event, after) for event, after in worlds.successors(self.world)]
            if not events:
                return step
            weights = [SELDOM.get(event.name, 2 if event.fair else 1) for event, _ in events]
            [(event, after)] = self.random.choices(events, weights)
            self.told.append(event.name if event.slot is None else f"{event.slot}: {event.name}")
            assert not after.broken, (after.broken, self.told)
            self._do(event, self.world, after)
            self.world = after
            assert self.seen() == self.expected(), f"after {' / '.join(self.told)}"
        return steps

    def expected(self):
        if self.world.row is None:
            return self.world.log and (self.world.log.outcome, self.world.log.lease_no, self.world.log.doubts)
        row = self.world.row._asdict()
        row["owner"] = self.dispatchers.get(row["owner"])
        return row

    def seen(self):
        row = self.store.root.rows("SELECT *, run_at <= clock_timestamp() AS due FROM mailroom.queue WHERE uid = %s::uuid", self.uid) if self.uid else []
        if row:
            [row] = row
            return {"place": self.names.get(row["place_id"], row["place_id"]), "leased": row["state"] == 1, "lease_no": row["lease_no"], "owner": row["lease_owner"],
                    "doubts": row["doubts"], "crashes": row["crashes"], "attempts": row["attempts"], "pinned": row["pinned"] is not None,
                    "cancelled": row["cancelled"], "due": row["due"]}
        logs = self.store.root.rows("SELECT outcome, lease_no, doubts FROM mailroom.log WHERE uid = %s::uuid", self.uid) if self.uid else []
        assert len(logs) <= 1, "ended twice"
        return tuple(logs[0].values()) if logs else None

    # The events

    def _do(self, event, before, after):
        slot = before.slots[event.slot] if event.slot is not None else None
        name = event.name.removesuffix(", no answer")
        store, root = self.store, self.store.root
        if name.startswith("the producer commits"):
            self.uid = store.producer.enqueue()
            self.id = store.queue(self.uid)["id"]
        elif name in ("claims", "the claim under way works"):
            claimed = [row for row in store.claim(self._of(slot.id), places=[self.places[before.row.place]]) if row["uid"] == self.uid]
            assert len(claimed) == 1, f"not claimed: {self.told}"
        elif name == "hands back":
            store.hand_back(self._of(slot.id))
        elif name == "writes the outcome":
            self._write(before, after, slot.job)
        elif name == "keeps the late outcome" and slot.job.outcome not in worlds.NOT_TOLD:
            late = ending({"id": self.id, "lease_no": slot.job.lease_no}, slot.job.outcome)
            store.worker.run("late_outcome", json.dumps([late]), self.places[DOUBT])
            assert self.late_in_story() == {number for number, what in after.story if what == "late_outcome"}, self.told
        elif name in ("starts", "enrols anew"):
            self.dispatchers[after.slots[event.slot].id] = store.dispatcher()
        elif name == "beats again":
            assert store.worker.run("beat", self._of(slot.id), True), self.told
        elif name.startswith("lease "):
            store.beaten(self._of(int(name.split()[1])), "2 hours")
        elif name.split()[0] in ("reaps", "buries"):
            self._reap(int(name.split()[1]))
        elif name == "lists an orphan":
            root.rows("UPDATE mailroom.queue SET leased_at = leased_at - interval '1 hour' WHERE id = %s", self.id)
            store.worker.run("orphans")
        elif name in ("it is due", "an operator retries it"):
            root.rows("UPDATE mailroom.queue SET run_at = clock_timestamp() WHERE id = %s", self.id)
        elif name == "is released":
            store.worker.run("release", 1000)
        elif name in ("the sweep ends it", "expires"):
            if name == "expires":
                root.rows("UPDATE mailroom.queue SET expires_at = now() WHERE id = %s", self.id)
            assert store.worker.ids("expire", 1000, None) == [self.id], self.told
        elif name == "settings are saved":
            store.administrator.save("general", account=self.random.choice(("erp", "anna")))
        elif name == "is cancelled while leased":
            root.rows("UPDATE mailroom.queue SET cancelled = true WHERE id = %s", self.id)
        elif name == "is cancelled":
            root.rows("UPDATE mailroom.queue SET cancelled = true, place_id = 2 WHERE id = %s", self.id)
            store.worker.run("expire", 1000, None)
        elif name == "an operator releases it":
            store.worker.run("release_place", self.places[before.row.place])

    def _write(self, before, after, job):
        message = {"id": self.id, "lease_no": job.lease_no}
        dispatcher = self._of(job.dispatcher)
        held = before.row != after.row
        if job.outcome not in PUT_BACK:
            changed = complete(self.store.worker, dispatcher, ending(message, job.outcome))
        else:
            put = worlds._put(job)
            doubtful = {"doubtful": 1, "pinned": {"from": "a@b.c"}} if put.doubtful else {}
            more = {"place_id": self.places[put.place], "delay_ms": 0 if put.due else LATER, "counted": put.counted, **doubtful}
            version = self.store.version - (before.version - job.version)
            changed = suspend(self.store.worker, dispatcher, version, suspension(message, put.event, **more))
        assert changed == ([self.id] if held else []), f"{changed}: {self.told}"

    def _reap(self, model_id):
        """This one only: in the model each dead dispatcher is an event of its own."""
        others = [self._of(other) for other, beating in self.world.beats if not beating and other != model_id]
        self.store.root.rows("UPDATE mailroom.dispatcher SET beat_at = clock_timestamp() WHERE id = ANY (%s)", others)
        self.store.worker.run("reap", self.helper, 1000, resending(LATER), self.places[DOUBT], self.places[QUARANTINE])
        for other in others:
            self.store.beaten(other, "2 hours")

    def late_in_story(self):
        return {event["lease_no"] for event in self.store.story(self.uid) if event["event"] == "late_outcome"}

    def _of(self, model_id):
        return self.dispatchers[model_id]

    def _keep_helper(self):
        # A lease of 100 ms that does not end before the test, so that it has been alive for one since the server started.
        self.store.root.rows("UPDATE mailroom.dispatcher SET lease = interval '100 milliseconds', beat_at = clock_timestamp() + interval '1 hour',"
                             " beating_since = clock_timestamp() - interval '1 hour' WHERE id = %s", self.helper)

    def clear(self):
        self.store.root.rows("DELETE FROM mailroom.queue")
        self.store.root.rows("DELETE FROM mailroom.dispatcher")
        self.store.root.rows("UPDATE mailroom.place SET release_before = NULL, blocked_until = NULL")


def places_of(store):
    return {UNSORTED: 0, SUSPECTS: 1, CANCELLED: 2,
            HOLD: store.place("auth_failed/general", owners=["general"]),
            ROUTE: store.route(),
            DOUBT: store.place("in_doubt/policy", self_releasing=False),
            QUARANTINE: store.place("quarantined/crashes", self_releasing=False)}
