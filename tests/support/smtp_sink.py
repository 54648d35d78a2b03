"""Postfix's smtp-sink as a server that accepts and forgets: the fast peer of measurements, a relay without login or TLS."""

import atexit
import os
import re
import signal

from machine import free_port, listening, private_directory, program, start_server, stop_group, tail, unprivileged_user, wait_until


class SmtpSink:
    """`with SmtpSink() as sink: sink.port`. Options are smtp-sink's own, such as "-8", "-f", "RCPT"."""

    def __init__(self, *options, backlog=256):
        self._program = program("smtp-sink", "postfix")
        self._options = options
        self._backlog = backlog
        self._directory = private_directory("smtp-sink")
        self._log_file = self._directory / "sink.log"
        self._process = None
        self.port = free_port()
        atexit.register(self.stop)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        as_user = ["-u", unprivileged_user("postfix")] if os.geteuid() == 0 else []
        command = [self._program, *as_user, "-c", *self._options, f"127.0.0.1:{self.port}", str(self._backlog)]
        self._process = start_server(command, self._log_file, die_with="KILL")

        def ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"smtp-sink did not start:\n{tail(self._log_file)}")
            return listening(self.port)

        wait_until(ready, 10, "smtp-sink's start")

    def stop(self):
        if self._process:
            stop_group(self._process, signal.SIGTERM)
            self._process = None

    def count(self):
        """Messages accepted so far, by smtp-sink's own counter."""
        found = re.findall(r"mesg=(\d+)", self._log_file.read_text(errors="replace"))
        return int(found[-1]) if found else 0
