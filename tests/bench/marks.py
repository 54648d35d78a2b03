"""What the journal of messages costs a drain: in a file, in a file whose disk confirms each mark, and in the database, each against none."""

from drain import MESSAGES, drained
from installation import installation
from row import Row, rounds, told
from smtp_sink import SmtpSink


def against_none(name, bar, messages=MESSAGES, **journal):
    """A benchmark: in turns with such a journal and without; which is first, in turns as well. bar 0: it is only reported."""
    def run(options):
        pairs = []
        with SmtpSink(backlog=1000) as sink, installation(options.build, sink.port) as (mailroom, execute):
            folder = str(mailroom.directory / "journal")
            settings = {True: {**journal, **({"directory": folder} if journal["store"] == "file" else {})}, False: {"store": "none"}}
            for number in rounds(options, name):
                rates = {}
                for kept in (True, False)[::1 if number % 2 else -1]:
                    mailroom.settings["journal"] = settings[kept]
                    rates[kept] = drained(mailroom, execute, options.messages or messages)
                pairs.append((rates[True], rates[False]))
                told("with {} {:.0f}, without {:.0f}".format(name, *pairs[-1]))
        return Row(bar, 'the same with [journal] store = "none"', pairs)
    return run


BENCHMARKS = {
    "marks": against_none("marks", 0.9, store="file"),
    "marks_synced": against_none("marks_synced", 0, messages=10_000, store="file", sync="machine"),
    "marks_database": against_none("marks_database", 0, messages=20_000, store="database"),
}
