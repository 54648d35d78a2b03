"""One message in its world: two dispatchers that may crash or be cut off, a mail server, a network that loses replies, a producer, an operator.

`successors` gives every event that may happen next. Each is named, and `fair` where it happens some day if it stays possible: what is neither a
fault nor a person's will. Budgets bound what may happen without end.
"""

from typing import NamedTuple, Optional, Tuple

import row as statements
from row import CANCELLED, DOUBT, HOLD, QUARANTINE, ROUTE, SUSPECTS, UNSORTED, Row, Suspension

PUT_BACK = ("deferred", "held", "parked", "in_doubt", "returned")
NOT_TOLD = ("parked", "returned")  # nothing in the story


class Job(NamedTuple):
    """What a dispatcher remembers of the message."""
    phase: str  # has, begun, dotted (all bytes are written), taken (and the server has it), flush (the outcome is known), late (its lease was lost)
    lease_no: int
    dispatcher: int  # under which of its ids it was claimed
    doubts: int      # as the claim said
    version: int     # of the settings by which it is sent
    outcome: str = ""


class Slot(NamedTuple):
    """A process. Cut off, it goes on with its mail server and reaches no database; a paused one is one that does nothing meanwhile."""
    life: str = "up"  # up, cut, dead
    id: Optional[int] = None
    job: Optional[Job] = None
    aside: Optional[Job] = None  # the outcome of an earlier lease, which is still to be written
    unknown: bool = False  # a claim of its got no answer
    under_way: bool = False  # ... and is not committed yet


class Log(NamedTuple):
    outcome: str
    lease_no: int
    doubts: int


class Budget(NamedTuple):
    faults: int = 3
    turns: int = 1     # deferred, held, parked, returned
    settings: int = 1
    cancels: int = 1
    operator: int = 1


class World(NamedTuple):
    committed: bool = False
    row: Optional[Row] = None
    log: Optional[Log] = None
    slots: Tuple[Slot, ...] = ()
    beats: Tuple[Tuple[int, bool], ...] = ()  # the dispatchers that are listed, and whether their heartbeat holds
    story: frozenset = frozenset()            # (lease_no, event)
    asked: frozenset = frozenset()            # places whose release was asked for, with this message in it
    version: int = 0                          # of the settings
    decided: int = 0                          # the version by which it stands where it stands
    doubted: bool = False                     # a doubt was recorded
    accepted: int = 0                         # times by the server
    below_mark: bool = False                  # its run_at lies before what claims look at
    promised: bool = False                    # a cancel was answered: it is not sent (again)
    budget: Budget = Budget()
    broken: str = ""                          # an invariant that this event broke


class Event(NamedTuple):
    name: str
    slot: Optional[int]
    fair: bool


def start(budget=Budget(), scheduled=False):
    return World(slots=(Slot(id=0), Slot(id=1)), beats=((0, True), (1, True)), budget=budget, row=None if not scheduled else Row(due=False))


# Small changes

def _slot(world, index, **changes):
    slots = list(world.slots)
    slots[index] = slots[index]._replace(**changes)
    return world._replace(slots=tuple(slots))


def _spend(world, what):
    return world._replace(budget=world.budget._replace(**{what: getattr(world.budget, what) - 1}))


def _beats(world):
    return dict(world.beats)


def _with_beats(world, beats):
    return world._replace(beats=tuple(sorted(beats.items())))


def _break(world, what):
    return world if world.broken else world._replace(broken=what)


def _moved(world, row):
    """The row after a statement; what depends on where it stands."""
    before = world.row
    world = world._replace(row=row, doubted=world.doubted or row is not None and row.doubts > 0)
    if row is not None and before is not None:
        if row.lease_no < before.lease_no:
            world = _break(world, "the lease number fell")
        if row.place != before.place or before.leased and not row.leased:
            # A release that was asked for concerns what came before it; what is parked keeps its old run_at, and so is released once more.
            world = world._replace(asked=world.asked & {ROUTE} if row.place == ROUTE else frozenset(), below_mark=row.place == ROUTE)
    return world


def _ended(world, outcome):
    if world.log is not None:
        return _break(world, "ended twice")
    return world._replace(row=None, log=Log(outcome, world.row.lease_no, world.row.doubts), asked=frozenset(), below_mark=False)


def _new_id(world):
    used = {i for i, _ in world.beats} | {s.id for s in world.slots} | {j.dispatcher for s in world.slots for j in (s.job, s.aside) if j}
    if world.row is not None:
        used.add(world.row.owner)
    return next(i for i in range(10) if i not in used)


