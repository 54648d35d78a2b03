"""`mailroom doubt`: what may have been sent or not is listed with what helps to find out, and settled by who has found out."""

import pytest
from erp import Erp, letter
from misbehaving import MisbehavingServer
from smtp_script import Close, Script


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", poll="200ms")
    mailroom.configure("doubt", policy="hold")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), Script().on("dot", Close(), times=1), require_login=False) as running:
        yield running


@pytest.fixture
def uid(erp, mailroom, server):
    """A message whose server hung up after its dot, held for an operator."""
    erp.relay("ANNA", server)
    with mailroom.daemon():
        uid = erp.enqueue(user="ANNA", **letter(to=["bruno@one.test", "carla@one.test"]))
        erp.wait_for(uid, "held", "in_doubt")
    return uid


def test_each_doubt_is_listed_with_its_attempt(mailroom, server, uid):
    [doubt] = mailroom.json("doubt", "list")["doubts"]
    assert (doubt["uid"], doubt["state"], doubt["times"], doubt["recipients"], doubt["to"]) == (uid, "held", 1, 2, "bruno@one.test")
    assert doubt["server"] == f"localhost:{server.port}" and doubt["event"] == "in_doubt" and doubt["since"]
    text = mailroom.run("doubt", "list").out
    assert uid in text and f"localhost:{server.port}" in text and "to bruno@one.test and 1 more" in text and "settle" in text


def test_what_was_sent_ends_as_sent_and_goes_to_nobody_again(erp, mailroom, server, uid):
    settled = mailroom.run("doubt", "settle", uid, "--sent", "--yes", "--note", "in the server's log")
    assert "settled 1 message" in settled.out
    with mailroom.daemon():
        erp.wait_for(erp.enqueue(user="ANNA", **letter()), "sent")
    story = erp.story(uid)
    assert story["state"] == "sent" and story["possible_duplicate"] is True
    assert any(event["event"] == "settled" and "in the server's log" in event["note"] for event in story["events"])
    assert len(server.seen.messages) == 2
    assert "nothing is in doubt" in mailroom.run("doubt", "list").out
    [told] = [one for one in erp.database.value("SELECT mailroom.outcomes(NULL, 100)")["outcomes"] if one["uid"] == uid and one["event"] == "sent"]
    assert told


def test_what_was_not_sent_goes_again_and_is_no_possible_duplicate(erp, mailroom, server, uid):
    mailroom.run("doubt", "settle", "--reason", "in_doubt", "--not-sent", "--yes")
    with mailroom.daemon():
        erp.wait_for(uid, "sent")
    assert erp.story(uid)["possible_duplicate"] is False
    assert len(server.seen.messages) == 2


def test_what_is_not_in_doubt_is_left_alone(erp, mailroom, uid):
    other = erp.enqueue(user="ANNA", **letter())
    done = mailroom.run("doubt", "settle", other, "--sent", "--yes", check=False)
    assert done.code == 1 and "not in doubt" in done.out
    assert erp.states()[other] == ("ready", "")


def test_how_it_was_settled_must_be_said(mailroom, uid):
    done = mailroom.run("doubt", "settle", uid, "--yes", check=False)
    assert done.code == 2 and "--sent or --not-sent" in done.err
    counted = mailroom.run("doubt", "settle", "--all", "--sent", "--dry-run")
    assert "would settle 1 message" in counted.out


@pytest.mark.parametrize("rules, state", [
    ({"doubt.mass": {"policy": "hold"}}, ("held", "in_doubt")),
    ({"doubt.standard": {"policy": "hold"}}, ("in_doubt", "")),
    ({'doubt.account."Shared@example.test"': {"policy": "hold"}}, ("held", "in_doubt")),
    ({"doubt.mass": {"policy": "hold"}, 'doubt.account."shared@example.test"': {"resend_after": "2h"}}, ("in_doubt", "")),
    ({"doubt.mass": {"policy": "look_up"}}, ("held", "in_doubt")),
])
def test_the_rule_of_the_category_or_the_account_decides(erp, mailroom, server, rules, state):
    mailroom.settings["doubt"] = {"policy": "resend_once", "resend_after": "1h"}
    mailroom.settings.update(rules)
    erp.general(mode="smtp", server="localhost", port=server.port, use_ssl=False, login=False, account="shared@example.test")
    erp.form("STATEMENT", from_="accounts@example.test", mode="general")
    with mailroom.daemon():
        uid = erp.enqueue(form="STATEMENT", **letter())
        erp.wait_for(uid, *state)
