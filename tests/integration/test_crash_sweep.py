"""The daemon dies at every step of claiming, sending and writing: nothing is lost, and what comes twice is marked."""

import os

import pytest
import reliability
from erp import Erp, letter
from machine import wait_until
from misbehaving import MisbehavingServer

# Every place that a daemon comes by while it drains (the first test holds this list to the program), and whether a server may have a message by then.
BEFORE = ["enrolled", "claim.taken", "claimed", "sorted", "content.read", "journal.carried", "composing", "opened.ehlo", "opened.starttls", "opened.tls", "opened.auth",
          "sent.mail_from", "answered.rcpt_to", "answered.data", "answered.content", "sent.content", "commit.before"]
BETWEEN = ["commit.recorded", "sent.final_dot", "answered.final_dot", "delivered"]
AFTER = ["outcome.known", "outcome.writing", "outcome.written"]
TAKING_OVER = ["replay.ended", "replay.marked", "replay.buried", "reaped"]
MESSAGES = 8
CONNECTIONS = 4

everything = bool(os.environ.get("MAILROOM_MORE_FAULTS"))
SHORT = ["claim.taken", "journal.carried", "commit.before", "commit.recorded", "sent.final_dot", "outcome.known", "outcome.written"]


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", lease="20s", poll="100ms", connections=CONNECTIONS, connections_per_account=CONNECTIONS)
    mailroom.configure("doubt", resend_after="0ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server()) as running:
        yield running


def enqueue(erp, server):
    erp.user("ANNA", mode="smtp", email="anna@example.test", server="localhost", port=server.port)
    erp.password("user", "ANNA", secret="a word")
    large = {"text": "x" * 200_000}
    return [erp.enqueue(user="ANNA", **letter(**(large if number == 0 else {}))) for number in range(MESSAGES)]


def test_the_sweep_knows_every_place_that_a_daemon_comes_by(erp, mailroom, server, crash_points):
    uids = enqueue(erp, server)
    daemon = crash_points.start("list")
    erp.wait_for(uids, "sent")
    daemon.kill()
    assert crash_points.passed(daemon) == {*BEFORE, *BETWEEN, *AFTER}


def sweep(erp, mailroom, server, crash_points, uids, point):
    crash_points.die_at(point)
    wait_until(lambda: server.seen.open_connections == 0, 10, "the end of its connections")
    with mailroom.daemon():
        erp.wait_for(uids, "sent", timeout=40)
    return reliability.doubled_and_marked(f"killed at {point}", erp, server, uids)


@pytest.mark.parametrize("point", [point for point in BEFORE if everything or point in SHORT])
def test_before_anything_could_be_committed_a_death_costs_nothing(erp, mailroom, server, crash_points, point):
    mailroom.configure("dispatcher", connections=1)  # another one would have begun another message meanwhile
    assert sweep(erp, mailroom, server, crash_points, enqueue(erp, server), point) == (0, 0)


@pytest.mark.parametrize("point", [point for point in BETWEEN if everything or point in SHORT])
def test_between_the_mark_and_the_outcome_a_death_leaves_as_many_in_doubt_as_were_under_way(erp, mailroom, server, crash_points, point):
    doubled, marked = sweep(erp, mailroom, server, crash_points, enqueue(erp, server), point)
    assert 1 <= marked <= CONNECTIONS and doubled <= marked


@pytest.mark.parametrize("point", [point for point in AFTER if everything or point in SHORT])
def test_once_its_outcome_is_known_a_message_does_not_come_twice(erp, mailroom, server, crash_points, point):
    mailroom.configure("dispatcher", connections=1)
    doubled, marked = sweep(erp, mailroom, server, crash_points, enqueue(erp, server), point)
    assert doubled <= marked <= 1, "another may have been begun meanwhile"
    first = next(iter(reliability.taken(server)))
    assert reliability.taken(server)[first] == 1


@pytest.mark.parametrize("point", [point for point in TAKING_OVER if everything or point == "replay.marked"])
def test_a_death_while_taking_over_from_the_dead_is_taken_over_as_well(erp, mailroom, server, crash_points, point):
    uids = enqueue(erp, server)
    crash_points.die_at("outcome.known:3")
    crash_points.die_at(point)
    with mailroom.daemon():
        erp.wait_for(uids, "sent", timeout=40)
    doubled, marked = reliability.doubled_and_marked(f"killed at {point} while taking over", erp, server, uids)
    assert doubled <= marked <= CONNECTIONS
