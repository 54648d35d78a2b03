"""Several dispatchers on one database, killed, stopped and started again in turn while an ERP goes on enqueuing; one of them is spared, and watched."""

import os
import threading
import time
from pathlib import Path

from erp import letter

PAUSE = 2.5  # seconds from one blow to the next


class Feeder(threading.Thread):
    """Enqueues for these users, some in batches, at about so many messages a second, until it is told to stop."""

    def __init__(self, erp, users, rate):
        super().__init__(daemon=True)
        self.erp = erp
        self.users = users
        self.rate = rate
        self.uids = []
        self.over = threading.Event()
        self.broken = None

    def run(self):
        try:
            number = 0
            while not self.over.wait(0.25):
                users = [self.users[(number + i) % len(self.users)] for i in range(max(1, int(self.rate * 0.25)))]
                number += len(users)
                self.uids += self.erp.enqueue_many([{"user": user, **letter(**({"batch": "run"} if i % 3 else {}))} for i, user in enumerate(users)])
        except Exception as error:  # told by stop()
            self.broken = error

    def stop(self):
        self.over.set()
        self.join(30)
        if self.broken:
            raise self.broken
        return self.uids


def resident_kib(process):
    """Of a process: memory in use, in KiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


class Watched:
    """What a process uses, looked at now and then."""

    def __init__(self, process, database):
        self.process = process
        self.database = database
        self.looks = []  # (memory, descriptors, octets of the queue with its indexes)

    def look(self):
        self.looks.append((resident_kib(self.process), descriptors(self.process), self.database.value("SELECT pg_total_relation_size('mailroom.queue')")))

    def growth(self):
        """The most in the last quarter against the most in the second one: memory and the queue by their ratio, descriptors by how many more."""
        quarter = max(1, len(self.looks) // 4)
        early, late = self.looks[quarter:2 * quarter], self.looks[-quarter:]
        (memory, files, table), (memory_then, files_then, table_then) = ([max(of_each) for of_each in zip(*looks)] for looks in (late, early))
        return memory / memory_then, files - files_then, table / max(1, table_then)


def blows(start, victims, seconds, watched):
    """Ends the victims in turn, two by kill -9, one in order, and starts others in their place. Returns how many of each."""
    counts = {"killed": 0, "stopped": 0}
    ends = time.monotonic() + seconds
    turn = 0
    while time.monotonic() < ends:
        time.sleep(PAUSE)
        watched.look()
        index, kind = turn % len(victims), ("killed", "killed", "stopped")[turn % 3]
        victim = victims[index]
        if kind == "killed":
            victim.kill()
        else:
            assert victim.stop() == 0
        counts[kind] += 1
        victims[index] = start()
        turn += 1
    return counts
