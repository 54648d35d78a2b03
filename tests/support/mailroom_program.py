"""The program under test: its settings file, its commands, and its daemon as a child that a test may stop or kill."""

import contextlib
import json
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from machine import Unavailable, kill_tree, start_server, stop_group, tail

SETTINGS = {
    "installation": {"name": "test", "domain": "mail.example.test"},
    "dispatcher": {"connections": 16, "lease": "20s", "poll": "1s", "stop_limit": "60s"},
    "doubt": {"policy": "resend_once", "resend_after": "15m"},
    "log": {"level": "info"},
}


def toml(settings):
    """Tables of strings, numbers, booleans and lists of them; JSON writes those as TOML does."""
    return "\n".join(f"[{table}]\n" + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in keys.items())
                     for table, keys in settings.items())


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


class CommandFailed(Exception):
    pass


class Daemon:
    """A running `mailroom serve`."""

    def __init__(self, process, log_file):
        self.process = process
        self.log_file = log_file

    def log(self):
        return Path(self.log_file).read_text(errors="replace")

    def wait_for_line(self, text, timeout=30, count=1):
        """Waits until its log holds `text` so many times; fails at once if the daemon ends before."""
        deadline = time.monotonic() + timeout
        while self.log().count(text) < count:
            if self.process.poll() is not None:
                raise self._complaint(f"ended with {self.process.returncode} before it said {text!r}")
            if time.monotonic() > deadline:
                raise self._complaint(f"did not say {text!r} within {timeout} s")
            time.sleep(0.02)

    def stop(self, timeout=90):
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM, timeout)

    def kill(self):
        """SIGKILL, as a power cut or the OOM killer would."""
        kill_tree(self.process)

    def wait(self, timeout=30):
        return self.process.wait(timeout)

    @property
    def running(self):
        return self.process.poll() is None

    def _complaint(self, what):
        return AssertionError(f"the daemon {what}:\n{tail(self.log_file, 40)}")

    def _end(self, number, timeout):
        if self.running:
            stop_group(self.process, number, timeout)
        return self.process.returncode


class Mailroom:
    """`mailroom.run("queue")`, `with mailroom.daemon() as daemon: ...`. Settings may be changed by table before either."""

    def __init__(self, executable, database, ca_file, directory, settings=None):
        self.executable = Path(executable)
        if not self.executable.exists():
            raise Unavailable(f"{self.executable} is not built (./dev build)")
        self.directory = Path(directory)
        self.key_file = self.directory / "key"
        self.config_file = self.directory / "mailroom.toml"
        self.settings = {table: dict(keys) for table, keys in SETTINGS.items()}
        self.settings["database"] = {"connection": database}
        self.settings["secrets"] = {"key_file": str(self.key_file)}
        self.settings["tls"] = {"ca_file": str(ca_file)}
        self.settings["journal"] = {"directory": str(self.directory / "journal")}
        for table, keys in (settings or {}).items():
            self.settings.setdefault(table, {}).update(keys)
        self.environment = {}  # of daemons, besides this process's own
        self._daemons = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for daemon in self._daemons:
            daemon.kill()

    def configure(self, table, **keys):
        self.settings.setdefault(table, {}).update(keys)
        return self

    def write_settings(self):
        self.config_file.write_text(toml(self.settings))
        self.config_file.chmod(0o600)  # it holds the database's password
        return self.config_file

    def prepare(self):
        """A key and a migrated database: what every installation begins with."""
        if not self.key_file.exists():
            self.run("config", "new-key", self.key_file)
        self.run("migrate")
        return self

    def run(self, *arguments, input=None, check=True, timeout=120):
        """One command; raises with all it printed when it fails, unless `check` is False."""
        command = [str(self.executable), "--config", str(self.write_settings()), *map(str, arguments)]
        done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=timeout, cwd=self.directory)
        if check and done.returncode != 0:
            raise CommandFailed(f"mailroom {' '.join(command[3:])} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return Answer(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments, **options):
        return self.run(*arguments, "--json", **options).json()

    def start(self, ready="ready", timeout=60, through=()):
        """A daemon, once its standard error says `ready`; the caller stops it, or the end of the test kills it. through: a command that
        becomes it, as env does."""
        log_file = self.directory / f"serve-{len(self._daemons) + 1}.log"
        process = start_server([*through, self.executable, "--config", self.write_settings(), "serve"], log_file, die_with="KILL",
                               environment=self.environment)
        daemon = Daemon(process, log_file)
        self._daemons.append(daemon)
        daemon.wait_for_line(ready, timeout)
        return daemon

    @contextlib.contextmanager
    def daemon(self, ready="ready", timeout=60):
        """As start(), and stopped at the end, which must succeed unless the test has killed it."""
        daemon = self.start(ready, timeout)
        try:
            yield daemon
        except BaseException:
            print(f"--- {daemon.log_file}\n{tail(daemon.log_file, 200)}", flush=True)
            daemon.kill()
            raise
        if daemon.running:
            code = daemon.stop()
            assert code == 0, f"the daemon's stop ended with {code}:\n{tail(daemon.log_file, 40)}"
