"""The manual pages and the shell's completion: made from the command line and from docs/configuration.md, so they say the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from machine import private_directory, program

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mailroom_says(build_directory):
    """What `mailroom ARGUMENTS...` prints; the environment names no settings file."""
    environment = {name: value for name, value in os.environ.items() if name != "MAILROOM_CONFIG"}

    def says(*arguments, code=0):
        done = subprocess.run([build_directory / "service" / "mailroom", *arguments], capture_output=True, text=True, timeout=60,
                              env=environment)
        assert done.returncode == code, done.stderr
        return done.stdout

    return says


@pytest.fixture(scope="module")
def helps(mailroom_says):
    """{command: its --help} of all commands: {"": ..., "account": ..., "account set": ...}."""
    found, waiting = {}, [()]
    while waiting:
        command = waiting.pop()
        text = found[" ".join(command)] = mailroom_says(*command, "--help")
        below = text.partition("Subcommands:\n")[2]
        waiting += [(*command, name) for name in re.findall(r"^  ([a-z-]+)", below, re.M)]
    assert len(found) > 20
    return found


def options_of(text):
    """{--name: all that may be written for it}, from --help."""
    written = re.findall(r"^  (-[^ ]+)", text, re.M)
    return {names.split(",")[-1]: names.split(",") for names in written}


def rendered(source, name):
    """A page as `man` shows it; that nothing was wrong with it is part of that."""
    page = private_directory("manual") / name
    page.write_text(source)
    done = subprocess.run([program("man", "man-db"), "--warnings", "-E", "UTF-8", "-l", page], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "MANWIDTH": "200", "MAN_KEEP_FORMATTING": "", "LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def manual(mailroom_says):
    return rendered(mailroom_says("--generate", "man"), "mailroom.1")


@pytest.fixture(scope="module")
def completion(mailroom_says):
    """completion("account s"): what the shell offers there."""
    file = private_directory("completion") / "mailroom"
    file.write_text(mailroom_says("--generate", "bash-completion"))
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mailroom; printf "%s\\n" "${COMPREPLY[@]}"'

    def offers(line):
        words = ["mailroom", *line.split(" ")]
        done = subprocess.run([program("bash", "bash"), "-uc", script, "bash", file, *words], capture_output=True, text=True, timeout=20,
                              cwd=file.parent)
        assert (done.returncode, done.stderr) == (0, "")
        return set(done.stdout.split())

    offers.file = file
    return offers


def test_the_manual_names_every_command_and_option_of_the_help(manual, helps):
    sections = re.findall(r"^   (mailroom .*?)\n(.*?)(?=^   mailroom |^\S)", manual, re.M | re.S)
    common = manual[manual.index("\nOPTIONS\n"):manual.index("\nCOMMANDS\n")]
    for command, text in helps.items():
        section = next((body for heading, body in sections if re.fullmatch(rf"mailroom {command}( \[?[a-z_.]+\]?)*", heading)), "")
        assert section or not command, f"no section for {command}"
        for first in re.findall(r"as for mailroom ([a-z ]+)\.", section):
            section += manual[manual.index(f"\n   mailroom {first}"):]
        for option in options_of(text):
            assert re.search(rf"^ +(-\w, )?{option}\b", section + common, re.M), f"{option} of {command}"


def test_the_manual_has_the_words_of_the_help(manual, helps):
    flat = " ".join(manual.split())
    assert "NAME mailroom - sends the mail that an ERP puts into its PostgreSQL database" in flat
    for text in ("Seconds that --wait waits (1 to 1000000; default: 300)", "Whose settings (general, user)",
                 "The service's settings file (or $MAILROOM_CONFIG) (default: /etc/mailroom/mailroom.toml)",
                 "At a route or in a hold, as mailroom queue names it", "5 in doubt"):
        assert text in flat, text
    assert "`" not in manual


def test_every_key_of_the_settings_file_is_in_its_manual():
    source = subprocess.run([sys.executable, "-B", ROOT / "packaging" / "settings_manual.py", ROOT / "docs" / "configuration.md", "1.2.3"],
                            capture_output=True, text=True, check=True).stdout
    page = rendered(source, "mailroom.toml.5")
    table = (ROOT / "docs" / "configuration.md").read_text().partition("## Mail settings")[0]
    keys = re.findall(r"^\| `\[(\w+)\]` `(\w+)` \|", table, re.M)
    assert len(keys) > 20
    for in_table, key in keys:
        section = page[page.index(f"\n   [{in_table}]\n"):]
        assert re.search(rf"^       {key} = .+\((required|default: .+)\)$", section, re.M), f"[{in_table}] {key}"
    assert not re.search(r"`|\]\(|\*\*", page), "Markdown"
    assert "MAILROOM_CONFIG" in page[page.index("\nENVIRONMENT\n"):]


def test_the_shell_completes_every_command_and_option_of_the_help(completion, helps):
    common = options_of(helps[""])
    for command, text in helps.items():
        line = f"{command} " if command else ""
        below = re.findall(r"^  ([a-z-]+)", text.partition("Subcommands:\n")[2], re.M)
        if below:
            assert completion(line) == set(below), command
        assert completion(f"{line}-") == {*options_of(text), *common}, command


@pytest.mark.parametrize("line, offered", [
    ("re", {"reassign", "recover", "release", "retry"}),
    ("account s", {"set"}),
    ("account set ", {"general", "user", "form", "model"}),
    ("account password u", {"user"}),
    ("--config serve account p", {"password", "probe"}),
    ("list --user queue --old", {"--older-than"}),
    ("config check --jso", {"--json"}),
    ("--config mail", {"mailroom"}),
    ("send --attach ma", {"mailroom"}),
    ("config new-key m", {"mailroom"}),
    ("list --batch ", set()),
    ("show ", set()),
], ids=lambda value: value if isinstance(value, str) else "")
def test_the_shell_offers_what_may_stand_there(completion, line, offered):
    assert completion(line) == offered


def test_the_completion_is_a_sound_script(completion):
    done = subprocess.run([program("shellcheck", "shellcheck"), completion.file], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_cannot_be_generated_is_a_wrong_command_line(mailroom_says):
    assert mailroom_says("--generate", "zsh", code=2) == ""
