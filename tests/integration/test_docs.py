"""What the documentation says is so: its SQL and its settings files work, and its lists of settings are the program's.

A block of SQL or TOML says in an HTML comment above it how it is meant: `as LOGIN`, `enqueues N`, `before migrate`, `passes config check`.
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from psycopg2 import extras

from machine import private_directory
from mailroom_program import Mailroom
from postgres import PrivatePostgres

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
BLOCK = re.compile(r"(?:<!-- (?P<how>[^>]*) -->\n)?```(?P<language>sql|toml)\n(?P<text>.*?)```", re.DOTALL)
KINDS = {"general": "General", "user": "User", "row": "Form", "model": "Form"}  # the headings of their tables


def blocks(language):
    """(place, how, text) of every block of all pages, README first."""
    pages = sorted(PAGES, key=lambda page: page.name != "README.md")
    return [(f"{page.name}:{page.read_text()[:found.start('text')].count(chr(10)) + 1}", found["how"] or "", found["text"])
            for page in pages for found in BLOCK.finditer(page.read_text()) if found["language"] == language]


def table_rows(text):
    """The cells of a table's rows, each as plain text; without heads."""
    return [[cell.strip() for cell in re.split(r" \|(?= )", line.strip("|\n"))] for line in text.splitlines() if line.startswith("| `")]


class Installation:
    """Made as the README says, block by block, by a program that nobody has configured."""

    def __init__(self, executable, cluster):
        self.cluster = cluster
        self.cluster.create_role("erp_owner")
        self.cluster.create_database("erp", owner="erp_owner")
        self.cluster.execute("ALTER ROLE erp_owner PASSWORD 'change me'")
        self.run_sql(lambda how: "before migrate" in how)
        self.directory = private_directory("docs")
        self.program = Mailroom(executable, self.dsn("mailroom"), "/dev/null", self.directory)
        del self.program.settings["tls"]
        self.program.run("config", "new-key", self.program.key_file)
        self.program.run("--database", self.dsn("erp_owner"), "migrate")

    def dsn(self, login):
        return self.cluster.dsn() + " dbname=erp" if login == "superuser" else self.cluster.dsn(login, "change me", "erp")

    def query(self, login, statement):
        connection = self.cluster.connect(database="erp") if login == "superuser" else self.cluster.connect(login, "change me", "erp")
        with contextlib.closing(connection), connection.cursor(cursor_factory=extras.RealDictCursor) as cursor:
            cursor.execute(statement)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def enqueued(self):
        [row] = self.query("superuser", "SELECT CASE WHEN to_regclass('mailroom.content') IS NULL THEN 0 ELSE 1 END AS there")
        return self.query("superuser", "SELECT count(*) AS n FROM mailroom.content")[0]["n"] if row["there"] else 0

    def run_sql(self, wanted):
        for place, how, text in blocks("sql"):
            login = re.match(r"as (\w+)", how)
            assert login, f"{place}: a comment above the block must say as which login it runs"
            if not wanted(how):
                continue
            before = self.enqueued()
            self.query(login[1], text)
            promised = re.search(r"enqueues (\d+)", how)
            assert self.enqueued() - before == (int(promised[1]) if promised else 0), f"{place} enqueued something else than it says"


@pytest.fixture(scope="module")
def installation(build_directory):
    with PrivatePostgres(fsync=False) as cluster:
        yield Installation(build_directory / "service" / "mailroom", cluster)


@pytest.fixture(scope="module")
def fresh(build_directory):
    """One whose settings nobody has touched, whatever the order of the tests."""
    with PrivatePostgres(fsync=False) as cluster:
        yield Installation(build_directory / "service" / "mailroom", cluster)


@pytest.fixture(scope="module")
def executed(installation):
    """After all SQL of all pages, in the order of reading."""
    installation.run_sql(lambda how: "before migrate" not in how)
    return installation