# The database's statements in the world

def _claimed(world, index, rules, version=None):
    if world.row.cancelled:
        world = _break(world, "a cancelled message was claimed again")
    return _moved(world, statements.claim(world.row, world.slots[index].id, rules))


def _put(job):
    return {"deferred": Suspension("deferred", UNSORTED, due=False, counted=1),
            "held": Suspension("held", HOLD),
            "parked": Suspension("parked", ROUTE),
            "in_doubt": Suspension("in_doubt", DOUBT if job.doubts > 0 else UNSORTED, due=job.doubts > 0, doubtful=1),
            "returned": Suspension("returned", UNSORTED)}[job.outcome]


def _flushed(world, index, rules):
    """complete.sql or suspend.sql: the world after it, and whether the lease held."""
    job = world.slots[index].job
    if not statements.has_lease(world.row, job.dispatcher, job.lease_no, rules):
        if "a completion without a fence" in rules and world.log is not None and job.outcome not in PUT_BACK:
            return _break(world, "ended twice"), True
        return world, False
    if not statements.has_lease(world.row, job.dispatcher, job.lease_no) or (world.row.lease_no, world.row.owner) == _lease_of(world, index):
        world = _break(world, "an outcome was written under another lease")
    if job.outcome not in PUT_BACK:
        return _ended(world, job.outcome), True
    after = _moved(world, statements.suspend(world.row, _put(job), job.version == world.version, rules))
    after = after._replace(decided=job.version if after.row.place in (HOLD, ROUTE) else world.version)
    if job.outcome not in NOT_TOLD:
        after = after._replace(story=after.story | {(job.lease_no, job.outcome)})
    return after, True


def _kept_late(world, index, rules):
    """late_outcome.sql"""
    job = world.slots[index].job
    if job.outcome in NOT_TOLD:
        return world
    log_has_it = world.log is not None and world.log.lease_no == job.lease_no
    if "any word in the story is taken for the outcome" in rules:
        story_has_it = any(number == job.lease_no and event != "lease_lost" for number, event in world.story)
    else:
        story_has_it = (job.lease_no, "late_outcome") in world.story or (job.lease_no, job.outcome) in world.story
    if log_has_it or story_has_it:
        if job.outcome == "sent" and not log_has_it and (job.lease_no, "late_outcome") not in world.story:
            world = _break(world, "a late acceptance was dropped")
        return world
    world = world._replace(story=world.story | {(job.lease_no, "late_outcome")})
    if job.outcome == "sent":
        if "a late acceptance does not stop the message" not in rules:
            world = _moved(world, statements.stop_for_doubt(world.row, rules))
        if world.row is not None and statements.claimable(world.row):
            world = _break(world, "known to be accepted, and sent again")
    return world


def _accepted(world):
    if world.accepted > 0 and not world.doubted:
        world = _break(world, "twice unmarked")
    if world.promised and not world.doubted:
        world = _break(world, "sent after it was cancelled")
    return world._replace(accepted=min(world.accepted + 1, 2))


def _lease_of(world, index):
    """Of what it has set aside."""
    aside = world.slots[index].aside
    return aside and (aside.lease_no, aside.dispatcher)


def _finished(world, index, outcome):
    return _slot(world, index, job=world.slots[index].job._replace(phase="flush", outcome=outcome))


# What a process does

def _at_work(world, index, rules):
    """With its message: the mail server's part needs no database."""
    slot, job = world.slots[index], world.slots[index].job
    trusted = slot.life == "up" and _beats(world).get(slot.id) and slot.id == job.dispatcher
    if job.phase == "has":
        if trusted and job.version == world.version:
            yield Event("begins", index, True), _slot(world, index, job=job._replace(phase="begun"))
        if not trusted or job.version != world.version:
            yield Event("puts back untried", index, True), _finished(world, index, "returned")
        if world.budget.turns > 0 and slot.life == "up":
            for outcome in ("held", "parked", "returned"):
                yield Event(outcome, index, False), _finished(_spend(world, "turns"), index, outcome)
    elif job.phase == "begun":
        yield Event("the dot", index, True), _slot(world, index, job=job._replace(phase="dotted"))
        if world.budget.turns > 0:
            yield Event("refused for now", index, False), _finished(_spend(world, "turns"), index, "deferred")
            yield Event("given back before the dot", index, False), _finished(_spend(world, "turns"), index, "returned")
        yield Event("refused for good", index, False), _finished(world, index, "failed")
    elif job.phase == "dotted":
        yield Event("the server takes it", index, True), _slot(_accepted(world), index, job=job._replace(phase="taken"))
        yield Event("refused for good", index, False), _finished(world, index, "failed")
        if world.budget.faults > 0:
            yield Event("the link is lost", index, False), _finished(_spend(world, "faults"), index, _after_the_dot(rules))
    elif job.phase == "taken":
        yield Event("the reply", index, True), _finished(world, index, "sent")
        if world.budget.faults > 0:
            yield Event("the link is lost", index, False), _finished(_spend(world, "faults"), index, _after_the_dot(rules))


