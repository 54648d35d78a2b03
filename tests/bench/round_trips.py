"""What round trips cost one connection: messages a second at 20 ms of round trip, with the commands of a message in one flight, and with the next
message's commands behind the final dot, each against lock-step (every command waits for the reply before it)."""

from drain import drained, serving
from far_end import Relay, Sink
from installation import installation
from machine import Unavailable
from row import Row, rounds, told

MESSAGES = 200
EACH_WAY = 10  # milliseconds
LOCK_STEP = "never"
BARS = {"flight": ("message", 1.8), "behind": ("next_message", 3.2)}  # of 2.0 and 4.0: a message in lock-step has four round trips


def at(mailroom, pipelining):
    mailroom.configure("smtp", pipelining=pipelining)
    serving(mailroom, connections=1)
    answer = mailroom.run("config", "check", check=False)
    if answer.code != 0:
        raise Unavailable(f"config check refuses pipelining = \"{pipelining}\": {(answer.err or answer.out).strip().splitlines()[0]}")


def run(options):
    messages, pairs = options.messages or MESSAGES, {name: [] for name in BARS}
    with Sink(options.build) as sink, Relay(options.build, sink.port, EACH_WAY) as relay, installation(options.build, relay.port) as (mailroom, execute):
        for _ in rounds(options, "flight, behind"):
            rates = {}
            for pipelining in (LOCK_STEP, *(pipelining for pipelining, _ in BARS.values())):
                at(mailroom, pipelining)
                rates[pipelining] = drained(mailroom, execute, messages, connections=1)
            for name, (pipelining, _) in BARS.items():
                pairs[name].append((rates[pipelining], rates[LOCK_STEP]))
            told(", ".join(f"{pipelining} {rate:.1f}" for pipelining, rate in rates.items()))
        told(f"the sink: {sink.counters()}")
    return {name: Row(bar, f"lock-step, {2 * EACH_WAY} ms round trip, one connection", pairs[name]) for name, (_, bar) in BARS.items()}