def test_all_sql_of_the_documentation_runs_as_the_login_that_it_is_for(executed):
    depth = executed.query("mailroom", "SELECT category, lane, batch FROM mailroom.depth ORDER BY enqueued_at")
    assert [row["category"] for row in depth] == ["standard", "mass", "mass", "mass", "standard", "mass"]
    assert [row["lane"] for row in depth] == ["normal", "bulk", "bulk", "bulk", "normal", "bulk"]


def test_the_account_commands_of_the_readme_work(executed):
    commands = [shlex.split(line, comments=True)[1:] for line in README.splitlines() if line.startswith("    mailroom account ")]
    assert len(commands) >= 6
    for command in commands:
        executed.program.run(*command, input="a secret\n" if command[1] == "password" else None)
    accounts = executed.program.json("account", "list")
    assert accounts["general"]["has_password"] and accounts["users"][0]["has_password"]
    assert accounts["users"][0]["from"] == "Anna Škoda <anna@example.com>"


@pytest.mark.parametrize("place, how, text", blocks("toml"), ids=[place for place, _, _ in blocks("toml")])
def test_a_settings_file_of_the_documentation_passes_the_check(executed, certificates, place, how, text):
    assert how == "passes config check"
    connection = f"connection = {json.dumps(executed.dsn('mailroom'))}"
    text = re.sub(r"^connection = .*$", lambda _: connection, text, flags=re.MULTILINE)
    text = text.replace("/etc/mailroom/key", str(executed.program.key_file)).replace('"production"', '"test"')
    file = executed.directory / "example.toml"
    file.write_text(text)
    trust = {**os.environ, "SSL_CERT_FILE": str(certificates.ca_file)}  # a machine may have no authorities of its own
    done = subprocess.run([executed.program.executable, "--config", file, "config", "check"], capture_output=True, text=True, env=trust)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_limit_commands_of_the_operations_page_work(executed):
    commands = [shlex.split(line, comments=True)[1:] for line in OPERATIONS.splitlines() if line.startswith("    mailroom limit ")]
    assert {command[1] for command in commands} == {"list", "set", "remove"}
    for command in commands:
        executed.program.run(*command)
    [limits] = [row for row in executed.program.json("limit", "list")["limits"] if row["server"] == "smtp.example.com"]
    assert limits["recipients_per_day"] == 10000


def test_the_commands_that_change_messages_are_as_the_operations_page_says(executed):
    commands = [shlex.split(line, comments=True)[1:] for line in OPERATIONS.split("## Changing")[1].split("Each counts")[0].splitlines() if line.startswith("    mailroom ")]
    executed.query("superuser", "INSERT INTO mailroom.place (key, kind, subject) VALUES ('smtp/mail.example.com:587/erp', 'route', 'erp') ON CONFLICT DO NOTHING")
    executed.query("superuser", "INSERT INTO mailroom.users (code, email) VALUES ('NOBODY', '') ON CONFLICT DO NOTHING")
    for command in commands:
        if command[0] != "batch":  # it asks nothing
            assert executed.program.json(*command, "--dry-run")["left_alone"] is not None, command
    assert {command[0] for command in commands} == {"retry", "cancel", "hold", "release", "reassign", "batch"}


def subcommands(program, *of):
    text = subprocess.run([program.executable, *of, "--help"], capture_output=True, text=True).stdout
    return re.findall(r"^  (\w[\w-]*) {2,}[A-Z]", text.split("Subcommands:\n")[1], re.MULTILINE) if "Subcommands:\n" in text else []


def test_every_command_is_in_the_changelog_and_its_role_in_the_configuration(executed):
    commands = {name: subcommands(executed.program, name) for name in subcommands(executed.program)}
    assert len(commands) > 12
    told = re.search(r"- \*\*Commands\*\*: (.*?);\s+all with", (ROOT / "CHANGELOG.md").read_text(), re.DOTALL)[1]
    told = {words.split()[0]: words.split()[1::2] for words in (found.replace("\n", " ") for found in re.findall(r"`([^`]+)`", told))}
    assert {name: sorted(parts) for name, parts in told.items()} == {name: sorted(parts) for name, parts in commands.items()}
    roles = {name.split()[0] for row in table_rows(CONFIGURATION.split("Which command needs which:")[1].split("\n## ")[0]) for name in re.findall(r"`([^`]+)`", row[0])}
    assert roles == set(commands)