def _after_the_dot(rules):
    return "returned" if "put back after the dot as untried" in rules else "in_doubt"


def _writes(world, index, rules):
    """What a process that reaches the database asks of it."""
    slot, job = world.slots[index], world.slots[index].job
    listed = _beats(world)
    faults = world.budget.faults > 0
    if job is None and not slot.unknown and world.row is not None and listed.get(slot.id) and not world.below_mark and statements.claimable(world.row):
        after = _claimed(world, index, rules)
        version = "sent by settings older than the claim's" in rules and world.version - 1 or world.version
        yield Event("claims", index, True), _slot(after, index, job=Job("has", after.row.lease_no, slot.id, after.row.doubts, version))
        if faults:
            yield Event("claims, no answer", index, False), _slot(_spend(after, "faults"), index, unknown=True)
            yield Event("claims, no answer yet", index, False), _slot(_spend(world, "faults"), index, unknown=True, under_way=True)
    waits = slot.under_way and "nobody waits for a claim under way" not in rules
    if (slot.unknown or "handed back though it is under way" in rules) and (job is None or "handed back though it is under way" in rules) and not waits:
        row = world.row
        after = world
        if row is not None and row.leased and row.owner == slot.id:
            after = _moved(world, statements.hand_back(row))
        if "unknown claims are forgotten" in rules:
            after = world
        yield Event("hands back", index, True), _slot(after, index, unknown=False)
    if job is not None and job.phase == "flush":
        after, held = _flushed(world, index, rules)
        if held or job.outcome in NOT_TOLD:
            yield Event("writes the outcome", index, True), _slot(after, index, job=None)
        elif "an outcome that finds no lease is dropped" in rules:
            dropped = job.outcome == "sent" and not (world.log is not None and world.log.lease_no == job.lease_no)
            yield Event("writes the outcome", index, True), _slot(_break(after, "a late acceptance was dropped") if dropped else after, index, job=None)
        else:
            yield Event("writes the outcome", index, True), _slot(after, index, job=job._replace(phase="late"))
        if held and faults:
            yield Event("writes the outcome, no answer", index, False), _spend(after, "faults")
    if job is not None and job.phase in ("flush", "late") and slot.aside is None and world.row is not None \
            and not statements.has_lease(world.row, job.dispatcher, job.lease_no):
        yield Event("sets it aside", index, False), _slot(world, index, job=None, aside=job)
    if slot.aside is not None:
        yield Event("takes it up again", index, True), _slot(world, index, job=slot.aside, aside=job)
    if job is not None and job.phase == "late":
        after = _kept_late(world, index, rules)
        yield Event("keeps the late outcome", index, True), _slot(after, index, job=None)
        if faults and after != world:
            yield Event("keeps the late outcome, no answer", index, False), _spend(after, "faults")


def _lives(world, index, rules):
    slot = world.slots[index]
    if slot.life == "dead" and not slot.under_way:
        new = _new_id(world)
        yield Event("starts", index, True), _with_beats(_slot(world, index, life="up", id=new), {**_beats(world), new: True})
    if slot.life != "dead" and world.budget.faults > 0 and (slot.job is not None or slot.aside is not None or slot.unknown):  # what is idle has nothing to lose
        # A claim that it sent last may still be under way: it belongs to nobody's memory then.
        yield Event("crashes", index, False), _spend(_slot(world, index, life="dead", job=None, aside=None, unknown=False), "faults")
        if slot.life == "up":
            yield Event("is cut off", index, False), _spend(_slot(world, index, life="cut"), "faults")
    if slot.life == "cut":
        if slot.id in _beats(world):
            yield Event("beats again", index, True), _with_beats(_slot(world, index, life="up"), {**_beats(world), slot.id: True})
        elif not slot.under_way:
            new = _new_id(world)
            yield Event("enrols anew", index, True), _with_beats(_slot(world, index, life="up", id=new, unknown=False), {**_beats(world), new: True})
    if slot.under_way:
        gone = _slot(world, index, under_way=False)
        yield Event("the claim under way fails", index, True), gone
        if world.row is not None and statements.claimable(world.row) and (_beats(world).get(slot.id) or "nobody waits for a claim under way" in rules):
            yield Event("the claim under way works", index, True), _slot(_claimed(world, index, rules), index, under_way=False)


