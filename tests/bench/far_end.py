"""The far end of the wire as the benchmarks need it: our own sink, with TLS or without PIPELINING, and a relay that delays."""

import json
import signal
from pathlib import Path

from machine import Unavailable, free_port, listening, private_directory, start_server, stop_group, tail, wait_until


class _Server:
    def __init__(self, build, program, *arguments):
        executable = Path(build).resolve() / "tests" / program
        if not executable.exists():
            raise Unavailable(f"{executable} is not built (./dev bench builds it)")
        self.port = free_port()
        self._command = [executable, self.port, *arguments]
        self._output = private_directory(program) / "output"
        self._process = None

    def __enter__(self):
        self._process = start_server(self._command, self._output, die_with="KILL")

        def ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._command[0].name} did not start:\n{tail(self._output)}")
            return listening(self.port)

        wait_until(ready, 10, f"{self._command[0].name}'s start")
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self._process:
            stop_group(self._process, signal.SIGTERM)
            self._process = None


class Sink(_Server):
    """Accepts and forgets. `certificate` makes it offer STARTTLS; `log` has, for each message, when its 250 was written and its subject."""

    def __init__(self, build, certificate=None, log=None, pipelining=True):
        super().__init__(build, "bench_sink",
                         *(["--tls", "starttls", "--cert", certificate.cert_file, "--key", certificate.key_file] if certificate else []),
                         *(["--log", log] if log else []), *([] if pipelining else ["--no-pipelining"]))

    def counters(self):
        """Stops it: {"connections", "messages", "behind" ..}."""
        self.stop()
        return json.loads(self._output.read_text().splitlines()[-1])


class Relay(_Server):
    """To `port`, with so many milliseconds of delay in each direction."""

    def __init__(self, build, port, milliseconds):
        super().__init__(build, "bench_relay", port, milliseconds)