def test_every_state_and_reason_of_the_view_is_in_the_table_of_states():
    view = (ROOT / "queue" / "migrations" / "0006_views.sql").read_text().split("FROM mailroom.queue q JOIN")[0]
    columns = [re.findall(r"(?:THEN|ELSE) '(\w+)'", part) for part in (view.split("END AS state")[0], view.split("AS route,")[1].split("END AS reason")[0])]
    table = (ROOT / "docs" / "states.md").read_text().split("| state | `reason`")[1].split("\n\n")[0]
    documented = [{name for row in table_rows(table) for name in re.findall(r"`(\w+)`", row[cell])} for cell in (0, 1)]
    assert documented == [set(column) for column in columns]


def test_every_reason_of_a_hold_is_among_those_that_are_released():
    enumerators = re.search(r"enum class HoldReason \{(.*?)\}", (ROOT / "service" / "rules" / "hold.hpp").read_text(), re.DOTALL)[1]
    in_sql = {reason for file in (ROOT / "queue" / "migrations").glob("*.sql") for reason in re.findall(r"'hold', '(\w+_\w+)'", file.read_text())}
    table = (ROOT / "docs" / "rules.md").read_text().split("## What releases a hold")[1].split("\n## ")[0]
    documented = {name.strip() for row in re.findall(r"^\| (\w[^|]*) \|", table, re.MULTILINE) for name in row.split(",")} - {"reason"}
    assert in_sql == {"batch_held", "operator_hold"}
    assert documented == set(re.findall(r"\w+", enumerators)) | in_sql


# ---------------------------------------------------------------- the settings file's keys

def documented_keys():
    """{(section, key): (default, values)} of the page's first table."""
    found = re.findall(r"^\| `\[(\w+)\]` `(\w+)` \| (.*?) \| (.*?) \|", CONFIGURATION, re.MULTILINE)
    return {(section, key): (default.strip('`"'), values) for section, key, default, values in found}


def accepted_keys():
    """As the reader of the file asks for them."""
    source = (ROOT / "config" / "service_file.cpp").read_text()
    sections = re.split(r'section\("(\w+)", ', source)[1:]  # name, what follows, name, ...
    return {(section, key) for section, code in zip(sections[::2], sections[1::2])
            for key in re.findall(r'keys\.\w+(?:<\w+>)?\("(\w+)"', code)}


def test_every_key_of_the_settings_file_is_documented_and_no_other():
    assert set(documented_keys()) == accepted_keys()
    assert len(accepted_keys()) > 15


def test_the_program_knows_every_documented_key_and_its_range(installation):
    keys = documented_keys()
    file = installation.directory / "wrong.toml"
    sections = {section: [key for name, key in keys if name == section] for section, _ in keys}
    file.write_text("".join(f"[{section}]\n" + "".join(f"{key} = []\n" for key in names) for section, names in sections.items()))
    done = subprocess.run([installation.program.executable, "--config", file, "config", "check"], capture_output=True, text=True)
    assert done.returncode == 2 and "no such" not in done.stderr
    for (section, key), (_, values) in keys.items():
        [complaint] = re.findall(rf":\d+: \[{section}\] {key}: (.*)", done.stderr)
        limits = re.search(r"from (\w+ to \w+)", complaint)
        choices = re.findall(r'"(\w+)"', complaint) if "one of" in complaint else []
        assert not limits or limits[1] == values, f"[{section}] {key}: {complaint}"
        assert choices == re.findall(r'`"(\w+)"`', values), f"[{section}] {key}: {complaint}"


def test_the_documented_defaults_of_times_and_numbers_are_the_programs():
    header = (ROOT / "config" / "service_file.hpp").read_text()
    defaults = {key: int(value.replace("'", "")) for key, value in re.findall(r"milliseconds (\w+)\{([\d']+)\}", header)}
    defaults |= {key: int(value) for key, value in re.findall(r"int (\w+) = (\d+);", header)}
    assert len(defaults) == 11
    units = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "": 1}
    for (_, key), (default, _) in documented_keys().items():
        if key in defaults:
            number, unit = re.fullmatch(r"(\d+)([a-z]*)", default).groups()
            assert int(number) * units[unit] == defaults[key], key


