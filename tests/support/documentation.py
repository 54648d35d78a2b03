"""The pages of the documentation, and a reader who does what they say: on a private PostgreSQL, in folders of their own.

A comment above a block says how it is meant:
    sql   as LOGIN[, before the database][, enqueues N]
    toml  is FILE, passes config check, or both
    sh    runs[, fails][, typing the password][, says "..."], starts the service, or not run: why
"""

import contextlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from psycopg2 import extras

from machine import private_directory, start_server
from mailroom_program import Daemon

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "packaging" / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"(?:^<!-- (?P<how>[^>]*) -->\n)?^```(?P<language>sh|sql|toml|python)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
PASSWORD = "change me"  # everybody's, as the pages say


@dataclass(frozen=True)
class Block:
    place: str  # page:line
    section: str  # the heading above it, in full
    how: str
    language: str
    text: str

    def wants(self, word):
        return word in self.how.split(", ")


def blocks(*languages, page=None):
    """Of all pages, or of one; README first, then by name."""
    found = []
    for path in sorted([ROOT / "docs" / page] if page else PAGES, key=lambda path: path.name != "README.md"):
        text = path.read_text()
        for block in BLOCK.finditer(text):
            before = text[:block.start("text")]
            headings = re.findall(r"^#+ (.*)$", before, re.MULTILINE)
            if block["language"] in languages:
                found.append(Block(f"{path.name}:{before.count(chr(10)) + 1}", headings[-1], block["how"] or "", block["language"], block["text"]))
    return found


class Reader:
    """`with Reader(executable, cluster, ca_file) as reader: reader.follow("getting-started.md")`. mail_server: (port, password)."""

    def __init__(self, executable, cluster, ca_file, mail_server=(25, "")):
        self.cluster = cluster
        self.executable = executable
        self.directory = private_directory("reader")
        self.settings = self.directory / "etc" / "mailroom.toml"
        self.mail_password = mail_server[1]
        self.replaced = {"/etc/mailroom/": f"{self.directory}/etc/", "/var/backups/": f"{self.directory}/backups/", "/var/log/mailroom/": f"{self.directory}/",
                         "root:mailroom": "root:root", "server=mail.example.com": f"server=localhost port={mail_server[0]}"}
        for folder in ("etc", "backups", "bin"):
            (self.directory / folder).mkdir()
        (self.directory / "bin" / "mailroom").symlink_to(executable)
        sudo = self.directory / "bin" / "sudo"  # sudo -u postgres COMMAND: as the private cluster's superuser
        sudo.write_text(f'#!/bin/sh\nshift 2\nPGUSER={cluster.superuser} PGPASSWORD={cluster.password} exec "$@"\n')
        sudo.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{self.directory / 'bin'}:{cluster.programs}:{os.environ['PATH']}", "PGHOST": "127.0.0.1",
                            "PGPORT": str(cluster.port), "MAILROOM_CONFIG": str(self.settings), "SSL_CERT_FILE": str(ca_file),
                            "STATE_DIRECTORY": str(self.directory / "state")}
        self.service = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill_service()

    def follow(self, page, sections=None):
        """All blocks of a page, or those under these headings, in order."""
        for block in blocks("sh", "sql", "toml", page=page):
            if sections is None or block.section in sections:
                {"sh": self.run_shell, "sql": self.run_sql, "toml": self.write_file}[block.language](block)

    def run_shell(self, block):
        if block.how == "starts the service":
            return self.start_service()
        if block.how.startswith("not run: "):
            assert re.findall(r"^(\S+)", block.text, re.MULTILINE) and not re.search(r"\bmailroom (?!\()[a-z]", block.text), block.place
            return None
        assert block.wants("runs"), f"{block.place}: a comment above the block must say how it is run"
        done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", self.here(block.text)], capture_output=True, text=True, env=self.environment,
                              input=self.mail_password + "\n" if block.wants("typing the password") else "", timeout=120)
        assert (done.returncode != 0) == block.wants("fails"), f"{block.place} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        said = re.search(r'says "(.*)"', block.how)
        assert not said or said[1] in done.stdout + done.stderr, f"{block.place}: {done.stdout}{done.stderr}"
        return done.stdout

    def run_sql(self, block):
        login = re.match(r"as (\w+)", block.how)
        assert login, f"{block.place}: a comment above the block must say as which login it runs"
        self.psql(login[1], block.text, "postgres" if block.wants("before the database") else "erp", block.place)

    def psql(self, login, statements, database="erp", place="a statement"):
        dsn = self.cluster.dsn(database=database) if login == "superuser" else self.cluster.dsn(login, PASSWORD, database)
        done = subprocess.run([self.cluster.programs / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn], input=statements, capture_output=True, text=True)
        assert done.returncode == 0, f"{place}: {done.stderr}"
        return done.stdout

    def write_file(self, block):
        file = re.match(r"is (\S+?)(?:,|$)", block.how)
        if file:
            path = Path(self.here(file[1]))
            path.write_text(self.here(block.text))

    def start_service(self):
        """As systemctl would; what runs already is stopped first."""
        self.stop_service()
        log_file = self.directory / "serve.log"
        log_file.unlink(missing_ok=True)
        command = ["env", *(f"{name}={self.environment[name]}" for name in ("PGPORT", "SSL_CERT_FILE", "STATE_DIRECTORY")), self.executable, "--config", self.settings, "serve"]
        self.service = Daemon(start_server(command, log_file, die_with="KILL"), log_file)
        self.service.wait_for_line("ready")

    def stop_service(self):
        if self.service:
            assert self.service.stop() == 0
            self.service = None

    def kill_service(self):
        """For one that a test has left running."""
        if self.service:
            self.service.kill()
            self.service = None

    def run(self, *arguments, check=True):
        """One command of the program's, as root would give it."""
        done = subprocess.run([self.executable, *arguments], capture_output=True, text=True, env=self.environment, timeout=120)
        assert not check or done.returncode == 0, f"mailroom {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    def here(self, text):
        for what, by in self.replaced.items():
            text = text.replace(what, by)
        return text

    def query(self, login, statement, database="erp"):
        """The rows of one statement, as dicts."""
        connection = self.cluster.connect(database=database) if login == "superuser" else self.cluster.connect(login, PASSWORD, database)
        with contextlib.closing(connection), connection.cursor(cursor_factory=extras.RealDictCursor) as cursor:
            cursor.execute(statement)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []
