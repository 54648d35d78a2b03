"""What the tests of faults measured, a JSON line each, for the table of docs/reliability.md: in the file that $MAILROOM_RELIABILITY names."""

import json
import os


def record(fault, **figures):
    """`record("killed at random", lost=0, doubled=1, in_doubt=3, resumed_after=0.8)`; without that variable nothing is written."""
    path = os.environ.get("MAILROOM_RELIABILITY")
    if path:
        with open(path, "a") as lines:
            lines.write(json.dumps({"fault": fault, **figures}) + "\n")
