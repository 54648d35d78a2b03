"""Every state that can be reached, breadth first, and what must hold in each. MUTATIONS are rules left out; each must break something."""

from typing import NamedTuple

import world as worlds
from row import DOUBT, HOLD, QUARANTINE, ROUTE
from world import Budget

NO_WAY_ON = "lost: no way on"

# What is left out: what breaks, and the budget that is enough to find it. The owner in the fence is not among them: a lease number is given once.
SMALL, SETTINGS, FAULTS = Budget(1, 1, 0, 1, 1), Budget(1, 1, 1, 0, 0), Budget(2, 0, 0, 1, 1)
MUTATIONS = {
    "a completion without a fence": ("an outcome was written under another lease", SMALL),
    "a fence without the lease number": ("an outcome was written under another lease", SMALL),
    "a claim does not raise the lease number": ("an outcome was written under another lease", SMALL),
    "putting back lowers the lease number": ("the lease number fell", SMALL),
    "a reap without a doubt": ("twice unmarked", SMALL),
    "a doubt is put back without a mark": ("twice unmarked", SMALL),
    "put back after the dot as untried": ("twice unmarked", SMALL),
    "handed back though it is under way": ("twice unmarked", SMALL),
    "nobody reaps": (NO_WAY_ON, SMALL),
    "nobody waits for a claim under way": (NO_WAY_ON, SMALL),
    "unknown claims are forgotten": (NO_WAY_ON, SMALL),
    "marks are never forgotten": (NO_WAY_ON, SMALL),
    "a message that is being sent is cancelled": ("sent after it was cancelled", SMALL),
    "what comes back is tried again though it was cancelled": ("a cancelled message was claimed again", SMALL),
    "a reaped message is tried again though it was cancelled": ("a cancelled message was claimed again", SMALL),
    "a late outcome stops what was cancelled": ("a cancelled message was claimed again", SMALL),
    "an outcome that finds no lease is dropped": ("a late acceptance was dropped", SMALL),
    "any word in the story is taken for the outcome": ("a late acceptance was dropped", FAULTS),
    "a late acceptance does not stop the message": ("known to be accepted, and sent again", SMALL),
    "a hold is written whatever the settings are": ("waits by settings that are gone", SETTINGS),
    "a park is written whatever the settings are": ("waits by settings that are gone", SETTINGS),
}


class Finding(NamedTuple):
    what: str
    events: tuple  # from the start to the state in which it holds


class Exploration(NamedTuple):
    states: int
    events: int
    finding: Finding  # None: every invariant holds everywhere


def broken(world):
    """The invariant that does not hold in this state; empty: all do."""
    if world.broken:
        return world.broken
    row, log = world.row, world.log
    if world.committed and row is None and log is None:
        return "lost"
    if row is not None and log is not None:
        return "ended and live"
    if log is not None:
        if log.outcome == "sent" and world.accepted == 0:
            return "said to be sent, and was not"
        if log.outcome != "sent" and log.doubts == 0 and world.accepted > 0:
            return "said not to be sent, and was"
    if row is not None and row.place in (HOLD, ROUTE) and not row.leased and world.decided != world.version and row.place not in world.asked:
        return "waits by settings that are gone"
    return ""


def settled(world):
    """Ended, or a person is told to decide."""
    return not world.committed or world.log is not None or not world.row.leased and world.row.place in (HOLD, DOUBT, QUARANTINE)


def canonical(world):
    """The same for all worlds that can have the same futures: processes and leases without their numbers, nothing that nobody will look at."""
    slots = tuple(sorted(world.slots, key=_looks))
    remembered = [job for slot in slots for job in (slot.job, slot.aside) if job]
    row = world.row
    ids = {}
    for dispatcher in (*(slot.id for slot in slots), *(job.dispatcher for job in remembered), *([row.owner] if row is not None and row.owner is not None else [])):
        ids.setdefault(dispatcher, len(ids))
    leases = [job.lease_no for job in remembered]
    newest = row.lease_no if row is not None else max(leases, default=0)

    def plain(job):
        return job and job._replace(lease_no=job.lease_no - newest, dispatcher=ids[job.dispatcher], doubts=min(job.doubts, 1), version=job.version - world.version)

    log = world.log and world.log._replace(lease_no=world.log.lease_no - newest if world.log.lease_no in leases else 9, doubts=min(world.log.doubts, 1))
    stands = row is not None and row.place in (HOLD, ROUTE)
    return world._replace(
        slots=tuple(slot._replace(id=ids[slot.id], job=plain(slot.job), aside=plain(slot.aside)) for slot in slots),
        row=row and row._replace(lease_no=0, owner=ids.get(row.owner), doubts=min(row.doubts, 1), crashes=min(row.crashes, 3), attempts=0, pinned=False),
        beats=tuple(sorted((ids[i], beating) for i, beating in world.beats if i in ids)), log=log,
        story=frozenset((lease_no - newest, event) for lease_no, event in world.story if lease_no in leases),
        version=0, decided=world.decided - world.version if stands else 0, accepted=min(world.accepted, 1 if world.doubted else 2))


def _looks(slot):
    return slot.life, slot.unknown, slot.under_way, () if slot.job is None else (slot.job.phase, slot.job.outcome, slot.job.lease_no, slot.job.version, slot.job.doubts)


def explore(budget=Budget(), rules=frozenset(), scheduled=False, only=None):
    """Up to the first state in which an invariant (or `only` this one) does not hold."""
    first = canonical(worlds.start(budget, scheduled))
    numbers, order, parents, before = {first: 0}, [first], [(None, None)], [[]]
    events = 0
    for number, world in enumerate(order):  # grows meanwhile
        what = broken(world)
        if what and only in (None, what):
            return Exploration(len(order), events, Finding(what, _way(parents, number)))
        for event, after in worlds.successors(world, rules):
            events += 1
            after = canonical(after)
            found = numbers.get(after)
            if found is None:
                found = numbers[after] = len(order)
                order.append(after)
                parents.append((number, event))
                before.append([])
            if event.fair:
                before[found].append(number)
    stuck = _without_way_out(order, before) if only in (None, NO_WAY_ON) else None
    finding = Finding(NO_WAY_ON, _way(parents, stuck)) if stuck is not None else None
    return Exploration(len(order), events, finding)


def _without_way_out(order, before):
    """The first state from which no fair events lead to an end or to a person."""
    todo = [number for number, world in enumerate(order) if settled(world)]
    fine = set(todo)
    while todo:
        for number in before[todo.pop()]:
            if number not in fine:
                fine.add(number)
                todo.append(number)
    return next((number for number in range(len(order)) if number not in fine), None)


def _way(parents, number):
    names = []
    while parents[number][0] is not None:
        number, event = parents[number]
        names.append(event.name if event.slot is None else f"{event.slot}: {event.name}")
    return tuple(reversed(names))
