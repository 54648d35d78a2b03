"""What the documentation says is so: its SQL and its settings files work, and its lists of settings are the program's."""

import functools
import json
import math
import os
import re
import shlex
import subprocess

import pytest

from documentation import PAGES, ROOT, Reader, blocks
from mailroom_program import Mailroom
from postgres import PrivatePostgres

CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
ERP = (ROOT / "docs" / "erp.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
KINDS = {"general": "General", "user": "User", "row": "Form", "model": "Form"}  # the headings of their tables
UNTIL_THE_SCHEMA = ("2. Database and logins", "3. Settings and key", "4. Schema")  # of getting-started.md


def table_rows(text):
    """The cells of a table's rows, each as plain text; without heads."""
    return [[cell.strip() for cell in re.split(r" \|(?= )", line.strip("|\n"))] for line in text.splitlines() if line.startswith("| `")]


class Installation:
    """Made as getting-started.md says, until nobody has configured anything; `program` runs commands on it."""

    def __init__(self, executable, cluster, ca_file):
        self.reader = Reader(executable, cluster, ca_file)
        self.reader.follow("getting-started.md", UNTIL_THE_SCHEMA)
        self.directory = self.reader.directory
        self.program = Mailroom(executable, self.dsn("mailroom"), ca_file, self.directory, {"installation": {"name": "production"}})
        self.program.settings["secrets"]["key_file"] = str(self.directory / "etc" / "key")

    def dsn(self, login):
        return self.reader.cluster.dsn(login, "change me", "erp")

    def query(self, login, statement):
        return self.reader.query(login, statement)

    def enqueued(self):
        return self.query("superuser", "SELECT count(*) AS n FROM mailroom.content")[0]["n"]

    def run_sql(self):
        """All SQL of all pages, in the order of reading, but what has made this installation."""
        for block in blocks("sql"):
            if block.section in UNTIL_THE_SCHEMA:
                continue
            before = self.enqueued()
            self.reader.run_sql(block)
            promised = re.search(r"enqueues (\d+)", block.how)
            assert self.enqueued() - before == (int(promised[1]) if promised else 0), f"{block.place} enqueued something else than it says"


@pytest.fixture(scope="module")
def installation(build_directory, certificates):
    with PrivatePostgres(fsync=False) as cluster:
        yield Installation(build_directory / "service" / "mailroom", cluster, certificates.ca_file)


@pytest.fixture(scope="module")
def fresh(build_directory, certificates):
    """One whose settings nobody has touched, whatever the order of the tests."""
    with PrivatePostgres(fsync=False) as cluster:
        yield Installation(build_directory / "service" / "mailroom", cluster, certificates.ca_file)


@pytest.fixture(scope="module")
def executed(installation):
    """After all SQL of all pages, in the order of reading."""
    installation.program.run("account", "set", "form", "HELLO", "from=erp@example.com", "mode=general")  # a command of getting-started.md
    installation.run_sql()
    return installation


def test_all_sql_of_the_documentation_runs_as_the_login_that_it_is_for(executed):
    depth = executed.query("mailroom", "SELECT category, lane, batch FROM mailroom.depth ORDER BY enqueued_at")
    assert [row["category"] for row in depth] == ["standard", "standard", "mass", "mass", "mass", "standard", "mass", "mass"]
    assert [row["lane"] for row in depth] == ["normal", "normal", "bulk", "bulk", "bulk", "normal", "bulk", "normal"]


def test_the_account_commands_of_the_configuration_work(executed):
    commands = [shlex.split(line, comments=True)[1:] for line in CONFIGURATION.splitlines() if line.startswith("    mailroom account ")]
    assert len(commands) >= 6
    for command in commands:
        executed.program.run(*command, input="a secret\n" if command[1] == "password" else None)
    accounts = executed.program.json("account", "list")
    assert accounts["general"]["has_password"] and accounts["users"][0]["has_password"]
    assert accounts["users"][0]["from"] == "Anna Škoda <anna@example.com>"


@pytest.mark.parametrize("block", [block for block in blocks("toml") if block.wants("passes config check")], ids=lambda block: block.place)
def test_a_settings_file_of_the_documentation_passes_the_check(executed, certificates, block):
    connection = f"connection = {json.dumps(executed.dsn('mailroom'))}"
    text = re.sub(r"^connection = .*$", lambda _: connection, executed.reader.here(block.text), flags=re.MULTILINE)
    text = re.sub(r'^name = "test"$', 'name = "production"', text, flags=re.MULTILINE)  # as the database of this test is named
    file = executed.directory / "example.toml"
    file.write_text(text)
    trust = {**os.environ, "SSL_CERT_FILE": str(certificates.ca_file)}  # a machine may have no authorities of its own
    done = subprocess.run([executed.program.executable, "--config", file, "config", "check"], capture_output=True, text=True, env=trust)
    warned = "mailroom: warning: this is a test system: " if "[safety]" in block.text else ""
    assert done.returncode == 0 and (done.stderr.startswith(warned) if warned else not done.stderr), done.stderr


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


@functools.cache
def help_of(executable, *command):
    return subprocess.run([executable, *command, "--help"], capture_output=True, text=True).stdout


def subcommands(program, *of):
    text = help_of(program.executable, *of)
    return re.findall(r"^  (\w[\w-]*) {2,}[A-Z]", text.split("Subcommands:\n")[1], re.MULTILINE) if "Subcommands:\n" in text else []


def test_every_command_is_in_the_changelog_and_its_role_in_the_configuration(executed):
    commands = {name: subcommands(executed.program, name) for name in subcommands(executed.program)}
    assert len(commands) > 12
    told = re.search(r"- \*\*Commands\*\*: (.*?);\s+all with", (ROOT / "CHANGELOG.md").read_text(), re.DOTALL)[1]
    told = {words.split()[0]: words.split()[1::2] for words in (found.replace("\n", " ") for found in re.findall(r"`([^`]+)`", told))}
    assert {name: sorted(parts) for name, parts in told.items()} == {name: sorted(parts) for name, parts in commands.items()}
    roles = {name.split()[0] for row in table_rows(CONFIGURATION.split("Which command needs which:")[1].split("\n## ")[0]) for name in re.findall(r"`([^`]+)`", row[0])}
    assert roles == set(commands)


def commands_of(page):
    """Each command that a page names: in a line of its own, in a block, or in the text."""
    text = page.read_text()
    shown = re.findall(r"^    .*$", text, re.MULTILINE) + [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE) for line in block.splitlines()]
    lines = [found[1] for line in shown if (found := re.match(r" *(?:\w+='[^']*' )*mailroom ([a-z-].*)", line))] + re.findall(r"`mailroom ([a-z-][^`]*)`", text)
    return [shlex.split(line, comments=True) for line in lines if " | " not in line]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md" and commands_of(page)], ids=lambda page: page.name)
