"""One row of the table: what was measured, against what, and whether its bar holds. A benchmark answers one, or several by name."""

import os
import statistics
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """The median of the ratios of interleaved pairs (ours, theirs) must reach the bar. Where less is better (times) the ratio is theirs / ours."""

    bar: float
    against: str
    pairs: list
    unit: str = "messages/s"
    less_is_better: bool = False

    @property
    def value(self):
        return statistics.median(ours for ours, _ in self.pairs)

    @property
    def against_value(self):
        return statistics.median(theirs for _, theirs in self.pairs)

    @property
    def ratio(self):
        return statistics.median(theirs / ours if self.less_is_better else ours / theirs for ours, theirs in self.pairs)

    @property
    def holds(self):
        return self.ratio >= self.bar


@dataclass(frozen=True)
class AtMost:
    """The median of the values must not exceed the bar: there is nothing to compare with."""

    bar: float
    what: str
    values: list
    unit: str = "MB"

    against_value = ratio = None

    @property
    def against(self):
        return f"at most {self.bar:g} {self.unit}: {self.what}"

    @property
    def value(self):
        return statistics.median(self.values)

    @property
    def holds(self):
        return self.value <= self.bar


@dataclass(frozen=True)
class Unmeasured:
    """Skipped, because the machine lacks something; or broken, which fails as a bar does."""

    reason: str
    holds: bool

    def __str__(self):
        return f"{'skipped' if self.holds else 'BROKEN'}: {self.reason}"


def progress(text):
    """To standard error, so that the table and the JSON lines stay what they are."""
    print(f"  .. {text}", file=sys.stderr, flush=True)


def rounds(options, name):
    """1, 2 .. as many as were asked for, and says which one is on."""
    for number in range(1, options.rounds + 1):
        progress(f"{name}: round {number} of {options.rounds}")
        yield number


def told(text):
    """The single measurements, with BENCH_VERBOSE."""
    if os.environ.get("BENCH_VERBOSE"):
        print(f"  {text}", flush=True)