# ---------------------------------------------------------------- the mail settings

def documented_settings(kind):
    """{name: default} of the kind's table; several names in one cell share its defaults in order, or have none of their own."""
    part = re.search(rf"^{KINDS[kind]}.*?:?.*?\n\n(.*?)\n\n", CONFIGURATION.split("## Mail settings")[1], re.DOTALL | re.MULTILINE)[1]
    settings = {}
    for names, default, _ in (row[:3] for row in table_rows(part)):
        if "(form)" in names and kind != "row":
            continue
        names = re.findall(r"`(\w+)`", names)
        defaults = default.split(", ") if len(names) > 1 else [default.split(":")[0]]
        settings |= dict(zip(names, defaults if len(defaults) == len(names) else [None] * len(names)))
    return settings


def columns_of(installation, table):
    internal = {"singleton", "mode_saved", "password", "id", "code"}
    rows = installation.query("superuser", f"SELECT attname FROM pg_attribute WHERE attrelid = 'mailroom.{table}'::regclass AND attnum > 0")
    return {row["attname"].replace("from_address", "from") for row in rows} - internal


@pytest.mark.parametrize("kind, table", [("general", "general"), ("user", "users"), ("row", "rows"), ("model", "models")])
def test_every_mail_setting_is_documented_and_no_other(installation, kind, table):
    names = set(documented_settings(kind))
    assert names == columns_of(installation, table)
    for name in names | {"nonsense"}:
        [row] = installation.query("superuser", f"SELECT mailroom.setting_problem('{kind}', '{name}', '[]', 'on_premise') AS problem")
        assert row["problem"] is not None
        [row] = installation.query("superuser", f"SELECT coalesce(mailroom.setting_problem('{kind}', '{name}', '\"\"', 'on_premise'), '') AS problem")
        assert ("no such setting" in row["problem"]) == (name == "nonsense"), name


@pytest.mark.parametrize("kind, made_by", [("general", "SELECT to_jsonb(g) || jsonb_build_object('default_user_mode', mailroom.default_user_mode(g)) AS made FROM mailroom.general g"),
                                           ("user", "SELECT to_jsonb(u) AS made FROM mailroom.users u WHERE code = 'FRESH'"),
                                           ("row", "SELECT to_jsonb(r) AS made FROM mailroom.rows r WHERE code = 'FRESH'"),
                                           ("model", "SELECT to_jsonb(m) AS made FROM mailroom.models m WHERE code = 'FRESH'")])
def test_the_documented_defaults_of_mail_settings_are_the_databases(fresh, kind, made_by):
    if kind != "general":
        fresh.query("superuser", f"SELECT mailroom.save_{kind}('FRESH', '{{}}')")
    [row] = fresh.query("superuser", made_by)
    made = {name.replace("from_address", "from"): value for name, value in row["made"].items()}
    words = {"yes": True, "no": False, "blank": ""}
    for name, default in documented_settings(kind).items():
        if default is not None:
            default = default.strip("`")
            assert str(words.get(default, default)) == str(made[name]), name


# ---------------------------------------------------------------- the pages themselves

def anchors(page):
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        assert aim.exists(), target
        assert not anchor or anchor in anchors(aim), target


def test_every_field_of_a_message_is_in_the_readme():
    source = (ROOT / "queue" / "migrations" / "0005_enqueue.sql").read_text()
    accepted = set(re.findall(r"'(\w+)'", re.search(r"fields constant text\[\] := ARRAY\[(.*?)\]", source, re.DOTALL)[1]))
    assert len(accepted) > 15
    table = README.split("| field | what it is")[1].split("\n\n")[0]
    documented = {name for row in table_rows(table) for name in re.findall(r"`(\w+)`", row[0])}
    assert documented == accepted
