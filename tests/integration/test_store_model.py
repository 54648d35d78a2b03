"""The model of a message's states and the real statements agree: after every event of a random walk the row in the database is the model's."""

import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))

from walk import Walk  # noqa: E402

WALKS = 1000 if os.environ.get("MAILROOM_LONG") else 150


def test_random_walks_of_the_model_leave_the_database_where_they_leave_the_model(store):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    names, ends, events = set(), set(), 0
    for number in range(WALKS):
        walk = Walk(store, seed + number)
        events += walk.run()
        names.update(name.split(": ")[-1].rstrip("0123456789") for name in walk.told)
        ends.add(walk.world.log.outcome if walk.world.log else walk.world.row and walk.world.row.place)
        walk.clear()
    print(events, "events of", len(names), "kinds; ended as", ends)
    assert {"sent", "failed", "expired", "cancelled"} <= ends and len(names) > 30, (names, ends)
