"""A password that is entered, used and refused is in clear nowhere: not in the database, its log, ours, a file, an output, a process's memory on disk."""

import base64
import json
import os
import re
import secrets
import subprocess
from pathlib import Path

import pytest

from erp import Erp, letter
from machine import run_as, unprivileged_user, wait_until
from misbehaving import MisbehavingServer

GENERAL, ANNA, BEN = "erp@example.test", "anna@example.test", "ben@example.test"


@pytest.fixture
def erp(mailroom, database):
    return Erp(mailroom, database).prepare()


def forms_of(secret, logins=()):
    """The octets by which it would be known: plain, hexadecimal, and base64, where it may stand at any of three offsets in what was encoded."""
    plain = secret.encode()
    forms = {"plain": plain, "hex": plain.hex().encode(), "HEX": plain.hex().upper().encode()}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + plain + b"\0" * (-(before + len(plain)) % 3))
        forms[f"base64, {before} before"] = encoded[(before * 8 + 5) // 6:(before + len(plain)) * 8 // 6]  # digits that are the secret's alone
    for login in logins:
        forms[f"AUTH PLAIN of {login}"] = base64.b64encode(f"\0{login}\0{secret}".encode())
    return forms


def found(forms, places):
    return [(place, form) for place, octets in places.items() for form, known in forms.items() if known in octets]


class Collected(dict):
    """What was seen, by where."""

    def run(self, mailroom, *arguments, **options):
        done = mailroom.run(*arguments, check=False, **options)
        self[f"{len(self)}: mailroom {' '.join(map(str, arguments))}"] = (done.out + done.err).encode()
        return done


@pytest.mark.parametrize("hidden", [lambda s: s, lambda s: s.encode().hex(), lambda s: s.encode().hex().upper(),
                                    *(lambda s, n=n: base64.b64encode(b"x" * n + s.encode() + b"and more").decode() for n in range(6)),
                                    lambda s: base64.b64encode(f"\0{ANNA}\0{s}".encode()).decode()])
def test_the_search_finds_one_that_is_planted(hidden):
    secret = secrets.token_urlsafe(18)
    forms = forms_of(secret, [ANNA])
    assert found(forms, {"a place": f"before {hidden(secret)} behind".encode()})
    assert not found(forms, {"a place": f"before {hidden(secrets.token_urlsafe(18))} behind".encode()})


def files_below(folder):
    return {f"file {path}": path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def process(pid):
    return {f"/proc/{pid}/{name}": Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline", "status", "limits")}


def names_of_commands(mailroom):
    """Of the help: every command, and those below it."""
    def below(*command):
        text = mailroom.run(*command, "--help").out
        listed = text.partition("Subcommands:")[2]
        return re.findall(r"^  ([a-z][a-z-]*) ", listed, re.MULTILINE)
    return {(name, *more) for name in below() for more in ([(sub,) for sub in below(name)] or [()])}


def every_command(mailroom, seen, uid):
    """Each as it is used, and wrongly; returns which there were."""
    ran = set()
    for arguments in [
            "account list", "account probe general", "account probe user ANNA", "account set user ANNA enabled=perhaps", "account password user NOBODY",
            "config check", f"config new-key {mailroom.directory / 'another key'}", f"config new-key {mailroom.key_file}", "key list", "key add",
            "key rotate", "key drop 0123456789abcdef",
            "settings show", "settings show user ANNA", "settings export", "settings export --format toml", "settings history",
            "settings apply none --dry-run", "settings copy user ANNA CLARA email=clara@example.test", "settings delete user CLARA --yes",
            f"explain {uid}", "explain --user ANNA", "explain --form INV",
            "test general --to a@one.test", "test user ANNA --to a@one.test", "test form INV --to a@one.test", "test model NONE --to a@one.test",
            "test me --as ANNA", "test list",
            "doctor", "queue", "queue --held", "list", "list --reason auth_failed", f"show {uid}", "show nothing",
            "events --all", "top --once", "limit list", "limit set --server localhost --login anna --connections 3", "limit remove --server localhost",
            "batch list", "batch hold b --yes", "batch release b --yes", "batch cancel b --yes", "doubt list", "doubt settle --all --sent --dry-run",
            "retry --all --dry-run", "hold --all --dry-run", "release --all --dry-run", "cancel --all --dry-run", "reassign --all --to-user BEN --dry-run",
            "migrate", "adopt", "recover --dry-run", "send --user ANNA --to a@one.test --text x", "send --user ANNA"]:
        words = arguments.split(" ") if "another key" not in arguments else ["config", "new-key", mailroom.directory / "another key"]
        for more in ((), ("--json",)):
            seen.run(mailroom, *words, *more, **({"input": "\n"} if words[0] == "account" else {}))
        ran.add(tuple(words[:2]))
        ran.add((words[0],))
    return ran


def test_it_is_found_nowhere(erp, mailroom, database, certificates):
    right, wrong = "Canary-" + secrets.token_urlsafe(18), "Canary-" + secrets.token_urlsafe(18)
    forms = {**{f"right, {k}": v for k, v in forms_of(right, [GENERAL]).items()}, **{f"wrong, {k}": v for k, v in forms_of(wrong, [ANNA, BEN]).items()}}
    seen = Collected()
    mailroom.configure("log", level="debug")
    mailroom.configure("smtp", idle="0s")
    database.cluster.execute(f"ALTER ROLE \"{database.owner}\" SET log_statement = 'all'")
    users = {GENERAL: right, ANNA: "something else", BEN: "something else"}
    with MisbehavingServer(certificates.server(), users=users) as plain, MisbehavingServer(certificates.server(), users=users, mechanisms="LOGIN") as by_login:
        erp.general(mode="smtp", server="localhost", port=plain.port, account=GENERAL)
        erp.form("INV", from_="invoices@example.test", mode="general")
        for code, server in (("ANNA", plain), ("BEN", by_login)):
            erp.user(code, mode="smtp", email=f"{code.lower()}@example.test", server="localhost", port=server.port)
        for owner, secret in ((("general",), right), (("user", "ANNA"), wrong), (("user", "BEN"), wrong)):
            assert seen.run(mailroom, "account", "password", *owner, input=secret + "\n").code == 0
        assert seen.run(mailroom, "account", "password", "general", input=f"{right}\n{right}\n\n").code in (0, 2)
        with mailroom.daemon() as daemon:
            sent, refused, by = erp.enqueue(form="INV", **letter()), erp.enqueue(user="ANNA", **letter()), erp.enqueue(user="BEN", **letter())
            erp.wait_for(sent, "sent")
            erp.wait_for([refused, by], "held", "auth_failed")
            seen.update(process(daemon.process.pid))
            ran = every_command(mailroom, seen, refused)
            every = names_of_commands(mailroom)
            assert {name for name in every if name not in ran} <= {("serve",), ("account", "set"), ("account", "password")} - ran | {("serve",)}
            seen.update({f"help {' '.join(c)}": mailroom.run(*c, "--help").out.encode() for c in every})
            limits = Path(f"/proc/{daemon.process.pid}/limits").read_text()
            assert re.search(r"Max core file size +0 +0 ", limits)
        seen["the daemon's log"] = daemon.log().encode()
        assert {login[1:] for s in (plain, by_login) for login in s.seen.logins} >= {(GENERAL, True), (ANNA, False), (BEN, False)}
        del plain.seen, by_login.seen
    seen["pg_dump"] = subprocess.run([database.cluster.programs / "pg_dump", "-d", database.dsn], capture_output=True, check=True).stdout
    seen["PostgreSQL's log"] = database.cluster.log().encode()
    seen.update(files_below(mailroom.directory))
    assert any("journal" in place for place in seen) and b"store_password" in seen["PostgreSQL's log"] and GENERAL.encode() in seen["pg_dump"]
    assert not found(forms, seen)


def test_one_that_is_typed_as_a_setting_is_refused_before_the_database_sees_it(erp, mailroom, database):
    secret = "Canary-" + secrets.token_urlsafe(18)
    database.cluster.execute(f"ALTER ROLE \"{database.owner}\" SET log_statement = 'all'")
    erp.general(account=GENERAL)
    erp.user("ANNA", email=ANNA)
    files = {"a.json": json.dumps({"general": {"Password": secret}}), "a.toml": f'[[users]]\ncode = "ANNA"\npassword = "{secret}"\n',
             "a.csv": f"code,password\nANNA,{secret}\n"}
    for name, text in files.items():
        (mailroom.directory / name).write_text(text)
    commands = [["account", "set", "general", f"{name}={secret}"] for name in ("password", " Password ", "token")] + [
        ["settings", "copy", "user", "ANNA", "BEN", f"password={secret}"], ["test", "general", "--to", "a@one.test", f"password={secret}"],
        ["limit", "set", "localhost", f"password={secret}"],
        *(["settings", "apply", mailroom.directory / name, *more] for name in ("a.json", "a.toml") for more in ((), ("--dry-run",))),
        ["settings", "apply", mailroom.directory / "a.csv", "--kind", "user"]]
    for command in commands:
        answer = mailroom.run(*command, check=False)
        assert answer.code == 2 and "a secret is no setting" in answer.err and secret not in answer.out + answer.err, command
    for name in files:
        (mailroom.directory / name).unlink()
    assert not found(forms_of(secret), {"PostgreSQL's log": database.cluster.log().encode()})


def test_nobody_but_root_looks_into_a_process_that_may_have_a_secret(mailroom):
    """Not even who runs it: the kernel gives the files of what may not be dumped to root."""
    if os.geteuid() != 0:
        pytest.skip("only root may run something as another user")
    user = unprivileged_user("postgres")
    running = subprocess.Popen(run_as(user, [mailroom.executable, "--config", "/nonexistent", "send", "--file", "-"]), stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    other = subprocess.Popen(run_as(user, ["cat"]), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: b"--file" in Path(f"/proc/{running.pid}/cmdline").read_bytes() and b"setpriv" not in Path(f"/proc/{running.pid}/cmdline").read_bytes()
                   and b"setpriv" not in Path(f"/proc/{other.pid}/cmdline").read_bytes(), 10, "both programs")
        wait_until(lambda: os.stat(f"/proc/{running.pid}/environ").st_uid == 0, 10, "files that are root's")
        assert os.stat(f"/proc/{other.pid}/environ").st_uid != 0, "another program's are its user's"
    finally:
        for one in (running, other):
            one.kill()
            one.wait()
