"""The network between daemon and mail server is cut, slow, or swallows what it carries, while mail drains."""

import threading

import pytest

from erp import Erp
from fault_proxy import FaultProxy
from machine import wait_until
from misbehaving import MisbehavingServer
from reliability import all_is_well, goes_on, hurry_until_all_ended, more_faults, nothing_is_marked, relay_and_enqueue, taken
from smtp_script import Hold


@pytest.fixture
def erp(mailroom, database):
    mailroom.configure("dispatcher", poll="200ms", connections=16, connections_per_account=8)
    mailroom.configure("doubt", resend_after="0ms")
    return Erp(mailroom, database).prepare()


@pytest.fixture
def server(certificates):
    with MisbehavingServer(certificates.server(), require_login=False) as running:
        yield running


@pytest.fixture
def network(server):
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.mark.parametrize("reset", [True, pytest.param(False, marks=more_faults)], ids=["by RST", "by FIN"])
def test_connections_that_are_cut_while_mail_drains_lose_nothing_and_what_was_behind_its_dot_is_marked(erp, mailroom, network, server, reset):
    uids = relay_and_enqueue(erp, network, 1500)
    with mailroom.daemon() as daemon:
        for enough in range(200, 1200, 200):
            wait_until(lambda: (erp.make_due(), len(server.seen.messages) >= enough)[1], 60, f"{enough} messages", every=0.1)
            network.cut(reset=reset)
        hurry_until_all_ended(erp, mailroom, uids)
        assert daemon.running
    all_is_well(f"the network to the mail server is cut five times {'by RST' if reset else 'by FIN'}", erp, server, uids)


def test_a_server_that_refuses_connections_for_a_while_is_waited_for(erp, mailroom, network, server):
    mailroom.configure("smtp", pipelining="message")
    uids = relay_and_enqueue(erp, network, 800)
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        network.refuse()
        network.cut()
        daemon.wait_for_line("warning account_waits: ")
        network.resume()
        erp.make_due()
        resumed_after = goes_on(server)
        hurry_until_all_ended(erp, mailroom, uids)
        assert daemon.running
    all_is_well("the mail server is cut off and refuses", erp, server, uids, resumed_after)


@more_faults
def test_a_slow_network_to_the_mail_server_makes_nothing_but_time(erp, mailroom, network, server):
    uids = relay_and_enqueue(erp, network, 300)
    with mailroom.daemon():
        server.wait_for(50, timeout=60)
        network.delay(to_server=0.1, to_client=0.1)
        erp.wait_for(uids, "sent", timeout=20)
        network.resume()
    assert all_is_well("200 ms to the mail server and back", erp, server, uids) == 0
    assert nothing_is_marked(erp)


def test_answers_that_are_swallowed_leave_what_was_behind_its_dot_in_doubt_and_it_comes_twice(erp, mailroom, network, server):
    mailroom.configure("smtp", reply="1500ms", final_reply="2s", connect="2s")
    uids = relay_and_enqueue(erp, network, 800)
    answer = threading.Event()
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        server.script.on("dot", Hold(answer))
        server.wait_for(len(server.seen.messages) + 2)  # taken, and not answered
        network.swallow(to_client=True)
        answer.set()
        daemon.wait_for_line(" in_doubt: ", timeout=20)
        daemon.wait_for_line("warning account_waits: ", timeout=20)
        network.resume()
        erp.make_due()
        resumed_after = goes_on(server)
        hurry_until_all_ended(erp, mailroom, uids)
        assert daemon.running
    assert all_is_well("half-open to the mail server, its answers are lost", erp, server, uids, resumed_after) > 0
    assert sum(taken(server).values()) > len(uids)


def test_commands_that_are_swallowed_end_by_the_limits_of_replies(erp, mailroom, network, server):
    """What the server does not hear of it does not take: whatever is in doubt then does not come twice."""
    mailroom.configure("smtp", reply="1500ms", final_reply="2s", connect="2s")
    uids = relay_and_enqueue(erp, network, 800)
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        network.swallow(to_server=True)
        daemon.wait_for_line("warning account_waits: ", timeout=20)
        network.resume()
        erp.make_due()
        resumed_after = goes_on(server)
        hurry_until_all_ended(erp, mailroom, uids)
        assert daemon.running
    all_is_well("half-open to the mail server, what it is told is lost", erp, server, uids, resumed_after)