def _database(world, rules):
    """What any live dispatcher does for all, and what time does."""
    listed, row = _beats(world), world.row
    living = [s.id for s in world.slots if s.life == "up" and listed.get(s.id)]
    working = {s.id for s in world.slots if s.life == "up"}
    for dispatcher, beating in world.beats:
        if beating and dispatcher not in working:
            yield Event(f"lease {dispatcher} is over", None, True), _with_beats(world, {**listed, dispatcher: False})
        if not beating and living:
            has = row is not None and row.leased and row.owner == dispatcher
            claiming = any(s.under_way and s.id == dispatcher for s in world.slots)
            if has:
                if "nobody reaps" not in rules:
                    after = _moved(world, statements.reap(row, rules=rules))
                    yield Event(f"reaps {dispatcher}", None, True), after._replace(story=after.story | {(row.lease_no, "lease_lost")}, decided=world.version)
            elif not claiming or "nobody waits for a claim under way" in rules:
                yield Event(f"buries {dispatcher}", None, True), _with_beats(world, {d: b for d, b in listed.items() if d != dispatcher})
    if row is None:
        return
    if row.leased and row.owner not in listed and "nobody looks for orphans" not in rules:
        yield Event("lists an orphan", None, True), _with_beats(world, {**listed, row.owner: False})
    if not row.leased and not row.due:
        yield Event("it is due", None, True), world._replace(row=row._replace(due=True))
    if not row.leased and row.place in world.asked and living:
        after = _moved(world, statements.release(row))
        if row.place == ROUTE:  # no story: nobody was told that it waited
            yield Event("is released", None, True), after._replace(decided=world.version)
        else:
            yield Event("is released", None, True), after._replace(story=after.story | {(row.lease_no, "released")}, decided=world.version)
    if not row.leased and row.place == CANCELLED:
        yield Event("the sweep ends it", None, True), _ended(world, "cancelled")
    if not row.leased:
        yield Event("expires", None, False), _ended(world, "cancelled" if row.cancelled else "expired")
    if world.below_mark and "marks are never forgotten" not in rules:
        yield Event("marks are forgotten", None, True), world._replace(below_mark=False)


def _people(world, rules):
    row = world.row
    if not world.committed:
        yield Event("the producer commits", None, False), world._replace(committed=True, row=row or Row())
        yield Event("the producer commits late", None, False), world._replace(committed=True, row=row or Row(), below_mark=True)
        return
    concerned = row is not None and row.place in (HOLD, ROUTE) or any(s.job for s in world.slots)
    if world.budget.settings > 0 and concerned:
        asked = {row.place} & {HOLD, ROUTE} if row is not None and not row.leased else set()
        if row is not None and row.leased and row.place == ROUTE:
            asked = {ROUTE}
        yield Event("settings are saved", None, False), _spend(world._replace(version=world.version + 1, asked=world.asked | asked), "settings")
    if row is None:
        return
    if world.budget.cancels > 0 and not row.cancelled:
        after = _spend(world, "cancels")
        if row.leased and "a message that is being sent is cancelled" not in rules:
            yield Event("is cancelled while leased", None, False), after._replace(row=row._replace(cancelled=True))
        else:
            yield Event("is cancelled", None, False), _ended(after, "cancelled")._replace(promised=True)
    if world.budget.operator > 0 and not row.leased:
        if row.place in (HOLD, DOUBT, QUARANTINE):
            yield Event("an operator releases it", None, False), _spend(world._replace(asked=world.asked | {row.place}), "operator")
        if not row.due:
            yield Event("an operator retries it", None, False), _spend(world._replace(row=row._replace(due=True)), "operator")


def over(world):
    """Nothing can happen to it any more that anybody would remember."""
    return world.log is not None and not any(slot.job or slot.aside for slot in world.slots)


def successors(world, rules=frozenset()):
    if over(world):
        return
    for index, slot in enumerate(world.slots):
        if slot.life != "dead" and slot.job is not None:
            yield from _at_work(world, index, rules)
        if slot.life == "up":
            yield from _writes(world, index, rules)
        yield from _lives(world, index, rules)
    yield from _database(world, rules)
    yield from _people(world, rules)
