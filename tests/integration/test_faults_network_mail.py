"""The network between daemon and mail server is cut, slow, or swallows what it carries, while mail drains."""

import pytest

from erp import Erp
from fault_proxy import FaultProxy
from machine import wait_until
from misbehaving import MisbehavingServer
from reliability import all_is_well, goes_on, hurry_until_all_ended, more_faults, nothing_is_marked, relay_and_enqueue, taken


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


@pytest.mark.parametrize("swallowed", ["to_server", "to_client"])
def test_a_network_that_swallows_one_direction_ends_by_the_limits_of_replies_and_marks_what_may_have_come(erp, mailroom, network, server, swallowed):
    """What the server does not hear of is not taken; what it answers unheard may be."""
    mailroom.configure("smtp", reply="1500ms", final_reply="2s", connect="2s")
    uids = relay_and_enqueue(erp, network, 800)
    with mailroom.daemon() as daemon:
        server.wait_for(200, timeout=60)
        network.swallow(**{swallowed: True})
        wait_until(lambda: "in_doubt: " in daemon.log(), 20, "a doubt")
        daemon.wait_for_line("warning account_waits: ", timeout=20)
        network.resume()
        erp.make_due()
        resumed_after = goes_on(server)
        hurry_until_all_ended(erp, mailroom, uids)
        assert daemon.running
    doubled = all_is_well(f"half-open to the mail server, {swallowed} lost", erp, server, uids, resumed_after)
    assert not nothing_is_marked(erp)
    if swallowed == "to_client":
        assert doubled > 0 and sum(taken(server).values()) > len(uids), "the server had taken what it answered unheard"