def test_every_command_that_a_page_names_exists_with_its_options(executed, page):
    known = {name: subcommands(executed.program, name) for name in subcommands(executed.program)}
    for words in commands_of(page):
        while words[0] in ("--config", "--database"):
            words = words[2:]
        assert words[0] in known, words
        command = words[:2] if known[words[0]] and len(words) > 1 else words[:1]
        assert len(command) == 1 or command[1] in known[words[0]], words
        text = help_of(executed.program.executable, *command)
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"{option}(?![\w-])", text), words


def test_the_commands_for_the_night_are_accepted(executed):
    """Those of the symptoms: each with what it needs, none of them a wrong command line."""
    section = OPERATIONS.split("## At three in the morning")[1].split("\n## ")[0]
    commands = [shlex.split(line, comments=True)[1:] for line in section.splitlines() if line.startswith("    mailroom ")]
    assert len(commands) >= 2
    for command in commands:
        assert executed.program.run(*command, "--dry-run").code == 0, command


SECURED = {"a user of its own": "User=mailroom", "no capabilities": "CapabilityBoundingSet=", "no way to new privileges": "NoNewPrivileges=yes",
           "a read-only file system": "ProtectSystem=strict", "no home directories": "ProtectHome=yes", "no devices": "PrivateDevices=yes",
           "temporary files of its own": "PrivateTmp=yes", "memory that is never both written and executed": "MemoryDenyWriteExecute=yes",
           "no core dumps": "LimitCORE=0", "only the socket families": "RestrictAddressFamilies=", "system calls": "SystemCallFilter=@system-service",
           "`/var/lib/mailroom`": "StateDirectory=mailroom", "`/var/log/mailroom`": "LogsDirectory=mailroom"}


def test_the_unit_is_as_the_pages_say():
    unit = (ROOT / "systemd" / "mailroom.service").read_text().splitlines()
    told = " ".join((ROOT / "docs" / "security.md").read_text().split("## The process")[1].split("\n## ")[0].split())
    for words, setting in SECURED.items():
        assert words in told and any(line.startswith(setting) for line in unit), words
    key = re.search(r'^key_file = "(.*?)"', (ROOT / "docs" / "getting-started.md").read_text(), re.MULTILINE)[1]
    assert f"LoadCredential=mailroom.key:{key}" in unit and f'"{key}"' in (ROOT / "packaging" / "mailroom.toml").read_text()
    assert "started again 3 seconds later" in OPERATIONS.replace("\n", " ") and "RestartSec=3" in unit
    assert "no progress for two and a half minutes" in OPERATIONS.replace("\n", " ") and "WatchdogSec=300" in unit


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


def test_every_event_is_documented_with_its_severity_and_no_other():
    source = (ROOT / "service" / "rules" / "event_kinds.cpp").read_text()
    events = dict(re.findall(r'EventFacts\{\s*\w+,\s+"(\w+)",\s+(\w+)', source))
    assert len(events) > 15
    documented = {row[0].strip("`"): row[1] for row in table_rows(OPERATIONS.split("| event | severity")[1].split("\n\n")[0])}
    assert documented == events


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


