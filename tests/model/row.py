"""What the statements of queue/sql do to the row of one message: pure functions, as small as they can be and still be compared with the database.

Time is two facts: whether the row is due, and what an event of the world says is over. `rules` names what is left out on purpose (MUTATIONS in
explore.py): with an empty set these are the statements as they are meant.
"""

from typing import NamedTuple, Optional

UNSORTED, SUSPECTS, CANCELLED, HOLD, ROUTE, DOUBT, QUARANTINE = "unsorted", "suspects", "cancelled", "hold", "route", "doubt", "quarantine"
CLAIMED_FROM = (UNSORTED, SUSPECTS, ROUTE)


class Row(NamedTuple):
    place: str = UNSORTED
    leased: bool = False
    lease_no: int = 0
    owner: Optional[int] = None
    doubts: int = 0
    crashes: int = 0
    attempts: int = 0
    pinned: bool = False
    cancelled: bool = False
    due: bool = True


class Suspension(NamedTuple):
    """What a dispatcher knows when it puts a message back."""
    event: str  # deferred, held, parked, in_doubt, returned
    place: str
    due: bool = True
    counted: int = 0
    doubtful: int = 0


def claimable(row):
    return not row.leased and row.due and row.place in CLAIMED_FROM


def claim(row, dispatcher, rules=frozenset()):
    lease_no = row.lease_no if "a claim does not raise the lease number" in rules else row.lease_no + 1
    return row._replace(leased=True, lease_no=lease_no, owner=dispatcher)


def has_lease(row, dispatcher, lease_no, rules=frozenset()):
    if row is None:
        return False
    if "a completion without a fence" in rules:
        return True
    number = "a fence without the lease number" in rules or row.lease_no == lease_no
    owner = "a fence without the owner" in rules or row.owner == dispatcher
    return row.leased and number and owner


def suspend(row, put, settings_are_current, rules=frozenset()):
    stale = not settings_are_current and (put.event == "held" and "a hold is written whatever the settings are" not in rules
                                          or put.event == "parked" and "a park is written whatever the settings are" not in rules)
    if row.cancelled and "what comes back is tried again though it was cancelled" not in rules:
        place = CANCELLED
    elif row.crashes >= 2 and (put.place == UNSORTED or put.event in ("parked", "deferred")):
        place = SUSPECTS
    else:
        place = UNSORTED if stale else put.place
    if "a doubt is put back without a mark" in rules:
        put = put._replace(doubtful=0)
    return row._replace(place=place, leased=False, owner=None, due=put.due, attempts=row.attempts + put.counted,
                        doubts=row.doubts + put.doubtful, pinned=row.pinned or put.doubtful > 0,
                        lease_no=row.lease_no - 1 if "putting back lowers the lease number" in rules else row.lease_no)


def reap(row, resend=True, rules=frozenset()):
    """Of a message that its dispatcher had alone."""
    crashes = row.crashes + 1
    if row.cancelled and "a reaped message is tried again though it was cancelled" not in rules:
        place = CANCELLED
    elif crashes >= 3:
        place = QUARANTINE
    elif row.doubts > 0 or not resend:
        place = DOUBT
    else:
        place = SUSPECTS if crashes == 2 else UNSORTED
    doubts = row.doubts if "a reap without a doubt" in rules else row.doubts + 1
    return row._replace(place=place, leased=False, owner=None, crashes=crashes, doubts=doubts, due=row.doubts > 0)


def hand_back(row):
    return row._replace(place=CANCELLED if row.cancelled else row.place, leased=False, owner=None)


def release(row):
    return row._replace(place=SUSPECTS if row.crashes >= 2 else UNSORTED, due=True)


def stop_for_doubt(row, rules=frozenset()):
    """It was accepted under a lease that was lost; what a dispatcher has again is left to it, what was cancelled has its end already."""
    if row is None or row.leased or row.cancelled and "a late outcome stops what was cancelled" not in rules:
        return row
    return row._replace(place=DOUBT, due=True, doubts=max(row.doubts, 1))
