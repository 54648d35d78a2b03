"""The states of a message, explored whole: with crashes, lost replies and people anywhere, nothing is lost and nothing is sent twice without a mark.

What is explored is a model (tests/model); test_store_model.py proves that the database does what the model does.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))

from explore import MUTATIONS, explore  # noqa: E402
from world import Budget  # noqa: E402

# What may happen, each at any moment and in any order: enough for every rule to matter, little enough for seconds.
TOGETHER = Budget(faults=1, turns=1, settings=1, cancels=1, operator=1)
THREE_FAULTS = Budget(faults=3, turns=0, settings=0, cancels=0, operator=0)
MORE = [Budget(faults=2, turns=1, settings=0, cancels=0, operator=0), Budget(faults=2, turns=0, settings=0, cancels=1, operator=1)]


@pytest.mark.parametrize("budget", [TOGETHER, THREE_FAULTS] + (MORE if os.environ.get("MAILROOM_LONG") else []), ids=str)
def test_nothing_is_lost_or_sent_twice_without_a_mark_whatever_happens(budget):
    explored = explore(budget)
    print(explored.states, "states,", explored.events, "events")
    assert explored.finding is None
    assert explored.states > 10_000  # not a model of nothing


@pytest.mark.parametrize("left_out", MUTATIONS)
def test_a_rule_that_is_left_out_breaks_what_it_is_for(left_out):
    what, budget = MUTATIONS[left_out]
    explored = explore(budget, frozenset([left_out]), only=what)
    assert explored.finding is not None and explored.finding.what == what
    print(" / ".join(explored.finding.events))