def test_a_reload_looks_at_every_key_of_the_settings_file_and_the_page_names_those_that_need_a_restart():
    source = (ROOT / "config" / "reload.cpp").read_text()
    entries = re.findall(r'&File::\w+::(\w+)>\(\s*"\[(\w+)\] (\w+)"', source)
    assert {(section, key) for _, section, key in entries} == set(documented_keys())
    assert [key for field, _, key in entries if field != key] == []
    section = CONFIGURATION.split("\n## Reload\n")[1].split("\n## ")[0]
    told = {(table, key) for table, keys in re.findall(r"`\[(\w+)\]` ((?:`\w+`(?:, | and )?)+)", section) for key in re.findall(r"`(\w+)`", keys)}
    assert told == {tuple(key) for *key, when in re.findall(r'"\[(\w+)\] (\w+)",\s*When::(\w+)\)', source) if when == "after_restart"}


def test_the_program_knows_every_documented_key_and_its_range(installation):
    keys = documented_keys()
    file = installation.directory / "wrong.toml"
    sections = {section: [key for name, key in keys if name == section] for section, _ in keys}
    file.write_text("".join(f"[{section}]\n" + "".join(f"{key} = 1979-05-27\n" for key in names) for section, names in sections.items()))
    done = subprocess.run([installation.program.executable, "--config", file, "config", "check"], capture_output=True, text=True)
    assert done.returncode == 2 and "no such" not in done.stderr
    for (section, key), (_, values) in keys.items():
        [complaint] = re.findall(rf":\d+: \[{section}\] {key}: (.*)", done.stderr)
        limits = re.search(r"from (\w+ to \w+)", complaint)
        choices = re.findall(r'"(\w+)"', complaint) if "one of" in complaint else []
        assert not limits or limits[1] == values, f"[{section}] {key}: {complaint}"
        assert choices == re.findall(r'`"(\w+)"`', values), f"[{section}] {key}: {complaint}"


def coded_defaults():
    """{(section, key): default}: milliseconds of a time, octets of a size, a number or a word as text, "" of an empty text, None of what is required."""
    header = (ROOT / "config" / "service_file.hpp").read_text()
    source = (ROOT / "config" / "service_file.cpp").read_text()
    words = {value: word for word, value in re.findall(r'\{"(\w+)",\s+(\w+::\w+)\}', source)}
    required = {key for call in re.findall(r"keys\.(?:text|host_name)\(([^;]*?), true\)", source) for key in re.findall(r'"(\w+)"', call)}
    members = {(section, name): (kind, value) for body, section in re.findall(r"    struct \w+ \{\n(.*?)\n    \} (\w+);", header, re.DOTALL)
               for kind, name, value in re.findall(r"^ +([\w:<>]+) (\w+)(?: = ([^;]+)|\{(?:[^}]*)\})?;", body, re.MULTILINE)}
    times = dict(re.findall(r"milliseconds (\w+)\{([^}]*)\}", header))
    defaults = {}
    for (section, name), (kind, value) in members.items():
        if kind == "std::chrono::milliseconds":
            days = re.fullmatch(r"std::chrono::days\((\d+)\)", times[name])
            defaults[section, name] = int(days[1]) * 86_400_000 if days else int(times[name].replace("'", ""))
        elif kind.startswith(("std::vector<", "std::optional<")):
            defaults[section, name] = ""
        elif kind == "std::string":
            defaults[section, name] = None if name in required else ""
        elif kind == "std::uint64_t":  # octets
            defaults[section, name] = math.prod(int(factor.rstrip("U")) for factor in value.split(" * "))
        else:
            defaults[section, name] = words.get(value, value)
    return defaults


def documented_default(text):
    """As above; what a text is while it is empty is told in words."""
    units = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
    measure = re.fullmatch(r'`"(\d+)([a-zA-Z]+)"`', text)
    literal = re.fullmatch(r'`"?(\w+)"?`', text)
    return int(measure[1]) * units[measure[2]] if measure else literal[1] if literal else None if text == "required" else ""


def test_every_documented_default_is_the_programs():
    coded = coded_defaults()
    assert set(coded) == accepted_keys() and {"20", None, "", "false", "auto", 604_800_000} <= set(coded.values())
    cells = {(section, key): default for section, key, default in re.findall(r"^\| `\[(\w+)\]` `(\w+)` \| (.*?) \|", CONFIGURATION, re.MULTILINE)}
    assert {key: documented_default(text) for key, text in cells.items()} == coded


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
    internal = {"singleton", "mode_saved", "password", "password_server", "token", "id", "code", "version"}
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


def test_every_field_of_a_message_is_in_its_table():
    source = (ROOT / "queue" / "migrations" / "0005_enqueue.sql").read_text()
    accepted = set(re.findall(r"'(\w+)'", re.search(r"fields constant text\[\] := ARRAY\[(.*?)\]", source, re.DOTALL)[1]))
    assert len(accepted) > 15
    table = ERP.split("| field | what it is")[1].split("\n\n")[0]
    documented = {name for row in table_rows(table) for name in re.findall(r"`(\w+)`", row[0])}
    assert documented == accepted
