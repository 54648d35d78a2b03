"""`mailroom explain`: who would send and why, by files alone and by the database; compared with the table's second implementation."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from decision_table import Table, essence
from erp import Erp, letter
from machine import private_directory
from mail_settings_samples import Chance
from misbehaving import MisbehavingServer

# Of each world: MORE users, forms and models than have a name, and MESSAGES. A process for each world costs more than a hundred messages: few worlds, but wide.
WORLDS, MORE, MESSAGES = (120, 40, 850) if os.environ.get("MAILROOM_MORE_FAULTS") else (75, 6, 80)

ROWS = ({f"S{n}" for n in range(1, 16)} | {f"{m}{n}" for m in "MD" for n in range(2, 11)} | {"B1", "B2", "B3"} | {f"M1/S{n}" for n in range(1, 16)}
        | {f"D1/S{n}" for n in (1, 2, 3, 6, 7, 10, 11, 12, 13)})

HOUSE = {"general": {"default_user_mode": "smtp", "mode": "smtp", "account": "mailer@erp.example", "server": "smtp.erp.example", "has_password": True},
         "users": [{"code": "ANNA", "email": "anna@erp.example", "has_password": True}],
         "rows": [{"code": "INV", "from": "invoices@erp.example", "mode": "general"}],
         "models": [{"code": "DUN", "from": "dunning@erp.example", "mode": "general"}]}


class Program:
    """`mailroom explain` over files, with no database in sight."""

    def __init__(self, executable):
        self.executable = executable
        self.folder = Path(private_directory("explain"))

    def run(self, settings, messages, status=None, output=("--json",)):
        (self.folder / "settings.json").write_text(json.dumps(settings))
        (self.folder / "messages.jsonl").write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in messages))
        command = [self.executable, "--config", "/nonexistent", "explain", "--settings", "settings.json", "--messages", "messages.jsonl", *output]
        if status is not None:
            (self.folder / "status.json").write_text(json.dumps(status))
            command += ["--status", "status.json"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60)

    def answers(self, settings, messages, status=None):
        done = self.run(settings, messages, status)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def program(build_directory):
    return Program(build_directory / "service" / "mailroom")


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


def test_both_implementations_of_the_table_agree_on_every_row(program):
    seen, reasons = set(), set()
    for seed in range(WORLDS):
        chance = Chance(seed, MORE)
        settings, status = chance.settings(), chance.status()
        messages = [chance.message() for _ in range(MESSAGES)]
        table = Table(settings, status)
        for message, answer in zip(messages, program.answers(settings, messages, status), strict=True):
            expected = table.answer(message)
            seen.add(expected.get("table_row"))
            reasons.add(expected.get("reason"))
            assert essence(answer) == expected, f"seed {seed}: {message}\n{json.dumps(answer, indent=1)}\n{json.dumps(settings)}\n{json.dumps(status)}"
    assert ROWS - seen == set() and "key_missing" in reasons


def test_an_answer_says_who_sends_and_each_step(program):
    (answer,) = program.answers(HOUSE, [{"id": 7, "user": "ANNA", "form": "INV"}])
    steps = answer.pop("steps")
    assert answer == {"id": 7, "line": 1, "category": "mass", "table_row": "M6", "outcome": "send", "mode": "smtp", "account": "mailer@erp.example",
                      "from": "invoices@erp.example", "sender": "mailer@erp.example", "envelope_sender": "mailer@erp.example",
                      "server": {"host": "smtp.erp.example", "port": 587}, "tls": "starttls", "desktop": None, "hold": None}
    assert [step["step"] for step in steps] == [1, 3, 6, 7, 8, 9, 10] and steps[-1]["result"].startswith("M6: sent by smtp")
    looked_at = {entry["setting"]: entry for step in steps for entry in step["settings"]}
    assert looked_at["row INV: mode"]["value"] == "general" and looked_at["general: mode"]["origin"] == "link to general"
    assert not any("ANNA" in name for name in looked_at)


def test_a_hold_names_reason_subjects_and_remedy_and_defaults_their_origin(program):
    (answer,) = program.answers({**HOUSE, "users": [{"code": "ANNA", "email": "anna@erp.example"}]}, [{"user": "ANNA"}])
    assert answer["table_row"] == "S13" and answer["hold"]["reason"] == "config_incomplete" and "account password user ANNA" in answer["hold"]["remedy"]
    assert answer["hold"]["subjects"] == [{"kind": "user", "code": "ANNA", "field": "Password", "setting": "password"}]
    origins = {entry["setting"]: entry["origin"] for step in answer["steps"] for entry in step["settings"]}
    assert origins["user ANNA: account"] == "default: user.email" and origins["general: server"] == "inherited from general"


def test_what_was_never_saved_is_told_as_the_default_and_what_is_missing_as_none(program):
    def origins(settings, **message):
        (answer,) = program.answers(settings, [message])
        return {entry["setting"]: (entry["value"], entry["origin"]) for step in answer["steps"] for entry in step["settings"]}

    bare = {"general": {"server": "smtp.erp.example", "mode": "smtp"}, "users": [{"code": "ANNA", "mode": "smtp", "server": "annas.example"}], "rows": [{"code": "INV", "from": "inv@erp.example"}]}
    found = origins(bare, user="ANNA")
    for setting, value, origin in (("enabled", "yes", "default"), ("mode", "smtp", "stored"), ("server", "annas.example", "stored"), ("port", "587", "default"),
                                   ("use_ssl", "yes", "default"), ("login", "yes", "default"), ("account", None, "none"), ("password", None, "none"), ("from", None, "none")):
        assert found["user ANNA: " + setting] == (value, origin), setting
    assert origins(bare, form="INV")["row INV: mode"] == ("not_configured", "default")
    assert origins({}, mobile=True)["general: mode"] == ("not_configured", "default")
    assert origins({"users": [{"code": "ANNA"}]}, user="ANNA")["general: edition"] == ("on_premise", "default")
    full = {"general": {"edition": "cloud", **HOUSE["general"], "port": 25, "use_ssl": False, "allow_cleartext": True, "from": "erp@erp.example", "send_as": True}}
    found = origins(full, mobile=True)
    for setting, value in (("mode", "smtp"), ("port", "25"), ("use_ssl", "no"), ("password", "stored"), ("from", "erp@erp.example"), ("allow_cleartext", "yes"), ("send_as", "yes")):
        assert found["general: " + setting] == (value, "stored"), setting
    assert found["general: login"] == ("yes", "default")
    assert "user ANNA: password = (none)\n" in program.run(bare, [{"user": "ANNA"}], output=()).stdout


def test_what_enqueue_would_refuse_is_an_error_that_names_the_codes_and_the_other_lines_are_answered(program):
    lines = [{"user": "ANNA", "form": "INV", "model": "DUN"}, {"form": "NONE"}, {"model": "NIX"}, "{nonsense\n", {"form": "INV", "colour": 1},
             {"mobile": True, "form": "NONE", "model": "NIX"}]
    both, form, model, nonsense, setting, mobile = program.answers(HOUSE, lines)
    assert both["codes"] == ["INV", "DUN"] and "INV" in both["error"] and "DUN" in both["error"]
    assert form["codes"] == ["NONE"] and model["codes"] == ["NIX"]
    assert "not JSON" in nonsense["error"] and "colour" in setting["error"] and mobile["table_row"] == "B2"


def test_everything_wrong_with_the_files_is_told_at_once(program):
    wrong = {"general": {"mode": "pigeon", "port": 70000}, "users": [{"code": "ANNA", "mode": "not_configured"}, {"code": "ANNA"}], "rows": [{"code": "X", "mode": "smtp"}]}
    done = program.run(wrong, [{}])
    assert done.returncode == 2
    for words in ("pigeon", "general.port", "users no. 1.mode", "stands there twice", "rows no. 1.mode"):
        assert words in done.stderr, done.stderr
    done = program.run(HOUSE, [{}], {"accounts": [{"owner": "user BEN", "state": "asleep"}], "agents": [{"user": "ANNA", "outlook": "old"}]})
    assert done.returncode == 2 and "BEN" in done.stderr and "asleep" in done.stderr and "only_new" in done.stderr


def test_the_answer_for_people_shows_the_steps(program):
    done = program.run(HOUSE, [{"user": "NOBODY"}], output=())
    assert "category standard" in done.stdout and "held: no_user(user NOBODY: unknown)" in done.stdout and "what to do: An administrator must create" in done.stdout


def test_the_example_in_the_documentation_is_what_the_program_answers(program):
    text = (Path(__file__).resolve().parents[2] / "docs" / "explain.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```json\n")[1:]]
    settings, status, messages, expected = blocks
    answers = program.answers(json.loads(settings), [line + "\n" for line in messages.splitlines()], json.loads(status))
    for answer in answers:
        answer.pop("steps", None)
    assert answers == [json.loads(line) for line in expected.splitlines()]


@pytest.mark.parametrize("format", ["json", "toml"])
def test_an_export_of_either_format_is_explained(erp, mailroom, program, format):
    erp.general(mode="smtp", default_user_mode="smtp", server="smtp.erp.example", account="mailer@erp.example")
    erp.form("INV", mode="general", from_="invoices@erp.example", name="Invoices")
    file = program.folder / f"export.{format}"
    mailroom.run("settings", "export", file)
    (program.folder / "messages.jsonl").write_text('{"form": "INV"}\n')
    done = subprocess.run([program.executable, "--config", "/nonexistent", "explain", "--settings", file, "--messages", "messages.jsonl", "--json"],
                          cwd=program.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["hold"]["text"] == "config_incomplete(general: Password)"


def test_what_no_door_saves_is_refused_in_an_export_too(program):
    done = program.run(HOUSE | {"rows": [{"code": "INV", "description": "Invoices"}]}, [{}])
    assert done.returncode == 2 and "rows no. 1.description: is no such setting" in done.stderr


def test_a_waiting_message_and_a_supposed_one_are_explained_by_the_live_settings(erp, mailroom):
    erp.user("ANNA", mode="office365", email="anna@example.test")
    uid = erp.enqueue(**letter(user="ANNA"))
    answer = mailroom.json("explain", uid)
    assert (answer["uid"], answer["table_row"], answer["hold"]["reason"]) == (uid, "S7", "auth_required")
    assert "what to do: Somebody must sign in" in mailroom.run("explain", uid).out
    erp.form("INV", mode="general", from_="invoices@example.test")
    assert mailroom.json("explain", "--user", "ANNA", "--form", "INV")["table_row"] == "M5"
    assert mailroom.json("explain", "--mobile")["table_row"] == "B1"
    unknown = mailroom.run("explain", "--user", "ANNA", "--model", "NIX", check=False)
    assert unknown.code == 1 and 'no model "NIX"' in unknown.err
    for wrong in ([], ["nonsense"], [uid, "--user", "ANNA"], ["--settings", "x"]):
        assert mailroom.run("explain", *wrong, check=False).code == 2


def test_where_it_stands_is_said_with_what_ends_that_whatever_the_settings_say(erp, mailroom, database):
    erp.user("ANNA", mode="smtp", server="mail.example.test", login=False, email="anna@example.test")
    kept, later = erp.enqueue(**letter(user="ANNA")), erp.enqueue(**letter(user="ANNA"), not_before="2100-01-01T00:00:00Z")
    blocked = erp.enqueue(**letter(user="ANNA"))
    mailroom.run("hold", kept, "--note", "ask Ben first", "--yes")
    database.rows("""WITH p AS (INSERT INTO mailroom.place (key, kind, subject, blocked_until, blocked_why) VALUES ('smtp/x', 'route', 'anna', now() + interval '1 hour', 'it rests') RETURNING id)
                     UPDATE mailroom.queue SET place_id = p.id FROM p WHERE uid = %s""", [blocked])

    def heading(uid):
        return mailroom.run("explain", uid).out.splitlines()[0]

    answer = mailroom.json("explain", kept)
    assert (answer["table_row"], answer["outcome"], answer["ended"]) == ("S11", "send", False), "by the settings alone it would go"
    assert (answer["now"]["state"], answer["now"]["reason"], answer["now"]["next_attempt"]) == ("held", "operator_hold", None)
    assert heading(kept) == f"message {kept}: held, operator_hold ({answer['now']['subject']}); {answer['now']['remedy']}"
    assert "ask Ben first" in heading(kept) and "mailroom release" in heading(kept)
    assert heading(later) == f"message {later}: scheduled, next attempt 2100-01-01 00:00:00Z"
    assert heading(blocked).startswith(f"message {blocked}: deferred, account_blocked (anna), next attempt 20") and heading(blocked).endswith("; it rests")


def test_the_story_of_a_message_tells_why_as_it_was_decided_that_day(erp, mailroom, database, certificates):
    def explained(uid):
        return {key: value for key, value in mailroom.json("explain", uid).items() if key not in ("uid", "ended", "now")}

    with MisbehavingServer(certificates.server(), require_login=False) as server:
        erp.user("ANNA", mode="smtp")
        held, undecided = erp.enqueue(**letter(user="ANNA")), erp.enqueue(**letter(user="ANNA"), not_before="2100-01-01T00:00:00Z")
        told, steps = mailroom.run("show", undecided).out, mailroom.run("explain", undecided).out.partition("\n")[2]
        assert told.endswith("why, were it decided now\n" + steps) and "what to do: " in steps
        with mailroom.daemon():
            erp.wait_for(held, "held", "config_incomplete")
            why_held, steps_held = explained(held), mailroom.run("explain", held).out.partition("\n")[2]
            erp.relay("ANNA", server)
            erp.wait_for(held, "sent")
            later = erp.enqueue(**letter(user="ANNA"))
            erp.wait_for(later, "sent")
    why_sent, steps_sent = explained(held), mailroom.run("explain", held).out.partition("\n")[2]
    assert why_held["outcome"] == "hold" and why_sent["table_row"] == "S11"
    erp.user("ANNA", mode="outlook")  # neither is decided so any more
    events = mailroom.json("show", held)["events"]
    assert [event.get("why") for event in events if event["event"] in ("held", "sent")] == [why_held, why_sent]
    told = mailroom.run("show", held).out
    assert told.index("  why\n" + steps_held) < told.index("  why\n" + steps_sent) and "were it decided" not in told
    assert mailroom.json("explain", held)["ended"] and "once more" in mailroom.run("explain", held).out.splitlines()[0]
    assert database.value("SELECT count(DISTINCT decision) FROM mailroom.log") == 1, "alike"
    assert database.value("SELECT count(*) FROM mailroom.decision") == 2
    login = database.cluster.create_role(database.name + "_operator", "IN ROLE mailroom_operator")
    mailroom.configure("database", connection=database.cluster.dsn(database.name + "_operator", login, database.name))
    assert mailroom.run("show", held).out == told
    assert "  why             not told here: reading the mail settings" in mailroom.run("show", undecided).out
    missing = mailroom.run("explain", "4c839a95-b1f7-4bb6-80e4-5114477a2748", check=False)
    assert missing.code == 1 and "there is no message" in missing.err


def test_stored_statuses_and_agents_decide_but_no_daemon_sends_what_it_cannot_carry(erp, mailroom, database):
    erp.user("ANNA", mode="office365", email="anna@example.test")
    database.rows("UPDATE mailroom.users SET token = '\\x01'")
    database.rows("INSERT INTO mailroom.account_status (owner, state, account, mailbox) SELECT id, 'approval_required', 'anna@example.test', '' FROM mailroom.users")
    assert mailroom.json("explain", "--user", "ANNA")["table_row"] == "S8"
    database.rows("UPDATE mailroom.account_status SET state = 'authenticated', mailbox = 'anna@example.test'")
    answer = mailroom.json("explain", "--user", "ANNA")
    assert (answer["table_row"], answer["hold"]["reason"]) == ("S10", "auth_required")
    with mailroom.daemon():
        uid = erp.enqueue(**letter(user="ANNA"))
        erp.wait_for([uid], "held", "auth_required")
    erp.user("ANNA", account="another@example.test")
    assert database.value("SELECT count(*) FROM mailroom.account_status") == 0 and database.value("SELECT token FROM mailroom.users") is None
    assert mailroom.json("explain", "--user", "ANNA")["table_row"] == "S7"
    erp.user("ANNA", mode="outlook")
    database.rows("INSERT INTO mailroom.desktop_agent (user_id, outlook) SELECT id, 'only_new' FROM mailroom.users")
    assert mailroom.json("explain", "--user", "ANNA")["hold"]["reason"] == "no_classic_outlook"
