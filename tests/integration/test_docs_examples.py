"""The programs of docs/examples do what docs/erp.md says of them: each is run against PostgreSQL, and the database is looked at."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from documentation import ROOT, Reader, blocks
from machine import Unavailable, private_directory, program
from postgres import PrivatePostgres

EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(scope="module")
def reader(build_directory, certificates):
    with PrivatePostgres(fsync=False) as cluster, Reader(build_directory / "service" / "mailroom", cluster, certificates.ca_file) as reader:
        reader.follow("getting-started.md", ("2. Database and logins", "3. Settings and key", "4. Schema"))
        reader.run("account", "set", "form", "STATEMENT", "from=accounts@example.com")
        reader.psql("erp_owner", (EXAMPLES / "tables.sql").read_text())
        yield reader


def python(reader, database):
    return [sys.executable, "-B", EXAMPLES / "enqueue.py", reader.cluster.dsn("erp", "change me", database)]


def php(reader, database):
    if "pdo_pgsql" not in subprocess.run([program("php", "php-cli"), "-m"], capture_output=True, text=True).stdout:
        raise Unavailable("PHP has no pdo_pgsql (Debian: apt-get install php-pgsql)")
    return ["php", EXAMPLES / "enqueue.php", f"pgsql:host=127.0.0.1;port={reader.cluster.port};dbname={database};user=erp;password='change me'"]


def csharp(reader, database):
    """By Mono and ODBC, which Debian has; Npgsql it has not."""
    drivers = sorted(Path("/usr/lib").glob("*/odbc/psqlodbcw.so"))
    if not drivers:
        raise Unavailable("PostgreSQL's ODBC driver is not installed (Debian: apt-get install odbc-postgresql)")
    compiled = private_directory("csharp") / "enqueue.exe"
    done = subprocess.run([program("mcs", "mono-mcs"), "-warnaserror", "-r:System.Data", f"-out:{compiled}", EXAMPLES / "enqueue.cs"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [program("mono", "mono-runtime"), compiled,
            f"Driver={drivers[0]};Server=127.0.0.1;Port={reader.cluster.port};Database={database};Uid=erp;Pwd=change me"]


@pytest.mark.parametrize("language", [python, php, csharp], ids=lambda language: language.__name__)
def test_the_example_books_batches_cancels_and_reads_its_outcomes(reader, language):
    database = "erp_" + language.__name__
    reader.cluster.execute(f'CREATE DATABASE {database} TEMPLATE erp OWNER erp_owner')
    done = subprocess.run([str(part) for part in language(reader, database)], capture_output=True, text=True, timeout=120, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (0, ""), done.stdout

    def rows(statement):
        return [tuple(row.values()) for row in reader.query("superuser", statement, database)]

    [(booked,)] = rows("SELECT mail::text FROM invoice")  # of three tries
    told = re.fullmatch(r"invoice 4711: (\S+) ready\ninvoice 4711: (.*)\ninvoice 4712: (.*)\nreminders: 2\ncancel: cancelled\noutcomes: 1\n", done.stdout, re.DOTALL)
    assert told and told[1] == booked, done.stdout
    assert "4711" in told[2] and "already exists" in told[2]
    assert '[{"field": "to", "reason": ' in told[3]  # the DETAIL
    assert rows("SELECT count(*) FROM mailroom.content") == [(3,)]  # what was rolled back has sent nothing
    assert rows("SELECT q.batch, c.subject, c.recipients -> 0 ->> 'address' FROM mailroom.queue q JOIN mailroom.content c USING (id) ORDER BY q.id") == [
        ("reminders 2026-03", "A reminder", f"{name}@customer.example") for name in ("zoe", "ben")]
    assert rows(f"SELECT c.subject, c.recipients -> 0 ->> 'name', c.document, a.name, a.media_type FROM mailroom.content c JOIN mailroom.attachment a"
                f" ON a.message_id = c.id WHERE c.uid = '{booked}'") == [("Your invoice 4711", "Zoë Müller", "invoice/4711", "invoice 4711.pdf", "application/pdf")]
    assert len(rows("SELECT DISTINCT blob_id FROM mailroom.attachment WHERE name = 'terms.pdf'")) == 1
    assert rows("SELECT uid::text, event, told ->> 'event' FROM mail_outcome") == [(booked, "cancelled", "cancelled")]
    [answer] = reader.query("erp", "SELECT mailroom.outcomes((SELECT position FROM mail_cursor), 10) AS told", database)
    assert answer["told"]["outcomes"] == []  # the cursor that it stored is behind all of them


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.place)
def test_a_piece_of_a_program_on_a_page_is_in_the_program(block):
    assert block.text in (ROOT / "docs" / "examples" / block.how.removeprefix("from ")).read_text()


def test_every_example_is_on_the_page_and_is_run():
    shown = re.findall(r"\]\(examples/([\w.]+)\)", (ROOT / "docs" / "erp.md").read_text())
    assert sorted(shown) == sorted(path.name for path in EXAMPLES.iterdir()) == ["enqueue.cs", "enqueue.php", "enqueue.py", "tables.sql"]
